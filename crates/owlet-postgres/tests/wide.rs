//! Rows wider than the pieces in which they arrive, and tables with as many columns as there can be.

mod support;

use std::collections::BTreeSet;

use owlet_connector::{
    CompareOperator, Connector, Exactness, Expression, Literal, ScanContext, ScanPlan,
};
use owlet_postgres::PostgresConnector;
use support::{Database, column, column_text, context, read_plan, request, row_count, table};

/// Reads all splits and compares each value with what `value` says of its id; the values stand in columns 1 to 3.
async fn read_and_compare(
    connector: &PostgresConnector,
    plan: &ScanPlan,
    context: &ScanContext,
    value: impl Fn(&str, usize) -> Option<String>,
) -> BTreeSet<String> {
    let batches = read_plan(connector, plan, context).await.expect("rows");
    let ids: Vec<String> = column_text(&batches, 0).into_iter().flatten().collect();
    for position in 1..=3 {
        let texts = column_text(&batches, position);
        assert_eq!(texts.len(), ids.len());
        for (id, text) in ids.iter().zip(texts) {
            let is_same = text == value(id, position);
            assert!(is_same, "column {position} of row {id}");
        }
    }
    ids.into_iter().collect()
}

/// Repeats of the id: long ones, none, and in every fiftieth row so many that each value is several pieces. Those rows hold
/// most of the bytes, so most batches are full within one of them.
fn value(id: &str, position: usize) -> Option<String> {
    let number: usize = id.parse().expect("a number");
    let repeated = |bytes: usize| Some(format!("{number:0>8}").repeat(bytes / 8));
    match position {
        _ if number.is_multiple_of(50) => repeated(500_000),
        1 => repeated(4_000),
        2 if number.is_multiple_of(3) => None,
        2 => repeated(8_000),
        _ => repeated(8),
    }
}

const VALUES: &str = "repeat(lpad(i::text, 8, '0'), CASE WHEN i % 50 = 0 THEN 62500 ELSE 500 END) AS a, \
     repeat(lpad(i::text, 8, '0'), CASE WHEN i % 50 = 0 THEN 62500 WHEN i % 3 <> 0 THEN 1000 END) AS b, \
     repeat(lpad(i::text, 8, '0'), CASE WHEN i % 50 = 0 THEN 62500 ELSE 1 END) AS c";

#[tokio::test]
async fn wide_rows_fill_batch_after_batch() {
    let database = Database::create("wide").await;
    database
        .run(&format!(
            "CREATE TABLE t AS SELECT i AS id, {VALUES} FROM generate_series(1, 2500) AS i; ANALYZE t"
        ))
        .await;
    let connector = database.connector();
    let metadata = table(&connector, "t").await;
    let plan = connector
        .plan_scan(&request(&metadata))
        .await
        .expect("planned");
    assert_eq!(plan.splits.len(), 1);
    for batch_rows in [1000, 8192, 7] {
        let context = ScanContext {
            batch_rows,
            ..context()
        };
        let ids = read_and_compare(&connector, &plan, &context, value).await;
        assert_eq!(ids.len(), 2500);
        assert!(context.work.snapshot().bytes > 90_000_000);
    }
}

#[tokio::test]
async fn wide_rows_are_split_too() {
    let database = Database::create("wide_ranges").await;
    // One row a page, beside its long values: more than 16 MiB.
    database
        .run(&format!(
            "CREATE TABLE t (id int, a text, b text, c text, filler text) WITH (fillfactor = 10); \
             ALTER TABLE t ALTER filler SET STORAGE PLAIN; \
             INSERT INTO t SELECT i, a, b, c, repeat('x', 1000) FROM \
             (SELECT i, {VALUES} FROM generate_series(1, 2500) AS i) AS rows; ANALYZE t"
        ))
        .await;
    let connector = database.connector();
    let metadata = table(&connector, "t").await;
    let mut wanted = request(&metadata);
    wanted.target_partitions = 2;
    let plan = connector.plan_scan(&wanted).await.expect("planned");
    assert!(plan.splits.len() >= 2, "{:?}", plan.notes);
    for _ in 0..2 {
        let ids = read_and_compare(&connector, &plan, &context(), value).await;
        assert_eq!(ids.len(), 2500);
    }
}

#[tokio::test]
async fn the_widest_tables_are_read_whole() {
    let database = Database::create("widest").await;
    let columns: Vec<String> = (2..=1600).map(|number| format!("c{number} uuid")).collect();
    database
        .run(&format!(
            "CREATE TABLE t (id int, {}); INSERT INTO t (id, c2, c1600) VALUES \
             (1, '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002'), (2, NULL, NULL)",
            columns.join(", ")
        ))
        .await;
    let connector = database.connector();
    let metadata = table(&connector, "t").await;
    let plan = connector
        .plan_scan(&request(&metadata))
        .await
        .expect("planned");
    let batches = read_plan(&connector, &plan, &context())
        .await
        .expect("rows");
    assert_eq!((row_count(&batches), batches[0].num_columns()), (2, 1600));
    assert_eq!(
        column_text(&batches, 1599)[0].as_deref(),
        Some("00000000-0000-0000-0000-000000000002")
    );
    let mut wanted = request(&metadata);
    wanted.limit = Some(5);
    wanted.filters = vec![Expression::Compare {
        operator: CompareOperator::Equal,
        left: Box::new(column(&metadata, "c2")),
        right: Box::new(Expression::Literal(Literal::text(
            "00000000-0000-0000-0000-000000000001",
        ))),
    }];
    let plan = connector.plan_scan(&wanted).await.expect("planned");
    assert_eq!(plan.filters, [Exactness::Exact]);
    let batches = read_plan(&connector, &plan, &context())
        .await
        .expect("rows");
    assert_eq!(column_text(&batches, 0), [Some("1".to_owned())]);
}
