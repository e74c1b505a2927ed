//! A reference evaluator of [`Expression`] over Arrow: one row at a time, by definition, for tests only. What a
//! connector pushes down must give exactly these answers. Must never know a connector.

use std::cmp::Ordering;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array,
    Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
    TimestampSecondArray, UInt8Array, UInt16Array, UInt32Array, UInt64Array, new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, TimeUnit};
use std::sync::Arc;
use thiserror::Error;

use super::functions;
use super::like::{Case, matches};
use super::value::{Value, compare};
use crate::expression::{ArithmeticOperator, CastFailure, CompareOperator, Expression, Truth};

/// Why there is no value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EvaluationError {
    /// The query would fail on this row: overflow, division by zero, an impossible cast.
    #[error("the query fails: {0}")]
    Fails(String),
    /// The evaluator does not know this.
    #[error("not known to the reference evaluator: {0}")]
    Unsupported(String),
}

type Result<T, E = EvaluationError> = std::result::Result<T, E>;

/// The value of an expression for one row; column positions are those of `batch`.
pub fn evaluate(expression: &Expression, batch: &RecordBatch, row: usize) -> Result<Value> {
    match expression {
        Expression::Column(column) => {
            let array = batch.columns().get(column.index).ok_or_else(|| {
                EvaluationError::Unsupported(format!(
                    "column {} of {}",
                    column.index,
                    batch.num_columns()
                ))
            })?;
            Value::of_cell(array.as_ref(), row)
        }
        Expression::Literal(literal) => Ok(Value::of_literal(literal)),
        Expression::Negative(operand) => {
            negate(evaluate(operand, batch, row)?, &operand.data_type())
        }
        Expression::Arithmetic {
            operator,
            left,
            right,
            data_type,
        } => {
            let operands = Operands {
                left: evaluate(left, batch, row)?,
                left_type: left.data_type(),
                right: evaluate(right, batch, row)?,
                right_type: right.data_type(),
            };
            operands.arithmetic(*operator, data_type)
        }
        Expression::Cast {
            expression,
            data_type,
            on_failure,
        } => {
            let value = evaluate(expression, batch, row)?;
            cast(&value, &expression.data_type(), data_type, *on_failure)
        }
        Expression::Case {
            branches,
            otherwise,
            ..
        } => {
            for (condition, result) in branches {
                if truth(condition, batch, row)? == Some(true) {
                    return evaluate(result, batch, row);
                }
            }
            otherwise
                .as_ref()
                .map_or(Ok(Value::Null), |otherwise| evaluate(otherwise, batch, row))
        }
        Expression::Function {
            name,
            arguments,
            data_type,
        } => {
            if name == "coalesce" {
                for argument in arguments {
                    let value = evaluate(argument, batch, row)?;
                    if !value.is_null() {
                        return Ok(value);
                    }
                }
                return Ok(Value::Null);
            }
            let values = arguments
                .iter()
                .map(|argument| evaluate(argument, batch, row))
                .collect::<Result<Vec<_>>>()?;
            let types: Vec<DataType> = arguments.iter().map(Expression::data_type).collect();
            functions::call(name, &values, &types, data_type)
        }
        Expression::Field {
            expression, name, ..
        } => match evaluate(expression, batch, row)? {
            Value::Null => Ok(Value::Null),
            Value::Struct(fields) => fields
                .into_iter()
                .find(|(field, _)| field == name)
                .map(|(_, value)| value)
                .ok_or_else(|| EvaluationError::Unsupported(format!("field {name}"))),
            other => Err(EvaluationError::Unsupported(format!(
                "field {name} of {other:?}"
            ))),
        },
        predicate => Ok(truth(predicate, batch, row)?.map_or(Value::Null, Value::Boolean)),
    }
}

