//! Filters, limits, splits, snapshots, dynamic filters and the work report.

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::DataType;
use futures::TryStreamExt;
use owlet_connector::{
    Budget, CompareOperator, Connector, ConnectorError, Exactness, Expression, Literal,
    LiteralValue, NullsOrder, SortDirection, SortKey, TableMetadata,
};
use owlet_postgres::PostgresConnector;
use owlet_remote_sql::{
    AggregateExpression, AggregateFunction, QueryOptions, Relation, RemoteTable, SqlConnector,
};
use support::{Database, column, column_text, context, read_plan, request, row_count, table};

fn compare(left: Expression, operator: CompareOperator, right: Literal) -> Expression {
    Expression::Compare {
        operator,
        left: Box::new(left),
        right: Box::new(Expression::Literal(right)),
    }
}

fn integer(value: i32) -> Literal {
    Literal {
        value: LiteralValue::Integer(value.into()),
        data_type: DataType::Int32,
    }
}

fn leaf(metadata: &TableMetadata) -> Relation {
    Relation::Table(RemoteTable {
        schema: metadata.schema.clone(),
        name: metadata.name.clone(),
        columns: metadata.columns.clone(),
        restriction: None,
    })
}

fn options(target_partitions: usize) -> QueryOptions {
    QueryOptions {
        target_partitions,
        lookup_columns: Vec::new(),
        lookup_rows: None,
    }
}

/// A table of 60 000 rows on more than 8 192 pages.
async fn big_table(database: &Database) {
    database
        .run(
            "CREATE TABLE big (id int PRIMARY KEY, filler text, part int) WITH (fillfactor = 10); \
             INSERT INTO big SELECT i, repeat('x', 100), i % 7 FROM generate_series(1, 60000) AS i; ANALYZE big",
        )
        .await;
}

#[tokio::test]
async fn projection_filter_and_limit() {
    let database = Database::create("filters").await;
    database
        .run(
            "CREATE TABLE t (id int PRIMARY KEY, name text COLLATE \"en-x-icu\", amount numeric(10,2)); \
             INSERT INTO t SELECT i, 'n' || i, i / 4.0 FROM generate_series(1, 100) AS i; ANALYZE t",
        )
        .await;
    let connector = database.connector();
    let metadata = table(&connector, "t").await;
    let mut wanted = request(&metadata);
    wanted.projection = vec![2, 0];
    wanted.filters = vec![compare(
        column(&metadata, "id"),
        CompareOperator::Greater,
        integer(97),
    )];
    let plan = connector.plan_scan(&wanted).await.expect("planned");
    assert_eq!(plan.filters, [Exactness::Exact]);
    assert_eq!(plan.schema.field(0).name(), "amount");
    let batches = read_plan(&connector, &plan, &context())
        .await
        .expect("rows");
    let amounts: Vec<_> = column_text(&batches, 0).into_iter().flatten().collect();
    assert_eq!(amounts, ["24.50", "24.75", "25.00"]);

    wanted.filters = vec![compare(
        column(&metadata, "id"),
        CompareOperator::Equal,
        integer(5),
    )];
    let plan = connector.plan_scan(&wanted).await.expect("planned");
    assert_eq!(plan.access, "lookup by primary key");
    assert_eq!(plan.estimate.rows_returned, Some(1.0));

    wanted.filters = Vec::new();
    wanted.limit = Some(7);
    wanted.ordering = vec![SortKey {
        expression: column(&metadata, "id"),
        direction: SortDirection::Descending,
        nulls: NullsOrder::Last,
    }];
    let plan = connector.plan_scan(&wanted).await.expect("planned");
    assert!(plan.limit_applied && plan.ordering_applied, "{plan:?}");
    let batches = read_plan(&connector, &plan, &context())
        .await
        .expect("rows");
    let ids: Vec<_> = column_text(&batches, 1).into_iter().flatten().collect();
    assert_eq!(ids, ["100", "99", "98", "97", "96", "95", "94"]);
}

#[tokio::test]
async fn rows_without_columns_are_counted() {
    let database = Database::create("countings").await;
    database.run("CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 2500); CREATE TABLE none (a int)").await;
    let connector = database.connector();
    let metadata = table(&connector, "t").await;
    let mut wanted = request(&metadata);
    wanted.projection = Vec::new();
    let plan = connector.plan_scan(&wanted).await.expect("planned");
    let batches = read_plan(&connector, &plan, &context())
        .await
        .expect("rows");
    assert_eq!(row_count(&batches), 2500);
    wanted.filters = vec![compare(
        column(&metadata, "a"),
        CompareOperator::Less,
        integer(11),
    )];
    let plan = connector.plan_scan(&wanted).await.expect("planned");
    assert_eq!(
        row_count(
            &read_plan(&connector, &plan, &context())
                .await
                .expect("rows")
        ),
        10
    );
    assert_eq!(
        row_count(
            &support::read_table(&connector, "none")
                .await
                .expect("no rows")
        ),
        0
    );
}

