//! Decimals compared with double constants. Athena's decimal literals are doubles, so `price > 10.5` arrives as
//! `CAST(price AS DOUBLE) > 10.5`, which no index answers. Must never know a dialect.

use arrow_schema::DataType;
use owlet_connector::{CompareOperator, Expression, Literal, LiteralValue};

use crate::class::{TypeClass, decimal_parts, type_class};

/// Decimals of this many digits and their nearest doubles map to each other one to one, and in the same order.
const ONE_TO_ONE_DIGITS: u8 = 15;
/// Largest scale whose power of ten is a double.
const EXACT_POWER: i8 = 22;
/// A conversion from decimal to double is wrong by far less than this share.
const SLACK: f64 = 1e-9;
/// Scale of the bounds of a weaker comparison.
const BOUND_SCALE: i8 = 12;

/// The same comparison between decimals: exact, because neither the column nor the constants have more digits than
/// a double keeps.
pub(crate) fn between_decimals(expression: &Expression) -> Option<Expression> {
    match expression {
        Expression::Compare {
            operator,
            left,
            right,
        } => {
            if let (Some(decimal), Some(constant)) = (short_decimal(left), short_constant(right)) {
                return Some(compare(decimal.clone(), *operator, constant));
            }
            let (decimal, constant) = (short_decimal(right)?, short_constant(left)?);
            Some(compare(decimal.clone(), operator.swapped(), constant))
        }
        Expression::InList {
            expression,
            list,
            negated,
        } => Some(Expression::InList {
            expression: Box::new(short_decimal(expression)?.clone()),
            list: list
                .iter()
                .map(|candidate| short_constant(candidate).map(Expression::Literal))
                .collect::<Option<Vec<_>>>()?,
            negated: *negated,
        }),
        _ => None,
    }
}

/// A comparison between decimals that is true wherever this one is.
pub(crate) fn weaker(expression: &Expression) -> Option<Expression> {
    let Expression::Compare {
        operator,
        left,
        right,
    } = expression
    else {
        return None;
    };
    let (operator, decimal, constant) = match (any_decimal(left), double_constant(right)) {
        (Some(decimal), Some(constant)) => (*operator, decimal, constant),
        _ => (
            operator.swapped(),
            any_decimal(right)?,
            double_constant(left)?,
        ),
    };
    let slack = constant.abs() * SLACK + SLACK;
    let lowest = compare(
        decimal.clone(),
        CompareOperator::GreaterOrEqual,
        bound(constant - slack)?,
    );
    let highest = compare(
        decimal.clone(),
        CompareOperator::LessOrEqual,
        bound(constant + slack)?,
    );
    match operator {
        CompareOperator::Greater | CompareOperator::GreaterOrEqual => Some(lowest),
        CompareOperator::Less | CompareOperator::LessOrEqual => Some(highest),
        CompareOperator::Equal => Some(Expression::And(vec![lowest, highest])),
        CompareOperator::NotEqual
        | CompareOperator::DistinctFrom
        | CompareOperator::NotDistinctFrom => None,
    }
}

fn compare(left: Expression, operator: CompareOperator, right: Literal) -> Expression {
    Expression::Compare {
        operator,
        left: Box::new(left),
        right: Box::new(Expression::Literal(right)),
    }
}

/// The decimal that is cast to a double here.
fn any_decimal(expression: &Expression) -> Option<&Expression> {
    match expression {
        Expression::Cast {
            expression,
            data_type: DataType::Float64,
            ..
        } if type_class(&expression.data_type()) == TypeClass::Decimal => Some(expression),
        _ => None,
    }
}

fn short_decimal(expression: &Expression) -> Option<&Expression> {
    any_decimal(expression).filter(|decimal| {
        decimal_parts(&decimal.data_type()).is_some_and(|(precision, scale)| {
            precision <= ONE_TO_ONE_DIGITS && scale <= EXACT_POWER
        })
    })
}

fn double_constant(expression: &Expression) -> Option<f64> {
    match expression {
        Expression::Literal(Literal {
            value: LiteralValue::Float(value),
            data_type: DataType::Float64,
        }) if value.is_finite() => Some(*value),
        _ => None,
    }
}

/// The shortest decimal form of a double constant, if it has few digits. The negative zero has no decimal form.
fn short_constant(expression: &Expression) -> Option<Literal> {
    if let Expression::Literal(literal) = expression
        && literal.is_null()
        && literal.data_type == DataType::Float64
    {
        return Some(Literal::null(DataType::Decimal128(ONE_TO_ONE_DIGITS, 0)));
    }
    let value = double_constant(expression)?;
    if value == 0.0 && value.is_sign_negative() {
        return None;
    }
    decimal_literal(&value.to_string(), ONE_TO_ONE_DIGITS)
}

fn bound(value: f64) -> Option<Literal> {
    decimal_literal(&format!("{value:.*}", BOUND_SCALE as usize), 38)
}

fn decimal_literal(text: &str, maximum_digits: u8) -> Option<Literal> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let unscaled: i128 = format!("{whole}{fraction}").parse().ok()?;
    let digits = unscaled
        .unsigned_abs()
        .to_string()
        .len()
        .max(fraction.len());
    if digits > usize::from(maximum_digits) {
        return None;
    }
    let data_type = DataType::Decimal128(
        u8::try_from(digits).ok()?,
        i8::try_from(fraction.len()).ok()?,
    );
    Some(Literal {
        value: LiteralValue::Integer(unscaled),
        data_type,
    })
}

#[cfg(test)]
mod tests {
    use super::decimal_literal;
    use arrow_schema::DataType;
    use owlet_connector::LiteralValue;

    #[test]
    fn decimal_constants() {
        let literal = decimal_literal("-10.25", 15).expect("short");
        assert_eq!(literal.value, LiteralValue::Integer(-1_025));
        assert_eq!(literal.data_type, DataType::Decimal128(4, 2));
        assert_eq!(
            decimal_literal("0.05", 15).expect("short").data_type,
            DataType::Decimal128(2, 2)
        );
        assert_eq!(decimal_literal("0.1000000000000000055", 15), None);
        assert_eq!(decimal_literal("1e300", 15), None);
    }
}
