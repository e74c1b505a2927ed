//! The frame of scalar functions: parameters with Athena's implicit conversions, evaluation row by row, NULL in
//! gives NULL out. It must never know a single function.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, BinaryBuilder, BooleanArray, Date32Array, Float64Array,
    Int64Array, StringArray, StringBuilder,
};
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion_common::{Result, ScalarValue, exec_err, internal_datafusion_err, plan_err};
use datafusion_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion_expr::{
    ColumnarValue, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use crate::types;

/// What a parameter takes, and what it becomes before the function sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// VARCHAR, CHAR, JSON: Utf8.
    Text,
    /// Any integer: Int64.
    Bigint,
    /// Any number: Float64.
    Double,
    /// Any number as it is; small decimals become Decimal128, half floats Float32.
    Number,
    /// VARBINARY: Binary.
    Binary,
    /// DATE.
    Date,
    /// TIMESTAMP with or without zone as it is; DATE becomes TIMESTAMP(3).
    Timestamp,
    /// DATE, TIME or TIMESTAMP as it is.
    Temporal,
    /// INTERVAL.
    Interval,
    /// ARRAY: List.
    List,
    /// MAP.
    Map,
    /// Anything.
    Any,
}

impl Kind {
    fn accept(self, data_type: &DataType) -> Option<DataType> {
        use DataType as T;
        let data_type = match data_type {
            T::Dictionary(_, value) => value.as_ref(),
            other => other,
        };
        match (self, data_type) {
            (Self::Text, T::Utf8 | T::LargeUtf8 | T::Utf8View | T::Null) => Some(T::Utf8),
            (Self::Bigint, data_type) if data_type.is_integer() || data_type.is_null() => {
                Some(T::Int64)
            }
            (Self::Double, data_type) if data_type.is_numeric() || data_type.is_null() => {
                Some(T::Float64)
            }
            (Self::Number, T::Decimal32(precision, scale) | T::Decimal64(precision, scale)) => {
                Some(T::Decimal128(*precision, *scale))
            }
            (Self::Number, T::Float16) => Some(T::Float32),
            (Self::Number, data_type) if data_type.is_numeric() || data_type.is_null() => {
                Some(data_type.clone())
            }
            (
                Self::Binary,
                T::Binary | T::LargeBinary | T::BinaryView | T::FixedSizeBinary(_) | T::Null,
            ) => Some(T::Binary),
            (Self::Date, T::Date32 | T::Date64 | T::Null) => Some(T::Date32),
            (Self::Timestamp, T::Timestamp(..)) => Some(data_type.clone()),
            (Self::Timestamp, T::Date32 | T::Date64 | T::Null) => {
                Some(T::Timestamp(TimeUnit::Millisecond, None))
            }
            (Self::Temporal, T::Timestamp(..) | T::Date32 | T::Time32(_) | T::Time64(_)) => {
                Some(data_type.clone())
            }
            (Self::Temporal, T::Date64 | T::Null) => Some(T::Date32),
            (Self::Interval, T::Interval(_) | T::Duration(_) | T::Null) => {
                Some(T::Interval(arrow::datatypes::IntervalUnit::MonthDayNano))
            }
            (Self::List, T::List(_)) => Some(data_type.clone()),
            (Self::List, T::LargeList(field) | T::FixedSizeList(field, _)) => {
                Some(T::List(Arc::clone(field)))
            }
            (Self::List, T::Null) => Some(types::list_type(T::Null)),
            (Self::Map, T::Map(..)) => Some(data_type.clone()),
            (Self::Any, _) => Some(data_type.clone()),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Text => "VARCHAR",
            Self::Bigint => "BIGINT",
            Self::Double => "DOUBLE",
            Self::Number => "number",
            Self::Binary => "VARBINARY",
            Self::Date => "DATE",
            Self::Timestamp => "TIMESTAMP",
            Self::Temporal => "DATE, TIME or TIMESTAMP",
            Self::Interval => "INTERVAL",
            Self::List => "ARRAY",
            Self::Map => "MAP",
            Self::Any => "any type",
        }
    }
}

