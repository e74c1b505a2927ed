//! `?` and `:name` parameters: how many a statement uses, and their values as typed literals.
//! It must never know where values come from.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{DFSchema, Result, ScalarValue};
use datafusion_expr::expr::Placeholder;
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::type_coercion::functions::{UDFCoercionExt, fields_with_udf};
use datafusion_expr::utils::merge_schema;
use datafusion_expr::{Expr, ExprSchemable, LogicalPlan, Operator, WindowFunctionDefinition};

use crate::decimals;
use crate::errors::SqlError;
use crate::functions::conversion::{self, OnError};
use crate::functions::type_names::sql_name;
use crate::grammar::fraction_digits;
use crate::{types, wording};

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
/// A value takes the type of its place where the plan knows one, text in LIKE and `||`, and in a call the type that the
/// function takes there. Elsewhere it is read as a literal: `NULL`, `true`, `12`, `1.5`, `'text'`, `DATE '2020-01-31'`,
/// and any other text as itself, also one that a number would not give back (`007`, `+1`, `1.10`). Quotes around a text
/// are taken off, because Athena's clients send them. Names are case-insensitive. Every parameter must have a value and
/// every value a parameter.
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
        let schema = merge_schema(&plan.inputs());
        let alone = match &plan {
            LogicalPlan::Limit(_) => Place::Count,
            _ => Place::Open,
        };
        let mut put = |expr: Expr, place: Place| match &expr {
            Expr::Placeholder(placeholder) => match literal(placeholder, &values, place) {
                Ok(literal) => Ok(Transformed::yes(literal)),
                Err(error) => {
                    refused.get_or_insert(error);
                    Ok(Transformed::no(expr))
                }
            },
            _ => Ok(Transformed::no(expr)),
        };
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            let bound = expr
                .transform_up(|expr| {
                    let mut places = places(&expr, &schema, &values).into_iter();
                    expr.map_children(|child| match child {
                        Expr::Placeholder(_) => put(child, places.next().unwrap_or(Place::Open)),
                        _ => Ok(Transformed::no(child)),
                    })
                })?
                // A parameter that stands alone has nothing around it but LIMIT or OFFSET.
                .transform_data(|expr| put(expr, alone.clone()))?;
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

/// A parameter as people write it: `1` for the first `?`, `:name`.
fn shown(id: &str) -> String {
    match id.strip_prefix('$') {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => digits.to_owned(),
        Some(name) => format!(":{name}"),
        None => id.to_owned(),
    }
}

/// What stands around a parameter says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// Nothing.
    Open,
    /// A number is wanted, of whatever type.
    Number,
    /// A number of rows is wanted, as in LIMIT and OFFSET.
    Count,
    /// A value of this type is wanted.
    Of(DataType),
}

/// The places of the parameters that are operands of `expr`, in their order.
fn places(expr: &Expr, schema: &DFSchema, values: &BTreeMap<String, &str>) -> Vec<Place> {
    let parameters = |operands: &[&Expr], place: Place| {
        let count = operands.iter().filter(|operand| is_parameter(operand));
        vec![place; count.count()]
    };
    let like = |others: &[&Expr]| {
        others
            .iter()
            .find(|other| !is_parameter(other))
            .and_then(|other| other.get_type(schema).ok())
            .map_or(Place::Open, Place::Of)
    };
    let any = |_: &[DataType]| true;
    match expr {
        Expr::Like(like) | Expr::SimilarTo(like) => {
            parameters(&[&like.expr, &like.pattern], Place::Of(DataType::Utf8))
        }
        Expr::Negative(operand) => parameters(&[operand], Place::Number),
        Expr::BinaryExpr(binary) => {
            let place = match binary.op {
                Operator::StringConcat => Place::Of(DataType::Utf8),
                Operator::Plus
                | Operator::Minus
                | Operator::Multiply
                | Operator::Divide
                | Operator::Modulo => Place::Number,
                _ => Place::Open,
            };
            parameters(&[&binary.left, &binary.right], place)
        }
        Expr::InList(list) if is_parameter(&list.expr) => {
            vec![like(&list.list.iter().collect::<Vec<_>>())]
        }
        Expr::Between(between) if is_parameter(&between.expr) => {
            vec![like(&[&between.low, &between.high])]
        }
        Expr::ScalarFunction(call) => {
            // Some functions refuse types only where they say what they give.
            let gives = |types: &[DataType]| call.func.inner().return_type(types).is_ok();
            arguments(call.func.as_ref(), gives, &call.args, schema, values)
        }
        Expr::AggregateFunction(call) => {
            arguments(call.func.as_ref(), any, &call.params.args, schema, values)
        }
        Expr::WindowFunction(call) => match &call.fun {
            WindowFunctionDefinition::AggregateUDF(function) => {
                arguments(function.as_ref(), any, &call.params.args, schema, values)
            }
            WindowFunctionDefinition::WindowUDF(function) => {
                arguments(function.as_ref(), any, &call.params.args, schema, values)
            }
        },
        _ => Vec::new(),
    }
}

