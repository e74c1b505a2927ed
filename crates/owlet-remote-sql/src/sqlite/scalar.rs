//! SQLite's operators, casts, scalar functions and aggregates. Must never know a driver.

use arrow_schema::DataType;
use owlet_connector::{ArithmeticOperator, LiteralValue};

use super::comparison::{binary, require_exact_decimals};
use super::functions;
use crate::class::{TypeClass, decimal_parts, type_class};
use crate::dialect::Refusal;
use crate::fragment::Fragment;
use crate::relation::AggregateFunction;
use crate::rule::{Call, Construct, Detail, arithmetic_symbol};
use crate::translate::require_type;

/// `+`, `-`, `*` of bigints: SQLite answers an overflow with a double, which the connector's function refuses.
pub(super) fn integer_operator(
    call: &Call<'_>,
    operator: ArithmeticOperator,
) -> Result<String, Refusal> {
    require_bigint(call, Construct::Arithmetic(operator))?;
    Ok(format!(
        "{}({})",
        functions::INTEGER,
        infix(call, operator)?
    ))
}

/// `/` and `%` of bigints by a constant that can neither be zero nor overflow.
pub(super) fn integer_division(
    call: &Call<'_>,
    operator: ArithmeticOperator,
) -> Result<String, Refusal> {
    let construct = Construct::Arithmetic(operator);
    require_bigint(call, construct)?;
    let divisor = call.operands.get(1).and_then(integer_constant);
    if divisor.is_none_or(|divisor| divisor == 0 || divisor == -1) {
        return Err(call.refuse(
            construct,
            "pushed only for constant divisors other than 0 and -1",
        ));
    }
    infix(call, operator)
}

/// `||` of texts.
pub(super) fn concatenate(call: &Call<'_>) -> Result<String, Refusal> {
    infix(call, ArithmeticOperator::Concatenate)
}

/// Bigint to double: both round to nearest even.
pub(super) fn cast_to_real(call: &Call<'_>) -> Result<String, Refusal> {
    if *call.data_type != DataType::Float64 {
        return Err(call.refuse(
            Construct::Cast(TypeClass::Float),
            "SQLite has no single precision",
        ));
    }
    require_exact_decimals(call, Construct::Cast(TypeClass::Float))?;
    single(call).map(|operand| format!("CAST({} AS REAL)", operand.sql))
}

/// Decimal to a type that holds all its values: the number itself.
pub(super) fn cast_decimal(call: &Call<'_>) -> Result<String, Refusal> {
    let construct = Construct::Cast(TypeClass::Decimal);
    let operand = single(call)?;
    let (Some((precision, scale)), Some((target_precision, target_scale))) =
        (operand.decimal_digits(), decimal_parts(call.data_type))
    else {
        return Err(call.refuse(construct, "a form that is not known"));
    };
    let whole = i16::from(precision) - i16::from(scale);
    if target_scale < scale || i16::from(target_precision) - i16::from(target_scale) < whole {
        return Err(call.refuse(construct, "a smaller type rounds or overflows"));
    }
    Ok(operand.sql.clone())
}

/// Integer to its text.
pub(super) fn cast_to_text(call: &Call<'_>) -> Result<String, Refusal> {
    single(call).map(|operand| format!("CAST({} AS TEXT)", operand.sql))
}

/// Any integer to bigint: SQLite has one kind of integer.
pub(super) fn cast_to_bigint(call: &Call<'_>) -> Result<String, Refusal> {
    single(call).map(|operand| operand.sql.clone())
}

/// Date to timestamp: midnight.
pub(super) fn cast_date_to_timestamp(call: &Call<'_>) -> Result<String, Refusal> {
    single(call).map(|operand| format!("({} || ' 00:00:00.000000')", operand.sql))
}

/// Timestamp to date.
pub(super) fn cast_timestamp_to_date(call: &Call<'_>) -> Result<String, Refusal> {
    single(call).map(|operand| format!("substr({}, 1, 10)", operand.sql))
}

/// `coalesce`, which SQLite wants with at least two arguments.
pub(super) fn coalesce(call: &Call<'_>) -> Result<String, Refusal> {
    require_type(
        Construct::Function("coalesce"),
        call.operands,
        call.data_type,
    )?;
    match call.operands {
        [only] => Ok(only.sql.clone()),
        _ => Ok(invoke("coalesce", call.operands)),
    }
}

/// `nullif(a, b)`.
pub(super) fn nullif(call: &Call<'_>) -> Result<String, Refusal> {
    let construct = Construct::Function("nullif");
    require_type(construct, call.operands, call.data_type)?;
    require_exact_decimals(call, construct)?;
    match call.operands {
        [left, right] => {
            // Of two texts, the left one's collation counts.
            let left = if left.class() == TypeClass::Text {
                format!("({} COLLATE BINARY)", left.sql)
            } else {
                left.sql.clone()
            };
            Ok(format!("nullif({left}, {})", right.sql))
        }
        _ => Err(call.refuse(construct, "a form that is not known")),
    }
}

