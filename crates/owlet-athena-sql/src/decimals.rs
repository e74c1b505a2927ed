//! Decimals: their division by Athena's rule (the quotient has as many digits after the point as the operand with more
//! of them, rounded half up), texts read as decimals without losing a digit, and whether results have too many digits.
//! It must never know tables.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, Decimal256Array};
use arrow::compute::{max, min};
use arrow::datatypes::{
    DECIMAL32_MAX_PRECISION, DECIMAL64_MAX_PRECISION, DECIMAL128_MAX_PRECISION,
    DECIMAL256_MAX_PRECISION, DataType, Decimal32Type, Decimal64Type, Decimal128Type,
    Decimal256Type, DecimalType, Field, i256,
};
use datafusion_common::{Result, ScalarValue, exec_datafusion_err, plan_err};
use datafusion_expr::{Operator, ScalarUDF};

use crate::functions::conversion::cast;
use crate::functions::scalar::Kind::{Any, Text};
use crate::functions::scalar::Overload::Exact;
use crate::functions::scalar::{Call, CallTypes, function};

/// `a / b` where one operand is a decimal and the other a decimal or an integer.
pub(crate) static DIVIDE: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Arc::new(function(
        &["owlet_decimal_divide"],
        &[Exact(&[Any, Any])],
        quotient_field,
        divide,
    ))
});

/// Holds every decimal of at most 38 digits, wherever its point is.
pub(crate) const ANY_DECIMAL: DataType = DataType::Decimal256(DECIMAL256_MAX_PRECISION, ANY_SCALE);
const ANY_SCALE: i8 = 38;

/// A text as a decimal with all its digits, where the text is not known before.
pub(crate) static READ: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Arc::new(function(
        &["owlet_read_decimal"],
        &[Exact(&[Text])],
        |_| Ok(Field::new("", ANY_DECIMAL, true)),
        read,
    ))
});

fn read(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.texts(0)?;
    let values = call.values(|row| {
        let text = texts.value(row);
        let unreadable =
            || exec_datafusion_err!("'{text}' is not a decimal number of at most 38 digits");
        let (digits, scale) = digits_of(text).ok_or_else(unreadable)?;
        let shift = u32::from(ANY_SCALE.unsigned_abs() - scale);
        let factor = ten().checked_pow(shift).ok_or_else(unreadable)?;
        let value = i256::from_i128(digits).checked_mul(factor);
        value.map(Some).ok_or_else(unreadable)
    })?;
    let decimals = Decimal256Array::from(values)
        .with_precision_and_scale(DECIMAL256_MAX_PRECISION, ANY_SCALE)?;
    Ok(Arc::new(decimals))
}

/// The decimal that a text is, in the smallest type that holds it; `None` if it is none of at most 38 digits.
pub(crate) fn literal(text: &str) -> Option<ScalarValue> {
    let (digits, scale) = digits_of(text)?;
    let length = digits.unsigned_abs().to_string().len();
    let precision = u8::try_from(length).ok()?.max(scale);
    Some(ScalarValue::Decimal128(
        Some(digits),
        precision,
        i8::try_from(scale).ok()?,
    ))
}

/// The digits of a decimal number and how many of them stand after the point: `-1.140` is -114 and 2.
fn digits_of(text: &str) -> Option<(i128, u8)> {
    let text = text.trim();
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let has_digits_only = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if unsigned.len() < 1 + usize::from(unsigned.contains('.'))
        || !has_digits_only(whole)
        || !has_digits_only(fraction)
    {
        return None;
    }
    let fraction = fraction.trim_end_matches('0');
    let whole = whole.trim_start_matches('0');
    let scale = u8::try_from(fraction.len()).ok()?;
    if whole.len() + fraction.len() > usize::from(DECIMAL128_MAX_PRECISION) {
        return None;
    }
    let digits: i128 = format!("0{whole}{fraction}").parse().ok()?;
    let digits = if text.starts_with('-') {
        -digits
    } else {
        digits
    };
    Some((digits, scale))
}

