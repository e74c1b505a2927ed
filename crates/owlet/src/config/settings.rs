//! What each table of `owlet.toml` may say, as types: the one definition behind reading, the JSON Schema and
//! `owlet init`. Must never open anything.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::guest::{Auth, AwsKeys, GuestKeys, OneOrMore};
use super::secret::{self, Secret};
use crate::units::{ByteSize, Period};

/// The whole configuration, resolved: no references left, paths absolute or relative to the working folder.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// The file it came from; `None` without one.
    pub file: Option<PathBuf>,
    /// The folder relative paths refer to.
    pub folder: PathBuf,
    /// `[engine]`.
    pub engine: EngineSettings,
    /// `[catalog.NAME]`, in the order of the file; names are lower case and unique.
    pub catalogs: Vec<Catalog>,
}

impl Config {
    /// A path of the file as the process can open it: `~/` is the home folder, the rest is relative to the file.
    pub fn path(&self, path: &Path) -> PathBuf {
        match path.strip_prefix("~") {
            Ok(rest) => dirs::home_dir().map_or_else(|| path.to_owned(), |home| home.join(rest)),
            Err(_) => self.folder.join(path),
        }
    }
}

/// One `[catalog.NAME]`.
#[derive(Debug, Clone)]
pub struct Catalog {
    /// Its name in SQL.
    pub name: String,
    /// What it connects to.
    pub settings: CatalogSettings,
}

/// Resources all queries share.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EngineSettings {
    /// Memory for sorts, joins and aggregates before they spill to disk, e.g. "512MB" or "2GiB", 16 MB at least.
    /// Without it a share of the machine's memory.
    pub memory_limit: Option<ByteSize>,
    /// Folder for spill files; without it the system's temporary folder.
    pub spill_dir: Option<PathBuf>,
    /// Threads a query may use at once; without it the number of cores.
    pub target_partitions: Option<NonZeroUsize>,
    /// Catalog for table names without one. Without it the only catalog, or the one called awsdatacatalog.
    pub default_catalog: Option<String>,
    /// Schema for table names without one. Without it the connector's usual one (public, main, default).
    pub default_schema: Option<String>,
}

/// A catalog by its `connector =` word.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum CatalogSettings {
    /// `"postgres"`.
    Postgres(PostgresSettings),
    /// `"mysql"`.
    Mysql(MysqlSettings),
    /// `"sqlite"`.
    Sqlite(SqliteSettings),
    /// `"dynamodb"`.
    DynamoDb(DynamoDbSettings),
    /// `"object"`.
    Object(ObjectSettings),
}

impl CatalogSettings {
    /// The `connector =` word.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "postgres",
            Self::Mysql(_) => "mysql",
            Self::Sqlite(_) => "sqlite",
            Self::DynamoDb(_) => "dynamodb",
            Self::Object(_) => "object",
        }
    }
}

