//! Division of decimals by Athena's rule: the quotient has as many digits after the point as the operand with more
//! of them, rounded half up. It must never know tables.

use std::sync::{Arc, LazyLock};

use arrow::array::{Array, AsArray, Decimal128Array};
use arrow::datatypes::{DataType, Decimal128Type, Field, i256};
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

const MOST_DIGITS: u8 = 38;

/// Precision and scale of a number that takes part in decimal arithmetic.
pub(crate) fn decimal_digits(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Decimal128(precision, scale) => Some((*precision, *scale)),
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

fn quotient_field(call: &CallTypes<'_>) -> Result<Field> {
    let [(precision, scale), (_, divisor_scale)] = operands(&call.types)?;
    let more =
        u8::try_from(divisor_scale).unwrap_or(0) + u8::try_from(divisor_scale - scale).unwrap_or(0);
    let precision = precision.saturating_add(more).min(MOST_DIGITS);
    Ok(Field::new(
        "",
        DataType::Decimal128(precision, scale.max(divisor_scale)),
        true,
    ))
}

fn divide(call: &Call<'_>) -> Result<arrow::array::ArrayRef> {
    let types: Vec<DataType> = call
        .arrays
        .iter()
        .map(|array| array.data_type().clone())
        .collect();
    let [(_, scale), (_, divisor_scale)] = operands(&types)?;
    let DataType::Decimal128(precision, result_scale) = call.return_type else {
        return plan_err!("decimal division gives a decimal");
    };
    let decimals = |index: usize, scale: i8| {
        cast(
            &call.arrays[index],
            &DataType::Decimal128(MOST_DIGITS, scale),
        )
    };
    let (dividends, divisors) = (decimals(0, scale)?, decimals(1, divisor_scale)?);
    let (dividends, divisors) = (
        dividends.as_primitive::<Decimal128Type>(),
        divisors.as_primitive::<Decimal128Type>(),
    );
    let shift =
        u32::try_from(i32::from(*result_scale) + i32::from(divisor_scale) - i32::from(scale))
            .unwrap_or(0);
    let factor = (0..shift).try_fold(i256::ONE, |factor, _| {
        factor.checked_mul(i256::from_i128(10))
    });
    let overflow =
        || exec_datafusion_err!("decimal({precision},{result_scale}) overflow in a division");
    let limit = 10_u128.pow(u32::from(*precision));
    let values = call.values(|row| {
        let divisor = i256::from_i128(divisors.value(row));
        if divisor == i256::ZERO {
            return Err(arrow::error::ArrowError::DivideByZero.into());
        }
        let scaled =
            factor.and_then(|factor| i256::from_i128(dividends.value(row)).checked_mul(factor));
        let scaled = scaled.ok_or_else(overflow)?;
        let (quotient, rest) = (scaled.wrapping_div(divisor), scaled.wrapping_rem(divisor));
        let rounds_up =
            rest.wrapping_abs().wrapping_add(rest.wrapping_abs()) >= divisor.wrapping_abs();
        let away = if (scaled < i256::ZERO) == (divisor < i256::ZERO) {
            i256::ONE
        } else {
            i256::MINUS_ONE
        };
        let quotient = if rounds_up {
            quotient.wrapping_add(away)
        } else {
            quotient
        };
        let fits = quotient
            .to_i128()
            .filter(|quotient| quotient.unsigned_abs() < limit);
        fits.map(Some).ok_or_else(overflow)
    })?;
    Ok(Arc::new(
        Decimal128Array::from(values).with_precision_and_scale(*precision, *result_scale)?,
    ))
}
