//! The examples of docs/aws.md, run against emulated AWS services and the test PostgreSQL server.

use std::process::{Command, Output};

use crate::harness::Place;

const PAGE: &str = include_str!("../../../../docs/aws.md");

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

/// Secret, parameter, and the secret in the role's account, as RDS and an administrator would keep them.
const ADMINISTRATOR: &str = r#"
import sys, json, boto3
endpoint, document = sys.argv[1:3]
def client(service, **more):
    keys = dict(aws_access_key_id='test', aws_secret_access_key='test')
    keys.update(more)
    return boto3.client(service, region_name='eu-central-1', endpoint_url=endpoint, **keys)
def keep(manager):
    try:
        manager.create_secret(Name='prod/shop', SecretString=document)
    except manager.exceptions.ResourceExistsException:
        manager.put_secret_value(SecretId='prod/shop', SecretString=document)
keep(client('secretsmanager'))
client('ssm').put_parameter(Name='/prod/shop', Value=document, Type='SecureString', Overwrite=True)
assumed = client('sts').assume_role(RoleArn='arn:aws:iam::210987654321:role/reader', RoleSessionName='test')['Credentials']
keep(client('secretsmanager', aws_access_key_id=assumed['AccessKeyId'],
    aws_secret_access_key=assumed['SecretAccessKey'], aws_session_token=assumed['SessionToken']))
"#;

fn administer() {
    let url = url::Url::parse(&variable("OWLET_TEST_POSTGRES_URL")).expect("a URL");
    let document = serde_json::json!({
        "username": url.username(),
        "password": url.password().expect("a password"),
        "host": url.host_str().expect("a host"),
        "port": url.port().expect("a port"),
        "dbname": url.path().trim_start_matches('/'),
        "engine": "postgres",
    });
    let output = Command::new(variable("OWLET_TEST_PYTHON"))
        .args(["-c", ADMINISTRATOR, &variable("OWLET_TEST_S3_ENDPOINT")])
        .arg(document.to_string())
        .output()
        .expect("python runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Runs the binary with an AWS identity in its environment.
fn run(place: &Place, arguments: &[&str]) -> Output {
    place
        .command(arguments)
        .env("AWS_ENDPOINT_URL", variable("OWLET_TEST_S3_ENDPOINT"))
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .expect("the binary runs")
}

const QUESTION: &str = "SELECT typname FROM shop.pg_catalog.pg_type WHERE typname = 'bool'";

#[test]
fn secrets_parameters_and_roles_lead_to_the_database() {
    administer();
    for name in ["secret", "parameter", "role"] {
        let place = Place::empty();
        place.write("owlet.toml", example(name));
        let output = run(&place, &["query", QUESTION]);
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "typname\nbool\n",
            "{name}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let place = Place::empty();
    place.write("owlet.toml", example("profile"));
    place.write(
        "aws",
        "[profile production]\nregion = eu-central-1\naws_access_key_id = test\naws_secret_access_key = test\n",
    );
    let output = place
        .command(&["query", QUESTION])
        .env(
            "AWS_ENDPOINT_URL_SECRETS_MANAGER",
            variable("OWLET_TEST_S3_ENDPOINT"),
        )
        .env("AWS_CONFIG_FILE", place.path("aws"))
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .expect("the binary runs");
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "typname\nbool\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn every_example_is_a_valid_configuration() {
    let mut examples = 0;
    for block in PAGE.split("```toml\n").skip(1) {
        let text = block.split_once("```").expect("the block's end").0;
        let place = Place::empty();
        place.write("owlet.toml", text);
        let output = run(&place, &["catalogs"]);
        assert!(
            output.status.success(),
            "{text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        examples += 1;
    }
    assert!(examples >= 7, "{examples}");
}

#[test]
fn tokens_are_refused_without_tls() {
    let place = Place::empty();
    place.write(
        "owlet.toml",
        &format!("{}sslmode = \"prefer\"\n", example("iam")),
    );
    let output = run(&place, &["catalogs"]);
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("needs TLS"), "{text}");
}

#[test]
fn a_running_query_is_shown() {
    let place = Place::empty();
    place.write(
        "owlet.toml",
        &format!(
            "[catalog.shop]\nconnector = \"postgres\"\nurl = \"{}\"\nmax_concurrent_queries = 1\n",
            variable("OWLET_TEST_POSTGRES_URL")
        ),
    );
    let slow = "SELECT * FROM TABLE(shop.system.query(query => 'SELECT 1 AS i FROM (SELECT pg_sleep(30)) AS pause'))";
    let start = || {
        place
            .command(&["query", slow])
            .env("OWLET_RUNTIME_DIR", place.path("runtime"))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .expect("the binary runs")
    };
    let mut first = start();
    let shown = |wanted: &dyn Fn(&[serde_json::Value]) -> bool| {
        for _ in 0..100 {
            let output = place
                .command(&["sources", "-o", "json"])
                .env("OWLET_RUNTIME_DIR", place.path("runtime"))
                .output()
                .expect("the binary runs");
            let rows: Vec<serde_json::Value> =
                serde_json::from_slice(&output.stdout).expect("JSON");
            if wanted(&rows) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("it is not shown");
    };
    let id = i64::from(first.id());
    shown(&|rows| {
        rows.iter().any(|row| {
            row["process"] == id
                && row["catalog"] == "shop"
                && row["connector"] == "postgres"
                && row["statements"] == 1
                && row["connections"].as_i64() >= Some(1)
        })
    });
    let mut second = start();
    let waiting = i64::from(second.id());
    shown(&|rows| {
        rows.iter().any(|row| {
            row["process"] == waiting
                && row["doing"]
                    .as_str()
                    .is_some_and(|text| text.starts_with("waiting for a place at catalog shop"))
        })
    });
    // Killed processes leave files behind, but are not shown.
    first.kill().expect("killed");
    first.wait().expect("ended");
    second.kill().expect("killed");
    second.wait().expect("ended");
    shown(&|rows| rows.is_empty());
}
