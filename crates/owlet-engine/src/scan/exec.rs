//! The physical leaf: opens the splits of a planned scan lazily, shares them among its partitions, and waits for
//! join-made filters before the first split is opened.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ColumnStatistics, DataFusionError, Result, Statistics, internal_err};
use datafusion::config::ConfigOptions;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::DynamicFilterPhysicalExpr;
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType, SchedulingType};
use datafusion::physical_plan::filter_pushdown::{
    ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation, PushedDown,
};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties,
};
use futures::{StreamExt, TryStreamExt};
use owlet_connector::{ConnectorError, Expression, ScanContext, ScanDescription, WorkRecorder};

use crate::pushdown::translate::is_text;
use crate::scan::node::{JoinFed, PlannedScan};
use crate::scan::{QueryRun, dynamic_filter};

/// A join that has not delivered its filter by then is not waited for any longer; reading without it is right,
/// only slower.
const DYNAMIC_FILTER_PATIENCE: Duration = Duration::from_secs(120);

/// Reads one planned scan.
#[derive(Debug, Clone)]
pub struct ScanExec {
    scan: Arc<PlannedScan>,
    schema: SchemaRef,
    run: QueryRun,
    recorder: Arc<WorkRecorder>,
    dynamic_filters: Vec<Arc<dyn PhysicalExpr>>,
    next_split: Arc<AtomicUsize>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl ScanExec {
    /// A leaf with this output schema (the plan's columns in order, possibly under other names).
    pub fn new(
        scan: Arc<PlannedScan>,
        schema: SchemaRef,
        run: QueryRun,
        target_partitions: usize,
    ) -> Self {
        let partitions = scan.plan.splits.len().clamp(1, target_partitions.max(1));
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        )
        .with_scheduling_type(SchedulingType::Cooperative);
        let recorder = run.work.recorder(ScanDescription {
            catalog: scan.catalog.clone(),
            tables_of: scan.owners.unlike(&scan.catalog),
            table: scan.plan.table.clone(),
            access: scan.plan.access.clone(),
            remote: scan.plan.remote.clone(),
            rcu_estimated: scan.plan.estimate.rcu,
        });
        Self {
            scan,
            schema,
            run,
            recorder,
            dynamic_filters: Vec::new(),
            next_split: Arc::new(AtomicUsize::new(0)),
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// The scan this leaf reads.
    pub fn scan(&self) -> &Arc<PlannedScan> {
        &self.scan
    }

    fn statistics(&self) -> Statistics {
        let planned = &self.scan.plan.estimate;
        let without_keys = self.scan.rows_without_keys.unwrap_or_default();
        let (rows, bytes) = match planned.rows_returned {
            Some(rows) if rows < without_keys => {
                let width = planned.bytes.map(|bytes| bytes / rows.max(1.0));
                (Some(without_keys), width.map(|width| width * without_keys))
            }
            rows => (rows, planned.bytes),
        };
        let rows = estimated(rows);
        let column_statistics = (0..self.schema.fields().len())
            .map(|column| match self.scan.columns.get(column) {
                Some(known) => column_statistics(known, &rows),
                None => ColumnStatistics::new_unknown(),
            })
            .collect();
        Statistics {
            num_rows: rows,
            total_byte_size: estimated(bytes),
            column_statistics,
        }
    }
}

fn estimated(value: Option<f64>) -> Precision<usize> {
    match value {
        Some(value) if value.is_finite() && value >= 0.0 => {
            Precision::Inexact(value.round() as usize)
        }
        _ => Precision::Absent,
    }
}

/// The source's column statistics as DataFusion's; a filtered scan has no more distinct values than rows.
fn column_statistics(
    known: &owlet_connector::ColumnStatistics,
    rows: &Precision<usize>,
) -> ColumnStatistics {
    let distinct = known.distinct.map(|distinct| {
        let distinct = distinct as usize;
        rows.get_value()
            .map_or(distinct, |rows| distinct.min(*rows))
    });
    let nulls = match (known.null_fraction, rows.get_value()) {
        (Some(fraction), Some(rows)) => {
            Precision::Inexact((fraction * *rows as f64).round() as usize)
        }
        _ => Precision::Absent,
    };
    ColumnStatistics::new_unknown()
        .with_distinct_count(distinct.map_or(Precision::Absent, Precision::Inexact))
        .with_null_count(nulls)
}

impl DisplayAs for ScanExec {
    fn fmt_as(&self, _format: DisplayFormatType, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(
            formatter,
            "ScanExec: {} {}",
            self.scan.catalog, self.scan.plan.remote
        )
    }
}

impl ExecutionPlan for ScanExec {
    fn name(&self) -> &str {
        "ScanExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        for filter in &self.dynamic_filters {
            if visit(filter)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if !children.is_empty() {
            return internal_err!("a scan has no inputs");
        }
        Ok(self)
    }

    fn reset_state(self: Arc<Self>) -> Result<Arc<dyn ExecutionPlan>> {
        let mut fresh = self.as_ref().clone();
        fresh.next_split = Arc::new(AtomicUsize::new(0));
        fresh.dynamic_filters = Vec::new();
        Ok(Arc::new(fresh))
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        arguments: &StatisticsArgs,
    ) -> Result<Arc<Statistics>> {
        Ok(Arc::new(match arguments.partition() {
            None => self.statistics(),
            Some(_) => Statistics::new_unknown(&self.schema),
        }))
    }

    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        result: ChildPushdownResult,
        _config: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        // Every parent keeps checking its filter ("No"); dynamic ones are remembered to save work.
        let kept = vec![PushedDown::No; result.parent_filters.len()];
        let propagation = FilterPushdownPropagation::with_parent_pushdown_result(kept);
        if phase != FilterPushdownPhase::Post || self.scan.join_fed == JoinFed::No {
            return Ok(propagation);
        }
        let dynamic: Vec<_> = result
            .parent_filters
            .into_iter()
            .map(|parent| parent.filter)
            .filter(|filter| filter.downcast_ref::<DynamicFilterPhysicalExpr>().is_some())
            .collect();
        if dynamic.is_empty() {
            return Ok(propagation);
        }
        let mut updated = self.clone();
        updated.dynamic_filters.extend(dynamic);
        Ok(propagation.with_updated_node(Arc::new(updated)))
    }

    fn execute(
        &self,
        partition: usize,
        context: Arc<TaskContext>,
    ) -> Result<SendableRecordBatchStream> {
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        let exec = self.clone();
        let batch_rows = context.session_config().batch_size();
        let schema = Arc::clone(&self.schema);
        let batches = futures::stream::once(async move {
            let filters = exec.resolved_filters().await;
            exec.read(filters, batch_rows)
        })
        .flatten()
        .map_err(|error| DataFusionError::External(Box::new(error)))
        .inspect_ok(move |batch| metrics.record_output(batch.num_rows()));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

impl ScanExec {
    /// Waits until every join has delivered its filter, and says them plainly.
    async fn resolved_filters(&self) -> Vec<Expression> {
        let mut resolved = Vec::new();
        for filter in &self.dynamic_filters {
            if let Some(dynamic) = filter.downcast_ref::<DynamicFilterPhysicalExpr>() {
                tokio::select! {
                    () = dynamic.wait_complete() => {}
                    () = tokio::time::sleep(DYNAMIC_FILTER_PATIENCE) => {
                        tracing::warn!(table = %self.scan.plan.table, "a join did not deliver its filter in time");
                        continue;
                    }
                    () = self.run.cancellation.cancelled() => return resolved,
                }
            }
            resolved.extend(dynamic_filter::conjuncts(filter, &self.schema));
        }
        resolved
    }

    /// The batches of the splits this partition gets hold of.
    fn read(
        self,
        dynamic_filters: Vec<Expression>,
        batch_rows: usize,
    ) -> impl futures::Stream<Item = Result<RecordBatch, ConnectorError>> + Send {
        let context = ScanContext {
            batch_rows,
            dynamic_filters,
            work: Arc::clone(&self.recorder),
            cancellation: self.run.cancellation.clone(),
        };
        let scan = Arc::clone(&self.scan);
        let schema = Arc::clone(&self.schema);
        let next_split = Arc::clone(&self.next_split);
        let splits = std::iter::from_fn(move || {
            let split = next_split.fetch_add(1, Ordering::Relaxed);
            (split < scan.plan.splits.len())
                .then(|| scan.connector.open(&scan.plan, split, context.clone()))
        });
        futures::stream::iter(splits)
            .flatten()
            .map(move |batch| adapt(batch?, &schema))
    }
}

/// Gives a connector's batch the names of the plan and unifies text encodings; any other difference is a bug of
/// the connector and must not pass silently.
fn adapt(batch: RecordBatch, schema: &Arc<Schema>) -> Result<RecordBatch, ConnectorError> {
    if batch.num_columns() != schema.fields().len() {
        return Err(ConnectorError::Internal(format!(
            "a scan returned {} columns instead of {}",
            batch.num_columns(),
            schema.fields().len()
        )));
    }
    let rows = batch.num_rows();
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| adapt_column(column, field.data_type()))
        .collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options).map_err(|error| {
        ConnectorError::Internal(format!(
            "a scan returned batches that do not match its plan: {error}"
        ))
    })
}

fn adapt_column(
    column: &ArrayRef,
    planned: &arrow::datatypes::DataType,
) -> Result<ArrayRef, ConnectorError> {
    if column.data_type() == planned || !(is_text(column.data_type()) && is_text(planned)) {
        return Ok(Arc::clone(column));
    }
    arrow::compute::cast(column, planned)
        .map_err(|error| ConnectorError::Internal(format!("text could not be re-encoded: {error}")))
}
