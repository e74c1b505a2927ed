//! What the options resolve to for each server, and for each attempt to connect. Must never open a connection.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use owlet_connector::{ConnectorError, Encryption, Login, LoginTarget, ServerIdentity};
use url::Url;

use crate::options::{MysqlOptions, SslMode};

/// The port of a URL without one.
const DEFAULT_PORT: u16 = 3306;
/// How a URL is written.
const URL_FORM: &str = "write it as mysql://user:password@host:port/database";

/// Options checked and resolved for one server of the catalog: everything a connection needs.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) catalog: String,
    pub(crate) options: Arc<MysqlOptions>,
    /// As far as the configuration knows it.
    address: Address,
    /// What the user chose, by option or URL.
    chosen_sslmode: Option<SslMode>,
    /// What holds for the configured host.
    pub(crate) sslmode: SslMode,
    pub(crate) ca_file: Option<PathBuf>,
    /// Host and port for messages.
    pub(crate) place: String,
}

/// Where and as whom.
#[derive(Clone, Default)]
struct Address {
    host: Option<String>,
    /// Where the host is reached instead of where its name leads, e.g. through a tunnel.
    hostaddr: Option<IpAddr>,
    port: Option<u16>,
    user: Option<String>,
    password: Option<String>,
    database: Option<String>,
}

/// What one attempt to connect works with.
#[derive(Clone)]
pub(crate) struct Attempt {
    pub(crate) host: String,
    pub(crate) hostaddr: Option<IpAddr>,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: Option<String>,
    pub(crate) database: Option<String>,
    pub(crate) sslmode: SslMode,
    /// Whether the password may be sent as it is, where the server asks for that. Only ever inside TLS.
    pub(crate) clear_password: ClearPassword,
    pub(crate) place: String,
    /// What the login provider has said, and to which question.
    pub(crate) login: Option<(LoginTarget, Login)>,
}

/// Whether a server that asks for the password itself (`mysql_clear_password`: RDS IAM tokens, PAM, LDAP) gets it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClearPassword {
    /// Inside TLS, which the mode demands.
    Allowed,
    /// The connection may be unencrypted, or the server another.
    Never,
}

