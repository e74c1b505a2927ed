//! Joda's date patterns (`yyyy-MM-dd`): `format_datetime` and `parse_datetime`. It must never know other pattern
//! languages.

use std::fmt::Write as _;

use arrow::array::ArrayRef;
use arrow::datatypes::TimeUnit;
use chrono::{Datelike, NaiveDateTime, Timelike};
use datafusion_common::{Result, exec_datafusion_err, exec_err};

use super::super::moments::{self, Moments};
use super::super::scalar::Call;
use super::parsed::{MONTHS, ParsedFields, Reader, WEEKDAYS, set, two_digit_year, weekday};
use crate::types::SESSION_ZONE;
use crate::zones;

/// A piece of a pattern.
#[derive(Debug, PartialEq, Eq)]
enum Piece {
    /// A letter and how often it stands there.
    Field(char, usize),
    Literal(String),
}

pub(super) fn format(call: &Call<'_>) -> Result<ArrayRef> {
    let moments = Moments::try_new(&call.arrays[0])?;
    let patterns = call.texts(1)?;
    let zone = moments.zone_name().unwrap_or(SESSION_ZONE).to_owned();
    call.text(|row| {
        let offset = moments.offset_seconds(row)?;
        format_moment(moments.local(row)?, offset, &zone, patterns.value(row)).map(Some)
    })
}

pub(super) fn parse(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, patterns) = (call.texts(0)?, call.texts(1)?);
    let values = call.values(|row| {
        let (text, pattern) = (texts.value(row), patterns.value(row));
        let (local, zone) = parse_moment(text, pattern)?.ok_or_else(|| {
            exec_datafusion_err!("parse_datetime: '{text}' does not read as '{pattern}'")
        })?;
        let zone = zones::canonical(zone.as_deref().unwrap_or(SESSION_ZONE))?.parse()?;
        moments::raw_timestamp(moments::to_utc(local, Some(zone))?, TimeUnit::Millisecond).map(Some)
    })?;
    moments::array_of(values, call.return_type)
}

fn pieces(pattern: &str) -> Result<Vec<Piece>> {
    let mut pieces: Vec<Piece> = Vec::new();
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\'' => pieces.push(Piece::Literal(quoted(&mut characters))),
            letter if letter.is_ascii_alphabetic() => match pieces.last_mut() {
                Some(Piece::Field(last, count)) if *last == letter => *count += 1,
                _ => pieces.push(Piece::Field(letter, 1)),
            },
            other => pieces.push(Piece::Literal(other.to_string())),
        }
    }
    let known = |letter: &char| "GCYxweEyDMdaKhHkmsSzZ".contains(*letter);
    match pieces
        .iter()
        .find(|piece| matches!(piece, Piece::Field(letter, _) if !known(letter)))
    {
        Some(Piece::Field(letter, _)) => {
            exec_err!("'{letter}' is not a part of a date pattern: put texts in quotes")
        }
        _ => Ok(pieces),
    }
}

/// The text up to the closing quote; two quotes are one.
fn quoted(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let mut text = String::new();
    while let Some(character) = characters.next() {
        if character != '\'' {
            text.push(character);
        } else if characters.peek() == Some(&'\'') {
            text.push('\'');
            characters.next();
        } else {
            break;
        }
    }
    if text.is_empty() {
        "'".to_owned()
    } else {
        text
    }
}

fn format_moment(moment: NaiveDateTime, offset: i32, zone: &str, pattern: &str) -> Result<String> {
    let mut text = String::with_capacity(pattern.len() + 8);
    for piece in pieces(pattern)? {
        let (letter, width) = match piece {
            Piece::Literal(literal) => {
                text.push_str(&literal);
                continue;
            }
            Piece::Field(letter, width) => (letter, width),
        };
        let week = moment.iso_week();
        let number = match letter {
            'y' | 'Y' if width == 2 => i64::from(moment.year().rem_euclid(100)),
            'y' | 'Y' => i64::from(moment.year()),
            'C' => i64::from(moment.year().div_euclid(100)),
            'x' if width == 2 => i64::from(week.year().rem_euclid(100)),
            'x' => i64::from(week.year()),
            'w' => i64::from(week.week()),
            'e' => i64::from(moment.weekday().number_from_monday()),
            'D' => i64::from(moment.ordinal()),
            'M' if width < 3 => i64::from(moment.month()),
            'd' => i64::from(moment.day()),
            'K' => i64::from(moment.hour() % 12),
            'h' => i64::from((moment.hour() + 11) % 12 + 1),
            'H' => i64::from(moment.hour()),
            'k' => i64::from((moment.hour() + 23) % 24 + 1),
            'm' => i64::from(moment.minute()),
            's' => i64::from(moment.second()),
            _ => {
                text.push_str(&text_field(letter, width, moment, offset, zone));
                continue;
            }
        };
        write!(text, "{number:0width$}")
            .map_err(|_| exec_datafusion_err!("format_datetime: writing failed"))?;
    }
    Ok(text)
}

