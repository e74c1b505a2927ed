//! Texts read as dates, timestamps and times. It must never know how values are printed.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, StringArray};
use arrow::datatypes::{DataType, TimeUnit};
use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use datafusion_common::{Result, exec_datafusion_err, exec_err};

use super::super::moments;
use super::OnError;
use crate::functions::conversion::cast;
use crate::types::SESSION_ZONE;
use crate::zones;

/// A text as date, time and zone: `2020-01-05 10:00:00.123 Europe/Berlin`, each part after the date optional.
fn read_timestamp(text: &str) -> Option<(NaiveDateTime, Option<&str>)> {
    let text = text.trim();
    let zone = zones::zone_of(text);
    let clock = text
        .get(..text.len() - zone.map_or(0, str::len))?
        .trim_end();
    let (date, time) = match clock.find([' ', 'T']) {
        Some(blank) => (&clock[..blank], clock[blank + 1..].trim()),
        None => (clock, ""),
    };
    let date = read_date(date)?;
    let time = if time.is_empty() {
        NaiveTime::MIN
    } else {
        read_time(time)?
    };
    Some((date.and_time(time), zone))
}

/// `2020-01-05`, `2020-1-5`, `-0001-01-05`, `+12020-01-05`.
fn read_date(text: &str) -> Option<NaiveDate> {
    let mut parts = text.rsplitn(3, '-');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let year = number(year.strip_prefix('+').unwrap_or(year))?;
    NaiveDate::from_ymd_opt(year, number(month)?, number(day)?)
}

fn number<T: std::str::FromStr>(digits: &str) -> Option<T> {
    let unsigned = digits.strip_prefix('-').unwrap_or(digits);
    let plain = !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// `10:00`, `10:00:05`, `10:00:05.123456789`.
fn read_time(text: &str) -> Option<NaiveTime> {
    let mut parts = text.splitn(3, ':');
    let (hour, minute) = (number(parts.next()?)?, number(parts.next()?)?);
    let (second, fraction) = match parts.next() {
        None => ("0", ""),
        Some(seconds) => seconds.split_once('.').unwrap_or((seconds, "")),
    };
    if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanosecond: u32 = format!("{fraction:0<9}").parse().ok()?;
    NaiveTime::from_hms_nano_opt(hour, minute, number(second)?, nanosecond)
}

pub(super) fn timestamps(
    array: &ArrayRef,
    unit: TimeUnit,
    zone: Option<&Arc<str>>,
    on_error: OnError,
) -> Result<ArrayRef> {
    let texts = cast(array, &DataType::Utf8)?;
    let texts = texts.as_string::<i32>();
    let read = |text: &str| -> Result<i64> {
        let unreadable =
            || exec_datafusion_err!("'{text}' is not a timestamp (2020-01-31 23:59:59.000)");
        let (local, own_zone) = read_timestamp(text).ok_or_else(unreadable)?;
        if own_zone.is_some() && zone.is_none() {
            return exec_err!(
                "'{text}' has a time zone: CAST(… AS TIMESTAMP WITH TIME ZONE) or from_iso8601_timestamp read it"
            );
        }
        let own_zone = zones::canonical(own_zone.unwrap_or(SESSION_ZONE))?;
        moments::raw_timestamp(moments::to_utc(local, Some(own_zone.parse()?))?, unit)
    };
    let values = collect(texts, on_error, read)?;
    Ok(moments::timestamps(values, unit, zone.cloned()))
}

/// A time behind the date is an error: to drop it would be to round.
pub(super) fn dates(array: &ArrayRef, on_error: OnError) -> Result<ArrayRef> {
    let texts = cast(array, &DataType::Utf8)?;
    let read = |text: &str| match read_date(text.trim()) {
        Some(date) => Ok(moments::days_from_date(date)),
        None if read_timestamp(text).is_some() => {
            exec_err!("'{text}' is not a date: CAST(CAST(… AS timestamp) AS date) drops the time")
        }
        None => exec_err!("'{text}' is not a date (2020-01-31)"),
    };
    let days = collect(texts.as_string::<i32>(), on_error, read)?;
    moments::array_of(days, &DataType::Date32)
}

pub(super) fn times(array: &ArrayRef, target: &DataType, on_error: OnError) -> Result<ArrayRef> {
    let texts = cast(array, &DataType::Utf8)?;
    let step = match target {
        DataType::Time32(unit) | DataType::Time64(unit) => {
            1_000_000_000 / moments::per_second(*unit)
        }
        _ => 1,
    };
    let read = |text: &str| -> Result<i64> {
        let time = read_time(text.trim())
            .ok_or_else(|| exec_datafusion_err!("'{text}' is not a time (23:59:59.000)"))?;
        let nanoseconds = time
            .signed_duration_since(NaiveTime::MIN)
            .num_nanoseconds()
            .unwrap_or(0);
        Ok((nanoseconds + step / 2) / step % (86_400_000_000_000 / step))
    };
    moments::array_of(collect(texts.as_string::<i32>(), on_error, read)?, target)
}

fn collect(
    texts: &StringArray,
    on_error: OnError,
    read: impl Fn(&str) -> Result<i64>,
) -> Result<Vec<Option<i64>>> {
    let value = |text: Option<&str>| match text.map(&read) {
        None => Ok(None),
        Some(Err(_)) if on_error == OnError::Null => Ok(None),
        Some(value) => value.map(Some),
    };
    texts.iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_read_with_all_their_parts() {
        let (moment, zone) = read_timestamp("2020-1-5 10:00 Europe/Berlin").expect("readable");
        assert_eq!(
            (moment.to_string().as_str(), zone),
            ("2020-01-05 10:00:00", Some("Europe/Berlin"))
        );
        assert!(read_timestamp("2020-13-01").is_none());
        assert!(read_timestamp("").is_none());
        assert!(read_timestamp("2020-01-01 25:00").is_none());
    }
}