/// `abs(bigint)`: SQLite fails on the one value without a counterpart.
pub(super) fn absolute(call: &Call<'_>) -> Result<String, Refusal> {
    require_type(Construct::Function("abs"), call.operands, call.data_type)?;
    Ok(invoke("abs", call.operands))
}

/// `length(text)`: SQLite's own ends at a NUL character.
pub(super) fn length(call: &Call<'_>, name: &'static str) -> Result<String, Refusal> {
    if !matches!(call.data_type, DataType::Int32 | DataType::Int64) {
        return Err(call.refuse(Construct::Function(name), call.type_reason()));
    }
    Ok(invoke(functions::LENGTH, call.operands))
}

/// `substr(text, start, length)` with constant positions inside the text's numbering: SQLite's own ends at a NUL
/// character.
pub(super) fn substring(call: &Call<'_>, name: &'static str) -> Result<String, Refusal> {
    let construct = Construct::Function(name);
    let numbers: Vec<Option<i128>> = call.operands.iter().skip(1).map(integer_constant).collect();
    match numbers.as_slice() {
        [Some(1..)] => Ok(format!(
            "{}({}, {}, {})",
            functions::SUBSTRING,
            call.operands[0].sql,
            call.operands[1].sql,
            i64::MAX
        )),
        [Some(1..), Some(0..)] => Ok(invoke(functions::SUBSTRING, call.operands)),
        _ => Err(call.refuse(construct, "pushed only for constant positions from 1 on")),
    }
}

/// `lower` or `upper` of ASCII letters, which is what SQLite's do.
pub(super) fn ascii_fold(call: &Call<'_>, name: &str) -> Result<String, Refusal> {
    Ok(invoke(name, call.operands))
}

/// `replace(text, from, to)` with a constant, non-empty `from`.
pub(super) fn replace(call: &Call<'_>) -> Result<String, Refusal> {
    let from = call.operands.get(1).and_then(text_constant);
    if from.is_none_or(str::is_empty) {
        return Err(call.refuse(
            Construct::Function("replace"),
            "pushed only for a constant text to be replaced",
        ));
    }
    Ok(invoke("replace", call.operands))
}

/// `strpos(text, part)`.
pub(super) fn strpos(call: &Call<'_>) -> Result<String, Refusal> {
    if !matches!(call.data_type, DataType::Int32 | DataType::Int64) {
        return Err(call.refuse(Construct::Function("strpos"), call.type_reason()));
    }
    Ok(invoke("instr", call.operands))
}

/// `date_trunc(unit, value)`: the beginning of the text.
pub(super) fn date_trunc(call: &Call<'_>) -> Result<String, Refusal> {
    let construct = Construct::Function("date_trunc");
    let [unit, value] = call.operands else {
        return Err(call.refuse(construct, "a form that is not known"));
    };
    if value.data_type != *call.data_type {
        return Err(call.refuse(construct, call.type_reason()));
    }
    let unit = text_constant(unit)
        .map(str::to_lowercase)
        .unwrap_or_default();
    let text = &value.sql;
    let is_date = value.class() == TypeClass::Date;
    let date = match unit.as_str() {
        "day" => format!("substr({text}, 1, 10)"),
        "month" => format!("(substr({text}, 1, 7) || '-01')"),
        "year" => format!("(substr({text}, 1, 4) || '-01-01')"),
        // The Sunday on or after the day, and six days back.
        "week" => format!("date(substr({text}, 1, 10), 'weekday 0', '-6 days')"),
        "hour" if !is_date => return Ok(format!("(substr({text}, 1, 13) || ':00:00.000000')")),
        "minute" if !is_date => return Ok(format!("(substr({text}, 1, 16) || ':00.000000')")),
        "second" if !is_date => return Ok(format!("(substr({text}, 1, 19) || '.000000')")),
        _ => return Err(call.refuse(construct, "this unit is not known to be the same")),
    };
    if is_date {
        Ok(date)
    } else {
        Ok(format!("({date} || ' 00:00:00.000000')"))
    }
}

/// `date_part(field, value)`: a part of the text.
pub(super) fn date_part(call: &Call<'_>) -> Result<String, Refusal> {
    let construct = Construct::Function("date_part");
    let [field, value] = call.operands else {
        return Err(call.refuse(construct, "a form that is not known"));
    };
    if !matches!(call.data_type, DataType::Int32 | DataType::Int64) {
        return Err(call.refuse(construct, call.type_reason()));
    }
    let field = text_constant(field)
        .map(str::to_lowercase)
        .unwrap_or_default();
    let has_time = value.class() != TypeClass::Date;
    let (start, length) = match field.as_str() {
        "year" => (1, 4),
        "month" => (6, 2),
        "day" => (9, 2),
        "hour" if has_time => (12, 2),
        "minute" if has_time => (15, 2),
        _ => {
            return Err(call.refuse(
                construct,
                format!("field {field} is not known to be the same"),
            ));
        }
    };
    Ok(format!(
        "CAST(substr({}, {start}, {length}) AS INTEGER)",
        value.sql
    ))
}

