//! The connector against real database files.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int64Type, TimeUnit,
    TimestampMicrosecondType,
};
use futures::StreamExt;
use owlet_connector::{
    Budget, ColumnReference, CompareOperator, Connector, ConnectorError, Exactness, Expression,
    Literal, LiteralValue, NullsOrder, QueryWork, Result, RowCount, ScanContext, ScanDescription,
    ScanPlan, ScanRequest, SortDirection, SortKey, TableKind, TableMetadata,
};
use owlet_remote_sql::{
    AggregateExpression, AggregateFunction, QueryOptions, Relation, RemoteTable, SqlConnector,
};
use owlet_sqlite::{SqliteConnector, SqliteOptions};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

struct Source {
    _folder: TempDir,
    connector: SqliteConnector,
}

fn source(statements: &str) -> Source {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("shop.db");
    Connection::open(&path)
        .expect("opens")
        .execute_batch(statements)
        .expect("statements run");
    Source {
        connector: connector(&path),
        _folder: folder,
    }
}

fn connector(path: &Path) -> SqliteConnector {
    SqliteConnector::new("shop", SqliteOptions::new(path)).expect("valid options")
}

fn request(table: &TableMetadata, projection: &[usize]) -> ScanRequest {
    ScanRequest {
        schema: table.schema.clone(),
        table: table.name.clone(),
        projection: projection.to_vec(),
        fields: Default::default(),
        filters: Vec::new(),
        limit: None,
        ordering: Vec::new(),
        lookup_columns: Vec::new(),
        lookup_rows: None,
        target_partitions: 2,
    }
}

fn context(cancellation: &CancellationToken) -> ScanContext {
    ScanContext {
        batch_rows: 1_000,
        dynamic_filters: Vec::new(),
        work: QueryWork::new(Budget::default()).recorder(ScanDescription::default()),
        cancellation: cancellation.clone(),
    }
}

async fn table(source: &Source, name: &str) -> Arc<TableMetadata> {
    source
        .connector
        .table("main", name)
        .await
        .expect("reads metadata")
        .expect("exists")
}

async fn read(source: &Source, plan: &ScanPlan, context: ScanContext) -> Result<Vec<RecordBatch>> {
    let mut stream = source.connector.open(plan, 0, context);
    let mut batches = Vec::new();
    while let Some(batch) = stream.next().await {
        batches.push(batch?);
    }
    Ok(batches)
}

async fn scan(source: &Source, request: &ScanRequest) -> Result<Vec<RecordBatch>> {
    let plan = source.connector.plan_scan(request).await?;
    read(source, &plan, context(&CancellationToken::new())).await
}

async fn query(source: &Source, relation: &Relation) -> Result<Vec<RecordBatch>> {
    let options = QueryOptions {
        target_partitions: 1,
        lookup_columns: Vec::new(),
        lookup_rows: None,
    };
    let plan = source.connector.plan_query(relation, &options).await?;
    read(source, &plan, context(&CancellationToken::new())).await
}

fn column(table: &TableMetadata, index: usize) -> Expression {
    let column = &table.columns[index];
    Expression::Column(ColumnReference {
        index,
        name: column.name.clone(),
        data_type: column.data_type.clone(),
        nullable: column.nullable,
    })
}

fn compare(left: Expression, operator: CompareOperator, right: Expression) -> Expression {
    Expression::Compare {
        operator,
        left: Box::new(left),
        right: Box::new(right),
    }
}

fn leaf(table: &TableMetadata) -> Relation {
    Relation::Table(RemoteTable {
        schema: table.schema.clone(),
        name: table.name.clone(),
        columns: table.columns.clone(),
        restriction: None,
    })
}

