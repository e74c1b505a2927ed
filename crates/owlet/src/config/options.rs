//! Settings as the connectors' own options: secrets exposed, paths made absolute, defaults left to the connector.
//! Must never build a connector.

use std::path::PathBuf;

use owlet_connector::ConnectorError;
use owlet_dynamodb::DynamoDbOptions;
use owlet_mysql::{MysqlOptions, SnapshotPolicy, TinyIntPolicy, ZeroDatePolicy};
use owlet_object::{CsvOptions, ObjectOptions, TableOptions};
use owlet_postgres::{PostgresOptions, UnrepresentablePolicy};
use owlet_sqlite::SqliteOptions;

use super::Config;
use super::guest;
use super::secret::Secret;
use super::settings::{
    Consistency, CsvSettings, DynamoDbSettings, Infinity, MysqlSettings, Numbers, ObjectSettings,
    OnTypeMismatch, PostgresSettings, ScanPolicy, Snapshot, SqliteSettings, SslMode, TinyInt,
    ZeroDates,
};

/// What RDS's secrets call the engines the PostgreSQL connector talks to.
const POSTGRES_ENGINES: &[&str] = &["postgres", "aurora-postgresql", "postgresql"];

/// The same for the MySQL connector.
const MYSQL_ENGINES: &[&str] = &["mysql", "mariadb", "aurora-mysql", "aurora"];

/// Options of a PostgreSQL catalog.
pub fn postgres(
    config: &Config,
    catalog: &str,
    settings: &PostgresSettings,
) -> Result<PostgresOptions, ConnectorError> {
    refuse_open_passwords(
        catalog,
        Reader::FirstAt,
        &settings.url,
        &settings.replica_urls,
    )?;
    let url = settings.url.as_ref().map(Secret::expose);
    let mut options = PostgresOptions::new(url.unwrap_or_default());
    options.login = guest::login(catalog, &settings.aws(), POSTGRES_ENGINES)?;
    if options.login.is_some() {
        refuse_password(catalog, &settings.password, &settings.password_file)?;
    }
    (options.gate, options.tables) = guest::manners(catalog, &settings.guest())?;
    options.replica_urls = settings
        .replica_urls
        .iter()
        .map(|url| url.expose().to_owned())
        .collect();
    options.max_replica_lag = settings.max_replica_lag.map(|period| period.0);
    options.password = exposed(&settings.password);
    options.password_file = settings
        .password_file
        .as_ref()
        .map(|file| config.path(file));
    options.sslmode = settings.sslmode.map(|mode| match mode {
        SslMode::Disable => owlet_postgres::SslMode::Disable,
        SslMode::Prefer => owlet_postgres::SslMode::Prefer,
        SslMode::Require => owlet_postgres::SslMode::Require,
        SslMode::VerifyCa => owlet_postgres::SslMode::VerifyCa,
        SslMode::VerifyFull => owlet_postgres::SslMode::VerifyFull,
    });
    options.ca_file = settings.ca_file.as_ref().map(|file| config.path(file));
    options.statement_timeout = settings.statement_timeout.map(|period| period.0);
    set(
        &mut options.lock_timeout,
        settings.lock_timeout.map(|period| period.0),
    );
    set(&mut options.max_connections, settings.max_connections);
    options.max_connections_per_scan = settings.max_connections_per_scan;
    set(
        &mut options.application_name,
        settings.application_name.clone(),
    );
    set(
        &mut options.connect_timeout,
        settings.connect_timeout.map(|period| period.0),
    );
    set(
        &mut options.metadata_ttl,
        settings.metadata_ttl.map(|period| period.0),
    );
    set(&mut options.numeric_scale, settings.numeric_scale);
    let infinity = settings.infinity.map(|policy| match policy {
        Infinity::Error => UnrepresentablePolicy::Error,
        Infinity::Null => UnrepresentablePolicy::Null,
        Infinity::Clamp => UnrepresentablePolicy::Clamp,
    });
    set(&mut options.infinity, infinity);
    set(&mut options.search_path, settings.search_path.clone());
    Ok(options)
}

