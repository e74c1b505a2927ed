//! `owlet verify`.
use super::Context;
use crate::arguments::VerifyArguments;
use crate::errors::{CliError, ExitStatus, Result};

/// Runs the command.
pub async fn run(arguments: VerifyArguments, context: &Context) -> Result<ExitStatus> {
    let _ = (arguments, context);
    Err(CliError::failed("not there yet", ""))
}
