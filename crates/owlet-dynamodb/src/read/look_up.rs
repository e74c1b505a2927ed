//! Decides, once a join has told its values, between looking their keys up and the static path.
//! Must never send a request.

use std::collections::BTreeSet;

use owlet_connector::{CompareOperator, ConnectorError, Expression, Literal, LiteralValue};

use super::Job;
use crate::plan::condition::readable_values;
use crate::plan::cost::{self, Cost};
use crate::plan::payload::{
    AccessPath, ItemKey, KeyRange, LookUpKey, LookUpSource, LookUpTarget, RangeOrder,
};
use crate::plan::readable_units;
use crate::plan::sort_range::SortCondition;
use crate::plan::translate::value_for_shape;
use crate::value::{AttributeValue, MAX_HASH_BYTES, MAX_SORT_BYTES};

/// A way to look up, with its cost.
struct Choice {
    path: AccessPath,
    access: String,
    remote: String,
    cost: Cost,
}

/// The path to take; the work report is told.
pub(super) fn resolve(
    job: &Job,
    targets: Vec<LookUpTarget>,
    fallback: AccessPath,
    fallback_units: Option<f64>,
) -> Result<AccessPath, ConnectorError> {
    let filters = &job.context.dynamic_filters;
    let best = targets
        .into_iter()
        .filter_map(|target| choice(job, target, filters))
        .min_by(|left, right| left.cost.units.total_cmp(&right.cost.units));
    let work = &job.context.work;
    let table = &job.read.table;
    match best {
        Some(best) if fallback_units.is_none_or(|units| best.cost.units <= units) => {
            work.set_access(best.access, best.remote);
            Ok(best.path)
        }
        Some(best) => {
            let reason = format!(
                "{table}: looking up the join's keys would cost about {} RCU, reading it {}",
                readable_units(best.cost.units),
                fallback_units.map(readable_units).unwrap_or_default()
            );
            work.set_access(access_of(&fallback), reason);
            Ok(fallback)
        }
        None => {
            work.set_access(
                access_of(&fallback),
                format!("{table}: the join told no set of keys"),
            );
            Ok(fallback)
        }
    }
}

fn access_of(path: &AccessPath) -> String {
    match path {
        AccessPath::Items { keys } if keys.len() == 1 => "get item".to_owned(),
        AccessPath::Items { .. } => "batch get item".to_owned(),
        AccessPath::Ranges { index: None, .. } => "query".to_owned(),
        AccessPath::Ranges {
            index: Some(index), ..
        } => format!("query on index {index}"),
        AccessPath::Segments { total, .. } if *total <= 1 => "scan".to_owned(),
        AccessPath::Segments { .. } => "parallel scan".to_owned(),
        AccessPath::Statement { .. } => "statement".to_owned(),
        AccessPath::LookUp { fallback, .. } => access_of(fallback),
    }
}

