//! Checks of limits and orderings. Must never know a concrete source.

use std::cmp::Ordering;

use arrow::array::RecordBatch;

use super::build::column;
use super::evaluate::{EvaluationError, evaluate, selection};
use super::reading::{Reading, Table, count, read};
use super::report::Report;
use super::value::{Value, compare_in_order};
use crate::expression::{CompareOperator, Expression, NullsOrder, SortDirection, SortKey};
use crate::scan::{Exactness, ScanPlan, ScanRequest};

/// Limits and orderings, alone and together, with and without a filter.
pub async fn limits_and_orderings(table: &Table, report: &mut Report) {
    let rows = table.rows.num_rows() as u64;
    for limit in [0, 1, 3, rows, rows + 10] {
        let mut request = table.request(vec![table.id]);
        request.limit = Some(limit);
        check_limit(table, &request, report).await;
    }
    let wide = table.metadata.columns.len() > 20;
    let keys: Vec<usize> = (0..table.metadata.columns.len())
        .filter(|key| !wide || *key < 3)
        .collect();
    for key in keys {
        let metadata = &table.metadata.columns[key];
        if metadata.unreadable.is_some() || metadata.data_type.is_nested() {
            continue;
        }
        for direction in [SortDirection::Ascending, SortDirection::Descending] {
            for nulls in [NullsOrder::First, NullsOrder::Last] {
                for limit in [None, Some(5)] {
                    let mut request = table.request(vec![table.id, key]);
                    request.ordering = vec![
                        SortKey {
                            expression: column(key, metadata),
                            direction,
                            nulls,
                        },
                        SortKey {
                            expression: column(table.id, &table.metadata.columns[table.id]),
                            direction,
                            nulls,
                        },
                    ];
                    request.limit = limit;
                    check_limit(table, &request, report).await;
                }
            }
        }
    }
    let id = column(table.id, &table.metadata.columns[table.id]);
    if let Ok(one) = Value::Integer(1).to_literal(id.data_type()) {
        let mut request = table.request(vec![table.id]);
        request.filters = vec![super::build::compare(
            id,
            CompareOperator::GreaterOrEqual,
            Expression::Literal(one),
        )];
        request.limit = Some(2);
        check_limit(table, &request, report).await;
    }
}

async fn check_limit(table: &Table, request: &ScanRequest, report: &mut Report) {
    const CHECK: &str = "limit and ordering";
    let name = table.fixture.name;
    let shown = || {
        format!(
            "limit {:?} ordering {:?} filters {:?}",
            request.limit, request.ordering, request.filters
        )
    };
    let Some(plan) = report.require(CHECK, name, table.connector.plan_scan(request).await, shown)
    else {
        return;
    };
    let Ok(passing) = selection(&request.filters, &table.rows) else {
        return;
    };
    let matching = passing.iter().filter(|passes| **passes).count();
    let wanted = request.limit.map_or(matching, |limit| {
        matching.min(usize::try_from(limit).unwrap_or(usize::MAX))
    });
    let all_exact = plan
        .filters
        .iter()
        .all(|exactness| *exactness == Exactness::Exact);
    report.check(CHECK, name, !plan.limit_applied || all_exact, || {
        format!("the limit is applied over inexact filters: {}", shown())
    });
    report.check(
        CHECK,
        name,
        !plan.limit_applied || request.limit.is_some(),
        || format!("a limit is applied that was not asked for: {}", shown()),
    );
    let mut all = Vec::new();
    for split in 0..plan.splits.len() {
        let single = ScanPlan {
            splits: vec![plan.splits[split].clone()],
            ..plan.clone()
        };
        let batches = read(table.connector.as_ref(), &single, &Reading::default()).await;
        let Some(batches) = report.require(CHECK, name, batches, shown) else {
            return;
        };
        if plan.ordering_applied && !request.ordering.is_empty() {
            let ordered = is_ordered(request, &batches);
            report.check(CHECK, name, ordered == Ok(true), || {
                format!(
                    "split {split} is not in order ({ordered:?}): {} by {}",
                    shown(),
                    plan.remote
                )
            });
        }
        all.extend(batches);
    }
    let found = count(&all);
    let enough = if plan.limit_applied {
        found == wanted
    } else {
        found >= wanted
    };
    report.check(CHECK, name, enough, || {
        format!(
            "{found} rows where {wanted} are due (applied: {}): {}",
            plan.limit_applied,
            shown()
        )
    });
    if plan.limit_applied && !request.ordering.is_empty() {
        let first = first_ids(table, request, wanted);
        let found = table
            .ids(&all, 0)
            .map(|ids| ids.into_keys().collect::<Vec<_>>());
        report.check(CHECK, name, found == first, || {
            format!(
                "the first rows are {first:?}, not {found:?}: {} by {}",
                shown(),
                plan.remote
            )
        });
    }
}

/// Whether batches are in the requested order; their columns are the projection.
fn is_ordered(request: &ScanRequest, batches: &[RecordBatch]) -> Result<bool, EvaluationError> {
    let position = |column: usize| {
        request
            .projection
            .iter()
            .position(|projected| *projected == column)
    };
    let mut previous: Option<Vec<Value>> = None;
    let keys: Vec<Expression> = request
        .ordering
        .iter()
        .filter_map(|key| key.expression.clone().map_columns(&position))
        .collect();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let values = keys
                .iter()
                .map(|key| evaluate(key, batch, row))
                .collect::<Result<Vec<_>, EvaluationError>>()?;
            if let Some(previous) = &previous
                && order(&request.ordering, previous, &values)? == Ordering::Greater
            {
                return Ok(false);
            }
            previous = Some(values);
        }
    }
    Ok(true)
}

fn order(keys: &[SortKey], one: &[Value], other: &[Value]) -> Result<Ordering, EvaluationError> {
    for ((key, one), other) in keys.iter().zip(one).zip(other) {
        let data_type = key.expression.data_type();
        let null_place = match key.nulls {
            NullsOrder::First => Ordering::Less,
            NullsOrder::Last => Ordering::Greater,
        };
        let found = match (one.is_null(), other.is_null()) {
            (true, true) => Ordering::Equal,
            (true, false) => null_place,
            (false, true) => null_place.reverse(),
            (false, false) => {
                let found = compare_in_order(one, &data_type, other, &data_type)?;
                match key.direction {
                    SortDirection::Ascending => found,
                    SortDirection::Descending => found.reverse(),
                }
            }
        };
        if found != Ordering::Equal {
            return Ok(found);
        }
    }
    Ok(Ordering::Equal)
}

/// The ids of the first rows in the requested order, sorted.
fn first_ids(table: &Table, request: &ScanRequest, wanted: usize) -> Result<Vec<i128>, String> {
    let passing = selection(&request.filters, &table.rows).map_err(|error| error.to_string())?;
    let mut rows = Vec::new();
    for (row, passes) in passing.iter().enumerate() {
        if *passes {
            let keys = request
                .ordering
                .iter()
                .map(|key| evaluate(&key.expression, &table.rows, row));
            let keys = keys
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| error.to_string())?;
            rows.push((keys, table.row_id(row)?));
        }
    }
    let mut problem = None;
    rows.sort_by(|one, other| {
        order(&request.ordering, &one.0, &other.0).unwrap_or_else(|error| {
            problem = Some(error.to_string());
            Ordering::Equal
        })
    });
    if let Some(problem) = problem {
        return Err(problem);
    }
    let mut ids: Vec<i128> = rows.into_iter().take(wanted).map(|(_, id)| id).collect();
    ids.sort_unstable();
    Ok(ids)
}
