//! What the options resolve to for each server, and for each attempt to connect. Must never open a connection.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use owlet_connector::{ConnectorError, Encryption, Login, LoginTarget, ServerIdentity};
use tokio_postgres::config::Host;

use crate::options::{PostgresOptions, SslMode};

/// Options checked and resolved for one server of the catalog: everything a connection needs.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) catalog: String,
    pub(crate) options: Arc<PostgresOptions>,
    /// Host, port, user, database as far as the configuration knows them, but no password that comes from elsewhere.
    config: tokio_postgres::Config,
    /// What the user chose, by option or URL.
    chosen_sslmode: Option<SslMode>,
    /// What holds for the configured host.
    pub(crate) sslmode: SslMode,
    pub(crate) ca_file: Option<PathBuf>,
    /// Host, port and database for messages.
    pub(crate) place: String,
}

/// What one attempt to connect works with.
pub(crate) struct Attempt {
    pub(crate) config: tokio_postgres::Config,
    pub(crate) sslmode: SslMode,
    pub(crate) place: String,
    /// What the login provider has said, and to which question.
    pub(crate) login: Option<(LoginTarget, Login)>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Settings")
            .field("catalog", &self.catalog)
            .field("options", &self.options)
            .field("place", &self.place)
            .finish()
    }
}

const URL_FORM: &str = "write it as postgres://user:password@host:port/database";

impl Settings {
    /// The primary's settings, then those of the replicas.
    pub(crate) fn of_servers(
        catalog: &str,
        options: PostgresOptions,
    ) -> Result<Vec<Self>, ConnectorError> {
        let refuse = |message: &str, hint: &str| ConnectorError::Configuration {
            catalog: catalog.to_owned(),
            message: message.to_owned(),
            hint: hint.to_owned(),
        };
        if options.max_connections == 0 {
            return Err(refuse("max_connections is 0", "allow at least 1"));
        }
        if options.max_connections_per_scan == Some(0) {
            return Err(refuse("max_connections_per_scan is 0", "allow at least 1"));
        }
        if options.numeric_scale > 38 {
            return Err(refuse(
                &format!("numeric_scale is {}", options.numeric_scale),
                "Decimal128 has at most 38 digits",
            ));
        }
        if options.max_replica_lag.is_some() && options.replica_urls.is_empty() {
            return Err(refuse(
                "max_replica_lag is given without replica_urls",
                "name the replicas, or leave the limit out",
            ));
        }
        if options.url.is_empty() && options.login.is_none() {
            return Err(refuse("there is no url", URL_FORM));
        }
        let options = Arc::new(options);
        let primary = Self::new(catalog, &options, &options.url, None)?;
        let replicas = options
            .replica_urls
            .iter()
            .map(|url| Self::new(catalog, &options, url, Some(&primary)))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(std::iter::once(primary).chain(replicas).collect())
    }

