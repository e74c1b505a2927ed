//! The command line: every command, option and help text. Parses and validates only; must never have effects.

use std::path::PathBuf;

use clap::builder::styling::Styles;
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;

use crate::units::Period;

/// One SQL statement over PostgreSQL, MySQL, DynamoDB, SQLite and files, where the data is.
#[derive(Debug, Parser)]
#[command(
    name = "owlet",
    version,
    styles = Styles::plain(),
    disable_help_subcommand = true,
    propagate_version = true,
    after_help = "Start with `owlet demo` (no server needed), or `owlet init` and `owlet doctor`.\n\
                  Topics: `owlet help exit-codes`, `owlet help formats`, `owlet help config`, `owlet help environment`."
)]
pub struct Arguments {
    /// Configuration file; without it the nearest owlet.toml from here upwards
    #[arg(long, global = true, env = "OWLET_CONFIG", value_name = "FILE", value_hint = ValueHint::FilePath,
        value_parser = perhaps_empty_path())]
    pub config: Option<PathBuf>,

    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run SQL and write the result
    #[command(visible_alias = "q")]
    Query(QueryArguments),
    /// Show what each source would be asked, what stays local and why
    Explain(ExplainArguments),
    /// Run with all pushdown and with none, and compare the answers (exit code 1 when they differ)
    Verify(VerifyArguments),
    /// Type SQL with history, completion and \d
    Shell(ShellArguments),
    /// List the configured catalogs
    Catalogs(ListArguments),
    /// List schemas
    Schemas(SchemasArguments),
    /// List tables
    Tables(TablesArguments),
    /// Show the columns of a table
    Describe(DescribeArguments),
    /// Work with the schemas of sources that have none
    #[command(subcommand)]
    Schema(SchemaCommand),
    /// Write a commented owlet.toml to start from
    Init(InitArguments),
    /// Check every source: reachable, version, rights, latency, and what to do
    Doctor(DoctorArguments),
    /// Show what running queries do to each source: connections, statements, rows and read capacity a second
    Sources(SourcesArguments),
    /// Build a small shop out of nothing and ask it five questions
    Demo(DemoArguments),
    /// Show what is configured, or its JSON Schema
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Help on a command or a topic (exit-codes, formats, config, environment)
    Help {
        /// Command or topic
        topic: Vec<String>,
    },
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people; keeps only the first and last rows of a long result
    Table,
    /// Comma-separated, with a header
    Csv,
    /// Tab-separated, with a header
    Tsv,
    /// One array of objects
    Json,
    /// One object a line
    #[value(alias = "jsonl")]
    Ndjson,
    /// Apache Parquet
    Parquet,
    /// Apache Arrow IPC stream
    Arrow,
    /// A Markdown table
    #[value(alias = "md")]
    Markdown,
}

/// How statements are planned.
#[derive(Debug, Clone, Default, Args)]
pub struct PlanningArguments {
    /// Value of a placeholder: `-p day=2026-01-31` for :day, `-p 1=…` for the first `?`; may be repeated
    #[arg(short = 'p', long = "parameter", value_name = "NAME=VALUE", value_parser = parameter)]
    pub parameters: Vec<(String, String)>,

    /// Read whole tables and compute here; the answer is the same, only slower
    #[arg(long)]
    pub no_pushdown: bool,

    /// Catalog for table names without one
    #[arg(long, value_name = "NAME")]
    pub catalog: Option<String>,

    /// Schema for table names without one
    #[arg(long, value_name = "NAME")]
    pub schema: Option<String>,
}

/// Limits of a query.
#[derive(Debug, Clone, Default, Args)]
pub struct LimitArguments {
    /// DynamoDB read capacity units the query may use (exit code 5 when it would need more)
    #[arg(long, value_name = "N", value_parser = read_capacity)]
    pub max_rcu: Option<f64>,

    /// Time the query may take, for example 500ms, 30s or 5m
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<Period>,
}

/// Where SQL comes from.
#[derive(Debug, Clone, Default, Args)]
pub struct SqlArguments {
    /// SQL text, or `-` for the standard input
    #[arg(value_name = "SQL", conflicts_with = "file")]
    pub sql: Option<String>,

    /// Read SQL from a file; several statements are run one after the other
    #[arg(short = 'f', long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: Option<PathBuf>,
}

/// `owlet query`.
#[derive(Debug, Args)]
pub struct QueryArguments {
    /// Where the SQL comes from
    #[command(flatten)]
    pub sql: SqlArguments,

    /// Output format; without it a table on a terminal, CSV in a pipe, the suffix of --to for a file
    #[arg(short = 'o', long, value_name = "FORMAT")]
    pub output: Option<Format>,

    /// Write the result to a file; it appears only when the query has succeeded
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub to: Option<PathBuf>,

    /// Rows a table shows at most; other formats always write all rows
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub max_rows: usize,

    /// How the statement is planned
    #[command(flatten)]
    pub planning: PlanningArguments,

    /// Limits
    #[command(flatten)]
    pub limits: LimitArguments,

    /// Write the work report (what each source was asked, rows, bytes, RCU) as one JSON object to the standard error
    #[arg(long)]
    pub work: bool,
}

/// How `owlet explain` answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ExplainFormat {
    /// A tree for people
    #[default]
    Tree,
    /// JSON
    Json,
}

