//! One growing Arrow column for each planned type. Must never know names.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, Decimal128Array, Decimal256Array,
    NullBufferBuilder, PrimitiveArray, StringArray,
};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, Date32Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time64MicrosecondType, TimestampMicrosecondType, i256,
};
use arrow_schema::{DataType, TimeUnit};
use mysql_async::consts::ColumnType;
use mysql_async::{Column, Value};

use super::{Problem, number, temporal};
use crate::options::ZeroDatePolicy;

/// Bytes of the spatial reference number before a geometry's well-known binary.
const SRID_BYTES: usize = 4;

/// A column under construction.
#[derive(Debug)]
pub(super) struct ColumnDecoder {
    values: Values,
    nulls: NullBufferBuilder,
    wire: Wire,
    policy: ZeroDatePolicy,
    capacity: usize,
}

/// What one value did to the column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pushed {
    /// Its size.
    pub(super) bytes: usize,
    /// It became NULL by policy.
    pub(super) nulled: bool,
}

/// What bytes on the wire mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wire {
    /// Text, bytes, or a number's text.
    Plain,
    /// A bit string.
    Bits,
    /// A geometry with its spatial reference number.
    Geometry,
}

/// Values so far. NULLs occupy a place like any value.
#[derive(Debug)]
enum Values {
    Boolean(BooleanBufferBuilder),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Decimal128 {
        values: Vec<i128>,
        precision: u8,
        scale: i8,
    },
    Decimal256 {
        values: Vec<i256>,
        precision: u8,
        scale: i8,
    },
    Text(Bytes),
    Binary(Bytes),
    Date(Vec<i32>),
    Timestamp {
        values: Vec<i64>,
        zone: Option<Arc<str>>,
    },
    Time(Vec<i64>),
}

/// Values of varying length, end to end.
#[derive(Debug)]
struct Bytes {
    data: Vec<u8>,
    offsets: Vec<i32>,
}

impl Bytes {
    fn new(capacity: usize) -> Self {
        let mut offsets = Vec::with_capacity(capacity + 1);
        offsets.push(0);
        Self {
            data: Vec::with_capacity(capacity * 8),
            offsets,
        }
    }

    #[inline]
    fn push(&mut self, value: &[u8]) -> Result<(), Problem> {
        self.data.extend_from_slice(value);
        match i32::try_from(self.data.len()) {
            Ok(end) => {
                self.offsets.push(end);
                Ok(())
            }
            Err(_) => Err(Problem::new(
                "the values of one batch exceed 2 GiB; read fewer columns",
            )),
        }
    }

    #[inline]
    fn push_null(&mut self) {
        let end = self.offsets.last().copied().unwrap_or(0);
        self.offsets.push(end);
    }

    fn take(&mut self, capacity: usize) -> (OffsetBuffer<i32>, Buffer) {
        let next = Self {
            data: Vec::with_capacity(self.data.len()),
            offsets: Self::new(capacity).offsets,
        };
        let full = std::mem::replace(self, next);
        (
            OffsetBuffer::new(ScalarBuffer::from(full.offsets)),
            Buffer::from_vec(full.data),
        )
    }
}

impl ColumnDecoder {
    /// `None` when what the server announced cannot become this Arrow type.
    pub(super) fn new(
        data_type: &DataType,
        announced: &Column,
        policy: ZeroDatePolicy,
        capacity: usize,
    ) -> Option<Self> {
        let wire = match announced.column_type() {
            ColumnType::MYSQL_TYPE_BIT => Wire::Bits,
            ColumnType::MYSQL_TYPE_GEOMETRY => Wire::Geometry,
            _ => Wire::Plain,
        };
        let values = Values::new(data_type, capacity)?;
        accepts(&values, announced.column_type()).then(|| Self {
            values,
            nulls: NullBufferBuilder::new(capacity),
            wire,
            policy,
            capacity,
        })
    }

    #[inline]
    pub(super) fn push(&mut self, value: &Value) -> Result<Pushed, Problem> {
        if *value == Value::NULL {
            self.push_null();
            return Ok(Pushed {
                bytes: 0,
                nulled: false,
            });
        }
        let bytes = match value {
            Value::Bytes(bytes) => bytes.len(),
            _ => 8,
        };
        match self.push_value(value)? {
            Fit::Fits => {
                self.nulls.append_non_null();
                Ok(Pushed {
                    bytes,
                    nulled: false,
                })
            }
            Fit::Unrepresentable(what) => match self.policy {
                ZeroDatePolicy::Null => {
                    self.push_null();
                    Ok(Pushed {
                        bytes,
                        nulled: true,
                    })
                }
                ZeroDatePolicy::Error => Err(Problem::new(format!(
                    "{what}; set zero_dates = \"null\" in the catalog to read such values as NULL"
                ))),
            },
        }
    }

