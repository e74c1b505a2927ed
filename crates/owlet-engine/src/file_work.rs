//! The work report's entries for file scans, read from DataFusion's metrics after the run.

use std::sync::Arc;

use datafusion::datasource::physical_plan::{FileGroup, FileScanConfig};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::MetricsSet;
use owlet_connector::SourceWork;
use owlet_object::{FileDisplay, TableName};

/// Files named in full before the rest is only counted.
const NAMED_FILES: usize = 3;

/// One entry for each file scan of a plan.
pub fn of(plan: &Arc<dyn ExecutionPlan>) -> Vec<SourceWork> {
    let mut found = Vec::new();
    collect(plan, &mut found);
    found
}

fn collect(plan: &Arc<dyn ExecutionPlan>, found: &mut Vec<SourceWork>) {
    if let Some(entry) = plan.downcast_ref::<DataSourceExec>().and_then(entry) {
        found.push(entry);
    }
    for child in plan.children() {
        collect(child, found);
    }
}

fn entry(exec: &DataSourceExec) -> Option<SourceWork> {
    let config =
        (exec.data_source().as_ref() as &dyn std::any::Any).downcast_ref::<FileScanConfig>()?;
    let mut unique: Vec<String> = config
        .file_groups
        .iter()
        .flat_map(FileGroup::files)
        .map(|file| match file.extension::<FileDisplay>() {
            Some(FileDisplay(address)) => address.clone(),
            None => file.object_meta.location.to_string(),
        })
        .collect();
    unique.sort_unstable();
    unique.dedup();
    let mut remote = unique
        .iter()
        .take(NAMED_FILES)
        .cloned()
        .collect::<Vec<_>>()
        .join(", ");
    if unique.len() > NAMED_FILES {
        remote.push_str(&format!(" and {} more", unique.len() - NAMED_FILES));
    }
    let metrics = exec.metrics().unwrap_or_default();
    let rows = metrics.output_rows().unwrap_or(0) as u64;
    let asked_as = config
        .file_groups
        .iter()
        .flat_map(FileGroup::files)
        .find_map(|file| file.extension::<TableName>())?;
    Some(SourceWork {
        catalog: asked_as.catalog.clone(),
        tables_of: Vec::new(),
        table: asked_as.table.clone(),
        access: match unique.len() {
            1 => "1 file".to_owned(),
            files => format!("{files} files"),
        },
        remote,
        requests: unique.len() as u64,
        rows_read: rows,
        nulled_values: 0,
        rows_returned: rows,
        bytes: sum(&metrics, "bytes_scanned"),
        rcu_estimated: None,
        rcu_consumed: None,
        ms: sum(&metrics, "time_elapsed_processing") as f64 / 1e6,
        as_of: None,
        as_of_until: None,
    })
}

fn sum(metrics: &MetricsSet, name: &str) -> u64 {
    metrics
        .sum_by_name(name)
        .map_or(0, |value| value.as_usize() as u64)
}
