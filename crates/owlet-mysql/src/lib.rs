//! MySQL and MariaDB connector: metadata from `information_schema`, rows by the binary protocol decoded into Arrow,
//! ranges of the primary key read in parallel in one snapshot, always read-only.
//!
//! The way of a scan: [`connector`] plans it from [`catalog`] metadata and the dialect's SQL, [`scan`] runs one
//! split over a pooled [`session`], [`decode`] turns its values into batches. This crate must never know the
//! engine, other sources or a front door.

mod agreement;
mod cache;
mod catalog;
mod connector;
mod decode;
mod dialect;
mod failure;
mod health;
mod identity;
mod keys;
mod open;
mod options;
mod plan;
mod pool;
mod replicas;
mod scan;
mod session;
mod settings;
mod snapshot;
mod tls;
mod types;
mod view;

pub use connector::MysqlConnector;
pub use options::{MysqlOptions, SnapshotPolicy, SslMode, TinyIntPolicy, ZeroDatePolicy};
pub use types::{TypeRow, type_table};
