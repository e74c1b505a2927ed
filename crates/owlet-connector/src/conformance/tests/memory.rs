//! The suite must accept a connector that is right and find each way of being wrong.

use std::sync::{Arc, Mutex};

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int16Array,
    Int64Array, RecordBatch, RecordBatchOptions, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Schema;
use async_trait::async_trait;
use futures::StreamExt;
use serde::{Deserialize, Serialize};

use crate::conformance::fixtures::{self, Fixture, FixtureColumn, Kind};
use crate::conformance::{ConformanceHarness, CreatedTable, Value, run, run_with, selection};
use crate::connector::{BatchStream, Connector, Health};
use crate::error::{ConnectorError, Result};
use crate::expression::Expression;
use crate::metadata::{ColumnMetadata, RowCount, TableKind, TableMetadata, TableSummary};
use crate::scan::{CostEstimate, Exactness, ScanContext, ScanPlan, ScanRequest, Split};

/// A way to be wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// NULL counts as true in negated filters.
    NullPasses,
    /// A filter called exact returns too much.
    ExactIsNot,
    /// Two splits overlap.
    RowTwice,
    /// The last row is lost.
    RowLost,
    /// The limit is applied to each split.
    LimitTooSmall,
    /// Columns come in table order.
    WrongOrder,
    /// The budget is ignored.
    NoBudget,
    /// Cancelling ends the stream like the end of the data.
    SilentCancel,
    /// Dynamic filters remove too much.
    DynamicTooMuch,
    /// A plan holds what only this process knows.
    PlanNotData,
    /// Rows are counted twice.
    WrongCount,
    /// Unknown tables are empty.
    UnknownIsEmpty,
    /// Names keep their case.
    CaseMatters,
}

type Tables = Arc<Mutex<Vec<(TableMetadata, RecordBatch)>>>;

#[derive(Debug)]
struct MemoryConnector {
    tables: Tables,
    flaw: Flaw,
    secret: usize,
}

#[derive(Serialize, Deserialize)]
struct Work {
    table: String,
    projection: Vec<usize>,
    filters: String,
    limit: Option<usize>,
    part: usize,
    parts: usize,
    secret: usize,
}

impl MemoryConnector {
    fn find(&self, schema: &str, name: &str) -> Option<(TableMetadata, RecordBatch)> {
        let tables = self.tables.lock().unwrap();
        let matches = |exact: bool, table: &TableMetadata| {
            if exact {
                table.name == name
            } else {
                table.name.to_lowercase() == name.to_lowercase()
            }
        };
        let exact_only = self.flaw == Flaw::CaseMatters;
        [true, false]
            .into_iter()
            .filter(|exact| *exact || !exact_only)
            .find_map(|exact| {
                tables
                    .iter()
                    .find(|(table, _)| schema == "main" && matches(exact, table))
                    .cloned()
            })
    }

    fn batches(&self, work: &Work, context: &ScanContext) -> Vec<Result<RecordBatch>> {
        let Some((_, rows)) = self.find("main", &work.table) else {
            return Vec::new();
        };
        if self.flaw == Flaw::PlanNotData && work.secret != self.secret {
            return vec![Err(ConnectorError::Internal(
                "this plan is from elsewhere".to_owned(),
            ))];
        }
        let filters: Vec<Expression> = serde_json::from_str(&work.filters).unwrap();
        let mut keep = match selection(&filters, &rows) {
            Ok(keep) => keep,
            Err(error) => return vec![Err(ConnectorError::Internal(error.to_string()))],
        };
        if self.flaw == Flaw::NullPasses
            && let [Expression::Not(_)] = filters.as_slice()
        {
            for (row, keep) in keep.iter_mut().enumerate() {
                *keep |= crate::conformance::truth(&filters[0], &rows, row) == Ok(None);
            }
        }
        for (row, keep) in keep.iter_mut().enumerate() {
            let mut part = row % work.parts;
            if self.flaw == Flaw::RowTwice && row == 1 {
                part = work.part;
            }
            *keep &= part == work.part;
            if self.flaw == Flaw::RowLost && row + 1 == rows.num_rows() && row > 1_000 {
                *keep = false;
            }
        }
        let mut rows = filter_record_batch(&rows, &keep.into()).unwrap();
        if let Some(limit) = work.limit {
            rows = rows.slice(0, limit.min(rows.num_rows()));
        }
        let mut projection = work.projection.clone();
        if self.flaw == Flaw::WrongOrder {
            projection.sort_unstable();
        }
        let mut rows = rows.project(&projection).unwrap();
        for filter in &context.dynamic_filters {
            if let Ok(mut keep) = selection(std::slice::from_ref(filter), &rows) {
                if self.flaw == Flaw::DynamicTooMuch && !keep.is_empty() {
                    keep[0] = false;
                }
                rows = filter_record_batch(&rows, &keep.into()).unwrap();
            }
        }
        let size = context.batch_rows.max(1);
        (0..rows.num_rows())
            .step_by(size)
            .map(|start| Ok(rows.slice(start, size.min(rows.num_rows() - start))))
            .collect()
    }
}

