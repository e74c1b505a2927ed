//! DynamoDB numbers, exactly: 38 significant digits, magnitudes from 1E-130 to 9.99E+125.
//! Must never know attributes, columns or requests.
//!
//! Limits: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html> ("Number").

use std::cmp::Ordering;
use std::fmt;

/// Most significant digits DynamoDB keeps.
const MAX_DIGITS: u32 = 38;
/// Exponents of ten beyond this cannot come from DynamoDB; they are refused so that arithmetic cannot overflow.
const MAX_EXPONENT: i64 = 100_000;

/// An exact number: `coefficient × 10^exponent`, negated if `negative`. Normalised: the coefficient has no
/// trailing decimal zero, and zero is `+0 × 10^0`, so equal numbers are equal values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Number {
    negative: bool,
    coefficient: u128,
    exponent: i32,
}

impl Number {
    /// Reads decimal or scientific notation; `None` when it is no number or has more than 38 digits.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let (negative, unsigned) = match bytes.first()? {
            b'-' => (true, &bytes[1..]),
            b'+' => (false, &bytes[1..]),
            _ => (false, bytes),
        };
        let mut coefficient: u128 = 0;
        let mut digits = 0_u32;
        let mut pending_zeros = 0_u32;
        let mut exponent: i64 = 0;
        let mut seen_digit = false;
        let mut seen_point = false;
        let mut position = 0;
        while let Some(&byte) = unsigned.get(position) {
            match byte {
                b'0'..=b'9' => {
                    seen_digit = true;
                    if seen_point {
                        exponent -= 1;
                    }
                    let digit = u128::from(byte - b'0');
                    if digit == 0 {
                        if coefficient != 0 {
                            pending_zeros += 1;
                        }
                    } else {
                        digits += pending_zeros + 1;
                        if digits > MAX_DIGITS {
                            return None;
                        }
                        coefficient = coefficient * 10_u128.pow(pending_zeros + 1) + digit;
                        pending_zeros = 0;
                    }
                }
                b'.' if !seen_point => seen_point = true,
                b'e' | b'E' if seen_digit => {
                    exponent += parse_exponent(&unsigned[position + 1..])?;
                    break;
                }
                _ => return None,
            }
            position += 1;
        }
        if !seen_digit || exponent.abs() > MAX_EXPONENT {
            return None;
        }
        if coefficient == 0 {
            return Some(Self {
                negative: false,
                coefficient: 0,
                exponent: 0,
            });
        }
        // Zeros after the last significant digit belong to the exponent.
        let exponent = i32::try_from(exponent + i64::from(pending_zeros)).ok()?;
        Some(Self {
            negative,
            coefficient,
            exponent,
        })
    }

    /// `unscaled × 10^-scale`; `None` for more than 38 digits.
    pub(crate) fn from_unscaled(unscaled: i128, scale: i8) -> Option<Self> {
        let mut coefficient = unscaled.unsigned_abs();
        let mut exponent = -i32::from(scale);
        if coefficient == 0 {
            return Some(Self {
                negative: false,
                coefficient: 0,
                exponent: 0,
            });
        }
        while coefficient.is_multiple_of(10) {
            coefficient /= 10;
            exponent += 1;
        }
        let number = Self {
            negative: unscaled < 0,
            coefficient,
            exponent,
        };
        (number.digits() <= MAX_DIGITS).then_some(number)
    }

    /// True when DynamoDB can store it; other numbers equal no stored value.
    pub(crate) fn is_storable(&self) -> bool {
        if self.coefficient == 0 {
            return true;
        }
        let leading = self.exponent + self.digits() as i32 - 1;
        self.digits() <= MAX_DIGITS && (-130..=125).contains(&leading)
    }

    /// The value times `10^scale` when that is an integer below 10^38 in magnitude.
    pub(crate) fn to_unscaled(self, scale: i8) -> Option<i128> {
        if self.coefficient == 0 {
            return Some(0);
        }
        let shift = u32::try_from(self.exponent + i32::from(scale)).ok()?;
        if shift + self.digits() > MAX_DIGITS {
            return None;
        }
        let magnitude = i128::try_from(self.coefficient * 10_u128.pow(shift)).ok()?;
        Some(if self.negative { -magnitude } else { magnitude })
    }

    /// The value as a 64-bit integer when it is one.
    pub(crate) fn to_i64(self) -> Option<i64> {
        i64::try_from(self.to_unscaled(0)?).ok()
    }

    /// Number of decimals needed to write the value without an exponent.
    pub(crate) fn scale(&self) -> u32 {
        u32::try_from(-self.exponent).unwrap_or(0)
    }

    /// Number of digits before the decimal point.
    pub(crate) fn integer_digits(&self) -> u32 {
        if self.coefficient == 0 {
            return 0;
        }
        u32::try_from(self.digits() as i32 + self.exponent).unwrap_or(0)
    }

    fn digits(&self) -> u32 {
        if self.coefficient == 0 {
            1
        } else {
            self.coefficient.ilog10() + 1
        }
    }
}

