//! Sizes of partitions that were read whole: the next estimate for the same key value starts from them. Keeps no key
//! value, only its hash. Must never know plans or requests.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

use crate::options::Consistency;
use crate::plan::cost::{UNIT_BYTES, unit_price};
use crate::value::AttributeValue;

/// Most partitions remembered of a table; the one read longest ago is forgotten first.
const MOST_PARTITIONS: usize = 1000;

/// A partition of a table or an index, without saying which value it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PartitionId(u64);

impl PartitionId {
    pub(crate) fn new(index: Option<&str>, value: &AttributeValue) -> Self {
        let mut hasher = DefaultHasher::new();
        (index, value).hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// What a partition holds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct PartitionSize {
    pub(crate) items: f64,
    pub(crate) bytes: f64,
}

impl PartitionSize {
    /// What reading it whole tells.
    pub(crate) fn of_read(items: f64, units: f64, consistency: Consistency) -> Self {
        Self {
            items,
            bytes: units / unit_price(consistency) * UNIT_BYTES,
        }
    }

    /// Average bytes of its items.
    pub(crate) fn item_bytes(&self) -> f64 {
        self.bytes / self.items.max(1.0)
    }
}

/// The sizes known of one table, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct PartitionSizes(VecDeque<(PartitionId, PartitionSize)>);

impl PartitionSizes {
    pub(crate) fn of(&self, partition: PartitionId) -> Option<PartitionSize> {
        self.0
            .iter()
            .find(|(known, _)| *known == partition)
            .map(|(_, size)| *size)
    }

    pub(crate) fn remember(&mut self, partition: PartitionId, size: PartitionSize) {
        self.0.retain(|(known, _)| *known != partition);
        if self.0.len() >= MOST_PARTITIONS {
            self.0.pop_front();
        }
        self.0.push_back((partition, size));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> PartitionId {
        PartitionId::new(None, &AttributeValue::S(number.to_string()))
    }

    #[test]
    fn the_last_sizes_are_known() {
        let mut sizes = PartitionSizes::default();
        let size = |items: f64| PartitionSize {
            items,
            bytes: items * 100.0,
        };
        sizes.remember(id(0), size(1.0));
        sizes.remember(id(0), size(5.0));
        assert_eq!(sizes.of(id(0)), Some(size(5.0)));
        let in_index = PartitionId::new(Some("by_day"), &AttributeValue::S("0".to_owned()));
        assert_eq!(sizes.of(in_index), None);
        for number in 1..=MOST_PARTITIONS {
            sizes.remember(id(number), size(2.0));
        }
        assert_eq!(sizes.of(id(0)), None);
        assert_eq!(sizes.of(id(1)), Some(size(2.0)));
        assert_eq!(size(0.0).item_bytes(), 0.0);
    }
}
