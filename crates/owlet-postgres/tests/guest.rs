//! A good guest: passwords that rotate, tables that are hidden, hours, places, replicas that lag.

mod support;

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use owlet_connector::{
    Connector, ConnectorError, GateOptions, Login, LoginProvider, LoginTarget, OpenHours, Refusal,
    TablePatterns,
};
use owlet_postgres::{PostgresConnector, PostgresOptions};
use support::cluster::Cluster;
use support::{Database, connect, context, read_plan, read_table, request, row_count, table};

/// A secret that somebody rotates.
#[derive(Debug, Default)]
struct Kept {
    password: Mutex<String>,
    known: Mutex<Option<String>>,
    asked: AtomicUsize,
}

#[async_trait]
impl LoginProvider for Kept {
    async fn login(&self, _: &LoginTarget) -> owlet_connector::Result<Login> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let mut known = self.known.lock().expect("lock");
        let password = known.get_or_insert_with(|| self.password.lock().expect("lock").clone());
        Ok(Login {
            password: Some(password.clone()),
            ..Login::default()
        })
    }

    async fn refused(&self, _: &LoginTarget, login: &Login) -> owlet_connector::Result<Refusal> {
        let now = self.password.lock().expect("lock").clone();
        let is_the_same = login.password.as_ref() == Some(&now);
        *self.known.lock().expect("lock") = Some(now);
        Ok(if is_the_same {
            Refusal::Final
        } else {
            Refusal::TryAgain
        })
    }
}

#[tokio::test]
async fn a_rotated_password_needs_no_restart() {
    let database = Database::create("rotation").await;
    let role = format!("{}_reader", database.name);
    database
        .run(&format!(
            "CREATE TABLE t (i int); INSERT INTO t VALUES (1); CREATE ROLE {role} LOGIN PASSWORD 'first'; \
             GRANT SELECT ON t TO {role}"
        ))
        .await;
    let kept = Arc::new(Kept::default());
    *kept.password.lock().expect("lock") = "first".to_owned();
    let url = database.url();
    let (_, address) = url.rsplit_once('@').expect("a user");
    let mut options = PostgresOptions::new(format!("postgres://{role}@{address}"));
    options.login = Some(Arc::clone(&kept) as Arc<dyn LoginProvider>);
    let connector = PostgresConnector::new("pg", options).expect("options");
    assert_eq!(
        row_count(&read_table(&connector, "t").await.expect("rows")),
        1
    );

    // Rotation: open connections may go on, new ones need the new password.
    database
        .run(&format!(
            "ALTER ROLE {role} PASSWORD 'second'; \
             SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'"
        ))
        .await;
    let error = read_table(&connector, "t")
        .await
        .expect_err("not yet in the secret");
    assert!(
        matches!(error, ConnectorError::Authentication { .. }),
        "{error}"
    );
    *kept.password.lock().expect("lock") = "second".to_owned();
    assert_eq!(
        row_count(&read_table(&connector, "t").await.expect("rows")),
        1
    );
    drop(connector);
    database
        .run(&format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'; \
             DROP OWNED BY {role}; DROP ROLE {role}"
        ))
        .await;
}

