//! How big a table, an index, a partition or a range probably is. Must never know prices or predicates.

use super::candidate::Question;
use super::keys::Keys;
use super::sort_range::{Bound, Range, SortCondition};
use crate::catalog::partition_sizes::{PartitionId, PartitionSize};
use crate::description::{IndexDescription, IndexKind, Projection};
use crate::infer::statistics::KeyStatistics;
use crate::value::AttributeValue;

/// Size of a table or index, as well as it is known.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Extent {
    pub(crate) items: f64,
    pub(crate) item_bytes: f64,
    /// Counted by the service or by a sample of everything; new tables are counted after hours only.
    pub(crate) is_counted: bool,
}

impl Extent {
    pub(crate) fn bytes(&self) -> f64 {
        self.items * self.item_bytes
    }
}

impl Question<'_> {
    /// Size of the table or an index.
    pub(crate) fn extent(&self, index: Option<&IndexDescription>) -> Extent {
        let description = &self.table.description;
        let inferred = &self.table.inferred;
        let sampled_bytes = if inferred.items == 0 {
            0.0
        } else {
            // Sampling is eventually consistent: half a unit for 4 KB.
            inferred.capacity_units * 8192.0 / inferred.items as f64
        };
        let table = Extent {
            items: description.items.max(inferred.items) as f64,
            item_bytes: if description.items > 0 {
                description.item_bytes()
            } else {
                sampled_bytes
            },
            is_counted: description.items > 0 || inferred.complete,
        };
        match index {
            None => table,
            Some(index) if index.items > 0 => Extent {
                items: index.items as f64,
                item_bytes: self
                    .projected_bytes(index)
                    .min(index.bytes as f64 / index.items as f64),
                is_counted: true,
            },
            Some(index) => Extent {
                is_counted: false,
                item_bytes: self.projected_bytes(index).min(table.item_bytes),
                ..table
            },
        }
    }

    /// Average bytes of what an index holds of an item, from the sample; not every emulator reports it.
    fn projected_bytes(&self, index: &IndexDescription) -> f64 {
        let description = &self.table.description;
        if index.projection == Projection::All || self.table.inferred.items == 0 {
            return f64::INFINITY;
        }
        let sampled = self.table.inferred.items as f64;
        let attributes = self.table.inferred.attributes.iter();
        attributes
            .filter(|attribute| index.holds(&attribute.name, &description.keys))
            .map(|attribute| {
                // Every item of the index has its keys.
                let is_key = index.keys.contains(&attribute.name);
                let presence = if is_key {
                    1.0
                } else {
                    attribute.present as f64 / sampled
                };
                (attribute.value_bytes() + attribute.name.len() as f64) * presence
            })
            .sum()
    }

    /// Expected items of any one partition of the table or an index.
    pub(crate) fn items_of_partition(&self, hash: &str, extent: Extent) -> f64 {
        match self.table.distinct_values(hash) {
            Some(distinct) if distinct >= 1.0 => (extent.items / distinct).max(1.0),
            _ => extent.items.clamp(1.0, 10.0),
        }
    }

    /// How many ranges a condition is read by, and the expected items of each.
    pub(crate) fn expected_range(
        &self,
        keys: &Keys<'_>,
        hash: &AttributeValue,
        condition: &SortCondition,
        index: Option<&IndexDescription>,
        known: Option<PartitionSize>,
    ) -> (f64, f64) {
        let partition =
            known.map_or_else(|| self.items_of_value(keys, hash, index), |size| size.items);
        let statistics = keys
            .sort
            .as_ref()
            .and_then(|sort| self.statistics(&sort.attribute.name));
        match condition {
            SortCondition::Any => (1.0, partition),
            SortCondition::In(values) => {
                let of_one = match (index, keys.sort.as_ref()) {
                    // The key of a table is unique.
                    (None, _) | (_, None) => 1.0,
                    (Some(index), Some(sort)) => {
                        let distinct = self
                            .table
                            .distinct_values(&sort.attribute.name)
                            .unwrap_or(partition);
                        let extent = self.extent(Some(index));
                        let values_of_partition = distinct.min(partition).max(1.0);
                        (partition / values_of_partition).clamp(1.0, extent.items.max(1.0))
                    }
                };
                (values.len() as f64, of_one)
            }
            SortCondition::Range(range) => (1.0, partition * range_share(range, statistics)),
            SortCondition::Prefix(prefix) => (1.0, partition * prefix_share(prefix, statistics)),
        }
    }

    /// Size of the partition of one value, if it was read whole before.
    pub(crate) fn known_size(
        &self,
        hash: &AttributeValue,
        index: Option<&IndexDescription>,
        extent: Extent,
    ) -> Option<PartitionSize> {
        let of = |index: Option<&str>| self.learned.partition(PartitionId::new(index, hash));
        let Some(index) = index else {
            return of(None);
        };
        of(Some(&index.name)).or_else(|| {
            // A local index has the table's partitions, without the items that lack its sort key.
            let of_table = of(None).filter(|_| index.kind == IndexKind::Local)?;
            let item_bytes = of_table.item_bytes().min(extent.item_bytes);
            let table = self.extent(None);
            let share = if table.is_counted && extent.is_counted {
                (extent.items / table.items.max(1.0)).min(1.0)
            } else {
                1.0
            };
            let items = of_table.items * share;
            Some(PartitionSize {
                items,
                bytes: items * item_bytes,
            })
        })
    }

    /// Expected items of the partition of one value.
    fn items_of_value(
        &self,
        keys: &Keys<'_>,
        hash: &AttributeValue,
        index: Option<&IndexDescription>,
    ) -> f64 {
        let extent = self.extent(index);
        let attribute = &keys.hash.attribute.name;
        // A sample is contiguous in the table's own partition key, so frequencies there say nothing.
        let is_own_key = *attribute == self.table.description.keys.hash.name;
        let is_usable = self.table.inferred.complete || !is_own_key;
        match (
            self.statistics(attribute),
            self.table.distinct_values(attribute),
        ) {
            (Some(statistics), Some(distinct)) if is_usable => {
                // An index holds only items with the attribute, which is what shares are about.
                let with_attribute = match index {
                    Some(index) if index.items > 0 => extent.items,
                    _ => {
                        extent.items * statistics.sampled() as f64
                            / self.table.inferred.items.max(1) as f64
                    }
                };
                (with_attribute * statistics.share_of(hash, distinct)).max(1.0)
            }
            // People ask about busy customers more than about quiet ones: about as often as they have items.
            _ if is_own_key => {
                let items = self.items_of_partition(attribute, extent);
                (items * self.table.inferred.size_bias).min(extent.items.max(1.0))
            }
            _ => self.items_of_partition(attribute, extent),
        }
    }

    fn statistics(&self, attribute: &str) -> Option<&KeyStatistics> {
        self.table
            .inferred
            .keys
            .get(attribute)
            .filter(|statistics| statistics.sampled() > 0)
    }
}

/// Share of a partition's items in a range; a third for each open bound when nothing is known.
fn range_share(range: &Range, statistics: Option<&KeyStatistics>) -> f64 {
    let guess = if range.lower.is_some() && range.upper.is_some() {
        0.25
    } else {
        1.0 / 3.0
    };
    let share = |bound: &Option<Bound>, unbounded: f64| match bound {
        None => Some(unbounded),
        Some(bound) => statistics.and_then(|statistics| statistics.share_below(&bound.value)),
    };
    match (
        share(&range.lower, 0.0),
        share(&range.upper, 1.0),
        statistics,
    ) {
        (Some(below), Some(up_to), Some(statistics)) => {
            (up_to - below).max(statistics.resolution() / 2.0)
        }
        _ => guess,
    }
}

fn prefix_share(prefix: &str, statistics: Option<&KeyStatistics>) -> f64 {
    let bound = |text: String| {
        Some(Bound {
            value: AttributeValue::S(text),
            inclusive: true,
        })
    };
    let range = Range {
        lower: bound(prefix.to_owned()),
        upper: bound(format!("{prefix}{}", char::MAX)),
    };
    range_share(&range, statistics)
}