/// One way to call a function.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Overload {
    /// Exactly these parameters.
    Exact(&'static [Kind]),
    /// These parameters, the last one any number of times (at least once).
    Variadic(&'static [Kind]),
}

impl Overload {
    fn accept(self, arguments: &[DataType]) -> Option<Vec<DataType>> {
        let (kinds, extra) = match self {
            Self::Exact(kinds) => (kinds, 0),
            Self::Variadic(kinds) => (kinds, arguments.len().saturating_sub(kinds.len())),
        };
        if arguments.len() != kinds.len() + extra {
            return None;
        }
        let repeated = kinds.last().into_iter().cycle().take(extra);
        kinds
            .iter()
            .chain(repeated)
            .zip(arguments)
            .map(|(kind, argument)| kind.accept(argument))
            .collect()
    }

    fn describe(self) -> String {
        let (kinds, dots) = match self {
            Self::Exact(kinds) => (kinds, ""),
            Self::Variadic(kinds) => (kinds, ", …"),
        };
        let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
        format!("({}{dots})", names.join(", "))
    }
}

/// The types of a call when its result type is asked for.
#[derive(Debug)]
pub(crate) struct CallTypes<'a> {
    /// Name the function was called by.
    pub(crate) name: &'a str,
    /// Argument types after conversion.
    pub(crate) types: Vec<DataType>,
    scalars: &'a [Option<&'a ScalarValue>],
}

impl CallTypes<'_> {
    /// The text of an argument that is a literal.
    pub(crate) fn literal_text(&self, index: usize) -> Option<&str> {
        match self.scalars.get(index)?.as_ref()? {
            ScalarValue::Utf8(text)
            | ScalarValue::LargeUtf8(text)
            | ScalarValue::Utf8View(text) => text.as_deref(),
            _ => None,
        }
    }
}

/// The arguments of a call while it runs; all arrays have the same length.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    /// Name of the function, for errors.
    pub(crate) name: &'a str,
    /// Arguments after conversion.
    pub(crate) arrays: Vec<ArrayRef>,
    /// Fields of the arguments, for their metadata.
    pub(crate) fields: &'a [FieldRef],
    /// Number of rows.
    pub(crate) rows: usize,
    /// The type promised for the result.
    pub(crate) return_type: &'a DataType,
}

impl Call<'_> {
    fn downcast<T: 'static>(&self, index: usize) -> Result<&T> {
        self.arrays
            .get(index)
            .and_then(|array| array.as_any().downcast_ref::<T>())
            .ok_or_else(|| {
                internal_datafusion_err!("{}: argument {index} has an unexpected type", self.name)
            })
    }

    pub(crate) fn texts(&self, index: usize) -> Result<&StringArray> {
        self.downcast(index)
    }

    pub(crate) fn bigints(&self, index: usize) -> Result<&Int64Array> {
        self.downcast(index)
    }

    pub(crate) fn doubles(&self, index: usize) -> Result<&Float64Array> {
        self.downcast(index)
    }

    pub(crate) fn binaries(&self, index: usize) -> Result<&BinaryArray> {
        self.downcast(index)
    }

    /// True if any argument is NULL in this row.
    pub(crate) fn has_null(&self, row: usize) -> bool {
        self.arrays.iter().any(|array| array.is_null(row))
    }

    /// One optional value per row; rows with a NULL argument are NULL.
    pub(crate) fn values<T>(
        &self,
        mut value: impl FnMut(usize) -> Result<Option<T>>,
    ) -> Result<Vec<Option<T>>> {
        (0..self.rows)
            .map(|row| {
                if self.has_null(row) {
                    Ok(None)
                } else {
                    value(row)
                }
            })
            .collect()
    }

    pub(crate) fn text(
        &self,
        mut value: impl FnMut(usize) -> Result<Option<String>>,
    ) -> Result<ArrayRef> {
        let mut builder = StringBuilder::with_capacity(self.rows, self.rows * 8);
        for row in 0..self.rows {
            match self.has_null(row) {
                true => builder.append_null(),
                false => builder.append_option(value(row)?),
            }
        }
        Ok(Arc::new(builder.finish()))
    }

    pub(crate) fn binary(
        &self,
        mut value: impl FnMut(usize) -> Result<Option<Vec<u8>>>,
    ) -> Result<ArrayRef> {
        let mut builder = BinaryBuilder::new();
        for row in 0..self.rows {
            match self.has_null(row) {
                true => builder.append_null(),
                false => builder.append_option(value(row)?),
            }
        }
        Ok(Arc::new(builder.finish()))
    }

    pub(crate) fn bigint(
        &self,
        value: impl FnMut(usize) -> Result<Option<i64>>,
    ) -> Result<ArrayRef> {
        Ok(Arc::new(Int64Array::from(self.values(value)?)))
    }

    pub(crate) fn double(
        &self,
        value: impl FnMut(usize) -> Result<Option<f64>>,
    ) -> Result<ArrayRef> {
        Ok(Arc::new(Float64Array::from(self.values(value)?)))
    }

    pub(crate) fn boolean(
        &self,
        value: impl FnMut(usize) -> Result<Option<bool>>,
    ) -> Result<ArrayRef> {
        Ok(Arc::new(BooleanArray::from(self.values(value)?)))
    }

    pub(crate) fn date(&self, value: impl FnMut(usize) -> Result<Option<i32>>) -> Result<ArrayRef> {
        Ok(Arc::new(Date32Array::from(self.values(value)?)))
    }
}

