//! Values that a file holds in one type and SQL sees in another, where a plain cast would be wrong: UUIDs as text, and
//! dates in milliseconds. Must never know a format.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Date32Array, FixedSizeBinaryArray, GenericListArray, Int32Array,
    OffsetSizeTrait, RecordBatch, StringBuilder, StructArray, new_null_array,
};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Date64Type, Field, FieldRef, Fields, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr_adapter::{
    DefaultPhysicalExprAdapterFactory, PhysicalExprAdapter, PhysicalExprAdapterFactory,
};

const UUID_BYTES: i32 = 16;
const DAY_MILLISECONDS: i64 = 86_400_000;

/// A value that its column cannot be read as. Whoever knows the file adds its name.
#[derive(Debug)]
pub struct Unfit(String);

impl fmt::Display for Unfit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Unfit {}

/// Adapts a file's columns to those of its table: DataFusion's own adapter, with [`ReadAs`] where its casts would not
/// do. A condition on such a column is no condition on the file's statistics any more.
#[derive(Debug)]
pub struct ReadAsFactory;

impl PhysicalExprAdapterFactory for ReadAsFactory {
    fn create(
        &self,
        logical_file_schema: SchemaRef,
        physical_file_schema: SchemaRef,
    ) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let fields: Fields = physical_file_schema
            .fields()
            .iter()
            .map(
                |field| match logical_file_schema.field_with_name(field.name()) {
                    Ok(wanted) => read_field(field, wanted.data_type()),
                    Err(_) => Arc::clone(field),
                },
            )
            .collect();
        let metadata = physical_file_schema.metadata().clone();
        let read = Arc::new(Schema::new_with_metadata(fields, metadata));
        let plain =
            DefaultPhysicalExprAdapterFactory.create(logical_file_schema, Arc::clone(&read))?;
        if read == physical_file_schema {
            return Ok(plain);
        }
        Ok(Arc::new(ReadAsAdapter {
            plain,
            read,
            stored: physical_file_schema,
        }))
    }
}

/// The field of the file with the type it is read as.
fn read_field(stored: &FieldRef, wanted: &DataType) -> FieldRef {
    let data_type = read_type(stored.data_type(), wanted);
    if data_type == *stored.data_type() {
        return Arc::clone(stored);
    }
    // What the metadata says of the stored type would be wrong now.
    Arc::new(Field::new(stored.name(), data_type, stored.is_nullable()))
}

/// The type that [`ReadAs`] gives of a stored one; the stored one itself where a cast does the rest.
fn read_type(stored: &DataType, wanted: &DataType) -> DataType {
    match (stored, wanted) {
        (
            DataType::FixedSizeBinary(UUID_BYTES),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View,
        ) => DataType::Utf8,
        (DataType::Date64, _) => DataType::Date32,
        // What is written as one of several types, of which there is only one.
        (DataType::Union(branches, _), wanted) if branches.len() == 1 => branches
            .iter()
            .map(|(_, branch)| read_type(branch.data_type(), wanted))
            .next()
            .unwrap_or(DataType::Null),
        (DataType::Dictionary(_, value), wanted) => {
            let read = read_type(value, wanted);
            match read == **value {
                true => stored.clone(),
                false => read,
            }
        }
        (DataType::List(element), DataType::List(wanted)) => {
            DataType::List(read_field(element, wanted.data_type()))
        }
        (DataType::LargeList(element), DataType::LargeList(wanted)) => {
            DataType::LargeList(read_field(element, wanted.data_type()))
        }
        (DataType::Struct(fields), DataType::Struct(wanted)) => DataType::Struct(
            fields
                .iter()
                .map(|field| match wanted.find(field.name()) {
                    Some((_, wanted)) => read_field(field, wanted.data_type()),
                    None => Arc::clone(field),
                })
                .collect(),
        ),
        (stored, _) => stored.clone(),
    }
}

