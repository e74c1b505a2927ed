//! Reading stored values by what their column promises: timestamps, dates, decimals, doubles, text.
//! Pure; must never know Arrow arrays or a connection.

use std::borrow::Cow;

use owlet_remote_sql::calendar::{
    Day, MICROSECONDS_PER_DAY, day_from_epoch, epoch_from_day, time_of_day,
};
use rusqlite::types::ValueRef;

/// The largest integer up to which every integer is exact as a double.
const EXACT_DOUBLE: i64 = 1 << 53;
/// Characters of a value that an error shows.
const SHOWN_CHARACTERS: usize = 60;

/// Whether a timestamp may name a zone other than UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    /// A local timestamp: no zone, or UTC.
    OnlyUtc,
    /// An instant: any zone; UTC without one.
    Any,
}

/// Why a value does not fit, e.g. `'abc' is a text`.
pub(crate) fn describe(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) => format!("{number} is an integer"),
        ValueRef::Real(number) => format!("{number:?} is a double"),
        ValueRef::Text(bytes) => {
            let text = String::from_utf8_lossy(bytes);
            let shown: String = text.chars().take(SHOWN_CHARACTERS).collect();
            let more = if shown.len() < text.len() { "…" } else { "" };
            let kind = match text {
                Cow::Borrowed(_) => "a text",
                Cow::Owned(_) => "a text that is not UTF-8",
            };
            format!("'{shown}{more}' is {kind}")
        }
        ValueRef::Blob(bytes) => format!("a blob of {} bytes", bytes.len()),
    }
}

/// A double, also from an integer that is exact as one.
pub(crate) fn read_double(value: ValueRef<'_>) -> Option<f64> {
    match value {
        ValueRef::Real(number) => Some(number),
        ValueRef::Integer(number) if (-EXACT_DOUBLE..=EXACT_DOUBLE).contains(&number) => {
            Some(number as f64)
        }
        _ => None,
    }
}

/// A boolean from 0 or 1.
pub(crate) fn read_boolean(value: ValueRef<'_>) -> Option<bool> {
    match value {
        ValueRef::Integer(0) => Some(false),
        ValueRef::Integer(1) => Some(true),
        _ => None,
    }
}

/// The text of a value of unknown type: text as it is, numbers in their shortest decimal form.
pub(crate) fn read_any_text(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).ok().map(str::to_owned),
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(format!("{number:?}")),
        ValueRef::Null | ValueRef::Blob(_) => None,
    }
}

/// Days since 1970-01-01 from `YYYY-MM-DD`.
pub(crate) fn read_date(text: &str) -> Option<i32> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 {
        return None;
    }
    i32::try_from(date_prefix(bytes)?).ok()
}

/// Microseconds since 1970-01-01 from `YYYY-MM-DD[(T| )HH:MM[:SS[.fraction]][zone]]`.
pub(crate) fn read_timestamp(text: &str, zone: Zone) -> Option<i64> {
    let bytes = text.as_bytes();
    let days = date_prefix(bytes)?;
    let midnight = i64::try_from(i128::from(days) * MICROSECONDS_PER_DAY).ok()?;
    let Some(rest) = bytes.get(10..).filter(|rest| !rest.is_empty()) else {
        return Some(midnight);
    };
    let rest = rest
        .strip_prefix(b"T")
        .or_else(|| rest.strip_prefix(b" "))?;
    let (hour, rest) = two_digits(rest, 23)?;
    let (minute, mut rest) = two_digits(rest.strip_prefix(b":")?, 59)?;
    let mut second = 0;
    let mut microseconds = 0;
    if let Some(seconds) = rest.strip_prefix(b":") {
        (second, rest) = two_digits(seconds, 59)?;
        if let Some(fraction) = rest.strip_prefix(b".") {
            (microseconds, rest) = read_fraction(fraction)?;
        }
    }
    let offset_minutes = read_zone(rest)?;
    if zone == Zone::OnlyUtc && offset_minutes != 0 {
        return None;
    }
    let seconds = (hour * 60 + minute - offset_minutes) * 60 + second;
    midnight.checked_add(seconds * 1_000_000 + microseconds)
}

/// The one spelling of a timestamp that computations use.
pub(crate) fn timestamp_text(microseconds: i64) -> String {
    let microseconds = i128::from(microseconds);
    // Both parts fit: a 64-bit number of microseconds is 107 million days.
    let day = day_from_epoch(microseconds.div_euclid(MICROSECONDS_PER_DAY) as i64);
    let time = time_of_day(microseconds.rem_euclid(MICROSECONDS_PER_DAY) as i64);
    format!("{:04}-{:02}-{:02} {time}", day.year, day.month, day.day)
}

/// The unscaled value of a number as a decimal, or `None` when it has more digits than the type.
pub(crate) fn read_decimal(value: ValueRef<'_>, precision: u8, scale: i8) -> Option<i128> {
    let text = match value {
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) if number.is_finite() => number.to_string(),
        ValueRef::Text(bytes) => std::str::from_utf8(bytes).ok()?.to_owned(),
        _ => return None,
    };
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.as_str()),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = fraction.trim_end_matches('0');
    let scale = usize::try_from(scale).ok()?;
    let only_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !only_digits(whole) || !only_digits(fraction) || fraction.len() > scale {
        return None;
    }
    let unscaled = format!("{}{fraction:0<scale$}", whole.trim_start_matches('0'));
    if unscaled.trim_start_matches('0').len() > usize::from(precision) {
        return None;
    }
    let magnitude: i128 = if unscaled.is_empty() {
        0
    } else {
        unscaled.parse().ok()?
    };
    Some(if negative { -magnitude } else { magnitude })
}

