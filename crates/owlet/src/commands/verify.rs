//! `owlet verify`: runs each statement with all pushdown and with none, and compares the answers.

use std::path::PathBuf;
use std::time::SystemTime;

use owlet_engine::{Pushdown, QueryOptions};

use super::{Context, of_each, read_statements};
use crate::arguments::VerifyArguments;
use crate::comparison::{self, Answer, Difference, Verdict};
use crate::errors::{CliError, ExitStatus, Result};
use crate::execution::{self, Execution, ProgressLines};
use crate::interrupt::Interrupt;
use crate::session::Session;
use crate::statements::Statement;
use crate::units;

const NAMES: [&str; 2] = ["with pushdown", "without pushdown"];

/// Runs the command. Exit code 1 at the first difference.
pub async fn run(arguments: VerifyArguments, context: &Context) -> Result<ExitStatus> {
    if arguments.planning.no_pushdown {
        return Err(CliError::usage(
            "verify runs every statement with pushdown and without: --no-pushdown means nothing here",
            "leave it out",
        ));
    }
    let statements = read_statements(&arguments.sql)?;
    let session = context.session()?;
    let options = QueryOptions {
        // Both runs mean the same by now().
        moment: Some(SystemTime::now()),
        ..session.query_options(&arguments.planning, &arguments.limits)?
    };
    let options = of_each(&options, &statements)?;
    let interrupt = Interrupt::listen();
    let lines = if context.printer.stderr_is_terminal() {
        ProgressLines::Shown
    } else {
        ProgressLines::Hidden
    };
    for (statement, options) in statements.iter().zip(&options) {
        let pushed = QueryOptions {
            pushdown: Pushdown::On,
            ..options.clone()
        };
        let local = QueryOptions {
            pushdown: Pushdown::Off,
            ..options.clone()
        };
        let (with, ordered) = answer(&session, statement, &pushed, &interrupt, lines).await?;
        let (without, _) = answer(&session, statement, &local, &interrupt, lines).await?;
        let place = place(statement, statements.len());
        match comparison::compare(&with, &without, NAMES, ordered)? {
            Verdict::Equal => {
                let order = if ordered { ", in order" } else { "" };
                let rows = units::counted(with.rows(), "row");
                context
                    .printer
                    .result(&format!("same{place}: {rows}{order}\n"))?;
            }
            Verdict::EqualUpToRounding(rows) => {
                let all = units::counted(with.rows(), "row");
                let rows = units::counted(rows, "row");
                context.printer.result(&format!(
                    "same{place}: {all}; floats of {rows} differ in their last digits\n"
                ))?;
            }
            Verdict::Different(difference) => {
                context.printer.result(&report(&place, &difference))?;
                return Ok(ExitStatus::Failure);
            }
        }
    }
    Ok(ExitStatus::Success)
}

async fn answer(
    session: &Session,
    statement: &Statement,
    options: &QueryOptions,
    interrupt: &Interrupt,
    lines: ProgressLines,
) -> Result<(Answer, bool)> {
    let planned = execution::plan(session, statement, options, interrupt).await?;
    let ordered = planned.query.is_ordered();
    let mut answer = Answer::new(planned.query.schema(), &spool_folder(session))?;
    let mut execution = Execution::start(session, planned, statement, interrupt, lines)?;
    let read = async {
        while let Some(batch) = execution.next().await? {
            answer.add(&batch)?;
        }
        answer.finish()
    }
    .await;
    // However it ended, nothing of it goes on at the sources.
    execution.finish().await;
    read?;
    Ok((answer, ordered))
}

fn spool_folder(session: &Session) -> PathBuf {
    match &session.config.engine.spill_dir {
        Some(folder) => session.config.path(folder),
        None => std::env::temp_dir(),
    }
}

fn place(statement: &Statement, statements: usize) -> String {
    if statements > 1 {
        format!(" (line {})", statement.line)
    } else {
        String::new()
    }
}

fn report(place: &str, difference: &Difference) -> String {
    let (what, details, hint) = match difference {
        Difference::Columns(details) => ("the columns differ", details, ""),
        Difference::Rows(details) => {
            let hint = "a statement with LIMIT but no complete ORDER BY, or over data that changes meanwhile, \
                        has more than one right answer; anything else is a bug in Owlet: please report it";
            ("the rows differ", details, hint)
        }
        Difference::Order(details) => {
            let hint = "rows that are equal in all ORDER BY keys may come in any order: add a unique key to ORDER BY";
            (
                "the rows are the same but their order differs",
                details,
                hint,
            )
        }
    };
    let hint = if hint.is_empty() {
        String::new()
    } else {
        format!("hint: {hint}\n")
    };
    format!("different{place}: {what}\n{details}\n{hint}")
}