/// A PostgreSQL database; its schemas are PostgreSQL's.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresSettings {
    /// Where and as whom: postgres://user:password@host:port/db, with libpq's URL parameters. May be left out when
    /// secret names the host.
    pub url: Option<Secret>,
    /// How the password is come by: "iam" makes an RDS IAM token for each connection.
    pub auth: Option<Auth>,
    /// User, password and address from AWS: name or ARN of a Secrets Manager secret, or "ssm:/path" or the ARN of a
    /// Systems Manager parameter. Read again when the server refuses what it says.
    pub secret: Option<String>,
    /// AWS region of token or secret; without it the ARN's or the RDS host name's, else the AWS configuration's.
    pub region: Option<String>,
    /// Profile of the AWS configuration files; without it AWS_PROFILE, else the default one.
    pub profile: Option<String>,
    /// Role to assume for token or secret, perhaps of another account.
    pub role_arn: Option<String>,
    /// External id that the role's trust policy demands.
    pub external_id: Option<String>,
    /// Access key; without it the AWS chain (environment, profile, single sign-on, container, instance).
    pub access_key_id: Option<Secret>,
    /// Secret of the access key.
    pub secret_access_key: Option<Secret>,
    /// Token of a temporary access key.
    pub session_token: Option<Secret>,
    /// Replaces the address of the AWS services asked for secret and role, for emulators and private endpoints.
    pub aws_endpoint: Option<String>,
    /// Standbys that queries go to, in turn, rather than to the server of url. What a URL leaves out is that of url.
    #[serde(default, deserialize_with = "secret::list")]
    pub replica_urls: Vec<Secret>,
    /// A standby further behind is not used, e.g. "10s"; without it any that answers is.
    pub max_replica_lag: Option<Period>,
    /// Always true: Owlet only reads.
    pub read_only: Option<bool>,
    /// Queries that run at once; more wait. Counted over the Owlet processes of this user on this machine.
    pub max_concurrent_queries: Option<usize>,
    /// Visible schemas ("sales") and tables ("public.order*"); all without it.
    #[serde(default)]
    pub include: Vec<String>,
    /// Hidden schemas and tables; wins over include.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// When queries may begin: cron expressions (minute hour day month weekday) of the allowed minutes, e.g.
    /// "* 20-23,0-5 * * *"; always without it.
    pub allow: Option<OneOrMore>,
    /// Time zone of allow, e.g. "Europe/Berlin"; the machine's without it.
    pub allow_time_zone: Option<String>,
    /// The password, where it is not part of the URL, e.g. "${file:/run/secrets/pg}". Wins over password_file,
    /// the URL and PGPASSWORD.
    pub password: Option<Secret>,
    /// File whose first line is the password; read again for every connection, so a rotated secret is found.
    pub password_file: Option<PathBuf>,
    /// TLS. Without it the URL's, else verify-full, or prefer for this machine.
    pub sslmode: Option<SslMode>,
    /// File with the certificate authorities to trust, in PEM form; without it the system's.
    pub ca_file: Option<PathBuf>,
    /// The server cancels statements that run longer, e.g. "5m"; without it the server's own limit holds.
    pub statement_timeout: Option<Period>,
    /// Longest wait for a table that another session has locked ("30s" without it).
    pub lock_timeout: Option<Period>,
    /// Connections Owlet opens at most (8 without it).
    pub max_connections: Option<usize>,
    /// Connections that read one table at the same time (as many as threads without it). 1 spares the server's cache.
    pub max_connections_per_scan: Option<usize>,
    /// Name shown in pg_stat_activity ("owlet" without it).
    pub application_name: Option<String>,
    /// Time to establish a connection ("10s" without it).
    pub connect_timeout: Option<Period>,
    /// How long table metadata may be reused ("60s" without it).
    pub metadata_ttl: Option<Period>,
    /// Scale of numeric columns declared without precision (18 without it).
    pub numeric_scale: Option<u8>,
    /// What becomes of infinite dates and other values Arrow cannot hold: an error without it.
    pub infinity: Option<Infinity>,
    /// Where functions of your own views look for unqualified names ("pg_catalog" without it).
    pub search_path: Option<String>,
}

impl PostgresSettings {
    /// How to log in through AWS.
    pub fn aws(&self) -> AwsKeys<'_> {
        AwsKeys {
            auth: self.auth,
            secret: self.secret.as_deref(),
            region: self.region.as_deref(),
            profile: self.profile.as_deref(),
            role_arn: self.role_arn.as_deref(),
            external_id: self.external_id.as_deref(),
            access_key_id: self.access_key_id.as_ref(),
            secret_access_key: self.secret_access_key.as_ref(),
            session_token: self.session_token.as_ref(),
            aws_endpoint: self.aws_endpoint.as_deref(),
        }
    }

    /// The manners of a guest.
    pub fn guest(&self) -> GuestKeys<'_> {
        GuestKeys {
            read_only: self.read_only,
            max_concurrent_queries: self.max_concurrent_queries,
            include: &self.include,
            exclude: &self.exclude,
            allow: self.allow.as_ref(),
            allow_time_zone: self.allow_time_zone.as_deref(),
        }
    }
}

/// How much TLS a connection needs; libpq's meanings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SslMode {
    /// Never TLS.
    Disable,
    /// TLS without verification if the server offers it.
    #[serde(alias = "allow")]
    Prefer,
    /// TLS always.
    Require,
    /// TLS with a certificate of a trusted authority.
    VerifyCa,
    /// TLS with a certificate of a trusted authority for this host name.
    VerifyFull,
}

/// What becomes of values Arrow's types cannot hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Infinity {
    /// The query fails and names the column.
    Error,
    /// They become NULL.
    Null,
    /// They become the nearest value that fits.
    Clamp,
}

