//! Whole numbers in JSON, exactly. Arrow's decoder cuts `1.5` to `1` when the column is an integer, so whole numbers
//! are decoded as text first and then converted strictly. Must never know files.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, RecordBatch, RecordBatchOptions, StructArray,
};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};

use crate::csv::convert::{ConvertError, convert};
use crate::sql_type::display_type;

/// The schema to decode with: whole numbers, at any depth, as text.
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
        DataType::Int64 | DataType::Decimal128(_, _) => DataType::Utf8,
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
            convert(array.as_string::<i32>().clone(), leaf).map_err(|error| match error {
                ConvertError::Value { value, .. } => format!(
                    "field {place}: {value} is not a {} (hint: read more rows with infer_rows)",
                    display_type(leaf)
                ),
                ConvertError::Type(error) => format!("field {place}: {error}"),
            })
        }
        (decoded, wanted) => Err(format!("field {place}: {decoded} cannot become {wanted}")),
    }
}
