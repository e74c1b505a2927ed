//! Arithmetic on the calendar: `date_trunc`, `date_add`, `date_diff`. It must never know texts of dates.

use arrow::array::ArrayRef;
use chrono::{Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike};
use datafusion_common::{DataFusionError, Result, exec_datafusion_err, exec_err};
use datafusion_expr::ScalarUDF;

use super::super::moments::{self, Moments};
use super::super::scalar::Kind::{Bigint, Temporal, Text};
use super::super::scalar::Overload::Exact;
use super::super::scalar::{Call, function, returns};

pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![
        function(
            &["date_trunc"],
            &[Exact(&[Text, Temporal])],
            |call| {
                Ok(arrow::datatypes::Field::new(
                    "",
                    call.types[1].clone(),
                    true,
                ))
            },
            date_trunc,
        ),
        function(
            &["date_add"],
            &[Exact(&[Text, Bigint, Temporal])],
            |call| {
                Ok(arrow::datatypes::Field::new(
                    "",
                    call.types[2].clone(),
                    true,
                ))
            },
            date_add,
        ),
        function(
            &["date_diff"],
            &[Exact(&[Text, Temporal, Temporal])],
            returns::bigint,
            date_diff,
        ),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    Millisecond,
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl Unit {
    fn read(name: &str, call: &Call<'_>) -> Result<Self> {
        Ok(match name.to_lowercase().as_str() {
            "millisecond" => Self::Millisecond,
            "second" => Self::Second,
            "minute" => Self::Minute,
            "hour" => Self::Hour,
            "day" => Self::Day,
            "week" => Self::Week,
            "month" => Self::Month,
            "quarter" => Self::Quarter,
            "year" => Self::Year,
            _ => {
                return exec_err!(
                    "{}: '{name}' is not a unit (millisecond, second, minute, hour, day, week, month, quarter, year)",
                    call.name
                );
            }
        })
    }

    /// Nanoseconds of the units that always last equally long.
    fn nanoseconds(self) -> Option<i64> {
        match self {
            Self::Millisecond => Some(1_000_000),
            Self::Second => Some(1_000_000_000),
            Self::Minute => Some(60_000_000_000),
            Self::Hour => Some(3_600_000_000_000),
            _ => None,
        }
    }
}

/// Units are almost always one literal; it is read once, not per row.
struct Units<'a> {
    call: &'a Call<'a>,
    last: Option<(String, Unit)>,
}

impl<'a> Units<'a> {
    fn new(call: &'a Call<'a>) -> Self {
        Self { call, last: None }
    }

    fn unit(&mut self, name: &str) -> Result<Unit> {
        if let Some((known, unit)) = &self.last
            && known == name
        {
            return Ok(*unit);
        }
        let unit = Unit::read(name, self.call)?;
        self.last = Some((name.to_owned(), unit));
        Ok(unit)
    }
}

fn out_of_range() -> DataFusionError {
    exec_datafusion_err!("date or timestamp out of range")
}

fn check_unit(call: &Call<'_>, unit: Unit, moments: &Moments) -> Result<()> {
    if moments.is_date() && unit < Unit::Day {
        return exec_err!("{}: a DATE has no {unit:?}s", call.name);
    }
    if moments.is_time() && unit >= Unit::Day {
        return exec_err!("{}: a TIME has no {unit:?}s", call.name);
    }
    Ok(())
}

fn date_trunc(call: &Call<'_>) -> Result<ArrayRef> {
    let names = call.texts(0)?;
    let moments = Moments::try_new(&call.arrays[1])?;
    let mut units = Units::new(call);
    let values = call.values(|row| {
        let unit = units.unit(names.value(row))?;
        if moments.is_time() && unit >= Unit::Day {
            check_unit(call, unit, &moments)?;
        }
        if let Some(step) = unit.nanoseconds() {
            return truncate_fixed(&moments, row, step).map(Some);
        }
        let local = first_day(moments.local(row)?.date(), unit)?.and_time(NaiveTime::MIN);
        moments.raw_moved(row, local).map(Some)
    })?;
    moments::array_of(values, call.return_type)
}

/// Hours and smaller units count from local midnight, but what is too much is taken off the moment itself: the way to
/// local time and back would merge the two hours that a clock shows when it is put back.
fn truncate_fixed(moments: &Moments, row: usize, step: i64) -> Result<i64> {
    if moments.is_date() {
        return Ok(moments.raw(row));
    }
    let local = moments.local(row)?;
    let since_midnight = i64::from(local.num_seconds_from_midnight()) * 1_000_000_000
        + i64::from(local.nanosecond());
    let per_unit = 1_000_000_000 / moments::per_second(moments.unit());
    moments
        .raw(row)
        .checked_sub(since_midnight % step / per_unit)
        .ok_or_else(out_of_range)
}

fn first_day(date: NaiveDate, unit: Unit) -> Result<NaiveDate> {
    let first = match unit {
        Unit::Week => {
            date.checked_sub_days(Days::new(u64::from(date.weekday().num_days_from_monday())))
        }
        Unit::Month => date.with_day(1),
        Unit::Quarter => date
            .with_day(1)
            .and_then(|first| first.with_month(date.month0() / 3 * 3 + 1)),
        Unit::Year => NaiveDate::from_ymd_opt(date.year(), 1, 1),
        _ => Some(date),
    };
    first.ok_or_else(out_of_range)
}