/// A MySQL or MariaDB server; its databases are the schemas.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MysqlSettings {
    /// Where and as whom: mysql://user:password@host:port/database, also with ?sslmode=… and sslrootcert=…. The
    /// database is the schema of names without one. May be left out when secret names the host.
    pub url: Option<Secret>,
    /// How the password is come by: "iam" makes an RDS IAM token for each connection.
    pub auth: Option<Auth>,
    /// User, password and address from AWS: name or ARN of a Secrets Manager secret, or "ssm:/path" or the ARN of a
    /// Systems Manager parameter. Read again when the server refuses what it says.
    pub secret: Option<String>,
    /// AWS region of token or secret; without it the ARN's or the RDS host name's, else the AWS configuration's.
    pub region: Option<String>,
    /// Profile of the AWS configuration files; without it AWS_PROFILE, else the default one.
    pub profile: Option<String>,
    /// Role to assume for token or secret, perhaps of another account.
    pub role_arn: Option<String>,
    /// External id that the role's trust policy demands.
    pub external_id: Option<String>,
    /// Access key; without it the AWS chain (environment, profile, single sign-on, container, instance).
    pub access_key_id: Option<Secret>,
    /// Secret of the access key.
    pub secret_access_key: Option<Secret>,
    /// Token of a temporary access key.
    pub session_token: Option<Secret>,
    /// Replaces the address of the AWS services asked for secret and role, for emulators and private endpoints.
    pub aws_endpoint: Option<String>,
    /// Replicas that queries go to, in turn, rather than to the server of url. What a URL leaves out is that of url.
    #[serde(default, deserialize_with = "secret::list")]
    pub replica_urls: Vec<Secret>,
    /// A replica further behind is not used, e.g. "10s"; without it any that answers is.
    pub max_replica_lag: Option<Period>,
    /// Always true: Owlet only reads.
    pub read_only: Option<bool>,
    /// Queries that run at once; more wait. Counted over the Owlet processes of this user on this machine.
    pub max_concurrent_queries: Option<usize>,
    /// Visible schemas ("sales") and tables ("sales.order*"); all without it.
    #[serde(default)]
    pub include: Vec<String>,
    /// Hidden schemas and tables; wins over include.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// When queries may begin: cron expressions (minute hour day month weekday) of the allowed minutes, e.g.
    /// "* 20-23,0-5 * * *"; always without it.
    pub allow: Option<OneOrMore>,
    /// Time zone of allow, e.g. "Europe/Berlin"; the machine's without it.
    pub allow_time_zone: Option<String>,
    /// The password, where it is not part of the URL, e.g. "${file:/run/secrets/mysql}". Wins over password_file,
    /// the URL and MYSQL_PWD.
    pub password: Option<Secret>,
    /// File whose first line is the password; read again for every connection, so a rotated secret is found.
    pub password_file: Option<PathBuf>,
    /// TLS. Without it the URL's, else verify-full, or prefer for this machine.
    pub sslmode: Option<SslMode>,
    /// File with the certificate authorities to trust, in PEM form; without it the system's.
    pub ca_file: Option<PathBuf>,
    /// The server stops statements that run longer, e.g. "5m"; without it the server's own limit holds.
    pub statement_timeout: Option<Period>,
    /// Longest wait for a table that another session changes ("30s" without it); whole seconds.
    pub lock_timeout: Option<Period>,
    /// Connections Owlet opens at most (8 without it).
    pub max_connections: Option<usize>,
    /// Name told to the server as program_name ("owlet" without it).
    pub application_name: Option<String>,
    /// Time to establish a connection ("10s" without it).
    pub connect_timeout: Option<Period>,
    /// How long table metadata may be reused ("60s" without it).
    pub metadata_ttl: Option<Period>,
    /// What becomes of zero and partial dates and of times that are no time of day: an error without it.
    pub zero_dates: Option<ZeroDates>,
    /// What TINYINT(1) is: a boolean without it.
    pub tinyint1: Option<TinyInt>,
    /// What the parts of a table read over several connections agree on: one snapshot without it.
    pub snapshot: Option<Snapshot>,
}

