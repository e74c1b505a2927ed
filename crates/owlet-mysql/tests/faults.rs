//! What a user sees when something breaks: clear errors, never a short answer.

mod support;

use std::time::Duration;

use futures::StreamExt;
use owlet_connector::{Connector, ConnectorError};
use owlet_mysql::{MysqlConnector, MysqlOptions, SslMode};
use support::server::{CuttingProxy, Server, free_port};
use support::{Database, context, recorder, request, server_url, table};

const ROWS: usize = 60_000;

async fn fill(database: &Database) {
    database
        .run(&format!(
            "CREATE TABLE big (id INT PRIMARY KEY, filler VARCHAR(1000)) \
             AS SELECT seq AS id, REPEAT('x', 900) AS filler FROM seq_1_to_{ROWS}"
        ))
        .await;
}

fn port_of(url: &str) -> u16 {
    url.rsplit(':')
        .next()
        .expect("a port")
        .parse()
        .expect("a number")
}

#[tokio::test]
async fn wrong_credentials() {
    let url = server_url().replace("owlet:owlet@", "owlet:wrong-hunter2@");
    let connector = MysqlConnector::new("my", MysqlOptions::new(url)).expect("valid options");
    let error = connector.schemas().await.expect_err("refused");
    assert!(
        matches!(error, ConnectorError::Authentication { .. }),
        "{error:?}"
    );
    assert!(!error.to_string().contains("hunter2"));
    let health = connector.health().await;
    assert!(!health.healthy);
    assert!(
        health.problem.contains("authentication failed"),
        "{health:?}"
    );
}

