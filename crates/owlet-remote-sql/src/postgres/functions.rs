//! PostgreSQL's operators, casts and scalar functions. Must never know a driver.

use arrow_schema::DataType;
use owlet_connector::{ArithmeticOperator, CastFailure, LiteralValue};

use super::sql_type;
use crate::class::{TypeClass, decimal_parts, type_class};
use crate::dialect::Refusal;
use crate::foreign_text::UTF8_BYTES;
use crate::fragment::{Fragment, TextCollation};
use crate::rule::{Call, Construct, Detail};
use crate::translate::require_type;

/// Units of `date_trunc` with the same meaning in both engines.
const TRUNCATION_UNITS: &[&str] = &[
    "microsecond",
    "second",
    "minute",
    "hour",
    "day",
    "week",
    "month",
    "quarter",
    "year",
];
/// Fields of `date_part` that are whole numbers with the same meaning in both engines (weeks are ISO weeks).
const DATE_FIELDS: &[&str] = &["year", "quarter", "month", "week", "day", "doy", "dow"];
/// Fields of `date_part` for types with a time of day.
const TIME_FIELDS: &[&str] = &["hour", "minute"];

/// `+`, `-`, `*` of whole numbers of the planned width: PostgreSQL raises an error on overflow.
pub(super) fn integer_operator(
    call: &Call<'_>,
    operator: ArithmeticOperator,
) -> Result<String, Refusal> {
    require_type(
        Construct::Arithmetic(operator),
        call.operands,
        call.data_type,
    )?;
    infix(call, operator)
}

/// `/` and `%` of whole numbers by a constant that can neither be zero nor overflow.
pub(super) fn integer_division(
    call: &Call<'_>,
    operator: ArithmeticOperator,
) -> Result<String, Refusal> {
    let divisor = call.operands.get(1).and_then(integer_constant);
    if divisor.is_none_or(|divisor| divisor == 0 || divisor == -1) {
        let reason = "pushed only for constant divisors other than 0 and -1, so that no row decides about an error";
        return Err(call.refuse(Construct::Arithmetic(operator), reason));
    }
    integer_operator(call, operator)
}

/// `+`, `-`, `*` of decimals: exact in `numeric`. A result beyond the planned type fails when it is read.
pub(super) fn decimal_operator(
    call: &Call<'_>,
    operator: ArithmeticOperator,
) -> Result<String, Refusal> {
    let construct = Construct::Arithmetic(operator);
    let scales: Vec<i8> = call
        .operands
        .iter()
        .filter_map(|operand| decimal_parts(&operand.data_type))
        .map(|(_, scale)| scale)
        .collect();
    let ([left, right], Some((_, planned))) = (scales.as_slice(), decimal_parts(call.data_type))
    else {
        return Err(call.refuse(construct, call.type_reason()));
    };
    let needed = match operator {
        ArithmeticOperator::Multiply => left + right,
        _ => *left.max(right),
    };
    if planned != needed {
        let reason = format!("the planned type {} rounds the result", call.data_type);
        return Err(call.refuse(construct, reason));
    }
    infix(call, operator)
}

/// `||` of texts.
pub(super) fn concatenate(call: &Call<'_>) -> Result<String, Refusal> {
    infix(call, ArithmeticOperator::Concatenate)
}

/// A timestamp or date plus or minus a constant interval.
pub(super) fn shift(call: &Call<'_>, operator: ArithmeticOperator) -> Result<String, Refusal> {
    let construct = Construct::Arithmetic(operator);
    let [instant, interval] = call.operands else {
        return Err(call.refuse(construct, "a form that is not known"));
    };
    let Some(LiteralValue::Interval { nanoseconds, .. }) = interval
        .literal
        .as_ref()
        .map(|literal| literal.value.clone())
    else {
        return Err(call.refuse(construct, "pushed only for constant intervals"));
    };
    if instant.data_type != *call.data_type {
        return Err(call.refuse(construct, call.type_reason()));
    }
    let symbol = crate::rule::arithmetic_symbol(operator);
    match instant.class() {
        TypeClass::Timestamp => Ok(format!("({} {symbol} {})", instant.sql, interval.sql)),
        TypeClass::ZonedTimestamp => Ok(format!(
            "((({} AT TIME ZONE 'UTC') {symbol} {}) AT TIME ZONE 'UTC')",
            instant.sql, interval.sql
        )),
        TypeClass::Date if nanoseconds == 0 => Ok(format!(
            "(({} {symbol} {})::date)",
            instant.sql, interval.sql
        )),
        _ => Err(call.refuse(construct, "a date plus hours is not a date")),
    }
}

