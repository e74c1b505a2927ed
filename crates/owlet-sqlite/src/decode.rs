//! SQLite rows to Arrow batches, every value checked against what its column promises.
//! Must never know a connection.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder,
    Int64Builder, RecordBatch, RecordBatchOptions, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Schema, SchemaRef, TimeUnit};
use owlet_connector::{ConnectorError, Result};
use owlet_remote_sql::sqlite::column::INFERENCE;
use rusqlite::types::ValueRef;
use serde::{Deserialize, Serialize};

use crate::values::{
    Zone, describe, read_any_text, read_boolean, read_date, read_decimal, read_double,
    read_timestamp,
};

/// Where an output column's values come from, for errors and for reading untyped columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ColumnSource {
    /// Table, or empty for a computed column.
    pub table: String,
    /// Column name or a word for a computed column.
    pub column: String,
    /// Any text or number is read as text.
    pub untyped: bool,
    /// Its type follows from its first values.
    pub inferred: bool,
}

/// Collects rows into batches.
pub(crate) struct Decoder {
    schema: SchemaRef,
    columns: Vec<ColumnDecoder>,
    sources: Vec<ColumnSource>,
    rows: usize,
    bytes: usize,
}

/// A row that could not be read: which column, and why.
pub(crate) struct Unfit {
    pub column: usize,
    pub message: String,
}

impl Decoder {
    /// A decoder for batches of this schema.
    pub fn new(schema: &Schema, sources: &[ColumnSource], capacity: usize) -> Result<Self> {
        let columns = schema
            .fields()
            .iter()
            .zip(sources)
            .map(|(field, source)| ColumnDecoder::new(field.data_type(), source, capacity))
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            schema: Arc::new(schema.clone()),
            columns,
            sources: sources.to_vec(),
            rows: 0,
            bytes: 0,
        })
    }

    /// Rows collected for the next batch.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Payload bytes collected for the next batch.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds a row.
    pub fn append<'a>(
        &mut self,
        value: impl Fn(usize) -> rusqlite::Result<ValueRef<'a>>,
    ) -> rusqlite::Result<Result<(), Unfit>> {
        for position in 0..self.columns.len() {
            let stored = value(position)?;
            self.bytes += payload_bytes(stored);
            if matches!(stored, ValueRef::Null) && !self.schema.field(position).is_nullable() {
                let message = "NULL in a column that is declared NOT NULL".to_owned();
                return Ok(Err(Unfit {
                    column: position,
                    message,
                }));
            }
            if !self.columns[position].append(stored) {
                let expected = self.columns[position].expectation();
                let mut message = format!("{}, where {expected} is expected", describe(stored));
                if self.sources[position].inferred {
                    message.push_str("; ");
                    message.push_str(INFERENCE);
                }
                return Ok(Err(Unfit {
                    column: position,
                    message,
                }));
            }
        }
        self.rows += 1;
        Ok(Ok(()))
    }

    /// The error for a row that could not be read; `key` is its row number, if known.
    pub fn error(&self, unfit: Unfit, key: Option<i64>, catalog: &str) -> ConnectorError {
        let stored = self.sources.get(unfit.column);
        let Some(source) = stored.filter(|source| !source.table.is_empty()) else {
            return ConnectorError::Source {
                catalog: catalog.to_owned(),
                code: None,
                message: format!("a computed value does not fit: {}", unfit.message),
            };
        };
        ConnectorError::Value {
            table: source.table.clone(),
            column: source.column.clone(),
            key: key.map(|key| format!("rowid {key}")),
            message: unfit.message,
        }
    }

    /// The rows collected so far as a batch.
    pub fn finish(&mut self) -> Result<RecordBatch> {
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let arrays = self
            .columns
            .iter_mut()
            .map(ColumnDecoder::finish)
            .collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
            .map_err(|error| ConnectorError::Internal(format!("a batch of SQLite rows: {error}")))
    }
}

/// Builds one column. Types that differ only in layout are built in the plain one and cast.
struct ColumnDecoder {
    builder: Builder,
    data_type: DataType,
}

enum Builder {
    Integer(Int64Builder),
    Double(Float64Builder),
    Boolean(BooleanBuilder),
    Text(StringBuilder),
    AnyText(StringBuilder),
    Blob(BinaryBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder, Zone),
    Decimal(Decimal128Builder, u8, i8),
}

