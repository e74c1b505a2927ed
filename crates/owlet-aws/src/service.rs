//! Signed HTTP to AWS services that speak JSON: address, signature, repetition. Must never know what is asked.

use std::error::Error;
use std::fmt;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_runtime_api::client::identity::Identity as SigningIdentity;
use owlet_connector::ConnectorError;
use serde_json::Value;
use tokio::sync::OnceCell;
use url::Url;

use crate::identity::Identity;

const CONTENT_TYPE: &str = "application/x-amz-json-1.1";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(15);
/// Tries of one request when the network or the service fails for the moment.
const TRIES: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// An AWS service.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Service {
    /// Name in addresses and signatures.
    pub(crate) name: &'static str,
    /// Environment variable that replaces its address.
    pub(crate) endpoint_variable: &'static str,
    /// In front of operation names.
    pub(crate) target: &'static str,
}

pub(crate) const SECRETS_MANAGER: Service = Service {
    name: "secretsmanager",
    endpoint_variable: "AWS_ENDPOINT_URL_SECRETS_MANAGER",
    target: "secretsmanager",
};

pub(crate) const SSM: Service = Service {
    name: "ssm",
    endpoint_variable: "AWS_ENDPOINT_URL_SSM",
    target: "AmazonSSM",
};

/// Sends requests of one identity.
#[derive(Debug, Default)]
pub(crate) struct Client {
    http: OnceCell<reqwest::Client>,
}

enum Failure {
    /// May pass.
    Passing(ConnectorError),
    /// The credentials are no longer taken.
    Expired(ConnectorError),
    Final(ConnectorError),
}

