//! Writes a stream of batches in a format, row by row, without ever holding the result.
//! Must never know where the batches come from.

mod binary;
mod delimited;
mod display;
mod json;
mod markdown;
mod names;
mod records;
mod table;
mod temporal;

use std::io::{self, Write};
use std::path::Path;

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use parquet::errors::ParquetError;
use thiserror::Error;

pub use display::{Encoder, Notation};
pub use table::TableOptions;

use crate::arguments::Format;

/// Why a result cannot be written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The target refused the bytes.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The format cannot hold the value.
    #[error("{0}")]
    Unsupported(String),
}

impl From<ArrowError> for WriteError {
    fn from(error: ArrowError) -> Self {
        match error {
            ArrowError::IoError(_, error) => Self::Io(error),
            other => Self::Unsupported(other.to_string()),
        }
    }
}

impl From<ParquetError> for WriteError {
    fn from(error: ParquetError) -> Self {
        match error {
            ParquetError::External(inner) => match inner.downcast::<io::Error>() {
                Ok(error) => Self::Io(*error),
                Err(inner) => Self::Unsupported(inner.to_string()),
            },
            other => Self::Unsupported(other.to_string()),
        }
    }
}

/// Takes batches of one schema. What it has written reaches the target after each batch, so that a reader at the
/// other end of a pipe sees rows as they come.
pub trait ResultWriter {
    /// Writes the rows of one batch.
    fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteError>;

    /// Writes what comes after the last row.
    fn finish(&mut self) -> Result<(), WriteError>;
}

/// Where a result goes, as far as a format needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Bytes that are read as they come.
    Stream,
    /// A file that is read afterwards.
    File,
}

/// A writer for a format.
pub fn writer<'a>(
    format: Format,
    schema: SchemaRef,
    target: Target,
    table: TableOptions,
    out: Box<dyn Write + Send + 'a>,
) -> Result<Box<dyn ResultWriter + 'a>, WriteError> {
    Ok(match format {
        Format::Table => Box::new(table::TableWriter::new(&schema, table, out)),
        Format::Csv => Box::new(delimited::DelimitedWriter::csv(&schema, out)?),
        Format::Tsv => Box::new(delimited::DelimitedWriter::tsv(&schema, out)?),
        Format::Json => Box::new(json::JsonWriter::array(&schema, out)?),
        Format::Ndjson => Box::new(json::JsonWriter::lines(&schema, out)?),
        Format::Markdown => Box::new(markdown::MarkdownWriter::new(&schema, out)?),
        Format::Parquet => Box::new(binary::ParquetWriter::new(&schema, out)?),
        Format::Arrow => match target {
            Target::Stream => Box::new(binary::ArrowStreamWriter::new(&schema, out)?),
            Target::File => Box::new(binary::ArrowFileWriter::new(&schema, out)?),
        },
    })
}

/// The format a file's suffix asks for.
pub fn format_of(file: &Path) -> Option<Format> {
    let suffix = file.extension()?.to_str()?.to_lowercase();
    Some(match suffix.as_str() {
        "txt" => Format::Table,
        "csv" => Format::Csv,
        "tsv" => Format::Tsv,
        "json" => Format::Json,
        "ndjson" | "jsonl" => Format::Ndjson,
        "parquet" => Format::Parquet,
        "arrow" | "feather" | "ipc" => Format::Arrow,
        "md" | "markdown" => Format::Markdown,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
