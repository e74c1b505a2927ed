//! All scans of a query in a catalog see one snapshot, and nobody waits for ever for it.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::array::Int64Array;
use arrow::record_batch::RecordBatch;
use futures::{StreamExt, TryStreamExt};
use mysql_async::prelude::Queryable;
use owlet_connector::{
    Budget, Connector, ConnectorError, QueryWork, ScanContext, ScanDescription, ScanPlan,
    WorkReport,
};
use owlet_mysql::MysqlConnector;
use support::{Database, request, rows, table};
use tokio_util::sync::CancellationToken;

/// A query of the engine: its scans are known before the first is read, and its end is told.
struct Query {
    work: Arc<QueryWork>,
    cancellation: CancellationToken,
}

impl Query {
    fn new() -> Self {
        Self {
            work: QueryWork::new(Budget::default()),
            cancellation: CancellationToken::new(),
        }
    }

    fn scan(&self) -> ScanContext {
        ScanContext {
            batch_rows: 1_000,
            dynamic_filters: Vec::new(),
            work: self.work.recorder(ScanDescription {
                catalog: "my".to_owned(),
                ..ScanDescription::default()
            }),
            cancellation: self.cancellation.clone(),
        }
    }

    fn skew(&self) -> Option<f64> {
        WorkReport::skew_between(&self.work.sources())
    }
}

impl Drop for Query {
    fn drop(&mut self) {
        self.cancellation.cancel();
    }
}

fn connector(database: &Database, max_connections: usize) -> MysqlConnector {
    let mut options = database.options();
    options.max_connections = max_connections;
    MysqlConnector::new("my", options).expect("valid options")
}

async fn plan(connector: &MysqlConnector, database: &Database, name: &str) -> ScanPlan {
    let metadata = table(connector, database, name).await;
    connector
        .plan_scan(&request(&metadata))
        .await
        .expect("a plan")
}

/// All splits, one after the other.
async fn read(
    connector: &MysqlConnector,
    plan: &ScanPlan,
    scan: &ScanContext,
) -> Result<Vec<RecordBatch>, ConnectorError> {
    let mut batches = Vec::new();
    for split in 0..plan.splits.len() {
        let stream = connector.open(plan, split, scan.clone());
        batches.extend(stream.try_collect::<Vec<_>>().await?);
    }
    Ok(batches)
}

/// Connections of Owlet that are in a transaction on this database's behalf. (`INNODB_TRX` would show old news to those
/// who ask often.)
async fn open_transactions(database: &Database) -> usize {
    let ours = database
        .column(&format!(
            "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '{}'",
            database.name
        ))
        .await;
    let mut admin = database.connect().await;
    let status: Option<(String, String, String)> = admin
        .query_first("SHOW ENGINE INNODB STATUS")
        .await
        .expect("the status");
    let (_, _, status) = status.expect("a row");
    let is_ours = |transaction: &&str| {
        ours.iter()
            .flatten()
            .any(|id| transaction.contains(&format!("thread id {id},")))
    };
    status
        .split("---TRANSACTION")
        .filter(|transaction| {
            let first_line = transaction.lines().next().unwrap_or_default();
            first_line.contains("ACTIVE")
        })
        .filter(is_ours)
        .count()
}