/// `owlet explain`.
#[derive(Debug, Args)]
pub struct ExplainArguments {
    /// Where the SQL comes from
    #[command(flatten)]
    pub sql: SqlArguments,

    /// Output format
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "tree")]
    pub output: ExplainFormat,

    /// How the statement is planned
    #[command(flatten)]
    pub planning: PlanningArguments,
}

/// `owlet verify`.
#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// Where the SQL comes from
    #[command(flatten)]
    pub sql: SqlArguments,

    /// How the statement is planned
    #[command(flatten)]
    pub planning: PlanningArguments,

    /// Limits of each of the two runs
    #[command(flatten)]
    pub limits: LimitArguments,
}

/// `owlet shell`.
#[derive(Debug, Args)]
pub struct ShellArguments {
    /// Output format; \o changes it
    #[arg(short = 'o', long, value_name = "FORMAT", default_value = "table")]
    pub output: Format,

    /// Rows a table shows at most
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub max_rows: usize,

    /// How statements are planned
    #[command(flatten)]
    pub planning: PlanningArguments,

    /// Limits of each query
    #[command(flatten)]
    pub limits: LimitArguments,
}

/// Commands that list something.
#[derive(Debug, Clone, Args)]
pub struct ListArguments {
    /// Output format; without it a table on a terminal, CSV in a pipe
    #[arg(short = 'o', long, value_name = "FORMAT")]
    pub output: Option<Format>,
}

/// `owlet schemas`.
#[derive(Debug, Args)]
pub struct SchemasArguments {
    /// Catalog; without it all
    pub catalog: Option<String>,

    /// How to list
    #[command(flatten)]
    pub list: ListArguments,
}

/// `owlet tables`.
#[derive(Debug, Args)]
pub struct TablesArguments {
    /// Catalog, or catalog and schema; without it all
    #[arg(value_name = "CATALOG[.SCHEMA]")]
    pub scope: Option<String>,

    /// How to list
    #[command(flatten)]
    pub list: ListArguments,
}

/// `owlet describe`.
#[derive(Debug, Args)]
pub struct DescribeArguments {
    /// Table, for example orders, public.orders or rds.public.orders
    pub name: String,

    /// How to list
    #[command(flatten)]
    pub list: ListArguments,
}

/// `owlet schema …`.
#[derive(Debug, Subcommand)]
pub enum SchemaCommand {
    /// Sample a DynamoDB table and show its columns with the evidence
    Infer(SchemaInferArguments),
}

/// `owlet schema infer`.
#[derive(Debug, Args)]
pub struct SchemaInferArguments {
    /// Table, for example dynamo.orders
    #[arg(value_name = "CATALOG.TABLE")]
    pub name: String,

    /// Write the schema to the catalog's schema_overrides file, where it is used from now on and can be edited
    #[arg(long)]
    pub write: bool,

    /// How to list
    #[command(flatten)]
    pub list: ListArguments,
}

/// `owlet init`.
#[derive(Debug, Args)]
pub struct InitArguments {
    /// Folder to write owlet.toml to
    #[arg(long, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
}

/// `owlet doctor`.
#[derive(Debug, Args)]
pub struct DoctorArguments {
    /// Catalogs to check; without any all
    pub catalogs: Vec<String>,

    /// Time each source has to answer
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub timeout: Period,
}

/// `owlet sources`.
#[derive(Debug, Args)]
pub struct SourcesArguments {
    /// Show it again every second until Ctrl-C
    #[arg(long)]
    pub watch: bool,

    /// How to list
    #[command(flatten)]
    pub list: ListArguments,
}

/// `owlet demo`.
#[derive(Debug, Args)]
pub struct DemoArguments {
    /// End after the tour instead of serving the embedded DynamoDB
    #[arg(long)]
    pub once: bool,

    /// Folder for the shop's data and its owlet.toml
    #[arg(long, value_name = "DIR", default_value = "owlet-demo", value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
}

/// `owlet config …`.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Print the JSON Schema of owlet.toml, for editors
    Schema,
    /// Print which file is in force and the catalogs it configures, without secrets
    Show,
}

/// A path that may be empty, which clap's own parser refuses: an empty variable counts as none.
fn perhaps_empty_path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| "write NAME=VALUE".to_owned())?;
    let name = name.trim_start_matches([':', '$']);
    if name.is_empty() {
        return Err("write NAME=VALUE".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

fn read_capacity(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err("write a number, for example 500".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_contract_of_query_parses() {
        let arguments = Arguments::try_parse_from([
            "owlet",
            "query",
            "SELECT 1",
            "-o",
            "ndjson",
            "--to",
            "a.ndjson",
            "-p",
            "a=1=2",
            "-p",
            ":b=",
            "--no-pushdown",
            "--max-rcu",
            "5",
            "--timeout",
            "30s",
            "--work",
            "--config",
            "x.toml",
        ])
        .expect("parses");
        let Command::Query(query) = arguments.command else {
            panic!("not a query")
        };
        assert_eq!(
            query.planning.parameters,
            [
                ("a".to_owned(), "1=2".to_owned()),
                ("b".to_owned(), String::new())
            ]
        );
        assert_eq!(query.output, Some(Format::Ndjson));
        assert_eq!(query.limits.max_rcu, Some(5.0));
    }
}
