//! Comparisons with texts that the source's encoding cannot hold: sending one would be an error, although the answer is
//! known. Must never know a dialect.

use arrow_schema::DataType;
use owlet_connector::{CompareOperator, Expression, Literal, LiteralValue};

use crate::class::{TypeClass, type_class};
use crate::flavor::{Flavor, Holding};

/// A function that gives a text's bytes in UTF-8; dialects spell it.
pub(crate) const UTF8_BYTES: &str = "owlet_utf8_bytes";

/// The same comparison without such texts. One that is never held equals no value. Where that is not known, the bytes in
/// UTF-8 are compared.
pub(crate) fn without_foreign_text(
    flavor: &dyn Flavor,
    expression: &Expression,
) -> Option<Expression> {
    match expression {
        Expression::Compare {
            operator,
            left,
            right,
        } => {
            let (tested, constant) = match (text_of(left), text_of(right)) {
                (None, Some(text)) => (left, text),
                (Some(text), None) => (right, text),
                _ => return None,
            };
            if type_class(&tested.data_type()) != TypeClass::Text {
                return None;
            }
            match flavor.holding(constant) {
                Holding::Held => None,
                Holding::NeverHeld => different(*operator, tested),
                Holding::Unknown => is_equality(*operator).then(|| Expression::Compare {
                    operator: *operator,
                    left: Box::new(bytes_of(tested)),
                    right: Box::new(Expression::Literal(constant_bytes(constant))),
                }),
            }
        }
        Expression::InList {
            expression,
            list,
            negated,
        } if type_class(&expression.data_type()) == TypeClass::Text => {
            listed(flavor, expression, list, *negated)
        }
        _ => None,
    }
}

fn listed(
    flavor: &dyn Flavor,
    tested: &Expression,
    list: &[Expression],
    negated: bool,
) -> Option<Expression> {
    let holding = |candidate: &Expression| text_of(candidate).map(|text| flavor.holding(text));
    let mut kept: Vec<Expression> = list
        .iter()
        .filter(|candidate| holding(candidate) != Some(Holding::NeverHeld))
        .cloned()
        .collect();
    let is_known = kept
        .iter()
        .all(|candidate| holding(candidate) != Some(Holding::Unknown));
    if is_known && kept.len() == list.len() {
        return None;
    }
    if kept.is_empty() {
        let operator = if negated {
            CompareOperator::NotEqual
        } else {
            CompareOperator::Equal
        };
        return different(operator, tested);
    }
    let mut expression = tested.clone();
    if !is_known {
        expression = bytes_of(tested);
        kept = kept
            .into_iter()
            .map(|candidate| match &candidate {
                Expression::Literal(literal) if literal.is_null() => Expression::Literal(Literal {
                    value: LiteralValue::Null,
                    data_type: DataType::Binary,
                }),
                other => match text_of(other) {
                    Some(text) => Expression::Literal(constant_bytes(text)),
                    None => bytes_of(other),
                },
            })
            .collect();
    }
    Some(Expression::InList {
        expression: Box::new(expression),
        list: kept,
        negated,
    })
}

/// The answer of a comparison with a text that is different from all values; it is NULL where the value is. Said so that
/// a source sees at once that no row passes.
fn different(operator: CompareOperator, tested: &Expression) -> Option<Expression> {
    let tested = Box::new(tested.clone());
    let unknown = Expression::Literal(Literal {
        value: LiteralValue::Null,
        data_type: DataType::Boolean,
    });
    Some(match operator {
        CompareOperator::Equal => Expression::And(vec![Expression::IsNull(tested), unknown]),
        CompareOperator::NotEqual => Expression::Or(vec![Expression::IsNotNull(tested), unknown]),
        CompareOperator::NotDistinctFrom => Expression::Literal(Literal::boolean(false)),
        CompareOperator::DistinctFrom => Expression::Literal(Literal::boolean(true)),
        _ => return None,
    })
}

fn is_equality(operator: CompareOperator) -> bool {
    crate::rule::compare_construct(operator) == crate::rule::Construct::Equality
}

fn bytes_of(text: &Expression) -> Expression {
    Expression::Function {
        name: UTF8_BYTES.to_owned(),
        arguments: vec![text.clone()],
        data_type: DataType::Binary,
    }
}

fn constant_bytes(text: &str) -> Literal {
    Literal {
        value: LiteralValue::Binary(text.as_bytes().to_vec()),
        data_type: DataType::Binary,
    }
}

fn text_of(expression: &Expression) -> Option<&str> {
    match expression {
        Expression::Literal(Literal {
            value: LiteralValue::Text(text),
            ..
        }) => Some(text),
        _ => None,
    }
}
