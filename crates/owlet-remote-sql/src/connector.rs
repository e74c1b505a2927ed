//! What a connector with SQL of its own adds to the contract. Must never know a concrete dialect's spelling.

use std::sync::Arc;

use async_trait::async_trait;
use owlet_connector::{Connector, Result, ScanPlan};

use crate::dialect::Dialect;
use crate::relation::Relation;

/// A connector whose source runs relations as SQL.
#[async_trait]
pub trait SqlConnector: Connector {
    /// How relations are spelled for this source. May open the source (server version, session settings).
    async fn dialect(&self) -> Result<Arc<dyn Dialect>>;

    /// Plans a relation the dialect has agreed to render: splits, cost, the remote text for people.
    /// `plan.schema` has one field per output column (`c0`, `c1`, …) with exactly the relation's types.
    /// The plan is opened by [`Connector::open`]; dynamic filters are applied there, around the relation.
    async fn plan_query(&self, relation: &Relation, options: &QueryOptions) -> Result<ScanPlan>;
}

/// How a remote query will be run.
#[derive(Debug, Clone)]
pub struct QueryOptions {
    /// How many splits the engine can work on at once.
    pub target_partitions: usize,
    /// Output columns for which a join will deliver values at run time.
    pub lookup_columns: Vec<usize>,
    /// Expected number of rows on the join's other side, if known.
    pub lookup_rows: Option<u64>,
}
