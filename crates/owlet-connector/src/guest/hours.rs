//! When queries may begin, as cron expressions. Must never look at a clock by itself.

use arrow::array::timezone::Tz;
use chrono::{DateTime, Datelike, Days, Local, NaiveDate, NaiveTime, TimeZone, Timelike, Utc};

/// The minutes in which a catalog may be used: those that any of the expressions names. An expression has cron's
/// five fields, minute, hour, day of month, month, day of week (0 to 7 or `sun`…`sat`; 0 and 7 are Sunday), each
/// `*` or a list of values, `a-b`, `a-b/step`, `*/step`. As in cron, when both day fields are restricted, a day
/// counts that either names. Ranges may run over the end (`22-5`).
#[derive(Debug, Clone)]
pub struct OpenHours {
    schedules: Vec<Schedule>,
    zone: Zone,
    text: String,
}

#[derive(Debug, Clone)]
struct Schedule {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    either_day: bool,
}

#[derive(Debug, Clone)]
enum Zone {
    Machine,
    Named(Tz, String),
}

/// No expression is looked ahead for longer: leap days come within eight years.
const LOOK_AHEAD_DAYS: u64 = 366 * 8;

const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];

impl OpenHours {
    /// Reads the expressions. `zone` is a name like `Europe/Berlin` or an offset like `+02:00`; without one the
    /// machine's zone counts.
    ///
    /// # Errors
    /// What is wrong.
    pub fn new(expressions: &[String], zone: Option<&str>) -> Result<Self, String> {
        if expressions.is_empty() {
            return Err("allow names no time at all: leave it out to allow every time".to_owned());
        }
        let schedules = expressions
            .iter()
            .map(|text| Schedule::new(text))
            .collect::<Result<Vec<_>, _>>()?;
        let zone = match zone {
            None => Zone::Machine,
            Some(name) => Zone::Named(
                name.parse().map_err(|_| {
                    format!("time zone {name:?} is unknown: write it like \"Europe/Berlin\"")
                })?,
                name.to_owned(),
            ),
        };
        let hours = Self {
            schedules,
            zone,
            text: expressions.join("\" or \""),
        };
        match hours.next_opening(Utc::now()) {
            Some(_) => Ok(hours),
            None => Err(format!("\"{}\" names no time that ever comes", hours.text)),
        }
    }

    /// The expressions for people.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A query may begin at this instant.
    pub fn is_open(&self, at: DateTime<Utc>) -> bool {
        let (day, time) = self.zone.local(at);
        self.schedules
            .iter()
            .any(|schedule| schedule.names_day(day) && schedule.names_time(time))
    }

    /// The first minute from this instant on in which a query may begin.
    pub fn next_opening(&self, from: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.is_open(from) {
            return Some(from);
        }
        let (first_day, _) = self.zone.local(from);
        // A local time that a clock change skips does not come; one that comes twice may be behind us already.
        (0..LOOK_AHEAD_DAYS)
            .filter_map(|days| first_day.checked_add_days(Days::new(days)))
            .filter(|day| {
                self.schedules
                    .iter()
                    .any(|schedule| schedule.names_day(*day))
            })
            .find_map(|day| {
                self.schedules
                    .iter()
                    .filter(|schedule| schedule.names_day(day))
                    .flat_map(Schedule::times)
                    .flat_map(|time| self.zone.instants(day, time))
                    .filter(|instant| *instant >= from)
                    .min()
            })
    }

    /// An instant as the zone's wall clock shows it, e.g. `2026-11-22 20:00 +01:00`.
    pub fn shown(&self, at: DateTime<Utc>) -> String {
        const FORMAT: &str = "%Y-%m-%d %H:%M";
        match &self.zone {
            Zone::Machine => at
                .with_timezone(&Local)
                .format("%Y-%m-%d %H:%M %:z")
                .to_string(),
            Zone::Named(zone, name) => format!("{} {name}", at.with_timezone(zone).format(FORMAT)),
        }
    }
}

impl Zone {
    fn local(&self, at: DateTime<Utc>) -> (NaiveDate, NaiveTime) {
        let local = match self {
            Self::Machine => at.with_timezone(&Local).naive_local(),
            Self::Named(zone, _) => at.with_timezone(zone).naive_local(),
        };
        (local.date(), local.time())
    }

