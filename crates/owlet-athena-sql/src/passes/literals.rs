//! Literals whose spelling DataFusion does not know: Unicode strings, integers beyond BIGINT, intervals over two
//! fields. It must never know columns.

use std::ops::ControlFlow;

use arrow::compute::kernels::cast_utils::{
    IntervalParseConfig, IntervalUnit, parse_interval_month_day_nano_config,
};
use sqlparser::ast::{
    DateTimeField, Expr, Interval, Statement, TypedString, UnaryOperator, Value, ValueWithSpan,
    VisitorMut,
};

use crate::errors::SqlError;
use crate::grammar::INTERVAL_UNITS;
use crate::passes::build;
use crate::passes::walk::walk;

/// Rewrites the literals.
pub(crate) fn apply(statement: &mut Statement) -> Result<(), SqlError> {
    walk(statement, &mut Literals)
}

struct Literals;

impl VisitorMut for Literals {
    type Break = SqlError;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        match expr {
            Expr::UnaryOp {
                op: UnaryOperator::Minus,
                expr: inner,
            } => {
                // The smallest BIGINT has no positive counterpart.
                if let Expr::Value(ValueWithSpan {
                    value: Value::Number(digits, _),
                    ..
                }) = inner.as_ref()
                    && digits == "9223372036854775808"
                {
                    *expr = build::number(i64::MIN);
                }
            }
            Expr::Value(ValueWithSpan {
                value: Value::Number(digits, _),
                span,
            }) if digits.bytes().all(|byte| byte.is_ascii_digit())
                && digits.parse::<i64>().is_err() =>
            {
                return ControlFlow::Break(
                    SqlError::syntax(span.start, format!("{digits} does not fit into a BIGINT"))
                        .with_hint(format!("write DECIMAL '{digits}'")),
                );
            }
            Expr::TypedString(TypedString {
                data_type,
                value:
                    ValueWithSpan {
                        value: Value::Placeholder(parameter),
                        span,
                    },
                ..
            }) => {
                return ControlFlow::Break(
                    SqlError::syntax(
                        span.start,
                        format!(
                            "{data_type} stands before a text in quotes, not before a parameter"
                        ),
                    )
                    .with_hint(format!("write CAST({parameter} AS {data_type})")),
                );
            }
            Expr::Interval(interval) => {
                if let Err(error) = readable(interval).and_then(|()| two_fields(interval)) {
                    return ControlFlow::Break(error);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_value(&mut self, value: &mut ValueWithSpan) -> ControlFlow<SqlError> {
        if let Value::UnicodeStringLiteral(text) = &mut value.value {
            value.value = Value::SingleQuotedString(std::mem::take(text));
        }
        ControlFlow::Continue(())
    }
}

/// The planner would refuse the text as well, without a position.
fn readable(interval: &Interval) -> Result<(), SqlError> {
    let Expr::Value(ValueWithSpan {
        value: Value::SingleQuotedString(text) | Value::Number(text, _),
        span,
    }) = interval.value.as_ref()
    else {
        return Ok(());
    };
    let spelled = match (&interval.leading_field, &interval.last_field) {
        (_, Some(_)) => return Ok(()),
        (Some(unit), None) => format!("{text} {unit}"),
        (None, None) => text.clone(),
    };
    let config = IntervalParseConfig::new(IntervalUnit::Second);
    match parse_interval_month_day_nano_config(&spelled, config) {
        Ok(_) => Ok(()),
        Err(_) => Err(SqlError::syntax(
            span.start,
            format!("'{text}' does not read as an interval"),
        )
        .with_hint(INTERVAL_UNITS)),
    }
}

/// `INTERVAL '2 03:04' DAY TO MINUTE` and `INTERVAL '1-2' YEAR TO MONTH` as texts of units.
fn two_fields(interval: &mut Interval) -> Result<(), SqlError> {
    let (Some(first), Some(last)) = (&interval.leading_field, &interval.last_field) else {
        return Ok(());
    };
    let at = match interval.value.as_ref() {
        Expr::Value(value) => value.span.start,
        _ => sqlparser::ast::Spanned::span(interval.value.as_ref()).start,
    };
    let (negative, text) = match interval.value.as_ref() {
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } => (true, build::literal_text(expr)),
        other => (false, build::literal_text(other)),
    };
    let spelled = text
        .and_then(|text| spell_units(text, first, last, negative))
        .ok_or_else(|| {
            SqlError::syntax(
                at,
                format!("this interval does not read as {first} TO {last}"),
            )
        })?;
    *interval = Interval {
        value: Box::new(build::text(&spelled, sqlparser::tokenizer::Span::empty())),
        leading_field: None,
        leading_precision: None,
        last_field: None,
        fractional_seconds_precision: None,
    };
    Ok(())
}

const UNITS: [(&str, DateTimeField); 6] = [
    ("years", DateTimeField::Year),
    ("months", DateTimeField::Month),
    ("days", DateTimeField::Day),
    ("hours", DateTimeField::Hour),
    ("minutes", DateTimeField::Minute),
    ("seconds", DateTimeField::Second),
];

fn spell_units(
    text: &str,
    first: &DateTimeField,
    last: &DateTimeField,
    negative: bool,
) -> Option<String> {
    let position = |field: &DateTimeField| UNITS.iter().position(|(_, unit)| unit == field);
    let (first, last) = (position(first)?, position(last)?);
    let text = text.trim();
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (!negative, rest),
        None => (negative, text),
    };
    let parts: Vec<&str> = text
        .split([' ', '-', ':'])
        .filter(|part| !part.is_empty())
        .collect();
    let same_kind = (first < 2) == (last < 2);
    if first > last || !same_kind || parts.len() != last - first + 1 {
        return None;
    }
    let sign = if negative { "-" } else { "" };
    let mut spelled = Vec::new();
    for (part, (unit, _)) in parts.iter().zip(&UNITS[first..=last]) {
        part.parse::<f64>()
            .ok()
            .filter(|_| part.starts_with(|digit: char| digit.is_ascii_digit()))?;
        spelled.push(format!("{sign}{part} {unit}"));
    }
    Some(spelled.join(" "))
}
