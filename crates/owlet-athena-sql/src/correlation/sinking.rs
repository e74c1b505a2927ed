//! Optimizer rule: a condition on rows of the outer query is asked before these are numbered and joined, so that a source
//! can be asked it. DataFusion does not move conditions below a numbering, because it cannot know that the numbers only
//! have to differ. Must never know where the conditions go from there.

use std::sync::Arc;

use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Column, JoinType, Result};
use datafusion_expr::utils::{conjunction, split_conjunction};
use datafusion_expr::{Aggregate, Expr, Filter, LogicalPlan, Projection, SubqueryAlias, Window};

use super::shape::contains_subquery;
use crate::names::is_of_subquery;

/// Moves the conditions.
#[derive(Debug)]
pub(crate) struct EarlyConditions;

impl OptimizerRule for EarlyConditions {
    fn name(&self) -> &str {
        "conditions_before_numbering"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        _config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Filter(filter) = plan else {
            return Ok(Transformed::no(plan));
        };
        let mut input = filter.input.as_ref().clone();
        let mut rest = Vec::new();
        let mut has_moved = false;
        for condition in split_conjunction(&filter.predicate) {
            let is_movable = !condition.is_volatile() && !contains_subquery(condition)?;
            match is_movable.then(|| sink(condition, &input)).transpose()? {
                Some(Some(with_condition)) => {
                    input = with_condition;
                    has_moved = true;
                }
                _ => rest.push(condition.clone()),
            }
        }
        if !has_moved {
            return Ok(Transformed::no(LogicalPlan::Filter(filter)));
        }
        let plan = match conjunction(rest) {
            Some(predicate) => LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(input))?),
            None => input,
        };
        Ok(Transformed::yes(plan))
    }
}

/// The plan with a condition on its rows below a numbering; `None` if there is none, or it cannot go there.
fn sink(condition: &Expr, plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let Some(condition) = over(condition, plan, &projection.expr)? else {
                return Ok(None);
            };
            sink(&condition, &projection.input)?
                .map(|input| {
                    let projection = Projection::try_new_with_schema(
                        projection.expr.clone(),
                        Arc::new(input),
                        Arc::clone(&projection.schema),
                    )?;
                    Ok(LogicalPlan::Projection(projection))
                })
                .transpose()
        }
        LogicalPlan::SubqueryAlias(alias) => {
            let columns: Vec<Expr> = alias
                .input
                .schema()
                .columns()
                .into_iter()
                .map(Expr::Column)
                .collect();
            let Some(condition) = over(condition, plan, &columns)? else {
                return Ok(None);
            };
            sink(&condition, &alias.input)?
                .map(|input| {
                    let alias = SubqueryAlias::try_new(Arc::new(input), alias.alias.clone())?;
                    Ok(LogicalPlan::SubqueryAlias(alias))
                })
                .transpose()
        }
        LogicalPlan::Filter(filter) => sink(condition, &filter.input)?
            .map(|input| {
                let filter = Filter::try_new(filter.predicate.clone(), Arc::new(input))?;
                Ok(LogicalPlan::Filter(filter))
            })
            .transpose(),
        LogicalPlan::Window(window) if is_numbering(window) => sink_below(condition, window),
        LogicalPlan::Join(join)
            if matches!(join.join_type, JoinType::Left | JoinType::Inner)
                && refers_only_to(condition, &join.left) =>
        {
            // The other side is a subquery's, if the left one is numbered.
            match join.left.as_ref() {
                LogicalPlan::Window(window) if is_numbering(window) => {}
                _ => return Ok(None),
            }
            Ok(sink(condition, &join.left)?.map(|left| {
                let mut join = join.clone();
                join.left = Arc::new(left);
                LogicalPlan::Join(join)
            }))
        }
        LogicalPlan::Aggregate(aggregate) => sink_below_total(condition, aggregate),
        _ => Ok(None),
    }
}

fn sink_below(condition: &Expr, window: &Window) -> Result<Option<LogicalPlan>> {
    if !refers_only_to(condition, &window.input) {
        return Ok(None);
    }
    let input = match sink(condition, &window.input)? {
        Some(input) => input,
        // The lowest numbering is that of the outer query's rows.
        None if numbers_the_outer_rows(window) => {
            let input = Arc::clone(&window.input);
            LogicalPlan::Filter(Filter::try_new(condition.clone(), input)?)
        }
        None => return Ok(None),
    };
    let window = Window::try_new(window.window_expr.clone(), Arc::new(input))?;
    Ok(Some(LogicalPlan::Window(window)))
}

/// The groups are rows of the outer query, whose columns are carried along by `first_value`.
fn sink_below_total(condition: &Expr, aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
    let [Expr::Column(group)] = aggregate.group_expr.as_slice() else {
        return Ok(None);
    };
    if !is_of_subquery(&group.name) {
        return Ok(None);
    }
    let outputs: Vec<Expr> = std::iter::once(Expr::Column(group.clone()))
        .chain(aggregate.aggr_expr.iter().map(carried))
        .collect();
    let plan = LogicalPlan::Aggregate(aggregate.clone());
    let Some(condition) = over(condition, &plan, &outputs)? else {
        return Ok(None);
    };
    sink(&condition, &aggregate.input)?
        .map(|input| {
            let aggregate = Aggregate::try_new(
                Arc::new(input),
                aggregate.group_expr.clone(),
                aggregate.aggr_expr.clone(),
            )?;
            Ok(LogicalPlan::Aggregate(aggregate))
        })
        .transpose()
}

/// The column that an aggregate carries; the aggregate itself if it is another.
fn carried(aggregate: &Expr) -> Expr {
    match aggregate.clone().unalias() {
        Expr::AggregateFunction(call)
            if call.func.name() == "first_value" && call.params.filter.is_none() =>
        {
            match call.params.args.as_slice() {
                [column @ Expr::Column(_)] => column.clone(),
                _ => aggregate.clone(),
            }
        }
        _ => aggregate.clone(),
    }
}

/// The condition over what a node's columns are computed of; `None` if that is more than values of its input's rows.
fn over(condition: &Expr, node: &LogicalPlan, outputs: &[Expr]) -> Result<Option<Expr>> {
    let mut is_possible = true;
    let replaced = condition.clone().transform_up(|inner| {
        let Expr::Column(column) = &inner else {
            return Ok(Transformed::no(inner));
        };
        let value = outputs[node.schema().index_of_column(column)?]
            .clone()
            .unalias();
        let is_value = !value.is_volatile()
            && !contains_subquery(&value)?
            && !value.exists(|part| {
                Ok(matches!(
                    part,
                    Expr::AggregateFunction(_) | Expr::WindowFunction(_)
                ))
            })?;
        is_possible &= is_value;
        Ok(Transformed::yes(value))
    })?;
    Ok(is_possible.then_some(replaced.data))
}

fn refers_only_to(condition: &Expr, plan: &LogicalPlan) -> bool {
    condition
        .column_refs()
        .into_iter()
        .all(|column: &Column| plan.schema().has_column(column))
}

fn is_numbering(window: &Window) -> bool {
    window
        .window_expr
        .iter()
        .all(|expr| matches!(expr, Expr::Alias(alias) if is_of_subquery(&alias.name)))
}

fn numbers_the_outer_rows(window: &Window) -> bool {
    window.window_expr.iter().all(|expr| {
        matches!(
            expr.clone().unalias(),
            Expr::WindowFunction(function) if function.params.partition_by.is_empty()
        )
    })
}