/// Unary minus.
pub(super) fn negative(call: &Call<'_>) -> Result<String, Refusal> {
    match call.operands {
        [operand] => Ok(format!("(- {})", operand.sql)),
        _ => Err(call.refuse(Construct::Negative, "a form that is not known")),
    }
}

/// Whole number to whole number. Without an error for what does not fit only when everything fits.
pub(super) fn cast_integer_to_integer(call: &Call<'_>) -> Result<String, Refusal> {
    let widens = call
        .operands
        .first()
        .and_then(|operand| operand.data_type.primitive_width())
        <= call.data_type.primitive_width();
    cast(call, widens)
}

/// Whole number to double.
pub(super) fn cast_integer_to_float(call: &Call<'_>) -> Result<String, Refusal> {
    if *call.data_type != DataType::Float64 {
        return Err(call.refuse(
            Construct::Cast(TypeClass::Float),
            "single precision rounds differently",
        ));
    }
    cast(call, true)
}

/// Whole number to decimal.
pub(super) fn cast_integer_to_decimal(call: &Call<'_>) -> Result<String, Refusal> {
    let digits = match call.operands.first().map(|operand| &operand.data_type) {
        Some(DataType::Int8) => 3,
        Some(DataType::Int16) => 5,
        Some(DataType::Int32) => 10,
        _ => 19,
    };
    let whole_digits = decimal_parts(call.data_type).map_or(0, |(precision, scale)| {
        i32::from(precision) - i32::from(scale)
    });
    cast(call, whole_digits >= digits)
}

/// Decimal to decimal of at least the same scale.
pub(super) fn cast_decimal_to_decimal(call: &Call<'_>) -> Result<String, Refusal> {
    let construct = Construct::Cast(TypeClass::Decimal);
    let ([operand], Some((target_precision, target_scale))) =
        (call.operands, decimal_parts(call.data_type))
    else {
        return Err(call.refuse(construct, "a form that is not known"));
    };
    let Some((precision, scale)) = decimal_parts(&operand.data_type) else {
        return Err(call.refuse(construct, "a form that is not known"));
    };
    if target_scale < scale {
        return Err(call.refuse(construct, "a smaller scale rounds"));
    }
    let whole = i32::from(precision) - i32::from(scale);
    if i32::from(target_precision) - i32::from(target_scale) >= whole {
        // The same number: a cast would only cost time, and round what does not fit instead of failing.
        return Ok(operand.sql.clone());
    }
    if operand.unbounded_scale {
        return Err(call.refuse(
            construct,
            "the column has no declared scale, and PostgreSQL would round",
        ));
    }
    cast(call, false)
}

/// Decimal to double, where both the digits and the power of ten are exact in a double.
pub(super) fn cast_decimal_to_float(call: &Call<'_>) -> Result<String, Refusal> {
    let source = call
        .operands
        .first()
        .and_then(|operand| decimal_parts(&operand.data_type));
    let exact =
        source.is_some_and(|(precision, scale)| precision <= 15 && (0..=22).contains(&scale));
    if !exact || *call.data_type != DataType::Float64 {
        return Err(call.refuse(
            Construct::Cast(TypeClass::Float),
            "decimals of more than 15 digits round differently",
        ));
    }
    cast(call, true)
}

/// Single to double precision.
pub(super) fn cast_float_to_float(call: &Call<'_>) -> Result<String, Refusal> {
    if *call.data_type != DataType::Float64 {
        return Err(call.refuse(
            Construct::Cast(TypeClass::Float),
            "overflow is an error in PostgreSQL only",
        ));
    }
    cast(call, true)
}

/// Casts that cannot fail.
pub(super) fn cast_total(call: &Call<'_>) -> Result<String, Refusal> {
    cast(call, true)
}

/// Date to timestamp: PostgreSQL raises an error beyond the year 294276.
pub(super) fn cast_date_to_timestamp(call: &Call<'_>) -> Result<String, Refusal> {
    cast(call, false)
}

/// Local timestamp to instant, read as UTC; and back.
pub(super) fn cast_zone(call: &Call<'_>) -> Result<String, Refusal> {
    match call.operands {
        [operand] => Ok(format!("({} AT TIME ZONE 'UTC')", operand.sql)),
        _ => Err(call.refuse(
            Construct::Cast(TypeClass::Timestamp),
            "a form that is not known",
        )),
    }
}

