//! Reading in parts: ranges of every kind of key, one snapshot over all of them, dynamic filters, cancellation.

mod support;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_schema::DataType;
use futures::{StreamExt, TryStreamExt};
use mysql_async::prelude::Queryable;
use owlet_connector::{
    ColumnReference, Connector, ConnectorError, Exactness, Expression, Literal, LiteralValue,
};
use owlet_mysql::{MysqlConnector, SnapshotPolicy};
use support::server::Server;
use support::{Database, context, read_plan, recorder, request, rows, table, texts};

const ROWS: usize = 24_000;

/// Creates a table of more than two splits' size with this key, filled from the numbers 1 to [`ROWS`].
async fn fill(database: &Database, name: &str, columns: &str, key: &str, values: &str) {
    database
        .run(&format!(
            "CREATE TABLE {name} ({columns}, filler VARCHAR(1000) NOT NULL, PRIMARY KEY ({key})) ENGINE=InnoDB"
        ))
        .await;
    database
        .run(&format!(
            "INSERT INTO {name} SELECT {values}, REPEAT('x', 900) FROM seq_1_to_{ROWS}"
        ))
        .await;
    database.run(&format!("ANALYZE TABLE {name}")).await;
}

/// Reads a table in parts and checks that together they are all rows, each once, in parts of a bearable size.
async fn check(database: &Database, connector: &MysqlConnector, name: &str, largest_share: f64) {
    let metadata = table(connector, database, name).await;
    let mut request = request(&metadata);
    request.projection = metadata.primary_key.clone();
    let plan = connector.plan_scan(&request).await.expect("a plan");
    assert!(
        plan.splits.len() > 1,
        "{name} is not split: {:?}",
        plan.notes
    );
    let work = recorder();
    let streams: Vec<_> = (0..plan.splits.len())
        .map(|split| connector.open(&plan, split, context(Arc::clone(&work))))
        .collect();
    let parts = futures::future::try_join_all(
        streams
            .into_iter()
            .map(|stream| stream.try_collect::<Vec<_>>()),
    )
    .await
    .expect("all parts");
    let mut keys = HashSet::new();
    for part in &parts {
        let columns: Vec<Vec<Option<String>>> = (0..metadata.primary_key.len())
            .map(|column| texts(part, column))
            .collect();
        for row in 0..rows(part) {
            let key: Vec<_> = columns.iter().map(|column| column[row].clone()).collect();
            assert!(keys.insert(key), "{name}: a key came twice");
        }
    }
    assert_eq!(keys.len(), ROWS, "{name}: {:?}", plan.splits);
    let largest = parts.iter().map(|part| rows(part)).max().unwrap_or(0);
    assert!(
        largest as f64 <= ROWS as f64 * largest_share,
        "{name}: a part of {largest} rows: {:?}",
        plan.splits
            .iter()
            .map(|split| &split.description)
            .collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_kind_of_key_is_cut() {
    let database = Database::create("keys").await;
    let connector = database.connector();
    fill(&database, "even", "id INT NOT NULL", "id", "seq").await;
    check(&database, &connector, "even", 0.7).await;
    // Nine tenths of the keys in the last thousandth of the range.
    fill(
        &database,
        "skewed",
        "id BIGINT UNSIGNED NOT NULL",
        "id",
        "IF(seq % 10 = 0, seq * 700000000000000, 18446744073709000000 + seq)",
    )
    .await;
    check(&database, &connector, "skewed", 0.8).await;
    fill(
        &database,
        "bytes",
        "id BINARY(16) NOT NULL",
        "id",
        "UNHEX(MD5(seq))",
    )
    .await;
    check(&database, &connector, "bytes", 0.7).await;
    fill(
        &database,
        "uuids",
        "id UUID NOT NULL",
        "id",
        "CONCAT(LEFT(MD5(seq), 8), '-0000-4000-8000-', SUBSTR(MD5(seq), 9, 12))",
    )
    .await;
    check(&database, &connector, "uuids", 1.0).await;
    fill(
        &database,
        "words",
        "id VARCHAR(40) CHARACTER SET latin1 NOT NULL",
        "id",
        "CONCAT(IF(seq % 2 = 0, 'ORD-', 'inv-'), LPAD(seq, 8, '0'))",
    )
    .await;
    check(&database, &connector, "words", 0.9).await;
    // One tenant has almost everything: the second column is cut within it.
    fill(
        &database,
        "tenants",
        "tenant VARCHAR(20) NOT NULL, number INT NOT NULL",
        "tenant, number",
        "IF(seq % 20 = 0, CONCAT('t', seq), 'acme'), seq",
    )
    .await;
    check(&database, &connector, "tenants", 0.8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn views_and_tables_without_a_key_are_read_whole() {
    let database = Database::create("whole").await;
    let connector = database.connector();
    fill(&database, "t", "id INT NOT NULL", "id", "seq").await;
    database.run("CREATE VIEW v AS SELECT * FROM t").await;
    database
        .run("CREATE TABLE heap (a INT, filler VARCHAR(1000)) AS SELECT id AS a, filler FROM t")
        .await;
    for name in ["v", "heap"] {
        let metadata = table(&connector, &database, name).await;
        let plan = connector
            .plan_scan(&request(&metadata))
            .await
            .expect("a plan");
        assert_eq!(plan.splits.len(), 1, "{name}");
        assert_eq!(
            rows(
                &read_plan(&connector, &plan, Vec::new())
                    .await
                    .expect("read")
            ),
            ROWS
        );
    }
}

/// A writer moves money between two ranges of the key while they are read, and a monitor reads the server's status all
/// the time: the sum never changes in a snapshot.
async fn parts_have_one_sum(primary: &Server, read: &Server) {
    let database = Database::create_at(&primary.url(), "snapshot").await;
    fill(
        &database,
        "accounts",
        "id INT NOT NULL, money BIGINT NOT NULL",
        "id",
        "seq, 100",
    )
    .await;
    let mut writer = database.connect().await;
    let writing = tokio::spawn(async move {
        for round in 0..100_000_u32 {
            let amount = round % 7;
            let statements = format!(
                "UPDATE accounts SET money = money + IF(id = 1, {amount}, -{amount}) WHERE id IN (1, {ROWS})"
            );
            if writer.query_drop(statements).await.is_err() {
                return;
            }
        }
    });
    let reader = Database {
        url: format!("{}/{}", read.url(), database.name),
        name: database.name.clone(),
    };
    read.until(
        &format!(
            "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = '{}' AND data_length > 20000000",
            database.name
        ),
        "1",
    );
    let mut monitor = reader.connect().await;
    let monitoring =
        tokio::spawn(
            async move { while monitor.query_drop("SHOW GLOBAL STATUS").await.is_ok() {} },
        );
    let connector = reader.connector();
    let metadata = table(&connector, &reader, "accounts").await;
    let plan = connector
        .plan_scan(&request(&metadata))
        .await
        .expect("a plan");
    assert!(plan.splits.len() > 1, "{:?}", plan.notes);
    for _ in 0..10 {
        let work = recorder();
        let parts = (0..plan.splits.len()).map(|split| {
            connector
                .open(&plan, split, context(Arc::clone(&work)))
                .try_collect::<Vec<_>>()
        });
        let parts = futures::future::try_join_all(parts).await.expect("read");
        let sum: i64 = parts
            .iter()
            .flat_map(|part| texts(part, 1))
            .map(|money| money.expect("not NULL").parse::<i64>().expect("a number"))
            .sum();
        assert_eq!(sum, ROWS as i64 * 100);
    }
    monitoring.abort();
    writing.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parts_see_one_snapshot() {
    for settings in [&[][..], &["--log-bin=binlog", "--server-id=1"][..]] {
        let server = Server::start(settings);
        parts_have_one_sum(&server, &server).await;
    }
}

/// A replica may have a binary log in which the changes it replicates are not: it says nothing about snapshots.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parts_of_a_replica_see_one_snapshot() {
    let primary = Server::start(&["--log-bin=binlog", "--server-id=1"]);
    let replica = Server::replica_with(&primary, &["--log-bin=own"]);
    parts_have_one_sum(&primary, &replica).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parts_may_have_snapshots_of_their_own() {
    let database = Database::create("loose").await;
    fill(&database, "t", "id INT NOT NULL", "id", "seq").await;
    let mut options = database.options();
    options.snapshot = SnapshotPolicy::PerConnection;
    let connector = MysqlConnector::new("my", options).expect("valid options");
    check(&database, &connector, "t", 0.7).await;
}

fn column(index: usize, name: &str, data_type: DataType) -> Expression {
    Expression::Column(ColumnReference {
        index,
        name: name.to_owned(),
        data_type,
        nullable: false,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn values_a_join_found_narrow_the_statement() {
    let database = Database::create("narrow").await;
    fill(&database, "t", "id INT NOT NULL", "id", "seq").await;
    let connector = database.connector();
    let metadata = table(&connector, &database, "t").await;
    let mut request = request(&metadata);
    request.projection = vec![0];
    request.lookup_columns = vec![0];
    request.lookup_rows = Some(3);
    let plan = connector.plan_scan(&request).await.expect("a plan");
    assert_eq!(plan.splits.len(), 1, "few rows are looked up: {plan:?}");
    let candidates = [7_i128, 11, 1_000_000].map(|value| {
        Expression::Literal(Literal {
            value: LiteralValue::Integer(value),
            data_type: DataType::Int32,
        })
    });
    let filter = Expression::InList {
        expression: Box::new(column(0, "id", DataType::Int32)),
        list: candidates.to_vec(),
        negated: false,
    };
    let batches = read_plan(&connector, &plan, vec![filter])
        .await
        .expect("read");
    assert_eq!(
        texts(&batches, 0),
        [Some("7".to_owned()), Some("11".to_owned())]
    );
}

/// A statement that takes long, by its text in the process list.
async fn running(database: &Database, mark: &str) -> usize {
    let sql = format!(
        "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE '%{mark}%' \
         AND INFO NOT LIKE '%PROCESSLIST%'"
    );
    let count = database.column(&sql).await;
    count[0]
        .as_deref()
        .expect("a number")
        .parse()
        .expect("a number")
}

async fn until_running(
    database: &Database,
    mark: &str,
    wanted: usize,
    limit: Duration,
) -> Duration {
    let started = Instant::now();
    while running(database, mark).await != wanted {
        assert!(
            started.elapsed() < limit,
            "{} statements run instead of {wanted}",
            running(database, mark).await
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    started.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_dropped_or_cancelled_stream_ends_the_statement_within_a_second() {
    let database = Database::create("cancel").await;
    database
        .run("CREATE VIEW slow AS SELECT seq AS slow_mark, SLEEP(0.2) AS nap FROM seq_1_to_1000000")
        .await;
    let connector = database.connector();
    let metadata = table(&connector, &database, "slow").await;
    let plan = connector
        .plan_scan(&request(&metadata))
        .await
        .expect("a plan");

    let mut stream = connector.open(&plan, 0, context(recorder()));
    let reading = tokio::spawn(async move {
        let _ = stream.next().await;
    });
    until_running(&database, "slow_mark", 1, Duration::from_secs(10)).await;
    reading.abort();
    until_running(&database, "slow_mark", 0, Duration::from_secs(1)).await;

    let scan = context(recorder());
    let cancellation = scan.cancellation.clone();
    let mut stream = connector.open(&plan, 0, scan);
    let reading = tokio::spawn(async move { stream.next().await });
    until_running(&database, "slow_mark", 1, Duration::from_secs(10)).await;
    cancellation.cancel();
    let answer = reading.await.expect("no panic");
    assert!(
        matches!(answer, Some(Err(ConnectorError::Cancelled))),
        "{answer:?}"
    );
    until_running(&database, "slow_mark", 0, Duration::from_secs(1)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_time_limit_is_the_server_s() {
    let database = Database::create("limit").await;
    database
        .run("CREATE VIEW slow AS SELECT seq, SLEEP(0.2) AS nap FROM seq_1_to_1000000")
        .await;
    let mut options = database.options();
    options.statement_timeout = Some(Duration::from_millis(500));
    let connector = MysqlConnector::new("my", options).expect("valid options");
    let error = support::read_table(&connector, &database, "slow")
        .await
        .expect_err("too slow");
    assert!(matches!(error, ConnectorError::Timeout { .. }), "{error:?}");
}

/// Whatever the server's and the user's modes are, the session's own hold.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn quoting_modes_of_the_server_change_nothing() {
    for mode in [
        "ANSI_QUOTES,PIPES_AS_CONCAT",
        "NO_BACKSLASH_ESCAPES",
        "ANSI,PAD_CHAR_TO_FULL_LENGTH",
    ] {
        let server = Server::start(&[&format!("--sql-mode={mode}")]);
        let database = Database::create_at(&server.url(), "modes").await;
        database
            .run("CREATE TABLE t (id INT PRIMARY KEY, c CHAR(5), s VARCHAR(20))")
            .await;
        database
            .run("INSERT INTO t VALUES (1, 'a', X'615C62'), (2, 'b', X'2227'), (3, 'c', 'x||y')")
            .await;
        let connector = database.connector();
        let metadata = table(&connector, &database, "t").await;
        for (text, id) in [("a\\b", "1"), ("\"'", "2"), ("x||y", "3")] {
            let mut request = request(&metadata);
            request.filters = vec![Expression::Compare {
                operator: owlet_connector::CompareOperator::Equal,
                left: Box::new(column(2, "s", DataType::Utf8)),
                right: Box::new(Expression::Literal(Literal::text(text))),
            }];
            let plan = connector.plan_scan(&request).await.expect("a plan");
            assert_eq!(plan.filters, [Exactness::Exact]);
            let batches = read_plan(&connector, &plan, Vec::new())
                .await
                .expect("read");
            assert_eq!(texts(&batches, 0), [Some(id.to_owned())], "{mode} {text}");
            assert_eq!(
                texts(&batches, 1)[0].as_ref().map(String::len),
                Some(1),
                "{mode}"
            );
        }
    }
}
