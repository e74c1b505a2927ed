//! One server connection: established, made read-only, cancelled, thrown away. Must never know tables.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, DriverError, Error, Opts, OptsBuilder, Row, SslOpts};
use owlet_connector::{ConnectorError, Refusal};
use owlet_remote_sql::mysql::{MAXIMUM_SORT_BYTES, MysqlDialect, Product};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::failure::{Stage, translate};
use crate::options::SslMode;
use crate::settings::{Attempt, ClearPassword, Settings};
use crate::tls::{self, Check};

/// Longest time a cancel request may take; after that the connection is cut without one.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest time a connection may take to say goodbye.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);
/// A connection used this recently is taken to work still. Unlike a read, a catalog query is not tried twice, and the
/// driver does not look at idle connections.
const FRESH: Duration = Duration::from_millis(50);
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
    /// Tells servers behind one address apart (a cluster's endpoint, a load balancer).
    identity: String,
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
        let mut conn = connect(&settings).await?;
        let limit = settings.options.connect_timeout;
        let prepared = async {
            let server = identify(&mut conn).await?;
            for statement in setup(&settings, &server) {
                conn.query_drop(&statement).await?;
            }
            Ok(server)
        };
        let server = tokio::time::timeout(limit, prepared)
            .await
            .map_err(|_| timed_out(&settings, &settings.place))?
            .map_err(|error| translate(&error, Stage::Connect, &settings, &settings.place))?;
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
        let Self {
            conn,
            settings,
            server,
            ..
        } = self;
        let id = conn.id();
        match tokio::time::timeout(CANCEL_TIMEOUT, kill(&settings, &server, id)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(%error, "KILL QUERY failed; the connection is cut instead");
            }
            Err(_) => tracing::debug!("KILL QUERY timed out; the connection is cut instead"),
        }
        close(conn).await;
    }

    /// Like [`Session::cancel`], from a place that cannot wait (a dropped stream), or whose task may be ended before the
    /// request is sent.
    pub(crate) fn cancel_in_background(self) -> JoinHandle<()> {
        let runtime = self.runtime.clone();
        runtime.spawn(self.cancel())
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
async fn kill(settings: &Settings, server: &Server, id: u32) -> Result<(), ConnectorError> {
    let mut conn = connect(settings).await?;
    let result = async {
        let reached = identify(&mut conn).await?;
        if reached.identity != server.identity {
            // The number would mean somebody else's connection there. Cutting ours is what is left.
            tracing::debug!(
                "another server answers at this address; the connection is cut instead"
            );
            return Ok(());
        }
        conn.query_drop(format!("KILL QUERY {id}")).await
    }
    .await;
    close(conn).await;
    match result {
        Ok(()) => Ok(()),
        // 1094, unknown thread: it has ended already.
        Err(Error::Server(error)) if error.code == 1_094 => Ok(()),
        Err(error) => Err(translate(&error, Stage::Prepare, settings, "KILL QUERY")),
    }
}

/// Connects with the login of this moment, and with the next one if the server refuses that.
async fn connect(settings: &Settings) -> Result<Conn, ConnectorError> {
    let attempt = settings.attempt().await?;
    let error = match connect_as(settings, &attempt).await {
        Ok(conn) => return Ok(conn),
        Err(error) => error,
    };
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
            connect_as(settings, &attempt).await
        }
    }
}

async fn connect_as(settings: &Settings, attempt: &Attempt) -> Result<Conn, ConnectorError> {
    let tls = tls::options(settings, attempt.sslmode)?;
    let limit = settings.options.connect_timeout;
    tokio::time::timeout(limit, connect_with_fallback(settings, attempt, tls))
        .await
        .map_err(|_| timed_out(settings, &attempt.place))?
        .map_err(|error| {
            let error = translate(&error, Stage::Connect, settings, &attempt.place);
            match attempt.sslmode {
                SslMode::Disable => with_word_of_tls(error),
                _ => error,
            }
        })
}

