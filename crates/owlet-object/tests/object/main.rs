//! The object connector on real files and on S3.

mod common;
mod configured;
mod formats;
mod losses;
mod pruning;
mod s3;
mod traps;
mod tsv;
mod types;
