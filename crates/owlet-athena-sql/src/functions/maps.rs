//! Functions on maps. It must never know tables.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, StructArray, UInt64Array};
use arrow::compute::{concat, take};
use arrow::datatypes::{DataType, Field};
use datafusion_common::{Result, exec_err, plan_err};
use datafusion_expr::ScalarUDF;

use super::lists::{self, Comparison, elements, entries, list, map};
use super::scalar::Kind::{List, Map, Text};
use super::scalar::Overload::{Exact, Variadic};
use super::scalar::{Call, CallTypes, function, returns};
use super::type_names::sql_name;
use crate::types;

/// Another name of `map`, under which the planner takes it without arguments.
pub(crate) const EMPTY_MAP: &str = "owlet_map";

/// All of them.
pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![
        function(
            &["map", EMPTY_MAP],
            &[Exact(&[]), Exact(&[List, List])],
            map_type,
            map_of_lists,
        ),
        function(
            &["map_concat"],
            &[Variadic(&[Map])],
            returns::first,
            map_concat,
        ),
        function(
            &["map_from_entries"],
            &[Exact(&[List])],
            from_entries_type,
            map_from_entries,
        ),
        function(
            &["map_entries"],
            &[Exact(&[Map])],
            |call| {
                let (key, value) = lists::entry_fields(&call.types[0])?;
                let fields = vec![
                    Field::new("c0", key.data_type().clone(), true),
                    Field::new("c1", value.data_type().clone(), true),
                ];
                Ok(Field::new(
                    "",
                    types::list_type(DataType::Struct(fields.into())),
                    true,
                ))
            },
            map_entries,
        ),
        function(
            &["split_to_map"],
            &[Exact(&[Text, Text, Text])],
            text_map,
            split_to_map,
        ),
        function(
            &["split_to_multimap"],
            &[Exact(&[Text, Text, Text])],
            |_| {
                let texts = types::list_type(DataType::Utf8);
                Ok(Field::new("", types::map_type(DataType::Utf8, texts), true))
            },
            split_to_multimap,
        ),
    ]
}

/// The value of a key. NULL if the map has no such key, or an error if that is asked for.
pub(super) fn item(call: &Call<'_>, strict: bool) -> Result<ArrayRef> {
    let maps = map(call, 0)?;
    let comparison = Comparison::try_new(maps.keys(), &call.arrays[1])?;
    let found = call.values(|row| {
        let found = entries(maps, row).find(|index| comparison.equal(*index, row) == Some(true));
        match found {
            None if strict => {
                let key = super::conversion::print::to_varchar(
                    &call.arrays[1].slice(row, 1),
                    super::conversion::OnError::Null,
                )?;
                exec_err!(
                    "the map has no key {}; element_at gives NULL",
                    key.as_string::<i32>().value(0)
                )
            }
            found => Ok(found.map(|index| index as u64)),
        }
    })?;
    Ok(take(maps.values(), &UInt64Array::from(found), None)?)
}

fn map_type(call: &CallTypes<'_>) -> Result<Field> {
    let element = |index: usize| -> Result<DataType> {
        match call.types.get(index) {
            Some(list) => Ok(lists::element_field(list)?.data_type().clone()),
            None => Ok(DataType::Utf8),
        }
    };
    Ok(Field::new(
        "",
        types::map_type(element(0)?, element(1)?),
        true,
    ))
}

fn map_of_lists(call: &Call<'_>) -> Result<ArrayRef> {
    if call.arrays.is_empty() {
        let nothing: ArrayRef = Arc::new(StringArray::new_null(0));
        return lists::maps_of(
            Arc::clone(&nothing),
            nothing,
            vec![0; call.rows],
            vec![true; call.rows],
            call.return_type,
        );
    }
    let (keys, values) = (list(call, 0)?, list(call, 1)?);
    let mut builder = MapPicker::new(keys.values())?;
    for row in 0..call.rows {
        if call.has_null(row) {
            builder.null();
            continue;
        }
        let (keys, values) = (elements(keys, row), elements(values, row));
        if keys.len() != values.len() {
            return exec_err!("map: {} keys but {} values", keys.len(), values.len());
        }
        builder.row(keys.zip(values), Duplicates::Fail)?;
    }
    builder.maps(values.values(), call.return_type)
}

