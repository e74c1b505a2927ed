//! Comparisons of an attribute with a constant. Must never know other predicates.

use arrow_schema::DataType;
use owlet_connector::{CompareOperator, Expression, Literal, LiteralValue};

use super::operand::Operand;
use super::{Columns, NOT_REPRESENTABLE, Result, Translated, Wanted};
use crate::number::Number;
use crate::options::OnTypeMismatch;
use crate::plan::condition::{Condition, Operator};
use crate::shape::Shape;
use crate::value::AttributeValue;

impl<'a> Columns<'a> {
    pub(super) fn compare(
        &self,
        operator: CompareOperator,
        left: &'a Expression,
        right: &'a Expression,
        wanted: Wanted,
    ) -> Result<Translated> {
        let (operand, literal, operator) = match (left, right) {
            (operand, Expression::Literal(literal)) => (operand, literal, operator),
            (Expression::Literal(literal), operand) => (operand, literal, operator.swapped()),
            _ => return Err("DynamoDB filters compare an attribute with a constant".to_owned()),
        };
        let operator = match operator {
            CompareOperator::NotDistinctFrom | CompareOperator::DistinctFrom => {
                let wanted = if operator == CompareOperator::DistinctFrom {
                    wanted.opposite()
                } else {
                    wanted
                };
                return self.not_distinct(operand, literal, wanted);
            }
            CompareOperator::Equal => Operator::Equal,
            CompareOperator::NotEqual => Operator::NotEqual,
            CompareOperator::Less => Operator::Less,
            CompareOperator::LessOrEqual => Operator::LessOrEqual,
            CompareOperator::Greater => Operator::Greater,
            CompareOperator::GreaterOrEqual => Operator::GreaterOrEqual,
        };
        if literal.is_null() {
            return Ok(Translated::exact(Condition::Never));
        }
        let operator = match wanted {
            Wanted::True => operator,
            Wanted::False => complement(operator),
        };
        let operand = self.operand(operand)?;
        self.compare_value(&operand, operator, literal)
    }

    /// `IS NOT DISTINCT FROM` is never UNKNOWN.
    pub(super) fn not_distinct(
        &self,
        operand: &'a Expression,
        literal: &'a Literal,
        wanted: Wanted,
    ) -> Result<Translated> {
        if literal.is_null() {
            return self.is_null(operand, wanted);
        }
        let equal = self.compare_value(&self.operand(operand)?, Operator::Equal, literal)?;
        match wanted {
            Wanted::True => Ok(equal),
            Wanted::False => equal.negated(),
        }
    }

    pub(super) fn compare_value(
        &self,
        operand: &Operand<'_>,
        operator: Operator,
        literal: &Literal,
    ) -> Result<Translated> {
        if is_double_comparison(operand, literal) {
            return double_comparison(operand, operator, literal);
        }
        let value = constant_value(operand, literal)?;
        let translated = self.comparison(operand, operator, value)?;
        Ok(if operand.cast.is_some() {
            translated.because("the value is cast before it is compared")
        } else {
            translated
        })
    }

    pub(super) fn comparison(
        &self,
        operand: &Operand<'_>,
        operator: Operator,
        value: AttributeValue,
    ) -> Result<Translated> {
        if let AttributeValue::Bool(value) = value {
            return boolean_comparison(operand, operator, value);
        }
        // No key is empty; the service refuses to compare keys with what they cannot be.
        if operand.required && is_empty(&value) {
            let holds = matches!(
                operator,
                Operator::NotEqual | Operator::Greater | Operator::GreaterOrEqual
            );
            return Ok(Translated::exact(if holds {
                Condition::Always
            } else {
                Condition::Never
            }));
        }
        let comparison = Condition::Compare {
            path: operand.path.clone(),
            operator,
            value,
        };
        let Some(descriptor) = operand.shape.descriptor() else {
            return Err(no_comparison(operand.shape));
        };
        match operator {
            // Only values of the right type, all of which are representable, are equal to a constant.
            Operator::Equal => Ok(Translated::exact(comparison)),
            // `<>` is true for missing attributes and other types; SQL's is not.
            Operator::NotEqual => {
                let has_type = Condition::TypeIs {
                    path: operand.path.clone(),
                    descriptor,
                };
                Ok(self.checked(
                    Translated::exact(Condition::all(vec![has_type, comparison])),
                    operand,
                ))
            }
            _ => Ok(self.checked(Translated::exact(comparison), operand)),
        }
    }

    /// A condition that may hold for values that do not fit the column: they must be seen, not only counted.
    pub(super) fn checked(&self, mut translated: Translated, operand: &Operand<'_>) -> Translated {
        let has_only_fitting_values = operand.shape.is_total()
            && matches!(
                translated.condition,
                Condition::Compare { .. }
                    | Condition::And(_)
                    | Condition::In { .. }
                    | Condition::TypeIs { .. }
            );
        if has_only_fitting_values {
            return translated;
        }
        let is_nested = operand.path.len() > 1;
        if is_nested || self.on_mismatch == OnTypeMismatch::Null {
            return translated.because(NOT_REPRESENTABLE);
        }
        translated.checks.insert(operand.column);
        translated
    }
}

pub(super) fn no_comparison(shape: &Shape) -> String {
    format!(
        "values of type {} are not comparable in DynamoDB as in SQL",
        shape.sql_type()
    )
}

