//! The trait every source implements. Must never know how plans are made or results are shown.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use futures::Stream;

use crate::error::{ConnectorError, Result};
use crate::guest::Gate;
use crate::metadata::{TableMetadata, TableSummary};
use crate::scan::{ScanContext, ScanPlan, ScanRequest};
use crate::server_identity::ServerIdentity;
use crate::work::SampleWork;

/// Batches of one split. Dropping the stream stops the work at the source (a server-side cancel, not only a
/// closed socket).
pub type BatchStream = Pin<Box<dyn Stream<Item = Result<RecordBatch>> + Send>>;

/// One configured source: a catalog of schemas of tables.
///
/// Constructing a connector does no I/O; the first method that needs the source opens it. All methods are
/// safe to call concurrently.
#[async_trait]
pub trait Connector: Debug + Send + Sync {
    /// Name of the catalog this connector serves, as configured.
    fn catalog(&self) -> &str;

    /// The `connector = "…"` word of the configuration, e.g. `postgres`.
    fn kind(&self) -> &'static str;

    /// The schema that names without one belong to, where the configuration of the catalog decides that; `None` where
    /// it is the same for all catalogs of the kind.
    fn default_schema(&self) -> Option<&str> {
        None
    }

    /// Schema names in the source's own spelling.
    async fn schemas(&self) -> Result<Vec<String>>;

    /// Tables and views of one schema (source spelling).
    async fn tables(&self, schema: &str) -> Result<Vec<TableSummary>>;

    /// Metadata of one table. `schema` and `table` are matched exactly first, then ignoring case when exactly
    /// one name matches; `Ok(None)` when nothing matches, an error when several names match only by case.
    async fn table(&self, schema: &str, table: &str) -> Result<Option<Arc<TableMetadata>>>;

    /// Metadata of every table of a schema, for `information_schema.columns`. Sources with a bulk catalog
    /// query override this.
    async fn describe_schema(&self, schema: &str) -> Result<Vec<Arc<TableMetadata>>> {
        let mut described = Vec::new();
        for summary in self.tables(schema).await? {
            if let Some(metadata) = self.table(schema, &summary.name).await? {
                described.push(metadata);
            }
        }
        Ok(described)
    }

    /// Decides access path, splits and the exactness of every filter. Reads metadata only, never table data.
    async fn plan_scan(&self, request: &ScanRequest) -> Result<ScanPlan>;

    /// Plans a read-only query in the source's own language (PartiQL for DynamoDB, SQL for a relational source),
    /// for `TABLE(catalog.system.query(query => '…'))`. The plan's schema is the answer's, it has no filters and
    /// applies no limit, and its splits are read with [`Connector::open`] like those of a scan.
    ///
    /// Anything that could change the source is [`ConnectorError::QueryRefused`] before it is sent; the text is
    /// otherwise the source's to judge. May ask the source for metadata (prepare a statement), never for rows.
    async fn plan_source_query(&self, query: &str) -> Result<ScanPlan> {
        let _ = query;
        Err(ConnectorError::QueryRefused {
            catalog: self.catalog().to_owned(),
            message: format!("a {} catalog has no query language of its own", self.kind()),
            hint: "name its tables in ordinary SQL".to_owned(),
        })
    }

    /// Starts reading one split of a plan made by this connector (possibly in another process, from the same
    /// configuration). Returns at once; I/O begins when the stream is first polled.
    fn open(&self, plan: &ScanPlan, split: usize, context: ScanContext) -> BatchStream;

    /// What this process does to the source at this moment, for `owlet sources`; `None` for a source without
    /// connections of its own.
    fn activity(&self) -> Option<Activity> {
        None
    }

    /// The door that the engine asks before it reads this catalog for a query; `None` is always open.
    fn gate(&self) -> Option<&Gate> {
        None
    }

    /// What samples of tables have read so far to find their columns, by table as in [`ScanPlan::table`]. The engine
    /// counts what a query's planning adds. Empty for sources that are not sampled.
    fn sampled(&self) -> BTreeMap<String, SampleWork> {
        BTreeMap::new()
    }

    /// Where statements run and as whom. A connector with SQL runs the statements of every other one with an equal
    /// identity: the tables of both are visible to it, and its answers are the same. `None`: nobody else's. Does no
    /// I/O.
    fn server_identity(&self) -> Option<ServerIdentity> {
        None
    }

    /// Reachability, version and rights, for `owlet doctor`. Never fails: problems are part of the answer.
    async fn health(&self) -> Health;
}

/// What a process does to a source at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Activity {
    /// Open connections, idle ones included.
    pub connections: usize,
    /// Statements the source works for.
    pub statements: usize,
    /// Tasks that live as long as these connections. Others end by themselves, and are waited for before the process
    /// ends: they may be cancelling statements.
    pub lasting_tasks: usize,
}

/// What `owlet doctor` prints for one source.
#[derive(Debug, Clone)]
pub struct Health {
    /// The source answered and the configured identity may read.
    pub healthy: bool,
    /// Server version or a similar one-word fact; empty when unknown.
    pub version: String,
    /// What the identity may do, e.g. `read-only`; empty when unknown.
    pub rights: String,
    /// Round trip of one trivial request on an open connection.
    pub latency: Option<Duration>,
    /// What is wrong (empty when healthy; warnings are allowed on a healthy source).
    pub problem: String,
    /// What to do about it.
    pub fix: String,
}
