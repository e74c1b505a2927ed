//! What MySQL 8 has and MariaDB lacks, on the wire: RDS's way to ask for tokens, `caching_sha2_password`, JSON columns.

mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use async_trait::async_trait;
use futures::TryStreamExt;
use owlet_connector::{
    Connector, ConnectorError, Encryption, Login as Identity, LoginProvider, LoginTarget, Refusal,
};
use owlet_mysql::{MysqlConnector, MysqlOptions, SslMode};
use support::impostor::{Answer, Heard, Impostor, Login, NONCE, WireColumn, counted};
use support::server::certificates;
use support::{Database, context, recorder, request, table, texts};

const PASSWORD: &str = "hunter2";

/// A token that must travel encrypted, like those of RDS.
#[derive(Debug)]
struct Token;

#[async_trait]
impl LoginProvider for Token {
    async fn login(&self, target: &LoginTarget) -> owlet_connector::Result<Identity> {
        assert!(target.host.is_some() && target.port.is_some());
        Ok(Identity {
            password: Some(PASSWORD.to_owned()),
            ..Identity::default()
        })
    }

    async fn refused(&self, _: &LoginTarget, _: &Identity) -> owlet_connector::Result<Refusal> {
        Ok(Refusal::Final)
    }

    fn encryption(&self) -> Encryption {
        Encryption::Required
    }
}

fn options(server: &Impostor, host: &str) -> MysqlOptions {
    let mut options = MysqlOptions::new(format!("mysql://reader@{host}:{}", server.port));
    options.password = Some(PASSWORD.to_owned());
    options
}

/// Connects, and asks for something that only needs a session.
async fn attempt(options: MysqlOptions) -> Result<(), ConnectorError> {
    let connector = MysqlConnector::new("my", options)?;
    owlet_remote_sql::SqlConnector::dialect(&connector)
        .await
        .map(|_| ())
}

async fn heard(server: &Impostor) -> Vec<Heard> {
    let mut all = Vec::new();
    for _ in 0..100 {
        all.extend(server.heard());
        if !all.is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    all
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|window| window == text.as_bytes())
}

