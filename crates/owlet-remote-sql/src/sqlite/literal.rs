//! SQLite constants. Must never know a driver.

use arrow_schema::DataType;
use owlet_connector::{Literal, LiteralValue};

use super::functions;
use crate::calendar::{MICROSECONDS_PER_DAY, day_from_epoch, time_of_day};
use crate::class::{TypeClass, decimal_parts, type_class};
use crate::decimal::decimal_text;
use crate::dialect::Refusal;

/// Digits of a decimal that every double keeps.
pub(super) const EXACT_DIGITS: u8 = 15;
/// Digits after the point up to which SQLite's own reader of decimal text rounds correctly: it computes with
/// about 104 bits, and a number of 15 digits with 12 decimals is at least 2^-94 of its size away from a tie.
pub(super) const EXACT_SCALE: i8 = 12;

/// Spells a constant.
pub(super) fn spell(literal: &Literal) -> Result<String, Refusal> {
    let data_type = &literal.data_type;
    let unfit = || {
        Refusal::new(format!(
            "a constant of type {} has no exact form in SQLite",
            crate::class::sql_name(data_type)
        ))
    };
    Ok(match (&literal.value, type_class(data_type)) {
        (_, TypeClass::Other | TypeClass::Interval | TypeClass::Time) => return Err(unfit()),
        (LiteralValue::Null, _) => "NULL".to_owned(),
        (LiteralValue::Boolean(value), TypeClass::Boolean) => {
            if *value { "TRUE" } else { "FALSE" }.to_owned()
        }
        (LiteralValue::Integer(value), TypeClass::SmallInteger | TypeClass::BigInteger) => {
            integer(i64::try_from(*value).map_err(|_| unfit())?)
        }
        (LiteralValue::Integer(value), TypeClass::Decimal) => {
            let (precision, scale) = decimal_parts(data_type).ok_or_else(unfit)?;
            let text = decimal_text(*value, precision, scale).ok_or_else(unfit)?;
            let shortened = text.trim_end_matches('0');
            let decimals = shortened
                .split_once('.')
                .map_or(0, |(_, decimals)| decimals.len());
            let digits = shortened.bytes().filter(u8::is_ascii_digit).count();
            if digits > usize::from(EXACT_DIGITS) || decimals > EXACT_SCALE as usize {
                return Err(Refusal::new(
                    "a decimal constant of more than 15 digits is not exact as a double",
                ));
            }
            negative_in_parentheses(text)
        }
        (LiteralValue::Integer(days), TypeClass::Date) => {
            quoted(&date_text(i64::try_from(*days).map_err(|_| unfit())?).ok_or_else(unfit)?)?
        }
        (LiteralValue::Integer(value), TypeClass::Timestamp | TypeClass::ZonedTimestamp) => {
            quoted(&timestamp_text(*value).ok_or_else(unfit)?)?
        }
        (LiteralValue::Float(value), TypeClass::Float) => float(*value, data_type)?,
        (LiteralValue::Text(text), TypeClass::Text) => quoted(text)?,
        (LiteralValue::Binary(bytes), TypeClass::Binary) => blob(bytes),
        _ => return Err(unfit()),
    })
}

/// A string in quotes; SQLite knows no escape but the doubled quote.
pub(super) fn quoted(text: &str) -> Result<String, Refusal> {
    if text.contains('\0') {
        return Err(Refusal::new(
            "a text constant contains a NUL character, which ends SQLite's statements",
        ));
    }
    Ok(format!("'{}'", text.replace('\'', "''")))
}

/// A blob in hexadecimal.
pub(super) fn blob(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("x'{digits}'")
}

/// An integer.
pub(super) fn integer(value: i64) -> String {
    negative_in_parentheses(value.to_string())
}

/// The stored text of a date, for years SQLite's date functions know.
pub(super) fn date_text(days: i64) -> Option<String> {
    // The calendar arithmetic below must not overflow.
    if days.abs() > 10_000_000 {
        return None;
    }
    let day = day_from_epoch(days);
    (0..=9_999)
        .contains(&day.year)
        .then(|| format!("{:04}-{:02}-{:02}", day.year, day.month, day.day))
}

/// The canonical text of a timestamp.
pub(super) fn timestamp_text(microseconds: i128) -> Option<String> {
    let days = i64::try_from(microseconds.div_euclid(MICROSECONDS_PER_DAY)).ok()?;
    let time = time_of_day(microseconds.rem_euclid(MICROSECONDS_PER_DAY) as i64);
    Some(format!("{} {time}", date_text(days)?))
}

fn float(value: f64, data_type: &DataType) -> Result<String, Refusal> {
    if value.is_nan() {
        return Err(Refusal::new("SQLite has no NaN"));
    }
    if value == 0.0 && value.is_sign_negative() {
        return Err(Refusal::new("SQLite has no negative zero"));
    }
    if *data_type != DataType::Float64 {
        return Err(Refusal::new("SQLite has no single precision"));
    }
    if value.is_infinite() {
        return Ok(if value > 0.0 { "9e999" } else { "(-9e999)" }.to_owned());
    }
    let text = value.to_string();
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let decimals = text
        .split_once('.')
        .map_or(0, |(_, decimals)| decimals.len());
    if digits <= usize::from(EXACT_DIGITS) && decimals <= EXACT_SCALE as usize {
        let text = if decimals == 0 {
            format!("{text}.0")
        } else {
            text
        };
        return Ok(negative_in_parentheses(text));
    }
    // SQLite's reader may be off by one bit here: the bits themselves cannot be misread.
    Ok(format!(
        "{}({})",
        functions::DOUBLE,
        integer(value.to_bits() as i64)
    ))
}

fn negative_in_parentheses(number: String) -> String {
    if number.starts_with('-') {
        format!("({number})")
    } else {
        number
    }
}
