//! `CAST` and `TRY_CAST` as Athena does them where Arrow does them differently: texts of numbers, times and
//! intervals, texts read as timestamps, rounding, rows by position, JSON. It must never know tables.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options, concat};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Float32Type, Float64Type, TimeUnit};
use arrow::error::ArrowError;
use chrono::NaiveTime;
use datafusion_common::{Result, exec_datafusion_err, plan_err};
use datafusion_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

pub(crate) use self::print::BYTES_AS_TEXT;
use self::print::to_varchar;
use super::json;
use super::moments::{self, Moments};
use super::type_names::sql_name;
use crate::intervals::{INTERVAL, canonical_array};
use crate::types::{self};

pub(super) mod print;
pub(super) mod read;

/// What a value that cannot be converted becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum OnError {
    /// The query fails: CAST.
    Fail,
    /// NULL: TRY_CAST.
    Null,
}

/// `CAST(expr AS target)` by Athena's rules.
pub(crate) fn cast_expression(expr: Expr, target: &FieldRef, on_error: OnError) -> Expr {
    let function = CastFunction {
        target: Arc::new(target.as_ref().clone().with_name("").with_nullable(true)),
        on_error,
        signature: Signature::any(1, Volatility::Immutable),
    };
    ScalarUDF::new_from_impl(function).call(vec![expr])
}

/// What is cast, if the expression is a `CAST` made by [`cast_expression`].
pub(crate) fn cast_operand(expr: &Expr) -> Option<&Expr> {
    let Expr::ScalarFunction(call) = expr else {
        return None;
    };
    let function = call.func.inner().downcast_ref::<CastFunction>()?;
    match (function.on_error, call.args.as_slice()) {
        (OnError::Fail, [operand]) => Some(operand),
        _ => None,
    }
}

/// True if Arrow's cast gives another answer than Athena's.
pub(crate) fn differs(source: &Field, target: &Field, on_error: OnError) -> bool {
    if types::is_json(source) || types::is_json(target) {
        return types::is_json(source) != types::is_json(target) && !source.data_type().is_null();
    }
    // Arrow makes NULLs of the elements that cannot be cast, Athena of the whole array.
    let partial = on_error == OnError::Null && source.data_type().is_nested();
    (partial && source.data_type() != target.data_type())
        || type_differs(source.data_type(), target.data_type())
}

fn type_differs(source: &DataType, target: &DataType) -> bool {
    use DataType as T;
    match (source, target) {
        (source, target) if source == target => false,
        (T::Dictionary(_, value), target) => type_differs(value, target),
        (
            T::Float16
            | T::Float32
            | T::Float64
            | T::Timestamp(..)
            | T::Time32(_)
            | T::Time64(_)
            | T::Interval(_)
            | T::Duration(_)
            | T::List(_)
            | T::LargeList(_),
            T::Utf8 | T::LargeUtf8 | T::Utf8View,
        ) => true,
        (
            T::Utf8 | T::LargeUtf8 | T::Utf8View,
            T::Timestamp(..) | T::Date32 | T::Time32(_) | T::Time64(_),
        ) => true,
        (
            T::Utf8 | T::LargeUtf8 | T::Utf8View | T::Interval(_) | T::Duration(_),
            T::Interval(_),
        ) => true,
        (T::Date32, T::Timestamp(_, Some(zone))) => zone.as_ref() != types::SESSION_ZONE,
        (T::Timestamp(..), T::Timestamp(..) | T::Date32 | T::Time32(_) | T::Time64(_)) => true,
        (source, target) if source.is_floating() || source.is_decimal() => target.is_integer(),
        (T::List(source), T::List(target)) => type_differs(source.data_type(), target.data_type()),
        (T::Struct(_), T::Struct(_)) => true,
        (T::Map(source, _), T::Map(target, _)) => match (source.data_type(), target.data_type()) {
            (T::Struct(source), T::Struct(target)) => source
                .iter()
                .zip(target)
                .any(|(source, target)| type_differs(source.data_type(), target.data_type())),
            _ => false,
        },
        _ => false,
    }
}

/// The function behind [`cast_expression`].
#[derive(Debug)]
struct CastFunction {
    target: FieldRef,
    on_error: OnError,
    signature: Signature,
}

impl PartialEq for CastFunction {
    fn eq(&self, other: &Self) -> bool {
        self.target == other.target && self.on_error == other.on_error
    }
}

impl Eq for CastFunction {}

impl Hash for CastFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.target.hash(state);
        self.on_error.hash(state);
    }
}

impl ScalarUDFImpl for CastFunction {
    fn name(&self) -> &str {
        match self.on_error {
            OnError::Fail => "owlet_cast",
            OnError::Null => "owlet_try_cast",
        }
    }

