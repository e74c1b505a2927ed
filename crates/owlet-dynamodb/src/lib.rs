//! DynamoDB as a source of tables: columns inferred from a sample, keys and indexes used by cost, items parsed
//! straight into Arrow, every read capacity unit counted.
//!
//! From below: [`number`] and [`shape`] know values, [`decode`] turns response text into arrays, [`transport`]
//! sends signed requests, [`catalog`] finds and infers tables, [`plan`] chooses access paths as plain data, [`read`]
//! runs them, [`connector`] is the contract's face; [`export`] reads exported tables by the same decoder. This crate must never know DataFusion, SQL text or another source.

mod catalog;
mod connector;
mod cursor;
mod decode;
mod description;
pub mod docs;
mod export;
mod infer;
mod number;
mod options;
mod page_decoder;
mod partiql;
mod plan;
mod read;
mod shape;
mod table;
mod transport;
mod value;
mod workers;

pub use connector::DynamoDbConnector;
pub use export::DynamoDbExportConnector;
pub use infer::{AttributeEvidence, InferenceReport, SchemaOverrides};
pub use options::{Consistency, DynamoDbOptions, NumberPolicy, OnTypeMismatch, ScanPolicy};
pub use page_decoder::PageDecoder;
