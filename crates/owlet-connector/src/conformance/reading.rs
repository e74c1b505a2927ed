//! Plans and reads scans for the checks. Must never know what a check wants.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use super::fixtures::Fixture;
use super::harness::CreatedTable;
use super::report::Report;
use super::value::Value;
use crate::connector::Connector;
use crate::error::Result;
use crate::expression::Expression;
use crate::metadata::TableMetadata;
use crate::scan::{ScanContext, ScanPlan, ScanRequest};
use crate::work::{Budget, QueryWork, ScanDescription, WorkRecorder};

/// A fixture at the source, its metadata and all its rows as the connector reads them without any pushdown.
pub struct Table {
    pub connector: Arc<dyn Connector>,
    pub fixture: Fixture,
    pub created: CreatedTable,
    pub metadata: Arc<TableMetadata>,
    /// All rows of all columns.
    pub rows: RecordBatch,
    /// Position of the column `id`.
    pub id: usize,
}

/// How a plan is read.
#[derive(Clone, Default)]
pub struct Reading {
    pub batch_rows: Option<usize>,
    pub dynamic_filters: Vec<Expression>,
    pub budget: Budget,
    pub cancellation: CancellationToken,
}

impl Table {
    /// Describes and reads a fixture; notes why it cannot.
    pub async fn open(
        connector: &Arc<dyn Connector>,
        fixture: Fixture,
        created: CreatedTable,
        report: &mut Report,
    ) -> Option<Self> {
        const CHECK: &str = "describe and read";
        let described = connector.table(&created.schema, &created.table).await;
        let described = report.require(CHECK, fixture.name, described, || {
            format!("table {created:?}")
        })?;
        let Some(metadata) = described else {
            report.fail(CHECK, fixture.name, format!("{created:?} is not found"));
            return None;
        };
        let Some(id) = metadata
            .columns
            .iter()
            .position(|column| column.source_name == "id")
        else {
            report.fail(CHECK, fixture.name, "column id is not listed");
            return None;
        };
        let request = ScanRequest {
            schema: metadata.schema.clone(),
            table: metadata.name.clone(),
            projection: (0..metadata.columns.len()).collect(),
            fields: Default::default(),
            filters: Vec::new(),
            limit: None,
            ordering: Vec::new(),
            lookup_columns: Vec::new(),
            lookup_rows: None,
            target_partitions: 1,
        };
        let plan = report.require(
            CHECK,
            fixture.name,
            connector.plan_scan(&request).await,
            || "full scan".to_owned(),
        )?;
        let batches = read(connector.as_ref(), &plan, &Reading::default()).await;
        let batches = report.require(CHECK, fixture.name, batches, || "full scan".to_owned())?;
        let schema = Arc::new(plan.schema.clone());
        let rows = concat_batches(&schema, &batches);
        let rows = report.require(CHECK, fixture.name, rows, || {
            "batches of one schema".to_owned()
        })?;
        Some(Self {
            connector: Arc::clone(connector),
            fixture,
            created,
            metadata,
            rows,
            id,
        })
    }

    /// A request for columns of this table.
    pub fn request(&self, projection: Vec<usize>) -> ScanRequest {
        ScanRequest {
            schema: self.metadata.schema.clone(),
            table: self.metadata.name.clone(),
            projection,
            fields: Default::default(),
            filters: Vec::new(),
            limit: None,
            ordering: Vec::new(),
            lookup_columns: Vec::new(),
            lookup_rows: None,
            target_partitions: 4,
        }
    }

    /// Plans and reads a request.
    pub async fn read(&self, request: &ScanRequest) -> Result<(ScanPlan, Vec<RecordBatch>)> {
        let plan = self.connector.plan_scan(request).await?;
        let batches = read(self.connector.as_ref(), &plan, &Reading::default()).await?;
        Ok((plan, batches))
    }

    /// How often each id occurs in a column of batches.
    pub fn ids(
        &self,
        batches: &[RecordBatch],
        column: usize,
    ) -> Result<BTreeMap<i128, usize>, String> {
        let mut ids = BTreeMap::new();
        for batch in batches {
            for row in 0..batch.num_rows() {
                let value = Value::of_cell(batch.column(column).as_ref(), row)
                    .map_err(|error| error.to_string())?;
                *ids.entry(self.id_of(&value)?).or_insert(0) += 1;
            }
        }
        Ok(ids)
    }

    /// The id of a row of all rows.
    pub fn row_id(&self, row: usize) -> Result<i128, String> {
        let value = Value::of_cell(self.rows.column(self.id).as_ref(), row)
            .map_err(|error| error.to_string())?;
        self.id_of(&value)
    }

    fn id_of(&self, value: &Value) -> Result<i128, String> {
        use arrow::datatypes::DataType;
        match (value, self.rows.column(self.id).data_type()) {
            (Value::Integer(value), DataType::Decimal128(_, scale)) => {
                let factor = u32::try_from(*scale)
                    .ok()
                    .and_then(|scale| 10_i128.checked_pow(scale));
                let factor = factor.ok_or("the scale of id is negative")?;
                Ok(value / factor)
            }
            (Value::Integer(value), _) => Ok(*value),
            (Value::Text(text), _) => text.parse().map_err(|_| format!("id {text} is no number")),
            (other, _) => Err(format!("id is {other:?}")),
        }
    }
}

/// What a scan made its source do.
pub fn recorder(plan: &ScanPlan, budget: Budget) -> Arc<WorkRecorder> {
    QueryWork::new(budget).recorder(ScanDescription {
        catalog: "conformance".to_owned(),
        table: plan.table.clone(),
        access: plan.access.clone(),
        remote: plan.remote.clone(),
        rcu_estimated: plan.estimate.rcu,
        ..ScanDescription::default()
    })
}

/// The run-time side of a scan.
pub fn context(work: &Arc<WorkRecorder>, reading: &Reading) -> ScanContext {
    ScanContext {
        batch_rows: reading.batch_rows.unwrap_or(1024),
        dynamic_filters: reading.dynamic_filters.clone(),
        work: Arc::clone(work),
        cancellation: reading.cancellation.clone(),
    }
}

/// Reads all splits of a plan, one after the other.
pub async fn read(
    connector: &dyn Connector,
    plan: &ScanPlan,
    reading: &Reading,
) -> Result<Vec<RecordBatch>> {
    let work = recorder(plan, reading.budget.clone());
    read_recorded(connector, plan, reading, &work).await
}

/// The same with a recorder of the caller.
pub async fn read_recorded(
    connector: &dyn Connector,
    plan: &ScanPlan,
    reading: &Reading,
    work: &Arc<WorkRecorder>,
) -> Result<Vec<RecordBatch>> {
    let mut batches = Vec::new();
    for split in 0..plan.splits.len() {
        batches.extend(read_split(connector, plan, split, reading, work).await?);
    }
    Ok(batches)
}

/// Reads one split.
pub async fn read_split(
    connector: &dyn Connector,
    plan: &ScanPlan,
    split: usize,
    reading: &Reading,
    work: &Arc<WorkRecorder>,
) -> Result<Vec<RecordBatch>> {
    let mut stream = connector.open(plan, split, context(work, reading));
    let mut batches = Vec::new();
    while let Some(batch) = stream.next().await {
        batches.push(batch?);
    }
    Ok(batches)
}

/// Number of rows.
pub fn count(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}
