//! SQL's three-valued logic over one row, written without any knowledge of the connector.

use std::cmp::Ordering;

use arrow::array::{Array, RecordBatch, StructArray, cast::AsArray};
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type};
use owlet_connector::{CompareOperator, Expression, Literal, LiteralValue, Truth};

/// A SQL value.
#[derive(Debug, Clone, PartialEq)]
pub enum Sql {
    Null,
    Boolean(bool),
    /// Unscaled value and scale.
    Decimal(i128, i8),
    Double(f64),
    Text(String),
    Binary(Vec<u8>),
    /// Comparable by nothing.
    Other(String),
}

/// One cell.
pub fn cell(column: &dyn Array, row: usize) -> Sql {
    if column.is_null(row) {
        return Sql::Null;
    }
    match column.data_type() {
        DataType::Boolean => Sql::Boolean(column.as_boolean().value(row)),
        DataType::Int64 => Sql::Decimal(column.as_primitive::<Int64Type>().value(row).into(), 0),
        DataType::Decimal128(_, scale) => {
            Sql::Decimal(column.as_primitive::<Decimal128Type>().value(row), *scale)
        }
        DataType::Float64 => Sql::Double(column.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => Sql::Text(column.as_string::<i32>().value(row).to_owned()),
        DataType::Binary => Sql::Binary(column.as_binary::<i32>().value(row).to_vec()),
        other => Sql::Other(other.to_string()),
    }
}

fn constant(literal: &Literal) -> Sql {
    match &literal.value {
        LiteralValue::Null => Sql::Null,
        LiteralValue::Boolean(value) => Sql::Boolean(*value),
        LiteralValue::Integer(value) => match literal.data_type {
            DataType::Decimal128(_, scale) => Sql::Decimal(*value, scale),
            _ => Sql::Decimal(*value, 0),
        },
        LiteralValue::Float(value) => Sql::Double(*value),
        LiteralValue::Text(text) => Sql::Text(text.clone()),
        LiteralValue::Binary(bytes) => Sql::Binary(bytes.clone()),
        LiteralValue::Interval { .. } => panic!("no intervals here"),
    }
}

fn compare(left: &Sql, right: &Sql) -> Ordering {
    match (left, right) {
        (Sql::Boolean(left), Sql::Boolean(right)) => left.cmp(right),
        (Sql::Text(left), Sql::Text(right)) => left.as_bytes().cmp(right.as_bytes()),
        (Sql::Binary(left), Sql::Binary(right)) => left.cmp(right),
        (Sql::Double(left), Sql::Double(right)) => left.total_cmp(right),
        (Sql::Decimal(left, left_scale), Sql::Decimal(right, right_scale)) => {
            let scale = *left_scale.max(right_scale);
            let aligned = |value: i128, own: i8| value * 10_i128.pow((scale - own) as u32);
            aligned(*left, *left_scale).cmp(&aligned(*right, *right_scale))
        }
        other => panic!("{other:?} are not comparable"),
    }
}

/// The value of an expression; `row` is a row of all the table's columns.
pub fn evaluate(expression: &Expression, batch: &RecordBatch, row: usize) -> Sql {
    match expression {
        Expression::Column(column) => cell(batch.column(column.index), row),
        Expression::Literal(literal) => constant(literal),
        Expression::Field {
            expression, name, ..
        } => {
            let Expression::Column(column) = &**expression else {
                panic!("fields of columns only")
            };
            let parent: &StructArray = batch.column(column.index).as_struct();
            if parent.is_null(row) {
                return Sql::Null;
            }
            cell(parent.column_by_name(name).expect("the field exists"), row)
        }
        Expression::Cast {
            expression,
            data_type: DataType::Float64,
            ..
        } => match evaluate(expression, batch, row) {
            Sql::Decimal(value, scale) => Sql::Double(value as f64 / 10_f64.powi(scale.into())),
            other => other,
        },
        predicate => truth(predicate, batch, row).map_or(Sql::Null, Sql::Boolean),
    }
}

/// TRUE, FALSE or UNKNOWN.
pub fn truth(predicate: &Expression, batch: &RecordBatch, row: usize) -> Option<bool> {
    match predicate {
        Expression::And(operands) => {
            let truths: Vec<Option<bool>> = operands
                .iter()
                .map(|operand| truth(operand, batch, row))
                .collect();
            if truths.contains(&Some(false)) {
                return Some(false);
            }
            (!truths.contains(&None)).then_some(true)
        }
        Expression::Or(operands) => {
            let truths: Vec<Option<bool>> = operands
                .iter()
                .map(|operand| truth(operand, batch, row))
                .collect();
            if truths.contains(&Some(true)) {
                return Some(true);
            }
            (!truths.contains(&None)).then_some(false)
        }
        Expression::Not(operand) => truth(operand, batch, row).map(|truth| !truth),
        Expression::IsNull(operand) => Some(evaluate(operand, batch, row) == Sql::Null),
        Expression::IsNotNull(operand) => Some(evaluate(operand, batch, row) != Sql::Null),
        Expression::Is {
            expression,
            truth: wanted,
            negated,
        } => {
            let found = truth(expression, batch, row);
            let matches = match wanted {
                Truth::True => found == Some(true),
                Truth::False => found == Some(false),
                Truth::Unknown => found.is_none(),
            };
            Some(matches != *negated)
        }
        Expression::Compare {
            operator,
            left,
            right,
        } => {
            let (left, right) = (evaluate(left, batch, row), evaluate(right, batch, row));
            let has_null = left == Sql::Null || right == Sql::Null;
            match operator {
                CompareOperator::DistinctFrom | CompareOperator::NotDistinctFrom => {
                    let same = if has_null {
                        left == right
                    } else {
                        compare(&left, &right).is_eq()
                    };
                    Some(same == (*operator == CompareOperator::NotDistinctFrom))
                }
                _ if has_null => None,
                CompareOperator::Equal => Some(compare(&left, &right).is_eq()),
                CompareOperator::NotEqual => Some(compare(&left, &right).is_ne()),
                CompareOperator::Less => Some(compare(&left, &right).is_lt()),
                CompareOperator::LessOrEqual => Some(compare(&left, &right).is_le()),
                CompareOperator::Greater => Some(compare(&left, &right).is_gt()),
                CompareOperator::GreaterOrEqual => Some(compare(&left, &right).is_ge()),
            }
        }
        Expression::InList {
            expression,
            list,
            negated,
        } => {
            let value = evaluate(expression, batch, row);
            if value == Sql::Null {
                return None;
            }
            let mut has_null = false;
            for element in list {
                match evaluate(element, batch, row) {
                    Sql::Null => has_null = true,
                    other if compare(&value, &other).is_eq() => return Some(!negated),
                    _ => {}
                }
            }
            if has_null { None } else { Some(*negated) }
        }
        Expression::Like {
            expression,
            pattern,
            negated,
            ..
        } => {
            let (value, pattern) = (
                evaluate(expression, batch, row),
                evaluate(pattern, batch, row),
            );
            match (value, pattern) {
                (Sql::Text(value), Sql::Text(pattern)) => {
                    let value: Vec<char> = value.chars().collect();
                    let pattern: Vec<char> = pattern.chars().collect();
                    Some(like(&value, &pattern) != *negated)
                }
                _ => None,
            }
        }
        other => match evaluate(other, batch, row) {
            Sql::Boolean(value) => Some(value),
            Sql::Null => None,
            value => panic!("{value:?} is no truth value"),
        },
    }
}

fn like(value: &[char], pattern: &[char]) -> bool {
    match pattern {
        [] => value.is_empty(),
        ['%', rest @ ..] => (0..=value.len()).any(|skipped| like(&value[skipped..], rest)),
        ['_', rest @ ..] => !value.is_empty() && like(&value[1..], rest),
        ['\\', literal, rest @ ..] | [literal, rest @ ..] => {
            value.first() == Some(literal) && like(&value[1..], rest)
        }
    }
}