fn cast(call: &Call<'_>, always_fits: bool) -> Result<String, Refusal> {
    let construct = Construct::Cast(type_class(call.data_type));
    let ([operand], Detail::Cast(on_failure)) = (call.operands, call.detail) else {
        return Err(call.refuse(construct, "a form that is not known"));
    };
    if on_failure == CastFailure::Null && !always_fits {
        return Err(call.refuse(
            construct,
            "TRY_CAST: PostgreSQL fails where the engine answers NULL",
        ));
    }
    Ok(format!("({}::{})", operand.sql, sql_type(call.data_type)?))
}

/// A function of the same name whose operands and result all have the planned type.
pub(super) fn same_type(call: &Call<'_>, name: &'static str) -> Result<String, Refusal> {
    require_type(Construct::Function(name), call.operands, call.data_type)?;
    plain(call, name)
}

/// A function of one name for both engines.
pub(super) fn plain(call: &Call<'_>, name: &str) -> Result<String, Refusal> {
    let arguments: Vec<&str> = call
        .operands
        .iter()
        .map(|operand| operand.sql.as_str())
        .collect();
    Ok(format!("{name}({})", arguments.join(", ")))
}

/// `nullif(a, b)`.
pub(super) fn nullif(call: &Call<'_>) -> Result<String, Refusal> {
    require_type(Construct::Function("nullif"), call.operands, call.data_type)?;
    let mixed = call
        .operands
        .iter()
        .fold(TextCollation::Neutral, |collation, operand| {
            collation.combined(&operand.collation)
        });
    if mixed == TextCollation::Mixed {
        return Err(call.refuse(
            Construct::Function("nullif"),
            "the texts have different collations",
        ));
    }
    plain(call, "NULLIF")
}

/// A function that counts, cast to the planned width.
pub(super) fn counting(
    call: &Call<'_>,
    name: &'static str,
    engine_name: &'static str,
) -> Result<String, Refusal> {
    if !matches!(call.data_type, DataType::Int32 | DataType::Int64) {
        return Err(call.refuse(Construct::Function(engine_name), call.type_reason()));
    }
    Ok(format!(
        "{}::{}",
        plain(call, name)?,
        sql_type(call.data_type)?
    ))
}

/// `substr(text, start, length)` with constant positions inside the text's numbering.
pub(super) fn substring(call: &Call<'_>, engine_name: &'static str) -> Result<String, Refusal> {
    let construct = Construct::Function(engine_name);
    let numbers: Vec<Option<i128>> = call.operands.iter().skip(1).map(integer_constant).collect();
    let limit = i128::from(i32::MAX);
    let fits = match numbers.as_slice() {
        [Some(start)] => (1..=limit).contains(start),
        [Some(start), Some(length)] => {
            // PostgreSQL adds the two as 32-bit numbers.
            (1..=limit).contains(start) && (0..=limit).contains(length) && start + length <= limit
        }
        _ => false,
    };
    if !fits {
        return Err(call.refuse(construct, "pushed only for constant positions from 1 on"));
    }
    let text = &call.operands[0].sql;
    let numbers: Vec<String> = numbers
        .into_iter()
        .flatten()
        .map(|number| number.to_string())
        .collect();
    Ok(format!("substr({text}, {})", numbers.join(", ")))
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
    bytewise_first(call, "replace")
}

/// `starts_with`, `strpos`: by bytes.
pub(super) fn bytewise_first(call: &Call<'_>, name: &str) -> Result<String, Refusal> {
    let arguments: Vec<String> = call
        .operands
        .iter()
        .enumerate()
        .map(|(position, operand)| {
            if position == 0 {
                format!("({} COLLATE \"C\")", operand.sql)
            } else {
                operand.sql.clone()
            }
        })
        .collect();
    Ok(format!("{name}({})", arguments.join(", ")))
}

/// `strpos(text, part)`.
pub(super) fn strpos(call: &Call<'_>) -> Result<String, Refusal> {
    if !matches!(call.data_type, DataType::Int32 | DataType::Int64) {
        return Err(call.refuse(Construct::Function("strpos"), call.type_reason()));
    }
    Ok(format!(
        "{}::{}",
        bytewise_first(call, "strpos")?,
        sql_type(call.data_type)?
    ))
}

/// `date_trunc(unit, value)` with a constant unit.
pub(super) fn date_trunc(call: &Call<'_>) -> Result<String, Refusal> {
    let construct = Construct::Function("date_trunc");
    let [unit, value] = call.operands else {
        return Err(call.refuse(construct, "a form that is not known"));
    };
    let unit = text_constant(unit).map(str::to_lowercase);
    let Some(unit) = unit.filter(|unit| TRUNCATION_UNITS.contains(&unit.as_str())) else {
        return Err(call.refuse(construct, "this unit is not known to be the same"));
    };
    if value.data_type != *call.data_type {
        return Err(call.refuse(construct, call.type_reason()));
    }
    match value.class() {
        TypeClass::Timestamp => Ok(format!("date_trunc('{unit}', {})", value.sql)),
        TypeClass::ZonedTimestamp => Ok(format!(
            "(date_trunc('{unit}', ({} AT TIME ZONE 'UTC')) AT TIME ZONE 'UTC')",
            value.sql
        )),
        TypeClass::Date => Ok(format!(
            "(date_trunc('{unit}', {}::timestamp)::date)",
            value.sql
        )),
        _ => Err(call.refuse(construct, "this type is not known to be the same")),
    }
}

