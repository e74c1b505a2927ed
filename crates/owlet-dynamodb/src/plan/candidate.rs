//! The ways to read a table for one request: by key, by range, by scan; what each enforces and costs.
//! Must never know splits.

use std::collections::{BTreeMap, BTreeSet};

use owlet_connector::{Alternative, Exactness, Expression};

use super::condition::Condition;
use super::cost::{self, Cost};
use super::keys::{Enforcement, KeySelection, Keys};
use super::nullability::rejects_null;
use super::payload::{AccessPath, ItemKey, KeyRange, RangeOrder};
use super::sort_range::SortCondition;
use super::translate::{Columns, translate};
use crate::catalog::access_kind::AccessKind;
use crate::catalog::learned::TableExperience;
use crate::description::{IndexDescription, IndexKind, KeySchema};
use crate::options::{Consistency, DynamoDbOptions};
use crate::shape::Shape;
use crate::table::DynamoTable;

/// Most keys that are read one by one.
const MAX_KEYS: usize = 10_000;

/// One way to read.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) path: AccessPath,
    /// In a word or two.
    pub(crate) access: String,
    /// Key condition for people; empty for scans.
    pub(crate) key_text: String,
    /// Filter for the service; `Always` for none.
    pub(crate) filter: Condition,
    /// One for each conjunct.
    pub(crate) exactness: Vec<Exactness>,
    /// Columns to read so that values of a wrong type are noticed.
    pub(crate) checks: BTreeSet<usize>,
    pub(crate) cost: Cost,
    /// Average bytes of an item read this way.
    pub(crate) item_bytes: f64,
    /// No item can match: nothing is read.
    pub(crate) impossible: bool,
    /// The kind of access that experience is collected for.
    pub(crate) lesson: AccessKind,
    /// Read capacity units before experience corrected them.
    pub(crate) uncorrected: f64,
    /// The sizes of all partitions are known from reading them before.
    pub(crate) has_known_sizes: bool,
    /// The part of the cost that such sizes tell.
    pub(crate) known_cost: Cost,
}

impl Candidate {
    /// Every conjunct is enforced.
    pub(crate) fn is_exact(&self) -> bool {
        self.exactness
            .iter()
            .all(|exactness| *exactness == Exactness::Exact)
    }

    /// Corrects the estimate by what was counted before.
    pub(crate) fn correct(&mut self, factor: f64) {
        self.uncorrected = self.cost.units;
        let corrected = |all: f64, known: f64| known + (all - known) * factor;
        self.cost.units = corrected(self.cost.units, self.known_cost.units);
        self.cost.items = corrected(self.cost.items, self.known_cost.items);
        self.cost.bytes = corrected(self.cost.bytes, self.known_cost.bytes);
    }

    /// The index that is read.
    pub(crate) fn index(&self) -> Option<&str> {
        match &self.path {
            AccessPath::Ranges { index, .. } | AccessPath::Segments { index, .. } => {
                index.as_deref()
            }
            _ => None,
        }
    }

    /// Reads a table or index whole.
    pub(crate) fn is_scan(&self) -> bool {
        matches!(self.path, AccessPath::Segments { .. })
    }
}

/// All ways, and why others were not possible.
#[derive(Debug)]
pub(crate) struct Candidates {
    pub(crate) possible: Vec<Candidate>,
    pub(crate) rejected: Vec<Alternative>,
}

/// What the candidates are for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) table: &'a DynamoTable,
    pub(crate) options: &'a DynamoDbOptions,
    pub(crate) conjuncts: &'a [Expression],
    /// Positions of all columns the query returns or filters on.
    pub(crate) columns: &'a [usize],
    pub(crate) workers: usize,
    /// What earlier reads of the table taught.
    pub(crate) learned: &'a TableExperience,
}

impl<'a> Question<'a> {
    /// Finds every way.
    pub(crate) fn candidates(&self) -> Candidates {
        let mut candidates = Candidates {
            possible: Vec::new(),
            rejected: Vec::new(),
        };
        if let Some(keys) = self.keys(&self.table.description.keys)
            && let Some(selection) = keys.select(self.conjuncts)
        {
            candidates.possible.extend(self.items(&keys, &selection));
            candidates
                .possible
                .push(self.ranges(&keys, &selection, None));
        }
        for index in &self.table.description.indexes {
            self.index_candidates(index, &mut candidates);
        }
        candidates.possible.push(self.segments(None));
        candidates
    }

