//! `FROM t CROSS JOIN UNNEST(t.a, t.b) WITH ORDINALITY AS u(x, y, n)`: plans the join and the UNNEST as one, because
//! DataFusion cannot execute a join whose right side refers to its left. It must never know where arrays come from.

use std::sync::Arc;

use arrow::datatypes::{DataType, Fields};
use datafusion::functions::core::get_field;
use datafusion::functions_nested::expr_fn::{map_keys, map_values};
use datafusion_common::{
    Column, DFSchema, NullHandling, Result, TableReference, UnnestOptions, not_impl_err, plan_err,
};
use datafusion_expr::expr_rewriter::normalize_col;
use datafusion_expr::planner::{
    PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning,
};
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, lit};
use sqlparser::ast::{
    Expr as SqlExpr, Join, JoinConstraint, JoinOperator, TableAlias, TableFactor, TableWithJoins,
    Value, ValueWithSpan,
};

use crate::functions;
use crate::lateral;
use crate::names;
use crate::passes::relations::is_attached_join;
use crate::using;

/// Plans UNNEST in FROM, alone or joined to what stands left of it.
#[derive(Debug)]
pub(crate) struct UnnestPlanner;

/// What happens to left rows whose arrays are all empty or NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EmptyRows {
    Dropped,
    Kept,
}

#[derive(Debug)]
struct Unnest {
    arrays: Vec<SqlExpr>,
    with_ordinality: bool,
    alias: Option<TableAlias>,
    empty_rows: EmptyRows,
    condition: Option<SqlExpr>,
}

/// One array column to be unnested, and the output columns it becomes.
struct Part {
    list: Expr,
    element: Element,
}

enum Element {
    Value,
    Row(Fields),
}

impl RelationPlanner for UnnestPlanner {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        match relation {
            TableFactor::UNNEST {
                array_exprs,
                with_ordinality,
                alias,
                with_offset: false,
                ..
            } => {
                let unnest = Unnest {
                    arrays: array_exprs,
                    with_ordinality,
                    alias,
                    empty_rows: EmptyRows::Dropped,
                    condition: None,
                };
                let one_row = LogicalPlanBuilder::empty(true).build()?;
                planned(unnest_plan(one_row, unnest, context)?, None)
            }
            TableFactor::NestedJoin {
                table_with_joins,
                alias,
            } => {
                let TableWithJoins {
                    relation,
                    mut joins,
                } = *table_with_joins;
                let Some(join) = joins.pop_if(|join| is_attached_join(join)) else {
                    let table_with_joins = Box::new(TableWithJoins { relation, joins });
                    return Ok(RelationPlanning::Original(Box::new(
                        TableFactor::NestedJoin {
                            table_with_joins,
                            alias,
                        },
                    )));
                };
                let left = match joins.is_empty() {
                    true => relation,
                    false => TableFactor::NestedJoin {
                        table_with_joins: Box::new(TableWithJoins { relation, joins }),
                        alias: None,
                    },
                };
                let left = context.plan(left)?;
                let plan = match &join.relation {
                    TableFactor::UNNEST { .. } => unnest_plan(left, joined_unnest(join)?, context)?,
                    _ if using::names_columns(&join) => using::plan(left, join, context)?,
                    _ => lateral::plan(left, join, context)?,
                };
                planned(plan, alias)
            }
            other => Ok(RelationPlanning::Original(Box::new(other))),
        }
    }
}

fn planned(plan: LogicalPlan, alias: Option<TableAlias>) -> Result<RelationPlanning> {
    Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(
        plan, alias,
    ))))
}

fn joined_unnest(join: Join) -> Result<Unnest> {
    let TableFactor::UNNEST {
        array_exprs,
        with_ordinality,
        alias,
        ..
    } = join.relation
    else {
        return plan_err!("expected UNNEST");
    };
    let (empty_rows, condition) = match join.join_operator {
        JoinOperator::CrossJoin(JoinConstraint::None) => (EmptyRows::Dropped, None),
        JoinOperator::Join(JoinConstraint::On(condition))
        | JoinOperator::Inner(JoinConstraint::On(condition)) => {
            (EmptyRows::Dropped, Some(condition))
        }
        JoinOperator::Left(JoinConstraint::On(condition))
        | JoinOperator::LeftOuter(JoinConstraint::On(condition)) => {
            if !is_true(&condition) {
                return plan_err!("LEFT JOIN UNNEST takes no other condition than ON TRUE");
            }
            (EmptyRows::Kept, None)
        }
        _ => {
            return plan_err!(
                "UNNEST can be joined by CROSS JOIN, JOIN … ON and LEFT JOIN … ON TRUE"
            );
        }
    };
    let condition = condition.filter(|condition| !is_true(condition));
    Ok(Unnest {
        arrays: array_exprs,
        with_ordinality,
        alias,
        empty_rows,
        condition,
    })
}

pub(crate) fn is_true(condition: &SqlExpr) -> bool {
    match condition {
        SqlExpr::Value(ValueWithSpan {
            value: Value::Boolean(true),
            ..
        }) => true,
        SqlExpr::Nested(inner) => is_true(inner),
        _ => false,
    }
}