fn rows(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

fn integers(batches: &[RecordBatch], column: usize) -> Vec<i64> {
    batches
        .iter()
        .flat_map(|batch| {
            batch
                .column(column)
                .as_primitive::<Int64Type>()
                .values()
                .to_vec()
        })
        .collect()
}

const SHOP: &str = "
    CREATE TABLE customers (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT COLLATE NOCASE, balance DECIMAL(10,2),
        score REAL, active BOOLEAN, born DATE, created DATETIME, photo BLOB, note);
    INSERT INTO customers VALUES
        (1, 'Ada', 'ada@x.org', 12.34, 0.5, 1, '1815-12-10', '2024-01-01 10:00:00', x'00ff', 'text'),
        (2, 'Bob', 'BOB@x.org', 7, -0.0, 0, '2000-02-29', '2024-01-02T11:30', NULL, 42),
        (3, 'Çelik', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 1.5);
    CREATE TABLE orders (
        id INTEGER PRIMARY KEY, customer_id INT NOT NULL, total BIGINT, status VARCHAR(10));
    CREATE INDEX orders_by_customer ON orders (customer_id);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
        INSERT INTO orders SELECT i, i % 3 + 1, i * 10, CASE i % 2 WHEN 0 THEN 'open' ELSE 'Done' END FROM n;
    CREATE VIEW totals AS SELECT customer_id, sum(total) AS total, count(*) AS orders FROM orders GROUP BY 1;
    ANALYZE;
";

#[tokio::test]
async fn metadata_tells_types_keys_and_counts() {
    let source = source(SHOP);
    let names: Vec<_> = source
        .connector
        .tables("main")
        .await
        .expect("lists")
        .into_iter()
        .collect();
    let names: Vec<(&str, TableKind)> = names
        .iter()
        .map(|table| (table.name.as_str(), table.kind))
        .collect();
    assert_eq!(
        names,
        [
            ("customers", TableKind::Table),
            ("orders", TableKind::Table),
            ("totals", TableKind::View)
        ]
    );
    let customers = table(&source, "CUSTOMERS").await;
    let types: Vec<DataType> = customers
        .columns
        .iter()
        .map(|column| column.data_type.clone())
        .collect();
    assert_eq!(
        types,
        [
            DataType::Int64,
            DataType::Utf8,
            DataType::Utf8,
            DataType::Decimal128(10, 2),
            DataType::Float64,
            DataType::Boolean,
            DataType::Date32,
            DataType::Timestamp(TimeUnit::Microsecond, None),
            DataType::Binary,
            DataType::Utf8,
        ]
    );
    assert_eq!(customers.primary_key, [0]);
    assert!(
        !customers.columns[0].nullable
            && !customers.columns[1].nullable
            && customers.columns[2].nullable
    );
    assert!(
        customers.columns[1]
            .collation
            .as_ref()
            .is_some_and(|collation| collation.binary_equality)
    );
    assert!(
        customers.columns[2]
            .collation
            .as_ref()
            .is_some_and(|collation| !collation.binary_equality)
    );
    assert_eq!(customers.columns[0].native_type, "INTEGER PRIMARY KEY");

    let orders = table(&source, "orders").await;
    assert_eq!(orders.rows, RowCount::Estimated(5_000));
    assert_eq!(orders.columns[1].statistics.distinct, Some(3));
    assert!(
        source
            .connector
            .table("main", "nothing")
            .await
            .expect("reads")
            .is_none()
    );
    assert!(
        source
            .connector
            .table("other", "orders")
            .await
            .expect("reads")
            .is_none()
    );
    assert_eq!(
        source
            .connector
            .describe_schema("main")
            .await
            .expect("describes")
            .len(),
        3
    );
}

#[tokio::test]
async fn a_scan_reads_every_type() {
    let source = source(SHOP);
    let customers = table(&source, "customers").await;
    let all: Vec<usize> = (0..customers.columns.len()).collect();
    let batches = scan(&source, &request(&customers, &all))
        .await
        .expect("reads");
    let batch = &batches[0];
    assert_eq!(batch.num_rows(), 3);
    assert_eq!(
        batch.column(0).as_primitive::<Int64Type>().values(),
        &[1, 2, 3]
    );
    assert_eq!(
        batch.column(3).as_primitive::<Decimal128Type>().value(0),
        1_234
    );
    assert_eq!(
        batch.column(3).as_primitive::<Decimal128Type>().value(1),
        700
    );
    // SQLite stores no negative zero.
    assert_eq!(
        batch
            .column(4)
            .as_primitive::<Float64Type>()
            .value(1)
            .to_bits(),
        0
    );
    assert!(batch.column(5).as_boolean().value(0));
    assert_eq!(
        batch.column(6).as_primitive::<Date32Type>().value(1),
        11_016
    );
    let created = batch.column(7).as_primitive::<TimestampMicrosecondType>();
    assert_eq!(
        created.value(1) - created.value(0),
        (25 * 60 + 30) * 60 * 1_000_000
    );
    assert_eq!(batch.column(8).as_binary::<i32>().value(0), [0, 255]);
    let notes = batch.column(9).as_string::<i32>();
    assert_eq!(
        (notes.value(0), notes.value(1), notes.value(2)),
        ("text", "42", "1.5")
    );
    assert!(batch.column(7).is_null(2));
}

#[tokio::test]
async fn rows_without_columns_are_counted() {
    let source = source(SHOP);
    let orders = table(&source, "orders").await;
    let batches = scan(&source, &request(&orders, &[])).await.expect("reads");
    assert_eq!(rows(&batches), 5_000);
    assert_eq!(batches.len(), 5);
}

#[tokio::test]
async fn filters_order_and_limit_are_pushed() {
    let source = source(SHOP);
    let orders = table(&source, "orders").await;
    let mut wanted = request(&orders, &[0]);
    wanted.filters = vec![
        compare(
            column(&orders, 1),
            CompareOperator::Equal,
            Expression::Literal(Literal::int64(2)),
        ),
        Expression::Like {
            expression: Box::new(column(&orders, 3)),
            pattern: Box::new(Expression::Literal(Literal::text("o%"))),
            escape: None,
            negated: false,
            case_insensitive: false,
        },
    ];
    wanted.ordering = vec![SortKey {
        expression: column(&orders, 2),
        direction: SortDirection::Descending,
        nulls: NullsOrder::Last,
    }];
    wanted.limit = Some(3);
    let plan = source.connector.plan_scan(&wanted).await.expect("plans");
    assert_eq!(plan.filters, [Exactness::Exact, Exactness::Exact]);
    assert!(plan.limit_applied && plan.ordering_applied);
    assert_eq!(plan.access, "index search");
    let batches = read(&source, &plan, context(&CancellationToken::new()))
        .await
        .expect("reads");
    assert_eq!(integers(&batches, 0), [4_996, 4_990, 4_984]);

    // `lower` stays local, and with it the limit.
    wanted.filters.push(compare(
        Expression::Function {
            name: "lower".into(),
            arguments: vec![column(&orders, 3)],
            data_type: DataType::Utf8,
        },
        CompareOperator::Equal,
        Expression::Literal(Literal::text("öffen")),
    ));
    let plan = source.connector.plan_scan(&wanted).await.expect("plans");
    assert!(
        matches!(&plan.filters[2], Exactness::Unsupported(reason) if reason.contains("orders.status") || reason.contains("status"))
    );
    assert!(!plan.limit_applied);
}

#[tokio::test]
async fn dynamic_filters_narrow_the_statement() {
    let source = source(SHOP);
    let orders = table(&source, "orders").await;
    let plan = source
        .connector
        .plan_scan(&request(&orders, &[0, 3]))
        .await
        .expect("plans");
    let token = CancellationToken::new();
    let mut context = context(&token);
    context.dynamic_filters = vec![Expression::InList {
        expression: Box::new(column(&orders, 0)),
        list: [7, 8, 1_000_000]
            .map(|id| Expression::Literal(Literal::int64(id)))
            .to_vec(),
        negated: false,
    }];
    let work = Arc::clone(&context.work);
    let batches = read(&source, &plan, context).await.expect("reads");
    assert_eq!(integers(&batches, 0), [7, 8]);
    let snapshot = work.snapshot();
    assert!(
        snapshot.remote.contains("IN (7, 8, 1000000)"),
        "{}",
        snapshot.remote
    );
    assert_eq!((snapshot.requests, snapshot.rows_returned), (1, 2));
}

#[tokio::test]
async fn an_aggregate_runs_at_the_source() {
    let source = source(SHOP);
    let orders = table(&source, "orders").await;
    let relation = Relation::Aggregate {
        input: Box::new(leaf(&orders)),
        keys: vec![column(&orders, 1)],
        aggregates: vec![AggregateExpression {
            function: AggregateFunction::Sum,
            argument: Some(column(&orders, 2)),
            distinct: false,
            filter: None,
            data_type: DataType::Int64,
        }],
    };
    let batches = query(&source, &relation).await.expect("runs");
    assert_eq!(
        integers(&batches, 1).iter().sum::<i64>(),
        10 * 5_000 * 5_001 / 2
    );
    let totals = table(&source, "totals").await;
    let batches = scan(&source, &request(&totals, &[0, 1, 2]))
        .await
        .expect("reads a view");
    assert_eq!(rows(&batches), 3);
}

#[tokio::test]
async fn a_value_that_does_not_fit_is_named() {
    let source = source(
        "CREATE TABLE loose (id INTEGER PRIMARY KEY, amount INTEGER, day DATE);
         INSERT INTO loose VALUES (1, 5, '2024-01-01'), (2, 'many', '2024-1-1');",
    );
    let loose = table(&source, "loose").await;
    let error = scan(&source, &request(&loose, &[0, 1]))
        .await
        .expect_err("a text is no integer");
    assert_eq!(
        error.to_string(),
        "value of loose.amount at key rowid 2: 'many' is a text, where an integer (Int64) is expected"
    );
    let error = scan(&source, &request(&loose, &[2]))
        .await
        .expect_err("not an ISO date");
    assert!(
        error
            .to_string()
            .contains("loose.day at key rowid 2: '2024-1-1' is a text"),
        "{error}"
    );

    // Computed on at the source, it is an error just the same.
    let sum = Relation::Aggregate {
        input: Box::new(leaf(&loose)),
        keys: Vec::new(),
        aggregates: vec![AggregateExpression {
            function: AggregateFunction::Sum,
            argument: Some(column(&loose, 1)),
            distinct: false,
            filter: None,
            data_type: DataType::Int64,
        }],
    };
    let error = query(&source, &sum).await.expect_err("a text is not added");
    assert!(
        matches!(&error, ConnectorError::Value { table, column, .. } if table == "loose" && column == "amount"),
        "{error}"
    );
}

#[tokio::test]
async fn a_text_that_is_not_utf8_is_named_and_never_the_end() {
    let source = source(
        "CREATE TABLE bad (id INTEGER PRIMARY KEY, s TEXT, u, n INTEGER, d DATE, p DECIMAL(10,2));
         WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 5000)
         INSERT INTO bad SELECT x, 'v' || x, 'v' || x, x, '2024-01-01', x FROM c;
         UPDATE bad SET s = CAST(x'76c3' AS TEXT), u = CAST(x'c3' AS TEXT), n = CAST(x'c3' AS TEXT),
             d = CAST(x'c3' AS TEXT), p = CAST(x'c3' AS TEXT) WHERE id = 4500;",
    );
    let bad = table(&source, "bad").await;
    let error = scan(&source, &request(&bad, &[0, 1]))
        .await
        .expect_err("the text is not UTF-8");
    assert_eq!(
        error.to_string(),
        "value of bad.s at key rowid 4500: 'v\u{fffd}' is a text that is not UTF-8, where a UTF-8 text is expected"
    );
    for (position, name) in [(2, "u"), (3, "n"), (4, "d"), (5, "p")] {
        let error = scan(&source, &request(&bad, &[position]))
            .await
            .expect_err(name)
            .to_string();
        let place = format!(
            "value of bad.{name} at key rowid 4500: '\u{fffd}' is a text that is not UTF-8"
        );
        assert!(error.starts_with(&place), "{error}");
    }
    // Computed on at the source, it is an error just the same.
    let largest = Relation::Aggregate {
        input: Box::new(Relation::Filter {
            input: Box::new(leaf(&bad)),
            predicate: compare(
                column(&bad, 0),
                CompareOperator::Equal,
                Expression::Literal(Literal::int64(4_500)),
            ),
        }),
        keys: Vec::new(),
        aggregates: vec![AggregateExpression {
            function: AggregateFunction::Maximum,
            argument: Some(column(&bad, 1)),
            distinct: false,
            filter: None,
            data_type: DataType::Utf8,
        }],
    };
    let error = query(&source, &largest)
        .await
        .expect_err("the text is not UTF-8");
    assert_eq!(
        error.to_string(),
        "catalog shop: the source failed: a computed value does not fit: \
         'v\u{fffd}' is a text that is not UTF-8, where a UTF-8 text is expected"
    );
    // A scan that does not read the value is whole.
    let batches = scan(&source, &request(&bad, &[0])).await.expect("numbers");
    assert_eq!(rows(&batches), 5_000);
}

