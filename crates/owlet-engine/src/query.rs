//! One query: options, the plan, the running stream.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use arrow::array::RecordBatchOptions;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::{Stream, StreamExt, TryStreamExt};
use indexmap::IndexMap;
use owlet_connector::{Budget, ConnectorError, QueryWork, WorkReport};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::error::{EngineError, Result};
use crate::explain::Explanation;
use crate::file_work;
use crate::row_order::RowOrder;
use crate::rows::TextRows;
use crate::scan::gates;

/// Whether work is pushed to the sources. Off reads whole tables and computes locally: the answer must be the
/// same, which is what `owlet verify` and the differential tests check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pushdown {
    /// Push what is exact.
    #[default]
    On,
    /// Only read columns.
    Off,
}

/// Values for `?` and `:name` placeholders, as text; typed by their use in the statement.
#[derive(Debug, Clone, Default)]
pub struct Parameters {
    /// For `?`, in order.
    pub positional: Vec<String>,
    /// For `:name`.
    pub named: IndexMap<String, String>,
}

/// Whether an answer has the keys of its ORDER BY as further columns behind its own. Who compares answers tells ties
/// from differences by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OrderKeys {
    /// Only what the statement selects.
    #[default]
    AsSelected,
    /// All of them, selected or not.
    Added,
}

/// How one query is planned and run.
#[derive(Debug, Clone, Default)]
pub struct QueryOptions {
    /// Pushdown on or off.
    pub pushdown: Pushdown,
    /// Placeholder values.
    pub parameters: Parameters,
    /// Limits over all sources.
    pub budget: Budget,
    /// Wall time limit.
    pub timeout: Option<Duration>,
    /// The keys of ORDER BY in the answer.
    pub order_keys: OrderKeys,
    /// What `now()`, `current_date` and their like mean; `None`: the time when the query is planned.
    pub moment: Option<SystemTime>,
    /// Catalog for names without one; `None`: the only catalog, or the one named `awsdatacatalog`.
    pub default_catalog: Option<String>,
    /// Schema for names without one; `None`: the connector's usual one (`public`, `main`, `default`).
    pub default_schema: Option<String>,
}

/// Counters and cancellation of one query, made when planning begins.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    pub(crate) work: Arc<QueryWork>,
    pub(crate) cancellation: CancellationToken,
}

/// A statement ready to run.
pub struct PlannedQuery {
    schema: SchemaRef,
    explanation: Explanation,
    order: RowOrder,
    budget: Budget,
    timeout: Option<Duration>,
    sql: Arc<str>,
    work: Work,
    answer: Answer,
}

enum Answer {
    Plan(Arc<dyn ExecutionPlan>, Arc<TaskContext>),
    Rows(TextRows),
}

impl Work {
    /// Starts counting now.
    pub(crate) fn new(budget: Budget) -> Self {
        Self {
            work: QueryWork::new(budget),
            cancellation: CancellationToken::new(),
        }
    }
}

impl PlannedQuery {
    pub(crate) fn of_plan(
        plan: Arc<dyn ExecutionPlan>,
        context: Arc<TaskContext>,
        names: Vec<String>,
        order: RowOrder,
        options: &QueryOptions,
        work: Work,
        sql: &str,
    ) -> Self {
        let schema = plan.schema();
        let fields: Vec<Field> = schema
            .fields()
            .iter()
            .zip(names)
            .map(|(field, name)| Field::clone(field).with_name(name))
            .collect();
        Self {
            schema: Arc::new(Schema::new(fields)),
            explanation: Explanation::of(&plan),
            order,
            budget: options.budget.clone(),
            timeout: options.timeout,
            sql: Arc::from(sql),
            work,
            answer: Answer::Plan(plan, context),
        }
    }

    pub(crate) fn of_rows(rows: TextRows, explanation: Explanation, work: Work) -> Self {
        let schema = rows.schema();
        Self {
            order: RowOrder::fixed(schema.fields().len()),
            schema,
            explanation,
            budget: Budget::default(),
            timeout: None,
            sql: Arc::from(""),
            work,
            answer: Answer::Rows(rows),
        }
    }