/// TRUE, FALSE or UNKNOWN (`None`).
pub fn truth(predicate: &Expression, batch: &RecordBatch, row: usize) -> Result<Option<bool>> {
    match predicate {
        Expression::And(operands) => connective(operands, batch, row, false),
        Expression::Or(operands) => connective(operands, batch, row, true),
        Expression::Not(operand) => Ok(truth(operand, batch, row)?.map(|truth| !truth)),
        Expression::IsNull(operand) => Ok(Some(evaluate(operand, batch, row)?.is_null())),
        Expression::IsNotNull(operand) => Ok(Some(!evaluate(operand, batch, row)?.is_null())),
        Expression::Is {
            expression,
            truth: wanted,
            negated,
        } => {
            let wanted = match wanted {
                Truth::True => Some(true),
                Truth::False => Some(false),
                Truth::Unknown => None,
            };
            Ok(Some((truth(expression, batch, row)? == wanted) != *negated))
        }
        Expression::Compare {
            operator,
            left,
            right,
        } => {
            let left_value = evaluate(left, batch, row)?;
            let right_value = evaluate(right, batch, row)?;
            comparison(
                *operator,
                &left_value,
                &left.data_type(),
                &right_value,
                &right.data_type(),
            )
        }
        Expression::InList {
            expression,
            list,
            negated,
        } => {
            let value = evaluate(expression, batch, row)?;
            let mut unknown = false;
            for candidate in list {
                let candidate_value = evaluate(candidate, batch, row)?;
                let equal = comparison(
                    CompareOperator::Equal,
                    &value,
                    &expression.data_type(),
                    &candidate_value,
                    &candidate.data_type(),
                )?;
                match equal {
                    Some(true) => return Ok(Some(!*negated)),
                    Some(false) => {}
                    None => unknown = true,
                }
            }
            Ok((!unknown).then_some(*negated))
        }
        Expression::Like {
            expression,
            pattern,
            escape,
            negated,
            case_insensitive,
        } => {
            let text = evaluate(expression, batch, row)?;
            let pattern = evaluate(pattern, batch, row)?;
            match (text, pattern) {
                (Value::Null, _) | (_, Value::Null) => Ok(None),
                (Value::Text(text), Value::Text(pattern)) => {
                    let case = if *case_insensitive {
                        Case::Insensitive
                    } else {
                        Case::Sensitive
                    };
                    Ok(Some(matches(&text, &pattern, *escape, case) != *negated))
                }
                (text, _) => Err(EvaluationError::Unsupported(format!("LIKE over {text:?}"))),
            }
        }
        other => match evaluate(other, batch, row)? {
            Value::Null => Ok(None),
            Value::Boolean(value) => Ok(Some(value)),
            value => Err(EvaluationError::Unsupported(format!(
                "{value:?} as a truth value"
            ))),
        },
    }
}

/// Which rows make all predicates true.
pub fn selection(predicates: &[Expression], batch: &RecordBatch) -> Result<Vec<bool>> {
    (0..batch.num_rows())
        .map(|row| {
            for predicate in predicates {
                if truth(predicate, batch, row)? != Some(true) {
                    return Ok(false);
                }
            }
            Ok(true)
        })
        .collect()
}

/// AND (`dominant` false) and OR (`dominant` true): the dominant truth value decides, whatever the others are. An
/// operand that fails does not matter when another one decides.
fn connective(
    operands: &[Expression],
    batch: &RecordBatch,
    row: usize,
    dominant: bool,
) -> Result<Option<bool>> {
    let mut unknown = false;
    let mut failure = None;
    for operand in operands {
        match truth(operand, batch, row) {
            Ok(Some(value)) if value == dominant => return Ok(Some(dominant)),
            Ok(Some(_)) => {}
            Ok(None) => unknown = true,
            Err(error) => failure = Some(error),
        }
    }
    match failure {
        Some(error) => Err(error),
        None => Ok((!unknown).then_some(!dominant)),
    }
}

fn comparison(
    operator: CompareOperator,
    left: &Value,
    left_type: &DataType,
    right: &Value,
    right_type: &DataType,
) -> Result<Option<bool>> {
    let distinct_null = match operator {
        CompareOperator::DistinctFrom => Some(true),
        CompareOperator::NotDistinctFrom => Some(false),
        _ => None,
    };
    match (left.is_null(), right.is_null()) {
        (true, true) => return Ok(distinct_null.map(|distinct| !distinct)),
        (true, false) | (false, true) => return Ok(distinct_null),
        (false, false) => {}
    }
    let order = compare(left, left_type, right, right_type)?;
    Ok(Some(match operator {
        CompareOperator::Equal | CompareOperator::NotDistinctFrom => order == Ordering::Equal,
        CompareOperator::NotEqual | CompareOperator::DistinctFrom => order != Ordering::Equal,
        CompareOperator::Less => order == Ordering::Less,
        CompareOperator::LessOrEqual => order != Ordering::Greater,
        CompareOperator::Greater => order == Ordering::Greater,
        CompareOperator::GreaterOrEqual => order != Ordering::Less,
    }))
}

fn negate(value: Value, data_type: &DataType) -> Result<Value> {
    match value {
        Value::Null => Ok(Value::Null),
        Value::Integer(value) => in_range(-value, data_type),
        Value::Float(value) => Ok(Value::Float(-value)),
        other => Err(EvaluationError::Unsupported(format!("minus {other:?}"))),
    }
}

struct Operands {
    left: Value,
    left_type: DataType,
    right: Value,
    right_type: DataType,
}

