//! What operators above a leaf would like of it: fewer rows, an order, fewer columns, key look-ups. All hints may
//! be ignored. Positions refer to the output of the node the hints are given to.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::logical_expr::{Expr, LogicalPlan, SortExpr};
use owlet_connector::FieldPaths;

/// Wishes of the operators above a node.
#[derive(Debug, Clone, Default)]
pub struct Hints {
    /// At most this many rows are used (in the order of `ordering`, if any).
    pub limit: Option<u64>,
    /// Order in which `limit` counts.
    pub ordering: Vec<OrderHint>,
    /// Output columns that are used at all; `None`: all.
    pub needed: Option<Vec<usize>>,
    /// Output columns of which only these fields are used; others are used whole.
    pub fields: FieldPaths,
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
            needed: Some(columns_used(used.iter().copied(), input)),
            fields: fields_used(used.into_iter(), input.schema()),
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
        let expressions: Vec<&Expr> = expressions.collect();
        merge_fields(
            &mut hints.fields,
            expressions.iter().copied(),
            input.schema(),
        );
        if let Some(needed) = &mut hints.needed {
            needed.extend(columns_used(expressions.into_iter(), input));
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

/// The columns of which expressions use nothing but fields, with those fields.
pub fn fields_used<'a>(
    expressions: impl Iterator<Item = &'a Expr>,
    schema: &DFSchema,
) -> FieldPaths {
    let mut uses = Vec::new();
    for expression in expressions {
        collect_uses(expression, schema, &mut uses);
    }
    let mut fields = FieldPaths::new();
    for (position, path) in &uses {
        let Some(path) = path else { continue };
        let is_used_whole = uses
            .iter()
            .any(|(other, path)| other == position && path.is_none());
        if is_used_whole {
            continue;
        }
        let paths = fields.entry(*position).or_default();
        if !paths.contains(path) {
            paths.push(path.clone());
        }
    }
    fields
}

/// Adds what further expressions use to the fields that are used already: a column they use whole leaves the list.
pub fn merge_fields<'a>(
    fields: &mut FieldPaths,
    expressions: impl Iterator<Item = &'a Expr>,
    schema: &DFSchema,
) {
    let mut uses = Vec::new();
    for expression in expressions {
        collect_uses(expression, schema, &mut uses);
    }
    for (position, path) in uses {
        match (fields.get_mut(&position), path) {
            // Used whole already.
            (None, _) => {}
            (Some(_), None) => {
                fields.remove(&position);
            }
            (Some(paths), Some(path)) if !paths.contains(&path) => paths.push(path),
            (Some(_), Some(_)) => {}
        }
    }
}

/// Every use of a column in an expression: as a field with its path, or whole.
fn collect_uses(
    expression: &Expr,
    schema: &DFSchema,
    uses: &mut Vec<(usize, Option<Vec<String>>)>,
) {
    let found = expression.apply(|inner| {
        if let Some((column, path)) = field_path(inner) {
            if let Some(position) = schema.maybe_index_of_column(column) {
                uses.push((position, (!path.is_empty()).then_some(path)));
            }
            return Ok(TreeNodeRecursion::Jump);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    debug_assert!(found.is_ok(), "the visitor never fails");
}

/// A column, or a field of one by constant names: the column and the names.
fn field_path(expression: &Expr) -> Option<(&Column, Vec<String>)> {
    match expression {
        Expr::Column(column) => Some((column, Vec::new())),
        Expr::ScalarFunction(function) if function.func.name() == "get_field" => {
            let (base, names) = function.args.split_first()?;
            let (column, mut path) = field_path(base)?;
            for name in names {
                let Expr::Literal(ScalarValue::Utf8(Some(name)), _) = name else {
                    return None;
                };
                path.push(name.clone());
            }
            Some((column, path))
        }
        _ => None,
    }
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
