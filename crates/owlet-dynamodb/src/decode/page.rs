//! One response of Scan, Query, GetItem or BatchGetItem: its items into a record batch, its counters beside it.
//! Must never know retries or requests.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Field, Schema, SchemaRef};
use owlet_connector::ConnectorError;
use serde::{Deserialize, Serialize};

use super::attribute;
use super::column::{ColumnBuilder, DecodeError, Decoding, NameLookup, OnTypeMismatch};
use crate::cursor::{Cursor, SyntaxError};
use crate::shape::Shape;

/// A column to decode. Plain data: it travels in the payload of a split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DecodedColumn {
    /// Attribute as stored; `None` is the whole item as JSON.
    pub(crate) attribute: Option<String>,
    /// Column name in SQL.
    pub(crate) name: String,
    /// How values are read.
    pub(crate) shape: Shape,
    /// False only for key attributes.
    pub(crate) nullable: bool,
}

/// What a response says beside its items.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct PageFacts {
    /// Items decoded.
    pub(crate) items: u64,
    /// `Count`, where the response has one.
    pub(crate) count: Option<u64>,
    /// `ScannedCount`, where the response has one.
    pub(crate) scanned: Option<u64>,
    /// `LastEvaluatedKey` as text, ready for the next request.
    pub(crate) last_key: Option<String>,
    /// `NextToken` of a statement that has more.
    pub(crate) next_token: Option<String>,
    /// `UnprocessedKeys` as text when it names any.
    pub(crate) unprocessed: Option<String>,
    /// Consumed read capacity units.
    pub(crate) capacity_units: f64,
}

/// Why a response is not used.
#[derive(Debug)]
pub(crate) enum Rejection {
    /// It is damaged: ask again.
    Damaged(String),
    /// Its content is an error of the query.
    Failed(ConnectorError),
}

impl From<SyntaxError> for Rejection {
    fn from(error: SyntaxError) -> Self {
        Self::Damaged(error.to_string())
    }
}

/// Decodes the items of one page at a time.
#[derive(Debug)]
pub(crate) struct ItemDecoder {
    table: String,
    key_names: Vec<String>,
    columns: Vec<DecodedColumn>,
    builders: Vec<ColumnBuilder>,
    /// For each column the number of rows appended.
    filled: Vec<usize>,
    /// Attribute positions into `attribute_columns`.
    names: NameLookup,
    attribute_columns: Vec<usize>,
    whole_item: Option<usize>,
    outputs: Vec<usize>,
    schema: SchemaRef,
    on_mismatch: OnTypeMismatch,
    state: Decoding,
    rows: usize,
}

impl ItemDecoder {
    /// `columns` are decoded (and thereby checked); `outputs` are the positions of those that are returned.
    pub(crate) fn new(
        table: &str,
        key_names: Vec<String>,
        columns: Vec<DecodedColumn>,
        outputs: Vec<usize>,
        on_mismatch: OnTypeMismatch,
    ) -> Self {
        let attribute_columns: Vec<usize> = (0..columns.len())
            .filter(|position| columns[*position].attribute.is_some())
            .collect();
        let names = NameLookup::new(
            attribute_columns
                .iter()
                .filter_map(|position| columns[*position].attribute.as_deref()),
        );
        let fields: Vec<Field> = outputs
            .iter()
            .map(|position| &columns[*position])
            .map(|column| Field::new(&column.name, column.shape.data_type(), column.nullable))
            .collect();
        Self {
            table: table.to_owned(),
            key_names,
            builders: columns
                .iter()
                .map(|column| ColumnBuilder::new(&column.shape))
                .collect(),
            filled: vec![0; columns.len()],
            names,
            attribute_columns,
            whole_item: columns.iter().position(|column| column.attribute.is_none()),
            outputs,
            schema: Arc::new(Schema::new(fields)),
            columns,
            on_mismatch,
            state: Decoding::default(),
            rows: 0,
        }
    }

    /// Values turned into NULL because they did not fit, over all pages.
    pub(crate) fn take_nulled(&mut self) -> u64 {
        std::mem::take(&mut self.state.nulled)
    }

    /// Forgets the rows of a page that is not used.
    pub(crate) fn reset(&mut self) {
        self.builders = self
            .columns
            .iter()
            .map(|column| ColumnBuilder::new(&column.shape))
            .collect();
        self.filled.fill(0);
        self.rows = 0;
        self.state.nulled = 0;
    }

