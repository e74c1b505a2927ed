//! PostgreSQL's binary `numeric` to fixed-scale integers, exactly. Must never round.
//!
//! Format (`numeric_send` in PostgreSQL's numeric.c): number of base-10000 digits, weight of the first digit
//! (value = digit × 10000^weight), sign, display scale, then the digits; all 16-bit big-endian.

use arrow::datatypes::i256;

use super::{Advice, Problem};

const SIGN_POSITIVE: u16 = 0;
const SIGN_NEGATIVE: u16 = 0x4000;
const SIGN_NAN: u16 = 0xc000;
const SIGN_POSITIVE_INFINITY: u16 = 0xd000;
const SIGN_NEGATIVE_INFINITY: u16 = 0xf000;

/// Powers of ten that fit `u128`.
const POWERS: [u128; 39] = {
    let mut powers = [1_u128; 39];
    let mut exponent = 1;
    while exponent < 39 {
        powers[exponent] = powers[exponent - 1] * 10;
        exponent += 1;
    }
    powers
};

/// The parts of a binary numeric.
struct Numeric<'a> {
    weight: i32,
    sign: u16,
    display_scale: u16,
    /// Two bytes a digit.
    digits: &'a [u8],
}

/// The value × 10^scale, if it is an integer of at most `precision` digits.
#[inline]
pub(super) fn to_decimal128(bytes: &[u8], precision: u8, scale: i8) -> Result<i128, Problem> {
    match small_decimal(bytes, i32::from(scale)) {
        Some(small)
            if u128::from(small.unsigned_abs()) < POWERS[usize::from(precision.min(38))] =>
        {
            Ok(i128::from(small))
        }
        _ => to_wide_decimal128(bytes, precision, scale),
    }
}

fn to_wide_decimal128(bytes: &[u8], precision: u8, scale: i8) -> Result<i128, Problem> {
    let numeric = Numeric::parse(bytes)?;
    if numeric.sign & SIGN_NAN == SIGN_NAN {
        return Err(numeric.special());
    }
    match numeric.magnitude(i32::from(scale)) {
        Some(magnitude) if magnitude < POWERS[usize::from(precision.min(38))] => {
            let value = magnitude as i128;
            Ok(if numeric.sign == SIGN_NEGATIVE {
                -value
            } else {
                value
            })
        }
        _ => Err(numeric.does_not_fit(precision, scale)),
    }
}

/// Like [`to_decimal128`], for up to 76 digits.
pub(super) fn to_decimal256(bytes: &[u8], precision: u8, scale: i8) -> Result<i256, Problem> {
    let numeric = Numeric::parse(bytes)?;
    if numeric.sign & SIGN_NAN == SIGN_NAN {
        return Err(numeric.special());
    }
    let limit = i256::from_i128(10).checked_pow(u32::from(precision));
    match numeric.wide_magnitude(i32::from(scale)) {
        Some(magnitude) if limit.is_some_and(|limit| magnitude < limit) => {
            Ok(if numeric.sign == SIGN_NEGATIVE {
                magnitude.wrapping_neg()
            } else {
                magnitude
            })
        }
        _ => Err(numeric.does_not_fit(precision, scale)),
    }
}

