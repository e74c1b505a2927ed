//! Small results that commands make themselves (lists of tables, of sources), written like query results.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;

use super::query::table_options;
use crate::arguments::Format;
use crate::errors::{CliError, Result};
use crate::formats::{self, TableOptions, Target};
use crate::output;
use crate::printer::Printer;

/// Rows of text with named columns.
#[derive(Debug, Clone)]
pub struct Rows {
    columns: &'static [&'static str],
    rows: Vec<Vec<Option<String>>>,
}

impl Rows {
    /// No rows yet.
    pub fn new(columns: &'static [&'static str]) -> Self {
        Self {
            columns,
            rows: Vec::new(),
        }
    }

    /// Adds a row; it must have one value for each column.
    pub fn push(&mut self, row: Vec<Option<String>>) {
        debug_assert_eq!(row.len(), self.columns.len());
        self.rows.push(row);
    }

    /// Writes all rows to the standard output: a table on a terminal, CSV in a pipe, or the wanted format.
    pub fn print(&self, format: Option<Format>, printer: Printer) -> Result<()> {
        print_batch(&self.batch()?, format, printer)
    }

    fn batch(&self) -> Result<RecordBatch> {
        let fields: Vec<Field> = self
            .columns
            .iter()
            .map(|name| Field::new(*name, DataType::Utf8, true))
            .collect();
        let arrays: Vec<ArrayRef> = (0..self.columns.len())
            .map(|column| {
                let values: StringArray = self
                    .rows
                    .iter()
                    .map(|row| row.get(column).and_then(Option::as_deref))
                    .collect();
                Arc::new(values) as ArrayRef
            })
            .collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
            .map_err(|error| CliError::failed(error.to_string(), ""))
    }
}

/// Writes a batch to the standard output: a table on a terminal, CSV in a pipe, or the wanted format.
pub fn print_batch(batch: &RecordBatch, format: Option<Format>, printer: Printer) -> Result<()> {
    let format = format.unwrap_or(if printer.stdout_is_terminal() {
        Format::Table
    } else {
        Format::Csv
    });
    let failed =
        |error: formats::WriteError| super::query::write_error("the standard output", error);
    // These tables have gaps, not values that are unknown.
    let options = TableOptions {
        null: "",
        ..table_options(batch.num_rows().max(1), printer)
    };
    let mut writer = formats::writer(
        format,
        batch.schema(),
        Target::Stream,
        options,
        output::standard_output(),
    )
    .map_err(failed)?;
    writer.write(batch).map_err(failed)?;
    writer.finish().map_err(failed)
}
