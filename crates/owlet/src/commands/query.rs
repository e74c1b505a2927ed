//! `owlet query`: runs statements one after the other and writes their results.

use std::io::Write;
use std::path::Path;

use comfy_table::Table;
use owlet_connector::WorkReport;
use owlet_engine::QueryOptions;

use super::{Context, of_each, read_statements};
use crate::arguments::{Format, QueryArguments};
use crate::errors::{CliError, ExitStatus, Result};
use crate::execution::{self, Execution, ProgressLines};
use crate::formats::{self, TableOptions, Target, WriteError};
use crate::interrupt::Interrupt;
use crate::output::{self, PendingFile};
use crate::printer::Printer;
use crate::session::Session;
use crate::statements::Statement;
use crate::units;

/// Runs the command.
pub async fn run(arguments: QueryArguments, context: &Context) -> Result<ExitStatus> {
    let statements = read_statements(&arguments.sql)?;
    let destination = Destination::choose(&arguments, statements.len(), context.printer)?;
    let session = context.session()?;
    let options = session.query_options(&arguments.planning, &arguments.limits)?;
    let options = of_each(&options, &statements)?;
    let interrupt = Interrupt::listen();
    for (statement, options) in statements.iter().zip(&options) {
        let run = Run {
            session: &session,
            options,
            interrupt: &interrupt,
            printer: context.printer,
        };
        let outcome = match &destination {
            Destination::StandardOutput(format) => {
                run.to_standard_output(statement, *format, arguments.max_rows)
                    .await
            }
            Destination::File(path, format) => {
                run.to_file(statement, path, *format, arguments.max_rows)
                    .await
            }
        };
        if arguments.work
            && let Some(report) = &outcome.work
        {
            print_work(report, context.printer)?;
        }
        outcome.result?;
    }
    Ok(ExitStatus::Success)
}

/// Where the result goes, and as what.
enum Destination {
    StandardOutput(Format),
    File(std::path::PathBuf, Format),
}

impl Destination {
    fn choose(arguments: &QueryArguments, statements: usize, printer: Printer) -> Result<Self> {
        let Some(path) = &arguments.to else {
            let default = if printer.stdout_is_terminal() {
                Format::Table
            } else {
                Format::Csv
            };
            let format = arguments.output.unwrap_or(default);
            if statements > 1 && is_one_document(format) {
                let hint = "run them one by one, or use -o csv, tsv, ndjson, table or markdown";
                return Err(CliError::usage(
                    format!("this format holds the result of one statement, not of {statements}"),
                    hint,
                ));
            }
            if printer.stdout_is_terminal() && matches!(format, Format::Parquet | Format::Arrow) {
                let hint = "write it to a file with --to, or pipe it";
                return Err(CliError::usage(
                    "a terminal cannot show a binary format",
                    hint,
                ));
            }
            return Ok(Self::StandardOutput(format));
        };
        if statements > 1 {
            return Err(CliError::usage(
                format!("--to takes the result of one statement, not of {statements}"),
                "",
            ));
        }
        let Some(format) = arguments.output.or_else(|| formats::format_of(path)) else {
            let hint =
                "use .csv, .tsv, .json, .ndjson, .parquet, .arrow, .md or .txt, or say it with -o";
            return Err(CliError::usage(
                format!("the suffix of {} names no format", path.display()),
                hint,
            ));
        };
        Ok(Self::File(path.clone(), format))
    }
}

/// Results of this format one behind the other are no file that anybody reads.
fn is_one_document(format: Format) -> bool {
    matches!(format, Format::Parquet | Format::Arrow | Format::Json)
}

/// How a statement ended; the work report is there as soon as it had been started.
pub struct Outcome {
    /// Rows written, or the error.
    pub result: Result<u64>,
    /// What the sources did.
    pub work: Option<WorkReport>,
}

/// What one statement needs to run.
pub struct Run<'a> {
    /// Configuration and engine.
    pub session: &'a Session,
    /// How to plan.
    pub options: &'a QueryOptions,
    /// Ctrl-C.
    pub interrupt: &'a Interrupt,
    /// Where to write.
    pub printer: Printer,
}

