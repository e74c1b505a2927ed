//! What a user configures, and the connection settings it resolves to. Must never open a connection.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use owlet_connector::ConnectorError;
use tokio_postgres::config::Host;

/// Configuration of one PostgreSQL catalog. Only `url` has no default.
#[derive(Clone)]
pub struct PostgresOptions {
    /// `postgres://user:password@host:port/database`, with `?sslmode=…&sslrootcert=…` and the other parameters
    /// of libpq's URLs that concern a connection.
    pub url: String,
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
            numeric_scale: 18,
            infinity: UnrepresentablePolicy::Error,
            search_path: "pg_catalog".to_owned(),
        }
    }
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("PostgresOptions")
            .field("url", &without_secrets(&self.url))
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

/// Options checked and resolved: everything a connection needs.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) catalog: String,
    pub(crate) options: PostgresOptions,
    /// Host, port, user, database, but no password when it comes from a file.
    pub(crate) config: tokio_postgres::Config,
    pub(crate) sslmode: SslMode,
    pub(crate) ca_file: Option<PathBuf>,
    /// Host, port and database for messages.
    pub(crate) place: String,
}

impl fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Settings")
            .field("catalog", &self.catalog)
            .field("options", &self.options)
            .finish()
    }
}

impl Settings {
    pub(crate) fn new(catalog: &str, options: PostgresOptions) -> Result<Self, ConnectorError> {
        let refuse = |message: String, hint: &str| ConnectorError::Configuration {
            catalog: catalog.to_owned(),
            message,
            hint: hint.to_owned(),
        };
        if options.max_connections == 0 {
            return Err(refuse(
                "max_connections is 0".to_owned(),
                "allow at least 1",
            ));
        }
        if options.numeric_scale > 38 {
            return Err(refuse(
                format!("numeric_scale is {}", options.numeric_scale),
                "Decimal128 has at most 38 digits",
            ));
        }
        let url = ParsedUrl::new(&options.url).map_err(|message| {
            refuse(
                message,
                "write it as postgres://user:password@host:port/database",
            )
        })?;
        let mut config = url.config;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            config.host("localhost");
        }
        if config.get_user().is_none() {
            return Err(refuse(
                "url names no user".to_owned(),
                "write it as postgres://user:password@host:port/database",
            ));
        }
        let sslmode = match (options.sslmode, &url.sslmode) {
            (Some(mode), _) => mode,
            (None, Some(word)) => word.parse().map_err(|message| refuse(message, ""))?,
            (None, None) if is_local(&config) => SslMode::Prefer,
            (None, None) => SslMode::VerifyFull,
        };
        config
            .application_name(&options.application_name)
            .connect_timeout(options.connect_timeout)
            .ssl_mode(match sslmode {
                SslMode::Disable => tokio_postgres::config::SslMode::Disable,
                SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
                SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
                    tokio_postgres::config::SslMode::Require
                }
            });
        let ca_file = options.ca_file.clone().or(url.sslrootcert);
        let place = describe_place(&config);
        Ok(Self {
            catalog: catalog.to_owned(),
            options,
            config,
            sslmode,
            ca_file,
            place,
        })
    }

    /// The configuration with the password of this moment.
    pub(crate) fn config_with_password(&self) -> Result<tokio_postgres::Config, ConnectorError> {
        let mut config = self.config.clone();
        if let Some(password) = &self.options.password {
            config.password(password);
            return Ok(config);
        }
        if let Some(path) = &self.options.password_file {
            let text =
                std::fs::read_to_string(path).map_err(|error| ConnectorError::Configuration {
                    catalog: self.catalog.clone(),
                    message: format!("password_file {} cannot be read: {error}", path.display()),
                    hint: "check the path and its permissions".to_owned(),
                })?;
            config.password(text.lines().next().unwrap_or_default());
            return Ok(config);
        }
        if config.get_password().is_none()
            && let Ok(password) = std::env::var("PGPASSWORD")
        {
            config.password(password);
        }
        Ok(config)
    }
}

struct ParsedUrl {
    config: tokio_postgres::Config,
    sslmode: Option<String>,
    sslrootcert: Option<PathBuf>,
}

impl ParsedUrl {
    /// Takes out the parameters whose meaning tokio-postgres does not know, and lets it read the rest.
    fn new(text: &str) -> Result<Self, String> {
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err("url does not begin with postgres://".to_owned());
        }
        let (address, query) = text.split_once('?').unwrap_or((text, ""));
        let mut sslmode = None;
        let mut sslrootcert = None;
        let mut kept = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            match key {
                "sslmode" => sslmode = Some(percent_decoded(value)),
                "sslrootcert" => sslrootcert = Some(PathBuf::from(percent_decoded(value))),
                // Owlet sets these itself.
                "application_name" | "connect_timeout" | "options" => {}
                _ => kept.push(pair),
            }
        }
        let rest = if kept.is_empty() {
            address.to_owned()
        } else {
            format!("{address}?{}", kept.join("&"))
        };
        // The parser's own message may repeat a part of the URL; it is not shown.
        let config = rest
            .parse::<tokio_postgres::Config>()
            .map_err(|_| "url cannot be parsed".to_owned())?;
        Ok(Self {
            config,
            sslmode,
            sslrootcert,
        })
    }
}

