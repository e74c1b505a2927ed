//! Values as Athena prints them in `CAST(… AS VARCHAR)`. It must never know how values are read.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, GenericListArray, OffsetSizeTrait, StringBuilder};
use arrow::compute::cast_with_options;
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
};
use datafusion_common::{Result, plan_err};

use super::super::moments::Moments;
use super::super::type_names::sql_name;
use super::{OnError, options};
use crate::functions::conversion::cast;
use crate::intervals::canonical_array;

pub(crate) const BYTES_AS_TEXT: &str =
    "varbinary cannot be cast to varchar; from_utf8(…) reads bytes as text, to_hex(…) shows them";

/// Any value as Athena prints it.
pub(in super::super) fn to_varchar(array: &ArrayRef, on_error: OnError) -> Result<ArrayRef> {
    use DataType as T;
    match array.data_type() {
        T::Float32 => Ok(texts(array, |row| {
            Ok(real_text(array.as_primitive::<Float32Type>().value(row)))
        })?),
        T::Float64 => Ok(texts(array, |row| {
            Ok(double_text(array.as_primitive::<Float64Type>().value(row)))
        })?),
        T::Float16 => to_varchar(&cast(array, &T::Float32)?, on_error),
        T::Timestamp(..) | T::Time32(_) | T::Time64(_) | T::Date32 => {
            let moments = Moments::try_new(array)?;
            texts(array, |row| moments.text(row))
        }
        T::Interval(_) | T::Duration(_) => {
            let intervals = canonical_array(array)?;
            texts(array, |row| {
                Ok(interval_text(
                    intervals
                        .as_primitive::<IntervalMonthDayNanoType>()
                        .value(row),
                ))
            })
        }
        T::List(_) => lists(array.as_list::<i32>(), on_error),
        T::LargeList(_) => lists(array.as_list::<i64>(), on_error),
        nested if nested.is_nested() => plan_err!(
            "{} cannot be cast to varchar; json_format(CAST(… AS JSON)) gives a text",
            sql_name(nested)
        ),
        T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) => {
            plan_err!("{BYTES_AS_TEXT}")
        }
        _ => Ok(cast_with_options(array, &T::Utf8, &options(on_error))?),
    }
}

/// Arrays as `[1, null]`. Athena has no such cast; Arrow's makes `[1, ]` of it.
fn lists<O: OffsetSizeTrait>(lists: &GenericListArray<O>, on_error: OnError) -> Result<ArrayRef> {
    let printed = to_varchar(lists.values(), on_error)?;
    let printed = printed.as_string::<i32>();
    let mut builder = StringBuilder::new();
    for (row, ends) in lists.value_offsets().windows(2).enumerate() {
        if lists.is_null(row) {
            builder.append_null();
            continue;
        }
        let elements: Vec<&str> = (ends[0].as_usize()..ends[1].as_usize())
            .map(|position| match printed.is_null(position) {
                true => "null",
                false => printed.value(position),
            })
            .collect();
        builder.append_value(format!("[{}]", elements.join(", ")));
    }
    Ok(Arc::new(builder.finish()))
}

fn texts(array: &ArrayRef, text: impl Fn(usize) -> Result<String>) -> Result<ArrayRef> {
    let mut builder = StringBuilder::new();
    for row in 0..array.len() {
        match array.is_null(row) {
            true => builder.append_null(),
            false => builder.append_value(text(row)?),
        }
    }
    Ok(Arc::new(builder.finish()))
}

/// `1.5E0`, as Athena prints DOUBLE: one digit before the point, the shortest digits that read back.
fn double_text(number: f64) -> String {
    scientific(&format!("{number:e}"), number.is_finite() && number != 0.0)
}

fn real_text(number: f32) -> String {
    scientific(&format!("{number:e}"), number.is_finite() && number != 0.0)
}

fn scientific(rust: &str, plain: bool) -> String {
    if !plain {
        return match rust {
            "inf" => "Infinity".to_owned(),
            "-inf" => "-Infinity".to_owned(),
            "0e0" => "0E0".to_owned(),
            "-0e0" => "-0E0".to_owned(),
            other => other.to_owned(),
        };
    }
    match rust.split_once('e') {
        Some((mantissa, exponent)) if mantissa.contains('.') => format!("{mantissa}E{exponent}"),
        Some((mantissa, exponent)) => format!("{mantissa}.0E{exponent}"),
        None => rust.to_owned(),
    }
}

/// `1 02:03:04.005` for days and times, `1-2` for years and months.
fn interval_text(interval: IntervalMonthDayNano) -> String {
    let IntervalMonthDayNano {
        months,
        days,
        nanoseconds,
    } = interval;
    if months != 0 && days == 0 && nanoseconds == 0 {
        let sign = if months < 0 { "-" } else { "" };
        return format!(
            "{sign}{}-{}",
            months.unsigned_abs() / 12,
            months.unsigned_abs() % 12
        );
    }
    let milliseconds = i64::from(days) * 86_400_000 + nanoseconds / 1_000_000;
    let sign = if milliseconds < 0 { "-" } else { "" };
    let rest = milliseconds.unsigned_abs();
    let (days, rest) = (rest / 86_400_000, rest % 86_400_000);
    let (hours, minutes, seconds) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1_000 % 60);
    let day_time = format!(
        "{sign}{days} {hours:02}:{minutes:02}:{seconds:02}.{:03}",
        rest % 1_000
    );
    if months == 0 {
        day_time
    } else {
        format!("{months} months {day_time}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_print_in_scientific_form() {
        for (number, expected) in [
            (1.0, "1.0E0"),
            (1.5, "1.5E0"),
            (123.456, "1.23456E2"),
            (0.1, "1.0E-1"),
            (-0.5, "-5.0E-1"),
            (1e21, "1.0E21"),
            (0.0, "0E0"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(double_text(number), expected);
        }
    }

    #[test]
    fn intervals_print_as_days_and_times() {
        let day_time =
            |days, nanoseconds| interval_text(IntervalMonthDayNano::new(0, days, nanoseconds));
        assert_eq!(day_time(0, 26 * 3_600_000_000_000), "1 02:00:00.000");
        assert_eq!(day_time(-1, 0), "-1 00:00:00.000");
        assert_eq!(interval_text(IntervalMonthDayNano::new(14, 0, 0)), "1-2");
    }
}
