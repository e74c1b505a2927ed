//! Expression planner: operators and accesses whose meaning depends on types: strict subscripts, row fields without
//! case, differences of dates, multiples of intervals. It must never know tables.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Field, Fields, Float64Type, IntervalMonthDayNano,
    IntervalMonthDayNanoType,
};
use datafusion::functions::core::get_field;
use datafusion_common::{Column, DFSchema, Result, ScalarValue, TableReference, plan_err};
use datafusion_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr, RawFieldAccessExpr};
use datafusion_expr::{Expr, ExprSchemable, GetFieldAccess, ScalarUDF, lit};
use sqlparser::ast::BinaryOperator;

use crate::decimals;
use crate::functions;
use crate::functions::datetime::moved;
use crate::functions::scalar::Kind::{Date, Double, Interval};
use crate::functions::scalar::Overload::Exact;
use crate::functions::scalar::{Call, function};
use crate::intervals::{self, HOURS_OF_A_DATE, interval_field};
use crate::outer_names;
use crate::types::SESSION_ZONE;

/// Plans what DataFusion's own planners plan differently.
#[derive(Debug)]
pub(crate) struct AthenaExpressions;

impl ExprPlanner for AthenaExpressions {
    fn plan_binary_op(
        &self,
        expr: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>> {
        let RawBinaryExpr { op, left, right } = expr;
        let is_difference = matches!(op, BinaryOperator::Minus);
        let is_scaling = matches!(op, BinaryOperator::Multiply | BinaryOperator::Divide);
        if is_difference || matches!(op, BinaryOperator::Plus) {
            refuse_hours_of_dates(&left, &right, schema)?;
        }
        let is_sum = matches!(op, BinaryOperator::Plus);
        if !is_sum && !is_difference && !is_scaling {
            return Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }));
        }
        let (Ok(left_type), Ok(right_type)) = (left.get_type(schema), right.get_type(schema))
        else {
            return Ok(PlannerResult::Original(RawBinaryExpr { op, left, right }));
        };
        if matches!(op, BinaryOperator::Divide) && is_decimal_division(&left_type, &right_type) {
            return Ok(PlannerResult::Planned(
                decimals::DIVIDE.call(vec![left, right]),
            ));
        }
        let is_interval = |data_type: &DataType| matches!(data_type, DataType::Interval(_));
        // Sources and the optimizer know what stands in the session's zone.
        let has_clock_changes = |data_type: &DataType| matches!(data_type, DataType::Timestamp(_, Some(zone)) if zone.as_ref() != SESSION_ZONE);
        let planned = match (&op, &left_type, &right_type) {
            (BinaryOperator::Plus, moment, interval)
                if has_clock_changes(moment) && is_interval(interval) =>
            {
                moved::LATER.call(vec![left, right])
            }
            (BinaryOperator::Plus, interval, moment)
                if has_clock_changes(moment) && is_interval(interval) =>
            {
                moved::LATER.call(vec![right, left])
            }
            (BinaryOperator::Minus, moment, interval)
                if has_clock_changes(moment) && is_interval(interval) =>
            {
                moved::EARLIER.call(vec![left, right])
            }
            (BinaryOperator::Minus, DataType::Date32, DataType::Date32) => {
                DATE_DIFFERENCE.call(vec![left, right])
            }
            (BinaryOperator::Multiply, interval, number)
                if is_interval(interval) && number.is_numeric() =>
            {
                INTERVAL_MULTIPLE.call(vec![left, right])
            }
            (BinaryOperator::Multiply, number, interval)
                if is_interval(interval) && number.is_numeric() =>
            {
                INTERVAL_MULTIPLE.call(vec![right, left])
            }
            (BinaryOperator::Divide, interval, number)
                if is_interval(interval) && number.is_numeric() =>
            {
                INTERVAL_QUOTIENT.call(vec![left, right])
            }
            _ => return Ok(PlannerResult::Original(RawBinaryExpr { op, left, right })),
        };
        Ok(PlannerResult::Planned(planned))
    }

    fn plan_field_access(
        &self,
        expr: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>> {
        let RawFieldAccessExpr { field_access, expr } = expr;
        let data_type = expr.get_type(schema)?;
        let planned = match (&field_access, &data_type) {
            (GetFieldAccess::NamedStructField { name }, DataType::Struct(fields)) => {
                match name.try_as_str() {
                    Some(Some(name)) => row_field(expr, fields, name)?,
                    _ => {
                        return Ok(PlannerResult::Original(RawFieldAccessExpr {
                            field_access,
                            expr,
                        }));
                    }
                }
            }
            (GetFieldAccess::ListRange { .. }, _) => {
                return plan_err!(
                    "[from:to] is not part of Athena's SQL: slice(array, start, length) takes a part of an array"
                );
            }
            // `row[1]` counts from 1.
            (GetFieldAccess::ListIndex { key }, DataType::Struct(fields)) => match key.as_ref() {
                Expr::Literal(ScalarValue::Int64(Some(index)), _) => {
                    let field = index
                        .checked_sub(1)
                        .and_then(|index| fields.get(usize::try_from(index).ok()?));
                    match field {
                        Some(field) => get_field().call(vec![expr, lit(field.name().as_str())]),
                        None => {
                            return plan_err!(
                                "a row of {} fields has no field {index}",
                                fields.len()
                            );
                        }
                    }
                }
                _ => return plan_err!("a row's field is chosen by a literal number"),
            },
            (
                GetFieldAccess::ListIndex { key },
                DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..),
            ) => functions::arrays::subscript(expr, key.as_ref().clone()),
            (GetFieldAccess::ListIndex { key }, DataType::Map(..)) => {
                functions::arrays::subscript(expr, key.as_ref().clone())
            }
            // `map['key']` comes as the name of a field.
            (GetFieldAccess::NamedStructField { name }, DataType::Map(..)) => {
                functions::arrays::subscript(expr, Expr::Literal(name.clone(), None))
            }
            _ => {
                return Ok(PlannerResult::Original(RawFieldAccessExpr {
                    field_access,
                    expr,
                }));
            }
        };
        Ok(PlannerResult::Planned(planned))
    }

    fn plan_compound_identifier(
        &self,
        field: &Field,
        qualifier: Option<&TableReference>,
        nested_names: &[String],
    ) -> Result<PlannerResult<Vec<Expr>>> {
        let mut expr = Expr::Column(Column::from((qualifier, field)));
        let mut data_type = field.data_type().clone();
        for name in nested_names {
            let DataType::Struct(fields) = &data_type else {
                return Ok(match nested_names {
                    [name] => PlannerResult::Planned(outer_names::placeholder(field, name)),
                    _ => PlannerResult::Original(Vec::new()),
                });
            };
            expr = row_field(expr, fields, name)?;
            data_type =
                named(fields, name).map_or(DataType::Null, |field| field.data_type().clone());
        }
        Ok(PlannerResult::Planned(expr))
    }
}

