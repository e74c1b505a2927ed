//! `timestamp + interval` in a zone whose clocks are changed. It must never know how it is written.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::IntervalMonthDayNanoType;
use chrono::Months;
use datafusion_common::{Result, exec_datafusion_err};
use datafusion_expr::ScalarUDF;

use super::super::moments::{self, Moments};
use super::super::scalar::Kind::{Interval, Timestamp};
use super::super::scalar::Overload::Exact;
use super::super::scalar::{Call, function, returns};

/// `timestamp + interval`.
pub(crate) static LATER: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Arc::new(function(
        &["owlet_later"],
        &[Exact(&[Timestamp, Interval])],
        returns::first,
        |call| moved(call, 1),
    ))
});

/// `timestamp - interval`.
pub(crate) static EARLIER: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Arc::new(function(
        &["owlet_earlier"],
        &[Exact(&[Timestamp, Interval])],
        returns::first,
        |call| moved(call, -1),
    ))
});

/// Months pass on the calendar of the zone; days have 24 hours, as in Athena's intervals, whatever its clocks do.
fn moved(call: &Call<'_>, direction: i32) -> Result<ArrayRef> {
    const NANOSECONDS_OF_A_DAY: i128 = 86_400_000_000_000;
    let moments = Moments::try_new(&call.arrays[0])?;
    let intervals = call.arrays[1].as_primitive::<IntervalMonthDayNanoType>();
    let out_of_range = || exec_datafusion_err!("timestamp out of range");
    let step = i128::from(1_000_000_000 / moments::per_second(moments.unit()));
    let values = call.values(|row| {
        let interval = intervals.value(row);
        let months = interval
            .months
            .checked_mul(direction)
            .ok_or_else(out_of_range)?;
        let moved = match months {
            0 => moments.raw(row),
            months => {
                let count = Months::new(months.unsigned_abs());
                let local = moments.local(row)?;
                let local = match months > 0 {
                    true => local.checked_add_months(count),
                    false => local.checked_sub_months(count),
                };
                moments.raw_moved(row, local.ok_or_else(out_of_range)?)?
            }
        };
        let length =
            i128::from(interval.days) * NANOSECONDS_OF_A_DAY + i128::from(interval.nanoseconds);
        let sum = i128::from(moved) + (length * i128::from(direction)).div_euclid(step);
        i64::try_from(sum).map(Some).map_err(|_| out_of_range())
    })?;
    moments::array_of(values, call.return_type)
}