    fn index_candidates(&self, index: &'a IndexDescription, candidates: &mut Candidates) {
        let Some(keys) = self.keys(&index.keys) else {
            return;
        };
        let selection = keys.select(self.conjuncts);
        let is_useful = selection.is_some() || self.sparse_complete(&keys);
        if !is_useful {
            return;
        }
        if let Some(reason) = self.index_obstacle(index, &keys, selection.as_ref()) {
            candidates.rejected.push(Alternative {
                access: format!("index {}", index.name),
                rcu: None,
                reason,
            });
            return;
        }
        match selection {
            Some(selection) => {
                candidates
                    .possible
                    .push(self.ranges(&keys, &selection, Some(index)))
            }
            None => candidates.possible.push(self.segments(Some(index))),
        }
    }

    /// Why the index does not hold every item and attribute of the answer; `None` when it provably does.
    pub(crate) fn index_obstacle(
        &self,
        index: &IndexDescription,
        keys: &Keys<'_>,
        selection: Option<&KeySelection>,
    ) -> Option<String> {
        if let Some(reason) = &index.unusable {
            return Some(reason.clone());
        }
        if self.options.consistency == Consistency::Strong && index.kind == IndexKind::Global {
            return Some("global indexes cannot be read consistently".to_owned());
        }
        for position in self.columns {
            let missing = match &self.table.columns[*position].attribute {
                None if index.projection == crate::description::Projection::All => None,
                None => Some("the whole item".to_owned()),
                Some(attribute) if index.holds(attribute, &self.table.description.keys) => None,
                Some(attribute) => Some(format!("attribute {attribute}")),
            };
            if let Some(missing) = missing {
                return Some(format!("it does not hold {missing}"));
            }
        }
        if selection.is_some_and(|selection| selection.has_unstorable_values) {
            return Some("an item with such a value would not be in it".to_owned());
        }
        // The partition key is compared with constants if there is a selection; items without the sort key are
        // not in the index, so the query itself must rule them out.
        let sort = keys.sort.as_ref()?;
        if self.excludes_missing(sort.column) {
            return None;
        }
        Some(format!(
            "it leaves out items without {}; add \"{} IS NOT NULL\" if they do not matter",
            sort.attribute.name, self.table.metadata.columns[sort.column].name
        ))
    }

    /// The query asks for no item that lacks a key attribute of the index.
    fn sparse_complete(&self, keys: &Keys<'_>) -> bool {
        let attributes = std::iter::once(&keys.hash).chain(&keys.sort);
        attributes
            .clone()
            .all(|key| self.excludes_missing(key.column))
            && attributes
                .clone()
                .any(|key| !self.table.description.keys.contains(&key.attribute.name))
    }

    fn excludes_missing(&self, column: usize) -> bool {
        let is_required = self.table.columns[column]
            .attribute
            .as_ref()
            .is_some_and(|name| self.table.description.keys.contains(name));
        is_required
            || self
                .conjuncts
                .iter()
                .any(|conjunct| rejects_null(conjunct, column))
    }

