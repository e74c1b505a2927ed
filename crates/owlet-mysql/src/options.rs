//! What a user configures. Must never open a connection.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use owlet_connector::{GateOptions, LoginProvider, TablePatterns};

/// Configuration of one MySQL or MariaDB catalog. Only `url` has no default.
#[derive(Clone)]
pub struct MysqlOptions {
    /// `mysql://user:password@host:port/database` (also `mariadb://`), with `?sslmode=…&sslrootcert=…`. The
    /// database is the usual schema of the catalog's names; all databases are schemas. May be empty when `login`
    /// knows the address.
    pub url: String,
    /// Who says as whom to connect, for each connection (RDS IAM tokens, kept secrets); wins over every password.
    pub login: Option<Arc<dyn LoginProvider>>,
    /// Replicas that queries go to, in turn, rather than to the server of `url`. What a URL leaves out (user,
    /// password, database) is that of `url`.
    pub replica_urls: Vec<String>,
    /// A replica further behind is not used; without it any that answers is. A server tells whole seconds.
    pub max_replica_lag: Option<Duration>,
    /// Schemas and tables that are visible.
    pub tables: TablePatterns,
    /// When queries may begin, and how many at once.
    pub gate: GateOptions,
    /// Password; wins over `password_file`, the URL and `MYSQL_PWD`.
    pub password: Option<String>,
    /// File whose first line is the password. Read again for every connection, so a rotated secret is found.
    pub password_file: Option<PathBuf>,
    /// TLS mode; without one the URL's, else `verify-full`, or `prefer` for a loopback host.
    pub sslmode: Option<SslMode>,
    /// PEM file of certificate authorities; without one those of the operating system.
    pub ca_file: Option<PathBuf>,
    /// Longest run time of one statement (`max_statement_time`, `max_execution_time`); without one the server's own
    /// setting holds.
    pub statement_timeout: Option<Duration>,
    /// Longest wait for another session's `ALTER TABLE`, `DROP TABLE`, ….
    pub lock_timeout: Duration,
    /// Upper bound of connections, at least 1.
    pub max_connections: usize,
    /// Told to the server as `program_name` (`performance_schema.session_connect_attrs`).
    pub application_name: String,
    /// Longest wait for a connection to be established.
    pub connect_timeout: Duration,
    /// How long table metadata may be reused.
    pub metadata_ttl: Duration,
    /// What becomes of zero and partial dates, and of `TIME` values that are no time of day.
    pub zero_dates: ZeroDatePolicy,
    /// What `TINYINT(1)` is.
    pub tinyint1: TinyIntPolicy,
    /// What the parts of a table that is read over several connections agree on.
    pub snapshot: SnapshotPolicy,
}

/// How much TLS a connection needs; the meanings are libpq's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// Never TLS.
    Disable,
    /// TLS without verification if the server offers it.
    Prefer,
    /// TLS always; the certificate is verified as in [`SslMode::VerifyCa`] only if a `ca_file` is given.
    Require,
    /// TLS with a certificate of a trusted authority, for any host name.
    VerifyCa,
    /// TLS with a certificate of a trusted authority for this host name.
    VerifyFull,
}

/// What becomes of `0000-00-00`, `2024-00-00`, `2024-02-31` and `TIME` values below 0 or from 24 h on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ZeroDatePolicy {
    /// The query fails and names the column.
    #[default]
    Error,
    /// They become NULL; the work report says how many.
    Null,
}

/// What a column declared `TINYINT(1)`, MySQL's `BOOLEAN`, is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TinyIntPolicy {
    /// A boolean: every number but 0 is true, as in MySQL.
    #[default]
    Boolean,
    /// A number from -128 to 127.
    Integer,
}

/// What the parts of a table that is read over several connections agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SnapshotPolicy {
    /// One snapshot, proved; where it cannot be had, one connection reads all parts.
    #[default]
    Exact,
    /// Each connection has a snapshot of its own, taken at almost the same time: a transaction that commits in
    /// between is seen by some parts and not by others.
    PerConnection,
}

impl MysqlOptions {
    /// The defaults, for this URL.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            login: None,
            replica_urls: Vec::new(),
            max_replica_lag: None,
            tables: TablePatterns::default(),
            gate: GateOptions::default(),
            password: None,
            password_file: None,
            sslmode: None,
            ca_file: None,
            statement_timeout: None,
            lock_timeout: Duration::from_secs(30),
            max_connections: 8,
            application_name: "owlet".to_owned(),
            connect_timeout: Duration::from_secs(10),
            metadata_ttl: Duration::from_secs(60),
            zero_dates: ZeroDatePolicy::Error,
            tinyint1: TinyIntPolicy::Boolean,
            snapshot: SnapshotPolicy::Exact,
        }
    }
}

impl fmt::Debug for MysqlOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("MysqlOptions")
            .field("url", &without_secrets(&self.url))
            .field("login", &self.login)
            .field(
                "replica_urls",
                &self
                    .replica_urls
                    .iter()
                    .map(|url| without_secrets(url))
                    .collect::<Vec<_>>(),
            )
            .field("max_replica_lag", &self.max_replica_lag)
            .field("tables", &self.tables)
            .field("gate", &self.gate)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("password_file", &self.password_file)
            .field("sslmode", &self.sslmode)
            .field("ca_file", &self.ca_file)
            .field("statement_timeout", &self.statement_timeout)
            .field("lock_timeout", &self.lock_timeout)
            .field("max_connections", &self.max_connections)
            .field("application_name", &self.application_name)
            .field("connect_timeout", &self.connect_timeout)
            .field("metadata_ttl", &self.metadata_ttl)
            .field("zero_dates", &self.zero_dates)
            .field("tinyint1", &self.tinyint1)
            .field("snapshot", &self.snapshot)
            .finish()
    }
}

impl FromStr for SslMode {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word.to_ascii_lowercase().as_str() {
            "disable" | "disabled" => Ok(Self::Disable),
            "prefer" | "allow" | "preferred" => Ok(Self::Prefer),
            "require" | "required" => Ok(Self::Require),
            "verify-ca" | "verify_ca" => Ok(Self::VerifyCa),
            "verify-full" | "verify_identity" => Ok(Self::VerifyFull),
            other => Err(format!(
                "sslmode {other:?} is none of disable, prefer, require, verify-ca, verify-full"
            )),
        }
    }
}

/// A URL for people: user information and parameters may hold a password, so neither is shown.
fn without_secrets(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return "***".to_owned();
    };
    let before_query = rest.split('?').next().unwrap_or_default();
    let place = before_query.rsplit('@').next().unwrap_or_default();
    let mark = if before_query.contains('@') {
        "***@"
    } else {
        ""
    };
    format!("{scheme}://{mark}{place}")
}