fn percent_decoded(value: &str) -> String {
    let pair = format!("v={}", value.replace('+', "%2B"));
    url::form_urlencoded::parse(pair.as_bytes())
        .map(|(_, value)| value.into_owned())
        .collect()
}

fn is_local(config: &tokio_postgres::Config) -> bool {
    let hosts_local = config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => {
            name.eq_ignore_ascii_case("localhost")
                || name
                    .trim_start_matches('[')
                    .trim_end_matches(']')
                    .parse::<std::net::IpAddr>()
                    .is_ok_and(|address| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    });
    hosts_local
        && config
            .get_hostaddrs()
            .iter()
            .all(std::net::IpAddr::is_loopback)
}

fn describe_place(config: &tokio_postgres::Config) -> String {
    let hosts: Vec<String> = config
        .get_hosts()
        .iter()
        .enumerate()
        .map(|(position, host)| {
            let ports = config.get_ports();
            let port = ports
                .get(position)
                .or_else(|| ports.first())
                .copied()
                .unwrap_or(5432);
            match host {
                Host::Tcp(name) => format!("{name}:{port}"),
                #[cfg(unix)]
                Host::Unix(path) => format!("{}:{port}", path.display()),
            }
        })
        .collect();
    let database = config
        .get_dbname()
        .or(config.get_user())
        .unwrap_or_default();
    format!("{}/{database}", hosts.join(","))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(options: PostgresOptions) -> Settings {
        Settings::new("shop", options).expect("valid options")
    }

    #[test]
    fn remote_hosts_are_verified_and_local_ones_are_not() {
        let mode = |url: &str| settings(PostgresOptions::new(url)).sslmode;
        assert_eq!(mode("postgres://u@db.example.com/x"), SslMode::VerifyFull);
        assert_eq!(mode("postgres://u@10.0.0.1/x"), SslMode::VerifyFull);
        assert_eq!(mode("postgres://u@localhost/x"), SslMode::Prefer);
        assert_eq!(mode("postgres://u@127.0.0.1:5433/x"), SslMode::Prefer);
        assert_eq!(mode("postgres://u@[::1]/x"), SslMode::Prefer);
        assert_eq!(
            mode("postgres://u@%2Fvar%2Frun%2Fpostgresql/x"),
            SslMode::Prefer
        );
        assert_eq!(
            mode("postgres://u@localhost,db.example.com/x"),
            SslMode::VerifyFull
        );
        assert_eq!(
            mode("postgres://u@localhost/x?sslmode=verify-ca"),
            SslMode::VerifyCa
        );
    }

    #[test]
    fn an_explicit_mode_wins_over_the_url() {
        let mut options = PostgresOptions::new("postgres://u@db.example.com/x?sslmode=require");
        assert_eq!(settings(options.clone()).sslmode, SslMode::Require);
        options.sslmode = Some(SslMode::Disable);
        assert_eq!(settings(options).sslmode, SslMode::Disable);
    }

    #[test]
    fn the_ca_file_may_stand_in_the_url() {
        let options = PostgresOptions::new(
            "postgres://u@h/x?sslrootcert=%2Fetc%2Fca+1.pem&sslmode=verify-full",
        );
        assert_eq!(
            settings(options).ca_file,
            Some(PathBuf::from("/etc/ca+1.pem"))
        );
    }

    #[test]
    fn secrets_are_never_shown() {
        let mut options = PostgresOptions::new("postgres://u:hunter2@h/x?password=hunter2");
        options.password = Some("hunter2".to_owned());
        assert!(!format!("{options:?}").contains("hunter2"));
        assert!(!format!("{:?}", settings(options)).contains("hunter2"));
        let broken = PostgresOptions::new("postgres://u:hunter2@h:port/x");
        let error = Settings::new("shop", broken).expect_err("a port is a number");
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[test]
    fn password_order() {
        let mut options = PostgresOptions::new("postgres://u:fromurl@h/x");
        let password = |options: &PostgresOptions| {
            let config = settings(options.clone())
                .config_with_password()
                .expect("readable");
            config.get_password().map(<[u8]>::to_vec)
        };
        assert_eq!(password(&options), Some(b"fromurl".to_vec()));
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        std::fs::write(file.path(), "from file\n").expect("written");
        options.password_file = Some(file.path().to_owned());
        assert_eq!(password(&options), Some(b"from file".to_vec()));
        options.password = Some("given".to_owned());
        assert_eq!(password(&options), Some(b"given".to_vec()));
    }
}