    fn schema_name(&self, arguments: &[Expr]) -> Result<String> {
        let target = match types::is_json(&self.target) {
            true => "json".to_owned(),
            false => sql_name(self.target.data_type()),
        };
        let arguments: Vec<String> = arguments
            .iter()
            .map(|argument| argument.schema_name().to_string())
            .collect();
        Ok(format!(
            "{}({} as {target})",
            self.name(),
            arguments.join(", ")
        ))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.target.data_type().clone())
    }

    fn return_field_from_args(&self, _arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::clone(&self.target))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let source = arguments.arg_fields.first().map_or_else(
            || Arc::new(Field::new("", DataType::Null, true)),
            Arc::clone,
        );
        match arguments.args.into_iter().next() {
            None => plan_err!("{} takes one argument", self.name()),
            Some(ColumnarValue::Array(array)) => Ok(ColumnarValue::Array(convert(
                &array,
                &source,
                &self.target,
                self.on_error,
            )?)),
            Some(ColumnarValue::Scalar(scalar)) => {
                let converted = convert(&scalar.to_array()?, &source, &self.target, self.on_error)?;
                Ok(ColumnarValue::Scalar(
                    datafusion_common::ScalarValue::try_from_array(&converted, 0)?,
                ))
            }
        }
    }
}

/// Converts a column by Athena's rules.
pub(crate) fn convert(
    array: &ArrayRef,
    source: &Field,
    target: &Field,
    on_error: OnError,
) -> Result<ArrayRef> {
    use DataType as T;
    if array.data_type().is_null() {
        return Ok(new_null_array(target.data_type(), array.len()));
    }
    if let T::Dictionary(_, value) = array.data_type() {
        let plain = cast(array, value)?;
        return convert(
            &plain,
            &source.clone().with_data_type(value.as_ref().clone()),
            target,
            on_error,
        );
    }
    if types::is_json(source) != types::is_json(target) {
        return rowwise(array, target, on_error, |array| {
            match types::is_json(source) {
                true => json::from_json(array, target.data_type()),
                false => json::to_json(array, source),
            }
        });
    }
    match (array.data_type(), target.data_type()) {
        (source, target) if source == target => Ok(Arc::clone(array)),
        (T::Utf8 | T::LargeUtf8 | T::Utf8View, T::Timestamp(unit, zone)) => {
            read::timestamps(array, *unit, zone.as_ref(), on_error)
        }
        (T::Utf8 | T::LargeUtf8 | T::Utf8View, T::Date32) => read::dates(array, on_error),
        (T::Utf8 | T::LargeUtf8 | T::Utf8View, target @ (T::Time32(_) | T::Time64(_))) => {
            read::times(array, target, on_error)
        }
        (_, target @ (T::Utf8 | T::LargeUtf8 | T::Utf8View)) => {
            let texts = to_varchar(array, on_error)?;
            Ok(if target == &T::Utf8 {
                texts
            } else {
                cast(&texts, target)?
            })
        }
        (T::Timestamp(..), T::Timestamp(..) | T::Date32 | T::Time32(_) | T::Time64(_))
        | (T::Date32, T::Timestamp(_, Some(_))) => moments_to_moments(array, target.data_type()),
        (source, target)
            if (source.is_floating() || source.is_decimal()) && target.is_integer() =>
        {
            round_to_integers(array, target, on_error)
        }
        (T::Interval(_) | T::Duration(_), target) if *target == INTERVAL => canonical_array(array),
        (_, target) if *target == INTERVAL => {
            canonical_array(&cast_with_options(array, target, &options(on_error))?)
        }
        (T::List(_), T::List(_)) | (T::Struct(_), T::Struct(_)) | (T::Map(..), T::Map(..)) => {
            rowwise(array, target, on_error, |array| {
                nested(array, target.data_type())
            })
        }
        (_, target) => Ok(cast_with_options(array, target, &options(on_error))?),
    }
}

/// Arrow's cast, without its habit of making NULL of values that do not fit.
pub(crate) fn cast(array: &dyn Array, target: &DataType) -> Result<ArrayRef, ArrowError> {
    cast_with_options(array, target, &options(OnError::Fail))
}

fn options(on_error: OnError) -> CastOptions<'static> {
    CastOptions {
        safe: on_error == OnError::Null,
        ..CastOptions::default()
    }
}

/// Converts all rows at once; if that fails and errors shall be NULL, row by row.
fn rowwise(
    array: &ArrayRef,
    target: &Field,
    on_error: OnError,
    convert: impl Fn(&ArrayRef) -> Result<ArrayRef>,
) -> Result<ArrayRef> {
    match convert(array) {
        Err(_) if on_error == OnError::Null => {
            let null = new_null_array(target.data_type(), 1);
            let rows: Vec<ArrayRef> = (0..array.len())
                .map(|row| convert(&array.slice(row, 1)).unwrap_or_else(|_| Arc::clone(&null)))
                .collect();
            let rows: Vec<&dyn Array> = rows.iter().map(AsRef::as_ref).collect();
            Ok(concat(&rows)?)
        }
        result => result,
    }
}

