//! Who reads in which snapshot: the splits of a scan always in the same one, all scans of a query in the same one where
//! that can be had. Must never know how rows are read, or how equal snapshots are proved.
//!
//! The plan is plain data, so splits meet here when they are opened: a *run* is one plan read for one query (one work
//! recorder). Its connections are those of a *view*: opened all at once by the first split that needs rows, because no
//! connection can join a snapshot later ([`crate::agreement`]). A connection stays in its transaction and serves one
//! split after another until the view is closed: a view of one scan when the run is over, a view of a query when the
//! query is.
//!
//! A scan that has not begun may leave the view of its query for one of its own: when the view's connections are gone,
//! or are held by readers that do not read (who may be waiting for this very scan). The work report then shows
//! different times. A query that waits never holds a connection that another one waits for: a view takes what is free
//! beyond its first connection, and views of queries leave half of the connections to others.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use owlet_connector::{ConnectorError, PerQuery, QueryWork, ScanContext, WorkRecorder};
use tokio_util::sync::CancellationToken;

use crate::agreement::{self, Source, end};
use crate::plan::SplitPayload;
use crate::pool::Lease;
use crate::view::{Scope, State, View, keep, lock};

/// How long a snapshot is kept for splits that have not been opened while no split is being read.
const GRACE: Duration = Duration::from_secs(60);
/// How long a scan waits for a connection of its query's view whose readers do not read.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long all connections may stand still (held by readers that do not read) before a waiter gives up.
const LONGEST_STANDSTILL: Duration = Duration::from_secs(30);
/// How often a run without readers is looked at.
const TICK: Duration = Duration::from_millis(500);

/// All runs of one connector, and the views of its queries.
#[derive(Debug)]
pub(crate) struct Snapshots {
    catalog: String,
    connections: usize,
    runs: Mutex<HashMap<RunKey, Arc<Run>>>,
    views: PerQuery<View>,
}

/// Plan and address of the query's recorder. The run keeps a weak reference, so the address is not reused.
type RunKey = (u64, usize);

#[derive(Debug)]
struct Run {
    splits: usize,
    recorder: Weak<WorkRecorder>,
    progress: Mutex<Progress>,
    place: Mutex<Place>,
}

#[derive(Debug, Default)]
struct Progress {
    /// Streams alive.
    readers: usize,
    /// Splits read to the end.
    finished: HashSet<usize>,
    /// A reader stopped early: the query needs no more rows.
    abandoned: bool,
}

/// Where a run reads.
#[derive(Debug)]
struct Place {
    view: Arc<View>,
    /// Connections of the view that the run's splits have.
    lent: usize,
    /// Rows have been handed over: all others must come from the same snapshot.
    delivered: bool,
}

/// A split's part in a run; dropped when its stream is.
#[derive(Debug)]
pub(crate) struct Ticket {
    snapshots: Arc<Snapshots>,
    key: RunKey,
    run: Arc<Run>,
    split: usize,
    query: Weak<QueryWork>,
    cancellation: CancellationToken,
}

/// A connection in the run's snapshot, lent to one split. Dropped before its split is finished, it is cancelled.
#[derive(Debug)]
pub(crate) struct RunLease {
    lease: Option<Lease>,
    run: Arc<Run>,
    view: Arc<View>,
    reads: bool,
}

/// What a run finds in its view.
enum Found {
    Connection(RunLease),
    /// The run reads elsewhere by now.
    Moved,
    /// No connection is idle.
    Nothing {
        state: State,
        alive: usize,
        reading: usize,
    },
}

impl Snapshots {
    /// For the catalog of this name, with at most so many connections.
    pub(crate) fn new(catalog: &str, connections: usize) -> Self {
        Self {
            catalog: catalog.to_owned(),
            connections,
            runs: Mutex::default(),
            views: PerQuery::default(),
        }
    }

    /// Joins the run of this plan and query, or begins it; `None` for a scan that is one statement, and alone in its
    /// query: it has one snapshot anyway.
    pub(crate) fn join(
        self: &Arc<Self>,
        payload: &SplitPayload,
        split: usize,
        context: &ScanContext,
    ) -> Option<Ticket> {
        let query = context.work.query();
        let scope = if self.connections > 1 && query.scans_of(&self.catalog) > 1 {
            Scope::Query
        } else {
            Scope::Scan
        };
        if scope == Scope::Scan && payload.shared.is_none() {
            return None;
        }
        let key = (payload.plan, Arc::as_ptr(&context.work) as usize);
        let mut runs = lock(&self.runs);
        runs.retain(|_, run| run.recorder.strong_count() > 0 || lock(&run.progress).readers > 0);
        let run = runs.entry(key).or_insert_with(|| {
            let view = match scope {
                Scope::Scan => Arc::new(View::new(Scope::Scan)),
                Scope::Query => self.view_of(query),
            };
            Arc::new(Run {
                splits: payload.splits,
                recorder: Arc::downgrade(&context.work),
                progress: Mutex::new(Progress::default()),
                place: Mutex::new(Place {
                    view,
                    lent: 0,
                    delivered: false,
                }),
            })
        });
        lock(&run.progress).readers += 1;
        Some(Ticket {
            snapshots: Arc::clone(self),
            key,
            run: Arc::clone(run),
            split,
            query: Arc::downgrade(query),
            cancellation: context.cancellation.clone(),
        })
    }

