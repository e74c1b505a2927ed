//! `owlet shell`.
use super::Context;
use crate::arguments::ShellArguments;
use crate::errors::{CliError, ExitStatus, Result};

/// Runs the command.
pub fn run(arguments: ShellArguments, context: &Context) -> Result<ExitStatus> {
    let _ = (arguments, context);
    Err(CliError::failed("not there yet", ""))
}
