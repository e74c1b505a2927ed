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
use crate::background::Background;
use crate::errors::{CliError, Result};
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::session::Session;
use crate::statements::Statement;

/// Batches computed ahead of those being written.
const BATCHES_AHEAD: usize = 2;

/// How long sources may take to confirm a cancelled query before the process stops waiting for them.
const CANCEL_PATIENCE: Duration = Duration::from_secs(3);

/// How long connectors may take to send what cancels the statements a query has left at its servers.
const SENDING_PATIENCE: Duration = Duration::from_secs(2);

/// The same after a whole answer that had other sources, too. Their connections outlive a query and look like
/// something to wait for, which is seldom there: a LIMIT that was reached has to have left it.
const AMONG_OTHERS_PATIENCE: Duration = Duration::from_millis(250);

/// When a statement must have ended. The time runs from before its planning: sources may hang there, too.
#[derive(Debug, Clone, Copy)]
struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    fn from_now(limit: Duration) -> Self {
        Self {
            at: Instant::now() + limit,
            limit,
        }
    }

    /// Resolves when the time is over; never without a limit.
    async fn passed(deadline: Option<Self>) -> EngineError {
        let Some(Self { at, limit }) = deadline else {
            return std::future::pending().await;
        };
        tokio::time::sleep_until(at).await;
        EngineError::Timeout {
            seconds: limit.as_secs_f64(),
        }
    }
}

/// A planned statement, whose time runs.
pub struct Planned {
    /// The plan.
    pub query: PlannedQuery,
    deadline: Option<Deadline>,
}

/// Plans a statement; Ctrl-C and the time limit give up.
pub async fn plan(
    session: &Session,
    statement: &Statement,
    options: &QueryOptions,
    interrupt: &Interrupt,
) -> Result<Planned> {
    let deadline = options.timeout.map(Deadline::from_now);
    let background = Background::now(session);
    let (engine, sql, options) = (
        session.engine.clone(),
        statement.text.clone(),
        options.clone(),
    );
    let planning = session
        .workers
        .run(async move { engine.plan(&sql, &options).await });
    let given_up = tokio::select! {
        planned = planning => {
            let query = planned?.map_err(|error| CliError::statement(error, statement))?;
            return Ok(Planned { query, deadline });
        }
        () = interrupt.token().cancelled() => CliError::Interrupted,
        error = Deadline::passed(deadline) => CliError::statement(error, statement),
    };
    background.settle(session, SENDING_PATIENCE).await;
    Err(given_up)
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
    session: &'a Session,
    statement: &'a Statement,
    interrupt: &'a Interrupt,
    handle: QueryHandle,
    batches: mpsc::Receiver<Result<RecordBatch, EngineError>>,
    /// `None` once it has ended or been given up.
    pump: Option<JoinHandle<WorkReport>>,
    /// What the pump has handed over at its end.
    report: Option<WorkReport>,
    deadline: Option<Deadline>,
    /// What the workers did before the query; `None` once they do no more than that.
    background: Option<Background>,
    ending: Ending,
    progress: Option<Progress>,
    /// `None` once the query has ended.
    announcement: Option<Announcement>,
    rows: u64,
}

/// How far a query has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// It has not ended, or in the middle.
    Early,
    /// The answer was read to its end.
    Whole,
}

impl<'a> Execution<'a> {
    /// Starts a planned statement.
    pub fn start(
        session: &'a Session,
        planned: Planned,
        statement: &'a Statement,
        interrupt: &'a Interrupt,
        lines: ProgressLines,
    ) -> Result<Self> {
        let Planned { query, deadline } = planned;
        let background = Background::now(session);
        let stream = {
            // The engine starts tasks; they belong to the workers.
            let _workers = session.workers.handle().enter();
            query
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
            session,
            statement,
            interrupt,
            handle,
            batches,
            pump: Some(session.workers.handle().spawn(pump(stream, sender))),
            report: None,
            deadline,
            background: Some(background),
            ending: Ending::Early,
            progress,
            announcement: Some(announcement),
            rows: 0,
        })
    }

    /// The next batch, `None` after the last. After Ctrl-C the query is cancelled at its sources and
    /// [`CliError::Interrupted`] returned.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let next = tokio::select! {
            next = self.batches.recv() => next,
            () = self.interrupt.token().cancelled() => {
                self.cancel().await;
                return Err(CliError::Interrupted);
            }
            error = Deadline::passed(self.deadline) => {
                self.cancel().await;
                Some(Err(error))
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
                self.ending = Ending::Whole;
                Ok(())
            }
            Err(error) => Err(EngineError::Internal(format!(
                "the query's task failed: {error}"
            ))),
        }
    }

    /// Ends the query unless it has ended. However it did, what it has left running at its sources is cancelled before
    /// this returns: the process may end next.
    async fn cancel(&mut self) {
        self.progress = None;
        self.announcement = None;
        self.handle.cancel();
        self.batches.close();
        if let Some(mut pump) = self.pump.take() {
            match tokio::time::timeout(CANCEL_PATIENCE, &mut pump).await {
                Ok(report) => self.report = report.ok(),
                // A query that does not hear it in time ends with the process.
                Err(_) => pump.abort(),
            }
        }
        if let (Some(background), Some(patience)) = (self.background.take(), self.patience()) {
            background.settle(self.session, patience).await;
        }
    }

    /// How long to wait for what the sources were told; `None` when none has statements that go on without us.
    fn patience(&self) -> Option<Duration> {
        let engine = &self.session.engine;
        let sources = self.handle.work().sources();
        let servers = sources
            .iter()
            .filter_map(|work| engine.source(&work.catalog)?.connector().activity())
            .count();
        match self.ending {
            _ if servers == 0 => None,
            Ending::Whole if servers < sources.len() => Some(AMONG_OTHERS_PATIENCE),
            Ending::Whole | Ending::Early => Some(SENDING_PATIENCE),
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
