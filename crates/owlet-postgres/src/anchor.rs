//! One snapshot for all scans of a query in a catalog: a connection that has exported it and keeps it alive until the
//! query is over. Must never know what is read.
//!
//! Only queries with several scans in the catalog need one; a single statement, or the ranges of a single table, see one
//! snapshot anyway. An anchor takes a connection, and a query that waits for another one must not wait for queries that
//! wait for it: so at most half of the connections are anchors, and with a single connection there are none (each scan
//! then has its own snapshot, and the work report shows the skew).

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use owlet_connector::{ConnectorError, PerQuery, ScanContext, ServerId};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio_postgres::SimpleQueryMessage;

use crate::failure::{Stage, translate};
use crate::pool::{Lease, Pool};
use crate::session::Begin;

/// How often it is looked whether a query without an end signal is over.
const TICK: Duration = Duration::from_millis(500);

/// The anchors of one connector.
#[derive(Debug)]
pub(crate) struct Anchors {
    slots: Arc<Semaphore>,
    possible: bool,
    queries: PerQuery<OnceCell<Anchor>>,
}

/// The snapshot of a query.
#[derive(Debug, Clone)]
pub(crate) struct Anchor {
    /// For `SET TRANSACTION SNAPSHOT`.
    pub(crate) name: String,
    /// Just before it was taken.
    pub(crate) as_of: SystemTime,
}

impl Anchors {
    pub(crate) fn new(connections: usize) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(connections / 2)),
            possible: connections > 1,
            queries: PerQuery::default(),
        }
    }

    /// The snapshot of the scan's query; `None` when it needs none.
    pub(crate) async fn of_query(
        self: &Arc<Self>,
        (pool, server): (&Arc<Pool>, ServerId),
        catalog: &str,
        context: &ScanContext,
    ) -> Result<Option<Anchor>, ConnectorError> {
        let query = context.work.query();
        if !self.possible || query.scans_of(catalog) < 2 {
            return Ok(None);
        }
        let cell = self.queries.get_or_insert_with(query, OnceCell::new);
        let anchor = cell
            .get_or_try_init(|| async {
                let slot = Arc::clone(&self.slots)
                    .acquire_owned()
                    .await
                    .map_err(|_| ConnectorError::Internal("the anchors are closed".to_owned()))?;
                let (lease, anchor) = export((pool, server), catalog).await?;
                self.keep(lease, slot, context);
                Ok::<_, ConnectorError>(anchor)
            })
            .await?;
        Ok(Some(anchor.clone()))
    }

    /// Holds the snapshot until the query is over.
    fn keep(self: &Arc<Self>, mut lease: Lease, slot: OwnedSemaphorePermit, context: &ScanContext) {
        let anchors = Arc::clone(self);
        let query = Arc::downgrade(context.work.query());
        let cancellation = context.cancellation.clone();
        lease.park();
        tokio::spawn(async move {
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
            anchors.queries.remove(&query);
            let ended = match lease.session() {
                Ok(session) => session.client.batch_execute("COMMIT").await.is_ok(),
                Err(_) => false,
            };
            if ended {
                lease.unpark();
                lease.release();
            }
            drop(slot);
        });
    }
}

/// A connection in a transaction whose snapshot others may import.
async fn export(
    (pool, server): (&Arc<Pool>, ServerId),
    catalog: &str,
) -> Result<(Lease, Anchor), ConnectorError> {
    let mut lease = pool.acquire(server).await?;
    if !lease.session()?.seems_alive().await {
        drop(lease);
        lease = pool.acquire_fresh(server).await?;
    }
    lease.statement_started();
    let session = lease.session()?;
    let sql = format!(
        "{}; SELECT pg_catalog.pg_export_snapshot()",
        session.begin_sql(&Begin::ExportSnapshot)
    );
    let as_of = SystemTime::now();
    let messages = session
        .client
        .simple_query(&sql)
        .await
        .map_err(|error| translate(&error, Stage::Prepare, catalog, "the query's snapshot"))?;
    lease.statement_finished();
    let name = messages.iter().rev().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
        _ => None,
    });
    let name =
        name.ok_or_else(|| ConnectorError::Internal("pg_export_snapshot gave no name".to_owned()))?;
    Ok((lease, Anchor { name, as_of }))
}
