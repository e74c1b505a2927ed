//! The scalar functions the reference evaluator knows: those every SQL has, with the engine's meaning.
//! Must never know columns.

use arrow::datatypes::DataType;

use super::evaluate::EvaluationError;
use super::value::{Value, compare};

type Result<T, E = EvaluationError> = std::result::Result<T, E>;

/// The engine folds the case of each letter on its own and keeps those whose other case is several letters.
fn only_one(mut folded: impl Iterator<Item = char>, letter: char) -> char {
    match (folded.next(), folded.next()) {
        (Some(one), None) => one,
        _ => letter,
    }
}

/// Calls a function (not `coalesce`, which does not evaluate all its arguments).
pub fn call(
    name: &str,
    arguments: &[Value],
    types: &[DataType],
    result: &DataType,
) -> Result<Value> {
    let unsupported = || EvaluationError::Unsupported(format!("function {name} of {types:?}"));
    if name == "nullif" {
        let ([left, right], [left_type, right_type]) = (arguments, types) else {
            return Err(unsupported());
        };
        let equal = !left.is_null()
            && !right.is_null()
            && compare(left, left_type, right, right_type)?.is_eq();
        return Ok(if equal { Value::Null } else { left.clone() });
    }
    if arguments.iter().any(Value::is_null) {
        return Ok(Value::Null);
    }
    let length = |text: &str| Value::Integer(text.chars().count() as i128);
    match (name, arguments) {
        ("lower", [Value::Text(text)]) => Ok(Value::Text(
            text.chars()
                .map(|letter| only_one(letter.to_lowercase(), letter))
                .collect(),
        )),
        ("upper", [Value::Text(text)]) => Ok(Value::Text(
            text.chars()
                .map(|letter| only_one(letter.to_uppercase(), letter))
                .collect(),
        )),
        ("length" | "character_length" | "char_length", [Value::Text(text)]) => Ok(length(text)),
        ("octet_length", [Value::Text(text)]) => Ok(Value::Integer(text.len() as i128)),
        ("btrim" | "trim", [Value::Text(text)]) => {
            Ok(Value::Text(text.trim_matches(' ').to_owned()))
        }
        ("ltrim", [Value::Text(text)]) => Ok(Value::Text(text.trim_start_matches(' ').to_owned())),
        ("rtrim", [Value::Text(text)]) => Ok(Value::Text(text.trim_end_matches(' ').to_owned())),
        ("reverse", [Value::Text(text)]) => Ok(Value::Text(text.chars().rev().collect())),
        ("starts_with", [Value::Text(text), Value::Text(prefix)]) => {
            Ok(Value::Boolean(text.starts_with(prefix.as_str())))
        }
        ("ends_with", [Value::Text(text), Value::Text(suffix)]) => {
            Ok(Value::Boolean(text.ends_with(suffix.as_str())))
        }
        ("contains", [Value::Text(text), Value::Text(part)]) => {
            Ok(Value::Boolean(text.contains(part.as_str())))
        }
        ("strpos", [Value::Text(text), Value::Text(part)]) => {
            let position = text
                .find(part.as_str())
                .map_or(0, |byte| text[..byte].chars().count() + 1);
            Ok(Value::Integer(position as i128))
        }
        ("replace", [Value::Text(text), Value::Text(from), Value::Text(to)])
            if !from.is_empty() =>
        {
            Ok(Value::Text(text.replace(from.as_str(), to)))
        }
        ("concat", texts) => {
            let mut joined = String::new();
            for text in texts {
                let Value::Text(text) = text else {
                    return Err(unsupported());
                };
                joined.push_str(text);
            }
            Ok(Value::Text(joined))
        }
        ("abs", [Value::Integer(value)]) => {
            let magnitude = value.abs();
            let limit: i128 = match result {
                DataType::Int8 => i8::MAX.into(),
                DataType::Int16 => i16::MAX.into(),
                DataType::Int32 => i32::MAX.into(),
                DataType::Int64 => i64::MAX.into(),
                _ => i128::MAX,
            };
            if magnitude > limit {
                return Err(EvaluationError::Fails("overflow".to_owned()));
            }
            Ok(Value::Integer(magnitude))
        }
        ("abs", [Value::Float(value)]) => Ok(Value::Float(value.abs())),
        _ => Err(unsupported()),
    }
}