#[tokio::test]
async fn hidden_tables_do_not_exist() {
    let database = Database::create("patterns").await;
    database
        .run(
            "CREATE SCHEMA sales; CREATE SCHEMA hr; CREATE TABLE sales.orders (i int); CREATE TABLE sales.tmp_1 (i int); \
             CREATE TABLE hr.people (i int); CREATE TABLE public.extra (i int)",
        )
        .await;
    let mut options = database.options();
    let list = |words: &[&str]| {
        words
            .iter()
            .map(|word| (*word).to_owned())
            .collect::<Vec<_>>()
    };
    options.tables =
        TablePatterns::new(&list(&["sales", "public.e*"]), &list(&["*.tmp_*"])).expect("patterns");
    let connector = PostgresConnector::new("pg", options).expect("options");
    assert_eq!(
        connector.schemas().await.expect("schemas"),
        ["public", "sales"]
    );
    let names = |tables: Vec<owlet_connector::TableSummary>| {
        tables
            .into_iter()
            .map(|table| table.name)
            .collect::<Vec<_>>()
    };
    assert_eq!(
        names(connector.tables("sales").await.expect("tables")),
        ["orders"]
    );
    assert!(connector.tables("hr").await.expect("tables").is_empty());
    let described = connector.describe_schema("sales").await.expect("described");
    assert_eq!(described.len(), 1);
    for (schema, name, visible) in [
        ("sales", "orders", true),
        ("SALES", "ORDERS", true),
        ("sales", "tmp_1", false),
        ("hr", "people", false),
        ("HR", "People", false),
        ("public", "extra", true),
    ] {
        let found = connector.table(schema, name).await.expect("metadata");
        assert_eq!(found.is_some(), visible, "{schema}.{name}");
    }
}

#[tokio::test]
async fn outside_its_hours_a_catalog_is_not_touched() {
    let database = Database::create("hours").await;
    let month = (chrono::Datelike::month(&chrono::Utc::now()) + 1) % 12 + 1;
    let mut options = database.options();
    options.gate = GateOptions {
        hours: Some(OpenHours::new(&[format!("0 4 1 {month} *")], Some("UTC")).expect("hours")),
        ..GateOptions::default()
    };
    let connector = PostgresConnector::new("pg", options).expect("options");
    let error = connector.schemas().await.expect_err("closed");
    assert!(error.to_string().contains("04:00 UTC"), "{error}");
    let health = connector.health().await;
    assert!(
        health.healthy && health.problem.contains("04:00 UTC"),
        "{health:?}"
    );
    let mine = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND application_name = 'owlet'",
        database.name
    );
    assert_eq!(database.text(&mine).await.as_deref(), Some("0"));
}

