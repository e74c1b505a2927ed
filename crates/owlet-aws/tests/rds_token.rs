//! RDS tokens are those of botocore's `generate_db_auth_token`, byte for byte, under a fixed clock.

use std::process::Command;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use owlet_aws::auth_token;

/// 2026-11-22T12:34:56Z.
const CLOCK: u64 = 1_795_350_896;

struct Case {
    host: &'static str,
    port: u16,
    user: &'static str,
    region: &'static str,
    session: Option<&'static str>,
}

const CASES: &[Case] = &[
    Case {
        host: "shop.c1xyz.eu-central-1.rds.amazonaws.com",
        port: 5432,
        user: "reader",
        region: "eu-central-1",
        session: None,
    },
    Case {
        host: "shop.cluster-ro-c1xyz.us-east-1.rds.amazonaws.com",
        port: 3306,
        user: "Ünser user+1@firm/x~y",
        region: "us-east-1",
        session: Some("IQoJb3JpZ2luX2VjEPT//////////wEaCXVzLWVhc3QtMSJH+MEUC/IQ=="),
    },
    Case {
        host: "db.example.com",
        port: 443,
        user: "a b",
        region: "cn-north-1",
        session: Some("short"),
    },
];

fn token(case: &Case) -> String {
    let credentials = Credentials::new(
        "AKIDEXAMPLE",
        "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
        case.session.map(str::to_owned),
        None,
        "test",
    );
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(CLOCK);
    auth_token(
        case.host,
        case.port,
        case.user,
        case.region,
        &credentials,
        now,
    )
    .expect("a token")
}

/// botocore 1.43.11's answer to the first case.
#[test]
fn a_recorded_token() {
    assert_eq!(token(&CASES[0]), RECORDED);
}

const RECORDED: &str = "shop.c1xyz.eu-central-1.rds.amazonaws.com:5432/?Action=connect&DBUser=reader&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20261122%2Feu-central-1%2Frds-db%2Faws4_request&X-Amz-Date=20261122T123456Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host&X-Amz-Signature=09f49ac66585ea33d8ea644484822bed83c22827eeea6730d6c8b2ce89798684";

const BOTOCORE: &str = r#"
import datetime, sys
import botocore.auth, botocore.session
botocore.auth.get_current_datetime = lambda *_, **__: datetime.datetime.fromtimestamp(
    int(sys.argv[1]), datetime.timezone.utc).replace(tzinfo=None)
host, port, user, region, token = sys.argv[2:7]
session = botocore.session.Session()
client = session.create_client('rds', region_name=region, aws_access_key_id='AKIDEXAMPLE',
    aws_secret_access_key='wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY', aws_session_token=token or None)
sys.stdout.write(client.generate_db_auth_token(host, int(port), user))
"#;

#[test]
fn tokens_are_botocores() {
    let python = std::env::var("OWLET_TEST_PYTHON")
        .expect("OWLET_TEST_PYTHON is not set: run me through `cargo xtask test`");
    for case in CASES {
        let output = Command::new(&python)
            .args(["-c", BOTOCORE])
            .args([
                CLOCK.to_string(),
                case.host.to_owned(),
                case.port.to_string(),
            ])
            .args([case.user, case.region, case.session.unwrap_or_default()])
            .output()
            .expect("python runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let theirs = String::from_utf8(output.stdout).expect("text");
        assert_eq!(token(case), theirs, "{}", case.host);
    }
}
