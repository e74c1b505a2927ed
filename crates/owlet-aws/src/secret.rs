//! Which secret is meant, and what RDS's JSON says. Must never do I/O.

use owlet_connector::Login;
use serde::Deserialize;

/// Where a secret is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretReference {
    /// A secret of Secrets Manager: `arn:…:secretsmanager:…`, or its name.
    SecretsManager(String),
    /// A parameter of Systems Manager: `arn:…:ssm:…`, or `ssm:/path/name`.
    Parameter(String),
}

impl SecretReference {
    /// Reads the `secret` of a catalog.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("secret is empty".to_owned());
        }
        if let Some(name) = text.strip_prefix("ssm:") {
            return if name.is_empty() {
                Err("secret \"ssm:\" names no parameter".to_owned())
            } else {
                Ok(Self::Parameter(name.to_owned()))
            };
        }
        if !text.starts_with("arn:") {
            return Ok(Self::SecretsManager(text.to_owned()));
        }
        match text.split(':').nth(2) {
            Some("secretsmanager") => Ok(Self::SecretsManager(text.to_owned())),
            Some("ssm") => Ok(Self::Parameter(text.to_owned())),
            _ => Err(format!(
                "secret {text:?} is neither a secret of Secrets Manager nor a parameter of Systems Manager"
            )),
        }
    }

    /// The region an ARN names.
    pub fn region(&self) -> Option<&str> {
        let text = self.name();
        text.starts_with("arn:")
            .then(|| text.split(':').nth(3))
            .flatten()
            .filter(|region| !region.is_empty())
    }

    /// Name or ARN.
    pub fn name(&self) -> &str {
        match self {
            Self::SecretsManager(name) | Self::Parameter(name) => name,
        }
    }
}

/// The JSON that RDS and the rotation functions keep in a secret. Source: "JSON structure of AWS Secrets Manager
/// secrets" (AWS Secrets Manager User Guide).
#[derive(Deserialize)]
struct Document {
    username: Option<String>,
    password: Option<String>,
    host: Option<String>,
    port: Option<Port>,
    dbname: Option<String>,
    engine: Option<String>,
}

/// RDS writes a number; people write text, too.
#[derive(Deserialize)]
#[serde(untagged)]
enum Port {
    Number(u16),
    Text(String),
}

/// Reads a secret's text: RDS's JSON, or else the whole text is the password. `engines` are the words of `engine`
/// that the connector can talk to. Messages never quote the text.
pub(crate) fn read(text: &str, engines: &[&str]) -> Result<Login, String> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err("it is empty".to_owned());
    }
    if !trimmed.starts_with('{') {
        return Ok(Login {
            password: Some(trimmed.to_owned()),
            ..Login::default()
        });
    }
    let document: Document = serde_json::from_str(trimmed).map_err(|error| {
        // serde_json's text may quote a value.
        format!(
            "its JSON does not have the form of an RDS secret (line {}, column {})",
            error.line(),
            error.column()
        )
    })?;
    if let Some(engine) = &document.engine
        && !engines.is_empty()
        && !engines
            .iter()
            .any(|known| engine.eq_ignore_ascii_case(known))
    {
        return Err(format!(
            "it is for the engine {engine:?}, not for one of {}",
            engines.join(", ")
        ));
    }
    let password = document.password.ok_or("its JSON has no \"password\"")?;
    let port = match document.port {
        None => None,
        Some(Port::Number(port)) => Some(port),
        Some(Port::Text(text)) => Some(
            text.trim()
                .parse()
                .map_err(|_| "its \"port\" is no port number")?,
        ),
    };
    let filled = |value: Option<String>| value.filter(|text| !text.is_empty());
    Ok(Login {
        user: filled(document.username),
        password: Some(password),
        host: filled(document.host),
        port,
        database: filled(document.dbname),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references() {
        let read = |text: &str| SecretReference::new(text).expect("valid");
        assert_eq!(
            read("prod/shop"),
            SecretReference::SecretsManager("prod/shop".to_owned())
        );
        assert_eq!(
            read("ssm:/prod/shop"),
            SecretReference::Parameter("/prod/shop".to_owned())
        );
        let arn = read("arn:aws:secretsmanager:eu-west-1:123456789012:secret:shop-AbCdEf");
        assert!(matches!(arn, SecretReference::SecretsManager(_)));
        assert_eq!(arn.region(), Some("eu-west-1"));
        let arn = read("arn:aws:ssm:eu-west-1:123456789012:parameter/shop");
        assert!(matches!(arn, SecretReference::Parameter(_)));
        assert_eq!(read("prod/shop").region(), None);
        for wrong in ["", "ssm:", "arn:aws:s3:::bucket"] {
            assert!(SecretReference::new(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rds_json() {
        let text = r#"{"username":"reader","password":"p\"w","engine":"postgres","host":"db.example.com",
            "port":5433,"dbname":"shop","dbInstanceIdentifier":"shop-1"}"#;
        let login = super::read(text, &["postgres", "aurora-postgresql"]).expect("readable");
        assert_eq!(login.user.as_deref(), Some("reader"));
        assert_eq!(login.password.as_deref(), Some("p\"w"));
        assert_eq!(login.host.as_deref(), Some("db.example.com"));
        assert_eq!(login.port, Some(5433));
        assert_eq!(login.database.as_deref(), Some("shop"));
        let managed =
            super::read(r#"{"username":"u","password":"p","port":"5432"}"#, &[]).expect("readable");
        assert_eq!(managed.port, Some(5432));
    }

    #[test]
    fn other_text_is_the_password() {
        let login = super::read("hunter2\n", &["postgres"]).expect("readable");
        assert_eq!(login.password.as_deref(), Some("hunter2"));
        assert_eq!(login.user, None);
    }

    #[test]
    fn mistakes_are_named_and_never_quoted() {
        for (text, part) in [
            ("", "empty"),
            (r#"{"username":"hunter2"}"#, "password"),
            (r#"{"password":"hunter2","engine":"mysql"}"#, "mysql"),
            (r#"{"password":"hunter2","port":"x"}"#, "port"),
            (r#"{"password":["hunter2"]}"#, "form"),
            (r#"{"password":"hunter2""#, "form"),
        ] {
            let error = super::read(text, &["postgres"]).expect_err("refused");
            assert!(
                error.contains(part) && !error.contains("hunter2"),
                "{text}: {error}"
            );
        }
    }
}
