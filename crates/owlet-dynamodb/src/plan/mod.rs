//! Chooses the access path of a scan and describes it as plain data. Must never do I/O.

mod candidate;
pub(crate) mod condition;
pub(crate) mod cost;
mod extent;
pub(crate) mod keys;
mod like;
mod look_up;
mod nullability;
mod order;
pub(crate) mod payload;
pub(crate) mod preflight;
mod price;
mod projection;
pub(crate) mod sort_range;
mod statement;
pub(crate) mod translate;

use std::collections::BTreeSet;

use arrow_schema::{Field, Schema};
use owlet_connector::{
    Alternative, ConnectorError, CostEstimate, Exactness, ScanPlan, ScanRequest, Split,
};

pub(crate) use self::statement::plan_statement;

use self::candidate::{Candidate, Question};
use self::condition::Condition;
use self::payload::{AccessPath, Counting, Lesson, ReadSpecification, SplitPayload};
use self::preflight::{Circumstances, preflight};
use self::projection::{nested_paths, projection};
use crate::catalog::learned;
use crate::decode::DecodedColumn;
use crate::options::{DynamoDbOptions, ScanPolicy};
use crate::table::{DynamoTable, SCHEMA};

/// Share of items a filter is expected to let through.
const FILTER_SELECTIVITY: f64 = 0.3;

/// Plans one scan.
pub(crate) fn plan_scan(
    catalog: &str,
    table: &DynamoTable,
    request: &ScanRequest,
    options: &DynamoDbOptions,
    circumstances: &Circumstances,
) -> Result<ScanPlan, ConnectorError> {
    let columns = referenced_columns(table, request)?;
    let question = Question {
        table,
        options,
        conjuncts: &request.filters,
        columns: &columns,
        workers: request.target_partitions.max(1),
        learned: &circumstances.learned,
    };
    let mut found = question.candidates();
    for candidate in &mut found.possible {
        candidate.correct(circumstances.learned.factor(&candidate.lesson));
    }
    let mut notes: Vec<String> = found
        .rejected
        .iter()
        .map(|rejected| format!("{} not used: {}", rejected.access, rejected.reason))
        .collect();
    let mut alternatives = found.rejected;
    let Some(mut chosen) = choose(&question, &found.possible).cloned() else {
        return Err(ConnectorError::Internal(format!(
            "no access path for {}",
            table.description.name
        )));
    };
    for other in found
        .possible
        .iter()
        .filter(|other| other.access != chosen.access)
    {
        let reason = format!("would cost about {} RCU", readable_units(other.cost.units));
        notes.push(format!("{} {reason}", other.access));
        alternatives.push(Alternative {
            access: other.access.clone(),
            rcu: Some(other.cost.units),
            reason,
        });
    }
    let ordering_applied = order::apply(&question, &mut chosen, &request.ordering);
    let look_up = look_up::plan(&question, &chosen, request, &mut notes);
    let limit_applied = look_up.is_none()
        && request.limit.is_some()
        && chosen.is_exact()
        && (request.ordering.is_empty() || (ordering_applied && order::partitions(&chosen) <= 1));
    let split_limit = request.limit.filter(|_| {
        look_up.is_none() && chosen.is_exact() && (request.ordering.is_empty() || ordering_applied)
    });
    if let Some(look_up) = look_up {
        chosen = look_up;
    }
    let mut estimate = estimate(&question, &chosen, split_limit);
    estimate.alternatives = alternatives;
    let is_bounded = limit_applied && chosen.filter == Condition::Always;
    if options.scan == ScanPolicy::Deny && chosen.is_scan() && !chosen.impossible && !is_bounded {
        return Err(scan_denied(table, estimate.rcu));
    }
    let mut read = specification(table, request, options, &chosen, split_limit);
    let remote = remote_text(&chosen, &read);
    let schema = Schema::new(
        request
            .projection
            .iter()
            .map(|position| table.metadata.columns[*position].field())
            .collect::<Vec<Field>>(),
    );
    notes.push(format!(
        "columns inferred from {} items ({} RCU)",
        table.inferred.items,
        readable_units(table.inferred.capacity_units)
    ));
    let single_split = limit_applied && request.ordering.is_empty();
    preflight(
        &mut estimate,
        &mut notes,
        &table.description,
        chosen.index(),
        question.workers,
        circumstances.latency(&chosen.lesson),
        circumstances,
    );
    let splits = if chosen.impossible {
        Vec::new()
    } else {
        let parts = split(
            &chosen.path,
            question.workers,
            ordering_applied,
            single_split,
        );
        // A look-up reads what its join tells, a limit less than was estimated: neither teaches.
        let is_teaching =
            split_limit.is_none() && !matches!(chosen.path, AccessPath::LookUp { .. });
        read.lesson = is_teaching.then(|| Lesson {
            table: learned::identity(&table.description),
            access: chosen.lesson.clone(),
            estimated: (!chosen.has_known_sizes).then_some(chosen.uncorrected),
            splits: parts.len(),
        });
        parts
            .into_iter()
            .map(|path| as_split(catalog, &read, path))
            .collect::<Result<_, _>>()?
    };
    notes.extend(if chosen.has_known_sizes {
        Some("estimated from sizes counted when the same partitions were read before".to_owned())
    } else {
        circumstances.learned.text(&chosen.lesson)
    });
    Ok(ScanPlan {
        schema,
        splits,
        filters: if chosen.impossible {
            vec![Exactness::Exact; request.filters.len()]
        } else {
            chosen.exactness
        },
        limit_applied: limit_applied || chosen.impossible,
        ordering_applied,
        estimate,
        table: format!("{SCHEMA}.{}", table.description.name),
        access: if chosen.impossible {
            "nothing to read".to_owned()
        } else {
            chosen.access
        },
        remote,
        notes,
    })
}

