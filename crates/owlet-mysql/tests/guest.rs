//! A good guest: passwords that rotate, tables that are hidden, hours, places, replicas that lag.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use owlet_connector::{
    Connector, ConnectorError, GateOptions, Login, LoginProvider, LoginTarget, OpenHours, Refusal,
    TablePatterns,
};
use owlet_mysql::{MysqlConnector, MysqlOptions};
use support::server::{Server, free_port};
use support::{Database, context, read_table, recorder, request, rows, server_url};

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

/// Ends the connections of an account.
async fn kill_connections_of(database: &Database, user: &str) {
    let ids = format!("SELECT ID FROM information_schema.PROCESSLIST WHERE USER = '{user}'");
    for id in database.column(&ids).await.into_iter().flatten() {
        // It may have ended by itself.
        let mut admin = database.connect().await;
        let _ = mysql_async::prelude::Queryable::query_drop(&mut admin, format!("KILL {id}")).await;
    }
}

#[tokio::test]
async fn a_rotated_password_needs_no_restart() {
    let database = Database::create("rotation").await;
    let user = format!("rotation_{}", std::process::id());
    database.run("CREATE TABLE t AS SELECT 1 AS i").await;
    database
        .run(&format!(
            "CREATE OR REPLACE USER {user} IDENTIFIED BY 'first'"
        ))
        .await;
    database
        .run(&format!("GRANT SELECT ON {}.* TO {user}", database.name))
        .await;
    let kept = Arc::new(Kept::default());
    *kept.password.lock().expect("lock") = "first".to_owned();
    let server = server_url();
    let (_, address) = server.rsplit_once('@').expect("a user");
    let mut options = MysqlOptions::new(format!("mysql://{user}@{address}"));
    options.login = Some(Arc::clone(&kept) as Arc<dyn LoginProvider>);
    let connector = MysqlConnector::new("my", options).expect("options");
    let count = async || {
        read_table(&connector, &database, "t")
            .await
            .map(|batches| rows(&batches))
    };
    assert_eq!(count().await.expect("rows"), 1);

    // Rotation: open connections may go on, new ones need the new password.
    database
        .run(&format!("ALTER USER {user} IDENTIFIED BY 'second'"))
        .await;
    kill_connections_of(&database, &user).await;
    let error = count().await.expect_err("not yet in the secret");
    assert!(
        matches!(error, ConnectorError::Authentication { .. }),
        "{error}"
    );
    assert!(!error.to_string().contains("first"), "{error}");
    *kept.password.lock().expect("lock") = "second".to_owned();
    assert_eq!(count().await.expect("rows"), 1);
    let asked = kept.asked.load(Ordering::Relaxed);
    kill_connections_of(&database, &user).await;
    assert_eq!(count().await.expect("rows"), 1);
    assert!(
        kept.asked.load(Ordering::Relaxed) > asked,
        "each connection asks"
    );
    drop(connector);
    database.run(&format!("DROP USER {user}")).await;
}

#[tokio::test]
async fn hidden_tables_do_not_exist() {
    let sales = Database::create("sales").await;
    let people = Database::create("people").await;
    sales.run("CREATE TABLE orders (i INT)").await;
    sales.run("CREATE TABLE tmp_1 (i INT)").await;
    people.run("CREATE TABLE salaries (i INT)").await;
    people.run("CREATE TABLE extra (i INT)").await;
    let mut options = MysqlOptions::new(server_url());
    options.tables = TablePatterns::new(
        &[sales.name.clone(), format!("{}.e*", people.name)],
        &["*.tmp_*".to_owned()],
    )
    .expect("patterns");
    let connector = MysqlConnector::new("my", options).expect("options");
    let mut expected = vec![sales.name.clone(), people.name.clone()];
    expected.sort();
    assert_eq!(connector.schemas().await.expect("schemas"), expected);
    let tables = connector.tables(&sales.name).await.expect("tables");
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(names, ["orders"]);
    assert!(connector.tables("mysql").await.expect("tables").is_empty());
    let described = connector
        .describe_schema(&sales.name)
        .await
        .expect("described");
    assert_eq!(described.len(), 1);
    for (schema, name, visible) in [
        (sales.name.clone(), "orders", true),
        (sales.name.to_uppercase(), "ORDERS", true),
        (sales.name.clone(), "tmp_1", false),
        (people.name.clone(), "salaries", false),
        (people.name.to_uppercase(), "Salaries", false),
        (people.name.clone(), "extra", true),
    ] {
        let found = connector.table(&schema, name).await.expect("metadata");
        assert_eq!(found.is_some(), visible, "{schema}.{name}");
    }
}

#[tokio::test]
async fn outside_its_hours_a_catalog_is_not_touched() {
    let database = Database::create("hours").await;
    let month = (chrono::Datelike::month(&chrono::Utc::now()) + 1) % 12 + 1;
    let user = format!("hours_{}", std::process::id());
    let server = server_url();
    let (_, address) = server.rsplit_once('@').expect("a user");
    let mut options = MysqlOptions::new(format!("mysql://{user}@{address}"));
    options.gate = GateOptions {
        hours: Some(OpenHours::new(&[format!("0 4 1 {month} *")], Some("UTC")).expect("hours")),
        ..GateOptions::default()
    };
    let connector = MysqlConnector::new("my", options).expect("options");
    // The account does not exist: a connection would fail with another error.
    let error = connector.schemas().await.expect_err("closed");
    assert!(error.to_string().contains("04:00 UTC"), "{error}");
    let error = connector
        .table(&database.name, "t")
        .await
        .expect_err("closed");
    assert!(error.to_string().contains("04:00 UTC"), "{error}");
    let health = connector.health().await;
    assert!(
        health.healthy && health.problem.contains("04:00 UTC"),
        "{health:?}"
    );
    assert_eq!(connector.activity().map(|now| now.connections), Some(0));
}

