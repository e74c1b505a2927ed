//! Aggregates that make maps: `map_agg`, `multimap_agg`, `map_union`, `histogram`, `approx_most_frequent`.
//! It must never know other aggregates.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Int64Type};
use datafusion_common::utils::normalize_float_zero_scalar;
use datafusion_common::{Result, ScalarValue, exec_err, plan_err};
use datafusion_expr::AggregateUDF;

use super::super::lists;
use super::super::type_names::sql_name;
use super::frame::{self, Collected, Definition, aggregate};
use crate::functions::conversion::cast;
use crate::types;

pub(super) fn functions() -> Vec<AggregateUDF> {
    vec![
        aggregate(Definition {
            name: "map_agg",
            coerce: |arguments| exactly(arguments, 2, "map_agg"),
            return_type: |arguments| {
                Ok(types::map_type(arguments[0].clone(), arguments[1].clone()))
            },
            state_types: |arguments| Ok(arguments.to_vec()),
            start: |_, result| entries(result, Values::One),
        }),
        aggregate(Definition {
            name: "multimap_agg",
            coerce: |arguments| exactly(arguments, 2, "multimap_agg"),
            return_type: |arguments| {
                Ok(types::map_type(
                    arguments[0].clone(),
                    types::list_type(arguments[1].clone()),
                ))
            },
            state_types: |arguments| Ok(arguments.to_vec()),
            start: |_, result| entries(result, Values::All),
        }),
        aggregate(Definition {
            name: "map_union",
            coerce: |arguments| match arguments {
                [DataType::Map(..)] => Ok(arguments.to_vec()),
                _ => plan_err!("map_union takes a map"),
            },
            return_type: |arguments| Ok(arguments[0].clone()),
            state_types: |arguments| {
                let (key, value) = lists::entry_fields(&arguments[0])?;
                Ok(vec![key.data_type().clone(), value.data_type().clone()])
            },
            start: |_, result| entries(result, Values::One),
        }),
        aggregate(Definition {
            name: "histogram",
            coerce: |arguments| exactly(arguments, 1, "histogram"),
            return_type: |arguments| Ok(types::map_type(arguments[0].clone(), DataType::Int64)),
            state_types: |arguments| Ok(vec![arguments[0].clone(), DataType::Int64]),
            start: |arguments, result| counts(&arguments[0], result, Buckets::All),
        }),
        aggregate(Definition {
            name: "approx_most_frequent",
            coerce: |arguments| match arguments {
                [buckets, value, capacity] if buckets.is_integer() && capacity.is_integer() => {
                    Ok(vec![DataType::Int64, value.clone(), DataType::Int64])
                }
                _ => plan_err!(
                    "approx_most_frequent takes a number of buckets, a value and a capacity"
                ),
            },
            return_type: |arguments| Ok(types::map_type(arguments[1].clone(), DataType::Int64)),
            state_types: |arguments| {
                Ok(vec![arguments[1].clone(), DataType::Int64, DataType::Int64])
            },
            start: |arguments, result| counts(&arguments[1], result, Buckets::Most(None)),
        }),
    ]
}

fn exactly(arguments: &[DataType], count: usize, name: &str) -> Result<Vec<DataType>> {
    match arguments.len() == count {
        true => Ok(arguments.to_vec()),
        false => {
            let given: Vec<String> = arguments.iter().map(sql_name).collect();
            plan_err!("{name} takes {count} arguments, not ({})", given.join(", "))
        }
    }
}

/// How many values a key keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Values {
    /// The first.
    One,
    All,
}

#[derive(Debug)]
struct Entries {
    result: DataType,
    key_type: DataType,
    value_type: DataType,
    values: Values,
    places: HashMap<ScalarValue, usize>,
    keys: Vec<ScalarValue>,
    collected: Vec<Vec<ScalarValue>>,
}

