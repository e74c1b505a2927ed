//! Functions on arrays. It must never know tables.

use std::cmp::Ordering;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, Int64Array, ListArray, StringBuilder, UInt64Array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, Field};
use datafusion_common::{Result, exec_err};
use datafusion_expr::{Expr, ScalarUDF};

use super::array_shapes::{self, pick};
use super::lists::{self, Comparison, elements, list};
use super::scalar::Kind::{Any, Bigint, List, Map, Text};
use super::scalar::Overload::{Exact, Variadic};
use super::scalar::{Call, CallTypes, function, returns};
use super::text::to_i64;
use super::{maps, sequence};

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
    functions.extend(array_shapes::functions());
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

/// What an index outside an array or a key that a map does not have gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    Null,
    Fail,
}

fn returns_item(call: &CallTypes<'_>) -> Result<Field> {
    match &call.types[0] {
        DataType::Map(..) => Ok(lists::item_field(lists::entry_fields(&call.types[0])?.1)),
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
