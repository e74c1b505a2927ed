//! Everything that can go wrong at the server or on the way: a clear error or a completed retry, never a short
//! answer; and statements that nobody waits for end.

mod support;

use std::sync::Arc;

use std::time::{Duration, Instant};

use futures::StreamExt;
use owlet_connector::{BatchStream, Connector, ConnectorError, ErrorCategory, ScanPlan};
use owlet_postgres::{PostgresConnector, PostgresOptions};
use support::cluster::Cluster;
use support::{Database, context, read_plan, read_table, request, row_count, table};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A view whose rows come forever, and one that gives none for a minute. (In FROM, generate_series would be
/// computed as a whole first.)
const SLOW: &str = "CREATE VIEW endless AS SELECT generate_series(1, 1000000000) AS i, repeat('x', 100) AS filler; \
     CREATE VIEW silent AS SELECT 1 AS i FROM (SELECT pg_sleep(60)) AS pause";

async fn plan_all(connector: &PostgresConnector, name: &str) -> ScanPlan {
    let metadata = table(connector, name).await;
    connector
        .plan_scan(&request(&metadata))
        .await
        .expect("planned")
}

/// Reads until the end or an error.
async fn drain(mut stream: BatchStream) -> Result<usize, ConnectorError> {
    let mut rows = 0;
    while let Some(batch) = stream.next().await {
        rows += batch?.num_rows();
    }
    Ok(rows)
}

async fn running_statements(database: &Database) -> usize {
    let text = database
        .text(&format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND application_name = 'owlet' \
             AND state <> 'idle'",
            database.name
        ))
        .await;
    text.and_then(|text| text.parse().ok()).expect("a number")
}

