//! Uses the order of the sort key for a wanted ordering. Must never know costs.

use owlet_connector::{Expression, SortDirection, SortKey};

use super::candidate::{Candidate, Question};
use super::payload::{AccessPath, RangeOrder};
use crate::shape::Shape;

/// More partitions than this are not merged by order.
const MAX_ORDERED_PARTITIONS: usize = 64;

/// Number of partitions a candidate reads separately.
pub(crate) fn partitions(candidate: &Candidate) -> usize {
    match &candidate.path {
        AccessPath::Ranges { ranges, .. } => ranges.len(),
        _ => 1,
    }
}

/// Makes the ranges of a candidate come in the wanted order, each range for itself; false when they cannot.
pub(crate) fn apply(
    question: &Question<'_>,
    candidate: &mut Candidate,
    ordering: &[SortKey],
) -> bool {
    let Some(direction) = direction(question, candidate, ordering) else {
        return false;
    };
    let AccessPath::Ranges { order, .. } = &mut candidate.path else {
        return false;
    };
    *order = match direction {
        SortDirection::Ascending => RangeOrder::Ascending,
        SortDirection::Descending => RangeOrder::Descending,
    };
    true
}

fn direction(
    question: &Question<'_>,
    candidate: &Candidate,
    ordering: &[SortKey],
) -> Option<SortDirection> {
    let AccessPath::Ranges {
        index,
        keys,
        ranges,
        ..
    } = &candidate.path
    else {
        return None;
    };
    if ordering.is_empty() || ranges.len() > MAX_ORDERED_PARTITIONS {
        return None;
    }
    let hash = question.table.column_of(&keys.hash.name)?;
    let sort = keys
        .sort
        .as_ref()
        .and_then(|sort| question.table.column_of(&sort.name))?;
    if !orders_like_sql(&question.table.columns[sort].shape) {
        return None;
    }
    // Within a range the partition key is constant, so ordering by it changes nothing.
    let mut rest = ordering
        .iter()
        .filter(|key| column_index(key) != Some(hash));
    let Some(first) = rest.next() else {
        return Some(SortDirection::Ascending);
    };
    if column_index(first)? != sort {
        return None;
    }
    // A table's key is unique, so nothing is left to order; an index may hold several items of one key.
    if index.is_some() && rest.next().is_some() {
        return None;
    }
    Some(first.direction)
}

fn column_index(key: &SortKey) -> Option<usize> {
    match &key.expression {
        Expression::Column(column) => Some(column.index),
        _ => None,
    }
}

/// DynamoDB sorts numbers by value, text and binary by bytes.
fn orders_like_sql(shape: &Shape) -> bool {
    matches!(
        shape,
        Shape::Text | Shape::Binary | Shape::BigInt | Shape::Decimal { .. } | Shape::Double
    )
}
