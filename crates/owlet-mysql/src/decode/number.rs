//! Numbers as the protocol sends them: integers, and decimals as text. Must never know columns.

use arrow::datatypes::i256;

use super::Problem;

/// Digits of the largest power of ten in 128 bits.
const DIGITS_128: u8 = 38;

/// An integer with this many zeros behind it.
pub(super) fn scaled(value: i128, precision: u8, scale: i8) -> Result<i128, Problem> {
    let factor = power_of_ten(scale)?;
    value
        .checked_mul(factor)
        .filter(|unscaled| fits(*unscaled, precision))
        .ok_or_else(|| too_large(&value.to_string(), precision, scale))
}

/// The unscaled value of a decimal's text.
#[inline]
pub(super) fn decimal128(text: &[u8], precision: u8, scale: i8) -> Result<i128, Problem> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        _ => (false, text),
    };
    let wanted = usize::from(scale.unsigned_abs());
    let mut value: i128 = 0;
    let mut fraction: Option<usize> = None;
    for byte in digits {
        match byte {
            b'0'..=b'9' => {
                match &mut fraction {
                    Some(places) if *places == wanted => {
                        if *byte != b'0' {
                            return Err(too_fine(text, scale));
                        }
                        continue;
                    }
                    Some(places) => *places += 1,
                    None => {}
                }
                value = value
                    .checked_mul(10)
                    .and_then(|value| value.checked_add(i128::from(byte - b'0')))
                    .ok_or_else(|| too_large(&String::from_utf8_lossy(text), precision, scale))?;
            }
            b'.' if fraction.is_none() => fraction = Some(0),
            _ => return Err(not_a_number(text)),
        }
    }
    if digits.is_empty() {
        return Err(not_a_number(text));
    }
    for _ in fraction.unwrap_or(0)..wanted {
        value = value
            .checked_mul(10)
            .ok_or_else(|| too_large(&String::from_utf8_lossy(text), precision, scale))?;
    }
    if !fits(value, precision) {
        return Err(too_large(&String::from_utf8_lossy(text), precision, scale));
    }
    Ok(if negative { -value } else { value })
}

/// The unscaled value of a decimal's text of up to 76 digits.
pub(super) fn decimal256(text: &[u8], precision: u8, scale: i8) -> Result<i256, Problem> {
    let spelled = std::str::from_utf8(text).map_err(|_| not_a_number(text))?;
    let (sign, digits) = match spelled.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", spelled),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let wanted = usize::from(scale.unsigned_abs());
    let fraction = match fraction.get(wanted..) {
        Some(rest) if rest.bytes().any(|digit| digit != b'0') => return Err(too_fine(text, scale)),
        Some(_) => &fraction[..wanted],
        None => fraction,
    };
    let unscaled = format!("{sign}{whole}{fraction:0<wanted$}");
    let significant = format!("{whole}{fraction:0<wanted$}")
        .trim_start_matches('0')
        .len();
    if significant > usize::from(precision) {
        return Err(too_large(spelled, precision, scale));
    }
    i256::from_string(&unscaled).ok_or_else(|| not_a_number(text))
}

/// An integer's text, with nothing but zeros after the point.
pub(super) fn integer(text: &[u8]) -> Result<i128, Problem> {
    decimal128(text, DIGITS_128, 0)
}

/// Bits, most significant byte first.
pub(super) fn bits(bytes: &[u8]) -> Result<i128, Problem> {
    if bytes.len() > 8 {
        return Err(Problem::new("more than 64 bits"));
    }
    Ok(bytes
        .iter()
        .fold(0, |value, byte| value << 8 | i128::from(*byte)))
}

fn power_of_ten(scale: i8) -> Result<i128, Problem> {
    10_i128
        .checked_pow(u32::from(scale.unsigned_abs()))
        .ok_or_else(|| Problem::new(format!("a scale of {scale}")))
}

fn fits(value: i128, precision: u8) -> bool {
    match 10_u128.checked_pow(u32::from(precision)) {
        Some(limit) => value.unsigned_abs() < limit,
        None => true,
    }
}

#[cold]
fn too_large(text: &str, precision: u8, scale: i8) -> Problem {
    Problem::new(format!("{text} does not fit decimal({precision}, {scale})"))
}

#[cold]
fn too_fine(text: &[u8], scale: i8) -> Problem {
    Problem::new(format!(
        "{} has more than {scale} digits after the point",
        String::from_utf8_lossy(text)
    ))
}

#[cold]
fn not_a_number(text: &[u8]) -> Problem {
    Problem::new(format!("{:?} is no number", String::from_utf8_lossy(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals() {
        let read =
            |text: &str, precision, scale| decimal128(text.as_bytes(), precision, scale).ok();
        assert_eq!(read("0.00", 12, 2), Some(0));
        assert_eq!(read("-123.45", 12, 2), Some(-12_345));
        assert_eq!(read("7", 12, 2), Some(700));
        assert_eq!(read("7.1", 12, 2), Some(710));
        assert_eq!(read("7.1000", 12, 2), Some(710));
        assert_eq!(read("7.1001", 12, 2), None);
        assert_eq!(read("1000", 3, 0), None);
        assert_eq!(read("999", 3, 0), Some(999));
        assert_eq!(read("", 3, 0), None);
        assert_eq!(read("1e5", 9, 0), None);
        assert_eq!(read(&"9".repeat(38), 38, 0), Some(10_i128.pow(38) - 1));
        assert_eq!(read(&"9".repeat(39), 38, 0), None);
    }

    #[test]
    fn long_decimals() {
        let largest = format!("{}.{}", "9".repeat(35), "9".repeat(30));
        let read = decimal256(largest.as_bytes(), 65, 30).expect("fits");
        assert_eq!(read.to_string(), "9".repeat(65));
        let negative = decimal256(b"-0.000000000000000000000000000001", 65, 30).expect("fits");
        assert_eq!(negative.to_string(), "-1");
        assert!(decimal256(b"1.5", 65, 0).is_err());
    }

    #[test]
    fn bit_strings() {
        assert_eq!(bits(&[1, 0]).ok(), Some(256));
        assert_eq!(bits(&[0xFF; 8]).ok(), Some(i128::from(u64::MAX)));
        assert!(bits(&[0; 9]).is_err());
    }
}
