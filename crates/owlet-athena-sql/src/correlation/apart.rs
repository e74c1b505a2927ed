//! Only projections and filters can have correlated subqueries: those of aggregates, groups and sort keys are computed by
//! a projection below, those of an inner join's condition are asked above it. Must never know how they are computed.

use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{JoinType, Result};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::utils::{conjunction, split_conjunction_owned};
use datafusion_expr::{Expr, Join, LogicalPlan, LogicalPlanBuilder};

use super::shape::{column, contains_subquery};
use super::{has_correlated_subquery, is_correlated};
use crate::names;

/// Puts a projection under an aggregate, a window or a sort, and a filter over a join.
pub(super) fn rewrite(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    if let LogicalPlan::Join(join) = plan {
        return rewrite_join(join);
    }
    let is_of_these = matches!(
        plan,
        LogicalPlan::Aggregate(_) | LogicalPlan::Window(_) | LogicalPlan::Sort(_)
    );
    let mut has_any = false;
    for expr in plan.expressions() {
        has_any |= has_correlated_subquery(&expr)?;
    }
    if !is_of_these || !has_any {
        return Ok(Transformed::no(plan));
    }
    let Some(input) = plan.inputs().first().map(|input| (*input).clone()) else {
        return Ok(Transformed::no(plan));
    };
    let outputs = plan.schema().columns();
    let names = NamePreserver::new(&plan);
    let mut computed = Vec::new();
    let exprs = plan
        .expressions()
        .into_iter()
        .map(|expr| {
            let name = names.save(&expr);
            let replaced = expr.transform_up(|inner| {
                if !matches!(&inner, Expr::ScalarSubquery(subquery) if is_correlated(subquery)) {
                    return Ok(Transformed::no(inner));
                }
                let known = computed.iter().position(|known| *known == inner);
                let index = known.unwrap_or(computed.len());
                if known.is_none() {
                    computed.push(inner);
                }
                Ok(Transformed::yes(column(name_of(index))))
            })?;
            Ok(name.restore(replaced.data))
        })
        .collect::<Result<Vec<_>>>()?;
    let input = with_computed(input, computed)?;
    let rewritten = plan.with_new_exprs(exprs, vec![input])?;
    if rewritten.schema().fields().len() == outputs.len() {
        return Ok(Transformed::yes(rewritten));
    }
    // Windows and sorts show the columns of their input.
    let rewritten = LogicalPlanBuilder::from(rewritten)
        .project(outputs.into_iter().map(Expr::Column))?
        .build()?;
    Ok(Transformed::yes(rewritten))
}

fn rewrite_join(mut join: Join) -> Result<Transformed<LogicalPlan>> {
    let conditions = match (&join.filter, join.join_type) {
        (Some(filter), JoinType::Inner) => split_conjunction_owned(filter.clone()),
        _ => return Ok(Transformed::no(LogicalPlan::Join(join))),
    };
    let (mut asked_above, mut kept) = (Vec::new(), Vec::new());
    for condition in conditions {
        match contains_subquery(&condition)? {
            true => asked_above.push(condition),
            false => kept.push(condition),
        }
    }
    let Some(above) = conjunction(asked_above) else {
        return Ok(Transformed::no(LogicalPlan::Join(join)));
    };
    join.filter = conjunction(kept);
    let rewritten = LogicalPlanBuilder::from(LogicalPlan::Join(join))
        .filter(above)?
        .build()?;
    Ok(Transformed::yes(rewritten))
}

/// The input with the subqueries' values as further columns. What a sort key refers to may be below the select list.
fn with_computed(input: LogicalPlan, computed: Vec<Expr>) -> Result<LogicalPlan> {
    let are_there = |plan: &LogicalPlan| {
        computed.iter().all(|expr| match expr {
            Expr::ScalarSubquery(subquery) => subquery.outer_ref_columns.iter().all(|reference| {
                matches!(reference, Expr::OuterReferenceColumn(_, outer) if plan.schema().has_column(outer))
            }),
            _ => false,
        })
    };
    let (mut columns, below): (Vec<Expr>, &LogicalPlan) = match &input {
        LogicalPlan::Projection(select) if !are_there(&input) && are_there(&select.input) => {
            (select.expr.clone(), &select.input)
        }
        _ => {
            let columns = input.schema().columns();
            (columns.into_iter().map(Expr::Column).collect(), &input)
        }
    };
    let below = below.clone();
    for (index, subquery) in computed.into_iter().enumerate() {
        columns.push(subquery.alias(name_of(index)));
    }
    LogicalPlanBuilder::from(below).project(columns)?.build()
}

fn name_of(index: usize) -> String {
    names::of_subquery("value", index)
}
