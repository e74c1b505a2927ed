//! One snapshot for all splits of a scan: who holds it, and until when. Must never know how rows are read.
//!
//! The plan is plain data, so splits meet here when they are opened: a *run* is one plan read for one query
//! (one work recorder). The first split that needs rows opens a coordinator connection, which locks the table,
//! then exports a snapshot (`pg_export_snapshot`) and stays in its transaction until the run is over.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use owlet_connector::{ConnectorError, WorkRecorder};
use tokio_postgres::SimpleQueryMessage;

use crate::failure::{Stage, translate};
use crate::plan::{SharedTable, SplitPayload, qualified};
use crate::pool::{Lease, Pool, Purpose};
use crate::session::Begin;

/// How long a snapshot is kept for splits that have not been opened while no split is being read.
const GRACE: Duration = Duration::from_secs(60);
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
    hold: tokio::sync::Mutex<Hold>,
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
enum Hold {
    NotYet,
    Snapshot {
        name: String,
        coordinator: Box<Lease>,
    },
    /// Given up; rows read before came from it, so no other may replace it.
    Expired,
}

/// A split's part in a run; dropped when its stream is.
#[derive(Debug)]
pub(crate) struct Ticket {
    snapshots: Arc<Snapshots>,
    key: RunKey,
    run: Arc<Run>,
    split: usize,
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
                hold: tokio::sync::Mutex::new(Hold::NotYet),
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
        lock(&self.runs).remove(key);
    }
}

impl Ticket {
    /// The name of the run's snapshot, for `SET TRANSACTION SNAPSHOT`.
    pub(crate) async fn snapshot(
        &self,
        pool: &Arc<Pool>,
        catalog: &str,
        table: &SharedTable,
    ) -> Result<String, ConnectorError> {
        let object = qualified(&table.schema, &table.name);
        let mut hold = self.run.hold.lock().await;
        match &*hold {
            Hold::Snapshot { name, coordinator } if !coordinator.session()?.is_closed() => {
                Ok(name.clone())
            }
            Hold::Snapshot { .. } => Err(ConnectorError::ConnectionLost {
                catalog: catalog.to_owned(),
                object,
                message: "the connection that held the snapshot of all parts is gone".to_owned(),
            }),
            Hold::Expired => Err(ConnectorError::Timeout {
                catalog: catalog.to_owned(),
                message: format!(
                    "the snapshot for reading {object} was given up before all parts were read"
                ),
                hint: "run the query again".to_owned(),
            }),
            Hold::NotYet => {
                let (name, coordinator) = export(pool, catalog, table).await?;
                *hold = Hold::Snapshot {
                    name: name.clone(),
                    coordinator: Box::new(coordinator),
                };
                Ok(name)
            }
        }
    }

    /// The split was read to its end.
    pub(crate) fn finished(&self) {
        lock(&self.run.progress).finished.insert(self.split);
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
    *run.hold.lock().await = Hold::Expired;
}

/// Locks the table against being rewritten, then exports a snapshot. In this order: a rewrite that ended before the
/// lock is in the snapshot, and none can begin after it. (A snapshot older than a rewrite sees an empty table.)
async fn export(
    pool: &Arc<Pool>,
    catalog: &str,
    table: &SharedTable,
) -> Result<(String, Lease), ConnectorError> {
    let object = qualified(&table.schema, &table.name);
    match try_export(
        pool.acquire(Purpose::Coordinate).await?,
        catalog,
        table,
        &object,
    )
    .await
    {
        Err(error) if crate::failure::is_connection_failure(&error) => {
            try_export(
                pool.acquire_fresh(Purpose::Coordinate).await?,
                catalog,
                table,
                &object,
            )
            .await
        }
        result => result,
    }
}

async fn try_export(
    mut lease: Lease,
    catalog: &str,
    table: &SharedTable,
    object: &str,
) -> Result<(String, Lease), ConnectorError> {
    let session = lease.session()?;
    let sql = format!(
        "{}; SELECT FROM {}.{} LIMIT 0; SELECT pg_catalog.pg_export_snapshot()",
        session.begin_sql(&Begin::Coordinator),
        quote(&table.schema),
        quote(&table.name),
    );
    let messages = session
        .client
        .simple_query(&sql)
        .await
        .map_err(|error| translate(&error, Stage::Prepare, catalog, object))?;
    let name = messages.iter().rev().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    let name =
        name.ok_or_else(|| ConnectorError::Internal("pg_export_snapshot gave no name".to_owned()))?;
    // It waits for nothing: it must not hide a standstill from the pool.
    lease.park();
    Ok((name, lease))
}

fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
