//! One query: options, the plan, the running stream.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use futures::Stream;
use indexmap::IndexMap;
use owlet_connector::{Budget, QueryWork, WorkReport};
use tokio_util::sync::CancellationToken;

use crate::error::Result;
use crate::explain::Explanation;

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

/// Values for `?` and `:name` / `$name` placeholders, as text; typed by their use in the statement.
#[derive(Debug, Clone, Default)]
pub struct Parameters {
    /// For `?`, in order.
    pub positional: Vec<String>,
    /// For `:name`.
    pub named: IndexMap<String, String>,
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
    /// Catalog for names without one; `None`: the only catalog, or the one named `awsdatacatalog`.
    pub default_catalog: Option<String>,
    /// Schema for names without one; `None`: the connector's usual one (`public`, `main`, `default`).
    pub default_schema: Option<String>,
}

/// A statement ready to run.
pub struct PlannedQuery {
    pub(crate) schema: SchemaRef,
    pub(crate) explanation: Explanation,
    pub(crate) ordered: bool,
    pub(crate) start: Box<dyn FnOnce() -> Result<QueryStream> + Send>,
}

impl PlannedQuery {
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
        self.ordered
    }

    /// Starts the query. Sources are opened when the stream is first polled.
    pub fn execute(self) -> Result<QueryStream> {
        (self.start)()
    }
}

/// Handle to watch and cancel a running query from elsewhere.
#[derive(Debug, Clone)]
pub struct QueryHandle {
    pub(crate) work: Arc<QueryWork>,
    pub(crate) cancellation: CancellationToken,
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
    pub(crate) schema: SchemaRef,
    pub(crate) handle: QueryHandle,
    pub(crate) rows: u64,
    pub(crate) peak_memory_bytes: u64,
    pub(crate) batches: Pin<Box<dyn Stream<Item = Result<RecordBatch>> + Send>>,
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
        WorkReport {
            elapsed_ms: self.handle.work.elapsed().as_secs_f64() * 1000.0,
            rows: self.rows,
            peak_memory_bytes: self.peak_memory_bytes,
            sources: self.handle.work.sources(),
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