    fn view_of(&self, query: &Arc<QueryWork>) -> Arc<View> {
        self.views
            .get_or_insert_with(query, || View::new(Scope::Query))
    }

    fn forget(&self, key: &RunKey) {
        let run = lock(&self.runs).remove(key);
        if let Some(run) = run {
            let view = run.view();
            if view.scope == Scope::Scan {
                view.close();
            }
        }
    }
}

impl Ticket {
    /// A connection that sees the run's snapshot.
    pub(crate) async fn connection(&self, source: Source<'_>) -> Result<RunLease, ConnectorError> {
        let mut standstill = Duration::ZERO;
        loop {
            let view = self.run.view();
            let changed = view.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            let (state, alive, reading) = match self.run.take(&view) {
                Found::Connection(lease) => return Ok(lease),
                Found::Moved => continue,
                Found::Nothing {
                    state,
                    alive,
                    reading,
                } => (state, alive, reading),
            };
            let is_gone = match state {
                State::NotYet => {
                    self.open(&view, source).await?;
                    continue;
                }
                State::Open(_) => alive == 0,
                State::Expired => true,
            };
            if is_gone {
                if self.run.leave(&view) {
                    continue;
                }
                return Err(gone(state, source));
            }
            let came = tokio::time::timeout(TICK, changed).await.is_ok();
            if came || reading > 0 {
                standstill = Duration::ZERO;
                continue;
            }
            standstill += TICK;
            let lost_patience = view.scope == Scope::Query && standstill >= PATIENCE;
            if lost_patience && self.run.leave(&view) {
                tracing::debug!(
                    object = source.object,
                    "a scan takes a snapshot of its own: the readers of its query's do not read"
                );
                standstill = Duration::ZERO;
            } else if standstill >= LONGEST_STANDSTILL && source.pool.stands_still() {
                return Err(nobody_reads(source));
            }
        }
    }

    /// Opens the view's connections, unless another split has just done so.
    async fn open(&self, view: &Arc<View>, source: Source<'_>) -> Result<(), ConnectorError> {
        let _opening = view.opening.lock().await;
        if !matches!(lock(&view.connections).state, State::NotYet) {
            return Ok(());
        }
        let scans = self
            .query
            .upgrade()
            .map_or(1, |query| query.scans_of(&self.snapshots.catalog));
        let wanted = match view.scope {
            Scope::Scan => self.run.splits,
            Scope::Query => (self.run.splits + scans.saturating_sub(1))
                .min((self.snapshots.connections / 2).max(1)),
        };
        let (leases, taken) = agreement::open(source, wanted).await?;
        let surplus = {
            let mut connections = lock(&view.connections);
            if let State::Expired = connections.state {
                leases
            } else {
                connections.state = State::Open(taken);
                connections.alive = leases.len();
                for mut lease in leases {
                    lease.park();
                    connections.idle.push(lease);
                }
                Vec::new()
            }
        };
        for lease in surplus {
            end(lease).await;
        }
        view.changed.notify_waiters();
        if view.scope == Scope::Query {
            tokio::spawn(keep(
                Arc::clone(view),
                self.query.clone(),
                self.cancellation.clone(),
            ));
        }
        Ok(())
    }

    /// Rows of the split were handed over.
    pub(crate) fn delivered(&self) {
        lock(&self.run.place).delivered = true;
    }

    /// The split was read to its end: its connection serves the next, or is surplus.
    pub(crate) async fn finished(&self, mut connection: RunLease) {
        let unfinished = {
            let mut progress = lock(&self.run.progress);
            progress.finished.insert(self.split);
            self.run.splits.saturating_sub(progress.finished.len())
        };
        let Some(mut lease) = connection.lease.take() else {
            return;
        };
        self.delivered();
        lease.statement_finished();
        let surplus = {
            lock(&connection.run.place).lent -= 1;
            let mut connections = lock(&connection.view.connections);
            if connection.reads {
                connections.reading -= 1;
            }
            let is_needed = match connection.view.scope {
                Scope::Scan => connections.alive <= unfinished,
                Scope::Query => matches!(connections.state, State::Open(_)),
            };
            if is_needed {
                lease.park();
                connections.idle.push(lease);
                None
            } else {
                connections.alive -= 1;
                Some(lease)
            }
        };
        connection.view.changed.notify_waiters();
        if let Some(mut lease) = surplus {
            lease.unpark();
            end(lease).await;
        }
    }

