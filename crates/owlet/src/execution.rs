//! Runs one statement: plan, stream, write, cancel. Must never know a command or a format.

use std::time::Duration;

use arrow::record_batch::RecordBatch;
use futures::StreamExt;
use owlet_connector::WorkReport;
use owlet_engine::{Engine, PlannedQuery, QueryOptions, QueryStream};

use crate::errors::{CliError, Result};
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::statements::Statement;

/// How long sources may take to confirm a cancelled query before the process stops waiting for them.
const CANCEL_PATIENCE: Duration = Duration::from_secs(3);

/// Connectors send their cancel requests from tasks of their own; the process must not end before these ran.
const CANCEL_GRACE: Duration = Duration::from_millis(250);

/// Plans a statement; Ctrl-C gives up.
pub async fn plan(
    engine: &Engine,
    statement: &Statement,
    options: &QueryOptions,
    interrupt: &Interrupt,
) -> Result<PlannedQuery> {
    tokio::select! {
        planned = engine.plan(&statement.text, options) => {
            planned.map_err(|error| CliError::statement(error, statement))
        }
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

/// A query that has been started, with everything that watches it.
pub struct Execution<'a> {
    statement: &'a Statement,
    interrupt: &'a Interrupt,
    stream: QueryStream,
    progress: Option<Progress>,
}

impl<'a> Execution<'a> {
    /// Starts a planned statement.
    pub fn start(
        planned: PlannedQuery,
        statement: &'a Statement,
        interrupt: &'a Interrupt,
        lines: ProgressLines,
    ) -> Result<Self> {
        let stream = planned
            .execute()
            .map_err(|error| CliError::statement(error, statement))?;
        let progress = match lines {
            ProgressLines::Shown => Some(Progress::watch(std::sync::Arc::clone(
                stream.handle().work(),
            ))),
            ProgressLines::Hidden => None,
        };
        Ok(Self {
            statement,
            interrupt,
            stream,
            progress,
        })
    }

    /// The next batch, `None` after the last. After Ctrl-C the query is cancelled at its sources and
    /// [`CliError::Interrupted`] returned.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>> {
        let next = tokio::select! {
            next = self.stream.next() => next,
            () = self.interrupt.token().cancelled() => {
                self.cancel().await;
                return Err(CliError::Interrupted);
            }
        };
        if !matches!(next, Some(Ok(_))) {
            self.progress = None;
        }
        next.transpose()
            .map_err(|error| CliError::statement(error, self.statement))
    }

    /// The work report; complete once [`Self::next`] has returned `None`.
    pub fn work_report(&self) -> WorkReport {
        self.stream.work_report()
    }

    async fn cancel(&mut self) {
        self.progress = None;
        self.stream.handle().cancel();
        let drained = async { while let Some(Ok(_)) = self.stream.next().await {} };
        // When a source does not confirm in time, dropping the stream is all that is left to do.
        let _ = tokio::time::timeout(CANCEL_PATIENCE, drained).await;
        if !self.stream.handle().work().sources().is_empty() {
            tokio::time::sleep(CANCEL_GRACE).await;
        }
    }
}
