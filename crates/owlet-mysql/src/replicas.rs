//! Which server a query goes to: a replica that keeps up, in turn, else the primary. All scans of a query go to the
//! same one. Must never know what is read there.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use mysql_async::Error;
use owlet_connector::{ConnectorError, QueryWork};
use owlet_remote_sql::mysql::Product;
use tokio::sync::OnceCell;

use crate::catalog::text;
use crate::failure::{Stage, translate};
use crate::pool::{PRIMARY, Pool, ServerId};
use crate::session::Session;

/// How long a replica's answer about its lag is believed.
const BELIEVED: Duration = Duration::from_secs(1);
/// How long a replica that could not be asked is left alone.
const LEFT_ALONE: Duration = Duration::from_secs(10);

/// Aurora's readers are no replicas to the protocol's statements; they tell their lag here ("Aurora MySQL
/// information_schema tables", Amazon Aurora User Guide).
const AURORA_LAG: &str = "SELECT replica_lag_in_milliseconds / 1000 FROM information_schema.replica_host_status \
     WHERE server_id = @@aurora_server_id";

/// How far a replica is behind the primary.
#[derive(Debug, Clone, PartialEq)]
enum Lag {
    Seconds(f64),
    /// The server cannot tell, and why.
    Unknown(String),
}

/// The choice of servers of one catalog.
#[derive(Debug)]
pub(crate) struct Routes {
    max_lag: Option<Duration>,
    turn: AtomicUsize,
    states: Vec<tokio::sync::Mutex<Option<State>>>,
    queries: Mutex<HashMap<usize, Route>>,
}

/// The server of a query. The weak reference keeps the address from being used again.
#[derive(Debug)]
struct Route {
    query: Weak<QueryWork>,
    server: Arc<OnceCell<ServerId>>,
}

#[derive(Debug, Clone)]
struct State {
    seen: Instant,
    condition: Condition,
}

/// What is known of a replica.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Condition {
    /// It may be used.
    Good,
    /// It answers, but is or may be too far behind.
    Behind(String),
    /// It cannot be asked.
    Unusable(String),
}

impl Routes {
    pub(crate) fn new(replicas: usize, max_lag: Option<Duration>) -> Self {
        Self {
            max_lag,
            turn: AtomicUsize::new(0),
            states: (0..replicas)
                .map(|_| tokio::sync::Mutex::new(None))
                .collect(),
            queries: Mutex::new(HashMap::new()),
        }
    }

    /// The server of this query.
    pub(crate) async fn of_query(&self, pool: &Arc<Pool>, query: &Arc<QueryWork>) -> ServerId {
        if self.states.is_empty() {
            return PRIMARY;
        }
        let server = {
            let mut queries = self.queries.lock().unwrap_or_else(PoisonError::into_inner);
            queries.retain(|_, route| route.query.strong_count() > 0);
            let route = queries
                .entry(Arc::as_ptr(query) as usize)
                .or_insert_with(|| Route {
                    query: Arc::downgrade(query),
                    server: Arc::new(OnceCell::new()),
                });
            Arc::clone(&route.server)
        };
        *server.get_or_init(|| self.choose(pool)).await
    }

    /// A server for metadata and plans: the next replica that keeps up, else the primary.
    pub(crate) async fn choose(&self, pool: &Arc<Pool>) -> ServerId {
        let replicas = self.states.len();
        if replicas == 0 {
            return PRIMARY;
        }
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        for offset in 0..replicas {
            let replica = (first + offset) % replicas;
            if self.condition(pool, replica).await == Condition::Good {
                return ServerId(replica + 1);
            }
        }
        PRIMARY
    }

    /// What is known of the replica of this number, asked again when that is old.
    pub(crate) async fn condition(&self, pool: &Arc<Pool>, replica: usize) -> Condition {
        let Some(state) = self.states.get(replica) else {
            return Condition::Unusable("there is no such replica".to_owned());
        };
        let mut state = state.lock().await;
        if let Some(known) = state.as_ref() {
            let good_for = match known.condition {
                Condition::Unusable(_) => LEFT_ALONE,
                Condition::Good | Condition::Behind(_) => {
                    self.max_lag.map_or(BELIEVED, |limit| limit.min(BELIEVED))
                }
            };
            if known.seen.elapsed() < good_for {
                return known.condition.clone();
            }
        }
        let condition = match self.lag(pool, ServerId(replica + 1)).await {
            Ok(lag) => self.judged(lag),
            Err(error) => Condition::Unusable(error.to_string()),
        };
        let was_good = state
            .as_ref()
            .is_none_or(|known| known.condition == Condition::Good);
        if let (true, Condition::Behind(reason) | Condition::Unusable(reason)) =
            (was_good, &condition)
        {
            tracing::warn!(replica = replica + 1, reason, "a replica is not used");
        }
        *state = Some(State {
            seen: Instant::now(),
            condition: condition.clone(),
        });
        condition
    }

    fn judged(&self, lag: Lag) -> Condition {
        match (self.max_lag, lag) {
            (None, _) => Condition::Good,
            (Some(limit), Lag::Seconds(seconds)) if seconds <= limit.as_secs_f64() => {
                Condition::Good
            }
            (Some(limit), Lag::Seconds(seconds)) => Condition::Behind(format!(
                "it is {seconds:.1} s behind, more than max_replica_lag ({} s)",
                limit.as_secs_f64()
            )),
            (Some(_), Lag::Unknown(reason)) => {
                Condition::Behind(format!("it cannot tell how far it is behind: {reason}"))
            }
        }
    }

    /// Seconds behind the primary, where the server can tell; without a limit only whether it answers.
    async fn lag(&self, pool: &Arc<Pool>, server: ServerId) -> Result<Lag, ConnectorError> {
        let mut lease = pool.acquire(server).await?;
        if !lease.session_mut()?.seems_alive().await {
            drop(lease);
            lease = pool.acquire_fresh(server).await?;
        }
        lease.statement_started();
        let session = lease.session_mut()?;
        let result = match self.max_lag {
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
    fn lag_is_judged_by_the_limit() {
        let routes = Routes::new(1, Some(Duration::from_secs(5)));
        assert_eq!(routes.judged(Lag::Seconds(5.0)), Condition::Good);
        assert!(matches!(
            routes.judged(Lag::Seconds(6.0)),
            Condition::Behind(_)
        ));
        let unknown = || Lag::Unknown("no reason".to_owned());
        assert!(matches!(routes.judged(unknown()), Condition::Behind(_)));
        assert_eq!(Routes::new(1, None).judged(unknown()), Condition::Good);
    }

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