    /// The rows decoded since the last call.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch, ConnectorError> {
        let rows = std::mem::take(&mut self.rows);
        self.filled.fill(0);
        let mut arrays = Vec::with_capacity(self.builders.len());
        for builder in &mut self.builders {
            arrays.push(
                builder
                    .finish()
                    .map_err(|error| ConnectorError::Internal(error.to_string()))?,
            );
        }
        for (array, column) in arrays.iter().zip(&self.columns) {
            if !column.nullable && array.null_count() > 0 {
                return Err(ConnectorError::Internal(format!(
                    "an item of {} came without its key attribute {}",
                    self.table, column.name
                )));
            }
        }
        let outputs = self
            .outputs
            .iter()
            .map(|position| Arc::clone(&arrays[*position]))
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), outputs, &options)
            .map_err(|error| ConnectorError::Internal(error.to_string()))
    }

    /// Decodes one item that stands for itself.
    pub(crate) fn decode_item(&mut self, item: &str) -> Result<(), Rejection> {
        let mut cursor = Cursor::new(item);
        self.item(&mut cursor)?;
        Ok(cursor.expect_end()?)
    }

    #[inline]
    fn item(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Rejection> {
        cursor.peek();
        let start = cursor.position();
        self.rows += 1;
        cursor.expect(b'{', "an item")?;
        let mut first = true;
        self.names.restart();
        while cursor.next_member(&mut first)? {
            let Some(position) = self.names.find(cursor.name(&mut self.state.scratch)?) else {
                cursor.skip_value()?;
                continue;
            };
            let index = self.attribute_columns[position];
            if self.filled[index] == self.rows {
                return Err(cursor.error("each attribute once").into());
            }
            // A key that does not fit is never NULL.
            self.state.on_mismatch = if self.columns[index].nullable {
                self.on_mismatch
            } else {
                OnTypeMismatch::Error
            };
            if let Err(error) = self.builders[index].append(cursor, &mut self.state) {
                return Err(self.rejection(error, index, cursor, start));
            }
            self.filled[index] = self.rows;
        }
        if let Some(index) = self.whole_item {
            self.append_whole_item(index, cursor.slice(start, cursor.position()))?;
        }
        for (builder, filled) in self.builders.iter_mut().zip(&mut self.filled) {
            if *filled < self.rows {
                builder.append_null();
                *filled = self.rows;
            }
        }
        Ok(())
    }

    fn append_whole_item(&mut self, index: usize, item: &str) -> Result<(), Rejection> {
        self.state.json.clear();
        attribute::write_item(
            &mut Cursor::new(item),
            &mut self.state.json,
            &mut self.state.scratch,
        )?;
        if let ColumnBuilder::Json(builder) = &mut self.builders[index] {
            builder.append_value(&self.state.json);
            self.filled[index] = self.rows;
        }
        Ok(())
    }

    #[cold]
    fn rejection(
        &self,
        error: DecodeError,
        index: usize,
        cursor: &Cursor<'_>,
        start: usize,
    ) -> Rejection {
        match error {
            DecodeError::Syntax(error) => error.into(),
            DecodeError::Mismatch { path, message } => {
                let mut column = self.columns[index].attribute.clone().unwrap_or_default();
                for step in path {
                    let separator = if step.starts_with('[') { "" } else { "." };
                    column.push_str(separator);
                    column.push_str(&step);
                }
                let hint = "declare its type in the schema override file, or set on_type_mismatch = \"null\"";
                Rejection::Failed(ConnectorError::Value {
                    table: self.table.clone(),
                    column,
                    key: key_of_item(cursor.rest(start), &self.key_names),
                    message: format!("{message} ({hint})"),
                })
            }
        }
    }
}

/// The key attributes of the item a text begins with, as JSON; `None` when the text is damaged.
fn key_of_item(text: &str, key_names: &[String]) -> Option<String> {
    let mut cursor = Cursor::new(text);
    let mut scratch = String::new();
    let mut values = vec![None; key_names.len()];
    cursor.expect(b'{', "an item").ok()?;
    let mut first = true;
    while cursor.next_member(&mut first).ok()? {
        let name = cursor.name(&mut scratch).ok()?;
        let Some(position) = key_names.iter().position(|key| key == name) else {
            cursor.skip_value().ok()?;
            continue;
        };
        let mut json = String::new();
        attribute::write_value(&mut cursor, &mut json, &mut scratch).ok()?;
        values[position] = Some(json);
    }
    let members: Vec<String> = key_names
        .iter()
        .zip(values)
        .filter_map(|(name, value)| {
            Some(format!(
                "{}:{}",
                serde_json::Value::from(name.as_str()),
                value?
            ))
        })
        .collect();
    Some(format!("{{{}}}", members.join(",")))
}

