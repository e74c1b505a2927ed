//! TLS against a cluster with a certificate authority of its own.

mod support;

use std::path::{Path, PathBuf};

use owlet_connector::{Connector, ConnectorError};
use owlet_postgres::{PostgresConnector, PostgresOptions, SslMode};
use support::cluster::Cluster;

/// A certificate authority, and a server certificate of it for the name `localhost` only.
const CERTIFICATES: &str = "\
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj '/CN=Test Authority' -keyout ca.key -out ca.crt \
    -addext 'keyUsage=critical,keyCertSign,cRLSign' 2> openssl.log && \
openssl req -newkey rsa:2048 -nodes -subj '/CN=localhost' -keyout server.key -out server.csr 2>> openssl.log && \
printf 'subjectAltName=DNS:localhost\\nbasicConstraints=CA:FALSE\\n' > server.ext && \
openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile server.ext \
    -out server.crt 2>> openssl.log && \
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj '/CN=Other Authority' -keyout other.key -out other.crt \
    2>> openssl.log && \
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj '/CN=localhost' -keyout self.key -out self.crt \
    -addext 'subjectAltName=DNS:localhost' 2>> openssl.log && \
chmod 600 *.key && chmod 644 *.crt && \
printf 'local all all scram-sha-256\\nhostssl all all 127.0.0.1/32 scram-sha-256\\n' \
    > data/pg_hba.conf";

fn settings(folder: &Path, name: &str) -> Vec<String> {
    vec![
        "ssl=on".to_owned(),
        format!(
            "ssl_cert_file={}",
            folder.join(format!("{name}.crt")).display()
        ),
        format!(
            "ssl_key_file={}",
            folder.join(format!("{name}.key")).display()
        ),
    ]
}

async fn connect(
    cluster: &Cluster,
    host: &str,
    sslmode: SslMode,
    ca_file: Option<PathBuf>,
) -> Result<PostgresConnector, ConnectorError> {
    let mut options = PostgresOptions::new(format!(
        "postgres://owlet:owlet@{host}:{}/postgres",
        cluster.port
    ));
    options.sslmode = Some(sslmode);
    options.ca_file = ca_file;
    let connector = PostgresConnector::new("pg", options)?;
    connector.schemas().await?;
    Ok(connector)
}

#[tokio::test]
async fn modes_mean_what_they_mean_to_libpq() {
    let mut cluster = Cluster::start(&[], CERTIFICATES);
    let folder = cluster.folder().to_owned();
    cluster.stop_immediately();
    let signed = settings(&folder, "server");
    cluster.restart(&signed.iter().map(String::as_str).collect::<Vec<_>>());
    let ca = || Some(folder.join("ca.crt"));
    let other = || Some(folder.join("other.crt"));

    let connector = connect(&cluster, "localhost", SslMode::VerifyFull, ca())
        .await
        .expect("right name, right authority");
    let health = connector.health().await;
    assert!(health.healthy, "{health:?}");
    connect(&cluster, "127.0.0.1", SslMode::VerifyCa, ca())
        .await
        .expect("right authority, any name");
    connect(&cluster, "127.0.0.1", SslMode::Require, None)
        .await
        .expect("any certificate");
    connect(&cluster, "127.0.0.1", SslMode::Prefer, None)
        .await
        .expect("any certificate");

    let wrong_name = connect(&cluster, "127.0.0.1", SslMode::VerifyFull, ca())
        .await
        .expect_err("another name");
    assert!(
        matches!(&wrong_name, ConnectorError::Unreachable { hint, .. } if hint.contains("another host name")),
        "{wrong_name}"
    );
    for mode in [SslMode::VerifyFull, SslMode::VerifyCa, SslMode::Require] {
        let wrong = connect(&cluster, "localhost", mode, other())
            .await
            .expect_err("another authority");
        assert!(
            matches!(&wrong, ConnectorError::Unreachable { hint, .. } if hint.contains("remove ca_file")),
            "{wrong}"
        );
        // What is chosen already is no advice.
        assert_eq!(
            wrong.to_string().contains("choose sslmode"),
            mode != SslMode::Require,
            "{wrong}"
        );
    }
    let unknown = connect(&cluster, "localhost", SslMode::VerifyFull, None)
        .await
        .expect_err("not a public authority");
    assert!(
        matches!(
            unknown,
            ConnectorError::Unreachable { .. } | ConnectorError::Configuration { .. }
        ),
        "{unknown}"
    );
    let plain = connect(&cluster, "127.0.0.1", SslMode::Disable, None)
        .await
        .expect_err("TLS is demanded");
    assert!(
        matches!(plain, ConnectorError::Authentication { .. }),
        "{plain}"
    );
    let missing = connect(
        &cluster,
        "localhost",
        SslMode::VerifyCa,
        Some(folder.join("none.crt")),
    )
    .await;
    assert!(matches!(missing, Err(ConnectorError::Configuration { .. })));

    let socket = PostgresConnector::new(
        "pg",
        PostgresOptions::new(format!(
            "postgres://owlet:owlet@/postgres?host={}&port={}",
            folder.display(),
            cluster.port
        )),
    )
    .expect("a Unix socket");
    all_rows_come(&cluster, &[&connector, &socket]).await;
    cancel_over_tls(&cluster, ca()).await;

    // A server whose certificate is its own authority.
    cluster.stop_immediately();
    let own = settings(&folder, "self");
    cluster.restart(&own.iter().map(String::as_str).collect::<Vec<_>>());
    let pinned = || Some(folder.join("self.crt"));
    connect(&cluster, "localhost", SslMode::VerifyFull, pinned())
        .await
        .expect("the very certificate");
    assert!(
        connect(&cluster, "127.0.0.1", SslMode::VerifyFull, pinned())
            .await
            .is_err()
    );
    assert!(
        connect(&cluster, "localhost", SslMode::VerifyFull, ca())
            .await
            .is_err()
    );

    // A server without TLS.
    cluster.stop_immediately();
    std::fs::write(
        folder.join("hba"),
        "host all all 127.0.0.1/32 scram-sha-256\n",
    )
    .expect("written");
    let hba = format!("hba_file={}", folder.join("hba").display());
    cluster.restart(&[&hba]);
    connect(&cluster, "127.0.0.1", SslMode::Prefer, None)
        .await
        .expect("plain");
    let refused = connect(&cluster, "127.0.0.1", SslMode::Require, None)
        .await
        .expect_err("no TLS there");
    assert!(
        matches!(&refused, ConnectorError::Unreachable { hint, .. } if hint.contains("enable ssl")),
        "{refused}"
    );
}

