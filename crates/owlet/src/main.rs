//! The `owlet` binary: reads the command line, runs one command, ends with its exit code.

mod activity;
mod arguments;
mod background;
mod commands;
mod comparison;
mod config;
mod demo;
mod embedded;
mod errors;
mod execution;
mod formats;
mod interrupt;
mod leading_comment;
mod output;
mod printer;
mod progress;
mod session;
mod shared_folder;
mod shell;
mod statements;
mod units;
mod unusable;
mod workers;

use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use crate::arguments::Arguments;
use crate::errors::CliError;
use crate::printer::Printer;

fn main() -> ExitCode {
    let arguments = Arguments::parse_from(leading_comment::told_apart(std::env::args_os()));
    let printer = Printer::new();
    start_logging();
    let status = match commands::run(arguments, printer) {
        Ok(status) => status,
        Err(error) => report(&error, printer),
    };
    status.into()
}

fn report(error: &CliError, printer: Printer) -> errors::ExitStatus {
    printer.message(&error.report());
    error.exit_status()
}

/// Logs are off unless `OWLET_LOG` asks for them, for example `OWLET_LOG=owlet_dynamodb=debug`.
fn start_logging() {
    let Ok(filter) = std::env::var("OWLET_LOG") else {
        return;
    };
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .init();
}
