//! `owlet shell`: reads statements and backslash commands, runs them one after the other, survives their failures.

use std::io::{BufRead, IsTerminal};
use std::path::PathBuf;

use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};

use super::query::Run;
use super::{Context, describe, listing};
use crate::arguments::{
    DescribeArguments, ExplainArguments, ExplainFormat, Format, LimitArguments, ListArguments,
    PlanningArguments, SchemasArguments, ShellArguments, SqlArguments, TablesArguments,
};
use crate::errors::{CliError, ExitStatus, Result};
use crate::interrupt::{self, Interrupt};
use crate::session::Session;
use crate::shell::completion::{ShellHelper, is_complete};
use crate::shell::directive::{self, Directive};
use crate::statements::{self, Statement};
use crate::units;
use crate::workers::block_on;

const PROMPT: &str = "owlet> ";
const HISTORY_LINES: usize = 2_000;

/// Runs the command. Exit code 1 when something of a piped input has failed.
pub fn run(arguments: ShellArguments, context: &Context) -> Result<ExitStatus> {
    let session = context.session()?;
    let printer = context.printer;
    printer.note_for_people(&greeting(&session));
    let shell = Shell {
        context,
        session,
        planning: arguments.planning,
        limits: arguments.limits,
        format: arguments.output,
        max_rows: arguments.max_rows,
        timing: printer.stderr_is_terminal(),
        work: false,
    };
    if std::io::stdin().is_terminal() {
        talk(shell)
    } else {
        follow_input(shell, std::io::stdin().lock())
    }
}

/// Runs what people type, with a history; nothing of it ends the shell but a signal to end the process.
fn talk(mut shell: Shell<'_>) -> Result<ExitStatus> {
    let printer = shell.context.printer;
    let mut editor = editor(&shell.session)?;
    let history = history_file();
    if let Some(file) = &history {
        // The first shell on a machine has no history.
        let _ = editor.load_history(file);
    }
    // After a signal to end, the terminal may have gone.
    while !interrupt::asked_to_end() {
        match editor.readline(PROMPT) {
            Ok(text) => {
                if !text.trim().is_empty() {
                    // A history that cannot be kept is no reason to stop.
                    let _ = editor.add_history_entry(text.trim());
                }
                match shell.handle(&text) {
                    Ok(Next::Continue) => {}
                    Ok(Next::Leave) => break,
                    Err(CliError::OutputClosed) => break,
                    Err(error) => printer.message(&error.report()),
                }
            }
            // Ctrl-C drops the line that is being typed.
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(error) => {
                return Err(CliError::failed(
                    format!("cannot read the terminal: {error}"),
                    "",
                ));
            }
        }
    }
    if let Some(file) = &history {
        let _ = file.parent().map(std::fs::create_dir_all);
        if let Err(error) = editor.save_history(file) {
            printer.note(&format!(
                "the history could not be kept in {}: {error}",
                file.display()
            ));
        }
    }
    Ok(ended(ExitStatus::Success))
}

/// How the shell ends: a signal that asked for it counts more than what has failed before.
fn ended(status: ExitStatus) -> ExitStatus {
    match interrupt::asked_to_end() {
        true => ExitStatus::Interrupted,
        false => status,
    }
}

/// Runs what a pipe or a file brings. The last statement needs no `;`, and a failure does not stop those behind it.
fn follow_input(mut shell: Shell<'_>, input: impl BufRead) -> Result<ExitStatus> {
    let printer = shell.context.printer;
    let mut status = ExitStatus::Success;
    let mut pending = String::new();
    // The end of the input completes whatever is pending.
    let lines = input.lines().map(|line| line.map(Some)).chain([Ok(None)]);
    for line in lines {
        let line = line.map_err(|error| {
            CliError::usage(format!("cannot read the standard input: {error}"), "")
        })?;
        if let Some(line) = &line {
            pending.push_str(line);
            pending.push('\n');
            if !is_complete(&pending) {
                continue;
            }
        }
        match shell.handle(&std::mem::take(&mut pending)) {
            Ok(Next::Continue) => {}
            Ok(Next::Leave) | Err(CliError::OutputClosed) => break,
            Err(error) => {
                printer.message(&error.report());
                status = ExitStatus::Failure;
            }
        }
        if interrupt::asked_to_end() {
            break;
        }
    }
    Ok(ended(status))
}

fn editor(session: &Session) -> Result<Editor<ShellHelper, FileHistory>> {
    let failed =
        |error: ReadlineError| CliError::failed(format!("cannot use the terminal: {error}"), "");
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .max_history_size(HISTORY_LINES)
        .map_err(failed)?
        .history_ignore_space(true)
        .build();
    let mut editor = Editor::with_config(config).map_err(failed)?;
    editor.set_helper(Some(ShellHelper::new(
        session.engine.clone(),
        session.workers.handle().clone(),
    )));
    Ok(editor)
}

