//! One snapshot for all splits of a scan: the connections that see it, and until when. Must never know how rows
//! are read.
//!
//! The plan is plain data, so splits meet here when they are opened: a *run* is one plan read for one query (one work
//! recorder). The first split that needs rows opens the run's connections, all at once, because neither MySQL nor
//! MariaDB lets a later transaction join the snapshot of an earlier one. Each begins a transaction with a snapshot of
//! its own; then they prove that these are the same:
//!
//! * MariaDB with a binary log tells each snapshot's position in it; equal positions mean that nothing was committed
//!   in between.
//! * Otherwise InnoDB's status tells the bounds of each transaction's read view; equal bounds with no transaction
//!   active between them see the same rows (needs the `PROCESS` privilege).
//!
//! Without a proof after some tries, only the first connection is kept, and reads one split after another: fewer
//! readers, never another answer. No lock is taken but the metadata lock every `SELECT` takes. A connection stays in
//! its transaction and serves one split after another until the run is over.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use mysql_async::Error;
use owlet_connector::{ConnectorError, WorkRecorder};
use owlet_remote_sql::mysql::Product;
use tokio::sync::Notify;

use crate::catalog::text;
use crate::failure::{Stage, is_connection_failure, translate};
use crate::options::SnapshotPolicy;
use crate::plan::{SharedTable, SplitPayload, qualified};
use crate::pool::{Lease, Pool, ServerId};
use crate::settings::Settings;

/// How long a snapshot is kept for splits that have not been opened while no split is being read.
const GRACE: Duration = Duration::from_secs(60);
/// How often snapshots are taken again because they turned out to be different, or the connection dead.
const TRIES: usize = 3;
/// How long all connections may stand still (held by readers that do not read) before a waiter gives up.
const LONGEST_STANDSTILL: Duration = Duration::from_secs(30);
/// How often a run without readers is looked at.
const TICK: Duration = Duration::from_millis(500);

/// All runs of one connector.
#[derive(Debug, Default)]
pub(crate) struct Snapshots {
    runs: Mutex<HashMap<RunKey, Arc<Run>>>,
}

/// Plan and address of the query's recorder. The run keeps a weak reference, so the address is not reused.
type RunKey = (u64, usize);

#[derive(Debug)]
struct Run {
    splits: usize,
    recorder: Weak<WorkRecorder>,
    progress: Mutex<Progress>,
    /// Held while the first connection is made.
    beginning: tokio::sync::Mutex<()>,
    connections: Mutex<Connections>,
    /// A connection came back or is gone.
    changed: Notify,
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

#[derive(Debug)]
struct Connections {
    state: State,
    /// Not reading at the moment.
    idle: Vec<Lease>,
    /// Reading or idle.
    alive: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    NotYet,
    /// The connections are there; others cannot join.
    Open,
    /// Given up; rows read before came from it, so no other may replace it.
    Expired,
}

/// When the snapshots of a run were taken: after the first and before the second moment, which are equal when they are
/// the same snapshot.
#[derive(Debug, Clone, Copy)]
struct Taken {
    after: SystemTime,
    until: SystemTime,
}

impl Taken {
    fn now() -> Self {
        let now = SystemTime::now();
        Self {
            after: now,
            until: now,
        }
    }
}

/// A split's part in a run; dropped when its stream is.
#[derive(Debug)]
pub(crate) struct Ticket {
    snapshots: Arc<Snapshots>,
    key: RunKey,
    run: Arc<Run>,
    split: usize,
}

/// A connection in the run's snapshot, lent to one split. Dropped before its split is finished, it is cancelled.
#[derive(Debug)]
pub(crate) struct RunLease {
    lease: Option<Lease>,
    run: Arc<Run>,
}

impl Snapshots {
    /// Joins the run of this plan and query, or begins it.
    pub(crate) fn join(
        self: &Arc<Self>,
        payload: &SplitPayload,
        split: usize,
        work: &Arc<WorkRecorder>,
    ) -> Ticket {
        let key = (payload.plan, Arc::as_ptr(work) as usize);
        let mut runs = lock(&self.runs);
        runs.retain(|_, run| run.recorder.strong_count() > 0 || lock(&run.progress).readers > 0);
        let run = runs.entry(key).or_insert_with(|| {
            Arc::new(Run {
                splits: payload.splits,
                recorder: Arc::downgrade(work),
                progress: Mutex::new(Progress::default()),
                beginning: tokio::sync::Mutex::new(()),
                connections: Mutex::new(Connections {
                    state: State::NotYet,
                    idle: Vec::new(),
                    alive: 0,
                }),
                changed: Notify::new(),
            })
        });
        lock(&run.progress).readers += 1;
        Ticket {
            snapshots: Arc::clone(self),
            key,
            run: Arc::clone(run),
            split,
        }
    }

