//! `sum` and `avg` over BIGINT and DECIMAL, exact: totals are kept in 128 bits (256 for decimals of more than 38
//! digits), and a result that does not fit its type is an error, never a wrapped number. Other types go to
//! DataFusion's own functions.
//! It must never know other aggregates.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowNativeTypeOp, AsArray, BooleanArray, Int64Array, ListArray,
    PrimitiveArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{
    ArrowPrimitiveType, DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType,
    Decimal128Type, Decimal256Type, DecimalType, Field, FieldRef, Int64Type, i256,
};
use datafusion::functions_aggregate::average::Avg;
use datafusion::functions_aggregate::sum::Sum;
use datafusion_common::{Result, ScalarValue, exec_datafusion_err, exec_err, internal_err};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature,
};

use super::interval_totals;
use crate::intervals::INTERVAL;

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
        (Goal::Sum, DataType::Decimal256(_, scale)) => {
            Some(DataType::Decimal256(DECIMAL256_MAX_PRECISION, *scale))
        }
        // Athena keeps the input's digits.
        (Goal::Average, DataType::Decimal128(..) | DataType::Decimal256(..)) => Some(input.clone()),
        _ => None,
    }
}

impl<F: AggregateUDFImpl + PartialEq + Eq + std::hash::Hash> Exact<F> {
    fn is_total(&self, inputs: &[FieldRef]) -> bool {
        inputs
            .first()
            .is_some_and(|input| result_type(self.goal, input.data_type()).is_some())
    }

    fn is_interval(&self, inputs: &[FieldRef]) -> bool {
        self.goal == Goal::Sum
            && inputs
                .first()
                .is_some_and(|input| *input.data_type() == INTERVAL)
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
        let is_interval = self.is_interval(arguments.input_fields);
        if !is_interval && !self.is_total(arguments.input_fields) {
            return self.builtin.state_fields(arguments);
        }
        let field = |name: &str, data_type: DataType| {
            Arc::new(Field::new(
                format_state_name(arguments.name, name),
                data_type,
                true,
            ))
        };
        if is_interval {
            let state = interval_totals::state(arguments.is_distinct);
            return Ok(state
                .into_iter()
                .map(|(name, data_type)| field(name, data_type))
                .collect());
        }
        let total_type = match arguments.input_fields.first() {
            Some(input) if is_wide(input.data_type()) => Decimal256Type::TOTAL,
            _ => Decimal128Type::TOTAL,
        };
        Ok(match arguments.is_distinct {
            true => vec![field("values", crate::types::list_type(total_type))],
            false => vec![field("total", total_type), field("count", DataType::Int64)],
        })
    }

    fn accumulator(&self, arguments: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if self.is_interval(arguments.expr_fields) {
            return Ok(interval_totals::accumulator(arguments.is_distinct));
        }
        if !self.is_total(arguments.expr_fields) {
            return self.builtin.accumulator(arguments);
        }
        let finish = self.finish(&arguments);
        Ok(match is_wide(&finish.data_type) {
            true => finish.accumulator::<Decimal256Type>(arguments.is_distinct),
            false => finish.accumulator::<Decimal128Type>(arguments.is_distinct),
        })
    }

