//! Connections in one snapshot: which are lent, which are idle, and when they are given up. Must never know who reads.

use std::sync::Arc;
use std::sync::{Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use owlet_connector::QueryWork;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::agreement::{Taken, end};
use crate::pool::Lease;

/// How often it is looked whether a query without an end signal is over.
const TICK: Duration = Duration::from_millis(500);

/// Connections in one snapshot.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) scope: Scope,
    /// Held while the connections are opened.
    pub(crate) opening: tokio::sync::Mutex<()>,
    pub(crate) connections: Mutex<Connections>,
    /// A connection came back or is gone.
    pub(crate) changed: Notify,
}

/// Whose view it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    Scan,
    Query,
}

#[derive(Debug)]
pub(crate) struct Connections {
    pub(crate) state: State,
    /// Not lent at the moment.
    pub(crate) idle: Vec<Lease>,
    /// Lent or idle.
    pub(crate) alive: usize,
    /// Lent to somebody who reads.
    pub(crate) reading: usize,
    /// Scans of the query that need no more rows.
    pub(crate) done: usize,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum State {
    NotYet,
    /// The connections are there; others cannot join.
    Open(Taken),
    /// Given up; rows read before came from it, so no other may replace it.
    Expired,
}

impl Connections {
    pub(crate) fn take_idle(&mut self) -> Option<Lease> {
        while let Some(mut lease) = self.idle.pop() {
            if lease.session().is_ok_and(|session| !session.is_closed()) {
                lease.unpark();
                return Some(lease);
            }
            self.alive -= 1;
        }
        None
    }
}

impl View {
    pub(crate) fn new(scope: Scope) -> Self {
        Self {
            scope,
            opening: tokio::sync::Mutex::new(()),
            connections: Mutex::new(Connections {
                state: State::NotYet,
                idle: Vec::new(),
                alive: 0,
                reading: 0,
                done: 0,
            }),
            changed: Notify::new(),
        }
    }

    /// Ends the transactions of idle connections; lent ones follow when they come back.
    pub(crate) fn close(&self) {
        let idle: Vec<Lease> = {
            let mut connections = lock(&self.connections);
            connections.state = State::Expired;
            connections.alive -= connections.idle.len();
            connections.idle.drain(..).collect()
        };
        self.changed.notify_waiters();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                for lease in idle {
                    end(lease).await;
                }
            });
        }
    }
}

/// Keeps a query's view until the query is over.
pub(crate) async fn keep(view: Arc<View>, query: Weak<QueryWork>, cancellation: CancellationToken) {
    let forgotten = async {
        while query.strong_count() > 0 {
            tokio::time::sleep(TICK).await;
        }
    };
    // The engine cancels the token when the query ends, in whatever way.
    tokio::select! {
        () = cancellation.cancelled() => {}
        () = forgotten => {}
    }
    view.close();
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
