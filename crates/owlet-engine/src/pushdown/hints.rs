//! What operators above a leaf would like of it: fewer rows, an order, fewer columns, key look-ups. All hints may
//! be ignored. Positions refer to the output of the node the hints are given to.

use arrow::datatypes::DataType;
use datafusion::common::Column;
use datafusion::logical_expr::{Expr, LogicalPlan, SortExpr};

/// Wishes of the operators above a node.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    /// At most this many rows are used (in the order of `ordering`, if any).
    pub limit: Option<u64>,
    /// Order in which `limit` counts.
    pub ordering: Vec<OrderHint>,
    /// Output columns that are used at all; `None`: all.
    pub needed: Option<Vec<usize>>,
    /// Output columns for which a join will deliver values.
    pub lookup: Vec<usize>,
    /// Expected number of rows on that join's other side.
    pub lookup_rows: Option<u64>,
}

/// One wished ordering key.
#[derive(Debug, Clone)]
pub struct OrderHint {
    /// Output column.
    pub column: usize,
    /// The DataFusion key it comes from (direction and NULL order).
    pub sort: SortExpr,
}

impl Hints {
    /// Hints that only say where a join will deliver values; limits do not pass a join.
    pub fn only_lookup(lookup: Vec<usize>, lookup_rows: Option<u64>) -> Self {
        Self {
            lookup,
            lookup_rows,
            ..Self::default()
        }
    }

    /// The hints for the input of a projection.
    pub fn through_projection(&self, expressions: &[Expr], input: &LogicalPlan) -> Self {
        let source = |position: usize| {
            expressions
                .get(position)
                .and_then(|expr| passed_through(expr, input))
        };
        let ordering: Option<Vec<OrderHint>> = self
            .ordering
            .iter()
            .map(|hint| {
                Some(OrderHint {
                    column: source(hint.column)?,
                    sort: hint.sort.clone(),
                })
            })
            .collect();
        let used: Vec<&Expr> = match &self.needed {
            None => expressions.iter().collect(),
            Some(needed) => needed
                .iter()
                .filter_map(|position| expressions.get(*position))
                .collect(),
        };
        Self {
            limit: if ordering.is_some() { self.limit } else { None },
            ordering: ordering.unwrap_or_default(),
            needed: Some(columns_used(used.into_iter(), input)),
            lookup: self
                .lookup
                .iter()
                .filter_map(|position| key_column(expressions.get(*position)?, input))
                .collect(),
            lookup_rows: self.lookup_rows,
        }
    }

    /// The hints for the input of an operator that keeps its input's columns but uses some of them itself.
    pub fn using<'a>(
        &self,
        expressions: impl Iterator<Item = &'a Expr>,
        input: &LogicalPlan,
    ) -> Self {
        let mut hints = self.clone();
        if let Some(needed) = &mut hints.needed {
            needed.extend(columns_used(expressions, input));
            needed.sort_unstable();
            needed.dedup();
        }
        hints
    }
}

/// Positions of the input's columns that expressions use.
pub fn columns_used<'a>(
    expressions: impl Iterator<Item = &'a Expr>,
    input: &LogicalPlan,
) -> Vec<usize> {
    let mut used: Vec<usize> = expressions
        .flat_map(|expr| {
            expr.column_refs()
                .into_iter()
                .cloned()
                .collect::<Vec<Column>>()
        })
        .filter_map(|column| input.schema().maybe_index_of_column(&column))
        .collect();
    used.sort_unstable();
    used.dedup();
    used
}

/// The input position of an expression that only passes a column through.
pub fn passed_through(expr: &Expr, input: &LogicalPlan) -> Option<usize> {
    match expr {
        Expr::Column(column) => input.schema().maybe_index_of_column(column),
        Expr::Alias(alias) => passed_through(&alias.expr, input),
        _ => None,
    }
}

/// The input position of the column a join key is made of: the column itself, or a wider integer made of it
/// (joins of different integer types compare the wider one).
pub fn key_column(expr: &Expr, input: &LogicalPlan) -> Option<usize> {
    match expr {
        Expr::Alias(alias) => key_column(&alias.expr, input),
        Expr::Cast(cast) => {
            let position = passed_through(&cast.expr, input)?;
            let from = input.schema().field(position).data_type();
            widens_integer(from, cast.field.data_type()).then_some(position)
        }
        other => passed_through(other, input),
    }
}

/// Every value of the integer type `from` is a value of `to`.
pub fn widens_integer(from: &DataType, to: &DataType) -> bool {
    let rank = |data_type: &DataType| match data_type {
        DataType::Int8 => Some(1),
        DataType::Int16 => Some(2),
        DataType::Int32 => Some(3),
        DataType::Int64 => Some(4),
        _ => None,
    };
    matches!((rank(from), rank(to)), (Some(from), Some(to)) if from <= to)
}
