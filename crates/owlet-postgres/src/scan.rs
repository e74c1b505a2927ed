//! Reading one split: connection, statement, decoding, and every way it can end. Must never know planning.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant, SystemTime};

use arrow::record_batch::RecordBatch;
use arrow_schema::SchemaRef;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream};
use owlet_connector::{BatchStream, ConnectorError, ScanContext, ServerId};
use tokio_postgres::{CopyOutStream, Statement};
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::anchor::Anchor;
use crate::aside::CopyRows;
use crate::cache::MetadataCache;
use crate::copy::{CopyReader, Malformed};
use crate::decode::{BatchDecoder, ColumnOrigin, DecodeError};
use crate::failure::{
    CHANGED_CODE, Stage, is_connection_failure, is_stale_metadata, is_transient, translate,
};
use crate::plan::SharedTable;
use crate::pool::{Lease, Pool};
use crate::rows::RowBlock;
use crate::session::Begin;
use crate::settings::Settings;
use crate::snapshot::{RunLease, Ticket, last_row, rewritten, rewritten_sql};

/// A batch is handed over when its values reach this size, whatever its number of rows.
const BATCH_BYTES: usize = 16 << 20;
/// Tries of a split before its first row; later failures are final.
const TRIES: usize = 3;
/// Pause before the second try; doubled for the third.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// What a split reads, ready for the wire.
#[derive(Debug)]
pub(crate) struct SplitQuery {
    pub(crate) sql: String,
    pub(crate) schema: SchemaRef,
    pub(crate) origins: Vec<ColumnOrigin>,
    /// Tables for messages.
    pub(crate) object: String,
    /// Those of them that are read under their own names, as schema and name.
    pub(crate) tables: Vec<(String, String)>,
    /// The server of the query.
    pub(crate) server: ServerId,
    /// The snapshot of the query, when it has several scans here.
    pub(crate) anchor: Option<Anchor>,
    /// How a transaction of its own ends.
    pub(crate) ending: Ending,
    /// The run it belongs to and the table all of its splits share.
    pub(crate) shared: Option<(Ticket, SharedTable)>,
}

/// How a transaction ends whose rows have been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Nothing was written.
    Commit,
    /// Functions that a given query calls may have written (`lo_create` does in a read-only transaction before
    /// version 16): nothing of it stays.
    Rollback,
}

impl Ending {
    fn sql(self) -> &'static str {
        match self {
            Self::Commit => "COMMIT",
            Self::Rollback => "ROLLBACK",
        }
    }
}

/// The connector's parts a scan works with.
#[derive(Debug, Clone)]
pub(crate) struct ScanParts {
    pub(crate) pool: Arc<Pool>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) cache: Arc<MetadataCache>,
}

/// The rows of a split. Nothing happens before the first poll.
pub(crate) fn stream(parts: ScanParts, query: SplitQuery, context: ScanContext) -> BatchStream {
    let scan = Scan {
        parts,
        query,
        context,
    };
    Box::pin(futures::stream::try_unfold(
        (scan, Progress::Unopened),
        |(scan, progress)| async move {
            let result = match progress {
                Progress::Unopened => scan.begin().await,
                Progress::Reading(reading) => scan.proceed(*reading).await,
                Progress::Done => return Ok(None),
            };
            match result {
                Ok((Some(batch), progress)) => Ok(Some((batch, (scan, progress)))),
                Ok((None, _)) => Ok(None),
                Err(error) => {
                    if is_stale_metadata(&error) {
                        scan.parts.cache.clear();
                    }
                    Err(error)
                }
            }
        },
    ))
}

/// A stream that only fails.
pub(crate) fn failed(error: ConnectorError) -> BatchStream {
    Box::pin(futures::stream::once(futures::future::ready(Err(error))))
}

struct Scan {
    parts: ScanParts,
    query: SplitQuery,
    context: ScanContext,
}

