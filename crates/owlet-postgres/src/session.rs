//! One server connection: established, made read-only, cancelled, thrown away. Must never know tables.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use owlet_connector::{ConnectorError, Refusal};
use postgres_protocol::escape::escape_literal;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinHandle};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Connection, Row, SimpleQueryMessage};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::aside::{Aside, CopyRows, Divided, DividedTls};
use crate::cancel::cancel;
use crate::failure::{Stage, not_connected, translate};
use crate::options::SslMode;
use crate::settings::{Attempt, Settings};
use crate::socket::{LargeReads, ServerAddress};
use crate::tls;

/// How long a pooler may take to confirm that a cancelled statement has ended.
const POOLER_PATIENCE: Duration = Duration::from_secs(2);

/// A connection used this recently is taken to work still.
const FRESH: Duration = Duration::from_secs(1);

/// First version that notices during a statement that its client is gone.
const CLIENT_CHECKS_SINCE: u32 = 140_000;

/// Ends a statement some seconds after its client was killed without a word. Left as it is where the server was given a
/// value of its own, and where its operating system cannot tell (it would be an error then).
const CHECK_CLIENT: &str = "; SELECT pg_catalog.set_config('client_connection_check_interval', '5000', true) \
     WHERE pg_catalog.current_setting('client_connection_check_interval', true) = '0' \
     AND pg_catalog.version() LIKE '%linux%'";

/// How a transaction begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Begin {
    /// One statement, one snapshot of its own, taken after its tables are locked.
    ReadCommitted,
    /// Its snapshot will be exported.
    ExportSnapshot,
    /// An exported snapshot, to be exported again.
    ExportFrom(String),
    /// One statement in the query's snapshot.
    JoinSnapshot(String),
    /// Reads a part of a table in an exported snapshot, if that can be had without waiting.
    ImportSnapshot(String),
}

impl Begin {
    fn imported(&self) -> Option<&str> {
        match self {
            Self::ExportFrom(snapshot)
            | Self::JoinSnapshot(snapshot)
            | Self::ImportSnapshot(snapshot) => Some(snapshot),
            Self::ReadCommitted | Self::ExportSnapshot => None,
        }
    }
}

/// What the server refused once and need not be asked again.
#[derive(Debug, Default)]
pub(crate) struct ServerTraits {
    /// A pooler between us and the server takes no startup options.
    refuses_startup_options: AtomicBool,
}

/// A column of a statement's answer.
#[derive(Debug, Clone)]
pub(crate) struct DescribedColumn {
    pub(crate) name: String,
    pub(crate) wire_type: Type,
    pub(crate) modifier: i32,
}

/// An open connection.
pub(crate) struct Session {
    pub(crate) client: Arc<Client>,
    driver: AbortHandle,
    /// Where rows of a COPY go; `None` if the driver made the connection and hands them over itself.
    aside: Option<Aside>,
    tls: MakeRustlsConnect,
    runtime: Handle,
    /// `server_version_num`, e.g. `150018`; 0 when the server's version text is unknown.
    pub(crate) server_version: u32,
    /// The database's encoding, e.g. `UTF8`.
    pub(crate) server_encoding: String,
    /// The server confirmed the session settings. If not (a transaction pooler), every transaction brings them.
    settings_confirmed: bool,
    /// Where the connection leads; `None` if the driver chose among several places.
    address: Option<ServerAddress>,
    settings: Arc<Settings>,
    pub(crate) idle_since: Instant,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Session")
            .field("server_version", &self.server_version)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Connects, authenticates and makes the session read-only.
    pub(crate) async fn connect(
        settings: Arc<Settings>,
        traits: &ServerTraits,
    ) -> Result<Self, ConnectorError> {
        let attempt = settings.attempt().await?;
        let failure = match Self::connect_as(&settings, &attempt, traits).await {
            Err(failure) => failure,
            Ok(session) => return Ok(session),
        };
        let error = failure.translated(&settings, &attempt.place);
        let (Some(provider), Some((target, login)), ConnectorError::Authentication { .. }) =
            (&settings.options.login, &attempt.login, &error)
        else {
            return Err(error);
        };
        // The secret may have been rotated since it was read.
        match provider.refused(target, login).await? {
            Refusal::Final => Err(error),
            Refusal::TryAgain => {
                tracing::info!(
                    catalog = settings.catalog,
                    "the server refused the login; trying the new one"
                );
                let attempt = settings.attempt().await?;
                Self::connect_as(&settings, &attempt, traits)
                    .await
                    .map_err(|failure| failure.translated(&settings, &attempt.place))
            }
        }
    }

