//! `sum` over intervals: months are one total, days and smaller units another. Arrow's parts of an interval would
//! overflow, and days would not count as 24 hours. It must never know other aggregates.

use std::collections::HashSet;
use std::mem::{size_of, size_of_val};

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DataType, Decimal128Type, Int64Type, IntervalMonthDayNano,
    IntervalMonthDayNanoType,
};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::Accumulator;

use crate::intervals::{INTERVAL, nanoseconds_of, of_parts, out_of_range};

const NANOSECONDS: DataType = DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0);

/// The parts of a partial total, by name and type.
pub(super) fn state(is_distinct: bool) -> Vec<(&'static str, DataType)> {
    match is_distinct {
        true => vec![("values", crate::types::list_type(INTERVAL))],
        false => vec![
            ("months", DataType::Int64),
            ("nanoseconds", NANOSECONDS),
            ("count", DataType::Int64),
        ],
    }
}

pub(super) fn accumulator(is_distinct: bool) -> Box<dyn Accumulator> {
    match is_distinct {
        true => Box::new(DistinctTotal::default()),
        false => Box::new(Total::default()),
    }
}

#[derive(Debug, Default)]
struct Total {
    months: i64,
    nanoseconds: i128,
    count: i64,
}

impl Total {
    fn add(&mut self, interval: IntervalMonthDayNano) {
        self.months += i64::from(interval.months);
        self.nanoseconds += nanoseconds_of(interval);
        self.count += 1;
    }

    fn result(&self) -> Result<ScalarValue> {
        if self.count == 0 {
            return Ok(ScalarValue::IntervalMonthDayNano(None));
        }
        let months = i32::try_from(self.months).map_err(|_| out_of_range())?;
        let interval = of_parts(months, self.nanoseconds)?;
        Ok(ScalarValue::IntervalMonthDayNano(Some(interval)))
    }
}

fn intervals(array: &ArrayRef) -> impl Iterator<Item = IntervalMonthDayNano> {
    array
        .as_primitive::<IntervalMonthDayNanoType>()
        .iter()
        .flatten()
}

impl Accumulator for Total {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        intervals(&values[0]).for_each(|interval| self.add(interval));
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for interval in intervals(&values[0]) {
            self.months -= i64::from(interval.months);
            self.nanoseconds -= nanoseconds_of(interval);
            self.count -= 1;
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.result()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let nanoseconds =
            ScalarValue::Decimal128(Some(self.nanoseconds), DECIMAL128_MAX_PRECISION, 0);
        Ok(vec![
            ScalarValue::Int64(Some(self.months)),
            nanoseconds,
            ScalarValue::Int64(Some(self.count)),
        ])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let integers = |index: usize| states[index].as_primitive::<Int64Type>().iter().flatten();
        self.months += integers(0).sum::<i64>();
        self.nanoseconds += states[1]
            .as_primitive::<Decimal128Type>()
            .iter()
            .flatten()
            .sum::<i128>();
        self.count += integers(2).sum::<i64>();
        Ok(())
    }

    fn size(&self) -> usize {
        size_of::<Self>()
    }
}

#[derive(Debug, Default)]
struct DistinctTotal {
    values: HashSet<IntervalMonthDayNano>,
}

impl Accumulator for DistinctTotal {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.values.extend(intervals(&values[0]));
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut total = Total::default();
        self.values.iter().for_each(|interval| total.add(*interval));
        total.result()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values: Vec<ScalarValue> = self
            .values
            .iter()
            .map(|interval| ScalarValue::IntervalMonthDayNano(Some(*interval)))
            .collect();
        let list = ScalarValue::new_list_nullable(&values, &INTERVAL);
        Ok(vec![ScalarValue::List(list)])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for values in states[0].as_list::<i32>().iter().flatten() {
            self.update_batch(&[values])?;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.capacity() * size_of::<IntervalMonthDayNano>()
    }
}
