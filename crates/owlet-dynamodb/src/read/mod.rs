//! Reads one split: opens lazily, keeps several requests under way, and ends only complete or with an error.
//! Must never know SQL or how the split was planned.

mod keys;
mod look_up;
mod page;
mod request;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use owlet_connector::{BatchStream, ConnectorError, ScanContext, ScanPlan};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::page::Pages;
use self::request::Unit;
use crate::catalog::learned::{Learner, Taken};
use crate::catalog::partition_sizes::{PartitionId, PartitionSize};
use crate::options::{DynamoDbOptions, ScanPolicy};
use crate::plan::condition::Rendered;
use crate::plan::payload::{AccessPath, RangeOrder, ReadSpecification, SplitPayload};
use crate::plan::scan_denied_by_name;
use crate::transport::{Transport, Watch, cancellable};
use crate::workers::lost_worker;

/// Requests under way at once for one split.
const CONCURRENT_SEGMENTS: usize = 4;
const CONCURRENT_LOOK_UPS: usize = 8;

type Result<T> = std::result::Result<T, ConnectorError>;

/// Everything the workers of one split share.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) transport: Arc<Transport>,
    pub(crate) options: Arc<DynamoDbOptions>,
    pub(crate) read: ReadSpecification,
    pub(crate) context: ScanContext,
    pub(crate) watch: Watch,
    /// Rows still wanted; `None` is all.
    remaining: Option<AtomicU64>,
    learner: Arc<Learner>,
    taken: Mutex<Taken>,
}

impl Job {
    /// Rows still wanted.
    pub(crate) fn remaining(&self) -> Option<u64> {
        self.remaining
            .as_ref()
            .map(|remaining| remaining.load(Ordering::Relaxed))
    }

    /// Counts one request for what is learned.
    pub(crate) fn took(&self, units: f64, items: u64, elapsed: Duration) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.units += units;
        taken.requests += 1.0;
        taken.items += items as f64;
        taken.seconds += elapsed.as_secs_f64();
    }

    /// A partition was read from its first item to its last.
    pub(crate) fn read_whole(&self, partition: PartitionId, size: PartitionSize) {
        // A join may look up any number of them.
        if self.read.lesson.is_none() {
            return;
        }
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.partitions.push((partition, size));
    }

    /// Compares estimate and counters once everything was read.
    async fn learn(&self) {
        let Some(lesson) = &self.read.lesson else {
            return;
        };
        let taken = self
            .taken
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        // A service that does not count teaches nothing.
        if taken.units <= 0.0 {
            return;
        }
        if let Ok(address) = self.transport.address().await {
            let scan = &self.context.work;
            self.learner
                .ended(address.as_str(), scan, lesson, taken)
                .await;
        }
    }

    fn is_satisfied(&self) -> bool {
        self.remaining() == Some(0)
    }

    /// Takes up to `rows` of the rows still wanted; tells how many.
    fn claim(&self, rows: u64) -> u64 {
        let Some(remaining) = &self.remaining else {
            return rows;
        };
        let before = remaining
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                Some(left.saturating_sub(rows))
            })
            .unwrap_or(0);
        before.min(rows)
    }

    /// The filter for a Query or Scan whose key attributes are `keys`.
    pub(crate) fn filter_beside(&self, keys: &[&str]) -> Option<&Rendered> {
        let names_key = self
            .read
            .filter_attributes
            .iter()
            .any(|attribute| keys.contains(&attribute.as_str()));
        self.read.filter.as_ref().filter(|_| !names_key)
    }
}

/// Starts reading a split; I/O begins when the stream is first polled.
pub(crate) fn open(
    transport: Arc<Transport>,
    options: Arc<DynamoDbOptions>,
    learner: Arc<Learner>,
    plan: &ScanPlan,
    split: usize,
    context: ScanContext,
) -> BatchStream {
    let payload = plan
        .splits
        .get(split)
        .ok_or_else(|| ConnectorError::Internal(format!("the plan has no split {split}")))
        .and_then(|split| {
            serde_json::from_str::<SplitPayload>(&split.payload).map_err(|error| {
                ConnectorError::Internal(format!("a split cannot be read: {error}"))
            })
        });
    let batches = async move {
        let payload = payload?;
        let watch = Watch {
            work: Some(Arc::clone(&context.work)),
            cancellation: context.cancellation.clone(),
            ..Watch::default()
        };
        let remaining = payload.read.limit.map(AtomicU64::new);
        for (index, units) in &payload.read.capacities {
            transport.provisioned(&payload.read.table, index.as_deref(), *units);
        }
        let job = Job {
            learner,
            taken: Mutex::default(),
            transport,
            options,
            read: payload.read,
            context,
            watch,
            remaining,
        };
        start(job, payload.path)
    };
    Box::pin(futures::stream::once(batches).try_flatten())
}

