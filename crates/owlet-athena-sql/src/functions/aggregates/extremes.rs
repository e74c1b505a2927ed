//! `max` and `min` over REAL and DOUBLE: NaN is the greatest value whatever its sign, -0.0 is less than 0.0, and
//! infinities count. DataFusion's answers depend on the order of rows there, and on GROUP BY. Other types go to
//! DataFusion's own functions. It must never know other aggregates.

use std::cmp::Ordering;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{ArrowPrimitiveType, DataType, FieldRef, Float32Type, Float64Type};
use datafusion::functions_aggregate::min_max::{Max, Min};
use datafusion_common::{Result, ScalarValue, internal_err};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::utils::AggregateOrderSensitivity;
use datafusion_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, SetMonotonicity,
    Signature, StatisticsArgs,
};
use datafusion_functions_aggregate_common::aggregate::groups_accumulator::prim_op::PrimitiveGroupsAccumulator;

/// `max` and `min`.
pub(super) fn functions() -> Vec<AggregateUDF> {
    vec![
        AggregateUDF::new_from_impl(Extreme {
            builtin: Max::new(),
            wanted: Ordering::Greater,
        }),
        AggregateUDF::new_from_impl(Extreme {
            builtin: Min::new(),
            wanted: Ordering::Less,
        }),
    ]
}

/// DataFusion's function, except for floating-point numbers.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Extreme<F> {
    builtin: F,
    /// How a value must compare with the best so far to take its place.
    wanted: Ordering,
}

fn is_float(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float32 | DataType::Float64)
}

impl<F: AggregateUDFImpl + PartialEq + Eq + Hash> AggregateUDFImpl for Extreme<F> {
    fn name(&self) -> &str {
        self.builtin.name()
    }

    fn signature(&self) -> &Signature {
        self.builtin.signature()
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.builtin.coerce_types(arguments)
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        self.builtin.return_type(arguments)
    }

    fn state_fields(&self, arguments: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        self.builtin.state_fields(arguments)
    }

    fn accumulator(&self, arguments: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let is_float = is_float(arguments.return_field.data_type());
        let builtin = self.builtin.accumulator(arguments)?;
        Ok(if is_float { one_nan(builtin) } else { builtin })
    }

    fn create_sliding_accumulator(
        &self,
        arguments: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn Accumulator>> {
        let is_float = is_float(arguments.return_field.data_type());
        let builtin = self.builtin.create_sliding_accumulator(arguments)?;
        Ok(if is_float { one_nan(builtin) } else { builtin })
    }

    fn groups_accumulator_supported(&self, arguments: AccumulatorArgs<'_>) -> bool {
        self.builtin.groups_accumulator_supported(arguments)
    }

    fn create_groups_accumulator(
        &self,
        arguments: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        match arguments.return_field.data_type() {
            DataType::Float32 => Ok(groups::<Float32Type>(self.wanted)),
            DataType::Float64 => Ok(groups::<Float64Type>(self.wanted)),
            _ => self.builtin.create_groups_accumulator(arguments),
        }
    }

    fn is_descending(&self) -> Option<bool> {
        self.builtin.is_descending()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.builtin.order_sensitivity()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.builtin.reverse_expr()
    }

    fn value_from_stats(&self, statistics: &StatisticsArgs<'_>) -> Option<ScalarValue> {
        // Files' statistics leave NaN out and may round zeros' signs.
        if is_float(statistics.return_type) {
            return None;
        }
        self.builtin.value_from_stats(statistics)
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.builtin.set_monotonicity(data_type)
    }
}

/// A type whose total order is right once there is one NaN only.
trait Float: ArrowPrimitiveType + Send {
    /// Before every other value of this order, so that any value takes its place.
    fn start(wanted: Ordering) -> Self::Native;
    fn with_one_nan(value: Self::Native) -> Self::Native;
    fn compare(left: Self::Native, right: Self::Native) -> Ordering;
}

macro_rules! float {
    ($arrow:ty, $native:ty) => {
        impl Float for $arrow {
            fn start(wanted: Ordering) -> $native {
                // The total order has room for values beyond the one NaN: other NaNs.
                let greatest = <$native>::from_bits(<$native>::NAN.to_bits() + 1);
                match wanted {
                    Ordering::Less => greatest,
                    _ => -greatest,
                }
            }

            fn with_one_nan(value: $native) -> $native {
                if value.is_nan() {
                    <$native>::NAN
                } else {
                    value
                }
            }

            fn compare(left: $native, right: $native) -> Ordering {
                left.total_cmp(&right)
            }
        }
    };
}

float!(Float32Type, f32);
float!(Float64Type, f64);

fn groups<T: Float>(wanted: Ordering) -> Box<dyn GroupsAccumulator> {
    let accumulator = PrimitiveGroupsAccumulator::<T, _>::new(
        &T::DATA_TYPE,
        move |best: &mut T::Native, value| {
            let value = T::with_one_nan(value);
            if T::compare(value, *best) == wanted {
                *best = value;
            }
        },
    );
    Box::new(accumulator.with_starting_value(T::start(wanted)))
}

fn one_nan(inner: Box<dyn Accumulator>) -> Box<dyn Accumulator> {
    Box::new(OneNan { inner })
}

/// Shows the accumulator every NaN as the same positive one: its total order puts negative NaNs first.
#[derive(Debug)]
struct OneNan {
    inner: Box<dyn Accumulator>,
}

fn arrays_with_one_nan(arrays: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    arrays
        .iter()
        .map(|array| match array.data_type() {
            DataType::Float32 => Ok(array_with_one_nan::<Float32Type>(array)),
            DataType::Float64 => Ok(array_with_one_nan::<Float64Type>(array)),
            other => internal_err!("{other} is not a floating-point type"),
        })
        .collect()
}

fn array_with_one_nan<T: Float>(array: &ArrayRef) -> ArrayRef {
    Arc::new(array.as_primitive::<T>().unary::<_, T>(T::with_one_nan))
}

impl Accumulator for OneNan {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.update_batch(&arrays_with_one_nan(values)?)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.inner.retract_batch(&arrays_with_one_nan(values)?)
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.inner.evaluate()
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.inner.size()
    }
}
