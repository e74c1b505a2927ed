//! Prepares look-ups by keys that a join will deliver at run time. Must never know the keys.

use owlet_connector::{Exactness, ScanRequest};

use super::candidate::{Candidate, Question};
use super::cost;
use super::keys::{KeyColumn, Keys};
use super::payload::{AccessPath, LookUpKey, LookUpSource, LookUpTarget};
use super::sort_range::SortCondition;
use crate::description::IndexDescription;

/// How far a look-up's estimate must exceed the static path for the decision not to wait for the join's keys. The
/// number of keys is guessed from another source's statistics and is often wrong by orders of magnitude; waiting costs
/// next to nothing, a needless scan of the table much.
const HOPELESS_FACTOR: f64 = 100.0;

/// A candidate that decides at run time between look-ups and the static path; `None` when the join cannot help.
pub(crate) fn plan(
    question: &Question<'_>,
    fallback: &Candidate,
    request: &ScanRequest,
    notes: &mut Vec<String>,
) -> Option<Candidate> {
    if request.lookup_columns.is_empty() || fallback.impossible || request.limit.is_some() {
        return None;
    }
    // One request for an item is as cheap as it gets.
    if fallback.cost.requests <= 1.0 && !fallback.is_scan() {
        return None;
    }
    let targets = targets(question, request);
    let cheapest = targets
        .iter()
        .map(|target| units_of_one(question, target))
        .min_by(f64::total_cmp)?;
    let expected = request.lookup_rows.map(|rows| rows as f64 * cheapest);
    let is_dearer = |units: &f64| *units > fallback.cost.units && question.extent(None).is_counted;
    if let Some(expected) = expected.filter(|expected| is_dearer(&(*expected / HOPELESS_FACTOR))) {
        notes.push(format!(
            "looking up the join's keys would cost about {} RCU, more than the {}",
            super::readable_units(expected),
            fallback.access
        ));
        return None;
    }
    let mut candidate = fallback.clone();
    candidate.access = format!("look-up of the join's keys, or {}", fallback.access);
    candidate.exactness = fallback
        .exactness
        .iter()
        .map(|exactness| match exactness {
            Exactness::Exact => Exactness::Inexact("a look-up by key has no filter".to_owned()),
            other => other.clone(),
        })
        .collect();
    // A dearer look-up is not taken: what the static path costs is then the better estimate.
    let cheaper = expected.filter(|expected| !is_dearer(expected));
    if let (Some(expected), Some(rows)) = (cheaper, request.lookup_rows) {
        candidate.cost.units = expected;
        candidate.cost.items = rows as f64;
        candidate.cost.bytes = rows as f64 * candidate.item_bytes;
        candidate.cost.requests = (rows as f64 / cost::BATCH_KEYS as f64).ceil();
    }
    candidate.path = AccessPath::LookUp {
        targets,
        fallback: Box::new(fallback.path.clone()),
        fallback_units: question
            .extent(None)
            .is_counted
            .then_some(fallback.cost.units),
    };
    Some(candidate)
}

fn targets(question: &Question<'_>, request: &ScanRequest) -> Vec<LookUpTarget> {
    let mut targets = Vec::new();
    if let Some(keys) = question.keys(&question.table.description.keys) {
        targets.extend(target(question, request, &keys, None));
    }
    for index in &question.table.description.indexes {
        let Some(keys) = question.keys(&index.keys) else {
            continue;
        };
        if question.index_obstacle(index, &keys, None).is_none() {
            targets.extend(target(question, request, &keys, Some(index)));
        }
    }
    targets
}

fn target(
    question: &Question<'_>,
    request: &ScanRequest,
    keys: &Keys<'_>,
    index: Option<&IndexDescription>,
) -> Option<LookUpTarget> {
    let fixed = keys.select(question.conjuncts);
    let hash_values = fixed
        .as_ref()
        .map(|selection| selection.values.keys().cloned().collect::<Vec<_>>());
    let hash = dynamic(&keys.hash, request).or_else(|| fixed_key(&keys.hash, hash_values?))?;
    let sort = keys.sort.as_ref().and_then(|sort| {
        dynamic(sort, request).or_else(|| fixed_key(sort, fixed_sort(question, keys)?))
    });
    let uses_join = [Some(&hash), sort.as_ref()]
        .into_iter()
        .flatten()
        .any(|key| matches!(key.source, LookUpSource::Column(_)));
    if !uses_join {
        return None;
    }
    let extent = question.extent(index);
    let is_whole_key = index.is_none() && (sort.is_some() || keys.sort.is_none());
    let schema = index.map_or(&question.table.description.keys, |index| &index.keys);
    Some(LookUpTarget {
        index: index.map(|index| index.name.clone()),
        keys: schema.clone(),
        items_of_one: if is_whole_key {
            1.0
        } else {
            question.items_of_partition(&keys.hash.attribute.name, extent)
        },
        item_bytes: extent.item_bytes,
        hash,
        sort,
    })
}

/// A key column that a join delivers. An item whose value is not an integer although its column is would be missed
/// by a look-up just as by an equality in the query.
fn dynamic(key: &KeyColumn<'_>, request: &ScanRequest) -> Option<LookUpKey> {
    if !request.lookup_columns.contains(&key.column) {
        return None;
    }
    let position = request
        .projection
        .iter()
        .position(|column| *column == key.column)?;
    Some(LookUpKey {
        attribute: key.attribute.clone(),
        shape: key.shape.clone(),
        source: LookUpSource::Column(position),
    })
}

fn fixed_key(key: &KeyColumn<'_>, values: Vec<crate::value::AttributeValue>) -> Option<LookUpKey> {
    Some(LookUpKey {
        attribute: key.attribute.clone(),
        shape: key.shape.clone(),
        source: LookUpSource::Fixed(values),
    })
}

/// Sort key values that the query fixes for every partition.
fn fixed_sort(
    question: &Question<'_>,
    keys: &Keys<'_>,
) -> Option<Vec<crate::value::AttributeValue>> {
    match keys.common_sort(question.conjuncts) {
        SortCondition::In(values) => Some(values.into_iter().collect()),
        _ => None,
    }
}

fn units_of_one(question: &Question<'_>, target: &LookUpTarget) -> f64 {
    let consistency = question.options.consistency;
    if target.items_of_one <= 1.0 {
        return cost::items_by_key(1.0, target.item_bytes, consistency).units;
    }
    cost::ranges(1.0, target.items_of_one, target.item_bytes, consistency).units
}
