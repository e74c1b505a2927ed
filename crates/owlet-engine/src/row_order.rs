//! What a statement fixes about the order and the number of its rows, for those who compare answers. Must never know
//! how the rows are made.

use std::sync::Arc;

use datafusion::common::{Column, Result, ScalarValue};
use datafusion::logical_expr::{Expr, Limit, LogicalPlan, LogicalPlanBuilder, Projection, Sort};

/// Columns that [`with_keys`] adds have names that no statement can write.
const KEY_PREFIX: &str = "$order_key_";

/// Order and number of an answer's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowOrder {
    /// The statement has a top-level ORDER BY.
    pub ordered: bool,
    /// Positions in the answer of the keys of ORDER BY, up to the first that the answer does not show.
    pub keys: Vec<usize>,
    /// The answer shows all keys: rows that are equal in them may come in any order, other rows may not.
    pub shows_all_keys: bool,
    /// Rows that the statement leaves out at the beginning (OFFSET).
    pub offset: usize,
    /// Rows at most (LIMIT).
    pub limit: Option<usize>,
}

impl RowOrder {
    /// Rows in one order, and all of them: answers from metadata.
    pub(crate) fn fixed(columns: usize) -> Self {
        Self {
            ordered: true,
            keys: (0..columns).collect(),
            shows_all_keys: true,
            offset: 0,
            limit: None,
        }
    }

    /// What a plan that is not optimized yet says.
    pub(crate) fn of(plan: &LogicalPlan) -> Self {
        match plan {
            LogicalPlan::Sort(sort) => {
                let columns = sort.input.schema();
                let keys: Vec<usize> = sort
                    .expr
                    .iter()
                    .map_while(|key| match &key.expr {
                        Expr::Column(column) => columns.maybe_index_of_column(column),
                        _ => None,
                    })
                    .collect();
                let below = Self::of(&sort.input);
                // `(… LIMIT 5) ORDER BY x`: which rows there are is not for these keys to say.
                let chosen_below = below.limit.is_some() || below.offset > 0;
                Self {
                    ordered: true,
                    shows_all_keys: keys.len() == sort.expr.len() && !chosen_below,
                    keys,
                    ..below
                }
            }
            LogicalPlan::Limit(limit) => Self::of(&limit.input).within(limit),
            LogicalPlan::SubqueryAlias(alias) => Self::of(&alias.input),
            LogicalPlan::Projection(projection) => {
                let input = projection.input.schema();
                let below = Self::of(&projection.input);
                let shown = |key: &usize| {
                    projection
                        .expr
                        .iter()
                        .position(|expr| match expr.clone().unalias() {
                            Expr::Column(column) => {
                                input.maybe_index_of_column(&column) == Some(*key)
                            }
                            _ => false,
                        })
                };
                let keys: Vec<usize> = below.keys.iter().map_while(shown).collect();
                Self {
                    shows_all_keys: below.shows_all_keys && keys.len() == below.keys.len(),
                    keys,
                    ..below
                }
            }
            _ => Self {
                ordered: false,
                keys: Vec::new(),
                shows_all_keys: false,
                offset: 0,
                limit: None,
            },
        }
    }

    fn within(mut self, limit: &Limit) -> Self {
        // One that is computed is assumed to matter.
        let skip = limit
            .skip
            .as_deref()
            .map_or(0, |skip| number(skip).unwrap_or(1));
        self.offset = self.offset.saturating_add(skip);
        if let Some(fetch) = limit.fetch.as_deref().filter(|fetch| !is_null(fetch)) {
            let fetch = number(fetch).unwrap_or(0);
            self.limit = Some(self.limit.map_or(fetch, |limit| limit.min(fetch)));
        }
        self
    }

    /// A LIMIT that an answer of so many rows has reached.
    pub fn reached_limit(&self, rows: u64) -> bool {
        self.limit.is_some_and(|limit| rows >= limit as u64)
    }
}

/// The plan with the keys of its ORDER BY as further columns at the end.
pub(crate) fn with_keys(plan: LogicalPlan) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Limit(limit) => Ok(LogicalPlan::Limit(Limit {
            input: Arc::new(with_keys(Arc::unwrap_or_clone(limit.input))?),
            ..limit
        })),
        LogicalPlan::Projection(projection) => {
            let input = with_keys(Arc::unwrap_or_clone(projection.input))?;
            let keys = input.schema().fields().iter().map(|field| field.name());
            let keys: Vec<Expr> = keys
                .filter(|name| name.starts_with(KEY_PREFIX))
                .map(|name| Expr::Column(Column::new_unqualified(name)))
                .collect();
            let expressions = projection.expr.into_iter().chain(keys).collect();
            Projection::try_new(expressions, Arc::new(input)).map(LogicalPlan::Projection)
        }
        LogicalPlan::Sort(sort) => {
            let columns = sort.input.schema().columns().into_iter().map(Expr::Column);
            let names = (0..sort.expr.len()).map(|key| format!("{KEY_PREFIX}{key}"));
            let names: Vec<String> = names.collect();
            let keys = sort.expr.iter().zip(&names);
            let keys: Vec<Expr> = keys
                .map(|(key, name)| key.expr.clone().alias(name))
                .collect();
            let input = LogicalPlanBuilder::new_from_arc(Arc::clone(&sort.input))
                .project(columns.chain(keys))?
                .build()?;
            let by_name = sort.expr.into_iter().zip(names).map(|(mut key, name)| {
                key.expr = Expr::Column(Column::new_unqualified(name));
                key
            });
            Ok(LogicalPlan::Sort(Sort {
                expr: by_name.collect(),
                input: Arc::new(input),
                fetch: sort.fetch,
            }))
        }
        other => Ok(other),
    }
}

fn is_null(expr: &Expr) -> bool {
    matches!(expr, Expr::Literal(value, _) if value.is_null())
}

fn number(expr: &Expr) -> Option<usize> {
    match expr {
        Expr::Literal(ScalarValue::Int64(Some(number)), _) => usize::try_from(*number).ok(),
        Expr::Literal(ScalarValue::UInt64(Some(number)), _) => usize::try_from(*number).ok(),
        Expr::Literal(value, _) if value.is_null() => Some(0),
        _ => None,
    }
}
