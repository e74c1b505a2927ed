//! `?` and `:name` parameters: how many a statement uses, and their values as typed literals.
//! It must never know where values come from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::expr::Placeholder;
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::{Expr, LogicalPlan};

use crate::errors::SqlError;
use crate::functions::conversion::{self, OnError};
use crate::functions::type_names::sql_name;
use crate::types;

/// The parameters a statement uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParameterUse {
    /// Number of `?`.
    pub positional: usize,
    /// Names of `:name` parameters, in lower case.
    pub named: BTreeSet<String>,
}

/// Puts values (texts, as Athena's API and `-p NAME=VALUE` give them) in the place of `?` and `:name`.
///
/// A value takes the type of its place where the plan knows one; elsewhere its text is read as a literal: `NULL`,
/// `true`, `12`, `1.5`, `'text'`, `DATE '2020-01-31'`, and any other text as itself. Quotes around a text are taken
/// off, because Athena's clients send them. Names are case-insensitive. Every parameter must have a value and every
/// value a parameter.
pub fn bind_parameters<'a>(
    plan: LogicalPlan,
    positional: &[String],
    named: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> Result<LogicalPlan, SqlError> {
    let mut values: BTreeMap<String, &str> = BTreeMap::new();
    for (index, value) in positional.iter().enumerate() {
        values.insert(format!("${}", index + 1), value);
    }
    for (name, value) in named {
        values.insert(format!("${}", name.to_lowercase()), value);
    }
    check_names(&used_names(&plan)?, &values, positional.len())?;
    if values.is_empty() {
        return Ok(plan);
    }
    // Errors of single parameters travel outside the plan's rewriting, which knows DataFusion's errors only.
    let mut refused = None;
    let bound = plan.transform_up_with_subqueries(|plan| {
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let bound = expr.transform_up(|expr| match &expr {
                Expr::Placeholder(placeholder) => match literal(placeholder, &values) {
                    Ok(literal) => Ok(Transformed::yes(literal)),
                    Err(error) => {
                        refused.get_or_insert(error);
                        Ok(Transformed::no(expr))
                    }
                },
                _ => Ok(Transformed::no(expr)),
            })?;
            Ok(bound.update_data(|expr| name.restore(expr)))
        })?
        .map_data(LogicalPlan::recompute_schema)
    });
    match refused {
        Some(error) => Err(error),
        None => Ok(bound?.data),
    }
}

