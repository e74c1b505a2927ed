//! The bounded pool of one catalog: waiting, reuse, and who holds what. Must never know SQL.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use owlet_connector::{Activity, ConnectorError, ServerId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::session::{ServerTraits, Session};
use crate::settings::Settings;

/// An idle connection older than this is closed rather than reused: firewalls forget silent connections.
const LONGEST_IDLE: Duration = Duration::from_secs(240);
/// How long all connections may stand still (held by readers that do not read) before a waiter gives up.
const LONGEST_STANDSTILL: Duration = Duration::from_secs(30);
/// How often a waiter looks for a standstill.
const STANDSTILL_TICK: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Server {
    settings: Arc<Settings>,
    traits: ServerTraits,
}

/// Lends connections to all servers of a catalog, at most `max_connections` at a time.
#[derive(Debug)]
pub(crate) struct Pool {
    catalog: String,
    size: usize,
    servers: Vec<Server>,
    idle: Mutex<Vec<(ServerId, Session)>>,
    places: Arc<Semaphore>,
    /// Leases that are waiting for the server, not for their reader.
    busy: Arc<AtomicUsize>,
}

/// A borrowed connection. Dropped without [`Lease::release`], it is closed, and its statement cancelled.
#[derive(Debug)]
pub(crate) struct Lease {
    pool: Arc<Pool>,
    server: ServerId,
    session: Option<Session>,
    running: Running,
    parked: bool,
    _place: OwnedSemaphorePermit,
}

/// Whether the server may be working for a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Running {
    Nothing,
    Statement,
}

impl Pool {
    /// A pool for these servers, the primary first.
    pub(crate) fn new(catalog: &str, size: usize, servers: Vec<Settings>) -> Arc<Self> {
        Arc::new(Self {
            catalog: catalog.to_owned(),
            size,
            servers: servers
                .into_iter()
                .map(|settings| Server {
                    settings: Arc::new(settings),
                    traits: ServerTraits::default(),
                })
                .collect(),
            idle: Mutex::new(Vec::new()),
            places: Arc::new(Semaphore::new(size)),
            busy: Arc::new(AtomicUsize::new(0)),
        })
    }

    /// Number of replicas: the servers 1, 2, ….
    pub(crate) fn replicas(&self) -> usize {
        self.servers.len().saturating_sub(1)
    }

    /// Connections open now, and how many of them the server works for.
    pub(crate) fn activity(&self) -> Activity {
        let lent = self.size.saturating_sub(self.places.available_permits());
        let connections = lent + lock(&self.idle).len();
        Activity {
            connections,
            statements: self.busy.load(Ordering::Relaxed),
            // The driver of each connection is a task.
            lasting_tasks: connections,
        }
    }

    pub(crate) fn settings(&self, server: ServerId) -> Result<&Arc<Settings>, ConnectorError> {
        Ok(&self.server(server)?.settings)
    }

    fn server(&self, server: ServerId) -> Result<&Server, ConnectorError> {
        self.servers.get(server.0).ok_or_else(|| {
            ConnectorError::Internal(format!("the catalog has no server {}", server.0))
        })
    }

    /// A connection, idle or new.
    pub(crate) async fn acquire(
        self: &Arc<Self>,
        server: ServerId,
    ) -> Result<Lease, ConnectorError> {
        let place = self.place().await?;
        let session = match self.take_idle(server) {
            Some(session) => session,
            None => self.connect(server).await?,
        };
        Ok(self.lease(server, session, place))
    }

    /// A connection that was never used: for a second try after an idle one turned out to be dead.
    pub(crate) async fn acquire_fresh(
        self: &Arc<Self>,
        server: ServerId,
    ) -> Result<Lease, ConnectorError> {
        let place = self.place().await?;
        let dead: Vec<_> = lock(&self.idle)
            .extract_if(.., |(of, _)| *of == server)
            .collect();
        dead.into_iter().for_each(|(_, session)| session.discard());
        let session = self.connect(server).await?;
        Ok(self.lease(server, session, place))
    }

