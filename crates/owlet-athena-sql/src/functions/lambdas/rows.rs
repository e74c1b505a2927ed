//! Lambdas evaluated over the elements of whole columns. It must never know how functions are declared.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, ListBuilder, MapArray,
    StringBuilder, UInt64Array, new_null_array,
};
use arrow::compute::{concat, interleave, take, take_arrays};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion_common::{DataFusionError, Result, exec_err};
use datafusion_expr::LambdaArgument;
use regex::Regex;

use super::super::lists::{self, elements, entries};
use super::super::regexp;
use super::super::type_names::sql_name;
use super::Kind;
use crate::functions::conversion::cast;

/// Elements of all rows in order: the row each belongs to, and its position.
#[derive(Debug, Default)]
struct Flat {
    rows: Vec<u64>,
    positions: Vec<Option<u64>>,
}

impl Flat {
    fn push(&mut self, row: usize, position: Option<usize>) {
        self.rows.push(row as u64);
        self.positions
            .push(position.map(|position| position as u64));
    }

    fn values(&self, values: &ArrayRef) -> Result<ArrayRef> {
        Ok(take(
            values,
            &UInt64Array::from(self.positions.clone()),
            None,
        )?)
    }

    /// The lambda's result for every element.
    fn evaluate(&self, lambda: &LambdaArgument, parameters: &[ArrayRef]) -> Result<ArrayRef> {
        evaluate(lambda, parameters, &self.rows)
    }
}

/// Evaluates a lambda over `rows.len()` values; `rows` says which outer row each belongs to.
fn evaluate(lambda: &LambdaArgument, parameters: &[ArrayRef], rows: &[u64]) -> Result<ArrayRef> {
    let closures: Vec<_> = parameters
        .iter()
        .map(|parameter| move || Ok(Arc::clone(parameter)))
        .collect();
    let closures: Vec<&dyn Fn() -> Result<ArrayRef>> = closures
        .iter()
        .map(|closure| closure as &dyn Fn() -> Result<ArrayRef>)
        .collect();
    let rows_array = UInt64Array::from(rows.to_vec());
    let result = lambda.evaluate(&closures, |captures| {
        Ok(take_arrays(captures, &rows_array, None)?)
    })?;
    result.into_array(rows.len())
}

fn list_of(array: &ArrayRef) -> Result<ListArray> {
    match array.as_list_opt::<i32>() {
        Some(lists) => Ok(lists.clone()),
        None => exec_err!("expected an array, not {}", sql_name(array.data_type())),
    }
}

fn map_of(array: &ArrayRef) -> Result<MapArray> {
    match array.as_map_opt() {
        Some(maps) => Ok(maps.clone()),
        None => exec_err!("expected a map, not {}", sql_name(array.data_type())),
    }
}

fn booleans(array: &ArrayRef) -> Result<BooleanArray> {
    Ok(cast(array, &DataType::Boolean)?.as_boolean().clone())
}

/// `all_match` and `none_match`: NULL if nothing decides but something is unknown.
pub(super) fn matches(array: &ArrayRef, lambda: &LambdaArgument, wanted: bool) -> Result<ArrayRef> {
    let lists = list_of(array)?;
    let mut flat = Flat::default();
    (0..lists.len())
        .for_each(|row| elements(&lists, row).for_each(|index| flat.push(row, Some(index))));
    let predicate = booleans(&flat.evaluate(lambda, &[flat.values(lists.values())?])?)?;
    let mut results = vec![Some(true); lists.len()];
    for (index, row) in flat.rows.iter().enumerate() {
        let result = &mut results[usize::try_from(*row).unwrap_or(0)];
        match predicate.is_valid(index).then(|| predicate.value(index)) {
            Some(value) if value != wanted => *result = Some(false),
            None if *result == Some(true) => *result = None,
            _ => {}
        }
    }
    let results = results
        .into_iter()
        .enumerate()
        .map(|(row, result)| result.filter(|_| lists.is_valid(row)));
    Ok(Arc::new(BooleanArray::from_iter(results)))
}

pub(super) fn zip_with(
    left: &ArrayRef,
    right: &ArrayRef,
    lambda: &LambdaArgument,
    data_type: &DataType,
) -> Result<ArrayRef> {
    let (left, right) = (list_of(left)?, list_of(right)?);
    let (mut lefts, mut rights) = (Flat::default(), Flat::default());
    let (mut lengths, mut valid) = (Vec::new(), Vec::new());
    for row in 0..left.len() {
        valid.push(left.is_valid(row) && right.is_valid(row));
        let (own, other) = (elements(&left, row), elements(&right, row));
        let length = if valid[row] {
            own.len().max(other.len())
        } else {
            0
        };
        lengths.push(length);
        for nth in 0..length {
            lefts.push(row, own.clone().nth(nth));
            rights.push(row, other.clone().nth(nth));
        }
    }
    let values = lefts.evaluate(
        lambda,
        &[lefts.values(left.values())?, rights.values(right.values())?],
    )?;
    lists::lists_of(values, lengths, valid, data_type)
}

