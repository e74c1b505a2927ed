//! What reading costs. Must never know predicates or requests.
//!
//! Source of the rules: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html>
//! and <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/capacity-reads-query.html>:
//! one read capacity unit is a strongly consistent read of up to 4 KB, or two eventually consistent ones.
//! GetItem and each item of a BatchGetItem are rounded up to 4 KB by themselves; Query and Scan add up the sizes of
//! all items they read (also those a filter drops) and round the sum of each page up. A read of nothing costs the
//! smallest unit. Filters, projections and counting change nothing.

use crate::options::Consistency;

/// Bytes of one unit.
pub(crate) const UNIT_BYTES: f64 = 4096.0;
/// Bytes a Query or Scan page reads at most.
pub(crate) const PAGE_BYTES: f64 = 1024.0 * 1024.0;
/// Keys of one BatchGetItem.
pub(crate) const BATCH_KEYS: usize = 100;

/// Estimated cost of reading.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Cost {
    /// Read capacity units.
    pub(crate) units: f64,
    pub(crate) requests: f64,
    /// Items the service reads.
    pub(crate) items: f64,
    /// Bytes of those items.
    pub(crate) bytes: f64,
}

impl Cost {
    /// Both, one after the other.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            units: self.units + other.units,
            requests: self.requests + other.requests,
            items: self.items + other.items,
            bytes: self.bytes + other.bytes,
        }
    }
}

/// Units for 4 KB.
pub(crate) fn unit_price(consistency: Consistency) -> f64 {
    match consistency {
        Consistency::Eventual => 0.5,
        Consistency::Strong => 1.0,
    }
}

/// Single items by their full keys.
pub(crate) fn items_by_key(count: f64, item_bytes: f64, consistency: Consistency) -> Cost {
    let units_of_one = (item_bytes / UNIT_BYTES).ceil().max(1.0) * unit_price(consistency);
    Cost {
        units: count * units_of_one,
        requests: if count <= 1.0 {
            count
        } else {
            (count / BATCH_KEYS as f64).ceil()
        },
        items: count,
        bytes: count * item_bytes,
    }
}

/// Some ranges of items, each read by its own pages.
pub(crate) fn ranges(
    count: f64,
    items_of_one: f64,
    item_bytes: f64,
    consistency: Consistency,
) -> Cost {
    let bytes_of_one = items_of_one * item_bytes;
    let pages_of_one = (bytes_of_one / PAGE_BYTES).ceil().max(1.0);
    let units_of_one = (bytes_of_one / UNIT_BYTES).ceil().max(1.0) * unit_price(consistency);
    Cost {
        units: count * units_of_one,
        requests: count * pages_of_one,
        items: count * items_of_one,
        bytes: count * bytes_of_one,
    }
}

/// A whole table or index in segments.
pub(crate) fn scan(items: f64, bytes: f64, segments: f64, consistency: Consistency) -> Cost {
    ranges(
        segments.max(1.0),
        items / segments.max(1.0),
        if items > 0.0 { bytes / items } else { 0.0 },
        consistency,
    )
}

/// How many segments a scan is divided into: about 4 MB each, at least one for each worker of a table that does
/// not fit in one page.
pub(crate) fn segments(bytes: f64, configured: Option<u32>, workers: usize) -> u32 {
    const SEGMENT_BYTES: f64 = 4.0 * PAGE_BYTES;
    const MOST_SEGMENTS: f64 = 256.0;
    if let Some(configured) = configured {
        // DynamoDB's limit of TotalSegments.
        return configured.clamp(1, 1_000_000);
    }
    if bytes <= PAGE_BYTES {
        return 1;
    }
    let by_size = (bytes / SEGMENT_BYTES).ceil().min(MOST_SEGMENTS) as u32;
    by_size.max(u32::try_from(workers).unwrap_or(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_follow_the_documented_rules() {
        assert_eq!(items_by_key(1.0, 100.0, Consistency::Eventual).units, 0.5);
        assert_eq!(items_by_key(1.0, 4097.0, Consistency::Strong).units, 2.0);
        assert_eq!(
            items_by_key(250.0, 100.0, Consistency::Eventual).requests,
            3.0
        );
        // 100 items of 100 bytes in one Query: 10 000 bytes are 3 blocks.
        assert_eq!(ranges(1.0, 100.0, 100.0, Consistency::Eventual).units, 1.5);
        assert_eq!(ranges(1.0, 0.0, 100.0, Consistency::Eventual).units, 0.5);
        assert_eq!(
            scan(1000.0, 4096.0 * 1000.0, 1.0, Consistency::Strong).units,
            1000.0
        );
    }

    #[test]
    fn segments_follow_size() {
        assert_eq!(segments(500_000.0, None, 8), 1);
        assert_eq!(segments(2_000_000.0, None, 8), 8);
        assert_eq!(segments(4.0e9, None, 8), 256);
        assert_eq!(segments(10.0, Some(7), 1), 7);
    }
}