/// Reads a plain integer of at most 18 digits, the common case, without the general parser.
pub(crate) fn parse_small_integer(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let (negative, digits) = match bytes.first()? {
        b'-' => (true, &bytes[1..]),
        _ => (false, bytes),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut value = 0_i64;
    for &byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    Some(if negative { -value } else { value })
}

fn parse_exponent(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes.first()? {
        b'-' => (true, &bytes[1..]),
        b'+' => (false, &bytes[1..]),
        _ => (false, bytes),
    };
    if digits.is_empty() || digits.len() > 6 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let magnitude = digits
        .iter()
        .fold(0_i64, |value, digit| value * 10 + i64::from(digit - b'0'));
    Some(if negative { -magnitude } else { magnitude })
}

impl fmt::Display for Number {
    /// One text for each number: plain digits while they are at most 40, scientific beyond.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        let digits = self.coefficient.to_string();
        let point = digits.len() as i32 + self.exponent;
        if self.coefficient == 0 {
            return formatter.write_str("0");
        }
        if self.exponent >= 0 && point <= 40 {
            return write!(
                formatter,
                "{sign}{digits}{}",
                "0".repeat(self.exponent as usize)
            );
        }
        if self.exponent < 0 && point > 0 {
            let (whole, fraction) = digits.split_at(point as usize);
            return write!(formatter, "{sign}{whole}.{fraction}");
        }
        if self.exponent < 0 && self.exponent >= -40 {
            return write!(
                formatter,
                "{sign}0.{}{digits}",
                "0".repeat((-point) as usize)
            );
        }
        let (first, rest) = digits.split_at(1);
        let separator = if rest.is_empty() { "" } else { "." };
        write!(formatter, "{sign}{first}{separator}{rest}E{}", point - 1)
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.negative, other.negative) {
            (false, true) => return Ordering::Greater,
            (true, false) => return Ordering::Less,
            _ => {}
        }
        let magnitude = compare_magnitude(self, other);
        if self.negative {
            magnitude.reverse()
        } else {
            magnitude
        }
    }
}

fn compare_magnitude(left: &Number, right: &Number) -> Ordering {
    if left.coefficient == 0 || right.coefficient == 0 {
        return left.coefficient.cmp(&right.coefficient);
    }
    let left_point = left.digits() as i32 + left.exponent;
    let right_point = right.digits() as i32 + right.exponent;
    left_point.cmp(&right_point).then_with(|| {
        // Same position of the first digit: bring both coefficients to 38 digits.
        let left_aligned = left.coefficient * 10_u128.pow(MAX_DIGITS - left.digits());
        let right_aligned = right.coefficient * 10_u128.pow(MAX_DIGITS - right.digits());
        left_aligned.cmp(&right_aligned)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        Number::parse(text).unwrap_or_else(|| panic!("{text} is a number"))
    }

    #[test]
    fn equal_numbers_are_equal_however_written() {
        assert_eq!(number("100"), number("1E+2"));
        assert_eq!(number("1.50"), number("0.15e1"));
        assert_eq!(number("-0"), number("0.000"));
        assert_ne!(number("9007199254740993"), number("9007199254740992"));
    }

    #[test]
    fn text_is_canonical() {
        for (given, expected) in [
            ("1.50", "1.5"),
            ("-0", "0"),
            ("1E+2", "100"),
            ("0.0001", "0.0001"),
            ("-12.340", "-12.34"),
            ("1E125", "1E125"),
            ("1.5E-130", "1.5E-130"),
            (
                "12345678901234567890123456789012345678",
                "12345678901234567890123456789012345678",
            ),
        ] {
            assert_eq!(number(given).to_string(), expected);
            assert_eq!(number(expected), number(given));
        }
    }

    #[test]
    fn conversions_are_exact_or_refused() {
        assert_eq!(number("9223372036854775807").to_i64(), Some(i64::MAX));
        assert_eq!(number("-9223372036854775808").to_i64(), Some(i64::MIN));
        assert_eq!(number("9223372036854775808").to_i64(), None);
        assert_eq!(number("5.0").to_i64(), Some(5));
        assert_eq!(number("5.5").to_i64(), None);
        assert_eq!(number("1.25").to_unscaled(2), Some(125));
        assert_eq!(number("1.255").to_unscaled(2), None);
        assert_eq!(
            number("99999999999999999999999999999999999999").to_unscaled(0),
            Some(10_i128.pow(38) - 1)
        );
        assert_eq!(number("1E38").to_unscaled(0), None);
        assert_eq!(number("1E125").to_i64(), None);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "-",
            ".",
            "1.2.3",
            "1e",
            "e5",
            "NaN",
            "0x10",
            "1 ",
            "123456789012345678901234567890123456789",
        ] {
            assert!(Number::parse(text).is_none(), "{text}");
        }
        assert!(parse_small_integer("12a").is_none());
        assert!(parse_small_integer("-").is_none());
        assert_eq!(parse_small_integer("-42"), Some(-42));
    }

    #[test]
    fn ordering_is_numeric() {
        let mut sorted = ["10", "9", "-1", "-1.5", "0", "1E-130", "1E125", "9.5"].map(number);
        sorted.sort();
        let texts: Vec<String> = sorted.iter().map(Number::to_string).collect();
        assert_eq!(
            texts,
            ["-1.5", "-1", "0", "1E-130", "9", "9.5", "10", "1E125"]
        );
    }

    #[test]
    fn storable_range_is_dynamodbs() {
        assert!(number("9.9999999999999999999999999999999999999E125").is_storable());
        assert!(!number("1E126").is_storable());
        assert!(number("1E-130").is_storable());
        assert!(!number("1E-131").is_storable());
    }

    #[test]
    fn digits_and_scale() {
        assert_eq!(
            (number("123.45").integer_digits(), number("123.45").scale()),
            (3, 2)
        );
        assert_eq!(
            (number("0.05").integer_digits(), number("0.05").scale()),
            (0, 2)
        );
        assert_eq!(
            (number("1200").integer_digits(), number("1200").scale()),
            (4, 0)
        );
    }
}
