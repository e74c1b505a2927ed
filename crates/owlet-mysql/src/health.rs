//! What `owlet doctor` says about a MySQL catalog. Must never fail: problems are the answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mysql_async::Error;
use owlet_connector::{Condition, ConnectorError, Health, PRIMARY, Routes};

use crate::catalog::{number, text};
use crate::failure::{Stage, translate};
use crate::options::SslMode;
use crate::pool::Pool;
use crate::replicas::Replicas;
use crate::session::Session;
use crate::settings::Settings;

/// Privileges that change something.
const WRITING: &[&str] = &[
    "ALL PRIVILEGES",
    "INSERT",
    "UPDATE",
    "DELETE",
    "DROP",
    "ALTER",
    "CREATE",
    "SUPER",
];

/// Connects, measures a round trip, and looks at the user's rights.
pub(crate) async fn check(pool: &Arc<Pool>, settings: &Settings, routes: &Routes) -> Health {
    let mut health = match examine(pool, settings).await {
        Ok(health) => health,
        Err(error) => return failed(&error),
    };
    for replica in 0..pool.replicas() {
        let (reason, fix) = match routes.condition(&Replicas(pool), replica).await {
            Condition::Good => continue,
            Condition::Behind(reason) => (reason, "queries go to the other servers meanwhile"),
            Condition::Unusable(reason) => (reason, "check the address in replica_urls"),
        };
        // A replica that is not used is graver than what else may be said of a source that works.
        health.problem = format!("replica {} is not used: {reason}", replica + 1);
        health.fix = fix.to_owned();
    }
    health
}

/// The catalog's hours: nothing was asked.
pub(crate) fn closed(error: &ConnectorError) -> Health {
    Health {
        healthy: true,
        ..failed(error)
    }
}

fn failed(error: &ConnectorError) -> Health {
    let (problem, fix) = match error {
        ConnectorError::Configuration { message, hint, .. }
        | ConnectorError::Unreachable { message, hint, .. }
        | ConnectorError::Timeout { message, hint, .. } => (message.clone(), hint.clone()),
        ConnectorError::Authentication { message, hint, .. } => {
            (format!("authentication failed: {message}"), hint.clone())
        }
        other => (other.to_string(), String::new()),
    };
    Health {
        healthy: false,
        version: String::new(),
        rights: String::new(),
        latency: None,
        problem,
        fix,
    }
}

async fn examine(pool: &Arc<Pool>, settings: &Settings) -> Result<Health, ConnectorError> {
    let mut lease = pool.acquire(PRIMARY).await?;
    let session = lease.session_mut()?;
    let found = async { Ok::<_, Error>((latency(session).await?, rights(session).await?)) }.await;
    let (latency, rights) =
        found.map_err(|error| translate(&error, Stage::Prepare, settings, "the user's rights"))?;
    let version = session
        .server
        .version_text
        .split('+')
        .next()
        .unwrap_or_default()
        .to_owned();
    lease.release();
    let (problem, fix) = warning(&rights, settings);
    Ok(Health {
        healthy: true,
        version,
        rights: rights.words().to_owned(),
        latency: Some(latency),
        problem,
        fix,
    })
}

async fn latency(session: &mut Session) -> Result<Duration, Error> {
    let started = Instant::now();
    session.run("DO 1").await?;
    Ok(started.elapsed())
}

#[derive(Debug)]
struct Rights {
    /// `'user'@'host'`, as the server has recognised it.
    user: String,
    grants: Vec<String>,
    readable_tables: u64,
    is_encrypted: bool,
    is_replica: bool,
}

impl Rights {
    fn has_everything(&self) -> bool {
        self.grants.iter().any(|grant| {
            grant.starts_with("GRANT ALL PRIVILEGES ON *.*") || grant.contains("SUPER")
        })
    }

    fn may_write(&self) -> bool {
        self.grants.iter().any(|grant| {
            let privileges = grant.split(" ON ").next().unwrap_or_default();
            WRITING.iter().any(|word| privileges.contains(word))
        })
    }

    fn words(&self) -> &'static str {
        if self.is_replica {
            "read-only (replica)"
        } else if self.has_everything() {
            "superuser"
        } else if self.may_write() {
            "may write"
        } else {
            "read-only"
        }
    }
}

async fn rights(session: &mut Session) -> Result<Rights, Error> {
    let grants = session.query("SHOW GRANTS", &[]).await?;
    let tables = session
        .query(
            "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA NOT IN \
             ('information_schema', 'performance_schema', 'mysql', 'sys')",
            &[],
        )
        .await?;
    let cipher = session
        .query("SHOW SESSION STATUS LIKE 'Ssl_cipher'", &[])
        .await?;
    let read_only = session
        .query("SELECT @@GLOBAL.read_only, CURRENT_USER()", &[])
        .await?;
    Ok(Rights {
        user: read_only
            .first()
            .and_then(|row| text(row, 1))
            .map(|account| quoted_account(&account))
            .unwrap_or_default(),
        grants: grants.iter().filter_map(|row| text(row, 0)).collect(),
        readable_tables: tables.first().and_then(|row| number(row, 0)).unwrap_or(0),
        is_encrypted: cipher
            .first()
            .and_then(|row| text(row, 1))
            .is_some_and(|cipher| !cipher.is_empty()),
        is_replica: read_only.first().and_then(|row| number(row, 0)) == Some(1),
    })
}

/// `reader@%` as statements spell it.
fn quoted_account(account: &str) -> String {
    let quoted = |part: &str| format!("'{}'", part.replace('\'', "''"));
    match account.rsplit_once('@') {
        Some((user, host)) => format!("{}@{}", quoted(user), quoted(host)),
        None => quoted(account),
    }
}

/// The gravest thing worth saying about a source that works.
fn warning(rights: &Rights, settings: &Settings) -> (String, String) {
    let user = &rights.user;
    if rights.readable_tables == 0 {
        return (
            format!("{user} may read no table"),
            format!("GRANT SELECT, SHOW VIEW ON database.* TO {user}"),
        );
    }
    let least = format!("create an account with only SELECT and SHOW VIEW in place of {user}");
    if rights.has_everything() {
        return (
            format!("{user} may do everything; Owlet never writes, and does not need such power"),
            least,
        );
    }
    if rights.may_write() && !rights.is_replica {
        return (
            format!(
                "{user} may write; Owlet reads in read-only transactions, but does not need the right"
            ),
            least,
        );
    }
    let is_local = settings.options.sslmode.is_none() && settings.sslmode == SslMode::Prefer;
    if !rights.is_encrypted && !is_local {
        return (
            "the connection is not encrypted".to_owned(),
            "enable ssl on the server and choose sslmode = \"verify-full\"".to_owned(),
        );
    }
    (String::new(), String::new())
}

#[cfg(test)]
mod tests {
    use super::quoted_account;

    #[test]
    fn accounts_are_spelled_as_statements_take_them() {
        assert_eq!(quoted_account("reader@%"), "'reader'@'%'");
        assert_eq!(quoted_account("o'neil@x@10.%"), "'o''neil@x'@'10.%'");
    }
}
