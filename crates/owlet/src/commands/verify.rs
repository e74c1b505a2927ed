//! `owlet verify`: runs each statement with all pushdown and with none, and compares the answers.

use std::path::PathBuf;
use std::time::SystemTime;

use owlet_engine::{OrderKeys, Pushdown, QueryOptions, RowOrder};

use super::{Context, of_each, read_statements};
use crate::arguments::VerifyArguments;
use crate::comparison::{self, Answer, Difference, Undecided, Verdict};
use crate::errors::{CliError, ExitStatus, Result};
use crate::execution::{self, Execution, ProgressLines};
use crate::interrupt::Interrupt;
use crate::session::Session;
use crate::statements::Statement;
use crate::units;

const NAMES: [&str; 2] = ["with pushdown", "without pushdown"];

/// Runs the command. Exit code 1 at the first difference, and where it cannot be decided whether there is one.
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
        let check = Check {
            session: &session,
            statement,
            interrupt: &interrupt,
            lines,
        };
        let mut outcome = check.compare(options).await?;
        if matches!(
            outcome.verdict,
            Verdict::Undecided(Undecided::HiddenKeys, _)
        ) {
            let with_keys = QueryOptions {
                order_keys: OrderKeys::Added,
                ..options.clone()
            };
            outcome = check.compare(&with_keys).await?;
        }
        let Outcome {
            verdict,
            rows,
            order,
        } = outcome;
        let all = units::counted(rows, "row");
        let place = place(statement, statements.len());
        match verdict {
            Verdict::Equal => {
                let order = if order.ordered { ", in order" } else { "" };
                context
                    .printer
                    .result(&format!("same{place}: {all}{order}\n"))?;
            }
            Verdict::EqualUpToRounding(rows) => {
                let rows = units::counted(rows, "row");
                context.printer.result(&format!(
                    "same{place}: {all}; floats of {rows} differ in their last digits\n"
                ))?;
            }
            Verdict::EqualUpToTies(tied) => {
                let tied = units::counted(tied, "row");
                context.printer.result(&format!(
                    "same{place}: {all}, in order; not compared: {tied}, tied with others that LIMIT or OFFSET leaves \
                     out\n"
                ))?;
            }
            Verdict::Undecided(reason, difference) => {
                context
                    .printer
                    .result(&undecided(&place, reason, &difference))?;
                return Ok(ExitStatus::Failure);
            }
            Verdict::Different(difference) => {
                context.printer.result(&report(&place, &difference))?;
                return Ok(ExitStatus::Failure);
            }
        }
    }
    Ok(ExitStatus::Success)
}

/// One statement that is checked.
struct Check<'a> {
    session: &'a Session,
    statement: &'a Statement,
    interrupt: &'a Interrupt,
    lines: ProgressLines,
}

struct Outcome {
    verdict: Verdict,
    rows: u64,
    order: RowOrder,
}

impl Check<'_> {
    /// Runs the statement with pushdown and without.
    async fn compare(&self, options: &QueryOptions) -> Result<Outcome> {
        let with = |pushdown| QueryOptions {
            pushdown,
            ..options.clone()
        };
        let (pushed, order) = self.answer(&with(Pushdown::On)).await?;
        let (local, _) = self.answer(&with(Pushdown::Off)).await?;
        Ok(Outcome {
            verdict: comparison::compare(&pushed, &local, NAMES, &order)?,
            rows: pushed.rows(),
            order,
        })
    }

    async fn answer(&self, options: &QueryOptions) -> Result<(Answer, RowOrder)> {
        let session = self.session;
        let planned = execution::plan(session, self.statement, options, self.interrupt).await?;
        let order = planned.query.row_order().clone();
        let mut answer = Answer::new(planned.query.schema(), &spool_folder(session))?;
        let mut execution =
            Execution::start(session, planned, self.statement, self.interrupt, self.lines)?;
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
        Ok((answer, order))
    }
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

fn undecided(place: &str, reason: Undecided, difference: &Difference) -> String {
    let (what, details) = match difference {
        Difference::Columns(details) | Difference::Rows(details) => ("the rows differ", details),
        Difference::Order(details) => ("the order differs", details),
    };
    let (why, hint) = match reason {
        Undecided::NoOrder => (
            "LIMIT or OFFSET without ORDER BY may give any rows",
            "add ORDER BY, and select its keys",
        ),
        Undecided::HiddenKeys => (
            "ties cannot be told from differences, since the statement does not select all keys of its ORDER BY",
            "select them, too",
        ),
    };
    let details = match details.is_empty() {
        true => String::new(),
        false => format!("{details}\n"),
    };
    format!("undecided{place}: {what}, but {why}\n{details}hint: {hint}\n")
}

fn report(place: &str, difference: &Difference) -> String {
    let (what, details, hint) = match difference {
        Difference::Columns(details) => ("the columns differ", details, ""),
        Difference::Rows(details) => {
            let hint = "a statement with LIMIT but no complete ORDER BY in a subquery, or over data that changes \
                        meanwhile, has more than one right answer; anything else is a bug in Owlet: please report it";
            ("the rows differ", details, hint)
        }
        Difference::Order(details) => {
            let hint =
                "unless the data has changed meanwhile, this is a bug in Owlet: please report it";
            (
                "the rows are not in the same order by the keys of ORDER BY",
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