/// How far a scan has come.
enum Progress {
    Unopened,
    Reading(Box<Reading>),
    Done,
}

/// A batch, if rows were left, and how to go on.
type Step = Result<(Option<RecordBatch>, Progress), ConnectorError>;

/// A COPY under way.
struct Reading {
    connection: Connection,
    /// Rows that go past the driver.
    rows: Option<CopyRows>,
    /// The driver's answer: the rest of the rows, and how the COPY ended.
    answer: Pin<Box<CopyOutStream>>,
    cancelled: Pin<Box<WaitForCancellationFutureOwned>>,
    decoding: Decoding,
}

/// Rows on their way into a batch.
struct Decoding {
    reader: CopyReader,
    block: RowBlock,
    decoder: BatchDecoder,
    /// Bytes since the last batch.
    received: u64,
    batch_rows: usize,
}

/// Where the rows come from.
enum Connection {
    /// A transaction of its own, whose COMMIT is under way already.
    Own {
        lease: Lease,
        commit: BoxFuture<'static, Result<(), tokio_postgres::Error>>,
    },
    /// A transaction in the snapshot of all splits.
    Shared(RunLease),
}

/// A connection before its COPY.
enum Begun {
    Own(Lease),
    Shared(RunLease),
}

/// Why [`Reading::fill`] returned.
enum Filled {
    Batch,
    End,
}

impl Scan {
    /// Opens the split and reads its first batch, again if the failure allows it: no row has left yet.
    async fn begin(&self) -> Step {
        let mut pause = FIRST_PAUSE;
        let mut tried = 1;
        loop {
            let error = match self.open(tried).await {
                Ok(reading) => match self.proceed(reading).await {
                    Err(error) => error,
                    first => return first,
                },
                Err(error) => error,
            };
            let retry =
                is_transient(&error) || matches!(error, ConnectorError::ConnectionLost { .. });
            if !retry || tried == TRIES {
                return Err(error);
            }
            tracing::debug!(%error, tried, "reading again from the start");
            tokio::select! {
                () = self.context.cancellation.cancelled() => return Err(ConnectorError::Cancelled),
                () = tokio::time::sleep(pause) => {}
            }
            pause *= 2;
            tried += 1;
        }
    }

    async fn open(&self, tried: usize) -> Result<Reading, ConnectorError> {
        let cancellation = self.context.cancellation.clone();
        tokio::select! {
            biased;
            () = cancellation.cancelled() => Err(ConnectorError::Cancelled),
            reading = self.open_uncancelled(tried) => reading,
        }
    }

    async fn open_uncancelled(&self, tried: usize) -> Result<Reading, ConnectorError> {
        let pool = &self.parts.pool;
        let server = self.query.server;
        let mut begun = match &self.query.shared {
            Some((ticket, table)) => Begun::Shared(
                ticket
                    .connection(
                        (pool, server),
                        self.query.anchor.as_ref(),
                        &self.parts.settings.catalog,
                        table,
                    )
                    .await?,
            ),
            None if tried == 1 => Begun::Own(pool.acquire(server).await?),
            None => Begun::Own(pool.acquire_fresh(server).await?),
        };
        let started = self.start(begun.lease()?).await;
        let Started {
            rows,
            answer,
            decoder,
            commit,
        } = match started {
            Ok(started) => started,
            Err(error) => {
                if !is_connection_failure(&error) {
                    // The server has answered: there is nothing to cancel.
                    begun.lease()?.statement_finished();
                }
                return Err(error);
            }
        };
        let connection = match (begun, commit) {
            (Begun::Own(lease), Some(commit)) => Connection::Own { lease, commit },
            (Begun::Shared(lease), None) => Connection::Shared(lease),
            _ => {
                return Err(ConnectorError::Internal(
                    "a transaction of the wrong kind".to_owned(),
                ));
            }
        };
        Ok(Reading {
            connection,
            rows,
            answer,
            cancelled: Box::pin(self.context.cancellation.clone().cancelled_owned()),
            decoding: Decoding {
                reader: CopyReader::new(),
                block: RowBlock::new(decoder.width()),
                decoder,
                received: 0,
                batch_rows: self.context.batch_rows.max(1),
            },
        })
    }

