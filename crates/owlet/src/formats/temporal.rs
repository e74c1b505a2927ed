//! Dates, times and timestamps as text, over the whole range of their integers, without a calendar library whose
//! range is smaller. Knows no arrays.

use std::io::Write;
use std::str::FromStr;

use arrow::array::timezone::Tz;
use arrow::datatypes::TimeUnit;
use chrono::{DateTime, Offset, TimeZone};

const SECONDS_OF_DAY: i64 = 86_400;

/// How a timestamp is spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Separator {
    /// `2026-01-31 12:00:00`, as SQL writes it.
    Space,
    /// `2026-01-31T12:00:00`, as RFC 3339 writes it.
    T,
}

/// The zone of a timestamp column.
#[derive(Debug, Clone)]
pub enum Zone {
    /// A wall clock without a zone.
    None,
    /// UTC, in any of its spellings.
    Utc,
    /// A named zone or a fixed offset.
    Other(Tz),
}

impl Zone {
    /// Reads Arrow's zone name.
    pub fn parse(name: Option<&str>) -> Result<Self, String> {
        match name {
            None => Ok(Self::None),
            Some("UTC" | "utc" | "Z" | "+00:00" | "+00" | "Etc/UTC") => Ok(Self::Utc),
            Some(other) => Tz::from_str(other)
                .map(Self::Other)
                .map_err(|error| format!("unknown time zone {other}: {error}")),
        }
    }
}

/// Ticks of a unit in one second.
pub fn ticks_per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// `2026-01-31` for days since 1970-01-01.
pub fn write_date(days: i64, out: &mut Vec<u8>) {
    let (year, month, day) = civil(days);
    // Writing to a vector cannot fail.
    let _ = if year < 0 {
        write!(out, "-{:04}-{month:02}-{day:02}", -year)
    } else {
        write!(out, "{year:04}-{month:02}-{day:02}")
    };
}