#[tokio::test]
async fn splits_together_are_the_table() {
    let database = Database::create("splits").await;
    big_table(&database).await;
    let connector = database.connector();
    let metadata = table(&connector, "big").await;
    let mut wanted = request(&metadata);
    wanted.target_partitions = 2;
    let plan = connector.plan_scan(&wanted).await.expect("planned");
    assert!(plan.splits.len() >= 2, "{:?}", plan.notes);
    assert!(plan.access.starts_with("parallel scan"));
    let all: Vec<_> = column_text(
        &read_plan(&connector, &plan, &context())
            .await
            .expect("rows"),
        0,
    );
    let distinct: BTreeSet<_> = all.iter().flatten().collect();
    assert_eq!((all.len(), distinct.len()), (60000, 60000));
    // The table has grown far beyond what planning saw: the last range has no end.
    database
        .run(
            "INSERT INTO big SELECT i, repeat('x', 100), 0 FROM generate_series(60001, 70000) AS i",
        )
        .await;
    let grown = read_plan(&connector, &plan, &context())
        .await
        .expect("rows");
    assert_eq!(row_count(&grown), 70000);
    // A filter that an index answers is not worth a parallel scan of everything.
    wanted.filters = vec![compare(
        column(&metadata, "id"),
        CompareOperator::Less,
        integer(10),
    )];
    let plan = connector.plan_scan(&wanted).await.expect("planned");
    assert_eq!(plan.splits.len(), 1, "{:?}", plan.notes);
    // One that needs the whole table is.
    wanted.filters = vec![compare(
        column(&metadata, "part"),
        CompareOperator::Equal,
        integer(3),
    )];
    let plan = connector.plan_scan(&wanted).await.expect("planned");
    assert!(plan.splits.len() >= 2, "{:?}", plan.notes);
    let expected = database
        .text("SELECT count(*) FROM big WHERE part = 3")
        .await;
    let rows = row_count(
        &read_plan(&connector, &plan, &context())
            .await
            .expect("rows"),
    );
    assert_eq!(Some(rows.to_string()), expected);
}

#[tokio::test]
async fn partitioned_tables_are_split_too() {
    let database = Database::create("partitions").await;
    partitioned_table(&database).await;
    let connector = database.connector();
    let metadata = table(&connector, "p").await;
    let mut wanted = request(&metadata);
    wanted.target_partitions = 3;
    let plan = connector.plan_scan(&wanted).await.expect("planned");
    assert!(plan.splits.len() >= 3, "{:?}", plan.notes);
    let mut sizes = Vec::new();
    let mut ids = BTreeSet::new();
    let work = context();
    for split in 0..plan.splits.len() {
        let batches: Vec<_> = connector
            .open(&plan, split, work.clone())
            .try_collect()
            .await
            .expect("rows");
        sizes.push(row_count(&batches));
        ids.extend(column_text(&batches, 0));
    }
    assert_eq!((sizes.iter().sum::<usize>(), ids.len()), (50000, 50000));
    let largest = sizes.iter().max().copied().unwrap_or_default();
    assert!(largest < 2 * 50000 / sizes.len(), "cut unevenly: {sizes:?}");

    // A partition attached between two splits would be seen by the second alone.
    let work = context();
    let _: Vec<_> = connector
        .open(&plan, 0, work.clone())
        .try_collect()
        .await
        .expect("rows");
    database
        .run("CREATE TABLE p3 (LIKE p); ALTER TABLE p ATTACH PARTITION p3 FOR VALUES FROM (100000) TO (200000)")
        .await;
    let error = connector
        .open(&plan, 1, work.clone())
        .try_collect::<Vec<_>>()
        .await
        .expect_err("changed");
    assert!(
        error
            .to_string()
            .contains("the partitions of public.p changed"),
        "{error}"
    );
}

async fn partitioned_table(database: &Database) {
    database
        .run(
            "CREATE TABLE p (id int, filler text) PARTITION BY RANGE (id); \
             CREATE TABLE p1 (filler text, id int) WITH (fillfactor = 10); \
             ALTER TABLE p ATTACH PARTITION p1 FOR VALUES FROM (0) TO (20000); \
             CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (20000) TO (100000) WITH (fillfactor = 10); \
             INSERT INTO p SELECT i, repeat('x', 100) FROM generate_series(1, 50000) AS i; ANALYZE p",
        )
        .await;
}

