//! The suite every connector must pass, run against the real source (feature `conformance`).
//!
//! A connector's test implements [`ConformanceHarness`]: it gives connectors and creates the [`fixtures`] at the
//! source. [`run`] then checks the contract: metadata, projections, the exactness of every filter against a
//! reference evaluator ([`evaluate()`]), limits, orderings, splits, serialised plans, dynamic filters,
//! cancellation, budgets, work counters, errors and concurrency.
//!
//! This module must never know a concrete source.

mod build;
mod checks;
mod evaluate;
mod filter_checks;
pub mod fixtures;
mod functions;
mod harness;
mod like;
mod limit_checks;
mod predicates;
mod reading;
mod report;
mod run_time;
#[cfg(test)]
mod tests;
mod value;

pub use evaluate::{EvaluationError, evaluate, selection, truth};
pub use harness::{ConformanceHarness, CreatedTable, Limitations};
pub use report::{Failure, Report};
pub use value::{Value, compare};

use reading::Table;

/// Runs all checks and tells what failed.
pub async fn run(harness: &dyn ConformanceHarness) -> Report {
    run_with(harness, fixtures::all(harness.large_rows())).await
}

/// Runs all checks on these fixtures only.
pub async fn run_with(
    harness: &dyn ConformanceHarness,
    fixtures: Vec<fixtures::Fixture>,
) -> Report {
    let mut report = Report::default();
    let limitations = harness.limitations();
    // Listings may be remembered for a while, so all tables are there before the connector is.
    let mut created = Vec::new();
    for fixture in fixtures {
        let fixture = fixture.without(|column| {
            limitations.missing_kinds.contains(&column.kind) || harness.refuses_column(column)
        });
        let table = harness.create(&fixture).await;
        created.push((fixture, table));
    }
    let connector = harness.connector().await;
    for (fixture, created) in created {
        let name = fixture.name.to_owned();
        let Some(table) = Table::open(&connector, fixture, created, &mut report).await else {
            continue;
        };
        checks::contents(&table, &limitations, &mut report);
        checks::metadata(&table, &mut report).await;
        checks::projections(&table, &mut report).await;
        filter_checks::filters(&table, &mut report).await;
        limit_checks::limits_and_orderings(&table, &mut report).await;
        checks::serialised_plans(harness, &table, &mut report).await;
        run_time::dynamic_filters(&table, &mut report).await;
        if name == "large" {
            run_time::splits(&table, &mut report).await;
            run_time::cancellation(&table, &mut report).await;
            run_time::dropped_streams(&table, &mut report).await;
            run_time::budgets(&table, &mut report).await;
            run_time::concurrency(&table, &mut report).await;
        }
    }
    checks::unknown_names(&connector, &mut report).await;
    report
}