#[tokio::test]
async fn nobody_listens() {
    let url = format!("mysql://owlet:owlet@127.0.0.1:{}", free_port());
    let connector = MysqlConnector::new("my", MysqlOptions::new(url)).expect("valid options");
    let error = connector.schemas().await.expect_err("refused");
    assert!(
        matches!(error, ConnectorError::Unreachable { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn no_tls_where_it_is_demanded() {
    let mut options = MysqlOptions::new(server_url());
    options.sslmode = Some(SslMode::VerifyFull);
    let connector = MysqlConnector::new("my", options).expect("valid options");
    let error = connector.schemas().await.expect_err("refused");
    assert!(
        matches!(error, ConnectorError::Unreachable { .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("sslmode"), "{error}");
}

#[tokio::test]
async fn a_missing_table_and_an_unknown_database() {
    let database = Database::create("missing").await;
    let connector = database.connector();
    assert!(
        connector
            .table(&database.name, "none")
            .await
            .expect("asked")
            .is_none()
    );
    database.run("CREATE TABLE t (a INT)").await;
    let metadata = table(&connector, &database, "t").await;
    let plan = connector
        .plan_scan(&request(&metadata))
        .await
        .expect("a plan");
    database.run("DROP TABLE t").await;
    let error = connector
        .open(&plan, 0, context(recorder()))
        .next()
        .await
        .expect("an answer")
        .expect_err("the table is gone");
    assert!(
        matches!(error, ConnectorError::TableNotFound { .. }),
        "{error:?}"
    );
    let unknown = MysqlOptions::new(format!("{}/no_such_database", server_url()));
    let connector = MysqlConnector::new("my", unknown).expect("valid options");
    let error = connector.schemas().await.expect_err("refused");
    assert!(
        matches!(error, ConnectorError::Configuration { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_column_that_changed_its_type_is_told() {
    let database = Database::create("changed").await;
    database.run("CREATE TABLE t (a INT)").await;
    database.run("INSERT INTO t VALUES (20240101)").await;
    let connector = database.connector();
    let metadata = table(&connector, &database, "t").await;
    let plan = connector
        .plan_scan(&request(&metadata))
        .await
        .expect("a plan");
    database.run("ALTER TABLE t MODIFY a DATE").await;
    let error = connector
        .open(&plan, 0, context(recorder()))
        .next()
        .await
        .expect("an answer")
        .expect_err("the type is another");
    assert!(
        error
            .to_string()
            .contains("changed between planning and reading"),
        "{error}"
    );
    let metadata = table(&connector, &database, "t").await;
    assert_eq!(
        metadata.columns[0].data_type,
        arrow_schema::DataType::Date32
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_while_it_is_read() {
    let server = Server::start(&[]);
    let database = Database::create_at(&server.url(), "killed").await;
    fill(&database).await;
    let mut options = database.options();
    options.max_connections = 1;
    let connector = MysqlConnector::new("my", options).expect("valid options");
    let metadata = table(&connector, &database, "big").await;
    let plan = connector
        .plan_scan(&request(&metadata))
        .await
        .expect("a plan");
    let mut stream = connector.open(&plan, 0, context(recorder()));
    assert!(stream.next().await.expect("a batch").is_ok());
    server.kill();
    let error = loop {
        match stream.next().await.expect("not the end") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, ConnectorError::ConnectionLost { .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("big"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_cut_after_some_bytes() {
    let database = Database::create("cut").await;
    fill(&database).await;
    let proxy = CuttingProxy::start(port_of(&server_url()));
    let url = format!(
        "mysql://owlet:owlet@127.0.0.1:{}/{}",
        proxy.port, database.name
    );
    let mut options = MysqlOptions::new(url);
    options.max_connections = 1;
    let connector = MysqlConnector::new("my", options).expect("valid options");
    let metadata = table(&connector, &database, "big").await;
    let plan = connector
        .plan_scan(&request(&metadata))
        .await
        .expect("a plan");
    // After some batches: an error. Before the first batch: tried again, then an error.
    for limit in [20_000_000, 300_000] {
        proxy.cut_after(limit);
        let mut stream = connector.open(&plan, 0, context(recorder()));
        let mut rows = 0;
        let error = loop {
            match stream.next().await.expect("not the end") {
                Ok(batch) => rows += batch.num_rows(),
                Err(error) => break error,
            }
        };
        assert!(
            matches!(error, ConnectorError::ConnectionLost { .. }),
            "{error:?}"
        );
        assert!(rows < ROWS);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_connections() {
    let server = Server::start(&["--max-connections=10", "--extra-max-connections=1"]);
    let database = Database::create_at(&server.url(), "many").await;
    let mut held = Vec::new();
    // One more than the limit is kept for administrators, which our user is.
    for _ in 0..11 {
        let opts = mysql_async::Opts::from_url(&database.url).expect("a URL");
        match mysql_async::Conn::new(opts).await {
            Ok(conn) => held.push(conn),
            Err(_) => break,
        }
    }
    let connector = database.connector();
    let error = connector.schemas().await.expect_err("full");
    assert!(
        matches!(error, ConnectorError::Unreachable { .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("max_connections"), "{error}");
    drop(held);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(connector.schemas().await.is_ok());
}

/// The password is read again for every connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotated_password_is_found() {
    let server = Server::start(&[]);
    let database = Database::create_at(&server.url(), "rotated").await;
    fill(&database).await;
    server.execute("CREATE USER reader IDENTIFIED BY 'first'; GRANT SELECT ON *.* TO reader");
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "first\n").expect("written");
    let mut options = MysqlOptions::new(format!("mysql://reader@127.0.0.1:{}", server.port));
    options.password_file = Some(file.path().to_owned());
    options.metadata_ttl = Duration::ZERO;
    let connector = MysqlConnector::new("my", options).expect("valid options");
    let metadata = table(&connector, &database, "big").await;
    let plan = connector
        .plan_scan(&request(&metadata))
        .await
        .expect("a plan");
    // A statement under way goes on with the old one.
    let mut stream = connector.open(&plan, 0, context(recorder()));
    let mut rows = stream
        .next()
        .await
        .expect("a batch")
        .expect("rows")
        .num_rows();
    server.execute("ALTER USER reader IDENTIFIED BY 'second'");
    std::fs::write(file.path(), "second\n").expect("written");
    while let Some(batch) = stream.next().await {
        rows += batch.expect("rows").num_rows();
    }
    assert!(rows > 0);
    // Connections that are gone are replaced with the new one.
    loop {
        let reader = "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = 'reader' LIMIT 1";
        let id = server.execute(reader);
        if id.is_empty() {
            break;
        }
        server.execute(&format!("KILL {id}"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let metadata = table(&connector, &database, "big").await;
    assert_eq!(metadata.columns.len(), 2);
    let mut stream = connector.open(&plan, 0, context(recorder()));
    assert!(stream.next().await.expect("a batch").is_ok());
}

/// A replica that dies in the middle: an error for that query, the primary for the next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_killed_while_it_is_read() {
    let primary = Server::start(&["--server-id=1", "--log-bin=primary"]);
    let replica = Server::replica(&primary);
    let database = Database::create_at(&primary.url(), "died").await;
    fill(&database).await;
    replica.until(
        &format!(
            "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{}'",
            database.name
        ),
        "1",
    );
    replica.until(
        &format!("SELECT COUNT(*) FROM {}.big", database.name),
        &ROWS.to_string(),
    );
    let mut options = database.options();
    options.replica_urls = vec![format!("mysql://127.0.0.1:{}", replica.port)];
    options.max_connections = 1;
    let connector = MysqlConnector::new("my", options).expect("valid options");
    let metadata = table(&connector, &database, "big").await;
    let plan = connector
        .plan_scan(&request(&metadata))
        .await
        .expect("a plan");
    let work = recorder();
    let mut stream = connector.open(&plan, 0, context(std::sync::Arc::clone(&work)));
    assert!(stream.next().await.expect("a batch").is_ok());
    assert!(work.snapshot().access.contains("at replica"));
    replica.kill();
    let error = loop {
        match stream.next().await.expect("not the end") {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, ConnectorError::ConnectionLost { .. }),
        "{error:?}"
    );
    drop(stream);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let work = recorder();
    let mut stream = connector.open(&plan, 0, context(std::sync::Arc::clone(&work)));
    assert!(stream.next().await.expect("a batch").is_ok());
    assert!(!work.snapshot().access.contains("at replica"));
}
