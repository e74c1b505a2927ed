//! Session, catalogs, pushdown planner, execution to a stream.
//!
//! The engine plans Athena SQL over configured catalogs, pushes to each source what its dialect or connector
//! does exactly, and streams the rest through DataFusion. It must never know a protocol or keep history.

mod big_joins;
mod catalogs;
mod duplicate_names;
pub mod engine;
pub mod error;
mod exhausted;
pub mod explain;
mod file_work;
mod float_keys;
mod information_schema;
mod memory;
mod passthrough;
mod physical;
pub mod pushdown;
pub mod query;
mod query_pool;
pub mod row_order;
mod rows;
mod sampling;
pub mod scan;
mod session;
mod spill;
mod statements;
pub mod suggestions;
mod top_groups;
pub mod type_names;
mod unique_names;
mod yielding;

pub use engine::{CatalogInfo, Engine, EngineBuilder, EngineConfig, Source, TableName};
pub use error::{EngineError, Result};
pub use explain::{ExplainNode, Explanation, SourceExplanation};
pub use query::{
    OrderKeys, Parameters, PlannedQuery, Pushdown, QueryHandle, QueryOptions, QueryStream,
};
pub use row_order::RowOrder;
