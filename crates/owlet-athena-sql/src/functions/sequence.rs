//! `sequence`: numbers, dates and timestamps in steps. It must never know tables.

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Field, IntervalMonthDayNano, IntervalMonthDayNanoType};
use chrono::{Days, Months, NaiveDateTime, TimeDelta};
use datafusion_common::{Result, exec_datafusion_err, exec_err, plan_err};
use datafusion_expr::ScalarUDF;

use super::lists;
use super::moments::{self, Moments};
use super::scalar::Kind::{Bigint, Date, Interval, Timestamp};
use super::scalar::Overload::Exact;
use super::scalar::{Call, CallTypes, function};
use super::type_names::sql_name;
use crate::functions::conversion::cast;
use crate::types;

const NANOSECONDS_PER_DAY: i64 = 86_400_000_000_000;

/// Athena's own limit.
const LONGEST: usize = 10_000;

pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![function(
        &["sequence"],
        &[
            Exact(&[Bigint, Bigint]),
            Exact(&[Bigint, Bigint, Bigint]),
            Exact(&[Date, Date]),
            Exact(&[Date, Date, Interval]),
            Exact(&[Timestamp, Timestamp, Interval]),
        ],
        return_type,
        |call| match call.arrays[0].data_type() {
            DataType::Int64 => numbers(call),
            _ => moments(call),
        },
    )]
}

fn return_type(call: &CallTypes<'_>) -> Result<Field> {
    if call.types[0] != call.types[1] && !call.types[0].is_temporal() {
        let names: Vec<String> = call.types.iter().map(sql_name).collect();
        return plan_err!("sequence: ({}) do not go together", names.join(", "));
    }
    Ok(Field::new(
        "",
        types::list_type(call.types[0].clone()),
        true,
    ))
}

fn too_long<T>() -> Result<T> {
    exec_err!("sequence: the result has more than {LONGEST} elements")
}

fn numbers(call: &Call<'_>) -> Result<ArrayRef> {
    let (starts, stops) = (call.bigints(0)?, call.bigints(1)?);
    let steps = if call.arrays.len() > 2 {
        Some(call.bigints(2)?)
    } else {
        None
    };
    rows(call, |row| {
        let (start, stop) = (starts.value(row), stops.value(row));
        let step = steps.map_or(if start <= stop { 1 } else { -1 }, |steps| steps.value(row));
        check_direction(step.signum(), stop.cmp(&start) as i64)?;
        let count = (i128::from(stop) - i128::from(start)) / i128::from(step) + 1;
        if count > LONGEST as i128 {
            return too_long();
        }
        Ok((0..)
            .map_while(|nth: i64| start.checked_add(nth.checked_mul(step)?))
            .take(count as usize)
            .collect())
    })
}

fn check_direction(step: i64, distance: i64) -> Result<()> {
    match step == 0 || step * distance < 0 {
        true => exec_err!("sequence: the step does not lead from start to stop"),
        false => Ok(()),
    }
}

fn moments(call: &Call<'_>) -> Result<ArrayRef> {
    let (starts, stops) = (
        Moments::try_new(&call.arrays[0])?,
        Moments::try_new(&call.arrays[1])?,
    );
    let steps = call
        .arrays
        .get(2)
        .map(|steps| steps.as_primitive::<IntervalMonthDayNanoType>());
    rows(call, |row| {
        let (start, stop) = (starts.local(row)?, stops.local(row)?);
        let direction = if start <= stop { 1 } else { -1 };
        let step = steps.map_or(IntervalMonthDayNano::new(0, direction, 0), |steps| {
            steps.value(row)
        });
        if starts.is_date() && step.nanoseconds % NANOSECONDS_PER_DAY != 0 {
            return exec_err!(
                "sequence: a step from DATE to DATE is whole days, months or years; cast start and stop to TIMESTAMP"
            );
        }
        let second = stepped(start, step, 1)?;
        check_direction(second.cmp(&start) as i64, stop.cmp(&start) as i64)?;
        let mut values = Vec::new();
        for nth in 0.. {
            let moment = stepped(start, step, nth)?;
            let beyond = if second > start {
                moment > stop
            } else {
                moment < stop
            };
            if beyond {
                break;
            }
            if values.len() == LONGEST {
                return too_long();
            }
            values.push(starts.raw_from_local(moment)?);
        }
        Ok(values)
    })
}

/// The n-th step counts from the start, so that a month after the 31st does not stay on the 28th.
fn stepped(start: NaiveDateTime, step: IntervalMonthDayNano, nth: i32) -> Result<NaiveDateTime> {
    let moved = || {
        let months = step.months.checked_mul(nth)?;
        let moved = match u32::try_from(months) {
            Ok(months) => start.checked_add_months(Months::new(months))?,
            Err(_) => start.checked_sub_months(Months::new(months.unsigned_abs()))?,
        };
        let days = step.days.checked_mul(nth)?;
        let moved = match u64::try_from(days) {
            Ok(days) => moved.checked_add_days(Days::new(days))?,
            Err(_) => moved.checked_sub_days(Days::new(u64::from(days.unsigned_abs())))?,
        };
        moved.checked_add_signed(TimeDelta::nanoseconds(
            step.nanoseconds.checked_mul(i64::from(nth))?,
        ))
    };
    moved().ok_or_else(|| exec_datafusion_err!("sequence: out of range"))
}

fn rows(
    call: &Call<'_>,
    mut row_values: impl FnMut(usize) -> Result<Vec<i64>>,
) -> Result<ArrayRef> {
    let (mut values, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..call.rows {
        let null = call.has_null(row);
        let own = if null { Vec::new() } else { row_values(row)? };
        lengths.push(own.len());
        valid.push(!null);
        values.extend(own.into_iter().map(Some));
    }
    let element = lists::element_field(call.return_type)?.data_type();
    let values = match element {
        DataType::Int64 => cast(&Int64Array::from(values), element)?,
        _ => moments::array_of(values, element)?,
    };
    lists::lists_of(values, lengths, valid, call.return_type)
}
