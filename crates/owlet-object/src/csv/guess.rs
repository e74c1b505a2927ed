//! Column types guessed from text values. Must never know files.
//!
//! A guess must lose nothing: digits with leading zeros (postal codes, telephone numbers), integers beyond 64 bits
//! and integers that a double cannot hold stay text.

use std::sync::LazyLock;

use arrow::array::timezone::Tz;
use arrow::compute::kernels::cast_utils::{Parser, string_to_datetime};
use arrow::datatypes::{DataType, Date32Type, TimeUnit};

/// What the values of one column have in common so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Guess {
    kinds: u16,
}

const BOOLEAN: u16 = 1;
const INTEGER: u16 = 1 << 1;
const FLOAT: u16 = 1 << 2;
const DATE: u16 = 1 << 3;
const TIMESTAMP_MICRO: u16 = 1 << 4;
const TIMESTAMP_NANO: u16 = 1 << 5;
const ZONED: u16 = 1 << 6;
const WIDE_INTEGER: u16 = 1 << 7;
const TEXT: u16 = 1 << 8;

static UTC: LazyLock<Option<Tz>> = LazyLock::new(|| "+00:00".parse().ok());

/// Largest integer up to which every integer is exact in a double.
const EXACT_IN_DOUBLE: u64 = 1 << 53;

impl Guess {
    /// Takes one value that is not NULL into account.
    pub fn add(&mut self, value: &str) {
        if self.kinds & TEXT == 0 {
            self.kinds |= classify(value.trim_matches([' ', '\t']));
        }
    }

    /// Takes over what another guess has seen.
    pub fn merge(&mut self, other: Self) {
        self.kinds |= other.kinds;
    }

    /// No value has been seen.
    pub fn is_empty(self) -> bool {
        self.kinds == 0
    }

    /// The narrowest type that holds every value seen; text when none was.
    pub fn data_type(self) -> DataType {
        let within = |allowed: u16| self.kinds != 0 && self.kinds & !allowed == 0;
        if within(BOOLEAN) {
            return DataType::Boolean;
        }
        if within(INTEGER | WIDE_INTEGER) {
            return DataType::Int64;
        }
        if within(INTEGER | FLOAT) {
            return DataType::Float64;
        }
        if within(DATE) {
            return DataType::Date32;
        }
        let zoned = self.kinds & ZONED != 0;
        let zone = zoned.then(|| "UTC".into());
        let dates = if zoned { 0 } else { DATE };
        if within(TIMESTAMP_MICRO | ZONED | dates) {
            return DataType::Timestamp(TimeUnit::Microsecond, zone);
        }
        if within(TIMESTAMP_MICRO | TIMESTAMP_NANO | ZONED | dates) {
            return DataType::Timestamp(TimeUnit::Nanosecond, zone);
        }
        DataType::Utf8
    }
}

fn classify(value: &str) -> u16 {
    let bytes = value.as_bytes();
    match bytes.first() {
        Some(b't' | b'T' | b'f' | b'F') => {
            let boolean = value.eq_ignore_ascii_case("true") || value.eq_ignore_ascii_case("false");
            if boolean { BOOLEAN } else { TEXT }
        }
        Some(b'0'..=b'9' | b'-' | b'.') => classify_number(value)
            .or_else(|| classify_time(value))
            .unwrap_or(TEXT),
        _ => TEXT,
    }
}

fn classify_number(value: &str) -> Option<u16> {
    if !is_number(value) {
        return None;
    }
    if is_whole(value) {
        let number = value.parse::<i64>().ok()?;
        return Some(if is_exact_in_double(number) {
            INTEGER
        } else {
            WIDE_INTEGER
        });
    }
    let number = value.parse::<f64>().ok()?;
    double_keeps(value, number).then_some(FLOAT)
}

/// Written as a number: no leading zeros, no `+`, nothing around it.
fn is_number(value: &str) -> bool {
    let unsigned = value.strip_prefix('-').unwrap_or(value);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(position) => (&unsigned[..position], Some(&unsigned[position + 1..])),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let exponent_is_number = exponent.is_none_or(|exponent| {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !digits.is_empty() && all_digits(digits)
    });
    all_digits(whole)
        && all_digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && !(whole.len() > 1 && whole.starts_with('0'))
        && exponent_is_number
}

/// Whether a number is written without fraction and exponent.
fn is_whole(number: &str) -> bool {
    !number.contains(['.', 'e', 'E'])
}

/// Whether the digits of a number that is not whole can be had back from the double nearest to it.
fn double_keeps(number: &str, nearest: f64) -> bool {
    /// Any decimal of so many digits survives in a double that is not too small.
    const ALWAYS_KEPT: usize = 15;
    /// No double needs more.
    const MOST_DIGITS: usize = 17;
    let mantissa = number.split(['e', 'E']).next().unwrap_or(number);
    // Leading zeros tell nothing: 0.30000000000000004 has 17 digits.
    let significant = || {
        mantissa
            .bytes()
            .filter(u8::is_ascii_digit)
            .skip_while(|digit| *digit == b'0')
    };
    let count = significant().count();
    if count > MOST_DIGITS || !nearest.is_finite() {
        return false;
    }
    if count == 0 {
        return nearest == 0.0;
    }
    if count <= ALWAYS_KEPT && nearest.is_normal() {
        return true;
    }
    let shown = format!("{:.*e}", count - 1, nearest.abs());
    shown
        .bytes()
        .take_while(|byte| *byte != b'e')
        .filter(u8::is_ascii_digit)
        .eq(significant())
}

