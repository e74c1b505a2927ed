//! What a user configures. Must never open a connection.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use owlet_connector::{GateOptions, LoginProvider, TablePatterns};

/// Configuration of one PostgreSQL catalog. Only `url` has no default.
#[derive(Clone)]
pub struct PostgresOptions {
    /// `postgres://user:password@host:port/database`, with `?sslmode=…&sslrootcert=…` and the other parameters
    /// of libpq's URLs that concern a connection. May be empty when `login` knows the address.
    pub url: String,
    /// Who says as whom to connect, for each connection (RDS IAM tokens, kept secrets); wins over every password.
    pub login: Option<Arc<dyn LoginProvider>>,
    /// Physical standbys that queries go to, in turn, rather than to the server of `url`. What a URL leaves out
    /// (user, password, database) is that of `url`.
    pub replica_urls: Vec<String>,
    /// A standby further behind is not used; without it any that answers is.
    pub max_replica_lag: Option<Duration>,
    /// Schemas and tables that are visible.
    pub tables: TablePatterns,
    /// When queries may begin, and how many at once.
    pub gate: GateOptions,
    /// Password; wins over `password_file`, the URL and `PGPASSWORD`.
    pub password: Option<String>,
    /// File whose first line is the password. Read again for every connection, so a rotated secret is found.
    pub password_file: Option<PathBuf>,
    /// TLS mode; without one the URL's, else `verify-full`, or `prefer` for a loopback host or a Unix socket.
    pub sslmode: Option<SslMode>,
    /// PEM file of certificate authorities; without one those of the operating system.
    pub ca_file: Option<PathBuf>,
    /// Longest run time of one statement; without one the server's own setting holds.
    pub statement_timeout: Option<Duration>,
    /// Longest wait for a lock on a table (another session's `ALTER TABLE`, `TRUNCATE`, …).
    pub lock_timeout: Duration,
    /// Upper bound of connections, at least 1.
    pub max_connections: usize,
    /// Connections that read one table at the same time, at least 1; without it as many as the engine has threads.
    /// With 1 a table is read by one sequential scan, which PostgreSQL keeps out of its buffer cache.
    pub max_connections_per_scan: Option<usize>,
    /// Shown in `pg_stat_activity`.
    pub application_name: String,
    /// Longest wait for a connection to be established.
    pub connect_timeout: Duration,
    /// How long table metadata may be reused.
    pub metadata_ttl: Duration,
    /// Scale of `numeric` columns declared without precision: they are read as `Decimal128(38, numeric_scale)`.
    pub numeric_scale: u8,
    /// What becomes of dates and times that Arrow cannot hold.
    pub infinity: UnrepresentablePolicy,
    /// Where functions called by the user's own views look for unqualified names. Owlet's queries qualify theirs.
    pub search_path: String,
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

/// What becomes of values Arrow's types cannot hold: `infinity` and `-infinity` of dates, timestamps and
/// intervals, timestamps after the year 294246, `24:00:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnrepresentablePolicy {
    /// The query fails and names the column.
    #[default]
    Error,
    /// They become NULL.
    Null,
    /// They become the nearest of `0001-01-01`, `9999-12-31 23:59:59.999999`, `23:59:59.999999`.
    Clamp,
}

impl PostgresOptions {
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
            max_connections_per_scan: None,
            application_name: "owlet".to_owned(),
            connect_timeout: Duration::from_secs(10),
            metadata_ttl: Duration::from_secs(60),
            numeric_scale: 18,
            infinity: UnrepresentablePolicy::Error,
            search_path: "pg_catalog".to_owned(),
        }
    }

    /// Connections that one scan may have at once.
    pub(crate) fn connections_per_scan(&self) -> usize {
        let limit = self.max_connections_per_scan.unwrap_or(usize::MAX);
        self.max_connections.min(limit)
    }
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PostgresOptions")
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
            .field("max_connections_per_scan", &self.max_connections_per_scan)
            .field("application_name", &self.application_name)
            .field("connect_timeout", &self.connect_timeout)
            .field("metadata_ttl", &self.metadata_ttl)
            .field("numeric_scale", &self.numeric_scale)
            .field("infinity", &self.infinity)
            .field("search_path", &self.search_path)
            .finish()
    }
}

impl FromStr for SslMode {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "disable" => Ok(Self::Disable),
            "prefer" | "allow" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            "verify-ca" => Ok(Self::VerifyCa),
            "verify-full" => Ok(Self::VerifyFull),
            other => Err(format!(
                "sslmode {other:?} is none of disable, prefer, require, verify-ca, verify-full"
            )),
        }
    }
}

impl FromStr for UnrepresentablePolicy {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "error" => Ok(Self::Error),
            "null" => Ok(Self::Null),
            "clamp" => Ok(Self::Clamp),
            other => Err(format!("infinity {other:?} is none of error, null, clamp")),
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
