//! Intervals as Athena counts them: months are one number; days, hours and smaller units are another, so that 24 hours
//! are a day. Arrow keeps days and nanoseconds apart and compares them one after the other, which is right where every
//! interval is canonical: days and nanoseconds of one sign, and less than a day of nanoseconds.
//! It must never know where an interval comes from.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, IntervalMonthDayNanoArray, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, DurationMicrosecondType, DurationMillisecondType,
    DurationNanosecondType, DurationSecondType, Field, IntervalMonthDayNano,
    IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
};
use datafusion_common::tree_node::Transformed;
use datafusion_common::{DFSchema, DataFusionError, Result, ScalarValue, exec_datafusion_err};
use datafusion_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, ScalarUDF};

use crate::arithmetic::{Scope, is_constant};
use crate::functions::scalar::Kind::Interval;
use crate::functions::scalar::Overload::Exact;
use crate::functions::scalar::{CallTypes, function};
use crate::rewriting::{NodeRule, map_expressions};

/// The type of all intervals.
pub(crate) const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

pub(crate) const HOURS_OF_A_DATE: &str =
    "hours, minutes and seconds cannot be added to a date: write CAST(… AS timestamp)";

const NANOSECONDS_OF_A_DAY: i64 = 86_400_000_000_000;

/// For the result of a function that gives an interval.
pub(crate) fn interval_field(_: &CallTypes<'_>) -> Result<Field> {
    Ok(Field::new("", INTERVAL, true))
}

/// Days and smaller units as one number.
pub(crate) fn nanoseconds_of(interval: IntervalMonthDayNano) -> i128 {
    i128::from(interval.days) * i128::from(NANOSECONDS_OF_A_DAY) + i128::from(interval.nanoseconds)
}

/// The canonical interval of so many months and nanoseconds.
pub(crate) fn of_parts(months: i32, nanoseconds: i128) -> Result<IntervalMonthDayNano> {
    let day = i128::from(NANOSECONDS_OF_A_DAY);
    // Less than a day always fits.
    match (
        i32::try_from(nanoseconds / day),
        i64::try_from(nanoseconds % day),
    ) {
        (Ok(days), Ok(rest)) => Ok(IntervalMonthDayNano::new(months, days, rest)),
        _ => Err(out_of_range()),
    }
}

pub(crate) fn out_of_range() -> DataFusionError {
    exec_datafusion_err!("interval out of range: it has more than 2147483647 days or months")
}

fn is_canonical(interval: IntervalMonthDayNano) -> bool {
    let IntervalMonthDayNano {
        days, nanoseconds, ..
    } = interval;
    let is_short = nanoseconds > -NANOSECONDS_OF_A_DAY && nanoseconds < NANOSECONDS_OF_A_DAY;
    is_short && i64::from(days.signum()) * nanoseconds.signum() >= 0
}

fn canonical(interval: IntervalMonthDayNano) -> Result<IntervalMonthDayNano> {
    match is_canonical(interval) {
        true => Ok(interval),
        false => of_parts(interval.months, nanoseconds_of(interval)),
    }
}

/// Intervals and durations as canonical intervals.
pub(crate) fn canonical_array(array: &ArrayRef) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::Duration(unit) => match unit {
            TimeUnit::Second => durations::<DurationSecondType>(array, 1_000_000_000),
            TimeUnit::Millisecond => durations::<DurationMillisecondType>(array, 1_000_000),
            TimeUnit::Microsecond => durations::<DurationMicrosecondType>(array, 1_000),
            TimeUnit::Nanosecond => durations::<DurationNanosecondType>(array, 1),
        },
        _ => {
            let array = cast(array, &INTERVAL)?;
            let intervals = array.as_primitive::<IntervalMonthDayNanoType>();
            if intervals.iter().flatten().all(is_canonical) {
                return Ok(array);
            }
            Ok(Arc::new(
                intervals.try_unary::<_, IntervalMonthDayNanoType, _>(canonical)?,
            ))
        }
    }
}

/// Arrow's cast would make nanoseconds of them, which end after 292 years.
fn durations<T: ArrowPrimitiveType<Native = i64>>(
    array: &ArrayRef,
    nanoseconds: i128,
) -> Result<ArrayRef> {
    let lengths: &PrimitiveArray<T> = array.as_primitive();
    let intervals: IntervalMonthDayNanoArray = lengths
        .try_unary::<_, IntervalMonthDayNanoType, _>(|length| {
            of_parts(0, i128::from(length) * nanoseconds)
        })?;
    Ok(Arc::new(intervals))
}

/// An interval that is added to a date, which has no room for less than a day: Arrow would drop it without a word.
static WHOLE_DAYS: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Arc::new(function(
        &["owlet_whole_days"],
        &[Exact(&[Interval])],
        interval_field,
        |call| {
            let intervals = call.arrays[0].as_primitive::<IntervalMonthDayNanoType>();
            match intervals.iter().flatten().any(has_hours) {
                true => Err(exec_datafusion_err!("{HOURS_OF_A_DATE}")),
                false => Ok(Arc::clone(&call.arrays[0])),
            }
        },
    ))
});