/// Whether a guess that has seen `value` could still be `data_type`; for values that were parsed as that type, the
/// double among them being `nearest`.
pub fn agrees(value: &str, data_type: &DataType, nearest: Option<f64>) -> bool {
    match data_type {
        DataType::Boolean => classify(value) == BOOLEAN,
        DataType::Int64 | DataType::Decimal128(_, 0) => is_number(value) && is_whole(value),
        DataType::Float64 => is_number(value) && double_agrees(value, nearest),
        DataType::Date32 => has_shape(value, "dddd-dd-dd") && value.len() == 10,
        DataType::Timestamp(_, _) => has_shape(value, "dddd-dd-dd"),
        _ => true,
    }
}

fn double_agrees(number: &str, nearest: Option<f64>) -> bool {
    if is_whole(number) {
        return number.parse::<i64>().is_ok_and(is_exact_in_double);
    }
    nearest.is_some_and(|nearest| double_keeps(number, nearest))
}

/// Whether a JSON number can be read as an integer or a double without losing any of it.
pub fn number_is_kept(number: &str) -> bool {
    if is_whole(number) {
        return number.parse::<i64>().is_ok() || number.parse::<u64>().is_ok();
    }
    number
        .parse::<f64>()
        .is_ok_and(|nearest| double_keeps(number, nearest))
}

/// Whether this integer and all smaller ones are exact in a double.
pub fn is_exact_in_double(number: i64) -> bool {
    number.unsigned_abs() <= EXACT_IN_DOUBLE
}

fn classify_time(value: &str) -> Option<u16> {
    if !has_shape(value, "dddd-dd-dd") {
        return None;
    }
    if value.len() == 10 {
        return Date32Type::parse(value).map(|_| DATE);
    }
    let time = value.get(11..)?;
    if !matches!(value.as_bytes().get(10), Some(b' ' | b'T')) || !has_shape(time, "dd:dd:dd") {
        return None;
    }
    string_to_datetime(UTC.as_ref()?, value).ok()?;
    let rest = &time[8..];
    let fraction = rest.strip_prefix('.').map_or(0, |rest| {
        rest.bytes().take_while(u8::is_ascii_digit).count()
    });
    let after = if fraction > 0 {
        &rest[fraction + 1..]
    } else {
        rest
    };
    let zoned = match after {
        "" => 0,
        "Z" | "z" => ZONED,
        offset if offset.starts_with(['+', '-']) => ZONED,
        _ => return None,
    };
    match fraction {
        0..=6 => Some(TIMESTAMP_MICRO | zoned),
        7..=9 => Some(TIMESTAMP_NANO | zoned),
        _ => None,
    }
}

/// `value` begins with characters like `shape`, where `d` is a digit.
pub(super) fn has_shape(value: &str, shape: &str) -> bool {
    let (value, shape) = (value.as_bytes(), shape.as_bytes());
    value.len() >= shape.len()
        && value.iter().zip(shape).all(|(byte, wanted)| match wanted {
            b'd' => byte.is_ascii_digit(),
            other => byte == other,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(values: &[&str]) -> DataType {
        let mut guess = Guess::default();
        for value in values {
            guess.add(value);
        }
        guess.data_type()
    }

    #[test]
    fn types_that_lose_nothing() {
        let micro = DataType::Timestamp(TimeUnit::Microsecond, None);
        let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let cases: &[(&[&str], DataType)] = &[
            (&[], DataType::Utf8),
            (&["1", "-2", "0"], DataType::Int64),
            (&["9223372036854775807"], DataType::Int64),
            (&["9223372036854775808"], DataType::Utf8),
            (&["9007199254740993", "1.5"], DataType::Utf8),
            (&["1", "2.5", "1e3", ".5", "-0.25"], DataType::Float64),
            (&["0.1234567890123456789"], DataType::Utf8),
            (&["01234"], DataType::Utf8),
            (&["+49"], DataType::Utf8),
            (&["0.5", "007"], DataType::Utf8),
            (&["true", "FALSE"], DataType::Boolean),
            (&["true", "1"], DataType::Utf8),
            (&["2024-02-29"], DataType::Date32),
            (&["2024-02-30"], DataType::Utf8),
            (&["2024-02-29", "2024-02-29 10:00:00"], micro.clone()),
            (&["2024-02-29T10:00:00.123456"], micro.clone()),
            (&["2024-02-29 10:00"], DataType::Utf8),
            (
                &["2024-02-29T10:00:00.1234567"],
                DataType::Timestamp(TimeUnit::Nanosecond, None),
            ),
            (
                &["2024-02-29T10:00:00Z", "2024-02-29 10:00:00.5+02:00"],
                zoned,
            ),
            (&["2024-02-29T10:00:00Z", "2024-02-29"], DataType::Utf8),
            (&["2024-02-29 25:00:00"], DataType::Utf8),
            (&["1", "x"], DataType::Utf8),
            (&["NaN"], DataType::Utf8),
            (&["1e400"], DataType::Utf8),
            (&["1e-400"], DataType::Utf8),
            (&["1.234567e-320"], DataType::Utf8),
            (&["5e-324", "0.0", "-0e9"], DataType::Float64),
            (&["9007199254740993.5"], DataType::Utf8),
            (
                &["0.10000000000000001", "0.30000000000000004"],
                DataType::Float64,
            ),
            (&["1.", ".5", "1E+5"], DataType::Float64),
            (&["."], DataType::Utf8),
            (&["1e"], DataType::Utf8),
            (&["-007"], DataType::Utf8),
            (&["-"], DataType::Utf8),
            (&["1-2"], DataType::Utf8),
        ];
        for (values, expected) in cases {
            assert_eq!(&guess(values), expected, "{values:?}");
        }
    }
}