fn text_field(
    letter: char,
    width: usize,
    moment: NaiveDateTime,
    offset: i32,
    zone: &str,
) -> String {
    match letter {
        'E' if width >= 4 => moment.format("%A").to_string(),
        'E' => moment.format("%a").to_string(),
        'M' if width >= 4 => moment.format("%B").to_string(),
        'M' => moment.format("%b").to_string(),
        'a' => if moment.hour() < 12 { "AM" } else { "PM" }.to_owned(),
        'G' => if moment.year() > 0 { "AD" } else { "BC" }.to_owned(),
        'S' => format!("{:0<width$.width$}", format!("{:09}", moment.nanosecond())),
        'Z' if width >= 3 => zone.to_owned(),
        'Z' => {
            let sign = if offset < 0 { '-' } else { '+' };
            let (hours, minutes) = (offset.abs() / 3600, offset.abs() / 60 % 60);
            let colon = if width == 2 { ":" } else { "" };
            format!("{sign}{hours:02}{colon}{minutes:02}")
        }
        _ => zone.to_owned(),
    }
}

fn parse_moment(text: &str, pattern: &str) -> Result<Option<(NaiveDateTime, Option<String>)>> {
    let pieces = pieces(pattern)?;
    let mut fields = ParsedFields::default();
    let mut reader = Reader { rest: text };
    for (index, piece) in pieces.iter().enumerate() {
        let read = match piece {
            Piece::Literal(literal) => literal
                .chars()
                .try_for_each(|character| reader.literal(character)),
            Piece::Field(letter, width) => {
                let digits_follow = matches!(
                    pieces.get(index + 1),
                    Some(Piece::Field(next, next_width)) if "yYxwDdKhHkmsS".contains(*next) || (*next == 'M' && *next_width < 3)
                );
                read_field(*letter, *width, digits_follow, &mut reader, &mut fields)
            }
        };
        if read.is_none() {
            return Ok(None);
        }
    }
    let complete = reader.rest.is_empty();
    Ok(fields
        .moment()
        .filter(|_| complete)
        .map(|moment| (moment, fields.zone)))
}

fn read_field(
    letter: char,
    width: usize,
    digits_follow: bool,
    reader: &mut Reader<'_>,
    fields: &mut ParsedFields,
) -> Option<()> {
    let longest = |most: usize| if digits_follow { width } else { most };
    match letter {
        'y' | 'Y' if width == 2 => set(&mut fields.year, reader.number(2).and_then(two_digit_year)),
        'y' | 'Y' => set(&mut fields.year, reader.signed(longest(9))),
        'x' => set(&mut fields.week_year, reader.signed(longest(9))),
        'w' => set(&mut fields.week, reader.number(2)),
        'e' => set(&mut fields.weekday, reader.number(1).and_then(weekday)),
        'E' => set(
            &mut fields.weekday,
            reader.ordinal(&WEEKDAYS).and_then(weekday),
        ),
        'D' => set(&mut fields.day_of_year, reader.number(longest(3))),
        'M' if width >= 3 => set(&mut fields.month, reader.ordinal(&MONTHS)),
        'M' => set(&mut fields.month, reader.number(longest(2))),
        'd' => set(&mut fields.day, reader.number(longest(2))),
        'a' => set(&mut fields.afternoon, reader.half_of_day()),
        'K' | 'h' => set(&mut fields.half_day_hour, reader.number(longest(2))),
        'H' => set(&mut fields.hour, reader.number(longest(2))),
        'k' => set(
            &mut fields.hour,
            reader.number(longest(2)).map(|hour| hour % 24),
        ),
        'm' => set(&mut fields.minute, reader.number(longest(2))),
        's' => set(&mut fields.second, reader.number(longest(2))),
        'S' => set(&mut fields.nanosecond, reader.fraction(width)),
        'Z' | 'z' => set(&mut fields.zone, reader.zone()),
        _ => None,
    }
}
