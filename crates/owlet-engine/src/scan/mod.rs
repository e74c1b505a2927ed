//! A planned scan of one source: logical leaf, physical leaf, join-made filters. Knows the connector contract and
//! DataFusion's plans; must never know how a scan was chosen.

pub mod dynamic_filter;
pub mod exec;
pub mod gates;
pub mod node;

use std::sync::Arc;

use owlet_connector::QueryWork;
use tokio_util::sync::CancellationToken;

/// What all scans of one running query share.
#[derive(Debug, Clone)]
pub struct QueryRun {
    /// Counters and budget.
    pub work: Arc<QueryWork>,
    /// Cancelled with the query.
    pub cancellation: CancellationToken,
}
