//! MySQL and MariaDB catalogs, run against the test MariaDB server and emulated AWS services.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use crate::harness::Place;

const PAGE: &str = include_str!("../../../../docs/aws.md");
const OWN_PAGE: &str = include_str!("../../../../docs/connectors/mysql.md");

fn variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run me through `cargo xtask test`"))
}

/// The configuration behind `<!-- example: NAME -->`.
fn example(name: &str) -> &'static str {
    let (_, rest) = PAGE
        .split_once(&format!("<!-- example: {name} -->"))
        .expect("the page marks the example");
    let (_, rest) = rest.split_once("```toml\n").expect("a block");
    rest.split_once("```").expect("the block's end").0
}

/// Address of the test server.
struct Server {
    url: url::Url,
}

impl Server {
    fn new() -> Self {
        let url = url::Url::parse(&variable("OWLET_TEST_MYSQL_URL")).expect("a URL");
        Self { url }
    }

    fn port(&self) -> u16 {
        self.url.port().expect("a port")
    }

    /// Runs statements by the server's own client; the lines of the answer.
    fn run(&self, sql: &str) -> Vec<String> {
        let password = self.url.password().expect("a password");
        let output = Command::new("mariadb")
            .args(["--no-defaults", "-N", "-B", "-e", sql])
            .arg(format!("-h{}", self.url.host_str().expect("a host")))
            .arg(format!("-P{}", self.port()))
            .arg(format!("-u{}", self.url.username()))
            .arg(format!("-p{password}"))
            .output()
            .expect("the client runs");
        assert!(
            output.status.success(),
            "{sql}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// Ends the connections of an account.
    fn kill_connections_of(&self, user: &str) {
        let ids = format!("SELECT ID FROM information_schema.PROCESSLIST WHERE USER = '{user}'");
        for id in self.run(&ids) {
            self.run(&format!("KILL {id}"));
        }
    }
}

/// A database that is dropped with this value.
struct Database<'a> {
    server: &'a Server,
    name: String,
}

impl<'a> Database<'a> {
    fn create(server: &'a Server, purpose: &str) -> Self {
        let name = format!("owlet_cli_{purpose}_{}", std::process::id());
        server.run(&format!("CREATE OR REPLACE DATABASE {name}"));
        Self { server, name }
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        self.server
            .run(&format!("DROP DATABASE IF EXISTS {}", self.name));
    }
}

fn answer(place: &Place, sql: &str) -> String {
    let output = place
        .command(&["query", "-o", "csv", sql])
        .output()
        .expect("the binary runs");
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

#[test]
fn the_url_s_database_is_the_schema_of_names_without_one() {
    let server = Server::new();
    let database = Database::create(&server, "names");
    let name = &database.name;
    server.run(&format!(
        "CREATE TABLE {name}.Goods (i INT); INSERT INTO {name}.Goods VALUES (7)"
    ));
    let place = Place::empty();
    let catalog = |name: &str, path: &str| {
        format!(
            "[catalog.{name}]\nconnector = \"mysql\"\nurl = \"{}/{path}\"\n",
            server.url.as_str().trim_end_matches('/')
        )
    };
    place.write("owlet.toml", &catalog("shop", name));
    for table in [
        "goods".to_owned(),
        "shop.goods".to_owned(),
        format!("{name}.goods"),
        format!("shop.{name}.GOODS"),
    ] {
        let sql = format!("SELECT i FROM {table}");
        assert_eq!(answer(&place, &sql), "i\n7\n", "{sql}");
    }
    assert!(answer(&place, "SHOW TABLES").contains("Goods"));
    assert!(answer(&place, "SHOW TABLES IN shop").contains("Goods"));

    // Not the default catalog, and without a database.
    place.write(
        "owlet.toml",
        &format!("{}{}", catalog("awsdatacatalog", ""), catalog("shop", name)),
    );
    assert_eq!(answer(&place, "SELECT i FROM shop.goods"), "i\n7\n");
    let text = answer(&place, "SELECT i FROM goods");
    assert!(text.contains("table goods does not exist"), "{text}");
}

/// Keeps a secret, as RDS would.
const KEEP: &str = r#"
import sys, boto3
endpoint, name, document = sys.argv[1:4]
keys = dict(aws_access_key_id='test', aws_secret_access_key='test')
manager = boto3.client('secretsmanager', region_name='eu-central-1', endpoint_url=endpoint, **keys)
try:
    manager.create_secret(Name=name, SecretString=document)
except manager.exceptions.ResourceExistsException:
    manager.put_secret_value(SecretId=name, SecretString=document)
boto3.client('ssm', region_name='eu-central-1', endpoint_url=endpoint, **keys).put_parameter(
    Name='/' + name, Value=document, Type='SecureString', Overwrite=True)
"#;

fn keep(name: &str, document: &serde_json::Value) {
    let output = Command::new(variable("OWLET_TEST_PYTHON"))
        .args(["-c", KEEP, &variable("OWLET_TEST_S3_ENDPOINT"), name])
        .arg(document.to_string())
        .output()
        .expect("python runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn with_identity(mut command: Command) -> Command {
    command
        .env("AWS_ENDPOINT_URL", variable("OWLET_TEST_S3_ENDPOINT"))
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_REGION", "eu-central-1")
        .env("AWS_EC2_METADATA_DISABLED", "true");
    command
}

fn document(server: &Server, user: &str, password: &str, database: &str) -> serde_json::Value {
    serde_json::json!({
        "username": user,
        "password": password,
        "host": "127.0.0.1",
        "port": server.port(),
        "dbname": database,
        "engine": "mariadb",
    })
}

#[test]
fn a_rotation_in_the_middle_of_a_session_needs_no_restart() {
    let server = Server::new();
    let database = Database::create(&server, "rotation");
    let name = &database.name;
    let user = format!("cli_rotation_{}", std::process::id());
    server.run(&format!(
        "CREATE TABLE {name}.t (i INT); INSERT INTO {name}.t VALUES (1), (2); \
         CREATE OR REPLACE USER {user} IDENTIFIED BY 'first'; GRANT SELECT ON {name}.* TO {user}"
    ));
    let secret = format!("owlet/{user}");
    keep(&secret, &document(&server, &user, "first", name));
    let place = Place::empty();
    place.write(
        "owlet.toml",
        &format!("[catalog.shop]\nconnector = \"mysql\"\nsecret = \"{secret}\"\n"),
    );
    let mut shell = with_identity(place.command(&["shell", "-o", "csv"]))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("the binary runs");
    let mut input = shell.stdin.take().expect("piped");
    let mut lines = BufReader::new(shell.stdout.take().expect("piped")).lines();
    let mut ask = |mark: u32| {
        let end = format!("end of {mark}");
        writeln!(
            input,
            "SELECT count(*) + {mark} AS n FROM shop.{name}.t;\nSELECT '{end}' AS e;"
        )
        .expect("written");
        input.flush().expect("flushed");
        let said: Vec<String> = lines
            .by_ref()
            .map_while(Result::ok)
            .take_while(|line| *line != end)
            .collect();
        assert!(said.contains(&(mark + 2).to_string()), "{said:?}");
    };
    ask(100);
    server.run(&format!("ALTER USER {user} IDENTIFIED BY 'second'"));
    keep(&secret, &document(&server, &user, "second", name));
    server.kill_connections_of(&user);
    ask(200);
    drop(input);
    shell.wait().expect("it ends");
    server.run(&format!("DROP USER {user}"));
}

#[test]
fn the_page_s_secret_and_parameter_lead_to_the_database() {
    let server = Server::new();
    let database = Database::create(&server, "secret");
    let password = server.url.password().expect("a password");
    let login = document(&server, server.url.username(), password, &database.name);
    keep("prod/goods", &login);
    server.run(&format!(
        "CREATE TABLE {0}.t (i INT); INSERT INTO {0}.t VALUES (5)",
        database.name
    ));
    for name in ["mysql-secret", "mysql-parameter"] {
        let place = Place::empty();
        place.write("owlet.toml", example(name));
        place.write("rds-ca.pem", "");
        let output = with_identity(place.command(&[
            "query",
            "-o",
            "csv",
            &format!("SELECT i FROM shop.{}.t", database.name),
        ]))
        .output()
        .expect("the binary runs");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "i\n5\n",
            "{name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn tokens_are_refused_without_tls() {
    let place = Place::empty();
    place.write(
        "owlet.toml",
        &format!("{}sslmode = \"prefer\"\n", example("mysql-iam")),
    );
    let output = with_identity(place.command(&["catalogs"]))
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("needs TLS"), "{text}");
}

#[test]
fn every_example_of_the_page_is_a_valid_configuration() {
    let mut examples = 0;
    for block in OWN_PAGE.split("```toml\n").skip(1) {
        let text = block.split_once("```").expect("the block's end").0;
        let place = Place::empty();
        place.write("owlet.toml", text);
        let output = place
            .command(&["catalogs"])
            .output()
            .expect("the binary runs");
        assert!(
            output.status.success(),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        examples += 1;
    }
    assert!(examples >= 2, "{examples}");
}

#[test]
fn the_manners_of_a_guest() {
    let server = Server::new();
    let database = Database::create(&server, "manners");
    let name = &database.name;
    server.run(&format!(
        "CREATE TABLE {name}.open (i INT); CREATE TABLE {name}.tmp_1 (i INT); INSERT INTO {name}.open VALUES (1)"
    ));
    let place = Place::empty();
    let catalog = format!(
        "[catalog.shop]\nconnector = \"mysql\"\nurl = \"{}/{name}\"\n",
        server.url.as_str().trim_end_matches('/')
    );
    let guest = "max_connections = 2\nmax_concurrent_queries = 1\nstatement_timeout = \"1m\"\nlock_timeout = \"5s\"\n\
                 read_only = true\n";
    place.write(
        "owlet.toml",
        &format!("{catalog}{guest}exclude = [\"*.tmp_*\"]\n"),
    );
    assert_eq!(answer(&place, "SELECT i FROM shop.open"), "i\n1\n");
    assert!(!answer(&place, "SHOW TABLES IN shop").contains("tmp_1"));
    assert!(answer(&place, "SELECT i FROM shop.tmp_1").contains("tmp_1"));

    place.write(
        "owlet.toml",
        &format!("{catalog}allow = \"0 4 29 2 *\"\nallow_time_zone = \"UTC\"\n"),
    );
    let output = place
        .command(&["query", "SELECT i FROM shop.open"])
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(5));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("04:00 UTC"), "{text}");

    place.write("owlet.toml", &format!("{catalog}read_only = false\n"));
    let output = place
        .command(&["catalogs"])
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn the_work_report_says_as_of_when() {
    let server = Server::new();
    let database = Database::create(&server, "asof");
    let name = &database.name;
    server.run(&format!(
        "CREATE TABLE {name}.a (i INT PRIMARY KEY, x DOUBLE); CREATE TABLE {name}.b (i INT PRIMARY KEY, x DOUBLE); \
         INSERT INTO {name}.a VALUES (1, 1); INSERT INTO {name}.b VALUES (1, 1)"
    ));
    let place = Place::empty();
    place.write(
        "owlet.toml",
        &format!(
            "[catalog.shop]\nconnector = \"mysql\"\nurl = \"{}/{name}\"\n",
            server.url.as_str().trim_end_matches('/')
        ),
    );
    // A join of doubles is not pushed: two scans.
    let output = place
        .command(&[
            "query",
            "--work",
            "-o",
            "csv",
            "SELECT a.i FROM a JOIN b ON a.x = b.x",
        ])
        .output()
        .expect("the binary runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "i\n1\n");
    let report: serde_json::Value = serde_json::from_slice(&output.stderr).expect("the report");
    let sources = report["sources"].as_array().expect("sources");
    assert_eq!(sources.len(), 2, "{report}");
    for source in sources {
        assert_eq!(source["as_of"], source["as_of_until"], "{report}");
        assert_eq!(source["as_of"], sources[0]["as_of"], "{report}");
    }
    assert_eq!(report["skew_ms"], 0.0, "{report}");
}
