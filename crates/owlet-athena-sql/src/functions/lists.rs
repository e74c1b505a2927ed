//! Building blocks for functions on arrays and maps: reading rows of lists, comparing elements, making lists.
//! It must never know a function.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DynComparator, ListArray, MapArray, StringArray, StructArray,
    UInt64Array, make_comparator,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{SortOptions, take};
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::error::ArrowError;
use datafusion_common::utils::normalize_float_zero;
use datafusion_common::{Result, exec_datafusion_err, exec_err, internal_datafusion_err, plan_err};
use datafusion_expr::binary::comparison_coercion;

use super::conversion::{self, OnError};
use super::scalar::{Call, CallTypes};
use super::type_names::sql_name;
use crate::functions::conversion::cast;

/// An argument as a list array.
pub(super) fn list<'a>(call: &'a Call<'_>, index: usize) -> Result<&'a ListArray> {
    call.arrays
        .get(index)
        .and_then(|array| array.as_list_opt::<i32>())
        .ok_or_else(|| internal_datafusion_err!("{}: argument {index} is not a list", call.name))
}

/// An argument as a map array.
pub(super) fn map<'a>(call: &'a Call<'_>, index: usize) -> Result<&'a MapArray> {
    call.arrays
        .get(index)
        .and_then(|array| array.as_map_opt())
        .ok_or_else(|| internal_datafusion_err!("{}: argument {index} is not a map", call.name))
}

fn span(offsets: &[i32], row: usize) -> Range<usize> {
    usize::try_from(offsets[row]).unwrap_or(0)..usize::try_from(offsets[row + 1]).unwrap_or(0)
}

/// Positions of a row's elements in the list's values; nothing for a NULL list.
pub(super) fn elements(lists: &ListArray, row: usize) -> Range<usize> {
    if lists.is_null(row) {
        0..0
    } else {
        span(lists.value_offsets(), row)
    }
}

/// Positions of a row's entries in the map's keys and values; nothing for a NULL map.
pub(super) fn entries(maps: &MapArray, row: usize) -> Range<usize> {
    if maps.is_null(row) {
        0..0
    } else {
        span(maps.value_offsets(), row)
    }
}

/// The element field of a list type.
pub(super) fn element_field(data_type: &DataType) -> Result<&FieldRef> {
    match data_type {
        DataType::List(field) => Ok(field),
        other => plan_err!("expected an array, not {}", sql_name(other)),
    }
}

/// Key and value fields of a map type.
pub(super) fn entry_fields(data_type: &DataType) -> Result<(&FieldRef, &FieldRef)> {
    match data_type {
        DataType::Map(entries, _) => match entries.data_type() {
            DataType::Struct(fields) if fields.len() == 2 => Ok((&fields[0], &fields[1])),
            other => plan_err!("a map of {other}"),
        },
        other => plan_err!("expected a map, not {}", sql_name(other)),
    }
}

/// The element type of the first argument, for result types.
pub(super) fn returns_element(call: &CallTypes<'_>) -> Result<Field> {
    Ok(item_field(element_field(&call.types[0])?))
}

/// A nullable field of an item's type; what is known about the item (that it is JSON) stays known.
pub(super) fn item_field(item: &Field) -> Field {
    Field::new("", item.data_type().clone(), true).with_metadata(item.metadata().clone())
}

/// Collects rows of positions in some values and makes a list array of them.
#[derive(Debug, Default)]
pub(super) struct Picker {
    positions: Vec<Option<u64>>,
    lengths: Vec<usize>,
    valid: Vec<bool>,
}

impl Picker {
    /// A row of elements by their positions; `None` is a NULL element.
    pub(super) fn row(&mut self, positions: impl IntoIterator<Item = Option<usize>>) {
        let before = self.positions.len();
        self.positions.extend(
            positions
                .into_iter()
                .map(|position| position.map(|position| position as u64)),
        );
        self.lengths.push(self.positions.len() - before);
        self.valid.push(true);
    }

    /// A NULL row.
    pub(super) fn null(&mut self) {
        self.lengths.push(0);
        self.valid.push(false);
    }

    /// The lists over `values`, of a list type.
    pub(super) fn lists(self, values: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
        let values = take(values, &UInt64Array::from(self.positions), None)?;
        lists_of(values, self.lengths, self.valid, data_type)
    }
}

/// Values cut into lists.
pub(super) fn lists_of(
    values: ArrayRef,
    lengths: Vec<usize>,
    valid: Vec<bool>,
    data_type: &DataType,
) -> Result<ArrayRef> {
    if i32::try_from(values.len()).is_err() {
        return exec_err!("arrays of a batch hold more than {} elements", i32::MAX);
    }
    let field = element_field(data_type)?;
    let values = if values.data_type() == field.data_type() {
        values
    } else {
        cast(&values, field.data_type())?
    };
    let field = Arc::new(field.as_ref().clone().with_nullable(true));
    let nulls = NullBuffer::from(valid);
    let nulls = (nulls.null_count() > 0).then_some(nulls);
    Ok(Arc::new(ListArray::try_new(
        field,
        OffsetBuffer::from_lengths(lengths),
        values,
        nulls,
    )?))
}

