//! Which settings two catalogs must share to run each other's statements. Must never open a connection.

use owlet_connector::ServerIdentity;

use crate::options::MysqlOptions;
use crate::settings::Settings;

/// The identity of a catalog whose primary has these settings. The database of the URL is no part of it: the server
/// shows all of them to the same user. Without comparison stay what is the catalog's own and holds wherever its
/// statements run: patterns, gate, and how long metadata and connection attempts may take.
pub(crate) fn of(primary: &Settings) -> Option<ServerIdentity> {
    // Named one by one: a new option must be thought about here.
    let MysqlOptions {
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
        application_name,
        connect_timeout: _,
        metadata_ttl: _,
        zero_dates,
        tinyint1,
        snapshot,
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
        .with("application_name", application_name)
        .with("zero_dates", zero_dates)
        .with("tinyint1", tinyint1)
        .with("snapshot", snapshot);
    if let Some(provider) = login {
        identity = identity.and(provider.login_identity()?);
    }
    Some(identity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::ZeroDatePolicy;

    fn changed(change: impl FnOnce(&mut MysqlOptions)) -> Option<ServerIdentity> {
        let mut options = MysqlOptions::new("mysql://u:p@localhost/x");
        change(&mut options);
        let servers = Settings::of_servers("shop", options).expect("valid options");
        of(&servers[0])
    }

    #[test]
    fn what_decides_where_and_as_whom_is_compared() {
        let base = changed(|_| {});
        for url in [
            "mysql://v:p@localhost/x",
            "mysql://u:q@localhost/x",
            "mysql://u@localhost/x",
            "mysql://u:p@127.0.0.1/x",
            "mysql://u:p@localhost:3307/x",
            "mysql://u:p@localhost/x?sslmode=require",
        ] {
            assert_ne!(
                base,
                changed(|options| options.url = url.to_owned()),
                "{url}"
            );
        }
        assert_ne!(
            base,
            changed(|options| options.zero_dates = ZeroDatePolicy::Null)
        );
        assert_ne!(base, changed(|options| options.max_connections = 2));
    }

    #[test]
    fn databases_of_one_server_see_each_other() {
        let base = changed(|_| {});
        for url in ["mysql://u:p@localhost:3306/y", "mariadb://u:p@localhost"] {
            assert_eq!(
                base,
                changed(|options| options.url = url.to_owned()),
                "{url}"
            );
        }
    }
}