#[tokio::test]
async fn a_broken_view_does_not_hide_the_other_tables() {
    let source = source(
        "CREATE TABLE fine (id INTEGER PRIMARY KEY, name TEXT);
         CREATE VIEW broken AS SELECT * FROM nosuch;
         CREATE VIEW misspelt AS SELECT nosuch FROM fine;
         CREATE VIEW nested AS SELECT * FROM broken;",
    );
    let described = source
        .connector
        .describe_schema("main")
        .await
        .expect("the other tables");
    let columns: Vec<(&str, usize)> = described
        .iter()
        .map(|table| (table.name.as_str(), table.columns.len()))
        .collect();
    assert_eq!(
        columns,
        [("broken", 0), ("fine", 2), ("misspelt", 0), ("nested", 0)]
    );
    for name in ["broken", "misspelt", "nested"] {
        let error = source
            .connector
            .table("main", name)
            .await
            .expect_err("the view cannot be described")
            .to_string();
        assert!(
            error.contains(&format!(
                "the definition of view {name} does not work: no such"
            )),
            "{error}"
        );
        let comment = described
            .iter()
            .find(|table| table.name == name)
            .and_then(|table| table.comment.clone());
        assert_eq!(comment, Some(error));
    }
    let error = source
        .connector
        .table("main", "broken")
        .await
        .expect_err("the view cannot be described");
    assert_eq!(
        error.to_string(),
        "catalog shop: the source failed: the definition of view broken does not work: \
         no such table: main.nosuch; correct the view, or drop it"
    );
}

