//! One SQL value, taken out of an Arrow array or a literal. Must never know expressions.

use std::cmp::Ordering;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Decimal128Type, Decimal256Type, Float16Type, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalMonthDayNanoType, IntervalUnit,
    Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use super::evaluate::EvaluationError;
use crate::literal::{Literal, LiteralValue};

/// A value. What an integer means (days, microseconds, an unscaled decimal) is told by the data type beside it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// Boolean.
    Boolean(bool),
    /// Integers, unscaled decimals, days, times, instants.
    Integer(i128),
    /// Any float type.
    Float(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
    /// Interval.
    Interval {
        /// Months.
        months: i32,
        /// Days.
        days: i32,
        /// Nanoseconds.
        nanoseconds: i64,
    },
    /// Struct: fields in order.
    Struct(Vec<(String, Value)>),
    /// List or map (a list of key-value structs).
    List(Vec<Value>),
}

impl Value {
    /// The value of one cell.
    pub fn of_cell(array: &dyn Array, row: usize) -> Result<Self, EvaluationError> {
        if array.is_null(row) {
            return Ok(Self::Null);
        }
        macro_rules! integer {
            ($type:ty) => {
                Self::Integer(array.as_primitive::<$type>().value(row).into())
            };
        }
        Ok(match array.data_type() {
            DataType::Null => Self::Null,
            DataType::Boolean => Self::Boolean(array.as_boolean().value(row)),
            DataType::Int8 => integer!(Int8Type),
            DataType::Int16 => integer!(Int16Type),
            DataType::Int32 => integer!(Int32Type),
            DataType::Int64 => integer!(Int64Type),
            DataType::UInt8 => integer!(UInt8Type),
            DataType::UInt16 => integer!(UInt16Type),
            DataType::UInt32 => integer!(UInt32Type),
            DataType::UInt64 => integer!(UInt64Type),
            DataType::Date32 => integer!(Date32Type),
            DataType::Date64 => integer!(Date64Type),
            DataType::Time32(TimeUnit::Second) => integer!(Time32SecondType),
            DataType::Time32(_) => integer!(Time32MillisecondType),
            DataType::Time64(TimeUnit::Microsecond) => integer!(Time64MicrosecondType),
            DataType::Time64(_) => integer!(Time64NanosecondType),
            DataType::Timestamp(TimeUnit::Second, _) => integer!(TimestampSecondType),
            DataType::Timestamp(TimeUnit::Millisecond, _) => integer!(TimestampMillisecondType),
            DataType::Timestamp(TimeUnit::Microsecond, _) => integer!(TimestampMicrosecondType),
            DataType::Timestamp(TimeUnit::Nanosecond, _) => integer!(TimestampNanosecondType),
            DataType::Decimal128(_, _) => integer!(Decimal128Type),
            DataType::Decimal256(_, _) => {
                let wide = array.as_primitive::<Decimal256Type>().value(row);
                let narrow = wide.to_i128().ok_or_else(|| {
                    EvaluationError::Unsupported("decimals beyond 38 digits".to_owned())
                })?;
                Self::Integer(narrow)
            }
            DataType::Float16 => {
                Self::Float(array.as_primitive::<Float16Type>().value(row).to_f64())
            }
            DataType::Float32 => Self::Float(array.as_primitive::<Float32Type>().value(row).into()),
            DataType::Float64 => Self::Float(array.as_primitive::<Float64Type>().value(row)),
            DataType::Utf8 => Self::Text(array.as_string::<i32>().value(row).to_owned()),
            DataType::LargeUtf8 => Self::Text(array.as_string::<i64>().value(row).to_owned()),
            DataType::Utf8View => Self::Text(array.as_string_view().value(row).to_owned()),
            DataType::Binary => Self::Binary(array.as_binary::<i32>().value(row).to_vec()),
            DataType::LargeBinary => Self::Binary(array.as_binary::<i64>().value(row).to_vec()),
            DataType::BinaryView => Self::Binary(array.as_binary_view().value(row).to_vec()),
            DataType::FixedSizeBinary(_) => {
                Self::Binary(array.as_fixed_size_binary().value(row).to_vec())
            }
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                let interval = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
                Self::Interval {
                    months: interval.months,
                    days: interval.days,
                    nanoseconds: interval.nanoseconds,
                }
            }
            DataType::Struct(fields) => {
                let columns = array.as_struct().columns();
                let fields = fields.iter().zip(columns).map(|(field, column)| {
                    Ok((field.name().clone(), Self::of_cell(column.as_ref(), row)?))
                });
                Self::Struct(fields.collect::<Result<_, EvaluationError>>()?)
            }
            DataType::List(_) => Self::elements(array.as_list::<i32>().value(row).as_ref())?,
            DataType::LargeList(_) => Self::elements(array.as_list::<i64>().value(row).as_ref())?,
            DataType::FixedSizeList(_, _) => {
                Self::elements(array.as_fixed_size_list().value(row).as_ref())?
            }
            DataType::Map(_, _) => Self::elements(&array.as_map().value(row))?,
            DataType::Dictionary(_, _) => {
                let dictionary = array.as_any_dictionary();
                let key = dictionary.normalized_keys().get(row).copied().unwrap_or(0);
                Self::of_cell(dictionary.values().as_ref(), key)?
            }
            other => {
                return Err(EvaluationError::Unsupported(format!(
                    "values of type {other}"
                )));
            }
        })
    }

    fn elements(array: &dyn Array) -> Result<Self, EvaluationError> {
        let elements = (0..array.len()).map(|row| Self::of_cell(array, row));
        Ok(Self::List(elements.collect::<Result<_, _>>()?))
    }

    /// The value of a constant.
    pub fn of_literal(literal: &Literal) -> Self {
        match &literal.value {
            LiteralValue::Null => Self::Null,
            LiteralValue::Boolean(value) => Self::Boolean(*value),
            LiteralValue::Integer(value) => Self::Integer(*value),
            LiteralValue::Float(value) => Self::Float(*value),
            LiteralValue::Text(value) => Self::Text(value.clone()),
            LiteralValue::Binary(value) => Self::Binary(value.clone()),
            LiteralValue::Interval {
                months,
                days,
                nanoseconds,
            } => Self::Interval {
                months: *months,
                days: *days,
                nanoseconds: *nanoseconds,
            },
        }
    }

    /// The constant with this value, for plain types.
    pub fn to_literal(&self, data_type: DataType) -> Result<Literal, EvaluationError> {
        let value = match self {
            Self::Null => LiteralValue::Null,
            Self::Boolean(value) => LiteralValue::Boolean(*value),
            Self::Integer(value) => LiteralValue::Integer(*value),
            Self::Float(value) => LiteralValue::Float(*value),
            Self::Text(value) => LiteralValue::Text(value.clone()),
            Self::Binary(value) => LiteralValue::Binary(value.clone()),
            Self::Interval {
                months,
                days,
                nanoseconds,
            } => LiteralValue::Interval {
                months: *months,
                days: *days,
                nanoseconds: *nanoseconds,
            },
            Self::Struct(_) | Self::List(_) => {
                return Err(EvaluationError::Unsupported("nested constants".to_owned()));
            }
        };
        Ok(Literal { value, data_type })
    }

    /// True for NULL.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }
}