#[async_trait]
impl Connector for MemoryConnector {
    fn catalog(&self) -> &str {
        "memory"
    }

    fn kind(&self) -> &'static str {
        "memory"
    }

    async fn schemas(&self) -> Result<Vec<String>> {
        Ok(vec!["main".to_owned()])
    }

    async fn tables(&self, schema: &str) -> Result<Vec<TableSummary>> {
        let tables = self.tables.lock().unwrap();
        let listed = tables.iter().filter(|_| schema == "main");
        Ok(listed
            .map(|(table, _)| TableSummary {
                name: table.name.clone(),
                kind: TableKind::Table,
            })
            .collect())
    }

    async fn table(&self, schema: &str, table: &str) -> Result<Option<Arc<TableMetadata>>> {
        Ok(self.find(schema, table).map(|(table, _)| Arc::new(table)))
    }

    async fn plan_scan(&self, request: &ScanRequest) -> Result<ScanPlan> {
        let Some((metadata, _)) = self.find(&request.schema, &request.table) else {
            if self.flaw == Flaw::UnknownIsEmpty {
                return Ok(empty_plan());
            }
            return Err(ConnectorError::TableNotFound {
                catalog: "memory".to_owned(),
                table: request.table.clone(),
                hint: String::new(),
            });
        };
        let parts = if metadata.rows == RowCount::Exact(0) {
            1
        } else {
            request.target_partitions.max(1)
        };
        let single = parts == 1;
        let filters: Vec<Expression> = match self.flaw {
            Flaw::ExactIsNot => Vec::new(),
            _ => request.filters.clone(),
        };
        let limit = (single || self.flaw == Flaw::LimitTooSmall)
            .then_some(request.limit)
            .flatten()
            .map(|limit| usize::try_from(limit).unwrap());
        let all = metadata.arrow_schema();
        let splits = (0..parts)
            .map(|part| {
                let work = Work {
                    table: metadata.name.clone(),
                    projection: request.projection.clone(),
                    filters: serde_json::to_string(&filters).unwrap(),
                    limit: if request.ordering.is_empty() {
                        limit
                    } else {
                        None
                    },
                    part,
                    parts,
                    secret: self.secret,
                };
                Split {
                    description: format!("part {part}"),
                    payload: serde_json::to_string(&work).unwrap(),
                }
            })
            .collect();
        Ok(ScanPlan {
            schema: all.project(&request.projection).unwrap(),
            splits,
            filters: vec![Exactness::Exact; request.filters.len()],
            limit_applied: limit.is_some() && request.ordering.is_empty(),
            ordering_applied: false,
            estimate: CostEstimate::default(),
            table: metadata.name,
            access: "memory".to_owned(),
            remote: "memory".to_owned(),
            notes: Vec::new(),
        })
    }

    fn open(&self, plan: &ScanPlan, split: usize, context: ScanContext) -> BatchStream {
        let Some(split) = plan.splits.get(split) else {
            return futures::stream::empty().boxed();
        };
        let work: Work = serde_json::from_str(&split.payload).unwrap();
        let batches = self.batches(&work, &context);
        let flaw = self.flaw;
        let mut started = false;
        let checked = batches.into_iter().map(move |batch| {
            if !started {
                started = true;
                context.work.add_request();
            }
            if context.cancellation.is_cancelled() {
                return if flaw == Flaw::SilentCancel {
                    Ok(None)
                } else {
                    Err(ConnectorError::Cancelled)
                };
            }
            let batch = batch?;
            let rows = batch.num_rows() as u64;
            let counted = if flaw == Flaw::WrongCount {
                rows * 2
            } else {
                rows
            };
            let recorded = context
                .work
                .add_rows_returned(counted)
                .and_then(|()| context.work.add_bytes(batch.get_array_memory_size() as u64));
            match recorded {
                Err(_) if flaw == Flaw::NoBudget => Ok(Some(batch)),
                Err(error) => Err(error),
                Ok(()) => Ok(Some(batch)),
            }
        });
        futures::stream::iter(checked)
            .filter_map(|batch| async move { batch.transpose() })
            .boxed()
    }

    async fn health(&self) -> Health {
        Health {
            healthy: true,
            version: String::new(),
            rights: String::new(),
            latency: None,
            problem: String::new(),
            fix: String::new(),
        }
    }
}

fn empty_plan() -> ScanPlan {
    ScanPlan {
        schema: Schema::empty(),
        splits: Vec::new(),
        filters: Vec::new(),
        limit_applied: false,
        ordering_applied: false,
        estimate: CostEstimate::default(),
        table: String::new(),
        access: String::new(),
        remote: String::new(),
        notes: Vec::new(),
    }
}

struct MemoryHarness {
    tables: Tables,
    flaw: Flaw,
}

#[async_trait]
impl ConformanceHarness for MemoryHarness {
    async fn connector(&self) -> Arc<dyn Connector> {
        static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let secret = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Arc::new(MemoryConnector {
            tables: Arc::clone(&self.tables),
            flaw: self.flaw,
            secret,
        })
    }