#[tokio::test]
async fn dropping_and_cancelling_interrupt_the_statement() {
    let source = source(
        "CREATE TABLE n (i INTEGER PRIMARY KEY);
         WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 3000) INSERT INTO n SELECT i FROM s;
         CREATE VIEW slow AS SELECT CAST(count(*) AS INTEGER) AS c FROM n AS a, n AS b, n AS c WHERE a.i + b.i + c.i = -1;",
    );
    let slow = table(&source, "slow").await;
    let plan = source
        .connector
        .plan_scan(&request(&slow, &[0]))
        .await
        .expect("plans");
    let token = CancellationToken::new();
    let started = Instant::now();
    let mut stream = source.connector.open(&plan, 0, context(&token));
    let canceller = token.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        canceller.cancel();
    });
    let first = stream.next().await.expect("an answer");
    assert!(matches!(first, Err(ConnectorError::Cancelled)));
    assert!(stream.next().await.is_none());
    drop(stream);

    let mut stream = source
        .connector
        .open(&plan, 0, context(&CancellationToken::new()));
    let none = tokio::time::timeout(Duration::from_millis(50), stream.next()).await;
    assert!(none.is_err(), "the statement runs for minutes");
    drop(stream);
    assert!(started.elapsed() < Duration::from_secs(5));
    // The interrupted connections are usable again.
    let n = table(&source, "n").await;
    assert_eq!(
        rows(&scan(&source, &request(&n, &[0])).await.expect("reads")),
        3_000
    );
}