fn entries(result: &DataType, values: Values) -> Result<Box<dyn Collected>> {
    let (key, value) = lists::entry_fields(result)?;
    let value_type = match values {
        Values::One => value.data_type().clone(),
        Values::All => lists::element_field(value.data_type())?.data_type().clone(),
    };
    Ok(Box::new(Entries {
        result: result.clone(),
        key_type: key.data_type().clone(),
        value_type,
        values,
        places: HashMap::new(),
        keys: Vec::new(),
        collected: Vec::new(),
    }))
}

impl Entries {
    fn insert(&mut self, keys: &ArrayRef, values: &ArrayRef) -> Result<()> {
        for row in 0..keys.len() {
            if keys.is_null(row) {
                continue;
            }
            let key = ScalarValue::try_from_array(keys, row)?;
            let hashed = normalize_float_zero_scalar(key.clone());
            let place = *self.places.entry(hashed).or_insert(self.keys.len());
            if place == self.keys.len() {
                self.keys.push(key);
                self.collected.push(Vec::new());
            }
            if self.values == Values::All || self.collected[place].is_empty() {
                self.collected[place].push(ScalarValue::try_from_array(values, row)?);
            }
        }
        Ok(())
    }
}

impl Collected for Entries {
    fn update(&mut self, arguments: &[ArrayRef]) -> Result<()> {
        match arguments {
            [maps] => {
                let maps = maps.as_map();
                for row in 0..maps.len() {
                    let range = lists::entries(maps, row);
                    let (keys, values) = (
                        maps.keys().slice(range.start, range.len()),
                        maps.values().slice(range.start, range.len()),
                    );
                    self.insert(&keys, &values)?;
                }
                Ok(())
            }
            [keys, values] => self.insert(keys, values),
            _ => exec_err!("unexpected arguments of an aggregate"),
        }
    }

    fn merge(&mut self, columns: &[ArrayRef]) -> Result<()> {
        self.insert(&columns[0], &columns[1])
    }

    fn columns(&self) -> Result<Vec<ArrayRef>> {
        let pairs: Vec<(&ScalarValue, &ScalarValue)> = self
            .keys
            .iter()
            .zip(&self.collected)
            .flat_map(|(key, values)| values.iter().map(move |value| (key, value)))
            .collect();
        Ok(vec![
            frame::column(pairs.iter().map(|(key, _)| *key), &self.key_type)?,
            frame::column(pairs.iter().map(|(_, value)| *value), &self.value_type)?,
        ])
    }

    fn finish(&self) -> Result<ScalarValue> {
        if self.keys.is_empty() {
            return ScalarValue::try_from(&self.result);
        }
        let flat: Vec<&ScalarValue> = self.collected.iter().flatten().collect();
        let mut values = frame::column(flat.into_iter(), &self.value_type)?;
        if self.values == Values::All {
            let field = Arc::new(Field::new_list_field(self.value_type.clone(), true));
            let offsets = OffsetBuffer::from_lengths(self.collected.iter().map(Vec::len));
            values = Arc::new(ListArray::try_new(field, offsets, values, None)?);
        }
        one_map(
            frame::column(self.keys.iter(), &self.key_type)?,
            values,
            &self.result,
        )
    }

    fn bytes(&self) -> usize {
        let keys: usize = self.keys.iter().map(ScalarValue::size).sum();
        2 * keys
            + self
                .collected
                .iter()
                .flatten()
                .map(ScalarValue::size)
                .sum::<usize>()
    }
}

fn one_map(keys: ArrayRef, values: ArrayRef, data_type: &DataType) -> Result<ScalarValue> {
    let length = keys.len();
    ScalarValue::try_from_array(
        &lists::maps_of(keys, values, vec![length], vec![true], data_type)?,
        0,
    )
}

/// Which values a result shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Buckets {
    All,
    /// The most frequent ones; how many the first row tells.
    Most(Option<usize>),
}

