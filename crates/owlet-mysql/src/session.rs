//! One server connection: established, made read-only, cancelled, thrown away. Must never know tables.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, DriverError, Error, Opts, OptsBuilder, Row, SslOpts};
use owlet_connector::ConnectorError;
use owlet_remote_sql::mysql::{MAXIMUM_SORT_BYTES, MysqlDialect, Product};
use tokio::runtime::Handle;

use crate::failure::{Stage, translate};
use crate::options::{Settings, SslMode};
use crate::tls;

/// Longest time a cancel request may take; after that the connection is cut without one.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time a connection may take to say goodbye.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);
/// A connection used this recently is taken to work still.
const FRESH: Duration = Duration::from_secs(1);
/// The server waits this long for a reader that does not read; its own default of a minute would cut off a query
/// whose consumer is slow.
const PATIENCE_SECONDS: u32 = 3_600;
/// Prepared catalog queries kept by a connection.
const STATEMENT_CACHE: usize = 8;
/// Largest packet the protocol has.
const LARGEST_PACKET: usize = 1 << 30;

/// What a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) product: Product,
    pub(crate) version: (u16, u16, u16),
    /// As the server spells it, e.g. `10.11.19-MariaDB`.
    pub(crate) version_text: String,
}

impl Server {
    pub(crate) fn dialect(&self) -> MysqlDialect {
        MysqlDialect::new(self.product, self.version)
    }
}

/// An open connection.
pub(crate) struct Session {
    pub(crate) conn: Conn,
    pub(crate) server: Arc<Server>,
    runtime: Handle,
    settings: Arc<Settings>,
    pub(crate) idle_since: Instant,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Session")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// Connects, authenticates and makes the session read-only.
    pub(crate) async fn connect(settings: Arc<Settings>) -> Result<Self, ConnectorError> {
        let limit = settings.options.connect_timeout;
        let attempt = async {
            let mut conn = connect(&settings).await?;
            let server = identify(&mut conn)
                .await
                .map_err(|error| translate(&error, Stage::Connect, &settings, &settings.place))?;
            for statement in setup(&settings, &server) {
                conn.query_drop(&statement)
                    .await
                    .map_err(|error| translate(&error, Stage::Connect, &settings, &statement))?;
            }
            Ok((conn, server))
        };
        let (conn, server) = tokio::time::timeout(limit, attempt)
            .await
            .map_err(|_| timed_out(&settings))??;
        Ok(Self {
            conn,
            server: Arc::new(server),
            runtime: Handle::current(),
            settings,
            idle_since: Instant::now(),
        })
    }

    /// One catalog query with parameters.
    pub(crate) async fn query(
        &mut self,
        sql: &str,
        parameters: &[&str],
    ) -> Result<Vec<Row>, Error> {
        let parameters: Vec<mysql_async::Value> = parameters
            .iter()
            .map(|parameter| (*parameter).into())
            .collect();
        if parameters.is_empty() {
            return self.conn.query(sql).await;
        }
        self.conn.exec(sql, parameters).await
    }

    /// A statement without rows.
    pub(crate) async fn run(&mut self, sql: &str) -> Result<(), Error> {
        self.conn.query_drop(sql).await
    }

    /// Asks a connection that has been idle for a while whether it still works.
    pub(crate) async fn seems_alive(&mut self) -> bool {
        if self.idle_since.elapsed() < FRESH {
            return true;
        }
        let limit = self.settings.options.connect_timeout;
        matches!(
            tokio::time::timeout(limit, self.conn.ping()).await,
            Ok(Ok(()))
        )
    }

    /// The server's number for this connection, as the process list shows it.
    pub(crate) fn id(&self) -> u32 {
        self.conn.id()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.conn.is_disconnected()
    }

    /// Ends a connection on which nothing runs.
    pub(crate) fn discard(self) {
        let Self { conn, runtime, .. } = self;
        runtime.spawn(close(conn));
    }

