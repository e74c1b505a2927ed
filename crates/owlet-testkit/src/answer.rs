//! An answer as comparable text, and when two answers are equal. Must never know where an answer comes from.
//!
//! Two answers of the engine must agree to the last digit, except floats (the order of addition is free:
//! relative 1e-9). An answer of a source is compared by the type the engine gave the column.

use std::cmp::Ordering;
use std::fmt::Write;

use arrow::array::Array;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::Result;
use crate::native::NativeAnswer;

const FLOAT_TOLERANCE: f64 = 1e-9;

/// Rows of the engine as text, with the columns' types.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Names and types.
    pub columns: Vec<(String, DataType)>,
    /// Rows in order; `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
}

/// Whether the order of rows is part of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowOrder {
    /// Row by row.
    Fixed,
    /// As multisets.
    Any,
}

impl Answer {
    /// Turns batches into text.
    pub fn new(schema: SchemaRef, batches: &[RecordBatch]) -> Result<Self> {
        let columns = schema
            .fields()
            .iter()
            .map(|field| (field.name().clone(), field.data_type().clone()))
            .collect();
        let options = FormatOptions::default().with_display_error(false);
        let mut rows = Vec::new();
        for batch in batches {
            let formatters = batch
                .columns()
                .iter()
                .map(|column| ArrayFormatter::try_new(column, &options))
                .collect::<Result<Vec<_>, _>>()?;
            for row in 0..batch.num_rows() {
                let mut fields = Vec::with_capacity(formatters.len());
                for (formatter, column) in formatters.iter().zip(batch.columns()) {
                    let is_null = column.is_null(row) || column.data_type() == &DataType::Null;
                    fields.push(if is_null {
                        None
                    } else {
                        Some(formatter.value(row).try_to_string()?)
                    });
                }
                rows.push(fields);
            }
        }
        Ok(Self { columns, rows })
    }

    /// The first difference to another answer of the engine, if there is one.
    pub fn difference(&self, other: &Self, order: RowOrder) -> Option<String> {
        let types = |answer: &Self| {
            answer
                .columns
                .iter()
                .map(|(_, kind)| kind.clone())
                .collect::<Vec<_>>()
        };
        if types(self) != types(other) {
            return Some(format!(
                "column types differ: {:?} and {:?}",
                self.columns, other.columns
            ));
        }
        let equal = |column: usize, left: &str, right: &str| {
            equal_values(&self.columns[column].1, left, right)
        };
        compare_rows(&self.rows, &other.rows, order, equal)
    }

    /// The first difference to a source's own answer, if there is one.
    pub fn difference_to_native(&self, native: &NativeAnswer, order: RowOrder) -> Option<String> {
        let width = native.rows.first().map_or(native.columns.len(), Vec::len);
        if width != self.columns.len() {
            return Some(format!(
                "{} columns, the source has {width}",
                self.columns.len()
            ));
        }
        let equal = |column: usize, left: &str, right: &str| {
            equal_to_native(&self.columns[column].1, left, right)
        };
        compare_rows(&self.rows, &native.rows, order, equal)
    }

    /// The rows as a text table, for reports; at most `limit` rows.
    pub fn to_text(&self, limit: usize) -> String {
        let names: Vec<String> = self
            .columns
            .iter()
            .map(|(name, kind)| format!("{name} {kind}"))
            .collect();
        format!("{}\n{}", names.join(" | "), rows_to_text(&self.rows, limit))
    }
}

/// Rows as text, for reports.
pub fn rows_to_text(rows: &[Vec<Option<String>>], limit: usize) -> String {
    let mut text = String::new();
    for row in rows.iter().take(limit) {
        let _ = writeln!(text, "  {}", row_to_text(row));
    }
    if rows.len() > limit {
        let _ = writeln!(text, "  … {} rows in all", rows.len());
    }
    text
}

fn row_to_text(row: &[Option<String>]) -> String {
    let fields: Vec<String> = row
        .iter()
        .map(|field| {
            field
                .as_ref()
                .map_or_else(|| "NULL".to_owned(), |text| format!("{text:?}"))
        })
        .collect();
    fields.join(" | ")
}

type Row = Vec<Option<String>>;