fn choice(job: &Job, target: LookUpTarget, filters: &[Expression]) -> Option<Choice> {
    let is_table = target.index.is_none();
    let hash = values(&target.hash, filters, MAX_HASH_BYTES, is_table)?;
    let sort = match &target.sort {
        None => None,
        Some(sort) => Some(values(sort, filters, MAX_SORT_BYTES, is_table)?),
    };
    let consistency = job.options.consistency;
    let is_whole_key = is_table && (sort.is_some() || target.keys.sort.is_none());
    let hash_values: Vec<AttributeValue> = hash.iter().cloned().collect();
    let remote = format!(
        "{}: {} keys of the join: {} IN ({})",
        job.read.table,
        hash_values.len(),
        target.hash.attribute.name,
        readable_values(&hash_values)
    );
    if is_whole_key {
        let keys: Vec<ItemKey> = match &sort {
            None => hash
                .into_iter()
                .map(|hash| ItemKey { hash, sort: None })
                .collect(),
            Some(sort) => hash
                .iter()
                .flat_map(|hash| {
                    sort.iter().map(|sort| ItemKey {
                        hash: hash.clone(),
                        sort: Some(sort.clone()),
                    })
                })
                .collect(),
        };
        let cost = cost::items_by_key(keys.len() as f64, target.item_bytes, consistency);
        let path = AccessPath::Items { keys };
        return Some(Choice {
            access: format!("{} by join keys", access_of(&path)),
            path,
            remote,
            cost,
        });
    }
    let (ranges_of_one, items_of_one) = match &sort {
        None => (1.0, target.items_of_one),
        Some(sort) => (sort.len() as f64, 1.0),
    };
    let cost = cost::ranges(
        hash.len() as f64 * ranges_of_one,
        items_of_one,
        target.item_bytes,
        consistency,
    );
    let condition = sort.map_or(SortCondition::Any, SortCondition::In);
    let ranges = hash
        .into_iter()
        .map(|hash| KeyRange {
            hash,
            sort: condition.clone(),
        })
        .collect();
    let path = AccessPath::Ranges {
        index: target.index,
        keys: target.keys,
        ranges,
        order: RangeOrder::Unordered,
    };
    Some(Choice {
        access: format!("{} by join keys", access_of(&path)),
        path,
        remote,
        cost,
    })
}

/// The values a key attribute can have; `None` when the join does not tell a set.
fn values(
    key: &LookUpKey,
    filters: &[Expression],
    most_bytes: usize,
    is_table: bool,
) -> Option<BTreeSet<AttributeValue>> {
    let position = match &key.source {
        LookUpSource::Fixed(values) => return Some(values.iter().cloned().collect()),
        LookUpSource::Column(position) => *position,
    };
    let mut known: Option<BTreeSet<AttributeValue>> = None;
    for filter in filters {
        if let Some(set) = set_of(filter, position, key, most_bytes, is_table) {
            known = Some(match known {
                None => set,
                Some(known) => known.intersection(&set).cloned().collect(),
            });
        }
    }
    known
}

fn set_of(
    filter: &Expression,
    position: usize,
    key: &LookUpKey,
    most_bytes: usize,
    is_table: bool,
) -> Option<BTreeSet<AttributeValue>> {
    let is_column = |expression: &Expression| matches!(expression, Expression::Column(column) if column.index == position);
    let literals: Vec<&Literal> = match filter {
        // The other side of the join is empty.
        Expression::Literal(Literal {
            value: LiteralValue::Boolean(false) | LiteralValue::Null,
            ..
        }) => Vec::new(),
        Expression::And(operands) => {
            let sets = operands
                .iter()
                .filter_map(|operand| set_of(operand, position, key, most_bytes, is_table));
            return sets.reduce(|left, right| left.intersection(&right).cloned().collect());
        }
        Expression::Or(operands) => {
            let sets = operands
                .iter()
                .map(|operand| set_of(operand, position, key, most_bytes, is_table));
            return sets
                .collect::<Option<Vec<_>>>()
                .map(|sets| sets.into_iter().flatten().collect());
        }
        Expression::InList {
            expression,
            list,
            negated: false,
        } if is_column(expression) => {
            let literals = list.iter().map(|element| match element {
                Expression::Literal(literal) => Some(literal),
                _ => None,
            });
            literals.collect::<Option<_>>()?
        }
        Expression::Compare {
            operator: CompareOperator::Equal,
            left,
            right,
        } => match (&**left, &**right) {
            (column, Expression::Literal(literal)) | (Expression::Literal(literal), column)
                if is_column(column) =>
            {
                vec![literal]
            }
            _ => return None,
        },
        _ => return None,
    };
    let mut values = BTreeSet::new();
    for literal in literals {
        if literal.is_null() {
            continue;
        }
        let value = value_for_shape(&key.shape, literal)?;
        if value.key_kind() != Some(key.attribute.kind) {
            return None;
        }
        if value.is_storable_key(most_bytes) {
            values.insert(value);
        } else if !is_table {
            // No index holds it, but the table may.
            return None;
        }
    }
    Some(values)
}
