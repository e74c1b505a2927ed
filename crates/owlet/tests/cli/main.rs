//! The built binary as its users run it: command line, exit code, standard output and standard error together.
//! Sources are SQLite, files and the embedded DynamoDB; only `aws` and `mysql` need servers.

mod aws;
mod configuration;
mod demo;
mod harness;
mod interruption;
mod listing;
mod memory;
mod mysql;
mod query;
mod shell;
mod verify;
