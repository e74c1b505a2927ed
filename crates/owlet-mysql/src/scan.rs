//! Reading one split: connection, statement, decoding, and every way it can end. Must never know planning.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arrow::record_batch::RecordBatch;
use arrow_schema::SchemaRef;
use mysql_async::prelude::Queryable;
use mysql_async::{BinaryProtocol, Error, QueryResult, Statement};
use owlet_connector::{BatchStream, ConnectorError, ScanContext, ServerId};

use crate::agreement::Source;
use crate::cache::MetadataCache;
use crate::decode::{BatchDecoder, ColumnOrigin};
use crate::failure::{
    CHANGED_CODE, Stage, is_connection_failure, is_stale_metadata, is_transient, translate,
};
use crate::plan::SharedTable;
use crate::pool::{Lease, Pool};
use crate::settings::Settings;
use crate::snapshot::{RunLease, Ticket};

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
    /// Where its query reads.
    pub(crate) server: ServerId,
    /// Its part in a snapshot that others see too.
    pub(crate) ticket: Option<Ticket>,
    /// The table that all splits of its plan share.
    pub(crate) shared: Option<SharedTable>,
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

/// A statement under way.
struct Reading {
    connection: Connection,
    statement: Statement,
    decoder: BatchDecoder,
    batch_rows: usize,
}

/// Where the rows come from.
enum Connection {
    /// A statement of its own.
    Own(Lease),
    /// A transaction in the snapshot of all splits.
    Shared(RunLease),
}

impl Connection {
    fn lease(&mut self) -> Result<&mut Lease, ConnectorError> {
        match self {
            Self::Own(lease) => Ok(lease),
            Self::Shared(lease) => lease.lease(),
        }
    }

    fn park(&mut self) -> Result<(), ConnectorError> {
        match self {
            Self::Own(lease) => {
                lease.park();
                Ok(())
            }
            Self::Shared(lease) => lease.park(),
        }
    }

    fn unpark(&mut self) -> Result<(), ConnectorError> {
        match self {
            Self::Own(lease) => {
                lease.unpark();
                Ok(())
            }
            Self::Shared(lease) => lease.unpark(),
        }
    }

    async fn cancel(self) {
        match self {
            Self::Own(lease) => lease.cancel().await,
            Self::Shared(lease) => lease.cancel().await,
        }
    }
}

/// Why [`Reading::fill`] returned.
enum Filled {
    Batch,
    End,
}