fn compare_rows(
    left: &[Row],
    right: &[Row],
    order: RowOrder,
    equal: impl Fn(usize, &str, &str) -> bool,
) -> Option<String> {
    if left.len() != right.len() {
        return Some(format!("{} rows and {} rows", left.len(), right.len()));
    }
    let equal_rows = |one: &Row, two: &Row| {
        one.iter()
            .zip(two)
            .enumerate()
            .all(|(column, pair)| match pair {
                (None, None) => true,
                (Some(one), Some(two)) => equal(column, one, two),
                _ => false,
            })
    };
    let first_different = |left: &[&Row], right: &[&Row]| {
        let index = left
            .iter()
            .zip(right)
            .position(|(one, two)| !equal_rows(one, two))?;
        Some(format!(
            "row {}: {} and {}",
            index + 1,
            row_to_text(left[index]),
            row_to_text(right[index])
        ))
    };
    match order {
        RowOrder::Fixed => first_different(
            &left.iter().collect::<Vec<_>>(),
            &right.iter().collect::<Vec<_>>(),
        ),
        RowOrder::Any => {
            // Most pairs meet after sorting by text; what is left over (numbers of equal value and different
            // text sort apart) is matched one by one.
            let sorted = |rows: &'_ [Row]| -> Vec<usize> {
                let mut indexes: Vec<usize> = (0..rows.len()).collect();
                indexes.sort_by(|one, two| rows[*one].cmp(&rows[*two]));
                indexes
            };
            let (left_order, right_order) = (sorted(left), sorted(right));
            let (mut left_rest, mut right_rest) = (Vec::new(), Vec::new());
            for (one, two) in left_order.into_iter().zip(right_order) {
                if !equal_rows(&left[one], &right[two]) {
                    left_rest.push(&left[one]);
                    right_rest.push(&right[two]);
                }
            }
            for row in left_rest {
                match right_rest
                    .iter()
                    .position(|candidate| equal_rows(row, candidate))
                {
                    Some(index) => drop(right_rest.swap_remove(index)),
                    None => {
                        let nearest = right_rest
                            .first()
                            .map(|row| row_to_text(row))
                            .unwrap_or_default();
                        return Some(format!(
                            "only on the first side: {}; the other side has {nearest}",
                            row_to_text(row)
                        ));
                    }
                }
            }
            None
        }
    }
}

fn equal_values(kind: &DataType, left: &str, right: &str) -> bool {
    left == right || (kind.is_floating() && equal_floats(left, right))
}

fn equal_floats(left: &str, right: &str) -> bool {
    match (parse_float(left), parse_float(right)) {
        (Some(left), Some(right)) => {
            (left.is_nan() && right.is_nan())
                || left == right
                || (left - right).abs() <= FLOAT_TOLERANCE * left.abs().max(right.abs())
        }
        _ => false,
    }
}

fn parse_float(text: &str) -> Option<f64> {
    match text {
        "Infinity" | "inf" | "Inf" => Some(f64::INFINITY),
        "-Infinity" | "-inf" | "-Inf" => Some(f64::NEG_INFINITY),
        other => other.parse().ok(),
    }
}

/// Whether the engine's text and the source's text are the same value of the engine's type.
fn equal_to_native(kind: &DataType, engine: &str, native: &str) -> bool {
    if engine == native {
        return true;
    }
    match kind {
        DataType::Boolean => matches!((engine, native), ("true", "t" | "1") | ("false", "f" | "0")),
        DataType::Float16 | DataType::Float32 => equal_single_floats(engine, native),
        DataType::Float64 => equal_floats(engine, native),
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => {
            equal_decimals(engine, native, i32::from(*scale))
        }
        kind if kind.is_integer() => equal_decimals(engine, native, 0),
        DataType::Timestamp(_, _) => canonical_timestamp(engine) == canonical_timestamp(native),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => {
            engine.to_lowercase() == native.trim_start_matches("\\x").to_lowercase()
        }
        _ => false,
    }
}

fn equal_single_floats(left: &str, right: &str) -> bool {
    equal_floats(left, right)
        || matches!((left.parse::<f32>(), right.parse::<f32>()), (Ok(left), Ok(right)) if left == right)
}

/// Equal after rounding the source's text to the engine's scale; one unit in the last place is forgiven only
/// where the source gave more digits than the engine's type has.
fn equal_decimals(engine: &str, native: &str, scale: i32) -> bool {
    let (Some(engine), Some(native)) = (Digits::parse(engine), Digits::parse(native)) else {
        return false;
    };
    let exact = engine.compare(&native) == Ordering::Equal;
    exact || (native.scale() > scale && engine.within_one_unit(&native, scale))
}

