//! Turns a column of text into its type. A value that does not fit is an error, never a NULL or a rounded value.
//! Must never know files.

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Float64Type};
use arrow::error::ArrowError;

use super::guess::{agrees, has_shape};

/// Where a column's type comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TypeOrigin {
    /// The configuration: whatever can be read as the type is.
    Declared,
    /// The first rows: a later value must not be changed by a type that it would have ruled out.
    Inferred,
}

/// Why a column could not be converted.
#[derive(Debug)]
pub enum ConvertError {
    /// The value of this row does not fit.
    Value {
        /// Row within the array.
        row: usize,
        /// The text.
        value: String,
    },
    /// The type cannot be read from text at all.
    Type(ArrowError),
}

/// Whether values of this type are compared and stored as written (so spaces and empty text count).
pub fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::Binary)
}

/// Converts text to `data_type`; NULL stays NULL.
pub fn convert(
    text: StringArray,
    data_type: &DataType,
    origin: TypeOrigin,
) -> Result<ArrayRef, ConvertError> {
    if *data_type == DataType::Utf8 {
        return Ok(std::sync::Arc::new(text));
    }
    let options = CastOptions {
        safe: true,
        ..CastOptions::default()
    };
    let converted = cast_with_options(&text, data_type, &options).map_err(ConvertError::Type)?;
    let lost_null = converted.null_count() != text.null_count();
    let strict = needs_check(data_type);
    if !lost_null && !strict && origin == TypeOrigin::Declared {
        return Ok(converted);
    }
    let doubles = converted.as_primitive_opt::<Float64Type>();
    let is_wrong = |row: usize| {
        let value = text.value(row);
        converted.is_null(row)
            || (strict && !fits(value, data_type))
            || (origin == TypeOrigin::Inferred
                && !agrees(value, data_type, doubles.map(|doubles| doubles.value(row))))
    };
    let wrong = (0..text.len()).find(|row| text.is_valid(*row) && is_wrong(*row));
    match wrong {
        Some(row) => Err(ConvertError::Value {
            row,
            value: text.value(row).to_owned(),
        }),
        None => Ok(converted),
    }
}

/// Types whose parser accepts text it then cuts off.
fn needs_check(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Date32 | DataType::Decimal128(_, _) | DataType::Timestamp(_, _)
    )
}

fn fits(value: &str, data_type: &DataType) -> bool {
    match data_type {
        // A time of day would be dropped.
        DataType::Date32 => value.len() <= 10 || value.starts_with(['+', '-']),
        DataType::Decimal128(_, scale) => fraction_digits(value) <= i64::from(*scale),
        DataType::Timestamp(unit, zone) => {
            let clock = value.get(11..).unwrap_or("");
            let fraction = clock.split_once('.').map_or("", |(_, rest)| rest);
            let digits = fraction
                .bytes()
                .take_while(u8::is_ascii_digit)
                .collect::<Vec<_>>();
            let significant = digits
                .iter()
                .rposition(|digit| *digit != b'0')
                .map_or(0, |last| last + 1);
            let allowed = match unit {
                arrow::datatypes::TimeUnit::Second => 0,
                arrow::datatypes::TimeUnit::Millisecond => 3,
                arrow::datatypes::TimeUnit::Microsecond => 6,
                arrow::datatypes::TimeUnit::Nanosecond => 9,
            };
            // A zone would be applied and then forgotten.
            let zone_is_kept = zone.is_some() || !has_zone(clock);
            significant <= allowed && zone_is_kept
        }
        _ => true,
    }
}

fn has_zone(clock: &str) -> bool {
    has_shape(clock, "dd:dd") && clock.contains(['+', '-', 'Z', 'z', ' '])
}

/// Digits after the point that are not trailing zeros.
fn fraction_digits(value: &str) -> i64 {
    let fraction = value
        .split_once('.')
        .map_or("", |(_, fraction)| fraction.trim_end_matches('0'));
    i64::try_from(fraction.len()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::TimeUnit;

    use super::*;

    fn accepts(value: &str, data_type: &DataType, origin: TypeOrigin) -> bool {
        let text = StringArray::from(vec![None, Some(value)]);
        match convert(text, data_type, origin) {
            Ok(array) => array.is_null(0) && array.is_valid(1),
            Err(ConvertError::Value { row, .. }) => {
                assert_eq!(row, 1);
                false
            }
            Err(ConvertError::Type(error)) => panic!("{error}"),
        }
    }

    #[test]
    fn what_fits_and_what_would_be_cut() {
        let micro = DataType::Timestamp(TimeUnit::Microsecond, None);
        let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let cases = [
            ("12", DataType::Int64, true),
            ("12.0", DataType::Int64, false),
            ("300", DataType::Int8, false),
            ("x", DataType::Float64, false),
            ("1.25", DataType::Decimal128(5, 2), true),
            ("1.250", DataType::Decimal128(5, 2), true),
            ("1.255", DataType::Decimal128(5, 2), false),
            ("12345.00", DataType::Decimal128(5, 2), false),
            ("1e2", DataType::Decimal128(5, 0), false),
            ("2024-01-02", DataType::Date32, true),
            ("2024-01-02 10:00:00", DataType::Date32, false),
            ("2024-01-02 10:00:00.123456", micro.clone(), true),
            ("2024-01-02 10:00:00.1234567", micro.clone(), false),
            ("2024-01-02 10:00:00.1234560", micro.clone(), true),
            ("2024-01-02T10:00:00+02:00", micro.clone(), false),
            ("2024-01-02T10:00:00+02:00", zoned, true),
            ("0001-01-01 00:00:00", micro.clone(), true),
            ("9999-12-31 23:59:59.999999", micro, true),
            (
                "9999-12-31 23:59:59",
                DataType::Timestamp(TimeUnit::Nanosecond, None),
                false,
            ),
            ("true", DataType::Boolean, true),
            ("maybe", DataType::Boolean, false),
        ];
        for (value, data_type, expected) in cases {
            assert_eq!(
                accepts(value, &data_type, TypeOrigin::Declared),
                expected,
                "{value} as {data_type}"
            );
        }
    }

    #[test]
    fn an_inferred_type_changes_no_value() {
        let micro = DataType::Timestamp(TimeUnit::Microsecond, None);
        let cases = [
            ("9007199254740993", DataType::Int64, true),
            ("007", DataType::Int64, false),
            ("+7", DataType::Int64, false),
            ("9007199254740992", DataType::Float64, true),
            ("9007199254740993", DataType::Float64, false),
            ("0.1234567890123456789012", DataType::Float64, false),
            ("0.5", DataType::Float64, true),
            ("00.5", DataType::Float64, false),
            ("1e400", DataType::Float64, false),
            ("1e-400", DataType::Float64, false),
            ("NaN", DataType::Float64, false),
            ("True", DataType::Boolean, true),
            ("1", DataType::Boolean, false),
            ("2024-01-02", DataType::Date32, true),
            ("20240102", DataType::Date32, false),
            ("2024-01-02", micro.clone(), true),
            ("20240102T100000", micro, false),
        ];
        for (value, data_type, expected) in cases {
            assert_eq!(
                accepts(value, &data_type, TypeOrigin::Inferred),
                expected,
                "{value} as {data_type}"
            );
        }
        assert!(accepts("007", &DataType::Int64, TypeOrigin::Declared));
    }
}
