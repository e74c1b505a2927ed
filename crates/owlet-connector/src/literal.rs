//! Constants as plain data. Must never know how a source spells them.

use arrow_schema::DataType;
use serde::{Deserialize, Serialize};

/// A constant with its Arrow type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Literal {
    /// The value; [`LiteralValue::Null`] is a typed NULL.
    pub value: LiteralValue,
    /// Arrow type; decides how an integer value is read (see [`LiteralValue::Integer`]).
    pub data_type: DataType,
}

/// The value of a [`Literal`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum LiteralValue {
    /// SQL NULL.
    Null,
    /// Boolean.
    Boolean(bool),
    /// Signed and unsigned integers; the unscaled value of decimals (`Decimal128(p, s)`: value × 10^-s); days
    /// since 1970-01-01 (`Date32`); time of day or instant in the type's unit (`Time64`, `Timestamp`).
    Integer(i128),
    /// Any float type, kept bit for bit (NaN and infinities survive serialisation).
    Float(#[serde(with = "float_bits")] f64),
    /// `Utf8`, `LargeUtf8`, `Utf8View`.
    Text(String),
    /// Any binary type.
    Binary(Vec<u8>),
    /// `Interval(MonthDayNano)`.
    Interval {
        /// Months.
        months: i32,
        /// Days.
        days: i32,
        /// Nanoseconds.
        nanoseconds: i64,
    },
}

impl Literal {
    /// A text constant (`Utf8`).
    pub fn text(value: impl Into<String>) -> Self {
        Self {
            value: LiteralValue::Text(value.into()),
            data_type: DataType::Utf8,
        }
    }

    /// A 64-bit integer constant.
    pub fn int64(value: i64) -> Self {
        Self {
            value: LiteralValue::Integer(value.into()),
            data_type: DataType::Int64,
        }
    }

    /// A double constant.
    pub fn float64(value: f64) -> Self {
        Self {
            value: LiteralValue::Float(value),
            data_type: DataType::Float64,
        }
    }

    /// A boolean constant.
    pub fn boolean(value: bool) -> Self {
        Self {
            value: LiteralValue::Boolean(value),
            data_type: DataType::Boolean,
        }
    }

    /// A typed NULL.
    pub fn null(data_type: DataType) -> Self {
        Self {
            value: LiteralValue::Null,
            data_type,
        }
    }

    /// True for a typed NULL.
    pub fn is_null(&self) -> bool {
        matches!(self.value, LiteralValue::Null)
    }
}

mod float_bits {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(value.to_bits())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Ok(f64::from_bits(u64::deserialize(deserializer)?))
    }
}
