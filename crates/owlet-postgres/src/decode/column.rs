//! One growing Arrow column for each pair of wire type and Arrow type. Must never know names.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, Decimal128Array, Decimal256Array,
    ListArray, NullBufferBuilder, PrimitiveArray, StringArray,
};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, Date32Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
    IntervalMonthDayNano, IntervalMonthDayNanoType, Time64MicrosecondType,
    TimestampMicrosecondType, i256,
};
use arrow_schema::{DataType, FieldRef, TimeUnit};
use tokio_postgres::types::{Kind, Type};

use super::{Problem, fixed, numeric, temporal};
use crate::options::UnrepresentablePolicy;
use crate::rows::Fields;
use crate::types::oid;

/// A column under construction.
#[derive(Debug)]
pub(super) struct ColumnDecoder {
    values: Values,
    nulls: NullBufferBuilder,
    policy: UnrepresentablePolicy,
    capacity: usize,
}

/// Values so far, by the pair of wire and Arrow type they are for. NULLs occupy a place like any value.
#[derive(Debug)]
enum Values {
    Boolean(BooleanBufferBuilder),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    /// `oid`: 32 bits without sign on the wire.
    Oid(Vec<i64>),
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
    /// `char(n)`: blanks at the end are padding.
    BlankPadded(Bytes),
    /// `jsonb`: a version byte, then text.
    Jsonb(Bytes),
    Uuid(Bytes),
    Binary(Bytes),
    Date(Vec<i32>),
    Timestamp {
        values: Vec<i64>,
        zone: Option<Arc<str>>,
    },
    Time(Vec<i64>),
    Interval(Vec<IntervalMonthDayNano>),
    List {
        element: FieldRef,
        element_oid: u32,
        offsets: Vec<i32>,
        child: Box<ColumnDecoder>,
    },
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
        self.end_value()
    }

    #[inline]
    fn end_value(&mut self) -> Result<(), Problem> {
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
    /// `None` when values of this wire type cannot become this Arrow type without a cast at the server.
    pub(super) fn new(
        data_type: &DataType,
        wire_type: &Type,
        policy: UnrepresentablePolicy,
        capacity: usize,
    ) -> Option<Self> {
        let values = Values::new(data_type, wire_type, policy, capacity)?;
        Some(Self {
            values,
            nulls: NullBufferBuilder::new(capacity),
            policy,
            capacity,
        })
    }

    /// Adds one field; `None` is NULL.
    pub(super) fn push(&mut self, field: Option<&[u8]>) -> Result<(), Problem> {
        self.extend(1, std::iter::once(field))
    }

    /// Adds fields.
    pub(super) fn push_all(&mut self, fields: Fields<'_>) -> Result<(), Problem> {
        self.extend(fields.len(), fields.iter())
    }

    /// One loop for each kind of values.
    fn extend<'a>(
        &mut self,
        count: usize,
        fields: impl Iterator<Item = Option<&'a [u8]>>,
    ) -> Result<(), Problem> {
        let policy = self.policy;
        let nulls = &mut self.nulls;
        match &mut self.values {
            Values::Boolean(values) => append(nulls, fields, |field| {
                let value = field.map(fixed).transpose()?;
                values.append(value.is_some_and(|byte| u8::from_be_bytes(byte) != 0));
                Ok(value.is_some())
            }),
            Values::Int16(values) => append_values(nulls, values, count, fields, |bytes| {
                Ok(Some(i16::from_be_bytes(fixed(bytes)?)))
            }),
            Values::Int32(values) => append_values(nulls, values, count, fields, |bytes| {
                Ok(Some(i32::from_be_bytes(fixed(bytes)?)))
            }),
            Values::Int64(values) => append_values(nulls, values, count, fields, |bytes| {
                Ok(Some(i64::from_be_bytes(fixed(bytes)?)))
            }),
            Values::Oid(values) => append_values(nulls, values, count, fields, |bytes| {
                Ok(Some(u32::from_be_bytes(fixed(bytes)?).into()))
            }),
            // PostgreSQL knows one NaN, the largest value; Arrow's order puts one with the sign bit first.
            Values::Float32(values) => append_values(nulls, values, count, fields, |bytes| {
                let value = f32::from_be_bytes(fixed(bytes)?);
                Ok(Some(if value.is_nan() { f32::NAN } else { value }))
            }),
            Values::Float64(values) => append_values(nulls, values, count, fields, |bytes| {
                let value = f64::from_be_bytes(fixed(bytes)?);
                Ok(Some(if value.is_nan() { f64::NAN } else { value }))
            }),
            Values::Decimal128 {
                values,
                precision,
                scale,
            } => append_values(nulls, values, count, fields, |bytes| {
                numeric::to_decimal128(bytes, *precision, *scale).map(Some)
            }),
            Values::Decimal256 {
                values,
                precision,
                scale,
            } => append_values(nulls, values, count, fields, |bytes| {
                numeric::to_decimal256(bytes, *precision, *scale).map(Some)
            }),
            Values::Text(values) | Values::Binary(values) => {
                append_bytes(nulls, values, fields, Ok)
            }
            Values::BlankPadded(values) => append_bytes(nulls, values, fields, |bytes| {
                let last = bytes.iter().rposition(|byte| *byte != b' ');
                Ok(&bytes[..last.map_or(0, |last| last + 1)])
            }),
            Values::Jsonb(values) => {
                append_bytes(nulls, values, fields, |bytes| match bytes.split_first() {
                    Some((1, text)) => Ok(text),
                    _ => Err(Problem::new("an unknown version of jsonb's binary form")),
                })
            }
            Values::Uuid(values) => append(nulls, fields, |field| {
                match field {
                    Some(bytes) => values.push(&uuid_text(&fixed(bytes)?))?,
                    None => values.push_null(),
                }
                Ok(field.is_some())
            }),
            Values::Date(values) => append_values(nulls, values, count, fields, |bytes| {
                temporal::date(bytes, policy)
            }),
            Values::Timestamp { values, .. } => {
                append_values(nulls, values, count, fields, |bytes| {
                    temporal::timestamp(bytes, policy)
                })
            }
            Values::Time(values) => append_values(nulls, values, count, fields, |bytes| {
                temporal::time(bytes, policy)
            }),
            Values::Interval(values) => append_values(nulls, values, count, fields, |bytes| {
                temporal::interval(bytes, policy)
            }),
            Values::List {
                element_oid,
                offsets,
                child,
                ..
            } => append(nulls, fields, |field| {
                if let Some(bytes) = field {
                    push_array(bytes, *element_oid, child)?;
                }
                offsets.push(list_end(child)?);
                Ok(field.is_some())
            }),
        }
    }

    fn len(&self) -> usize {
        self.nulls.len()
    }

    /// The values so far; the decoder starts over.
    pub(super) fn finish(&mut self) -> Result<ArrayRef, Problem> {
        let nulls = self.nulls.finish();
        let capacity = self.capacity;
        Ok(match &mut self.values {
            Values::Boolean(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::Int16(values) => primitive::<Int16Type>(values, capacity, nulls),
            Values::Int32(values) => primitive::<Int32Type>(values, capacity, nulls),
            Values::Int64(values) | Values::Oid(values) => {
                primitive::<Int64Type>(values, capacity, nulls)
            }
            Values::Float32(values) => primitive::<Float32Type>(values, capacity, nulls),
            Values::Float64(values) => primitive::<Float64Type>(values, capacity, nulls),
            Values::Decimal128 {
                values,
                precision,
                scale,
            } => {
                let array = Decimal128Array::new(next_buffer(values, capacity), nulls);
                Arc::new(
                    array
                        .with_precision_and_scale(*precision, *scale)
                        .map_err(internal)?,
                )
            }
            Values::Decimal256 {
                values,
                precision,
                scale,
            } => {
                let array = Decimal256Array::new(next_buffer(values, capacity), nulls);
                Arc::new(
                    array
                        .with_precision_and_scale(*precision, *scale)
                        .map_err(internal)?,
                )
            }
            Values::Text(values)
            | Values::BlankPadded(values)
            | Values::Jsonb(values)
            | Values::Uuid(values) => {
                let (offsets, data) = values.take(capacity);
                let array = StringArray::try_new(offsets, data, nulls).map_err(|_| {
                    Problem::new(
                        "text that is not UTF-8 (a database in SQL_ASCII may hold any bytes)",
                    )
                })?;
                Arc::new(array)
            }
            Values::Binary(values) => {
                let (offsets, data) = values.take(capacity);
                Arc::new(BinaryArray::try_new(offsets, data, nulls).map_err(internal)?)
            }
            Values::Date(values) => primitive::<Date32Type>(values, capacity, nulls),
            Values::Timestamp { values, zone } => {
                let array = PrimitiveArray::<TimestampMicrosecondType>::new(
                    next_buffer(values, capacity),
                    nulls,
                );
                Arc::new(array.with_timezone_opt(zone.clone()))
            }
            Values::Time(values) => primitive::<Time64MicrosecondType>(values, capacity, nulls),
            Values::Interval(values) => {
                primitive::<IntervalMonthDayNanoType>(values, capacity, nulls)
            }
            Values::List {
                element,
                offsets,
                child,
                ..
            } => {
                let elements = child.finish()?;
                let full = std::mem::replace(offsets, vec![0]);
                let offsets = OffsetBuffer::new(ScalarBuffer::from(full));
                Arc::new(
                    ListArray::try_new(Arc::clone(element), offsets, elements, nulls)
                        .map_err(internal)?,
                )
            }
        })
    }
}

