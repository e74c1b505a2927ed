//! Small answers the engine makes itself (SHOW, DESCRIBE, EXPLAIN): columns of text.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::error::{EngineError, Result};

/// Rows of text cells under named columns.
#[derive(Debug, Clone)]
pub struct TextRows {
    schema: SchemaRef,
    rows: Vec<Vec<Option<String>>>,
}

impl TextRows {
    /// No rows yet.
    pub fn new(columns: &[&str]) -> Self {
        let fields: Vec<Field> = columns
            .iter()
            .map(|name| Field::new(*name, DataType::Utf8, true))
            .collect();
        Self {
            schema: Arc::new(Schema::new(fields)),
            rows: Vec::new(),
        }
    }

    /// Adds a row; missing cells are NULL.
    pub fn push<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.into_iter().map(Some).collect());
    }

    /// The columns.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// As one batch.
    pub fn into_batch(self) -> Result<RecordBatch> {
        let columns = (0..self.schema.fields().len())
            .map(|column| -> ArrayRef {
                let cells = self
                    .rows
                    .iter()
                    .map(|row| row.get(column).cloned().flatten());
                Arc::new(cells.collect::<StringArray>())
            })
            .collect();
        RecordBatch::try_new(self.schema, columns)
            .map_err(|error| EngineError::Internal(error.to_string()))
    }
}
