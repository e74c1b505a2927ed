//! `a FULL JOIN b USING (id)`: the result has the joined columns once and first, each with the value of the side that
//! has one. DataFusion would show the left side's. It must never know where the columns come from.

use datafusion::functions::core::expr_fn::coalesce;
use datafusion_common::{Column, JoinType, NullEquality, Result, TableReference, plan_err};
use datafusion_expr::planner::RelationPlannerContext;
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use sqlparser::ast::{Join, JoinConstraint, JoinOperator};

/// Qualifier of columns that belong to both sides, before that of the left one.
const BOTH: &str = "owlet_using";

/// True for joins that [`plan`] plans.
pub(crate) fn names_columns(join: &Join) -> bool {
    join_type(&join.join_operator).is_some()
}

fn join_type(operator: &JoinOperator) -> Option<(JoinType, &JoinConstraint)> {
    let (join_type, constraint) = match operator {
        JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => {
            (JoinType::Inner, constraint)
        }
        JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => {
            (JoinType::Left, constraint)
        }
        JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => {
            (JoinType::Right, constraint)
        }
        JoinOperator::FullOuter(constraint) => (JoinType::Full, constraint),
        _ => return None,
    };
    match constraint {
        JoinConstraint::Using(_) | JoinConstraint::Natural => Some((join_type, constraint)),
        JoinConstraint::On(_) | JoinConstraint::None => None,
    }
}

/// The join of what stands left of it with its relation.
pub(crate) fn plan(
    left: LogicalPlan,
    join: Join,
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan> {
    let Some((join_type, constraint)) = join_type(&join.join_operator) else {
        return plan_err!("expected a join with USING");
    };
    let right = context.plan(join.relation.clone())?;
    let names = match constraint {
        JoinConstraint::Using(names) => names
            .iter()
            .map(|name| match name.0.as_slice() {
                [part] if part.as_ident().is_some() => Ok(part.as_ident().cloned()),
                _ => plan_err!("USING takes names of columns, not {name}"),
            })
            .filter_map(Result::transpose)
            .map(|name| Ok(context.normalize_ident(name?)))
            .collect::<Result<Vec<_>>>()?,
        _ => common_names(&left, &right),
    };
    let left_keys = keys(&left, &names, "left")?;
    let right_keys = keys(&right, &names, "right")?;
    let shared = left_keys
        .iter()
        .zip(&right_keys)
        .map(|(left, right)| match join_type {
            JoinType::Right => Expr::Column(right.clone()),
            JoinType::Full => both(left, right),
            _ => Expr::Column(left.clone()),
        });
    let others = |plan: &LogicalPlan, keys: &[Column]| {
        let columns = plan.schema().columns().into_iter();
        columns
            .filter(|column| !keys.contains(column))
            .map(Expr::Column)
            .collect::<Vec<_>>()
    };
    let columns: Vec<Expr> = shared
        .chain(others(&left, &left_keys))
        .chain(others(&right, &right_keys))
        .collect();
    LogicalPlanBuilder::from(left)
        .join_detailed(
            right,
            join_type,
            (left_keys, right_keys),
            None,
            NullEquality::NullEqualsNothing,
        )?
        .project(columns)?
        .build()
}

fn both(left: &Column, right: &Column) -> Expr {
    let qualifier = match &left.relation {
        Some(relation) => format!("{BOTH} {}", relation.table()),
        None => BOTH.to_owned(),
    };
    coalesce(vec![
        Expr::Column(left.clone()),
        Expr::Column(right.clone()),
    ])
    .alias_qualified(Some(TableReference::bare(qualifier)), left.name.clone())
}

fn common_names(left: &LogicalPlan, right: &LogicalPlan) -> Vec<String> {
    let names = left.schema().fields().iter().map(|field| field.name());
    names
        .filter(|name| right.schema().has_column_with_unqualified_name(name))
        .cloned()
        .collect()
}

fn keys(plan: &LogicalPlan, names: &[String], side: &str) -> Result<Vec<Column>> {
    names
        .iter()
        .map(|name| {
            let schema = plan.schema();
            match schema.qualified_fields_with_unqualified_name(name).as_slice() {
                [(qualifier, field)] => Ok(Column::new(qualifier.cloned(), field.name())),
                [] => plan_err!("USING ({name}): the {side} side of the join has no such column"),
                _ => plan_err!(
                    "USING ({name}): the {side} side of the join has several such columns; write ON with their tables"
                ),
            }
        })
        .collect()
}