/// Waits until no statement runs; returns how long that took.
async fn until_quiet(database: &Database) -> Duration {
    let started = Instant::now();
    while running_statements(database).await > 0 {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "a statement goes on"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    started.elapsed()
}

#[tokio::test]
async fn a_dropped_stream_ends_the_statement() {
    let database = Database::create("drops").await;
    database.run(SLOW).await;
    let connector = database.connector();
    let plan = plan_all(&connector, "endless").await;
    let mut stream = connector.open(&plan, 0, context());
    stream.next().await.expect("rows").expect("rows");
    assert_eq!(running_statements(&database).await, 1);
    drop(stream);
    assert!(until_quiet(&database).await < Duration::from_secs(1));

    let plan = plan_all(&connector, "silent").await;
    let mut stream = connector.open(&plan, 0, context());
    let waiting = tokio::time::timeout(Duration::from_millis(300), stream.next()).await;
    assert!(waiting.is_err());
    drop(stream);
    assert!(until_quiet(&database).await < Duration::from_secs(1));
    // And the pool still works.
    assert_eq!(connector.schemas().await.expect("schemas"), ["public"]);
}

/// A client that is killed says nothing: its sockets are closed, and the server notices while it runs the statement.
#[tokio::test]
async fn a_killed_client_ends_the_statement() {
    let database = Database::create("killed").await;
    database.run(SLOW).await;
    let version = database.text("SHOW server_version_num").await;
    if version
        .and_then(|version| version.parse::<u32>().ok())
        .is_none_or(|version| version < 140_000)
    {
        return;
    }
    let proxy = CuttingProxy::start().await;
    let connector = proxy.connector(&database);
    let plan = plan_all(&connector, "silent").await;
    let mut stream = connector.open(&plan, 0, context());
    let waiting = tokio::time::timeout(Duration::from_millis(300), stream.next()).await;
    assert!(waiting.is_err());
    assert_eq!(running_statements(&database).await, 1);
    proxy.kill_all();
    assert!(until_quiet(&database).await < Duration::from_secs(8));
    drop(stream);
}

#[tokio::test]
async fn cancellation_ends_the_statement() {
    let database = Database::create("cancels").await;
    database.run(SLOW).await;
    let connector = database.connector();
    for name in ["endless", "silent"] {
        let plan = plan_all(&connector, name).await;
        let asked = context();
        let token = asked.cancellation.clone();
        let reading = tokio::spawn(drain(connector.open(&plan, 0, asked)));
        tokio::time::sleep(Duration::from_millis(300)).await;
        token.cancel();
        let error = reading.await.expect("task").expect_err("cancelled");
        assert!(matches!(error, ConnectorError::Cancelled), "{error}");
        assert!(
            until_quiet(&database).await < Duration::from_secs(1),
            "{name}"
        );
    }
    let asked = context();
    asked.cancellation.cancel();
    let plan = plan_all(&connector, "silent").await;
    let error = drain(connector.open(&plan, 0, asked))
        .await
        .expect_err("cancelled before it began");
    assert!(matches!(error, ConnectorError::Cancelled), "{error}");
}

#[tokio::test]
async fn the_server_cancels_or_times_out() {
    let database = Database::create("timeouts").await;
    database.run(SLOW).await;
    let connector = database.connector();
    let plan = plan_all(&connector, "endless").await;
    let mut stream = connector.open(&plan, 0, context());
    stream.next().await.expect("rows").expect("rows");
    database
        .run("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE application_name = 'owlet' AND datname = current_database()")
        .await;
    let error = drain(stream)
        .await
        .expect_err("cancelled by an administrator");
    assert!(
        matches!(&error, ConnectorError::Source { code: Some(code), .. } if code == "57014"),
        "{error}"
    );

    let mut options = database.options();
    options.statement_timeout = Some(Duration::from_millis(300));
    let connector = PostgresConnector::new("pg", options).expect("options");
    for name in ["endless", "silent"] {
        let plan = plan_all(&connector, name).await;
        let error = drain(connector.open(&plan, 0, context()))
            .await
            .expect_err("too slow");
        assert!(matches!(error, ConnectorError::Timeout { .. }), "{error}");
        assert!(error.to_string().contains("statement_timeout"), "{error}");
    }

    database.run("CREATE TABLE locked (a int)").await;
    let mut options = database.options();
    options.lock_timeout = Duration::from_millis(200);
    let connector = PostgresConnector::new("pg", options).expect("options");
    let plan = plan_all(&connector, "locked").await;
    database.run("BEGIN; LOCK TABLE locked").await;
    let error = drain(connector.open(&plan, 0, context()))
        .await
        .expect_err("locked");
    assert!(matches!(error, ConnectorError::Timeout { .. }), "{error}");
    database.run("COMMIT").await;
}

#[tokio::test]
async fn a_terminated_connection_is_an_error_in_the_middle_and_a_retry_at_the_start() {
    let database = Database::create("terminated").await;
    database.run(SLOW).await;
    database
        .run("CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 5000)")
        .await;
    let connector = database.connector();
    let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                     WHERE application_name = 'owlet' AND datname = current_database()";
    let plan = plan_all(&connector, "endless").await;
    let mut stream = connector.open(&plan, 0, context());
    stream.next().await.expect("rows").expect("rows");
    database.run(terminate).await;
    let error = drain(stream).await.expect_err("terminated");
    assert!(
        matches!(error, ConnectorError::ConnectionLost { .. }),
        "{error}"
    );
    assert_eq!(error.category(), ErrorCategory::Unreachable);

    // Idle connections of the pool die; nobody notices.
    for _ in 0..3 {
        let plan = plan_all(&connector, "t").await;
        database.run(terminate).await;
        let rows = row_count(
            &read_plan(&connector, &plan, &context())
                .await
                .expect("retried"),
        );
        assert_eq!(rows, 5000);
        tokio::time::sleep(Duration::from_millis(1100)).await;
        database.run(terminate).await;
        assert!(connector.schemas().await.is_ok());
    }
}

#[tokio::test]
async fn a_killed_server_is_an_error_and_its_return_is_noticed() {
    let mut cluster = Cluster::start(&[], "");
    let client = support::connect(&cluster.url()).await;
    client.batch_execute(SLOW).await.expect("views");
    client
        .batch_execute("CREATE TABLE t AS SELECT generate_series(1, 100) AS a")
        .await
        .expect("table");
    let connector =
        PostgresConnector::new("pg", PostgresOptions::new(cluster.url())).expect("options");
    let plan = plan_all(&connector, "endless").await;
    let mut stream = connector.open(&plan, 0, context());
    stream.next().await.expect("rows").expect("rows");
    cluster.stop_immediately();
    let error = drain(stream).await.expect_err("killed");
    assert!(
        matches!(error, ConnectorError::ConnectionLost { .. }),
        "{error}"
    );
    let error = connector.schemas().await.expect_err("nobody there");
    assert!(
        matches!(error, ConnectorError::Unreachable { .. }),
        "{error}"
    );
    let health = connector.health().await;
    assert!(!health.healthy && !health.fix.is_empty(), "{health:?}");
    cluster.restart(&[]);
    assert_eq!(
        row_count(&read_table(&connector, "t").await.expect("back again")),
        100
    );
}

#[tokio::test]
async fn unknown_database_and_unreachable_hosts() {
    let error = |url: &str| {
        let connector = PostgresConnector::new("pg", PostgresOptions::new(url)).expect("options");
        async move { connector.schemas().await.expect_err("no such place") }
    };
    let unknown = error(&support::url_of("no_such_database")).await;
    assert!(
        matches!(unknown, ConnectorError::Configuration { .. }),
        "{unknown}"
    );
    let closed = error("postgres://u:p@127.0.0.1:1/x").await;
    assert!(
        matches!(closed, ConnectorError::Unreachable { .. }),
        "{closed}"
    );
    assert!(closed.to_string().contains("127.0.0.1:1"), "{closed}");
    let nameless = error("postgres://u:p@no-such-host.invalid/x?sslmode=disable").await;
    assert!(
        matches!(nameless, ConnectorError::Unreachable { .. }),
        "{nameless}"
    );
    // A server that accepts and never answers.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
    let address = listener.local_addr().expect("address");
    let mut options = PostgresOptions::new(format!("postgres://u:p@{address}/x"));
    options.connect_timeout = Duration::from_millis(300);
    let connector = PostgresConnector::new("pg", options).expect("options");
    let silent = connector.schemas().await.expect_err("no answer");
    assert!(
        matches!(silent, ConnectorError::Unreachable { .. }),
        "{silent}"
    );
}

/// Forwards connections and cuts each after so many bytes from the server.
struct CuttingProxy {
    port: u16,
    /// Bytes for each connection by its number; later ones are not cut.
    limits: Arc<std::sync::Mutex<Vec<usize>>>,
    /// Ends all connections when it is told.
    killing: tokio::sync::watch::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl CuttingProxy {
    async fn start() -> Self {
        let server = support::server_url();
        let place = server
            .rsplit('@')
            .next()
            .and_then(|rest| rest.split('/').next())
            .expect("a place")
            .to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listener");
        let port = listener.local_addr().expect("address").port();
        let limits: Arc<std::sync::Mutex<Vec<usize>>> = Arc::default();
        let shared = Arc::clone(&limits);
        let (killing, killed) = tokio::sync::watch::channel(());
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let limit = {
                    let mut limits = shared.lock().expect("not poisoned");
                    if limits.is_empty() {
                        usize::MAX
                    } else {
                        limits.remove(0)
                    }
                };
                let server = TcpStream::connect(&place).await.expect("server");
                let mut killed = killed.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        () = forward(client, server, limit) => {}
                        _ = killed.changed() => {}
                    }
                });
            }
        });
        Self {
            port,
            limits,
            killing,
            task,
        }
    }

    /// Closes both sides of every connection, as the kernel does for a killed process.
    fn kill_all(&self) {
        let _ = self.killing.send(());
    }

    fn connector(&self, database: &Database) -> PostgresConnector {
        let url = format!(
            "postgres://owlet:owlet@127.0.0.1:{}/{}?sslmode=disable",
            self.port, database.name
        );
        PostgresConnector::new("pg", PostgresOptions::new(url)).expect("options")
    }

    fn cut(&self, limits: &[usize]) {
        *self.limits.lock().expect("not poisoned") = limits.to_vec();
    }
}