    /// Stops the running statement at the server, then ends the connection.
    pub(crate) async fn cancel(self) {
        let Self { conn, settings, .. } = self;
        let id = conn.id();
        match tokio::time::timeout(CANCEL_TIMEOUT, kill(&settings, id)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(%error, "KILL QUERY failed; the connection is cut instead");
            }
            Err(_) => tracing::debug!("KILL QUERY timed out; the connection is cut instead"),
        }
        close(conn).await;
    }

    /// Like [`Session::cancel`], from a place that cannot wait (a dropped stream).
    pub(crate) fn cancel_in_background(self) {
        let runtime = self.runtime.clone();
        runtime.spawn(self.cancel());
    }
}

/// Says goodbye if that is quick, else cuts the connection: the driver would read the rest of a result first.
async fn close(conn: Conn) {
    if tokio::time::timeout(GOODBYE_TIMEOUT, conn.disconnect())
        .await
        .is_err()
    {
        tracing::debug!("the connection was cut");
    }
}

/// Stops what runs on another connection. The connection for it is not one of the pool's.
async fn kill(settings: &Settings, id: u32) -> Result<(), ConnectorError> {
    let mut conn = connect(settings).await?;
    let result = conn.query_drop(format!("KILL QUERY {id}")).await;
    close(conn).await;
    match result {
        Ok(()) => Ok(()),
        // 1094, unknown thread: it has ended already.
        Err(Error::Server(error)) if error.code == 1_094 => Ok(()),
        Err(error) => Err(translate(&error, Stage::Prepare, settings, "KILL QUERY")),
    }
}

async fn connect(settings: &Settings) -> Result<Conn, ConnectorError> {
    let tls = tls::options(settings)?;
    let result = match Conn::new(opts(settings, tls.clone())?).await {
        Err(error) if settings.sslmode == SslMode::Prefer && is_tls_failure(&error) => {
            Conn::new(opts(settings, None)?).await
        }
        Err(error) if settings.sslmode == SslMode::VerifyCa => {
            match tls.zip(presented_name(&error)) {
                // The chain was found good and the name another; by the name the certificate is for it is verified.
                Some((tls, name)) => {
                    let tls = tls.with_danger_tls_hostname_override(Some(name));
                    Conn::new(opts(settings, Some(tls))?).await
                }
                None => Err(error),
            }
        }
        result => result,
    };
    result.map_err(|error| translate(&error, Stage::Connect, settings, &settings.place))
}

fn opts(settings: &Settings, tls: Option<SslOpts>) -> Result<Opts, ConnectorError> {
    let builder = OptsBuilder::default()
        .ip_or_hostname(settings.host.clone())
        .tcp_port(settings.port)
        .user(Some(settings.user.clone()))
        .pass(settings.password()?)
        .db_name(settings.database.clone())
        .prefer_socket(Some(false))
        .tcp_nodelay(true)
        .tcp_keepalive(Some(Duration::from_secs(60)))
        .stmt_cache_size(Some(STATEMENT_CACHE))
        .max_allowed_packet(Some(LARGEST_PACKET))
        .wait_timeout(Some(PATIENCE_SECONDS as usize))
        .connect_attribute("program_name", settings.options.application_name.clone())
        .ssl_opts(tls);
    Ok(Opts::from(builder))
}

/// The server has no TLS, or what it has cannot be used: `prefer` goes on without.
fn is_tls_failure(error: &Error) -> bool {
    matches!(error, Error::Driver(DriverError::NoClientSslFlagFromServer))
        || rustls_error(error).is_some()
}

