//! Guards against DataFusion 55.2 moving filters to the wrong column: below a join, its physical filter pushdown
//! remaps columns through one-input operators by name, and picks the first of two columns of one name; and its projection
//! pushdown takes a column of a filter's output for one of the filter's input if name and place are the same.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::filter_pushdown::FilterPushdown;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::HashJoinExec;

/// Without the early phase of that pushdown: the logical optimizer has moved these filters already, by qualified
/// names.
pub fn without_early_filter_pushdown(
    rules: &[Arc<dyn PhysicalOptimizerRule + Send + Sync>],
) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let early = FilterPushdown::new();
    rules
        .iter()
        .filter(|rule| rule.name() != early.name())
        .cloned()
        .collect()
}

/// A filter reads two columns of one name. Such a plan must get other names before it becomes a physical one.
///
/// # Errors
/// None of its own; the walk over the plan has a result.
pub fn endanger_filters(plan: &LogicalPlan) -> Result<bool> {
    plan.exists(|node| {
        let LogicalPlan::Filter(filter) = node else {
            return Ok(false);
        };
        let mut names = HashSet::new();
        let fields = filter.input.schema().fields();
        Ok(!fields.iter().all(|field| names.insert(field.name())))
    })
}

/// A join's run-time filter could reach the wrong column: a one-input operator below a join reads an input with two
/// columns of one name. Such a plan must be made without run-time filters.
pub fn endanger_join_filters(plan: &Arc<dyn ExecutionPlan>) -> bool {
    below(plan, Place::Above)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Above,
    BelowJoin,
}

fn below(plan: &Arc<dyn ExecutionPlan>, place: Place) -> bool {
    let children = plan.children();
    if let [child] = children.as_slice()
        && place == Place::BelowJoin
        && has_duplicates(child)
    {
        return true;
    }
    let place = if plan.is::<HashJoinExec>() {
        Place::BelowJoin
    } else {
        place
    };
    children.into_iter().any(|child| below(child, place))
}

fn has_duplicates(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let schema = plan.schema();
    let mut names = HashSet::new();
    !schema
        .fields()
        .iter()
        .all(|field| names.insert(field.name()))
}
