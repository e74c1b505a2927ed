//! Checks of filters: what a connector says of each is true. Must never know a concrete source.

use super::build::column;
use super::evaluate::{EvaluationError, selection};
use super::predicates::predicates;
use super::reading::Table;
use super::report::Report;
use super::value::Value;
use crate::expression::{CompareOperator, Expression};
use crate::scan::Exactness;

/// Every filter, alone and in pairs: what the connector says of it is true.
pub async fn filters(table: &Table, report: &mut Report) {
    const CHECK: &str = "filter";
    if table.rows.num_rows() > 1_000 {
        // The large table is for splits; its filters are few.
        return few_filters(table, report).await;
    }
    let all = predicates(table);
    for predicate in &all {
        check_filters(CHECK, table, std::slice::from_ref(predicate), report).await;
    }
    for pair in all.chunks(2).step_by(5) {
        check_filters("filters", table, pair, report).await;
    }
}

async fn few_filters(table: &Table, report: &mut Report) {
    let id = column(table.id, &table.metadata.columns[table.id]);
    let rows = table.rows.num_rows();
    for bound in [0, 1, rows / 2, rows - 1, rows] {
        let Ok(literal) = Value::Integer(bound as i128).to_literal(id.data_type()) else {
            continue;
        };
        for operator in [
            CompareOperator::Equal,
            CompareOperator::Less,
            CompareOperator::GreaterOrEqual,
        ] {
            let predicate =
                super::build::compare(id.clone(), operator, Expression::Literal(literal.clone()));
            check_filters("filter", table, &[predicate], report).await;
        }
    }
}

async fn check_filters(
    check: &'static str,
    table: &Table,
    predicates: &[Expression],
    report: &mut Report,
) {
    let name = table.fixture.name;
    let shown = || format!("{predicates:?}");
    let mut selected = Vec::with_capacity(predicates.len());
    for predicate in predicates {
        match selection(std::slice::from_ref(predicate), &table.rows) {
            Ok(rows) => selected.push(Some(rows)),
            Err(EvaluationError::Unsupported(_)) => selected.push(None),
            // The query fails on some row; there is no right answer.
            Err(EvaluationError::Fails(_)) => return,
        }
    }
    let mut request = table.request(vec![table.id]);
    request.filters = predicates.to_vec();
    let Some((plan, batches)) = report.require(check, name, table.read(&request).await, shown)
    else {
        return;
    };
    if !report.check(check, name, plan.filters.len() == predicates.len(), || {
        format!(
            "{} answers for {} filters: {}",
            plan.filters.len(),
            predicates.len(),
            shown()
        )
    }) {
        return;
    }
    let found = match table.ids(&batches, 0) {
        Ok(found) => found,
        Err(problem) => return report.fail(check, name, problem),
    };
    if let Some(twice) = found.iter().find(|(_, times)| **times > 1) {
        return report.fail(
            check,
            name,
            format!("id {} comes {} times for {}", twice.0, twice.1, shown()),
        );
    }
    for (exactness, rows) in plan.filters.iter().zip(&selected) {
        match exactness {
            Exactness::Exact => report.exact_filters += 1,
            Exactness::Inexact(_) => report.inexact_filters += 1,
            Exactness::Unsupported(_) => report.unsupported_filters += 1,
        }
        if *exactness == Exactness::Exact && rows.is_none() {
            report.fail(
                check,
                name,
                format!("applied exactly, but unknown to the reference: {}", shown()),
            );
        }
    }
    for row in 0..table.rows.num_rows() {
        let Ok(id) = table.row_id(row) else { continue };
        let is_there = found.contains_key(&id);
        let passes_all = selected
            .iter()
            .all(|rows| rows.as_ref().is_none_or(|rows| rows[row]));
        let known = selected.iter().all(Option::is_some);
        let passes_exact = plan.filters.iter().zip(&selected).all(|(exactness, rows)| {
            *exactness != Exactness::Exact || rows.as_ref().is_none_or(|rows| rows[row])
        });
        let wrong = if known && passes_all && !is_there {
            Some("is missing")
        } else if is_there && !passes_exact {
            Some("does not pass")
        } else {
            None
        };
        let Some(wrong) = wrong else { continue };
        let values: Vec<String> = predicates
            .iter()
            .flat_map(Expression::columns)
            .map(|column| {
                let value = Value::of_cell(table.rows.column(column).as_ref(), row);
                format!("{} = {value:?}", table.metadata.columns[column].name)
            })
            .collect();
        return report.fail(
            check,
            name,
            format!(
                "id {id} ({}) {wrong}: {} answered as {:?} by {}",
                values.join(", "),
                shown(),
                plan.filters,
                plan.remote
            ),
        );
    }
    report.check(check, name, true, String::new);
}
