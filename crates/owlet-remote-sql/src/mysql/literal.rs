//! MySQL constants: nothing is guessed, nothing can break out, nothing depends on `sql_mode`.
//! Must never know a driver.

use arrow_schema::DataType;
use owlet_connector::{Literal, LiteralValue};

use super::MAXIMUM_SORT_BYTES;
use crate::calendar::{Day, MICROSECONDS_PER_DAY, day_from_epoch, time_of_day};
use crate::class::{TypeClass, decimal_parts, type_class};
use crate::decimal::decimal_text;
use crate::dialect::Refusal;

/// Years of `DATE` and `DATETIME` with a calendar of their own; year 0 is where zero dates live.
const YEARS: std::ops::RangeInclusive<i64> = 1..=9_999;

/// Spells a constant with its exact type.
pub(super) fn spell(
    literal: &Literal,
    binary_collation: Option<&'static str>,
) -> Result<String, Refusal> {
    let data_type = &literal.data_type;
    let unfit = || {
        Refusal::new(format!(
            "a constant of type {} has an unfit value",
            crate::class::sql_name(data_type)
        ))
    };
    Ok(match (&literal.value, type_class(data_type)) {
        (LiteralValue::Null, _) => null(data_type)?,
        (LiteralValue::Boolean(value), TypeClass::Boolean) => {
            if *value { "TRUE" } else { "FALSE" }.to_owned()
        }
        (LiteralValue::Integer(value), TypeClass::SmallInteger | TypeClass::BigInteger) => {
            if !integer_fits(*value, data_type) {
                return Err(unfit());
            }
            signed(value.to_string())
        }
        (LiteralValue::Integer(value), TypeClass::Decimal) => {
            let (precision, scale) = decimal_parts(data_type).ok_or_else(unfit)?;
            signed(decimal_text(*value, precision, scale).ok_or_else(unfit)?)
        }
        (LiteralValue::Integer(days), TypeClass::Date) => {
            let days = i64::try_from(*days).map_err(|_| unfit())?;
            format!("DATE'{}'", date_text(days)?)
        }
        (LiteralValue::Integer(value), TypeClass::Time) => {
            if !(0..MICROSECONDS_PER_DAY).contains(value) {
                return Err(unfit());
            }
            format!("TIME'{}'", time_of_day(*value as i64))
        }
        (LiteralValue::Integer(value), TypeClass::Timestamp | TypeClass::ZonedTimestamp) => {
            let days =
                i64::try_from(value.div_euclid(MICROSECONDS_PER_DAY)).map_err(|_| unfit())?;
            let time = time_of_day(value.rem_euclid(MICROSECONDS_PER_DAY) as i64);
            format!("TIMESTAMP'{} {time}'", date_text(days)?)
        }
        (LiteralValue::Float(value), TypeClass::Float) => double(*value, data_type)?,
        (LiteralValue::Text(value), TypeClass::Text) => match binary_collation {
            Some(collation) => text(value, collation),
            None => {
                return Err(Refusal::new(
                    "the server is too old to compare text by bytes",
                ));
            }
        },
        (LiteralValue::Binary(bytes), TypeClass::Binary) => format!("X'{}'", hexadecimal(bytes)),
        _ => return Err(unfit()),
    })
}

/// A text. In quotes where no `sql_mode` reads it differently; it has the session's `collation_connection` and
/// takes a column's own collation when compared with it.
fn text(value: &str, collation: &str) -> String {
    if is_plain(value) {
        return format!("'{}'", value.replace('\'', "''"));
    }
    format!(
        "(_utf8mb4 X'{}' COLLATE {collation})",
        hexadecimal(value.as_bytes())
    )
}

/// No backslash, which some modes read as an escape, and no control character.
fn is_plain(value: &str) -> bool {
    !value
        .chars()
        .any(|character| character == '\\' || character.is_control())
}

/// The text in quotes with the charset's own collation, for comparison under a column's collation.
pub(super) fn native_text(value: &str) -> Option<String> {
    is_plain(value).then(|| format!("'{}'", value.replace('\'', "''")))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

fn null(data_type: &DataType) -> Result<String, Refusal> {
    let target = match type_class(data_type) {
        TypeClass::Float => return Ok("(NULL + 0e0)".to_owned()),
        // `max` of a bare NULL would be a text.
        TypeClass::Boolean | TypeClass::SmallInteger | TypeClass::BigInteger => "SIGNED".to_owned(),
        TypeClass::Decimal => decimal_type(data_type)?,
        TypeClass::Text => "CHAR(1)".to_owned(),
        TypeClass::Binary => "BINARY(1)".to_owned(),
        TypeClass::Date => "DATE".to_owned(),
        TypeClass::Time => "TIME(6)".to_owned(),
        TypeClass::Timestamp | TypeClass::ZonedTimestamp => "DATETIME(6)".to_owned(),
        TypeClass::Interval | TypeClass::Other => {
            return Err(Refusal::new(format!(
                "MySQL has no type for {}",
                crate::class::sql_name(data_type)
            )));
        }
    };
    Ok(format!("CAST(NULL AS {target})"))
}

/// `DECIMAL(p,s)`, if the server has it.
pub(super) fn decimal_type(data_type: &DataType) -> Result<String, Refusal> {
    match decimal_parts(data_type) {
        Some((precision @ 1..=65, scale @ 0..=30)) => Ok(format!("DECIMAL({precision},{scale})")),
        _ => Err(Refusal::new(format!(
            "MySQL has no type for {}",
            crate::class::sql_name(data_type)
        ))),
    }
}

/// A number that can stand anywhere: a sign would bind to what is before it.
fn signed(text: String) -> String {
    if text.starts_with('-') {
        format!("({text})")
    } else {
        text
    }
}

fn integer_fits(value: i128, data_type: &DataType) -> bool {
    match data_type {
        DataType::Int8 => i8::try_from(value).is_ok(),
        DataType::Int16 => i16::try_from(value).is_ok(),
        DataType::Int32 => i32::try_from(value).is_ok(),
        _ => i64::try_from(value).is_ok(),
    }
}

/// With an exponent, which makes it a double and not a decimal. A single is spelled as the double it is.
fn double(value: f64, data_type: &DataType) -> Result<String, Refusal> {
    if !value.is_finite() {
        return Err(Refusal::new(
            "MySQL has neither NaN nor infinity, so the comparison stays local",
        ));
    }
    let value = match data_type {
        DataType::Float32 => f64::from(value as f32),
        _ => value,
    };
    Ok(signed(format!("{value:e}")))
}

fn date_text(days: i64) -> Result<String, Refusal> {
    let Day { year, month, day } = day_from_epoch(days);
    if !YEARS.contains(&year) {
        return Err(Refusal::new("a date constant outside MySQL's range"));
    }
    Ok(format!("{year:04}-{month:02}-{day:02}"))
}

/// Characters whose sort keys (at most four bytes each) are compared in full.
pub(super) const MAXIMUM_SORT_CHARACTERS: u32 = MAXIMUM_SORT_BYTES / 4;
