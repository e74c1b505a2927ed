//! What a person may configure of one DynamoDB catalog. Must never know requests.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use crate::decode::column::OnTypeMismatch;

/// Options of a [`crate::DynamoDbConnector`]. `Debug` hides the credentials.
#[derive(Clone)]
pub struct DynamoDbOptions {
    /// AWS region; `None` takes the AWS configuration's.
    pub region: Option<String>,
    /// Address of the service; `None` is AWS's own in the region. `http://…` for DynamoDB Local.
    pub endpoint: Option<String>,
    /// Profile of the AWS configuration files.
    pub profile: Option<String>,
    /// Fixed credentials instead of AWS's credential chain: access key id.
    pub access_key_id: Option<String>,
    /// Fixed credentials: secret key.
    pub secret_access_key: Option<String>,
    /// Fixed credentials: session token.
    pub session_token: Option<String>,
    /// Eventually consistent reads cost half.
    pub consistency: Consistency,
    /// Items looked at to infer the columns of a table.
    pub sample_items: u64,
    /// Read capacity units the inference of one table may cost; sampling stops there.
    pub sample_max_rcu: f64,
    /// Read capacity units a second, over all tables and queries of this catalog; `None` is unlimited.
    pub max_rcu_per_second: Option<f64>,
    /// Share of a table's (or global index's) provisioned capacity that reads may take, above 0 up to 1; `None` is
    /// unlimited. On-demand tables have none.
    pub max_capacity_share: Option<f64>,
    /// US dollars for a million read request units; `None` takes the region's list price for on-demand tables.
    pub price_per_million_rcu: Option<f64>,
    /// Segments of a parallel scan; `None` decides by the table's size.
    pub segments: Option<u32>,
    /// TOML file of column types that take precedence over inference.
    pub schema_overrides: Option<PathBuf>,
    /// Folder where inferred schemas survive restarts; `None` keeps them in memory only.
    pub cache_dir: Option<PathBuf>,
    /// How long a table's description is used before it is asked for again.
    pub metadata_ttl: Duration,
    /// How long inferred columns are used before the table is sampled again.
    pub schema_ttl: Duration,
    /// What happens to a value that does not fit its column.
    pub on_type_mismatch: OnTypeMismatch,
    /// Type of columns whose numbers are not all 64-bit integers.
    pub numbers: NumberPolicy,
    /// Whether tables may be scanned whole.
    pub scan: ScanPolicy,
    /// Times a request is repeated after a server error or a broken connection.
    pub max_retries: u32,
    /// How long one request waits for a throttled table before the query fails.
    pub throttle_patience: Duration,
    /// Time to establish a connection.
    pub connect_timeout: Duration,
    /// Time without a byte of the answer.
    pub read_timeout: Duration,
}

/// Read consistency of tables and local secondary indexes (global ones are always eventually consistent).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Consistency {
    /// Half the price; an answer may miss the last moments' writes.
    #[default]
    Eventual,
    /// Every write that was acknowledged before the read.
    Strong,
}

/// How columns of numbers that are not all 64-bit integers are typed. Columns of integers are BIGINT under all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NumberPolicy {
    /// `DECIMAL(38, s)` when at most 12 decimals were seen and all fit; else DOUBLE when every sampled number
    /// survives it unchanged; else exact text.
    #[default]
    Decimal,
    /// DOUBLE: the nearest binary number.
    Double,
    /// The exact number as text.
    Text,
}

/// Whether a query without a usable key may read a whole table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ScanPolicy {
    /// Scans are ordinary.
    #[default]
    Allow,
    /// A query that would need one is refused.
    Deny,
}

impl Default for DynamoDbOptions {
    fn default() -> Self {
        Self {
            region: None,
            endpoint: None,
            profile: None,
            access_key_id: None,
            secret_access_key: None,
            session_token: None,
            consistency: Consistency::default(),
            sample_items: 1000,
            sample_max_rcu: 500.0,
            max_rcu_per_second: None,
            max_capacity_share: None,
            price_per_million_rcu: None,
            segments: None,
            schema_overrides: None,
            cache_dir: None,
            metadata_ttl: Duration::from_secs(300),
            schema_ttl: Duration::from_secs(24 * 3600),
            on_type_mismatch: OnTypeMismatch::default(),
            numbers: NumberPolicy::default(),
            scan: ScanPolicy::default(),
            max_retries: 8,
            throttle_patience: Duration::from_secs(900),
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(30),
        }
    }
}

impl fmt::Debug for DynamoDbOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let credentials = if self.access_key_id.is_some() {
            "fixed (hidden)"
        } else {
            "AWS chain"
        };
        formatter
            .debug_struct("DynamoDbOptions")
            .field("region", &self.region)
            .field("endpoint", &self.endpoint)
            .field("profile", &self.profile)
            .field("credentials", &credentials)
            .field("consistency", &self.consistency)
            .field("sample_items", &self.sample_items)
            .field("max_rcu_per_second", &self.max_rcu_per_second)
            .field("max_capacity_share", &self.max_capacity_share)
            .field("price_per_million_rcu", &self.price_per_million_rcu)
            .field("segments", &self.segments)
            .field("schema_overrides", &self.schema_overrides)
            .field("cache_dir", &self.cache_dir)
            .field("on_type_mismatch", &self.on_type_mismatch)
            .field("numbers", &self.numbers)
            .field("scan", &self.scan)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_has_no_secret() {
        let options = DynamoDbOptions {
            access_key_id: Some("AKIASECRETID".to_owned()),
            secret_access_key: Some("verysecret".to_owned()),
            session_token: Some("tokentoken".to_owned()),
            ..DynamoDbOptions::default()
        };
        let text = format!("{options:?}");
        for secret in ["AKIASECRETID", "verysecret", "tokentoken"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
}
