//! What a user configures for a catalog of files: where it is, how to reach it, how its text files are written.
//! Must never do I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use owlet_connector::Result;
use serde::Deserialize;

/// Rows read from a text file to infer its column types, unless configured.
pub const DEFAULT_INFER_ROWS: usize = 20_000;

/// Configuration of one object catalog, or of ad-hoc paths (then `location` is unused).
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ObjectOptions {
    /// `dir/`, `file:///dir/` or `s3://bucket/prefix/`.
    pub location: String,
    /// Region of the bucket; without it the environment's (`AWS_REGION`), then `us-east-1`.
    pub region: Option<String>,
    /// Replaces the S3 address, e.g. `http://127.0.0.1:9000`.
    pub endpoint: Option<String>,
    /// Permits `http://` to an endpoint that is not on this machine.
    pub allow_http: bool,
    /// Profile of the AWS credentials file to take keys from.
    pub profile: Option<String>,
    /// Static credentials.
    pub access_key_id: Option<String>,
    /// Static credentials.
    pub secret_access_key: Option<String>,
    /// Static credentials: token of a temporary session.
    pub session_token: Option<String>,
    /// A credential chain outside of this crate (single sign-on, assumed roles). It is asked when neither static
    /// keys nor a profile with keys are configured.
    #[serde(skip)]
    pub credential_source: Option<Arc<dyn CredentialSource>>,
    /// How CSV and TSV files are written.
    pub csv: CsvOptions,
    /// SQL types of Hive partition columns by name; the others are inferred (integer, date, else text).
    pub partition_types: BTreeMap<String, String>,
    /// Rows of a text file read to infer column types ([`DEFAULT_INFER_ROWS`]).
    pub infer_rows: Option<usize>,
    /// Deviations of single tables, by table name.
    pub tables: BTreeMap<String, TableOptions>,
}

/// What differs for one table; everything unset is the catalog's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TableOptions {
    /// Format for files whose suffix does not tell: `parquet`, `csv`, `tsv`, `json`, `arrow`, `avro`.
    pub format: Option<String>,
    /// How its CSV and TSV files are written.
    pub csv: CsvOptions,
    /// SQL types of its Hive partition columns.
    pub partition_types: BTreeMap<String, String>,
    /// Rows read to infer column types.
    pub infer_rows: Option<usize>,
}

/// The options in force for one table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EffectiveOptions {
    /// Its format, if its suffix does not tell.
    pub format: Option<String>,
    /// How its CSV and TSV files are written.
    pub csv: CsvOptions,
    /// SQL types of its Hive partition columns, if it has them.
    pub partition_types: BTreeMap<String, String>,
    /// Rows read to infer column types.
    pub infer_rows: Option<usize>,
    /// What the table must have. The catalog's types are for all tables, and none must have all of these columns.
    pub own_names: OwnNames,
}

/// Columns for which the table's own configuration declares a type; in lower case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnNames {
    /// Columns of the files.
    pub columns: BTreeSet<String>,
    /// Partitions.
    pub partitions: BTreeSet<String>,
}

/// How CSV and TSV files are written. `None` is the default of the format.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CsvOptions {
    /// The first line names the columns (default true). Without it columns are `column_1`, `column_2`, …
    pub header: Option<bool>,
    /// Field separator (default `,`; for `.tsv` a tab).
    pub delimiter: Option<char>,
    /// Quote (default `"`; doubled inside a quoted field). Set for `.tsv`, it also says that backslashes outside of
    /// quotes are themselves.
    pub quote: Option<char>,
    /// Escape inside quoted fields, e.g. `\`; without it only a doubled quote. Set for `.tsv`, it also says that
    /// backslashes outside of quotes are themselves.
    pub escape: Option<char>,
    /// Lines that start with this character are skipped (default none).
    pub comment: Option<char>,
    /// Text that stands for NULL (default: the empty field; for `.tsv` also `\N`). `\N` for `.tsv` also says that
    /// nothing is quoted.
    pub null: Option<String>,
    /// SQL types by column name; the others are inferred.
    pub types: BTreeMap<String, String>,
    /// Do not infer types: every column without an entry in `types` is text.
    pub all_text: Option<bool>,
    /// Quoted fields may contain line breaks (default true). Set it to false to let one large file be read in
    /// parallel parts.
    pub newlines_in_values: Option<bool>,
}

