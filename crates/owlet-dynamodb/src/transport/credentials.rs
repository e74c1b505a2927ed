//! Who signs the requests: fixed credentials, or AWS's chain, loaded at the first request and renewed before they
//! expire. Must never know requests or tables.

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::ProvideCredentials;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use owlet_connector::ConnectorError;
use tokio::sync::{Mutex, OnceCell};

use crate::options::DynamoDbOptions;

/// Credentials that end sooner than this are renewed first.
const RENEW_BEFORE: Duration = Duration::from_secs(120);
/// Region of an endpoint that does not care (DynamoDB Local).
const ENDPOINT_REGION: &str = "us-east-1";

/// Loads, keeps and renews credentials, and knows the region.
pub(crate) struct Identity {
    catalog: String,
    fixed: Option<Credentials>,
    region: Option<String>,
    has_endpoint: bool,
    profile: Option<String>,
    aws: OnceCell<SdkConfig>,
    current: Mutex<Option<Credentials>>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Identity")
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

impl Identity {
    pub(crate) fn new(catalog: &str, options: &DynamoDbOptions) -> Result<Self, ConnectorError> {
        let fixed = match (&options.access_key_id, &options.secret_access_key) {
            (Some(id), Some(secret)) => Some(Credentials::new(
                id,
                secret,
                options.session_token.clone(),
                None,
                "owlet configuration",
            )),
            (None, None) => None,
            _ => {
                return Err(ConnectorError::Configuration {
                    catalog: catalog.to_owned(),
                    message: "access_key_id and secret_access_key are only valid together"
                        .to_owned(),
                    hint: "give both, or neither to use AWS's credential chain".to_owned(),
                });
            }
        };
        Ok(Self {
            catalog: catalog.to_owned(),
            fixed,
            region: options.region.clone(),
            has_endpoint: options.endpoint.is_some(),
            profile: options.profile.clone(),
            aws: OnceCell::new(),
            current: Mutex::new(None),
        })
    }

    /// The region to sign for.
    pub(crate) async fn region(&self) -> Result<String, ConnectorError> {
        if let Some(region) = &self.region {
            return Ok(region.clone());
        }
        if self.fixed.is_some() && self.has_endpoint {
            return Ok(ENDPOINT_REGION.to_owned());
        }
        match self.aws().await.region() {
            Some(region) => Ok(region.to_string()),
            None if self.has_endpoint => Ok(ENDPOINT_REGION.to_owned()),
            None => Err(ConnectorError::Configuration {
                catalog: self.catalog.clone(),
                message: "no AWS region is configured".to_owned(),
                hint: "set region = \"…\" for the catalog, or AWS_REGION".to_owned(),
            }),
        }
    }

    /// Credentials that are still valid for a while.
    pub(crate) async fn credentials(&self) -> Result<Credentials, ConnectorError> {
        if let Some(fixed) = &self.fixed {
            return Ok(fixed.clone());
        }
        let mut current = self.current.lock().await;
        if let Some(credentials) = current.as_ref().filter(|credentials| is_fresh(credentials)) {
            return Ok(credentials.clone());
        }
        let renewed = self.load().await?;
        *current = Some(renewed.clone());
        Ok(renewed)
    }

    /// Forgets credentials the service calls expired; true when others can be loaded.
    pub(crate) async fn discard(&self, expired: &Credentials) -> bool {
        if self.fixed.is_some() {
            return false;
        }
        let mut current = self.current.lock().await;
        // Another request may have renewed them already.
        if current
            .as_ref()
            .is_some_and(|credentials| credentials == expired)
        {
            *current = None;
        }
        true
    }

    async fn load(&self) -> Result<Credentials, ConnectorError> {
        let hint = "run `aws sts get-caller-identity` to see what AWS's chain finds; Owlet uses the same (environment, \
                    profile, SSO, container, instance role)";
        let failure = |message: String| ConnectorError::Authentication {
            catalog: self.catalog.clone(),
            message,
            hint: hint.to_owned(),
        };
        let Some(provider) = self.aws().await.credentials_provider() else {
            return Err(failure(
                "no AWS credentials provider is configured".to_owned(),
            ));
        };
        provider.provide_credentials().await.map_err(|error| {
            let mut message = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                message.push_str(": ");
                message.push_str(&cause.to_string());
                source = cause.source();
            }
            let message = on_one_line(&message);
            failure(format!("AWS credentials could not be loaded: {message}"))
        })
    }

    async fn aws(&self) -> &SdkConfig {
        self.aws
            .get_or_init(|| async {
                let http = aws_smithy_http_client::Builder::new()
                    .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
                    .build_https();
                let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http);
                if let Some(profile) = &self.profile {
                    loader = loader.profile_name(profile);
                }
                if let Some(region) = &self.region {
                    loader = loader.region(Region::new(region.clone()));
                }
                loader.load().await
            })
            .await
    }
}

/// AWS's chain tells of each of its members on a line of its own, and repeats for each that it was not enabled.
fn on_one_line(message: &str) -> String {
    let lines: Vec<&str> = message
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let text = match lines.split_first() {
        Some((first, rest)) if !rest.is_empty() => format!("{first} {}", rest.join("; ")),
        _ => lines.concat(),
    };
    text.replace("the credential provider was not enabled: ", "")
        .replace("the credential provider was not enabled", "not enabled")
}

fn is_fresh(credentials: &Credentials) -> bool {
    credentials
        .expiry()
        .is_none_or(|expiry| expiry > SystemTime::now() + RENEW_BEFORE)
}

#[cfg(test)]
mod tests {
    use super::on_one_line;

    #[test]
    fn the_chain_is_told_on_one_line() {
        let chain = "the credential provider was not enabled: no credentials found in chain. Attempted:\n  \
                     Environment: the credential provider was not enabled: environment variable not set\n  \
                     Profile: the credential provider was not enabled\n";
        assert_eq!(
            on_one_line(chain),
            "no credentials found in chain. Attempted: Environment: environment variable not set; Profile: not enabled"
        );
        assert_eq!(on_one_line("a plain one"), "a plain one");
    }
}
