//! The functions that the dialect's SQL calls, registered on every connection. Must never know Arrow.

use owlet_remote_sql::sqlite::functions;
use rusqlite::functions::{Aggregate, Context, FunctionFlags};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Result};

use crate::errors::Misfit;
use crate::values::{Zone, describe, read_any_text, read_decimal, read_timestamp, timestamp_text};

/// Registers all functions. They may be called from Owlet's statements only, not from views or triggers of the
/// database.
pub(crate) fn register(connection: &Connection) -> Result<()> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function(functions::UNFIT, 3, flags, unfit)?;
    connection.create_scalar_function(functions::TEXT, 2, flags, any_text)?;
    connection.create_scalar_function(functions::TIMESTAMP, 2, flags, |context| {
        timestamp(context, Zone::OnlyUtc)
    })?;
    connection.create_scalar_function(functions::INSTANT, 2, flags, |context| {
        timestamp(context, Zone::Any)
    })?;
    connection.create_scalar_function(functions::DECIMAL, 4, flags, decimal)?;
    connection.create_scalar_function(functions::INTEGER, 1, flags, integer)?;
    connection.create_scalar_function(functions::DOUBLE, 1, flags, double)?;
    connection.create_scalar_function(functions::LENGTH, 1, flags, length)?;
    connection.create_scalar_function(functions::SUBSTRING, 3, flags, substring)?;
    connection.create_aggregate_function(functions::SUM, 1, flags, Sum)
}

fn unfit(context: &Context<'_>) -> Result<i64> {
    let expectation: String = context.get(2)?;
    Err(misfit(
        context,
        1,
        format!("{}, {expectation}", describe(context.get_raw(0))),
    ))
}

fn any_text(context: &Context<'_>) -> Result<Option<String>> {
    match context.get_raw(0) {
        ValueRef::Null => Ok(None),
        value => match read_any_text(value) {
            Some(text) => Ok(Some(text)),
            None => Err(misfit(
                context,
                1,
                format!("{} and has no text", describe(value)),
            )),
        },
    }
}

fn timestamp(context: &Context<'_>, zone: Zone) -> Result<Option<String>> {
    let value = context.get_raw(0);
    let microseconds = match value {
        ValueRef::Null => return Ok(None),
        ValueRef::Text(bytes) => std::str::from_utf8(bytes)
            .ok()
            .and_then(|text| read_timestamp(text, zone)),
        _ => None,
    };
    match microseconds {
        Some(microseconds) => Ok(Some(timestamp_text(microseconds))),
        None => Err(misfit(
            context,
            1,
            format!("{}, where an ISO timestamp is declared", describe(value)),
        )),
    }
}

fn decimal(context: &Context<'_>) -> Result<i64> {
    let value = context.get_raw(0);
    let precision: u8 = context.get(1)?;
    let scale: i8 = context.get(2)?;
    if matches!(value, ValueRef::Null) || read_decimal(value, precision, scale).is_some() {
        return Ok(1);
    }
    Err(misfit(
        context,
        3,
        format!(
            "{}, where DECIMAL({precision},{scale}) is declared",
            describe(value)
        ),
    ))
}

fn integer(context: &Context<'_>) -> Result<Option<i64>> {
    match context.get_raw(0) {
        ValueRef::Null => Ok(None),
        ValueRef::Integer(number) => Ok(Some(number)),
        _ => Err(Misfit {
            column: String::new(),
            message: "bigint arithmetic overflows".to_owned(),
        }
        .into_sqlite()),
    }
}

fn double(context: &Context<'_>) -> Result<f64> {
    let bits: i64 = context.get(0)?;
    Ok(f64::from_bits(bits as u64))
}

fn length(context: &Context<'_>) -> Result<Option<i64>> {
    let text = text(context)?;
    Ok(text.and_then(|text| i64::try_from(text.chars().count()).ok()))
}

fn substring(context: &Context<'_>) -> Result<Option<String>> {
    let text = text(context)?;
    let (start, length): (i64, i64) = (context.get(1)?, context.get(2)?);
    let before = usize::try_from(start.saturating_sub(1)).unwrap_or(0);
    let length = usize::try_from(length).unwrap_or(0);
    Ok(text.map(|text| text.chars().skip(before).take(length).collect()))
}

/// The first argument, of which characters are wanted.
fn text(context: &Context<'_>) -> Result<Option<String>> {
    let value = context.get_raw(0);
    if let ValueRef::Text(bytes) = value
        && std::str::from_utf8(bytes).is_err()
    {
        return Err(Misfit {
            column: String::new(),
            message: format!("{} and has no characters", describe(value)),
        }
        .into_sqlite());
    }
    context.get(0)
}

/// The exact sum of integers: 2^64 of them fit the 128 bits it is kept in.
struct Sum;

impl Aggregate<Option<i128>, Option<i64>> for Sum {
    fn init(&self, _: &mut Context<'_>) -> Result<Option<i128>> {
        Ok(None)
    }

    fn step(&self, context: &mut Context<'_>, sum: &mut Option<i128>) -> Result<()> {
        match context.get_raw(0) {
            ValueRef::Null => Ok(()),
            ValueRef::Integer(number) => {
                *sum = Some(sum.unwrap_or(0) + i128::from(number));
                Ok(())
            }
            value => Err(Misfit {
                column: String::new(),
                message: format!("sum of bigint: {}", describe(value)),
            }
            .into_sqlite()),
        }
    }

    fn finalize(&self, _: &mut Context<'_>, sum: Option<Option<i128>>) -> Result<Option<i64>> {
        let Some(sum) = sum.flatten() else {
            return Ok(None);
        };
        i64::try_from(sum).map(Some).map_err(|_| {
            Misfit {
                column: String::new(),
                message: "the sum of bigint overflows".to_owned(),
            }
            .into_sqlite()
        })
    }
}

fn misfit(context: &Context<'_>, column: usize, message: String) -> rusqlite::Error {
    match context.get::<String>(column) {
        Ok(column) => Misfit { column, message }.into_sqlite(),
        Err(error) => error,
    }
}