    /// Connects with this login, in the pooler's way if the server refuses ours.
    async fn connect_as(
        settings: &Arc<Settings>,
        attempt: &Attempt,
        traits: &ServerTraits,
    ) -> Result<Self, ConnectFailure> {
        let with_options = !traits.refuses_startup_options.load(Ordering::Relaxed);
        match Self::connect_once(settings, attempt, with_options).await {
            Err(error) if with_options && is_refusal_of_options(&error) => {
                tracing::info!(
                    catalog = settings.catalog,
                    "the server takes no startup options; using a pooler's way"
                );
                traits
                    .refuses_startup_options
                    .store(true, Ordering::Relaxed);
                let without_options = false;
                Self::connect_once(settings, attempt, without_options).await
            }
            result => result,
        }
    }

    async fn connect_once(
        settings: &Arc<Settings>,
        attempt: &Attempt,
        with_options: bool,
    ) -> Result<Self, ConnectFailure> {
        let mut config = attempt.config.clone();
        if with_options {
            config.options(startup_options(settings));
        }
        let tls = tls::connector(settings, attempt.sslmode)?;
        let limit = settings.options.connect_timeout;
        let address = ServerAddress::of(&config);
        let connecting = connect_with_fallback(
            &mut config,
            address.as_ref(),
            &tls,
            attempt.sslmode,
            &settings.catalog,
        );
        let established = tokio::time::timeout(limit, connecting)
            .await
            .map_err(|_| ConnectorError::Unreachable {
                catalog: settings.catalog.clone(),
                message: format!(
                    "{} did not answer within {} s",
                    attempt.place,
                    limit.as_secs_f64()
                ),
                hint: "check host and port, and that the network lets the connection through"
                    .to_owned(),
            })??;
        Ok(Self {
            client: Arc::new(established.client),
            driver: established.driver,
            aside: established.aside,
            tls,
            runtime: Handle::current(),
            server_version: established.server_version,
            server_encoding: established.server_encoding,
            settings_confirmed: established.settings_confirmed,
            address,
            settings: Arc::clone(settings),
            idle_since: Instant::now(),
        })
    }

    /// SQL that begins a read-only transaction with all guards, in one message.
    pub(crate) fn begin_sql(&self, begin: &Begin) -> String {
        let isolation = match begin {
            Begin::ReadCommitted => "READ COMMITTED",
            Begin::ExportSnapshot
            | Begin::ExportFrom(_)
            | Begin::JoinSnapshot(_)
            | Begin::ImportSnapshot(_) => "REPEATABLE READ",
        };
        let mut sql = format!("BEGIN ISOLATION LEVEL {isolation} READ ONLY");
        if let Some(snapshot) = begin.imported() {
            sql.push_str("; SET TRANSACTION SNAPSHOT ");
            sql.push_str(&escape_literal(snapshot));
        }
        if !self.settings_confirmed {
            for (name, value) in session_settings(&self.settings) {
                // SET search_path takes a list of names, so the one quoted value goes through set_config.
                sql.push_str(&format!(
                    "; SELECT pg_catalog.set_config('{name}', {}, true)",
                    escape_literal(&value)
                ));
            }
        }
        if self.server_version >= CLIENT_CHECKS_SINCE {
            sql.push_str(CHECK_CLIENT);
        }
        if !matches!(begin, Begin::ReadCommitted | Begin::JoinSnapshot(_)) {
            // It waits for its splits as long as the query's reader makes it wait.
            sql.push_str("; SET LOCAL idle_in_transaction_session_timeout = 0");
        }
        if matches!(begin, Begin::ImportSnapshot(_)) {
            sql.push_str("; SET LOCAL lock_timeout = '200ms'");
        }
        sql
    }

    /// One catalog query in one round trip, without leaving a named statement behind.
    pub(crate) async fn query(
        &self,
        sql: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        if self.settings_confirmed {
            return self.client.query_typed(sql, parameters).await;
        }
        let begin_sql = self.begin_sql(&Begin::ReadCommitted);
        let (begun, rows, committed) = futures::join!(
            self.client.batch_execute(&begin_sql),
            self.client.query_typed(sql, parameters),
            self.client.batch_execute("COMMIT"),
        );
        begun?;
        let rows = rows?;
        committed?;
        Ok(rows)
    }

    /// The columns of a statement's answer, from preparing it in a read-only transaction; it does not run.
    pub(crate) async fn describe_reading(
        &self,
        sql: &str,
    ) -> Result<Vec<DescribedColumn>, tokio_postgres::Error> {
        self.client
            .batch_execute(&self.begin_sql(&Begin::ReadCommitted))
            .await?;
        // The statement is given up before the transaction ends: behind a pooler its name would outlive it elsewhere.
        let described = self.client.prepare(sql).await.map(|statement| {
            statement
                .columns()
                .iter()
                .map(|column| DescribedColumn {
                    name: column.name().to_owned(),
                    wire_type: column.type_().clone(),
                    modifier: column.type_modifier(),
                })
                .collect()
        });
        self.client.batch_execute("ROLLBACK").await?;
        described
    }

