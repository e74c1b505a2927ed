//! Checks of streams while they run: splits, dynamic filters, cancellation, budgets, counters, concurrency.
//! Must never know a concrete source.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use super::build::{column, compare, constant, function, in_list, integer};
use super::evaluate::selection;
use super::reading::{Reading, Table, context, count, read, read_recorded, read_split, recorder};
use super::report::Report;
use crate::error::ConnectorError;
use crate::expression::{CompareOperator, Expression};
use crate::scan::ScanPlan;
use crate::work::Budget;

/// How long a stream may take to notice that it is cancelled.
const SOON: Duration = Duration::from_secs(5);

/// Splits together give every row once, however many there are and in whatever order they are opened.
pub async fn splits(table: &Table, report: &mut Report) {
    const CHECK: &str = "splits";
    let name = table.fixture.name;
    let last = table.metadata.columns.len() - 1;
    for target_partitions in [1, 2, 3, 16] {
        for projection in [vec![table.id, last], vec![table.id]] {
            let mut request = table.request(projection);
            request.target_partitions = target_partitions;
            let plan = table.connector.plan_scan(&request).await;
            let Some(plan) = report.require(CHECK, name, plan, || {
                format!("{target_partitions} partitions")
            }) else {
                continue;
            };
            let reversed = ScanPlan {
                splits: plan.splits.iter().rev().cloned().collect(),
                ..plan.clone()
            };
            let sequential = read(table.connector.as_ref(), &reversed, &Reading::default()).await;
            complete(CHECK, table, &plan, sequential, report);
            let parallel = read_at_once(table, &plan, &Reading::default()).await;
            complete(CHECK, table, &plan, parallel, report);
        }
    }
}

async fn read_at_once(
    table: &Table,
    plan: &ScanPlan,
    reading: &Reading,
) -> crate::error::Result<Vec<RecordBatch>> {
    let work = recorder(plan, reading.budget.clone());
    let parts = (0..plan.splits.len())
        .map(|split| read_split(table.connector.as_ref(), plan, split, reading, &work));
    let parts = futures::future::join_all(parts).await;
    let mut batches = Vec::new();
    for part in parts {
        batches.extend(part?);
    }
    Ok(batches)
}

/// All rows, each once; the id is the first column.
fn complete(
    check: &'static str,
    table: &Table,
    plan: &ScanPlan,
    batches: crate::error::Result<Vec<RecordBatch>>,
    report: &mut Report,
) {
    let name = table.fixture.name;
    let described = || format!("{} splits", plan.splits.len());
    let Some(batches) = report.require(check, name, batches, described) else {
        return;
    };
    let ids = match table.ids(&batches, 0) {
        Ok(ids) => ids,
        Err(problem) => return report.fail(check, name, problem),
    };
    let rows = table.rows.num_rows();
    let once = ids.len() == rows && ids.values().all(|times| *times == 1);
    report.check(check, name, once, || {
        let twice = ids.iter().find(|(_, times)| **times > 1);
        format!(
            "{}: {} rows with {} ids of {rows}; twice: {twice:?}",
            described(),
            count(&batches),
            ids.len()
        )
    });
}