/// Rows of some megabytes, through ciphertext or by the driver alone (it makes connections to Unix sockets).
async fn all_rows_come(cluster: &Cluster, connectors: &[&PostgresConnector]) {
    let watcher = connect_watcher(cluster).await;
    watcher
        .batch_execute(
            "CREATE TABLE many AS SELECT i AS id, CASE WHEN i % 10 > 0 THEN repeat(md5(i::text), i % 20) END AS filler \
             FROM generate_series(1, 60000) AS i",
        )
        .await
        .expect("table");
    let expected: Vec<(String, Option<String>)> = watcher
        .query("SELECT id::text, filler FROM many ORDER BY many.id", &[])
        .await
        .expect("rows")
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect();
    for connector in connectors {
        let batches = support::read_table(connector, "many").await.expect("rows");
        let ids = support::column_text(&batches, 0);
        let mut rows: Vec<(String, Option<String>)> = ids
            .into_iter()
            .map(|id| id.expect("never NULL"))
            .zip(support::column_text(&batches, 1))
            .collect();
        rows.sort_by_key(|(id, _)| id.parse::<u32>().expect("a number"));
        assert!(rows == expected, "{} rows", rows.len());
    }
}

/// The cancel request travels encrypted too: this server takes nothing else.
async fn cancel_over_tls(cluster: &Cluster, ca_file: Option<PathBuf>) {
    use futures::StreamExt;
    let connector = connect(cluster, "localhost", SslMode::VerifyFull, ca_file)
        .await
        .expect("connected");
    let watcher = connect_watcher(cluster).await;
    watcher
        .batch_execute("CREATE VIEW silent AS SELECT 1 AS i FROM (SELECT pg_sleep(60)) AS pause")
        .await
        .expect("view");
    let metadata = support::table(&connector, "silent").await;
    let plan = connector
        .plan_scan(&support::request(&metadata))
        .await
        .expect("planned");
    let mut stream = connector.open(&plan, 0, support::context());
    assert!(
        tokio::time::timeout(std::time::Duration::from_millis(300), stream.next())
            .await
            .is_err()
    );
    drop(stream);
    tokio::time::sleep(std::time::Duration::from_millis(900)).await;
    let running = watcher
        .simple_query("SELECT pid FROM pg_stat_activity WHERE application_name = 'owlet' AND state = 'active'")
        .await
        .expect("activity");
    let rows = running
        .iter()
        .filter(|message| matches!(message, tokio_postgres::SimpleQueryMessage::Row(_)))
        .count();
    assert_eq!(rows, 0);
}

async fn connect_watcher(cluster: &Cluster) -> tokio_postgres::Client {
    let mut config = tokio_postgres::Config::new();
    config
        .host_path(cluster.folder())
        .port(cluster.port)
        .user("owlet")
        .password("owlet")
        .dbname("postgres");
    let (client, connection) = config
        .connect(tokio_postgres::NoTls)
        .await
        .expect("local connection");
    tokio::spawn(connection);
    client
}
