//! `owlet completions`: a completion script, generated from the command line's one definition.

use clap::CommandFactory;
use clap_complete::Shell;

use super::Context;
use crate::arguments::Arguments;
use crate::errors::{ExitStatus, Result};

/// Runs the command.
pub fn run(shell: Shell, context: &Context) -> Result<ExitStatus> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "owlet", &mut script);
    context.printer.result(&String::from_utf8_lossy(&script))?;
    Ok(ExitStatus::Success)
}
