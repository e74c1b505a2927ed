//! Lines of data files: items of a full export, or changes of an incremental one, into rows. Must never know files.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, RecordBatch, RecordBatchOptions, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_schema::{DataType, Schema, SchemaRef, TimeUnit};
use owlet_connector::ConnectorError;
use serde::{Deserialize, Serialize};

use crate::cursor::{Cursor, SyntaxError};
use crate::decode::attribute::write_item;
use crate::decode::column::OnTypeMismatch;
use crate::decode::{DecodedColumn, ItemDecoder, Rejection};

/// What one line says.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct Record<'a> {
    pub(crate) item: Option<&'a str>,
    pub(crate) keys: Option<&'a str>,
    pub(crate) new_image: Option<&'a str>,
    pub(crate) old_image: Option<&'a str>,
    metadata: Option<&'a str>,
}

impl<'a> Record<'a> {
    /// Takes a line in DynamoDB's JSON form apart.
    pub(crate) fn parse(line: &'a str) -> Result<Self, SyntaxError> {
        let mut cursor = Cursor::new(line);
        let mut scratch = String::new();
        let mut record = Self::default();
        cursor.expect(b'{', "an item")?;
        let mut first = true;
        while cursor.next_member(&mut first)? {
            let place = match cursor.name(&mut scratch)? {
                "Item" => &mut record.item,
                "Keys" => &mut record.keys,
                "NewImage" => &mut record.new_image,
                "OldImage" => &mut record.old_image,
                "Metadata" => &mut record.metadata,
                "Record" => {
                    let inner = Self::parse(cursor.raw_value()?)?;
                    record = Self {
                        metadata: inner.metadata.or(record.metadata),
                        ..inner
                    };
                    continue;
                }
                _ => {
                    cursor.skip_value()?;
                    continue;
                }
            };
            *place = Some(cursor.raw_value()?);
        }
        cursor.expect_end()?;
        Ok(record)
    }

    /// When the item was written last, in microseconds since 1970.
    fn written_at(&self) -> Option<i64> {
        let metadata: serde_json::Value = serde_json::from_str(self.metadata?).ok()?;
        // `{"WriteTimestampMicros":{"N":"…"}}`, with the map's own descriptor around it in Ion.
        let members = metadata.get("M").unwrap_or(&metadata);
        let value = members.get("WriteTimestampMicros")?;
        match value.get("N").unwrap_or(value) {
            serde_json::Value::String(text) => {
                crate::number::Number::parse(text).and_then(crate::number::Number::to_i64)
            }
            serde_json::Value::Number(number) => number.as_i64(),
            _ => None,
        }
    }

    fn change(&self, has_old_images: bool) -> &'static str {
        match (self.new_image, self.old_image) {
            (None, _) => "delete",
            (Some(_), Some(_)) => "update",
            (Some(_), None) if has_old_images => "insert",
            (Some(_), None) => "write",
        }
    }
}

/// Where a returned column comes from. Plain data: it travels in the payload of a split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Output {
    /// An attribute (or the whole item of a full export): position among the decoded columns.
    Decoded(usize),
    /// A column about a change: what it holds, and its name.
    Change(ChangeColumn, String),
}

/// Columns that only changes have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ChangeColumn {
    /// `insert`, `update`, `delete`, or `write` where the export does not tell inserts from updates.
    Change,
    /// Time of the last write.
    WrittenAt,
    /// The new image as JSON; NULL for a delete.
    Item,
    /// The old image as JSON; NULL for an insert, and where the export has none.
    OldItem,
}

impl ChangeColumn {
    pub(crate) const ALL: [Self; 4] = [Self::Change, Self::WrittenAt, Self::Item, Self::OldItem];

    /// Name of the column.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Change => "_change",
            Self::WrittenAt => "_written_at",
            Self::Item => crate::table::ITEM_COLUMN,
            Self::OldItem => "_old_item",
        }
    }

    pub(crate) fn data_type(self) -> DataType {
        match self {
            Self::WrittenAt => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Change | Self::Item | Self::OldItem => DataType::Utf8,
        }
    }

    /// False: part of `SELECT *`.
    pub(crate) fn is_hidden(self) -> bool {
        matches!(self, Self::Item | Self::OldItem)
    }
}

/// Lines into batches.
pub(crate) struct RecordDecoder {
    decoder: ItemDecoder,
    outputs: Vec<Output>,
    extras: Vec<Extra>,
    schema: SchemaRef,
    rows: usize,
    scratch: String,
    json: String,
}

enum Extra {
    Text(ChangeColumn, StringBuilder),
    Time(TimestampMicrosecondBuilder),
}