#[tokio::test]
async fn what_cannot_be_split_is_read_whole_and_says_why() {
    let database = Database::create("whole").await;
    database
        .run(
            "CREATE TABLE base (id int, filler text) WITH (fillfactor = 10); \
             CREATE TABLE child (extra int) INHERITS (base) WITH (fillfactor = 10); \
             INSERT INTO base SELECT i, repeat('x', 100) FROM generate_series(1, 20000) AS i; \
             INSERT INTO child SELECT i, repeat('x', 100), 1 FROM generate_series(20001, 30000) AS i; \
             CREATE VIEW v AS SELECT * FROM base; CREATE TABLE small (id int)",
        )
        .await;
    let connector = database.connector();
    for (name, rows, reason) in [
        ("base", 30000, "other tables inherit from it"),
        ("v", 30000, "v is a view"),
        ("small", 0, "the table is small"),
    ] {
        let metadata = table(&connector, name).await;
        let mut wanted = request(&metadata);
        wanted.target_partitions = 3;
        let plan = connector.plan_scan(&wanted).await.expect("planned");
        assert_eq!(plan.splits.len(), 1);
        assert!(
            plan.notes.iter().any(|note| note.contains(reason)),
            "{:?}",
            plan.notes
        );
        assert_eq!(
            row_count(
                &read_plan(&connector, &plan, &context())
                    .await
                    .expect("rows")
            ),
            rows
        );
    }
}

#[tokio::test]
async fn all_splits_see_one_snapshot() {
    let database = Database::create("snapshots").await;
    big_table(&database).await;
    let connector = database.connector();
    let metadata = table(&connector, "big").await;
    let mut wanted = request(&metadata);
    wanted.target_partitions = 2;
    let plan = connector.plan_scan(&wanted).await.expect("planned");
    for round in 0..3 {
        let work = context();
        let mut rows = 0;
        let mut parts = BTreeSet::new();
        for split in 0..plan.splits.len() {
            // Opened in any order, with writes between them that move every row to another page.
            let split = (split + round) % plan.splits.len();
            let batches: Vec<_> = connector
                .open(&plan, split, work.clone())
                .try_collect()
                .await
                .expect("rows");
            rows += row_count(&batches);
            parts.extend(column_text(&batches, 2));
            database.run("UPDATE big SET part = part + 7").await;
        }
        let shifted = 7 * round as i64 * plan.splits.len() as i64;
        let expected: BTreeSet<_> = (0..7)
            .map(|part| Some((part + shifted).to_string()))
            .collect();
        assert_eq!((rows, parts), (60000, expected), "round {round}");
        let holders = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND state = 'idle in transaction'",
            database.name
        );
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        assert_eq!(
            database.text(&holders).await.as_deref(),
            Some("0"),
            "the snapshot is given back"
        );
    }
}

#[tokio::test]
async fn a_rewritten_table_is_never_seen_empty() {
    let database = Database::create("rewrites").await;
    big_table(&database).await;
    let connector = database.connector();
    let metadata = table(&connector, "big").await;
    let mut wanted = request(&metadata);
    wanted.target_partitions = 2;
    let plan = connector.plan_scan(&wanted).await.expect("planned");
    let work = context();
    let first: Vec<_> = connector
        .open(&plan, 0, work.clone())
        .try_collect()
        .await
        .expect("rows");
    // TRUNCATE must wait: the snapshot's holder has locked the table.
    let writer = support::connect(&database.url()).await;
    let truncate = tokio::spawn(async move { writer.batch_execute("TRUNCATE big").await });
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert!(!truncate.is_finished());
    let mut rows = row_count(&first);
    for split in 1..plan.splits.len() {
        let stream = connector.open(&plan, split, work.clone());
        rows += row_count(&stream.try_collect::<Vec<_>>().await.expect("rows"));
    }
    assert_eq!(rows, 60000);
    truncate
        .await
        .expect("task")
        .expect("truncated after the scan");
    assert_eq!(
        row_count(
            &read_plan(&connector, &plan, &context())
                .await
                .expect("rows")
        ),
        0
    );
}

