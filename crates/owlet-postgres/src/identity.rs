//! Which settings two catalogs must share to run each other's statements. Must never open a connection.

use owlet_connector::ServerIdentity;

use crate::options::PostgresOptions;
use crate::settings::Settings;

/// The identity of a catalog whose primary has these settings. Without comparison stay what is the catalog's own and
/// holds wherever its statements run: patterns, gate, and how long metadata and connection attempts may take.
pub(crate) fn of(primary: &Settings) -> Option<ServerIdentity> {
    // Named one by one: a new option must be thought about here.
    let PostgresOptions {
        url: _,
        login,
        replica_urls,
        max_replica_lag,
        tables: _,
        gate: _,
        password,
        password_file,
        sslmode: _,
        ca_file: _,
        statement_timeout,
        lock_timeout,
        max_connections,
        max_connections_per_scan,
        application_name,
        connect_timeout: _,
        metadata_ttl: _,
        numeric_scale,
        infinity,
        search_path,
    } = primary.options.as_ref();
    let mut identity = primary
        .place_and_user()
        .with("sslmode", primary.sslmode)
        .with("ca_file", &primary.ca_file)
        .with_secret("password", password.as_deref())
        .with("password_file", password_file)
        .with_secret("replica_urls", Some(replica_urls.join("\n")))
        .with("max_replica_lag", max_replica_lag)
        .with("statement_timeout", statement_timeout)
        .with("lock_timeout", lock_timeout)
        .with("max_connections", max_connections)
        .with("max_connections_per_scan", max_connections_per_scan)
        .with("application_name", application_name)
        .with("numeric_scale", numeric_scale)
        .with("infinity", infinity)
        .with("search_path", search_path);
    if let Some(provider) = login {
        identity = identity.and(provider.login_identity()?);
    }
    Some(identity)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use owlet_connector::TablePatterns;

    use super::*;

    fn identity(options: PostgresOptions) -> ServerIdentity {
        let servers = Settings::of_servers("shop", options).expect("valid options");
        of(&servers[0]).expect("comparable")
    }

    fn changed(change: impl FnOnce(&mut PostgresOptions)) -> ServerIdentity {
        let mut options = PostgresOptions::new("postgres://u:p@localhost/x");
        change(&mut options);
        identity(options)
    }

    #[test]
    fn what_decides_where_and_as_whom_is_compared() {
        let base = changed(|_| {});
        assert_eq!(base, changed(|_| {}));
        for url in [
            "postgres://v:p@localhost/x",
            "postgres://u:q@localhost/x",
            "postgres://u@localhost/x",
            "postgres://u:p@127.0.0.1/x",
            "postgres://u:p@localhost:5433/x",
            "postgres://u:p@localhost/y",
            "postgres://u:p@localhost/x?sslmode=require",
            "postgres://u:p@localhost/x?target_session_attrs=read-write",
        ] {
            assert_ne!(
                base,
                changed(|options| options.url = url.to_owned()),
                "{url}"
            );
        }
        assert_ne!(base, changed(|options| options.numeric_scale = 4));
        assert_ne!(base, changed(|options| options.max_connections = 2));
        assert_ne!(
            base,
            changed(|options| options.max_connections_per_scan = Some(1))
        );
        assert_ne!(
            base,
            changed(|options| options.statement_timeout = Some(Duration::from_secs(1)))
        );
        assert_ne!(
            base,
            changed(|options| options.replica_urls = vec!["postgres://r".to_owned()])
        );
        assert_ne!(
            base,
            changed(|options| options.password = Some("p".to_owned()))
        );
    }

    #[test]
    fn what_stays_each_catalogs_own_is_not() {
        let base = changed(|_| {});
        let patterns = TablePatterns::new(&["sales.*".to_owned()], &[]).expect("patterns");
        assert_eq!(base, changed(|options| options.tables = patterns));
        assert_eq!(
            base,
            changed(|options| options.gate.max_concurrent_queries = Some(1))
        );
        assert_eq!(
            base,
            changed(|options| options.metadata_ttl = Duration::ZERO)
        );
        let servers = |catalog| {
            Settings::of_servers(catalog, PostgresOptions::new("postgres://u:p@localhost/x"))
                .expect("valid options")
        };
        assert_eq!(of(&servers("one")[0]), of(&servers("two")[0]));
    }
}