impl<'a> Numeric<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, Problem> {
        let Some((header, digits)) = bytes.split_first_chunk::<8>() else {
            return Err(Problem::new("a numeric is shorter than its header"));
        };
        let count = usize::from(u16::from_be_bytes([header[0], header[1]]));
        if digits.len() != count * 2 {
            return Err(Problem::new("a numeric has another length than it says"));
        }
        Ok(Self {
            weight: i32::from(i16::from_be_bytes([header[2], header[3]])),
            sign: u16::from_be_bytes([header[4], header[5]]),
            display_scale: u16::from_be_bytes([header[6], header[7]]),
            digits,
        })
    }

    fn digits(&self) -> impl ExactSizeIterator<Item = u16> + '_ {
        self.digits
            .chunks_exact(2)
            .map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
    }

    /// |value| × 10^scale, or `None` when it is no integer or needs more than 38 digits.
    fn magnitude(&self, scale: i32) -> Option<u128> {
        let mut sum = 0_u128;
        let mut exponent = 4 * self.weight + scale;
        let mut last_counted = exponent;
        for digit in self.digits() {
            if exponent >= 0 {
                sum = sum.checked_mul(10_000)?.checked_add(u128::from(digit))?;
                last_counted = exponent;
            } else {
                sum = append_part(sum, digit, exponent, &mut last_counted)?;
            }
            exponent -= 4;
        }
        if last_counted > 0 && sum != 0 {
            sum = sum.checked_mul(*POWERS.get(last_counted as usize)?)?;
        }
        Some(sum)
    }

    fn wide_magnitude(&self, scale: i32) -> Option<i256> {
        let ten_thousand = i256::from_i128(10_000);
        let mut sum = i256::ZERO;
        let mut exponent = 4 * self.weight + scale;
        let mut last_counted = exponent;
        for digit in self.digits() {
            if exponent >= 0 {
                sum = sum
                    .checked_mul(ten_thousand)?
                    .checked_add(i256::from_i128(digit.into()))?;
                last_counted = exponent;
            } else if let Some((factor, part)) = visible_part(digit, exponent)? {
                sum = sum
                    .checked_mul(i256::from_i128(factor.into()))?
                    .checked_add(i256::from_i128(part.into()))?;
                last_counted = 0;
            }
            exponent -= 4;
        }
        if last_counted > 0 && sum != i256::ZERO {
            let power = i256::from_i128(10).checked_pow(last_counted.try_into().ok()?)?;
            sum = sum.checked_mul(power)?;
        }
        Some(sum)
    }

    fn special(&self) -> Problem {
        let name = match self.sign {
            SIGN_NAN => "NaN",
            SIGN_POSITIVE_INFINITY => "Infinity",
            SIGN_NEGATIVE_INFINITY => "-Infinity",
            _ => "a numeric of unknown sign",
        };
        Problem::new(format!(
            "{name} has no decimal form; exclude it in a view, or cast the column to double precision there"
        ))
    }

    fn does_not_fit(&self, precision: u8, scale: i8) -> Problem {
        Problem {
            advice: Advice::LargerDecimal,
            ..Problem::new(format!(
                "{} does not fit decimal({precision},{scale}) exactly",
                self.text()
            ))
        }
    }

    /// The number as PostgreSQL prints it; for messages.
    fn text(&self) -> String {
        let mut text = String::new();
        if self.sign == SIGN_NEGATIVE {
            text.push('-');
        }
        let digits: Vec<u16> = self.digits().collect();
        let digit_at = |weight: i32| {
            usize::try_from(self.weight - weight)
                .ok()
                .and_then(|index| digits.get(index))
                .copied()
                .unwrap_or(0)
        };
        if self.weight < 0 {
            text.push('0');
        }
        for weight in (0..=self.weight).rev() {
            let digit = digit_at(weight);
            let is_first = weight == self.weight;
            text.push_str(&if is_first {
                digit.to_string()
            } else {
                format!("{digit:04}")
            });
        }
        if self.display_scale > 0 {
            text.push('.');
            let groups = i32::from(self.display_scale.div_ceil(4));
            let fraction: String = (1..=groups)
                .map(|group| format!("{:04}", digit_at(-group)))
                .collect();
            text.push_str(&fraction[..usize::from(self.display_scale)]);
        }
        text
    }
}