    /// The planner's plan of a query as JSON text, in one round trip.
    pub(crate) async fn explain(&self, sql: &str) -> Result<String, tokio_postgres::Error> {
        let statement = format!(
            "{}; EXPLAIN (FORMAT JSON) {sql}; COMMIT",
            self.begin_sql(&Begin::ReadCommitted)
        );
        let messages = self.client.simple_query(&statement).await?;
        let last_row = messages.iter().rev().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        Ok(last_row.unwrap_or_default())
    }

    /// The rows of the COPY that is sent next, unless the driver hands them over.
    pub(crate) fn expect_rows(&self) -> Option<CopyRows> {
        self.aside.as_ref().map(Aside::expect_rows)
    }

    /// Asks a connection that has been idle for a while whether it still works.
    pub(crate) async fn seems_alive(&self) -> bool {
        if self.idle_since.elapsed() < FRESH {
            return true;
        }
        let question = tokio::time::timeout(
            self.settings.options.connect_timeout,
            self.client.check_connection(),
        );
        matches!(question.await, Ok(Ok(())))
    }

    /// COMMIT may be sent before the statement's answer. Not through a pooler: the statement's name would be given up
    /// after the transaction, at whatever server the pooler chooses then.
    pub(crate) fn may_commit_early(&self) -> bool {
        self.settings_confirmed
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Ends a connection on which nothing runs: without a client the driver says goodbye and closes it.
    pub(crate) fn discard(self) {
        drop(self);
    }

    /// Stops the running statement at the server, then ends the connection.
    pub(crate) async fn cancel(self) {
        let token = self.client.cancel_token();
        cancel(token, self.tls.clone(), self.address.as_ref()).await;
        if !self.settings_confirmed {
            // PgBouncer before 1.20 dies when a client leaves while its cancel request is on the way.
            let quiet = self.client.check_connection();
            if tokio::time::timeout(POOLER_PATIENCE, quiet).await.is_err() {
                tracing::debug!("the pooler did not confirm the cancelled statement's end");
            }
        }
        self.driver.abort();
    }

    /// Like [`Session::cancel`], from a place that cannot wait (a dropped stream), or whose task may be ended before the
    /// request is sent.
    pub(crate) fn cancel_in_background(self) -> JoinHandle<()> {
        let runtime = self.runtime.clone();
        runtime.spawn(self.cancel())
    }
}

enum ConnectFailure {
    Socket(io::Error),
    Driver(tokio_postgres::Error),
    Other(ConnectorError),
}

impl ConnectFailure {
    fn translated(self, settings: &Settings, place: &str) -> ConnectorError {
        match self {
            Self::Driver(error) => {
                let error = translate(&error, Stage::Connect, &settings.catalog, place);
                name_the_place(tls::with_advice(error, settings), place)
            }
            Self::Socket(error) => name_the_place(not_connected(&error, &settings.catalog), place),
            Self::Other(error) => error,
        }
    }
}

impl From<io::Error> for ConnectFailure {
    fn from(error: io::Error) -> Self {
        Self::Socket(error)
    }
}

impl From<tokio_postgres::Error> for ConnectFailure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Driver(error)
    }
}

impl From<ConnectorError> for ConnectFailure {
    fn from(error: ConnectorError) -> Self {
        Self::Other(error)
    }
}

/// A client with its connection, which is driven in the background.
struct Established {
    client: Client,
    driver: AbortHandle,
    aside: Option<Aside>,
    server_version: u32,
    server_encoding: String,
    settings_confirmed: bool,
}

impl Established {
    fn new<S, T>(
        client: Client,
        mut connection: Connection<S, T>,
        aside: Option<Aside>,
        catalog: &str,
    ) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let server_version =
            version_number(connection.parameter("server_version").unwrap_or_default());
        let server_encoding = connection
            .parameter("server_encoding")
            .unwrap_or("UTF8")
            .to_owned();
        let settings_confirmed = connection.parameter("default_transaction_read_only")
            == Some("on")
            && connection.parameter("TimeZone") == Some("UTC")
            && connection.parameter("IntervalStyle") == Some("postgres")
            && connection
                .parameter("DateStyle")
                .is_some_and(|style| style.starts_with("ISO"));
        let catalog = catalog.to_owned();
        let driver = tokio::spawn(async move {
            loop {
                match poll_fn(|context| connection.poll_message(context)).await {
                    Some(Ok(AsyncMessage::Notice(notice))) => {
                        tracing::debug!(catalog, notice = notice.message(), "server notice");
                    }
                    Some(Ok(_)) => {}
                    // The client's pending requests fail with the same error.
                    Some(Err(error)) => {
                        tracing::debug!(catalog, %error, "connection ended");
                        return;
                    }
                    None => return,
                }
            }
        })
        .abort_handle();
        Self {
            client,
            driver,
            aside,
            server_version,
            server_encoding,
            settings_confirmed,
        }
    }
}