impl Client {
    /// The JSON answer of one operation. `object` names what is asked for, in messages.
    pub(crate) async fn call(
        &self,
        identity: &Identity,
        service: Service,
        region: &str,
        operation: &str,
        body: &Value,
        object: &str,
    ) -> Result<Value, ConnectorError> {
        let address = address(identity, service, region).await?;
        let body = body.to_string();
        let mut pause = FIRST_PAUSE;
        let mut tried = 0;
        let mut renewed = false;
        loop {
            let credentials = identity.credentials().await?;
            let request = signed(&address, service, region, operation, &body, &credentials)?;
            let failure = match self.attempt(identity, request, object).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            match failure {
                Failure::Passing(error) => {
                    tried += 1;
                    if tried == TRIES {
                        return Err(error);
                    }
                    tracing::debug!(%error, tried, "asking AWS again");
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
                Failure::Expired(error) => {
                    if renewed {
                        return Err(error);
                    }
                    renewed = true;
                    identity.discard(&credentials).await;
                }
                Failure::Final(error) => return Err(error),
            }
        }
    }

    async fn attempt(
        &self,
        identity: &Identity,
        request: reqwest::Request,
        object: &str,
    ) -> Result<Value, Failure> {
        let place = request.url().host_str().unwrap_or_default().to_owned();
        let unreachable = |error: &reqwest::Error| {
            Failure::Passing(ConnectorError::Unreachable {
                catalog: identity.catalog().to_owned(),
                message: format!("{place}: {}", with_causes(error)),
                hint: "check region, network (VPC endpoint or NAT) and proxy".to_owned(),
            })
        };
        let http = self.http(identity).await.map_err(Failure::Final)?;
        let response = http
            .execute(request)
            .await
            .map_err(|error| unreachable(&error))?;
        let status = response.status();
        let bytes = response
            .bytes()
            .await
            .map_err(|error| unreachable(&error))?;
        let answer: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        if status.is_success() && answer.is_object() {
            return Ok(answer);
        }
        Err(classify(
            identity.catalog(),
            status.as_u16(),
            &answer,
            object,
        ))
    }

    async fn http(&self, identity: &Identity) -> Result<&reqwest::Client, ConnectorError> {
        self.http
            .get_or_try_init(|| async {
                reqwest::Client::builder()
                    .http1_only()
                    .connect_timeout(CONNECT_TIMEOUT)
                    .timeout(TIMEOUT)
                    .user_agent(concat!("owlet/", env!("CARGO_PKG_VERSION")))
                    .build()
                    .map_err(|error| ConnectorError::Configuration {
                        catalog: identity.catalog().to_owned(),
                        message: format!(
                            "the HTTP client cannot be built: {}",
                            with_causes(&error)
                        ),
                        hint: String::new(),
                    })
            })
            .await
    }
}

/// Option, service's variable, `AWS_ENDPOINT_URL` or the profile's, AWS's own; the order of AWS's own tools.
async fn address(
    identity: &Identity,
    service: Service,
    region: &str,
) -> Result<Url, ConnectorError> {
    let ignored = std::env::var("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
        .is_ok_and(|word| word.eq_ignore_ascii_case("true"));
    let of_service = || {
        std::env::var(service.endpoint_variable)
            .ok()
            .filter(|text| !ignored && !text.is_empty())
    };
    let text = match identity.options().endpoint.clone().or_else(of_service) {
        Some(text) => text,
        None => match identity.aws().await.endpoint_url() {
            Some(url) => url.to_owned(),
            None => service_address(service.name, region),
        },
    };
    Url::parse(&text).map_err(|error| ConnectorError::Configuration {
        catalog: identity.catalog().to_owned(),
        message: format!("{text} is no valid address: {error}"),
        hint: "check region and endpoint".to_owned(),
    })
}

/// AWS's address of a service in a region. Source: the partitions of AWS's endpoint rules.
fn service_address(service: &str, region: &str) -> String {
    let suffix = match region {
        region if region.starts_with("cn-") => "amazonaws.com.cn",
        region if region.starts_with("us-iso-") => "c2s.ic.gov",
        region if region.starts_with("us-isob-") => "sc2s.sgov.gov",
        region if region.starts_with("eusc-") => "amazonaws.eu",
        _ => "amazonaws.com",
    };
    format!("https://{service}.{region}.{suffix}/")
}

fn signed(
    address: &Url,
    service: Service,
    region: &str,
    operation: &str,
    body: &str,
    credentials: &Credentials,
) -> Result<reqwest::Request, ConnectorError> {
    let failed =
        |error: &dyn fmt::Display| ConnectorError::Internal(format!("signing a request: {error}"));
    let target = format!("{}.{operation}", service.target);
    let host = match address.port() {
        Some(port) => format!("{}:{port}", address.host_str().unwrap_or_default()),
        None => address.host_str().unwrap_or_default().to_owned(),
    };
    let headers = [
        ("host", host.as_str()),
        ("content-type", CONTENT_TYPE),
        ("x-amz-target", target.as_str()),
    ];
    let signable = SignableRequest::new(
        "POST",
        address.as_str(),
        headers.into_iter(),
        SignableBody::Bytes(body.as_bytes()),
    )
    .map_err(|error| failed(&error))?;
    let identity: SigningIdentity = credentials.clone().into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(service.name)
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .map_err(|error| failed(&error))?;
    let (instructions, _) = sign(signable, &parameters.into())
        .map_err(|error| failed(&error))?
        .into_parts();
    let mut request = http::Request::builder()
        .method("POST")
        .uri(address.as_str())
        .header("content-type", CONTENT_TYPE)
        .header("x-amz-target", target.as_str())
        .body(body.to_owned())
        .map_err(|error| failed(&error))?;
    instructions.apply_to_request_http1x(&mut request);
    reqwest::Request::try_from(request).map_err(|error| failed(&error))
}

/// The meaning of a refusal. Codes: "Common errors" of the services' API references.
fn classify(catalog: &str, status: u16, answer: &Value, object: &str) -> Failure {
    let code = answer
        .get("__type")
        .and_then(Value::as_str)
        .map(|code| code.rsplit('#').next().unwrap_or(code))
        .unwrap_or_default();
    let message = answer
        .get("message")
        .or_else(|| answer.get("Message"))
        .and_then(Value::as_str)
        .unwrap_or("no reason given");
    let text = match code {
        "" => format!("AWS answered {status}: {message}"),
        code => format!("{code}: {message}"),
    };
    let catalog = catalog.to_owned();
    match code {
        "ExpiredTokenException" | "ExpiredToken" => Failure::Expired(ConnectorError::Authentication {
            catalog,
            message: text,
            hint: "renew the AWS credentials".to_owned(),
        }),
        "UnrecognizedClientException" | "InvalidSignatureException" | "IncompleteSignature"
        | "InvalidClientTokenId" | "MissingAuthenticationToken" => {
            Failure::Final(ConnectorError::Authentication {
                catalog,
                message: text,
                hint: "run `aws sts get-caller-identity` to see whether AWS knows the credentials".to_owned(),
            })
        }
        "AccessDeniedException" | "AccessDenied" => Failure::Final(ConnectorError::PermissionDenied {
            catalog,
            object: object.to_owned(),
            message: text,
            hint: "allow secretsmanager:GetSecretValue or ssm:GetParameter on it (and kms:Decrypt on its key)"
                .to_owned(),
        }),
        "ResourceNotFoundException" | "ParameterNotFound" | "ParameterVersionNotFound" => {
            Failure::Final(ConnectorError::Configuration {
                catalog,
                message: format!("{object} does not exist: {text}"),
                hint: "check its name, the region, and the account of the credentials".to_owned(),
            })
        }
        code if status >= 500 || status == 429 || code.contains("Throttling") => {
            Failure::Passing(ConnectorError::Unreachable {
                catalog,
                message: text,
                hint: "try again later".to_owned(),
            })
        }
        _ => Failure::Final(ConnectorError::Source {
            catalog,
            code: (!code.is_empty()).then(|| code.to_owned()),
            message: format!("{message}, while reading {object}"),
        }),
    }
}

/// An error's text with its causes.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message.push_str(": ");
        message.push_str(&cause.to_string());
        source = cause.source();
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_follow_the_partition() {
        assert_eq!(
            service_address("ssm", "eu-central-1"),
            "https://ssm.eu-central-1.amazonaws.com/"
        );
        assert_eq!(
            service_address("secretsmanager", "cn-north-1"),
            "https://secretsmanager.cn-north-1.amazonaws.com.cn/"
        );
    }

    #[test]
    fn refusals_have_a_meaning() {
        let meaning = |code: &str, status| {
            let answer =
                serde_json::json!({ "__type": format!("com.amazon#{code}"), "message": "no" });
            classify("shop", status, &answer, "secret x")
        };
        assert!(matches!(
            meaning("ExpiredTokenException", 400),
            Failure::Expired(_)
        ));
        assert!(matches!(
            meaning("ThrottlingException", 400),
            Failure::Passing(_)
        ));
        assert!(matches!(
            meaning("InternalServiceError", 500),
            Failure::Passing(_)
        ));
        assert!(matches!(
            meaning("AccessDeniedException", 400),
            Failure::Final(ConnectorError::PermissionDenied { .. })
        ));
        assert!(matches!(
            meaning("ResourceNotFoundException", 400),
            Failure::Final(ConnectorError::Configuration { .. })
        ));
    }
}