    fn new(
        catalog: &str,
        options: &Arc<PostgresOptions>,
        url: &str,
        primary: Option<&Self>,
    ) -> Result<Self, ConnectorError> {
        let refuse = |message: String, hint: &str| ConnectorError::Configuration {
            catalog: catalog.to_owned(),
            message,
            hint: hint.to_owned(),
        };
        let url = match (url.is_empty(), primary) {
            (true, None) => ParsedUrl::default(),
            _ => ParsedUrl::new(url).map_err(|message| refuse(message, URL_FORM))?,
        };
        let mut config = url.config;
        if let Some(primary) = primary {
            inherit(&mut config, &primary.config);
        }
        let names_host = !config.get_hosts().is_empty() || !config.get_hostaddrs().is_empty();
        if !names_host && primary.is_some() {
            return Err(refuse("a replica's url names no host".to_owned(), URL_FORM));
        }
        if !names_host && options.login.is_none() {
            config.host("localhost");
        }
        if config.get_user().is_none() && options.login.is_none() {
            return Err(refuse("url names no user".to_owned(), URL_FORM));
        }
        let of_url = match &url.sslmode {
            Some(word) => Some(word.parse().map_err(|message| refuse(message, ""))?),
            None => primary.and_then(|primary| primary.chosen_sslmode),
        };
        let chosen_sslmode = options.sslmode.or(of_url);
        let needs_encryption = options
            .login
            .as_ref()
            .is_some_and(|login| login.encryption() == Encryption::Required);
        if let (true, Some(SslMode::Disable | SslMode::Prefer)) = (needs_encryption, chosen_sslmode)
        {
            return Err(refuse(
                "this way to log in needs TLS, but sslmode allows a connection without".to_owned(),
                "leave sslmode out for \"verify-full\", and name the authorities with ca_file",
            ));
        }
        config
            .application_name(&options.application_name)
            .connect_timeout(options.connect_timeout);
        let ca_file = options.ca_file.clone().or(url.sslrootcert);
        let mut settings = Self {
            catalog: catalog.to_owned(),
            options: Arc::clone(options),
            place: describe_place(&config),
            config,
            chosen_sslmode,
            sslmode: SslMode::VerifyFull,
            ca_file,
        };
        settings.sslmode = settings.sslmode_for(&settings.config);
        Ok(settings)
    }

    /// What the user chose, else full verification for every host but this machine.
    fn sslmode_for(&self, config: &tokio_postgres::Config) -> SslMode {
        let needs_encryption = self
            .options
            .login
            .as_ref()
            .is_some_and(|login| login.encryption() == Encryption::Required);
        match self.chosen_sslmode {
            Some(mode) => mode,
            None if !is_local(config) => SslMode::VerifyFull,
            None if needs_encryption => SslMode::Require,
            None => SslMode::Prefer,
        }
    }

    /// The address and the user, with what the URL says of both.
    pub(crate) fn place_and_user(&self) -> ServerIdentity {
        let config = &self.config;
        ServerIdentity::new("postgres")
            .with("hosts", config.get_hosts())
            .with("addresses", config.get_hostaddrs())
            .with("ports", config.get_ports())
            .with("database", config.get_dbname().or(config.get_user()))
            .with("user", config.get_user())
            .with_secret("url_password", config.get_password())
            .with("channel_binding", config.get_channel_binding())
            .with("session_attributes", config.get_target_session_attrs())
            .with("host_order", config.get_load_balance_hosts())
    }

