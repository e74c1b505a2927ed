//! RDS IAM tokens: a presigned URL that the database takes as a password. Must never do I/O.
//!
//! Source: "IAM database authentication for MariaDB, MySQL, and PostgreSQL" (Amazon RDS User Guide); the form is that
//! of botocore's `generate_db_auth_token`, byte for byte, which the tests check.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign,
};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity as SigningIdentity;
use chrono::{DateTime, Utc};

/// How long RDS takes a token for new connections; connections that are open stay open.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(15 * 60);

const SERVICE: &str = "rds-db";

/// The token with which `user` may connect to `host:port` for the next 15 minutes.
///
/// # Errors
/// A message when host or user cannot be part of a URL.
pub fn auth_token(
    host: &str,
    port: u16,
    user: &str,
    region: &str,
    credentials: &Credentials,
    now: SystemTime,
) -> Result<String, String> {
    let operation = format!("Action=connect&DBUser={}", percent_encoded(user));
    let mut settings = SigningSettings::default();
    settings.expires_in = Some(TOKEN_LIFETIME);
    settings.signature_location = SignatureLocation::QueryParams;
    let identity: SigningIdentity = credentials.clone().into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(SERVICE)
        .time(now)
        .settings(settings)
        .build()
        .map_err(|error| error.to_string())?;
    let url = format!("https://{host}:{port}/?{operation}");
    let request = SignableRequest::new("GET", url, std::iter::empty(), SignableBody::empty())
        .map_err(|error| error.to_string())?;
    let (_, signature) = sign(request, &parameters.into())
        .map_err(|error| error.to_string())?
        .into_parts();
    let time = DateTime::<Utc>::from(now);
    let scope = format!(
        "{}/{}/{region}/{SERVICE}/aws4_request",
        credentials.access_key_id(),
        time.format("%Y%m%d")
    );
    let mut token = format!(
        "{host}:{port}/?{operation}&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={}&X-Amz-Date={}\
         &X-Amz-Expires={}&X-Amz-SignedHeaders=host",
        percent_encoded(&scope),
        time.format("%Y%m%dT%H%M%SZ"),
        TOKEN_LIFETIME.as_secs(),
    );
    if let Some(session) = credentials.session_token() {
        token.push_str("&X-Amz-Security-Token=");
        token.push_str(&percent_encoded(session));
    }
    token.push_str("&X-Amz-Signature=");
    token.push_str(&signature);
    Ok(token)
}

/// The region in the name of an RDS instance, cluster or proxy, e.g. `db.c1xyz.eu-central-1.rds.amazonaws.com`.
pub fn region_of_host(host: &str) -> Option<&str> {
    let name = host.trim_end_matches('.');
    let front = name
        .strip_suffix(".rds.amazonaws.com")
        .or_else(|| name.strip_suffix(".rds.amazonaws.com.cn"))?;
    front
        .rsplit('.')
        .next()
        .filter(|region| region.contains('-'))
}

/// RFC 3986: everything but unreserved characters.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_of_hosts() {
        for (host, region) in [
            (
                "db.c1xyz.eu-central-1.rds.amazonaws.com",
                Some("eu-central-1"),
            ),
            (
                "c.cluster-ro-c1xyz.us-gov-west-1.rds.amazonaws.com.",
                Some("us-gov-west-1"),
            ),
            (
                "db.c1xyz.cn-north-1.rds.amazonaws.com.cn",
                Some("cn-north-1"),
            ),
            ("db.example.com", None),
            ("rds.amazonaws.com", None),
        ] {
            assert_eq!(region_of_host(host), region, "{host}");
        }
    }
}
