//! Classes of Arrow types: the rows of an exactness table speak of classes, not of every width and unit.
//! Must never know a dialect.

use std::fmt;

use arrow_schema::{DataType, IntervalUnit, TimeUnit};

/// A class of Arrow types that an exactness table treats alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TypeClass {
    /// `Boolean`.
    Boolean,
    /// `Int8` to `Int32`: sums of millions of them are exact in a double.
    SmallInteger,
    /// `Int64`.
    BigInteger,
    /// `Float32`, `Float64`.
    Float,
    /// `Decimal128`, `Decimal256` with a scale of at least 0.
    Decimal,
    /// `Utf8`, `LargeUtf8`, `Utf8View`.
    Text,
    /// `Binary`, `LargeBinary`, `BinaryView`.
    Binary,
    /// `Date32`.
    Date,
    /// `Time64(Microsecond)`.
    Time,
    /// `Timestamp(Microsecond)` without a zone.
    Timestamp,
    /// `Timestamp(Microsecond)` in UTC.
    ZonedTimestamp,
    /// `Interval(MonthDayNano)`.
    Interval,
    /// Everything else: it can be passed through but not computed on.
    Other,
}

/// Whole numbers of any width.
pub const INTEGERS: &[TypeClass] = &[TypeClass::SmallInteger, TypeClass::BigInteger];

/// The class of an Arrow type.
pub fn type_class(data_type: &DataType) -> TypeClass {
    match data_type {
        DataType::Boolean => TypeClass::Boolean,
        DataType::Int8 | DataType::Int16 | DataType::Int32 => TypeClass::SmallInteger,
        DataType::Int64 => TypeClass::BigInteger,
        DataType::Float32 | DataType::Float64 => TypeClass::Float,
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) if *scale >= 0 => {
            TypeClass::Decimal
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => TypeClass::Text,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => TypeClass::Binary,
        DataType::Date32 => TypeClass::Date,
        DataType::Time64(TimeUnit::Microsecond) => TypeClass::Time,
        DataType::Timestamp(TimeUnit::Microsecond, None) => TypeClass::Timestamp,
        DataType::Timestamp(TimeUnit::Microsecond, Some(zone)) if is_utc(zone) => {
            TypeClass::ZonedTimestamp
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => TypeClass::Interval,
        _ => TypeClass::Other,
    }
}

/// Precision and scale of a decimal type.
pub fn decimal_parts(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            Some((*precision, *scale))
        }
        _ => None,
    }
}

/// Whether values of the two types can be compared without a conversion.
pub fn comparable(left: &DataType, right: &DataType) -> bool {
    let (left_class, right_class) = (type_class(left), type_class(right));
    if INTEGERS.contains(&left_class) && INTEGERS.contains(&right_class) {
        return true;
    }
    left_class == right_class && (left_class != TypeClass::Float || left == right)
}

/// A type in SQL's words, for reasons: `varchar`, `decimal(12,2)`, `array(bigint)`.
pub(crate) fn sql_name(data_type: &DataType) -> String {
    match (type_class(data_type), data_type) {
        (TypeClass::Decimal, _) => match decimal_parts(data_type) {
            Some((precision, scale)) => format!("decimal({precision},{scale})"),
            None => "decimal".to_owned(),
        },
        (_, DataType::Int8) => "tinyint".to_owned(),
        (_, DataType::Int16) => "smallint".to_owned(),
        (_, DataType::Float32) => "real".to_owned(),
        (TypeClass::Other, DataType::List(item) | DataType::LargeList(item)) => {
            format!("array({})", sql_name(item.data_type()))
        }
        (TypeClass::Other, DataType::Struct(_)) => "row".to_owned(),
        (TypeClass::Other, DataType::Map(..)) => "map".to_owned(),
        (TypeClass::Other, DataType::Timestamp(_, None)) => "timestamp".to_owned(),
        (TypeClass::Other, DataType::Timestamp(_, Some(_))) => {
            "timestamp with time zone".to_owned()
        }
        (TypeClass::Other, DataType::Interval(_) | DataType::Duration(_)) => "interval".to_owned(),
        (TypeClass::Other, other) => other.to_string().to_lowercase(),
        (class, _) => class.to_string(),
    }
}

fn is_utc(zone: &str) -> bool {
    matches!(
        zone,
        "UTC" | "utc" | "Etc/UTC" | "Z" | "+00:00" | "+00" | "+0000" | "-00:00"
    )
}

impl fmt::Display for TypeClass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Boolean => "boolean",
            Self::SmallInteger => "integer",
            Self::BigInteger => "bigint",
            Self::Float => "double",
            Self::Decimal => "decimal",
            Self::Text => "varchar",
            Self::Binary => "varbinary",
            Self::Date => "date",
            Self::Time => "time",
            Self::Timestamp => "timestamp",
            Self::ZonedTimestamp => "timestamp with time zone",
            Self::Interval => "interval",
            Self::Other => "other",
        })
    }
}
