//! A scan as plain data: what is asked, what the connector answers, what a split needs at run time.
//! Must never hold a connection or a credential.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::Schema;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::expression::{Expression, SortKey};
use crate::work::WorkRecorder;

/// Fields by column position; each is the path of names that leads to it.
pub type FieldPaths = BTreeMap<usize, Vec<Vec<String>>>;

/// What the engine wants of one table. Column positions refer to [`crate::TableMetadata::columns`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScanRequest {
    /// Schema in the source's own spelling.
    pub schema: String,
    /// Table in the source's own spelling.
    pub table: String,
    /// Columns to return, in this order; empty means rows without columns (only their number counts).
    pub projection: Vec<usize>,
    /// Columns of rows (`Struct`) of which only some fields are used, each as a path of names. A column that is not
    /// listed is used whole. The connector may ignore it; a field that is not used may come as NULL, and a column
    /// without any used field as well.
    pub fields: FieldPaths,
    /// Conjuncts; the answer of [`ScanPlan::filters`] has one entry for each.
    pub filters: Vec<Expression>,
    /// At most this many rows are needed, counted after all filters (in the order of `ordering` if given).
    pub limit: Option<u64>,
    /// Wanted order of the rows, for top-N and merge; the connector may ignore it.
    pub ordering: Vec<SortKey>,
    /// Columns for which a join will deliver a set or range of values at run time
    /// ([`ScanContext::dynamic_filters`]).
    pub lookup_columns: Vec<usize>,
    /// Expected number of rows on the join's other side, if known.
    pub lookup_rows: Option<u64>,
    /// How many splits the engine can work on at once.
    pub target_partitions: usize,
}

/// How faithfully a connector applies one filter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exactness {
    /// Exactly the rows for which the predicate is true.
    Exact,
    /// A superset; the engine checks again. Why it is not exact.
    Inexact(String),
    /// Not applied; the engine filters. Why not.
    Unsupported(String),
}

/// What a connector will do. Plain data: it serialises, and any process with the same configuration can open it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScanPlan {
    /// Arrow schema of the batches (in the order of the request's projection).
    pub schema: Schema,
    /// Independent parts; together every row once. May be empty (then there are no rows).
    pub splits: Vec<Split>,
    /// One entry for each requested filter.
    pub filters: Vec<Exactness>,
    /// The requested limit is applied over all splits together (only possible when all filters are exact).
    pub limit_applied: bool,
    /// Each split's rows come in the requested order.
    pub ordering_applied: bool,
    /// What it will cost.
    pub estimate: CostEstimate,
    /// Tables read, for the work report, e.g. `public.orders`.
    pub table: String,
    /// Access path in a word or two, e.g. `parallel scan`, `query on index by_status`.
    pub access: String,
    /// What the source is asked, readable, without secrets (a remote SQL text, a key condition).
    pub remote: String,
    /// What was not pushed down and why; other access paths and why they lost.
    pub notes: Vec<String>,
}

/// One part of a scan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Split {
    /// For people, e.g. `ctid pages 0 to 1024`.
    pub description: String,
    /// For the connector that made it (JSON text by convention).
    pub payload: String,
}

/// Estimated cost of a scan; `None` where the source cannot tell.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CostEstimate {
    /// Rows the source reads.
    pub rows_read: Option<f64>,
    /// Rows it returns.
    pub rows_returned: Option<f64>,
    /// Bytes transferred to Owlet.
    pub bytes: Option<f64>,
    /// DynamoDB read capacity units.
    pub rcu: Option<f64>,
    /// Requests.
    pub requests: Option<f64>,
    /// What the source's owner is billed for it; `None` when it is not billed by use, or no price is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub money: Option<Money>,
    /// Share of the capacity provisioned for the table that it takes while it runs, 1 for all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capacity_share: Option<f64>,
    /// Expected duration, rate limits included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// Other access paths and why they were not taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<Alternative>,
}

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Money {
    /// How much; usually far below one.
    pub amount: f64,
    /// ISO 4217, e.g. `USD`.
    pub currency: String,
}

/// An access path that was not taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Alternative {
    /// In a word or two, like [`ScanPlan::access`].
    pub access: String,
    /// Estimated DynamoDB read capacity units; `None` when it cannot give the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rcu: Option<f64>,
    /// Why it lost.
    pub reason: String,
}

/// What a split needs at run time.
#[derive(Debug, Clone)]
pub struct ScanContext {
    /// Wanted number of rows in a batch.
    pub batch_rows: usize,
    /// Conjuncts over the columns of [`ScanPlan::schema`] that a join on the other side found out (sets, ranges).
    /// Applying them only saves work: the engine checks every row again.
    pub dynamic_filters: Vec<Expression>,
    /// Where the work is counted and the budget is checked. All splits of one scan share it: connectors tell by it
    /// which splits belong to the same reading of a plan (and must see the same snapshot).
    pub work: Arc<WorkRecorder>,
    /// Cancelled when the query is; streams end with [`crate::ConnectorError::Cancelled`].
    pub cancellation: CancellationToken,
}
