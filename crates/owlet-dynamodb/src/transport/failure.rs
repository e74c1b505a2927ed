//! What an error answer of DynamoDB means: wait, repeat, renew credentials, or tell the user.
//! Must never know how requests are sent.
//!
//! Names: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html>.

use std::time::Duration;

use owlet_connector::ConnectorError;
use serde::Deserialize;

use super::Target;

/// One failed attempt.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The table is busy: slow down and try again.
    Throttled(ConnectorError),
    /// A passing trouble of network or server: try again a few times.
    Passing(ConnectorError),
    /// The credentials have expired: renew them once.
    Expired(ConnectorError),
    /// Trying again cannot help.
    Final(ConnectorError),
}

impl Failure {
    pub(crate) fn into_error(self) -> ConnectorError {
        match self {
            Self::Throttled(error)
            | Self::Passing(error)
            | Self::Expired(error)
            | Self::Final(error) => error,
        }
    }
}

/// The error of a request that was throttled for longer than the user lets it wait.
pub(crate) fn out_of_patience(error: ConnectorError, patience: Duration) -> ConnectorError {
    let ConnectorError::Source {
        catalog,
        code,
        message,
    } = error
    else {
        return error;
    };
    let code = code.map(|code| format!(" [{code}]")).unwrap_or_default();
    ConnectorError::Timeout {
        catalog,
        message: format!("throttled for longer than {patience:?}{code}: {message}"),
        hint: "run the query when the table is less busy, give the table more read capacity, let Owlet read slower \
               (max_rcu_per_second) or wait longer (throttle_patience)"
            .to_owned(),
    }
}

/// DynamoDB's error document.
#[derive(Debug, Default, Deserialize)]
struct ErrorDocument {
    #[serde(rename = "__type", default)]
    kind: String,
    #[serde(alias = "Message", default)]
    message: String,
}

/// Classifies an HTTP answer that is not a success.
pub(crate) fn classify(catalog: &str, target: Target<'_>, status: u16, body: &[u8]) -> Failure {
    let document: ErrorDocument = serde_json::from_slice(body).unwrap_or_default();
    // `com.amazonaws.dynamodb.v20120810#ThrottlingException`
    let code = document
        .kind
        .rsplit('#')
        .next()
        .unwrap_or_default()
        .to_owned();
    let message = if document.message.is_empty() {
        format!("HTTP status {status}")
    } else {
        document.message
    };
    let source = |message: String| ConnectorError::Source {
        catalog: catalog.to_owned(),
        code: (!code.is_empty()).then(|| code.clone()),
        message,
    };
    match code.as_str() {
        "ProvisionedThroughputExceededException"
        | "ThrottlingException"
        | "Throttling"
        | "RequestLimitExceeded"
        | "LimitExceededException" => {
            Failure::Throttled(source(format!("{} {message}", target.phrase())))
        }
        "ExpiredTokenException" | "ExpiredToken" | "RequestExpired" => {
            Failure::Expired(ConnectorError::Authentication {
                catalog: catalog.to_owned(),
                message: format!("the AWS credentials have expired: {message}"),
                hint: "renew them (for example `aws sso login`) and run the query again".to_owned(),
            })
        }
        "AccessDeniedException" => Failure::Final(ConnectorError::PermissionDenied {
            catalog: catalog.to_owned(),
            object: target.object(),
            message,
            hint: format!(
                "allow the action dynamodb:{} on it in the identity's IAM policy",
                target.operation.action()
            ),
        }),
        "UnrecognizedClientException"
        | "InvalidSignatureException"
        | "IncompleteSignatureException"
        | "MissingAuthenticationTokenException"
        | "MissingAuthenticationToken"
        | "InvalidClientTokenId" => Failure::Final(ConnectorError::Authentication {
            catalog: catalog.to_owned(),
            message,
            hint: "check access key, secret key, region and this machine's clock".to_owned(),
        }),
        "ResourceNotFoundException" => Failure::Final(ConnectorError::TableNotFound {
            catalog: catalog.to_owned(),
            table: target.table.unwrap_or_default().to_owned(),
            hint: format!("DynamoDB says: {message}; is the region right?"),
        }),
        _ if status >= 500 => Failure::Passing(source(format!("{} {message}", target.phrase()))),
        _ if status == 429 => Failure::Throttled(source(format!("{} {message}", target.phrase()))),
        _ => Failure::Final(source(format!("{} {message}", target.phrase()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::Operation;

    fn failure(code: &str, status: u16) -> Failure {
        let body =
            format!(r#"{{"__type":"com.amazonaws.dynamodb.v20120810#{code}","message":"m"}}"#);
        let target = Target {
            operation: Operation::Scan,
            table: Some("orders"),
            index: None,
        };
        classify("events", target, status, body.as_bytes())
    }

    #[test]
    fn throttling_has_many_names() {
        for code in [
            "ProvisionedThroughputExceededException",
            "ThrottlingException",
            "RequestLimitExceeded",
            "LimitExceededException",
        ] {
            assert!(
                matches!(failure(code, 400), Failure::Throttled(_)),
                "{code}"
            );
        }
    }

    #[test]
    fn lasting_throttling_says_what_to_do() {
        let error = failure("ThrottlingException", 400).into_error();
        let text = out_of_patience(error, Duration::from_secs(900)).to_string();
        let start = "catalog events: throttled for longer than 900s [ThrottlingException]: Scan of table orders: m (hint: ";
        assert!(text.starts_with(start), "{text}");
        assert!(text.contains("throttle_patience"), "{text}");
    }

    #[test]
    fn server_errors_pass() {
        assert!(matches!(
            failure("InternalServerError", 500),
            Failure::Passing(_)
        ));
        let target = Target {
            operation: Operation::Scan,
            table: Some("orders"),
            index: None,
        };
        assert!(matches!(
            classify("events", target, 503, b"<html>"),
            Failure::Passing(_)
        ));
    }

    #[test]
    fn denied_access_names_table_and_action() {
        let error = failure("AccessDeniedException", 400).into_error();
        let text = error.to_string();
        assert!(
            text.contains("orders") && text.contains("dynamodb:Scan"),
            "{text}"
        );
    }

    #[test]
    fn the_rest_is_final() {
        assert!(matches!(
            failure("ValidationException", 400),
            Failure::Final(ConnectorError::Source { .. })
        ));
        assert!(matches!(
            failure("ResourceNotFoundException", 400),
            Failure::Final(ConnectorError::TableNotFound { .. })
        ));
        assert!(matches!(
            failure("UnrecognizedClientException", 400),
            Failure::Final(ConnectorError::Authentication { .. })
        ));
        assert!(matches!(
            failure("ExpiredTokenException", 400),
            Failure::Expired(_)
        ));
    }
}