/// `date_part(field, value)` with a constant field that is a whole number.
pub(super) fn date_part(call: &Call<'_>) -> Result<String, Refusal> {
    let construct = Construct::Function("date_part");
    let [field, value] = call.operands else {
        return Err(call.refuse(construct, "a form that is not known"));
    };
    let Some(field) = text_constant(field).map(str::to_lowercase) else {
        return Err(call.refuse(construct, "the field is not a constant"));
    };
    let has_time = value.class() != TypeClass::Date;
    let known = DATE_FIELDS.contains(&field.as_str())
        || (has_time && TIME_FIELDS.contains(&field.as_str()));
    if !known {
        return Err(call.refuse(
            construct,
            format!("field {field} is not known to be the same"),
        ));
    }
    extract(call, construct, &field, value)
}

/// A function named after the field it takes out, e.g. `year(x)`; `field` is PostgreSQL's name for it.
pub(super) fn named_field(
    call: &Call<'_>,
    name: &'static str,
    field: &str,
) -> Result<String, Refusal> {
    let construct = Construct::Function(name);
    match call.operands {
        [value] => extract(call, construct, field, value),
        _ => Err(call.refuse(construct, "a form that is not known")),
    }
}

/// `date(timestamp)`, and the engine's own cast to a date: the day in UTC.
pub(super) fn date_of(call: &Call<'_>, name: &'static str) -> Result<String, Refusal> {
    let construct = Construct::Function(name);
    match call.operands {
        [value] if *call.data_type == DataType::Date32 => Ok(match value.class() {
            TypeClass::ZonedTimestamp => format!("(({} AT TIME ZONE 'UTC')::date)", value.sql),
            _ => format!("({}::date)", value.sql),
        }),
        _ => Err(call.refuse(construct, call.type_reason())),
    }
}

/// `floor` and `ceil` of doubles; PostgreSQL's are always double precision.
pub(super) fn whole_double(call: &Call<'_>, name: &'static str) -> Result<String, Refusal> {
    if *call.data_type != DataType::Float64 {
        return Err(call.refuse(Construct::Function(name), call.type_reason()));
    }
    same_type(call, name)
}

/// `lower` or `upper` of ASCII letters: what PostgreSQL's do in the C collation.
pub(super) fn ascii_fold(call: &Call<'_>, name: &str) -> Result<String, Refusal> {
    bytewise_first(call, name)
}

/// A text's bytes in UTF-8, whatever the database's encoding.
pub(super) fn utf8_bytes(call: &Call<'_>) -> Result<String, Refusal> {
    match call.operands {
        [text] => Ok(format!("pg_catalog.convert_to({}, 'UTF8')", text.sql)),
        _ => Err(call.refuse(Construct::Function(UTF8_BYTES), "a form that is not known")),
    }
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

fn extract(
    call: &Call<'_>,
    construct: Construct,
    field: &str,
    value: &Fragment,
) -> Result<String, Refusal> {
    let integer = match call.data_type {
        DataType::Int32 => "int4",
        DataType::Int64 => "int8",
        _ => return Err(call.refuse(construct, call.type_reason())),
    };
    let local = if value.class() == TypeClass::ZonedTimestamp {
        format!("({} AT TIME ZONE 'UTC')", value.sql)
    } else {
        value.sql.clone()
    };
    let part = format!("extract({field} FROM {local})");
    if field == "second" {
        return Ok(format!("(floor({part})::{integer})"));
    }
    if field == "year" {
        // PostgreSQL has no year 0: 1 BC is -1. The engine counts 1 BC as 0.
        return Ok(format!("({part}::{integer} + ({part} < 0)::int4)"));
    }
    Ok(format!("({part}::{integer})"))
}

fn infix(call: &Call<'_>, operator: ArithmeticOperator) -> Result<String, Refusal> {
    match call.operands {
        [left, right] => Ok(format!(
            "({} {} {})",
            left.sql,
            crate::rule::arithmetic_symbol(operator),
            right.sql
        )),
        _ => Err(call.refuse(Construct::Arithmetic(operator), "a form that is not known")),
    }
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
