//! Finds joins that would need more memory than there is: a hash join keeps one of its sides, and cannot spill. A join
//! of sorted sides can. Must never know sources.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::Statistics;
use datafusion::common::stats::Precision;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::HashJoinExec;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};

use crate::scan::exec::ScanExec;

/// Part of the memory that the kept sides may take by estimate; the rest is for their hash tables and for what else the
/// query does.
const SHARE: f64 = 0.5;
/// Bytes taken for a value whose width nobody knows.
const UNKNOWN_WIDTH: usize = 32;

/// The sides that the plan's hash joins keep do not fit in this memory (bytes) by what the sources tell of their tables.
/// False where they tell nothing, where a key's type is one that sorting holds for another value than hashing does, and
/// where a scan looks up what a join keeps: sorted sides hand over no keys, and the source would be read whole.
pub fn exceed(plan: &Arc<dyn ExecutionPlan>, memory: u64) -> bool {
    if looks_up_keys(plan) {
        return false;
    }
    let mut joins = Vec::new();
    collect(plan, &mut joins);
    if !joins.iter().all(|join| has_plain_keys(join)) {
        return false;
    }
    let kept: f64 = joins.iter().filter_map(|join| kept_bytes(join)).sum();
    kept > memory as f64 * SHARE
}

fn collect<'plan>(plan: &'plan Arc<dyn ExecutionPlan>, joins: &mut Vec<&'plan HashJoinExec>) {
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        joins.push(join);
    }
    for child in plan.children() {
        collect(child, joins);
    }
}

fn looks_up_keys(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let is_fed = plan
        .downcast_ref::<ScanExec>()
        .is_some_and(|scan| scan.scan().rows_without_keys.is_some());
    is_fed || plan.children().into_iter().any(looks_up_keys)
}

/// Floating-point numbers have two zeros, nested values NULLs inside.
fn has_plain_keys(join: &HashJoinExec) -> bool {
    let schema = join.left().schema();
    join.on().iter().all(|(key, _)| {
        key.data_type(&schema).is_ok_and(|data_type| {
            !data_type.is_nested() && !data_type.is_floating() && !data_type.is_null()
        })
    })
}

fn kept_bytes(join: &HashJoinExec) -> Option<f64> {
    let kept = join.left();
    let statistics = StatisticsContext::new()
        .compute(kept.as_ref(), &StatisticsArgs::new())
        .ok()?;
    bytes(&statistics, &kept.schema())
}

fn bytes(statistics: &Statistics, schema: &Schema) -> Option<f64> {
    let told = match statistics.total_byte_size {
        Precision::Exact(bytes) | Precision::Inexact(bytes) => Some(bytes as f64),
        Precision::Absent => None,
    };
    let rows = match statistics.num_rows {
        Precision::Exact(rows) | Precision::Inexact(rows) => Some(rows as f64),
        Precision::Absent => None,
    };
    let width: usize = schema
        .fields()
        .iter()
        .map(|field| width(field.data_type()))
        .sum();
    told.or(rows.map(|rows| rows * width as f64))
}

fn width(data_type: &DataType) -> usize {
    data_type.primitive_width().unwrap_or(UNKNOWN_WIDTH)
}