impl fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Settings")
            .field("catalog", &self.catalog)
            .field("options", &self.options)
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl Settings {
    /// The primary's settings, then those of the replicas.
    pub(crate) fn of_servers(
        catalog: &str,
        options: MysqlOptions,
    ) -> Result<Vec<Self>, ConnectorError> {
        let refuse = |message: &str, hint: &str| ConnectorError::Configuration {
            catalog: catalog.to_owned(),
            message: message.to_owned(),
            hint: hint.to_owned(),
        };
        if options.max_connections == 0 {
            return Err(refuse("max_connections is 0", "allow at least 1"));
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
        options: &Arc<MysqlOptions>,
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
        let mut address = url.address;
        if let Some(primary) = primary {
            if address.host.is_none() {
                return Err(refuse("a replica's url names no host".to_owned(), URL_FORM));
            }
            address.inherit(&primary.address);
        }
        if options.login.is_none() {
            address.host.get_or_insert_with(|| "localhost".to_owned());
            if address.user.is_none() {
                return Err(refuse("url names no user".to_owned(), URL_FORM));
            }
        }
        let of_url = match &url.sslmode {
            Some(word) => Some(word.parse().map_err(|message| refuse(message, ""))?),
            None => primary.and_then(|primary| primary.chosen_sslmode),
        };
        let chosen_sslmode = options.sslmode.or(of_url);
        if let (true, Some(SslMode::Disable | SslMode::Prefer)) =
            (needs_encryption(options), chosen_sslmode)
        {
            return Err(refuse(
                "this way to log in needs TLS, but sslmode allows a connection without".to_owned(),
                "leave sslmode out for \"verify-full\", and name the authorities with ca_file",
            ));
        }
        let ca_file = options
            .ca_file
            .clone()
            .or(url.sslrootcert)
            .or_else(|| primary.and_then(|primary| primary.ca_file.clone()));
        let mut settings = Self {
            catalog: catalog.to_owned(),
            options: Arc::clone(options),
            place: address.place(),
            address,
            chosen_sslmode,
            sslmode: SslMode::VerifyFull,
            ca_file,
        };
        settings.sslmode = settings.sslmode_for(settings.address.host.as_deref());
        Ok(settings)
    }

    /// The address and the user, with what the URL says of both.
    pub(crate) fn place_and_user(&self) -> ServerIdentity {
        let Address {
            host,
            hostaddr,
            port,
            user,
            password,
            // Every statement names the databases of its tables.
            database: _,
        } = &self.address;
        ServerIdentity::new("mysql")
            .with("host", host)
            .with("address", hostaddr)
            .with("port", port.unwrap_or(DEFAULT_PORT))
            .with("user", user)
            .with_secret("url_password", password.as_deref())
    }

    /// What a limit of queries is about: the same for all catalogs that mean the same server, as far as that is known
    /// without asking.
    pub(crate) fn gate_source(&self) -> String {
        match &self.address.host {
            Some(_) => format!("mysql {}", self.place),
            None => format!("mysql catalog {}", self.catalog),
        }
    }

    /// The database of the URL.
    pub(crate) fn database(&self) -> Option<&str> {
        self.address.database.as_deref()
    }

    /// What the user chose, else full verification for every host but this machine.
    fn sslmode_for(&self, host: Option<&str>) -> SslMode {
        match self.chosen_sslmode {
            Some(mode) => mode,
            None if !host.is_some_and(is_local) => SslMode::VerifyFull,
            None if needs_encryption(&self.options) => SslMode::Require,
            None => SslMode::Prefer,
        }
    }

    /// Everything for one attempt to connect, with the login of this moment.
    pub(crate) async fn attempt(&self) -> Result<Attempt, ConnectorError> {
        let Some(provider) = &self.options.login else {
            let address = Address {
                password: self.password()?,
                ..self.address.clone()
            };
            return self.attempt_at(address, None);
        };
        let target = LoginTarget {
            host: self.address.host.clone(),
            port: self
                .address
                .host
                .is_some()
                .then(|| self.address.port.unwrap_or(DEFAULT_PORT)),
            user: self.address.user.clone(),
        };
        let login = provider.login(&target).await?;
        let address = self.address.with_login(&login);
        self.attempt_at(address, Some((target, login)))
    }

    fn attempt_at(
        &self,
        address: Address,
        login: Option<(LoginTarget, Login)>,
    ) -> Result<Attempt, ConnectorError> {
        let refuse = |message: &str| ConnectorError::Configuration {
            catalog: self.catalog.clone(),
            message: message.to_owned(),
            hint: URL_FORM.to_owned(),
        };
        let place = address.place();
        let host = address
            .host
            .ok_or_else(|| refuse("neither url nor secret names a host"))?;
        let user = address
            .user
            .ok_or_else(|| refuse("neither url nor secret names a user"))?;
        let sslmode = self.sslmode_for(Some(&host));
        let clear_password = match sslmode {
            SslMode::VerifyCa | SslMode::VerifyFull => ClearPassword::Allowed,
            SslMode::Require if self.ca_file.is_some() || needs_encryption(&self.options) => {
                ClearPassword::Allowed
            }
            SslMode::Require | SslMode::Prefer | SslMode::Disable => ClearPassword::Never,
        };
        Ok(Attempt {
            port: address.port.unwrap_or(DEFAULT_PORT),
            host,
            hostaddr: address.hostaddr,
            user,
            password: address.password,
            database: address.database,
            sslmode,
            clear_password,
            place,
            login,
        })
    }

    /// The password of this moment, where no provider knows it.
    fn password(&self) -> Result<Option<String>, ConnectorError> {
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
        if let Some(password) = &self.address.password {
            return Ok(Some(password.clone()));
        }
        Ok(std::env::var("MYSQL_PWD").ok())
    }
}

impl Address {
    /// What a replica's URL leaves out is the primary's.
    fn inherit(&mut self, primary: &Self) {
        if self.user.is_none() {
            self.user.clone_from(&primary.user);
            if self.password.is_none() {
                self.password.clone_from(&primary.password);
            }
        }
        if self.database.is_none() {
            self.database.clone_from(&primary.database);
        }
    }

    /// The configuration says where, the login as whom, and where if the configuration does not.
    fn with_login(&self, login: &Login) -> Self {
        let (host, port) = match &self.host {
            Some(host) => (Some(host.clone()), self.port),
            None => (login.host.clone(), login.port),
        };
        Self {
            host,
            hostaddr: self.hostaddr,
            port,
            user: login.user.clone().or_else(|| self.user.clone()),
            password: login.password.clone().or_else(|| self.password.clone()),
            database: self.database.clone().or_else(|| login.database.clone()),
        }
    }

    fn place(&self) -> String {
        match &self.host {
            Some(host) => format!("{host}:{}", self.port.unwrap_or(DEFAULT_PORT)),
            None => "the server of the secret".to_owned(),
        }
    }
}

fn needs_encryption(options: &MysqlOptions) -> bool {
    options
        .login
        .as_ref()
        .is_some_and(|login| login.encryption() == Encryption::Required)
}

#[derive(Default)]
struct ParsedUrl {
    address: Address,
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
        let named = |text: String| Some(text).filter(|text| !text.is_empty());
        let host = url.host_str().map(|host| {
            host.trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned()
        });
        let mut sslmode = None;
        let mut sslrootcert = None;
        let mut hostaddr = None;
        for (key, value) in url.query_pairs() {
            match key.as_ref() {
                "sslmode" | "ssl-mode" => sslmode = Some(value.into_owned()),
                "sslrootcert" | "ssl-ca" => sslrootcert = Some(PathBuf::from(value.into_owned())),
                "hostaddr" => {
                    let address = value.parse();
                    hostaddr = Some(address.map_err(|_| "hostaddr is no IP address".to_owned())?);
                }
                other => return Err(format!("url has the parameter {other}, which is not known")),
            }
        }
        Ok(Self {
            address: Address {
                host: host.and_then(named),
                hostaddr,
                port: url.port(),
                user: named(percent_decoded(url.username())),
                password: url.password().map(percent_decoded),
                database: named(percent_decoded(url.path().trim_start_matches('/'))),
            },
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

#[cfg(test)]
mod tests {
    use owlet_connector::{LoginProvider, Refusal};

    use super::*;

    fn settings(options: MysqlOptions) -> Settings {
        servers(options).swap_remove(0)
    }

    fn servers(options: MysqlOptions) -> Vec<Settings> {
        Settings::of_servers("shop", options).expect("valid options")
    }

    #[derive(Debug)]
    struct Fixed(Login, Encryption);

    #[async_trait::async_trait]
    impl LoginProvider for Fixed {
        async fn login(&self, _: &LoginTarget) -> owlet_connector::Result<Login> {
            Ok(self.0.clone())
        }

        async fn refused(&self, _: &LoginTarget, _: &Login) -> owlet_connector::Result<Refusal> {
            Ok(Refusal::Final)
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
            port: Some(3307),
            database: Some("shop".to_owned()),
        }
    }

    #[tokio::test]
    async fn a_secret_fills_in_what_the_url_leaves_out() {
        let attempt = async |url: &str| {
            let mut options = MysqlOptions::new(url);
            options.login = Some(Arc::new(Fixed(secret(), Encryption::AsConfigured)));
            settings(options).attempt().await.expect("an attempt")
        };
        let whole = attempt("").await;
        assert_eq!((whole.host.as_str(), whole.port), ("db.example.com", 3307));
        assert_eq!(whole.user, "reader");
        assert_eq!(whole.password.as_deref(), Some("hunter2"));
        assert_eq!(whole.database.as_deref(), Some("shop"));
        assert_eq!(whole.sslmode, SslMode::VerifyFull);
        let tunnel = attempt("mysql://someone:else@127.0.0.1:6000/other").await;
        assert_eq!(tunnel.place, "127.0.0.1:6000");
        assert_eq!(tunnel.database.as_deref(), Some("other"));
        assert_eq!(tunnel.user, "reader");
        assert_eq!(tunnel.password.as_deref(), Some("hunter2"));
        assert_eq!(tunnel.sslmode, SslMode::Prefer);
    }

    #[test]
    fn catalogs_of_secrets_do_not_share_their_places() {
        let source = |catalog: &str, url: &str| {
            let mut options = MysqlOptions::new(url);
            options.login = Some(Arc::new(Fixed(secret(), Encryption::AsConfigured)));
            let servers = Settings::of_servers(catalog, options).expect("valid options");
            servers[0].gate_source()
        };
        assert_ne!(source("one", ""), source("two", ""));
        assert_eq!(
            source("one", "mysql://h/x"),
            source("two", "mysql://h:3306/y")
        );
    }

    #[tokio::test]
    async fn tokens_travel_encrypted_only() {
        let with = |url: &str, sslmode| {
            let mut options = MysqlOptions::new(url);
            options.login = Some(Arc::new(Fixed(secret(), Encryption::Required)));
            options.sslmode = sslmode;
            Settings::of_servers("shop", options)
        };
        for (url, chosen) in [
            ("mysql://u@h/x", Some(SslMode::Disable)),
            ("mysql://u@h/x", Some(SslMode::Prefer)),
            ("mysql://u@h/x?sslmode=disable", None),
        ] {
            let error = with(url, chosen).expect_err("refused");
            assert!(error.to_string().contains("TLS"), "{error}");
        }
        for (url, mode) in [
            ("mysql://u@localhost/x", SslMode::Require),
            ("mysql://u@db.example.com/x", SslMode::VerifyFull),
        ] {
            let settings = with(url, None).expect("valid").swap_remove(0);
            let attempt = settings.attempt().await.expect("an attempt");
            assert_eq!((settings.sslmode, attempt.sslmode), (mode, mode));
            assert_eq!(attempt.clear_password, ClearPassword::Allowed);
        }
    }

    #[tokio::test]
    async fn passwords_are_sent_as_they_are_to_verified_servers_only() {
        for (url, clear) in [
            ("mysql://u:p@localhost/x", ClearPassword::Never),
            ("mysql://u:p@h/x?sslmode=disable", ClearPassword::Never),
            ("mysql://u:p@h/x?sslmode=prefer", ClearPassword::Never),
            ("mysql://u:p@h/x?sslmode=require", ClearPassword::Never),
            (
                "mysql://u:p@h/x?sslmode=require&sslrootcert=/ca",
                ClearPassword::Allowed,
            ),
            ("mysql://u:p@h/x?sslmode=verify-ca", ClearPassword::Allowed),
            ("mysql://u:p@h/x", ClearPassword::Allowed),
        ] {
            let attempt = settings(MysqlOptions::new(url)).attempt().await;
            assert_eq!(attempt.expect("an attempt").clear_password, clear, "{url}");
        }
    }

    #[tokio::test]
    async fn replicas_inherit_from_the_primary() {
        let mut options = MysqlOptions::new("mysql://u:p@primary/shop?sslmode=require");
        options.replica_urls = vec![
            "mysql://one:3307".to_owned(),
            "mysql://v:q@two/other?sslmode=verify-full".to_owned(),
        ];
        let servers = servers(options.clone());
        let one = servers[1].attempt().await.expect("an attempt");
        assert_eq!(one.place, "one:3307");
        assert_eq!(
            (one.user.as_str(), one.password.as_deref()),
            ("u", Some("p"))
        );
        assert_eq!(one.database.as_deref(), Some("shop"));
        assert_eq!(one.sslmode, SslMode::Require);
        let two = servers[2].attempt().await.expect("an attempt");
        assert_eq!(two.place, "two:3306");
        assert_eq!(
            (two.user.as_str(), two.password.as_deref()),
            ("v", Some("q"))
        );
        assert_eq!(two.database.as_deref(), Some("other"));
        assert_eq!(two.sslmode, SslMode::VerifyFull);
        options.replica_urls = vec!["postgres://x".to_owned()];
        assert!(Settings::of_servers("shop", options.clone()).is_err());
        options.replica_urls = Vec::new();
        options.max_replica_lag = Some(std::time::Duration::from_secs(1));
        assert!(Settings::of_servers("shop", options).is_err());
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
            mode("mysql://u@db.example.com/x?hostaddr=127.0.0.1"),
            SslMode::VerifyFull
        );
        assert_eq!(
            mode("mysql://u@h/x?ssl-mode=VERIFY_IDENTITY"),
            SslMode::VerifyFull
        );
    }

    #[tokio::test]
    async fn parts_of_a_url() {
        let parsed = settings(MysqlOptions::new("mysql://us%40er:p%3Aw%2B@h:3307/da%20ta"));
        assert_eq!(parsed.database(), Some("da ta"));
        let attempt = parsed.attempt().await.expect("an attempt");
        assert_eq!((attempt.user.as_str(), attempt.port), ("us@er", 3307));
        assert_eq!(attempt.password.as_deref(), Some("p:w+"));
        let refused = |url: &str| Settings::of_servers("shop", MysqlOptions::new(url)).is_err();
        assert!(refused("mysql://h/x"));
        assert!(refused("mysql://u@h/x?typo=1"));
        assert!(refused(""));
    }

    #[test]
    fn secrets_are_never_shown() {
        let mut options = MysqlOptions::new("mysql://u:hunter2@h/x?sslmode=disable");
        options.password = Some("hunter2".to_owned());
        options.replica_urls = vec!["mysql://v:hunter2@r".to_owned()];
        assert!(!format!("{options:?}").contains("hunter2"));
        assert!(!format!("{:?}", settings(options)).contains("hunter2"));
        let broken = MysqlOptions::new("mysql://u:hunter2@h:port/x");
        let error = Settings::of_servers("shop", broken).expect_err("a port is a number");
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