#[tokio::test]
async fn a_full_catalog_says_that_a_query_waits() {
    let mut options = MysqlOptions::new(server_url());
    options.gate.max_concurrent_queries = Some(1);
    let connector = MysqlConnector::new("my", options).expect("options");
    let gate = connector.gate().expect("a gate");
    let work = || owlet_connector::QueryWork::new(owlet_connector::Budget::default());
    let _first = gate.enter(&work()).await.expect("free");
    let second = work();
    let entering = tokio::time::timeout(Duration::from_millis(200), gate.enter(&second));
    let (entered, reason) = futures::join!(entering, async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        second.waiting_for()
    });
    assert!(entered.is_err());
    let reason = reason.expect("a reason");
    assert!(reason.contains("catalog my: 1 of 1 queries"), "{reason}");
}

#[tokio::test]
async fn the_pool_tells_what_it_does() {
    let database = Database::create("activity").await;
    database.run("CREATE TABLE t AS SELECT 1 AS i").await;
    let connector = database.connector();
    assert_eq!(connector.activity().map(|now| now.connections), Some(0));
    read_table(&connector, &database, "t").await.expect("rows");
    let now = connector.activity().expect("activity");
    assert!(now.connections >= 1 && now.statements == 0, "{now:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_go_to_replicas_that_keep_up() {
    let primary = Server::start(&["--server-id=1", "--log-bin=primary"]);
    let replica = Server::replica(&primary);
    primary.execute(
        "CREATE DATABASE shop; CREATE TABLE shop.big (i INT PRIMARY KEY, filler VARCHAR(900)) \
         AS SELECT seq AS i, REPEAT('x', 800) AS filler FROM shop.seq_1_to_40000; ANALYZE TABLE shop.big",
    );
    let applied = "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_NAME = 'big'";
    replica.until(applied, "1");
    replica.until("SELECT COUNT(*) FROM shop.big", "40000");

    let mut options = MysqlOptions::new(primary.url());
    options.replica_urls = vec![
        // Nobody listens there.
        format!("mysql://127.0.0.1:{}", free_port()),
        format!("mysql://127.0.0.1:{}", replica.port),
    ];
    options.max_replica_lag = Some(Duration::from_secs(2));
    options.max_connections = 3;
    let connector = MysqlConnector::new("my", options).expect("options");
    let metadata = connector
        .table("shop", "big")
        .await
        .expect("metadata")
        .expect("the table");
    let plan = connector
        .plan_scan(&request(&metadata))
        .await
        .expect("planned");
    assert!(plan.splits.len() > 1, "{:?}", plan.notes);
    let read = async || {
        let work = recorder();
        let mut count = 0;
        for split in 0..plan.splits.len() {
            let stream = connector.open(&plan, split, context(Arc::clone(&work)));
            let batches: Vec<_> = futures::TryStreamExt::try_collect(stream)
                .await
                .expect("rows");
            count += rows(&batches);
        }
        (count, work.snapshot().access)
    };
    let at_replica = format!(" at replica 127.0.0.1:{}", replica.port);
    for _ in 0..2 {
        let (count, access) = read().await;
        assert_eq!(count, 40_000);
        assert!(access.ends_with(&at_replica), "{access}");
    }
    let health = connector.health().await;
    assert!(
        health.healthy && health.problem.contains("replica 1 is not used"),
        "{health:?}"
    );

    // The replica goes on an hour later than the primary.
    replica.execute("STOP SLAVE; CHANGE MASTER TO MASTER_DELAY=3600; START SLAVE");
    primary.execute("INSERT INTO shop.big VALUES (0, 'late')");
    tokio::time::sleep(Duration::from_millis(4500)).await;
    let (count, access) = read().await;
    assert_eq!(count, 40_001, "read at the primary");
    assert!(!access.contains("replica"), "{access}");
    let health = connector.health().await;
    assert!(
        health.problem.contains("replica 2 is not used: it is"),
        "{health:?}"
    );

    // It does not go on at all.
    replica.execute("STOP SLAVE SQL_THREAD");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert!(!read().await.1.contains("replica"));
    let health = connector.health().await;
    assert!(
        health.problem.contains("replication stands still"),
        "{health:?}"
    );

    replica.execute("STOP SLAVE; CHANGE MASTER TO MASTER_DELAY=0; START SLAVE");
    replica.until("SELECT COUNT(*) FROM shop.big", "40001");
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let (count, access) = read().await;
    assert_eq!(count, 40_001);
    assert!(access.ends_with(&at_replica), "{access}");

    // It dies: found out when it is asked next, and the query goes to the primary.
    replica.kill();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let (count, access) = read().await;
    assert_eq!(count, 40_001);
    assert!(!access.contains("replica"), "{access}");
}
