//! MySQL's operators, casts of numbers, and functions that keep their operands' type. Must never know a driver.

use arrow_schema::DataType;
use owlet_connector::ArithmeticOperator;

use super::literal::decimal_type;
use super::text::{integer_constant, plain};
use crate::class::{TypeClass, decimal_parts, type_class};
use crate::dialect::Refusal;
use crate::fragment::Fragment;
use crate::rule::{Call, Construct, arithmetic_symbol};
use crate::translate::require_type;

/// Most digits of a decimal at the server.
const MAXIMUM_DIGITS: i32 = 65;
/// Most digits after the point at every server.
const MAXIMUM_SCALE: i32 = 30;

/// `+`, `-`, `*` of bigints: MySQL computes in 64 bits and fails on overflow.
pub(super) fn integer_operator(
    call: &Call<'_>,
    operator: ArithmeticOperator,
) -> Result<String, Refusal> {
    require_bigint(call, Construct::Arithmetic(operator))?;
    infix(call, operator)
}

/// `/` and `%` of bigints by a constant that can neither be zero nor overflow.
pub(super) fn integer_division(
    call: &Call<'_>,
    operator: ArithmeticOperator,
) -> Result<String, Refusal> {
    let construct = Construct::Arithmetic(operator);
    require_bigint(call, construct)?;
    let divisor = call.operands.get(1).and_then(integer_constant);
    if divisor.is_none_or(|divisor| divisor == 0 || divisor == -1) {
        return Err(call.refuse(
            construct,
            "pushed only for constant divisors other than 0 and -1",
        ));
    }
    match call.operands {
        [left, right] if operator == ArithmeticOperator::Divide => {
            Ok(format!("({} DIV {})", left.sql, right.sql))
        }
        _ => infix(call, operator),
    }
}

/// `+`, `-`, `*` of decimals: exact up to 65 digits. A result beyond the planned type fails when it is read.
pub(super) fn decimal_operator(
    call: &Call<'_>,
    operator: ArithmeticOperator,
) -> Result<String, Refusal> {
    let construct = Construct::Arithmetic(operator);
    let digits: Vec<(i32, i32)> = call
        .operands
        .iter()
        .filter_map(|operand| decimal_parts(&operand.data_type))
        .map(|(precision, scale)| (i32::from(precision), i32::from(scale)))
        .collect();
    let ([left, right], Some((_, planned))) = (digits.as_slice(), decimal_parts(call.data_type))
    else {
        return Err(call.refuse(construct, call.type_reason()));
    };
    let (needed_scale, needed_digits) = match operator {
        ArithmeticOperator::Multiply => (left.1 + right.1, left.0 + right.0),
        _ => {
            let scale = left.1.max(right.1);
            (scale, (left.0 - left.1).max(right.0 - right.1) + scale + 1)
        }
    };
    if i32::from(planned) != needed_scale {
        let reason = format!("the planned type {} rounds the result", call.data_type);
        return Err(call.refuse(construct, reason));
    }
    if needed_scale > MAXIMUM_SCALE || needed_digits > MAXIMUM_DIGITS {
        return Err(call.refuse(
            construct,
            "the result may have more digits than MySQL keeps",
        ));
    }
    infix(call, operator)
}

/// `||` of texts.
pub(super) fn concatenate(call: &Call<'_>) -> Result<String, Refusal> {
    plain(call, "CONCAT")
}

/// Unary minus.
pub(super) fn negative(call: &Call<'_>) -> Result<String, Refusal> {
    single(call, Construct::Negative).map(|operand| format!("(- {})", operand.sql))
}

/// Whole number to one of at least the same width: the number itself.
pub(super) fn cast_integer_to_integer(call: &Call<'_>) -> Result<String, Refusal> {
    let construct = Construct::Cast(type_class(call.data_type));
    let operand = single(call, construct)?;
    if operand.data_type.primitive_width() > call.data_type.primitive_width() {
        return Err(call.refuse(construct, "MySQL has no casts to narrow integers"));
    }
    Ok(operand.sql.clone())
}

/// Whole number to double: both round to nearest even.
pub(super) fn cast_integer_to_float(call: &Call<'_>) -> Result<String, Refusal> {
    to_double(call)
}

/// Single to double precision, which MySQL computes in anyway.
pub(super) fn cast_float_to_float(call: &Call<'_>) -> Result<String, Refusal> {
    to_double(call)
}

/// Decimal to double, where both the digits and the power of ten are exact in a double.
pub(super) fn cast_decimal_to_float(call: &Call<'_>) -> Result<String, Refusal> {
    let digits = call
        .operands
        .first()
        .and_then(|operand| decimal_parts(&operand.data_type));
    if !digits.is_some_and(|(precision, scale)| precision <= 15 && (0..=22).contains(&scale)) {
        return Err(call.refuse(
            Construct::Cast(TypeClass::Float),
            "decimals of more than 15 digits round differently",
        ));
    }
    to_double(call)
}