/// Options of a MySQL catalog.
pub fn mysql(
    config: &Config,
    catalog: &str,
    settings: &MysqlSettings,
) -> Result<MysqlOptions, ConnectorError> {
    refuse_open_passwords(
        catalog,
        Reader::Standard,
        &settings.url,
        &settings.replica_urls,
    )?;
    let url = settings.url.as_ref().map(Secret::expose);
    let mut options = MysqlOptions::new(url.unwrap_or_default());
    options.login = guest::login(catalog, &settings.aws(), MYSQL_ENGINES)?;
    if options.login.is_some() {
        refuse_password(catalog, &settings.password, &settings.password_file)?;
    }
    (options.gate, options.tables) = guest::manners(catalog, &settings.guest())?;
    options.replica_urls = settings
        .replica_urls
        .iter()
        .map(|url| url.expose().to_owned())
        .collect();
    options.max_replica_lag = settings.max_replica_lag.map(|period| period.0);
    options.password = exposed(&settings.password);
    options.password_file = settings
        .password_file
        .as_ref()
        .map(|file| config.path(file));
    options.sslmode = settings.sslmode.map(|mode| match mode {
        SslMode::Disable => owlet_mysql::SslMode::Disable,
        SslMode::Prefer => owlet_mysql::SslMode::Prefer,
        SslMode::Require => owlet_mysql::SslMode::Require,
        SslMode::VerifyCa => owlet_mysql::SslMode::VerifyCa,
        SslMode::VerifyFull => owlet_mysql::SslMode::VerifyFull,
    });
    options.ca_file = settings.ca_file.as_ref().map(|file| config.path(file));
    options.statement_timeout = settings.statement_timeout.map(|period| period.0);
    set(
        &mut options.lock_timeout,
        settings.lock_timeout.map(|period| period.0),
    );
    set(&mut options.max_connections, settings.max_connections);
    set(
        &mut options.application_name,
        settings.application_name.clone(),
    );
    set(
        &mut options.connect_timeout,
        settings.connect_timeout.map(|period| period.0),
    );
    set(
        &mut options.metadata_ttl,
        settings.metadata_ttl.map(|period| period.0),
    );
    let zero_dates = settings.zero_dates.map(|policy| match policy {
        ZeroDates::Error => ZeroDatePolicy::Error,
        ZeroDates::Null => ZeroDatePolicy::Null,
    });
    set(&mut options.zero_dates, zero_dates);
    let tinyint1 = settings.tinyint1.map(|policy| match policy {
        TinyInt::Boolean => TinyIntPolicy::Boolean,
        TinyInt::Integer => TinyIntPolicy::Integer,
    });
    set(&mut options.tinyint1, tinyint1);
    let snapshot = settings.snapshot.map(|policy| match policy {
        Snapshot::Exact => SnapshotPolicy::Exact,
        Snapshot::PerConnection => SnapshotPolicy::PerConnection,
    });
    set(&mut options.snapshot, snapshot);
    Ok(options)
}

/// How a driver finds the end of user and password in a URL.
#[derive(Debug, Clone, Copy)]
enum Reader {
    /// tokio-postgres: they end at the first `@`.
    FirstAt,
    /// The URL standard: they end at the last `@` before any `/`, `?` or `#`.
    Standard,
}

impl Reader {
    /// Whether a part of the password would be taken for host or database, which errors print.
    fn splits_password(self, url: &str) -> bool {
        let Some((_, rest)) = url.split_once("://") else {
            return false;
        };
        match self {
            Self::FirstAt => {
                let address = rest.split('?').next().unwrap_or_default();
                address.matches('@').count() > 1
            }
            Self::Standard => {
                let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
                rest[end..].contains('@')
            }
        }
    }
}

/// Refuses URLs whose password has characters that end it too early.
fn refuse_open_passwords(
    catalog: &str,
    reader: Reader,
    url: &Option<Secret>,
    replica_urls: &[Secret],
) -> Result<(), ConnectorError> {
    let mut urls = url.iter().chain(replica_urls).map(Secret::expose);
    if !urls.any(|url| reader.splits_password(url)) {
        return Ok(());
    }
    Err(ConnectorError::Configuration {
        catalog: catalog.to_owned(),
        message: "a url has an @ where none can be".to_owned(),
        hint: "percent-encode the password: @ is %40, / is %2F, # is %23, ? is %3F, : is %3A; or give it as \
               `password`"
            .to_owned(),
    })
}

/// A password beside a login provider would never be used.
fn refuse_password(
    catalog: &str,
    password: &Option<Secret>,
    password_file: &Option<PathBuf>,
) -> Result<(), ConnectorError> {
    if password.is_none() && password_file.is_none() {
        return Ok(());
    }
    Err(ConnectorError::Configuration {
        catalog: catalog.to_owned(),
        message: "a password is given beside auth = \"iam\" or secret".to_owned(),
        hint: "remove one of them".to_owned(),
    })
}

/// Options of an SQLite catalog.
pub fn sqlite(config: &Config, settings: &SqliteSettings) -> SqliteOptions {
    let mut options = SqliteOptions::new(config.path(&settings.path));
    set(
        &mut options.busy_timeout,
        settings.busy_timeout.map(|period| period.0),
    );
    options
}

/// What is configured replaces the connector's own default.
fn set<T>(option: &mut T, configured: Option<T>) {
    if let Some(configured) = configured {
        *option = configured;
    }
}

fn exposed(secret: &Option<Secret>) -> Option<String> {
    secret.as_ref().map(|secret| secret.expose().to_owned())
}