    /// Begins the transaction unless it is shared, checks the columns, starts the COPY.
    async fn start(&self, lease: &mut Lease) -> Result<Started, ConnectorError> {
        let fail = |error: tokio_postgres::Error| self.translate(&error, Stage::Prepare);
        lease.statement_started();
        let client = Arc::clone(&lease.session()?.client);
        let mut check_sql = None;
        let begin_sql = match (&self.query.shared, &self.query.anchor) {
            (Some(_), _) => String::new(),
            (None, None) => {
                self.context.work.set_as_of(SystemTime::now());
                lease.session()?.begin_sql(&Begin::ReadCommitted)
            }
            (None, Some(anchor)) => {
                self.context.work.set_as_of(anchor.as_of);
                check_sql =
                    (!self.query.tables.is_empty()).then(|| rewritten_sql(&self.query.tables));
                lease
                    .session()?
                    .begin_sql(&Begin::JoinSnapshot(anchor.name.clone()))
            }
        };
        let may_commit_early = lease.session()?.may_commit_early();
        let copy_sql = format!("COPY ({}) TO STDOUT (FORMAT BINARY)", self.query.sql);
        self.context.work.add_request();
        // One round trip: the transaction, the query's column types (this also locks its tables), the COPY.
        let check = async {
            match &check_sql {
                Some(sql) => client.simple_query(sql).await.map(Some),
                None => Ok(None),
            }
        };
        let (begun, described, prepared, checked) = futures::join!(
            client.batch_execute(&begin_sql),
            client.prepare(&self.query.sql),
            client.prepare(&copy_sql),
            check,
        );
        begun.map_err(fail)?;
        let described = described.map_err(fail)?;
        let prepared = prepared.map_err(fail)?;
        if let Some(messages) = checked.map_err(fail)?
            && last_row(&messages).and_then(|row| row.get(0)) != Some("0")
        {
            return Err(rewritten(&self.parts.settings.catalog, &self.query.object));
        }
        let decoder = self.decoder(&described)?;
        // The second round trip. COMMIT (or ROLLBACK) follows at once, so that the connection is free as soon as the rows end.
        let rows = lease.session()?.expect_rows();
        let copy = client.copy_out(&prepared);
        tokio::pin!(copy);
        let sent = futures::poll!(&mut copy);
        let commit = match self.query.shared {
            Some(_) => None,
            None => {
                let client = Arc::clone(&client);
                let end_sql = self.query.ending.sql();
                let mut commit = async move { client.batch_execute(end_sql).await }.boxed();
                if !may_commit_early {
                    Some(commit)
                } else {
                    // This sends it. A short answer may be committed at once; a finished future must not be
                    // polled again.
                    match futures::poll!(&mut commit) {
                        Poll::Ready(Err(error)) => return Err(fail(error)),
                        Poll::Ready(Ok(())) => Some(futures::future::ready(Ok(())).boxed()),
                        Poll::Pending => Some(commit),
                    }
                }
            }
        };
        let answer = match sent {
            Poll::Ready(answer) => answer,
            Poll::Pending => copy.await,
        }
        .map_err(fail)?;
        Ok(Started {
            rows,
            answer: Box::pin(answer),
            decoder,
            commit,
        })
    }