fn date_add(call: &Call<'_>) -> Result<ArrayRef> {
    let (names, counts) = (call.texts(0)?, call.bigints(1)?);
    let moments = Moments::try_new(&call.arrays[2])?;
    let mut units = Units::new(call);
    let values = call.values(|row| {
        let unit = units.unit(names.value(row))?;
        check_unit(call, unit, &moments)?;
        let count = counts.value(row);
        if let Some(step) = unit.nanoseconds() {
            return add_fixed(&moments, row, count, step).map(Some);
        }
        moments
            .raw_moved(row, added(moments.local(row)?, count, unit)?)
            .map(Some)
    })?;
    moments::array_of(values, call.return_type)
}

/// Hours and smaller units pass in the zone's own time, whatever its clocks do; a TIME starts again at midnight.
fn add_fixed(moments: &Moments, row: usize, count: i64, step: i64) -> Result<i64> {
    let per_unit = 1_000_000_000 / moments::per_second(moments.unit());
    let nanoseconds = i128::from(count) * i128::from(step);
    let sum = i128::from(moments.raw(row)) + nanoseconds.div_euclid(i128::from(per_unit));
    let sum = match moments.is_time() {
        true => sum.rem_euclid(i128::from(86_400 * moments::per_second(moments.unit()))),
        false => sum,
    };
    i64::try_from(sum).map_err(|_| out_of_range())
}

/// The 31st plus a month is the last day of the next month.
fn added(local: NaiveDateTime, count: i64, unit: Unit) -> Result<NaiveDateTime> {
    let (months, days) = match unit {
        Unit::Year => (count.checked_mul(12), Some(0)),
        Unit::Quarter => (count.checked_mul(3), Some(0)),
        Unit::Month => (Some(count), Some(0)),
        Unit::Week => (Some(0), count.checked_mul(7)),
        _ => (Some(0), Some(count)),
    };
    let (months, days) = (
        months.ok_or_else(out_of_range)?,
        days.ok_or_else(out_of_range)?,
    );
    let length = u32::try_from(months.unsigned_abs()).map_err(|_| out_of_range())?;
    let moved = match months < 0 {
        true => local.checked_sub_months(Months::new(length)),
        false => local.checked_add_months(Months::new(length)),
    };
    let moved = moved.ok_or_else(out_of_range)?;
    let length = Days::new(days.unsigned_abs());
    let moved = if days < 0 {
        moved.checked_sub_days(length)
    } else {
        moved.checked_add_days(length)
    };
    moved.ok_or_else(out_of_range)
}

fn date_diff(call: &Call<'_>) -> Result<ArrayRef> {
    let names = call.texts(0)?;
    let (from, to) = (
        Moments::try_new(&call.arrays[1])?,
        Moments::try_new(&call.arrays[2])?,
    );
    if from.is_time() != to.is_time() {
        return exec_err!("date_diff: a TIME and a date cannot be compared");
    }
    let mut units = Units::new(call);
    call.bigint(|row| {
        let unit = units.unit(names.value(row))?;
        if from.is_time() {
            check_unit(call, unit, &from)?;
        }
        if let Some(step) = unit.nanoseconds() {
            let difference = (to.nanoseconds(row) - from.nanoseconds(row)) / i128::from(step);
            return i64::try_from(difference)
                .map(Some)
                .map_err(|_| out_of_range());
        }
        // Both are read in the zone of the first.
        let (from, to) = (from.local(row)?, to.local_in(row, from.zone())?);
        if to < from {
            return difference(to, from, unit).map(|length| Some(-length));
        }
        difference(from, to, unit).map(Some)
    })
}

/// Whole units from one local time to a later one. From the 31st to the last day of a shorter month is a whole month.
/// The caller puts the two in order: taking months off the later one would count otherwise.
fn difference(from: NaiveDateTime, to: NaiveDateTime, unit: Unit) -> Result<i64> {
    let day = TimeDelta::days(1).num_milliseconds();
    match unit {
        Unit::Day => return Ok(to.signed_duration_since(from).num_milliseconds() / day),
        Unit::Week => return Ok(to.signed_duration_since(from).num_milliseconds() / (7 * day)),
        _ => {}
    }
    let month = |moment: NaiveDateTime| i64::from(moment.year()) * 12 + i64::from(moment.month0());
    let mut months = month(to) - month(from);
    if added(from, months, Unit::Month)? > to {
        months -= 1;
    }
    Ok(match unit {
        Unit::Quarter => months / 3,
        Unit::Year => months / 12,
        _ => months,
    })
}

pub(super) fn last_of_month(date: NaiveDate) -> Result<NaiveDate> {
    let next = date
        .with_day(1)
        .and_then(|first| first.checked_add_months(Months::new(1)));
    next.and_then(|next| next.pred_opt())
        .ok_or_else(out_of_range)
}

/// `1 week, 2 days, 3 hours, 4 minutes, 5 seconds`.
pub(super) fn human_readable(seconds: f64) -> String {
    let total = seconds.abs().round() as u64;
    let parts = [
        (total / 604_800, "week"),
        (total / 86_400 % 7, "day"),
        (total / 3_600 % 24, "hour"),
        (total / 60 % 60, "minute"),
        (total % 60, "second"),
    ];
    let plural = |count: u64| if count == 1 { "" } else { "s" };
    let shown: Vec<String> = parts
        .iter()
        .filter(|(count, name)| *count > 0 || (*name == "second" && total == 0))
        .map(|(count, name)| format!("{count} {name}{}", plural(*count)))
        .collect();
    shown.join(", ")
}
