//! The last step before a plan becomes operators, when sources have got their part of it: what DataFusion computes
//! differently is said so that it computes it as Athena does. It must never know sources.

use datafusion_common::Result;
use datafusion_expr::LogicalPlan;

use crate::{arithmetic, guards, intervals, zeros};

/// Prepares what is left for this process to compute. Call it on the optimized plan, after everything that wants to
/// recognise plain operators (pushdown) has run, just before physical planning.
///
/// Filters inside table scans stay as they are: their provider reads them, and what it does not apply exactly stands
/// above the scan as well.
pub fn prepare_execution(plan: LogicalPlan) -> Result<LogicalPlan> {
    let plan = guards::protect(plan)?;
    let plan = zeros::equalize(plan)?;
    let plan = intervals::canonicalize(plan)?;
    arithmetic::check(plan)
}