pub(super) fn entries_function(
    kind: Kind,
    array: &ArrayRef,
    lambda: &LambdaArgument,
    data_type: &DataType,
) -> Result<ArrayRef> {
    let maps = map_of(array)?;
    let mut flat = Flat::default();
    (0..maps.len())
        .for_each(|row| entries(&maps, row).for_each(|index| flat.push(row, Some(index))));
    let (keys, values) = (flat.values(maps.keys())?, flat.values(maps.values())?);
    let result = flat.evaluate(lambda, &[Arc::clone(&keys), Arc::clone(&values)])?;
    let valid: Vec<bool> = (0..maps.len()).map(|row| maps.is_valid(row)).collect();
    let mut lengths: Vec<usize> = (0..maps.len())
        .map(|row| entries(&maps, row).len())
        .collect();
    match kind {
        Kind::TransformValues => lists::maps_of(keys, result, lengths, valid, data_type),
        Kind::TransformKeys => {
            let mut start = 0;
            for length in &lengths {
                check_keys(&result.slice(start, *length))?;
                start += length;
            }
            lists::maps_of(result, values, lengths, valid, data_type)
        }
        _ => {
            let kept = booleans(&result)?;
            let kept: Vec<usize> = (0..kept.len())
                .filter(|index| kept.is_valid(*index) && kept.value(*index))
                .collect();
            lengths = vec![0; maps.len()];
            kept.iter()
                .for_each(|index| lengths[usize::try_from(flat.rows[*index]).unwrap_or(0)] += 1);
            let kept: UInt64Array = kept.into_iter().map(|index| Some(index as u64)).collect();
            lists::maps_of(
                take(&keys, &kept, None)?,
                take(&values, &kept, None)?,
                lengths,
                valid,
                data_type,
            )
        }
    }
}

fn check_keys(keys: &ArrayRef) -> Result<()> {
    if keys.null_count() > 0 {
        return exec_err!("transform_keys: a key is NULL");
    }
    let comparison = lists::Comparison::try_new(keys, keys)?;
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_by(|left, right| comparison.order(*left, *right));
    match order
        .windows(2)
        .any(|pair| comparison.order(pair[0], pair[1]) == Ordering::Equal)
    {
        true => exec_err!("transform_keys: two keys become equal"),
        false => Ok(()),
    }
}

/// Folds all lists at once: first elements together, then second elements, and so on.
pub(super) fn reduce(
    array: &ArrayRef,
    start: ArrayRef,
    step: &LambdaArgument,
    finish: &LambdaArgument,
) -> Result<ArrayRef> {
    let lists = list_of(array)?;
    let longest = (0..lists.len())
        .map(|row| elements(&lists, row).len())
        .max()
        .unwrap_or(0);
    let mut state = start;
    for nth in 0..longest {
        let mut flat = Flat::default();
        for row in 0..lists.len() {
            if let Some(index) = elements(&lists, row).nth(nth) {
                flat.push(row, Some(index));
            }
        }
        let before = take(&state, &UInt64Array::from(flat.rows.clone()), None)?;
        let after = cast(
            &flat.evaluate(step, &[before, flat.values(lists.values())?])?,
            state.data_type(),
        )?;
        // Rows that are already through keep their state.
        let mut sources: Vec<(usize, usize)> = (0..lists.len()).map(|row| (0, row)).collect();
        for (index, row) in flat.rows.iter().enumerate() {
            sources[usize::try_from(*row).unwrap_or(0)] = (1, index);
        }
        state = interleave(&[state.as_ref(), after.as_ref()], &sources)?;
    }
    let rows: Vec<u64> = (0..lists.len() as u64).collect();
    let result = evaluate(finish, &[state], &rows)?;
    let valid: UInt64Array = (0..lists.len())
        .map(|row| lists.is_valid(row).then_some(row as u64))
        .collect();
    Ok(take(&result, &valid, None)?)
}

/// Lists longer than this are not sorted by a function: every pair is compared.
const LONGEST_SORT: usize = 2_000;

pub(super) fn sort_by(
    array: &ArrayRef,
    lambda: &LambdaArgument,
    data_type: &DataType,
) -> Result<ArrayRef> {
    let lists = list_of(array)?;
    let mut picker = lists::Picker::default();
    for row in 0..lists.len() {
        if lists.is_null(row) {
            picker.null();
            continue;
        }
        let positions: Vec<usize> = elements(&lists, row).collect();
        let length = positions.len();
        if length > LONGEST_SORT {
            return exec_err!(
                "array_sort: an array of {length} is too long to be sorted by a function"
            );
        }
        let (mut lefts, mut rights) = (Flat::default(), Flat::default());
        for (index, left) in positions.iter().enumerate() {
            for right in &positions[index + 1..] {
                lefts.push(row, Some(*left));
                rights.push(row, Some(*right));
            }
        }
        let values = lists.values();
        let orders = lefts.evaluate(lambda, &[lefts.values(values)?, rights.values(values)?])?;
        let orders = cast(&orders, &DataType::Int64)?;
        let orders: &Int64Array = orders.as_primitive();
        if orders.null_count() > 0 {
            return exec_err!("array_sort: the function gave NULL; it must give -1, 0 or 1");
        }
        // Pairs stand row by row of the upper triangle.
        let pair =
            |left: usize, right: usize| left * (2 * length - left - 1) / 2 + right - left - 1;
        let order = |left: &usize, right: &usize| match left.cmp(right) {
            Ordering::Equal => Ordering::Equal,
            Ordering::Less => orders.value(pair(*left, *right)).cmp(&0),
            Ordering::Greater => 0.cmp(&orders.value(pair(*right, *left))),
        };
        picker.row(
            insertion_sorted(length, order)
                .into_iter()
                .map(|index| Some(positions[index])),
        );
    }
    picker.lists(lists.values(), data_type)
}

