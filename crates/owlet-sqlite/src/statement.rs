//! Runs one statement on a blocking thread and sends its batches through a bounded channel. Dropping the stream
//! interrupts the statement. Must never know plans.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use arrow_schema::Schema;
use futures::Stream;
use owlet_connector::{ConnectorError, Result, WorkRecorder};
use rusqlite::InterruptHandle;
use rusqlite::types::Value;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::connection::{Pool, PooledConnection};
use crate::decode::{ColumnSource, Decoder, Unfit};

/// Batches in flight between SQLite's thread and the engine.
const CHANNEL_BATCHES: usize = 2;
/// A batch is sent early when its payload grows beyond this.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// How often a statement is interrupted again until it stops: an interrupt that comes before the statement's first
/// step is lost.
const INTERRUPT_AGAIN: Duration = Duration::from_millis(20);

/// A statement to run.
pub(crate) struct Statement {
    pub pool: Arc<Pool>,
    pub sql: String,
    pub schema: Schema,
    pub columns: Vec<ColumnSource>,
    pub batch_rows: usize,
    pub work: Arc<WorkRecorder>,
    pub cancellation: CancellationToken,
}

impl Statement {
    /// Starts at once; the stream ends after the last batch or the first error.
    pub fn start(self) -> StatementStream {
        let (sender, receiver) = mpsc::channel(CHANNEL_BATCHES);
        let control = Arc::new(Control::default());
        let cancelled = Box::pin(self.cancellation.clone().cancelled_owned());
        let running = Arc::clone(&control);
        tokio::task::spawn_blocking(move || {
            let outcome = self.run(&sender, &running);
            running.finish();
            if let Err(error) = outcome {
                // The reader may be gone; then nobody wants the error.
                let _ = sender.blocking_send(Err(error));
            }
        });
        StatementStream {
            receiver,
            control,
            cancelled,
            ended: false,
        }
    }

    fn run(&self, sender: &mpsc::Sender<Result<RecordBatch>>, control: &Control) -> Result<()> {
        let connection = self.pool.take()?;
        if !control.begin(connection.get_interrupt_handle()) {
            return Ok(());
        }
        let outcome = self.read(&connection, sender);
        // Before the connection goes back to the pool: an interrupt must not hit its next statement.
        control.finish();
        outcome
    }

    fn read(
        &self,
        connection: &PooledConnection,
        sender: &mpsc::Sender<Result<RecordBatch>>,
    ) -> Result<()> {
        let sqlite = |error: rusqlite::Error| connection.error(&error);
        self.work.add_request();
        let mut decoder = Decoder::new(&self.schema, &self.columns, self.batch_rows)?;
        let mut statement = connection.prepare_cached(&self.sql).map_err(sqlite)?;
        let mut rows = statement.query([]).map_err(sqlite)?;
        while let Some(row) = rows.next().map_err(sqlite)? {
            let appended = decoder
                .append(|position| row.get_ref(position))
                .map_err(sqlite)?;
            if let Err(unfit) = appended {
                let value = row.get::<_, Value>(unfit.column).ok();
                let key = value.and_then(|value| self.row_number(connection, &unfit, &value));
                return Err(decoder.error(unfit, key));
            }
            let is_full = decoder.rows() >= self.batch_rows || decoder.bytes() >= BATCH_BYTES;
            if is_full && !self.send(&mut decoder, sender)? {
                return Ok(());
            }
        }
        if decoder.rows() > 0 {
            self.send(&mut decoder, sender)?;
        }
        Ok(())
    }

    /// Whether the reader still wants more.
    fn send(
        &self,
        decoder: &mut Decoder,
        sender: &mpsc::Sender<Result<RecordBatch>>,
    ) -> Result<bool> {
        self.work.add_bytes(decoder.bytes() as u64)?;
        self.work.add_rows_returned(decoder.rows() as u64)?;
        let batch = decoder.finish()?;
        Ok(sender.blocking_send(Ok(batch)).is_ok())
    }

    /// The number of a row with the offending value, for the error message; not every table has one.
    fn row_number(
        &self,
        connection: &PooledConnection,
        unfit: &Unfit,
        value: &Value,
    ) -> Option<i64> {
        let source = self.columns.get(unfit.column)?;
        if source.table.is_empty() {
            return None;
        }
        let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let column = quote(&source.column);
        let sql = format!(
            "SELECT _rowid_ FROM main.{} WHERE {column} IS ?1 AND typeof({column}) = typeof(?1) LIMIT 1",
            quote(&source.table)
        );
        connection.query_row(&sql, [value], |row| row.get(0)).ok()
    }
}

/// Lets the stream interrupt the statement while, and only while, it runs.
#[derive(Default)]
struct Control {
    state: Mutex<State>,
}

#[derive(Default)]
enum State {
    #[default]
    Waiting,
    Running(InterruptHandle),
    Stopped,
}

impl Control {
    /// False when the stream was dropped before.
    fn begin(&self, handle: InterruptHandle) -> bool {
        let mut state = self.lock();
        if matches!(*state, State::Stopped) {
            return false;
        }
        *state = State::Running(handle);
        true
    }

    fn finish(&self) {
        *self.lock() = State::Stopped;
    }

    /// Interrupts a running statement; true while it has not stopped yet.
    fn interrupt(&self) -> bool {
        let mut state = self.lock();
        match &*state {
            State::Waiting => {
                *state = State::Stopped;
                false
            }
            State::Running(handle) => {
                handle.interrupt();
                true
            }
            State::Stopped => false,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Batches of a running statement.
pub(crate) struct StatementStream {
    receiver: mpsc::Receiver<Result<RecordBatch>>,
    control: Arc<Control>,
    cancelled: Pin<Box<WaitForCancellationFutureOwned>>,
    ended: bool,
}

impl Stream for StatementStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if self.cancelled.as_mut().poll_cancelled(context) {
            self.ended = true;
            self.stop();
            return Poll::Ready(Some(Err(ConnectorError::Cancelled)));
        }
        let polled = self.receiver.poll_recv(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.ended = true;
        }
        polled
    }
}

trait PollCancelled {
    fn poll_cancelled(self, context: &mut Context<'_>) -> bool;
}

impl PollCancelled for Pin<&mut WaitForCancellationFutureOwned> {
    fn poll_cancelled(self, context: &mut Context<'_>) -> bool {
        std::future::Future::poll(self, context).is_ready()
    }
}

impl StatementStream {
    /// Interrupts the statement until it has stopped, without waiting for it.
    fn stop(&mut self) {
        self.receiver.close();
        if !self.control.interrupt() {
            return;
        }
        let control = Arc::clone(&self.control);
        std::thread::spawn(move || {
            while control.interrupt() {
                std::thread::sleep(INTERRUPT_AGAIN);
            }
        });
    }
}

impl Drop for StatementStream {
    fn drop(&mut self) {
        self.stop();
    }
}