fn is_parameter(expr: &Expr) -> bool {
    matches!(expr, Expr::Placeholder(_))
}

/// The places of a call's parameters. A text that could be a number or a boolean is what the function takes as it is; it
/// is a number rather than a text where the function takes both and the text says the same.
fn arguments<F: UDFCoercionExt>(
    function: &F,
    gives: impl Fn(&[DataType]) -> bool,
    arguments: &[Expr],
    schema: &DFSchema,
    values: &BTreeMap<String, &str>,
) -> Vec<Place> {
    if !arguments.iter().any(is_parameter) {
        return Vec::new();
    }
    let readings: Vec<Vec<DataType>> = arguments
        .iter()
        .map(|argument| match argument {
            Expr::Placeholder(placeholder) => match values.get(&placeholder.id) {
                Some(text) => readings(text),
                None => vec![DataType::Null],
            },
            _ => vec![argument.get_type(schema).unwrap_or(DataType::Null)],
        })
        .collect();
    let types = best_types(function, gives, &readings);
    arguments
        .iter()
        .zip(types)
        .filter(|(argument, _)| is_parameter(argument))
        .map(|(_, data_type)| match data_type {
            data_type if data_type.is_numeric() => Place::Number,
            data_type if data_type.is_string() => Place::Of(data_type),
            _ => Place::Open,
        })
        .collect()
}

/// More parameters that could be read in two ways are not tried in all combinations.
const COMBINED_PARAMETERS: u32 = 6;

/// The types that a function takes best, of those that each argument may have.
fn best_types<F: UDFCoercionExt>(
    function: &F,
    gives: impl Fn(&[DataType]) -> bool,
    readings: &[Vec<DataType>],
) -> Vec<DataType> {
    let open = readings.iter().filter(|readings| readings.len() > 1);
    let open = u32::try_from(open.count()).unwrap_or(u32::MAX);
    let mut choices: Vec<u32> = (0..1 << open.min(COMBINED_PARAMETERS)).collect();
    // The likeliest readings first; sorting is stable.
    choices.sort_by_key(|choice| choice.count_ones());
    let chosen = |choice: u32| {
        let mut bit = 0;
        let types = readings.iter().map(|readings| match readings.as_slice() {
            [_, second] => {
                bit += 1;
                let takes_second = bit <= COMBINED_PARAMETERS && choice >> (bit - 1) & 1 == 1;
                if takes_second { second } else { &readings[0] }.clone()
            }
            readings => readings[0].clone(),
        });
        types.collect::<Vec<DataType>>()
    };
    let best = choices
        .into_iter()
        .map(chosen)
        .min_by_key(|types| fit(function, &gives, types));
    best.unwrap_or_else(|| chosen(0))
}

/// The types a text may be read as, the likeliest first.
fn readings(text: &str) -> Vec<DataType> {
    let literal = guessed(text).data_type();
    if literal.is_numeric() || literal == DataType::Boolean {
        return vec![literal, DataType::Utf8];
    }
    match number(text) {
        Some(number) if literal.is_string() => vec![literal, number.data_type()],
        _ => vec![literal],
    }
}

/// How well a function takes arguments of some types; the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// Texts stay texts, numbers stay numbers.
    AsTheyAre,
    /// Some are converted.
    Converted,
    /// Not at all.
    Refused,
}

fn fit<F: UDFCoercionExt>(
    function: &F,
    gives: impl Fn(&[DataType]) -> bool,
    types: &[DataType],
) -> Fit {
    let fields: Vec<FieldRef> = types
        .iter()
        .map(|data_type| Arc::new(Field::new("", data_type.clone(), true)))
        .collect();
    let Ok(taken) = fields_with_udf(&fields, function) else {
        return Fit::Refused;
    };
    let coerced: Vec<DataType> = taken
        .iter()
        .map(|field| field.data_type().clone())
        .collect();
    if !gives(&coerced) {
        return Fit::Refused;
    }
    let same_kind = |taken: &DataType, given: &DataType| {
        given.is_null()
            || taken == given
            || (taken.is_numeric() && given.is_numeric())
            || (taken.is_string() && given.is_string())
            || (taken.is_nested() && given.is_nested())
            || (taken.is_temporal() && given.is_temporal())
    };
    match taken
        .iter()
        .zip(types)
        .all(|(taken, given)| same_kind(taken.data_type(), given))
    {
        true => Fit::AsTheyAre,
        false => Fit::Converted,
    }
}