type ReturnField = fn(&CallTypes<'_>) -> Result<Field>;
type Evaluate = fn(&Call<'_>) -> Result<ArrayRef>;
/// Another form of a call that optimizer and sources know, given the type of its first argument.
type Plainer = fn(&[Expr], &DataType) -> Option<Expr>;

/// A scalar function as plain data: names, parameters, result type, code.
#[derive(Debug)]
pub(crate) struct Definition {
    names: &'static [&'static str],
    aliases: Vec<String>,
    overloads: &'static [Overload],
    return_field: ReturnField,
    evaluate: Evaluate,
    plainer: Option<Plainer>,
    signature: Signature,
}

/// A function with a fixed or computed result type. The first name is its own, the others are aliases.
pub(crate) fn function(
    names: &'static [&'static str],
    overloads: &'static [Overload],
    return_field: ReturnField,
    evaluate: Evaluate,
) -> ScalarUDF {
    function_with(
        Volatility::Immutable,
        names,
        overloads,
        return_field,
        evaluate,
    )
}

/// [`function`] with another volatility.
pub(crate) fn function_with(
    volatility: Volatility,
    names: &'static [&'static str],
    overloads: &'static [Overload],
    return_field: ReturnField,
    evaluate: Evaluate,
) -> ScalarUDF {
    let takes_nothing = overloads
        .iter()
        .any(|overload| matches!(overload, Overload::Exact([])));
    let signature = match takes_nothing {
        true => Signature::one_of(
            vec![
                datafusion_expr::TypeSignature::Nullary,
                datafusion_expr::TypeSignature::UserDefined,
            ],
            volatility,
        ),
        false => Signature::user_defined(volatility),
    };
    ScalarUDF::new_from_impl(Definition {
        names,
        aliases: names
            .iter()
            .skip(1)
            .map(|name| (*name).to_owned())
            .collect(),
        overloads,
        return_field,
        evaluate,
        plainer: None,
        signature,
    })
}

/// A [`function`] whose calls can often be written with DataFusion's own functions.
pub(crate) fn function_with_plainer_form(
    names: &'static [&'static str],
    overloads: &'static [Overload],
    return_field: ReturnField,
    evaluate: Evaluate,
    plainer: Plainer,
) -> ScalarUDF {
    ScalarUDF::new_from_impl(Definition {
        names,
        aliases: names
            .iter()
            .skip(1)
            .map(|name| (*name).to_owned())
            .collect(),
        overloads,
        return_field,
        evaluate,
        plainer: Some(plainer),
        signature: Signature::user_defined(Volatility::Immutable),
    })
}

/// Result types that do not depend on the arguments.
pub(crate) mod returns {
    use arrow::datatypes::{DataType, Field};
    use datafusion_common::Result;

    use super::CallTypes;
    use crate::types;

    fn field(data_type: DataType) -> Result<Field> {
        Ok(Field::new("", data_type, true))
    }

    pub(crate) fn text(_: &CallTypes<'_>) -> Result<Field> {
        field(DataType::Utf8)
    }

    pub(crate) fn bigint(_: &CallTypes<'_>) -> Result<Field> {
        field(DataType::Int64)
    }