impl Values {
    fn new(
        data_type: &DataType,
        wire_type: &Type,
        policy: UnrepresentablePolicy,
        capacity: usize,
    ) -> Option<Self> {
        Some(match (data_type, wire_type.oid()) {
            (DataType::Boolean, oid::BOOL) => Self::Boolean(BooleanBufferBuilder::new(capacity)),
            (DataType::Int16, oid::INT2) => Self::Int16(Vec::with_capacity(capacity)),
            (DataType::Int32, oid::INT4) => Self::Int32(Vec::with_capacity(capacity)),
            (DataType::Int64, oid::INT8) => Self::Int64(Vec::with_capacity(capacity)),
            (DataType::Int64, oid::OID) => Self::Oid(Vec::with_capacity(capacity)),
            (DataType::Float32, oid::FLOAT4) => Self::Float32(Vec::with_capacity(capacity)),
            (DataType::Float64, oid::FLOAT8) => Self::Float64(Vec::with_capacity(capacity)),
            (DataType::Decimal128(precision, scale), oid::NUMERIC) => Self::Decimal128 {
                values: Vec::with_capacity(capacity),
                precision: *precision,
                scale: *scale,
            },
            (DataType::Decimal256(precision, scale), oid::NUMERIC) => Self::Decimal256 {
                values: Vec::with_capacity(capacity),
                precision: *precision,
                scale: *scale,
            },
            (DataType::Utf8, oid::BPCHAR) => Self::BlankPadded(Bytes::new(capacity)),
            (DataType::Utf8, oid::JSONB) => Self::Jsonb(Bytes::new(capacity)),
            (DataType::Utf8, oid::UUID) => Self::Uuid(Bytes::new(capacity)),
            (DataType::Utf8, _) if is_text_on_the_wire(wire_type) => {
                Self::Text(Bytes::new(capacity))
            }
            (DataType::Binary, oid::BYTEA) => Self::Binary(Bytes::new(capacity)),
            (DataType::Date32, oid::DATE) => Self::Date(Vec::with_capacity(capacity)),
            (DataType::Timestamp(TimeUnit::Microsecond, None), oid::TIMESTAMP) => Self::Timestamp {
                values: Vec::with_capacity(capacity),
                zone: None,
            },
            (DataType::Timestamp(TimeUnit::Microsecond, Some(zone)), oid::TIMESTAMPTZ) => {
                Self::Timestamp {
                    values: Vec::with_capacity(capacity),
                    zone: Some(Arc::clone(zone)),
                }
            }
            (DataType::Time64(TimeUnit::Microsecond), oid::TIME) => {
                Self::Time(Vec::with_capacity(capacity))
            }
            (DataType::Interval(arrow_schema::IntervalUnit::MonthDayNano), oid::INTERVAL) => {
                Self::Interval(Vec::with_capacity(capacity))
            }
            (DataType::List(element), _) => {
                let Kind::Array(element_type) = wire_type.kind() else {
                    return None;
                };
                Self::List {
                    element: Arc::clone(element),
                    element_oid: element_type.oid(),
                    offsets: vec![0],
                    child: Box::new(ColumnDecoder::new(
                        element.data_type(),
                        without_domains(element_type),
                        policy,
                        capacity,
                    )?),
                }
            }
            _ => return None,
        })
    }
}

