//! One `SELECT` under construction. Operators are merged into it while that is trivially right, and it becomes a
//! derived table of the next one where it is not. Must never know a dialect's spelling.

use crate::flavor::Flavor;
use crate::fragment::{Fragment, Native, TextCollation};

/// A `SELECT` with qualified references only, so that no output name can capture one.
#[derive(Debug, Clone)]
pub(crate) struct Select {
    /// Output columns.
    pub items: Vec<Fragment>,
    /// `FROM` without the keyword.
    pub from: String,
    /// Conjuncts of `WHERE`.
    pub conditions: Vec<String>,
    /// Grouped: even without keys.
    pub grouped: bool,
    /// `GROUP BY` keys.
    pub keys: Vec<String>,
    /// `SELECT DISTINCT`.
    pub distinct: bool,
    /// `ORDER BY` terms.
    pub order: Vec<String>,
    /// `OFFSET`.
    pub skip: u64,
    /// `LIMIT`.
    pub fetch: Option<u64>,
    /// `FROM` is a join.
    pub joined: bool,
    /// A condition has unqualified names: no other table may stand beside it.
    pub isolated: bool,
}

impl Select {
    /// All rows of something.
    pub fn new(from: String, items: Vec<Fragment>) -> Self {
        Self {
            items,
            from,
            conditions: Vec::new(),
            grouped: false,
            keys: Vec::new(),
            distinct: false,
            order: Vec::new(),
            skip: 0,
            fetch: None,
            joined: false,
            isolated: false,
        }
    }

    /// Rows are cut off by number: nothing that changes which rows there are may be merged any more.
    pub fn is_limited(&self) -> bool {
        self.fetch.is_some() || self.skip > 0
    }

    /// One output row is one row of `FROM`: predicates, orderings and expressions may refer to `FROM`.
    pub fn is_row_wise(&self) -> bool {
        !self.grouped && !self.distinct
    }

    /// The text, with columns `c0`, `c1`, ….
    pub fn to_sql(&self, flavor: &dyn Flavor) -> String {
        self.assemble(flavor, OutputForm::Result)
    }

    /// The text as a member of a set operation: values in canonical form.
    pub fn to_member_sql(&self, flavor: &dyn Flavor) -> String {
        self.assemble(flavor, OutputForm::Canonical)
    }

    /// This select as a derived table called `alias`. Guards go inside: outside, the stored type is not known.
    pub fn into_derived(mut self, flavor: &dyn Flavor, alias: &str) -> Self {
        if self.is_row_wise() {
            let guards: Vec<String> = self
                .items
                .iter()
                .filter_map(|item| item.guard.clone())
                .collect();
            self.add_guards(guards);
        }
        let row_wise = self.is_row_wise();
        let companions = self.items.iter().filter(|item| item.native.is_some());
        // Native forms make comparisons cheap; they are given up where a derived table has no room for them.
        let has_room = self.items.len() + companions.count() <= flavor.maximum_columns();
        let with_native = row_wise && has_room;
        let form = if with_native {
            OutputForm::CanonicalAndNative
        } else {
            OutputForm::Canonical
        };
        let sql = self.assemble(flavor, form);
        let items = self
            .items
            .iter()
            .enumerate()
            .map(|(position, item)| Fragment {
                sql: format!("{alias}.c{position}"),
                literal: None,
                guard: None,
                stored: None,
                simple: true,
                native: item
                    .native
                    .as_ref()
                    .filter(|_| with_native)
                    .map(|native| Native {
                        sql: format!("{alias}.n{position}"),
                        kind: native.kind,
                    }),
                ..item.clone()
            })
            .collect();
        Self::new(format!("({sql}) AS {alias}"), items)
    }

    /// Adds guards that are not there yet. They are true or fail the query, so they fit any row-wise select. They come
    /// first: behind a condition they would not see the rows for which a value that does not fit made it false.
    pub fn add_guards(&mut self, guards: impl IntoIterator<Item = String>) {
        for guard in guards {
            if !self.conditions.contains(&guard) {
                self.conditions.insert(0, guard);
            }
        }
    }

    /// `FROM` without the keyword, and `WHERE`.
    pub fn source_sql(&self) -> String {
        if self.conditions.is_empty() {
            return self.from.clone();
        }
        format!("{} WHERE {}", self.from, self.conditions.join(" AND "))
    }

    fn assemble(&self, flavor: &dyn Flavor, form: OutputForm) -> String {
        let mut list: Vec<String> = self
            .items
            .iter()
            .enumerate()
            .map(|(position, item)| {
                let stored = item.stored.as_ref().filter(|_| form == OutputForm::Result);
                format!("{} AS c{position}", stored.unwrap_or(&item.sql))
            })
            .collect();
        if form == OutputForm::CanonicalAndNative {
            for (position, item) in self.items.iter().enumerate() {
                if let Some(native) = &item.native {
                    list.push(format!("{} AS n{position}", native.sql));
                }
            }
        }
        let mut sql = String::from("SELECT ");
        if self.distinct {
            sql.push_str("DISTINCT ");
        }
        if list.is_empty() {
            sql.push_str(flavor.empty_select_list());
        } else {
            sql.push_str(&list.join(", "));
        }
        sql.push_str(if sql.ends_with(' ') {
            "FROM "
        } else {
            " FROM "
        });
        sql.push_str(&self.source_sql());
        if !self.keys.is_empty() {
            sql.push_str(" GROUP BY ");
            sql.push_str(&self.keys.join(", "));
        }
        if !self.order.is_empty() {
            sql.push_str(" ORDER BY ");
            sql.push_str(&self.order.join(", "));
        }
        if self.is_limited() {
            sql.push_str(&flavor.limit_clause(self.skip, self.fetch));
        }
        sql
    }
}

/// In which form the columns of a select are spelled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OutputForm {
    /// For the connector, which reads stored values itself.
    Result,
    /// For an enclosing select.
    Canonical,
    /// For an enclosing select, with the native forms beside.
    CanonicalAndNative,
}

/// Marks columns whose collations differ between the inputs of a set operation.
pub(crate) fn merge_collations(items: &mut [Fragment], other: &[Fragment]) {
    for (item, other) in items.iter_mut().zip(other) {
        if item.collation != other.collation {
            item.collation = TextCollation::Mixed;
        }
        item.nullable |= other.nullable;
    }
}
