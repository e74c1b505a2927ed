//! Special forms of expressions become functions of this crate or plain SQL: `IF`, `EXTRACT`, `SUBSTRING … FROM`,
//! `POSITION`, `AT TIME ZONE`, `ARRAY[…]`, `CAST(… AS VARCHAR(n))`, `CURRENT_TIMESTAMP`, `TRY`.
//! It must never know types.

use std::ops::ControlFlow;

use sqlparser::ast::helpers::attached_token::AttachedToken;
use sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, CharacterLength, DataType, DateTimeField, Expr, Function,
    FunctionArguments, Ident, Spanned, Statement, TimezoneInfo, UnaryOperator, VisitorMut,
};
use sqlparser::tokenizer::{Location, Span};

use crate::errors::SqlError;
use crate::functions::{lambdas, maps};
use crate::passes::build;
use crate::passes::walk::walk;

/// Rewrites the special forms.
pub(crate) fn apply(statement: &mut Statement) -> Result<(), SqlError> {
    walk(statement, &mut Expressions)
}

struct Expressions;

impl VisitorMut for Expressions {
    type Break = SqlError;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        match rewritten(expr) {
            Ok(None) => ControlFlow::Continue(()),
            Ok(Some(rewritten)) => {
                *expr = rewritten;
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }
}

fn rewritten(expr: &Expr) -> Result<Option<Expr>, SqlError> {
    let rewritten = match expr {
        Expr::Extract { field, expr, .. } => {
            build::call(extract_function(field, expr)?, vec![(**expr).clone()])
        }
        Expr::Substring {
            expr,
            substring_from,
            substring_for,
            ..
        } => {
            let mut arguments = vec![(**expr).clone()];
            arguments.push(
                substring_from
                    .as_deref()
                    .cloned()
                    .unwrap_or_else(|| build::number(1)),
            );
            arguments.extend(substring_for.as_deref().cloned());
            build::call("substr", arguments)
        }
        Expr::Position { expr, r#in } => {
            build::call("strpos", vec![(**r#in).clone(), (**expr).clone()])
        }
        Expr::AtTimeZone {
            timestamp,
            time_zone,
        } => build::call(
            "at_timezone",
            vec![(**timestamp).clone(), (**time_zone).clone()],
        ),
        // The planner gives the elements of `ARRAY[…]` no access to lambda variables and outer columns.
        Expr::Array(array) => build::call("make_array", array.elem.clone()),
        Expr::Cast {
            kind,
            expr,
            data_type,
            array: false,
            format: None,
        } => {
            return Ok(sized_text_cast(kind, expr, data_type));
        }
        Expr::Function(function) => return special_function(function),
        _ => return Ok(tested_exists(expr)),
    };
    Ok(Some(rewritten))
}

/// `NOT EXISTS (…) IS TRUE` denies the test; the parser takes NOT and EXISTS for one word, and so tests the denial.
/// Parentheses stay in the tree, so a denial in parentheses is not mistaken for it.
fn tested_exists(expr: &Expr) -> Option<Expr> {
    let (operand, test): (_, fn(Box<Expr>) -> Expr) = match expr {
        Expr::IsTrue(operand) => (operand, Expr::IsTrue),
        Expr::IsNotTrue(operand) => (operand, Expr::IsNotTrue),
        Expr::IsFalse(operand) => (operand, Expr::IsFalse),
        Expr::IsNotFalse(operand) => (operand, Expr::IsNotFalse),
        Expr::IsUnknown(operand) => (operand, Expr::IsUnknown),
        Expr::IsNotUnknown(operand) => (operand, Expr::IsNotUnknown),
        Expr::IsNull(operand) => (operand, Expr::IsNull),
        Expr::IsNotNull(operand) => (operand, Expr::IsNotNull),
        _ => return None,
    };
    let Expr::Exists {
        subquery,
        negated: true,
    } = operand.as_ref()
    else {
        return None;
    };
    let exists = Expr::Exists {
        subquery: subquery.clone(),
        negated: false,
    };
    Some(Expr::UnaryOp {
        op: UnaryOperator::Not,
        expr: Box::new(Expr::Nested(Box::new(test(Box::new(exists))))),
    })
}

fn extract_function(field: &DateTimeField, operand: &Expr) -> Result<&'static str, SqlError> {
    let function = match field {
        DateTimeField::Year => "year",
        DateTimeField::Quarter => "quarter",
        DateTimeField::Month => "month",
        DateTimeField::Week(None) => "week",
        DateTimeField::Day => "day",
        DateTimeField::Dow | DateTimeField::DayOfWeek => "day_of_week",
        DateTimeField::Doy | DateTimeField::DayOfYear => "day_of_year",
        DateTimeField::Hour => "hour",
        DateTimeField::Minute => "minute",
        DateTimeField::Second => "second",
        DateTimeField::TimezoneHour => "timezone_hour",
        DateTimeField::TimezoneMinute => "timezone_minute",
        DateTimeField::Custom(name) => match name.value.as_str() {
            "day_of_month" => "day",
            "day_of_week" => "day_of_week",
            "day_of_year" => "day_of_year",
            "year_of_week" | "yow" => "year_of_week",
            "timezone_hour" => "timezone_hour",
            "timezone_minute" => "timezone_minute",
            _ => return Err(no_such_field(field, operand)),
        },
        _ => return Err(no_such_field(field, operand)),
    };
    Ok(function)
}

fn no_such_field(field: &DateTimeField, operand: &Expr) -> SqlError {
    SqlError::syntax(operand.span().start, format!("EXTRACT has no field {field}")).with_hint(
        "YEAR, QUARTER, MONTH, WEEK, DAY, DAY_OF_WEEK, DAY_OF_YEAR, YEAR_OF_WEEK, HOUR, MINUTE, SECOND, \
         TIMEZONE_HOUR, TIMEZONE_MINUTE",
    )
}

/// `CAST(x AS VARCHAR(n))` cuts the text after n characters; CHAR(n) also drops trailing blanks, which CHAR
/// comparisons ignore.
fn sized_text_cast(kind: &CastKind, expr: &Expr, data_type: &DataType) -> Option<Expr> {
    let (length, is_char) = match data_type {
        DataType::Varchar(Some(length))
        | DataType::CharVarying(Some(length))
        | DataType::CharacterVarying(Some(length)) => (*length, false),
        DataType::Char(Some(length)) | DataType::Character(Some(length)) => (*length, true),
        DataType::Char(None) | DataType::Character(None) => (
            CharacterLength::IntegerLength {
                length: 1,
                unit: None,
            },
            true,
        ),
        _ => return None,
    };
    let CharacterLength::IntegerLength { length, .. } = length else {
        return None;
    };
    let text = Expr::Cast {
        kind: kind.clone(),
        expr: Box::new(expr.clone()),
        data_type: DataType::Varchar(None),
        array: false,
        format: None,
    };
    let cut = build::call(
        "substr",
        vec![text, build::number(1), build::number(length)],
    );
    Some(match is_char {
        true => build::call("rtrim", vec![cut]),
        false => cut,
    })
}

fn special_function(function: &Function) -> Result<Option<Expr>, SqlError> {
    let at = function.name.span().start;
    let Some(name) = build::function_name(function) else {
        return Ok(None);
    };
    if function.args == FunctionArguments::None && name == "user" {
        return Ok(Some(Expr::Identifier(Ident::new("user"))));
    }
    let arguments = build::plain_arguments(function).unwrap_or_default();
    let rewritten = match (name, arguments.as_slice()) {
        ("if", [condition, then]) => case_when(condition, then, None),
        ("if", [condition, then, otherwise]) => case_when(condition, then, Some(otherwise)),
        ("if", _) => {
            return Err(SqlError::syntax(
                at,
                "IF takes a condition and one or two values",
            ));
        }
        ("map", []) => build::call(maps::EMPTY_MAP, Vec::new()),
        ("try", [attempt]) => try_form(attempt),
        ("mod", [number, divisor]) => binary(number, BinaryOperator::Modulo, divisor),
        ("md5" | "sha256" | "sha512", [bytes]) => build::call(
            "digest",
            vec![(*bytes).clone(), build::text(name, Span::empty())],
        ),
        // The form is a keyword.
        ("normalize", [text, Expr::Identifier(form)]) => build::call(
            "normalize",
            vec![(*text).clone(), build::text(&form.value, form.span)],
        ),
        ("rand", []) => build::call("random", Vec::new()),
        ("random" | "rand", [limit]) => random_below(limit),
        ("random" | "rand", [low, high]) => {
            let width = binary(high, BinaryOperator::Minus, low);
            binary(low, BinaryOperator::Plus, &random_below(&width))
        }
        ("array_sort", [list, order @ Expr::Lambda(_)]) => build::call(
            lambdas::SORT_FUNCTION,
            vec![(*list).clone(), (*order).clone()],
        ),
        ("regexp_replace", [text, pattern, replacement @ Expr::Lambda(_)]) => build::call(
            lambdas::REPLACE_FUNCTION,
            vec![(*text).clone(), (*pattern).clone(), (*replacement).clone()],
        ),
        ("now" | "current_timestamp", arguments) => cast(
            build::call("now", Vec::new()),
            DataType::Timestamp(Some(precision(arguments, at)?), TimezoneInfo::WithTimeZone),
        ),
        ("localtimestamp", arguments) => cast(
            build::call("now", Vec::new()),
            DataType::Timestamp(Some(precision(arguments, at)?), TimezoneInfo::None),
        ),
        ("current_time" | "localtime", arguments) => cast(
            build::call("now", Vec::new()),
            DataType::Time(Some(precision(arguments, at)?), TimezoneInfo::None),
        ),
        _ => return Ok(None),
    };
    Ok(Some(rewritten))
}

fn binary(left: &Expr, op: BinaryOperator, right: &Expr) -> Expr {
    let nested = |expr: &Expr| Box::new(Expr::Nested(Box::new(expr.clone())));
    Expr::Nested(Box::new(Expr::BinaryOp {
        left: nested(left),
        op,
        right: nested(right),
    }))
}

/// A whole number from 0 up to, not including, the limit.
fn random_below(limit: &Expr) -> Expr {
    let scaled = binary(
        &build::call("random", Vec::new()),
        BinaryOperator::Multiply,
        limit,
    );
    cast(build::call("floor", vec![scaled]), DataType::BigInt(None))
}

fn precision(arguments: &[&Expr], at: Location) -> Result<u64, SqlError> {
    match arguments {
        [] => Ok(3),
        [digits] => digits
            .to_string()
            .parse()
            .ok()
            .filter(|digits| *digits <= 9)
            .ok_or_else(|| SqlError::syntax(at, "the precision is a number from 0 to 9")),
        _ => Err(SqlError::syntax(
            at,
            "there is at most one argument: the precision",
        )),
    }
}

fn cast(expr: Expr, data_type: DataType) -> Expr {
    Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(expr),
        data_type,
        array: false,
        format: None,
    }
}

fn case_when(condition: &Expr, then: &Expr, otherwise: Option<&Expr>) -> Expr {
    Expr::Case {
        case_token: AttachedToken::empty(),
        end_token: AttachedToken::empty(),
        operand: None,
        conditions: vec![CaseWhen {
            condition: condition.clone(),
            result: then.clone(),
        }],
        else_result: otherwise.map(|expr| Box::new(expr.clone())),
    }
}

/// `TRY(CAST(…))` is `TRY_CAST`; anything else becomes the body of a function, which the engine can run row by row
/// when it fails.
fn try_form(attempt: &Expr) -> Expr {
    match attempt {
        Expr::Cast {
            kind: CastKind::Cast,
            expr,
            data_type,
            array,
            format,
        } => Expr::Cast {
            kind: CastKind::TryCast,
            expr: expr.clone(),
            data_type: data_type.clone(),
            array: *array,
            format: format.clone(),
        },
        Expr::Nested(inner) => try_form(inner),
        other => build::call(
            lambdas::TRY_FUNCTION,
            vec![build::lambda("owlet_nothing", other.clone())],
        ),
    }
}
