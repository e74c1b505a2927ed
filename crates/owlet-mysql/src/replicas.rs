//! How far a MySQL or MariaDB replica is behind. Must never know what is read there.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mysql_async::Error;
use owlet_connector::{ConnectorError, Lag, ReplicaLag, ServerId};
use owlet_remote_sql::mysql::Product;

use crate::catalog::text;
use crate::failure::{Stage, translate};
use crate::pool::Pool;
use crate::session::Session;

/// Aurora's readers are no replicas to the protocol's statements; they tell their lag here ("Aurora MySQL
/// information_schema tables", Amazon Aurora User Guide).
const AURORA_LAG: &str = "SELECT replica_lag_in_milliseconds / 1000 FROM information_schema.replica_host_status \
     WHERE server_id = @@aurora_server_id";

/// The replicas of a catalog, asked over its pool.
pub(crate) struct Replicas<'a>(pub(crate) &'a Arc<Pool>);

#[async_trait]
impl ReplicaLag for Replicas<'_> {
    async fn lag(&self, server: ServerId, limit: Option<Duration>) -> Result<Lag, ConnectorError> {
        let pool = self.0;
        let mut lease = pool.acquire(server).await?;
        if !lease.session_mut()?.seems_alive().await {
            drop(lease);
            lease = pool.acquire_fresh(server).await?;
        }
        lease.statement_started();
        let session = lease.session_mut()?;
        let result = match limit {
            Some(_) => replication_lag(session).await,
            None => session
                .run("DO 1")
                .await
                .map(|()| Lag::Unknown(String::new())),
        };
        if matches!(&result, Ok(_) | Err(Error::Server(_))) {
            // The server has answered: there is nothing to cancel.
            lease.statement_finished();
        }
        let settings = pool.settings(server)?;
        let lag = match result {
            Ok(lag) => lag,
            // ER_SPECIFIC_ACCESS_DENIED_ERROR.
            Err(Error::Server(error)) if error.code == 1_227 => Lag::Unknown(format!(
                "{} (GRANT REPLICATION CLIENT, or REPLICA MONITOR in MariaDB)",
                error.message
            )),
            Err(error) => {
                return Err(translate(
                    &error,
                    Stage::Prepare,
                    settings,
                    "the replication status",
                ));
            }
        };
        lease.release();
        Ok(lag)
    }
}

/// What the server says of its replication.
async fn replication_lag(session: &mut Session) -> Result<Lag, Error> {
    // MySQL 8.4 no longer knows the old words, MySQL 8.0.21 and MariaDB 10.4 not yet the new ones.
    let sql = match (session.server.product, session.server.version) {
        (Product::MySql, version) if version >= (8, 0, 22) => "SHOW REPLICA STATUS",
        (Product::MySql, _) => "SHOW SLAVE STATUS",
        (Product::MariaDb, _) => "SHOW ALL SLAVES STATUS",
    };
    let channels = session.query(sql, &[]).await?;
    if channels.is_empty() {
        return Ok(match session.query(AURORA_LAG, &[]).await {
            Ok(rows) => match rows.first().and_then(|row| text(row, 0)) {
                Some(seconds) => aurora_lag(&seconds),
                None => Lag::Unknown("it is no replica".to_owned()),
            },
            Err(_) => Lag::Unknown("it is no replica".to_owned()),
        });
    }
    Ok(furthest(channels.iter().map(|row| {
        channel_lag(|name| {
            let columns = row.columns();
            let position = columns
                .iter()
                .position(|column| column.name_str().eq_ignore_ascii_case(name))?;
            text(row, position)
        })
    })))
}

fn aurora_lag(seconds: &str) -> Lag {
    match seconds.parse() {
        Ok(seconds) => Lag::Seconds(seconds),
        Err(_) => Lag::Unknown(format!("it says {seconds:?}")),
    }
}

/// A replica of several sources is as far behind as its furthest channel.
fn furthest(channels: impl Iterator<Item = Lag>) -> Lag {
    channels
        .reduce(|one, other| match (one, other) {
            (Lag::Seconds(one), Lag::Seconds(other)) => Lag::Seconds(one.max(other)),
            (unknown @ Lag::Unknown(_), _) | (_, unknown) => unknown,
        })
        .unwrap_or_else(|| Lag::Unknown("it is no replica".to_owned()))
}

/// One row of the replication status, in the words of any version.
fn channel_lag(field: impl Fn(&str) -> Option<String>) -> Lag {
    let either = |new: &str, old: &str| field(new).or_else(|| field(old));
    let behind = either("Seconds_Behind_Source", "Seconds_Behind_Master");
    if let Some(seconds) = behind.and_then(|seconds| seconds.parse().ok()) {
        return Lag::Seconds(seconds);
    }
    let state = |new: &str, old: &str| either(new, old).unwrap_or_else(|| "unknown".to_owned());
    let errors: Vec<String> = ["Last_IO_Error", "Last_SQL_Error"]
        .into_iter()
        .filter_map(&field)
        .filter(|error| !error.is_empty())
        .collect();
    Lag::Unknown(format!(
        "replication stands still (receiving: {}, applying: {}){}{}",
        state("Replica_IO_Running", "Slave_IO_Running"),
        state("Replica_SQL_Running", "Slave_SQL_Running"),
        if errors.is_empty() { "" } else { ": " },
        errors.join("; "),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_read_in_the_words_of_each_version() {
        let read = |fields: &'static [(&str, &str)]| {
            channel_lag(|name| {
                let found = fields.iter().find(|(known, _)| *known == name)?;
                Some(found.1.to_owned())
            })
        };
        assert_eq!(read(&[("Seconds_Behind_Master", "7")]), Lag::Seconds(7.0));
        assert_eq!(read(&[("Seconds_Behind_Source", "0")]), Lag::Seconds(0.0));
        let stopped = read(&[
            ("Slave_IO_Running", "Yes"),
            ("Slave_SQL_Running", "No"),
            ("Last_IO_Error", ""),
            ("Last_SQL_Error", "Duplicate entry"),
        ]);
        assert_eq!(
            stopped,
            Lag::Unknown(
                "replication stands still (receiving: Yes, applying: No): Duplicate entry"
                    .to_owned()
            )
        );
        let channels = [Lag::Seconds(1.0), Lag::Seconds(9.0), Lag::Seconds(3.0)];
        assert_eq!(furthest(channels.into_iter()), Lag::Seconds(9.0));
        assert_eq!(
            furthest([Lag::Seconds(1.0), stopped.clone()].into_iter()),
            stopped
        );
        assert_eq!(aurora_lag("0.0213"), Lag::Seconds(0.0213));
    }
}