impl RecordDecoder {
    pub(crate) fn new(
        table: &str,
        key_names: Vec<String>,
        columns: Vec<DecodedColumn>,
        outputs: Vec<Output>,
        schema: SchemaRef,
        on_mismatch: OnTypeMismatch,
    ) -> Self {
        let decoded = outputs
            .iter()
            .filter_map(|output| match output {
                Output::Decoded(position) => Some(*position),
                Output::Change(..) => None,
            })
            .collect();
        let extras = outputs
            .iter()
            .filter_map(|output| match output {
                Output::Decoded(_) => None,
                Output::Change(ChangeColumn::WrittenAt, _) => Some(Extra::Time(
                    TimestampMicrosecondBuilder::new().with_timezone("UTC"),
                )),
                Output::Change(column, _) => Some(Extra::Text(*column, StringBuilder::new())),
            })
            .collect();
        Self {
            decoder: ItemDecoder::new(table, key_names, columns, decoded, on_mismatch),
            outputs,
            extras,
            schema,
            rows: 0,
            scratch: String::new(),
            json: String::new(),
        }
    }

    /// Rows since the last batch.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Values turned into NULL because they did not fit.
    pub(crate) fn take_nulled(&mut self) -> u64 {
        self.decoder.take_nulled()
    }

    /// Adds an item of a full export.
    pub(crate) fn add_item(&mut self, record: &Record<'_>) -> Result<(), Rejection> {
        let Some(item) = record.item else {
            return Err(Rejection::Damaged("a line has no Item".to_owned()));
        };
        self.decoder.decode_item(item)?;
        self.rows += 1;
        Ok(())
    }

    /// Adds a change: the new image's attributes, of a delete only the key's.
    pub(crate) fn add_change(
        &mut self,
        record: &Record<'_>,
        has_old_images: bool,
    ) -> Result<(), Rejection> {
        let Some(attributes) = record.new_image.or(record.keys) else {
            return Err(Rejection::Damaged("a line has no Keys".to_owned()));
        };
        self.decoder.decode_item(attributes)?;
        for extra in &mut self.extras {
            match extra {
                Extra::Time(builder) => {
                    let time = record.written_at().ok_or_else(|| {
                        Rejection::Damaged("a line has no WriteTimestampMicros".to_owned())
                    })?;
                    builder.append_value(time);
                }
                Extra::Text(ChangeColumn::Change, builder) => {
                    builder.append_value(record.change(has_old_images));
                }
                Extra::Text(column, builder) => {
                    let image = match column {
                        ChangeColumn::OldItem => record.old_image,
                        _ => record.new_image,
                    };
                    match image {
                        None => builder.append_null(),
                        Some(image) => {
                            self.json.clear();
                            write_item(&mut Cursor::new(image), &mut self.json, &mut self.scratch)?;
                            builder.append_value(&self.json);
                        }
                    }
                }
            }
        }
        self.rows += 1;
        Ok(())
    }

    /// The rows added since the last call.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch, ConnectorError> {
        let rows = std::mem::take(&mut self.rows);
        let decoded = self.decoder.finish()?;
        let mut decoded = decoded.columns().iter();
        let mut extras = self.extras.iter_mut();
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.outputs.len());
        for output in &self.outputs {
            let array: Option<ArrayRef> = match output {
                Output::Decoded(_) => decoded.next().map(Arc::clone),
                Output::Change(..) => extras.next().map(|extra| match extra {
                    Extra::Text(_, builder) => Arc::new(builder.finish()) as ArrayRef,
                    Extra::Time(builder) => Arc::new(builder.finish()) as ArrayRef,
                }),
            };
            arrays.push(array.ok_or_else(|| {
                ConnectorError::Internal("a column of an export was not decoded".to_owned())
            })?);
        }
        debug_assert!(arrays.iter().all(|array| array.len() == rows));
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
            .map_err(|error| ConnectorError::Internal(error.to_string()))
    }
}

/// The schema of some outputs.
pub(crate) fn output_schema(columns: &[DecodedColumn], outputs: &[Output]) -> Schema {
    let fields: Vec<arrow_schema::Field> = outputs
        .iter()
        .filter_map(|output| match output {
            Output::Decoded(position) => columns.get(*position).map(|column| {
                arrow_schema::Field::new(&column.name, column.shape.data_type(), column.nullable)
            }),
            Output::Change(column, name) => {
                let is_nullable = column.is_hidden();
                Some(arrow_schema::Field::new(
                    name,
                    column.data_type(),
                    is_nullable,
                ))
            }
        })
        .collect();
    Schema::new(fields)
}