/// The value × 10^scale of a number of up to 16 digits, which nearly all are, without wide arithmetic; `None` for others
/// and for what is no integer.
#[inline]
fn small_decimal(bytes: &[u8], scale: i32) -> Option<i64> {
    let (header, digits) = bytes.split_first_chunk::<8>()?;
    let [c0, c1, w0, w1, s0, s1, ..] = *header;
    let digit = |high: u8, low: u8| i64::from(u16::from_be_bytes([high, low]));
    let (count, number) = match *digits {
        [] => (0, 0),
        [a, b] => (1, digit(a, b)),
        [a, b, c, d] => (2, digit(a, b) * 10_000 + digit(c, d)),
        [a, b, c, d, e, f] => (
            3,
            (digit(a, b) * 10_000 + digit(c, d)) * 10_000 + digit(e, f),
        ),
        [a, b, c, d, e, f, g, h] => (
            4,
            ((digit(a, b) * 10_000 + digit(c, d)) * 10_000 + digit(e, f)) * 10_000 + digit(g, h),
        ),
        _ => return None,
    };
    if u16::from_be_bytes([c0, c1]) != count {
        return None;
    }
    let number = match u16::from_be_bytes([s0, s1]) {
        SIGN_POSITIVE => number,
        SIGN_NEGATIVE => -number,
        _ => return None,
    };
    if number == 0 {
        return Some(0);
    }
    // Power of ten of the last digit after scaling.
    let weight = i32::from(i16::from_be_bytes([w0, w1]));
    match 4 * (weight + 1 - i32::from(count)) + scale {
        0 => Some(number),
        1 => number.checked_mul(10),
        2 => number.checked_mul(100),
        3 => number.checked_mul(1_000),
        -1 if number % 10 == 0 => Some(number / 10),
        -2 if number % 100 == 0 => Some(number / 100),
        -3 if number % 1_000 == 0 => Some(number / 1_000),
        _ => None,
    }
}

/// A digit partly or wholly below the target's last place: `exponent` is negative. Nothing of it may be lost.
#[inline]
fn append_part(sum: u128, digit: u16, exponent: i32, last_counted: &mut i32) -> Option<u128> {
    match visible_part(digit, exponent)? {
        None => Some(sum),
        Some((factor, part)) => {
            *last_counted = 0;
            sum.checked_mul(factor.into())?.checked_add(part.into())
        }
    }
}

