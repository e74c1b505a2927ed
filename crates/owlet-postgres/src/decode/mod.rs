//! Fields of a COPY stream into Arrow batches, every column by a decoder of its own type.
//! Must never do I/O.

mod column;
mod numeric;
mod temporal;

use std::borrow::Cow;

use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use owlet_connector::ConnectorError;
use tokio_postgres::types::Type;

use crate::copy::{FieldSink, Malformed};
use crate::options::UnrepresentablePolicy;
use crate::rows::RowBlock;

use column::ColumnDecoder;

/// Why a value cannot be represented; the column is added by [`BatchDecoder`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
struct Problem {
    message: Cow<'static, str>,
    advice: Advice,
}

/// What to do about a problem, where that depends on whose value it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Advice {
    /// The message says it.
    InMessage,
    /// The decimal type is too small.
    LargerDecimal,
}

impl Problem {
    fn new(message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            message: message.into(),
            advice: Advice::InMessage,
        }
    }
}

/// Whose values an output column holds, for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ColumnOrigin {
    pub(crate) table: String,
    pub(crate) column: String,
    pub(crate) kind: OriginKind,
}

/// What an output column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OriginKind {
    /// A column as it is stored.
    Column,
    /// Computed by the server.
    Expression,
}

/// Why decoding stopped.
#[derive(Debug)]
pub(crate) enum DecodeError {
    /// A value of a column, or the whole stream, is not what it should be.
    Connector(ConnectorError),
    Malformed(Malformed),
}

impl From<Malformed> for DecodeError {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error)
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
}

impl BatchDecoder {
    /// A decoder from the wire types the server announced to the schema's Arrow types. An error is a sentence:
    /// which column is not of the planned type.
    pub(crate) fn new(
        schema: SchemaRef,
        origins: Vec<ColumnOrigin>,
        wire_types: &[Type],
        policy: UnrepresentablePolicy,
        capacity: usize,
    ) -> Result<Self, String> {
        if wire_types.len() != schema.fields().len() {
            return Err(format!(
                "{} columns instead of {}",
                wire_types.len(),
                schema.fields().len()
            ));
        }
        let columns = schema
            .fields()
            .iter()
            .zip(wire_types)
            .zip(&origins)
            .map(|((field, wire_type), origin)| {
                ColumnDecoder::new(field.data_type(), wire_type, policy, capacity).ok_or_else(
                    || {
                        format!(
                            "column {} is now of type {wire_type}, not {}",
                            origin.column,
                            field.data_type()
                        )
                    },
                )
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            schema,
            origins,
            columns,
            rows: 0,
            bytes: 0,
        })
    }

    /// Number of fields of every row.
    pub(crate) fn width(&self) -> usize {
        self.columns.len()
    }

    /// Rows collected since the last batch.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes of values collected since the last batch.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds the rows of a block that were found in these messages.
    pub(crate) fn push_rows(
        &mut self,
        messages: &[u8],
        block: &RowBlock,
    ) -> Result<(), DecodeError> {
        for (position, column) in self.columns.iter_mut().enumerate() {
            column
                .push_all(block.column(messages, position))
                .map_err(|problem| value_error(&self.origins[position], &problem))
                .map_err(DecodeError::Connector)?;
        }
        self.rows += block.rows();
        self.bytes += block.value_bytes();
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
            .map_err(|error| ConnectorError::Internal(format!("PostgreSQL batch: {error}")))
    }
}

impl FieldSink for BatchDecoder {
    type Error = DecodeError;

    #[inline]
    fn width(&self) -> usize {
        self.columns.len()
    }

    #[inline]
    fn field(&mut self, column: usize, value: Option<&[u8]>) -> Result<(), DecodeError> {
        self.bytes += value.map_or(0, <[u8]>::len);
        self.columns[column]
            .push(value)
            .map_err(|problem| DecodeError::Connector(value_error(&self.origins[column], &problem)))
    }

    #[inline]
    fn end_of_row(&mut self) {
        self.rows += 1;
    }
}

#[cold]
fn value_error(origin: &ColumnOrigin, problem: &Problem) -> ConnectorError {
    ConnectorError::Value {
        table: origin.table.clone(),
        column: origin.column.clone(),
        key: None,
        message: match (problem.advice, origin.kind) {
            (Advice::InMessage, _) => problem.to_string(),
            (Advice::LargerDecimal, OriginKind::Column) => format!(
                "{problem}; give the column a precision, set the catalog's numeric_scale, or cast it in a view"
            ),
            (Advice::LargerDecimal, OriginKind::Expression) => format!(
                "{problem}; cast what it is computed from to double, or to a decimal of fewer digits"
            ),
        },
    }
}

#[inline]
fn fixed<const LENGTH: usize>(bytes: &[u8]) -> Result<[u8; LENGTH], Problem> {
    bytes
        .try_into()
        .map_err(|_| wrong_length(LENGTH, bytes.len()))
}

#[cold]
fn wrong_length(expected: usize, actual: usize) -> Problem {
    Problem::new(format!("{actual} bytes where the type has {expected}"))
}