enum Interruption {
    Server(Error),
    Decode(ConnectorError),
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
        let source = Source {
            pool,
            server,
            settings: &self.parts.settings,
            object: &self.query.object,
            table: self
                .query
                .shared
                .as_ref()
                .map(|table| (table.schema.as_str(), table.name.as_str())),
        };
        let mut connection = match &self.query.ticket {
            Some(ticket) => Connection::Shared(ticket.connection(source).await?),
            None if tried == 1 => Connection::Own(pool.acquire(server).await?),
            None => Connection::Own(pool.acquire_fresh(server).await?),
        };
        match self.start(connection.lease()?).await {
            Ok((statement, decoder)) => Ok(Reading {
                connection,
                statement,
                decoder,
                batch_rows: self.context.batch_rows.max(1),
            }),
            Err(error) => {
                if !is_connection_failure(&error) {
                    // The server has answered: there is nothing to cancel.
                    connection.lease()?.statement_finished();
                }
                Err(error)
            }
        }
    }

    /// Prepares the statement, checks its columns, starts it.
    async fn start(&self, lease: &mut Lease) -> Result<(Statement, BatchDecoder), ConnectorError> {
        let fail = |error: Error| self.translate(&error, Stage::Prepare);
        lease.statement_started();
        self.context.work.add_request();
        if self.query.ticket.is_none() {
            // The statement's own snapshot is taken when it begins to read.
            self.context.work.set_as_of(SystemTime::now());
        }
        let conn = &mut lease.session_mut()?.conn;
        let statement = conn.prep(self.query.sql.as_str()).await.map_err(fail)?;
        let result = conn
            .exec_iter(&statement, ())
            .await
            .map_err(|error| self.translate(&error, Stage::Read))?;
        let decoder = BatchDecoder::new(
            Arc::clone(&self.query.schema),
            self.query.origins.clone(),
            result.columns_ref(),
            self.parts.settings.options.zero_dates,
            self.context.batch_rows.max(1),
        )
        .map_err(|difference| ConnectorError::Source {
            catalog: self.parts.settings.catalog.clone(),
            code: Some(CHANGED_CODE.to_owned()),
            message: format!(
                "{} changed between planning and reading ({difference}); run the query again",
                self.query.object
            ),
        })?;
        Ok((statement, decoder))
    }

    /// Reads up to the next batch and keeps the statement for the one after, or ends it in good order.
    async fn proceed(&self, mut reading: Reading) -> Step {
        let started = Instant::now();
        reading.connection.unpark()?;
        let cancellation = self.context.cancellation.clone();
        let filled = tokio::select! {
            biased;
            () = cancellation.cancelled() => None,
            filled = reading.fill() => Some(filled),
        };
        let filled = match filled {
            None => {
                reading.connection.cancel().await;
                return Err(ConnectorError::Cancelled);
            }
            Some(Ok(filled)) => filled,
            Some(Err(Interruption::Server(error))) => {
                if matches!(error, Error::Server(_)) {
                    reading.connection.lease()?.statement_finished();
                }
                return Err(self.read_error(&error, started));
            }
            Some(Err(Interruption::Decode(error))) => return Err(error),
        };
        let rows = reading.decoder.rows();
        self.context
            .work
            .add_bytes(reading.decoder.bytes() as u64)?;
        self.context.work.add_rows_returned(rows as u64)?;
        self.context
            .work
            .add_nulled_values(reading.decoder.take_nulled());
        let batch = if rows > 0 {
            Some(reading.decoder.finish_batch()?)
        } else {
            None
        };
        match filled {
            Filled::Batch => {
                reading.connection.park()?;
                if let Some(ticket) = &self.query.ticket {
                    ticket.delivered();
                }
                Ok((batch, Progress::Reading(Box::new(reading))))
            }
            Filled::End => {
                self.end(reading).await?;
                Ok((batch, Progress::Done))
            }
        }
    }

    /// All rows have come; the connection is free.
    async fn end(&self, reading: Reading) -> Result<(), ConnectorError> {
        let Reading {
            mut connection,
            statement,
            ..
        } = reading;
        connection
            .lease()?
            .session_mut()?
            .conn
            .close(statement)
            .await
            .map_err(|error| self.translate(&error, Stage::Read))?;
        match (connection, &self.query.ticket) {
            (Connection::Own(mut lease), _) => {
                lease.statement_finished();
                lease.release();
                Ok(())
            }
            (Connection::Shared(connection), Some(ticket)) => {
                ticket.finished(connection).await;
                Ok(())
            }
            (Connection::Shared(_), None) => Err(ConnectorError::Internal(
                "a shared connection without a run".to_owned(),
            )),
        }
    }

    fn read_error(&self, error: &Error, started: Instant) -> ConnectorError {
        let limit = self.parts.settings.options.statement_timeout;
        match self.translate(error, Stage::Read) {
            // MariaDB interrupts some statements at the limit without saying why.
            ConnectorError::Source {
                catalog,
                code: Some(code),
                message,
            } if code == "1317" && limit.is_some_and(|limit| started.elapsed() >= limit) => {
                ConnectorError::Timeout {
                    catalog,
                    message,
                    hint: "raise statement_timeout, or narrow the query".to_owned(),
                }
            }
            other => other,
        }
    }

    fn translate(&self, error: &Error, stage: Stage) -> ConnectorError {
        translate(error, stage, &self.parts.settings, &self.query.object)
    }
}

impl Reading {
    /// Decodes rows until a batch is full or the result ends.
    async fn fill(&mut self) -> Result<Filled, Interruption> {
        let conn = &mut self
            .connection
            .lease()
            .and_then(Lease::session_mut)
            .map_err(Interruption::Decode)?
            .conn;
        // The result lives in the connection; this only looks at it.
        let mut result = QueryResult::<'_, 'static, BinaryProtocol>::new(conn);
        loop {
            let row = match result.next().await {
                Ok(Some(row)) => row,
                Ok(None) => return Ok(Filled::End),
                Err(error) => return Err(Interruption::Server(error)),
            };
            self.decoder.push(&row).map_err(Interruption::Decode)?;
            if self.decoder.rows() >= self.batch_rows || self.decoder.bytes() >= BATCH_BYTES {
                return Ok(Filled::Batch);
            }
        }
    }
}
