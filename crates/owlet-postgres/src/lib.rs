//! PostgreSQL connector: metadata from the system catalogs, rows as `COPY … (FORMAT BINARY)` decoded straight
//! into Arrow, parallel `ctid` ranges under one exported snapshot, always read-only.
//!
//! The way of a scan: [`connector`] plans it from [`catalog`] metadata and the dialect's SQL, [`scan`] runs one
//! split over a pooled [`session`], [`decode`] turns its bytes into batches. This crate must never know the
//! engine, other sources or a front door.

mod anchor;
mod aside;
mod cache;
mod cancel;
mod catalog;
mod connector;
mod copy;
mod decode;
mod dialect;
mod failure;
mod health;
mod identity;
mod open;
mod options;
mod plan;
mod pool;
mod replicas;
mod rows;
mod scan;
mod session;
mod settings;
mod snapshot;
mod socket;
mod source_query;
mod tls;
mod types;

pub use connector::PostgresConnector;
pub use options::{PostgresOptions, SslMode, UnrepresentablePolicy};
pub use types::{TypeRow, type_table};