/// Keys for S3 from a chain outside of this crate.
#[async_trait]
pub trait CredentialSource: fmt::Debug + Send + Sync {
    /// Current keys; called again when they are about to expire.
    async fn credentials(&self) -> Result<S3Credentials>;
}

/// One set of keys.
#[derive(Clone)]
pub struct S3Credentials {
    /// Access key id.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: String,
    /// Token of a temporary session.
    pub session_token: Option<String>,
}

impl fmt::Debug for S3Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("S3Credentials")
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ObjectOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |secret: &Option<String>| secret.as_ref().map(|_| "***");
        formatter
            .debug_struct("ObjectOptions")
            .field("location", &self.location)
            .field("region", &self.region)
            .field("endpoint", &self.endpoint)
            .field("allow_http", &self.allow_http)
            .field("profile", &self.profile)
            .field("access_key_id", &hidden(&self.access_key_id))
            .field("secret_access_key", &hidden(&self.secret_access_key))
            .field("session_token", &hidden(&self.session_token))
            .field("csv", &self.csv)
            .field("partition_types", &self.partition_types)
            .field("infer_rows", &self.infer_rows)
            .field("tables", &self.tables)
            .finish_non_exhaustive()
    }
}

impl CsvOptions {
    /// These options, where unset those of `base`.
    pub fn over(&self, base: &Self) -> Self {
        let mut types = base.types.clone();
        types.extend(self.types.clone());
        Self {
            header: self.header.or(base.header),
            delimiter: self.delimiter.or(base.delimiter),
            quote: self.quote.or(base.quote),
            escape: self.escape.or(base.escape),
            comment: self.comment.or(base.comment),
            null: self.null.clone().or_else(|| base.null.clone()),
            types,
            all_text: self.all_text.or(base.all_text),
            newlines_in_values: self.newlines_in_values.or(base.newlines_in_values),
        }
    }
}

impl ObjectOptions {
    /// Options in force for one table.
    pub fn for_table(&self, table: &str) -> EffectiveOptions {
        let own = self
            .tables
            .iter()
            .find(|(name, _)| name.as_str() == table)
            .or_else(|| {
                self.tables
                    .iter()
                    .find(|(name, _)| name.to_lowercase() == table.to_lowercase())
            })
            .map(|(_, options)| options.clone())
            .unwrap_or_default();
        let lower_case = |types: &BTreeMap<String, String>| {
            types.keys().map(|name| name.to_lowercase()).collect()
        };
        let own_names = OwnNames {
            columns: lower_case(&own.csv.types),
            partitions: lower_case(&own.partition_types),
        };
        let mut partition_types = self.partition_types.clone();
        partition_types.extend(own.partition_types);
        EffectiveOptions {
            format: own.format,
            csv: own.csv.over(&self.csv),
            partition_types,
            infer_rows: own.infer_rows.or(self.infer_rows),
            own_names,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_hides_secrets() {
        let options = ObjectOptions {
            access_key_id: Some("AKIAEXAMPLE".to_owned()),
            secret_access_key: Some("very-secret".to_owned()),
            session_token: Some("token-secret".to_owned()),
            ..ObjectOptions::default()
        };
        let shown = format!("{options:?}");
        assert!(
            !shown.contains("AKIAEXAMPLE")
                && !shown.contains("secret\"")
                && !shown.contains("token-secret")
        );
    }

    #[test]
    fn a_table_overrides_the_catalog() {
        let mut options = ObjectOptions::default();
        options.csv.delimiter = Some(';');
        options
            .csv
            .types
            .insert("a".to_owned(), "bigint".to_owned());
        let mut own = TableOptions::default();
        own.csv.header = Some(false);
        own.csv.types.insert("b".to_owned(), "varchar".to_owned());
        options.tables.insert("Orders".to_owned(), own);
        let orders = options.for_table("orders");
        assert_eq!(orders.csv.delimiter, Some(';'));
        assert_eq!(orders.csv.header, Some(false));
        assert_eq!(orders.csv.types.len(), 2);
        assert_eq!(orders.own_names.columns, BTreeSet::from(["b".to_owned()]));
        assert_eq!(options.for_table("other").csv.header, None);
    }
}
