//! PostgreSQL constants: every one is a quoted string with a cast, so nothing is guessed and nothing can break out.
//! Must never know a driver.

use arrow_schema::DataType;
use owlet_connector::{Literal, LiteralValue};

use super::sql_type;
use crate::calendar::{MICROSECONDS_PER_DAY, day_from_epoch, time_of_day};
use crate::class::{TypeClass, decimal_parts, sql_name, type_class};
use crate::decimal::decimal_text;
use crate::dialect::Refusal;

/// Days of 4714-11-24 BC and 5874897-12-31, PostgreSQL's first and last `date`.
const DATE_RANGE: std::ops::RangeInclusive<i128> = -2_440_588..=2_145_042_905;
/// Microseconds of the first day above, and of 294276-12-31 23:59:59.999999, PostgreSQL's last `timestamp`.
const TIMESTAMP_RANGE: std::ops::RangeInclusive<i128> =
    -210_866_803_200_000_000..=9_224_318_015_999_999_999;

/// Spells a constant with its exact type.
pub(super) fn spell(literal: &Literal) -> Result<String, Refusal> {
    let data_type = &literal.data_type;
    let target = sql_type(data_type)?;
    let unfit = || {
        Refusal::new(format!(
            "a constant of type {} has an unfit value",
            sql_name(data_type)
        ))
    };
    let text = match (&literal.value, type_class(data_type)) {
        (LiteralValue::Null, _) => return Ok(format!("NULL::{target}")),
        (LiteralValue::Boolean(value), TypeClass::Boolean) => {
            return Ok(if *value { "TRUE" } else { "FALSE" }.to_owned());
        }
        (LiteralValue::Integer(value), TypeClass::SmallInteger | TypeClass::BigInteger) => {
            if !integer_fits(*value, data_type) {
                return Err(unfit());
            }
            if *value >= 0 {
                return Ok(format!("{value}::{target}"));
            }
            value.to_string()
        }
        (LiteralValue::Integer(value), TypeClass::Decimal) => {
            let (precision, scale) = decimal_parts(data_type).ok_or_else(unfit)?;
            decimal_text(*value, precision, scale).ok_or_else(unfit)?
        }
        (LiteralValue::Integer(days), TypeClass::Date) => {
            if !DATE_RANGE.contains(days) {
                return Err(Refusal::new("a date constant outside PostgreSQL's range"));
            }
            date_text(*days as i64, "")
        }
        (LiteralValue::Integer(value), TypeClass::Time) => {
            if !(0..MICROSECONDS_PER_DAY).contains(value) {
                return Err(unfit());
            }
            time_of_day(*value as i64).to_string()
        }
        (
            LiteralValue::Integer(value),
            class @ (TypeClass::Timestamp | TypeClass::ZonedTimestamp),
        ) => {
            if !TIMESTAMP_RANGE.contains(value) {
                return Err(Refusal::new(
                    "a timestamp constant outside PostgreSQL's range",
                ));
            }
            let days = value.div_euclid(MICROSECONDS_PER_DAY) as i64;
            let time = time_of_day(value.rem_euclid(MICROSECONDS_PER_DAY) as i64);
            let zone = if class == TypeClass::ZonedTimestamp {
                "+00"
            } else {
                ""
            };
            date_text(days, &format!(" {time}{zone}"))
        }
        (LiteralValue::Float(value), TypeClass::Float) => float_text(*value, data_type),
        (LiteralValue::Text(value), TypeClass::Text) => {
            return Ok(format!("{}::{target}", quoted(value)?));
        }
        (LiteralValue::Binary(bytes), TypeClass::Binary) => {
            let mut text = String::with_capacity(bytes.len() * 2 + 2);
            text.push_str("\\x");
            for byte in bytes {
                text.push_str(&format!("{byte:02x}"));
            }
            text
        }
        (
            LiteralValue::Interval {
                months,
                days,
                nanoseconds,
            },
            TypeClass::Interval,
        ) => {
            if nanoseconds % 1_000 != 0 {
                return Err(Refusal::new("an interval constant finer than microseconds"));
            }
            let microseconds = nanoseconds / 1_000;
            let sign = if microseconds < 0 { "-" } else { "" };
            let magnitude = microseconds.unsigned_abs();
            let seconds = magnitude / 1_000_000;
            format!(
                "{months} months {days} days {sign}{seconds}.{:06} seconds",
                magnitude % 1_000_000
            )
        }
        _ => return Err(unfit()),
    };
    Ok(format!("{}::{target}", quoted(&text)?))
}

/// A string in quotes. With `standard_conforming_strings` a backslash is an ordinary character and a quote is
/// doubled; there is no third case.
pub(super) fn quoted(text: &str) -> Result<String, Refusal> {
    if text.contains('\0') {
        return Err(Refusal::new(
            "a text constant contains a NUL character, which PostgreSQL cannot store",
        ));
    }
    Ok(format!("'{}'", text.replace('\'', "''")))
}

fn integer_fits(value: i128, data_type: &DataType) -> bool {
    match data_type {
        DataType::Int16 => i16::try_from(value).is_ok(),
        DataType::Int32 => i32::try_from(value).is_ok(),
        _ => i64::try_from(value).is_ok(),
    }
}

fn float_text(value: f64, data_type: &DataType) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    // The shortest text that reads back to the same bits, in the type's own width.
    match data_type {
        DataType::Float32 => format!("{:e}", value as f32),
        _ => format!("{value:e}"),
    }
}

/// ISO date, a tail, and the era: PostgreSQL wants `BC` at the very end.
fn date_text(days: i64, tail: &str) -> String {
    let day = day_from_epoch(days);
    if day.year > 0 {
        return format!("{:04}-{:02}-{:02}{tail}", day.year, day.month, day.day);
    }
    format!(
        "{:04}-{:02}-{:02}{tail} BC",
        1 - day.year,
        day.month,
        day.day
    )
}