    /// Result columns with their display names (duplicates are possible).
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The plan for people.
    pub fn explanation(&self) -> &Explanation {
        &self.explanation
    }

    /// The statement fixes the order of its rows (top-level `ORDER BY`).
    pub fn is_ordered(&self) -> bool {
        self.order.ordered
    }

    /// What the statement fixes about the order and the number of its rows.
    pub fn row_order(&self) -> &RowOrder {
        &self.order
    }

    /// Starts the query. Sources are opened when the stream is first polled. Refused when the estimate exceeds
    /// the budget.
    pub fn execute(self) -> Result<QueryStream> {
        self.check_estimate()?;
        let schema = Arc::clone(&self.schema);
        let handle = QueryHandle {
            work: Arc::clone(&self.work.work),
            cancellation: self.work.cancellation.clone(),
        };
        let (batches, plan): (BatchResults, _) = match self.answer {
            Answer::Rows(rows) => (Box::pin(futures::stream::iter([rows.into_batch()])), None),
            Answer::Plan(plan, context) => {
                let doors = gates::of(&plan);
                let work = Arc::clone(&self.work.work);
                let batches: BatchResults = if doors.is_empty() {
                    started(&plan, context, &schema, &self.sql)?
                } else {
                    let (plan, named, sql) = (
                        Arc::clone(&plan),
                        Arc::clone(&schema),
                        Arc::clone(&self.sql),
                    );
                    // Some operators read their inputs as soon as they are started: first the places, then the plan.
                    let inside = async move {
                        let places = gates::enter(&doors, &work).await?;
                        let batches = started(&plan, context, &named, &sql)?;
                        Ok::<_, EngineError>(batches.inspect(move |_| {
                            // Moved here: the query leaves when its stream is dropped.
                            let _ = &places;
                        }))
                    };
                    Box::pin(futures::stream::once(inside).try_flatten())
                };
                (batches, Some(plan))
            }
        };
        let limited = limited(batches, self.work.cancellation.clone(), self.timeout);
        Ok(QueryStream {
            schema,
            rows: 0,
            plan,
            batches: limited,
            _guard: handle.cancellation.clone().drop_guard(),
            handle,
        })
    }

    /// Runs the query and throws its rows away (`EXPLAIN ANALYZE`).
    pub(crate) async fn run_to_end(self) -> Result<WorkReport> {
        let mut stream = self.execute()?;
        while let Some(batch) = stream.next().await {
            batch?;
        }
        Ok(stream.work_report())
    }

    fn check_estimate(&self) -> Result<()> {
        let Some(allowed) = self.budget.max_rcu else {
            return Ok(());
        };
        // Planning reads samples of tables whose columns are not known yet.
        let sampled = self.work.work.rcu_consumed();
        let estimated = self.explanation.estimated_rcu();
        if sampled + estimated.unwrap_or_default() <= allowed {
            return Ok(());
        }
        let mut situation = format!(
            "the query is estimated to consume {:.1}",
            estimated.unwrap_or_default()
        );
        if sampled > 0.0 {
            situation.push_str(&format!(
                ", after {sampled:.1} for the samples that decide columns"
            ));
        }
        Err(EngineError::Connector(ConnectorError::BudgetExceeded {
            limit: "max_rcu".to_owned(),
            allowed: allowed.to_string(),
            situation,
            hint: "filter by a key, or raise --max-rcu; `owlet explain` shows where the estimate comes from".to_owned(),
        }))
    }
}

type BatchResults = Pin<Box<dyn Stream<Item = Result<RecordBatch>> + Send>>;

