//! Files and objects: local paths and S3, read by DataFusion's own readers.

pub mod location;
pub mod options;

pub mod format;
pub mod sql_type;

mod connector;
mod csv;
mod error;
mod handoff;
mod json;
mod listing;
mod partitions;
mod place;
mod preamble;
mod profile;
mod pull;
mod read;
mod s3;
mod sample;
mod schema;
mod source;
mod table;

pub use connector::{ObjectConnector, path_provider};
pub use options::{CredentialSource, CsvOptions, ObjectOptions, S3Credentials, TableOptions};