#[tokio::test]
async fn dynamic_filters_narrow_the_query() {
    let database = Database::create("dynamic").await;
    big_table(&database).await;
    let connector = database.connector();
    let metadata = table(&connector, "big").await;
    let mut wanted = request(&metadata);
    wanted.projection = vec![0, 2];
    wanted.lookup_columns = vec![0];
    wanted.lookup_rows = Some(3);
    wanted.target_partitions = 2;
    let plan = connector.plan_scan(&wanted).await.expect("planned");
    assert_eq!(plan.splits.len(), 1, "{:?}", plan.notes);
    let mut narrowed = context();
    narrowed.dynamic_filters = vec![Expression::InList {
        expression: Box::new(column(&metadata, "id")),
        list: [5, 50, 500, 5_000_000]
            .map(|id| Expression::Literal(integer(id)))
            .to_vec(),
        negated: false,
    }];
    let batches = read_plan(&connector, &plan, &narrowed).await.expect("rows");
    assert_eq!(
        column_text(&batches, 0)
            .into_iter()
            .flatten()
            .collect::<Vec<_>>(),
        ["5", "50", "500"]
    );
    let work = narrowed.work.snapshot();
    assert_eq!((work.rows_returned, work.requests), (3, 1));
    assert!(work.bytes > 0 && work.ms > 0.0);
    // A long list is one query too.
    narrowed.dynamic_filters = vec![Expression::InList {
        expression: Box::new(column(&metadata, "id")),
        list: (0..10_000)
            .map(|id| Expression::Literal(integer(id * 2)))
            .collect(),
        negated: false,
    }];
    assert_eq!(
        row_count(&read_plan(&connector, &plan, &narrowed).await.expect("rows")),
        9_999
    );
}

#[tokio::test]
async fn a_query_over_tables() {
    let database = Database::create("queries").await;
    big_table(&database).await;
    let connector = database.connector();
    let metadata = table(&connector, "big").await;
    let part = Expression::Column(owlet_connector::ColumnReference {
        index: 2,
        name: "part".to_owned(),
        data_type: DataType::Int32,
        nullable: true,
    });
    let relation = Relation::Aggregate {
        input: Box::new(leaf(&metadata)),
        keys: vec![part],
        aggregates: vec![AggregateExpression {
            function: AggregateFunction::CountRows,
            argument: None,
            distinct: false,
            filter: None,
            data_type: DataType::Int64,
        }],
    };
    let plan = connector
        .plan_query(&relation, &options(2))
        .await
        .expect("planned");
    assert_eq!((plan.splits.len(), plan.access.as_str()), (1, "query"));
    assert_eq!(plan.schema.field(1).name(), "c1");
    assert!(
        plan.estimate.rows_returned.is_some_and(|rows| rows < 100.0),
        "{:?}",
        plan.estimate
    );
    let batches = read_plan(&connector, &plan, &context())
        .await
        .expect("rows");
    let sum: i64 = column_text(&batches, 1)
        .into_iter()
        .flatten()
        .map(|count| count.parse::<i64>().expect("count"))
        .sum();
    assert_eq!((row_count(&batches), sum), (7, 60000));
    // The same leaf without the aggregate is cut into parts.
    let plan = connector
        .plan_query(&leaf(&metadata), &options(2))
        .await
        .expect("planned");
    assert!(plan.splits.len() >= 2);
    assert_eq!(
        row_count(
            &read_plan(&connector, &plan, &context())
                .await
                .expect("rows")
        ),
        60000
    );
}

/// Values that do not fit are those of a column, or of what the query computes.
#[tokio::test]
async fn values_are_named_by_their_columns() {
    let database = Database::create("names").await;
    database
        .run(
            "CREATE TABLE t (d date, n numeric(38,0)); INSERT INTO t VALUES \
             ('infinity', 90000000000000000000000000000000000000), (NULL, 90000000000000000000000000000000000000)",
        )
        .await;
    let connector = database.connector();
    let metadata = table(&connector, "t").await;
    let read = async |relation: Relation| {
        let plan = connector
            .plan_query(&relation, &options(1))
            .await
            .expect("planned");
        read_plan(&connector, &plan, &context())
            .await
            .expect_err("no such value")
            .to_string()
    };
    let error = read(leaf(&metadata)).await;
    assert!(error.starts_with("value of public.t.d: "), "{error}");
    let total = |function, name, data_type| Relation::Aggregate {
        input: Box::new(leaf(&metadata)),
        keys: Vec::new(),
        aggregates: vec![AggregateExpression {
            function,
            argument: Some(column(&metadata, name)),
            distinct: false,
            filter: None,
            data_type,
        }],
    };
    let error = read(total(AggregateFunction::Maximum, "d", DataType::Date32)).await;
    assert!(
        error.starts_with("value of public.t.(an expression of the query): "),
        "{error}"
    );
    let sum = DataType::Decimal128(38, 0);
    let error = read(total(AggregateFunction::Sum, "n", sum)).await;
    assert!(
        error.contains("an expression of the query") && !error.contains("numeric_scale"),
        "{error}"
    );
}