/// Options of a DynamoDB catalog.
pub fn dynamodb(config: &Config, settings: &DynamoDbSettings) -> DynamoDbOptions {
    let mut options = DynamoDbOptions {
        region: settings.region.clone(),
        endpoint: settings.endpoint.clone(),
        profile: settings.profile.clone(),
        access_key_id: exposed(&settings.access_key_id),
        secret_access_key: exposed(&settings.secret_access_key),
        session_token: exposed(&settings.session_token),
        max_rcu_per_second: settings.max_rcu_per_second,
        max_capacity_share: settings.max_capacity_share,
        price_per_million_rcu: settings.price_per_million_rcu,
        segments: settings.segments,
        schema_overrides: settings
            .schema_overrides
            .as_ref()
            .map(|file| config.path(file)),
        cache_dir: match &settings.cache_dir {
            Some(folder) => Some(config.path(folder)),
            // Each run of a command line is a new process: without a cache each would sample again.
            None => dirs::cache_dir().map(|folder| folder.join("owlet")),
        },
        ..DynamoDbOptions::default()
    };
    let consistency = settings.consistency.map(|consistency| match consistency {
        Consistency::Eventual => owlet_dynamodb::Consistency::Eventual,
        Consistency::Strong => owlet_dynamodb::Consistency::Strong,
    });
    set(&mut options.consistency, consistency);
    set(&mut options.sample_items, settings.sample_items);
    set(&mut options.sample_max_rcu, settings.sample_max_rcu);
    set(
        &mut options.metadata_ttl,
        settings.metadata_ttl.map(|period| period.0),
    );
    set(
        &mut options.schema_ttl,
        settings.schema_ttl.map(|period| period.0),
    );
    let on_type_mismatch = settings.on_type_mismatch.map(|policy| match policy {
        OnTypeMismatch::Error => owlet_dynamodb::OnTypeMismatch::Error,
        OnTypeMismatch::Null => owlet_dynamodb::OnTypeMismatch::Null,
    });
    set(&mut options.on_type_mismatch, on_type_mismatch);
    let numbers = settings.numbers.map(|numbers| match numbers {
        Numbers::Decimal => owlet_dynamodb::NumberPolicy::Decimal,
        Numbers::Double => owlet_dynamodb::NumberPolicy::Double,
        Numbers::Text => owlet_dynamodb::NumberPolicy::Text,
    });
    set(&mut options.numbers, numbers);
    let scan = settings.scan.map(|scan| match scan {
        ScanPolicy::Allow => owlet_dynamodb::ScanPolicy::Allow,
        ScanPolicy::Deny => owlet_dynamodb::ScanPolicy::Deny,
    });
    set(&mut options.scan, scan);
    set(&mut options.max_retries, settings.max_retries);
    set(
        &mut options.throttle_patience,
        settings.throttle_patience.map(|period| period.0),
    );
    set(
        &mut options.connect_timeout,
        settings.connect_timeout.map(|period| period.0),
    );
    set(
        &mut options.read_timeout,
        settings.read_timeout.map(|period| period.0),
    );
    options
}

/// Options of a catalog of files.
pub fn object(config: &Config, settings: &ObjectSettings) -> ObjectOptions {
    ObjectOptions {
        location: location(config, &settings.location),
        region: settings.region.clone(),
        endpoint: settings.endpoint.clone(),
        allow_http: settings.allow_http,
        profile: settings.profile.clone(),
        access_key_id: settings
            .access_key_id
            .as_ref()
            .map(|secret| secret.expose().to_owned()),
        secret_access_key: exposed(&settings.secret_access_key),
        session_token: exposed(&settings.session_token),
        credential_source: None,
        csv: csv_options(&settings.csv),
        partition_types: settings.partition_types.clone(),
        infer_rows: settings.infer_rows,
        tables: settings
            .tables
            .iter()
            .map(|(name, table)| {
                let options = TableOptions {
                    format: table.format.clone(),
                    csv: csv_options(&table.csv),
                    partition_types: table.partition_types.clone(),
                    infer_rows: table.infer_rows,
                };
                (name.clone(), options)
            })
            .collect(),
    }
}

/// An address as it is; a folder relative to the configuration's file.
pub fn location(config: &Config, location: &str) -> String {
    if location.contains("://") {
        location.to_owned()
    } else {
        folder_text(config, location)
    }
}

/// A path as text keeps its final `/`, which a path alone would lose.
fn folder_text(config: &Config, location: &str) -> String {
    let mut text = config
        .path(std::path::Path::new(location))
        .to_string_lossy()
        .into_owned();
    if location.ends_with('/') && !text.ends_with('/') {
        text.push('/');
    }
    text
}

fn csv_options(settings: &CsvSettings) -> CsvOptions {
    CsvOptions {
        header: settings.header,
        delimiter: settings.delimiter,
        quote: settings.quote,
        escape: settings.escape,
        comment: settings.comment,
        null: settings.null.clone(),
        types: settings.types.clone(),
        all_text: settings.all_text,
        newlines_in_values: settings.newlines_in_values,
    }
}
