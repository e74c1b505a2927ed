//! MySQL's aggregates, made to answer with the planned type. Must never know a driver.

use arrow_schema::DataType;

use super::literal::decimal_type;
use crate::class::{TypeClass, decimal_parts, type_class};
use crate::dialect::Refusal;
use crate::fragment::Fragment;
use crate::relation::AggregateFunction;
use crate::rule::{Call, Construct, Detail};

/// Most digits of a column whose sums and averages are computed by the server, which keeps 65.
const MAXIMUM_SUMMED_DIGITS: i32 = 38;

/// `count(*)`.
pub(super) fn count_rows(call: &Call<'_>) -> Result<String, Refusal> {
    require(call, AggregateFunction::CountRows, &DataType::Int64)?;
    Ok(match condition(call) {
        Some(condition) => format!("COUNT(CASE WHEN {condition} THEN 1 END)"),
        None => "COUNT(*)".to_owned(),
    })
}

/// `count(x)`.
pub(super) fn count(call: &Call<'_>) -> Result<String, Refusal> {
    require(call, AggregateFunction::Count, &DataType::Int64)?;
    invoke(call, AggregateFunction::Count, "COUNT", Form::AsIs)
}

/// `sum(x)` of whole numbers: an exact decimal. A sum beyond the planned type fails when it is read.
pub(super) fn sum_integers(call: &Call<'_>) -> Result<String, Refusal> {
    require(call, AggregateFunction::Sum, &DataType::Int64)?;
    invoke(call, AggregateFunction::Sum, "SUM", Form::AsIs)
}

/// `sum(x)` of decimals: exact. A sum beyond the planned type fails when it is read.
pub(super) fn sum_decimals(call: &Call<'_>) -> Result<String, Refusal> {
    let construct = Construct::Aggregate(AggregateFunction::Sum);
    let operand = decimal_operand(call, construct)?;
    match (operand, decimal_parts(call.data_type)) {
        ((_, scale), Some((_, planned))) if scale == planned => {
            invoke(call, AggregateFunction::Sum, "SUM", Form::AsIs)
        }
        _ => Err(call.refuse(
            construct,
            format!("the planned type {} has another scale", call.data_type),
        )),
    }
}

/// `avg(x)` of whole numbers of at most 32 bits, as a double: the sum is exact up to 2^53.
pub(super) fn average(call: &Call<'_>) -> Result<String, Refusal> {
    let function = AggregateFunction::Average;
    require(call, function, &DataType::Float64)?;
    let small = call
        .operands
        .first()
        .is_some_and(|operand| operand.class() == TypeClass::SmallInteger || operand.small_whole);
    if !small {
        return Err(call.refuse(
            Construct::Aggregate(function),
            "the average of doubles depends on the order of addition",
        ));
    }
    let sum = invoke(call, function, "SUM", Form::Double)?;
    let count = invoke(call, function, "COUNT", Form::AsIs)?;
    Ok(format!("({sum} / {count})"))
}

/// `avg(x)` of decimals, in the argument's own type: rounded half away from zero. The quotient is made exact first
/// by taking the remainder away, because MySQL rounds quotients to a scale of its own.
pub(super) fn average_decimals(call: &Call<'_>) -> Result<String, Refusal> {
    let function = AggregateFunction::Average;
    let construct = Construct::Aggregate(function);
    let (precision, scale) = decimal_operand(call, construct)?;
    let same_type = call
        .operands
        .first()
        .is_some_and(|operand| operand.data_type == *call.data_type);
    if !same_type {
        return Err(call.refuse(
            construct,
            format!("the planned type {} is another", call.data_type),
        ));
    }
    if i32::from(precision) + i32::from(scale) > MAXIMUM_SUMMED_DIGITS || scale > 12 {
        return Err(call.refuse(construct, "MySQL would need more than 65 digits on the way"));
    }
    let zeros = "0".repeat(scale.unsigned_abs().into());
    let one_unit = match scale {
        0 => "1".to_owned(),
        _ => format!(
            "0.{:0>width$}",
            1,
            width = usize::from(scale.unsigned_abs())
        ),
    };
    let sum = invoke(call, function, "SUM", Form::AsIs)?;
    let count = invoke(call, function, "COUNT", Form::AsIs)?;
    let numerator = format!("({sum} * 2{zeros} + SIGN({sum}) * {count})");
    let divisor = format!("({count} * 2)");
    Ok(format!(
        "CAST((({numerator} - MOD({numerator}, {divisor})) / {divisor}) * {one_unit} AS {})",
        decimal_type(call.data_type)?
    ))
}

/// `min(x)`, `max(x)`, and the logic of booleans, which are 0 and 1.
pub(super) fn extreme(call: &Call<'_>) -> Result<String, Refusal> {
    let (function, name) = match call.detail {
        Detail::Aggregate {
            function: function @ (AggregateFunction::Maximum | AggregateFunction::BooleanOr),
            ..
        } => (function, "MAX"),
        Detail::Aggregate { function, .. } => (function, "MIN"),
        _ => (AggregateFunction::Minimum, "MIN"),
    };
    let operand = single(call, Construct::Aggregate(function))?;
    let both_text =
        operand.class() == TypeClass::Text && type_class(call.data_type) == TypeClass::Text;
    if operand.data_type != *call.data_type && !both_text {
        return Err(call.refuse(Construct::Aggregate(function), call.type_reason()));
    }
    invoke(call, function, name, Form::AsIs)
}

/// How the argument is spelled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    AsIs,
    Double,
}

/// There is no `FILTER`: what it leaves out becomes NULL, which every aggregate here skips.
fn invoke(
    call: &Call<'_>,
    function: AggregateFunction,
    name: &str,
    form: Form,
) -> Result<String, Refusal> {
    let operand = single(call, Construct::Aggregate(function))?;
    let distinct = if matches!(call.detail, Detail::Aggregate { distinct: true, .. }) {
        "DISTINCT "
    } else {
        ""
    };
    let mut argument = match form {
        Form::AsIs => operand.sql.clone(),
        Form::Double => format!("({} + 0e0)", operand.sql),
    };
    if let Some(condition) = condition(call) {
        argument = format!("CASE WHEN {condition} THEN {argument} END");
    }
    Ok(format!("{name}({distinct}{argument})"))
}

/// The predicate of `FILTER (WHERE …)`.
fn condition<'a>(call: &Call<'a>) -> Option<&'a str> {
    call.filter_clause
        .strip_prefix(" FILTER (WHERE ")
        .and_then(|rest| rest.strip_suffix(')'))
}

fn decimal_operand(call: &Call<'_>, construct: Construct) -> Result<(u8, i8), Refusal> {
    let digits = single(call, construct)
        .ok()
        .and_then(|operand| decimal_parts(&operand.data_type));
    match digits {
        Some((precision, scale)) if i32::from(precision) <= MAXIMUM_SUMMED_DIGITS => {
            Ok((precision, scale))
        }
        _ => Err(call.refuse(construct, "the sum may have more digits than MySQL keeps")),
    }
}

fn single<'a>(call: &Call<'a>, construct: Construct) -> Result<&'a Fragment, Refusal> {
    match call.operands {
        [only] => Ok(only),
        _ => Err(call.refuse(construct, "a form that is not known")),
    }
}

fn require(
    call: &Call<'_>,
    function: AggregateFunction,
    expected: &DataType,
) -> Result<(), Refusal> {
    if call.data_type == expected {
        return Ok(());
    }
    Err(call.refuse(
        Construct::Aggregate(function),
        format!(
            "{}, but {}",
            call.type_reason(),
            crate::class::sql_name(expected)
        ),
    ))
}
