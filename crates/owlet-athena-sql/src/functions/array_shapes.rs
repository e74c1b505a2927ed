//! Functions that make arrays of arrays: `concat`, `slice`, `repeat`, `zip`, `ngrams`, …. It must never know tables.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray, UInt64Array};
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion_common::{Result, exec_err, plan_err};
use datafusion_expr::ScalarUDF;

use super::lists::{self, Comparison, Picker, elements, list};
use super::scalar::Kind::{Any, Bigint, Binary, List, Text};
use super::scalar::Overload::{Exact, Variadic};
use super::scalar::{Call, CallTypes, function, returns};
use super::type_names::sql_name;
use crate::functions::conversion::cast;
use crate::types;

pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![
        function(
            &["array_sort"],
            &[Exact(&[List])],
            returns::first,
            array_sort,
        ),
        function(
            &["concat"],
            &[Variadic(&[Text]), Variadic(&[Binary]), Variadic(&[Any])],
            concat_type,
            concat_any,
        ),
        function(
            &["slice"],
            &[Exact(&[List, Bigint, Bigint])],
            returns::first,
            slice,
        ),
        function(
            &["trim_array"],
            &[Exact(&[List, Bigint])],
            returns::first,
            |call| {
                let (lists, counts) = (list(call, 0)?, call.bigints(1)?);
                pick(call, lists, |row| {
                    let (range, count) = (elements(lists, row), counts.value(row));
                    match usize::try_from(count)
                        .ok()
                        .filter(|count| *count <= range.len())
                    {
                        Some(count) => Ok((range.start..range.end - count).map(Some).collect()),
                        None => exec_err!(
                            "trim_array: {count} elements cannot be taken from {}",
                            range.len()
                        ),
                    }
                })
            },
        ),
        function(
            &["repeat"],
            &[Exact(&[Any, Bigint])],
            |call| {
                Ok(Field::new(
                    "",
                    types::list_type(call.types[0].clone()),
                    true,
                ))
            },
            repeat,
        ),
        function(&["zip"], &[Variadic(&[List])], zip_type, zip),
        function(
            &["ngrams"],
            &[Exact(&[List, Bigint])],
            |call| {
                Ok(Field::new(
                    "",
                    types::list_type(call.types[0].clone()),
                    true,
                ))
            },
            ngrams,
        ),
    ]
}

/// Rows of elements of a list argument; rows with a NULL argument are NULL.
pub(super) fn pick(
    call: &Call<'_>,
    lists: &ListArray,
    mut positions: impl FnMut(usize) -> Result<Vec<Option<usize>>>,
) -> Result<ArrayRef> {
    let mut picker = Picker::default();
    for row in 0..call.rows {
        match call.has_null(row) {
            true => picker.null(),
            false => picker.row(positions(row)?),
        }
    }
    picker.lists(lists.values(), call.return_type)
}

fn array_sort(call: &Call<'_>) -> Result<ArrayRef> {
    let lists = list(call, 0)?;
    let comparison = Comparison::try_new(lists.values(), lists.values())?;
    pick(call, lists, |row| {
        let mut positions: Vec<usize> = elements(lists, row).collect();
        positions.sort_by(|left, right| comparison.order(*left, *right));
        Ok(positions.into_iter().map(Some).collect())
    })
}

fn concat_type(call: &CallTypes<'_>) -> Result<Field> {
    if call
        .types
        .iter()
        .all(|data_type| matches!(data_type, DataType::Utf8))
    {
        return Ok(Field::new("", DataType::Utf8, true));
    }
    if call
        .types
        .iter()
        .all(|data_type| matches!(data_type, DataType::Binary))
    {
        return Ok(Field::new("", DataType::Binary, true));
    }
    let mut element: Option<DataType> = None;
    for data_type in &call.types {
        let own = match data_type {
            DataType::List(field) => field.data_type(),
            DataType::Null => continue,
            other
                if call
                    .types
                    .iter()
                    .any(|other| matches!(other, DataType::List(_))) =>
            {
                other
            }
            _ => {
                let names: Vec<String> = call.types.iter().map(sql_name).collect();
                return plan_err!(
                    "concat takes texts, bytes or arrays, not ({})",
                    names.join(", ")
                );
            }
        };
        element = Some(match element {
            None | Some(DataType::Null) => own.clone(),
            Some(element) => lists::common_type(&element, own)?,
        });
    }
    Ok(Field::new(
        "",
        types::list_type(element.unwrap_or(DataType::Null)),
        true,
    ))
}

fn concat_any(call: &Call<'_>) -> Result<ArrayRef> {
    match call.return_type {
        DataType::Utf8 => {
            let texts = (0..call.arrays.len())
                .map(|index| call.texts(index))
                .collect::<Result<Vec<_>>>()?;
            call.text(|row| Ok(Some(texts.iter().map(|texts| texts.value(row)).collect())))
        }
        DataType::Binary => {
            let bytes = (0..call.arrays.len())
                .map(|index| call.binaries(index))
                .collect::<Result<Vec<_>>>()?;
            call.binary(|row| {
                Ok(Some(
                    bytes
                        .iter()
                        .flat_map(|bytes| bytes.value(row))
                        .copied()
                        .collect(),
                ))
            })
        }
        _ => concat_lists(call),
    }
}

