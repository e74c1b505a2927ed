//! Correlated subqueries of a select list are computed after LIMIT, for the rows that are left. Must never know how they
//! are computed.

use std::sync::Arc;

use datafusion_common::Result;
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_expr::{Expr, Limit, LogicalPlan, LogicalPlanBuilder, Projection};

use super::has_correlated_subquery;
use super::shape::contains_subquery;

/// Puts a limit below the projections that it has, if one of them has a correlated subquery; with the ordering, which
/// stays above, too: joins do not keep it.
pub(super) fn rewrite(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Limit(limit) = &plan else {
        return Ok(Transformed::no(plan));
    };
    let (above, rest) = steps(&limit.input);
    let LogicalPlan::Sort(sort) = rest else {
        if !computes_subqueries(&above)? {
            return Ok(Transformed::no(plan));
        }
        let limited = with_input(limit, rest.clone());
        return Ok(Transformed::yes(over(&above, limited)?));
    };
    let (below, source) = steps(&sort.input);
    if sort.fetch.is_some() || !(computes_subqueries(&above)? || computes_subqueries(&below)?) {
        return Ok(Transformed::no(plan));
    }
    let mut keys = sort.expr.clone();
    for step in &below {
        for key in &mut keys {
            let Some(expr) = through(key.expr.clone(), step)? else {
                return Ok(Transformed::no(plan));
            };
            *key = key.with_expr(expr);
        }
    }
    let sorted = LogicalPlanBuilder::from(source.clone())
        .sort(keys)?
        .build()?;
    let mut ordered = sort.clone();
    ordered.input = Arc::new(over(&below, with_input(limit, sorted))?);
    Ok(Transformed::yes(over(&above, LogicalPlan::Sort(ordered))?))
}

fn with_input(limit: &Limit, input: LogicalPlan) -> LogicalPlan {
    let mut limit = limit.clone();
    limit.input = Arc::new(input);
    LogicalPlan::Limit(limit)
}

/// The steps, the first on top, over a plan with the columns of their input.
fn over(steps: &[&LogicalPlan], input: LogicalPlan) -> Result<LogicalPlan> {
    steps
        .iter()
        .rev()
        .try_fold(input, |input, step| match step {
            LogicalPlan::Projection(projection) => {
                let projection = Projection::try_new_with_schema(
                    projection.expr.clone(),
                    Arc::new(input),
                    Arc::clone(&projection.schema),
                )?;
                Ok(LogicalPlan::Projection(projection))
            }
            other => other.with_new_exprs(other.expressions(), vec![input]),
        })
}

/// The projections and renamings on top of a plan, from the top, and what is below them.
fn steps(plan: &LogicalPlan) -> (Vec<&LogicalPlan>, &LogicalPlan) {
    let mut found = Vec::new();
    let mut rest = plan;
    loop {
        let input = match rest {
            LogicalPlan::Projection(projection) => &projection.input,
            LogicalPlan::SubqueryAlias(alias) => &alias.input,
            _ => return (found, rest),
        };
        found.push(rest);
        rest = input;
    }
}

fn computes_subqueries(steps: &[&LogicalPlan]) -> Result<bool> {
    for expr in steps.iter().flat_map(|step| step.expressions()) {
        if has_correlated_subquery(&expr)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A sort key over what the step is computed of; `None` if that takes a subquery.
fn through(key: Expr, step: &LogicalPlan) -> Result<Option<Expr>> {
    let values = match step {
        LogicalPlan::Projection(projection) => projection.expr.clone(),
        LogicalPlan::SubqueryAlias(alias) => {
            let columns = alias.input.schema().columns();
            columns.into_iter().map(Expr::Column).collect()
        }
        _ => return Ok(None),
    };
    let mut is_late = false;
    let replaced = key.transform_up(|inner| {
        let Expr::Column(column) = &inner else {
            return Ok(Transformed::no(inner));
        };
        let index = step.schema().index_of_column(column)?;
        let value = values[index].clone().unalias();
        if contains_subquery(&value)? || value.is_volatile() {
            is_late = true;
            return Ok(Transformed::new(inner, false, TreeNodeRecursion::Stop));
        }
        Ok(Transformed::yes(value))
    })?;
    Ok((!is_late).then_some(replaced.data))
}
