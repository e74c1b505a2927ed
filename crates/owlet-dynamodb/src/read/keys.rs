//! Keys and key ranges into units of work. Must never know requests.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::request::{SortTest, Unit};
use crate::description::KeySchema;
use crate::plan::cost::BATCH_KEYS;
use crate::plan::payload::{ItemKey, KeyRange, RangeOrder};
use crate::plan::sort_range::SortCondition;

/// Batches of keys, each key once: BatchGetItem refuses duplicates.
pub(super) fn batches(keys: Vec<ItemKey>) -> VecDeque<Unit> {
    let unique: Vec<ItemKey> = keys
        .into_iter()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    unique
        .chunks(BATCH_KEYS)
        .map(|batch| Unit::Keys(batch.to_vec()))
        .collect()
}

/// One Query for each range; a set of sort keys is one Query for each value, in the wanted order.
pub(super) fn ranges(
    index: Option<String>,
    keys: KeySchema,
    ranges: Vec<KeyRange>,
    order: RangeOrder,
) -> VecDeque<Unit> {
    let keys = Arc::new(keys);
    let mut units = VecDeque::new();
    for range in ranges {
        let mut tests: Vec<SortTest> = match range.sort {
            SortCondition::Any => vec![SortTest::Any],
            SortCondition::In(values) => values.into_iter().map(SortTest::Equal).collect(),
            SortCondition::Range(range) => vec![SortTest::Range(range)],
            SortCondition::Prefix(prefix) => vec![SortTest::Prefix(prefix)],
        };
        if order == RangeOrder::Descending {
            tests.reverse();
        }
        units.extend(tests.into_iter().map(|test| Unit::Range {
            index: index.clone(),
            keys: Arc::clone(&keys),
            hash: range.hash.clone(),
            test,
            order,
        }));
    }
    units
}