impl Operands {
    fn arithmetic(self, operator: ArithmeticOperator, result: &DataType) -> Result<Value> {
        match (&self.left, &self.right) {
            (Value::Null, _) | (_, Value::Null) => Ok(Value::Null),
            (Value::Text(left), Value::Text(right))
                if operator == ArithmeticOperator::Concatenate =>
            {
                Ok(Value::Text(format!("{left}{right}")))
            }
            (Value::Float(left), Value::Float(right)) => {
                let value = match operator {
                    ArithmeticOperator::Add => left + right,
                    ArithmeticOperator::Subtract => left - right,
                    ArithmeticOperator::Multiply => left * right,
                    ArithmeticOperator::Divide => left / right,
                    ArithmeticOperator::Modulo => left % right,
                    ArithmeticOperator::Concatenate => return Err(self.unknown(operator)),
                };
                let single = *result == DataType::Float32;
                Ok(Value::Float(if single {
                    f64::from(value as f32)
                } else {
                    value
                }))
            }
            (Value::Integer(left), Value::Integer(right)) => {
                let scales = (
                    scale(&self.left_type),
                    scale(&self.right_type),
                    scale(result),
                );
                let (Some(left_scale), Some(right_scale), Some(result_scale)) = scales else {
                    return Err(self.unknown(operator));
                };
                exact_arithmetic(
                    operator,
                    Scaled {
                        value: *left,
                        scale: left_scale,
                    },
                    Scaled {
                        value: *right,
                        scale: right_scale,
                    },
                    result_scale,
                )
                .and_then(|value| in_range(value, result))
            }
            _ => Err(self.unknown(operator)),
        }
    }

    fn unknown(&self, operator: ArithmeticOperator) -> EvaluationError {
        EvaluationError::Unsupported(format!(
            "{operator:?} of {} and {}",
            self.left_type, self.right_type
        ))
    }
}

#[derive(Debug, Clone, Copy)]
struct Scaled {
    value: i128,
    scale: i32,
}

/// Digits after the point of numbers; `None` for dates and times.
fn scale(data_type: &DataType) -> Option<i32> {
    match data_type {
        DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => Some(i32::from(*scale)),
        other if other.is_integer() => Some(0),
        _ => None,
    }
}

/// Integer and decimal arithmetic. Division truncates towards zero at the result's scale.
fn exact_arithmetic(
    operator: ArithmeticOperator,
    left: Scaled,
    right: Scaled,
    result_scale: i32,
) -> Result<i128> {
    let common = left.scale.max(right.scale);
    match operator {
        ArithmeticOperator::Add | ArithmeticOperator::Subtract | ArithmeticOperator::Modulo => {
            let one = rescaled(left.value, common - left.scale)?;
            let other = rescaled(right.value, common - right.scale)?;
            let value = match operator {
                ArithmeticOperator::Add => one.checked_add(other),
                ArithmeticOperator::Subtract => one.checked_sub(other),
                _ if other == 0 => return Err(division_by_zero()),
                _ => one.checked_rem(other),
            };
            rescaled(value.ok_or_else(overflow)?, result_scale - common)
        }
        ArithmeticOperator::Multiply => {
            let value = left.value.checked_mul(right.value).ok_or_else(overflow)?;
            rescaled(value, result_scale - left.scale - right.scale)
        }
        ArithmeticOperator::Divide => {
            if right.value == 0 {
                return Err(division_by_zero());
            }
            let dividend = rescaled(left.value, result_scale - left.scale + right.scale)?;
            dividend.checked_div(right.value).ok_or_else(overflow)
        }
        ArithmeticOperator::Concatenate => Err(EvaluationError::Unsupported(
            "concatenating numbers".to_owned(),
        )),
    }
}

/// The value with that many more digits after the point; fewer digits must be zeros.
fn rescaled(value: i128, more_digits: i32) -> Result<i128> {
    let factor = 10_i128
        .checked_pow(more_digits.unsigned_abs())
        .ok_or_else(overflow)?;
    if more_digits >= 0 {
        return value.checked_mul(factor).ok_or_else(overflow);
    }
    if value % factor == 0 {
        return Ok(value / factor);
    }
    Err(EvaluationError::Unsupported("rounding decimals".to_owned()))
}

fn overflow() -> EvaluationError {
    EvaluationError::Fails("overflow".to_owned())
}

fn division_by_zero() -> EvaluationError {
    EvaluationError::Fails("division by zero".to_owned())
}

