//! ISO 8601 texts. It must never know patterns.

use arrow::array::ArrayRef;
use arrow::datatypes::{Field, TimeUnit};
use chrono::NaiveDateTime;
use datafusion_common::{Result, exec_datafusion_err};
use datafusion_expr::ScalarUDF;

use super::super::moments::{self, Moments};
use super::super::scalar::Kind::{Temporal, Text};
use super::super::scalar::Overload::Exact;
use super::super::scalar::{Call, function, returns};
use super::parsed::{ParsedFields, Reader, set, weekday};
use super::timestamp_type;
use crate::types::SESSION_ZONE;
use crate::zones;

pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![
        function(
            &["from_iso8601_date"],
            &[Exact(&[Text])],
            returns::date,
            |call| {
                let texts = call.texts(0)?;
                call.date(|row| {
                    let text = texts.value(row);
                    let fields = read(text).filter(|(_, precision)| *precision == Precision::Day);
                    let moment = fields
                        .and_then(|(fields, _)| fields.moment())
                        .ok_or_else(|| unreadable(call, text))?;
                    moments::date32(moment.date()).map(Some)
                })
            },
        ),
        function(
            &["from_iso8601_timestamp"],
            &[Exact(&[Text])],
            |_| {
                Ok(Field::new(
                    "",
                    timestamp_type(TimeUnit::Millisecond, SESSION_ZONE),
                    true,
                ))
            },
            |call| timestamps(call, TimeUnit::Millisecond),
        ),
        function(
            &["from_iso8601_timestamp_nanos"],
            &[Exact(&[Text])],
            |_| {
                Ok(Field::new(
                    "",
                    timestamp_type(TimeUnit::Nanosecond, SESSION_ZONE),
                    true,
                ))
            },
            |call| timestamps(call, TimeUnit::Nanosecond),
        ),
        function(
            &["to_iso8601"],
            &[Exact(&[Temporal])],
            returns::text,
            to_iso8601,
        ),
    ]
}

fn unreadable(call: &Call<'_>, text: &str) -> datafusion_common::DataFusionError {
    exec_datafusion_err!("{}: '{text}' is not in ISO 8601 form", call.name)
}

fn timestamps(call: &Call<'_>, unit: TimeUnit) -> Result<ArrayRef> {
    let texts = call.texts(0)?;
    let values = call.values(|row| {
        let text = texts.value(row);
        let (fields, _) = read(text).ok_or_else(|| unreadable(call, text))?;
        let local: NaiveDateTime = fields.moment().ok_or_else(|| unreadable(call, text))?;
        let zone = zones::canonical(fields.zone.as_deref().unwrap_or(SESSION_ZONE))?.parse()?;
        moments::raw_timestamp(moments::to_utc(local, Some(zone))?, unit).map(Some)
    })?;
    moments::array_of(values, call.return_type)
}

/// How far a text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Precision {
    Day,
    Time,
}

/// `2020`, `2020-05`, `2020-05-11`, `2020-W10[-7]`, `2020-123`, each with `[T11[:15[:05[.123]]]][Z|+01:00]`.
fn read(text: &str) -> Option<(ParsedFields, Precision)> {
    let mut fields = ParsedFields::default();
    let mut reader = Reader { rest: text };
    set(&mut fields.year, reader.signed(4))?;
    if reader.literal('-').is_some() {
        read_day(&mut reader, &mut fields)?;
    }
    if reader.rest.is_empty() {
        return Some((fields, Precision::Day));
    }
    reader.literal('T')?;
    if reader
        .rest
        .starts_with(|first: char| first.is_ascii_digit())
    {
        set(&mut fields.hour, reader.number(2))?;
        if reader.literal(':').is_some() {
            set(&mut fields.minute, reader.number(2))?;
            if reader.literal(':').is_some() {
                set(&mut fields.second, reader.number(2))?;
                if reader
                    .literal('.')
                    .or_else(|| reader.literal(','))
                    .is_some()
                {
                    set(&mut fields.nanosecond, reader.fraction(9))?;
                }
            }
        }
    }
    if !reader.rest.is_empty() {
        set(&mut fields.zone, reader.zone())?;
    }
    reader.rest.is_empty().then_some((fields, Precision::Time))
}

fn read_day(reader: &mut Reader<'_>, fields: &mut ParsedFields) -> Option<()> {
    if reader.literal('W').is_some() {
        set(&mut fields.week, reader.number(2))?;
        if reader.literal('-').is_some() {
            set(&mut fields.weekday, reader.number(1).and_then(weekday))?;
        }
        return Some(());
    }
    let digits = reader.rest.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 3 {
        return set(&mut fields.day_of_year, reader.number(3));
    }
    set(&mut fields.month, reader.number(2))?;
    match reader.literal('-') {
        Some(()) => set(&mut fields.day, reader.number(2)),
        None => Some(()),
    }
}

fn to_iso8601(call: &Call<'_>) -> Result<ArrayRef> {
    let moments = Moments::try_new(&call.arrays[0])?;
    call.text(|row| {
        let local = moments.local(row)?;
        let date = moments::date_text(local.date());
        let time = moments::time_text(local.time(), moments.unit());
        Ok(Some(
            match (moments.is_date(), moments.is_time(), moments.zone_name()) {
                (true, ..) => date,
                (_, true, _) => time,
                (_, _, None) => format!("{date}T{time}"),
                (_, _, Some(_)) => {
                    format!("{date}T{time}{}", offset_text(moments.offset_seconds(row)?))
                }
            },
        ))
    })
}

fn offset_text(seconds: i32) -> String {
    if seconds == 0 {
        return "Z".to_owned();
    }
    let sign = if seconds < 0 { '-' } else { '+' };
    format!(
        "{sign}{:02}:{:02}",
        seconds.abs() / 3600,
        seconds.abs() / 60 % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_are_read() {
        for (text, expected) in [
            ("2020", Some("2020-01-01 00:00:00")),
            ("2020-05", Some("2020-05-01 00:00:00")),
            ("2020-05-11", Some("2020-05-11 00:00:00")),
            ("2020-W10", Some("2020-03-02 00:00:00")),
            ("2020-W10-7", Some("2020-03-08 00:00:00")),
            ("2020-123", Some("2020-05-02 00:00:00")),
            (
                "2020-05-11T11:15:05.055+01:00",
                Some("2020-05-11 11:15:05.055"),
            ),
            ("2020-05-11T11:15Z", Some("2020-05-11 11:15:00")),
            ("2020-05-11 11:15", None),
            ("2020-13-01", None),
            ("x", None),
        ] {
            let moment = read(text).and_then(|(fields, _)| fields.moment());
            assert_eq!(
                moment.map(|moment| moment.to_string()).as_deref(),
                expected,
                "{text}"
            );
        }
    }
}
