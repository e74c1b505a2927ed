//! Secrets, parameters and roles, against moto's Secrets Manager, Systems Manager and STS.

use std::sync::Arc;

use owlet_aws::{AwsOptions, IamLogin, Identity, SecretLogin, SecretReference};
use owlet_connector::{ConnectorError, Encryption, Login, LoginProvider, LoginTarget, Refusal};
use serde_json::{Value, json};

const REGION: &str = "eu-central-1";
const POSTGRES: &[&str] = &["postgres", "aurora-postgresql"];

fn endpoint() -> String {
    std::env::var("OWLET_TEST_S3_ENDPOINT")
        .expect("OWLET_TEST_S3_ENDPOINT is not set: run me through `cargo xtask test`")
}

/// What an administrator does: moto looks at the key and the scope of the signature only.
async fn administer(
    key: &str,
    service: &str,
    content_type: &str,
    target: &str,
    body: String,
) -> String {
    let scope = format!("{key}/20261122/{REGION}/{service}/aws4_request");
    let response = reqwest::Client::new()
        .post(endpoint())
        .header("content-type", content_type)
        .header("x-amz-target", target)
        .header(
            "authorization",
            format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0"),
        )
        .body(body)
        .send()
        .await
        .expect("moto answers");
    let status = response.status();
    let text = response.text().await.expect("text");
    assert!(status.is_success(), "{status}: {text}");
    text
}

async fn secrets_manager(key: &str, operation: &str, body: Value) -> Value {
    let target = format!("secretsmanager.{operation}");
    let text = administer(
        key,
        "secretsmanager",
        "application/x-amz-json-1.1",
        &target,
        body.to_string(),
    )
    .await;
    serde_json::from_str(&text).expect("JSON")
}

fn name(purpose: &str) -> String {
    format!("owlet-test/{purpose}-{}", std::process::id())
}

fn options() -> AwsOptions {
    AwsOptions {
        region: Some(REGION.to_owned()),
        access_key_id: Some("test".to_owned()),
        secret_access_key: Some("test".to_owned()),
        endpoint: Some(endpoint()),
        ..AwsOptions::default()
    }
}

fn secret(reference: &str, options: AwsOptions) -> SecretLogin {
    let identity = Arc::new(Identity::new("shop", options).expect("options"));
    let reference = SecretReference::new(reference).expect("reference");
    SecretLogin::new(identity, reference, POSTGRES)
}

async fn login(provider: &dyn LoginProvider) -> Login {
    provider
        .login(&LoginTarget::default())
        .await
        .expect("a login")
}

fn document(password: &str) -> String {
    json!({
        "username": "reader", "password": password, "engine": "postgres",
        "host": "db.example.com", "port": 5433, "dbname": "shop",
    })
    .to_string()
}

#[tokio::test]
async fn a_rotated_secret_is_read_again_when_the_server_refuses_the_old_one() {
    let name = name("rotated");
    let created = secrets_manager(
        "test",
        "CreateSecret",
        json!({ "Name": name, "SecretString": document("first") }),
    )
    .await;
    let arn = created["ARN"].as_str().expect("an ARN").to_owned();
    for reference in [name.clone(), arn] {
        secrets_manager(
            "test",
            "PutSecretValue",
            json!({ "SecretId": name, "SecretString": document("first") }),
        )
        .await;
        let provider = secret(&reference, options());
        assert_eq!(provider.encryption(), Encryption::AsConfigured);
        let first = login(&provider).await;
        assert_eq!(first.user.as_deref(), Some("reader"));
        assert_eq!(first.password.as_deref(), Some("first"));
        assert_eq!(
            (first.host.as_deref(), first.port, first.database.as_deref()),
            (Some("db.example.com"), Some(5433), Some("shop"))
        );
        let target = LoginTarget::default();
        // A wrong password that has not changed is not tried twice.
        assert_eq!(
            provider.refused(&target, &first).await.expect("read"),
            Refusal::Final
        );
        secrets_manager(
            "test",
            "PutSecretValue",
            json!({ "SecretId": name, "SecretString": document("second") }),
        )
        .await;
        assert_eq!(login(&provider).await, first, "not read without need");
        for _ in 0..2 {
            assert_eq!(
                provider.refused(&target, &first).await.expect("read"),
                Refusal::TryAgain
            );
        }
        let second = login(&provider).await;
        assert_eq!(second.password.as_deref(), Some("second"));
    }
}