#[tokio::test]
async fn views_and_foreign_tables_are_read_whole() {
    let database = Database::create("views").await;
    let address = support::server_url();
    let port = address
        .rsplit(':')
        .next()
        .and_then(|rest| rest.split('/').next())
        .expect("a port")
        .to_owned();
    database
        .run(&format!(
            "CREATE TABLE t (id int, name text); INSERT INTO t SELECT i, 'n' || i FROM generate_series(1, 50) AS i; \
             CREATE VIEW v AS SELECT id * 2 AS twice, upper(name) AS name FROM t WHERE id > 10; \
             CREATE MATERIALIZED VIEW m AS SELECT * FROM v; \
             CREATE EXTENSION postgres_fdw; \
             CREATE SERVER self FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '{port}', dbname '{}'); \
             CREATE USER MAPPING FOR CURRENT_USER SERVER self OPTIONS (user 'owlet', password 'owlet'); \
             CREATE FOREIGN TABLE f (id int, name text) SERVER self OPTIONS (table_name 't')",
            database.name
        ))
        .await;
    let connector = database.connector();
    for (name, rows) in [("v", 40), ("m", 40), ("f", 50)] {
        let batches = support::read_table(&connector, name).await.expect(name);
        assert_eq!(row_count(&batches), rows, "{name}");
    }
}

#[tokio::test]
async fn budgets_stop_a_scan() {
    let database = Database::create("budgets").await;
    big_table(&database).await;
    let connector = database.connector();
    let metadata = table(&connector, "big").await;
    let plan = connector
        .plan_scan(&request(&metadata))
        .await
        .expect("planned");
    let mut limited = context();
    limited.work = support::recorder(Budget {
        max_rows: Some(5000),
        ..Budget::default()
    });
    let error = read_plan(&connector, &plan, &limited)
        .await
        .expect_err("refused");
    assert!(
        matches!(error, ConnectorError::BudgetExceeded { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_plan_can_be_opened_by_another_connector() {
    let database = Database::create("elsewhere").await;
    big_table(&database).await;
    let planner = database.connector();
    let metadata = table(&planner, "big").await;
    let mut wanted = request(&metadata);
    wanted.target_partitions = 2;
    let plan = planner.plan_scan(&wanted).await.expect("planned");
    let text = serde_json::to_string(&plan).expect("serialises");
    assert!(!text.contains("owlet:owlet"), "no credentials in a plan");
    let plan = serde_json::from_str(&text).expect("deserialises");
    let reader = database.connector();
    assert_eq!(
        row_count(&read_plan(&reader, &plan, &context()).await.expect("rows")),
        60000
    );
}

#[tokio::test]
async fn a_catalog_with_one_connection_a_scan_reads_tables_in_one_piece() {
    let database = Database::create("one_piece").await;
    big_table(&database).await;
    let mut sparing = database.options();
    sparing.max_connections_per_scan = Some(1);
    let connector = Arc::new(PostgresConnector::new("pg", sparing).expect("options"));
    let metadata = table(&connector, "big").await;
    let mut wanted = request(&metadata);
    wanted.target_partitions = 2;
    let plan = connector.plan_scan(&wanted).await.expect("planned");
    assert_eq!((plan.splits.len(), plan.access.as_str()), (1, "scan"));
    assert!(
        plan.notes.contains(&"not split: one reader".to_owned()),
        "{:?}",
        plan.notes
    );
    let rows = read_plan(&connector, &plan, &context())
        .await
        .expect("rows");
    assert_eq!(row_count(&rows), 60000);
}

#[tokio::test]
async fn more_scans_than_connections_take_turns() {
    let database = Database::create("turns").await;
    big_table(&database).await;
    let mut few = database.options();
    few.max_connections = 2;
    let connector = Arc::new(PostgresConnector::new("pg", few).expect("options"));
    let metadata = table(&connector, "big").await;
    let plan = Arc::new(
        connector
            .plan_scan(&request(&metadata))
            .await
            .expect("planned"),
    );
    let scans: Vec<_> = (0..6)
        .map(|_| {
            let (connector, plan) = (Arc::clone(&connector), Arc::clone(&plan));
            tokio::spawn(async move {
                row_count(
                    &read_plan(&connector, &plan, &context())
                        .await
                        .expect("rows"),
                )
            })
        })
        .collect();
    for scan in scans {
        assert_eq!(scan.await.expect("task"), 60000);
    }
    let count = database
        .text(&format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND application_name = 'owlet'",
            database.name
        ))
        .await;
    assert!(count.is_some_and(|count| count.parse::<u32>().is_ok_and(|count| count <= 2)));
}