fn unnest_plan(
    left: LogicalPlan,
    unnest: Unnest,
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan> {
    let left_columns = left.schema().columns();
    let first_position = left_columns.len();
    let mut parts = Vec::with_capacity(unnest.arrays.len());
    for array in unnest.arrays {
        let array = normalize_col(context.sql_to_expr(array, left.schema())?, &left)?;
        let data_type = array.get_type(left.schema())?;
        parts.extend(parts_of(array, &data_type)?);
    }
    let mut lists: Vec<Expr> = parts.iter().map(|part| part.list.clone()).collect();
    if unnest.with_ordinality {
        lists.push(functions::arrays::ordinals(lists.clone()));
    }
    let list_names: Vec<String> = (0..lists.len())
        .map(|index| list_name(index, left.schema()))
        .collect();
    let named_lists = lists
        .into_iter()
        .zip(&list_names)
        .map(|(list, name)| list.alias(name));
    let inputs: Vec<Expr> = left_columns
        .iter()
        .cloned()
        .map(Expr::Column)
        .chain(named_lists)
        .collect();
    let null_handling = match unnest.empty_rows {
        EmptyRows::Dropped => NullHandling::Drop,
        EmptyRows::Kept => NullHandling::PreserveAndExpandEmpty,
    };
    let unnested: Vec<Column> = list_names.iter().map(Column::from_name).collect();
    let plan = LogicalPlanBuilder::from(left)
        .project(inputs)?
        .unnest_columns_with_options(
            unnested.clone(),
            UnnestOptions::new().with_null_handling(null_handling),
        )?
        .build()?;

    let mut values = Vec::new();
    for (part, column) in parts.iter().zip(&unnested) {
        let value = Expr::Column(column.clone());
        match &part.element {
            Element::Value => values.push((value, None)),
            Element::Row(fields) => values.extend(fields.iter().map(|field| {
                (
                    get_field().call(vec![value.clone(), lit(field.name().as_str())]),
                    Some(field.name().clone()),
                )
            })),
        }
    }
    if unnest.with_ordinality {
        values.extend(
            unnested
                .last()
                .map(|column| (Expr::Column(column.clone()), None)),
        );
    }
    let (qualifier, column_names) = output_names(unnest.alias, context);
    if !column_names.is_empty() && column_names.len() != values.len() {
        return plan_err!(
            "UNNEST gives {} columns but its alias names {}: {}",
            values.len(),
            column_names.len(),
            column_names.join(", ")
        );
    }
    let named_values = values
        .into_iter()
        .enumerate()
        .map(|(index, (value, own_name))| {
            let name = column_names
                .get(index)
                .cloned()
                .or(own_name)
                .unwrap_or_else(|| names::unnamed_unnest(first_position + index));
            value.alias_qualified(qualifier.clone(), name)
        });
    let outputs: Vec<Expr> = left_columns
        .into_iter()
        .map(Expr::Column)
        .chain(named_values)
        .collect();
    let plan = LogicalPlanBuilder::from(plan).project(outputs)?.build()?;
    match unnest.condition {
        None => Ok(plan),
        Some(condition) => {
            let condition = normalize_col(context.sql_to_expr(condition, plan.schema())?, &plan)?;
            LogicalPlanBuilder::from(plan).filter(condition)?.build()
        }
    }
}

fn parts_of(array: Expr, data_type: &DataType) -> Result<Vec<Part>> {
    match data_type {
        DataType::List(field) | DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
            let element = match field.data_type() {
                DataType::Struct(fields) => Element::Row(fields.clone()),
                _ => Element::Value,
            };
            Ok(vec![Part {
                list: array,
                element,
            }])
        }
        DataType::Map(..) => Ok(vec![
            Part {
                list: map_keys(array.clone()),
                element: Element::Value,
            },
            Part {
                list: map_values(array),
                element: Element::Value,
            },
        ]),
        DataType::Null => not_impl_err!("UNNEST of NULL: give it a type, CAST(NULL AS ARRAY(…))"),
        other => plan_err!("UNNEST takes arrays and maps, not {other}"),
    }
}

/// A name for an array column that no column of the left side has.
fn list_name(index: usize, schema: &DFSchema) -> String {
    let mut name = format!("owlet_unnest_{index}");
    while schema.has_column_with_unqualified_name(&name) {
        name.push('_');
    }
    name
}

fn output_names(
    alias: Option<TableAlias>,
    context: &dyn RelationPlannerContext,
) -> (Option<TableReference>, Vec<String>) {
    let Some(alias) = alias else {
        return (None, Vec::new());
    };
    let columns = alias
        .columns
        .into_iter()
        .map(|column| context.normalize_ident(column.name))
        .collect();
    (
        Some(TableReference::bare(context.normalize_ident(alias.name))),
        columns,
    )
}

/// The planner, for the session's builder.
pub(crate) fn planner() -> Arc<dyn RelationPlanner> {
    Arc::new(UnnestPlanner)
}
