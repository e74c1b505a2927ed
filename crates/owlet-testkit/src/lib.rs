//! Test data, differential fuzzer and benchmarks (not shipped).
//!
//! Everything here runs against real servers, which `cargo xtask` starts and names in the environment.
//! Must never be a dependency of a crate that ships.

pub mod answer;
pub mod bench;
pub mod docs;
pub mod dynamodb;
pub mod environment;
pub mod fuzz;
pub mod md5;
pub mod native;
pub mod run;
pub mod sources;
pub mod tpch;

/// Failures of tests and benchmarks are read by people, so they are sentences.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Result of test tooling.
pub type Result<T, E = Failure> = std::result::Result<T, E>;
