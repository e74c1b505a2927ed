//! Files and objects: local paths and S3, read by DataFusion's own readers.

pub mod location;
pub mod options;

mod connector;

pub use connector::{ObjectConnector, path_provider};
pub use options::{CredentialSource, CsvOptions, ObjectOptions, S3Credentials, TableOptions};