fn start(job: Job, path: AccessPath) -> Result<impl Stream<Item = Result<RecordBatch>> + Send> {
    let path = match path {
        AccessPath::LookUp {
            targets,
            fallback,
            fallback_units,
        } => look_up::resolve(&job, targets, *fallback, fallback_units)?,
        path => path,
    };
    if matches!(path, AccessPath::Segments { .. })
        && job.options.scan == ScanPolicy::Deny
        && job.read.limit.is_none()
    {
        return Err(scan_denied_by_name(&job.read.table, None));
    }
    let (units, concurrency) = units(path);
    // With a limit and no filter the first pages suffice; reading ahead would only cost.
    let is_short = job.read.limit.is_some() && job.read.filter.is_none();
    let workers = if is_short {
        1
    } else {
        concurrency.min(units.len()).max(1)
    };
    let batch_rows = job.context.batch_rows.max(1);
    let cancellation = job.watch.cancellation.clone();
    let job = Arc::new(job);
    let queue = Arc::new(Mutex::new(units));
    let (sender, receiver) = mpsc::channel(workers);
    let mut tasks = JoinSet::new();
    for _ in 0..workers {
        tasks.spawn(work(Arc::clone(&job), Arc::clone(&queue), sender.clone()));
    }
    drop(sender);
    let rows = Rows {
        cancellation,
        receiver,
        tasks,
        ready: VecDeque::new(),
        failed: None,
        batch_rows,
        job: Arc::clone(&job),
    };
    Ok(futures::stream::unfold(Some(rows), |rows| async move {
        let mut rows = rows?;
        match rows.next().await {
            Some(Ok(batch)) => Some((Ok(batch), Some(rows))),
            Some(Err(error)) => Some((Err(error), None)),
            None => None,
        }
    })
    .boxed())
}

/// Divides a path into units of work, each a chain of requests, and tells how many may run at once.
fn units(path: AccessPath) -> (VecDeque<Unit>, usize) {
    match path {
        AccessPath::Items { keys } => (keys::batches(keys), CONCURRENT_LOOK_UPS),
        AccessPath::Ranges {
            index,
            keys,
            ranges,
            order,
        } => {
            let concurrency = if order == RangeOrder::Unordered {
                CONCURRENT_LOOK_UPS
            } else {
                1
            };
            (keys::ranges(index, keys, ranges, order), concurrency)
        }
        AccessPath::Segments {
            index,
            segments,
            total,
        } => {
            let units = segments
                .into_iter()
                .map(|segment| Unit::Segment {
                    index: index.clone(),
                    segment,
                    total,
                })
                .collect();
            (units, CONCURRENT_SEGMENTS)
        }
        AccessPath::Statement {
            text,
            index,
            consistency,
        } => {
            let unit = Unit::Statement {
                text,
                index,
                consistency,
            };
            (VecDeque::from([unit]), 1)
        }
        // Resolved before.
        AccessPath::LookUp { fallback, .. } => units(*fallback),
    }
}

/// One worker: takes units until none is left, sends their batches. The stream ends when all workers have.
async fn work(
    job: Arc<Job>,
    queue: Arc<Mutex<VecDeque<Unit>>>,
    sender: mpsc::Sender<Result<RecordBatch>>,
) {
    loop {
        if job.is_satisfied() {
            return;
        }
        let next = queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front();
        let Some(unit) = next else {
            return;
        };
        let mut pages = Pages::new(&job, unit);
        loop {
            match pages.next().await {
                Ok(Some(batch)) => {
                    let wanted = job.claim(batch.num_rows() as u64) as usize;
                    if wanted > 0 && sender.send(Ok(batch.slice(0, wanted))).await.is_err() {
                        return;
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    // Nobody listens any more when this fails.
                    let _ = sender.send(Err(error)).await;
                    return;
                }
            }
        }
    }
}

/// The receiving end: joins small batches that are ready together, cuts big ones. Dropping it stops the workers.
struct Rows {
    cancellation: CancellationToken,
    receiver: mpsc::Receiver<Result<RecordBatch>>,
    tasks: JoinSet<()>,
    ready: VecDeque<RecordBatch>,
    failed: Option<ConnectorError>,
    batch_rows: usize,
    job: Arc<Job>,
}

impl Rows {
    async fn next(&mut self) -> Option<Result<RecordBatch>> {
        // A cancelled query gets nothing more, also not the rest of a page that is here already.
        match cancellable(&self.cancellation.clone(), self.next_uncancelled()).await {
            Ok(next) => next,
            Err(cancelled) => Some(Err(cancelled)),
        }
    }

    async fn next_uncancelled(&mut self) -> Option<Result<RecordBatch>> {
        if let Some(batch) = self.ready.pop_front() {
            return Some(Ok(batch));
        }
        if let Some(error) = self.failed.take() {
            return Some(Err(error));
        }
        let first = match self.receiver.recv().await {
            Some(Ok(batch)) => batch,
            Some(Err(error)) => return Some(Err(error)),
            None => return self.ended().await.map(Err),
        };
        let mut rows = first.num_rows();
        let mut together = vec![first];
        while rows < self.batch_rows {
            match self.receiver.try_recv() {
                Ok(Ok(batch)) => {
                    rows += batch.num_rows();
                    together.push(batch);
                }
                Ok(Err(error)) => {
                    self.failed = Some(error);
                    break;
                }
                Err(_) => break,
            }
        }
        match self.cut(&together) {
            Ok(()) => self.ready.pop_front().map(Ok),
            Err(error) => Some(Err(error)),
        }
    }

    fn cut(&mut self, together: &[RecordBatch]) -> Result<()> {
        let joined = match together {
            [one] => one.clone(),
            several => concat_batches(&several[0].schema(), several)
                .map_err(|error| ConnectorError::Internal(error.to_string()))?,
        };
        // Rows without columns are only a number; there is nothing to cut.
        if joined.num_columns() == 0 || joined.num_rows() <= self.batch_rows {
            self.ready.push_back(joined);
            return Ok(());
        }
        let mut start = 0;
        while start < joined.num_rows() {
            let length = self.batch_rows.min(joined.num_rows() - start);
            self.ready.push_back(joined.slice(start, length));
            start += length;
        }
        Ok(())
    }

    /// No more batches come; that is the end only if no worker was lost.
    async fn ended(&mut self) -> Option<ConnectorError> {
        if let Some(error) = lost_worker(&mut self.tasks).await {
            return Some(error);
        }
        self.job.learn().await;
        None
    }
}
