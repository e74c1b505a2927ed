//! `owlet schema infer`: samples a DynamoDB table and shows its columns with the evidence.

use super::Context;
use crate::arguments::SchemaInferArguments;
use crate::errors::{CliError, ExitStatus, Result};

/// Runs the command.
pub async fn run(arguments: SchemaInferArguments, context: &Context) -> Result<ExitStatus> {
    let _ = (arguments, context);
    Err(CliError::failed("not there yet", ""))
}