    fn instants(&self, day: NaiveDate, time: NaiveTime) -> Vec<DateTime<Utc>> {
        let local = day.and_time(time);
        let both = match self {
            Self::Machine => {
                let found = Local.from_local_datetime(&local);
                [
                    found.earliest().map(|at| at.to_utc()),
                    found.latest().map(|at| at.to_utc()),
                ]
            }
            Self::Named(zone, _) => {
                let found = zone.from_local_datetime(&local);
                [
                    found.earliest().map(|at| at.to_utc()),
                    found.latest().map(|at| at.to_utc()),
                ]
            }
        };
        both.into_iter().flatten().collect()
    }
}

impl Schedule {
    fn new(text: &str) -> Result<Self, String> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields.as_slice() else {
            return Err(format!(
                "\"{text}\" has {} fields, not the five of cron: minute, hour, day of month, month, day of week \
                 (for example \"* 20-23,0-5 * * *\")",
                fields.len()
            ));
        };
        let wrong = |message: String| format!("\"{text}\": {message}");
        let mut weekday_set = set(weekdays, 0, 7, &WEEKDAYS, 0).map_err(wrong)?;
        if weekday_set & (1 << 7) != 0 {
            weekday_set |= 1;
        }
        Ok(Self {
            minutes: set(minutes, 0, 59, &[], 0).map_err(wrong)?,
            hours: set(hours, 0, 23, &[], 0).map_err(wrong)?,
            days: set(days, 1, 31, &[], 0).map_err(wrong)?,
            months: set(months, 1, 12, &MONTHS, 1).map_err(wrong)?,
            weekdays: weekday_set,
            either_day: !days.starts_with('*') && !weekdays.starts_with('*'),
        })
    }

    fn names_day(&self, day: NaiveDate) -> bool {
        let in_days = contains(self.days, day.day());
        let in_weekdays = contains(self.weekdays, day.weekday().num_days_from_sunday());
        let day_matches = if self.either_day {
            in_days || in_weekdays
        } else {
            in_days && in_weekdays
        };
        contains(self.months, day.month()) && day_matches
    }

    fn names_time(&self, time: NaiveTime) -> bool {
        contains(self.hours, time.hour()) && contains(self.minutes, time.minute())
    }

    fn times(&self) -> impl Iterator<Item = NaiveTime> + '_ {
        (0..24)
            .filter(|hour| contains(self.hours, *hour))
            .flat_map(|hour| {
                (0..60)
                    .filter(|minute| contains(self.minutes, *minute))
                    .filter_map(move |minute| NaiveTime::from_hms_opt(hour, minute, 0))
            })
    }
}

fn contains(set: u64, value: u32) -> bool {
    set & (1 << value) != 0
}