/// What a domain is made of; its values travel in the same form.
fn without_domains(wire_type: &Type) -> &Type {
    match wire_type.kind() {
        Kind::Domain(base) => without_domains(base),
        _ => wire_type,
    }
}

/// Types whose binary form is their text.
fn is_text_on_the_wire(wire_type: &Type) -> bool {
    match wire_type.oid() {
        oid::TEXT | oid::VARCHAR | oid::NAME | oid::JSON | oid::XML | oid::UNKNOWN => true,
        _ => matches!(wire_type.kind(), Kind::Enum(_)) || wire_type.name() == "citext",
    }
}

/// Array header: dimensions, whether there are NULLs, element type; length and lower bound of each dimension
/// (`array_send` in PostgreSQL's arrayfuncs.c).
fn push_array(bytes: &[u8], element_oid: u32, child: &mut ColumnDecoder) -> Result<(), Problem> {
    let Some((header, rest)) = bytes.split_first_chunk::<12>() else {
        return Err(cut_array());
    };
    let word = |at: usize| {
        i32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    if word(8) as u32 != element_oid {
        return Err(Problem::new(format!(
            "an array of type {} among arrays of type {element_oid}",
            word(8) as u32
        )));
    }
    match word(0) {
        0 => return Ok(()),
        1 => {}
        dimensions => {
            return Err(Problem::new(format!(
                "an array of {dimensions} dimensions has no counterpart among lists; cast the column to text in a view"
            )));
        }
    }
    let Some((dimension, mut rest)) = rest.split_first_chunk::<8>() else {
        return Err(cut_array());
    };
    let (length, lower_bound) = dimension.split_at(4);
    let length = i32::from_be_bytes(fixed(length)?);
    let lower_bound = i32::from_be_bytes(fixed(lower_bound)?);
    if lower_bound != 1 {
        return Err(Problem::new(format!(
            "an array whose first index is {lower_bound} has no counterpart among lists, which begin at 1; \
             cast the column to text in a view"
        )));
    }
    for _ in 0..length {
        let Some((prefix, after)) = rest.split_first_chunk::<4>() else {
            return Err(cut_array());
        };
        let element_length = i32::from_be_bytes(*prefix);
        if element_length < 0 {
            child.push(None)?;
            rest = after;
            continue;
        }
        let Some((value, after)) = after.split_at_checked(element_length as usize) else {
            return Err(cut_array());
        };
        child.push(Some(value))?;
        rest = after;
    }
    if rest.is_empty() {
        Ok(())
    } else {
        Err(cut_array())
    }
}

#[cold]
fn cut_array() -> Problem {
    Problem::new("an array has another length than it says")
}

fn list_end(child: &ColumnDecoder) -> Result<i32, Problem> {
    i32::try_from(child.len())
        .map_err(|_| Problem::new("the lists of one batch exceed 2^31 elements"))
}

fn uuid_text(uuid: &[u8; 16]) -> [u8; 36] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; 36];
    let mut at = 0;
    for (position, byte) in uuid.iter().enumerate() {
        if matches!(position, 4 | 6 | 8 | 10) {
            at += 1;
        }
        text[at] = HEX[usize::from(byte >> 4)];
        text[at + 1] = HEX[usize::from(byte & 15)];
        at += 2;
    }
    text
}

