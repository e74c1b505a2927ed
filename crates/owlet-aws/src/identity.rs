//! Who asks AWS: the ambient chain or a profile, then perhaps a role; loaded when first needed, renewed before it
//! expires. Must never know what is asked.

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use futures::FutureExt;
use futures::future::BoxFuture;
use owlet_connector::{ConnectorError, ServerIdentity};
use tokio::sync::{Mutex, OnceCell};

use crate::service::with_causes;

/// Credentials that end sooner than this are renewed first.
const RENEW_BEFORE: Duration = Duration::from_secs(120);
/// Name of the sessions of assumed roles, as CloudTrail shows it.
const SESSION_NAME: &str = "owlet";

/// What a user configures of a catalog's AWS side; everything has a default.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct AwsOptions {
    /// Region; without it that of the ARN or the RDS host name, else the ambient one.
    pub region: Option<String>,
    /// Profile of the AWS configuration files; without it `AWS_PROFILE`, else the default one.
    pub profile: Option<String>,
    /// Access key; without it AWS's chain (environment, profile, single sign-on, container, instance).
    pub access_key_id: Option<String>,
    /// Secret of the access key.
    pub secret_access_key: Option<String>,
    /// Token of a temporary access key.
    pub session_token: Option<String>,
    /// Role to assume with those credentials, perhaps in another account.
    pub role_arn: Option<String>,
    /// External id that the role's trust policy demands.
    pub external_id: Option<String>,
    /// Replaces the address of every AWS service, for emulators and private endpoints; without it
    /// `AWS_ENDPOINT_URL_<SERVICE>`, `AWS_ENDPOINT_URL`, the profile's `endpoint_url`, else AWS's own address.
    pub endpoint: Option<String>,
}

impl fmt::Debug for AwsOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |secret: &Option<String>| secret.as_ref().map(|_| "***");
        formatter
            .debug_struct("AwsOptions")
            .field("region", &self.region)
            .field("profile", &self.profile)
            .field("access_key_id", &self.access_key_id)
            .field("secret_access_key", &hidden(&self.secret_access_key))
            .field("session_token", &hidden(&self.session_token))
            .field("role_arn", &self.role_arn)
            .field("external_id", &self.external_id)
            .field("endpoint", &self.endpoint)
            .finish()
    }
}