    async fn create(&self, fixture: &Fixture) -> CreatedTable {
        let arrays: Vec<ArrayRef> = fixture.columns.iter().map(array).collect();
        let mut columns: Vec<ColumnMetadata> = fixture
            .columns
            .iter()
            .zip(&arrays)
            .map(|(column, array)| {
                ColumnMetadata::new(&column.name, array.data_type().clone(), "memory")
            })
            .collect();
        TableMetadata::make_names_unique(&mut columns);
        let metadata = TableMetadata {
            schema: "main".to_owned(),
            name: fixture.name.to_owned(),
            kind: TableKind::Table,
            columns,
            rows: RowCount::Exact(fixture.rows() as u64),
            bytes: None,
            primary_key: vec![0],
            comment: None,
        };
        let options = RecordBatchOptions::new().with_row_count(Some(fixture.rows()));
        let rows =
            RecordBatch::try_new_with_options(metadata.arrow_schema(), arrays, &options).unwrap();
        self.tables.lock().unwrap().push((metadata, rows));
        CreatedTable {
            schema: "main".to_owned(),
            table: fixture.name.to_owned(),
        }
    }

    fn large_rows(&self) -> usize {
        1_200
    }
}

fn array(column: &FixtureColumn) -> ArrayRef {
    let integers = || {
        column.values.iter().map(|value| match value {
            Value::Integer(value) => Some(i64::try_from(*value).unwrap()),
            _ => None,
        })
    };
    match column.kind {
        Kind::SmallInteger => Arc::new(
            integers()
                .map(|value| value.map(|value| i16::try_from(value).unwrap()))
                .collect::<Int16Array>(),
        ),
        Kind::Integer => Arc::new(integers().collect::<Int64Array>()),
        Kind::Decimal => Arc::new(
            integers()
                .map(|value| value.map(i128::from))
                .collect::<Decimal128Array>()
                .with_precision_and_scale(12, 2)
                .unwrap(),
        ),
        Kind::Double | Kind::SpecialDouble => Arc::new(
            column
                .values
                .iter()
                .map(|value| {
                    if let Value::Float(value) = value {
                        Some(*value)
                    } else {
                        None
                    }
                })
                .collect::<Float64Array>(),
        ),
        Kind::Text => Arc::new(
            column
                .values
                .iter()
                .map(|value| {
                    if let Value::Text(value) = value {
                        Some(value.clone())
                    } else {
                        None
                    }
                })
                .collect::<StringArray>(),
        ),
        Kind::Boolean => Arc::new(
            column
                .values
                .iter()
                .map(|value| {
                    if let Value::Boolean(value) = value {
                        Some(*value)
                    } else {
                        None
                    }
                })
                .collect::<BooleanArray>(),
        ),
        Kind::Date => Arc::new(
            integers()
                .map(|value| value.map(|value| i32::try_from(value).unwrap()))
                .collect::<Date32Array>(),
        ),
        Kind::Timestamp => Arc::new(integers().collect::<TimestampMicrosecondArray>()),
        Kind::Instant => Arc::new(
            integers()
                .collect::<TimestampMicrosecondArray>()
                .with_timezone("UTC"),
        ),
        Kind::Binary => Arc::new(
            column
                .values
                .iter()
                .map(|value| {
                    if let Value::Binary(value) = value {
                        Some(value.clone())
                    } else {
                        None
                    }
                })
                .collect::<BinaryArray>(),
        ),
    }
}

fn harness(flaw: Flaw) -> MemoryHarness {
    MemoryHarness {
        tables: Tables::default(),
        flaw,
    }
}

#[tokio::test]
async fn a_right_connector_passes() {
    let report = run(&harness(Flaw::None)).await;
    report.assert_passed();
    assert!(report.exact_filters > 1_000, "{report}");
}

#[tokio::test]
async fn every_flaw_is_found() {
    for (flaw, check) in [
        (Flaw::NullPasses, "filter"),
        (Flaw::ExactIsNot, "filter"),
        (Flaw::RowTwice, "splits"),
        (Flaw::RowLost, "contents"),
        (Flaw::LimitTooSmall, "limit and ordering"),
        (Flaw::WrongOrder, "schema"),
        (Flaw::NoBudget, "budget and counters"),
        (Flaw::SilentCancel, "cancellation"),
        (Flaw::DynamicTooMuch, "dynamic filter"),
        (Flaw::PlanNotData, "serialised plan"),
        (Flaw::WrongCount, "budget and counters"),
        (Flaw::UnknownIsEmpty, "unknown names"),
        (Flaw::CaseMatters, "metadata"),
    ] {
        let harness = harness(flaw);
        let fixtures = fixtures::all(harness.large_rows()).into_iter();
        let fixtures = fixtures.filter(|fixture| ["nulls", "large"].contains(&fixture.name));
        let report = run_with(&harness, fixtures.collect()).await;
        let found = report.failures.iter().any(|failure| failure.check == check);
        assert!(found, "{flaw:?} is not found by {check}: {report}");
    }
}