/// Whole number to a decimal that holds all numbers of its type: what does not fit would be cut to the largest.
pub(super) fn cast_integer_to_decimal(call: &Call<'_>) -> Result<String, Refusal> {
    let construct = Construct::Cast(TypeClass::Decimal);
    let operand = single(call, construct)?;
    let digits = match operand.data_type {
        DataType::Int8 => 3,
        DataType::Int16 => 5,
        DataType::Int32 => 10,
        _ => 19,
    };
    let whole_digits = decimal_parts(call.data_type).map_or(0, |(precision, scale)| {
        i32::from(precision) - i32::from(scale)
    });
    if whole_digits < digits {
        return Err(call.refuse(
            construct,
            "MySQL cuts what does not fit to the largest number",
        ));
    }
    Ok(format!(
        "CAST({} AS {})",
        operand.sql,
        decimal_type(call.data_type)?
    ))
}

/// Decimal to a decimal that holds all its values: the number itself.
pub(super) fn cast_decimal_to_decimal(call: &Call<'_>) -> Result<String, Refusal> {
    let construct = Construct::Cast(TypeClass::Decimal);
    let operand = single(call, construct)?;
    let (Some((precision, scale)), Some((target_precision, target_scale))) =
        (operand.decimal_digits(), decimal_parts(call.data_type))
    else {
        return Err(call.refuse(construct, "a form that is not known"));
    };
    let whole = i32::from(precision) - i32::from(scale);
    if target_scale < scale || i32::from(target_precision) - i32::from(target_scale) < whole {
        return Err(call.refuse(construct, "a smaller type rounds or overflows"));
    }
    Ok(operand.sql.clone())
}

/// Whole number to its text.
pub(super) fn cast_to_text(call: &Call<'_>) -> Result<String, Refusal> {
    single(call, Construct::Cast(TypeClass::Text))
        .map(|operand| format!("CAST({} AS CHAR(21))", operand.sql))
}

/// `true` and `false`.
pub(super) fn cast_boolean_to_text(call: &Call<'_>) -> Result<String, Refusal> {
    single(call, Construct::Cast(TypeClass::Text)).map(|operand| {
        format!(
            "(CASE {} WHEN TRUE THEN 'true' WHEN FALSE THEN 'false' END)",
            operand.sql
        )
    })
}

/// A function of the same name whose operands and result all have the planned type.
pub(super) fn same_type(call: &Call<'_>, name: &'static str) -> Result<String, Refusal> {
    require_type(Construct::Function(name), call.operands, call.data_type)?;
    plain(call, name)
}

/// `abs(x)`: of the one bigint without a counterpart it fails.
pub(super) fn absolute(call: &Call<'_>) -> Result<String, Refusal> {
    if type_class(call.data_type) == TypeClass::SmallInteger {
        return Err(call.refuse(
            Construct::Function("abs"),
            format!("{}, which may overflow", call.type_reason()),
        ));
    }
    same_type(call, "abs")
}

/// `floor` and `ceil` of doubles.
pub(super) fn whole_double(call: &Call<'_>, name: &'static str) -> Result<String, Refusal> {
    if *call.data_type != DataType::Float64 {
        return Err(call.refuse(Construct::Function(name), call.type_reason()));
    }
    same_type(call, name)
}

fn to_double(call: &Call<'_>) -> Result<String, Refusal> {
    let construct = Construct::Cast(TypeClass::Float);
    if *call.data_type != DataType::Float64 {
        return Err(call.refuse(construct, "MySQL computes in double precision only"));
    }
    single(call, construct).map(|operand| format!("({} + 0e0)", operand.sql))
}

fn require_bigint(call: &Call<'_>, construct: Construct) -> Result<(), Refusal> {
    require_type(construct, call.operands, call.data_type)?;
    if type_class(call.data_type) == TypeClass::BigInteger {
        return Ok(());
    }
    Err(call.refuse(
        construct,
        format!("{}, MySQL computes in 64 bits", call.type_reason()),
    ))
}

fn single<'a>(call: &Call<'a>, construct: Construct) -> Result<&'a Fragment, Refusal> {
    match call.operands {
        [only] => Ok(only),
        _ => Err(call.refuse(construct, "a form that is not known")),
    }
}

fn infix(call: &Call<'_>, operator: ArithmeticOperator) -> Result<String, Refusal> {
    match call.operands {
        [left, right] => Ok(format!(
            "({} {} {})",
            left.sql,
            arithmetic_symbol(operator),
            right.sql
        )),
        _ => Err(call.refuse(Construct::Arithmetic(operator), "a form that is not known")),
    }
}
