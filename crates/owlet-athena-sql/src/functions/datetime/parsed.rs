//! What a date pattern found in a text, and the moment it makes. It must never know a pattern language.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime, Weekday};

/// Fields read from a text. What is missing is that of 1970-01-01 00:00:00.
#[derive(Debug, Default)]
pub(super) struct ParsedFields {
    pub(super) year: Option<i32>,
    pub(super) month: Option<u32>,
    pub(super) day: Option<u32>,
    pub(super) day_of_year: Option<u32>,
    pub(super) week_year: Option<i32>,
    pub(super) week: Option<u32>,
    pub(super) weekday: Option<Weekday>,
    pub(super) hour: Option<u32>,
    /// 1 to 12.
    pub(super) half_day_hour: Option<u32>,
    pub(super) afternoon: Option<bool>,
    pub(super) minute: Option<u32>,
    pub(super) second: Option<u32>,
    pub(super) nanosecond: Option<u32>,
    pub(super) zone: Option<String>,
}

impl ParsedFields {
    /// The local date and time, if the fields name one that exists.
    pub(super) fn moment(&self) -> Option<NaiveDateTime> {
        Some(self.date()?.and_time(self.time()?))
    }

    fn date(&self) -> Option<NaiveDate> {
        let year = self.year.unwrap_or(1970);
        if let Some(day_of_year) = self.day_of_year {
            return NaiveDate::from_yo_opt(year, day_of_year);
        }
        if let Some(week) = self.week {
            let week_year = self.week_year.unwrap_or(year);
            return NaiveDate::from_isoywd_opt(
                week_year,
                week,
                self.weekday.unwrap_or(Weekday::Mon),
            );
        }
        let year = self.year.or(self.week_year).unwrap_or(1970);
        NaiveDate::from_ymd_opt(year, self.month.unwrap_or(1), self.day.unwrap_or(1))
    }

    fn time(&self) -> Option<NaiveTime> {
        let hour = match (self.hour, self.half_day_hour) {
            (Some(hour), _) => hour,
            (None, Some(hour)) if hour <= 12 => {
                hour % 12 + if self.afternoon == Some(true) { 12 } else { 0 }
            }
            (None, Some(_)) => return None,
            (None, None) => 0,
        };
        NaiveTime::from_hms_nano_opt(
            hour,
            self.minute.unwrap_or(0),
            self.second.unwrap_or(0),
            self.nanosecond.unwrap_or(0),
        )
    }
}

/// The rest of a text that is being read.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) rest: &'a str,
}

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
pub(super) const WEEKDAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

impl Reader<'_> {
    /// A number of one to `longest` digits.
    pub(super) fn number(&mut self, longest: usize) -> Option<u32> {
        let digits = self
            .rest
            .bytes()
            .take(longest)
            .take_while(u8::is_ascii_digit)
            .count();
        let number = self.rest[..digits].parse().ok()?;
        self.rest = &self.rest[digits..];
        Some(number)
    }

    /// A number that may have a sign.
    pub(super) fn signed(&mut self, longest: usize) -> Option<i32> {
        let negative = self.rest.starts_with('-');
        if negative {
            self.rest = &self.rest[1..];
        }
        let number = i32::try_from(self.number(longest)?).ok()?;
        Some(if negative { -number } else { number })
    }

    /// Digits after the second's point as nanoseconds.
    pub(super) fn fraction(&mut self, longest: usize) -> Option<u32> {
        let digits = self
            .rest
            .bytes()
            .take(longest)
            .take_while(u8::is_ascii_digit)
            .count();
        let nanoseconds = format!(
            "{:0<9.9}",
            self.rest
                .get(..digits)
                .filter(|digits| !digits.is_empty())?
        );
        self.rest = &self.rest[digits..];
        nanoseconds.parse().ok()
    }

    /// The number, from 1, of the name (or of its first three letters) that comes next.
    pub(super) fn ordinal(&mut self, names: &[&str]) -> Option<u32> {
        let starts = |name: &str| {
            self.rest
                .get(..name.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(name))
        };
        let full = names
            .iter()
            .position(|name| starts(name))
            .map(|index| (index, names[index].len()));
        let found = full.or_else(|| {
            names
                .iter()
                .position(|name| starts(&name[..3]))
                .map(|index| (index, 3))
        });
        let (index, length) = found?;
        self.rest = &self.rest[length..];
        u32::try_from(index + 1).ok()
    }

    /// `AM` or `PM`: true for the afternoon.
    pub(super) fn half_of_day(&mut self) -> Option<bool> {
        let half = self.rest.get(..2)?.to_ascii_uppercase();
        self.rest = &self.rest[2..];
        match half.as_str() {
            "AM" => Some(false),
            "PM" => Some(true),
            _ => None,
        }
    }

    /// A zone's name or distance from UTC: `Z`, `+01:00`, `+0100`, `+01`, `Europe/Berlin`.
    pub(super) fn zone(&mut self) -> Option<String> {
        let is_zone =
            |character: char| character.is_ascii_alphanumeric() || "+-:/_".contains(character);
        let length = self
            .rest
            .find(|character| !is_zone(character))
            .unwrap_or(self.rest.len());
        let zone = self
            .rest
            .get(..length)
            .filter(|zone| !zone.is_empty())?
            .to_owned();
        self.rest = &self.rest[length..];
        let digits = zone
            .strip_prefix(['+', '-'])
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        Some(match digits {
            Some(digits) if digits.len() == 2 => format!("{zone}:00"),
            Some(digits) if digits.len() == 4 => format!("{}:{}", &zone[..3], &zone[3..]),
            _ => zone,
        })
    }

    /// A fixed character.
    pub(super) fn literal(&mut self, expected: char) -> Option<()> {
        self.rest = self.rest.strip_prefix(expected)?;
        Some(())
    }
}

/// Stores what was read; `None` if nothing was.
pub(super) fn set<T>(field: &mut Option<T>, read: Option<T>) -> Option<()> {
    *field = Some(read?);
    Some(())
}

/// Two digits mean 1970 to 2069, as in Athena.
pub(super) fn two_digit_year(year: u32) -> Option<i32> {
    let year = i32::try_from(year).ok()?;
    Some(if year >= 70 { year + 1900 } else { year + 2000 })
}

/// A weekday by its number from Monday, 1 to 7.
pub(super) fn weekday(number: u32) -> Option<Weekday> {
    let days = [
        Weekday::Mon,
        Weekday::Tue,
        Weekday::Wed,
        Weekday::Thu,
        Weekday::Fri,
        Weekday::Sat,
        Weekday::Sun,
    ];
    days.get(usize::try_from(number).ok()?.checked_sub(1)?)
        .copied()
}
