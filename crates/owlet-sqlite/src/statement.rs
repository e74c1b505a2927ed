//! Runs one statement on a blocking thread and sends its batches through a bounded channel. Dropping the stream
//! interrupts the statement. Must never know plans.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use arrow_schema::Schema;
use futures::Stream;
use owlet_connector::{ConnectorError, Result, WorkRecorder};
use rusqlite::InterruptHandle;
use rusqlite::types::{ToSqlOutput, ValueRef};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
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
        let cancellation = self.cancellation.clone();
        stream_from_thread(&cancellation, move |sender, control| {
            self.run(sender, control)
        })
    }

    /// Ends well only after the last row.
    fn run(&self, sender: &mpsc::Sender<RecordBatch>, control: &Control) -> Result<()> {
        let connection = self.pool.take()?;
        if !control.begin(connection.get_interrupt_handle()) {
            return Err(ConnectorError::Cancelled);
        }
        // Dropped before the connection goes back to the pool: an interrupt must not hit its next statement.
        let _running = FinishOnDrop(control);
        self.read(&connection, sender)
    }

    fn read(
        &self,
        connection: &PooledConnection,
        sender: &mpsc::Sender<RecordBatch>,
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
                let value = row.get_ref(unfit.column).map_err(sqlite)?;
                let key = self.row_number(connection, &unfit, value);
                return Err(decoder.error(unfit, key, connection.catalog()));
            }
            if decoder.rows() >= self.batch_rows || decoder.bytes() >= BATCH_BYTES {
                self.send(&mut decoder, sender)?;
            }
        }
        if decoder.rows() > 0 {
            self.send(&mut decoder, sender)?;
        }
        Ok(())
    }

    fn send(&self, decoder: &mut Decoder, sender: &mpsc::Sender<RecordBatch>) -> Result<()> {
        self.work.add_bytes(decoder.bytes() as u64)?;
        self.work.add_rows_returned(decoder.rows() as u64)?;
        let batch = decoder.finish()?;
        // The reader is gone.
        sender
            .blocking_send(batch)
            .map_err(|_| ConnectorError::Cancelled)
    }

    /// The number of a row with the offending value, for the error message; not every table has one.
    fn row_number(
        &self,
        connection: &PooledConnection,
        unfit: &Unfit,
        value: ValueRef<'_>,
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
        // Bound as it is stored: a text need not be UTF-8.
        let value = ToSqlOutput::Borrowed(value);
        connection.query_row(&sql, [value], |row| row.get(0)).ok()
    }
}

/// Runs `work` on a blocking thread and streams the batches it sends.
fn stream_from_thread(
    cancellation: &CancellationToken,
    work: impl FnOnce(&mpsc::Sender<RecordBatch>, &Control) -> Result<()> + Send + 'static,
) -> StatementStream {
    let (sender, receiver) = mpsc::channel(CHANNEL_BATCHES);
    let control = Arc::new(Control::default());
    let running = Arc::clone(&control);
    let worker = tokio::task::spawn_blocking(move || {
        let _running = FinishOnDrop(&running);
        work(&sender, &running)
    });
    StatementStream {
        receiver,
        worker,
        control,
        cancelled: Box::pin(cancellation.clone().cancelled_owned()),
        ended: false,
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

/// The statement has stopped, even by a panic: nobody has to interrupt it any more.
struct FinishOnDrop<'a>(&'a Control);

impl Drop for FinishOnDrop<'_> {
    fn drop(&mut self) {
        self.0.finish();
    }
}

/// Batches of a running statement.
pub(crate) struct StatementStream {
    receiver: mpsc::Receiver<RecordBatch>,
    /// Tells how the statement ended. That no more batches come does not: the thread may be lost.
    worker: JoinHandle<Result<()>>,
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
        if let Some(batch) = ready!(self.receiver.poll_recv(context)) {
            return Poll::Ready(Some(Ok(batch)));
        }
        let outcome = ready!(Pin::new(&mut self.worker).poll(context));
        self.ended = true;
        Poll::Ready(match outcome {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(Err(error)),
            Err(lost) => Some(Err(ConnectorError::Internal(format!(
                "a SQLite statement ended early: {lost}"
            )))),
        })
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

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;
    use rusqlite::Connection;

    use super::*;

    fn batch() -> RecordBatch {
        RecordBatch::new_empty(Arc::new(Schema::empty()))
    }

    fn send(sender: &mpsc::Sender<RecordBatch>) {
        sender.blocking_send(batch()).expect("the stream listens");
    }

    #[tokio::test]
    async fn a_statement_ends_with_its_outcome() {
        let cancellation = CancellationToken::new();
        let mut whole = stream_from_thread(&cancellation, |sender, _| {
            send(sender);
            Ok(())
        });
        assert!(matches!(whole.next().await, Some(Ok(_))));
        assert!(whole.next().await.is_none());
        assert!(whole.next().await.is_none());

        let mut failed = stream_from_thread(&cancellation, |sender, _| {
            send(sender);
            Err(ConnectorError::Internal("failed on purpose".to_owned()))
        });
        assert!(matches!(failed.next().await, Some(Ok(_))));
        assert!(matches!(failed.next().await, Some(Err(_))));
        assert!(failed.next().await.is_none());
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_not_the_end() {
        let mut stream = stream_from_thread(&CancellationToken::new(), |sender, control| {
            let connection = Connection::open_in_memory().expect("opens");
            assert!(control.begin(connection.get_interrupt_handle()));
            send(sender);
            panic!("lost on purpose")
        });
        assert!(matches!(stream.next().await, Some(Ok(_))));
        let error = stream.next().await.expect("not the end").expect_err("lost");
        assert!(error.to_string().contains("lost on purpose"), "{error}");
        assert!(stream.next().await.is_none());
        assert!(!stream.control.interrupt(), "nothing runs any more");
    }

    #[test]
    fn a_statement_that_never_ran_is_an_error_and_not_the_end() {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let handle = runtime.handle().clone();
        runtime.shutdown_background();
        let _entered = handle.enter();
        let mut stream = stream_from_thread(&CancellationToken::new(), |_, _| Ok(()));
        let next = futures::executor::block_on(stream.next());
        assert!(matches!(next, Some(Err(_))), "{next:?}");
    }
}
