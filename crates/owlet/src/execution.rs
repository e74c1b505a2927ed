//! Runs one statement: plan, stream, write, cancel. Must never know a command or a format.

use std::sync::Arc;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use owlet_connector::WorkReport;
use owlet_engine::{EngineError, PlannedQuery, QueryHandle, QueryOptions, QueryStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::activity::{self, Announcement};
use crate::errors::{CliError, Result};
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::session::Session;
use crate::statements::Statement;

/// Batches computed ahead of those being written.
const BATCHES_AHEAD: usize = 2;

/// The engine keeps the time limit itself; this much later it has not been able to.
const TIMEOUT_GRACE: Duration = Duration::from_secs(1);

/// How long sources may take to confirm a cancelled query before the process stops waiting for them.
const CANCEL_PATIENCE: Duration = Duration::from_secs(3);

/// Connectors send their cancel requests from tasks of their own; the process must not end before these ran.
const CANCEL_GRACE: Duration = Duration::from_millis(250);

/// Plans a statement; Ctrl-C gives up.
pub async fn plan(
    session: &Session,
    statement: &Statement,
    options: &QueryOptions,
    interrupt: &Interrupt,
) -> Result<PlannedQuery> {
    let (engine, sql, options) = (
        session.engine.clone(),
        statement.text.clone(),
        options.clone(),
    );
    let planning = session
        .workers
        .run(async move { engine.plan(&sql, &options).await });
    tokio::select! {
        planned = planning => planned?.map_err(|error| CliError::statement(error, statement)),
        () = interrupt.token().cancelled() => Err(CliError::Interrupted),
    }
}

/// Whether lines about the running query are drawn on the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgressLines {
    /// Drawn on the standard error.
    Shown,
    /// Not drawn.
    Hidden,
}

/// A query that has been started, with everything that watches it. The query runs on tasks of its own, so that
/// Ctrl-C and the time limit are heard even while it computes without a pause.
pub struct Execution<'a> {
    statement: &'a Statement,
    interrupt: &'a Interrupt,
    handle: QueryHandle,
    batches: mpsc::Receiver<Result<RecordBatch, EngineError>>,
    /// `None` once it has ended or been given up.
    pump: Option<JoinHandle<WorkReport>>,
    /// What the pump has handed over at its end.
    report: Option<WorkReport>,
    deadline: Option<(Instant, Duration)>,
    progress: Option<Progress>,
    /// `None` once the query has ended.
    announcement: Option<Announcement>,
    rows: u64,
}

impl<'a> Execution<'a> {
    /// Starts a planned statement.
    pub fn start(
        session: &Session,
        planned: PlannedQuery,
        statement: &'a Statement,
        options: &QueryOptions,
        interrupt: &'a Interrupt,
        lines: ProgressLines,
    ) -> Result<Self> {
        let stream = {
            // The engine starts tasks; they belong to the workers.
            let _workers = session.workers.handle().enter();
            planned
                .execute()
                .map_err(|error| CliError::statement(error, statement))?
        };
        let handle = stream.handle();
        let progress = match lines {
            ProgressLines::Shown => Some(Progress::watch(Arc::clone(handle.work()))),
            ProgressLines::Hidden => None,
        };
        let (sender, batches) = mpsc::channel(BATCHES_AHEAD);
        let announcement = activity::announce(session.engine.clone(), Arc::clone(handle.work()));
        Ok(Self {
            statement,
            interrupt,
            handle,
            batches,
            pump: Some(session.workers.handle().spawn(pump(stream, sender))),
            report: None,
            deadline: options
                .timeout
                .map(|limit| (Instant::now() + limit + TIMEOUT_GRACE, limit)),
            progress,
            announcement: Some(announcement),
            rows: 0,
        })
    }

    /// The next batch, `None` after the last. After Ctrl-C the query is cancelled at its sources and
    /// [`CliError::Interrupted`] returned.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let overdue = async {
            match self.deadline {
                Some((at, limit)) => {
                    tokio::time::sleep_until(at).await;
                    limit
                }
                None => std::future::pending().await,
            }
        };
        let next = tokio::select! {
            next = self.batches.recv() => next,
            () = self.interrupt.token().cancelled() => {
                self.cancel().await;
                return Err(CliError::Interrupted);
            }
            limit = overdue => {
                self.cancel().await;
                Some(Err(EngineError::Timeout { seconds: limit.as_secs_f64() }))
            }
        };
        let next = match next {
            Some(Ok(batch)) => {
                self.rows += batch.num_rows() as u64;
                return Ok(Some(batch));
            }
            Some(Err(error)) => Err(error),
            None => self.join().await,
        };
        self.progress = None;
        self.announcement = None;
        next.map(|()| None)
            .map_err(|error| CliError::statement(error, self.statement))
    }

    /// Ends the query at its sources if it has not ended by itself, and gives the work report.
    pub async fn finish(mut self) -> WorkReport {
        self.cancel().await;
        // Without the pump's report the query computes without a pause and has not heard the cancellation: what
        // the counters say is all there is.
        self.report.take().unwrap_or_else(|| {
            let sources = self.handle.work().sources();
            WorkReport {
                elapsed_ms: self.handle.work().elapsed().as_secs_f64() * 1000.0,
                rows: self.rows,
                peak_memory_bytes: 0,
                skew_ms: WorkReport::skew_between(&sources),
                sources,
            }
        })
    }

    /// Awaits the pump after its last batch. When it has failed, the answer would be short: there is none.
    async fn join(&mut self) -> Result<(), EngineError> {
        let Some(pump) = self.pump.take() else {
            return Ok(());
        };
        match pump.await {
            Ok(report) => {
                self.report = Some(report);
                Ok(())
            }
            Err(error) => Err(EngineError::Internal(format!(
                "the query's task failed: {error}"
            ))),
        }
    }

    async fn cancel(&mut self) {
        self.progress = None;
        self.announcement = None;
        let Some(mut pump) = self.pump.take() else {
            return;
        };
        let has_ended = pump.is_finished();
        self.handle.cancel();
        self.batches.close();
        match tokio::time::timeout(CANCEL_PATIENCE, &mut pump).await {
            Ok(report) => self.report = report.ok(),
            // A query that does not hear it in time ends with the process.
            Err(_) => pump.abort(),
        }
        if !has_ended && !self.handle.work().sources().is_empty() {
            tokio::time::sleep(CANCEL_GRACE).await;
        }
    }
}

/// Moves batches from the query to whoever writes them; ends when either side does.
async fn pump(
    mut stream: QueryStream,
    batches: mpsc::Sender<Result<RecordBatch, EngineError>>,
) -> WorkReport {
    while let Some(batch) = stream.next().await {
        if batches.send(batch).await.is_err() {
            break;
        }
    }
    stream.work_report()
}
