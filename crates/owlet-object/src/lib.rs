//! Files and objects: local paths and S3 as tables.
//!
//! Parquet is read by DataFusion's own reader; CSV, JSON, Arrow IPC and Avro by a file source of this crate that
//! finds columns by name, never loses a value silently and says file and line when something does not fit.
//! [`ObjectConnector`] serves a location as a catalog, [`path_provider`] a path in place of a table name.
//! This crate must never know other sources or the engine.

pub mod docs;
pub mod format;
pub mod location;
pub mod options;
pub mod sql_type;

mod avro_blocks;
mod connector;
mod csv;
mod error;
mod handoff;
mod json;
mod listing;
mod parquet;
mod partitions;
mod place;
mod preamble;
mod profile;
mod pruning;
mod pull;
mod read;
mod read_as;
mod s3;
mod sample;
mod schema;
mod source;
mod statistics;
mod table;

pub use connector::{ObjectConnector, path_provider};
pub use options::{CredentialSource, CsvOptions, ObjectOptions, S3Credentials, TableOptions};
pub use source::{FileDisplay, TableName};
