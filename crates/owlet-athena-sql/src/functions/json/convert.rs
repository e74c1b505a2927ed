//! `CAST(json AS type)` and `CAST(value AS JSON)`. It must never know paths.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, StructArray, new_null_array};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Float32Type, Float64Type};
use datafusion_common::{Result, exec_datafusion_err, exec_err, plan_err};

use super::super::conversion::{self, OnError};
use super::super::lists;
use super::super::type_names::sql_name;
use super::document::Json;
use super::shortened;
use crate::functions::conversion::cast;
use crate::types::is_json;

/// Documents as values of a type.
pub(in super::super) fn from_json(documents: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    let documents = cast(documents, &DataType::Utf8)?;
    let read = |text: Option<&str>| match text {
        None => Ok(None),
        Some(text) => match Json::parse(text) {
            Ok(json) => Ok(Some(json)),
            Err(_) => exec_err!("this is not JSON: {}", shortened(text)),
        },
    };
    let documents: Vec<Option<Json>> = documents
        .as_string::<i32>()
        .iter()
        .map(read)
        .collect::<Result<_>>()?;
    let documents: Vec<Option<&Json>> = documents.iter().map(Option::as_ref).collect();
    column(&documents, &Field::new("", target.clone(), true))
}

fn column(values: &[Option<&Json>], target: &Field) -> Result<ArrayRef> {
    if is_json(target) {
        return Ok(Arc::new(StringArray::from_iter(
            values.iter().map(|value| value.map(Json::to_text)),
        )));
    }
    // JSON null is NULL in every type.
    let values: Vec<Option<&Json>> = values
        .iter()
        .map(|value| value.filter(|value| **value != Json::Null))
        .collect();
    match target.data_type() {
        DataType::List(element) => list_column(&values, element, target.data_type()),
        DataType::Map(..) => map_column(&values, target.data_type()),
        DataType::Struct(fields) => row_column(&values, fields),
        data_type => scalar_column(&values, data_type),
    }
}

fn wrong<T>(value: &Json, target: &str) -> Result<T> {
    exec_err!(
        "the JSON value {} cannot be cast to {target}",
        shortened(&value.to_text())
    )
}

fn scalar_column(values: &[Option<&Json>], data_type: &DataType) -> Result<ArrayRef> {
    let text = |value: &&Json| match value.scalar_text() {
        Some(text) => Ok(text),
        None => wrong(value, &sql_name(data_type)),
    };
    let texts: Vec<Option<String>> = values
        .iter()
        .map(|value| value.as_ref().map(text).transpose())
        .collect::<Result<_>>()?;
    let texts: ArrayRef = Arc::new(StringArray::from(texts));
    if data_type.is_integer() {
        // 1.5 and 1e3 are numbers too; they are rounded as CAST rounds.
        let source = Field::new("", DataType::Utf8, true);
        let whole = conversion::convert(
            &texts,
            &source,
            &Field::new("", data_type.clone(), true),
            OnError::Fail,
        );
        if let Ok(whole) = whole {
            return Ok(whole);
        }
        let double = Field::new("", DataType::Float64, true);
        let doubles = conversion::convert(&texts, &source, &double, OnError::Fail)?;
        return conversion::convert(
            &doubles,
            &double,
            &Field::new("", data_type.clone(), true),
            OnError::Fail,
        );
    }
    let (source, target) = (
        Field::new("", DataType::Utf8, true),
        Field::new("", data_type.clone(), true),
    );
    conversion::convert(&texts, &source, &target, OnError::Fail)
}

fn list_column(
    values: &[Option<&Json>],
    element: &FieldRef,
    data_type: &DataType,
) -> Result<ArrayRef> {
    let mut elements: Vec<Option<&Json>> = Vec::new();
    let (mut lengths, mut valid) = (Vec::new(), Vec::new());
    for value in values {
        let own: &[Json] = match value {
            None => &[],
            Some(Json::Array(own)) => own,
            Some(other) => return wrong(other, &sql_name(data_type)),
        };
        elements.extend(own.iter().map(Some));
        lengths.push(own.len());
        valid.push(value.is_some());
    }
    lists::lists_of(column(&elements, element)?, lengths, valid, data_type)
}

fn map_column(values: &[Option<&Json>], data_type: &DataType) -> Result<ArrayRef> {
    let (key_field, value_field) = lists::entry_fields(data_type)?;
    let mut names: Vec<Json> = Vec::new();
    let mut members: Vec<Option<&Json>> = Vec::new();
    let (mut lengths, mut valid) = (Vec::new(), Vec::new());
    for value in values {
        let own: &[(String, Json)] = match value {
            None => &[],
            Some(Json::Object(own)) => own,
            Some(other) => return wrong(other, &sql_name(data_type)),
        };
        names.extend(own.iter().map(|(name, _)| Json::Text(name.clone())));
        members.extend(own.iter().map(|(_, member)| Some(member)));
        lengths.push(own.len());
        valid.push(value.is_some());
    }
    let names: Vec<Option<&Json>> = names.iter().map(Some).collect();
    lists::maps_of(
        column(&names, key_field)?,
        column(&members, value_field)?,
        lengths,
        valid,
        data_type,
    )
}