/// Reads a whole response. On a rejection the decoder's rows are worthless: [`ItemDecoder::reset`] it.
pub(crate) fn decode_page(body: &[u8], decoder: &mut ItemDecoder) -> Result<PageFacts, Rejection> {
    let text = std::str::from_utf8(body).map_err(|error| Rejection::Damaged(error.to_string()))?;
    let mut cursor = Cursor::new(text);
    let mut scratch = String::new();
    let mut facts = PageFacts::default();
    cursor.expect(b'{', "a response")?;
    let mut first = true;
    while cursor.next_member(&mut first)? {
        match cursor.name(&mut scratch)? {
            "Items" => decode_items(&mut cursor, decoder, &mut facts)?,
            "Item" => {
                decoder.item(&mut cursor)?;
                facts.items += 1;
            }
            "Responses" => decode_responses(&mut cursor, decoder, &mut facts)?,
            "Count" => facts.count = Some(count(&mut cursor)?),
            "ScannedCount" => facts.scanned = Some(count(&mut cursor)?),
            "LastEvaluatedKey" => facts.last_key = non_empty(cursor.raw_value()?),
            "NextToken" => facts.next_token = next_token(&mut cursor)?,
            "UnprocessedKeys" => facts.unprocessed = non_empty(cursor.raw_value()?),
            "ConsumedCapacity" => facts.capacity_units = capacity(cursor.raw_value()?)?,
            _ => cursor.skip_value()?,
        }
    }
    cursor.expect_end()?;
    Ok(facts)
}

fn decode_items(
    cursor: &mut Cursor<'_>,
    decoder: &mut ItemDecoder,
    facts: &mut PageFacts,
) -> Result<(), Rejection> {
    cursor.expect(b'[', "a list of items")?;
    let mut first = true;
    while cursor.next_element(&mut first)? {
        decoder.item(cursor)?;
        facts.items += 1;
    }
    Ok(())
}

fn decode_responses(
    cursor: &mut Cursor<'_>,
    decoder: &mut ItemDecoder,
    facts: &mut PageFacts,
) -> Result<(), Rejection> {
    cursor.expect(b'{', "responses by table")?;
    let mut scratch = String::new();
    let mut first = true;
    while cursor.next_member(&mut first)? {
        cursor.name(&mut scratch)?;
        decode_items(cursor, decoder, facts)?;
    }
    Ok(())
}

fn count(cursor: &mut Cursor<'_>) -> Result<u64, Rejection> {
    let text = cursor.number()?;
    text.parse()
        .map_err(|_| Rejection::Damaged(format!("{text} is no count")))
}

/// A statement's token; null and an empty text mean "none".
fn next_token(cursor: &mut Cursor<'_>) -> Result<Option<String>, Rejection> {
    let token: Option<String> = serde_json::from_str(cursor.raw_value()?)
        .map_err(|error| Rejection::Damaged(error.to_string()))?;
    Ok(token.filter(|token| !token.is_empty()))
}

/// `{}` and white space mean "none".
fn non_empty(object: &str) -> Option<String> {
    let mut cursor = Cursor::new(object);
    let is_empty = cursor.accept(b'{') && cursor.peek() == Some(b'}');
    (!is_empty).then(|| object.to_owned())
}

/// One object for Scan, Query and GetItem, a list of them for BatchGetItem.
fn capacity(raw: &str) -> Result<f64, Rejection> {
    #[derive(Deserialize)]
    struct Capacity {
        #[serde(rename = "CapacityUnits", default)]
        units: f64,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Consumed {
        One(Capacity),
        Many(Vec<Capacity>),
    }
    let consumed: Consumed =
        serde_json::from_str(raw).map_err(|error| Rejection::Damaged(error.to_string()))?;
    Ok(match consumed {
        Consumed::One(one) => one.units,
        Consumed::Many(many) => many.iter().map(|capacity| capacity.units).sum(),
    })
}
