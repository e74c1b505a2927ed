//! Functions on arrays. It must never know tables.

use std::cmp::Ordering;
use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, ListArray, StringBuilder, StructArray, UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::{cast, concat, take};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion_common::{Result, exec_err, plan_err};
use datafusion_expr::{Expr, ScalarUDF};

use super::lists::{self, Comparison, Picker, elements, list};
use super::scalar::Kind::{Any, Bigint, Binary, List, Map, Text};
use super::scalar::Overload::{Exact, Variadic};
use super::scalar::{Call, CallTypes, function, returns};
use super::text::to_i64;
use super::type_names::sql_name;
use super::{maps, sequence};
use crate::types;

static ORDINALS: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Arc::new(function(
        &["owlet_ordinals"],
        &[Variadic(&[List])],
        returns::bigints,
        evaluate_ordinals,
    ))
});

static SUBSCRIPT: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Arc::new(function(
        &["owlet_subscript"],
        &[Exact(&[List, Bigint]), Exact(&[Map, Any])],
        returns_item,
        |call| item(call, Missing::Fail),
    ))
});

/// All of them.
pub(super) fn functions() -> Vec<ScalarUDF> {
    let mut functions = searches();
    functions.extend(shapes());
    functions.push(ORDINALS.as_ref().clone());
    functions.extend(sequence::functions());
    functions
}

fn searches() -> Vec<ScalarUDF> {
    vec![
        function(
            &["contains"],
            &[Exact(&[List, Any])],
            returns::boolean,
            contains,
        ),
        function(
            &["array_position"],
            &[Exact(&[List, Any]), Exact(&[List, Any, Bigint])],
            returns::bigint,
            array_position,
        ),
        function(
            &["array_remove"],
            &[Exact(&[List, Any])],
            returns::first,
            array_remove,
        ),
        function(
            &["array_max"],
            &[Exact(&[List])],
            lists::returns_element,
            |call| extreme(call, Ordering::Greater),
        ),
        function(
            &["array_min"],
            &[Exact(&[List])],
            lists::returns_element,
            |call| extreme(call, Ordering::Less),
        ),
        function(
            &["arrays_overlap"],
            &[Exact(&[List, List])],
            returns::boolean,
            arrays_overlap,
        ),
        function(
            &["element_at"],
            &[Exact(&[List, Bigint]), Exact(&[Map, Any])],
            returns_item,
            |call| item(call, Missing::Null),
        ),
        SUBSCRIPT.as_ref().clone(),
        function(
            &["cardinality"],
            &[Exact(&[List]), Exact(&[Map])],
            returns::bigint,
            |call| match call.arrays[0].data_type() {
                DataType::Map(..) => {
                    let maps = lists::map(call, 0)?;
                    call.bigint(|row| Ok(to_i64(lists::entries(maps, row).len())))
                }
                _ => {
                    let lists = list(call, 0)?;
                    call.bigint(|row| Ok(to_i64(elements(lists, row).len())))
                }
            },
        ),
        function(
            &["array_join"],
            &[Exact(&[List, Text]), Exact(&[List, Text, Text])],
            returns::text,
            array_join,
        ),
    ]
}