    /// Everything for one attempt to connect, with the login of this moment.
    pub(crate) async fn attempt(&self) -> Result<Attempt, ConnectorError> {
        let (mut config, login) = match &self.options.login {
            None => (self.config_with_password()?, None),
            Some(provider) => {
                let target = self.login_target();
                let login = provider.login(&target).await?;
                (self.config_with_login(&login)?, Some((target, login)))
            }
        };
        let sslmode = self.sslmode_for(&config);
        config.ssl_mode(match sslmode {
            SslMode::Disable => tokio_postgres::config::SslMode::Disable,
            SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
                tokio_postgres::config::SslMode::Require
            }
        });
        Ok(Attempt {
            place: describe_place(&config),
            config,
            sslmode,
            login,
        })
    }

    fn login_target(&self) -> LoginTarget {
        let host = self.config.get_hosts().iter().find_map(|host| match host {
            Host::Tcp(name) => Some(name.clone()),
            #[cfg(unix)]
            Host::Unix(_) => None,
        });
        LoginTarget {
            port: host
                .is_some()
                .then(|| self.config.get_ports().first().copied().unwrap_or(5432)),
            host,
            user: self.config.get_user().map(str::to_owned),
        }
    }

    /// The configuration says where, the login as whom, and where if the configuration does not.
    fn config_with_login(&self, login: &Login) -> Result<tokio_postgres::Config, ConnectorError> {
        let refuse = |message: &str| ConnectorError::Configuration {
            catalog: self.catalog.clone(),
            message: message.to_owned(),
            hint: URL_FORM.to_owned(),
        };
        let mut config = self.config.clone();
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            let host = login.host.as_ref();
            config.host(host.ok_or_else(|| refuse("neither url nor secret names a host"))?);
            if let Some(port) = login.port {
                config.port(port);
            }
        }
        if let Some(user) = &login.user {
            config.user(user);
        }
        if config.get_user().is_none() {
            return Err(refuse("neither url nor secret names a user"));
        }
        if let (None, Some(database)) = (config.get_dbname(), &login.database) {
            config.dbname(database);
        }
        if let Some(password) = &login.password {
            config.password(password);
        }
        Ok(config)
    }

    /// The configuration with the password of this moment.
    fn config_with_password(&self) -> Result<tokio_postgres::Config, ConnectorError> {
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

/// What a replica's URL leaves out is the primary's.
fn inherit(config: &mut tokio_postgres::Config, primary: &tokio_postgres::Config) {
    if config.get_user().is_none() {
        if let Some(user) = primary.get_user() {
            config.user(user);
        }
        if let (None, Some(password)) = (config.get_password(), primary.get_password()) {
            config.password(password);
        }
    }
    if let (None, Some(database)) = (config.get_dbname(), primary.get_dbname()) {
        config.dbname(database);
    }
}

#[derive(Default)]
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
            .map_err(|_| why_unreadable(address, query, &kept))?;
        Ok(Self {
            config,
            sslmode,
            sslrootcert,
        })
    }
}