#[tokio::test]
async fn columns_without_a_type_have_that_of_their_first_values() {
    let source = source(
        "CREATE TABLE sales (region TEXT, units INT, price REAL, note, code BLOB);
         INSERT INTO sales VALUES ('n', 2, 1.5, 'x', x'01'), ('n', 3, NULL, 7, x'02'), ('s', NULL, 2.0, NULL, NULL);
         CREATE VIEW report AS SELECT region, count(*) AS n, sum(units) AS units, avg(price) AS price,
             sum(CASE region WHEN 'n' THEN units ELSE price END) AS mixed, upper(region) AS name, max(note) AS note,
             max(code) AS code, NULL AS unset, CAST(count(*) AS INTEGER) AS told FROM sales GROUP BY region;
         CREATE TABLE copied AS SELECT * FROM report;
         CREATE VIEW either AS SELECT units AS x FROM sales UNION ALL SELECT region FROM sales;",
    );
    for name in ["report", "copied"] {
        let report = table(&source, name).await;
        let types: Vec<(&str, &str)> = report
            .columns
            .iter()
            .map(|column| (column.name.as_str(), column.native_type.as_str()))
            .collect();
        assert_eq!(
            types,
            [
                ("region", "TEXT"),
                ("n", "INTEGER INFERRED"),
                ("units", "INTEGER INFERRED"),
                ("price", "REAL INFERRED"),
                ("mixed", "REAL INFERRED"),
                ("name", "ANY"),
                ("note", "ANY"),
                ("code", "BLOB INFERRED"),
                // Without a value there is nothing to go by: only texts fit.
                ("unset", "TEXT INFERRED"),
                ("told", "INT"),
            ]
        );
        let all: Vec<usize> = (0..types.len()).collect();
        let batches = scan(&source, &request(&report, &all)).await.expect("fits");
        assert_eq!(rows(&batches), 2);
        assert_eq!(integers(&batches, 1), [2, 1]);
    }
    // SQLite calls mixtures BLOB.
    let either = table(&source, "either").await;
    assert_eq!(either.columns[0].native_type, "ANY");
}