impl MysqlSettings {
    /// How to log in through AWS.
    pub fn aws(&self) -> AwsKeys<'_> {
        AwsKeys {
            auth: self.auth,
            secret: self.secret.as_deref(),
            region: self.region.as_deref(),
            profile: self.profile.as_deref(),
            role_arn: self.role_arn.as_deref(),
            external_id: self.external_id.as_deref(),
            access_key_id: self.access_key_id.as_ref(),
            secret_access_key: self.secret_access_key.as_ref(),
            session_token: self.session_token.as_ref(),
            aws_endpoint: self.aws_endpoint.as_deref(),
        }
    }

    /// The manners of a guest.
    pub fn guest(&self) -> GuestKeys<'_> {
        GuestKeys {
            read_only: self.read_only,
            max_concurrent_queries: self.max_concurrent_queries,
            include: &self.include,
            exclude: &self.exclude,
            allow: self.allow.as_ref(),
            allow_time_zone: self.allow_time_zone.as_deref(),
        }
    }
}

/// What becomes of zero and partial dates and of times that are no time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ZeroDates {
    /// The query fails and names the column.
    Error,
    /// They become NULL; the work report says how many.
    Null,
}

/// What TINYINT(1) is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TinyInt {
    /// A boolean: every number but 0 is true.
    Boolean,
    /// A number.
    Integer,
}

/// What the parts of a table read over several connections agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Snapshot {
    /// One snapshot; where it cannot be proved, one connection reads all parts.
    Exact,
    /// Each connection has a snapshot of its own, taken at almost the same time.
    PerConnection,
}

/// An SQLite database file; its only schema is main.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqliteSettings {
    /// The database file; it is opened read-only.
    pub path: PathBuf,
    /// How long a statement waits for a writer's lock ("5s" without it).
    pub busy_timeout: Option<Period>,
}

/// DynamoDB tables of one account and region, or exported to files; their only schema is default.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DynamoDbSettings {
    /// Where the tables are read: from DynamoDB itself (without it), or from exports in location.
    pub source: Option<DynamoDbSource>,
    /// With source = "export": folder or s3://bucket/prefix of the exports. region, endpoint, profile and keys are
    /// then those of S3.
    pub location: Option<String>,
    /// AWS region, e.g. "eu-central-1"; without it the AWS configuration's.
    pub region: Option<String>,
    /// Replaces the service's address, e.g. "http://127.0.0.1:8000" for DynamoDB Local.
    pub endpoint: Option<String>,
    /// Profile of the AWS configuration files; without it AWS_PROFILE, else the default one.
    pub profile: Option<String>,
    /// Access key; without it the AWS chain (environment, profile, single sign-on, container, instance).
    pub access_key_id: Option<Secret>,
    /// Secret of the access key.
    pub secret_access_key: Option<Secret>,
    /// Token of a temporary access key.
    pub session_token: Option<Secret>,
    /// Database file of an embedded DynamoDB, started in this process when a query needs it (`owlet demo`).
    pub embedded: Option<PathBuf>,
    /// Read consistency; eventual without it, at half the price.
    pub consistency: Option<Consistency>,
    /// Items looked at to infer the columns of a table (1000 without it).
    pub sample_items: Option<u64>,
    /// Read capacity units the inference of one table may cost (500 without it).
    pub sample_max_rcu: Option<f64>,
    /// Read capacity units a second over all queries of this catalog; unlimited without it.
    pub max_rcu_per_second: Option<f64>,
    /// Share of a table's (or global index's) provisioned capacity that reads may take, above 0 up to 1; unlimited
    /// without it.
    pub max_capacity_share: Option<f64>,
    /// US dollars for a million read request units; the region's list price, where it is known, without it.
    pub price_per_million_rcu: Option<f64>,
    /// Segments of a parallel scan; decided by the table's size without it.
    pub segments: Option<u32>,
    /// TOML file of column types that take precedence over inference (`owlet schema infer --write`).
    pub schema_overrides: Option<PathBuf>,
    /// Folder where inferred schemas (no data) survive restarts; the user's cache folder without it.
    pub cache_dir: Option<PathBuf>,
    /// How long a table's description is used ("5m" without it).
    pub metadata_ttl: Option<Period>,
    /// How long inferred columns are used ("24h" without it).
    pub schema_ttl: Option<Period>,
    /// What happens to a value that does not fit its column; an error without it.
    pub on_type_mismatch: Option<OnTypeMismatch>,
    /// Type of columns whose numbers are not all 64-bit integers; decimal without it.
    pub numbers: Option<Numbers>,
    /// Whether tables may be scanned whole; allow without it.
    pub scan: Option<ScanPolicy>,
    /// Times a request is repeated after a server error or a broken connection (8 without it).
    pub max_retries: Option<u32>,
    /// How long one request waits for a throttled table ("15m" without it).
    pub throttle_patience: Option<Period>,
    /// Time to establish a connection ("5s" without it).
    pub connect_timeout: Option<Period>,
    /// Time without a byte of the answer ("30s" without it).
    pub read_timeout: Option<Period>,
}