    pub(crate) fn double(_: &CallTypes<'_>) -> Result<Field> {
        field(DataType::Float64)
    }

    pub(crate) fn boolean(_: &CallTypes<'_>) -> Result<Field> {
        field(DataType::Boolean)
    }

    pub(crate) fn binary(_: &CallTypes<'_>) -> Result<Field> {
        field(DataType::Binary)
    }

    pub(crate) fn date(_: &CallTypes<'_>) -> Result<Field> {
        field(DataType::Date32)
    }

    pub(crate) fn json(_: &CallTypes<'_>) -> Result<Field> {
        Ok(types::json_field(""))
    }

    pub(crate) fn texts(_: &CallTypes<'_>) -> Result<Field> {
        field(types::list_type(DataType::Utf8))
    }

    pub(crate) fn bigints(_: &CallTypes<'_>) -> Result<Field> {
        field(types::list_type(DataType::Int64))
    }

    /// The type of the first argument.
    pub(crate) fn first(call: &CallTypes<'_>) -> Result<Field> {
        field(call.types.first().cloned().unwrap_or(DataType::Null))
    }
}

impl PartialEq for Definition {
    fn eq(&self, other: &Self) -> bool {
        self.names == other.names
    }
}

impl Eq for Definition {}

impl Hash for Definition {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.names.hash(state);
    }
}

impl Definition {
    fn own_name(&self) -> &'static str {
        self.names.first().copied().unwrap_or_default()
    }
}

impl ScalarUDFImpl for Definition {
    fn name(&self) -> &str {
        self.own_name()
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        if let Some(types) = self
            .overloads
            .iter()
            .find_map(|overload| overload.accept(arguments))
        {
            return Ok(types);
        }
        let known: Vec<String> = self
            .overloads
            .iter()
            .map(|overload| overload.describe())
            .collect();
        let given: Vec<String> = arguments.iter().map(super::type_names::sql_name).collect();
        let name = self.own_name();
        plan_err!(
            "{name} does not take ({}); it takes {}",
            given.join(", "),
            known.join(" or ")
        )
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let fields: Vec<FieldRef> = arguments
            .iter()
            .map(|data_type| Arc::new(Field::new("", data_type.clone(), true)))
            .collect();
        let scalars = vec![None; arguments.len()];
        let field = self.return_field_from_args(ReturnFieldArgs {
            arg_fields: &fields,
            scalar_arguments: &scalars,
        })?;
        Ok(field.data_type().clone())
    }

    fn return_field_from_args(&self, arguments: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let call = CallTypes {
            name: self.own_name(),
            types: arguments
                .arg_fields
                .iter()
                .map(|field| field.data_type().clone())
                .collect(),
            scalars: arguments.scalar_arguments,
        };
        Ok(Arc::new(
            (self.return_field)(&call)?.with_name(self.own_name()),
        ))
    }

    fn simplify(
        &self,
        arguments: Vec<Expr>,
        context: &SimplifyContext,
    ) -> Result<ExprSimplifyResult> {
        let plainer = match (self.plainer, arguments.first()) {
            (Some(plainer), Some(first)) => plainer(&arguments, &context.get_data_type(first)?),
            _ => None,
        };
        Ok(match plainer {
            Some(expr) => ExprSimplifyResult::Simplified(expr),
            None => ExprSimplifyResult::Original(arguments),
        })
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let ScalarFunctionArgs {
            args,
            arg_fields,
            number_rows,
            return_field,
            ..
        } = arguments;
        let immutable = self.signature.volatility != Volatility::Volatile;
        let all_scalar = immutable
            && args
                .iter()
                .all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
        let rows = if all_scalar { 1 } else { number_rows };
        let arrays = args
            .into_iter()
            .map(|argument| argument.into_array(rows))
            .collect::<Result<_>>()?;
        let call = Call {
            name: self.own_name(),
            arrays,
            fields: &arg_fields,
            rows,
            return_type: return_field.data_type(),
        };
        let result = (self.evaluate)(&call)?;
        if result.len() != rows {
            return exec_err!(
                "{}: {} results for {rows} rows",
                self.own_name(),
                result.len()
            );
        }
        match all_scalar {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &result, 0,
            )?)),
            false => Ok(ColumnarValue::Array(result)),
        }
    }
}
