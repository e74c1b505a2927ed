//! Through PgBouncer in transaction mode, where no session setting and no prepared statement outlives a transaction.

mod support;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use owlet_connector::Connector;
use owlet_connector::conformance::run;
use owlet_postgres::{PostgresConnector, PostgresOptions};
use support::harness::Harness;
use support::pooler::Pooler;
use support::{Database, context, read_plan, read_table, request, row_count, table};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conforms_behind_a_pooler() {
    let pooler = Pooler::start(6);
    let database = Database::create("pooled_conformance").await;
    let options = PostgresOptions::new(pooler.url(&database.name));
    let report = run(&Harness { database, options }).await;
    println!("{report}");
    report.assert_passed();
}

/// Several connectors over few server connections: each transaction may run at another server process.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_readers_share_few_server_connections() {
    let pooler = Pooler::start(2);
    let database = Database::create("pooled_readers").await;
    database
        .run("CREATE TABLE numbers AS SELECT i, repeat('x', 200) AS filler FROM generate_series(1, 20000) AS i; ANALYZE")
        .await;
    let readers = (0..6).map(|_| {
        let connector =
            PostgresConnector::new("pg", PostgresOptions::new(pooler.url(&database.name)))
                .expect("options");
        tokio::spawn(async move {
            for _ in 0..5 {
                let batches = read_table(&connector, "numbers").await.expect("rows");
                assert_eq!(row_count(&batches), 20_000);
            }
        })
    });
    for reader in readers.collect::<Vec<_>>() {
        reader.await.expect("reader");
    }
    // No setting was left behind for the pooler's other clients.
    let other = support::connect(&pooler.url(&database.name)).await;
    let rows = other
        .simple_query("SHOW default_transaction_read_only")
        .await
        .expect("shown");
    let shown = rows.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    assert_eq!(shown.as_deref(), Some("off"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn parallel_ranges_see_one_snapshot_behind_a_pooler() {
    let pooler = Pooler::start(6);
    let database = Database::create("pooled_ranges").await;
    database
        .run("CREATE TABLE big AS SELECT i, repeat('x', 800) AS filler FROM generate_series(1, 40000) AS i; ANALYZE")
        .await;
    let connector = PostgresConnector::new("pg", PostgresOptions::new(pooler.url(&database.name)))
        .expect("options");
    let mut asked = request(&table(&connector, "big").await.as_ref().clone());
    asked.target_partitions = 4;
    let plan = connector.plan_scan(&asked).await.expect("planned");
    assert!(plan.splits.len() > 1, "{:?}", plan.notes);
    let batches = read_plan(&connector, &plan, &context())
        .await
        .expect("rows");
    assert_eq!(row_count(&batches), 40_000);
}

#[tokio::test]
async fn a_dropped_stream_ends_the_statement_behind_a_pooler() {
    let pooler = Pooler::start(4);
    let database = Database::create("pooled_cancel").await;
    database
        .run("CREATE VIEW silent AS SELECT 1 AS i FROM (SELECT pg_sleep(60)) AS pause")
        .await;
    let connector = Arc::new(
        PostgresConnector::new("pg", PostgresOptions::new(pooler.url(&database.name)))
            .expect("options"),
    );
    let metadata = table(&connector, "silent").await;
    let plan = connector
        .plan_scan(&request(&metadata))
        .await
        .expect("planned");
    let mut stream = connector.open(&plan, 0, context());
    let waiting = tokio::time::timeout(Duration::from_millis(500), stream.next()).await;
    assert!(waiting.is_err());
    drop(stream);
    let running = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND query LIKE 'COPY%' AND state = 'active'",
        database.name
    );
    let mut patience = 20;
    while database.text(&running).await.as_deref() != Some("0") {
        patience -= 1;
        assert!(patience > 0, "the statement goes on");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The pooler ends its connection to the server when a client is gone, and the server notices while it runs the statement.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_client_ends_the_statement_behind_a_pooler() {
    let pooler = Pooler::start(4);
    let database = Database::create("pooled_kill").await;
    database
        .run("CREATE VIEW silent AS SELECT 1 AS i FROM (SELECT pg_sleep(60)) AS pause")
        .await;
    let version = database.text("SHOW server_version_num").await;
    if version
        .and_then(|version| version.parse::<u32>().ok())
        .is_none_or(|version| version < 140_000)
    {
        return;
    }
    let url = pooler.url(&database.name);
    let client = tokio::runtime::Runtime::new().expect("runtime");
    let reading = client.spawn(async move {
        let connector = PostgresConnector::new("pg", PostgresOptions::new(url)).expect("options");
        let metadata = table(&connector, "silent").await;
        let plan = connector
            .plan_scan(&request(&metadata))
            .await
            .expect("planned");
        let mut stream = connector.open(&plan, 0, context());
        let waiting = tokio::time::timeout(Duration::from_millis(500), stream.next()).await;
        assert!(waiting.is_err());
        // A killed process drops nothing.
        std::mem::forget((stream, connector));
    });
    reading.await.expect("read");
    let running = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND query LIKE 'COPY%' AND state = 'active'",
        database.name
    );
    assert_eq!(database.text(&running).await.as_deref(), Some("1"));
    client.shutdown_background();
    let mut patience = 80;
    while database.text(&running).await.as_deref() != Some("0") {
        patience -= 1;
        assert!(patience > 0, "the statement goes on");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
