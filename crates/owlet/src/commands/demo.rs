//! `owlet demo`.
use super::Context;
use crate::arguments::DemoArguments;
use crate::errors::{CliError, ExitStatus, Result};

/// Runs the command.
pub async fn run(arguments: DemoArguments, context: &Context) -> Result<ExitStatus> {
    let _ = (arguments, context);
    Err(CliError::failed("not there yet", ""))
}