/// What happens when a key comes twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Duplicates {
    Fail,
    /// The later value counts.
    Replace,
}

/// Collects entries of maps by the positions of their keys and values.
struct MapPicker {
    all_keys: ArrayRef,
    comparison: Comparison,
    keys: Vec<u64>,
    values: Vec<u64>,
    lengths: Vec<usize>,
    valid: Vec<bool>,
}

impl MapPicker {
    fn new(keys: &ArrayRef) -> Result<Self> {
        Ok(Self {
            all_keys: Arc::clone(keys),
            comparison: Comparison::try_new(keys, keys)?,
            keys: Vec::new(),
            values: Vec::new(),
            lengths: Vec::new(),
            valid: Vec::new(),
        })
    }

    fn null(&mut self) {
        self.lengths.push(0);
        self.valid.push(false);
    }

    fn row(
        &mut self,
        entries: impl Iterator<Item = (usize, usize)>,
        duplicates: Duplicates,
    ) -> Result<()> {
        let start = self.keys.len();
        let mut sorted: Vec<(usize, usize)> = Vec::new();
        for (key, value) in entries {
            if self.all_keys.is_null(key) {
                return exec_err!("a map's key cannot be NULL");
            }
            // Keys are found again by binary search, so that big maps are made in time.
            let place = sorted.binary_search_by(|(known, _)| self.comparison.order(*known, key));
            match (place, duplicates) {
                (Ok(_), Duplicates::Fail) => {
                    let key = arrow::util::display::array_value_to_string(&self.all_keys, key)?;
                    return exec_err!("duplicate key {key} in a map");
                }
                (Ok(place), Duplicates::Replace) => {
                    let entry = sorted[place].1;
                    self.values[entry] = value as u64;
                }
                (Err(place), _) => {
                    sorted.insert(place, (key, self.keys.len()));
                    self.keys.push(key as u64);
                    self.values.push(value as u64);
                }
            }
        }
        self.lengths.push(self.keys.len() - start);
        self.valid.push(true);
        Ok(())
    }

    fn maps(self, all_values: &ArrayRef, data_type: &DataType) -> Result<ArrayRef> {
        let keys = take(&self.all_keys, &UInt64Array::from(self.keys), None)?;
        let values = take(all_values, &UInt64Array::from(self.values), None)?;
        lists::maps_of(keys, values, self.lengths, self.valid, data_type)
    }
}

fn map_concat(call: &Call<'_>) -> Result<ArrayRef> {
    let maps = (0..call.arrays.len())
        .map(|index| map(call, index))
        .collect::<Result<Vec<_>>>()?;
    let keys: Vec<&dyn Array> = maps.iter().map(|map| map.keys().as_ref()).collect();
    let values: Vec<&dyn Array> = maps.iter().map(|map| map.values().as_ref()).collect();
    let (keys, values) = (concat(&keys)?, concat(&values)?);
    let mut builder = MapPicker::new(&keys)?;
    for row in 0..call.rows {
        if call.has_null(row) {
            builder.null();
            continue;
        }
        let mut start = 0;
        let mut positions = Vec::new();
        for map in &maps {
            positions.extend(entries(map, row).map(|index| (start + index, start + index)));
            start += map.keys().len();
        }
        builder.row(positions.into_iter(), Duplicates::Replace)?;
    }
    builder.maps(&values, call.return_type)
}

fn from_entries_type(call: &CallTypes<'_>) -> Result<Field> {
    match lists::element_field(&call.types[0])?.data_type() {
        DataType::Struct(fields) if fields.len() == 2 => {
            let (key, value) = (fields[0].data_type().clone(), fields[1].data_type().clone());
            Ok(Field::new("", types::map_type(key, value), true))
        }
        other => plan_err!(
            "map_from_entries takes an array of rows of two, not of {}",
            sql_name(other)
        ),
    }
}