/// Dynamic filters only remove rows that fail them, whatever they are made of.
pub async fn dynamic_filters(table: &Table, report: &mut Report) {
    const CHECK: &str = "dynamic filter";
    let name = table.fixture.name;
    let last = table.metadata.columns.len() - 1;
    let mut request = table.request(vec![last, table.id]);
    request.lookup_columns = vec![table.id];
    request.lookup_rows = Some(10);
    let Some(plan) = report.require(
        CHECK,
        name,
        table.connector.plan_scan(&request).await,
        || "plan".to_owned(),
    ) else {
        return;
    };
    // Positions are those of the plan's columns; the id is the second one.
    let metadata = &table.metadata.columns[table.id];
    let id = column(1, metadata);
    let number = |value: i128| {
        integer(
            scaled(value, &metadata.data_type),
            metadata.data_type.clone(),
        )
    };
    let rows = table.rows.num_rows() as i128;
    let some: Vec<Expression> = [0, 2, rows / 2, rows - 1, rows + 5]
        .into_iter()
        .map(number)
        .collect();
    let many: Vec<Expression> = (0..3_000).map(|value| number(value * 3)).collect();
    let unknown = function(
        "conformance_unknown",
        vec![id.clone()],
        arrow::datatypes::DataType::Boolean,
    );
    let candidates: Vec<(&str, Vec<Expression>)> = vec![
        ("a set", vec![in_list(id.clone(), some.clone(), false)]),
        ("a large set", vec![in_list(id.clone(), many, false)]),
        (
            "an impossible set",
            vec![in_list(id.clone(), vec![number(-5)], false)],
        ),
        (
            "a range and a set",
            vec![
                compare(id.clone(), CompareOperator::GreaterOrEqual, number(1)),
                compare(id.clone(), CompareOperator::LessOrEqual, number(rows / 2)),
                in_list(id.clone(), some.clone(), false),
            ],
        ),
        (
            "one value",
            vec![compare(id.clone(), CompareOperator::Equal, number(1))],
        ),
        ("something unknown", vec![unknown.clone()]),
        (
            "something unknown and a set",
            vec![unknown, in_list(id.clone(), some, false)],
        ),
        (
            "always true",
            vec![constant(crate::literal::Literal::boolean(true))],
        ),
    ];
    for (what, filters) in candidates {
        let reading = Reading {
            dynamic_filters: filters.clone(),
            ..Reading::default()
        };
        let batches = read(table.connector.as_ref(), &plan, &reading).await;
        let Some(batches) = report.require(CHECK, name, batches, || what.to_owned()) else {
            continue;
        };
        let found = table.ids(&batches, 1).unwrap_or_default();
        let over_table: Vec<Expression> = filters
            .into_iter()
            .filter_map(|filter| {
                filter.map_columns(&|position| (position == 1).then_some(table.id))
            })
            .collect();
        let known: Vec<Expression> = over_table
            .into_iter()
            .filter(|filter| selection(std::slice::from_ref(filter), &table.rows).is_ok())
            .collect();
        let Ok(passing) = selection(&known, &table.rows) else {
            continue;
        };
        let missing = (0..table.rows.num_rows())
            .filter(|row| passing[*row])
            .filter_map(|row| table.row_id(row).ok())
            .find(|id| !found.contains_key(id));
        report.check(CHECK, name, missing.is_none(), || {
            format!("{what}: id {missing:?} is gone")
        });
        let twice: BTreeMap<&i128, &usize> =
            found.iter().filter(|(_, times)| **times > 1).collect();
        report.check(CHECK, name, twice.is_empty(), || {
            format!("{what}: more than once: {twice:?}")
        });
    }
}

fn scaled(value: i128, data_type: &arrow::datatypes::DataType) -> i128 {
    match data_type {
        arrow::datatypes::DataType::Decimal128(_, scale) => {
            let factor = u32::try_from(*scale)
                .ok()
                .and_then(|digits| 10_i128.checked_pow(digits));
            value * factor.unwrap_or(1)
        }
        _ => value,
    }
}

/// A cancelled stream ends soon, and with the right error.
pub async fn cancellation(table: &Table, report: &mut Report) {
    const CHECK: &str = "cancellation";
    let name = table.fixture.name;
    let request = table.request((0..table.metadata.columns.len()).collect());
    let Some(plan) = report.require(
        CHECK,
        name,
        table.connector.plan_scan(&request).await,
        || "plan".to_owned(),
    ) else {
        return;
    };
    for before_start in [true, false] {
        let cancellation = CancellationToken::new();
        let reading = Reading {
            batch_rows: Some(16),
            cancellation: cancellation.clone(),
            ..Reading::default()
        };
        let work = recorder(&plan, Budget::default());
        let mut stream = table.connector.open(&plan, 0, context(&work, &reading));
        let mut rows = 0;
        if !before_start {
            match stream.next().await {
                Some(Ok(batch)) => rows += batch.num_rows(),
                other => return report.fail(CHECK, name, format!("the first batch is {other:?}")),
            }
        }
        cancellation.cancel();
        let started = Instant::now();
        let ended = tokio::time::timeout(SOON, async {
            loop {
                match stream.next().await {
                    Some(Ok(batch)) => rows += batch.num_rows(),
                    Some(Err(error)) => return Some(error),
                    None => return None,
                }
            }
        })
        .await;
        let what = if before_start {
            "cancelled before the start"
        } else {
            "cancelled after a batch"
        };
        match ended {
            Ok(Some(ConnectorError::Cancelled)) => {
                report.check(CHECK, name, true, String::new);
            }
            Ok(Some(error)) => report.fail(CHECK, name, format!("{what}: ended with {error}")),
            Ok(None) => report.fail(
                CHECK,
                name,
                format!("{what}: ended without an error after {rows} rows"),
            ),
            Err(_) => report.fail(
                CHECK,
                name,
                format!("{what}: still running after {:?}", started.elapsed()),
            ),
        }
    }
    // The connector goes on working.
    let after = read(table.connector.as_ref(), &plan, &Reading::default()).await;
    if let Some(after) = report.require(CHECK, name, after, || "a scan afterwards".to_owned()) {
        report.check(CHECK, name, count(&after) == table.rows.num_rows(), || {
            "rows are missing afterwards".to_owned()
        });
    }
}