#[derive(Debug)]
struct ReadAsAdapter {
    plain: Arc<dyn PhysicalExprAdapter>,
    /// The file's columns as they are read.
    read: SchemaRef,
    /// The file's columns as they are stored.
    stored: SchemaRef,
}

impl PhysicalExprAdapter for ReadAsAdapter {
    fn rewrite(&self, expression: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        let adapted = self.plain.rewrite(expression)?;
        adapted
            .transform_up(|expression| {
                let Some(column) = expression.downcast_ref::<Column>() else {
                    return Ok(Transformed::no(expression));
                };
                let read = self.read.field(column.index()).data_type();
                if read == self.stored.field(column.index()).data_type() {
                    return Ok(Transformed::no(expression));
                }
                Ok(Transformed::yes(Arc::new(ReadAs {
                    name: column.name().to_owned(),
                    wanted: read.clone(),
                    input: expression,
                })
                    as Arc<dyn PhysicalExpr>))
            })
            .data()
    }
}

/// A stored column in the type that it is read as.
#[derive(Debug)]
struct ReadAs {
    name: String,
    wanted: DataType,
    input: Arc<dyn PhysicalExpr>,
}

impl PartialEq for ReadAs {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.wanted == other.wanted && self.input.eq(&other.input)
    }
}

impl Eq for ReadAs {}

impl Hash for ReadAs {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
        self.wanted.hash(state);
        self.input.hash(state);
    }
}

impl fmt::Display for ReadAs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "read({} AS {})", self.input, self.wanted)
    }
}

impl PhysicalExpr for ReadAs {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(self.wanted.clone())
    }

    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.input.nullable(schema)
    }

    fn return_field(&self, schema: &Schema) -> Result<FieldRef> {
        let nullable = self.nullable(schema)?;
        Ok(Arc::new(Field::new(
            &self.name,
            self.wanted.clone(),
            nullable,
        )))
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let stored = self.input.evaluate(batch)?.into_array(batch.num_rows())?;
        read_as(&stored, &self.wanted, &self.name).map(ColumnarValue::Array)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.input]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let input = children.into_iter().next().ok_or_else(|| {
            DataFusionError::Internal("a column that is read needs its input".to_owned())
        })?;
        Ok(Arc::new(Self {
            name: self.name.clone(),
            wanted: self.wanted.clone(),
            input,
        }))
    }

    fn fmt_sql(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}

/// The values in the type that [`read_type`] gave.
fn read_as(stored: &ArrayRef, wanted: &DataType, place: &str) -> Result<ArrayRef> {
    if stored.data_type() == wanted {
        return Ok(Arc::clone(stored));
    }
    match (stored.data_type(), wanted) {
        (DataType::FixedSizeBinary(UUID_BYTES), DataType::Utf8) => {
            Ok(uuids(stored.as_fixed_size_binary()))
        }
        (DataType::Date64, DataType::Date32) => days(stored, place),
        (DataType::Union(branches, _), _) if branches.len() == 1 => {
            read_as(&only_branch(stored)?, wanted, place)
        }
        (DataType::Dictionary(_, value), _) => read_as(&cast(stored, value)?, wanted, place),
        (DataType::List(_), DataType::List(element)) => elements::<i32>(stored, element, place),
        (DataType::LargeList(_), DataType::LargeList(element)) => {
            elements::<i64>(stored, element, place)
        }
        (DataType::Struct(_), DataType::Struct(fields)) => {
            let rows = stored.as_struct();
            let children = rows
                .columns()
                .iter()
                .zip(fields)
                .map(|(child, field)| {
                    let place = format!("{place}.{}", field.name());
                    read_as(child, field.data_type(), &place)
                })
                .collect::<Result<Vec<_>>>()?;
            let read = StructArray::try_new(fields.clone(), children, rows.nulls().cloned())?;
            Ok(Arc::new(read))
        }
        (stored, wanted) => Err(DataFusionError::Internal(format!(
            "column {place}: {stored} cannot be read as {wanted}"
        ))),
    }
}