fn map_from_entries(call: &Call<'_>) -> Result<ArrayRef> {
    let lists = list(call, 0)?;
    let rows: &StructArray = lists.values().as_struct();
    let mut builder = MapPicker::new(rows.column(0))?;
    for row in 0..call.rows {
        if call.has_null(row) {
            builder.null();
            continue;
        }
        if elements(lists, row).any(|index| rows.is_null(index)) {
            return exec_err!("map_from_entries: an entry is NULL");
        }
        builder.row(
            elements(lists, row).map(|index| (index, index)),
            Duplicates::Fail,
        )?;
    }
    builder.maps(rows.column(1), call.return_type)
}

fn map_entries(call: &Call<'_>) -> Result<ArrayRef> {
    let maps = map(call, 0)?;
    let DataType::Struct(fields) = lists::element_field(call.return_type)?.data_type() else {
        return plan_err!("map_entries gives rows");
    };
    let columns = vec![Arc::clone(maps.keys()), Arc::clone(maps.values())];
    let rows: ArrayRef = Arc::new(StructArray::try_new(fields.clone(), columns, None)?);
    let mut picker = lists::Picker::default();
    for row in 0..call.rows {
        match call.has_null(row) {
            true => picker.null(),
            false => picker.row(entries(maps, row).map(Some)),
        }
    }
    picker.lists(&rows, call.return_type)
}

fn text_map(_: &CallTypes<'_>) -> Result<Field> {
    Ok(Field::new(
        "",
        types::map_type(DataType::Utf8, DataType::Utf8),
        true,
    ))
}

/// The keys and values of a text like `a=1,b=2`, in their order.
fn text_entries<'a>(call: &'a Call<'_>, row: usize) -> Result<Vec<(&'a str, &'a str)>> {
    let name = call.name;
    let (text, entry_mark, value_mark) = (
        call.texts(0)?.value(row),
        call.texts(1)?.value(row),
        call.texts(2)?.value(row),
    );
    if entry_mark.is_empty() || value_mark.is_empty() || entry_mark == value_mark {
        return exec_err!("{name}: the delimiters must be two different texts");
    }
    text.split(entry_mark)
        .filter(|entry| !entry.is_empty())
        .map(|entry| match entry.split_once(value_mark) {
            Some(parts) => Ok(parts),
            None => exec_err!("{name}: '{entry}' has no '{value_mark}'"),
        })
        .collect()
}

fn split_to_map(call: &Call<'_>) -> Result<ArrayRef> {
    let (mut keys, mut values): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    let mut rows = Vec::with_capacity(call.rows);
    for row in 0..call.rows {
        if call.has_null(row) {
            rows.push(None);
            continue;
        }
        let start = keys.len();
        for (key, value) in text_entries(call, row)? {
            keys.push(key);
            values.push(value);
        }
        rows.push(Some(start..keys.len()));
    }
    let keys: ArrayRef = Arc::new(StringArray::from(keys));
    let mut builder = MapPicker::new(&keys)?;
    for row in rows {
        match row {
            None => builder.null(),
            Some(range) => builder.row(range.map(|index| (index, index)), Duplicates::Fail)?,
        }
    }
    builder.maps(
        &(Arc::new(StringArray::from(values)) as ArrayRef),
        call.return_type,
    )
}

/// All values of a key, in their order, in the place where the key comes first.
fn split_to_multimap(call: &Call<'_>) -> Result<ArrayRef> {
    let (mut keys, mut values): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    let (mut counts, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
    for row in 0..call.rows {
        valid.push(!call.has_null(row));
        let mut grouped: Vec<(&str, Vec<&str>)> = Vec::new();
        if !call.has_null(row) {
            for (key, value) in text_entries(call, row)? {
                match grouped.iter_mut().find(|(known, _)| *known == key) {
                    Some((_, known)) => known.push(value),
                    None => grouped.push((key, vec![value])),
                }
            }
        }
        lengths.push(grouped.len());
        for (key, group) in grouped {
            keys.push(key);
            counts.push(group.len());
            values.extend(group);
        }
    }
    let lists = lists::lists_of(
        Arc::new(StringArray::from(values)),
        counts,
        vec![true; keys.len()],
        &types::list_type(DataType::Utf8),
    )?;
    lists::maps_of(
        Arc::new(StringArray::from(keys)),
        lists,
        lengths,
        valid,
        call.return_type,
    )
}