impl ColumnDecoder {
    fn new(data_type: &DataType, source: &ColumnSource, capacity: usize) -> Result<Self> {
        let builder = match data_type {
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
                Builder::Integer(Int64Builder::with_capacity(capacity))
            }
            DataType::Float64 => Builder::Double(Float64Builder::with_capacity(capacity)),
            DataType::Boolean => Builder::Boolean(BooleanBuilder::with_capacity(capacity)),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View if source.untyped => {
                Builder::AnyText(StringBuilder::new())
            }
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                Builder::Text(StringBuilder::new())
            }
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
                Builder::Blob(BinaryBuilder::new())
            }
            DataType::Date32 => Builder::Date(Date32Builder::with_capacity(capacity)),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => {
                let accepted = if zone.is_some() {
                    Zone::Any
                } else {
                    Zone::OnlyUtc
                };
                let builder = TimestampMicrosecondBuilder::with_capacity(capacity)
                    .with_data_type(data_type.clone());
                Builder::Timestamp(builder, accepted)
            }
            DataType::Decimal128(precision, scale) => {
                let builder =
                    Decimal128Builder::with_capacity(capacity).with_data_type(data_type.clone());
                Builder::Decimal(builder, *precision, *scale)
            }
            other => {
                return Err(ConnectorError::Internal(format!(
                    "SQLite has no values of type {other}"
                )));
            }
        };
        Ok(Self {
            builder,
            data_type: data_type.clone(),
        })
    }

    /// Whether the value fits.
    fn append(&mut self, value: ValueRef<'_>) -> bool {
        if matches!(value, ValueRef::Null) {
            self.append_null();
            return true;
        }
        match &mut self.builder {
            Builder::Integer(builder) => match value {
                ValueRef::Integer(number) if integer_fits(number, &self.data_type) => {
                    builder.append_value(number)
                }
                _ => return false,
            },
            Builder::Double(builder) => match read_double(value) {
                Some(number) => builder.append_value(number),
                None => return false,
            },
            Builder::Boolean(builder) => match read_boolean(value) {
                Some(truth) => builder.append_value(truth),
                None => return false,
            },
            Builder::Text(builder) => match utf8(value) {
                Some(text) => builder.append_value(text),
                None => return false,
            },
            Builder::AnyText(builder) => match read_any_text(value) {
                Some(text) => builder.append_value(text),
                None => return false,
            },
            Builder::Blob(builder) => match value {
                ValueRef::Blob(bytes) => builder.append_value(bytes),
                _ => return false,
            },
            Builder::Date(builder) => match utf8(value).and_then(read_date) {
                Some(days) => builder.append_value(days),
                None => return false,
            },
            Builder::Timestamp(builder, zone) => {
                match utf8(value).and_then(|text| read_timestamp(text, *zone)) {
                    Some(microseconds) => builder.append_value(microseconds),
                    None => return false,
                }
            }
            Builder::Decimal(builder, precision, scale) => {
                match read_decimal(value, *precision, *scale) {
                    Some(unscaled) => builder.append_value(unscaled),
                    None => return false,
                }
            }
        }
        true
    }

    fn append_null(&mut self) {
        match &mut self.builder {
            Builder::Integer(builder) => builder.append_null(),
            Builder::Double(builder) => builder.append_null(),
            Builder::Boolean(builder) => builder.append_null(),
            Builder::Text(builder) | Builder::AnyText(builder) => builder.append_null(),
            Builder::Blob(builder) => builder.append_null(),
            Builder::Date(builder) => builder.append_null(),
            Builder::Timestamp(builder, _) => builder.append_null(),
            Builder::Decimal(builder, ..) => builder.append_null(),
        }
    }

    fn expectation(&self) -> String {
        match &self.builder {
            Builder::Integer(_) => format!("an integer ({})", self.data_type),
            Builder::Double(_) => "a double, or an integer that is exact as one,".to_owned(),
            Builder::Boolean(_) => "the integer 0 or 1".to_owned(),
            Builder::Text(_) => "a UTF-8 text".to_owned(),
            Builder::AnyText(_) => "a text or a number".to_owned(),
            Builder::Blob(_) => "a blob".to_owned(),
            Builder::Date(_) => "a text YYYY-MM-DD".to_owned(),
            Builder::Timestamp(_, Zone::OnlyUtc) => {
                "an ISO timestamp, to the microsecond and in no zone but UTC,".to_owned()
            }
            Builder::Timestamp(_, Zone::Any) => "an ISO timestamp, to the microsecond,".to_owned(),
            Builder::Decimal(_, precision, scale) => format!("DECIMAL({precision},{scale})"),
        }
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let array: ArrayRef = match &mut self.builder {
            Builder::Integer(builder) => Arc::new(builder.finish()),
            Builder::Double(builder) => Arc::new(builder.finish()),
            Builder::Boolean(builder) => Arc::new(builder.finish()),
            Builder::Text(builder) | Builder::AnyText(builder) => Arc::new(builder.finish()),
            Builder::Blob(builder) => Arc::new(builder.finish()),
            Builder::Date(builder) => Arc::new(builder.finish()),
            Builder::Timestamp(builder, _) => Arc::new(builder.finish()),
            Builder::Decimal(builder, ..) => Arc::new(builder.finish()),
        };
        if array.data_type() == &self.data_type {
            return Ok(array);
        }
        cast(&array, &self.data_type).map_err(|error| {
            ConnectorError::Internal(format!("a column of SQLite values: {error}"))
        })
    }
}

fn utf8<'a>(value: ValueRef<'a>) -> Option<&'a str> {
    match value {
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).ok(),
        _ => None,
    }
}

fn integer_fits(number: i64, data_type: &DataType) -> bool {
    match data_type {
        DataType::Int8 => i8::try_from(number).is_ok(),
        DataType::Int16 => i16::try_from(number).is_ok(),
        DataType::Int32 => i32::try_from(number).is_ok(),
        _ => true,
    }
}

fn payload_bytes(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Null => 0,
        ValueRef::Integer(_) | ValueRef::Real(_) => 8,
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
    }
}