fn history_file() -> Option<PathBuf> {
    dirs::data_local_dir().map(|folder| folder.join("owlet").join("history"))
}

fn greeting(session: &Session) -> String {
    let catalogs: Vec<String> = session
        .engine
        .catalogs()
        .into_iter()
        .map(|catalog| catalog.name)
        .collect();
    let catalogs = if catalogs.is_empty() {
        "none".to_owned()
    } else {
        catalogs.join(", ")
    };
    format!(
        "Owlet {}. Catalogs: {catalogs}. A statement ends with ; and \\? is help.",
        env!("CARGO_PKG_VERSION")
    )
}

/// Runs something that asks sources until it ends, or until Ctrl-C gives it up.
fn until_interrupted<T>(asking: impl Future<Output = Result<T>>) -> Result<T> {
    block_on(async {
        let interrupt = Interrupt::listen();
        tokio::select! {
            answer = asking => answer,
            () = interrupt.token().cancelled() => Err(CliError::Interrupted),
        }
    })
}

enum Next {
    Continue,
    Leave,
}

struct Shell<'a> {
    context: &'a Context,
    session: Session,
    planning: PlanningArguments,
    limits: LimitArguments,
    format: Format,
    max_rows: usize,
    timing: bool,
    work: bool,
}

impl Shell<'_> {
    fn handle(&mut self, text: &str) -> Result<Next> {
        let trimmed = text.trim();
        if trimmed.starts_with('\\') {
            let directive =
                directive::parse(trimmed).map_err(|message| CliError::usage(message, ""))?;
            return self.follow(directive);
        }
        match trimmed.to_lowercase().as_str() {
            "exit" | "quit" => return Ok(Next::Leave),
            "help" => return self.follow(Directive::Help),
            _ => {}
        }
        for statement in statements::split(text).statements {
            self.query(&statement)?;
        }
        Ok(Next::Continue)
    }

    fn query(&self, statement: &Statement) -> Result<()> {
        let options = self.session.query_options(&self.planning, &self.limits)?;
        let outcome = block_on(async {
            let interrupt = Interrupt::listen();
            let printer = self.context.printer;
            let run = Run {
                session: &self.session,
                options: &options,
                interrupt: &interrupt,
                printer,
            };
            Ok(run
                .to_standard_output(statement, self.format, self.max_rows)
                .await)
        })?;
        let rows = outcome.result?;
        let Some(work) = &outcome.work else {
            return Ok(());
        };
        if self.timing {
            let time = units::milliseconds(work.elapsed_ms);
            self.context
                .printer
                .note(&format!("{} in {time}", units::counted(rows, "row")));
        }
        if self.work {
            self.context
                .printer
                .message(&super::demo::where_it_happened(work));
        }
        Ok(())
    }

    fn follow(&mut self, directive: Directive) -> Result<Next> {
        let list = ListArguments {
            output: Some(self.format),
        };
        match directive {
            Directive::Quit => return Ok(Next::Leave),
            Directive::Help => self.context.printer.result(directive::HELP)?,
            Directive::Describe(name) => {
                let arguments = DescribeArguments { name, list };
                until_interrupted(describe::describe(
                    &self.session,
                    arguments,
                    self.context.printer,
                ))?;
            }
            Directive::Tables(scope) => {
                let arguments = TablesArguments { scope, list };
                until_interrupted(listing::tables_in(
                    &self.session,
                    arguments,
                    self.context.printer,
                ))?;
            }
            Directive::Schemas(catalog) => {
                let arguments = SchemasArguments { catalog, list };
                until_interrupted(listing::schemas_in(
                    &self.session,
                    arguments,
                    self.context.printer,
                ))?;
            }
            Directive::Catalogs => {
                listing::catalogs_in(&self.session, &list, self.context.printer)?;
            }
            Directive::Timing(wanted) => {
                self.timing = self.switched("timing", wanted.unwrap_or(!self.timing))
            }
            Directive::Work(wanted) => {
                self.work = self.switched("work", wanted.unwrap_or(!self.work))
            }
            Directive::Pushdown(wanted) => {
                let on = wanted.unwrap_or(self.planning.no_pushdown);
                self.planning.no_pushdown = !self.switched("pushdown", on);
            }
            Directive::Output(format) => self.format = format,
            Directive::Explain(sql) => {
                let sql = SqlArguments {
                    sql: Some(sql),
                    file: None,
                };
                let planning = self.planning.clone();
                let arguments = ExplainArguments {
                    sql,
                    output: ExplainFormat::Tree,
                    planning,
                };
                block_on(super::explain::explain(
                    &self.session,
                    arguments,
                    self.context.printer,
                ))?;
            }
        }
        Ok(Next::Continue)
    }

    fn switched(&self, name: &str, on: bool) -> bool {
        self.context
            .printer
            .note(&format!("{name} is {}", if on { "on" } else { "off" }));
        on
    }
}
