//! `owlet explain`: the plan, with what each source will be asked and what stays local and why.

use super::{Context, of_each, read_statements};
use crate::arguments::{ExplainArguments, ExplainFormat, LimitArguments};
use crate::errors::{CliError, ExitStatus, Result};
use crate::execution;
use crate::interrupt::Interrupt;
use crate::printer::Printer;
use crate::session::Session;

/// Runs the command. Reads metadata only.
pub async fn run(arguments: ExplainArguments, context: &Context) -> Result<ExitStatus> {
    explain(&context.session()?, arguments, context.printer).await
}

/// Explains statements in an open session.
pub async fn explain(
    session: &Session,
    arguments: ExplainArguments,
    printer: Printer,
) -> Result<ExitStatus> {
    let statements = read_statements(&arguments.sql)?;
    if statements.len() > 1 && arguments.output == ExplainFormat::Json {
        return Err(CliError::usage(
            format!(
                "-o json holds the plan of one statement, not of {}",
                statements.len()
            ),
            "explain them one by one, or leave -o json out",
        ));
    }
    let options = session.query_options(&arguments.planning, &LimitArguments::default())?;
    let options = of_each(&options, &statements)?;
    let interrupt = Interrupt::listen();
    for (index, (statement, options)) in statements.iter().zip(&options).enumerate() {
        let planned = execution::plan(session, statement, options, &interrupt).await?;
        let explanation = planned.query.explanation();
        let mut text = match arguments.output {
            ExplainFormat::Tree => explanation.to_string(),
            ExplainFormat::Json => serde_json::to_string_pretty(explanation)
                .map_err(|error| CliError::failed(error.to_string(), ""))?,
        };
        if !text.ends_with('\n') {
            text.push('\n');
        }
        if index > 0 && arguments.output == ExplainFormat::Tree {
            text.insert(0, '\n');
        }
        printer.result(&text)?;
    }
    Ok(ExitStatus::Success)
}