/// Precision and scale of a number that takes part in decimal arithmetic.
pub(crate) fn decimal_digits(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            Some((*precision, *scale))
        }
        DataType::Int8 => Some((3, 0)),
        DataType::Int16 => Some((5, 0)),
        DataType::Int32 => Some((10, 0)),
        DataType::Int64 => Some((19, 0)),
        _ => None,
    }
}

/// `+`, `-` or `*` of decimals may have more digits than the type that is planned for the result.
pub(crate) fn may_overflow(op: Operator, left: &DataType, right: &DataType) -> bool {
    use DataType as T;
    let (digits, limit) = match (left, right) {
        (T::Decimal32(p1, s1), T::Decimal32(p2, s2)) => {
            ([(*p1, *s1), (*p2, *s2)], DECIMAL32_MAX_PRECISION)
        }
        (T::Decimal64(p1, s1), T::Decimal64(p2, s2)) => {
            ([(*p1, *s1), (*p2, *s2)], DECIMAL64_MAX_PRECISION)
        }
        (T::Decimal128(p1, s1), T::Decimal128(p2, s2)) => {
            ([(*p1, *s1), (*p2, *s2)], DECIMAL128_MAX_PRECISION)
        }
        (T::Decimal256(p1, s1), T::Decimal256(p2, s2)) => {
            ([(*p1, *s1), (*p2, *s2)], DECIMAL256_MAX_PRECISION)
        }
        _ => return false,
    };
    let [left, right] = digits.map(|(precision, scale)| (i16::from(precision), i16::from(scale)));
    let needed = match op {
        Operator::Multiply => left.0 + right.0,
        _ => (left.0 - left.1).max(right.0 - right.1) + left.1.max(right.1) + 1,
    };
    needed > i16::from(limit)
}

/// All values have at most as many digits as their type says.
pub(crate) fn all_fit(decimals: &ArrayRef) -> bool {
    match decimals.data_type() {
        DataType::Decimal32(precision, _) => fit::<Decimal32Type>(decimals, *precision),
        DataType::Decimal64(precision, _) => fit::<Decimal64Type>(decimals, *precision),
        DataType::Decimal128(precision, _) => fit::<Decimal128Type>(decimals, *precision),
        DataType::Decimal256(precision, _) => fit::<Decimal256Type>(decimals, *precision),
        _ => true,
    }
}

fn fit<D: DecimalType>(decimals: &ArrayRef, precision: u8) -> bool {
    let values = decimals.as_primitive::<D>();
    [min(values), max(values)]
        .into_iter()
        .flatten()
        .all(|extreme| D::is_valid_decimal_precision(extreme, precision))
}

fn operands(types: &[DataType]) -> Result<[(u8, i8); 2]> {
    match (decimal_digits(&types[0]), decimal_digits(&types[1])) {
        (Some(dividend), Some(divisor)) => Ok([dividend, divisor]),
        _ => plan_err!("decimal division of {} by {}", types[0], types[1]),
    }
}

/// More than 38 digits only over operands that have them.
fn quotient_field(call: &CallTypes<'_>) -> Result<Field> {
    let [(precision, scale), (_, divisor_scale)] = operands(&call.types)?;
    let more =
        u8::try_from(divisor_scale).unwrap_or(0) + u8::try_from(divisor_scale - scale).unwrap_or(0);
    let precision = precision.saturating_add(more);
    let scale = scale.max(divisor_scale);
    let is_wide = |data_type: &DataType| matches!(data_type, DataType::Decimal256(..));
    let data_type = match call.types.iter().any(is_wide) {
        true => DataType::Decimal256(precision.min(DECIMAL256_MAX_PRECISION), scale),
        false => DataType::Decimal128(precision.min(DECIMAL128_MAX_PRECISION), scale),
    };
    Ok(Field::new("", data_type, true))
}

