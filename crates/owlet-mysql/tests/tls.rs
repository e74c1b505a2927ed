//! TLS against a MariaDB server with a certificate authority of its own.

mod support;

use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt;
use owlet_connector::{Connector, ConnectorError};
use owlet_mysql::{MysqlConnector, MysqlOptions, SslMode};
use support::server::{CERTIFICATES, Server};
use support::{context, recorder, request};

async fn connect(
    server: &Server,
    host: &str,
    sslmode: Option<SslMode>,
    ca_file: Option<PathBuf>,
) -> Result<MysqlConnector, ConnectorError> {
    let url = format!("mysql://owlet:owlet@{host}:{}", server.port);
    let mut options = MysqlOptions::new(url);
    options.sslmode = sslmode;
    options.ca_file = ca_file;
    let connector = MysqlConnector::new("my", options)?;
    connector.schemas().await?;
    Ok(connector)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn modes_mean_what_they_mean_to_libpq() {
    let signed = [
        "--ssl-cert=$PWD/server.crt",
        "--ssl-key=$PWD/server.key",
        "--require-secure-transport=ON",
    ];
    let server = Server::start_prepared(&signed, CERTIFICATES);
    let ca = || Some(server.folder().join("ca.crt"));
    let other = || Some(server.folder().join("other.crt"));
    let reach = async |host, mode, ca_file| connect(&server, host, Some(mode), ca_file).await;

    let connector = reach("localhost", SslMode::VerifyFull, ca())
        .await
        .expect("right name, right authority");
    let health = connector.health().await;
    assert!(health.healthy, "{health:?}");
    reach("127.0.0.1", SslMode::VerifyCa, ca())
        .await
        .expect("right authority, any name");
    reach("127.0.0.1", SslMode::Require, ca())
        .await
        .expect("right authority, any name");
    reach("127.0.0.1", SslMode::Require, None)
        .await
        .expect("any certificate");
    reach("127.0.0.1", SslMode::Prefer, None)
        .await
        .expect("any certificate");
    connect(&server, "127.0.0.1", None, None)
        .await
        .expect("this machine is trusted");
    let mut tunnel = MysqlOptions::new(format!(
        "mysql://owlet:owlet@db.example.com:{}?hostaddr=127.0.0.1",
        server.port
    ));
    tunnel.ca_file = ca();
    let error = MysqlConnector::new("my", tunnel)
        .expect("valid options")
        .schemas()
        .await
        .expect_err("the certificate is for localhost");
    assert!(error.to_string().contains("another host name"), "{error}");

    let wrong_name = reach("127.0.0.1", SslMode::VerifyFull, ca())
        .await
        .expect_err("another name");
    assert!(
        matches!(&wrong_name, ConnectorError::Unreachable { hint, .. } if hint.contains("another host name")),
        "{wrong_name}"
    );
    for mode in [SslMode::VerifyFull, SslMode::VerifyCa, SslMode::Require] {
        let wrong = reach("localhost", mode, other())
            .await
            .expect_err("another authority");
        assert!(
            matches!(&wrong, ConnectorError::Unreachable { hint, .. } if hint.contains("ca_file")),
            "{mode:?}: {wrong}"
        );
    }
    let unknown = reach("localhost", SslMode::VerifyFull, None)
        .await
        .expect_err("not a public authority");
    assert!(
        matches!(
            unknown,
            ConnectorError::Unreachable { .. } | ConnectorError::Configuration { .. }
        ),
        "{unknown}"
    );
    let plain = reach("127.0.0.1", SslMode::Disable, None)
        .await
        .expect_err("TLS is demanded");
    assert!(plain.to_string().contains("verify-full"), "{plain}");
    let missing = reach(
        "localhost",
        SslMode::VerifyCa,
        Some(server.folder().join("none.crt")),
    )
    .await;
    assert!(matches!(missing, Err(ConnectorError::Configuration { .. })));

    cancel_over_tls(&server, &connector).await;
}

/// The connection that stops a statement is encrypted too: this server takes nothing else.
async fn cancel_over_tls(server: &Server, connector: &MysqlConnector) {
    server.execute("CREATE DATABASE shop; CREATE VIEW shop.silent AS SELECT SLEEP(60) AS i");
    let metadata = connector
        .table("shop", "silent")
        .await
        .expect("metadata")
        .expect("the view");
    let plan = connector
        .plan_scan(&request(&metadata))
        .await
        .expect("planned");
    let mut stream = connector.open(&plan, 0, context(recorder()));
    let nothing = tokio::time::timeout(Duration::from_millis(400), stream.next()).await;
    assert!(nothing.is_err());
    let running = "SELECT COUNT(*) FROM information_schema.PROCESSLIST \
                   WHERE COMMAND = 'Execute' AND STATE = 'User sleep'";
    assert_eq!(server.execute(running), "1");
    drop(stream);
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(server.execute(running), "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_may_be_its_own_authority() {
    let own = ["--ssl-cert=$PWD/self.crt", "--ssl-key=$PWD/self.key"];
    let server = Server::start_prepared(&own, CERTIFICATES);
    let pinned = || Some(server.folder().join("self.crt"));
    let ca = || Some(server.folder().join("ca.crt"));
    let reach =
        async |host, ca_file| connect(&server, host, Some(SslMode::VerifyFull), ca_file).await;
    reach("localhost", pinned())
        .await
        .expect("the very certificate");
    assert!(reach("127.0.0.1", pinned()).await.is_err());
    assert!(reach("localhost", ca()).await.is_err());
}
