//! MySQL's date patterns (`%Y-%m-%d`): `date_format` and `date_parse`. It must never know other pattern languages.

use std::fmt::Write as _;

use arrow::array::ArrayRef;
use chrono::{Datelike, NaiveDateTime, Timelike};
use datafusion_common::{Result, exec_datafusion_err, exec_err};

use super::super::moments::{self, Moments};
use super::super::scalar::Call;
use super::parsed::{MONTHS, ParsedFields, Reader, WEEKDAYS, set, two_digit_year, weekday};

pub(super) fn format(call: &Call<'_>) -> Result<ArrayRef> {
    let moments = Moments::try_new(&call.arrays[0])?;
    let patterns = call.texts(1)?;
    call.text(|row| format_moment(moments.local(row)?, patterns.value(row)).map(Some))
}

pub(super) fn parse(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, patterns) = (call.texts(0)?, call.texts(1)?);
    let values = call.values(|row| {
        let (text, pattern) = (texts.value(row), patterns.value(row));
        let moment = parse_moment(text, pattern)?.ok_or_else(|| {
            exec_datafusion_err!("date_parse: '{text}' does not read as '{pattern}'")
        })?;
        moments::raw_timestamp(moment, arrow::datatypes::TimeUnit::Millisecond).map(Some)
    })?;
    moments::array_of(values, call.return_type)
}

fn unsupported<T>(specifier: char) -> Result<T> {
    exec_err!("%{specifier} is not a part of a date pattern that Athena supports")
}

fn twelve(hour: u32) -> u32 {
    match hour % 12 {
        0 => 12,
        hour => hour,
    }
}

fn format_moment(moment: NaiveDateTime, pattern: &str) -> Result<String> {
    let mut text = String::with_capacity(pattern.len() + 8);
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            text.push(character);
            continue;
        }
        let Some(specifier) = characters.next() else {
            break;
        };
        let week = moment.iso_week();
        let written = match specifier {
            'a' => write!(text, "{}", moment.format("%a")),
            'b' => write!(text, "{}", moment.format("%b")),
            'c' => write!(text, "{}", moment.month()),
            'd' => write!(text, "{:02}", moment.day()),
            'e' => write!(text, "{}", moment.day()),
            'f' => write!(text, "{:06}", moment.nanosecond() / 1_000),
            'H' => write!(text, "{:02}", moment.hour()),
            'h' | 'I' => write!(text, "{:02}", twelve(moment.hour())),
            'i' => write!(text, "{:02}", moment.minute()),
            'j' => write!(text, "{:03}", moment.ordinal()),
            'k' => write!(text, "{}", moment.hour()),
            'l' => write!(text, "{}", twelve(moment.hour())),
            'M' => write!(text, "{}", moment.format("%B")),
            'm' => write!(text, "{:02}", moment.month()),
            'p' => write!(text, "{}", if moment.hour() < 12 { "AM" } else { "PM" }),
            'r' => write!(text, "{}", moment.format("%I:%M:%S %p")),
            'S' | 's' => write!(text, "{:02}", moment.second()),
            'T' => write!(text, "{}", moment.format("%H:%M:%S")),
            'v' => write!(text, "{:02}", week.week()),
            'W' => write!(text, "{}", moment.format("%A")),
            'x' => write!(text, "{:04}", week.year()),
            'Y' => write!(text, "{:04}", moment.year()),
            'y' => write!(text, "{:02}", moment.year().rem_euclid(100)),
            'D' | 'U' | 'u' | 'V' | 'w' | 'X' => return unsupported(specifier),
            literal => write!(text, "{literal}"),
        };
        written.map_err(|_| exec_datafusion_err!("date_format: writing failed"))?;
    }
    Ok(text)
}

/// `None` if the text does not fit the pattern.
fn parse_moment(text: &str, pattern: &str) -> Result<Option<NaiveDateTime>> {
    let mut fields = ParsedFields::default();
    let mut reader = Reader { rest: text };
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        let read = match character {
            '%' => match characters.next() {
                Some(specifier) => read_field(specifier, &mut reader, &mut fields)?,
                None => Some(()),
            },
            literal => reader.literal(literal),
        };
        if read.is_none() {
            return Ok(None);
        }
    }
    Ok(if reader.rest.is_empty() {
        fields.moment()
    } else {
        None
    })
}

fn read_field(
    specifier: char,
    reader: &mut Reader<'_>,
    fields: &mut ParsedFields,
) -> Result<Option<()>> {
    Ok(match specifier {
        'a' | 'W' => set(
            &mut fields.weekday,
            reader.ordinal(&WEEKDAYS).and_then(weekday),
        ),
        'b' | 'M' => set(&mut fields.month, reader.ordinal(&MONTHS)),
        'c' | 'm' => set(&mut fields.month, reader.number(2)),
        'd' | 'e' => set(&mut fields.day, reader.number(2)),
        'f' => set(&mut fields.nanosecond, reader.fraction(9)),
        'H' | 'k' => set(&mut fields.hour, reader.number(2)),
        'h' | 'I' | 'l' => set(&mut fields.half_day_hour, reader.number(2)),
        'i' => set(&mut fields.minute, reader.number(2)),
        'j' => set(&mut fields.day_of_year, reader.number(3)),
        'p' => set(&mut fields.afternoon, reader.half_of_day()),
        'S' | 's' => set(&mut fields.second, reader.number(2)),
        'v' => set(&mut fields.week, reader.number(2)),
        'x' => set(&mut fields.week_year, reader.signed(4)),
        'Y' => set(&mut fields.year, reader.signed(4)),
        'y' => set(&mut fields.year, reader.number(2).and_then(two_digit_year)),
        'T' => return read_all("H:i:s", reader, fields),
        'r' => return read_all("h:i:s p", reader, fields),
        'D' | 'U' | 'u' | 'V' | 'w' | 'X' => return unsupported(specifier),
        literal => reader.literal(literal),
    })
}

/// A row of specifiers and the characters between them.
fn read_all(parts: &str, reader: &mut Reader<'_>, fields: &mut ParsedFields) -> Result<Option<()>> {
    for part in parts.chars() {
        let read = match part.is_alphabetic() {
            true => read_field(part, reader, fields)?,
            false => reader.literal(part),
        };
        if read.is_none() {
            return Ok(None);
        }
    }
    Ok(Some(()))
}
