//! Session, catalogs, pushdown planner, execution to a stream.
//!
//! The engine plans Athena SQL over configured catalogs, pushes to each source what its dialect or connector
//! does exactly, and streams the rest through DataFusion. It must never know a protocol or keep history.

pub mod engine;
pub mod error;
pub mod explain;
pub mod query;

pub use engine::{CatalogInfo, Engine, EngineBuilder, EngineConfig, Source, TableName};
pub use error::{EngineError, Result};
pub use explain::{ExplainNode, Explanation, SourceExplanation};
pub use query::{Parameters, PlannedQuery, Pushdown, QueryHandle, QueryOptions, QueryStream};
