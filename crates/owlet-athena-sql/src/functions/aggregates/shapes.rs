//! `skewness` and `kurtosis`: the shape of a distribution by its central moments. It must never know other aggregates.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array};
use arrow::datatypes::{DataType, Float64Type};
use datafusion_common::{Result, ScalarValue, plan_err};
use datafusion_expr::AggregateUDF;

use super::super::type_names::sql_name;
use super::frame::{Collected, Definition, aggregate};

pub(super) fn functions() -> Vec<AggregateUDF> {
    vec![
        aggregate(Definition {
            name: "skewness",
            coerce: |arguments| coerce("skewness", arguments),
            return_type: |_| Ok(DataType::Float64),
            state_types: |_| Ok(vec![DataType::Float64; STATE_COLUMNS]),
            start: |_, _| Ok(Box::new(Shape::of(skewness))),
        }),
        aggregate(Definition {
            name: "kurtosis",
            coerce: |arguments| coerce("kurtosis", arguments),
            return_type: |_| Ok(DataType::Float64),
            state_types: |_| Ok(vec![DataType::Float64; STATE_COLUMNS]),
            start: |_, _| Ok(Box::new(Shape::of(kurtosis))),
        }),
    ]
}

fn coerce(name: &str, arguments: &[DataType]) -> Result<Vec<DataType>> {
    match arguments {
        [number] if number.is_numeric() || number.is_null() => Ok(vec![DataType::Float64]),
        _ => {
            let given: Vec<String> = arguments.iter().map(sql_name).collect();
            plan_err!("{name} takes a number, not ({})", given.join(", "))
        }
    }
}

/// Number of values, their mean, and the sums of the second to fourth powers of their distances from it.
const STATE_COLUMNS: usize = 5;

#[derive(Debug, Clone, Copy, PartialEq)]
struct Moments {
    count: f64,
    mean: f64,
    second: f64,
    third: f64,
    fourth: f64,
}

impl Moments {
    const NOTHING: Self = Self::of(0.0, 0.0);

    const fn of(count: f64, mean: f64) -> Self {
        Self {
            count,
            mean,
            second: 0.0,
            third: 0.0,
            fourth: 0.0,
        }
    }

    /// Of both together, by the formulas of Chan and Pébay, which lose no digits to large means.
    fn joined(self, other: Self) -> Self {
        if self.count == 0.0 {
            return other;
        }
        if other.count == 0.0 {
            return self;
        }
        let (own, others) = (self.count, other.count);
        let count = own + others;
        let distance = other.mean - self.mean;
        let step = distance / count;
        let product = own * others;
        Self {
            count,
            mean: self.mean + others * step,
            second: self.second + other.second + distance * step * product,
            third: self.third
                + other.third
                + distance * step * step * product * (own - others)
                + 3.0 * step * (own * other.second - others * self.second),
            fourth: self.fourth
                + other.fourth
                + distance * step.powi(3) * product * (own * own - product + others * others)
                + 6.0 * step * step * (own * own * other.second + others * others * self.second)
                + 4.0 * step * (own * other.third - others * self.third),
        }
    }
}

fn skewness(moments: Moments) -> Option<f64> {
    (moments.count >= 3.0).then(|| moments.count.sqrt() * moments.third / moments.second.powf(1.5))
}

fn kurtosis(moments: Moments) -> Option<f64> {
    let Moments {
        count: n,
        second,
        fourth,
        ..
    } = moments;
    let excess = 3.0 * (n - 1.0) * (n - 1.0) / ((n - 2.0) * (n - 3.0));
    let factor = (n - 1.0) * n * (n + 1.0) / ((n - 2.0) * (n - 3.0));
    (n >= 4.0).then(|| factor * fourth / (second * second) - excess)
}

#[derive(Debug)]
struct Shape {
    moments: Moments,
    result: fn(Moments) -> Option<f64>,
}

impl Shape {
    fn of(result: fn(Moments) -> Option<f64>) -> Self {
        Self {
            moments: Moments::NOTHING,
            result,
        }
    }
}

impl Collected for Shape {
    fn update(&mut self, arguments: &[ArrayRef]) -> Result<()> {
        let values = arguments[0].as_primitive::<Float64Type>();
        self.moments = values
            .iter()
            .flatten()
            .fold(self.moments, |moments, value| {
                moments.joined(Moments::of(1.0, value))
            });
        Ok(())
    }

    fn merge(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let column = |index: usize| columns[index].as_primitive::<Float64Type>();
        for row in 0..columns[0].len() {
            self.moments = self.moments.joined(Moments {
                count: column(0).value(row),
                mean: column(1).value(row),
                second: column(2).value(row),
                third: column(3).value(row),
                fourth: column(4).value(row),
            });
        }
        Ok(())
    }

    fn columns(&self) -> Result<Vec<ArrayRef>> {
        let Moments {
            count,
            mean,
            second,
            third,
            fourth,
        } = self.moments;
        let columns = [count, mean, second, third, fourth];
        Ok(columns
            .into_iter()
            .map(|value| Arc::new(Float64Array::from(vec![value])) as ArrayRef)
            .collect())
    }

    fn finish(&self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64((self.result)(self.moments)))
    }

    fn bytes(&self) -> usize {
        0
    }
}
