//! From a sample of items to columns, and the evidence for people. Must never know scans or plans.

pub(crate) mod observe;
mod overrides;
mod report;
mod sample;
pub(crate) mod statistics;
mod types;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use owlet_connector::{ConnectorError, SampleWork};
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
    /// Items of the partition that an item picked at random lies in, divided by the items of a partition picked at
    /// random: 1 when all are equally big.
    #[serde(default = "evenly")]
    pub(crate) size_bias: f64,
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
    /// Samples the table and decides the columns. Also tells what that took.
    pub(crate) async fn infer(
        transport: &Transport,
        table: &TableDescription,
        options: &DynamoDbOptions,
        watch: &Watch,
    ) -> Result<(Self, SampleWork), ConnectorError> {
        let sample = sample::sample(transport, table, options, watch).await?;
        tracing::info!(
            catalog = transport.catalog(),
            table = %table.name,
            items = sample.items,
            rcu = sample.capacity_units,
            "inferred columns from a sample"
        );
        let work = SampleWork {
            requests: sample.requests,
            items: sample.items,
            bytes: sample.bytes,
            capacity_units: sample.capacity_units,
        };
        let keys: BTreeMap<String, KeyStatistics> = sample
            .key_values
            .iter()
            .map(|(name, values)| (name.clone(), values.statistics()))
            .collect();
        let partitions = sampled_partitions(&sample);
        let size_bias = size_bias(&sample, partitions);
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
        let inferred = Self {
            items: sample.items,
            segments: sample.segments,
            capacity_units: sample.capacity_units,
            sampled_at: unix_seconds(),
            table_items: table.items,
            complete: sample.complete,
            partitions,
            size_bias,
            keys,
            attributes,
        };
        Ok((inferred, work))
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

fn evenly() -> f64 {
    1.0
}

/// One plus the squared coefficient of variation of the partitions' sizes. Big partitions are rarely seen whole, so
/// what is seen varies less than what is there: its deviation is scaled up as its mean would have to be.
fn size_bias(sample: &sample::Sample, partitions: f64) -> f64 {
    /// Few partitions seen whole prove no more.
    const MOST: f64 = 4.0;
    if sample.whole_partitions < 2 {
        return evenly();
    }
    let whole = sample.whole_partitions as f64;
    let mean_of_whole = sample.whole_items / whole;
    let variance = sample.whole_squares / whole - mean_of_whole * mean_of_whole;
    let deviation = variance.max(0.0).sqrt() / mean_of_whole;
    let mean = sample.items as f64 / partitions;
    let scaled = deviation * mean / mean_of_whole;
    (1.0 + scaled * scaled).min(MOST)
}

fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(whole: &[f64], items: u64) -> sample::Sample {
        sample::Sample {
            items,
            whole_partitions: whole.len() as u64,
            whole_items: whole.iter().sum(),
            whole_squares: whole.iter().map(|items| items * items).sum(),
            ..sample::Sample::default()
        }
    }

    #[test]
    fn uneven_partitions_are_bigger_than_their_mean_for_those_who_ask() {
        let bias = |whole: &[f64], items: u64| {
            let sample = sample(whole, items);
            size_bias(&sample, sampled_partitions(&sample))
        };
        assert_eq!(bias(&[20.0; 10], 200), 1.0);
        assert_eq!(bias(&[], 200), 1.0);
        // Half have one item, half have three: an item lies in one of 2.5 on average, which is 1.25 times the mean.
        let uneven: Vec<f64> = [1.0, 3.0].repeat(10);
        assert!((bias(&uneven, 40) - 1.25).abs() < 1e-9);
        // The same, and as many items again in partitions that were cut off.
        assert_eq!(bias(&uneven, 80), 2.0);
        assert_eq!(bias(&[1.0, 1000.0], 100_000), 4.0);
    }
}
