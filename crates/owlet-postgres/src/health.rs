//! What `owlet doctor` says about a PostgreSQL catalog. Must never fail: problems are the answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use owlet_connector::{Condition, ConnectorError, Health, PRIMARY, Routes};

use crate::failure::{Stage, translate};
use crate::options::SslMode;
use crate::pool::Pool;
use crate::replicas::Replicas;
use crate::session::Session;
use crate::settings::Settings;

/// Connects, measures a round trip, and looks at the user's rights.
pub(crate) async fn check(pool: &Arc<Pool>, settings: &Settings, routes: &Routes) -> Health {
    let mut health = match examine(pool, settings).await {
        Ok(health) => health,
        Err(error) => return failed(&error),
    };
    for replica in 0..pool.replicas() {
        let (reason, fix) = match routes.condition(&Replicas(pool), replica).await {
            Condition::Good => continue,
            Condition::Behind(reason) => (
                reason,
                "queries go to the other servers meanwhile; Aurora readers cannot tell their lag: leave \
                 max_replica_lag out for them",
            ),
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
    let lease = pool.acquire(PRIMARY).await?;
    let session = lease.session()?;
    let found =
        async { Ok::<_, tokio_postgres::Error>((latency(session).await?, rights(session).await?)) }
            .await;
    let (latency, rights) = found.map_err(|error| {
        translate(
            &error,
            Stage::Prepare,
            &settings.catalog,
            "the system catalogs",
        )
    })?;
    let version = rights.version.clone();
    lease.release();
    let (problem, fix) = warning(&rights, settings);
    Ok(Health {
        healthy: true,
        version,
        rights: rights.words(),
        latency: Some(latency),
        problem,
        fix,
    })
}

async fn latency(session: &Session) -> Result<Duration, tokio_postgres::Error> {
    let started = Instant::now();
    session.client.simple_query("SELECT 1").await?;
    Ok(started.elapsed())
}

#[derive(Debug)]
struct Rights {
    version: String,
    user: String,
    is_superuser: bool,
    may_write: bool,
    in_recovery: bool,
    readable_tables: i64,
    is_encrypted: bool,
}

impl Rights {
    fn words(&self) -> String {
        match (self.is_superuser, self.may_write, self.in_recovery) {
            (_, _, true) => "read-only (standby)".to_owned(),
            (true, ..) => "superuser".to_owned(),
            (false, true, _) => "may write".to_owned(),
            (false, false, _) => "read-only".to_owned(),
        }
    }
}

const RIGHTS: &str = "
SELECT pg_catalog.current_setting('server_version')::text, current_user::text, r.rolsuper,
    EXISTS (SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
        AND n.nspname NOT LIKE 'pg\\_%' AND pg_catalog.has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')),
    pg_catalog.pg_is_in_recovery(),
    (SELECT count(*) FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
        AND n.nspname NOT LIKE 'pg\\_%' AND pg_catalog.has_schema_privilege(n.oid, 'USAGE')
        AND pg_catalog.has_table_privilege(c.oid, 'SELECT')),
    coalesce((SELECT s.ssl FROM pg_catalog.pg_stat_ssl AS s WHERE s.pid = pg_catalog.pg_backend_pid()), false)
FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user";

async fn rights(session: &Session) -> Result<Rights, tokio_postgres::Error> {
    let rows = session.query(RIGHTS, &[]).await?;
    let Some(row) = rows.first() else {
        return Ok(Rights {
            version: session.server_version.to_string(),
            user: String::new(),
            is_superuser: false,
            may_write: false,
            in_recovery: false,
            readable_tables: 0,
            is_encrypted: false,
        });
    };
    let version: String = row.try_get(0)?;
    Ok(Rights {
        version: version
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned(),
        user: row.try_get(1)?,
        is_superuser: row.try_get(2)?,
        may_write: row.try_get(3)?,
        in_recovery: row.try_get(4)?,
        readable_tables: row.try_get(5)?,
        is_encrypted: row.try_get(6)?,
    })
}

/// The gravest thing worth saying about a source that works.
fn warning(rights: &Rights, settings: &Settings) -> (String, String) {
    let user = &rights.user;
    if rights.readable_tables == 0 {
        return (
            format!("{user} may read no table"),
            format!(
                "GRANT USAGE ON SCHEMA … TO {user}; GRANT SELECT ON ALL TABLES IN SCHEMA … TO {user}"
            ),
        );
    }
    if rights.is_superuser {
        return (
            format!("{user} is a superuser; Owlet never writes, but does not need such power"),
            "create a role with only USAGE and SELECT (or membership in pg_read_all_data) for Owlet".to_owned(),
        );
    }
    if rights.may_write && !rights.in_recovery {
        return (
            format!("{user} may write; Owlet reads in read-only transactions, but does not need the right"),
            "create a role with only USAGE and SELECT (or membership in pg_read_all_data) for Owlet".to_owned(),
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