fn shapes() -> Vec<ScalarUDF> {
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

/// `[1, 2, …, n]` where n is the length of the longest of the lists.
pub(crate) fn ordinals(lists: Vec<Expr>) -> Expr {
    ORDINALS.call(lists)
}

/// `container[key]`, where a missing element is an error.
pub(crate) fn subscript(container: Expr, key: Expr) -> Expr {
    SUBSCRIPT.call(vec![container, key])
}

fn evaluate_ordinals(call: &Call<'_>) -> Result<ArrayRef> {
    let lists: Vec<&ListArray> = (0..call.arrays.len())
        .map(|index| list(call, index))
        .collect::<Result<_>>()?;
    let longest = |row| {
        lists
            .iter()
            .map(|list| elements(list, row).len())
            .max()
            .unwrap_or(0)
    };
    let lengths: Vec<usize> = (0..call.rows).map(longest).collect();
    let ordinals = lengths.iter().flat_map(|length| (1_i64..).take(*length));
    let values = Arc::new(Int64Array::from_iter_values(ordinals));
    let field = Arc::new(Field::new_list_field(DataType::Int64, true));
    Ok(Arc::new(ListArray::new(
        field,
        OffsetBuffer::from_lengths(lengths),
        values,
        None,
    )))
}

/// Rows of elements of a list argument; rows with a NULL argument are NULL.
fn pick(
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

fn contains(call: &Call<'_>) -> Result<ArrayRef> {
    let lists = list(call, 0)?;
    let comparison = Comparison::try_new(lists.values(), &call.arrays[1])?;
    call.boolean(|row| {
        let mut unknown = false;
        for index in elements(lists, row) {
            match comparison.equal(index, row) {
                Some(true) => return Ok(Some(true)),
                Some(false) => {}
                None => unknown = true,
            }
        }
        Ok(if unknown { None } else { Some(false) })
    })
}

fn array_position(call: &Call<'_>) -> Result<ArrayRef> {
    let lists = list(call, 0)?;
    let comparison = Comparison::try_new(lists.values(), &call.arrays[1])?;
    let instances = if call.arrays.len() > 2 {
        Some(call.bigints(2)?)
    } else {
        None
    };
    call.bigint(|row| {
        let range = elements(lists, row);
        let found: Vec<usize> = range
            .clone()
            .filter(|index| comparison.equal(*index, row) == Some(true))
            .collect();
        let instance = instances.map_or(1, |instances| instances.value(row));
        let found = lists::position(found.len(), instance)?.map(|nth| found[nth] - range.start + 1);
        Ok(to_i64(found.unwrap_or(0)))
    })
}

fn array_remove(call: &Call<'_>) -> Result<ArrayRef> {
    let lists = list(call, 0)?;
    let comparison = Comparison::try_new(lists.values(), &call.arrays[1])?;
    pick(call, lists, |row| {
        Ok(elements(lists, row)
            .filter(|index| comparison.equal(*index, row) != Some(true))
            .map(Some)
            .collect())
    })
}

/// NULL if there is a NULL among the elements, or no element.
fn extreme(call: &Call<'_>, wanted: Ordering) -> Result<ArrayRef> {
    let lists = list(call, 0)?;
    let values = lists.values();
    let comparison = Comparison::try_new(values, values)?;
    let best = |row: usize| -> Option<u64> {
        let range = elements(lists, row);
        if range.clone().any(|index| values.is_null(index)) {
            return None;
        }
        let better = |best: usize, next: usize| {
            if comparison.order(next, best) == wanted {
                next
            } else {
                best
            }
        };
        range.reduce(better).map(|index| index as u64)
    };
    let best: UInt64Array = (0..call.rows).map(best).collect();
    Ok(take(values, &best, None)?)
}

fn arrays_overlap(call: &Call<'_>) -> Result<ArrayRef> {
    let (left, right) = (list(call, 0)?, list(call, 1)?);
    let comparison = Comparison::try_new(left.values(), right.values())?;
    call.boolean(|row| {
        let mut unknown = false;
        for left in elements(left, row) {
            for right in elements(right, row) {
                match comparison.equal(left, right) {
                    Some(true) => return Ok(Some(true)),
                    Some(false) => {}
                    None => unknown = true,
                }
            }
        }
        Ok(if unknown { None } else { Some(false) })
    })
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

/// What an index outside an array or a key that a map does not have gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    Null,
    Fail,
}

fn returns_item(call: &CallTypes<'_>) -> Result<Field> {
    match &call.types[0] {
        DataType::Map(..) => Ok(Field::new(
            "",
            lists::entry_fields(&call.types[0])?.1.data_type().clone(),
            true,
        )),
        _ => lists::returns_element(call),
    }
}

fn item(call: &Call<'_>, missing: Missing) -> Result<ArrayRef> {
    if let DataType::Map(..) = call.arrays[0].data_type() {
        return maps::item(call, missing == Missing::Fail);
    }
    let (lists, indexes) = (list(call, 0)?, call.bigints(1)?);
    let found = call.values(|row| {
        let (range, index) = (elements(lists, row), indexes.value(row));
        match (lists::position(range.len(), index)?, missing) {
            (_, Missing::Fail) if index < 0 => {
                exec_err!("array index {index} is negative; element_at counts from the end")
            }
            (Some(position), _) => Ok(Some((range.start + position) as u64)),
            (None, Missing::Null) => Ok(None),
            (None, Missing::Fail) => {
                exec_err!(
                    "array index {index} is outside an array of {}; element_at gives NULL",
                    range.len()
                )
            }
        }
    })?;
    Ok(take(lists.values(), &UInt64Array::from(found), None)?)
}

fn array_join(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = lists::TextLists::try_new(&call.arrays[0])?;
    let separators = call.texts(1)?;
    let replacements = if call.arrays.len() > 2 {
        Some(call.texts(2)?)
    } else {
        None
    };
    let mut joined = StringBuilder::new();
    for row in 0..call.rows {
        match texts.texts(row).filter(|_| !call.has_null(row)) {
            None => joined.append_null(),
            Some(texts) => {
                let replacement = replacements.map(|replacements| replacements.value(row));
                let parts: Vec<&str> = texts
                    .into_iter()
                    .filter_map(|text| text.or(replacement))
                    .collect();
                joined.append_value(parts.join(separators.value(row)));
            }
        }
    }
    Ok(Arc::new(joined.finish()))
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