const REPLICATION: &[&str] = &["wal_level=replica", "max_wal_senders=4", "hot_standby=on"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_go_to_replicas_that_keep_up() {
    let primary = Cluster::start(
        REPLICATION,
        "echo 'host replication all 127.0.0.1/32 scram-sha-256' >> data/pg_hba.conf",
    );
    let programs = support::server_programs();
    let replica = Cluster::replica(&primary, &programs);
    let admin = connect(&primary.url()).await;
    admin
        .batch_execute(
            "CREATE TABLE big AS SELECT i, repeat('x', 800) AS filler FROM generate_series(1, 40000) AS i; ANALYZE",
        )
        .await
        .expect("created");
    let standby = connect(&replica.url()).await;
    until(&standby, "SELECT to_regclass('public.big') IS NOT NULL AND pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()", "t").await;

    let mut options = PostgresOptions::new(primary.url());
    options.replica_urls = vec![
        // Nobody listens there.
        format!("postgres://127.0.0.1:{}", support::cluster::free_port()),
        format!("postgres://127.0.0.1:{}", replica.port),
    ];
    options.max_replica_lag = Some(Duration::from_secs(2));
    options.max_connections = 3;
    let connector = PostgresConnector::new("pg", options).expect("options");
    let mut asked = request(table(&connector, "big").await.as_ref());
    asked.target_partitions = 3;
    let plan = connector.plan_scan(&asked).await.expect("planned");
    assert!(plan.splits.len() > 1, "{:?}", plan.notes);
    for _ in 0..2 {
        let reading = context();
        let batches = read_plan(&connector, &plan, &reading).await.expect("rows");
        assert_eq!(row_count(&batches), 40_000);
        let access = reading.work.snapshot().access;
        assert!(
            access.ends_with(&format!(" at replica 127.0.0.1:{}/postgres", replica.port)),
            "{access}"
        );
    }
    let health = connector.health().await;
    assert!(
        health.healthy && health.problem.contains("replica 1 is not used"),
        "{health:?}"
    );

    // The standby stands still while the primary goes on.
    standby
        .batch_execute("SELECT pg_wal_replay_pause()")
        .await
        .expect("paused");
    admin
        .batch_execute("INSERT INTO big VALUES (0, 'late')")
        .await
        .expect("inserted");
    tokio::time::sleep(Duration::from_millis(3500)).await;
    let reading = context();
    let batches = read_plan(&connector, &plan, &reading).await.expect("rows");
    assert_eq!(row_count(&batches), 40_001, "read at the primary");
    assert!(!reading.work.snapshot().access.contains("replica"));
    let health = connector.health().await;
    assert!(
        health.problem.contains("replica 2 is not used: it is"),
        "{health:?}"
    );

    standby
        .batch_execute("SELECT pg_wal_replay_resume()")
        .await
        .expect("resumed");
    until(
        &standby,
        "SELECT pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()",
        "t",
    )
    .await;
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let reading = context();
    let batches = read_plan(&connector, &plan, &reading).await.expect("rows");
    assert_eq!(row_count(&batches), 40_001);
    assert!(reading.work.snapshot().access.contains("replica"));
}

async fn until(client: &tokio_postgres::Client, sql: &str, wanted: &str) {
    for _ in 0..200 {
        let messages = client.simple_query(sql).await.expect(sql);
        let is_so = messages.iter().any(|message| {
            matches!(message, tokio_postgres::SimpleQueryMessage::Row(row) if row.get(0) == Some(wanted))
        });
        if is_so {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{sql} does not become {wanted}");
}

async fn native(
    connector: &PostgresConnector,
    text: &str,
) -> Result<Vec<arrow::record_batch::RecordBatch>, ConnectorError> {
    let plan = Connector::plan_source_query(connector, text).await?;
    read_plan(connector, &plan, &context()).await
}

/// Since version 16 the server itself refuses to make large objects in read-only transactions.
async fn refuses_large_objects(database: &Database) -> bool {
    let version = database.text("SHOW server_version_num").await;
    version
        .and_then(|version| version.parse::<u32>().ok())
        .is_some_and(|version| version >= 160_000)
}

#[tokio::test]
async fn queries_in_the_servers_own_sql() {
    let database = Database::create("native").await;
    database
        .run(
            "CREATE TABLE t (i int PRIMARY KEY, doc jsonb, price numeric(10,2)); \
             INSERT INTO t VALUES (1, '{\"a\": 1}', 1.50), (2, NULL, 2.25); \
             CREATE TYPE mood AS ENUM ('sad', 'glad')",
        )
        .await;
    let connector = database.connector();
    let batches = native(
        &connector,
        "SELECT i, i AS i, doc, price, 'glad'::public.mood AS m, '{1,2}'::int[] AS list, '10.0.0.1'::inet AS net, \
         now() AS t FROM public.t ORDER BY i DESC -- the end",
    )
    .await
    .expect("rows");
    let schema = batches[0].schema();
    let names: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    assert_eq!(names, ["i", "i_2", "doc", "price", "m", "list", "net", "t"]);
    let column = |position| support::column_text(&batches, position);
    let some = |texts: &[&str]| {
        texts
            .iter()
            .map(|text| Some((*text).to_owned()))
            .collect::<Vec<_>>()
    };
    assert_eq!(column(0), some(&["2", "1"]));
    assert_eq!(column(2), [None, Some("{\"a\": 1}".to_owned())]);
    assert_eq!(column(3), some(&["2.25", "1.50"]));
    assert_eq!(column(4), some(&["glad", "glad"]));
    assert_eq!(column(5), some(&["{1,2}", "{1,2}"]));
    assert_eq!(column(6), some(&["10.0.0.1/32", "10.0.0.1/32"]));

    for refused in [
        "DELETE FROM public.t",
        "WITH gone AS (DELETE FROM public.t RETURNING i) SELECT * FROM gone",
        "SELECT 1; DELETE FROM public.t",
        "SELECT 1) AS q(c0)) TO PROGRAM 'touch owlet' --",
        "SELECT i INTO public.copy FROM public.t",
        "SELECT i FROM public.t FOR UPDATE",
        "EXPLAIN SELECT 1",
    ] {
        let error = native(&connector, refused).await.expect_err(refused);
        assert!(
            matches!(
                error,
                ConnectorError::QueryRefused { .. } | ConnectorError::Source { .. }
            ),
            "{refused}: {error}"
        );
    }
    assert_eq!(
        database.text("SELECT count(*) FROM t").await.as_deref(),
        Some("2")
    );

    let error = native(&connector, "SELECT * FROM t")
        .await
        .expect_err("no schema");
    assert!(
        matches!(&error, ConnectorError::QueryRefused { message, hint, .. }
            if message.contains("\"t\"") && hint.contains("search_path")),
        "{error}"
    );
    // What a function writes in spite of all does not stay.
    let written = native(&connector, "SELECT lo_create(0)::int8 AS made").await;
    assert!(
        written.is_ok() || refuses_large_objects(&database).await,
        "{written:?}"
    );
    assert_eq!(
        database
            .text("SELECT count(*) FROM pg_largeobject_metadata")
            .await
            .as_deref(),
        Some("0")
    );

    let mut options = database.options();
    options.tables = TablePatterns::new(&["public.other".to_owned()], &[]).expect("patterns");
    let hiding = PostgresConnector::new("pg", options).expect("options");
    let error = native(&hiding, "SELECT * FROM public.t")
        .await
        .expect_err("refused");
    assert!(
        matches!(error, ConnectorError::QueryRefused { .. }),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_scans_of_a_query_see_one_snapshot() {
    let database = Database::create("asof").await;
    database
        .run("CREATE TABLE a AS SELECT 1 AS i; CREATE TABLE b AS SELECT 1 AS i; CREATE TABLE c AS SELECT 1 AS i; ANALYZE")
        .await;
    let connector = database.connector();
    let query = owlet_connector::QueryWork::new(owlet_connector::Budget::default());
    let cancellation = tokio_util::sync::CancellationToken::new();
    let scan = || owlet_connector::ScanContext {
        batch_rows: 1000,
        dynamic_filters: Vec::new(),
        work: query.recorder(owlet_connector::ScanDescription {
            catalog: "pg".to_owned(),
            ..owlet_connector::ScanDescription::default()
        }),
        cancellation: cancellation.clone(),
    };
    let (first, second, third) = (scan(), scan(), scan());
    let mut plans = Vec::new();
    for name in ["a", "b", "c"] {
        let asked = request(table(&connector, name).await.as_ref());
        plans.push(connector.plan_scan(&asked).await.expect("planned"));
    }
    let rows = read_plan(&connector, &plans[0], &first)
        .await
        .expect("rows");
    assert_eq!(row_count(&rows), 1);
    database.run("INSERT INTO b VALUES (2)").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let rows = read_plan(&connector, &plans[1], &second)
        .await
        .expect("rows");
    assert_eq!(
        row_count(&rows),
        1,
        "the later row is not in the query's snapshot"
    );
    assert_eq!(first.work.snapshot().as_of, second.work.snapshot().as_of);
    assert_eq!(
        owlet_connector::WorkReport::skew_between(&query.sources()),
        Some(0.0)
    );
    // A rewritten table would look empty in the older snapshot.
    database.run("TRUNCATE c").await;
    let error = read_plan(&connector, &plans[2], &third)
        .await
        .expect_err("rewritten");
    assert!(error.to_string().contains("was rewritten"), "{error}");

    // The end of the query ends its snapshot's transaction.
    cancellation.cancel();
    let open = format!(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND application_name = 'owlet' AND state <> 'idle'",
        database.name
    );
    let mut patience = 40;
    while database.text(&open).await.as_deref() != Some("0") {
        patience -= 1;
        assert!(patience > 0, "the snapshot is still held");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}
