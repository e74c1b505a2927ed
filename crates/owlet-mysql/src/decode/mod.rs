//! Rows of the binary protocol to Arrow batches. Must never know connections.

mod column;
mod number;
mod temporal;

use std::fmt;

use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use mysql_async::{Column, Row};
use owlet_connector::ConnectorError;

use crate::options::ZeroDatePolicy;
use column::ColumnDecoder;

/// Whose values a column holds, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ColumnOrigin {
    /// Schema and table.
    pub(crate) table: String,
    /// Column in the source's spelling.
    pub(crate) column: String,
}

/// Why a value cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem(String);

impl Problem {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Collects rows until a batch is taken.
#[derive(Debug)]
pub(crate) struct BatchDecoder {
    schema: SchemaRef,
    origins: Vec<ColumnOrigin>,
    columns: Vec<ColumnDecoder>,
    rows: usize,
    bytes: usize,
    nulled: u64,
}

impl BatchDecoder {
    /// A decoder for what the server announced. An error is a sentence: which column is not as planned.
    pub(crate) fn new(
        schema: SchemaRef,
        origins: Vec<ColumnOrigin>,
        announced: &[Column],
        policy: ZeroDatePolicy,
        capacity: usize,
    ) -> Result<Self, String> {
        // A query whose rows have no columns answers with one that is not looked at.
        let expected = schema.fields().len().max(1);
        if announced.len() != expected {
            return Err(format!("{} columns instead of {expected}", announced.len()));
        }
        let columns = schema
            .fields()
            .iter()
            .zip(announced)
            .zip(&origins)
            .map(|((field, column), origin)| {
                ColumnDecoder::new(field.data_type(), column, policy, capacity).ok_or_else(|| {
                    format!(
                        "column {} is now of type {:?}, not {}",
                        origin.column,
                        column.column_type(),
                        field.data_type()
                    )
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            schema,
            origins,
            columns,
            rows: 0,
            bytes: 0,
            nulled: 0,
        })
    }

    /// Rows collected since the last batch.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of values collected since the last batch.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Values that became NULL by the policy for zero dates, since the last call.
    pub(crate) fn take_nulled(&mut self) -> u64 {
        std::mem::take(&mut self.nulled)
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, row: &Row) -> Result<(), ConnectorError> {
        for (position, column) in self.columns.iter_mut().enumerate() {
            let pushed = match row.as_ref(position) {
                Some(value) => column.push(value),
                None => Err(Problem::new("the row has too few values")),
            };
            match pushed {
                Ok(pushed) => {
                    self.bytes += pushed.bytes;
                    self.nulled += u64::from(pushed.nulled);
                }
                Err(problem) => return Err(value_error(&self.origins[position], &problem)),
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// The rows so far as a batch.
    pub(crate) fn finish_batch(&mut self) -> Result<RecordBatch, ConnectorError> {
        let mut arrays = Vec::with_capacity(self.columns.len());
        for (column, origin) in self.columns.iter_mut().zip(&self.origins) {
            arrays.push(
                column
                    .finish()
                    .map_err(|problem| value_error(origin, &problem))?,
            );
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.rows = 0;
        self.bytes = 0;
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .map_err(|error| ConnectorError::Internal(format!("MySQL batch: {error}")))
    }
}

#[cold]
fn value_error(origin: &ColumnOrigin, problem: &Problem) -> ConnectorError {
    ConnectorError::Value {
        table: origin.table.clone(),
        column: origin.column.clone(),
        key: None,
        message: problem.to_string(),
    }
}