/// A field as a set of bits. `names` stand for the values from `first_name` on.
fn set(field: &str, least: u32, most: u32, names: &[&str], first_name: u32) -> Result<u64, String> {
    let number = |text: &str| -> Result<u32, String> {
        let named = names
            .iter()
            .position(|name| name.eq_ignore_ascii_case(text))
            .map(|position| position as u32 + first_name);
        named
            .or_else(|| text.parse().ok())
            .filter(|value| (least..=most).contains(value))
            .ok_or_else(|| format!("{text:?} is no value from {least} to {most}"))
    };
    let mut bits = 0;
    for part in field.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => {
                let step = step.parse().ok().filter(|step: &u32| *step > 0);
                (
                    range,
                    step.ok_or_else(|| format!("{part:?} has no positive step"))?,
                )
            }
            None => (part, 1),
        };
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (least, most),
            Some((from, to)) => (number(from)?, number(to)?),
            None if step > 1 => (number(range)?, most),
            None => (number(range)?, number(range)?),
        };
        // A range over the end goes on at the beginning; Sunday is 0 and 7, so weekdays have seven values.
        let values = if names.len() == 7 {
            7
        } else {
            most - least + 1
        };
        let length = if to >= from {
            to - from
        } else {
            to + values - from
        };
        for offset in (0..=length).step_by(step as usize) {
            let value = from + offset;
            let value = if value > most { value - values } else { value };
            bits |= 1 << value;
        }
    }
    Ok(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin(expressions: &[&str]) -> OpenHours {
        let owned: Vec<String> = expressions.iter().map(|text| (*text).to_owned()).collect();
        OpenHours::new(&owned, Some("Europe/Berlin")).expect("valid")
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("an instant")
    }

    #[test]
    fn nights_and_week_ends() {
        let hours = berlin(&["* 20-5 * * *", "* * * * sat,sun"]);
        // 2026-11-23 is a Monday; Berlin is an hour ahead of UTC then.
        assert!(hours.is_open(at("2026-11-23T19:00:00Z")));
        assert!(!hours.is_open(at("2026-11-23T18:59:59Z")));
        assert!(hours.is_open(at("2026-11-23T04:59:59Z")));
        assert!(!hours.is_open(at("2026-11-23T05:00:00Z")));
        assert!(hours.is_open(at("2026-11-22T11:00:00Z")), "a Sunday noon");
        let next = hours
            .next_opening(at("2026-11-23T09:30:00Z"))
            .expect("comes");
        assert_eq!(next, at("2026-11-23T19:00:00Z"));
        assert_eq!(hours.shown(next), "2026-11-23 20:00 Europe/Berlin");
        let open_already = at("2026-11-22T11:00:30Z");
        assert_eq!(hours.next_opening(open_already), Some(open_already));
    }

    #[test]
    fn lists_steps_and_names() {
        let hours = berlin(&["*/15,59 8-18/5 * jan-mar mon-fri"]);
        for (instant, open) in [
            ("2026-01-05T07:00:00Z", true),
            ("2026-01-05T07:59:00Z", true),
            ("2026-01-05T07:20:00Z", false),
            ("2026-01-05T12:15:00Z", true),
            ("2026-01-05T13:15:00Z", false),
            ("2026-01-04T07:00:00Z", false),
            ("2026-04-06T06:00:00Z", false),
        ] {
            assert_eq!(hours.is_open(at(instant)), open, "{instant}");
        }
    }

    #[test]
    fn either_day_field_counts_when_both_are_given() {
        let hours = berlin(&["0 12 1 * sun"]);
        assert!(
            hours.is_open(at("2026-12-01T11:00:00Z")),
            "the first, a Tuesday"
        );
        assert!(hours.is_open(at("2026-12-06T11:00:00Z")), "a Sunday");
        assert!(!hours.is_open(at("2026-12-07T11:00:00Z")));
        assert_eq!(
            berlin(&["0 12 29 2 *"]).next_opening(at("2026-11-23T00:00:00Z")),
            Some(at("2028-02-29T11:00:00Z"))
        );
    }

    #[test]
    fn seven_is_sunday_and_ranges_run_over_the_end() {
        for expression in ["* * * * 7", "* * * * 0", "* * * * sat-sun"] {
            assert!(
                berlin(&[expression]).is_open(at("2026-11-22T11:00:00Z")),
                "{expression}"
            );
        }
        let week_end = berlin(&["* * * * fri-mon"]);
        assert!(week_end.is_open(at("2026-11-23T11:00:00Z")));
        assert!(!week_end.is_open(at("2026-11-24T11:00:00Z")));
    }

    #[test]
    fn skipped_and_repeated_hours() {
        // On 2026-03-29 Berlin has no 02:30; on 2026-10-25 it has it twice.
        let hours = berlin(&["30 2 * * *"]);
        assert_eq!(
            hours.next_opening(at("2026-03-28T23:00:00Z")),
            Some(at("2026-03-30T00:30:00Z"))
        );
        assert_eq!(
            hours.next_opening(at("2026-10-25T00:45:00Z")),
            Some(at("2026-10-25T01:30:00Z"))
        );
    }

    #[test]
    fn mistakes_are_named() {
        for (wrong, part) in [
            ("* * * *", "4 fields"),
            ("60 * * * *", "\"60\""),
            ("* 9-25 * * *", "\"25\""),
            ("*/0 * * * *", "step"),
            ("* * * * noday", "noday"),
            ("0 0 30 2 *", "ever comes"),
        ] {
            let error = OpenHours::new(&[wrong.to_owned()], None).expect_err("wrong");
            assert!(error.contains(part), "{wrong}: {error}");
        }
        assert!(OpenHours::new(&["* * * * *".to_owned()], Some("Mars/Olympus")).is_err());
        assert!(OpenHours::new(&[], None).is_err());
    }
}