    async fn connect(&self, server: ServerId) -> Result<Session, ConnectorError> {
        // The limit is for all servers together: idle connections to others make room.
        let surplus = {
            let mut idle = lock(&self.idle);
            let lent = self.size.saturating_sub(self.places.available_permits());
            let surplus = (lent + idle.len())
                .saturating_sub(self.size)
                .min(idle.len());
            idle.drain(..surplus).collect::<Vec<_>>()
        };
        surplus
            .into_iter()
            .for_each(|(_, session)| session.discard());
        let server = self.server(server)?;
        Session::connect(Arc::clone(&server.settings), &server.traits).await
    }

    fn lease(
        self: &Arc<Self>,
        server: ServerId,
        session: Session,
        place: OwnedSemaphorePermit,
    ) -> Lease {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Lease {
            pool: Arc::clone(self),
            server,
            session: Some(session),
            running: Running::Nothing,
            parked: false,
            _place: place,
        }
    }

    fn take_idle(&self, server: ServerId) -> Option<Session> {
        let mut idle = lock(&self.idle);
        while let Some(position) = idle.iter().rposition(|(of, _)| *of == server) {
            let (_, session) = idle.remove(position);
            if !session.is_closed() && session.idle_since.elapsed() < LONGEST_IDLE {
                return Some(session);
            }
            session.discard();
        }
        None
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, ConnectorError> {
        let acquire = Arc::clone(&self.places).acquire_owned();
        tokio::pin!(acquire);
        let mut standstill = Duration::ZERO;
        loop {
            match tokio::time::timeout(STANDSTILL_TICK, &mut acquire).await {
                Ok(place) => {
                    return place
                        .map_err(|_| ConnectorError::Internal("the pool is closed".to_owned()));
                }
                Err(_) if self.busy.load(Ordering::Relaxed) == 0 => standstill += STANDSTILL_TICK,
                Err(_) => standstill = Duration::ZERO,
            }
            if standstill >= LONGEST_STANDSTILL {
                return Err(ConnectorError::Timeout {
                    catalog: self.catalog.clone(),
                    message: format!(
                        "all {} connections are held by scans whose rows nobody reads (a query that reads more \
                         tables at the same time than there are connections, or a slow reader)",
                        self.size
                    ),
                    hint: "raise max_connections of the catalog".to_owned(),
                });
            }
        }
    }
}

impl Lease {
    /// The connection.
    pub(crate) fn session(&self) -> Result<&Session, ConnectorError> {
        self.session
            .as_ref()
            .ok_or_else(|| ConnectorError::Internal("a released connection was used".to_owned()))
    }

    /// From now on the server may be working: dropping the lease must cancel.
    pub(crate) fn statement_started(&mut self) {
        self.running = Running::Statement;
    }

    /// The server has finished; dropping the lease need not cancel.
    pub(crate) fn statement_finished(&mut self) {
        self.running = Running::Nothing;
    }

    /// The reader has rows and has not asked for more.
    pub(crate) fn park(&mut self) {
        if !self.parked {
            self.parked = true;
            self.pool.busy.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The reader asked for more.
    pub(crate) fn unpark(&mut self) {
        if self.parked {
            self.parked = false;
            self.pool.busy.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Gives a connection in good order back for reuse.
    pub(crate) fn release(mut self) {
        if let Some(mut session) = self.session.take()
            && !session.is_closed()
        {
            session.idle_since = std::time::Instant::now();
            lock(&self.pool.idle).push((self.server, session));
        }
    }

    /// Cancels the running statement and waits until the request is sent.
    pub(crate) async fn cancel(mut self) {
        if let Some(session) = self.session.take() {
            // It fails when the runtime ends, and everything with it.
            drop(session.cancel_in_background().await);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.parked {
            self.pool.busy.fetch_sub(1, Ordering::Relaxed);
        }
        let Some(session) = self.session.take() else {
            return;
        };
        match self.running {
            Running::Statement => drop(session.cancel_in_background()),
            Running::Nothing => session.discard(),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
