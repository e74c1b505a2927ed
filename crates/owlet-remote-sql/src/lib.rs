//! A small relational algebra and its exact rendering to remote SQL dialects.
//!
//! The engine builds a [`Relation`] bottom-up and asks a [`Dialect`] to render it. What a dialect cannot
//! render *exactly* it refuses with a reason, and that part of the plan stays local. This crate must never
//! know a driver or do I/O.

pub mod connector;
pub mod dialect;
pub mod relation;

pub use connector::{QueryOptions, SqlConnector};
pub use dialect::{Dialect, Refusal, RemoteQuery};
pub use relation::{
    AggregateExpression, AggregateFunction, JoinKind, OutputColumn, Relation, RemoteTable, SetOperator,
};