/// What rustls found wrong, however the driver wrapped it.
pub(crate) fn rustls_error(error: &Error) -> Option<&rustls::Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(inner) = cause {
        if let Some(found) = inner.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        cause = match inner.downcast_ref::<std::io::Error>() {
            Some(io) => io
                .get_ref()
                .map(|inner| inner as &(dyn std::error::Error + 'static)),
            None => inner.source(),
        };
    }
    None
}

/// A name the server's certificate is for, when that is all that is wrong with it.
fn presented_name(error: &Error) -> Option<String> {
    let rustls::Error::InvalidCertificate(rustls::CertificateError::NotValidForNameContext {
        presented,
        ..
    }) = rustls_error(error)?
    else {
        return None;
    };
    // `DnsName("db.example.com")`, `IpAddress(127.0.0.1)`
    presented.iter().find_map(|name| {
        let (_, inner) = name.split_once('(')?;
        let inner = inner.strip_suffix(')')?.trim_matches('"');
        (!inner.is_empty() && !inner.contains('*')).then(|| inner.to_owned())
    })
}

fn timed_out(settings: &Settings) -> ConnectorError {
    ConnectorError::Unreachable {
        catalog: settings.catalog.clone(),
        message: format!(
            "{} did not answer within {} s",
            settings.place,
            settings.options.connect_timeout.as_secs_f64()
        ),
        hint: "check host and port, and that the network lets the connection through".to_owned(),
    }
}

async fn identify(conn: &mut Conn) -> Result<Server, Error> {
    let version_text: Option<String> = conn.query_first("SELECT VERSION()").await?;
    let version_text = version_text.unwrap_or_default();
    Ok(Server {
        product: if version_text.contains("MariaDB") {
            Product::MariaDb
        } else {
            Product::MySql
        },
        version: version_numbers(&version_text),
        version_text,
    })
}

/// `10.11.19-MariaDB-0+deb12u1` is 10, 11, 19.
fn version_numbers(text: &str) -> (u16, u16, u16) {
    let text = text.strip_prefix("5.5.5-").unwrap_or(text);
    let mut numbers = text
        .split(|character: char| !character.is_ascii_digit())
        .map(|number| number.parse().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next(), next())
}

/// What every session is set to, so that no default of the server or the user changes an answer.
fn setup(settings: &Settings, server: &Server) -> Vec<String> {
    let dialect = server.dialect();
    let names = match dialect.binary_collation() {
        Some(collation) => format!("SET NAMES utf8mb4 COLLATE {collation}"),
        None => "SET NAMES utf8mb4".to_owned(),
    };
    let mut variables = vec![
        "time_zone = '+00:00'".to_owned(),
        "sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'".to_owned(),
        "autocommit = 1".to_owned(),
        format!("max_sort_length = {MAXIMUM_SORT_BYTES}"),
        format!("net_write_timeout = {PATIENCE_SECONDS}"),
        format!(
            "lock_wait_timeout = {}",
            settings.options.lock_timeout.as_secs().max(1)
        ),
        "sql_select_limit = DEFAULT".to_owned(),
    ];
    if server.product == Product::MariaDb {
        // Hash joins, which are off by default: a join of two large tables without an index would take hours.
        variables.push("join_cache_level = 4".to_owned());
    }
    if let Some(timeout) = settings.options.statement_timeout {
        variables.push(match server.product {
            Product::MariaDb => format!("max_statement_time = {}", timeout.as_secs_f64()),
            Product::MySql => format!("max_execution_time = {}", timeout.as_millis().max(1)),
        });
    }
    let assignments: Vec<String> = variables
        .into_iter()
        .map(|assignment| format!("SESSION {assignment}"))
        .collect();
    vec![
        names,
        format!("SET {}", assignments.join(", ")),
        "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY".to_owned(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(version_numbers("10.11.19-MariaDB-0+deb12u1"), (10, 11, 19));
        assert_eq!(version_numbers("5.5.5-10.6.1-MariaDB"), (10, 6, 1));
        assert_eq!(version_numbers("8.0.36"), (8, 0, 36));
        assert_eq!(version_numbers("8.4.0-rds"), (8, 4, 0));
        assert_eq!(version_numbers("8.0.mysql_aurora.3.04.0"), (8, 0, 0));
    }
}