/// Starts the plan; its batches get the display names.
fn started(
    plan: &Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    schema: &SchemaRef,
    sql: &Arc<str>,
) -> Result<BatchResults> {
    let stream = execute_stream(Arc::clone(plan), context)
        .map_err(|error| EngineError::from_datafusion(&error, sql))?;
    let (named, sql) = (Arc::clone(schema), Arc::clone(sql));
    Ok(Box::pin(stream.map(move |batch| {
        rename(
            batch.map_err(|error| EngineError::from_datafusion(&error, &sql))?,
            &named,
        )
    })))
}

/// Ends the stream with an error when the query is cancelled or its time is over.
fn limited(
    batches: BatchResults,
    cancellation: CancellationToken,
    timeout: Option<Duration>,
) -> BatchResults {
    struct State {
        batches: Option<BatchResults>,
        cancellation: CancellationToken,
        deadline: Option<(tokio::time::Instant, Duration)>,
    }
    let deadline = timeout.map(|timeout| (tokio::time::Instant::now() + timeout, timeout));
    let state = State {
        batches: Some(batches),
        cancellation,
        deadline,
    };
    Box::pin(futures::stream::unfold(state, |mut state| async move {
        let batches = state.batches.as_mut()?;
        let expired = async {
            match state.deadline {
                Some((at, _)) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let outcome = tokio::select! {
            biased;
            () = state.cancellation.cancelled() => Some(Err(EngineError::Cancelled)),
            () = expired => {
                let seconds = state.deadline.map_or(0.0, |(_, timeout)| timeout.as_secs_f64());
                Some(Err(EngineError::Timeout { seconds }))
            }
            next = batches.next() => next,
        };
        if matches!(outcome, Some(Err(_))) {
            // Dropping the plan's stream is what ends the work at the sources.
            state.cancellation.cancel();
            state.batches = None;
        }
        outcome.map(|outcome| (outcome, state))
    }))
}

fn rename(batch: RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), batch.columns().to_vec(), &options)
        .map_err(|error| {
            EngineError::Internal(format!("the result does not match its schema: {error}"))
        })
}

/// Handle to watch and cancel a running query from elsewhere.
#[derive(Debug, Clone)]
pub struct QueryHandle {
    work: Arc<QueryWork>,
    cancellation: CancellationToken,
}

impl QueryHandle {
    /// Cancels at the sources too; the stream ends with a `Cancelled` error.
    pub fn cancel(&self) {
        self.cancellation.cancel();
    }

    /// Live counters (progress bars).
    pub fn work(&self) -> &Arc<QueryWork> {
        &self.work
    }
}

/// The batches of a running query. Dropping it cancels the query.
pub struct QueryStream {
    schema: SchemaRef,
    handle: QueryHandle,
    rows: u64,
    plan: Option<Arc<dyn ExecutionPlan>>,
    batches: BatchResults,
    _guard: DropGuard,
}

impl QueryStream {
    /// Result columns with their display names.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// A handle that outlives the stream.
    pub fn handle(&self) -> QueryHandle {
        self.handle.clone()
    }

    /// The work report so far; complete once the stream has ended.
    pub fn work_report(&self) -> WorkReport {
        let mut sources = self.handle.work.sources();
        if let Some(plan) = &self.plan {
            sources.extend(file_work::of(plan));
        }
        WorkReport {
            elapsed_ms: self.handle.work.elapsed().as_secs_f64() * 1000.0,
            rows: self.rows,
            peak_memory_bytes: peak_resident_bytes(),
            skew_ms: WorkReport::skew_between(&sources),
            sources,
        }
    }
}

impl Stream for QueryStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let polled = self.batches.as_mut().poll_next(context);
        if let Poll::Ready(Some(Ok(batch))) = &polled {
            self.rows += batch.num_rows() as u64;
        }
        polled
    }
}

/// Highest resident set of this process so far (`VmHWM` of proc(5)); 0 where the system does not tell.
fn peak_resident_bytes() -> u64 {
    let Ok(status) = std::fs::read_to_string("/proc/self/status") else {
        return 0;
    };
    let kibibytes = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .and_then(|line| line.split_whitespace().nth(1))
        .and_then(|number| number.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}