/// Adds each field by `push`, which says whether it became a value. A NULL occupies a place, too.
#[inline]
fn append<'a>(
    nulls: &mut NullBufferBuilder,
    fields: impl Iterator<Item = Option<&'a [u8]>>,
    mut push: impl FnMut(Option<&'a [u8]>) -> Result<bool, Problem>,
) -> Result<(), Problem> {
    let mut values_since_null = 0;
    for field in fields {
        if push(field)? {
            values_since_null += 1;
            continue;
        }
        nulls.append_n_non_nulls(values_since_null);
        nulls.append_null();
        values_since_null = 0;
    }
    nulls.append_n_non_nulls(values_since_null);
    Ok(())
}

/// Adds fields of a type whose values are all equally long in Arrow. `read` may make a value NULL.
#[inline]
fn append_values<'a, T: Default>(
    nulls: &mut NullBufferBuilder,
    values: &mut Vec<T>,
    count: usize,
    fields: impl Iterator<Item = Option<&'a [u8]>>,
    read: impl Fn(&'a [u8]) -> Result<Option<T>, Problem>,
) -> Result<(), Problem> {
    values.reserve(count);
    append(nulls, fields, |field| {
        let value = match field {
            Some(bytes) => read(bytes)?,
            None => None,
        };
        let is_value = value.is_some();
        values.push(value.unwrap_or_default());
        Ok(is_value)
    })
}

/// Adds fields that are texts or bytes already, or have them inside.
#[inline]
fn append_bytes<'a>(
    nulls: &mut NullBufferBuilder,
    values: &mut Bytes,
    fields: impl Iterator<Item = Option<&'a [u8]>>,
    read: impl Fn(&'a [u8]) -> Result<&'a [u8], Problem>,
) -> Result<(), Problem> {
    append(nulls, fields, |field| {
        match field {
            Some(bytes) => values.push(read(bytes)?)?,
            None => values.push_null(),
        }
        Ok(field.is_some())
    })
}

fn next_buffer<T: arrow::datatypes::ArrowNativeType>(
    values: &mut Vec<T>,
    capacity: usize,
) -> ScalarBuffer<T> {
    ScalarBuffer::from(std::mem::replace(values, Vec::with_capacity(capacity)))
}

fn primitive<T: ArrowPrimitiveType>(
    values: &mut Vec<T::Native>,
    capacity: usize,
    nulls: Option<arrow::buffer::NullBuffer>,
) -> ArrayRef {
    Arc::new(PrimitiveArray::<T>::new(
        next_buffer(values, capacity),
        nulls,
    ))
}

fn internal(error: arrow_schema::ArrowError) -> Problem {
    Problem::new(format!("building the Arrow array failed: {error}"))
}
