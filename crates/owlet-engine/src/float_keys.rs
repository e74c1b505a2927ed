//! Guards against DataFusion's run-time filters of joins on floating-point keys: the join holds 0.0 and -0.0 equal, the
//! filter that it hands to its other side does not, so rows would be missing. Must never know sources.

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::{ExprSchemable, LogicalPlan};

/// A join compares floating-point numbers.
///
/// # Errors
/// The type of a key that cannot be told.
pub fn join_tables(plan: &LogicalPlan) -> Result<bool> {
    plan.exists(|node| {
        let LogicalPlan::Join(join) = node else {
            return Ok(false);
        };
        for (key, _) in &join.on {
            let data_type = key.get_type(join.left.schema())?;
            if matches!(data_type, DataType::Float32 | DataType::Float64) {
                return Ok(true);
            }
        }
        Ok(false)
    })
}
