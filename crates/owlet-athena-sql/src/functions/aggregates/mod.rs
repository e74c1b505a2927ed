//! Athena's aggregate functions. They must never know tables.

use datafusion_expr::AggregateUDF;

mod totals;

/// All of them.
pub(crate) fn functions() -> Vec<AggregateUDF> {
    totals::functions()
}