fn used_names(plan: &LogicalPlan) -> Result<BTreeSet<String>> {
    let mut used = BTreeSet::new();
    plan.apply_with_subqueries(|plan| {
        plan.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Expr::Placeholder(Placeholder { id, .. }) = expr {
                    used.insert(id.clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(used)
}

fn check_names(
    used: &BTreeSet<String>,
    given: &BTreeMap<String, &str>,
    positional: usize,
) -> Result<(), SqlError> {
    let shown = |id: &str| match id.strip_prefix('$') {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.to_owned(),
        Some(name) => format!(":{name}"),
        None => id.to_owned(),
    };
    if let Some(missing) = used.iter().find(|id| !given.contains_key(*id)) {
        let name = shown(missing);
        let message = match name.starts_with(':') {
            true => "has no value".to_owned(),
            false => format!("has no value: {positional} given, one is needed for each ?"),
        };
        return Err(SqlError::Parameter { name, message });
    }
    if let Some(extra) = given.keys().find(|id| !used.contains(*id)) {
        let known: Vec<String> = used.iter().map(|id| shown(id)).collect();
        let message = match known.is_empty() {
            true => "the statement has no parameters".to_owned(),
            false => format!("the statement does not use it; it has {}", known.join(", ")),
        };
        return Err(SqlError::Parameter {
            name: shown(extra),
            message,
        });
    }
    Ok(())
}

fn literal(placeholder: &Placeholder, values: &BTreeMap<String, &str>) -> Result<Expr, SqlError> {
    let name = placeholder.id.trim_start_matches('$').to_owned();
    let Some(text) = values.get(&placeholder.id) else {
        return Err(SqlError::Parameter {
            name,
            message: "has no value".to_owned(),
        });
    };
    let data_type = placeholder
        .field
        .as_ref()
        .map(|field| field.data_type().clone());
    let value = match data_type.filter(|data_type| !data_type.is_null()) {
        Some(data_type) => typed(text, &data_type),
        None => Ok(guessed(text)),
    };
    match value {
        Ok(value) => Ok(Expr::Literal(value, None)),
        Err(message) => Err(SqlError::Parameter { name, message }),
    }
}

/// The value as a literal of the type its place has.
fn typed(text: &str, data_type: &DataType) -> Result<ScalarValue, String> {
    if text.trim().eq_ignore_ascii_case("null") {
        return ScalarValue::try_from(data_type).map_err(|error| error.strip_backtrace());
    }
    let is_text = matches!(
        data_type,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    );
    let (_, inner) = typed_literal(text).unwrap_or(("", text.to_owned()));
    let inner = if is_text {
        inner
    } else {
        inner.trim().to_owned()
    };
    match converted(&inner, data_type) {
        Ok(value) => Ok(value),
        // `whole_number > 1.5` compares as DOUBLE.
        Err(_) if data_type.is_numeric() && inner.parse::<f64>().is_ok() => Ok(guessed(&inner)),
        Err(_) => Err(format!("'{text}' is not a {}", sql_name(data_type))),
    }
}

/// The value as the literal it looks like.
fn guessed(text: &str) -> ScalarValue {
    let trimmed = text.trim();
    if trimmed.eq_ignore_ascii_case("null") {
        return ScalarValue::Null;
    }
    if let Ok(boolean) = trimmed.to_lowercase().parse::<bool>() {
        return ScalarValue::from(boolean);
    }
    if let Ok(integer) = trimmed.parse::<i64>() {
        return ScalarValue::from(integer);
    }
    let is_number =
        trimmed.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first));
    if let Some(number) = trimmed.parse::<f64>().ok().filter(|_| is_number) {
        return ScalarValue::from(number);
    }
    let Some((prefix, inner)) = typed_literal(text) else {
        return ScalarValue::from(text);
    };
    let data_type = match prefix.to_lowercase().as_str() {
        "date" => DataType::Date32,
        "timestamp" => DataType::Timestamp(TimeUnit::Millisecond, None),
        "time" => DataType::Time32(TimeUnit::Millisecond),
        _ => DataType::Utf8,
    };
    converted(&inner, &data_type).unwrap_or_else(|_| ScalarValue::from(text))
}

/// `TYPE 'text'` or `'text'` in its parts.
fn typed_literal(text: &str) -> Option<(&str, String)> {
    let (prefix, quoted) = text.trim().split_once('\'')?;
    let inner = quoted.strip_suffix('\'')?;
    let is_word = prefix
        .trim()
        .chars()
        .all(|character| character.is_ascii_alphabetic());
    // A lone quote inside would end the literal early.
    let single_quotes = inner.replace("''", "").contains('\'');
    (is_word && !single_quotes).then(|| (prefix.trim(), inner.replace("''", "'")))
}

fn converted(text: &str, data_type: &DataType) -> Result<ScalarValue> {
    let array: ArrayRef = Arc::new(StringArray::from(vec![text]));
    let (source, target) = (
        Field::new("", DataType::Utf8, true),
        Field::new("", data_type.clone(), true),
    );
    debug_assert!(
        !types::is_json(&target),
        "a type without metadata is no JSON"
    );
    ScalarValue::try_from_array(
        &conversion::convert(&array, &source, &target, OnError::Fail)?,
        0,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_the_literals_they_look_like() {
        for (text, expected) in [
            ("12", ScalarValue::from(12_i64)),
            ("-1.5", ScalarValue::from(-1.5)),
            ("1e3", ScalarValue::from(1000.0)),
            ("TRUE", ScalarValue::from(true)),
            ("null", ScalarValue::Null),
            ("'12'", ScalarValue::from("12")),
            ("O'Brien", ScalarValue::from("O'Brien")),
            ("'O''Brien'", ScalarValue::from("O'Brien")),
            ("infinity", ScalarValue::from("infinity")),
            ("DATE '1970-01-02'", ScalarValue::Date32(Some(1))),
            ("date", ScalarValue::from("date")),
        ] {
            assert_eq!(guessed(text), expected, "{text}");
        }
    }

    #[test]
    fn texts_take_the_type_of_their_place() {
        assert_eq!(
            typed("12", &DataType::Utf8).ok(),
            Some(ScalarValue::from("12"))
        );
        assert_eq!(
            typed("12", &DataType::Int32).ok(),
            Some(ScalarValue::from(12_i32))
        );
        assert_eq!(
            typed("1.5", &DataType::Int32).ok(),
            Some(ScalarValue::from(1.5))
        );
        assert_eq!(
            typed("'1970-01-02'", &DataType::Date32).ok(),
            Some(ScalarValue::Date32(Some(1)))
        );
        assert_eq!(
            typed("NULL", &DataType::Int32).ok(),
            Some(ScalarValue::Int32(None))
        );
        assert!(typed("x", &DataType::Int32).is_err());
    }
}