/// More or less than whole days.
pub(crate) fn has_hours(interval: IntervalMonthDayNano) -> bool {
    interval.nanoseconds % NANOSECONDS_OF_A_DAY != 0
}

/// For the plan that is executed here.
pub(crate) fn canonicalize(plan: LogicalPlan) -> Result<LogicalPlan> {
    Ok(plan
        .transform_up_with_subqueries(|plan| rewrite_plan(plan, Scope::Everything))?
        .data)
}

/// Optimizer rule that stands before constant folding.
pub(crate) const CANONICAL_INTERVALS: NodeRule = NodeRule {
    name: "athena_canonical_intervals",
    rewrite: |plan| rewrite_plan(plan, Scope::Constants),
};

fn rewrite_plan(plan: LogicalPlan, scope: Scope) -> Result<Transformed<LogicalPlan>> {
    if matches!(plan, LogicalPlan::TableScan(_)) && scope == Scope::Everything {
        return Ok(Transformed::no(plan));
    }
    map_expressions(plan, |expr, schema| rewrite_expression(expr, schema, scope))
}

fn rewrite_expression(expr: Expr, schema: &DFSchema, scope: Scope) -> Result<Transformed<Expr>> {
    match expr {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), metadata)
            if !is_canonical(interval) =>
        {
            let value = ScalarValue::IntervalMonthDayNano(Some(canonical(interval)?));
            Ok(Transformed::yes(Expr::Literal(value, metadata)))
        }
        Expr::BinaryExpr(BinaryExpr {
            mut left,
            op: op @ (Operator::Plus | Operator::Minus),
            mut right,
        }) => {
            let type_of = |expr: &Expr| expr.get_type(schema).unwrap_or(DataType::Null);
            let interval = match (type_of(&left), type_of(&right)) {
                (DataType::Date32, INTERVAL) => Some(&mut right),
                (INTERVAL, DataType::Date32) => Some(&mut left),
                _ => None,
            };
            let in_scope = |expr: &Expr| scope == Scope::Everything || is_constant(expr);
            let changed = match interval {
                Some(interval) if in_scope(interval) && may_have_hours(interval) => {
                    **interval = WHOLE_DAYS.call(vec![std::mem::take(interval)]);
                    true
                }
                _ => false,
            };
            let sum = Expr::BinaryExpr(BinaryExpr::new(left, op, right));
            Ok(Transformed::new_transformed(sum, changed))
        }
        other => Ok(Transformed::no(other)),
    }
}

fn may_have_hours(interval: &Expr) -> bool {
    match interval {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _) => has_hours(*interval),
        Expr::ScalarFunction(call) => call.func != *WHOLE_DAYS,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::DurationMillisecondArray;

    use super::*;

    const HOUR: i64 = 3_600_000_000_000;

    fn interval(days: i32, nanoseconds: i64) -> IntervalMonthDayNano {
        IntervalMonthDayNano::new(0, days, nanoseconds)
    }

    #[test]
    fn days_and_nanoseconds_are_one_number() {
        for (given, expected) in [
            (interval(0, 24 * HOUR), interval(1, 0)),
            (interval(0, -25 * HOUR), interval(-1, -HOUR)),
            (interval(1, -HOUR), interval(0, 23 * HOUR)),
            (interval(-1, HOUR), interval(0, -23 * HOUR)),
            (interval(-1, 49 * HOUR), interval(1, HOUR)),
            (interval(2, HOUR), interval(2, HOUR)),
            (interval(0, -HOUR), interval(0, -HOUR)),
        ] {
            let found = canonical(given).expect("an interval in range");
            assert_eq!(found, expected, "{given:?}");
            assert!(is_canonical(found));
            assert_eq!(is_canonical(given), given == expected, "{given:?}");
        }
        assert!(canonical(interval(i32::MAX, 24 * HOUR)).is_err());
    }

    #[test]
    fn canonical_intervals_are_ordered_as_lengths() {
        let mut lengths: Vec<i64> = (-60..=60).map(|hours| hours * HOUR).collect();
        lengths.sort_unstable();
        let intervals: Vec<IntervalMonthDayNano> = lengths
            .iter()
            .map(|length| of_parts(0, i128::from(*length)).expect("an interval in range"))
            .collect();
        assert!(intervals.is_sorted());
    }

    #[test]
    fn durations_may_be_longer_than_nanoseconds_reach() {
        let years: ArrayRef = Arc::new(DurationMillisecondArray::from(vec![
            Some(315_507_139_200_000),
            None,
            Some(-90_000_000),
        ]));
        let found = canonical_array(&years).expect("intervals in range");
        let expected = IntervalMonthDayNanoArray::from(vec![
            Some(interval(3_651_703, 0)),
            None,
            Some(interval(-1, -HOUR)),
        ]);
        assert_eq!(found.as_primitive::<IntervalMonthDayNanoType>(), &expected);
    }
}