fn never_told(heard: &[Heard]) {
    for connection in heard {
        assert!(!contains(&connection.plain, PASSWORD));
        assert!(
            connection
                .packets
                .iter()
                .all(|packet| !contains(packet, PASSWORD))
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_sent_as_it_is_inside_tls_only() {
    let folder = certificates();
    let server = Impostor::start(Login::Clear, Some(folder.path()), Answer::default());
    let token = |host: &str, ca_file: Option<&Path>| {
        let mut options = options(&server, host);
        options.password = None;
        options.login = Some(Arc::new(Token));
        options.ca_file = ca_file.map(Path::to_owned);
        options
    };
    for options in [
        token("127.0.0.1", None),
        MysqlOptions {
            sslmode: Some(SslMode::VerifyFull),
            ..token("localhost", Some(&folder.path().join("ca.crt")))
        },
    ] {
        attempt(options).await.expect("logged in");
        let heard = heard(&server).await;
        assert!(heard[0].encrypted);
        assert_eq!(heard[0].packets[1], b"hunter2\0");
        assert!(!contains(&heard[0].plain, PASSWORD));
    }

    // The wrong authority, then a server without TLS: nothing is told.
    let wrong = MysqlOptions {
        sslmode: Some(SslMode::VerifyFull),
        ..token("localhost", Some(&folder.path().join("other.crt")))
    };
    attempt(wrong).await.expect_err("not trusted");
    never_told(&heard(&server).await);
    let plain = Impostor::start(Login::Clear, None, Answer::default());
    let mut options = options(&plain, "127.0.0.1");
    options.password = None;
    options.login = Some(Arc::new(Token));
    let error = attempt(options).await.expect_err("no TLS there");
    assert!(error.to_string().contains("ssl"), "{error}");
    never_told(&heard(&plain).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_is_sent_as_it_is_to_verified_servers_only() {
    let folder = certificates();
    let server = Impostor::start(Login::Clear, Some(folder.path()), Answer::default());
    let plain = Impostor::start(Login::Clear, None, Answer::default());
    for (server, mode) in [
        (&plain, SslMode::Disable),
        (&plain, SslMode::Prefer),
        (&server, SslMode::Prefer),
        (&server, SslMode::Require),
    ] {
        let mut options = options(server, "127.0.0.1");
        options.sslmode = Some(mode);
        let error = attempt(options).await.expect_err("not sent");
        assert!(
            matches!(&error, ConnectorError::Authentication { hint, .. } if hint.contains("verify-full")),
            "{mode:?}: {error}"
        );
        never_told(&heard(server).await);
    }
    let mut options = options(&server, "localhost");
    options.sslmode = Some(SslMode::VerifyFull);
    options.ca_file = Some(folder.path().join("ca.crt"));
    attempt(options).await.expect("verified");
    assert_eq!(heard(&server).await[0].packets[1], b"hunter2\0");
}

/// SHA256(password) XOR SHA256(SHA256(SHA256(password)), nonce), computed by Python's hashlib.
const SCRAMBLE: [u8; 32] = [
    0x38, 0xc3, 0x2b, 0x38, 0x72, 0x3a, 0xff, 0xcd, 0xa5, 0x7b, 0x36, 0x8b, 0x56, 0x5b, 0xac, 0x62,
    0x8d, 0x5a, 0x85, 0x24, 0x28, 0xb4, 0x02, 0xc2, 0x5c, 0x4a, 0xe0, 0x36, 0xa4, 0xfd, 0x90, 0x4f,
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caching_sha2_password_when_the_server_remembers() {
    let server = Impostor::start(Login::Cached, None, Answer::default());
    let mut plain = options(&server, "127.0.0.1");
    plain.sslmode = Some(SslMode::Disable);
    attempt(plain).await.expect("logged in");
    let heard = heard(&server).await;
    let login = &heard[0].packets[0];
    assert!(
        login
            .windows(SCRAMBLE.len())
            .any(|window| window == SCRAMBLE),
        "{login:?}"
    );
    never_told(&heard);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn caching_sha2_password_in_full() {
    let folder = certificates();
    let public_key = std::fs::read_to_string(folder.path().join("server.pub")).expect("the key");
    let login = || Login::Uncached {
        public_key: public_key.clone(),
    };

    // Inside TLS the password itself.
    let server = Impostor::start(login(), Some(folder.path()), Answer::default());
    let mut verified = options(&server, "localhost");
    verified.sslmode = Some(SslMode::VerifyFull);
    verified.ca_file = Some(folder.path().join("ca.crt"));
    attempt(verified).await.expect("logged in");
    let told = heard(&server).await;
    assert_eq!(told[0].packets[1], b"hunter2\0");
    assert!(!contains(&told[0].plain, PASSWORD));

    // Without TLS: encrypted with the server's public key, which is asked for.
    let server = Impostor::start(login(), None, Answer::default());
    let mut plain = options(&server, "127.0.0.1");
    plain.sslmode = Some(SslMode::Disable);
    attempt(plain).await.expect("logged in");
    let told = heard(&server).await;
    never_told(&told);
    assert_eq!(told[0].packets[1], [2], "asks for the key");
    let mixed = decrypted(folder.path(), &told[0].packets[2]);
    let password: Vec<u8> = mixed
        .iter()
        .zip(NONCE.iter().cycle())
        .map(|(byte, nonce)| byte ^ nonce)
        .collect();
    assert_eq!(password, b"hunter2\0");
}

/// RSA with OAEP padding, by OpenSSL.
fn decrypted(folder: &Path, bytes: &[u8]) -> Vec<u8> {
    std::fs::write(folder.join("encrypted"), bytes).expect("written");
    let output = Command::new("openssl")
        .args([
            "pkeyutl",
            "-decrypt",
            "-inkey",
            "server.key",
            "-in",
            "encrypted",
        ])
        .args(["-pkeyopt", "rsa_padding_mode:oaep"])
        .current_dir(folder)
        .stderr(Stdio::inherit())
        .output()
        .expect("openssl");
    assert!(output.status.success());
    output.stdout
}

/// MySQL has a JSON type of its own (245), of the character set `binary`, where MariaDB has text.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_columns() {
    let database = Database::create("json_wire").await;
    database
        .run("CREATE TABLE t (id INT NOT NULL, doc JSON)")
        .await;
    let planner = database.connector();
    let metadata = table(&planner, &database, "t").await;
    let plan = planner
        .plan_scan(&request(&metadata))
        .await
        .expect("planned");
    let document = "{\"a\": [1, 2.5, null], \"ü\": \"\\\"\"}";
    let answer = Answer {
        columns: vec![
            WireColumn {
                name: "id",
                column_type: 0x03,
                charset: 63,
                flags: 1,
            },
            WireColumn {
                name: "doc",
                column_type: 0xf5,
                charset: 63,
                flags: 0x90,
            },
        ],
        rows: vec![
            vec![
                Some(1_i32.to_le_bytes().to_vec()),
                Some(counted(document.as_bytes())),
            ],
            vec![Some(2_i32.to_le_bytes().to_vec()), None],
        ],
    };
    let server = Impostor::start(Login::Cached, None, answer);
    let connector =
        MysqlConnector::new("my", options(&server, "127.0.0.1")).expect("valid options");
    let batches: Vec<_> = connector
        .open(&plan, 0, context(recorder()))
        .try_collect()
        .await
        .expect("rows");
    assert_eq!(
        texts(&batches, 0),
        [Some("1".to_owned()), Some("2".to_owned())]
    );
    assert_eq!(texts(&batches, 1), [Some(document.to_owned()), None]);
}
