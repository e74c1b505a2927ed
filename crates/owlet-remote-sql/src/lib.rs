//! A small relational algebra and its exact rendering to remote SQL dialects.
//!
//! The engine builds a [`Relation`] bottom-up and asks a [`Dialect`] to render it. What a dialect cannot
//! render *exactly* it refuses with a reason, and that part of the plan stays local. This crate must never
//! know a driver or do I/O.

pub mod calendar;
mod case_folding;
mod class;
pub mod connector;
mod decimal;
pub mod dialect;
pub mod docs;
mod double_bounds;
mod flavor;
mod foreign_text;
mod fragment;
mod join;
mod limits;
pub mod mysql;
mod pattern;
pub mod postgres;
mod prefilter;
pub mod relation;
mod render;
pub mod request;
mod rule;
mod select;
mod spelling;
pub mod sqlite;
mod translate;

pub use connector::{QueryOptions, SqlConnector};
pub use dialect::{Dialect, Refusal, RemoteQuery};
pub use docs::DocTable;
pub use relation::{
    AggregateExpression, AggregateFunction, JoinKind, OutputColumn, Relation, RemoteTable,
    SetOperator,
};