    /// A decoder for what the server will send; an error if that is not what was planned.
    fn decoder(&self, described: &Statement) -> Result<BatchDecoder, ConnectorError> {
        let wire_types: Vec<_> = described
            .columns()
            .iter()
            .map(|column| column.type_().clone())
            .collect();
        BatchDecoder::new(
            Arc::clone(&self.query.schema),
            self.query.origins.clone(),
            &wire_types,
            self.parts.settings.options.infinity,
            self.context.batch_rows.max(1),
        )
        .map_err(|difference| ConnectorError::Source {
            catalog: self.parts.settings.catalog.clone(),
            code: Some(CHANGED_CODE.to_owned()),
            message: format!(
                "{} changed between planning and reading ({difference}); run the query again",
                self.query.object
            ),
        })
    }

    /// Reads up to the next batch and keeps the COPY for the one after, or ends it in good order.
    async fn proceed(&self, mut reading: Reading) -> Step {
        let started = Instant::now();
        reading.connection.lease()?.unpark();
        let filled = match reading.fill().await {
            Ok(filled) => filled,
            Err(Interruption::Cancelled) => {
                reading.connection.cancel().await;
                return Err(ConnectorError::Cancelled);
            }
            Err(Interruption::Server(error)) => {
                if error.as_db_error().is_some() {
                    reading.connection.lease()?.statement_finished();
                }
                return Err(self.read_error(&error, started));
            }
            Err(Interruption::Decode(DecodeError::Connector(error))) => return Err(error),
            Err(Interruption::Decode(DecodeError::Malformed(error))) => {
                return Err(ConnectorError::ConnectionLost {
                    catalog: self.parts.settings.catalog.clone(),
                    object: self.query.object.clone(),
                    message: error.to_string(),
                });
            }
        };
        let rows = reading.decoding.decoder.rows();
        self.context
            .work
            .add_bytes(std::mem::take(&mut reading.decoding.received))?;
        self.context.work.add_rows_returned(rows as u64)?;
        let batch = if rows > 0 {
            Some(reading.decoding.decoder.finish_batch()?)
        } else {
            None
        };
        match filled {
            Filled::Batch => {
                reading.connection.lease()?.park();
                Ok((batch, Progress::Reading(Box::new(reading))))
            }
            Filled::End => {
                self.end(reading).await?;
                Ok((batch, Progress::Done))
            }
        }
    }

    /// The stream ended: it counts only with the trailer, and with a commit.
    async fn end(&self, reading: Reading) -> Result<(), ConnectorError> {
        if !reading.decoding.reader.is_finished() {
            return Err(ConnectorError::ConnectionLost {
                catalog: self.parts.settings.catalog.clone(),
                object: self.query.object.clone(),
                message: "the rows ended without their trailer".to_owned(),
            });
        }
        match (reading.connection, &self.query.shared) {
            (Connection::Own { mut lease, commit }, _) => {
                commit
                    .await
                    .map_err(|error| self.translate(&error, Stage::Read))?;
                lease.statement_finished();
                lease.release();
            }
            (Connection::Shared(connection), Some((ticket, table))) => {
                ticket
                    .finished(connection, &self.parts.settings.catalog, table)
                    .await?;
            }
            (Connection::Shared(_), None) => {
                return Err(ConnectorError::Internal(
                    "a shared connection without a run".to_owned(),
                ));
            }
        }
        Ok(())
    }

    fn read_error(&self, error: &tokio_postgres::Error, started: Instant) -> ConnectorError {
        let translated = self.translate(error, Stage::Read);
        let limit = self.parts.settings.options.statement_timeout;
        match translated {
            // Told by the clock where the server's message is not in English.
            ConnectorError::Source {
                catalog,
                code: Some(code),
                message,
            } if code == "57014" && limit.is_some_and(|limit| started.elapsed() >= limit) => {
                ConnectorError::Timeout {
                    catalog,
                    message,
                    hint: "raise statement_timeout, or narrow the query".to_owned(),
                }
            }
            other => other,
        }
    }

    fn translate(&self, error: &tokio_postgres::Error, stage: Stage) -> ConnectorError {
        let translated = translate(
            error,
            stage,
            &self.parts.settings.catalog,
            &self.query.object,
        );
        if is_connection_failure(&translated) {
            tracing::debug!(error = %translated, "connection failed");
        }
        translated
    }
}