fn divide(call: &Call<'_>) -> Result<ArrayRef> {
    let types: Vec<DataType> = call
        .arrays
        .iter()
        .map(|array| array.data_type().clone())
        .collect();
    let [(_, scale), (_, divisor_scale)] = operands(&types)?;
    let (DataType::Decimal128(precision, result_scale)
    | DataType::Decimal256(precision, result_scale)) = call.return_type
    else {
        return plan_err!("decimal division gives a decimal");
    };
    let decimals = |index: usize, scale: i8| {
        cast(
            &call.arrays[index],
            &DataType::Decimal256(DECIMAL256_MAX_PRECISION, scale),
        )
    };
    let (dividends, divisors) = (decimals(0, scale)?, decimals(1, divisor_scale)?);
    let (dividends, divisors) = (
        dividends.as_primitive::<Decimal256Type>(),
        divisors.as_primitive::<Decimal256Type>(),
    );
    let shift =
        u32::try_from(i32::from(*result_scale) + i32::from(divisor_scale) - i32::from(scale))
            .unwrap_or(0);
    let overflow =
        || exec_datafusion_err!("decimal({precision},{result_scale}) overflow in a division");
    let factor = ten().checked_pow(shift);
    let limit = ten()
        .checked_pow(u32::from(*precision))
        .ok_or_else(overflow)?;
    let values = call.values(|row| {
        let divisor = divisors.value(row);
        if divisor == i256::ZERO {
            return Err(arrow::error::ArrowError::DivideByZero.into());
        }
        let scaled = factor.and_then(|factor| dividends.value(row).checked_mul(factor));
        let scaled = scaled.ok_or_else(overflow)?;
        let quotient = rounded_quotient(scaled, divisor);
        let fits = quotient.wrapping_abs() < limit;
        fits.then_some(Some(quotient)).ok_or_else(overflow)
    })?;
    let quotients = Decimal256Array::from(values)
        .with_precision_and_scale(DECIMAL256_MAX_PRECISION, *result_scale)?;
    Ok(cast(&quotients, call.return_type)?)
}

fn ten() -> i256 {
    i256::from_i128(10)
}

/// Half away from zero. The divisor has at most 76 digits, so twice the rest fits.
fn rounded_quotient(dividend: i256, divisor: i256) -> i256 {
    let (quotient, rest) = (
        dividend.wrapping_div(divisor),
        dividend.wrapping_rem(divisor),
    );
    let rest = rest.wrapping_abs();
    if rest.wrapping_add(rest) < divisor.wrapping_abs() {
        return quotient;
    }
    if (dividend < i256::ZERO) == (divisor < i256::ZERO) {
        quotient.wrapping_add(i256::ONE)
    } else {
        quotient.wrapping_sub(i256::ONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_results_beyond_the_limit_are_checked() {
        let decimal = DataType::Decimal128;
        for (op, left, right, expected) in [
            (Operator::Multiply, (15, 2), (16, 2), false),
            (Operator::Multiply, (19, 2), (19, 2), false),
            (Operator::Multiply, (19, 2), (20, 2), true),
            (Operator::Plus, (37, 2), (37, 2), false),
            (Operator::Plus, (38, 2), (1, 0), true),
            (Operator::Minus, (20, 0), (20, 18), true),
            (Operator::Minus, (19, 0), (20, 18), false),
        ] {
            let (left, right) = (decimal(left.0, left.1), decimal(right.0, right.1));
            assert_eq!(
                may_overflow(op, &left, &right),
                expected,
                "{left} {op} {right}"
            );
        }
        assert!(!may_overflow(
            Operator::Plus,
            &DataType::Float64,
            &DataType::Float64
        ));
    }

    #[test]
    fn texts_keep_all_their_digits() {
        for (text, digits) in [
            ("1.14", Some((114, 2))),
            (" -001.1400 ", Some((-114, 2))),
            ("+.5", Some((5, 1))),
            ("7.", Some((7, 0))),
            ("0", Some((0, 0))),
            ("", None),
            (".", None),
            ("1e3", None),
            ("1.1.1", None),
            ("--1", None),
            ("123456789012345678901234567890123456789", None),
        ] {
            assert_eq!(digits_of(text), digits, "{text}");
        }
    }
}
