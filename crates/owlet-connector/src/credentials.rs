//! As whom a connector connects, asked anew for every connection, so that passwords may rotate and tokens expire.
//! Must never know where the answer is kept.

use std::fmt;

use async_trait::async_trait;

use crate::error::Result;
use crate::server_identity::ServerIdentity;

/// Where a connection is about to be made, as far as the configuration says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoginTarget {
    /// Host name or address; `None` when the provider must know it.
    pub host: Option<String>,
    /// Port; `None` when the configuration names none.
    pub port: Option<u16>,
    /// User; `None` when the provider must know it.
    pub user: Option<String>,
}

/// What to connect with. Parts that the configuration gives too (host, port, database) are the provider's advice:
/// the configuration wins, because it may name a tunnel or a replica.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Login {
    /// User; `None` leaves the configured one.
    pub user: Option<String>,
    /// Password or token.
    pub password: Option<String>,
    /// Host name or address.
    pub host: Option<String>,
    /// Port.
    pub port: Option<u16>,
    /// Database.
    pub database: Option<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Login")
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "***"))
            .field("host", &self.host)
            .field("port", &self.port)
            .field("database", &self.database)
            .finish()
    }
}

/// Whether a provider's secret may travel unencrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// The connector's own rules hold.
    AsConfigured,
    /// Only over TLS (RDS IAM tokens).
    Required,
}

/// Whether a second try makes sense after the server has refused a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The provider has another login now: ask for it and try once more.
    TryAgain,
    /// The provider has no other.
    Final,
}

/// Yields the login of a connection. A connector asks for each connection, and reports a refusal once:
///
/// ```text
/// let login = provider.login(&target).await?;
/// match connect(&login).await {
///     Err(error) if is_authentication(&error) && provider.refused(&target, &login).await? == Refusal::TryAgain => {
///         connect(&provider.login(&target).await?).await
///     }
///     other => other,
/// }
/// ```
#[async_trait]
pub trait LoginProvider: fmt::Debug + Send + Sync {
    /// The login of this moment. Cheap when nothing has changed.
    ///
    /// # Errors
    /// [`crate::ConnectorError::Authentication`], `Configuration` or `Unreachable` when there is none to be had.
    async fn login(&self, target: &LoginTarget) -> Result<Login>;

    /// The server refused this login: forget it, and look whether there is another by now.
    ///
    /// # Errors
    /// As [`LoginProvider::login`].
    async fn refused(&self, target: &LoginTarget, login: &Login) -> Result<Refusal>;

    /// Whether the login may travel unencrypted.
    fn encryption(&self) -> Encryption {
        Encryption::AsConfigured
    }

    /// How the login is come by: providers with equal answers log in as the same user. `None`: not comparable.
    fn login_identity(&self) -> Option<ServerIdentity> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_hides_its_password() {
        let login = Login {
            user: Some("reader".to_owned()),
            password: Some("hunter2".to_owned()),
            ..Login::default()
        };
        let shown = format!("{login:?}");
        assert!(
            shown.contains("reader") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}
