//! Proleptic Gregorian calendar arithmetic for spelling and reading dates and instants. Must never know a dialect.

/// A calendar day; year 0 is 1 BC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Day {
    /// Year.
    pub year: i64,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

/// A time of day in microseconds resolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeOfDay {
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// 0 to 999 999.
    pub microsecond: u32,
}

/// Microseconds of a day (no leap seconds).
pub const MICROSECONDS_PER_DAY: i128 = 86_400_000_000;

const DAYS_PER_ERA: i64 = 146_097;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_FROM_MARCH_YEAR_ZERO: i64 = 719_468;

/// The calendar day that is `days` after 1970-01-01. Counts years from March, so that the leap day is the last
/// day of a year and month lengths follow a linear formula.
pub fn day_from_epoch(days: i64) -> Day {
    let shifted = days + EPOCH_FROM_MARCH_YEAR_ZERO;
    let era = shifted.div_euclid(DAYS_PER_ERA);
    let day_of_era = shifted.rem_euclid(DAYS_PER_ERA);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    Day {
        year,
        month: month as u8,
        day: day as u8,
    }
}

/// Days from 1970-01-01 to a calendar day; `None` when there is no such day.
pub fn epoch_from_day(day: Day) -> Option<i64> {
    let is_leap_year = day.year % 4 == 0 && (day.year % 100 != 0 || day.year % 400 == 0);
    let month_days = match day.month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u8::from(is_leap_year),
        _ => return None,
    };
    if day.day == 0 || day.day > month_days {
        return None;
    }
    let year_from_march = day.year - i64::from(day.month <= 2);
    let era = year_from_march.div_euclid(400);
    let year_of_era = year_from_march.rem_euclid(400);
    let month_from_march = (i64::from(day.month) + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day.day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * DAYS_PER_ERA + day_of_era - EPOCH_FROM_MARCH_YEAR_ZERO)
}

/// The time of day `microseconds` after midnight (0 to 86 399 999 999).
pub fn time_of_day(microseconds: i64) -> TimeOfDay {
    let seconds = microseconds / 1_000_000;
    TimeOfDay {
        hour: (seconds / 3_600) as u8,
        minute: (seconds / 60 % 60) as u8,
        second: (seconds % 60) as u8,
        microsecond: (microseconds % 1_000_000) as u32,
    }
}

impl std::fmt::Display for TimeOfDay {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{:02}:{:02}:{:02}.{:06}",
            self.hour, self.minute, self.second, self.microsecond
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_around_leap_days_and_eras() {
        let cases = [
            (0, (1970, 1, 1)),
            (-1, (1969, 12, 31)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (19_782, (2024, 2, 29)),
            (-719_528, (0, 1, 1)),
            (-719_529, (-1, 12, 31)),
            (2_932_896, (9999, 12, 31)),
        ];
        for (days, (year, month, day)) in cases {
            let expected = Day { year, month, day };
            assert_eq!(day_from_epoch(days), expected, "{days}");
            assert_eq!(epoch_from_day(expected), Some(days), "{expected:?}");
        }
    }
}