#[derive(Debug)]
struct Counts {
    result: DataType,
    value_type: DataType,
    buckets: Buckets,
    places: HashMap<ScalarValue, usize>,
    values: Vec<ScalarValue>,
    counts: Vec<i64>,
}

fn counts(
    value_type: &DataType,
    result: &DataType,
    buckets: Buckets,
) -> Result<Box<dyn Collected>> {
    Ok(Box::new(Counts {
        result: result.clone(),
        value_type: value_type.clone(),
        buckets,
        places: HashMap::new(),
        values: Vec::new(),
        counts: Vec::new(),
    }))
}

impl Counts {
    fn add(&mut self, values: &ArrayRef, count: impl Fn(usize) -> i64) -> Result<()> {
        for row in 0..values.len() {
            if values.is_null(row) {
                continue;
            }
            let value = ScalarValue::try_from_array(values, row)?;
            let hashed = normalize_float_zero_scalar(value.clone());
            match self.places.get(&hashed) {
                Some(place) => self.counts[*place] += count(row),
                None => {
                    self.places.insert(hashed, self.values.len());
                    self.values.push(value);
                    self.counts.push(count(row));
                }
            }
        }
        Ok(())
    }

    fn take_buckets(&mut self, buckets: &ArrayRef) -> Result<()> {
        if self.buckets == Buckets::Most(None) && !buckets.is_empty() && buckets.is_valid(0) {
            let count = cast(buckets, &DataType::Int64)?
                .as_primitive::<Int64Type>()
                .value(0);
            match usize::try_from(count) {
                Ok(count) if count > 1 => self.buckets = Buckets::Most(Some(count)),
                _ => {
                    return exec_err!(
                        "approx_most_frequent: the number of buckets must be greater than one"
                    );
                }
            }
        }
        Ok(())
    }
}

impl Collected for Counts {
    fn update(&mut self, arguments: &[ArrayRef]) -> Result<()> {
        match arguments {
            [values] => self.add(values, |_| 1),
            [buckets, values, _capacity] => {
                self.take_buckets(buckets)?;
                self.add(values, |_| 1)
            }
            _ => exec_err!("unexpected arguments of an aggregate"),
        }
    }

    fn merge(&mut self, columns: &[ArrayRef]) -> Result<()> {
        if let Some(buckets) = columns.get(2) {
            self.take_buckets(buckets)?;
        }
        let counts = columns[1].as_primitive::<Int64Type>();
        self.add(&columns[0], |row| counts.value(row))
    }

    fn columns(&self) -> Result<Vec<ArrayRef>> {
        let mut columns = vec![
            frame::column(self.values.iter(), &self.value_type)?,
            Arc::new(Int64Array::from(self.counts.clone())) as ArrayRef,
        ];
        if let Buckets::Most(buckets) = self.buckets {
            let buckets = buckets.and_then(|buckets| i64::try_from(buckets).ok());
            columns.push(Arc::new(Int64Array::from(vec![buckets; self.values.len()])));
        }
        Ok(columns)
    }

    fn finish(&self) -> Result<ScalarValue> {
        if self.values.is_empty() {
            return ScalarValue::try_from(&self.result);
        }
        let mut places: Vec<usize> = (0..self.values.len()).collect();
        if let Buckets::Most(buckets) = self.buckets {
            places.sort_by_key(|place| std::cmp::Reverse(self.counts[*place]));
            places.truncate(buckets.unwrap_or(usize::MAX));
        }
        let values = frame::column(
            places.iter().map(|place| &self.values[*place]),
            &self.value_type,
        )?;
        let counts = Int64Array::from_iter_values(places.iter().map(|place| self.counts[*place]));
        one_map(values, Arc::new(counts), &self.result)
    }

    fn bytes(&self) -> usize {
        2 * self.values.iter().map(ScalarValue::size).sum::<usize>()
            + self.counts.capacity() * size_of::<i64>()
    }
}