    fn forget(&self, key: &RunKey) {
        let run = lock(&self.runs).remove(key);
        if let Some(run) = run {
            run.close();
        }
    }
}

impl Ticket {
    /// A connection that sees the run's snapshot.
    pub(crate) async fn connection(
        &self,
        (pool, server): (&Arc<Pool>, ServerId),
        settings: &Settings,
        table: &SharedTable,
    ) -> Result<RunLease, ConnectorError> {
        let object = qualified(&table.schema, &table.name);
        let mut standstill = Duration::ZERO;
        loop {
            let changed = self.run.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            let state = {
                let mut connections = lock(&self.run.connections);
                if let Some(lease) = connections.take_idle() {
                    return Ok(self.lend(lease));
                }
                match connections.state {
                    State::Open if connections.alive == 0 => {
                        return Err(ConnectorError::ConnectionLost {
                            catalog: settings.catalog.clone(),
                            object,
                            message: "the connections that saw the snapshot of all parts are gone"
                                .to_owned(),
                        });
                    }
                    state => state,
                }
            };
            match state {
                State::Expired => {
                    return Err(ConnectorError::Timeout {
                        catalog: settings.catalog.clone(),
                        message: format!(
                            "the snapshot for reading {object} was given up before all parts were read"
                        ),
                        hint: "run the query again".to_owned(),
                    });
                }
                State::NotYet => {
                    if let Some(lease) = self.begin((pool, server), settings, table).await? {
                        return Ok(self.lend(lease));
                    }
                }
                State::Open => {
                    if tokio::time::timeout(TICK, changed).await.is_ok() || !pool.stands_still() {
                        standstill = Duration::ZERO;
                    } else {
                        standstill += TICK;
                    }
                    if standstill >= LONGEST_STANDSTILL {
                        return Err(ConnectorError::Timeout {
                            catalog: settings.catalog.clone(),
                            message: format!(
                                "a part of {object} waits for a connection in the snapshot of the other parts, whose \
                                 rows nobody reads"
                            ),
                            hint: "set snapshot = \"per-connection\", or read the table without other queries' slow \
                                   readers"
                                .to_owned(),
                        });
                    }
                }
            }
        }
    }

    /// Opens the run's connections; `None` when another split has just done so.
    async fn begin(
        &self,
        (pool, server): (&Arc<Pool>, ServerId),
        settings: &Settings,
        table: &SharedTable,
    ) -> Result<Option<Lease>, ConnectorError> {
        let _beginning = self.run.beginning.lock().await;
        if lock(&self.run.connections).state != State::NotYet {
            return Ok(None);
        }
        let (mut leases, taken) = first((pool, server), settings, table).await?;
        while leases.len() < self.run.splits {
            // A place that is not free now is another scan's; a server that takes no more is asked for no more.
            match pool.try_acquire(server).await {
                Ok(Some(lease)) => leases.push(lease),
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(%error, "fewer connections for this snapshot");
                    break;
                }
            }
        }
        let (mut leases, taken) = agree(leases, taken, settings, table).await?;
        if let Some(recorder) = self.run.recorder.upgrade() {
            recorder.set_as_of(taken.after);
            recorder.set_as_of(taken.until);
        }
        let Some(own) = leases.pop() else {
            return Err(ConnectorError::Internal(
                "a run without connections".to_owned(),
            ));
        };
        let mut connections = lock(&self.run.connections);
        connections.state = State::Open;
        connections.alive = leases.len() + 1;
        for mut lease in leases {
            lease.park();
            connections.idle.push(lease);
        }
        drop(connections);
        self.run.changed.notify_waiters();
        Ok(Some(own))
    }

