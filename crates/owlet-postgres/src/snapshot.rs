//! One snapshot for all splits of a scan: the connections that see it, and until when. Must never know how rows
//! are read.
//!
//! The plan is plain data, so splits meet here when they are opened: a *run* is one plan read for one query
//! (one work recorder). The first split that needs rows opens a connection, locks the table, then exports a
//! snapshot (`pg_export_snapshot`); splits read at the same time get connections that import it. A connection
//! stays in its transaction and serves one split after another until the run is over.
//!
//! Why connections are kept: a waiting `TRUNCATE` or `ALTER TABLE` holds up every new lock on the table, but waits
//! itself for the locks the run has. Only connections that have their lock already are sure to go on; others join
//! if they get theirs at once.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use owlet_connector::{ConnectorError, ServerId, WorkRecorder};
use postgres_protocol::escape::escape_literal;
use tokio::sync::Notify;
use tokio_postgres::{SimpleQueryMessage, SimpleQueryRow};

use crate::anchor::Anchor;
use crate::failure::{CHANGED_CODE, Stage, is_connection_failure, translate};
use crate::plan::{SharedTable, SplitPayload, qualified};
use crate::pool::{Lease, Pool};
use crate::session::Begin;

/// How long a snapshot is kept for splits that have not been opened while no split is being read.
const GRACE: Duration = Duration::from_secs(60);
/// How often a snapshot is taken when the table is rewritten meanwhile or the connection turns out dead.
const EXPORT_TRIES: usize = 3;
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
    /// The partitions when the snapshot was taken; see [`partitions_sql`].
    partitions: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    NotYet,
    /// Others may import the snapshot of this name.
    Open(String),
    /// No others can join: one could not get its lock, or the snapshot.
    Closed,
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
                    partitions: None,
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
        anchor: Option<&Anchor>,
        catalog: &str,
        table: &SharedTable,
    ) -> Result<RunLease, ConnectorError> {
        let object = qualified(&table.schema, &table.name);
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
                match &connections.state {
                    State::Open(_) | State::Closed if connections.alive == 0 => {
                        return Err(ConnectorError::ConnectionLost {
                            catalog: catalog.to_owned(),
                            object,
                            message: "the connections that saw the snapshot of all parts are gone"
                                .to_owned(),
                        });
                    }
                    state => state.clone(),
                }
            };
            match state {
                State::Expired => {
                    return Err(ConnectorError::Timeout {
                        catalog: catalog.to_owned(),
                        message: format!(
                            "the snapshot for reading {object} was given up before all parts were read"
                        ),
                        hint: "run the query again".to_owned(),
                    });
                }
                State::NotYet => {
                    if let Some(lease) = self.begin((pool, server), anchor, catalog, table).await? {
                        return Ok(self.lend(lease));
                    }
                }
                State::Open(snapshot) => {
                    tokio::select! {
                        biased;
                        () = &mut changed => {}
                        lease = pool.acquire(server) => match import(lease?, &snapshot, table).await {
                            Some(lease) => {
                                lock(&self.run.connections).alive += 1;
                                return Ok(self.lend(lease));
                            }
                            None => lock(&self.run.connections).close_to_others(),
                        }
                    }
                }
                State::Closed => changed.await,
            }
        }
    }

    /// Opens the run's first connection; `None` when another split has just done so.
    async fn begin(
        &self,
        (pool, server): (&Arc<Pool>, ServerId),
        anchor: Option<&Anchor>,
        catalog: &str,
        table: &SharedTable,
    ) -> Result<Option<Lease>, ConnectorError> {
        let _beginning = self.run.beginning.lock().await;
        if lock(&self.run.connections).state != State::NotYet {
            return Ok(None);
        }
        let mut exported = None;
        let mut as_of = SystemTime::now();
        for _ in 0..EXPORT_TRIES {
            as_of = anchor.map_or_else(SystemTime::now, |anchor| anchor.as_of);
            let lease = match exported {
                None => pool.acquire(server).await?,
                Some(_) => pool.acquire_fresh(server).await?,
            };
            exported = Some(export(lease, anchor, catalog, table).await);
            match &exported {
                // The query's snapshot stays what it is.
                Some(Ok(Export::Rewritten)) if anchor.is_none() => {}
                Some(Err(error)) if is_connection_failure(error) => {}
                _ => break,
            }
        }
        let Some(Export::Snapshot {
            lease,
            name,
            partitions,
        }) = exported.transpose()?
        else {
            return Err(rewritten(catalog, &qualified(&table.schema, &table.name)));
        };
        if let Some(recorder) = self.run.recorder.upgrade() {
            recorder.set_as_of(as_of);
        }
        let mut connections = lock(&self.run.connections);
        connections.state = State::Open(name);
        connections.alive = 1;
        connections.partitions = Some(partitions);
        Ok(Some(*lease))
    }

    fn lend(&self, lease: Lease) -> RunLease {
        RunLease {
            lease: Some(lease),
            run: Arc::clone(&self.run),
        }
    }

    /// The split was read to its end: its connection serves the next, or is surplus.
    pub(crate) async fn finished(
        &self,
        mut connection: RunLease,
        catalog: &str,
        table: &SharedTable,
    ) -> Result<(), ConnectorError> {
        if table.is_partitioned {
            self.check_partitions(&mut connection, catalog, table)
                .await?;
        }
        let unfinished = {
            let mut progress = lock(&self.run.progress);
            progress.finished.insert(self.split);
            self.run.splits.saturating_sub(progress.finished.len())
        };
        let Some(mut lease) = connection.lease.take() else {
            return Ok(());
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
        Ok(())
    }

    /// A partition attached meanwhile is seen by splits that begin later, and only its rows in their ranges.
    async fn check_partitions(
        &self,
        connection: &mut RunLease,
        catalog: &str,
        table: &SharedTable,
    ) -> Result<(), ConnectorError> {
        let object = qualified(&table.schema, &table.name);
        let sql = format!("SELECT {}", partitions_sql(table));
        let messages = connection
            .lease()?
            .session()?
            .client
            .simple_query(&sql)
            .await
            .map_err(|error| translate(&error, Stage::Read, catalog, &object))?;
        let now = last_row(&messages).and_then(|row| row.get(0));
        if lock(&self.run.connections).partitions.as_deref() == now {
            return Ok(());
        }
        Err(ConnectorError::Source {
            catalog: catalog.to_owned(),
            code: Some(CHANGED_CODE.to_owned()),
            message: format!(
                "the partitions of {object} changed while it was read; run the query again"
            ),
        })
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

    fn close_to_others(&mut self) {
        if matches!(self.state, State::Open(_)) {
            self.state = State::Closed;
        }
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
async fn end(lease: Lease) {
    let Ok(session) = lease.session() else {
        return;
    };
    match session.client.batch_execute("COMMIT").await {
        Ok(()) => lease.release(),
        Err(error) => tracing::debug!(%error, "a connection was lost after its last split"),
    }
}

enum Export {
    Snapshot {
        lease: Box<Lease>,
        name: String,
        partitions: String,
    },
    /// Between the snapshot and the lock, somebody rewrote the table.
    Rewritten,
}

/// Begins a transaction, locks the table against being rewritten, and exports the transaction's snapshot. A
/// snapshot older than a rewrite (`TRUNCATE`, `ALTER TABLE … TYPE`) would see an empty table, and the snapshot is
/// taken just before the lock: so the file the snapshot knows is compared with the present one.
async fn export(
    mut lease: Lease,
    anchor: Option<&Anchor>,
    catalog: &str,
    table: &SharedTable,
) -> Result<Export, ConnectorError> {
    lease.statement_started();
    let session = lease.session()?;
    let begin = match anchor {
        None => Begin::ExportSnapshot,
        Some(anchor) => Begin::ExportFrom(anchor.name.clone()),
    };
    let sql = format!(
        "{}; {}; WITH RECURSIVE tree AS (\
            SELECT {}::regclass::oid AS oid \
            UNION SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_inherits AS i ON i.inhparent = tree.oid\
        ) SELECT pg_catalog.pg_export_snapshot(), {} WHERE NOT EXISTS (\
            SELECT FROM tree JOIN pg_catalog.pg_class AS c ON c.oid = tree.oid \
            WHERE c.relfilenode <> 0 AND c.relfilenode IS DISTINCT FROM pg_catalog.pg_relation_filenode(c.oid))",
        session.begin_sql(&begin),
        lock_sql(table),
        table_literal(table),
        partitions_sql(table),
    );
    let messages = session.client.simple_query(&sql).await.map_err(|error| {
        translate(
            &error,
            Stage::Prepare,
            catalog,
            &qualified(&table.schema, &table.name),
        )
    })?;
    lease.statement_finished();
    let Some(row) = last_row(&messages) else {
        return Ok(Export::Rewritten);
    };
    let (Some(name), partitions) = (row.get(0), row.get(1).unwrap_or_default()) else {
        return Err(ConnectorError::Internal(
            "pg_export_snapshot gave no name".to_owned(),
        ));
    };
    let (name, partitions) = (name.to_owned(), partitions.to_owned());
    Ok(Export::Snapshot {
        lease: Box::new(lease),
        name,
        partitions,
    })
}

pub(crate) fn last_row(messages: &[SimpleQueryMessage]) -> Option<&SimpleQueryRow> {
    messages.iter().rev().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    })
}

/// A transaction in the snapshot, with the table locked; `None` when either cannot be had now.
async fn import(mut lease: Lease, snapshot: &str, table: &SharedTable) -> Option<Lease> {
    lease.statement_started();
    let session = lease.session().ok()?;
    let sql = format!(
        "{}; {}",
        session.begin_sql(&Begin::ImportSnapshot(snapshot.to_owned())),
        lock_sql(table)
    );
    if let Err(error) = session.client.batch_execute(&sql).await {
        tracing::debug!(%error, "no further connection for this snapshot");
        return None;
    }
    lease.statement_finished();
    Some(lease)
}

/// `LOCK TABLE` knows no materialised views and wants the right to all columns; a query that reads nothing takes
/// the same lock, on all parts of the table too.
fn lock_sql(table: &SharedTable) -> String {
    format!(
        "SELECT FROM {}.{} LIMIT 0",
        quote(&table.schema),
        quote(&table.name)
    )
}

/// Counts those of the tables (schema and name), and of their partitions, whose rows the transaction's snapshot cannot
/// see because they were rewritten (`TRUNCATE`, `ALTER TABLE … TYPE`) since it was taken. The tables must be locked.
pub(crate) fn rewritten_sql(tables: &[(String, String)]) -> String {
    let names: Vec<String> = tables
        .iter()
        .map(|(schema, name)| {
            escape_literal(&format!("{}.{}", quote(schema), quote(name))) + "::regclass::oid"
        })
        .collect();
    format!(
        "WITH RECURSIVE tree AS (\
            SELECT t.oid FROM pg_catalog.unnest(ARRAY[{}]) AS t(oid) \
            UNION SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_inherits AS i ON i.inhparent = tree.oid\
        ) SELECT count(*) FROM tree JOIN pg_catalog.pg_class AS c ON c.oid = tree.oid \
        WHERE c.relfilenode <> 0 AND c.relfilenode IS DISTINCT FROM pg_catalog.pg_relation_filenode(c.oid)",
        names.join(", ")
    )
}

/// The error for [`rewritten_sql`].
pub(crate) fn rewritten(catalog: &str, object: &str) -> ConnectorError {
    ConnectorError::Source {
        catalog: catalog.to_owned(),
        code: Some(CHANGED_CODE.to_owned()),
        message: format!(
            "{object} was rewritten (TRUNCATE, ALTER TABLE) since the query's snapshot was taken; run the query again"
        ),
    }
}

/// The present partitions as one text. Unlike a query on `pg_inherits`, the function does not look into the
/// transaction's snapshot but at the present, as the planner does.
fn partitions_sql(table: &SharedTable) -> String {
    format!(
        "(SELECT coalesce(pg_catalog.string_agg(p.relid::oid::text, ',' ORDER BY p.relid::oid), '') \
         FROM pg_catalog.pg_partition_tree({}::regclass) AS p)",
        table_literal(table)
    )
}

fn table_literal(table: &SharedTable) -> String {
    escape_literal(&format!("{}.{}", quote(&table.schema), quote(&table.name)))
}

fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