/// Positions of all columns the request returns or filters on.
fn referenced_columns(
    table: &DynamoTable,
    request: &ScanRequest,
) -> Result<Vec<usize>, ConnectorError> {
    let mut columns: BTreeSet<usize> = request.projection.iter().copied().collect();
    columns.extend(
        request
            .filters
            .iter()
            .flat_map(owlet_connector::Expression::columns),
    );
    if let Some(unknown) = columns
        .iter()
        .find(|position| **position >= table.columns.len())
    {
        let name = &table.description.name;
        return Err(ConnectorError::Internal(format!(
            "table {name} has no column at position {unknown}"
        )));
    }
    Ok(columns.into_iter().collect())
}

/// The cheapest way; of equals, the one by key, then on the table itself. A scan wins only over sizes that the
/// service has counted.
fn choose<'c>(question: &Question<'_>, candidates: &'c [Candidate]) -> Option<&'c Candidate> {
    let is_counted = question.extent(None).is_counted;
    candidates.iter().min_by(|left, right| {
        let rank = |candidate: &Candidate| {
            let uncertain_scan = candidate.is_scan() && !is_counted && !candidate.impossible;
            let units = if candidate.impossible {
                0.0
            } else {
                candidate.cost.units
            };
            (uncertain_scan, units)
        };
        let ((left_uncertain, left_units), (right_uncertain, right_units)) =
            (rank(left), rank(right));
        left_uncertain
            .cmp(&right_uncertain)
            .then(left_units.total_cmp(&right_units))
            .then(left.is_scan().cmp(&right.is_scan()))
            .then(left.cost.requests.total_cmp(&right.cost.requests))
    })
}

