//! Functions on dates and times. It must never know tables.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::DatePart;
use arrow::datatypes::{DataType, Field, Int32Type, IntervalMonthDayNanoType, TimeUnit};
use datafusion_common::{Result, exec_err, plan_err};
use datafusion_expr::{Expr, ScalarUDF, cast as cast_expression, lit};

use super::moments::{self, Moments};
use super::scalar::Kind::{Any, Bigint, Date, Double, Interval, Temporal, Text, Timestamp};
use super::scalar::Overload::{Exact, Variadic};
use super::scalar::{Call, CallTypes, function, function_with_plainer_form, returns};
use crate::functions::conversion::cast;
use crate::types::SESSION_ZONE;
use crate::zones;

mod calendar;
mod date_part;
mod iso8601;
mod joda;
pub(crate) mod moved;
mod mysql;
mod parsed;

/// All of them.
pub(super) fn functions() -> Vec<ScalarUDF> {
    let mut functions = fields();
    functions.extend(calendar::functions());
    functions.extend(iso8601::functions());
    functions.extend(conversions());
    functions.extend(formats());
    functions.extend(refused());
    functions.push(date_part::FUNCTION.as_ref().clone());
    functions
}

macro_rules! field {
    ($names:expr, $part:expr) => {
        function(
            $names,
            &[Exact(&[Temporal]), Exact(&[Interval])],
            returns::bigint,
            |call| part(call, $part),
        )
    };
    ($names:expr, $part:expr, $known_as:literal) => {
        function_with_plainer_form(
            $names,
            &[Exact(&[Temporal]), Exact(&[Interval])],
            returns::bigint,
            |call| part(call, $part),
            |arguments, data_type| plain_date_part($known_as, arguments, data_type),
        )
    };
}

/// `CAST(date_part('year', x) AS BIGINT)`: sources know it, and a comparison with a year becomes a range of dates.
fn plain_date_part(part: &str, arguments: &[Expr], data_type: &DataType) -> Option<Expr> {
    let is_plain = match data_type {
        DataType::Date32 | DataType::Timestamp(_, None) => true,
        DataType::Timestamp(_, Some(zone)) => zone.as_ref() == SESSION_ZONE,
        _ => false,
    };
    let call = date_part::FUNCTION.call(vec![lit(part), arguments.first()?.clone()]);
    is_plain.then(|| cast_expression(call, DataType::Int64))
}

fn fields() -> Vec<ScalarUDF> {
    vec![
        field!(&["year"], DatePart::Year, "year"),
        field!(&["quarter"], DatePart::Quarter, "quarter"),
        field!(&["month"], DatePart::Month, "month"),
        field!(&["week", "week_of_year"], DatePart::WeekISO, "week"),
        field!(&["day", "day_of_month"], DatePart::Day, "day"),
        field!(&["day_of_week", "dow"], DatePart::DayOfWeekMonday0),
        field!(&["day_of_year", "doy"], DatePart::DayOfYear, "doy"),
        field!(&["year_of_week", "yow"], DatePart::YearISO),
        field!(&["hour"], DatePart::Hour, "hour"),
        field!(&["minute"], DatePart::Minute, "minute"),
        field!(&["second"], DatePart::Second),
        field!(&["millisecond"], DatePart::Millisecond),
        function(
            &["timezone_hour"],
            &[Exact(&[Timestamp])],
            returns::bigint,
            |call| offset(call, 3600, 24),
        ),
        function(
            &["timezone_minute"],
            &[Exact(&[Timestamp])],
            returns::bigint,
            |call| offset(call, 60, 60),
        ),
        function(
            &["last_day_of_month"],
            &[Exact(&[Timestamp])],
            returns::date,
            |call| {
                let moments = Moments::try_new(&call.arrays[0])?;
                call.date(|row| {
                    moments::date32(calendar::last_of_month(moments.local(row)?.date())?).map(Some)
                })
            },
        ),
    ]
}

fn part(call: &Call<'_>, part: DatePart) -> Result<ArrayRef> {
    let array = &call.arrays[0];
    if let DataType::Interval(_) = array.data_type() {
        return interval_part(call, part);
    }
    let numbers = match part {
        // Milliseconds of the second, not of the minute.
        DatePart::Millisecond => {
            let moments = Moments::try_new(array)?;
            return call.bigint(|row| {
                Ok(Some(i64::from(
                    moments.local(row)?.and_utc().timestamp_subsec_millis(),
                )))
            });
        }
        _ => date_part::of_array(array, part)?,
    };
    if part == DatePart::DayOfWeekMonday0 {
        let weekdays = numbers.as_primitive::<Int32Type>();
        return Ok(Arc::new(Int64Array::from_iter(
            weekdays.iter().map(|day| day.map(|day| i64::from(day) + 1)),
        )));
    }
    Ok(cast(&numbers, &DataType::Int64)?)
}