/// Binary insertion: unlike the standard library's sort it cannot mind a comparison that contradicts itself.
fn insertion_sorted(length: usize, order: impl Fn(&usize, &usize) -> Ordering) -> Vec<usize> {
    let mut sorted: Vec<usize> = Vec::with_capacity(length);
    for index in 0..length {
        let place = sorted.partition_point(|known| order(known, &index) != Ordering::Greater);
        sorted.insert(place, index);
    }
    sorted
}

pub(super) fn replace_by(
    texts: &ArrayRef,
    patterns: &ArrayRef,
    lambda: &LambdaArgument,
) -> Result<ArrayRef> {
    let (texts, patterns) = (texts.as_string::<i32>(), patterns.as_string::<i32>());
    let mut groups = ListBuilder::new(StringBuilder::new());
    let mut rows: Vec<u64> = Vec::new();
    let mut matches: Vec<Vec<std::ops::Range<usize>>> = Vec::with_capacity(texts.len());
    let mut last: Option<Regex> = None;
    for row in 0..texts.len() {
        let mut own = Vec::new();
        if texts.is_valid(row) && patterns.is_valid(row) {
            let pattern = patterns.value(row);
            let regex = match last.take().filter(|regex| regex.as_str() == pattern) {
                Some(regex) => regex,
                None => regexp::compile("regexp_replace", pattern)?,
            };
            for captures in regex.captures_iter(texts.value(row)) {
                own.extend(captures.get(0).map(|whole| whole.range()));
                groups.append_value(
                    captures
                        .iter()
                        .skip(1)
                        .map(|group| group.map(|group| group.as_str())),
                );
                rows.push(row as u64);
            }
            last = Some(regex);
        }
        matches.push(own);
    }
    let groups: ArrayRef = Arc::new(groups.finish());
    let replacements = cast(&evaluate(lambda, &[groups], &rows)?, &DataType::Utf8)?;
    let mut replacements = replacements.as_string::<i32>().iter();
    let mut replaced = StringBuilder::new();
    for (row, ranges) in matches.into_iter().enumerate() {
        if texts.is_null(row) || patterns.is_null(row) {
            replaced.append_null();
            continue;
        }
        let (text, mut end, mut result) = (texts.value(row), 0, String::new());
        for range in ranges {
            result.push_str(&text[end..range.start]);
            result.push_str(replacements.next().flatten().unwrap_or_default());
            end = range.end;
        }
        result.push_str(&text[end..]);
        replaced.append_value(result);
    }
    Ok(Arc::new(replaced.finish()))
}

/// All rows at once; if that fails, row by row, and rows that fail are NULL.
pub(super) fn attempt_rows(
    attempt: &LambdaArgument,
    rows: usize,
    data_type: &DataType,
) -> Result<ArrayRef> {
    let nothing = |rows: usize| new_null_array(&DataType::Boolean, rows);
    let all: Vec<u64> = (0..rows as u64).collect();
    match evaluate(attempt, &[nothing(rows)], &all) {
        Err(error) if is_suppressed(&error) => {}
        result => return result,
    }
    let mut results: Vec<ArrayRef> = Vec::with_capacity(rows);
    for row in all {
        results.push(match evaluate(attempt, &[nothing(1)], &[row]) {
            Err(error) if is_suppressed(&error) => new_null_array(data_type, 1),
            result => result?,
        });
    }
    let results: Vec<&dyn Array> = results.iter().map(AsRef::as_ref).collect();
    Ok(if results.is_empty() {
        new_null_array(data_type, 0)
    } else {
        concat(&results)?
    })
}

/// Errors about values become NULL; errors about resources and sources stay.
fn is_suppressed(error: &DataFusionError) -> bool {
    match error {
        DataFusionError::Execution(_) => true,
        DataFusionError::ArrowError(error, _) => !matches!(
            error.as_ref(),
            ArrowError::MemoryError(_) | ArrowError::IoError(..) | ArrowError::ExternalError(_)
        ),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
            is_suppressed(inner)
        }
        DataFusionError::Shared(inner) => is_suppressed(inner),
        _ => false,
    }
}