impl Drop for CuttingProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(client: TcpStream, server: TcpStream, limit: usize) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let upward = async {
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
        let _ = to_server.shutdown().await;
        std::future::pending::<()>().await;
    };
    let downward = async {
        let mut left = limit;
        let mut buffer = vec![0; 64 << 10];
        while left > 0 {
            let length = match from_server.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(length) => length.min(left),
            };
            if to_client.write_all(&buffer[..length]).await.is_err() {
                break;
            }
            left -= length;
        }
    };
    tokio::select! {
        () = upward => {}
        () = downward => {}
    }
}

#[tokio::test]
async fn a_cut_connection_never_gives_a_short_answer() {
    let database = Database::create("cuts").await;
    database
        .run("CREATE TABLE t (a int, b text); INSERT INTO t SELECT i, 'value ' || i FROM generate_series(1, 3000) AS i")
        .await;
    let plan = plan_all(&database.connector(), "t").await;
    let proxy = CuttingProxy::start().await;
    let total = {
        let counted = context();
        let connector = proxy.connector(&database);
        assert_eq!(
            row_count(&read_plan(&connector, &plan, &counted).await.expect("whole")),
            3000
        );
        counted.work.snapshot().bytes as usize
    };
    let mut outcomes = (0, 0);
    // From the middle of the handshake to the last byte of the last message.
    for limit in (0..total + 3000).step_by(total / 40) {
        let connector = proxy.connector(&database);
        // Every connection is cut at the same place.
        proxy.cut(&[limit; 12]);
        match read_plan(&connector, &plan, &context()).await {
            Ok(batches) => {
                assert_eq!(row_count(&batches), 3000, "cut after {limit} bytes");
                outcomes.0 += 1;
            }
            Err(error) => {
                let lost = matches!(
                    error,
                    ConnectorError::ConnectionLost { .. } | ConnectorError::Unreachable { .. }
                );
                assert!(lost, "cut after {limit} bytes: {error}");
                outcomes.1 += 1;
            }
        }
    }
    assert!(outcomes.1 > 30, "{outcomes:?}");
    // Cut once, before the first batch: the second try gives everything.
    for limit in [5_000, 10_000, 15_000] {
        let connector = proxy.connector(&database);
        proxy.cut(&[limit]);
        let rows = row_count(
            &read_plan(&connector, &plan, &context())
                .await
                .expect("retried"),
        );
        assert_eq!(rows, 3000, "cut once after {limit} bytes");
    }
}

#[tokio::test]
async fn readers_that_do_not_read_are_named_when_all_connections_wait() {
    let database = Database::create("standstill").await;
    database.run(SLOW).await;
    let mut options = database.options();
    options.max_connections = 1;
    let connector = PostgresConnector::new("pg", options).expect("options");
    let plan = plan_all(&connector, "endless").await;
    let mut held = connector.open(&plan, 0, context());
    held.next().await.expect("rows").expect("rows");
    let error = connector.schemas().await.expect_err("nobody reads");
    assert!(
        matches!(&error, ConnectorError::Timeout { hint, .. } if hint.contains("max_connections")),
        "{error}"
    );
    drop(held);
    assert_eq!(connector.schemas().await.expect("free again"), ["public"]);
}