    #[inline]
    fn push_value(&mut self, value: &Value) -> Result<Fit, Problem> {
        let wire = self.wire;
        match &mut self.values {
            Values::Boolean(values) => values.append(integer(value, wire)? != 0),
            Values::Int8(values) => values.push(narrow(integer(value, wire)?)?),
            Values::Int16(values) => values.push(narrow(integer(value, wire)?)?),
            Values::Int32(values) => values.push(narrow(integer(value, wire)?)?),
            Values::Int64(values) => values.push(match value {
                Value::Int(value) => *value,
                other => narrow(integer(other, wire)?)?,
            }),
            Values::Float32(values) => values.push(match value {
                Value::Float(value) => *value,
                Value::Double(value) => *value as f32,
                other => return Err(unexpected(other)),
            }),
            Values::Float64(values) => values.push(match value {
                Value::Double(value) => *value,
                Value::Float(value) => f64::from(*value),
                other => return Err(unexpected(other)),
            }),
            Values::Decimal128 {
                values,
                precision,
                scale,
            } => values.push(match (value, wire) {
                (Value::Bytes(text), Wire::Plain) => number::decimal128(text, *precision, *scale)?,
                (other, wire) => number::scaled(integer(other, wire)?, *precision, *scale)?,
            }),
            Values::Decimal256 {
                values,
                precision,
                scale,
            } => values.push(match value {
                Value::Bytes(text) => number::decimal256(text, *precision, *scale)?,
                other => {
                    let text = integer(other, wire)?.to_string();
                    number::decimal256(text.as_bytes(), *precision, *scale)?
                }
            }),
            Values::Text(values) => match value {
                Value::Bytes(bytes) => values.push(bytes)?,
                other => return Err(unexpected(other)),
            },
            Values::Binary(values) => match (value, wire) {
                (Value::Bytes(bytes), Wire::Geometry) => match bytes.get(SRID_BYTES..) {
                    Some(well_known) => values.push(well_known)?,
                    None => return Err(Problem::new("a geometry of fewer than four bytes")),
                },
                (Value::Bytes(bytes), _) => values.push(bytes)?,
                (other, _) => return Err(unexpected(other)),
            },
            Values::Date(values) => match value {
                Value::Date(year, month, day, ..) => match temporal::days(*year, *month, *day) {
                    Some(days) => values.push(days),
                    None => return Ok(zero_date(*year, *month, *day)),
                },
                other => return Err(unexpected(other)),
            },
            Values::Timestamp { values, .. } => match value {
                Value::Date(year, month, day, hour, minute, second, microsecond) => {
                    match temporal::days(*year, *month, *day) {
                        Some(days) => values.push(temporal::microseconds(
                            days,
                            *hour,
                            *minute,
                            *second,
                            *microsecond,
                        )),
                        None => return Ok(zero_date(*year, *month, *day)),
                    }
                }
                other => return Err(unexpected(other)),
            },
            Values::Time(values) => match value {
                Value::Time(false, 0, hour, minute, second, microsecond) if *hour < 24 => {
                    values.push(temporal::microseconds(
                        0,
                        *hour,
                        *minute,
                        *second,
                        *microsecond,
                    ));
                }
                Value::Time(is_negative, days, hour, minute, second, _) => {
                    let sign = if *is_negative { "-" } else { "" };
                    let hours = u64::from(*days) * 24 + u64::from(*hour);
                    return Ok(Fit::Unrepresentable(format!(
                        "{sign}{hours:02}:{minute:02}:{second:02} is no time of day"
                    )));
                }
                other => return Err(unexpected(other)),
            },
        }
        Ok(Fit::Fits)
    }

    fn push_null(&mut self) {
        self.nulls.append_null();
        match &mut self.values {
            Values::Boolean(values) => values.append(false),
            Values::Int8(values) => values.push(0),
            Values::Int16(values) => values.push(0),
            Values::Int32(values) | Values::Date(values) => values.push(0),
            Values::Int64(values) | Values::Timestamp { values, .. } | Values::Time(values) => {
                values.push(0);
            }
            Values::Float32(values) => values.push(0.0),
            Values::Float64(values) => values.push(0.0),
            Values::Decimal128 { values, .. } => values.push(0),
            Values::Decimal256 { values, .. } => values.push(i256::ZERO),
            Values::Text(values) | Values::Binary(values) => values.push_null(),
        }
    }

