//! What a user configures, and the connection settings it resolves to. Must never open a connection.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use owlet_connector::ConnectorError;
use url::Url;

/// The port of a URL without one.
const DEFAULT_PORT: u16 = 3306;
/// How a URL is written.
const URL_HINT: &str = "write it as mysql://user:password@host:port/database";

/// Configuration of one MySQL or MariaDB catalog. Only `url` has no default.
#[derive(Clone)]
pub struct MysqlOptions {
    /// `mysql://user:password@host:port/database` (also `mariadb://`), with `?sslmode=…&sslrootcert=…`. The
    /// database only decides where unqualified names of the user's own functions look; all are schemas.
    pub url: String,
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

/// Options checked and resolved: everything a connection needs.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) catalog: String,
    pub(crate) options: MysqlOptions,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) database: Option<String>,
    url_password: Option<String>,
    pub(crate) sslmode: SslMode,
    pub(crate) ca_file: Option<PathBuf>,
    /// Host and port for messages.
    pub(crate) place: String,
}

impl fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Settings")
            .field("catalog", &self.catalog)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Settings {
    pub(crate) fn new(catalog: &str, options: MysqlOptions) -> Result<Self, ConnectorError> {
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
        let url = ParsedUrl::new(&options.url).map_err(|message| refuse(message, URL_HINT))?;
        let sslmode = match (options.sslmode, &url.sslmode) {
            (Some(mode), _) => mode,
            (None, Some(word)) => word.parse().map_err(|message| refuse(message, ""))?,
            (None, None) if is_local(&url.host) => SslMode::Prefer,
            (None, None) => SslMode::VerifyFull,
        };
        let ca_file = options.ca_file.clone().or(url.sslrootcert);
        let place = format!("{}:{}", url.host, url.port);
        Ok(Self {
            catalog: catalog.to_owned(),
            options,
            host: url.host,
            port: url.port,
            user: url.user,
            database: url.database,
            url_password: url.password,
            sslmode,
            ca_file,
            place,
        })
    }

    /// The password of this moment.
    pub(crate) fn password(&self) -> Result<Option<String>, ConnectorError> {
        if let Some(password) = &self.options.password {
            return Ok(Some(password.clone()));
        }
        if let Some(path) = &self.options.password_file {
            let text =
                std::fs::read_to_string(path).map_err(|error| ConnectorError::Configuration {
                    catalog: self.catalog.clone(),
                    message: format!("password_file {} cannot be read: {error}", path.display()),
                    hint: "check the path and its permissions".to_owned(),
                })?;
            return Ok(Some(text.lines().next().unwrap_or_default().to_owned()));
        }
        if let Some(password) = &self.url_password {
            return Ok(Some(password.clone()));
        }
        Ok(std::env::var("MYSQL_PWD").ok())
    }
}

struct ParsedUrl {
    host: String,
    port: u16,
    user: String,
    password: Option<String>,
    database: Option<String>,
    sslmode: Option<String>,
    sslrootcert: Option<PathBuf>,
}

impl ParsedUrl {
    fn new(text: &str) -> Result<Self, String> {
        // The parser's own message may repeat a part of the URL; it is not shown.
        let url = Url::parse(text).map_err(|_| "url cannot be parsed".to_owned())?;
        if !matches!(url.scheme(), "mysql" | "mariadb") {
            return Err("url does not begin with mysql://".to_owned());
        }
        let user = percent_decoded(url.username());
        if user.is_empty() {
            return Err("url names no user".to_owned());
        }
        let host = url
            .host_str()
            .filter(|host| !host.is_empty())
            .unwrap_or("localhost")
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let database = percent_decoded(url.path().trim_start_matches('/'));
        let mut sslmode = None;
        let mut sslrootcert = None;
        for (key, value) in url.query_pairs() {
            match key.as_ref() {
                "sslmode" | "ssl-mode" => sslmode = Some(value.into_owned()),
                "sslrootcert" | "ssl-ca" => sslrootcert = Some(PathBuf::from(value.into_owned())),
                other => return Err(format!("url has the parameter {other}, which is not known")),
            }
        }
        Ok(Self {
            host,
            port: url.port().unwrap_or(DEFAULT_PORT),
            user,
            password: url.password().map(percent_decoded),
            database: Some(database).filter(|database| !database.is_empty()),
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

fn is_local(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
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

    fn settings(options: MysqlOptions) -> Settings {
        Settings::new("shop", options).expect("valid options")
    }

    #[test]
    fn remote_hosts_are_verified_and_local_ones_are_not() {
        let mode = |url: &str| settings(MysqlOptions::new(url)).sslmode;
        assert_eq!(mode("mysql://u@db.example.com/x"), SslMode::VerifyFull);
        assert_eq!(mode("mysql://u@10.0.0.1/x"), SslMode::VerifyFull);
        assert_eq!(mode("mysql://u@localhost/x"), SslMode::Prefer);
        assert_eq!(mode("mariadb://u@127.0.0.1:3307"), SslMode::Prefer);
        assert_eq!(mode("mysql://u@[::1]/x"), SslMode::Prefer);
        assert_eq!(
            mode("mysql://u@localhost/x?sslmode=verify-ca"),
            SslMode::VerifyCa
        );
        assert_eq!(
            mode("mysql://u@h/x?ssl-mode=VERIFY_IDENTITY"),
            SslMode::VerifyFull
        );
    }

    #[test]
    fn parts_of_a_url() {
        let parsed = settings(MysqlOptions::new("mysql://us%40er:p%3Aw%2B@h:3307/da%20ta"));
        assert_eq!(parsed.user, "us@er");
        assert_eq!(parsed.port, 3307);
        assert_eq!(parsed.database.as_deref(), Some("da ta"));
        assert_eq!(parsed.password().expect("given").as_deref(), Some("p:w+"));
        assert!(Settings::new("shop", MysqlOptions::new("mysql://h/x")).is_err());
        assert!(Settings::new("shop", MysqlOptions::new("mysql://u@h/x?typo=1")).is_err());
    }

    #[test]
    fn secrets_are_never_shown() {
        let mut options = MysqlOptions::new("mysql://u:hunter2@h/x?sslmode=disable");
        options.password = Some("hunter2".to_owned());
        assert!(!format!("{options:?}").contains("hunter2"));
        assert!(!format!("{:?}", settings(options)).contains("hunter2"));
        let broken = MysqlOptions::new("mysql://u:hunter2@h:port/x");
        let error = Settings::new("shop", broken).expect_err("a port is a number");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn password_order() {
        let mut options = MysqlOptions::new("mysql://u:fromurl@h/x");
        let password = |options: &MysqlOptions| {
            settings(options.clone())
                .password()
                .expect("readable")
                .expect("one")
        };
        assert_eq!(password(&options), "fromurl");
        let file = tempfile::NamedTempFile::new().expect("temporary file");
        std::fs::write(file.path(), "from file\n").expect("written");
        options.password_file = Some(file.path().to_owned());
        assert_eq!(password(&options), "from file");
        options.password = Some("given".to_owned());
        assert_eq!(password(&options), "given");
    }
}