/// What is wrong with a URL that cannot be read: the name of a parameter at most, since everything else may be a piece of
/// a password.
fn why_unreadable(address: &str, query: &str, parameters: &[&str]) -> String {
    let reads = |url: &str| url.parse::<tokio_postgres::Config>().map(|_| ());
    let without = reads(address);
    // Behind an @ in the parameters is the host: what stands before it is the password.
    let culprit = match (without, query.contains('@')) {
        (Ok(()), false) => parameters.iter().find_map(|parameter| {
            let error = reads(&format!("{address}?{parameter}")).err()?;
            Some((parameter.split('=').next().unwrap_or_default(), error))
        }),
        _ => None,
    };
    let Some((name, error)) = culprit else {
        return "url cannot be parsed".to_owned();
    };
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    match cause.is_some_and(|cause| cause.starts_with("unknown option")) {
        true => format!("url has the parameter {name}, which is not known"),
        false => format!("url has a value of the parameter {name} that cannot be read"),
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

#[cfg(test)]
mod tests {
    use owlet_connector::LoginProvider;

    use super::*;

    fn settings(options: PostgresOptions) -> Settings {
        servers(options).swap_remove(0)
    }

    fn servers(options: PostgresOptions) -> Vec<Settings> {
        Settings::of_servers("shop", options).expect("valid options")
    }

    #[derive(Debug)]
    struct Fixed(Login, Encryption);

    #[async_trait::async_trait]
    impl LoginProvider for Fixed {
        async fn login(&self, _: &LoginTarget) -> owlet_connector::Result<Login> {
            Ok(self.0.clone())
        }

        async fn refused(
            &self,
            _: &LoginTarget,
            _: &Login,
        ) -> owlet_connector::Result<owlet_connector::Refusal> {
            Ok(owlet_connector::Refusal::Final)
        }

        fn encryption(&self) -> Encryption {
            self.1
        }
    }

    fn secret() -> Login {
        Login {
            user: Some("reader".to_owned()),
            password: Some("hunter2".to_owned()),
            host: Some("db.example.com".to_owned()),
            port: Some(5433),
            database: Some("shop".to_owned()),
        }
    }

    #[tokio::test]
    async fn a_secret_fills_in_what_the_url_leaves_out() {
        let attempt = async |url: &str| {
            let mut options = PostgresOptions::new(url);
            options.login = Some(Arc::new(Fixed(secret(), Encryption::AsConfigured)));
            settings(options).attempt().await.expect("an attempt")
        };
        let whole = attempt("").await;
        assert_eq!(whole.place, "db.example.com:5433/shop");
        assert_eq!(whole.config.get_user(), Some("reader"));
        assert_eq!(whole.config.get_password(), Some(&b"hunter2"[..]));
        assert_eq!(whole.sslmode, SslMode::VerifyFull);
        let tunnel = attempt("postgres://someone:else@127.0.0.1:6000/other").await;
        assert_eq!(tunnel.place, "127.0.0.1:6000/other");
        assert_eq!(tunnel.config.get_user(), Some("reader"));
        assert_eq!(tunnel.sslmode, SslMode::Prefer);
    }

    #[test]
    fn tokens_travel_encrypted_only() {
        let with = |url: &str, sslmode| {
            let mut options = PostgresOptions::new(url);
            options.login = Some(Arc::new(Fixed(secret(), Encryption::Required)));
            options.sslmode = sslmode;
            Settings::of_servers("shop", options)
        };
        for (url, chosen) in [
            ("postgres://u@h/x", Some(SslMode::Disable)),
            ("postgres://u@h/x", Some(SslMode::Prefer)),
            ("postgres://u@h/x?sslmode=disable", None),
        ] {
            let error = with(url, chosen).expect_err("refused");
            assert!(error.to_string().contains("TLS"), "{error}");
        }
        let mode = |url| with(url, None).expect("valid")[0].sslmode;
        assert_eq!(mode("postgres://u@localhost/x"), SslMode::Require);
        assert_eq!(mode("postgres://u@db.example.com/x"), SslMode::VerifyFull);
        assert_eq!(
            mode("postgres://u@db.example.com/x?hostaddr=127.0.0.1"),
            SslMode::VerifyFull
        );
    }

    #[test]
    fn replicas_inherit_from_the_primary() {
        let mut options = PostgresOptions::new("postgres://u:p@primary/shop?sslmode=require");
        options.replica_urls = vec![
            "postgres://one:5433".to_owned(),
            "postgres://v:q@two/other?sslmode=verify-full".to_owned(),
        ];
        let servers = servers(options.clone());
        assert_eq!(servers[1].place, "one:5433/shop");
        assert_eq!(servers[1].config.get_user(), Some("u"));
        assert_eq!(servers[1].config.get_password(), Some(&b"p"[..]));
        assert_eq!(servers[1].sslmode, SslMode::Require);
        assert_eq!(servers[2].place, "two:5432/other");
        assert_eq!(servers[2].config.get_password(), Some(&b"q"[..]));
        assert_eq!(servers[2].sslmode, SslMode::VerifyFull);
        options.replica_urls = vec!["mysql://x".to_owned()];
        assert!(Settings::of_servers("shop", options).is_err());
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
        let error = Settings::of_servers("shop", broken).expect_err("a port is a number");
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[test]
    fn the_parameter_that_is_wrong_is_named() {
        let message = |url: &str| {
            let error = Settings::of_servers("shop", PostgresOptions::new(url));
            error.expect_err("refused").to_string()
        };
        for (parameters, expected) in [
            ("foo=x", "url has the parameter foo, which is not known"),
            (
                "sslmode=require&user=u&foo=1",
                "url has the parameter foo, which is not known",
            ),
            (
                "port=x",
                "url has a value of the parameter port that cannot be read",
            ),
        ] {
            let message = message(&format!("postgres://u:hunter2@h/x?{parameters}"));
            assert!(message.contains(expected), "{message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
        for url in [
            "postgres://u:a?hunter2@h:port/x",
            "postgres://u:a?hunter2=b@h:port/x",
            "postgres://u:a?hunter2",
        ] {
            let message = message(url);
            assert!(message.contains("url cannot be parsed"), "{message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
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
