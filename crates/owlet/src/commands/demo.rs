//! `owlet demo`: builds the shop, takes the tour, and then serves the embedded DynamoDB until Ctrl-C.

use std::fmt::Write as _;

use owlet_connector::WorkReport;

use super::Context;
use super::query::Run;
use crate::arguments::{DemoArguments, Format, LimitArguments, PlanningArguments};
use crate::config::ConfigSource;
use crate::demo::tour::{QUESTIONS, Question};
use crate::demo::{DemoFolder, Prepared};
use crate::embedded::{EmbeddedDynamoDb, Port};
use crate::errors::{CliError, ExitStatus, Result};
use crate::interrupt::Interrupt;
use crate::session::Session;
use crate::statements::Statement;
use crate::units;

/// Where the demo's DynamoDB listens if nobody else does; DynamoDB Local's own port.
const PREFERRED_PORT: u16 = 8000;
/// Rows of an answer that are shown.
const SHOWN_ROWS: usize = 12;

/// Runs the command.
pub async fn run(arguments: DemoArguments, context: &Context) -> Result<ExitStatus> {
    let folder = DemoFolder::new(&arguments.dir);
    let started = std::time::Instant::now();
    let preparing = DemoFolder::new(&arguments.dir);
    let prepared = tokio::task::spawn_blocking(move || preparing.prepare())
        .await
        .map_err(|error| CliError::failed(format!("building the shop failed: {error}"), ""))??;
    let printer = context.printer;
    let place = arguments.dir.display();
    printer.result(&match prepared {
        Prepared::Built { rows, items } => format!(
            "A small shop, built in {}: {} in SQLite and {} in an embedded DynamoDB, in {place}/\n",
            units::milliseconds(started.elapsed().as_secs_f64() * 1000.0),
            units::counted(rows, "row"),
            units::counted(items, "item"),
        ),
        Prepared::Found => format!("The small shop of an earlier run, in {place}/\n"),
    })?;

    let config = ConfigSource {
        file: Some(folder.config_file()),
        folder: arguments.dir.clone(),
    };
    let session = Session::open(&config)?;
    let options =
        session.query_options(&PlanningArguments::default(), &LimitArguments::default())?;
    let interrupt = Interrupt::listen();
    for (index, question) in QUESTIONS.iter().enumerate() {
        printer.result(&heading(index + 1, question))?;
        let run = Run {
            session: &session,
            options: &options,
            interrupt: &interrupt,
            printer,
        };
        let statement = Statement::whole(question.sql);
        let outcome = run
            .to_standard_output(&statement, Format::Table, SHOWN_ROWS)
            .await;
        outcome.result?;
        if let Some(work) = &outcome.work {
            printer.result(&where_it_happened(work))?;
        }
    }
    printer.result(&next_steps(&arguments))?;
    if arguments.once {
        return Ok(ExitStatus::Success);
    }
    serve(&folder, &interrupt, context).await
}

async fn serve(
    folder: &DemoFolder,
    interrupt: &Interrupt,
    context: &Context,
) -> Result<ExitStatus> {
    let endpoint =
        EmbeddedDynamoDb::start(&folder.dynamodb_file(), Port::Preferred(PREFERRED_PORT))
            .map_err(|message| {
                CliError::failed(format!("cannot serve the embedded DynamoDB: {message}"), "")
            })?
            .endpoint();
    context.printer.result(&format!(
        "\nThe shop's DynamoDB is served at {endpoint} for any client (region and keys are free), for example\n  \
         aws dynamodb scan --table-name carts --max-items 1 --endpoint-url {endpoint}\nCtrl-C ends it.\n"
    ))?;
    interrupt.token().cancelled().await;
    Ok(ExitStatus::Success)
}

fn heading(number: usize, question: &Question) -> String {
    let sql: String = question
        .sql
        .lines()
        .map(|line| format!("    {line}\n"))
        .collect();
    format!(
        "\n{number}. {} asks: {}\n\n{sql}\n",
        capitalised(question.who),
        question.text
    )
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(characters).collect()
    })
}

/// One line for each source: what it was asked, what it gave, what it cost.
pub fn where_it_happened(work: &WorkReport) -> String {
    let mut text = format!(
        "  {}, in {}\n",
        units::counted(work.rows, "row"),
        units::milliseconds(work.elapsed_ms)
    );
    for source in &work.sources {
        let _ = write!(
            text,
            "  {}: {} of {}: {} read, {} returned, {}",
            source.catalog,
            source.access,
            source.table,
            units::count(source.rows_read),
            units::count(source.rows_returned),
            units::bytes(source.bytes),
        );
        if let Some(rcu) = source.rcu_consumed {
            let _ = write!(text, ", {} RCU", units::rcu(rcu));
        }
        let _ = writeln!(text, "\n     {}", shortened(&source.remote));
    }
    text
}

/// A remote query on one line, without the long middle that lists of keys have.
fn shortened(remote: &str) -> String {
    const HEAD: usize = 300;
    const TAIL: usize = 60;
    let line = remote.split_whitespace().collect::<Vec<_>>().join(" ");
    let characters: Vec<char> = line.chars().collect();
    if characters.len() <= HEAD + TAIL {
        return line;
    }
    let head: String = characters[..HEAD].iter().collect();
    let tail: String = characters[characters.len() - TAIL..].iter().collect();
    format!("{head} … {tail}")
}

fn next_steps(arguments: &DemoArguments) -> String {
    let place = arguments.dir.display();
    format!(
        "\nNow your own questions. In {place}/ owlet finds the shop by itself:\n\n  \
         cd {place}\n  \
         owlet tables\n  \
         owlet query \"SELECT status, count(*) FROM shop.orders GROUP BY status\"\n  \
         owlet explain \"SELECT * FROM events.order_events WHERE order_id = 4711\"\n  \
         owlet shell\n"
    )
}
