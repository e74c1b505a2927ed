//! Tables that DynamoDB exported to S3, read from their files at no read capacity at all.
//!
//! From below: [`md5`] and [`inflate`] know bytes, [`ion`] and [`record`] lines, [`store`] folders and objects,
//! [`manifest`] what an export says of itself, [`catalog`] which tables there are and their columns, [`read`] streams
//! one split, [`connector`] is the contract's face. This part must never know the DynamoDB service.

mod catalog;
mod connector;
mod inflate;
mod ion;
mod manifest;
mod md5;
mod read;
mod record;
mod store;

pub use connector::DynamoDbExportConnector;