/// The values of a union's first branch, which all of its values are of.
fn only_branch(stored: &ArrayRef) -> Result<ArrayRef> {
    let union = stored.as_union();
    let Some((branch, _)) = union.fields().iter().next() else {
        return Ok(new_null_array(&DataType::Null, stored.len()));
    };
    let values = union.child(branch);
    match union.offsets() {
        Some(offsets) => Ok(take(values, &Int32Array::from(offsets.to_vec()), None)?),
        None => Ok(Arc::clone(values)),
    }
}

fn elements<O: OffsetSizeTrait>(
    stored: &ArrayRef,
    element: &FieldRef,
    place: &str,
) -> Result<ArrayRef> {
    let lists = stored.as_list::<O>();
    let values = read_as(lists.values(), element.data_type(), &format!("{place}[]"))?;
    let read = GenericListArray::<O>::try_new(
        Arc::clone(element),
        lists.offsets().clone(),
        values,
        lists.nulls().cloned(),
    )?;
    Ok(Arc::new(read))
}

/// UUIDs as PostgreSQL writes them: lower case, with hyphens.
fn uuids(stored: &FixedSizeBinaryArray) -> ArrayRef {
    const TEXT_BYTES: usize = 36;
    const HYPHENS_BEFORE: [usize; 4] = [4, 6, 8, 10];
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut read = StringBuilder::with_capacity(stored.len(), stored.len() * TEXT_BYTES);
    let mut text = String::with_capacity(TEXT_BYTES);
    for value in stored.iter() {
        let Some(bytes) = value else {
            read.append_null();
            continue;
        };
        text.clear();
        for (position, byte) in bytes.iter().enumerate() {
            if HYPHENS_BEFORE.contains(&position) {
                text.push('-');
            }
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 0xF)]));
        }
        read.append_value(&text);
    }
    Arc::new(read.finish())
}

/// Dates in milliseconds as days, unless one has a time of day.
fn days(stored: &ArrayRef, place: &str) -> Result<ArrayRef> {
    let read = stored
        .as_primitive::<Date64Type>()
        .iter()
        .map(|value| value.map(|value| day(value, place)).transpose())
        .collect::<Result<Date32Array>>()?;
    Ok(Arc::new(read))
}

fn day(milliseconds: i64, place: &str) -> Result<i32> {
    let whole = milliseconds % DAY_MILLISECONDS == 0;
    let days = i32::try_from(milliseconds / DAY_MILLISECONDS).ok();
    days.filter(|_| whole).ok_or_else(|| {
        DataFusionError::External(Box::new(Unfit(format!(
            "column {place} holds the date of {milliseconds} milliseconds, which is no whole day (hint: write it as a \
             timestamp)"
        ))))
    })
}

#[cfg(test)]
mod tests {
    use arrow::array::Date64Array;

    use super::*;

    #[test]
    fn uuids_are_lower_case_with_hyphens() {
        let bytes: Vec<u8> = (0..16).map(|n| n * 17).collect();
        let stored = FixedSizeBinaryArray::try_from_sparse_iter_with_size(
            [Some(bytes), None].into_iter(),
            UUID_BYTES,
        )
        .unwrap();
        let read = uuids(&stored);
        let read = read.as_string::<i32>();
        assert_eq!(read.value(0), "00112233-4455-6677-8899-aabbccddeeff");
        assert!(read.is_null(1));
    }

    #[test]
    fn dates_are_whole_days() {
        let stored = |value| Arc::new(Date64Array::from(vec![Some(value), None])) as ArrayRef;
        let read = days(&stored(-DAY_MILLISECONDS), "d").unwrap();
        assert_eq!(
            read.as_ref(),
            &Date32Array::from(vec![Some(-1), None]) as &dyn Array
        );
        let error = days(&stored(DAY_MILLISECONDS + 1), "d").unwrap_err();
        assert!(error.to_string().contains("86400001"), "{error}");
        assert!(days(&stored(i64::MAX / DAY_MILLISECONDS * DAY_MILLISECONDS), "d").is_err());
    }
}