fn nested(array: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    match target {
        DataType::List(element) => {
            let lists = array.as_list::<i32>();
            let source = Field::new("", lists.value_type(), true);
            let values = convert(lists.values(), &source, element, OnError::Fail)?;
            let field = Arc::new(element.as_ref().clone().with_nullable(true));
            Ok(Arc::new(ListArray::try_new(
                field,
                lists.offsets().clone(),
                values,
                lists.nulls().cloned(),
            )?))
        }
        DataType::Struct(fields) => Ok(Arc::new(row_to_row(array.as_struct(), fields)?)),
        DataType::Map(entries, sorted) => {
            let maps = array.as_map();
            let DataType::Struct(fields) = entries.data_type() else {
                return plan_err!("a map without entries");
            };
            let converted = row_to_row(maps.entries(), fields)?;
            Ok(Arc::new(MapArray::try_new(
                Arc::clone(entries),
                maps.offsets().clone(),
                converted,
                maps.nulls().cloned(),
                *sorted,
            )?))
        }
        other => plan_err!("{other} has no parts"),
    }
}

/// ROW to ROW goes by position; names do not matter.
fn row_to_row(rows: &StructArray, fields: &Fields) -> Result<StructArray> {
    if rows.num_columns() != fields.len() {
        return plan_err!(
            "a row of {} fields cannot become a row of {}",
            rows.num_columns(),
            fields.len()
        );
    }
    let columns = rows.columns().iter().zip(rows.fields()).zip(fields);
    let columns: Vec<ArrayRef> = columns
        .map(|((column, source), target)| convert(column, source, target, OnError::Fail))
        .collect::<Result<_>>()?;
    Ok(StructArray::try_new(
        fields.clone(),
        columns,
        rows.nulls().cloned(),
    )?)
}

/// Timestamps in another precision or zone, as dates and as times, and dates as timestamps. What a clock in the source's
/// zone shows counts; values without a zone are of the session's, which is UTC.
fn moments_to_moments(array: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    let moments = Moments::try_new(array)?;
    let value = |row: usize| -> Result<Option<i64>> {
        if moments.is_null(row) {
            return Ok(None);
        }
        Ok(Some(match target {
            DataType::Timestamp(unit, Some(_)) if moments.zone().is_some() => {
                rescale(moments.raw(row), moments.unit(), *unit)?
            }
            DataType::Timestamp(unit, _) => moments::raw_timestamp(moments.local(row)?, *unit)?,
            DataType::Date32 => moments::days_from_date(moments.local(row)?.date()),
            DataType::Time32(unit) | DataType::Time64(unit) => {
                let time = moments
                    .local(row)?
                    .time()
                    .signed_duration_since(NaiveTime::MIN);
                let step = 1_000_000_000 / moments::per_second(*unit);
                (time.num_nanoseconds().unwrap_or(0) + step / 2) / step
                    % (86_400_000_000_000 / step)
            }
            other => return plan_err!("a timestamp cannot be cast to {}", sql_name(other)),
        }))
    };
    let values = (0..array.len()).map(value).collect::<Result<Vec<_>>>()?;
    moments::array_of(values, target)
}

/// Units since the epoch in another unit, rounded half up.
fn rescale(raw: i64, from: TimeUnit, to: TimeUnit) -> Result<i64> {
    let (from, to) = (moments::per_second(from), moments::per_second(to));
    if to >= from {
        return raw
            .checked_mul(to / from)
            .ok_or_else(|| exec_datafusion_err!("timestamp out of range"));
    }
    let step = from / to;
    Ok(raw.div_euclid(step) + i64::from(raw.rem_euclid(step) * 2 >= step))
}

/// Rounds half away from zero, as Athena does; Arrow cuts the fraction off.
fn round_to_integers(array: &ArrayRef, target: &DataType, on_error: OnError) -> Result<ArrayRef> {
    let rounded: ArrayRef = match array.data_type() {
        DataType::Float32 => Arc::new(
            array
                .as_primitive::<Float32Type>()
                .unary::<_, Float32Type>(f32::round),
        ),
        DataType::Float64 => Arc::new(
            array
                .as_primitive::<Float64Type>()
                .unary::<_, Float64Type>(f64::round),
        ),
        DataType::Decimal128(precision, scale) if *scale > 0 => {
            // Rounding can carry into one more digit.
            let precision = precision
                .saturating_sub(u8::try_from(*scale).unwrap_or(0))
                .saturating_add(1)
                .min(38);
            cast_with_options(
                array,
                &DataType::Decimal128(precision, 0),
                &options(on_error),
            )?
        }
        _ => Arc::clone(array),
    };
    Ok(cast_with_options(&rounded, target, &options(on_error))?)
}