async fn until_no_transaction(database: &Database) {
    for _ in 0..80 {
        if open_transactions(database).await == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("a snapshot is still held");
}

async fn kill_connections(database: &Database) {
    let sql = format!(
        "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '{}' AND ID <> CONNECTION_ID()",
        database.name
    );
    for id in database.column(&sql).await.into_iter().flatten() {
        let mut admin = database.connect().await;
        // It may have ended by itself.
        let _ = admin.query_drop(format!("KILL {id}")).await;
    }
}

async fn two_rows(database: &Database, names: &[&str]) {
    for name in names {
        database
            .run(&format!("CREATE TABLE {name} (i INT PRIMARY KEY)"))
            .await;
        database
            .run(&format!("INSERT INTO {name} VALUES (1), (2)"))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_scans_of_a_query_see_one_snapshot() {
    let database = Database::create("asof").await;
    two_rows(&database, &["a", "b", "c"]).await;
    let connector = connector(&database, 8);
    let mut plans = Vec::new();
    for name in ["a", "b", "c"] {
        plans.push(plan(&connector, &database, name).await);
    }
    let query = Query::new();
    let scans = [query.scan(), query.scan(), query.scan()];
    let batches = read(&connector, &plans[0], &scans[0]).await.expect("rows");
    assert_eq!(rows(&batches), 2);
    database.run("INSERT INTO b VALUES (3)").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let batches = read(&connector, &plans[1], &scans[1]).await.expect("rows");
    assert_eq!(
        rows(&batches),
        2,
        "the later row is not in the query's snapshot"
    );
    let (one, other) = (scans[0].work.snapshot(), scans[1].work.snapshot());
    assert!(one.as_of.is_some() && one.as_of == one.as_of_until);
    assert_eq!(one.as_of, other.as_of);
    assert_eq!(query.skew(), Some(0.0));
    assert!(open_transactions(&database).await > 0);

    // A table of a later definition would look empty, or otherwise wrong, in the older snapshot.
    database.run("TRUNCATE c").await;
    let error = read(&connector, &plans[2], &scans[2])
        .await
        .expect_err("truncated");
    assert!(
        error
            .to_string()
            .contains("changed between planning and reading"),
        "{error}"
    );

    // The end of the query ends its snapshot's transactions.
    drop(query);
    until_no_transaction(&database).await;

    // A query with one scan needs none, and says as of when all the same.
    let query = Query::new();
    let scan = query.scan();
    let batches = read(&connector, &plans[1], &scan).await.expect("rows");
    assert_eq!(rows(&batches), 3);
    assert_eq!(query.skew(), Some(0.0));
    assert_eq!(open_transactions(&database).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_scan_ends_the_transactions_of_a_query_that_goes_on() {
    let database = Database::create("last").await;
    two_rows(&database, &["a", "b"]).await;
    let connector = connector(&database, 8);
    let query = Query::new();
    let scans = [query.scan(), query.scan()];
    for (name, scan) in ["a", "b"].into_iter().zip(&scans) {
        let plan = plan(&connector, &database, name).await;
        read(&connector, &plan, scan).await.expect("rows");
    }
    until_no_transaction(&database).await;
}

/// Money is moved between the tables all the time; each query must count all of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sums_over_tables_hold_while_rows_change() {
    const ACCOUNTS: i64 = 20_000;
    let database = Database::create("sums").await;
    for name in ["here", "there"] {
        // Wide enough to be read in ranges.
        database
            .run(&format!(
                "CREATE TABLE {name} (id BIGINT PRIMARY KEY, money BIGINT NOT NULL, filler VARCHAR(1000)) \
                 AS SELECT seq AS id, 100 AS money, REPEAT('x', 950) AS filler FROM seq_1_to_{ACCOUNTS}"
            ))
            .await;
        database.run(&format!("ANALYZE TABLE {name}")).await;
    }
    let connector = connector(&database, 8);
    let here = plan(&connector, &database, "here").await;
    let there = plan(&connector, &database, "there").await;
    assert!(here.splits.len() > 1, "{:?}", here.notes);

    let stop = Arc::new(AtomicBool::new(false));
    let mut writer = database.connect().await;
    let writing = tokio::spawn({
        let stop = Arc::clone(&stop);
        async move {
            let mut id = 1_i64;
            while !stop.load(Ordering::Relaxed) {
                id = id * 7919 % ACCOUNTS + 1;
                writer
                    .query_drop(format!(
                        "START TRANSACTION; UPDATE here SET money = money - 7 WHERE id = {id}; \
                         UPDATE there SET money = money + 7 WHERE id = {id}; COMMIT"
                    ))
                    .await
                    .expect("moved");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    });
    for _ in 0..5 {
        let query = Query::new();
        let (first, second) = (query.scan(), query.scan());
        let (first, second) = futures::join!(
            read(&connector, &here, &first),
            read(&connector, &there, &second)
        );
        let mut total = 0;
        for batch in first.expect("rows").iter().chain(&second.expect("rows")) {
            let money = batch
                .column(1)
                .as_any()
                .downcast_ref::<Int64Array>()
                .expect("bigint");
            total += money.iter().flatten().sum::<i64>();
        }
        assert_eq!(total, 2 * 100 * ACCOUNTS);
        assert_eq!(query.skew(), Some(0.0));
    }
    stop.store(true, Ordering::Relaxed);
    writing.await.expect("the writer ends");
}

/// With two connections a query may keep one. Its first scan holds it and is not read on: the second one, for which its
/// reader may be waiting, goes on with a snapshot of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_whose_query_stands_still_takes_a_snapshot_of_its_own() {
    let database = Database::create("still").await;
    database
        .run("CREATE TABLE big (i INT PRIMARY KEY) AS SELECT seq AS i FROM seq_1_to_5000")
        .await;
    two_rows(&database, &["small"]).await;
    let connector = connector(&database, 2);
    let big = plan(&connector, &database, "big").await;
    let small = plan(&connector, &database, "small").await;
    let query = Query::new();
    let (first, second) = (query.scan(), query.scan());
    let mut reading = connector.open(&big, 0, first);
    assert!(reading.next().await.expect("a batch").is_ok());
    database.run("INSERT INTO small VALUES (3)").await;
    let batches = read(&connector, &small, &second).await.expect("rows");
    assert_eq!(rows(&batches), 3);
    assert!(
        query.skew().expect("both tell") > 0.0,
        "the report is honest"
    );
    let rest: Vec<RecordBatch> = reading.try_collect().await.expect("rows");
    assert_eq!(rows(&rest), 4_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_connections_of_a_query_s_snapshot() {
    let database = Database::create("lost").await;
    database
        .run(
            "CREATE TABLE big (i INT PRIMARY KEY, filler VARCHAR(1000)) \
             AS SELECT seq AS i, REPEAT('x', 900) AS filler FROM seq_1_to_60000",
        )
        .await;
    two_rows(&database, &["a", "b"]).await;
    let connector = connector(&database, 2);
    let a = plan(&connector, &database, "a").await;
    let b = plan(&connector, &database, "b").await;
    let big = plan(&connector, &database, "big").await;

    // A scan that has not begun goes on with a snapshot of its own.
    let query = Query::new();
    let scans = [query.scan(), query.scan(), query.scan()];
    read(&connector, &a, &scans[0]).await.expect("rows");
    kill_connections(&database).await;
    let batches = read(&connector, &b, &scans[1]).await.expect("rows");
    assert_eq!(rows(&batches), 2);
    assert!(query.skew().expect("both tell") > 0.0);
    drop(query);

    // One that has handed over rows fails.
    let query = Query::new();
    let scans = [query.scan(), query.scan()];
    let mut reading = connector.open(&big, 0, scans[0].clone());
    assert!(reading.next().await.expect("a batch").is_ok());
    kill_connections(&database).await;
    let error = loop {
        match reading.next().await.expect("not the end") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, ConnectorError::ConnectionLost { .. }),
        "{error}"
    );
    // One that is given up takes its connection with it; the next has its own.
    let query = Query::new();
    let scans = [query.scan(), query.scan()];
    let mut reading = connector.open(&big, 0, scans[0].clone());
    assert!(reading.next().await.expect("a batch").is_ok());
    drop(reading);
    let batches = read(&connector, &b, &scans[1]).await.expect("rows");
    assert_eq!(rows(&batches), 2);
}

/// More queries than connections, each with several scans: all are answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn queries_do_not_wait_for_each_other_for_ever() {
    let database = Database::create("crowd").await;
    two_rows(&database, &["a", "b", "c"]).await;
    let connector = connector(&database, 3);
    let mut plans = Vec::new();
    for name in ["a", "b", "c"] {
        plans.push(plan(&connector, &database, name).await);
    }
    let queries = (0..12).map(|_| async {
        let query = Query::new();
        let scans: Vec<ScanContext> = plans.iter().map(|_| query.scan()).collect();
        let reading = plans
            .iter()
            .zip(&scans)
            .map(|(plan, scan)| read(&connector, plan, scan));
        for batches in futures::future::join_all(reading).await {
            assert_eq!(rows(&batches.expect("rows")), 2);
        }
    });
    let all = futures::future::join_all(queries);
    tokio::time::timeout(Duration::from_secs(25), all)
        .await
        .expect("in time");
    until_no_transaction(&database).await;
}