/// Keys and values cut into maps.
pub(super) fn maps_of(
    keys: ArrayRef,
    values: ArrayRef,
    lengths: Vec<usize>,
    valid: Vec<bool>,
    data_type: &DataType,
) -> Result<ArrayRef> {
    let (DataType::Map(entries_field, sorted), (key, value)) =
        (data_type, entry_fields(data_type)?)
    else {
        return plan_err!("expected a map, not {}", sql_name(data_type));
    };
    let (keys, values) = (
        cast(&keys, key.data_type())?,
        cast(&values, value.data_type())?,
    );
    let fields = vec![Arc::clone(key), Arc::clone(value)].into();
    let entries = StructArray::try_new(fields, vec![keys, values], None)?;
    let nulls = NullBuffer::from(valid);
    let nulls = (nulls.null_count() > 0).then_some(nulls);
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(MapArray::try_new(
        Arc::clone(entries_field),
        offsets,
        entries,
        nulls,
        *sorted,
    )?))
}

/// Two columns in a common type, and their order.
pub(super) struct Comparison {
    left: ArrayRef,
    right: ArrayRef,
    compare: DynComparator,
}

impl std::fmt::Debug for Comparison {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Comparison")
            .field("type", self.left.data_type())
            .finish_non_exhaustive()
    }
}

impl Comparison {
    /// Fails when the types cannot be compared.
    pub(super) fn try_new(left: &ArrayRef, right: &ArrayRef) -> Result<Self> {
        let common = common_type(left.data_type(), right.data_type())?;
        // -0.0 equals 0.0, though not to the comparator.
        let comparable =
            |values: &ArrayRef| Ok::<_, ArrowError>(normalize_float_zero(&cast(values, &common)?));
        let (left, right) = (comparable(left)?, comparable(right)?);
        let compare = make_comparator(
            &left,
            &right,
            SortOptions {
                descending: false,
                nulls_first: false,
            },
        )?;
        Ok(Self {
            left,
            right,
            compare,
        })
    }

    /// The order of a left and a right value; NULLs come last.
    pub(super) fn order(&self, left: usize, right: usize) -> Ordering {
        (self.compare)(left, right)
    }

    /// Equality; `None` if one of the values is NULL.
    pub(super) fn equal(&self, left: usize, right: usize) -> Option<bool> {
        (self.left.is_valid(left) && self.right.is_valid(right))
            .then(|| self.order(left, right) == Ordering::Equal)
    }
}

/// The type in which two types are compared.
pub(super) fn common_type(left: &DataType, right: &DataType) -> Result<DataType> {
    // Texts among the elements of a list could be rounded to a decimal or a date.
    let is_rounded = |one: &DataType, other: &DataType| {
        one.is_string() && (other.is_decimal() || other.is_temporal())
    };
    let same = if left == right {
        Some(left.clone())
    } else if is_rounded(left, right) || is_rounded(right, left) {
        None
    } else {
        comparison_coercion(left, right)
    };
    match (same, left, right) {
        (Some(common), ..) => Ok(common),
        (None, DataType::Null, other) | (None, other, DataType::Null) => Ok(other.clone()),
        _ => exec_err!(
            "{} and {} cannot be compared",
            sql_name(left),
            sql_name(right)
        ),
    }
}

/// Lists of texts, cast from whatever their elements are.
pub(super) struct TextLists {
    lists: ListArray,
    values: StringArray,
}

impl TextLists {
    /// Reads lists as lists of texts.
    pub(super) fn try_new(lists: &ArrayRef) -> Result<Self> {
        let lists = lists.as_list_opt::<i32>().ok_or_else(|| {
            internal_datafusion_err!("expected a list, not {}", lists.data_type())
        })?;
        let values = conversion::print::to_varchar(lists.values(), OnError::Fail)?;
        Ok(Self {
            lists: lists.clone(),
            values: values.as_string::<i32>().clone(),
        })
    }

    /// The texts of a row; `None` if the list is NULL.
    pub(super) fn texts(&self, row: usize) -> Option<Vec<Option<&str>>> {
        if self.lists.is_null(row) {
            return None;
        }
        let text = |index| {
            self.values
                .is_valid(index)
                .then(|| self.values.value(index))
        };
        Some(elements(&self.lists, row).map(text).collect())
    }
}

/// The position that an index from 1 (or from the end when negative) points at; `None` outside.
pub(super) fn position(length: usize, index: i64) -> Result<Option<usize>> {
    let length = i64::try_from(length).map_err(|_| exec_datafusion_err!("array too long"))?;
    let position = match index {
        0 => return exec_err!("array indexes count from 1"),
        1.. => index - 1,
        _ => length.saturating_add(index),
    };
    Ok(usize::try_from(position).ok().filter(|_| position < length))
}
