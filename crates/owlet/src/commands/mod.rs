//! One file a command. Each is a function from its arguments to an exit status; none prints but through the
//! [`Printer`], and none ends the process.

mod completions;
mod config;
mod demo;
mod describe;
mod doctor;
mod explain;
mod help;
mod init;
mod listing;
mod query;
mod rows;
mod schema_infer;
mod shell;
mod sources;
mod verify;

use std::io::Read;

use owlet_engine::QueryOptions;

use crate::arguments::{Arguments, Command, SchemaCommand, SqlArguments};
use crate::config::ConfigSource;
use crate::errors::{CliError, ExitStatus, Result};
use crate::printer::Printer;
use crate::session::Session;
use crate::statements::{self, Placeholders, Statement};
use crate::workers::block_on;

pub use rows::Rows;

/// What every command may use.
#[derive(Debug, Clone)]
pub struct Context {
    /// Where to write.
    pub printer: Printer,
    /// Where the configuration is.
    pub config: ConfigSource,
}

impl Context {
    /// Configuration and engine; only commands that ask sources call this.
    pub fn session(&self) -> Result<Session> {
        Session::open(&self.config)
    }
}

/// Runs the command.
pub fn run(arguments: Arguments, printer: Printer) -> Result<ExitStatus> {
    let folder = std::env::current_dir().map_err(|error| {
        CliError::failed(format!("cannot read the current folder: {error}"), "")
    })?;
    let context = Context {
        printer,
        config: ConfigSource {
            // An empty OWLET_CONFIG is how people take it back.
            file: arguments.config.filter(|file| !file.as_os_str().is_empty()),
            folder,
        },
    };
    match arguments.command {
        Command::Query(arguments) => block_on(query::run(arguments, &context)),
        Command::Explain(arguments) => block_on(explain::run(arguments, &context)),
        Command::Verify(arguments) => block_on(verify::run(arguments, &context)),
        Command::Shell(arguments) => shell::run(arguments, &context),
        Command::Catalogs(arguments) => listing::catalogs(&arguments, &context),
        Command::Schemas(arguments) => block_on(listing::schemas(arguments, &context)),
        Command::Tables(arguments) => block_on(listing::tables(arguments, &context)),
        Command::Describe(arguments) => block_on(describe::run(arguments, &context)),
        Command::Schema(SchemaCommand::Infer(arguments)) => {
            block_on(schema_infer::run(arguments, &context))
        }
        Command::Init(arguments) => init::run(&arguments, &context),
        Command::Sources(arguments) => block_on(sources::run(arguments, &context)),
        Command::Doctor(arguments) => block_on(doctor::run(arguments, &context)),
        Command::Demo(arguments) => block_on(demo::run(arguments, &context)),
        Command::Config(command) => config::run(&command, &context),
        Command::Completions { shell } => completions::run(shell, &context),
        Command::Help { topic } => help::run(&topic, &context),
    }
}

/// Reads the statements a command was given.
pub fn read_statements(arguments: &SqlArguments) -> Result<Vec<Statement>> {
    let text = match (&arguments.sql, &arguments.file) {
        (_, Some(file)) if file.as_os_str() == "-" => read_standard_input()?,
        (_, Some(file)) => std::fs::read_to_string(file).map_err(|error| {
            CliError::usage(format!("cannot read {}: {error}", file.display()), "")
        })?,
        (Some(sql), None) if sql == "-" => read_standard_input()?,
        (Some(sql), None) => sql.clone(),
        (None, None) => {
            let hint = "give SQL text, `-f FILE`, or `-` for the standard input; `owlet shell` is interactive";
            return Err(CliError::usage("there is no SQL to run", hint));
        }
    };
    // Editors on Windows begin a file with a byte order mark.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let statements = statements::split(text).statements;
    if statements.is_empty() {
        return Err(CliError::usage("the SQL text is empty", ""));
    }
    Ok(statements)
}

/// Options for each of several statements: a parameter need not be in all of them, but in one. Of a single statement
/// the engine says what does not fit.
pub fn of_each(options: &QueryOptions, statements: &[Statement]) -> Result<Vec<QueryOptions>> {
    if statements.len() <= 1 {
        return Ok(vec![options.clone(); statements.len()]);
    }
    let used: Vec<Placeholders> = statements.iter().map(Statement::placeholders).collect();
    let given = &options.parameters;
    let unused_name = given
        .named
        .keys()
        .find(|name| !used.iter().any(|used| used.has(name)))
        .map(|name| format!(":{name}"));
    let positions = used.iter().map(|used| used.positional).max().unwrap_or(0);
    let unused_position = (given.positional.len() > positions).then(|| (positions + 1).to_string());
    if let Some(unused) = unused_name.or(unused_position) {
        return Err(CliError::usage(
            format!("parameter {unused}: none of the statements uses it"),
            "",
        ));
    }
    let narrowed = used.iter().map(|used| {
        let mut options = options.clone();
        options.parameters.positional.truncate(used.positional);
        options.parameters.named.retain(|name, _| used.has(name));
        options
    });
    Ok(narrowed.collect())
}

fn read_standard_input() -> Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| CliError::usage(format!("cannot read the standard input: {error}"), ""))?;
    Ok(text)
}