/// Place of two values that are not NULL in an ordering: as [`compare`], but -0.0 comes before 0.0, because an
/// ordering tells them apart.
pub fn compare_in_order(
    left: &Value,
    left_type: &DataType,
    right: &Value,
    right_type: &DataType,
) -> Result<Ordering, EvaluationError> {
    match (left, right) {
        (Value::Float(left), Value::Float(right)) => Ok(left.total_cmp(right)),
        _ => compare(left, left_type, right, right_type),
    }
}

/// Order of two values that are not NULL: text and binary by bytes, floats with both zeros equal and NaN last,
/// numbers and times by what they stand for.
pub fn compare(
    left: &Value,
    left_type: &DataType,
    right: &Value,
    right_type: &DataType,
) -> Result<Ordering, EvaluationError> {
    let incomparable =
        || EvaluationError::Unsupported(format!("comparing {left_type} with {right_type}"));
    match (left, right) {
        (Value::Boolean(left), Value::Boolean(right)) => Ok(left.cmp(right)),
        (Value::Text(left), Value::Text(right)) => Ok(left.as_bytes().cmp(right.as_bytes())),
        (Value::Binary(left), Value::Binary(right)) => Ok(left.cmp(right)),
        // Comparisons hold -0.0 and 0.0 equal; adding zero makes both positive.
        (Value::Float(left), Value::Float(right)) => Ok((left + 0.0).total_cmp(&(right + 0.0))),
        (Value::Integer(left), Value::Integer(right)) => {
            let (left_unit, right_unit) = (Unit::of(left_type), Unit::of(right_type));
            if left_unit == right_unit {
                return Ok(left.cmp(right));
            }
            if left_unit.kind != right_unit.kind {
                return Err(incomparable());
            }
            let finest = left_unit.digits.max(right_unit.digits);
            let scaled = |value: i128, digits: i32| {
                let factor = u32::try_from(finest - digits)
                    .ok()
                    .and_then(|power| 10_i128.checked_pow(power));
                factor
                    .and_then(|factor| value.checked_mul(factor))
                    .ok_or_else(|| {
                        EvaluationError::Unsupported("comparing such different scales".to_owned())
                    })
            };
            Ok(scaled(*left, left_unit.digits)?.cmp(&scaled(*right, right_unit.digits)?))
        }
        _ => Err(incomparable()),
    }
}

/// What an integer counts, and how many decimal digits of the base unit it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Unit {
    kind: Kind,
    digits: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Days,
    Clock,
    Instant,
}

impl Unit {
    fn of(data_type: &DataType) -> Self {
        let digits = |unit: &TimeUnit| match unit {
            TimeUnit::Second => 0,
            TimeUnit::Millisecond => 3,
            TimeUnit::Microsecond => 6,
            TimeUnit::Nanosecond => 9,
        };
        match data_type {
            DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => Self {
                kind: Kind::Number,
                digits: i32::from(*scale),
            },
            DataType::Date32 => Self {
                kind: Kind::Days,
                digits: 0,
            },
            DataType::Date64 => Self {
                kind: Kind::Instant,
                digits: 3,
            },
            DataType::Time32(unit) | DataType::Time64(unit) => Self {
                kind: Kind::Clock,
                digits: digits(unit),
            },
            DataType::Timestamp(unit, _) => Self {
                kind: Kind::Instant,
                digits: digits(unit),
            },
            _ => Self {
                kind: Kind::Number,
                digits: 0,
            },
        }
    }
}