/// Arrays by position, objects by name; names are compared without case.
fn row_column(values: &[Option<&Json>], fields: &Fields) -> Result<ArrayRef> {
    let mut columns: Vec<Vec<Option<&Json>>> = vec![Vec::with_capacity(values.len()); fields.len()];
    for value in values {
        match value {
            None => columns.iter_mut().for_each(|column| column.push(None)),
            Some(Json::Array(own)) if own.len() == fields.len() => {
                columns
                    .iter_mut()
                    .zip(own)
                    .for_each(|(column, value)| column.push(Some(value)));
            }
            Some(Json::Object(members)) => {
                for (column, field) in columns.iter_mut().zip(fields) {
                    let named = members
                        .iter()
                        .rev()
                        .find(|(name, _)| name.eq_ignore_ascii_case(field.name()));
                    column.push(named.map(|(_, value)| value));
                }
            }
            Some(other) => return wrong(other, &sql_name(&DataType::Struct(fields.clone()))),
        }
    }
    let columns = columns
        .iter()
        .zip(fields)
        .map(|(values, field)| column(values, field))
        .collect::<Result<_>>()?;
    let nulls = arrow::buffer::NullBuffer::from_iter(values.iter().map(Option::is_some));
    Ok(Arc::new(StructArray::try_new(
        fields.clone(),
        columns,
        Some(nulls),
    )?))
}

/// Values as documents.
pub(in super::super) fn to_json(array: &ArrayRef, source: &Field) -> Result<ArrayRef> {
    if array.data_type().is_null() {
        return Ok(new_null_array(&DataType::Utf8, array.len()));
    }
    let documents = documents(array, source)?;
    let texts = documents
        .into_iter()
        .enumerate()
        .map(|(row, json)| array.is_valid(row).then(|| json.to_text()));
    Ok(Arc::new(StringArray::from_iter(texts)))
}

fn documents(array: &ArrayRef, field: &Field) -> Result<Vec<Json>> {
    if is_json(field) {
        let texts = cast(array, &DataType::Utf8)?;
        let read = |text: Option<&str>| match text {
            None => Ok(Json::Null),
            Some(text) => Json::parse(text)
                .map_err(|_| exec_datafusion_err!("this is not JSON: {}", shortened(text))),
        };
        return texts.as_string::<i32>().iter().map(read).collect();
    }
    let float = |number: f64| match number.is_finite() {
        true => Json::Number(format!("{number:?}")),
        false => Json::Text(
            if number.is_nan() {
                "NaN"
            } else if number > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            }
            .into(),
        ),
    };
    let plain = |make: &dyn Fn(String) -> Json| -> Result<Vec<Json>> {
        let texts = conversion::print::to_varchar(array, OnError::Fail)?;
        let texts = texts.as_string::<i32>();
        Ok(texts
            .iter()
            .map(|text| text.map_or(Json::Null, |text| make(text.to_owned())))
            .collect())
    };
    match array.data_type() {
        DataType::Null => Ok(vec![Json::Null; array.len()]),
        DataType::Boolean => plain(&|text| Json::Boolean(text == "true")),
        DataType::Float64 => Ok(array
            .as_primitive::<Float64Type>()
            .iter()
            .map(|number| number.map_or(Json::Null, float))
            .collect()),
        DataType::Float32 => {
            let number = |number: f32| match number.is_finite() {
                true => Json::Number(format!("{number:?}")),
                false => float(f64::from(number)),
            };
            Ok(array
                .as_primitive::<Float32Type>()
                .iter()
                .map(|value| value.map_or(Json::Null, number))
                .collect())
        }
        number if number.is_numeric() => plain(&Json::Number),
        DataType::List(element) => {
            let lists = array.as_list::<i32>();
            let elements = documents(lists.values(), element)?;
            Ok((0..array.len())
                .map(|row| match array.is_null(row) {
                    true => Json::Null,
                    false => Json::Array(elements[lists::elements(lists, row)].to_vec()),
                })
                .collect())
        }
        DataType::Map(..) => {
            let maps = array.as_map();
            let (_, value_field) = lists::entry_fields(array.data_type())?;
            let names = conversion::print::to_varchar(maps.keys(), OnError::Fail)?;
            let names = names.as_string::<i32>();
            let values = documents(maps.values(), value_field)?;
            let member = |index: usize| (names.value(index).to_owned(), values[index].clone());
            Ok((0..array.len())
                .map(|row| match array.is_null(row) {
                    true => Json::Null,
                    false => Json::Object(lists::entries(maps, row).map(member).collect()).sorted(),
                })
                .collect())
        }
        DataType::Struct(fields) => {
            let rows = array.as_struct();
            let columns: Vec<Vec<Json>> = rows
                .columns()
                .iter()
                .zip(fields)
                .map(|(column, field)| documents(column, field))
                .collect::<Result<_>>()?;
            let member = |row: usize| {
                fields
                    .iter()
                    .zip(&columns)
                    .map(|(field, column)| (field.name().clone(), column[row].clone()))
                    .collect()
            };
            Ok((0..array.len())
                .map(|row| {
                    if array.is_null(row) {
                        Json::Null
                    } else {
                        Json::Object(member(row))
                    }
                })
                .collect())
        }
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => {
            plan_err!("varbinary cannot be cast to JSON; to_base64(…) makes a text of it")
        }
        _ => plain(&Json::Text),
    }
}
