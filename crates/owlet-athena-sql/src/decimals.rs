//! Division of decimals by Athena's rule: the quotient has as many digits after the point as the operand with more
//! of them, rounded half up. It must never know tables.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, Decimal256Array};
use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Decimal256Type, Field, i256,
};
use datafusion_common::{Result, exec_datafusion_err, plan_err};
use datafusion_expr::ScalarUDF;

use crate::functions::conversion::cast;
use crate::functions::scalar::Kind::Any;
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