impl Run<'_> {
    /// Streams the result to the standard output.
    pub async fn to_standard_output(
        &self,
        statement: &Statement,
        format: Format,
        max_rows: usize,
    ) -> Outcome {
        let sink = Sink {
            name: "the standard output".to_owned(),
            format,
            target: Target::Stream,
            table: table_options(max_rows, self.printer),
            // Progress lines and rows on the same terminal would overwrite each other.
            lines: self.lines(!self.printer.stdout_is_terminal() || format == Format::Table),
        };
        self.to_sink(statement, sink, || Ok(output::standard_output()))
            .await
    }

    /// Writes the result to a file that appears when it is whole.
    async fn to_file(
        &self,
        statement: &Statement,
        path: &Path,
        format: Format,
        max_rows: usize,
    ) -> Outcome {
        let sink = Sink {
            name: path.display().to_string(),
            format,
            target: Target::File,
            table: TableOptions {
                null: "NULL",
                max_rows,
                width: None,
            },
            lines: self.lines(true),
        };
        let mut pending = None;
        let mut outcome = self
            .to_sink(statement, sink, || {
                let (file, writer) = PendingFile::create(path)?;
                pending = Some(file);
                Ok(writer)
            })
            .await;
        if let (Ok(rows), Some(pending)) = (&outcome.result, pending) {
            match pending.commit() {
                Ok(()) => {
                    let rows = units::counted(*rows, "row");
                    self.printer
                        .note_for_people(&format!("{rows} written to {}", path.display()));
                }
                Err(error) => outcome.result = Err(error),
            }
        }
        outcome
    }

    fn lines(&self, possible: bool) -> ProgressLines {
        if possible && self.printer.stderr_is_terminal() {
            ProgressLines::Shown
        } else {
            ProgressLines::Hidden
        }
    }

    async fn to_sink(
        &self,
        statement: &Statement,
        sink: Sink,
        open: impl FnOnce() -> Result<Box<dyn Write + Send>>,
    ) -> Outcome {
        let started = async {
            let planned =
                execution::plan(self.session, statement, self.options, self.interrupt).await?;
            let schema = planned.query.schema();
            let execution =
                Execution::start(self.session, planned, statement, self.interrupt, sink.lines)?;
            Ok((schema, execution))
        };
        let (schema, mut execution) = match started.await {
            Ok(started) => started,
            Err(error) => {
                return Outcome {
                    result: Err(error),
                    work: None,
                };
            }
        };
        let written = async {
            let failed = |error| write_error(&sink.name, error);
            // The first batch is awaited before anything is written: most failures come before it, and then
            // there is no half result.
            let mut next = execution.next().await?;
            let mut writer = formats::writer(sink.format, schema, sink.target, sink.table, open()?)
                .map_err(failed)?;
            let mut rows = 0;
            while let Some(batch) = next {
                rows += batch.num_rows() as u64;
                writer.write(&batch).map_err(failed)?;
                next = execution.next().await?;
            }
            writer.finish().map_err(failed)?;
            Ok(rows)
        };
        let result = written.await;
        Outcome {
            result,
            work: Some(execution.finish().await),
        }
    }
}

struct Sink {
    name: String,
    format: Format,
    target: Target,
    table: TableOptions,
    lines: ProgressLines,
}

/// Table layout for the standard output: as wide as the terminal, or as its content in a pipe.
pub fn table_options(max_rows: usize, printer: Printer) -> TableOptions {
    let width = if printer.stdout_is_terminal() {
        Table::new().width()
    } else {
        None
    };
    TableOptions {
        max_rows,
        width,
        null: "NULL",
    }
}

/// The command's error for a writer's.
pub fn write_error(target: &str, error: WriteError) -> CliError {
    match error {
        WriteError::Io(error) => CliError::output(target, &error),
        WriteError::Unsupported(message) => CliError::Output {
            target: target.to_owned(),
            message,
        },
    }
}

/// The work report as one JSON object on one line of the standard error; a contract.
fn print_work(report: &WorkReport, printer: Printer) -> Result<()> {
    let text =
        serde_json::to_string(report).map_err(|error| CliError::failed(error.to_string(), ""))?;
    printer.note(&text);
    Ok(())
}
