//! Numbers in JSON, exactly. Arrow's decoder cuts `1.5` to `1` when the column is an integer and rounds what a double
//! cannot keep, so numbers are decoded as text first and then converted strictly. Must never know files.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, RecordBatch, RecordBatchOptions, StructArray,
};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};

use crate::csv::convert::{ConvertError, TypeOrigin, convert};
use crate::csv::guess::number_is_kept;
use crate::sql_type::{display_type, with_article};

/// The schema to decode with: numbers, at any depth, as text.
pub fn decoded_schema(schema: &Schema) -> SchemaRef {
    Arc::new(Schema::new(decoded_fields(schema.fields())))
}

fn decoded_fields(fields: &Fields) -> Fields {
    fields.iter().map(|field| decoded_field(field)).collect()
}

fn decoded_field(field: &Field) -> Field {
    Field::new(field.name(), decoded_type(field.data_type()), true)
}

fn decoded_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Int64 | DataType::Float64 | DataType::Decimal128(_, _) => DataType::Utf8,
        DataType::Struct(fields) => DataType::Struct(decoded_fields(fields)),
        DataType::List(element) => DataType::List(Arc::new(decoded_field(element))),
        other => other.clone(),
    }
}

/// Converts a decoded batch to its real schema, or says which value does not fit.
pub fn restore(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, String> {
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| restore_array(column, field.data_type(), field.name()))
        .collect::<Result<Vec<_>, String>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|error| error.to_string())
}

fn restore_array(array: &ArrayRef, wanted: &DataType, place: &str) -> Result<ArrayRef, String> {
    if array.data_type() == wanted {
        return Ok(Arc::clone(array));
    }
    match (array.data_type(), wanted) {
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let decoded = array.as_struct();
            let children = decoded
                .columns()
                .iter()
                .zip(fields)
                .map(|(child, field)| {
                    restore_array(
                        child,
                        field.data_type(),
                        &format!("{place}.{}", field.name()),
                    )
                })
                .collect::<Result<Vec<_>, String>>()?;
            let restored = StructArray::try_new(fields.clone(), children, decoded.nulls().cloned());
            Ok(Arc::new(
                restored.map_err(|error| format!("{place}: {error}"))?,
            ))
        }
        (DataType::List(_), DataType::List(element)) => {
            let decoded = array.as_list::<i32>();
            let values =
                restore_array(decoded.values(), element.data_type(), &format!("{place}[]"))?;
            let restored = ListArray::try_new(
                Arc::clone(element),
                decoded.offsets().clone(),
                values,
                decoded.nulls().cloned(),
            );
            Ok(Arc::new(
                restored.map_err(|error| format!("{place}: {error}"))?,
            ))
        }
        (DataType::Utf8, leaf) => {
            let text = array.as_string::<i32>().clone();
            convert(text, leaf, TypeOrigin::Inferred).map_err(|error| match error {
                ConvertError::Value { value, .. } => value_problem(place, &value, leaf),
                ConvertError::Type(error) => format!("field {place}: {error}"),
            })
        }
        (decoded, wanted) => Err(format!("field {place}: {decoded} cannot become {wanted}")),
    }
}

fn value_problem(place: &str, value: &str, leaf: &DataType) -> String {
    let hint = "(hint: read more rows with infer_rows)";
    let wanted = display_type(leaf);
    let readable = convert(vec![value].into(), leaf, TypeOrigin::Declared).is_ok();
    if readable {
        return format!(
            "field {place}: {value} would be changed by the inferred type {wanted} {hint}"
        );
    }
    let wanted = with_article(&wanted);
    format!("field {place}: {value} is not {wanted} {hint}")
}

/// A row with those numbers as text that neither an integer nor a double keeps; `None` when there are none.
/// `row` must be valid JSON.
pub fn with_lost_numbers_as_text(row: &[u8]) -> Option<Vec<u8>> {
    let mut changed: Option<Vec<u8>> = None;
    let (mut copied, mut position) = (0, 0);
    while let Some(byte) = row.get(position) {
        match byte {
            b'"' => position = after_text(row, position),
            b'-' | b'0'..=b'9' => {
                let end = row[position..]
                    .iter()
                    .position(|byte| {
                        !matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9')
                    })
                    .map_or(row.len(), |length| position + length);
                let number = String::from_utf8_lossy(&row[position..end]);
                if !number_is_kept(&number) {
                    let changed = changed.get_or_insert_default();
                    changed.extend_from_slice(&row[copied..position]);
                    changed.push(b'"');
                    changed.extend_from_slice(&row[position..end]);
                    changed.push(b'"');
                    copied = end;
                }
                position = end;
            }
            _ => position += 1,
        }
    }
    let mut changed = changed?;
    changed.extend_from_slice(&row[copied..]);
    Some(changed)
}

/// Position after the text that begins at `start`.
fn after_text(row: &[u8], start: usize) -> usize {
    let mut position = start + 1;
    while let Some(byte) = row.get(position) {
        position += match byte {
            b'"' => return position + 1,
            b'\\' => 2,
            _ => 1,
        };
    }
    row.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(row: &str) -> Option<String> {
        with_lost_numbers_as_text(row.as_bytes()).map(|row| String::from_utf8(row).unwrap())
    }

    #[test]
    fn numbers_that_would_be_rounded_become_text() {
        for row in [
            r#"{"a": 1, "b": [-2.5, 1e3], "1.23456789012345678901": "\"1e400", "c": 18446744073709551615}"#,
            "{}",
        ] {
            assert_eq!(changed(row), None, "{row}");
        }
        assert_eq!(
            changed(r#"{"a":0.1234567890123456789,"b":[12345678901234567890123,1],"c":"\\"}"#)
                .unwrap(),
            r#"{"a":"0.1234567890123456789","b":["12345678901234567890123",1],"c":"\\"}"#
        );
        assert_eq!(changed(r#"{"a":1e-400}"#).unwrap(), r#"{"a":"1e-400"}"#);
    }
}
