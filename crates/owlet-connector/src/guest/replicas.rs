//! Which server of a catalog a query goes to: a replica that keeps up, in turn, else the primary. All scans of a query
//! go to the same one. Must never know a protocol.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::OnceCell;

use crate::error::ConnectorError;
use crate::per_query::PerQuery;
use crate::work::QueryWork;

/// How long a replica's answer about its lag is believed.
const BELIEVED: Duration = Duration::from_secs(1);
/// How long a replica that could not be asked is left alone.
const LEFT_ALONE: Duration = Duration::from_secs(10);

/// A server of a catalog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ServerId(pub usize);

/// The server of the catalog's url; the replicas follow in the order of `replica_urls`.
pub const PRIMARY: ServerId = ServerId(0);

/// How far a replica is behind the primary.
#[derive(Debug, Clone, PartialEq)]
pub enum Lag {
    /// So many seconds.
    Seconds(f64),
    /// The server cannot tell, and why, if it says so; empty if not.
    Unknown(String),
}

/// Asks replicas, each in its own protocol.
#[async_trait]
pub trait ReplicaLag: Sync {
    /// How far the replica is behind. Without a limit only whether it answers matters: then any lag will do.
    ///
    /// # Errors
    /// It cannot be asked.
    async fn lag(&self, server: ServerId, limit: Option<Duration>) -> Result<Lag, ConnectorError>;
}

/// The choice of servers of one catalog.
#[derive(Debug)]
pub struct Routes {
    max_lag: Option<Duration>,
    turn: AtomicUsize,
    states: Vec<tokio::sync::Mutex<Option<State>>>,
    servers: PerQuery<OnceCell<ServerId>>,
}

#[derive(Debug, Clone)]
struct State {
    seen: Instant,
    condition: Condition,
}

/// What is known of a replica.
#[derive(Debug, Clone, PartialEq)]
pub enum Condition {
    /// It may be used.
    Good,
    /// It answers, but is or may be too far behind.
    Behind(String),
    /// It cannot be asked.
    Unusable(String),
}

impl Routes {
    /// For so many replicas, none of which may be further behind than `max_lag`; without it any that answers will do.
    pub fn new(replicas: usize, max_lag: Option<Duration>) -> Self {
        Self {
            max_lag,
            turn: AtomicUsize::new(0),
            states: (0..replicas)
                .map(|_| tokio::sync::Mutex::new(None))
                .collect(),
            servers: PerQuery::default(),
        }
    }

    /// The server of this query.
    pub async fn of_query(&self, replicas: &impl ReplicaLag, query: &Arc<QueryWork>) -> ServerId {
        if self.states.is_empty() {
            return PRIMARY;
        }
        let server = self.servers.get_or_insert_with(query, OnceCell::new);
        *server.get_or_init(|| self.choose(replicas)).await
    }

    /// A server for metadata and plans: the next replica that keeps up, else the primary.
    pub async fn choose(&self, replicas: &impl ReplicaLag) -> ServerId {
        let count = self.states.len();
        if count == 0 {
            return PRIMARY;
        }
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        for offset in 0..count {
            let replica = (first + offset) % count;
            if self.condition(replicas, replica).await == Condition::Good {
                return ServerId(replica + 1);
            }
        }
        PRIMARY
    }

    /// What is known of the replica of this number, asked again when that is old.
    pub async fn condition(&self, replicas: &impl ReplicaLag, replica: usize) -> Condition {
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
        let condition = match replicas.lag(ServerId(replica + 1), self.max_lag).await {
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
            (Some(_), Lag::Unknown(reason)) if reason.is_empty() => {
                Condition::Behind("it cannot tell how far it is behind".to_owned())
            }
            (Some(_), Lag::Unknown(reason)) => {
                Condition::Behind(format!("it cannot tell how far it is behind: {reason}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_judged_by_the_limit() {
        let routes = Routes::new(1, Some(Duration::from_secs(5)));
        assert_eq!(routes.judged(Lag::Seconds(5.0)), Condition::Good);
        assert!(matches!(
            routes.judged(Lag::Seconds(5.1)),
            Condition::Behind(_)
        ));
        let unknown = || Lag::Unknown("no reason".to_owned());
        assert!(matches!(routes.judged(unknown()), Condition::Behind(_)));
        assert_eq!(Routes::new(1, None).judged(unknown()), Condition::Good);
    }

    /// Replicas that are so many seconds behind; `None` cannot be asked.
    struct Replicas(Vec<Option<f64>>);

    #[async_trait]
    impl ReplicaLag for Replicas {
        async fn lag(&self, server: ServerId, _: Option<Duration>) -> Result<Lag, ConnectorError> {
            self.0[server.0 - 1]
                .map(Lag::Seconds)
                .ok_or_else(|| ConnectorError::Internal("down".to_owned()))
        }
    }

    #[tokio::test]
    async fn replicas_take_turns_and_laggards_are_passed_over() {
        let replicas = Replicas(vec![Some(0.0), Some(60.0), None, Some(1.0)]);
        let routes = Routes::new(4, Some(Duration::from_secs(5)));
        let mut chosen = Vec::new();
        for _ in 0..5 {
            chosen.push(routes.choose(&replicas).await.0);
        }
        assert_eq!(chosen, [1, 4, 4, 4, 1]);
        let none = Replicas(vec![None]);
        assert_eq!(Routes::new(1, None).choose(&none).await, PRIMARY);
    }
}
