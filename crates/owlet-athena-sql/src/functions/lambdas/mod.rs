//! Functions that take functions: `transform`, `filter`, `reduce`, `transform_values`, …, and `try`.
//! It must never know tables.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::functions_nested::array_filter::ArrayFilter;
use datafusion::functions_nested::array_transform::ArrayTransform;
use datafusion_common::{Result, internal_err, plan_err};
use datafusion_expr::{
    ColumnarValue, HigherOrderFunctionArgs, HigherOrderReturnFieldArgs, HigherOrderSignature,
    HigherOrderUDF, HigherOrderUDFImpl, LambdaParametersProgress, ValueOrLambda, Volatility,
};

use self::rows::{attempt_rows, entries_function, matches, reduce, replace_by, sort_by, zip_with};
use super::lists::{self};
use super::type_names::sql_name;
use crate::types;

mod rows;

/// Name of the function behind `TRY(expression)`; the expression is the body of a lambda whose parameter it ignores.
pub(crate) const TRY_FUNCTION: &str = "owlet_try";
/// `array_sort` with a comparison.
pub(crate) const SORT_FUNCTION: &str = "array_sort_by";
/// `regexp_replace` with a function.
pub(crate) const REPLACE_FUNCTION: &str = "regexp_replace_by";

/// All of them.
pub(crate) fn functions() -> Vec<HigherOrderUDF> {
    let own = [
        Kind::AllMatch,
        Kind::NoneMatch,
        Kind::Reduce,
        Kind::ZipWith,
        Kind::MapFilter,
        Kind::TransformKeys,
        Kind::TransformValues,
        Kind::SortBy,
        Kind::ReplaceBy,
        Kind::Try,
    ];
    let mut functions: Vec<HigherOrderUDF> = own
        .into_iter()
        .map(|kind| HigherOrderUDF::new_from_impl(LambdaFunction::new(kind)))
        .collect();
    functions
        .push(HigherOrderUDF::new_from_impl(ArrayTransform::new()).with_aliases(["transform"]));
    functions.push(HigherOrderUDF::new_from_impl(ArrayFilter::new()).with_aliases(["filter"]));
    functions
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    AllMatch,
    NoneMatch,
    Reduce,
    ZipWith,
    MapFilter,
    TransformKeys,
    TransformValues,
    SortBy,
    ReplaceBy,
    Try,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct LambdaFunction {
    kind: Kind,
    signature: HigherOrderSignature,
}

impl LambdaFunction {
    fn new(kind: Kind) -> Self {
        let (value, lambda) = (ValueOrLambda::Value(()), ValueOrLambda::Lambda(()));
        let arguments = match kind {
            Kind::Reduce => vec![value.clone(), value, lambda.clone(), lambda],
            Kind::ZipWith | Kind::ReplaceBy => vec![value.clone(), value, lambda],
            Kind::Try => vec![lambda],
            _ => vec![value, lambda],
        };
        Self {
            kind,
            signature: HigherOrderSignature::exact(arguments, Volatility::Immutable),
        }
    }

    fn wrong_arguments<T>(&self) -> Result<T> {
        plan_err!("{} does not take these arguments", self.name())
    }
}

fn unnamed(data_type: DataType) -> FieldRef {
    Arc::new(Field::new("", data_type, true))
}

fn element(field: &Field) -> Result<FieldRef> {
    Ok(unnamed(
        lists::element_field(field.data_type())?.data_type().clone(),
    ))
}

fn entry(field: &Field) -> Result<(FieldRef, FieldRef)> {
    let (key, value) = lists::entry_fields(field.data_type())?;
    Ok((
        unnamed(key.data_type().clone()),
        unnamed(value.data_type().clone()),
    ))
}

impl HigherOrderUDFImpl for LambdaFunction {
    fn name(&self) -> &str {
        match self.kind {
            Kind::AllMatch => "all_match",
            Kind::NoneMatch => "none_match",
            Kind::Reduce => "reduce",
            Kind::ZipWith => "zip_with",
            Kind::MapFilter => "map_filter",
            Kind::TransformKeys => "transform_keys",
            Kind::TransformValues => "transform_values",
            Kind::SortBy => SORT_FUNCTION,
            Kind::ReplaceBy => REPLACE_FUNCTION,
            Kind::Try => TRY_FUNCTION,
        }
    }

    fn signature(&self) -> &HigherOrderSignature {
        &self.signature
    }

    fn coerce_value_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        let list = |data_type: &DataType| match data_type {
            DataType::List(_) => Ok(data_type.clone()),
            DataType::LargeList(field) | DataType::FixedSizeList(field, _) => {
                Ok(DataType::List(Arc::clone(field)))
            }
            DataType::Null => Ok(types::list_type(DataType::Null)),
            other => plan_err!("{} takes an array, not {}", self.name(), sql_name(other)),
        };
        let map = |data_type: &DataType| match data_type {
            DataType::Map(..) => Ok(data_type.clone()),
            other => plan_err!("{} takes a map, not {}", self.name(), sql_name(other)),
        };
        match (self.kind, arguments) {
            (Kind::AllMatch | Kind::NoneMatch | Kind::SortBy, [first]) => Ok(vec![list(first)?]),
            (Kind::MapFilter | Kind::TransformKeys | Kind::TransformValues, [first]) => {
                Ok(vec![map(first)?])
            }
            (Kind::Reduce, [first, start]) => Ok(vec![list(first)?, start.clone()]),
            (Kind::ZipWith, [left, right]) => Ok(vec![list(left)?, list(right)?]),
            (Kind::ReplaceBy, [_, _]) => Ok(vec![DataType::Utf8, DataType::Utf8]),
            (Kind::Try, []) => Ok(Vec::new()),
            _ => self.wrong_arguments(),
        }
    }

    fn lambda_parameters(
        &self,
        step: usize,
        fields: &[ValueOrLambda<FieldRef, Option<FieldRef>>],
    ) -> Result<LambdaParametersProgress> {
        use ValueOrLambda::{Lambda, Value};
        let complete = |parameters| Ok(LambdaParametersProgress::Complete(parameters));
        match (self.kind, fields) {
            (Kind::AllMatch | Kind::NoneMatch, [Value(list), Lambda(_)]) => {
                complete(vec![vec![element(list)?]])
            }
            (Kind::SortBy, [Value(list), Lambda(_)]) => {
                complete(vec![vec![element(list)?, element(list)?]])
            }
            (
                Kind::MapFilter | Kind::TransformKeys | Kind::TransformValues,
                [Value(map), Lambda(_)],
            ) => {
                let (key, value) = entry(map)?;
                complete(vec![vec![key, value]])
            }
            (Kind::ZipWith, [Value(left), Value(right), Lambda(_)]) => {
                complete(vec![vec![element(left)?, element(right)?]])
            }
            (Kind::ReplaceBy, [Value(_), Value(_), Lambda(_)]) => {
                complete(vec![vec![unnamed(types::list_type(DataType::Utf8))]])
            }
            (Kind::Try, [Lambda(_)]) => complete(vec![vec![unnamed(DataType::Boolean)]]),
            (Kind::Reduce, [Value(list), Value(start), Lambda(state), Lambda(_)]) => {
                let element = element(list)?;
                let start = unnamed(start.data_type().clone());
                match (step, state) {
                    // The state's type is what the first function makes of the start value.
                    (0, None) => Ok(LambdaParametersProgress::Partial(vec![
                        Some(vec![start, element]),
                        None,
                    ])),
                    (_, Some(state)) => {
                        let state = unnamed(state.data_type().clone());
                        complete(vec![vec![Arc::clone(&state), element], vec![state]])
                    }
                    _ => complete(vec![vec![Arc::clone(&start), element], vec![start]]),
                }
            }
            _ => self.wrong_arguments(),
        }
    }

    fn coerce_values_for_lambdas(
        &self,
        fields: &[ValueOrLambda<DataType, DataType>],
    ) -> Result<Option<Vec<DataType>>> {
        match (self.kind, fields) {
            (
                Kind::Reduce,
                [
                    ValueOrLambda::Value(list),
                    ValueOrLambda::Value(_),
                    ValueOrLambda::Lambda(state),
                    _,
                ],
            ) => Ok(Some(vec![list.clone(), state.clone()])),
            _ => Ok(None),
        }
    }

    fn return_field_from_args(
        &self,
        arguments: HigherOrderReturnFieldArgs<'_>,
    ) -> Result<FieldRef> {
        use ValueOrLambda::{Lambda, Value};
        let data_type = match (self.kind, arguments.arg_fields) {
            (Kind::AllMatch | Kind::NoneMatch, _) => DataType::Boolean,
            (Kind::Reduce, [_, _, _, Lambda(result)]) | (Kind::Try, [Lambda(result)]) => {
                result.data_type().clone()
            }
            (Kind::ZipWith, [_, _, Lambda(result)]) => types::list_type(result.data_type().clone()),
            (Kind::MapFilter | Kind::SortBy, [Value(argument), _]) => argument.data_type().clone(),
            (Kind::TransformKeys, [Value(map), Lambda(result)]) => types::map_type(
                result.data_type().clone(),
                entry(map)?.1.data_type().clone(),
            ),
            (Kind::TransformValues, [Value(map), Lambda(result)]) => types::map_type(
                entry(map)?.0.data_type().clone(),
                result.data_type().clone(),
            ),
            (Kind::ReplaceBy, _) => DataType::Utf8,
            _ => return self.wrong_arguments(),
        };
        Ok(unnamed(data_type))
    }

    fn clear_null_values(&self) -> bool {
        // The ranges of NULL lists are empty to everything here.
        false
    }

    /// Only TRY may leave a part of its argument unevaluated; for that, its errors must stay inside.
    fn short_circuits(&self) -> bool {
        self.kind == Kind::Try
    }

    fn invoke_with_args(&self, arguments: HigherOrderFunctionArgs) -> Result<ColumnarValue> {
        use ValueOrLambda::{Lambda, Value};
        let rows = arguments.number_rows;
        let data_type = arguments.return_field.data_type().clone();
        let array = match (self.kind, arguments.args.as_slice()) {
            (Kind::Try, [Lambda(attempt)]) => attempt_rows(attempt, rows, &data_type)?,
            (Kind::Reduce, [Value(list), Value(start), Lambda(step), Lambda(finish)]) => {
                reduce(&list.to_array(rows)?, start.to_array(rows)?, step, finish)?
            }
            (Kind::ZipWith, [Value(left), Value(right), Lambda(lambda)]) => zip_with(
                &left.to_array(rows)?,
                &right.to_array(rows)?,
                lambda,
                &data_type,
            )?,
            (Kind::ReplaceBy, [Value(text), Value(pattern), Lambda(lambda)]) => {
                replace_by(&text.to_array(rows)?, &pattern.to_array(rows)?, lambda)?
            }
            (Kind::SortBy, [Value(list), Lambda(lambda)]) => {
                sort_by(&list.to_array(rows)?, lambda, &data_type)?
            }
            (Kind::AllMatch | Kind::NoneMatch, [Value(list), Lambda(lambda)]) => {
                matches(&list.to_array(rows)?, lambda, self.kind == Kind::AllMatch)?
            }
            (_, [Value(map), Lambda(lambda)]) => {
                entries_function(self.kind, &map.to_array(rows)?, lambda, &data_type)?
            }
            _ => return internal_err!("{}: unexpected arguments", self.name()),
        };
        Ok(ColumnarValue::Array(array))
    }
}
