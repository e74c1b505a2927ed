//! The settings that catalogs of databases share: how to log in through AWS, and the manners of a guest. Must never
//! know a connector.

use std::sync::Arc;

use owlet_aws::{AwsOptions, IamLogin, Identity, SecretLogin, SecretReference};
use owlet_connector::{ConnectorError, GateOptions, LoginProvider, OpenHours, TablePatterns};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::secret::Secret;
use crate::shared_folder;

/// How a password is come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Auth {
    /// By url, password, password_file or secret.
    #[default]
    Password,
    /// An RDS IAM token, made anew for each connection; needs TLS.
    Iam,
}

/// One text or several.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum OneOrMore {
    /// One.
    One(String),
    /// Several.
    More(Vec<String>),
}

/// The keys of a catalog that concern AWS.
#[derive(Debug, Default)]
pub struct AwsKeys<'a> {
    pub auth: Option<Auth>,
    pub secret: Option<&'a str>,
    pub region: Option<&'a str>,
    pub profile: Option<&'a str>,
    pub role_arn: Option<&'a str>,
    pub external_id: Option<&'a str>,
    pub access_key_id: Option<&'a Secret>,
    pub secret_access_key: Option<&'a Secret>,
    pub session_token: Option<&'a Secret>,
    pub aws_endpoint: Option<&'a str>,
}

/// The keys of a catalog that concern its manners.
#[derive(Debug, Default)]
pub struct GuestKeys<'a> {
    pub read_only: Option<bool>,
    pub max_concurrent_queries: Option<usize>,
    pub include: &'a [String],
    pub exclude: &'a [String],
    pub allow: Option<&'a OneOrMore>,
    pub allow_time_zone: Option<&'a str>,
}

/// Who says as whom to connect; `None` when passwords are configured. `engines` are the words of RDS's `engine` that
/// the connector can talk to.
pub fn login(
    catalog: &str,
    keys: &AwsKeys<'_>,
    engines: &'static [&'static str],
) -> Result<Option<Arc<dyn LoginProvider>>, ConnectorError> {
    let refuse = |message: &str, hint: &str| configuration(catalog, message, hint);
    let uses_iam = keys.auth == Some(Auth::Iam);
    if uses_iam && keys.secret.is_some() {
        return Err(refuse(
            "auth = \"iam\" and secret are two ways to log in",
            "choose one",
        ));
    }
    let owned = |text: Option<&str>| text.map(str::to_owned);
    let exposed = |secret: Option<&Secret>| secret.map(|secret| secret.expose().to_owned());
    let options = AwsOptions {
        region: owned(keys.region),
        profile: owned(keys.profile),
        access_key_id: exposed(keys.access_key_id),
        secret_access_key: exposed(keys.secret_access_key),
        session_token: exposed(keys.session_token),
        role_arn: owned(keys.role_arn),
        external_id: owned(keys.external_id),
        endpoint: owned(keys.aws_endpoint),
    };
    if !uses_iam && keys.secret.is_none() {
        return if options == AwsOptions::default() {
            Ok(None)
        } else {
            Err(refuse(
                "region, profile, role_arn and the other AWS keys have no effect without auth = \"iam\" or secret",
                "add one of these, or remove the keys",
            ))
        };
    }
    let identity = Arc::new(Identity::new(catalog, options)?);
    Ok(Some(match keys.secret {
        None => Arc::new(IamLogin::new(identity)),
        Some(text) => {
            let reference = SecretReference::new(text).map_err(|message| {
                refuse(
                    &message,
                    "write an ARN, a name of Secrets Manager, or \"ssm:/path\"",
                )
            })?;
            Arc::new(SecretLogin::new(identity, reference, engines))
        }
    }))
}

/// Places, hours and visible tables.
pub fn manners(
    catalog: &str,
    keys: &GuestKeys<'_>,
) -> Result<(GateOptions, TablePatterns), ConnectorError> {
    let refuse = |message: String, hint: &str| configuration(catalog, &message, hint);
    if keys.read_only == Some(false) {
        return Err(refuse(
            "read_only = false is not possible: Owlet only reads".to_owned(),
            "remove it",
        ));
    }
    let tables = TablePatterns::new(keys.include, keys.exclude)
        .map_err(|message| refuse(message, "include and exclude are lists of such patterns"))?;
    if keys.allow.is_none() && keys.allow_time_zone.is_some() {
        return Err(refuse(
            "allow_time_zone is given without allow".to_owned(),
            "add the hours, or remove it",
        ));
    }
    let expressions = match keys.allow {
        None => None,
        Some(OneOrMore::One(text)) => Some(vec![text.clone()]),
        Some(OneOrMore::More(texts)) => Some(texts.clone()),
    };
    let hours = expressions
        .map(|expressions| OpenHours::new(&expressions, keys.allow_time_zone))
        .transpose()
        .map_err(|message| {
            refuse(
                format!("allow: {message}"),
                "allow = \"* 20-23,0-5 * * *\" opens the catalog from 20:00 to 05:59",
            )
        })?;
    let gate = GateOptions {
        max_concurrent_queries: keys.max_concurrent_queries,
        hours,
        shared_folder: shared_folder::of("places"),
        source: String::new(),
    };
    Ok((gate, tables))
}

fn configuration(catalog: &str, message: &str, hint: &str) -> ConnectorError {
    ConnectorError::Configuration {
        catalog: catalog.to_owned(),
        message: message.to_owned(),
        hint: hint.to_owned(),
    }
}
