//! Where a connector's statements run, and as whom. Must never know what the settings mean.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::LazyLock;

/// Everything of a connector's configuration that decides where its statements run, as whom, and what they answer:
/// host, port, login, encryption, limits, type options. Two connectors of one process with equal identities may run
/// each other's statements.
///
/// It is compared and never shown; of secrets it holds a hash under a key that no other process knows.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerIdentity {
    settings: Vec<(&'static str, Value)>,
}

#[derive(Clone, PartialEq, Eq)]
enum Value {
    Shown(String),
    Hashed(u64),
}

impl ServerIdentity {
    /// Nothing but the word of the connector, e.g. `postgres`.
    pub fn new(kind: &'static str) -> Self {
        Self {
            settings: Vec::new(),
        }
        .with("kind", kind)
    }

    /// And this setting, which is no secret.
    pub fn with(mut self, name: &'static str, value: impl fmt::Debug) -> Self {
        self.settings
            .push((name, Value::Shown(format!("{value:?}"))));
        self
    }

    /// And this setting, which is a secret or may hold one.
    pub fn with_secret(mut self, name: &'static str, value: Option<impl AsRef<[u8]>>) -> Self {
        static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        let hashed = KEY.hash_one(value.as_ref().map(|secret| -> &[u8] { secret.as_ref() }));
        self.settings.push((name, Value::Hashed(hashed)));
        self
    }

    /// And all of this.
    pub fn and(mut self, other: Self) -> Self {
        self.settings.extend(other.settings);
        self
    }
}

impl fmt::Debug for ServerIdentity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ServerIdentity")
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(user: &str, password: Option<&str>) -> ServerIdentity {
        ServerIdentity::new("postgres")
            .with("user", user)
            .with_secret("password", password)
    }

    #[test]
    fn settings_and_secrets_are_compared_and_not_shown() {
        assert_eq!(
            identity("u", Some("hunter2")),
            identity("u", Some("hunter2"))
        );
        assert_ne!(identity("u", Some("hunter2")), identity("u", Some("other")));
        assert_ne!(identity("u", Some("")), identity("u", None));
        assert_ne!(identity("u", None), identity("v", None));
        let shown = format!("{:?}", identity("u", Some("hunter2")));
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn settings_are_told_apart_by_name() {
        let one = ServerIdentity::new("x").with("a", 1).with("b", 2);
        let two = ServerIdentity::new("x").with("b", 1).with("a", 2);
        assert_ne!(one, two);
        let both = ServerIdentity::new("x").and(ServerIdentity::new("login").with("a", 1));
        assert_ne!(both, ServerIdentity::new("x"));
    }
}
