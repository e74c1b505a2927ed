//! Guards against DataFusion 55.2 losing NaN: its aggregation that keeps only the first groups of an ordering looks
//! a group up by `=`, which no NaN passes.

use datafusion::arrow::datatypes::DataType;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable, LogicalPlan};

/// Groups by floating-point numbers, or the greatest or least of such numbers: the plan must be made without that
/// aggregation.
pub fn hold_floats(plan: &LogicalPlan) -> bool {
    let mut found = false;
    // The visitor itself never fails.
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Aggregate(aggregate) = node {
            found |= has_floats(aggregate);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    found
}

fn has_floats(aggregate: &Aggregate) -> bool {
    let schema = aggregate.input.schema();
    let expressions = aggregate.group_expr.iter().chain(&aggregate.aggr_expr);
    expressions
        .filter_map(|expression: &Expr| expression.get_type(schema).ok())
        .any(|data_type| {
            matches!(
                data_type,
                DataType::Float16 | DataType::Float32 | DataType::Float64
            )
        })
}