/// What of the digit lies at or above the last place, with the factor that makes room for it; `Some(None)` when
/// all of it lies below and is zero; `None` when something would be lost.
#[inline]
fn visible_part(digit: u16, exponent: i32) -> Option<Option<(u32, u32)>> {
    if exponent <= -4 {
        return if digit == 0 { Some(None) } else { None };
    }
    let divisor = 10_u32.pow(exponent.unsigned_abs());
    let digit = u32::from(digit);
    if digit % divisor != 0 {
        return None;
    }
    Some(Some((10_000 / divisor, digit / divisor)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The wire form of a decimal text, as `numeric_send` makes it.
    pub(in crate::decode) fn wire(text: &str) -> Vec<u8> {
        let (negative, text) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let scale = fraction.len() as u16;
        let whole = format!("{}{whole}", "0".repeat((4 - whole.len() % 4) % 4));
        let fraction = format!("{fraction}{}", "0".repeat((4 - fraction.len() % 4) % 4));
        let mut weight = whole.len() as i16 / 4 - 1;
        let all = format!("{whole}{fraction}");
        let mut digits: Vec<u16> = all
            .as_bytes()
            .chunks(4)
            .map(|group| std::str::from_utf8(group).unwrap().parse().unwrap())
            .collect();
        while digits.first() == Some(&0) {
            digits.remove(0);
            weight -= 1;
        }
        while digits.last() == Some(&0) {
            digits.pop();
        }
        if digits.is_empty() {
            weight = 0;
        }
        let sign = if negative && !digits.is_empty() {
            SIGN_NEGATIVE
        } else {
            0
        };
        let mut bytes = Vec::new();
        bytes.extend((digits.len() as u16).to_be_bytes());
        bytes.extend(weight.to_be_bytes());
        bytes.extend(sign.to_be_bytes());
        bytes.extend(scale.to_be_bytes());
        for digit in digits {
            bytes.extend(digit.to_be_bytes());
        }
        bytes
    }

    /// The text scaled by hand: what must come out.
    fn scaled(text: &str, scale: usize) -> Option<String> {
        let negative = text.starts_with('-');
        let text = text.trim_start_matches('-');
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let fraction = format!("{fraction:0<scale$}");
        if fraction[scale..].bytes().any(|byte| byte != b'0') {
            return None;
        }
        let number = format!("{whole}{}", &fraction[..scale]);
        let number = number.trim_start_matches('0');
        match number {
            "" => Some("0".to_owned()),
            digits => Some(format!("{}{digits}", if negative { "-" } else { "" })),
        }
    }

    const NUMBERS: &[&str] = &[
        "0",
        "1",
        "-1",
        "10",
        "9999",
        "10000",
        "10001",
        "99999999",
        "100000000",
        "0.1",
        "0.01",
        "0.001",
        "0.0001",
        "0.00001",
        "-0.00000001",
        "1.5",
        "12345.67",
        "-12345.6789",
        "9999999999999999",
        "99999999999999999999",
        "12345678901234567890.123456789012345678",
        "-99999999999999999999.999999999999999999",
        "99999999999999999999999999999999999999",
        "100000000000000000000000000000000000000",
        "170141183460469231731687303715884105728",
        "340282366920938463463374607431768211456",
        "0.99999999999999999999999999999999999999",
        "10000.0001",
        "100000000.00000001",
        "1000000000000.5",
        "1.10",
        "1.100000000000000000000000",
        "0.000000000000000000000000000000000001",
        "9999999999999999999999999999999999999999999999999999999999999999999999999999",
        "1234567890123456789012345678901234567890.123456789",
    ];

    #[test]
    fn every_number_is_exact_or_refused() {
        for number in NUMBERS {
            for scale in 0..=38 {
                let expected = scaled(number, scale)
                    .filter(|digits| digits.trim_start_matches('-').len() <= 38);
                let actual = to_decimal128(&wire(number), 38, scale as i8);
                match expected {
                    Some(digits) => assert_eq!(
                        actual.expect(number).to_string(),
                        digits,
                        "{number} at {scale}"
                    ),
                    None => assert!(actual.is_err(), "{number} at {scale} is {actual:?}"),
                }
            }
            for scale in 0..=76 {
                let expected = scaled(number, scale)
                    .filter(|digits| digits.trim_start_matches('-').len() <= 76);
                let actual = to_decimal256(&wire(number), 76, scale as i8);
                match expected {
                    Some(digits) => assert_eq!(
                        actual.expect(number).to_string(),
                        digits,
                        "{number} at {scale}"
                    ),
                    None => assert!(actual.is_err(), "{number} at {scale} is {actual:?}"),
                }
            }
        }
    }

    #[test]
    fn the_precision_is_checked() {
        assert_eq!(to_decimal128(&wire("99.9"), 3, 1).unwrap(), 999);
        assert!(to_decimal128(&wire("100.0"), 3, 1).is_err());
        assert!(to_decimal256(&wire("1000"), 3, 0).is_err());
    }

    #[test]
    fn messages_show_the_number() {
        for number in NUMBERS {
            let message = Numeric::parse(&wire(number)).unwrap().text();
            assert_eq!(&message, number);
        }
        let error = to_decimal128(&wire("0.125"), 38, 2).unwrap_err();
        assert!(
            error.to_string().starts_with("0.125 does not fit"),
            "{error}"
        );
    }

    #[test]
    fn special_values_are_refused_by_name() {
        for (sign, name) in [
            (SIGN_NAN, "NaN"),
            (SIGN_POSITIVE_INFINITY, "Infinity"),
            (SIGN_NEGATIVE_INFINITY, "-Infinity"),
        ] {
            let mut bytes = vec![0, 0, 0, 0];
            bytes.extend(sign.to_be_bytes());
            bytes.extend([0, 0]);
            assert!(
                to_decimal128(&bytes, 38, 0)
                    .unwrap_err()
                    .to_string()
                    .starts_with(name)
            );
            assert!(
                to_decimal256(&bytes, 76, 0)
                    .unwrap_err()
                    .to_string()
                    .starts_with(name)
            );
        }
    }

    #[test]
    fn broken_bytes_are_refused() {
        assert!(to_decimal128(&[0, 1], 38, 0).is_err());
        assert!(to_decimal128(&[0, 2, 0, 0, 0, 0, 0, 0, 0, 1], 38, 0).is_err());
    }
}
