//! `approx_percentile`. It must never know other aggregates.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array};
use arrow::datatypes::{DataType, Field, Float64Type};
use datafusion_common::{Result, ScalarValue, exec_err, plan_err};
use datafusion_expr::AggregateUDF;

use super::super::conversion::{self, OnError};
use super::super::type_names::sql_name;
use super::digest::Digest;
use super::frame::{self, Collected, Definition, aggregate};
use crate::functions::conversion::cast;
use crate::types;

pub(super) fn functions() -> Vec<AggregateUDF> {
    vec![aggregate(Definition {
        name: "approx_percentile",
        coerce,
        return_type: |arguments| {
            Ok(match arguments.last() {
                Some(DataType::List(_)) => types::list_type(arguments[0].clone()),
                _ => arguments[0].clone(),
            })
        },
        state_types: |_| Ok(vec![DataType::Float64; 3]),
        start: |arguments, result| {
            Ok(Box::new(Percentiles {
                value_type: arguments[0].clone(),
                result: result.clone(),
                weighted: arguments.len() == 3,
                percentages: None,
                digest: Digest::default(),
            }))
        },
    })]
}

/// (x, percentage), (x, percentages), (x, weight, percentage), (x, weight, percentages).
fn coerce(arguments: &[DataType]) -> Result<Vec<DataType>> {
    let wrong = || {
        let given: Vec<String> = arguments.iter().map(sql_name).collect();
        plan_err!(
            "approx_percentile takes a number, optionally a weight, and a percentage or an array of them, not ({})",
            given.join(", ")
        )
    };
    let percentage = match arguments.last() {
        Some(DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..)) => {
            types::list_type(DataType::Float64)
        }
        Some(number) if number.is_numeric() => DataType::Float64,
        _ => return wrong(),
    };
    match arguments {
        [value, _] if value.is_numeric() => Ok(vec![value.clone(), percentage]),
        [value, weight, _] if value.is_numeric() && weight.is_numeric() => {
            Ok(vec![value.clone(), DataType::Float64, percentage])
        }
        _ => wrong(),
    }
}

#[derive(Debug)]
struct Percentiles {
    value_type: DataType,
    result: DataType,
    weighted: bool,
    /// Constant over the rows; the first row tells.
    percentages: Option<Vec<f64>>,
    digest: Digest,
}

impl Percentiles {
    fn take_percentages(&mut self, percentages: &ArrayRef) -> Result<()> {
        if self.percentages.is_some() || percentages.is_empty() || percentages.is_null(0) {
            return Ok(());
        }
        let list = match percentages.as_list_opt::<i32>() {
            Some(lists) => lists.value(0),
            None => percentages.slice(0, 1),
        };
        let list = cast(&list, &DataType::Float64)?;
        let list: Vec<f64> = list
            .as_primitive::<Float64Type>()
            .iter()
            .flatten()
            .collect();
        if list
            .iter()
            .any(|percentage| !(0.0..=1.0).contains(percentage))
        {
            return exec_err!("approx_percentile: a percentage must be between 0 and 1");
        }
        self.percentages = Some(list);
        Ok(())
    }
}

impl Collected for Percentiles {
    fn update(&mut self, arguments: &[ArrayRef]) -> Result<()> {
        let Some(percentages) = arguments.last() else {
            return exec_err!("approx_percentile takes arguments");
        };
        self.take_percentages(percentages)?;
        let values = cast(&arguments[0], &DataType::Float64)?;
        let values = values.as_primitive::<Float64Type>();
        if !self.weighted {
            values
                .iter()
                .flatten()
                .for_each(|value| self.digest.add(value, 1.0));
            return Ok(());
        }
        let weights = arguments[1].as_primitive::<Float64Type>();
        for (value, weight) in values.iter().zip(weights) {
            if let (Some(value), Some(weight)) = (value, weight) {
                if weight < 0.0 {
                    return exec_err!("approx_percentile: a weight is negative");
                }
                self.digest.add(value, weight);
            }
        }
        Ok(())
    }

    fn merge(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let numbers = |index: usize| columns[index].as_primitive::<Float64Type>();
        if self.percentages.is_none() && !columns[2].is_empty() {
            self.percentages = Some(numbers(2).iter().flatten().collect());
        }
        for (mean, weight) in numbers(0).iter().zip(numbers(1)) {
            self.digest
                .add(mean.unwrap_or(f64::NAN), weight.unwrap_or(0.0));
        }
        Ok(())
    }

    fn columns(&self) -> Result<Vec<ArrayRef>> {
        let numbers = |numbers: Vec<f64>| Arc::new(Float64Array::from(numbers)) as ArrayRef;
        let centroids = self.digest.centroids();
        Ok(vec![
            numbers(centroids.iter().map(|centroid| centroid.mean).collect()),
            numbers(centroids.iter().map(|centroid| centroid.weight).collect()),
            numbers(self.percentages.clone().unwrap_or_default()),
        ])
    }

    fn finish(&self) -> Result<ScalarValue> {
        let Some(percentages) = self
            .percentages
            .as_ref()
            .filter(|_| !self.digest.is_empty())
        else {
            return ScalarValue::try_from(&self.result);
        };
        let mut digest = self.digest.clone();
        let quantiles = percentages
            .iter()
            .map(|percentage| digest.quantile(*percentage));
        let quantiles: ArrayRef = Arc::new(Float64Array::from_iter(quantiles));
        let (source, target) = (
            Field::new("", DataType::Float64, true),
            Field::new("", self.value_type.clone(), true),
        );
        let quantiles = conversion::convert(&quantiles, &source, &target, OnError::Fail)?;
        match &self.result {
            DataType::List(_) => frame::list_scalar(quantiles),
            _ => ScalarValue::try_from_array(&quantiles, 0),
        }
    }

    fn bytes(&self) -> usize {
        std::mem::size_of_val(self.digest.centroids())
    }
}
