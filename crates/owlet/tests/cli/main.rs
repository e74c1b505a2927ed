//! The built binary as its users run it: command line, exit code, standard output and standard error together.
//! Sources are SQLite, files and the embedded DynamoDB; only `aws` needs servers.

mod aws;
mod configuration;
mod demo;
mod harness;
mod interruption;
mod listing;
mod query;
mod shell;
mod verify;