    /// All scans of the query have their rows: its view is not needed until the query ends.
    fn scan_is_done(&self) {
        let view = self.run.view();
        if view.scope == Scope::Scan {
            return;
        }
        let scans = self
            .query
            .upgrade()
            .map_or(0, |query| query.scans_of(&self.snapshots.catalog));
        let is_over = {
            let mut connections = lock(&view.connections);
            connections.done += 1;
            connections.done >= scans
        };
        if is_over {
            view.close();
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut progress = lock(&self.run.progress);
        progress.readers -= 1;
        if !progress.finished.contains(&self.split) {
            progress.abandoned = true;
        }
        if progress.readers > 0 {
            return;
        }
        let is_over = progress.abandoned || progress.finished.len() == self.run.splits;
        drop(progress);
        if is_over {
            self.scan_is_done();
            self.snapshots.forget(&self.key);
            return;
        }
        if self.run.view().scope == Scope::Query {
            return;
        }
        // Some splits were not opened yet. Their reader may come, or the query has rows enough.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(watch(
                Arc::clone(&self.snapshots),
                self.key,
                Arc::clone(&self.run),
            ));
        }
    }
}

impl RunLease {
    pub(crate) fn lease(&mut self) -> Result<&mut Lease, ConnectorError> {
        self.lease
            .as_mut()
            .ok_or_else(|| ConnectorError::Internal("a returned connection was used".to_owned()))
    }

    /// The reader has rows and has not asked for more.
    pub(crate) fn park(&mut self) -> Result<(), ConnectorError> {
        self.lease()?.park();
        if self.reads {
            self.reads = false;
            lock(&self.view.connections).reading -= 1;
        }
        Ok(())
    }

    /// The reader asked for more.
    pub(crate) fn unpark(&mut self) -> Result<(), ConnectorError> {
        self.lease()?.unpark();
        if !self.reads {
            self.reads = true;
            lock(&self.view.connections).reading += 1;
        }
        Ok(())
    }

    /// Cancels the running statement and waits until the request is sent.
    pub(crate) async fn cancel(mut self) {
        if let Some(lease) = self.lease.take() {
            self.lost();
            lease.cancel().await;
        }
    }

    fn lost(&self) {
        lock(&self.run.place).lent -= 1;
        {
            let mut connections = lock(&self.view.connections);
            connections.alive -= 1;
            if self.reads {
                connections.reading -= 1;
            }
        }
        self.view.changed.notify_waiters();
    }
}

impl Drop for RunLease {
    fn drop(&mut self) {
        if self.lease.is_some() {
            self.lost();
        }
    }
}

impl Run {
    fn view(&self) -> Arc<View> {
        Arc::clone(&lock(&self.place).view)
    }

    /// An idle connection of the view, which must still be the run's.
    fn take(self: &Arc<Self>, view: &Arc<View>) -> Found {
        let mut place = lock(&self.place);
        if !Arc::ptr_eq(&place.view, view) {
            return Found::Moved;
        }
        let mut connections = lock(&view.connections);
        let Some(lease) = connections.take_idle() else {
            return Found::Nothing {
                state: connections.state,
                alive: connections.alive,
                reading: connections.reading,
            };
        };
        place.lent += 1;
        connections.reading += 1;
        if let (State::Open(taken), Some(recorder)) = (connections.state, self.recorder.upgrade()) {
            recorder.set_as_of(taken.after);
            recorder.set_as_of(taken.until);
        }
        Found::Connection(RunLease {
            lease: Some(lease),
            run: Arc::clone(self),
            view: Arc::clone(view),
            reads: true,
        })
    }

    /// Gives a view up for one of the run's own; false when rows have come from it, or are about to.
    fn leave(&self, view: &Arc<View>) -> bool {
        let mut place = lock(&self.place);
        if !Arc::ptr_eq(&place.view, view) {
            return true;
        }
        if place.delivered || place.lent > 0 {
            return false;
        }
        place.view = Arc::new(View::new(Scope::Scan));
        // Nobody is told: those who wait look again every tick.
        true
    }
}

/// The error of a run that can neither go on in its view nor leave it.
fn gone(state: State, source: Source<'_>) -> ConnectorError {
    let catalog = source.settings.catalog.clone();
    match state {
        State::Expired => ConnectorError::Timeout {
            catalog,
            message: format!(
                "the snapshot for reading {} was given up before all parts were read",
                source.object
            ),
            hint: "run the query again".to_owned(),
        },
        State::NotYet | State::Open(_) => ConnectorError::ConnectionLost {
            catalog,
            object: source.object.to_owned(),
            message: "the connections that saw the snapshot of all parts are gone".to_owned(),
        },
    }
}

fn nobody_reads(source: Source<'_>) -> ConnectorError {
    ConnectorError::Timeout {
        catalog: source.settings.catalog.clone(),
        message: format!(
            "a part of {} waits for a connection in the snapshot of the other parts, whose rows nobody reads",
            source.object
        ),
        hint: "set snapshot = \"per-connection\", or read the table without other queries' slow readers"
            .to_owned(),
    }
}

/// Gives a scan's view up once the query is over, or nobody came for a while.
async fn watch(snapshots: Arc<Snapshots>, key: RunKey, run: Arc<Run>) {
    let mut waited = Duration::ZERO;
    while waited < GRACE {
        tokio::time::sleep(TICK).await;
        waited += TICK;
        if run.recorder.strong_count() == 0 {
            snapshots.forget(&key);
            return;
        }
        if lock(&run.progress).readers > 0 {
            return;
        }
    }
    run.view().close();
}
