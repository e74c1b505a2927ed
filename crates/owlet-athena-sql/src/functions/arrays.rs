//! Functions on arrays. It must never know tables.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, ListArray, MutableArrayData, StringArray, make_array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};
use datafusion_common::{Result, internal_datafusion_err};
use datafusion_expr::{Expr, ScalarUDF};

use super::scalar::Kind::List;
use super::scalar::Overload::Variadic;
use super::scalar::{Call, function, returns};

static ORDINALS: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Arc::new(function(
        &["owlet_ordinals"],
        &[Variadic(&[List])],
        returns::bigints,
        evaluate_ordinals,
    ))
});

/// All of them.
pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![ORDINALS.as_ref().clone()]
}

/// `[1, 2, …, n]` where n is the length of the longest of the lists.
pub(crate) fn ordinals(lists: Vec<Expr>) -> Expr {
    ORDINALS.call(lists)
}

fn evaluate_ordinals(call: &Call<'_>) -> Result<ArrayRef> {
    let lists: Vec<&ListArray> = (0..call.arrays.len())
        .map(|index| list(call, index))
        .collect::<Result<_>>()?;
    let length = |list: &ListArray, row| {
        if list.is_null(row) {
            0
        } else {
            list.value_length(row)
        }
    };
    let lengths = (0..call.rows).map(|row| {
        lists
            .iter()
            .map(|list| length(list, row))
            .max()
            .unwrap_or(0)
    });
    let lengths: Vec<usize> = lengths
        .map(|length| usize::try_from(length).unwrap_or(0))
        .collect();
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

/// An argument as a list array.
pub(super) fn list<'a>(call: &'a Call<'_>, index: usize) -> Result<&'a ListArray> {
    call.arrays
        .get(index)
        .and_then(|array| array.as_list_opt::<i32>())
        .ok_or_else(|| internal_datafusion_err!("{}: argument {index} is not a list", call.name))
}

/// Lists of texts, cast from whatever their elements are.
pub(super) struct TextLists {
    lists: ListArray,
    values: StringArray,
}

impl TextLists {
    /// The texts of a row; `None` if the list is NULL.
    pub(super) fn texts(&self, row: usize) -> Option<Vec<Option<&str>>> {
        if self.lists.is_null(row) {
            return None;
        }
        let range = range(&self.lists, row);
        Some(
            range
                .map(|index| {
                    self.values
                        .is_valid(index)
                        .then(|| self.values.value(index))
                })
                .collect(),
        )
    }
}

/// Reads lists as lists of texts.
pub(super) fn text_lists(lists: &ArrayRef) -> Result<TextLists> {
    let lists = lists
        .as_list_opt::<i32>()
        .ok_or_else(|| internal_datafusion_err!("expected a list, not {}", lists.data_type()))?;
    let values = super::conversion::to_varchar(lists.values(), super::conversion::OnError::Fail)?;
    Ok(TextLists {
        lists: lists.clone(),
        values: values.as_string::<i32>().clone(),
    })
}

/// Positions of a row's elements in the list's values.
pub(super) fn range(lists: &ListArray, row: usize) -> std::ops::Range<usize> {
    let offsets = lists.value_offsets();
    usize::try_from(offsets[row]).unwrap_or(0)..usize::try_from(offsets[row + 1]).unwrap_or(0)
}

pub(super) fn reverse(call: &Call<'_>) -> Result<ArrayRef> {
    let lists = list(call, 0)?;
    let data = lists.values().to_data();
    let mut reversed = MutableArrayData::new(vec![&data], false, data.len());
    let mut lengths = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        let range = if lists.is_null(row) {
            0..0
        } else {
            range(lists, row)
        };
        lengths.push(range.len());
        for index in range.rev() {
            reversed.try_extend(0, index, index + 1)?;
        }
    }
    let DataType::List(field) = lists.data_type() else {
        return Err(internal_datafusion_err!("reverse: not a list"));
    };
    let values = make_array(reversed.freeze());
    Ok(Arc::new(ListArray::new(
        Arc::clone(field),
        OffsetBuffer::from_lengths(lengths),
        values,
        lists.nulls().cloned(),
    )))
}