#[tokio::test]
async fn parameters_hold_documents_or_passwords() {
    for (suffix, text, user) in [
        ("document", document("from-parameter"), Some("reader")),
        ("plain", "from-parameter".to_owned(), None),
    ] {
        let name = format!("/{}-{suffix}", name("parameter"));
        let body = json!({ "Name": name, "Value": text, "Type": "SecureString" });
        administer(
            "test",
            "ssm",
            "application/x-amz-json-1.1",
            "AmazonSSM.PutParameter",
            body.to_string(),
        )
        .await;
        let login = login(&secret(&format!("ssm:{name}"), options())).await;
        assert_eq!(login.password.as_deref(), Some("from-parameter"));
        assert_eq!(login.user.as_deref(), user);
    }
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_named() {
    for reference in ["owlet-test/nowhere", "ssm:/owlet-test/nowhere"] {
        let error = secret(reference, options())
            .login(&LoginTarget::default())
            .await
            .expect_err("nothing there");
        let text = error.to_string();
        assert!(
            matches!(error, ConnectorError::Configuration { .. }),
            "{text}"
        );
        assert!(text.contains("owlet-test/nowhere"), "{text}");
    }
    let name = name("mysql");
    let text = json!({ "username": "u", "password": "hunter2", "engine": "mysql" }).to_string();
    secrets_manager(
        "test",
        "CreateSecret",
        json!({ "Name": name, "SecretString": text }),
    )
    .await;
    let error = secret(&name, options())
        .login(&LoginTarget::default())
        .await
        .expect_err("another engine");
    let text = error.to_string();
    assert!(
        text.contains("mysql") && !text.contains("hunter2"),
        "{text}"
    );
}

#[tokio::test]
async fn a_role_of_another_account_reads_that_accounts_secrets() {
    let role = "arn:aws:iam::210987654321:role/reader";
    let answer = administer(
        "test",
        "sts",
        "application/x-www-form-urlencoded",
        "",
        format!("Action=AssumeRole&Version=2011-06-15&RoleArn={role}&RoleSessionName=test"),
    )
    .await;
    let (_, rest) = answer.split_once("<AccessKeyId>").expect("a key");
    let (key, _) = rest.split_once('<').expect("a key");
    let name = name("elsewhere");
    secrets_manager(
        key,
        "CreateSecret",
        json!({ "Name": name, "SecretString": document("cross-account") }),
    )
    .await;

    let own = secret(&name, options())
        .login(&LoginTarget::default())
        .await;
    assert!(own.is_err(), "the secret is in the other account only");
    let assumed = AwsOptions {
        role_arn: Some(role.to_owned()),
        external_id: Some("agreed".to_owned()),
        ..options()
    };
    let login = login(&secret(&name, assumed.clone())).await;
    assert_eq!(login.password.as_deref(), Some("cross-account"));

    let identity = Arc::new(Identity::new("shop", assumed).expect("options"));
    let target = LoginTarget {
        host: Some("shop.c1xyz.us-west-2.rds.amazonaws.com".to_owned()),
        port: Some(5432),
        user: Some("reader".to_owned()),
    };
    let provider = IamLogin::new(identity);
    assert_eq!(provider.encryption(), Encryption::Required);
    let token = provider
        .login(&target)
        .await
        .expect("a token")
        .password
        .expect("a token");
    // The configured region wins over the host's; a role's session has a token.
    assert!(token.contains(&format!("%2F{REGION}%2Frds-db")), "{token}");
    assert!(token.contains("&X-Amz-Security-Token="), "{token}");
}

#[tokio::test]
async fn tokens_need_a_user_and_a_host() {
    let identity = Arc::new(Identity::new("shop", options()).expect("options"));
    let error = IamLogin::new(identity)
        .login(&LoginTarget {
            host: Some("db.example.com".to_owned()),
            port: Some(5432),
            user: None,
        })
        .await
        .expect_err("no user");
    assert!(
        matches!(error, ConnectorError::Configuration { .. }),
        "{error}"
    );
}