/// Streams dropped in the middle leave nothing behind that stops later ones.
pub async fn dropped_streams(table: &Table, report: &mut Report) {
    const CHECK: &str = "dropped stream";
    let name = table.fixture.name;
    let request = table.request((0..table.metadata.columns.len()).collect());
    let Some(plan) = report.require(
        CHECK,
        name,
        table.connector.plan_scan(&request).await,
        || "plan".to_owned(),
    ) else {
        return;
    };
    let reading = Reading {
        batch_rows: Some(16),
        ..Reading::default()
    };
    for _ in 0..25 {
        let work = recorder(&plan, Budget::default());
        let mut stream = table.connector.open(&plan, 0, context(&work, &reading));
        let first = tokio::time::timeout(SOON * 4, stream.next()).await;
        match first {
            Ok(Some(Ok(_))) => {}
            other => return report.fail(CHECK, name, format!("the first batch is {other:?}")),
        }
    }
    // A stream that is never polled does nothing.
    let work = recorder(&plan, Budget::default());
    drop(table.connector.open(&plan, 0, context(&work, &reading)));
    report.check(CHECK, name, work.snapshot().requests == 0, || {
        "a stream works before it is polled".to_owned()
    });
    let after = tokio::time::timeout(
        SOON * 4,
        read(table.connector.as_ref(), &plan, &Reading::default()),
    )
    .await;
    match after {
        Ok(Ok(after)) => {
            report.check(CHECK, name, count(&after) == table.rows.num_rows(), || {
                "rows are missing afterwards".to_owned()
            });
        }
        Ok(Err(error)) => report.fail(CHECK, name, format!("a scan afterwards: {error}")),
        Err(_) => report.fail(CHECK, name, "a scan afterwards does not finish"),
    }
}

/// Budgets stop a scan with the error that names the limit; counters tell what was done.
pub async fn budgets(table: &Table, report: &mut Report) {
    const CHECK: &str = "budget and counters";
    let name = table.fixture.name;
    let request = table.request((0..table.metadata.columns.len()).collect());
    let Some(plan) = report.require(
        CHECK,
        name,
        table.connector.plan_scan(&request).await,
        || "plan".to_owned(),
    ) else {
        return;
    };
    for (limit, budget) in [
        (
            "max_rows",
            Budget {
                max_rows: Some(10),
                ..Budget::default()
            },
        ),
        (
            "max_bytes",
            Budget {
                max_bytes: Some(100),
                ..Budget::default()
            },
        ),
    ] {
        let reading = Reading {
            budget,
            ..Reading::default()
        };
        let ended = read(table.connector.as_ref(), &plan, &reading)
            .await
            .map(|batches| count(&batches));
        let refused = matches!(&ended, Err(ConnectorError::BudgetExceeded { limit: named, .. }) if named == limit);
        report.check(CHECK, name, refused, || format!("{limit}: {ended:?}"));
    }
    let work = recorder(&plan, Budget::default());
    let batches = read_recorded(table.connector.as_ref(), &plan, &Reading::default(), &work).await;
    let Some(batches) = report.require(CHECK, name, batches, || "counted scan".to_owned()) else {
        return;
    };
    let counted = work.snapshot();
    let rows = count(&batches) as u64;
    report.check(CHECK, name, counted.rows_returned == rows, || {
        format!("{} rows are counted, {rows} came", counted.rows_returned)
    });
    report.check(CHECK, name, counted.requests >= 1, || {
        "no request is counted".to_owned()
    });
    report.check(CHECK, name, counted.bytes >= rows, || {
        format!("{} bytes for {rows} rows", counted.bytes)
    });
    report.check(CHECK, name, counted.rows_read >= rows, || {
        format!("{} rows read", counted.rows_read)
    });
    report.check(CHECK, name, counted.ms >= 0.0, || {
        format!("{} ms", counted.ms)
    });
    let counts_rcu = plan.estimate.rcu.is_some();
    report.check(
        CHECK,
        name,
        counts_rcu == counted.rcu_consumed.is_some_and(|rcu| rcu > 0.0),
        || {
            format!(
                "estimated {:?} RCU, consumed {:?}",
                plan.estimate.rcu, counted.rcu_consumed
            )
        },
    );
}

/// Many scans at once answer as one does.
pub async fn concurrency(table: &Table, report: &mut Report) {
    const CHECK: &str = "concurrency";
    const SCANS: usize = 12;
    let name = table.fixture.name;
    let request = table.request(vec![table.id]);
    let scans = (0..SCANS).map(|_| table.read(&request));
    let scans =
        tokio::time::timeout(Duration::from_secs(300), futures::future::join_all(scans)).await;
    let Ok(scans) = scans else {
        return report.fail(CHECK, name, format!("{SCANS} scans at once do not finish"));
    };
    for scan in scans {
        match scan {
            Ok((plan, batches)) => complete(CHECK, table, &plan, Ok(batches), report),
            Err(error) => report.fail(CHECK, name, error.to_string()),
        }
    }
}
