//! `owlet sources`: what the running queries of this user's Owlet processes do to each source.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};

use super::Context;
use super::rows::print_batch;
use crate::activity::{self, QueryActivity, SourceActivity};
use crate::arguments::SourcesArguments;
use crate::errors::{CliError, ExitStatus, Result};
use crate::interrupt::Interrupt;

const REFRESH: Duration = Duration::from_secs(1);
/// Clears a terminal and goes to its first line.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Runs the command.
pub async fn run(arguments: SourcesArguments, context: &Context) -> Result<ExitStatus> {
    if !arguments.watch {
        show(&arguments, context)?;
        return Ok(ExitStatus::Success);
    }
    let interrupt = Interrupt::listen();
    loop {
        if context.printer.stdout_is_terminal() {
            context.printer.result(CLEAR)?;
        }
        show(&arguments, context)?;
        tokio::select! {
            () = interrupt.token().cancelled() => return Ok(ExitStatus::Success),
            () = tokio::time::sleep(REFRESH) => {}
        }
    }
}

fn show(arguments: &SourcesArguments, context: &Context) -> Result<()> {
    let queries = activity::running()
        .map_err(|error| CliError::failed(format!("cannot read the status files: {error}"), ""))?;
    let batch = batch(&queries).map_err(|error| CliError::failed(error.to_string(), ""))?;
    print_batch(&batch, arguments.list.output, context.printer)?;
    if queries.is_empty() {
        context
            .printer
            .note_for_people("no Owlet process of yours runs a query on this machine");
    }
    Ok(())
}

/// One row for each source of each running query.
fn batch(queries: &[QueryActivity]) -> std::result::Result<RecordBatch, arrow::error::ArrowError> {
    let rows: Vec<(&QueryActivity, &SourceActivity)> = queries
        .iter()
        .flat_map(|query| query.sources.iter().map(move |source| (query, source)))
        .collect();
    let texts = |read: &dyn Fn(&QueryActivity, &SourceActivity) -> Option<String>| {
        let values = rows.iter().map(|(query, source)| read(query, source));
        Arc::new(values.collect::<StringArray>()) as ArrayRef
    };
    let whole = |read: &dyn Fn(&QueryActivity, &SourceActivity) -> Option<i64>| {
        let values = rows.iter().map(|(query, source)| read(query, source));
        Arc::new(values.collect::<Int64Array>()) as ArrayRef
    };
    let numbers = |read: &dyn Fn(&QueryActivity, &SourceActivity) -> Option<f64>| {
        let values = rows.iter().map(|(query, source)| read(query, source));
        Arc::new(values.collect::<Float64Array>()) as ArrayRef
    };
    RecordBatch::try_from_iter_with_nullable([
        (
            "process",
            whole(&|query, _| Some(i64::from(query.process))),
            true,
        ),
        (
            "catalog",
            texts(&|_, source| Some(source.catalog.clone())),
            true,
        ),
        (
            "connector",
            texts(&|_, source| Some(source.connector.clone())),
            true,
        ),
        ("seconds", numbers(&|query, _| Some(query.seconds)), true),
        (
            "connections",
            whole(&|_, source| source.connections.map(|number| number as i64)),
            true,
        ),
        (
            "statements",
            whole(&|_, source| source.statements.map(|number| number as i64)),
            true,
        ),
        (
            "rows",
            whole(&|_, source| i64::try_from(source.rows).ok()),
            true,
        ),
        (
            "rows_per_second",
            numbers(&|_, source| Some(source.rows_per_second)),
            true,
        ),
        (
            "bytes_per_second",
            numbers(&|_, source| Some(source.bytes_per_second)),
            true,
        ),
        (
            "rcu_per_second",
            numbers(&|_, source| source.rcu_per_second),
            true,
        ),
        (
            "doing",
            texts(&|query, source| match &query.waiting_for {
                Some(reason) => Some(format!("waiting for {reason}")),
                None => Some(source.doing.clone()),
            }),
            true,
        ),
    ])
}