/// Loads, keeps and renews the credentials of one catalog, and knows the region.
pub struct Identity {
    catalog: String,
    options: AwsOptions,
    aws: OnceCell<SdkConfig>,
    provider: OnceCell<SharedCredentialsProvider>,
    current: Mutex<Option<Credentials>>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Identity")
            .field("catalog", &self.catalog)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Identity {
    /// The identity of the catalog of this name. Does no I/O.
    ///
    /// # Errors
    /// [`ConnectorError::Configuration`] when the options cannot work.
    pub fn new(catalog: &str, options: AwsOptions) -> Result<Self, ConnectorError> {
        let refuse = |message: String, hint: &str| ConnectorError::Configuration {
            catalog: catalog.to_owned(),
            message,
            hint: hint.to_owned(),
        };
        if let Some(role) = &options.role_arn
            && !(role.starts_with("arn:") && role.contains(":role/"))
        {
            return Err(refuse(
                format!("role_arn {role:?} is no role's ARN"),
                "write it like arn:aws:iam::123456789012:role/reader",
            ));
        }
        if options.access_key_id.is_some() != options.secret_access_key.is_some() {
            return Err(refuse(
                "access_key_id and secret_access_key are only valid together".to_owned(),
                "give both, or neither to use AWS's credential chain",
            ));
        }
        if options.external_id.is_some() && options.role_arn.is_none() {
            return Err(refuse(
                "external_id is given without role_arn".to_owned(),
                "name the role too",
            ));
        }
        if let Some(endpoint) = &options.endpoint {
            let is_http = url::Url::parse(endpoint)
                .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
            if !is_http {
                return Err(refuse(
                    format!("aws_endpoint {endpoint:?} is no http or https address"),
                    "write it like https://vpce-0123.secretsmanager.eu-central-1.vpce.amazonaws.com",
                ));
            }
        }
        Ok(Self {
            catalog: catalog.to_owned(),
            options,
            aws: OnceCell::new(),
            provider: OnceCell::new(),
            current: Mutex::new(None),
        })
    }

    /// The configuration, to be compared with another catalog's.
    pub(crate) fn as_configured(&self) -> ServerIdentity {
        let AwsOptions {
            region,
            profile,
            access_key_id,
            secret_access_key,
            session_token,
            role_arn,
            external_id,
            endpoint,
        } = &self.options;
        ServerIdentity::new("aws")
            .with("region", region)
            .with("profile", profile)
            .with("access_key_id", access_key_id)
            .with_secret("secret_access_key", secret_access_key.as_deref())
            .with_secret("session_token", session_token.as_deref())
            .with("role_arn", role_arn)
            .with("external_id", external_id)
            .with("endpoint", endpoint)
    }

    /// Name of the catalog, for messages.
    pub fn catalog(&self) -> &str {
        &self.catalog
    }

    pub(crate) fn options(&self) -> &AwsOptions {
        &self.options
    }

    /// The configured region, else `implied` (by an ARN or a host name), else the ambient one. Boxed, so that AWS's
    /// chain is compiled here only.
    ///
    /// # Errors
    /// [`ConnectorError::Configuration`] when there is none.
    pub fn region<'a>(
        &'a self,
        implied: Option<&'a str>,
    ) -> BoxFuture<'a, Result<String, ConnectorError>> {
        self.find_region(implied).boxed()
    }

    async fn find_region(&self, implied: Option<&str>) -> Result<String, ConnectorError> {
        if let Some(region) = self.options.region.as_deref().or(implied) {
            return Ok(region.to_owned());
        }
        match self.aws().await.region() {
            Some(region) => Ok(region.to_string()),
            None => Err(ConnectorError::Configuration {
                catalog: self.catalog.clone(),
                message: "no AWS region is configured".to_owned(),
                hint: "set region = \"…\" for the catalog, or AWS_REGION".to_owned(),
            }),
        }
    }

    /// Credentials that are still valid for a while. Boxed, so that AWS's chain is compiled here only.
    ///
    /// # Errors
    /// [`ConnectorError::Authentication`] when none can be loaded.
    pub fn credentials(&self) -> BoxFuture<'_, Result<Credentials, ConnectorError>> {
        self.fresh_credentials().boxed()
    }

    async fn fresh_credentials(&self) -> Result<Credentials, ConnectorError> {
        let mut current = self.current.lock().await;
        if let Some(credentials) = current.as_ref().filter(|credentials| is_fresh(credentials)) {
            return Ok(credentials.clone());
        }
        let renewed = self.load().await?;
        *current = Some(renewed.clone());
        Ok(renewed)
    }

    /// Forgets credentials that were refused; the next ones are loaded anew.
    pub async fn discard(&self, refused: &Credentials) {
        let mut current = self.current.lock().await;
        // Another task may have renewed them already.
        if current.as_ref() == Some(refused) {
            *current = None;
        }
    }

    async fn load(&self) -> Result<Credentials, ConnectorError> {
        let provider = self.provider().await?;
        provider.provide_credentials().await.map_err(|error| {
            let message = format!(
                "AWS credentials could not be loaded: {}",
                on_one_line(&with_causes(&error))
            );
            self.failure(message)
        })
    }

    async fn provider(&self) -> Result<&SharedCredentialsProvider, ConnectorError> {
        self.provider
            .get_or_try_init(|| async {
                let aws = self.aws().await;
                let Some(ambient) = aws.credentials_provider() else {
                    return Err(
                        self.failure("no AWS credentials provider is configured".to_owned())
                    );
                };
                let Some(role) = &self.options.role_arn else {
                    return Ok(ambient);
                };
                let mut builder = AssumeRoleProvider::builder(role)
                    .session_name(SESSION_NAME)
                    .configure(aws);
                if let Some(external_id) = &self.options.external_id {
                    builder = builder.external_id(external_id);
                }
                // STS answers in every region; without any, its oldest address does.
                if aws.region().is_none() {
                    builder = builder.region(Region::from_static("us-east-1"));
                }
                let assumed = builder.build().await;
                Ok(SharedCredentialsProvider::new(assumed))
            })
            .await
    }

    fn failure(&self, message: String) -> ConnectorError {
        let hint = match &self.options.role_arn {
            Some(role) => format!(
                "check with `aws sts assume-role --role-arn {role} --role-session-name owlet`; the role must trust the \
                 ambient identity"
            ),
            None => "run `aws sts get-caller-identity` to see what AWS's chain finds; Owlet uses the same (environment, \
                     profile, SSO, container, instance role)"
                .to_owned(),
        };
        ConnectorError::Authentication {
            catalog: self.catalog.clone(),
            message,
            hint,
        }
    }

    pub(crate) async fn aws(&self) -> &SdkConfig {
        self.aws
            .get_or_init(|| async {
                let http = aws_smithy_http_client::Builder::new()
                    .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
                    .build_https();
                let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http);
                if let Some(profile) = &self.options.profile {
                    loader = loader.profile_name(profile);
                }
                if let Some(region) = &self.options.region {
                    loader = loader.region(Region::new(region.clone()));
                }
                if let (Some(id), Some(secret)) =
                    (&self.options.access_key_id, &self.options.secret_access_key)
                {
                    loader = loader.credentials_provider(Credentials::new(
                        id,
                        secret,
                        self.options.session_token.clone(),
                        None,
                        "owlet configuration",
                    ));
                }
                if let Some(endpoint) = &self.options.endpoint {
                    loader = loader.endpoint_url(endpoint);
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
    use super::*;

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

    #[test]
    fn impossible_options_are_refused() {
        for options in [
            AwsOptions {
                role_arn: Some("reader".to_owned()),
                ..AwsOptions::default()
            },
            AwsOptions {
                external_id: Some("x".to_owned()),
                ..AwsOptions::default()
            },
            AwsOptions {
                endpoint: Some("localhost:5000".to_owned()),
                ..AwsOptions::default()
            },
        ] {
            let error = Identity::new("shop", options).expect_err("refused");
            assert!(
                matches!(error, ConnectorError::Configuration { .. }),
                "{error}"
            );
        }
    }
}