    fn lend(&self, lease: Lease) -> RunLease {
        RunLease {
            lease: Some(lease),
            run: Arc::clone(&self.run),
        }
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
        lease.statement_finished();
        let surplus = {
            let mut connections = lock(&self.run.connections);
            if connections.alive > unfinished {
                connections.alive -= 1;
                Some(lease)
            } else {
                lease.park();
                connections.idle.push(lease);
                None
            }
        };
        self.run.changed.notify_waiters();
        if let Some(lease) = surplus {
            end(lease).await;
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
            self.snapshots.forget(&self.key);
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

    /// Cancels the running statement and waits until the request is sent.
    pub(crate) async fn cancel(mut self) {
        if let Some(lease) = self.lease.take() {
            self.lost();
            lease.cancel().await;
        }
    }

    fn lost(&self) {
        lock(&self.run.connections).alive -= 1;
        self.run.changed.notify_waiters();
    }
}

impl Drop for RunLease {
    fn drop(&mut self) {
        if self.lease.is_some() {
            self.lost();
        }
    }
}

impl Connections {
    fn take_idle(&mut self) -> Option<Lease> {
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

impl Run {
    /// Ends the transactions of idle connections.
    fn close(&self) {
        let idle: Vec<Lease> = {
            let mut connections = lock(&self.connections);
            connections.alive -= connections.idle.len();
            connections.idle.drain(..).collect()
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                for lease in idle {
                    end(lease).await;
                }
            });
        }
    }
}

/// Gives the snapshot up once the query is over, or nobody came for a while.
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
    run.close();
    lock(&run.connections).state = State::Expired;
}

/// Ends the transaction and gives the connection back to the pool.
async fn end(mut lease: Lease) {
    let Ok(session) = lease.session_mut() else {
        return;
    };
    match session.run("COMMIT").await {
        Ok(()) => lease.release(),
        Err(error) => tracing::debug!(%error, "a connection was lost after its last split"),
    }
}

/// A first connection that can read the table.
async fn first(
    (pool, server): (&Arc<Pool>, ServerId),
    settings: &Settings,
    table: &SharedTable,
) -> Result<(Vec<Lease>, Taken), ConnectorError> {
    let mut lease = pool.acquire(server).await?;
    let mut taken = Taken::now();
    for tried in 1.. {
        taken = Taken::now();
        match begin(&mut lease, table).await {
            Ok(()) => break,
            Err(error) => {
                let object = qualified(&table.schema, &table.name);
                let error = translate(&error, Stage::Prepare, settings, &object);
                if tried == TRIES || !is_connection_failure(&error) {
                    return Err(error);
                }
                drop(lease);
                lease = pool.acquire_fresh(server).await?;
            }
        }
    }
    Ok((vec![lease], taken))
}

/// Takes a snapshot in each of the connections until they are the same; the first alone when that does not succeed.
async fn agree(
    mut leases: Vec<Lease>,
    mut taken: Taken,
    settings: &Settings,
    table: &SharedTable,
) -> Result<(Vec<Lease>, Taken), ConnectorError> {
    let object = qualified(&table.schema, &table.name);
    let fail = |error: Error| translate(&error, Stage::Prepare, settings, &object);
    for _ in 0..TRIES {
        if leases.len() == 1 {
            break;
        }
        taken = Taken::now();
        let begun = leases.iter_mut().map(|lease| begin(lease, table));
        for begun in futures::future::join_all(begun).await {
            begun.map_err(fail)?;
        }
        if settings.options.snapshot == SnapshotPolicy::PerConnection {
            taken.until = SystemTime::now();
            return Ok((leases, taken));
        }
        let mut marks = futures::future::join_all(leases.iter_mut().map(binary_log_mark)).await;
        if marks.iter().any(Option::is_none) {
            marks = read_view_marks(&mut leases).await;
        }
        match marks.first() {
            Some(Some(mark)) if marks.iter().all(|other| other.as_ref() == Some(mark)) => {
                return Ok((leases, taken));
            }
            // No transaction was seen by some and not by others, but none of the proofs is to be had.
            Some(None) => break,
            _ => {}
        }
    }
    let surplus = leases.split_off(1);
    if !surplus.is_empty() {
        tracing::debug!(object, "no common snapshot; one connection reads all parts");
    }
    for lease in surplus {
        end(lease).await;
    }
    Ok((leases, taken))
}

/// Begins a transaction with a snapshot, and keeps others from changing the table's definition.
async fn begin(lease: &mut Lease, table: &SharedTable) -> Result<(), Error> {
    lease.statement_started();
    let Ok(session) = lease.session_mut() else {
        return Ok(());
    };
    session
        .run("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        .await?;
    session
        .run(&format!(
            "SELECT 1 FROM {}.{} LIMIT 0",
            quote(&table.schema),
            quote(&table.name)
        ))
        .await?;
    lease.statement_finished();
    Ok(())
}

/// Where in the binary log the snapshot is; `None` when the server does not tell.
async fn binary_log_mark(lease: &mut Lease) -> Option<String> {
    let session = lease.session_mut().ok()?;
    if session.server.product != Product::MariaDb {
        return None;
    }
    let rows = session
        .query("SHOW STATUS LIKE 'binlog_snapshot_%'", &[])
        .await
        .ok()?;
    let value = |name: &str| {
        rows.iter()
            .find(|row| text(row, 0).is_some_and(|found| found.eq_ignore_ascii_case(name)))
            .and_then(|row| text(row, 1))
            .filter(|value| !value.is_empty())
    };
    Some(format!(
        "{}:{}",
        value("binlog_snapshot_file")?,
        value("binlog_snapshot_position")?
    ))
}

/// The read view of each connection's transaction, where nothing is active between its bounds.
async fn read_view_marks(leases: &mut [Lease]) -> Vec<Option<String>> {
    let ids: Vec<u32> = leases
        .iter()
        .filter_map(|lease| lease.session().ok().map(crate::session::Session::id))
        .collect();
    let status = match leases.first_mut().map(Lease::session_mut) {
        Some(Ok(session)) => session.query("SHOW ENGINE INNODB STATUS", &[]).await.ok(),
        _ => None,
    };
    let status = status
        .and_then(|rows| rows.first().and_then(|row| text(row, 2)))
        .unwrap_or_default();
    ids.iter().map(|id| read_view_of(&status, *id)).collect()
}

/// The upper bound of a thread's read view, if it is the lower one too: no transaction was active when it was taken.
fn read_view_of(status: &str, thread: u32) -> Option<String> {
    let mut current = None;
    for line in status.lines() {
        if line.starts_with("---TRANSACTION") {
            current = None;
        } else if let Some((_, rest)) = line.split_once("thread id ") {
            current = rest.split(',').next().and_then(|id| id.trim().parse().ok());
        } else if current == Some(thread)
            && let Some(rest) = line.strip_prefix("Trx read view will not see trx with id >= ")
        {
            let (beyond, below) = rest.split_once(", sees < ")?;
            return (beyond.trim() == below.trim()).then(|| beyond.trim().to_owned());
        }
    }
    None
}

fn quote(identifier: &str) -> String {
    format!("`{}`", identifier.replace('`', "``"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::read_view_of;

    const STATUS: &str = "\
---TRANSACTION (0x7ff56c8d6b80), ACTIVE 0 sec
0 lock struct(s), heap size 1128, 0 row lock(s)
MariaDB thread id 41, OS thread handle 140691, query id 3 localhost owlet
Trx read view will not see trx with id >= 15, sees < 15
---TRANSACTION (0x7ff56c8d5380), not started
0 lock struct(s), heap size 1128, 0 row lock(s)
---TRANSACTION 421, ACTIVE 0 sec
MySQL thread id 42, OS thread handle 140692, query id 4 localhost owlet
Trx read view will not see trx with id >= 15, sees < 12
";

    #[test]
    fn a_read_view_proves_something_only_without_active_transactions() {
        assert_eq!(read_view_of(STATUS, 41).as_deref(), Some("15"));
        assert_eq!(read_view_of(STATUS, 42), None);
        assert_eq!(read_view_of(STATUS, 43), None);
    }
}
