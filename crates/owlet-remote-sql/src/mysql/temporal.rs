//! MySQL's functions of dates and times, in sessions whose time zone is UTC. Must never know a driver.

use arrow_schema::DataType;

use super::text::text_constant;
use crate::class::TypeClass;
use crate::dialect::Refusal;
use crate::fragment::Fragment;
use crate::rule::{Call, Construct};

/// Date to timestamp (midnight), and between local timestamps and instants: the session's zone is UTC.
pub(super) fn cast_to_timestamp(call: &Call<'_>) -> Result<String, Refusal> {
    single(call, Construct::Cast(TypeClass::Timestamp))
        .map(|operand| format!("CAST({} AS DATETIME(6))", operand.sql))
}

/// Timestamp to date.
pub(super) fn cast_to_date(call: &Call<'_>) -> Result<String, Refusal> {
    single(call, Construct::Cast(TypeClass::Date)).map(|operand| format!("DATE({})", operand.sql))
}

/// `date(timestamp)`, and the engine's own cast to a date: the day in UTC.
pub(super) fn date_of(call: &Call<'_>, name: &'static str) -> Result<String, Refusal> {
    let construct = Construct::Function(name);
    if *call.data_type != DataType::Date32 {
        return Err(call.refuse(construct, call.type_reason()));
    }
    single(call, construct).map(|operand| format!("DATE({})", operand.sql))
}

/// `date_trunc(unit, value)` with a constant unit.
pub(super) fn date_trunc(call: &Call<'_>) -> Result<String, Refusal> {
    let construct = Construct::Function("date_trunc");
    let [unit, value] = call.operands else {
        return Err(call.refuse(construct, "a form that is not known"));
    };
    if value.data_type != *call.data_type {
        return Err(call.refuse(construct, call.type_reason()));
    }
    let is_date = value.class() == TypeClass::Date;
    let unit = text_constant(unit)
        .map(str::to_lowercase)
        .unwrap_or_default();
    // A format without blanks is the same text under every mode; the year has four digits always.
    let format = match unit.as_str() {
        "day" => "%Y-%m-%d",
        "month" => "%Y-%m-01",
        "year" => "%Y-01-01",
        "hour" if !is_date => "%Y-%m-%d %H:00:00",
        "minute" if !is_date => "%Y-%m-%d %H:%i:00",
        "second" if !is_date => "%Y-%m-%d %H:%i:%s",
        _ => return Err(call.refuse(construct, "this unit is not known to be the same")),
    };
    let target = if is_date { "DATE" } else { "DATETIME(6)" };
    Ok(format!(
        "CAST(DATE_FORMAT({}, '{format}') AS {target})",
        value.sql
    ))
}

/// `date_part(field, value)` with a constant field that is a whole number.
pub(super) fn date_part(call: &Call<'_>) -> Result<String, Refusal> {
    let construct = Construct::Function("date_part");
    let [field, value] = call.operands else {
        return Err(call.refuse(construct, "a form that is not known"));
    };
    let field = text_constant(field)
        .map(str::to_lowercase)
        .unwrap_or_default();
    extract(call, construct, &field, value)
}

/// A function named after the field it takes out, e.g. `year(x)`.
pub(super) fn named_field(
    call: &Call<'_>,
    name: &'static str,
    field: &str,
) -> Result<String, Refusal> {
    let construct = Construct::Function(name);
    let value = single(call, construct)?;
    extract(call, construct, field, value)
}

fn extract(
    call: &Call<'_>,
    construct: Construct,
    field: &str,
    value: &Fragment,
) -> Result<String, Refusal> {
    if !matches!(call.data_type, DataType::Int32 | DataType::Int64) {
        return Err(call.refuse(construct, call.type_reason()));
    }
    let has_time = value.class() != TypeClass::Date;
    let text = &value.sql;
    Ok(match field {
        "year" => format!("YEAR({text})"),
        "quarter" => format!("QUARTER({text})"),
        "month" => format!("MONTH({text})"),
        // Mode 3: ISO weeks.
        "week" => format!("WEEK({text}, 3)"),
        "day" => format!("DAYOFMONTH({text})"),
        "doy" => format!("DAYOFYEAR({text})"),
        "dow" => format!("(DAYOFWEEK({text}) - 1)"),
        "isodow" => format!("(WEEKDAY({text}) + 1)"),
        "hour" if has_time => format!("HOUR({text})"),
        "minute" if has_time => format!("MINUTE({text})"),
        "second_of_minute" if has_time => format!("SECOND({text})"),
        _ => {
            return Err(call.refuse(
                construct,
                format!("field {field} is not known to be the same"),
            ));
        }
    })
}

fn single<'a>(call: &Call<'a>, construct: Construct) -> Result<&'a Fragment, Refusal> {
    match call.operands {
        [only] => Ok(only),
        _ => Err(call.refuse(construct, "a form that is not known")),
    }
}