    /// The values so far as an array.
    pub(super) fn finish(&mut self) -> Result<ArrayRef, Problem> {
        let nulls = self.nulls.finish();
        let capacity = self.capacity;
        let invalid = |error: arrow_schema::ArrowError| Problem::new(error.to_string());
        Ok(match &mut self.values {
            Values::Boolean(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::Int8(values) => primitive::<Int8Type>(values, nulls, capacity),
            Values::Int16(values) => primitive::<Int16Type>(values, nulls, capacity),
            Values::Int32(values) => primitive::<Int32Type>(values, nulls, capacity),
            Values::Int64(values) => primitive::<Int64Type>(values, nulls, capacity),
            Values::Float32(values) => primitive::<Float32Type>(values, nulls, capacity),
            Values::Float64(values) => primitive::<Float64Type>(values, nulls, capacity),
            Values::Date(values) => primitive::<Date32Type>(values, nulls, capacity),
            Values::Time(values) => primitive::<Time64MicrosecondType>(values, nulls, capacity),
            Values::Timestamp { values, zone } => {
                let buffer = ScalarBuffer::from(take(values, capacity));
                Arc::new(
                    PrimitiveArray::<TimestampMicrosecondType>::new(buffer, nulls)
                        .with_timezone_opt(zone.clone()),
                )
            }
            Values::Decimal128 {
                values,
                precision,
                scale,
            } => Arc::new(
                Decimal128Array::new(ScalarBuffer::from(take(values, capacity)), nulls)
                    .with_precision_and_scale(*precision, *scale)
                    .map_err(invalid)?,
            ),
            Values::Decimal256 {
                values,
                precision,
                scale,
            } => Arc::new(
                Decimal256Array::new(ScalarBuffer::from(take(values, capacity)), nulls)
                    .with_precision_and_scale(*precision, *scale)
                    .map_err(invalid)?,
            ),
            Values::Text(values) => {
                let (offsets, data) = values.take(capacity);
                Arc::new(
                    StringArray::try_new(offsets, data, nulls).map_err(|error| {
                        Problem::new(format!("a text is not valid UTF-8: {error}"))
                    })?,
                )
            }
            Values::Binary(values) => {
                let (offsets, data) = values.take(capacity);
                Arc::new(BinaryArray::try_new(offsets, data, nulls).map_err(invalid)?)
            }
        })
    }
}

/// Whether a value has a place in Arrow's type.
enum Fit {
    Fits,
    Unrepresentable(String),
}

impl Values {
    fn new(data_type: &DataType, capacity: usize) -> Option<Self> {
        Some(match data_type {
            DataType::Boolean => Self::Boolean(BooleanBufferBuilder::new(capacity)),
            DataType::Int8 => Self::Int8(Vec::with_capacity(capacity)),
            DataType::Int16 => Self::Int16(Vec::with_capacity(capacity)),
            DataType::Int32 => Self::Int32(Vec::with_capacity(capacity)),
            DataType::Int64 => Self::Int64(Vec::with_capacity(capacity)),
            DataType::Float32 => Self::Float32(Vec::with_capacity(capacity)),
            DataType::Float64 => Self::Float64(Vec::with_capacity(capacity)),
            DataType::Decimal128(precision, scale) if *scale >= 0 => Self::Decimal128 {
                values: Vec::with_capacity(capacity),
                precision: *precision,
                scale: *scale,
            },
            DataType::Decimal256(precision, scale) if *scale >= 0 => Self::Decimal256 {
                values: Vec::with_capacity(capacity),
                precision: *precision,
                scale: *scale,
            },
            DataType::Utf8 => Self::Text(Bytes::new(capacity)),
            DataType::Binary => Self::Binary(Bytes::new(capacity)),
            DataType::Date32 => Self::Date(Vec::with_capacity(capacity)),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => Self::Timestamp {
                values: Vec::with_capacity(capacity),
                zone: zone.clone(),
            },
            DataType::Time64(TimeUnit::Microsecond) => Self::Time(Vec::with_capacity(capacity)),
            _ => return None,
        })
    }
}

/// Whether values of this wire type can be pushed at all. A column of nothing but NULL has a type of its own.
fn accepts(values: &Values, wire: ColumnType) -> bool {
    use ColumnType as C;
    if wire == C::MYSQL_TYPE_NULL {
        return true;
    }
    let is_integer = matches!(
        wire,
        C::MYSQL_TYPE_TINY
            | C::MYSQL_TYPE_SHORT
            | C::MYSQL_TYPE_INT24
            | C::MYSQL_TYPE_LONG
            | C::MYSQL_TYPE_LONGLONG
            | C::MYSQL_TYPE_YEAR
            | C::MYSQL_TYPE_BIT
    );
    let is_decimal = matches!(wire, C::MYSQL_TYPE_DECIMAL | C::MYSQL_TYPE_NEWDECIMAL);
    let is_string = matches!(
        wire,
        C::MYSQL_TYPE_STRING
            | C::MYSQL_TYPE_VAR_STRING
            | C::MYSQL_TYPE_VARCHAR
            | C::MYSQL_TYPE_TINY_BLOB
            | C::MYSQL_TYPE_BLOB
            | C::MYSQL_TYPE_MEDIUM_BLOB
            | C::MYSQL_TYPE_LONG_BLOB
            | C::MYSQL_TYPE_ENUM
            | C::MYSQL_TYPE_SET
            | C::MYSQL_TYPE_JSON
    );
    match values {
        Values::Boolean(_)
        | Values::Int8(_)
        | Values::Int16(_)
        | Values::Int32(_)
        | Values::Int64(_)
        | Values::Decimal128 { .. }
        | Values::Decimal256 { .. } => is_integer || is_decimal,
        Values::Float32(_) | Values::Float64(_) => {
            matches!(wire, C::MYSQL_TYPE_FLOAT | C::MYSQL_TYPE_DOUBLE)
        }
        Values::Text(_) => is_string,
        Values::Binary(_) => is_string || wire == C::MYSQL_TYPE_GEOMETRY,
        Values::Date(_) => matches!(wire, C::MYSQL_TYPE_DATE | C::MYSQL_TYPE_NEWDATE),
        Values::Timestamp { .. } => matches!(
            wire,
            C::MYSQL_TYPE_DATETIME
                | C::MYSQL_TYPE_DATETIME2
                | C::MYSQL_TYPE_TIMESTAMP
                | C::MYSQL_TYPE_TIMESTAMP2
        ),
        Values::Time(_) => matches!(wire, C::MYSQL_TYPE_TIME | C::MYSQL_TYPE_TIME2),
    }
}

#[inline]
fn integer(value: &Value, wire: Wire) -> Result<i128, Problem> {
    match (value, wire) {
        (Value::Int(value), _) => Ok(i128::from(*value)),
        (Value::UInt(value), _) => Ok(i128::from(*value)),
        (Value::Bytes(bytes), Wire::Bits) => number::bits(bytes),
        (Value::Bytes(text), Wire::Plain) => number::integer(text),
        (other, _) => Err(unexpected(other)),
    }
}

#[inline]
fn narrow<T: TryFrom<i128>>(value: i128) -> Result<T, Problem> {
    T::try_from(value)
        .map_err(|_| Problem::new(format!("{value} does not fit the planned integer")))
}

fn take<T>(values: &mut Vec<T>, capacity: usize) -> Vec<T> {
    std::mem::replace(values, Vec::with_capacity(capacity))
}

fn primitive<T: ArrowPrimitiveType>(
    values: &mut Vec<T::Native>,
    nulls: Option<arrow::buffer::NullBuffer>,
    capacity: usize,
) -> ArrayRef {
    let buffer = ScalarBuffer::from(take(values, capacity));
    Arc::new(PrimitiveArray::<T>::new(buffer, nulls))
}

#[cold]
fn zero_date(year: u16, month: u8, day: u8) -> Fit {
    Fit::Unrepresentable(format!(
        "{} is no date",
        temporal::spelled(year, month, day)
    ))
}

#[cold]
fn unexpected(value: &Value) -> Problem {
    let kind = match value {
        Value::NULL => "NULL",
        Value::Bytes(_) => "text or bytes",
        Value::Int(_) | Value::UInt(_) => "an integer",
        Value::Float(_) | Value::Double(_) => "a double",
        Value::Date(..) => "a date",
        Value::Time(..) => "a time",
    };
    Problem::new(format!("the server sent {kind}, which was not announced"))
}