/// Days and smaller units form one length of time, months and years another.
fn interval_part(call: &Call<'_>, part: DatePart) -> Result<ArrayRef> {
    let intervals = call.arrays[0].as_primitive::<IntervalMonthDayNanoType>();
    call.bigint(|row| {
        let interval = intervals.value(row);
        let months = i64::from(interval.months);
        let milliseconds = i64::from(interval.days) * 86_400_000 + interval.nanoseconds / 1_000_000;
        Ok(Some(match part {
            DatePart::Year => months / 12,
            DatePart::Month => months % 12,
            DatePart::Day => milliseconds / 86_400_000,
            DatePart::Hour => milliseconds / 3_600_000 % 24,
            DatePart::Minute => milliseconds / 60_000 % 60,
            DatePart::Second => milliseconds / 1_000 % 60,
            DatePart::Millisecond => milliseconds % 1_000,
            _ => return exec_err!("{} does not apply to an interval", call.name),
        }))
    })
}

fn offset(call: &Call<'_>, unit: i64, modulus: i64) -> Result<ArrayRef> {
    let moments = Moments::try_new(&call.arrays[0])?;
    call.bigint(|row| {
        Ok(Some(
            i64::from(moments.offset_seconds(row)?) / unit % modulus,
        ))
    })
}

fn conversions() -> Vec<ScalarUDF> {
    vec![
        function(
            &["at_timezone"],
            &[Exact(&[Timestamp, Text])],
            |call| zoned(call, unit_of(&call.types[0])),
            |call| {
                // Values without a zone are moments of the session's zone, which is UTC.
                let moments = Moments::try_new(&call.arrays[0])?;
                let values = call.values(|row| Ok(Some(moments.raw(row))))?;
                moments::array_of(values, call.return_type)
            },
        ),
        function(
            &["with_timezone"],
            &[Exact(&[Timestamp, Text])],
            |call| zoned(call, unit_of(&call.types[0])),
            |call| {
                let moments = Moments::try_new(&call.arrays[0])?;
                let zone = zone_of(call.return_type)?;
                let values = call.values(|row| {
                    moments::raw_timestamp(
                        moments::to_utc(moments.local(row)?, zone)?,
                        moments.unit(),
                    )
                    .map(Some)
                })?;
                moments::array_of(values, call.return_type)
            },
        ),
        function(
            &["from_unixtime"],
            &[
                Exact(&[Double]),
                Exact(&[Double, Text]),
                Exact(&[Double, Bigint, Bigint]),
            ],
            |call| match call.types.len() {
                2 => zoned(call, TimeUnit::Millisecond),
                _ => Ok(Field::new(
                    "",
                    timestamp_type(TimeUnit::Millisecond, SESSION_ZONE),
                    true,
                )),
            },
            from_unixtime,
        ),
        function(
            &["from_unixtime_nanos"],
            &[Exact(&[Bigint])],
            |_| {
                Ok(Field::new(
                    "",
                    timestamp_type(TimeUnit::Nanosecond, SESSION_ZONE),
                    true,
                ))
            },
            |call| {
                let nanoseconds = call.bigints(0)?;
                let values = call.values(|row| Ok(Some(nanoseconds.value(row))))?;
                moments::array_of(values, call.return_type)
            },
        ),
        function(
            &["to_unixtime"],
            &[Exact(&[Timestamp])],
            returns::double,
            |call| {
                let moments = Moments::try_new(&call.arrays[0])?;
                let per_second = moments::per_second(moments.unit()) as f64;
                call.double(|row| Ok(Some(moments.raw(row) as f64 / per_second)))
            },
        ),
        function(
            &["date"],
            &[Exact(&[Timestamp]), Exact(&[Text]), Exact(&[Date])],
            returns::date,
            |call| {
                let source = Field::new("", call.arrays[0].data_type().clone(), true);
                let target = Field::new("", DataType::Date32, true);
                super::conversion::convert(
                    &call.arrays[0],
                    &source,
                    &target,
                    super::conversion::OnError::Fail,
                )
            },
        ),
        function(
            &["to_milliseconds"],
            &[Exact(&[Interval])],
            returns::bigint,
            |call| {
                let intervals = call.arrays[0].as_primitive::<IntervalMonthDayNanoType>();
                call.bigint(|row| {
                    let interval = intervals.value(row);
                    Ok(Some(
                        i64::from(interval.days) * 86_400_000 + interval.nanoseconds / 1_000_000,
                    ))
                })
            },
        ),
        function(
            &["human_readable_seconds"],
            &[Exact(&[Double])],
            returns::text,
            |call| {
                let seconds = call.doubles(0)?;
                call.text(|row| Ok(Some(calendar::human_readable(seconds.value(row)))))
            },
        ),
        function(
            &["current_timezone"],
            &[Exact(&[])],
            returns::text,
            |call| call.text(|_| Ok(Some(SESSION_ZONE.into()))),
        ),
    ]
}

