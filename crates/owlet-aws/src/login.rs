//! The logins that AWS gives: IAM tokens and kept secrets. Must never know which database takes them.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use owlet_connector::{
    ConnectorError, Encryption, Login, LoginProvider, LoginTarget, Refusal, Result, ServerIdentity,
};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::identity::Identity;
use crate::rds::{auth_token, region_of_host};
use crate::secret::{self, SecretReference};
use crate::service::{Client, SECRETS_MANAGER, SSM};

/// `auth = "iam"`: a token for each connection. A token is valid for 15 minutes but made in microseconds, so none is
/// kept: none is ever old.
#[derive(Debug)]
pub struct IamLogin {
    identity: Arc<Identity>,
}

impl IamLogin {
    /// Tokens signed by this identity.
    pub fn new(identity: Arc<Identity>) -> Self {
        Self { identity }
    }
}

#[async_trait]
impl LoginProvider for IamLogin {
    async fn login(&self, target: &LoginTarget) -> Result<Login> {
        let refuse = |message: &str| ConnectorError::Configuration {
            catalog: self.identity.catalog().to_owned(),
            message: message.to_owned(),
            hint: "auth = \"iam\" needs a url with user, host and port".to_owned(),
        };
        let host = target
            .host
            .as_deref()
            .ok_or_else(|| refuse("there is no host name to sign a token for"))?;
        let user = target
            .user
            .as_deref()
            .ok_or_else(|| refuse("there is no user to sign a token for"))?;
        let port = target
            .port
            .ok_or_else(|| refuse("there is no port to sign a token for"))?;
        let region = self.identity.region(region_of_host(host)).await?;
        let credentials = self.identity.credentials().await?;
        let token = auth_token(host, port, user, &region, &credentials, SystemTime::now())
            .map_err(|error| refuse(&format!("no token can be signed: {error}")))?;
        Ok(Login {
            user: Some(user.to_owned()),
            password: Some(token),
            ..Login::default()
        })
    }

    async fn refused(&self, _target: &LoginTarget, _login: &Login) -> Result<Refusal> {
        // The credentials may have been revoked or replaced (a rotated key, another role of the instance).
        let used = self.identity.credentials().await?;
        self.identity.discard(&used).await;
        let now = self.identity.credentials().await?;
        let is_the_same = now.access_key_id() == used.access_key_id();
        Ok(if is_the_same {
            Refusal::Final
        } else {
            Refusal::TryAgain
        })
    }

    fn encryption(&self) -> Encryption {
        Encryption::Required
    }

    fn login_identity(&self) -> Option<ServerIdentity> {
        Some(ServerIdentity::new("iam").and(self.identity.as_configured()))
    }
}

/// `secret = "…"`: user, password and address from Secrets Manager or a Systems Manager parameter. Read once, and
/// again when the server refuses what it says: after a rotation.
pub struct SecretLogin {
    identity: Arc<Identity>,
    reference: SecretReference,
    engines: &'static [&'static str],
    client: Client,
    current: Mutex<Option<Login>>,
}

impl fmt::Debug for SecretLogin {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SecretLogin")
            .field("identity", &self.identity)
            .field("reference", &self.reference)
            .finish_non_exhaustive()
    }
}

impl SecretLogin {
    /// The secret, read by this identity. `engines` are the words of RDS's `engine` that the connector can talk to,
    /// e.g. `postgres`, `aurora-postgresql`.
    pub fn new(
        identity: Arc<Identity>,
        reference: SecretReference,
        engines: &'static [&'static str],
    ) -> Self {
        Self {
            identity,
            reference,
            engines,
            client: Client::default(),
            current: Mutex::new(None),
        }
    }

    async fn read(&self) -> Result<Login> {
        let region = self.identity.region(self.reference.region()).await?;
        let (service, operation, body, object) = match &self.reference {
            SecretReference::SecretsManager(name) => (
                SECRETS_MANAGER,
                "GetSecretValue",
                json!({ "SecretId": name }),
                format!("secret {name}"),
            ),
            SecretReference::Parameter(name) => (
                SSM,
                "GetParameter",
                json!({ "Name": name, "WithDecryption": true }),
                format!("parameter {name}"),
            ),
        };
        let answer = self
            .client
            .call(&self.identity, service, &region, operation, &body, &object)
            .await?;
        let refuse = |message: &str| {
            ConnectorError::Configuration {
            catalog: self.identity.catalog().to_owned(),
            message: format!("{object} cannot be used: {message}"),
            hint: "keep RDS's JSON in it: {\"username\": …, \"password\": …, \"host\": …, \"port\": …, \"dbname\": …}, \
                   or the password alone"
                .to_owned(),
        }
        };
        let text = answer
            .get("SecretString")
            .or_else(|| {
                answer
                    .get("Parameter")
                    .and_then(|parameter| parameter.get("Value"))
            })
            .and_then(Value::as_str)
            .ok_or_else(|| refuse("it holds no text"))?;
        secret::read(text, self.engines).map_err(|message| refuse(&message))
    }
}

#[async_trait]
impl LoginProvider for SecretLogin {
    async fn login(&self, _target: &LoginTarget) -> Result<Login> {
        let mut current = self.current.lock().await;
        if let Some(login) = current.as_ref() {
            return Ok(login.clone());
        }
        let login = self.read().await?;
        *current = Some(login.clone());
        Ok(login)
    }

    async fn refused(&self, _target: &LoginTarget, login: &Login) -> Result<Refusal> {
        let mut current = self.current.lock().await;
        // Connections that fail together read the secret once.
        if current.as_ref().is_some_and(|known| known != login) {
            return Ok(Refusal::TryAgain);
        }
        let now = self.read().await?;
        let is_the_same = now == *login;
        *current = Some(now);
        // A second try with the same password would only bring the account nearer to being locked.
        Ok(if is_the_same {
            Refusal::Final
        } else {
            Refusal::TryAgain
        })
    }

    fn login_identity(&self) -> Option<ServerIdentity> {
        let identity = ServerIdentity::new("secret")
            .with("reference", &self.reference)
            .with("engines", self.engines);
        Some(identity.and(self.identity.as_configured()))
    }
}
