//! How the values of key attributes are distributed, from a sample: what a partition or a range probably holds.
//! Must never know requests or prices.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::value::AttributeValue;

/// Equal shares that the sampled values are cut into.
const SHARES: usize = 64;
/// Most frequent values that are remembered.
const COMMON_VALUES: usize = 100;

/// Distribution of one key attribute.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct KeyStatistics {
    /// Sampled items that have the attribute.
    sampled: u64,
    /// Values at the ends of equal shares, ascending.
    quantiles: Vec<AttributeValue>,
    /// Values seen more than once with their number, most frequent first.
    common: Vec<(AttributeValue, u64)>,
}

/// Collects the values of one attribute.
#[derive(Debug, Default)]
pub(crate) struct KeyValues {
    counts: BTreeMap<AttributeValue, u64>,
}

impl KeyValues {
    /// Adds an attribute value in DynamoDB's form; other than scalars are not key values.
    pub(crate) fn add(&mut self, value: &Value) {
        if let Ok(value) = AttributeValue::try_from(value.clone()) {
            *self.counts.entry(value).or_default() += 1;
        }
    }

    /// The distribution of what was added.
    pub(crate) fn statistics(&self) -> KeyStatistics {
        let sampled: u64 = self.counts.values().sum();
        let mut common: Vec<(AttributeValue, u64)> = self
            .counts
            .iter()
            .filter(|(_, count)| **count > 1)
            .map(|(value, count)| (value.clone(), *count))
            .collect();
        common.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        common.truncate(COMMON_VALUES);
        KeyStatistics {
            sampled,
            quantiles: self.quantiles(sampled),
            common,
        }
    }

    fn quantiles(&self, sampled: u64) -> Vec<AttributeValue> {
        let shares = (SHARES as u64).min(sampled.saturating_sub(1));
        if shares == 0 {
            return self.counts.keys().next().cloned().into_iter().collect();
        }
        // Ranks of the ends, from the first value to the last.
        let mut ranks = (0..=shares)
            .map(|share| share * (sampled - 1) / shares)
            .peekable();
        let mut quantiles = Vec::new();
        let mut rank = 0;
        for (value, count) in &self.counts {
            rank += count;
            while ranks.next_if(|wanted| *wanted < rank).is_some() {
                quantiles.push(value.clone());
            }
        }
        quantiles
    }
}

impl KeyStatistics {
    /// Estimated share of items (that have the attribute) whose value is `value`; `total_distinct` is the estimated
    /// number of different values in all.
    pub(crate) fn share_of(&self, value: &AttributeValue, total_distinct: f64) -> f64 {
        let sampled = self.sampled.max(1) as f64;
        if let Some((_, count)) = self.common.iter().find(|(known, _)| known == value) {
            return *count as f64 / sampled;
        }
        // All values seen more than once are listed: this one is as rare as what is left.
        let listed: u64 = self.common.iter().map(|(_, count)| count).sum();
        let rest = (sampled - listed as f64).max(0.5) / sampled;
        let rest_distinct = (total_distinct - self.common.len() as f64).max(1.0);
        rest / rest_distinct
    }

    /// Sampled items that have the attribute.
    pub(crate) fn sampled(&self) -> u64 {
        self.sampled
    }

    /// Estimated share of items whose value is below `value`; `None` when nothing is known.
    pub(crate) fn share_below(&self, value: &AttributeValue) -> Option<f64> {
        let shares = self
            .quantiles
            .len()
            .checked_sub(1)
            .filter(|shares| *shares > 0)?;
        // Between two ends nothing is known: half of the share is as good as anything.
        let below = self.quantiles.partition_point(|end| end < value);
        let at_most = self.quantiles.partition_point(|end| end <= value);
        let position = match (below, at_most) {
            (0, 0) => 0.0,
            (below, at_most) if below == at_most && at_most <= shares => below as f64 - 0.5,
            (below, _) => below as f64,
        };
        Some((position / shares as f64).clamp(0.0, 1.0))
    }

    /// The smallest share that can be told apart.
    pub(crate) fn resolution(&self) -> f64 {
        1.0 / self.quantiles.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn numbers(values: impl Iterator<Item = i64>) -> KeyStatistics {
        let mut collected = KeyValues::default();
        for value in values {
            collected.add(&json!({"N": value.to_string()}));
        }
        collected.statistics()
    }

    fn number(value: i64) -> AttributeValue {
        AttributeValue::try_from(json!({"N": value.to_string()})).expect("a number")
    }

    #[test]
    fn ranges_follow_the_ranks() {
        let statistics = numbers(0..1000);
        for value in [0, 100, 500, 900, 1000] {
            let share = statistics.share_below(&number(value)).expect("it is known");
            assert!(
                (share - value as f64 / 1000.0).abs() < 0.02,
                "{value}: {share}"
            );
        }
        assert_eq!(statistics.share_below(&number(-5)), Some(0.0));
        assert_eq!(statistics.share_below(&number(5000)), Some(1.0));
    }

    #[test]
    fn frequent_values_are_known_and_rare_ones_share_the_rest() {
        let statistics = numbers((0..900).map(|_| 7).chain(1000..1100));
        assert!((statistics.share_of(&number(7), 1000.0) - 0.9).abs() < 1e-9);
        assert!((statistics.share_of(&number(1050), 1001.0) - 0.0001).abs() < 1e-9);
    }

    #[test]
    fn little_is_known_of_little() {
        assert_eq!(numbers(std::iter::empty()).share_below(&number(1)), None);
        assert_eq!(numbers(std::iter::once(1)).share_below(&number(1)), None);
        assert!(
            numbers([1, 2].into_iter())
                .share_below(&number(2))
                .is_some()
        );
    }
}
