//! `sum` and `avg` over BIGINT and DECIMAL, exact: totals are kept in 128 bits, and a result that does not fit its
//! type is an error, never a wrapped number. Other types go to DataFusion's own functions.
//! It must never know other aggregates.

use std::collections::HashSet;
use std::fmt::Debug;
use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Int64Array, ListArray, PrimitiveArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, Field, FieldRef, Int64Type,
};
use datafusion::functions_aggregate::average::Avg;
use datafusion::functions_aggregate::sum::Sum;
use datafusion_common::{Result, ScalarValue, exec_datafusion_err, exec_err, internal_err};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature,
};

/// `sum` and `avg`.
pub(super) fn functions() -> Vec<AggregateUDF> {
    vec![
        AggregateUDF::new_from_impl(Exact {
            builtin: Sum::new(),
            goal: Goal::Sum,
        }),
        AggregateUDF::new_from_impl(Exact {
            builtin: Avg::new(),
            goal: Goal::Average,
        }),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Goal {
    Sum,
    Average,
}

/// DataFusion's function, except for the types that are totalled here.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Exact<F> {
    builtin: F,
    goal: Goal,
}

/// The result type over an input type that is totalled here.
fn result_type(goal: Goal, input: &DataType) -> Option<DataType> {
    match (goal, input) {
        (Goal::Sum, DataType::Int64) => Some(DataType::Int64),
        (Goal::Sum, DataType::Decimal128(_, scale)) => {
            Some(DataType::Decimal128(DECIMAL128_MAX_PRECISION, *scale))
        }
        // Athena keeps the input's digits.
        (Goal::Average, DataType::Decimal128(..)) => Some(input.clone()),
        _ => None,
    }
}

impl<F: AggregateUDFImpl + PartialEq + Eq + std::hash::Hash> Exact<F> {
    fn is_total(&self, inputs: &[FieldRef]) -> bool {
        inputs
            .first()
            .is_some_and(|input| result_type(self.goal, input.data_type()).is_some())
    }

    fn finish(&self, arguments: &AccumulatorArgs<'_>) -> Finish {
        Finish {
            goal: self.goal,
            data_type: arguments.return_field.data_type().clone(),
        }
    }
}

impl<F: AggregateUDFImpl + PartialEq + Eq + std::hash::Hash> AggregateUDFImpl for Exact<F> {
    fn name(&self) -> &str {
        self.builtin.name()
    }

    fn aliases(&self) -> &[String] {
        self.builtin.aliases()
    }

    fn signature(&self) -> &Signature {
        self.builtin.signature()
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        self.builtin.coerce_types(arguments)
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments
            .first()
            .and_then(|input| result_type(self.goal, input))
        {
            Some(data_type) => Ok(data_type),
            None => self.builtin.return_type(arguments),
        }
    }

    fn state_fields(&self, arguments: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        if !self.is_total(arguments.input_fields) {
            return self.builtin.state_fields(arguments);
        }
        let field = |name: &str, data_type: DataType| {
            Arc::new(Field::new(
                format_state_name(arguments.name, name),
                data_type,
                true,
            ))
        };
        Ok(match arguments.is_distinct {
            true => vec![field("values", crate::types::list_type(TOTAL_TYPE))],
            false => vec![field("total", TOTAL_TYPE), field("count", DataType::Int64)],
        })
    }

    fn accumulator(&self, arguments: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if !self.is_total(arguments.expr_fields) {
            return self.builtin.accumulator(arguments);
        }
        let finish = self.finish(&arguments);
        Ok(match arguments.is_distinct {
            true => Box::new(DistinctTotal {
                values: HashSet::new(),
                finish,
            }),
            false => Box::new(RunningTotal {
                total: Total::default(),
                finish,
            }),
        })
    }

    fn create_sliding_accumulator(
        &self,
        arguments: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn Accumulator>> {
        if self.is_total(arguments.expr_fields) {
            return self.accumulator(arguments);
        }
        self.builtin.create_sliding_accumulator(arguments)
    }

    fn groups_accumulator_supported(&self, arguments: AccumulatorArgs<'_>) -> bool {
        if self.is_total(arguments.expr_fields) {
            return !arguments.is_distinct;
        }
        self.builtin.groups_accumulator_supported(arguments)
    }

    fn create_groups_accumulator(
        &self,
        arguments: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        if !self.is_total(arguments.expr_fields) {
            return self.builtin.create_groups_accumulator(arguments);
        }
        Ok(Box::new(GroupTotals {
            sums: Vec::new(),
            counts: Vec::new(),
            finish: self.finish(&arguments),
        }))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// The type of partial totals. Their scale does not matter: only their integers count.
const TOTAL_TYPE: DataType = DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0);

#[derive(Debug, Clone, Copy, Default)]
struct Total {
    sum: i128,
    count: i64,
}

/// How a total becomes a result.
#[derive(Debug, Clone)]
struct Finish {
    goal: Goal,
    data_type: DataType,
}

fn overflow(data_type: &DataType) -> datafusion_common::DataFusionError {
    exec_datafusion_err!(
        "{} overflow in sum",
        super::super::type_names::sql_name(data_type)
    )
}

impl Finish {
    fn add(&self, sum: i128, value: i128) -> Result<i128> {
        sum.checked_add(value)
            .ok_or_else(|| overflow(&self.data_type))
    }

    /// The result, unscaled; `None` over no values.
    fn result(&self, total: Total) -> Result<Option<i128>> {
        if total.count == 0 {
            return Ok(None);
        }
        let count = i128::from(total.count);
        let result = match self.goal {
            Goal::Sum => total.sum,
            // Half away from zero.
            Goal::Average => {
                let (quotient, rest) = (total.sum / count, total.sum % count);
                quotient
                    + if rest.abs() * 2 >= count {
                        total.sum.signum()
                    } else {
                        0
                    }
            }
        };
        let fits = match &self.data_type {
            DataType::Int64 => i64::try_from(result).is_ok(),
            DataType::Decimal128(precision, _) => {
                result.unsigned_abs() < 10_u128.pow(u32::from(*precision))
            }
            _ => false,
        };
        if fits {
            Ok(Some(result))
        } else {
            Err(overflow(&self.data_type))
        }
    }

    fn scalar(&self, total: Total) -> Result<ScalarValue> {
        let result = self.result(total)?;
        match &self.data_type {
            DataType::Int64 => Ok(ScalarValue::Int64(
                result.and_then(|result| i64::try_from(result).ok()),
            )),
            DataType::Decimal128(precision, scale) => {
                Ok(ScalarValue::Decimal128(result, *precision, *scale))
            }
            other => internal_err!("a total cannot be a {other}"),
        }
    }

    fn array(&self, totals: impl Iterator<Item = Total>) -> Result<ArrayRef> {
        let results: Vec<Option<i128>> = totals
            .map(|total| self.result(total))
            .collect::<Result<_>>()?;
        match &self.data_type {
            DataType::Int64 => {
                let results = results
                    .into_iter()
                    .map(|result| result.and_then(|result| i64::try_from(result).ok()));
                Ok(Arc::new(Int64Array::from_iter(results)))
            }
            DataType::Decimal128(precision, scale) => Ok(Arc::new(
                Decimal128Array::from(results).with_precision_and_scale(*precision, *scale)?,
            )),
            other => internal_err!("a total cannot be a {other}"),
        }
    }
}

/// Calls `each` with the position and the value of every non-NULL number.
fn for_each(array: &ArrayRef, mut each: impl FnMut(usize, i128) -> Result<()>) -> Result<()> {
    macro_rules! visit {
        ($type:ty) => {{
            let numbers: &PrimitiveArray<$type> = array.as_primitive::<$type>();
            match numbers.null_count() {
                0 => numbers
                    .values()
                    .iter()
                    .enumerate()
                    .try_for_each(|(row, value)| each(row, i128::from(*value))),
                _ => numbers
                    .iter()
                    .enumerate()
                    .filter_map(|(row, value)| value.map(|value| (row, value)))
                    .try_for_each(|(row, value)| each(row, i128::from(value))),
            }
        }};
    }
    match array.data_type() {
        DataType::Int64 => visit!(Int64Type),
        DataType::Decimal128(..) => visit!(Decimal128Type),
        other => exec_err!("sum and avg are not totalled over {other}"),
    }
}

fn total_array(totals: impl Iterator<Item = i128>) -> Result<ArrayRef> {
    let totals = Decimal128Array::from_iter_values(totals);
    Ok(Arc::new(
        totals.with_precision_and_scale(DECIMAL128_MAX_PRECISION, 0)?,
    ))
}

#[derive(Debug)]
struct RunningTotal {
    total: Total,
    finish: Finish,
}

impl Accumulator for RunningTotal {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for_each(&values[0], |_, value| {
            self.total.sum = self.finish.add(self.total.sum, value)?;
            self.total.count += 1;
            Ok(())
        })
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for_each(&values[0], |_, value| {
            self.total.sum = self.finish.add(self.total.sum, -value)?;
            self.total.count -= 1;
            Ok(())
        })
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.finish.scalar(self.total)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let sum = ScalarValue::Decimal128(Some(self.total.sum), DECIMAL128_MAX_PRECISION, 0);
        Ok(vec![sum, ScalarValue::Int64(Some(self.total.count))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for_each(&states[0], |_, sum| {
            self.total.sum = self.finish.add(self.total.sum, sum)?;
            Ok(())
        })?;
        self.total.count += states[1]
            .as_primitive::<Int64Type>()
            .iter()
            .flatten()
            .sum::<i64>();
        Ok(())
    }

    fn size(&self) -> usize {
        size_of::<Self>()
    }
}

#[derive(Debug)]
struct DistinctTotal {
    values: HashSet<i128>,
    finish: Finish,
}

impl Accumulator for DistinctTotal {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for_each(&values[0], |_, value| {
            self.values.insert(value);
            Ok(())
        })
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut total = Total::default();
        for value in &self.values {
            total.sum = self.finish.add(total.sum, *value)?;
            total.count += 1;
        }
        self.finish.scalar(total)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = total_array(self.values.iter().copied())?;
        let field = Arc::new(Field::new_list_field(TOTAL_TYPE, true));
        let offsets = OffsetBuffer::from_lengths([values.len()]);
        Ok(vec![ScalarValue::List(Arc::new(ListArray::try_new(
            field, offsets, values, None,
        )?))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for values in states[0].as_list::<i32>().iter().flatten() {
            self.update_batch(&[values])?;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.values.capacity() * size_of::<i128>()
    }
}

/// Totals of all groups of a GROUP BY.
#[derive(Debug)]
struct GroupTotals {
    sums: Vec<i128>,
    counts: Vec<i64>,
    finish: Finish,
}

impl GroupTotals {
    fn grow(&mut self, groups: usize) {
        self.sums.resize(groups, 0);
        self.counts.resize(groups, 0);
    }

    fn take(&mut self, emit_to: EmitTo) -> (Vec<i128>, Vec<i64>) {
        (
            emit_to.take_needed(&mut self.sums),
            emit_to.take_needed(&mut self.counts),
        )
    }
}

fn kept(filter: Option<&BooleanArray>, row: usize) -> bool {
    filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
}

impl GroupsAccumulator for GroupTotals {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        groups: usize,
    ) -> Result<()> {
        self.grow(groups);
        for_each(&values[0], |row, value| {
            if kept(filter, row) {
                let group = group_indices[row];
                self.sums[group] = self.finish.add(self.sums[group], value)?;
                self.counts[group] += 1;
            }
            Ok(())
        })
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (sums, counts) = self.take(emit_to);
        self.finish.array(
            sums.into_iter()
                .zip(counts)
                .map(|(sum, count)| Total { sum, count }),
        )
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (sums, counts) = self.take(emit_to);
        Ok(vec![
            total_array(sums.into_iter())?,
            Arc::new(Int64Array::from(counts)),
        ])
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        groups: usize,
    ) -> Result<()> {
        self.grow(groups);
        for_each(&values[0], |row, sum| {
            let group = group_indices[row];
            self.sums[group] = self.finish.add(self.sums[group], sum)?;
            Ok(())
        })?;
        for (group, count) in group_indices
            .iter()
            .zip(values[1].as_primitive::<Int64Type>())
        {
            self.counts[*group] += count.unwrap_or(0);
        }
        Ok(())
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let rows = values[0].len();
        let (mut sums, mut counts) = (vec![0_i128; rows], vec![0_i64; rows]);
        for_each(&values[0], |row, value| {
            if kept(filter, row) {
                sums[row] = value;
                counts[row] = 1;
            }
            Ok(())
        })?;
        Ok(vec![
            total_array(sums.into_iter())?,
            Arc::new(Int64Array::from(counts)),
        ])
    }

    fn size(&self) -> usize {
        size_of::<Self>()
            + self.sums.capacity() * size_of::<i128>()
            + self.counts.capacity() * size_of::<i64>()
    }
}