/// MariaDB answers a connection without TLS, where it demands one, as if the password were wrong.
fn with_word_of_tls(error: ConnectorError) -> ConnectorError {
    match error {
        ConnectorError::Authentication {
            catalog,
            message,
            hint,
        } => ConnectorError::Authentication {
            catalog,
            message,
            hint: format!(
                "{hint}; or the server demands TLS: choose sslmode = \"verify-full\" or \"require\""
            ),
        },
        other => other,
    }
}

/// `prefer` means: TLS if it works, else without. A check of the chain alone means: any name.
async fn connect_with_fallback(
    settings: &Settings,
    attempt: &Attempt,
    tls: Option<SslOpts>,
) -> Result<Conn, Error> {
    match Conn::new(opts(settings, attempt, tls.clone())).await {
        Err(error) if attempt.sslmode == SslMode::Prefer && is_tls_failure(&error) => {
            Conn::new(opts(settings, attempt, None)).await
        }
        Err(error) if tls::check(settings, attempt.sslmode) == Check::Chain => {
            match tls.zip(presented_name(&error)) {
                // The chain was found good and the name another; by the name the certificate is for it is verified.
                Some((tls, name)) => {
                    let tls = tls.with_danger_tls_hostname_override(Some(name));
                    Conn::new(opts(settings, attempt, Some(tls))).await
                }
                None => Err(error),
            }
        }
        result => result,
    }
}

fn opts(settings: &Settings, attempt: &Attempt, tls: Option<SslOpts>) -> Opts {
    // Without TLS the driver would send the password over the open network.
    let clear_password = attempt.clear_password == ClearPassword::Allowed && tls.is_some();
    let builder = OptsBuilder::default()
        .ip_or_hostname(attempt.host.clone())
        .resolved_ips(attempt.hostaddr.map(|address| vec![address]))
        .tcp_port(attempt.port)
        .user(Some(attempt.user.clone()))
        .pass(attempt.password.clone())
        .db_name(attempt.database.clone())
        .prefer_socket(Some(false))
        .tcp_nodelay(true)
        .tcp_keepalive(Some(Duration::from_secs(60)))
        .stmt_cache_size(Some(STATEMENT_CACHE))
        .max_allowed_packet(Some(LARGEST_PACKET))
        .wait_timeout(Some(PATIENCE_SECONDS as usize))
        .connect_attribute("program_name", settings.options.application_name.clone())
        .enable_cleartext_plugin(clear_password)
        .ssl_opts(tls);
    Opts::from(builder)
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

fn timed_out(settings: &Settings, place: &str) -> ConnectorError {
    ConnectorError::Unreachable {
        catalog: settings.catalog.clone(),
        message: format!(
            "{place} did not answer within {} s",
            settings.options.connect_timeout.as_secs_f64()
        ),
        hint: "check host and port, and that the network lets the connection through".to_owned(),
    }
}

async fn identify(conn: &mut Conn) -> Result<Server, Error> {
    let answer: Option<(String, String)> = conn
        .query_first("SELECT VERSION(), CONCAT_WS(' ', @@hostname, @@port, @@server_id)")
        .await?;
    let (version_text, identity) = answer.unwrap_or_default();
    Ok(Server {
        product: if version_text.contains("MariaDB") {
            Product::MariaDb
        } else {
            Product::MySql
        },
        version: version_numbers(&version_text),
        version_text,
        identity,
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
        // A connection of a query's snapshot waits for its turn as long as the query's reader makes it wait.
        format!("wait_timeout = GREATEST(@@wait_timeout, {PATIENCE_SECONDS})"),
    ];
    if server.product == Product::MariaDb && server.version >= (10, 3, 0) {
        variables.push("idle_transaction_timeout = 0".to_owned());
        variables.push("idle_readonly_transaction_timeout = 0".to_owned());
    }
    if server.product == Product::MariaDb {
        // Hash joins, which are off by default: a join of two large tables without an index would take hours.
        variables.push("join_cache_level = 4".to_owned());
        // MariaDB remembers a correlated subquery's answers by the outer columns as they are declared, although the
        // subquery compares them in a collation of its own: under a column that holds 'b' = 'B' the answer for 'b'
        // is given to 'B' as well. Seen on 10.11.
        variables.push("optimizer_switch = 'subquery_cache=off'".to_owned());
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
