//! From a sample of items to columns, and the evidence for people. Must never know scans or plans.

pub(crate) mod observe;
mod overrides;
mod report;
mod sample;
pub(crate) mod statistics;
mod types;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use owlet_connector::ConnectorError;
use serde::{Deserialize, Serialize};

pub use self::overrides::SchemaOverrides;
pub use self::report::{AttributeEvidence, InferenceReport};

use self::statistics::KeyStatistics;
use crate::description::TableDescription;
use crate::options::DynamoDbOptions;
use crate::shape::Shape;
use crate::transport::{Transport, Watch};

/// What a sample said of a table; kept in memory and on disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct InferredSchema {
    /// Items sampled.
    pub(crate) items: u64,
    /// Segments the sample came from.
    pub(crate) segments: u32,
    /// Read capacity units the sample cost.
    pub(crate) capacity_units: f64,
    /// Seconds since 1970.
    pub(crate) sampled_at: u64,
    /// The table's item count then: a table that has grown much is sampled again.
    pub(crate) table_items: u64,
    /// The sample is the whole table as it was then.
    pub(crate) complete: bool,
    /// Partitions of the table that the sampled items are worth.
    pub(crate) partitions: f64,
    /// Distribution of the attributes that are keys of the table or an index.
    pub(crate) keys: BTreeMap<String, KeyStatistics>,
    /// Attributes in a fixed order.
    pub(crate) attributes: Vec<InferredAttribute>,
}

/// One attribute of the sample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct InferredAttribute {
    pub(crate) name: String,
    pub(crate) shape: Shape,
    /// Items that have it.
    pub(crate) present: u64,
    /// Items that have it with another value than NULL.
    pub(crate) non_null: u64,
    /// Items by type descriptor.
    pub(crate) by_type: BTreeMap<String, u64>,
    /// Different scalar values seen.
    pub(crate) distinct: u64,
    /// Bytes of all sampled values as DynamoDB accounts them, without the name.
    pub(crate) bytes: u64,
}

impl InferredAttribute {
    /// Average bytes of a value where there is one, without the name.
    pub(crate) fn value_bytes(&self) -> f64 {
        self.bytes as f64 / self.present.max(1) as f64
    }
}

impl InferredSchema {
    /// Samples the table and decides the columns.
    pub(crate) async fn infer(
        transport: &Transport,
        table: &TableDescription,
        options: &DynamoDbOptions,
        watch: &Watch,
    ) -> Result<Self, ConnectorError> {
        let sample = sample::sample(transport, table, options, watch).await?;
        tracing::info!(
            catalog = transport.catalog(),
            table = %table.name,
            items = sample.items,
            rcu = sample.capacity_units,
            "inferred columns from a sample"
        );
        let keys: BTreeMap<String, KeyStatistics> = sample
            .key_values
            .iter()
            .map(|(name, values)| (name.clone(), values.statistics()))
            .collect();
        let partitions = sampled_partitions(&sample);
        let mut attributes: Vec<InferredAttribute> = sample
            .attributes
            .into_iter()
            .map(|(name, observation)| InferredAttribute {
                shape: observation.shape(options.numbers),
                present: observation.values,
                non_null: observation.non_null(),
                distinct: observation.distinct_seen(),
                bytes: observation.bytes,
                by_type: observation.by_type,
                name,
            })
            .collect();
        attributes.sort_by_cached_key(|attribute| observe::sort_key(&attribute.name));
        Ok(Self {
            items: sample.items,
            segments: sample.segments,
            capacity_units: sample.capacity_units,
            sampled_at: unix_seconds(),
            table_items: table.items,
            complete: sample.complete,
            partitions,
            keys,
            attributes,
        })
    }

    /// False when the table should be sampled again: too old, nothing seen, or the table has more than doubled.
    pub(crate) fn is_current(&self, table: &TableDescription, age_limit: Duration) -> bool {
        let age = unix_seconds().saturating_sub(self.sampled_at);
        let has_grown = table.items > self.table_items.max(self.items).saturating_mul(2);
        age <= age_limit.as_secs() && self.items > 0 && !has_grown
    }
}

/// Partitions of the table that the sampled items are worth: items by this number is the expected size of one, also
/// for the partitions that were cut off (the usual estimate of a rate from censored observations). When none was
/// seen to its end, each is taken to be twice what was seen of it.
fn sampled_partitions(sample: &sample::Sample) -> f64 {
    if sample.whole_partitions > 0 {
        return sample.whole_partitions as f64;
    }
    (sample.cut_segments as f64 / 2.0).max(0.5)
}

fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}