fn complement(operator: Operator) -> Operator {
    match operator {
        Operator::Equal => Operator::NotEqual,
        Operator::NotEqual => Operator::Equal,
        Operator::Less => Operator::GreaterOrEqual,
        Operator::LessOrEqual => Operator::Greater,
        Operator::Greater => Operator::LessOrEqual,
        Operator::GreaterOrEqual => Operator::Less,
    }
}

/// The constant as DynamoDB compares it with values of the operand's shape.
pub(super) fn constant_value(operand: &Operand<'_>, literal: &Literal) -> Result<AttributeValue> {
    value_for_shape(operand.shape, literal).ok_or_else(|| {
        let found = format!("a constant of type {}", literal.data_type);
        format!(
            "{found} is not comparable with {} in DynamoDB",
            operand.shape.sql_type()
        )
    })
}

/// A constant in the representation of a shape's values, when the comparison of both is that of SQL.
pub(crate) fn value_for_shape(shape: &Shape, literal: &Literal) -> Option<AttributeValue> {
    match (shape, &literal.value) {
        (Shape::Boolean, LiteralValue::Boolean(value)) => Some(AttributeValue::Bool(*value)),
        (Shape::Text, LiteralValue::Text(text)) => Some(AttributeValue::S(text.clone())),
        (Shape::Binary, LiteralValue::Binary(bytes)) => Some(AttributeValue::B(bytes.clone())),
        (Shape::BigInt | Shape::Decimal { .. }, LiteralValue::Integer(value)) => {
            let scale = match literal.data_type {
                DataType::Decimal128(_, scale) => scale,
                ref integer if integer.is_integer() => 0,
                _ => return None,
            };
            Number::from_unscaled(*value, scale)
                .filter(Number::is_storable)
                .map(AttributeValue::N)
        }
        _ => None,
    }
}

pub(super) fn is_empty(value: &AttributeValue) -> bool {
    match value {
        AttributeValue::S(text) => text.is_empty(),
        AttributeValue::B(bytes) => bytes.is_empty(),
        AttributeValue::N(_) | AttributeValue::Bool(_) => false,
    }
}

/// DynamoDB tests booleans for equality only, SQL orders them: FALSE before TRUE.
fn boolean_comparison(
    operand: &Operand<'_>,
    operator: Operator,
    value: bool,
) -> Result<Translated> {
    let admits = |candidate: bool| match operator {
        Operator::Equal => candidate == value,
        Operator::NotEqual => candidate != value,
        Operator::Less => !candidate & value,
        Operator::LessOrEqual => candidate <= value,
        Operator::Greater => candidate & !value,
        Operator::GreaterOrEqual => candidate >= value,
    };
    let equals = |value: bool| Condition::Compare {
        path: operand.path.clone(),
        operator: Operator::Equal,
        value: AttributeValue::Bool(value),
    };
    if *operand.shape != Shape::Boolean {
        return Err(no_comparison(operand.shape));
    }
    Ok(Translated::exact(match (admits(false), admits(true)) {
        (false, false) => Condition::Never,
        (true, false) => equals(false),
        (false, true) => equals(true),
        (true, true) => Condition::TypeIs {
            path: operand.path.clone(),
            descriptor: "BOOL",
        },
    }))
}

pub(super) fn is_double_comparison(operand: &Operand<'_>, literal: &Literal) -> bool {
    let is_number = matches!(
        operand.shape,
        Shape::BigInt | Shape::Decimal { .. } | Shape::Double
    );
    is_number
        && matches!(literal.value, LiteralValue::Float(_))
        && literal.data_type == DataType::Float64
}

/// SQL compares the nearest double of a stored number, DynamoDB the number itself. Bounds two doubles wide of the
/// constant hold for every number whose double passes.
fn double_comparison(
    operand: &Operand<'_>,
    operator: Operator,
    literal: &Literal,
) -> Result<Translated> {
    let LiteralValue::Float(value) = literal.value else {
        return Err("the constant is no double".to_owned());
    };
    let below = bound(value.next_down().next_down())?;
    let above = bound(value.next_up().next_up())?;
    let path = operand.path.clone();
    let condition = match operator {
        Operator::Equal => Condition::Between {
            path,
            low: below,
            high: above,
        },
        Operator::NotEqual => Condition::TypeIs {
            path,
            descriptor: "N",
        },
        Operator::Less | Operator::LessOrEqual => Condition::Compare {
            path,
            operator: Operator::LessOrEqual,
            value: above,
        },
        Operator::Greater | Operator::GreaterOrEqual => Condition::Compare {
            path,
            operator: Operator::GreaterOrEqual,
            value: below,
        },
    };
    Ok(Translated::exact(condition).because("numbers are compared as doubles, which round"))
}

fn bound(value: f64) -> Result<AttributeValue> {
    // A denormal bound is zero for DynamoDB, whose smallest magnitude is 1E-130.
    let text = if value.abs() < 1e-130 {
        "0".to_owned()
    } else {
        format!("{value:e}")
    };
    Number::parse(&text)
        .filter(|number| value.is_finite() && number.is_storable())
        .map(AttributeValue::N)
        .ok_or_else(|| "the constant is beyond DynamoDB's numbers".to_owned())
}