    fn create_sliding_accumulator(
        &self,
        arguments: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn Accumulator>> {
        if self.is_total(arguments.expr_fields) || self.is_interval(arguments.expr_fields) {
            return self.accumulator(arguments);
        }
        self.builtin.create_sliding_accumulator(arguments)
    }

    fn groups_accumulator_supported(&self, arguments: AccumulatorArgs<'_>) -> bool {
        if self.is_total(arguments.expr_fields) {
            return !arguments.is_distinct;
        }
        if self.is_interval(arguments.expr_fields) {
            return false;
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
        let finish = self.finish(&arguments);
        Ok(match is_wide(&finish.data_type) {
            true => Box::new(GroupTotals::<Decimal256Type>::new(finish)),
            false => Box::new(GroupTotals::<Decimal128Type>::new(finish)),
        })
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

fn is_wide(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal256(..))
}

/// The numbers totals are kept in.
trait TotalType: DecimalType<Native: Hash + Eq> + Debug {
    /// The type of partial totals. Their scale does not matter: only their integers count.
    const TOTAL: DataType;

    fn from_bigint(value: i64) -> Self::Native;
    fn to_bigint(value: Self::Native) -> Option<i64>;
    fn scalar(value: Option<Self::Native>, precision: u8, scale: i8) -> ScalarValue;
}

impl TotalType for Decimal128Type {
    const TOTAL: DataType = DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0);

    fn from_bigint(value: i64) -> i128 {
        i128::from(value)
    }

    fn to_bigint(value: i128) -> Option<i64> {
        i64::try_from(value).ok()
    }

    fn scalar(value: Option<i128>, precision: u8, scale: i8) -> ScalarValue {
        ScalarValue::Decimal128(value, precision, scale)
    }
}

impl TotalType for Decimal256Type {
    const TOTAL: DataType = DataType::Decimal256(DECIMAL256_MAX_PRECISION, 0);

    fn from_bigint(value: i64) -> i256 {
        i256::from_i128(i128::from(value))
    }

    fn to_bigint(value: i256) -> Option<i64> {
        value.to_i128().and_then(|value| i64::try_from(value).ok())
    }

    fn scalar(value: Option<i256>, precision: u8, scale: i8) -> ScalarValue {
        ScalarValue::Decimal256(value, precision, scale)
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Total<N> {
    sum: N,
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
    fn accumulator<D: TotalType>(self, is_distinct: bool) -> Box<dyn Accumulator> {
        match is_distinct {
            true => Box::new(DistinctTotal::<D> {
                values: HashSet::new(),
                finish: self,
            }),
            false => Box::new(RunningTotal::<D> {
                total: Total::default(),
                finish: self,
            }),
        }
    }

    fn add<N: ArrowNativeTypeOp>(&self, sum: N, value: N) -> Result<N> {
        sum.add_checked(value)
            .map_err(|_| overflow(&self.data_type))
    }

    fn subtract<N: ArrowNativeTypeOp>(&self, sum: N, value: N) -> Result<N> {
        sum.sub_checked(value)
            .map_err(|_| overflow(&self.data_type))
    }

    /// The result, unscaled; `None` over no values.
    fn result<D: TotalType>(&self, total: Total<D::Native>) -> Result<Option<D::Native>> {
        if total.count == 0 {
            return Ok(None);
        }
        let result = match self.goal {
            Goal::Sum => total.sum,
            Goal::Average => average::<D>(total),
        };
        let fits = match &self.data_type {
            DataType::Int64 => D::to_bigint(result).is_some(),
            DataType::Decimal128(precision, _) | DataType::Decimal256(precision, _) => {
                D::is_valid_decimal_precision(result, *precision)
            }
            _ => false,
        };
        if fits {
            Ok(Some(result))
        } else {
            Err(overflow(&self.data_type))
        }
    }

    fn scalar<D: TotalType>(&self, total: Total<D::Native>) -> Result<ScalarValue> {
        let result = self.result::<D>(total)?;
        match &self.data_type {
            DataType::Int64 => Ok(ScalarValue::Int64(result.and_then(D::to_bigint))),
            DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
                Ok(D::scalar(result, *precision, *scale))
            }
            other => internal_err!("a total cannot be a {other}"),
        }
    }

    fn array<D: TotalType>(
        &self,
        totals: impl Iterator<Item = Total<D::Native>>,
    ) -> Result<ArrayRef> {
        let results: Vec<Option<D::Native>> = totals
            .map(|total| self.result::<D>(total))
            .collect::<Result<_>>()?;
        match &self.data_type {
            DataType::Int64 => {
                let results = results
                    .into_iter()
                    .map(|result| result.and_then(D::to_bigint));
                Ok(Arc::new(Int64Array::from_iter(results)))
            }
            DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
                let results: PrimitiveArray<D> = results.into_iter().collect();
                Ok(Arc::new(
                    results.with_precision_and_scale(*precision, *scale)?,
                ))
            }
            other => internal_err!("a total cannot be a {other}"),
        }
    }
}

/// Half away from zero.
fn average<D: TotalType>(total: Total<D::Native>) -> D::Native {
    let (zero, one) = (D::Native::ZERO, D::Native::ONE);
    let count = D::from_bigint(total.count);
    let (quotient, rest) = (total.sum.div_wrapping(count), total.sum.mod_wrapping(count));
    let is_negative = total.sum.is_lt(zero);
    let distance = if is_negative {
        rest.neg_wrapping()
    } else {
        rest
    };
    if distance.add_wrapping(distance).is_lt(count) {
        return quotient;
    }
    if is_negative {
        quotient.sub_wrapping(one)
    } else {
        quotient.add_wrapping(one)
    }
}

/// Calls `each` with the position and the value of every non-NULL number.
fn for_each<D: TotalType>(
    array: &ArrayRef,
    mut each: impl FnMut(usize, D::Native) -> Result<()>,
) -> Result<()> {
    if let Some(numbers) = array.as_primitive_opt::<Int64Type>() {
        return visit(numbers, |row, value| each(row, D::from_bigint(value)));
    }
    match array.as_primitive_opt::<D>() {
        Some(numbers) => visit(numbers, each),
        None => exec_err!("sum and avg are not totalled over {}", array.data_type()),
    }
}

fn visit<T: ArrowPrimitiveType>(
    numbers: &PrimitiveArray<T>,
    mut each: impl FnMut(usize, T::Native) -> Result<()>,
) -> Result<()> {
    match numbers.null_count() {
        0 => numbers
            .values()
            .iter()
            .enumerate()
            .try_for_each(|(row, value)| each(row, *value)),
        _ => numbers
            .iter()
            .enumerate()
            .filter_map(|(row, value)| value.map(|value| (row, value)))
            .try_for_each(|(row, value)| each(row, value)),
    }
}

fn total_array<D: TotalType>(totals: impl Iterator<Item = D::Native>) -> Result<ArrayRef> {
    let totals = PrimitiveArray::<D>::from_iter_values(totals);
    Ok(Arc::new(
        totals.with_precision_and_scale(D::MAX_PRECISION, 0)?,
    ))
}

#[derive(Debug)]
struct RunningTotal<D: TotalType> {
    total: Total<D::Native>,
    finish: Finish,
}

impl<D: TotalType> Accumulator for RunningTotal<D> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for_each::<D>(&values[0], |_, value| {
            self.total.sum = self.finish.add(self.total.sum, value)?;
            self.total.count += 1;
            Ok(())
        })
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for_each::<D>(&values[0], |_, value| {
            self.total.sum = self.finish.subtract(self.total.sum, value)?;
            self.total.count -= 1;
            Ok(())
        })
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.finish.scalar::<D>(self.total)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let sum = D::scalar(Some(self.total.sum), D::MAX_PRECISION, 0);
        Ok(vec![sum, ScalarValue::Int64(Some(self.total.count))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for_each::<D>(&states[0], |_, sum| {
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
struct DistinctTotal<D: TotalType> {
    values: HashSet<D::Native>,
    finish: Finish,
}

impl<D: TotalType> Accumulator for DistinctTotal<D> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for_each::<D>(&values[0], |_, value| {
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
        self.finish.scalar::<D>(total)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = total_array::<D>(self.values.iter().copied())?;
        let field = Arc::new(Field::new_list_field(D::TOTAL, true));
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
        size_of::<Self>() + self.values.capacity() * size_of::<D::Native>()
    }
}

/// Totals of all groups of a GROUP BY.
#[derive(Debug)]
struct GroupTotals<D: TotalType> {
    sums: Vec<D::Native>,
    counts: Vec<i64>,
    finish: Finish,
}

impl<D: TotalType> GroupTotals<D> {
    fn new(finish: Finish) -> Self {
        Self {
            sums: Vec::new(),
            counts: Vec::new(),
            finish,
        }
    }

    fn grow(&mut self, groups: usize) {
        self.sums.resize(groups, D::Native::ZERO);
        self.counts.resize(groups, 0);
    }

    fn take(&mut self, emit_to: EmitTo) -> (Vec<D::Native>, Vec<i64>) {
        (
            emit_to.take_needed(&mut self.sums),
            emit_to.take_needed(&mut self.counts),
        )
    }
}

fn kept(filter: Option<&BooleanArray>, row: usize) -> bool {
    filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
}

impl<D: TotalType> GroupsAccumulator for GroupTotals<D> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        filter: Option<&BooleanArray>,
        groups: usize,
    ) -> Result<()> {
        self.grow(groups);
        for_each::<D>(&values[0], |row, value| {
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
        self.finish.array::<D>(
            sums.into_iter()
                .zip(counts)
                .map(|(sum, count)| Total { sum, count }),
        )
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (sums, counts) = self.take(emit_to);
        Ok(vec![
            total_array::<D>(sums.into_iter())?,
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
        for_each::<D>(&values[0], |row, sum| {
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
        let (mut sums, mut counts) = (vec![D::Native::ZERO; rows], vec![0_i64; rows]);
        for_each::<D>(&values[0], |row, value| {
            if kept(filter, row) {
                sums[row] = value;
                counts[row] = 1;
            }
            Ok(())
        })?;
        Ok(vec![
            total_array::<D>(sums.into_iter())?,
            Arc::new(Int64Array::from(counts)),
        ])
    }

    fn size(&self) -> usize {
        size_of::<Self>()
            + self.sums.capacity() * size_of::<D::Native>()
            + self.counts.capacity() * size_of::<i64>()
    }
}