    /// The key as columns; `None` when an attribute has no column of its type.
    pub(crate) fn keys(&self, schema: &'a KeySchema) -> Option<Keys<'a>> {
        let keys = Keys::resolve(schema, |attribute| {
            let column = self.table.column_of(attribute)?;
            Some((column, &self.table.columns[column].shape))
        })?;
        let has_fitting_types = std::iter::once(&keys.hash)
            .chain(&keys.sort)
            .all(|key| key.shape.descriptor() == Some(key.attribute.kind.descriptor()));
        has_fitting_types.then_some(keys)
    }

    fn items(&self, keys: &Keys<'_>, selection: &KeySelection) -> Option<Candidate> {
        let mut items = Vec::new();
        for (hash, condition) in &selection.values {
            match (keys.sort, condition) {
                (None, _) => items.push(ItemKey {
                    hash: hash.clone(),
                    sort: None,
                }),
                (Some(_), SortCondition::In(values)) => {
                    items.extend(values.iter().map(|sort| ItemKey {
                        hash: hash.clone(),
                        sort: Some(sort.clone()),
                    }));
                }
                _ => return None,
            }
            if items.len() > MAX_KEYS {
                return None;
            }
        }
        let extent = self.extent(None);
        let exactness = selection
            .enforced
            .iter()
            .map(|enforcement| match enforcement {
                Enforcement::Complete => Exactness::Exact,
                Enforcement::Partial(reason) => Exactness::Inexact(reason.clone()),
                Enforcement::None => {
                    Exactness::Unsupported("reading by key has no filter".to_owned())
                }
            })
            .collect();
        let count = items.len();
        Some(Candidate {
            access: if count == 1 {
                "get item".to_owned()
            } else {
                "batch get item".to_owned()
            },
            key_text: key_text(keys, &selection.values),
            filter: Condition::Always,
            exactness,
            checks: BTreeSet::new(),
            cost: cost::items_by_key(count as f64, extent.item_bytes, self.options.consistency),
            item_bytes: extent.item_bytes,
            impossible: items.is_empty(),
            lesson: AccessKind::named("get item"),
            uncorrected: 0.0,
            has_known_sizes: false,
            known_cost: Cost::default(),
            path: AccessPath::Items { keys: items },
        })
    }

    fn ranges(
        &self,
        keys: &Keys<'a>,
        selection: &KeySelection,
        index: Option<&'a IndexDescription>,
    ) -> Candidate {
        let schema = index.map_or(&self.table.description.keys, |index| &index.keys);
        let extent = self.extent(index);
        let mut ranges = Vec::new();
        let mut cost = Cost::default();
        let mut known_cost = Cost::default();
        let mut has_known_sizes = !selection.values.is_empty();
        for (hash, condition) in &selection.values {
            let known = self.known_size(hash, index, extent);
            has_known_sizes &= known.is_some();
            let item_bytes = known.map_or(extent.item_bytes, |size| size.item_bytes());
            let (count, items) = self.expected_range(keys, hash, condition, index, known);
            let one = cost::ranges(count, items, item_bytes, self.consistency(index));
            cost = cost.plus(one);
            if known.is_some() {
                known_cost = known_cost.plus(one);
            }
            ranges.push(KeyRange {
                hash: hash.clone(),
                sort: condition.clone(),
            });
        }
        let forbidden: Vec<&str> = schema
            .attributes()
            .map(|attribute| attribute.name.as_str())
            .collect();
        let (filter, exactness, mut checks) = self.filter(&forbidden, &selection.enforced);
        if let Some(sort) = keys
            .sort
            .filter(|sort| selection.uses_range && !is_always_fitting(sort.shape))
        {
            checks.insert(sort.column);
        }
        Candidate {
            has_known_sizes,
            known_cost,
            access: match index {
                None => "query".to_owned(),
                Some(index) => format!("query on index {}", index.name),
            },
            key_text: key_text(keys, &selection.values),
            impossible: ranges.is_empty() || filter == Condition::Never,
            lesson: range_lesson(&ranges, index),
            uncorrected: 0.0,
            path: AccessPath::Ranges {
                index: index.map(|index| index.name.clone()),
                keys: schema.clone(),
                ranges,
                order: RangeOrder::Unordered,
            },
            filter,
            exactness,
            checks,
            cost,
            item_bytes: extent.item_bytes,
        }
    }

    fn segments(&self, index: Option<&IndexDescription>) -> Candidate {
        let extent = self.extent(index);
        let total = cost::segments(extent.bytes(), self.options.segments, self.workers);
        let nothing_enforced = vec![Enforcement::None; self.conjuncts.len()];
        let (filter, exactness, checks) = self.filter(&[], &nothing_enforced);
        let name = if total > 1 { "parallel scan" } else { "scan" };
        Candidate {
            access: match index {
                None => name.to_owned(),
                Some(index) => format!("{name} of index {}", index.name),
            },
            key_text: String::new(),
            impossible: filter == Condition::Never,
            lesson: AccessKind::named(match index {
                None => "scan".to_owned(),
                Some(index) => format!("scan of {}", index.name),
            }),
            uncorrected: 0.0,
            has_known_sizes: false,
            known_cost: Cost::default(),
            path: AccessPath::Segments {
                index: index.map(|index| index.name.clone()),
                segments: (0..total).collect(),
                total,
            },
            filter,
            exactness,
            checks,
            cost: cost::scan(
                extent.items,
                extent.bytes(),
                f64::from(total),
                self.consistency(index),
            ),
            item_bytes: extent.item_bytes,
        }
    }

    fn consistency(&self, index: Option<&IndexDescription>) -> Consistency {
        match index {
            Some(index) if index.kind == IndexKind::Global => Consistency::Eventual,
            _ => self.options.consistency,
        }
    }

    /// The conjuncts that key conditions do not enforce, as a filter within the limits of one expression.
    fn filter(
        &self,
        forbidden: &[&str],
        enforced: &[Enforcement],
    ) -> (Condition, Vec<Exactness>, BTreeSet<usize>) {
        let required: Vec<&str> = self
            .table
            .description
            .keys
            .attributes()
            .map(|attribute| attribute.name.as_str())
            .collect();
        let columns = Columns {
            columns: &self.table.columns,
            required: &required,
            forbidden,
            on_mismatch: self.options.on_type_mismatch,
        };
        let mut filter = Condition::Always;
        let mut checks = BTreeSet::new();
        let mut exactness = Vec::new();
        for (conjunct, enforcement) in self.conjuncts.iter().zip(enforced) {
            if *enforcement == Enforcement::Complete {
                exactness.push(Exactness::Exact);
                continue;
            }
            let attempt = translate(conjunct, columns).and_then(|translated| {
                let together = Condition::all(vec![filter.clone(), translated.condition.clone()]);
                match together {
                    Condition::Always | Condition::Never => {}
                    ref condition => {
                        condition.render()?;
                    }
                }
                Ok((together, translated))
            });
            match (attempt, enforcement) {
                (Ok((together, translated)), _) => {
                    filter = together;
                    checks.extend(translated.checks);
                    exactness.push(
                        translated
                            .inexact
                            .map_or(Exactness::Exact, Exactness::Inexact),
                    );
                }
                (Err(_), Enforcement::Partial(reason)) => {
                    exactness.push(Exactness::Inexact(reason.clone()))
                }
                (Err(reason), _) => exactness.push(Exactness::Unsupported(reason)),
            }
        }
        (filter, exactness, checks)
    }
}

/// Ranges of one kind are alike: whole partitions, single sort keys, spans and prefixes of sort keys.
fn range_lesson(ranges: &[KeyRange], index: Option<&IndexDescription>) -> AccessKind {
    let parts = match ranges.first().map(|range| &range.sort) {
        None | Some(SortCondition::Any) => "partitions",
        Some(SortCondition::In(_)) => "sort keys",
        Some(SortCondition::Range(_)) => "spans",
        Some(SortCondition::Prefix(_)) => "prefixes",
    };
    AccessKind::of_partitions(parts, index)
}

/// Every value of the key's type is representable.
fn is_always_fitting(shape: &Shape) -> bool {
    shape.is_total()
}

fn key_text(
    keys: &Keys<'_>,
    values: &BTreeMap<crate::value::AttributeValue, SortCondition>,
) -> String {
    const SHOWN: usize = 3;
    let hash = &keys.hash.attribute.name;
    let mut texts: Vec<String> = values
        .iter()
        .take(SHOWN)
        .map(|(value, condition)| {
            let equal = format!("{hash} = {}", value.readable());
            match &keys.sort {
                Some(sort) if *condition != SortCondition::Any => {
                    format!("{equal} AND {}", condition.readable(&sort.attribute.name))
                }
                _ => equal,
            }
        })
        .collect();
    if values.len() > SHOWN {
        texts.push(format!("… {} more", values.len() - SHOWN));
    }
    texts.join("; ")
}
