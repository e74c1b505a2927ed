//! Which server a query goes to: a replica that keeps up, in turn, else the primary. All scans of a query go to the
//! same one. Must never know what is read there.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use owlet_connector::{ConnectorError, QueryWork};
use tokio::sync::OnceCell;

use crate::failure::{Stage, translate};
use crate::pool::{PRIMARY, Pool, ServerId};

/// How long a replica's answer about its lag is believed.
const BELIEVED: Duration = Duration::from_secs(1);
/// How long a replica that could not be asked is left alone.
const LEFT_ALONE: Duration = Duration::from_secs(10);

/// Seconds behind the primary; NULL when the server cannot tell. A standby that is connected and has replayed all it
/// received is not behind, however long ago the last transaction was.
const LAG: &str = "
SELECT CASE
    WHEN NOT pg_catalog.pg_is_in_recovery() THEN NULL
    WHEN pg_catalog.pg_last_wal_receive_lsn() = pg_catalog.pg_last_wal_replay_lsn()
        AND EXISTS (SELECT FROM pg_catalog.pg_stat_wal_receiver WHERE pid IS NOT NULL) THEN 0
    ELSE extract(epoch FROM pg_catalog.clock_timestamp() - pg_catalog.pg_last_xact_replay_timestamp())
    END::double precision";

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

    fn judged(&self, lag: Option<f64>) -> Condition {
        match (self.max_lag, lag) {
            (None, _) => Condition::Good,
            (Some(limit), Some(seconds)) if seconds <= limit.as_secs_f64() => Condition::Good,
            (Some(limit), Some(seconds)) => Condition::Behind(format!(
                "it is {seconds:.1} s behind, more than max_replica_lag ({} s)",
                limit.as_secs_f64()
            )),
            (Some(_), None) => Condition::Behind("it cannot tell how far it is behind".to_owned()),
        }
    }

    /// Seconds behind the primary, where the server can tell.
    async fn lag(&self, pool: &Arc<Pool>, server: ServerId) -> Result<Option<f64>, ConnectorError> {
        let mut lease = pool.acquire(server).await?;
        if !lease.session()?.seems_alive().await {
            drop(lease);
            lease = pool.acquire_fresh(server).await?;
        }
        // Not every server that can be read like a standby knows these functions (Aurora readers).
        let sql = match self.max_lag {
            Some(_) => LAG,
            None => "SELECT NULL::double precision",
        };
        lease.statement_started();
        let result = lease.session()?.query(sql, &[]).await;
        lease.statement_finished();
        let settings = pool.settings(server)?;
        let fail = |error: &tokio_postgres::Error| {
            translate(error, Stage::Prepare, &settings.catalog, &settings.place)
        };
        let rows = result.map_err(|error| fail(&error))?;
        lease.release();
        rows.first()
            .map_or(Ok(None), |row| row.try_get(0))
            .map_err(|error| fail(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_judged_by_the_limit() {
        let routes = Routes::new(1, Some(Duration::from_secs(5)));
        assert_eq!(routes.judged(Some(5.0)), Condition::Good);
        assert!(matches!(routes.judged(Some(5.1)), Condition::Behind(_)));
        assert!(matches!(routes.judged(None), Condition::Behind(_)));
        assert_eq!(Routes::new(1, None).judged(None), Condition::Good);
    }
}
