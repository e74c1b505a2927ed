//! Dates and times as the protocol sends them. Must never know columns.

use owlet_remote_sql::calendar::{Day, epoch_from_day};

const MICROSECONDS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Days since 1970-01-01; `None` for zero, partial and impossible dates, and the year 0, which stands for no date.
#[inline]
pub(super) fn days(year: u16, month: u8, day: u8) -> Option<i32> {
    if year == 0 {
        return None;
    }
    let day = Day {
        year: i64::from(year),
        month,
        day,
    };
    epoch_from_day(day).and_then(|days| i32::try_from(days).ok())
}

/// Microseconds since 1970-01-01.
#[inline]
pub(super) fn microseconds(days: i32, hour: u8, minute: u8, second: u8, microsecond: u32) -> i64 {
    let seconds = i64::from(days) * SECONDS_PER_DAY
        + i64::from(hour) * 3_600
        + i64::from(minute) * 60
        + i64::from(second);
    seconds * MICROSECONDS_PER_SECOND + i64::from(microsecond)
}

/// Spells a date and time for messages.
pub(super) fn spelled(year: u16, month: u8, day: u8) -> String {
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_what_is_none() {
        assert_eq!(days(1970, 1, 1), Some(0));
        assert_eq!(days(1, 1, 1), Some(-719_162));
        assert_eq!(days(9999, 12, 31), Some(2_932_896));
        for (year, month, day) in [
            (0, 0, 0),
            (2024, 0, 0),
            (2024, 5, 0),
            (2024, 2, 31),
            (0, 1, 1),
        ] {
            assert_eq!(days(year, month, day), None);
        }
        assert_eq!(microseconds(-1, 23, 59, 59, 999_999), -1);
    }
}
