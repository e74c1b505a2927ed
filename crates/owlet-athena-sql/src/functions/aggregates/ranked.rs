//! `max_by` and `min_by`, with one value or the best n. It must never know other aggregates.

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, AsArray, make_comparator};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Int64Type};
use datafusion_common::{Result, ScalarValue, exec_err, plan_err};
use datafusion_expr::AggregateUDF;

use super::frame::{self, Collected, Definition, aggregate};
use crate::functions::conversion::cast;
use crate::types;

pub(super) fn functions() -> Vec<AggregateUDF> {
    vec![
        aggregate(definition("max_by", |types, result| {
            start(types, result, Ordering::Greater)
        })),
        aggregate(definition("min_by", |types, result| {
            start(types, result, Ordering::Less)
        })),
    ]
}

fn definition(name: &'static str, start: frame::StartGroup) -> Definition {
    Definition {
        name,
        coerce: |arguments| match arguments {
            [_, _] => Ok(arguments.to_vec()),
            [value, key, count] if count.is_integer() => {
                Ok(vec![value.clone(), key.clone(), DataType::Int64])
            }
            _ => plan_err!(
                "max_by and min_by take a value, what to order by, and optionally how many"
            ),
        },
        return_type: |arguments| match arguments {
            [value, _, _] => Ok(types::list_type(value.clone())),
            _ => Ok(arguments[0].clone()),
        },
        state_types: |arguments| {
            Ok(vec![
                arguments[0].clone(),
                arguments[1].clone(),
                DataType::Int64,
            ])
        },
        start,
    }
}

fn start(types: &[DataType], result: &DataType, wanted: Ordering) -> Result<Box<dyn Collected>> {
    Ok(Box::new(Ranked {
        wanted,
        limit: if types.len() == 3 { None } else { Some(1) },
        value_type: types[0].clone(),
        key_type: types[1].clone(),
        result: result.clone(),
        best: Vec::new(),
    }))
}

/// The most that may be asked for.
const LARGEST_COUNT: i64 = 10_000;

#[derive(Debug)]
struct Ranked {
    wanted: Ordering,
    /// How many are kept; unknown until the first row tells.
    limit: Option<usize>,
    value_type: DataType,
    key_type: DataType,
    result: DataType,
    /// Value and key, best first.
    best: Vec<(ScalarValue, ScalarValue)>,
}

impl Ranked {
    fn take_limit(&mut self, counts: Option<&ArrayRef>) -> Result<Option<usize>> {
        if self.limit.is_none()
            && let Some(counts) = counts.filter(|counts| !counts.is_empty() && counts.is_valid(0))
        {
            let count = cast(counts, &DataType::Int64)?
                .as_primitive::<Int64Type>()
                .value(0);
            match usize::try_from(count) {
                Ok(limit) if (1..=LARGEST_COUNT).contains(&count) => self.limit = Some(limit),
                _ => {
                    return exec_err!(
                        "max_by and min_by: the count must be between 1 and {LARGEST_COUNT}"
                    );
                }
            }
        }
        Ok(self.limit)
    }

    fn offer(&mut self, values: &ArrayRef, keys: &ArrayRef, limit: usize) -> Result<()> {
        let options = SortOptions {
            descending: self.wanted == Ordering::Greater,
            nulls_first: false,
        };
        let within = make_comparator(keys, keys, options)?;
        let mut rows: Vec<usize> = (0..keys.len()).filter(|row| keys.is_valid(*row)).collect();
        // Of equal keys the first row counts, as sorting keeps their order.
        if limit == 1 {
            rows = rows
                .into_iter()
                .reduce(|best, row| {
                    if within(row, best) == Ordering::Less {
                        row
                    } else {
                        best
                    }
                })
                .into_iter()
                .collect();
        } else {
            rows.sort_by(|left, right| within(*left, *right));
            rows.truncate(limit);
        }
        for row in rows {
            let key = ScalarValue::try_from_array(keys, row)?;
            let place = self
                .best
                .partition_point(|(_, known)| !self.is_better(&key, known));
            if place >= limit {
                break;
            }
            self.best
                .insert(place, (ScalarValue::try_from_array(values, row)?, key));
            self.best.truncate(limit);
        }
        Ok(())
    }

    fn is_better(&self, key: &ScalarValue, known: &ScalarValue) -> bool {
        key.partial_cmp(known) == Some(self.wanted)
    }
}

impl Collected for Ranked {
    fn update(&mut self, arguments: &[ArrayRef]) -> Result<()> {
        match self.take_limit(arguments.get(2))? {
            Some(limit) => self.offer(&arguments[0], &arguments[1], limit),
            None => Ok(()),
        }
    }

    fn merge(&mut self, columns: &[ArrayRef]) -> Result<()> {
        match self.take_limit(columns.get(2))? {
            Some(limit) => self.offer(&columns[0], &columns[1], limit),
            None => Ok(()),
        }
    }

    fn columns(&self) -> Result<Vec<ArrayRef>> {
        let limit = self.limit.and_then(|limit| i64::try_from(limit).ok());
        let limits = vec![ScalarValue::Int64(limit); self.best.len()];
        Ok(vec![
            frame::column(self.best.iter().map(|(value, _)| value), &self.value_type)?,
            frame::column(self.best.iter().map(|(_, key)| key), &self.key_type)?,
            frame::column(limits.iter(), &DataType::Int64)?,
        ])
    }

    fn finish(&self) -> Result<ScalarValue> {
        match (&self.result, self.best.first()) {
            (result, None) => ScalarValue::try_from(result),
            (DataType::List(_), Some(_)) if self.result != self.value_type => frame::list_scalar(
                frame::column(self.best.iter().map(|(value, _)| value), &self.value_type)?,
            ),
            (_, Some((value, _))) => Ok(value.clone()),
        }
    }

    fn bytes(&self) -> usize {
        self.best
            .iter()
            .map(|(value, key)| value.size() + key.size())
            .sum()
    }
}