/// `prefer` means: TLS if it works, else without.
async fn connect_with_fallback(
    config: &mut tokio_postgres::Config,
    address: Option<&ServerAddress>,
    tls: &MakeRustlsConnect,
    sslmode: SslMode,
    catalog: &str,
) -> Result<Established, ConnectFailure> {
    match connect(config, address, tls, catalog).await {
        Err(ConnectFailure::Driver(error))
            if sslmode == SslMode::Prefer
                && error.as_db_error().is_none()
                && is_tls_failure(&error) =>
        {
            config.ssl_mode(tokio_postgres::config::SslMode::Disable);
            connect(config, address, tls, catalog).await
        }
        result => result,
    }
}

/// What TLS, if any, stands on.
type Socket = Divided<LargeReads<TcpStream>>;

async fn connect(
    config: &tokio_postgres::Config,
    address: Option<&ServerAddress>,
    tls: &MakeRustlsConnect,
    catalog: &str,
) -> Result<Established, ConnectFailure> {
    let Some(address) = address else {
        let (client, connection) = config.connect(tls.clone()).await?;
        return Ok(Established::new(client, connection, None, catalog));
    };
    let stream = address.connect().await?;
    let handshake = <MakeRustlsConnect as MakeTlsConnect<Socket>>::make_tls_connect(
        &mut tls.clone(),
        &address.name,
    )
    .map_err(io::Error::other)?;
    let aside = Aside::new();
    let stream = Divided::new(LargeReads::new(stream), aside.clone());
    let handshake = DividedTls::new(handshake, aside.clone());
    let (client, connection) = config.connect_raw(stream, handshake).await?;
    Ok(Established::new(client, connection, Some(aside), catalog))
}

fn is_tls_failure(error: &tokio_postgres::Error) -> bool {
    error.to_string().contains("TLS")
}

/// PgBouncer answers `unsupported startup parameter` with SQLSTATE 08P01.
fn is_refusal_of_options(error: &ConnectFailure) -> bool {
    let ConnectFailure::Driver(error) = error else {
        return false;
    };
    error.as_db_error().is_some_and(|server| {
        server.code().code() == "08P01" || server.message().contains("startup parameter")
    })
}

fn name_the_place(error: ConnectorError, place: &str) -> ConnectorError {
    match error {
        ConnectorError::Unreachable {
            catalog,
            message,
            hint,
        } => ConnectorError::Unreachable {
            catalog,
            message: format!("{place}: {message}"),
            hint,
        },
        other => other,
    }
}

/// What every session is set to. Text forms are fixed so that a value read as text is the same everywhere.
fn session_settings(settings: &Settings) -> Vec<(&'static str, String)> {
    let mut list = vec![
        ("default_transaction_read_only", "on".to_owned()),
        ("TimeZone", "UTC".to_owned()),
        ("DateStyle", "ISO".to_owned()),
        ("IntervalStyle", "postgres".to_owned()),
        ("extra_float_digits", "1".to_owned()),
        ("bytea_output", "hex".to_owned()),
        ("xmloption", "content".to_owned()),
        ("search_path", settings.options.search_path.clone()),
        // Scans of one query may wait for each other here while a waiting ALTER TABLE holds up the later one at
        // the server, which cannot see the whole circle.
        (
            "lock_timeout",
            settings.options.lock_timeout.as_millis().max(1).to_string(),
        ),
    ];
    if let Some(timeout) = settings.options.statement_timeout {
        list.push(("statement_timeout", timeout.as_millis().max(1).to_string()));
    }
    list
}

fn startup_options(settings: &Settings) -> String {
    session_settings(settings)
        .into_iter()
        .map(|(name, value)| {
            format!(
                "-c {name}={}",
                value.replace('\\', "\\\\").replace(' ', "\\ ")
            )
        })
        .collect::<Vec<_>>()
        .join(" ")
}

/// `15.18 (Debian 15.18-0+deb12u1)` is 150018; `16beta1` is 160000.
fn version_number(text: &str) -> u32 {
    let mut numbers = text
        .split(|character: char| !character.is_ascii_digit())
        .filter_map(|number| number.parse::<u32>().ok());
    let major = numbers.next().unwrap_or(0);
    let is_release = text
        .trim_start_matches(|character: char| character.is_ascii_digit())
        .starts_with('.');
    let minor = if is_release {
        numbers.next().unwrap_or(0)
    } else {
        0
    };
    major * 10_000 + minor.min(9_999)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(version_number("15.18 (Debian 15.18-0+deb12u1)"), 150_018);
        assert_eq!(version_number("17beta2"), 170_000);
        assert_eq!(version_number("18devel"), 180_000);
        assert_eq!(version_number(""), 0);
    }
}