fn date_prefix(bytes: &[u8]) -> Option<i64> {
    let bytes = bytes.get(..10)?;
    let (century, rest) = two_digits(bytes, 99)?;
    let (year, rest) = two_digits(rest, 99)?;
    let (month, rest) = two_digits(rest.strip_prefix(b"-")?, 12)?;
    let (day, _) = two_digits(rest.strip_prefix(b"-")?, 31)?;
    epoch_from_day(Day {
        year: century * 100 + year,
        month: month as u8,
        day: day as u8,
    })
}

fn two_digits(bytes: &[u8], maximum: i64) -> Option<(i64, &[u8])> {
    let (digits, rest) = bytes.split_at_checked(2)?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = i64::from(digits[0] - b'0') * 10 + i64::from(digits[1] - b'0');
    (number <= maximum).then_some((number, rest))
}

/// Up to nine digits after the point, of which those beyond microseconds must be zero.
fn read_fraction(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let length = bytes
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (digits, rest) = bytes.split_at(length);
    if !(1..=9).contains(&length) || digits.iter().skip(6).any(|digit| *digit != b'0') {
        return None;
    }
    let microseconds = (0..6).fold(0, |number, position| {
        number * 10
            + digits
                .get(position)
                .map_or(0, |digit| i64::from(digit - b'0'))
    });
    Some((microseconds, rest))
}

/// Minutes east of UTC: nothing, `Z`, `±HH`, `±HHMM` or `±HH:MM`.
fn read_zone(bytes: &[u8]) -> Option<i64> {
    let (sign, rest) = match bytes.split_first() {
        None => return Some(0),
        Some((b'Z', [])) => return Some(0),
        Some((b'+', rest)) => (1, rest),
        Some((b'-', rest)) => (-1, rest),
        Some(_) => return None,
    };
    let (hours, rest) = two_digits(rest, 23)?;
    let minutes = match rest {
        [] => 0,
        rest => match two_digits(rest.strip_prefix(b":").unwrap_or(rest), 59)? {
            (minutes, []) => minutes,
            _ => return None,
        },
    };
    Some(sign * (hours * 60 + minutes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_say_when_they_are_not_utf8() {
        assert_eq!(describe(ValueRef::Text("é".as_bytes())), "'é' is a text");
        assert_eq!(
            describe(ValueRef::Text(b"v\xc3")),
            "'v\u{fffd}' is a text that is not UTF-8"
        );
    }

    #[test]
    fn timestamps_in_their_spellings() {
        let midnight = 19_723 * 86_400_000_000;
        let cases = [
            ("2024-01-01", Some(midnight)),
            ("2024-01-01 00:00", Some(midnight)),
            ("2024-01-01T00:00:01Z", Some(midnight + 1_000_000)),
            ("2024-01-01 00:00:00.5", Some(midnight + 500_000)),
            (
                "2024-01-01 00:00:00.123456000+00:00",
                Some(midnight + 123_456),
            ),
            ("2024-01-01 00:00:00.123456789", None),
            ("2024-01-01 00:00:00+02:00", None),
            ("2024-01-01 24:00", None),
            ("2024-02-30", None),
            ("2024-1-1", None),
            ("2024-01-01 ", None),
            ("", None),
            ("20é4-01-01", None),
        ];
        for (text, expected) in cases {
            assert_eq!(read_timestamp(text, Zone::OnlyUtc), expected, "{text}");
        }
        assert_eq!(
            read_timestamp("2024-01-01 02:00+0200", Zone::Any),
            Some(midnight)
        );
        assert_eq!(timestamp_text(midnight + 1), "2024-01-01 00:00:00.000001");
        assert_eq!(timestamp_text(-1), "1969-12-31 23:59:59.999999");
    }

    #[test]
    fn decimals_in_their_forms() {
        let read = |value| read_decimal(value, 5, 2);
        assert_eq!(read(ValueRef::Real(12.34)), Some(1_234));
        assert_eq!(read(ValueRef::Real(-0.0)), Some(0));
        assert_eq!(read(ValueRef::Real(0.1 + 0.2)), None);
        assert_eq!(read(ValueRef::Integer(999)), Some(99_900));
        assert_eq!(read(ValueRef::Integer(1_000)), None);
        assert_eq!(read(ValueRef::Text(b"-1.500")), Some(-150));
        assert_eq!(read(ValueRef::Text(b"1.505")), None);
        assert_eq!(read(ValueRef::Text(b"1e2")), None);
        assert_eq!(read(ValueRef::Text(b"")), None);
        assert_eq!(read(ValueRef::Real(f64::INFINITY)), None);
        assert_eq!(
            read_decimal(ValueRef::Integer(i64::MIN), 38, 10),
            Some(i128::from(i64::MIN) * 10_000_000_000)
        );
    }
}
