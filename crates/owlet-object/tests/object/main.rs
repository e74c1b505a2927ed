//! The object connector on real files and on S3.

mod common;
mod formats;
mod losses;
mod s3;
mod traps;
mod types;