fn literal(
    placeholder: &Placeholder,
    values: &BTreeMap<String, &str>,
    place: Place,
) -> Result<Expr, SqlError> {
    let name = shown(&placeholder.id);
    let Some(text) = values.get(&placeholder.id) else {
        return Err(SqlError::Parameter {
            name,
            message: "has no value".to_owned(),
        });
    };
    let inferred = placeholder
        .field
        .as_ref()
        .map(|field| field.data_type().clone())
        .filter(|data_type| !data_type.is_null());
    let place = match (inferred, place) {
        (_, Place::Count) => Place::Count,
        // `1 LIKE ?`: the type of the other operand is none that LIKE takes.
        (Some(data_type), place) if place != Place::Of(DataType::Utf8) => Place::Of(data_type),
        (_, place) => place,
    };
    let value = match place {
        Place::Of(data_type) => typed(text, &data_type),
        Place::Number => Ok(number(text).unwrap_or_else(|| guessed(text))),
        Place::Count => row_count(text),
        Place::Open => Ok(guessed(text)),
    };
    match value {
        Ok(value) => Ok(Expr::Literal(value, None)),
        Err(message) => Err(SqlError::Parameter { name, message }),
    }
}

/// The value as a number of rows.
fn row_count(text: &str) -> Result<ScalarValue, String> {
    let inner = typed_literal(text).map_or_else(|| text.to_owned(), |(_, inner)| inner);
    match number(&inner) {
        Some(ScalarValue::Int64(Some(rows))) if rows >= 0 => Ok(ScalarValue::from(rows)),
        None if text.trim().eq_ignore_ascii_case("null") => Ok(ScalarValue::Int64(None)),
        _ => Err(format!(
            "'{text}' is not a number of rows, which LIMIT and OFFSET take"
        )),
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
    if let Some(finer) = finer_value(&inner, data_type) {
        return Ok(finer);
    }
    match converted(&inner, data_type) {
        Ok(value) => Ok(value),
        // `whole_number > 1.5` compares as DOUBLE.
        Err(_) => number(&inner)
            .filter(|_| data_type.is_numeric())
            .ok_or_else(|| {
                let wanted = wording::with_article(&sql_name(data_type));
                format!("'{text}' is not {wanted}")
            }),
    }
}

/// The value with all its digits, if it has more than the type has room for.
fn finer_value(text: &str, data_type: &DataType) -> Option<ScalarValue> {
    if data_type.is_decimal() {
        let literal = decimals::literal(text)?;
        let has_room = match (&literal, data_type) {
            (
                ScalarValue::Decimal128(_, _, own),
                DataType::Decimal32(_, scale)
                | DataType::Decimal64(_, scale)
                | DataType::Decimal128(_, scale)
                | DataType::Decimal256(_, scale),
            ) => own <= scale,
            _ => true,
        };
        return (!has_room).then_some(literal);
    }
    let own = types::time_unit(fraction_digits(text) as u64)?;
    let is_finer = |unit: &TimeUnit| own > *unit;
    let finer = match data_type {
        DataType::Timestamp(unit, zone) if is_finer(unit) => DataType::Timestamp(own, zone.clone()),
        DataType::Time32(unit) | DataType::Time64(unit) if is_finer(unit) => match own {
            TimeUnit::Second | TimeUnit::Millisecond => DataType::Time32(own),
            _ => DataType::Time64(own),
        },
        _ => return None,
    };
    converted(text, &finer).ok()
}

/// The number a text is, without regard to how it is written.
fn number(text: &str) -> Option<ScalarValue> {
    let trimmed = text.trim();
    if let Ok(integer) = trimmed.parse::<i64>() {
        return Some(ScalarValue::from(integer));
    }
    // `infinity` and `nan` are words.
    if !trimmed.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first)) {
        return None;
    }
    trimmed.parse::<f64>().ok().map(ScalarValue::from)
}

/// The number is written as it would be shown, so that nothing is lost.
fn is_canonical(text: &str, number: &ScalarValue) -> bool {
    match number {
        ScalarValue::Int64(Some(integer)) => integer.to_string() == text,
        ScalarValue::Float64(Some(double)) => format!("{double:?}") == text,
        _ => false,
    }
}

/// The value as the literal it looks like. A number that would not be shown as it is written stays text: codes, phone
/// numbers and amounts have leading and trailing zeros.
fn guessed(text: &str) -> ScalarValue {
    let trimmed = text.trim();
    if trimmed.eq_ignore_ascii_case("null") {
        return ScalarValue::Null;
    }
    if let Ok(boolean) = trimmed.to_lowercase().parse::<bool>() {
        return ScalarValue::from(boolean);
    }
    if let Some(number) = number(text).filter(|number| is_canonical(text, number)) {
        return number;
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
            ("1.0", ScalarValue::from(1.0)),
            ("007", ScalarValue::from("007")),
            ("+4930", ScalarValue::from("+4930")),
            ("1.10", ScalarValue::from("1.10")),
            ("-0", ScalarValue::from("-0")),
            ("1e3", ScalarValue::from("1e3")),
            (" 7", ScalarValue::from(" 7")),
            (
                "12345678901234567890",
                ScalarValue::from("12345678901234567890"),
            ),
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