/// Arrays end to end; a plain value counts as an array of one.
fn concat_lists(call: &Call<'_>) -> Result<ArrayRef> {
    let element = lists::element_field(call.return_type)?.data_type();
    let mut values: Vec<ArrayRef> = Vec::with_capacity(call.arrays.len());
    let mut start = 0;
    let mut starts = Vec::with_capacity(call.arrays.len());
    for array in &call.arrays {
        let own = match array.as_list_opt::<i32>() {
            Some(lists) => cast(lists.values(), element)?,
            None => cast(array, element)?,
        };
        starts.push(start);
        start += own.len();
        values.push(own);
    }
    let values: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
    let values = concat(&values)?;
    let mut picker = Picker::default();
    for row in 0..call.rows {
        let null = call
            .arrays
            .iter()
            .any(|array| array.as_list_opt::<i32>().is_some() && array.is_null(row))
            || call.arrays.iter().any(|array| array.data_type().is_null());
        if null {
            picker.null();
            continue;
        }
        let mut positions = Vec::new();
        for (array, start) in call.arrays.iter().zip(&starts) {
            match array.as_list_opt::<i32>() {
                Some(lists) => {
                    positions.extend(elements(lists, row).map(|index| Some(start + index)))
                }
                None => positions.push(Some(start + row)),
            }
        }
        picker.row(positions);
    }
    picker.lists(&values, call.return_type)
}

fn slice(call: &Call<'_>) -> Result<ArrayRef> {
    let (lists, starts, lengths) = (list(call, 0)?, call.bigints(1)?, call.bigints(2)?);
    pick(call, lists, |row| {
        let range = elements(lists, row);
        let Ok(length) = usize::try_from(lengths.value(row)) else {
            return exec_err!("slice: the length is negative");
        };
        Ok(match lists::position(range.len(), starts.value(row))? {
            Some(first) => range.skip(first).take(length).map(Some).collect(),
            None => Vec::new(),
        })
    })
}

/// Arrays longer than this are surely a mistake, and would fill memory.
const LONGEST_REPEAT: i64 = 10_000;

fn repeat(call: &Call<'_>) -> Result<ArrayRef> {
    let counts = call.bigints(1)?;
    let mut picker = Picker::default();
    for row in 0..call.rows {
        if counts.is_null(row) {
            picker.null();
            continue;
        }
        let count = counts.value(row).max(0);
        if count > LONGEST_REPEAT {
            return exec_err!("repeat: {count} elements are more than {LONGEST_REPEAT}");
        }
        picker.row((0..count).map(|_| Some(row)));
    }
    picker.lists(&call.arrays[0], call.return_type)
}

fn zip_type(call: &CallTypes<'_>) -> Result<Field> {
    let fields = call.types.iter().enumerate().map(|(index, data_type)| {
        Ok(Field::new(
            format!("c{index}"),
            lists::element_field(data_type)?.data_type().clone(),
            true,
        ))
    });
    let fields: Fields = fields.collect::<Result<Vec<_>>>()?.into();
    Ok(Field::new(
        "",
        types::list_type(DataType::Struct(fields)),
        true,
    ))
}

fn zip(call: &Call<'_>) -> Result<ArrayRef> {
    let arguments: Vec<&ListArray> = (0..call.arrays.len())
        .map(|index| list(call, index))
        .collect::<Result<_>>()?;
    let longest = |row| {
        arguments
            .iter()
            .map(|lists| elements(lists, row).len())
            .max()
            .unwrap_or(0)
    };
    let valid: Vec<bool> = (0..call.rows).map(|row| !call.has_null(row)).collect();
    let lengths: Vec<usize> = (0..call.rows)
        .map(|row| if valid[row] { longest(row) } else { 0 })
        .collect();
    let mut columns = Vec::with_capacity(arguments.len());
    for lists in &arguments {
        let positions = lengths.iter().enumerate().flat_map(|(row, length)| {
            let range = elements(lists, row);
            (0..*length).map(move |nth| range.clone().nth(nth).map(|index| index as u64))
        });
        columns.push(take(
            lists.values(),
            &positions.collect::<UInt64Array>(),
            None,
        )?);
    }
    let DataType::Struct(fields) = lists::element_field(call.return_type)?.data_type() else {
        return plan_err!("zip gives rows");
    };
    let rows = StructArray::try_new(fields.clone(), columns, None)?;
    lists::lists_of(Arc::new(rows), lengths, valid, call.return_type)
}

fn ngrams(call: &Call<'_>) -> Result<ArrayRef> {
    let (lists, sizes) = (list(call, 0)?, call.bigints(1)?);
    let mut grams = Picker::default();
    let (mut lengths, mut valid) = (Vec::new(), Vec::new());
    for row in 0..call.rows {
        valid.push(!call.has_null(row));
        if call.has_null(row) {
            lengths.push(0);
            continue;
        }
        let positions: Vec<usize> = elements(lists, row).collect();
        let Some(size) = usize::try_from(sizes.value(row))
            .ok()
            .filter(|size| *size > 0)
        else {
            return exec_err!("ngrams: the size must be positive");
        };
        let windows = positions.windows(size.min(positions.len().max(1)));
        lengths.push(windows.len());
        windows.for_each(|window| grams.row(window.iter().copied().map(Some)));
    }
    let inner = lists::element_field(call.return_type)?.data_type();
    lists::lists_of(
        grams.lists(lists.values(), inner)?,
        lengths,
        valid,
        call.return_type,
    )
}

pub(super) fn reverse(call: &Call<'_>) -> Result<ArrayRef> {
    let lists = list(call, 0)?;
    pick(call, lists, |row| {
        Ok(elements(lists, row).rev().map(Some).collect())
    })
}