/// A function named after the field it takes out, e.g. `year(x)`: a part of the text.
pub(super) fn named_field(
    call: &Call<'_>,
    name: &'static str,
    start: usize,
    length: usize,
) -> Result<String, Refusal> {
    if !matches!(call.data_type, DataType::Int32 | DataType::Int64) {
        return Err(call.refuse(Construct::Function(name), call.type_reason()));
    }
    single(call).map(|value| format!("CAST(substr({}, {start}, {length}) AS INTEGER)", value.sql))
}

/// `date(timestamp)`, and the engine's own cast to a date.
pub(super) fn date_of(call: &Call<'_>, name: &'static str) -> Result<String, Refusal> {
    if *call.data_type != DataType::Date32 {
        return Err(call.refuse(Construct::Function(name), call.type_reason()));
    }
    cast_timestamp_to_date(call)
}

/// `concat` of texts: NULL if any is NULL.
pub(super) fn concat(call: &Call<'_>) -> Result<String, Refusal> {
    let texts: Vec<&str> = call
        .operands
        .iter()
        .map(|operand| operand.sql.as_str())
        .collect();
    if texts.is_empty() {
        return Err(call.refuse(Construct::Function("concat"), "nothing to concatenate"));
    }
    Ok(format!("({})", texts.join(" || ")))
}

/// `count(*)`.
pub(super) fn count_rows(call: &Call<'_>) -> Result<String, Refusal> {
    require_result(call, AggregateFunction::CountRows)?;
    Ok(format!("count(*){}", call.filter_clause))
}

/// `count(x)`.
pub(super) fn count(call: &Call<'_>) -> Result<String, Refusal> {
    require_result(call, AggregateFunction::Count)?;
    aggregate(call, "count")
}

/// `sum(bigint)`: SQLite's own fails when a partial sum overflows, even if the sum does not.
pub(super) fn sum(call: &Call<'_>) -> Result<String, Refusal> {
    require_result(call, AggregateFunction::Sum)?;
    aggregate(call, functions::SUM)
}

/// `min(x)`, `max(x)`, and the logic of booleans, which are 0 and 1.
pub(super) fn extreme(call: &Call<'_>) -> Result<String, Refusal> {
    let (function, name) = match call.detail {
        Detail::Aggregate {
            function: function @ (AggregateFunction::Maximum | AggregateFunction::BooleanOr),
            ..
        } => (function, "max"),
        Detail::Aggregate { function, .. } => (function, "min"),
        _ => (AggregateFunction::Minimum, "min"),
    };
    let construct = Construct::Aggregate(function);
    require_type(construct, call.operands, call.data_type)?;
    require_exact_decimals(call, construct)?;
    aggregate(call, name)
}

fn aggregate(call: &Call<'_>, name: &str) -> Result<String, Refusal> {
    let distinct = if matches!(call.detail, Detail::Aggregate { distinct: true, .. }) {
        "DISTINCT "
    } else {
        ""
    };
    let argument = binary(single(call)?);
    Ok(format!(
        "{name}({distinct}{argument}){}",
        call.filter_clause
    ))
}

fn require_result(call: &Call<'_>, function: AggregateFunction) -> Result<(), Refusal> {
    if *call.data_type == DataType::Int64 {
        return Ok(());
    }
    Err(call.refuse(Construct::Aggregate(function), call.type_reason()))
}

fn require_bigint(call: &Call<'_>, construct: Construct) -> Result<(), Refusal> {
    require_type(construct, call.operands, call.data_type)?;
    if type_class(call.data_type) == TypeClass::BigInteger {
        return Ok(());
    }
    Err(call.refuse(
        construct,
        format!("{}, which SQLite does not know", call.type_reason()),
    ))
}

fn single<'a>(call: &Call<'a>) -> Result<&'a Fragment, Refusal> {
    match call.operands {
        [only] => Ok(only),
        _ => Err(Refusal::new("a function with a wrong number of arguments")),
    }
}

fn infix(call: &Call<'_>, operator: ArithmeticOperator) -> Result<String, Refusal> {
    match call.operands {
        [left, right] => Ok(format!(
            "({} {} {})",
            left.sql,
            arithmetic_symbol(operator),
            right.sql
        )),
        _ => Err(call.refuse(Construct::Arithmetic(operator), "a form that is not known")),
    }
}

fn invoke(name: &str, operands: &[Fragment]) -> String {
    let arguments: Vec<&str> = operands
        .iter()
        .map(|operand| operand.sql.as_str())
        .collect();
    format!("{name}({})", arguments.join(", "))
}

fn text_constant(operand: &Fragment) -> Option<&str> {
    match &operand.literal.as_ref()?.value {
        LiteralValue::Text(text) => Some(text),
        _ => None,
    }
}

fn integer_constant(operand: &Fragment) -> Option<i128> {
    match operand.literal.as_ref()?.value {
        LiteralValue::Integer(value) => Some(value),
        _ => None,
    }
}