/// A date has no room for less than a day. Intervals that are not known yet are checked when they are.
fn refuse_hours_of_dates(left: &Expr, right: &Expr, schema: &DFSchema) -> Result<()> {
    let has_hours = |operand: &Expr| match operand {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _) => {
            intervals::has_hours(*interval)
        }
        _ => false,
    };
    let is_date = |operand: &Expr| matches!(operand.get_type(schema), Ok(DataType::Date32));
    if (is_date(left) && has_hours(right)) || (has_hours(left) && is_date(right)) {
        return plan_err!("{HOURS_OF_A_DATE}");
    }
    Ok(())
}

fn is_decimal_division(left: &DataType, right: &DataType) -> bool {
    let both =
        decimals::decimal_digits(left).is_some() && decimals::decimal_digits(right).is_some();
    both && (left.is_decimal() || right.is_decimal())
}

/// Names are folded in the statement but not in the data.
fn named<'a>(fields: &'a Fields, name: &str) -> Option<&'a Field> {
    let exact = fields.iter().find(|field| field.name() == name);
    exact
        .or_else(|| {
            fields
                .iter()
                .find(|field| field.name().to_lowercase() == name.to_lowercase())
        })
        .map(AsRef::as_ref)
}

fn row_field(row: Expr, fields: &Fields, name: &str) -> Result<Expr> {
    match named(fields, name) {
        Some(field) => Ok(get_field().call(vec![row, lit(field.name().as_str())])),
        None => {
            let known: Vec<&str> = fields.iter().map(|field| field.name().as_str()).collect();
            plan_err!("the row has no field {name}; it has {}", known.join(", "))
        }
    }
}

static DATE_DIFFERENCE: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Arc::new(function(
        &["owlet_date_difference"],
        &[Exact(&[Date, Date])],
        interval_field,
        |call| {
            let (left, right) = (
                call.arrays[0].as_primitive::<Date32Type>(),
                call.arrays[1].as_primitive::<Date32Type>(),
            );
            let values = call.values(|row| {
                Ok(Some(IntervalMonthDayNano::new(
                    0,
                    left.value(row) - right.value(row),
                    0,
                )))
            })?;
            Ok(interval_array(values))
        },
    ))
});

static INTERVAL_MULTIPLE: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Arc::new(function(
        &["owlet_interval_multiple"],
        &[Exact(&[Interval, Double])],
        interval_field,
        |call| scaled(call, |number| number),
    ))
});

static INTERVAL_QUOTIENT: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Arc::new(function(
        &["owlet_interval_quotient"],
        &[Exact(&[Interval, Double])],
        interval_field,
        |call| scaled(call, |number| 1.0 / number),
    ))
});

fn interval_array(values: Vec<Option<IntervalMonthDayNano>>) -> ArrayRef {
    Arc::new(arrow::array::IntervalMonthDayNanoArray::from(values))
}

/// Months stay whole months; days and smaller units form one length of time.
fn scaled(call: &Call<'_>, factor: fn(f64) -> f64) -> Result<ArrayRef> {
    let lengths = call.arrays[0].as_primitive::<IntervalMonthDayNanoType>();
    let numbers = call.arrays[1].as_primitive::<Float64Type>();
    let values = call.values(|row| {
        let (length, factor) = (lengths.value(row), factor(numbers.value(row)));
        let months = f64::from(length.months) * factor;
        let nanoseconds = intervals::nanoseconds_of(length) as f64 * factor;
        // NaN is not in range.
        if !(months.abs() <= f64::from(i32::MAX) && nanoseconds.is_finite()) {
            return Err(intervals::out_of_range());
        }
        intervals::of_parts(months.trunc() as i32, nanoseconds.round() as i128).map(Some)
    })?;
    Ok(interval_array(values))
}