/// A decimal number of any length.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Digits {
    negative: bool,
    whole: String,
    fraction: String,
}

impl Digits {
    fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (digits, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.is_empty() && fraction.is_empty()
            || !whole
                .bytes()
                .chain(fraction.bytes())
                .all(|byte| byte.is_ascii_digit())
        {
            return None;
        }
        let (mut whole, mut fraction) = (whole.to_owned(), fraction.to_owned());
        for _ in 0..exponent.max(0) {
            whole.push(if fraction.is_empty() {
                '0'
            } else {
                fraction.remove(0)
            });
        }
        for _ in 0..(-exponent).max(0) {
            fraction.insert(0, whole.pop().unwrap_or('0'));
        }
        let whole = whole.trim_start_matches('0').to_owned();
        let fraction = fraction.trim_end_matches('0').to_owned();
        let is_zero = whole.is_empty() && fraction.is_empty();
        Some(Self {
            negative: negative && !is_zero,
            whole,
            fraction,
        })
    }

    fn scale(&self) -> i32 {
        self.fraction.len() as i32
    }

    fn compare(&self, other: &Self) -> Ordering {
        if self == other {
            Ordering::Equal
        } else {
            Ordering::Less
        }
    }

    fn within_one_unit(&self, other: &Self, scale: i32) -> bool {
        // Enough digits for any answer: the scaled numbers are compared as big integers of base 10.
        let scale = usize::try_from(scale).unwrap_or(0);
        let scaled = |digits: &Self| -> Option<i128> {
            let mut text = digits.whole.clone();
            let mut fraction = digits.fraction.clone();
            fraction.truncate(scale + 1);
            while fraction.len() < scale + 1 {
                fraction.push('0');
            }
            text.push_str(&fraction);
            let value: i128 = text.parse().ok()?;
            Some(if digits.negative { -value } else { value })
        };
        match (scaled(self), scaled(other)) {
            (Some(left), Some(right)) => left.abs_diff(right) <= 10,
            _ => false,
        }
    }
}

/// `2020-01-02T03:04:05.600Z`, `2020-01-02 03:04:05.6+00` and the like in one spelling.
fn canonical_timestamp(text: &str) -> String {
    let text = text.replacen('T', " ", 1);
    let text = text
        .strip_suffix("+00")
        .or_else(|| text.strip_suffix("+00:00"))
        .or_else(|| text.strip_suffix('Z'))
        .unwrap_or(&text);
    let text = match text.split_once('.') {
        Some((seconds, fraction)) => format!("{seconds}.{}", fraction.trim_end_matches('0')),
        None => format!("{text}."),
    };
    text.trim_end_matches('.')
        .trim_end_matches(" 00:00:00")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_compare_by_value_and_scale() {
        assert!(equal_decimals("12.50", "12.5", 2));
        assert!(equal_decimals("25.522006", "25.5220058651026393", 6));
        assert!(equal_decimals("25.522005", "25.5220058651026393", 6));
        assert!(!equal_decimals("25.522004", "25.5220058651026393", 6));
        assert!(!equal_decimals("12.51", "12.5", 2));
        assert!(equal_decimals("0", "-0.00", 2));
        assert!(equal_decimals("120", "1.2e2", 0));
        assert!(equal_decimals("0.0012", "1.2e-3", 4));
    }

    #[test]
    fn timestamps_compare_in_one_spelling() {
        assert_eq!(
            canonical_timestamp("2020-01-02T03:04:05.600Z"),
            canonical_timestamp("2020-01-02 03:04:05.6+00")
        );
        assert_eq!(
            canonical_timestamp("2020-01-02T00:00:00"),
            canonical_timestamp("2020-01-02")
        );
    }

    #[test]
    fn multisets_match_values_of_different_text() {
        let row = |text: &str| vec![Some(text.to_owned())];
        let equal = |_: usize, left: &str, right: &str| equal_floats(left, right);
        assert_eq!(
            compare_rows(
                &[row("10.0"), row("2")],
                &[row("2.0"), row("10")],
                RowOrder::Any,
                equal
            ),
            None
        );
        assert!(
            compare_rows(
                &[row("10.0"), row("2")],
                &[row("2.0"), row("10")],
                RowOrder::Fixed,
                equal
            )
            .is_some()
        );
        assert!(
            compare_rows(
                &[row("1"), row("1")],
                &[row("1"), row("2")],
                RowOrder::Any,
                equal
            )
            .is_some()
        );
    }
}