/// A COPY that the server has accepted.
struct Started {
    rows: Option<CopyRows>,
    answer: Pin<Box<CopyOutStream>>,
    decoder: BatchDecoder,
    /// The COMMIT that follows a transaction of its own.
    commit: Option<BoxFuture<'static, Result<(), tokio_postgres::Error>>>,
}

impl Begun {
    fn lease(&mut self) -> Result<&mut Lease, ConnectorError> {
        match self {
            Self::Own(lease) => Ok(lease),
            Self::Shared(lease) => lease.lease(),
        }
    }
}

impl Connection {
    fn lease(&mut self) -> Result<&mut Lease, ConnectorError> {
        match self {
            Self::Own { lease, .. } => Ok(lease),
            Self::Shared(lease) => lease.lease(),
        }
    }

    async fn cancel(self) {
        match self {
            Self::Own { lease, .. } => lease.cancel().await,
            Self::Shared(lease) => lease.cancel().await,
        }
    }
}

enum Interruption {
    Cancelled,
    Server(tokio_postgres::Error),
    Decode(DecodeError),
}

impl From<Malformed> for Interruption {
    fn from(error: Malformed) -> Self {
        Self::Decode(error.into())
    }
}

impl Decoding {
    /// Decodes whole rows that these messages begin with; returns the bytes of their messages.
    fn feed_rows(&mut self, messages: &[u8]) -> Result<usize, Interruption> {
        if !self.reader.is_between_rows() {
            return Ok(0);
        }
        let room = self.batch_rows.saturating_sub(self.decoder.rows());
        self.block.find(messages, room);
        self.decoder
            .push_rows(messages, &self.block)
            .map_err(Interruption::Decode)?;
        self.received += self.block.copied_bytes() as u64;
        Ok(self.block.message_bytes())
    }

    fn feed(&mut self, part: &[u8]) -> Result<(), Interruption> {
        self.received += part.len() as u64;
        self.reader
            .feed(part, &mut self.decoder)
            .map_err(Interruption::Decode)
    }

    /// Between two rows only: inside one, some columns have a value more than others.
    fn is_full(&self) -> bool {
        if self.reader.is_inside_row() {
            return false;
        }
        self.decoder.rows() >= self.batch_rows || self.decoder.bytes() >= BATCH_BYTES
    }
}

impl Reading {
    /// Decodes rows until a batch is full or the stream ends. The loop stays inside one poll: waking up for each
    /// message would cost more than decoding it.
    fn fill(&mut self) -> impl Future<Output = Result<Filled, Interruption>> + '_ {
        std::future::poll_fn(move |context| self.poll_fill(context))
    }

    fn poll_fill(&mut self, context: &mut Context<'_>) -> Poll<Result<Filled, Interruption>> {
        if self.cancelled.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(Interruption::Cancelled));
        }
        while let Some(rows) = &mut self.rows {
            if !ready!(rows.poll_more(context)) {
                self.rows = None;
                break;
            }
            loop {
                let read = self.decoding.feed_rows(rows.messages())?;
                rows.pass_over(read);
                if read == 0 {
                    // The beginning or the end of the stream, or a row of which only a part is there.
                    let Some(part) = rows.next_part()? else {
                        break;
                    };
                    self.decoding.feed(part)?;
                }
                if self.decoding.is_full() {
                    return Poll::Ready(Ok(Filled::Batch));
                }
            }
        }
        loop {
            let part = match ready!(self.answer.as_mut().poll_next(context)) {
                None => return Poll::Ready(Ok(Filled::End)),
                Some(part) => part.map_err(Interruption::Server)?,
            };
            self.decoding.feed(&part)?;
            if self.decoding.is_full() {
                return Poll::Ready(Ok(Filled::Batch));
            }
        }
    }
}