fn formats() -> Vec<ScalarUDF> {
    let zoned_milliseconds = |_: &CallTypes<'_>| {
        Ok(Field::new(
            "",
            timestamp_type(TimeUnit::Millisecond, SESSION_ZONE),
            true,
        ))
    };
    vec![
        function(
            &["date_format"],
            &[Exact(&[Timestamp, Text])],
            returns::text,
            mysql::format,
        ),
        function(
            &["date_parse"],
            &[Exact(&[Text, Text])],
            |_| {
                Ok(Field::new(
                    "",
                    DataType::Timestamp(TimeUnit::Millisecond, None),
                    true,
                ))
            },
            mysql::parse,
        ),
        function(
            &["format_datetime"],
            &[Exact(&[Timestamp, Text])],
            returns::text,
            joda::format,
        ),
        function(
            &["parse_datetime"],
            &[Exact(&[Text, Text])],
            zoned_milliseconds,
            joda::parse,
        ),
    ]
}

/// Functions of DataFusion whose patterns are of a language that Athena does not have: they would read the patterns of
/// Teradata's functions of the same names wrongly without a word.
fn refused() -> Vec<ScalarUDF> {
    const NAMES: [&[&str]; 3] = [&["to_char"], &["to_date"], &["to_timestamp"]];
    let refused = |names| {
        function(names, &[Variadic(&[Any])], not_of_athena, |call| {
            exec_err!("{} is not a function of Athena", call.name)
        })
    };
    NAMES.into_iter().map(refused).collect()
}

fn not_of_athena(call: &CallTypes<'_>) -> Result<Field> {
    let instead = match call.name {
        "to_char" => "date_format(x, '%Y-%m-%d')",
        "to_date" => "CAST(date_parse(x, '%Y-%m-%d') AS date)",
        _ => "date_parse(x, '%Y-%m-%d %H:%i:%s')",
    };
    plan_err!("{} is not a function of Athena; use {instead}", call.name)
}

fn timestamp_type(unit: TimeUnit, zone: &str) -> DataType {
    DataType::Timestamp(unit, Some(zone.into()))
}

fn unit_of(data_type: &DataType) -> TimeUnit {
    match data_type {
        DataType::Timestamp(unit, _) => *unit,
        _ => TimeUnit::Millisecond,
    }
}

/// A timestamp whose zone is the second argument: a column has one zone, so it must be a literal.
fn zoned(call: &CallTypes<'_>, unit: TimeUnit) -> Result<Field> {
    match call.literal_text(1) {
        Some(zone) => Ok(Field::new(
            "",
            timestamp_type(unit, &zones::canonical(zone)?),
            true,
        )),
        None => plan_err!("{}: the time zone must be a literal text", call.name),
    }
}

fn zone_of(data_type: &DataType) -> Result<Option<arrow::array::timezone::Tz>> {
    match data_type {
        DataType::Timestamp(_, Some(zone)) => Ok(Some(zone.parse()?)),
        _ => Ok(None),
    }
}

fn from_unixtime(call: &Call<'_>) -> Result<ArrayRef> {
    let seconds = call.doubles(0)?;
    let values = call.values(|row| {
        let milliseconds = (seconds.value(row) * 1000.0).round();
        if !milliseconds.is_finite() || milliseconds.abs() > 9.2e18 {
            return exec_err!("from_unixtime: {} is out of range", seconds.value(row));
        }
        Ok(Some(milliseconds as i64))
    })?;
    moments::array_of(values, call.return_type)
}