#[tokio::test]
async fn a_later_value_of_another_type_is_an_error() {
    let source = source(
        "CREATE TABLE events (id INTEGER PRIMARY KEY, amount);
         WITH RECURSIVE s(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 12000)
             INSERT INTO events SELECT i, CASE WHEN i = 12000 THEN 'many' ELSE i END FROM s;
         CREATE VIEW doubled AS SELECT id, amount, amount || '' AS text FROM events;
         CREATE VIEW late AS SELECT CASE WHEN id > 11000 THEN id END AS late FROM events;",
    );
    for name in ["events", "doubled"] {
        let events = table(&source, name).await;
        let read = scan(&source, &request(&events, &[1])).await;
        let greatest = Relation::Aggregate {
            input: Box::new(leaf(&events)),
            keys: Vec::new(),
            aggregates: vec![AggregateExpression {
                function: AggregateFunction::Maximum,
                argument: Some(column(&events, 1)),
                distinct: false,
                filter: None,
                data_type: DataType::Int64,
            }],
        };
        let pushed = query(&source, &greatest).await;
        for outcome in [read, pushed] {
            let error = outcome.expect_err("a text is no integer").to_string();
            assert!(
                error.contains(&format!("{name}.amount")) && error.contains("'many' is a text"),
                "{error}"
            );
            assert!(error.contains("CAST"), "{error}");
        }
    }
    // Numbers in a column whose first rows show nothing are not taken for texts.
    let late = table(&source, "late").await;
    let error = scan(&source, &request(&late, &[0]))
        .await
        .expect_err("a number without a type")
        .to_string();
    assert!(error.contains("11001 is an integer"), "{error}");
}

#[tokio::test]
async fn a_view_that_is_costly_to_look_at_needs_a_type() {
    let source = source(SHOP);
    let path = source._folder.path().join("shop.db");
    let impatient = SqliteConnector::new(
        "shop",
        SqliteOptions {
            inference_steps: 1_000,
            ..SqliteOptions::new(path)
        },
    )
    .expect("valid options");
    let totals = impatient
        .table("main", "totals")
        .await
        .expect("reads metadata")
        .expect("exists");
    assert_eq!(totals.columns[2].native_type, "TEXT INFERRED");
    let plan = impatient
        .plan_scan(&request(&totals, &[2]))
        .await
        .expect("plans");
    let mut stream = impatient.open(&plan, 0, context(&CancellationToken::new()));
    let error = stream
        .next()
        .await
        .expect("an answer")
        .expect_err("a number without a type")
        .to_string();
    assert!(
        error.contains("totals.orders") && error.contains("is an integer"),
        "{error}"
    );
    // The limit is lifted for the statement itself, and other columns are not concerned.
    let plan = impatient
        .plan_scan(&request(&totals, &[0]))
        .await
        .expect("plans");
    let mut stream = impatient.open(&plan, 0, context(&CancellationToken::new()));
    let batch = stream.next().await.expect("rows").expect("reads");
    assert_eq!(batch.num_rows(), 3);
}

