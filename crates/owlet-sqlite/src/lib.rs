//! SQLite connector: read-only, through the shared pushdown dialect.
//!
//! SQLite lets any value into any column, so every value is checked against its column's declared type when it is
//! read, and by guards in the SQL when it is computed on: a value that does not fit is an error that names table,
//! column and row, never a silent NULL. This crate must never know an engine or another source.

mod connection;
mod connector;
mod decode;
pub mod docs;
mod errors;
mod functions;
mod infer;
mod metadata;
mod options;
mod plan;
mod remap;
mod statement;
mod values;

pub use connector::SqliteConnector;
pub use options::SqliteOptions;