/// `12:00:00.123` for ticks since midnight; the fraction has 0, 3, 6 or 9 digits.
pub fn write_time(ticks: i64, unit: TimeUnit, out: &mut Vec<u8>) {
    let per_second = ticks_per_second(unit);
    let seconds = ticks.div_euclid(per_second);
    let nanoseconds = ticks.rem_euclid(per_second) * (1_000_000_000 / per_second);
    let _ = write!(
        out,
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    if nanoseconds == 0 {
        return;
    }
    let _ = if nanoseconds % 1_000_000 == 0 {
        write!(out, ".{:03}", nanoseconds / 1_000_000)
    } else if nanoseconds % 1_000 == 0 {
        write!(out, ".{:06}", nanoseconds / 1_000)
    } else {
        write!(out, ".{nanoseconds:09}")
    };
}

/// A timestamp; with a zone, its local time there and the offset from UTC.
pub fn write_timestamp(
    ticks: i64,
    unit: TimeUnit,
    zone: &Zone,
    separator: Separator,
    out: &mut Vec<u8>,
) {
    let per_second = ticks_per_second(unit);
    let offset = match zone {
        Zone::None | Zone::Utc => 0,
        Zone::Other(zone) => offset_seconds(ticks.div_euclid(per_second), zone),
    };
    let seconds = i128::from(ticks.div_euclid(per_second)) + i128::from(offset);
    let day_seconds = i128::from(SECONDS_OF_DAY);
    // Both fit: the quotient is far below the range of i64, the rest below one day.
    let days = i64::try_from(seconds.div_euclid(day_seconds)).unwrap_or_default();
    let second_of_day = i64::try_from(seconds.rem_euclid(day_seconds)).unwrap_or_default();
    write_date(days, out);
    out.push(match separator {
        Separator::Space => b' ',
        Separator::T => b'T',
    });
    write_time(
        second_of_day * per_second + ticks.rem_euclid(per_second),
        unit,
        out,
    );
    match zone {
        Zone::None => {}
        Zone::Utc => match separator {
            Separator::Space => out.extend_from_slice(b"+00:00"),
            Separator::T => out.push(b'Z'),
        },
        Zone::Other(_) => write_offset(offset, out),
    }
}

/// `+05:30`; zones before the twentieth century have seconds.
fn write_offset(offset: i32, out: &mut Vec<u8>) {
    let sign = if offset < 0 { '-' } else { '+' };
    let offset = offset.abs();
    let _ = write!(out, "{sign}{:02}:{:02}", offset / 3600, offset / 60 % 60);
    if offset % 60 != 0 {
        let _ = write!(out, ":{:02}", offset % 60);
    }
}

/// Offset of a zone at an instant. Instants beyond the calendar library's quarter of a million years are shown
/// in UTC: still the same instant.
fn offset_seconds(seconds: i64, zone: &Tz) -> i32 {
    DateTime::from_timestamp(seconds, 0).map_or(0, |instant| {
        zone.offset_from_utc_datetime(&instant.naive_utc())
            .fix()
            .local_minus_utc()
    })
}

/// Year, month and day of the proleptic Gregorian calendar, counted in cycles of 400 years (146 097 days) that
/// start on the first of March, so that the leap day is the last of its year.
fn civil(days: i64) -> (i64, u32, u32) {
    let shifted = i128::from(days) + 719_468;
    let cycle = shifted.div_euclid(146_097);
    let day_of_cycle = shifted.rem_euclid(146_097);
    let year_of_cycle = (day_of_cycle - day_of_cycle / 1_460 + day_of_cycle / 36_524
        - day_of_cycle / 146_096)
        / 365;
    let day_of_year =
        day_of_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_cycle + cycle * 400 + i128::from(month <= 2);
    (
        i64::try_from(year).unwrap_or_default(),
        u32::try_from(month).unwrap_or_default(),
        u32::try_from(day).unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timestamp(ticks: i64, unit: TimeUnit, zone: Option<&str>) -> String {
        let mut out = Vec::new();
        let zone = Zone::parse(zone).expect("a zone");
        write_timestamp(ticks, unit, &zone, Separator::Space, &mut out);
        String::from_utf8(out).expect("text")
    }

    fn date(days: i64) -> String {
        let mut out = Vec::new();
        write_date(days, &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn dates_agree_with_the_calendar_library_where_it_reaches() {
        let start = chrono::NaiveDate::from_ymd_opt(1970, 1, 1).expect("a date");
        for days in (-800_000..800_000).step_by(37) {
            let expected = start + chrono::Duration::days(days);
            assert_eq!(date(days), expected.format("%Y-%m-%d").to_string());
        }
        assert_eq!(date(2_145_042_905), "5874897-12-31");
        assert_eq!(date(-2_451_545 + 10_957 - 13), "-4713-11-11");
    }

    #[test]
    fn fractions_are_exact_and_short() {
        assert_eq!(timestamp(0, TimeUnit::Second, None), "1970-01-01 00:00:00");
        assert_eq!(
            timestamp(-1, TimeUnit::Millisecond, None),
            "1969-12-31 23:59:59.999"
        );
        assert_eq!(
            timestamp(1_500_000, TimeUnit::Microsecond, None),
            "1970-01-01 00:00:01.500"
        );
        assert_eq!(
            timestamp(1, TimeUnit::Microsecond, None),
            "1970-01-01 00:00:00.000001"
        );
        assert_eq!(
            timestamp(1, TimeUnit::Nanosecond, None),
            "1970-01-01 00:00:00.000000001"
        );
        assert_eq!(
            timestamp(i64::MAX, TimeUnit::Microsecond, None),
            "294247-01-10 04:00:54.775807"
        );
    }

    #[test]
    fn zones_show_their_offset_at_the_instant() {
        assert_eq!(
            timestamp(0, TimeUnit::Second, Some("UTC")),
            "1970-01-01 00:00:00+00:00"
        );
        assert_eq!(
            timestamp(0, TimeUnit::Second, Some("+05:30")),
            "1970-01-01 05:30:00+05:30"
        );
        assert_eq!(
            timestamp(1_751_328_000, TimeUnit::Second, Some("Europe/Berlin")),
            "2025-07-01 02:00:00+02:00"
        );
        assert_eq!(
            timestamp(1_735_689_600, TimeUnit::Second, Some("Europe/Berlin")),
            "2025-01-01 01:00:00+01:00"
        );
        assert!(Zone::parse(Some("Mars/Base")).is_err());
    }
}