fn estimate(question: &Question<'_>, chosen: &Candidate, limit: Option<u64>) -> CostEstimate {
    if chosen.impossible {
        return CostEstimate {
            rows_read: Some(0.0),
            rows_returned: Some(0.0),
            bytes: Some(0.0),
            rcu: Some(0.0),
            requests: Some(0.0),
            ..CostEstimate::default()
        };
    }
    let mut cost = chosen.cost;
    let has_filter = chosen.filter != Condition::Always;
    if let Some(limit) = limit.filter(|_| !has_filter)
        && (limit as f64) < cost.items
    {
        let consistency = question.options.consistency;
        cost = cost::ranges(1.0, limit as f64, chosen.item_bytes, consistency);
    }
    let selectivity = if has_filter { FILTER_SELECTIVITY } else { 1.0 };
    let returned =
        (cost.items * selectivity).min(limit.map_or(f64::INFINITY, |limit| limit as f64));
    CostEstimate {
        rows_read: Some(cost.items),
        rows_returned: Some(returned),
        bytes: Some(returned * chosen.item_bytes),
        rcu: Some(cost.units),
        requests: Some(cost.requests),
        ..CostEstimate::default()
    }
}

fn specification(
    table: &DynamoTable,
    request: &ScanRequest,
    options: &DynamoDbOptions,
    chosen: &Candidate,
    limit: Option<u64>,
) -> ReadSpecification {
    let mut positions: Vec<usize> = Vec::new();
    let mut outputs = Vec::new();
    for position in &request.projection {
        let index = positions
            .iter()
            .position(|known| known == position)
            .unwrap_or_else(|| {
                positions.push(*position);
                positions.len() - 1
            });
        outputs.push(index);
    }
    for check in &chosen.checks {
        if !positions.contains(check) {
            positions.push(*check);
        }
    }
    let columns: Vec<DecodedColumn> = positions
        .iter()
        .map(|position| {
            let (column, metadata) = (
                &table.columns[*position],
                &table.metadata.columns[*position],
            );
            DecodedColumn {
                attribute: column.attribute.clone(),
                name: metadata.name.clone(),
                shape: column.shape.clone(),
                nullable: metadata.nullable,
            }
        })
        .collect();
    let is_countable =
        columns.is_empty() && chosen.is_exact() && !matches!(chosen.path, AccessPath::Items { .. });
    let filter = match &chosen.filter {
        Condition::Always | Condition::Never => None,
        // Rendering was tried when the filter was put together.
        condition => condition.render().ok(),
    };
    let filter_attributes = filter
        .iter()
        .flat_map(|filter| filter.names.values())
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect();
    let paths_of = |column: usize| match positions.get(column) {
        // A check looks at the whole value.
        Some(position) if !chosen.checks.contains(position) => {
            nested_paths(table, options, *position, &request.fields)
        }
        _ => Vec::new(),
    };
    ReadSpecification {
        table: table.description.name.clone(),
        keys: table.description.keys.clone(),
        projection: projection(table, &columns, paths_of),
        columns,
        outputs,
        filter,
        filter_attributes,
        counting: if is_countable {
            Counting::AtService
        } else {
            Counting::ByItems
        },
        limit,
        item_bytes: chosen.item_bytes,
        capacities: capacities(table),
        lesson: None,
    }
}

/// Provisioned capacities, as far as there are any.
fn capacities(table: &DynamoTable) -> Vec<(Option<String>, Option<f64>)> {
    let mut capacities = table.description.capacities();
    capacities.retain(|(_, units)| units.is_some());
    capacities
}

/// Divides a path into independent parts.
fn split(path: &AccessPath, workers: usize, ordered: bool, single: bool) -> Vec<AccessPath> {
    let parts = |count: usize| if single { 1 } else { workers.min(count).max(1) };
    match path {
        AccessPath::Items { keys } => {
            let batches = keys.len().div_ceil(cost::BATCH_KEYS);
            chunks(keys, parts(batches))
                .into_iter()
                .map(|keys| AccessPath::Items { keys })
                .collect()
        }
        AccessPath::Ranges {
            index,
            keys,
            ranges,
            order,
        } => {
            // Ordered ranges are each sorted in themselves only.
            let count = if ordered {
                ranges.len()
            } else {
                parts(ranges.len().div_ceil(8))
            };
            chunks(ranges, count)
                .into_iter()
                .map(|ranges| AccessPath::Ranges {
                    index: index.clone(),
                    keys: keys.clone(),
                    ranges,
                    order: *order,
                })
                .collect()
        }
        AccessPath::Segments {
            index,
            segments,
            total,
        } => chunks(segments, parts(segments.len()))
            .into_iter()
            .map(|segments| AccessPath::Segments {
                index: index.clone(),
                segments,
                total: *total,
            })
            .collect(),
        whole @ (AccessPath::LookUp { .. } | AccessPath::Statement { .. }) => vec![whole.clone()],
    }
}