/// SQLite puts the constant of `column = constant` in the column's place in all other conditions, which the guard must
/// survive. Indexes stay of use, partial ones too.
#[tokio::test]
async fn equality_with_a_constant_is_guarded_too() {
    let source = source(
        "CREATE TABLE loose (id INTEGER PRIMARY KEY, n INT, r REAL, d DATE, s TEXT, b BLOB);
         INSERT INTO loose VALUES (1, 5, 1.5, '2024-01-01', 'x', x'01'), (2, 'many', 'half', 'soon', x'02', 'text');
         CREATE TABLE indexed (id INTEGER PRIMARY KEY, n INT, state TEXT);
         CREATE INDEX opened ON indexed (n) WHERE state = 'open';
         CREATE TABLE keyed (n INT, other INT);
         CREATE INDEX by_n ON keyed (n);",
    );
    let loose = table(&source, "loose").await;
    for (position, value, data_type) in [
        (1, LiteralValue::Integer(5), DataType::Int64),
        (2, LiteralValue::Float(1.5), DataType::Float64),
        (3, LiteralValue::Integer(19_723), DataType::Date32),
        (4, LiteralValue::Text("x".to_owned()), DataType::Utf8),
        (5, LiteralValue::Binary(vec![1]), DataType::Binary),
    ] {
        let constant = Expression::Literal(Literal { value, data_type });
        let equal = compare(
            column(&loose, position),
            CompareOperator::Equal,
            constant.clone(),
        );
        let swapped = compare(
            constant.clone(),
            CompareOperator::Equal,
            column(&loose, position),
        );
        let listed = Expression::InList {
            expression: Box::new(column(&loose, position)),
            list: vec![constant],
            negated: false,
        };
        for filter in [equal, swapped, listed] {
            let mut wanted = request(&loose, &[0]);
            wanted.filters = vec![filter];
            let error = scan(&source, &wanted).await.expect_err("does not fit");
            assert!(matches!(error, ConnectorError::Value { .. }), "{error}");
        }
    }
    let keyed = table(&source, "keyed").await;
    let mut wanted = request(&keyed, &[1]);
    wanted.filters = vec![compare(
        column(&keyed, 0),
        CompareOperator::Equal,
        Expression::Literal(Literal::int64(5)),
    )];
    let plan = source.connector.plan_scan(&wanted).await.expect("plans");
    assert_eq!(plan.access, "index search", "{}", plan.remote);
    let indexed = table(&source, "indexed").await;
    let mut wanted = request(&indexed, &[0]);
    wanted.filters = vec![
        compare(
            column(&indexed, 2),
            CompareOperator::Equal,
            Expression::Literal(Literal::text("open")),
        ),
        compare(
            column(&indexed, 1),
            CompareOperator::Greater,
            Expression::Literal(Literal::int64(5)),
        ),
    ];
    let plan = source.connector.plan_scan(&wanted).await.expect("plans");
    assert_eq!(plan.access, "index search", "{}", plan.remote);
}

#[tokio::test]
async fn files_that_cannot_be_read_say_why() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let missing = connector(&folder.path().join("missing.db"));
    let error = missing.tables("main").await.expect_err("does not exist");
    assert!(
        matches!(&error, ConnectorError::Unreachable { .. }),
        "{error}"
    );
    let health = missing.health().await;
    assert!(!health.healthy && health.problem.contains("does not exist") && !health.fix.is_empty());

    let path = folder.path().join("text.db");
    std::fs::write(&path, "this is not a database, but long enough to have a header of a hundred bytes, or so it seems to be").expect("writes");
    let error = connector(&path)
        .tables("main")
        .await
        .expect_err("not a database");
    assert!(
        error.to_string().contains("is not a SQLite database"),
        "{error}"
    );

    let error = connector(folder.path())
        .tables("main")
        .await
        .expect_err("a folder");
    assert!(error.to_string().contains("is a folder"), "{error}");
    assert!(SqliteConnector::new("shop", SqliteOptions::new("")).is_err());

    let source = source(SHOP);
    let health = source.connector.health().await;
    assert!(health.healthy && health.version.starts_with("3.") && health.rights == "read-only");
}

#[tokio::test]
async fn a_locked_database_times_out_with_advice() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("locked.db");
    let writer = Connection::open(&path).expect("opens");
    writer
        .execute_batch("CREATE TABLE t (i INTEGER); BEGIN EXCLUSIVE")
        .expect("locks");
    let options = SqliteOptions {
        busy_timeout: Duration::from_millis(50),
        ..SqliteOptions::new(&path)
    };
    let reader = SqliteConnector::new("shop", options).expect("valid options");
    let error = reader.tables("main").await.expect_err("is locked");
    assert!(matches!(&error, ConnectorError::Timeout { .. }), "{error}");
    writer.execute_batch("COMMIT").expect("commits");
    assert_eq!(reader.tables("main").await.expect("reads").len(), 1);
}

#[tokio::test]
async fn the_source_cannot_be_written() {
    let source = source(SHOP);
    let orders = table(&source, "orders").await;
    let mut evil = orders.as_ref().clone();
    evil.name = "orders\" ; DELETE FROM orders; --".to_owned();
    let error = query(&source, &leaf(&evil))
        .await
        .expect_err("no such table");
    assert!(
        matches!(&error, ConnectorError::TableNotFound { .. }),
        "{error}"
    );
    assert_eq!(
        rows(&scan(&source, &request(&orders, &[0])).await.expect("reads")),
        5_000
    );
}
