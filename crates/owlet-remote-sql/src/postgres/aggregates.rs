//! PostgreSQL's aggregates, cast to the planned type. Must never know a driver.

use arrow_schema::DataType;

use super::comparison::ordered_text;
use crate::class::{TypeClass, decimal_parts};
use crate::decimal::decimal_text;
use crate::dialect::Refusal;
use crate::relation::AggregateFunction;
use crate::rule::{Call, Construct, Detail};

/// `count(*)`.
pub(super) fn count_rows(call: &Call<'_>) -> Result<String, Refusal> {
    require(call, AggregateFunction::CountRows, &DataType::Int64)?;
    Ok(format!("count(*){}", call.filter_clause))
}

/// `count(x)`.
pub(super) fn count(call: &Call<'_>) -> Result<String, Refusal> {
    require(call, AggregateFunction::Count, &DataType::Int64)?;
    Ok(invoke(call, "count", &argument(call)))
}

/// `sum(x)` of whole numbers: PostgreSQL widens, the cast fails where the planned type overflows.
pub(super) fn sum_integers(call: &Call<'_>) -> Result<String, Refusal> {
    require(call, AggregateFunction::Sum, &DataType::Int64)?;
    Ok(format!("{}::int8", invoke(call, "sum", &argument(call))))
}

/// `sum(x)` of decimals: exact in `numeric`. A sum beyond the planned type fails when it is read.
pub(super) fn sum_decimals(call: &Call<'_>) -> Result<String, Refusal> {
    let operand = call
        .operands
        .first()
        .and_then(|operand| decimal_parts(&operand.data_type));
    match (operand, decimal_parts(call.data_type)) {
        (Some((_, scale)), Some((_, planned))) if scale == planned => {
            Ok(invoke(call, "sum", &argument(call)))
        }
        _ => Err(call.refuse(
            Construct::Aggregate(AggregateFunction::Sum),
            format!("the planned type {} has another scale", call.data_type),
        )),
    }
}

/// `avg(x)` of whole numbers of at most 32 bits, as a double: the sum is exact up to 2^53.
pub(super) fn average(call: &Call<'_>) -> Result<String, Refusal> {
    require(call, AggregateFunction::Average, &DataType::Float64)?;
    let operand = call.operands.first();
    let small = operand
        .is_some_and(|operand| operand.class() == TypeClass::SmallInteger || operand.small_whole);
    if !small {
        return Err(call.refuse(
            Construct::Aggregate(AggregateFunction::Average),
            "the average of doubles depends on the order of addition",
        ));
    }
    Ok(invoke(call, "avg", &format!("{}::float8", argument(call))))
}

/// `avg(x)` of decimals, in the argument's own type: rounded half away from zero, which integer division of twice
/// the total does without the rounding of `numeric` division.
pub(super) fn average_decimals(call: &Call<'_>) -> Result<String, Refusal> {
    let construct = Construct::Aggregate(AggregateFunction::Average);
    let [operand] = call.operands else {
        return Err(call.refuse(construct, "a form that is not known"));
    };
    let Some((_, scale)) =
        decimal_parts(&operand.data_type).filter(|_| operand.data_type == *call.data_type)
    else {
        return Err(call.refuse(
            construct,
            format!("the planned type {} is another", call.data_type),
        ));
    };
    if operand.unbounded_scale {
        return Err(call.refuse(construct, "the column has no declared scale"));
    }
    let sum = invoke(call, "sum", &argument(call));
    let count = invoke(call, "count", &argument(call));
    let doubled = decimal_text(2, 1, 0)
        .map(|two| format!("{two}{}", "0".repeat(scale.unsigned_abs().into())));
    let one_unit = decimal_text(1, u8::MAX, scale);
    let (Some(doubled), Some(one_unit)) = (doubled, one_unit) else {
        return Err(call.refuse(construct, format!("the planned type {}", call.data_type)));
    };
    Ok(format!(
        "(div({sum} * {doubled} + sign({sum}) * {count}, {count} * 2::numeric) * {one_unit})"
    ))
}

/// `min(x)`, `max(x)` of values that PostgreSQL orders as the engine does.
pub(super) fn extreme(call: &Call<'_>) -> Result<String, Refusal> {
    let name = extreme_name(call);
    let Some(operand) = call.operands.first() else {
        return Err(Refusal::new("an aggregate without an argument"));
    };
    require_same_type(call)?;
    let argument = if operand.class() == TypeClass::Text {
        ordered_text(operand)
    } else {
        operand.sql.clone()
    };
    Ok(invoke(call, name, &argument))
}

/// `min`, `max` of booleans, which PostgreSQL spells as logic.
pub(super) fn extreme_boolean(call: &Call<'_>) -> Result<String, Refusal> {
    require_same_type(call)?;
    let name = if extreme_name(call) == "min" {
        "bool_and"
    } else {
        "bool_or"
    };
    Ok(invoke(call, name, &argument(call)))
}

/// `bool_and(x)`.
pub(super) fn boolean_and(call: &Call<'_>) -> Result<String, Refusal> {
    Ok(invoke(call, "bool_and", &argument(call)))
}

/// `bool_or(x)`.
pub(super) fn boolean_or(call: &Call<'_>) -> Result<String, Refusal> {
    Ok(invoke(call, "bool_or", &argument(call)))
}

fn extreme_name(call: &Call<'_>) -> &'static str {
    match call.detail {
        Detail::Aggregate {
            function: AggregateFunction::Minimum,
            ..
        } => "min",
        _ => "max",
    }
}

fn argument(call: &Call<'_>) -> String {
    call.operands
        .first()
        .map(|operand| operand.sql.clone())
        .unwrap_or_default()
}

fn invoke(call: &Call<'_>, name: &str, argument: &str) -> String {
    let distinct = if matches!(call.detail, Detail::Aggregate { distinct: true, .. }) {
        "DISTINCT "
    } else {
        ""
    };
    format!("{name}({distinct}{argument}){}", call.filter_clause)
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

fn require_same_type(call: &Call<'_>) -> Result<(), Refusal> {
    let same = call.operands.first().is_some_and(|operand| {
        operand.data_type == *call.data_type
            || (operand.class() == TypeClass::Text
                && crate::class::type_class(call.data_type) == TypeClass::Text)
    });
    if same {
        return Ok(());
    }
    Err(Refusal::new(format!(
        "an aggregate of type {} over another type",
        crate::class::sql_name(call.data_type)
    )))
}