/// Where a DynamoDB catalog reads its tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DynamoDbSource {
    /// DynamoDB itself.
    Table,
    /// Files that DynamoDB exported to S3, there or copied to a folder.
    Export,
}

/// Read consistency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Consistency {
    /// Half the price; an answer may miss the last moments' writes.
    Eventual,
    /// Every write that was acknowledged before the read.
    Strong,
}

/// What happens to a value that does not fit its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnTypeMismatch {
    /// The query fails and names table, key and attribute.
    Error,
    /// It becomes NULL.
    Null,
}

/// How columns of numbers that are not all 64-bit integers are typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Numbers {
    /// Exact where it fits.
    Decimal,
    /// The nearest binary number.
    Double,
    /// The exact number as text.
    Text,
}

/// Whether a query without a usable key may read a whole table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ScanPolicy {
    /// Scans are ordinary.
    Allow,
    /// A query that would need one is refused.
    Deny,
}

/// A folder or bucket prefix; each file or folder directly below it is a table of the schema default.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectSettings {
    /// "dir/", "file:///dir/" or "s3://bucket/prefix/".
    pub location: String,
    /// Region of the bucket; without it the AWS configuration's.
    pub region: Option<String>,
    /// Replaces the S3 address, e.g. "http://127.0.0.1:9000".
    pub endpoint: Option<String>,
    /// Permits http:// to an endpoint that is not on this machine.
    #[serde(default)]
    pub allow_http: bool,
    /// Profile of the AWS configuration files.
    pub profile: Option<String>,
    /// Access key; without it the AWS chain.
    pub access_key_id: Option<Secret>,
    /// Secret of the access key.
    pub secret_access_key: Option<Secret>,
    /// Token of a temporary access key.
    pub session_token: Option<Secret>,
    /// How CSV and TSV files are written.
    #[serde(default)]
    pub csv: CsvSettings,
    /// SQL types of Hive partition columns by name; the others are inferred.
    #[serde(default)]
    pub partition_types: BTreeMap<String, String>,
    /// Rows of a text file read to infer column types.
    pub infer_rows: Option<usize>,
    /// Deviations of single tables, by table name.
    #[serde(default)]
    pub tables: BTreeMap<String, ObjectTableSettings>,
}

/// What differs for one table of files.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectTableSettings {
    /// Format for files whose suffix does not tell: parquet, csv, tsv, json, arrow or avro.
    pub format: Option<String>,
    /// How its CSV and TSV files are written.
    #[serde(default)]
    pub csv: CsvSettings,
    /// SQL types of its Hive partition columns by name.
    #[serde(default)]
    pub partition_types: BTreeMap<String, String>,
    /// Rows of a text file read to infer column types.
    pub infer_rows: Option<usize>,
}

/// How CSV and TSV files are written.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CsvSettings {
    /// The first line names the columns (true without it).
    pub header: Option<bool>,
    /// Field separator; a comma without it, a tab for .tsv.
    pub delimiter: Option<char>,
    /// Quote character; a double quote without it.
    pub quote: Option<char>,
    /// Escape character inside quoted fields; without it only the doubled quote.
    pub escape: Option<char>,
    /// Lines that start with this character are skipped.
    pub comment: Option<char>,
    /// Text that stands for NULL; the empty field without it.
    pub null: Option<String>,
    /// SQL types by column name; the others are inferred.
    #[serde(default)]
    pub types: BTreeMap<String, String>,
    /// Do not infer types: every column without an entry in types is text.
    pub all_text: Option<bool>,
    /// Quoted fields may contain line breaks (true without it); false lets one large file be read in parallel.
    pub newlines_in_values: Option<bool>,
}