/// The integer, if the type holds it.
fn in_range(value: i128, data_type: &DataType) -> Result<Value> {
    let (least, most): (i128, i128) = match data_type {
        DataType::Int8 => (i8::MIN.into(), i8::MAX.into()),
        DataType::Int16 => (i16::MIN.into(), i16::MAX.into()),
        DataType::Int32 | DataType::Date32 => (i32::MIN.into(), i32::MAX.into()),
        DataType::Int64 => (i64::MIN.into(), i64::MAX.into()),
        DataType::UInt8 => (0, u8::MAX.into()),
        DataType::UInt16 => (0, u16::MAX.into()),
        DataType::UInt32 => (0, u32::MAX.into()),
        DataType::UInt64 => (0, u64::MAX.into()),
        DataType::Decimal128(precision, _) => {
            let most = 10_i128
                .checked_pow(u32::from(*precision))
                .ok_or_else(overflow)?
                - 1;
            (-most, most)
        }
        other => {
            return Err(EvaluationError::Unsupported(format!(
                "arithmetic giving {other}"
            )));
        }
    };
    if (least..=most).contains(&value) {
        Ok(Value::Integer(value))
    } else {
        Err(overflow())
    }
}

/// Casts as Arrow does, which is what the engine does.
fn cast(value: &Value, from: &DataType, to: &DataType, on_failure: CastFailure) -> Result<Value> {
    if from == to || value.is_null() {
        return Ok(value.clone());
    }
    let array = array_of(value, from)?;
    let options = CastOptions {
        safe: true,
        ..CastOptions::default()
    };
    let cast = cast_with_options(&array, to, &options).map_err(|error| {
        EvaluationError::Unsupported(format!("cast of {from} to {to}: {error}"))
    })?;
    if cast.is_null(0) && on_failure == CastFailure::Error {
        return Err(EvaluationError::Fails(format!(
            "{value:?} cannot be cast to {to}"
        )));
    }
    Value::of_cell(cast.as_ref(), 0)
}

/// An array of one value.
fn array_of(value: &Value, data_type: &DataType) -> Result<ArrayRef> {
    let unsupported = || EvaluationError::Unsupported(format!("a single {data_type}"));
    macro_rules! number {
        ($array:ty, $native:ty, $value:expr) => {{
            let value = <$native>::try_from($value).map_err(|_| unsupported())?;
            Arc::new(<$array>::from(vec![value])) as ArrayRef
        }};
    }
    Ok(match (value, data_type) {
        (Value::Null, _) => new_null_array(data_type, 1),
        (Value::Boolean(value), DataType::Boolean) => Arc::new(BooleanArray::from(vec![*value])),
        (Value::Text(value), DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => {
            Arc::new(StringArray::from(vec![value.as_str()]))
        }
        (Value::Binary(value), _) => Arc::new(BinaryArray::from(vec![value.as_slice()])),
        (Value::Float(value), DataType::Float64) => Arc::new(Float64Array::from(vec![*value])),
        (Value::Float(value), DataType::Float32) => {
            Arc::new(Float32Array::from(vec![*value as f32]))
        }
        (Value::Integer(value), DataType::Int8) => number!(Int8Array, i8, *value),
        (Value::Integer(value), DataType::Int16) => number!(Int16Array, i16, *value),
        (Value::Integer(value), DataType::Int32) => number!(Int32Array, i32, *value),
        (Value::Integer(value), DataType::Int64) => number!(Int64Array, i64, *value),
        (Value::Integer(value), DataType::UInt8) => number!(UInt8Array, u8, *value),
        (Value::Integer(value), DataType::UInt16) => number!(UInt16Array, u16, *value),
        (Value::Integer(value), DataType::UInt32) => number!(UInt32Array, u32, *value),
        (Value::Integer(value), DataType::UInt64) => number!(UInt64Array, u64, *value),
        (Value::Integer(value), DataType::Date32) => number!(Date32Array, i32, *value),
        (Value::Integer(value), DataType::Decimal128(precision, scale)) => Arc::new(
            Decimal128Array::from(vec![*value])
                .with_precision_and_scale(*precision, *scale)
                .map_err(|_| unsupported())?,
        ),
        (Value::Integer(value), DataType::Timestamp(unit, zone)) => {
            let value = i64::try_from(*value).map_err(|_| unsupported())?;
            match unit {
                TimeUnit::Second => Arc::new(
                    TimestampSecondArray::from(vec![value]).with_timezone_opt(zone.clone()),
                ),
                TimeUnit::Millisecond => Arc::new(
                    TimestampMillisecondArray::from(vec![value]).with_timezone_opt(zone.clone()),
                ),
                TimeUnit::Microsecond => Arc::new(
                    TimestampMicrosecondArray::from(vec![value]).with_timezone_opt(zone.clone()),
                ),
                TimeUnit::Nanosecond => Arc::new(
                    TimestampNanosecondArray::from(vec![value]).with_timezone_opt(zone.clone()),
                ),
            }
        }
        _ => return Err(unsupported()),
    })
}
