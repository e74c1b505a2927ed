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
    let unsigned = value.strip_prefix('-').unwrap_or(value);
    let digits = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = unsigned.split_at(digits);
    if whole.len() > 1 && whole.starts_with('0') {
        return None;
    }
    if rest.is_empty() {
        let number = value.parse::<i64>().ok()?;
        return Some(if number.unsigned_abs() > EXACT_IN_DOUBLE {
            WIDE_INTEGER
        } else {
            INTEGER
        });
    }
    let (fraction, exponent) = match rest.find(['e', 'E']) {
        Some(position) => (&rest[..position], Some(&rest[position + 1..])),
        None => (rest, None),
    };
    let fraction_digits = match fraction.strip_prefix('.') {
        Some(digits) => digits,
        None if fraction.is_empty() => "",
        None => return None,
    };
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(fraction_digits) || (whole.is_empty() && fraction_digits.is_empty()) {
        return None;
    }
    if let Some(exponent) = exponent {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if digits.is_empty() || !all_digits(digits) {
            return None;
        }
    }
    // More digits than a double holds would be rounded.
    if whole.len() + fraction_digits.len() > 17 {
        return None;
    }
    value
        .parse::<f64>()
        .ok()
        .filter(|number| number.is_finite())
        .map(|_| FLOAT)
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
            (&["-"], DataType::Utf8),
            (&["1-2"], DataType::Utf8),
        ];
        for (values, expected) in cases {
            assert_eq!(&guess(values), expected, "{values:?}");
        }
    }
}
