//! The contract between the engine and every source.
//!
//! A [`Connector`] describes its catalog ([`metadata`]), turns a [`ScanRequest`] into a [`ScanPlan`] of plain
//! data, and opens the plan's splits as streams of Arrow batches while it records its [`work`].
//! This crate must never know a concrete source, SQL text or a server.

#[cfg(feature = "conformance")]
pub mod conformance;
pub mod connector;
pub mod credentials;
pub mod error;
pub mod expression;
pub mod guest;
pub mod literal;
pub mod metadata;
pub mod per_query;
pub mod scan;
pub mod server_identity;
pub mod work;

pub use connector::{Activity, BatchStream, Connector, Health};
pub use credentials::{Encryption, Login, LoginProvider, LoginTarget, Refusal};
pub use error::{ConnectorError, ErrorCategory, Result};
pub use expression::{
    ArithmeticOperator, CastFailure, ColumnReference, CompareOperator, Expression, NullsOrder,
    SortDirection, SortKey, Truth,
};
pub use guest::{
    Condition, Gate, GateOptions, Lag, OpenHours, PRIMARY, Place, ReplicaLag, Routes, ServerId,
    TablePatterns,
};
pub use literal::{Literal, LiteralValue};
pub use metadata::{
    Collation, ColumnMetadata, ColumnStatistics, RowCount, TableKind, TableMetadata, TableSummary,
};
pub use per_query::PerQuery;
pub use scan::{
    Alternative, CostEstimate, Exactness, FieldPaths, Money, ScanContext, ScanPlan, ScanRequest,
    Split,
};
pub use server_identity::ServerIdentity;
pub use work::{
    Budget, QueryWork, SampleWork, ScanDescription, SourceWork, WorkRecorder, WorkReport,
};