/// Cuts a list into `count` runs of nearly equal length.
fn chunks<T: Clone>(items: &[T], count: usize) -> Vec<Vec<T>> {
    let count = count.clamp(1, items.len().max(1));
    (0..count)
        .map(|part| items[part * items.len() / count..(part + 1) * items.len() / count].to_vec())
        .filter(|part| !part.is_empty())
        .collect()
}

fn as_split(
    catalog: &str,
    read: &ReadSpecification,
    path: AccessPath,
) -> Result<Split, ConnectorError> {
    let description = match &path {
        AccessPath::Items { keys } => format!("{} keys", keys.len()),
        AccessPath::Ranges { ranges, .. } => format!("{} key ranges", ranges.len()),
        AccessPath::Segments {
            segments, total, ..
        } => match segments.as_slice() {
            [one] => format!("segment {one} of {total}"),
            [first, .., last] => format!("segments {first} to {last} of {total}"),
            [] => "no segment".to_owned(),
        },
        AccessPath::Statement { .. } => "the whole statement".to_owned(),
        AccessPath::LookUp { .. } => "keys of a join".to_owned(),
    };
    let payload = SplitPayload {
        read: read.clone(),
        path,
    };
    let payload = serde_json::to_string(&payload).map_err(|error| {
        ConnectorError::Internal(format!(
            "catalog {catalog}: a split does not serialise: {error}"
        ))
    })?;
    Ok(Split {
        description,
        payload,
    })
}

/// What the service is asked, for people.
fn remote_text(chosen: &Candidate, read: &ReadSpecification) -> String {
    let mut parts = Vec::new();
    if !chosen.key_text.is_empty() {
        parts.push(format!("key: {}", chosen.key_text));
    }
    if let AccessPath::Segments { total, .. } = &chosen.path
        && *total > 1
    {
        parts.push(format!("{total} segments"));
    }
    if read.filter.is_some() {
        parts.push(format!("filter: {}", chosen.filter.readable()));
    }
    match (&read.counting, &read.projection) {
        (Counting::AtService, _) => parts.push("count only".to_owned()),
        (_, Some(projection)) => {
            let names: Vec<&str> = projection
                .names
                .values()
                .filter_map(|name| name.as_str())
                .collect();
            parts.push(format!("attributes: {}", names.join(", ")));
        }
        (_, None) => {}
    }
    if let Some(limit) = read.limit {
        parts.push(format!("limit {limit}"));
    }
    let text = parts.join("; ");
    if text.is_empty() {
        read.table.clone()
    } else {
        format!("{}: {text}", read.table)
    }
}

pub(crate) fn scan_denied(table: &DynamoTable, rcu: Option<f64>) -> ConnectorError {
    scan_denied_by_name(&table.description.name, rcu)
}

/// The refusal of a scan by configuration.
pub(crate) fn scan_denied_by_name(table: &str, rcu: Option<f64>) -> ConnectorError {
    let cost = rcu.map_or_else(String::new, |rcu| {
        format!(", about {} RCU", readable_units(rcu))
    });
    ConnectorError::BudgetExceeded {
        limit: "scan = \"deny\"".to_owned(),
        allowed: "reading by key only".to_owned(),
        situation: format!("the query would read table {table} whole{cost}"),
        hint: "fix the partition key of the table or of an index with = or IN".to_owned(),
    }
}

/// Units with as many digits as matter.
pub(crate) fn readable_units(units: f64) -> String {
    if units >= 100.0 {
        format!("{units:.0}")
    } else {
        format!("{units:.1}")
    }
}
