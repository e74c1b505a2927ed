//! Arrow builders that take DynamoDB attribute values straight from the response text.
//! Must never know pages, tables or requests.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Decimal128Builder, Float64Builder, Int64Builder,
    ListArray, NullBufferBuilder, StringBuilder, StructArray,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::ArrowError;
use base64::Engine as _;
use serde::{Deserialize, Serialize};

use super::attribute::{self, Descriptor};
use crate::cursor::{Cursor, SyntaxError};
use crate::number::{Number, parse_small_integer};
use crate::shape::{DECIMAL_PRECISION, Member, Shape, element_field, member_fields};

/// What happens to a value that does not fit its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnTypeMismatch {
    /// The query fails, naming table, attribute and key.
    #[default]
    Error,
    /// The value is NULL; how many were is part of the scan's work report.
    Null,
}

/// Why an item could not be decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DecodeError {
    /// The response is damaged; it is asked for again.
    Syntax(SyntaxError),
    /// A value does not fit its column.
    Mismatch {
        /// Member path below the column, outermost first; empty for the column itself.
        path: Vec<String>,
        /// What was found and what was expected.
        message: String,
    },
}

impl From<SyntaxError> for DecodeError {
    fn from(error: SyntaxError) -> Self {
        Self::Syntax(error)
    }
}

/// State shared by the builders of one page.
#[derive(Debug, Default)]
pub(crate) struct Decoding {
    pub(crate) scratch: String,
    pub(crate) json: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) on_mismatch: OnTypeMismatch,
    /// Values turned into NULL so far.
    pub(crate) nulled: u64,
}

/// Builds the array of one column.
#[derive(Debug)]
pub(crate) enum ColumnBuilder {
    Boolean(BooleanBuilder),
    BigInt(Int64Builder),
    Decimal {
        builder: Decimal128Builder,
        scale: i8,
    },
    Double(Float64Builder),
    NumberText(StringBuilder),
    Text(StringBuilder),
    Binary(BinaryBuilder),
    Json(StringBuilder),
    List(Box<ListBuilder>),
    Set(Box<ListBuilder>),
    Struct(Box<StructBuilder>),
}

#[derive(Debug)]
pub(crate) struct ListBuilder {
    element: Shape,
    offsets: Vec<i32>,
    validity: NullBufferBuilder,
    values: ColumnBuilder,
    length: i32,
}

#[derive(Debug)]
pub(crate) struct StructBuilder {
    members: Vec<Member>,
    names: NameLookup,
    columns: Vec<ColumnBuilder>,
    /// For each member the number of rows appended.
    filled: Vec<usize>,
    validity: NullBufferBuilder,
    rows: usize,
}

impl ColumnBuilder {
    /// An empty builder for values of `shape`.
    pub(crate) fn new(shape: &Shape) -> Self {
        match shape {
            Shape::Boolean => Self::Boolean(BooleanBuilder::new()),
            Shape::BigInt => Self::BigInt(Int64Builder::new()),
            Shape::Decimal { scale } => Self::Decimal {
                builder: Decimal128Builder::new().with_data_type(shape.data_type()),
                scale: *scale,
            },
            Shape::Double => Self::Double(Float64Builder::new()),
            Shape::NumberText => Self::NumberText(StringBuilder::new()),
            Shape::Text => Self::Text(StringBuilder::new()),
            Shape::Binary => Self::Binary(BinaryBuilder::new()),
            Shape::Json => Self::Json(StringBuilder::new()),
            Shape::List(element) => Self::List(Box::new(ListBuilder::new(element))),
            Shape::Set(element) => Self::Set(Box::new(ListBuilder::new(element))),
            Shape::Struct(members) => Self::Struct(Box::new(StructBuilder::new(members))),
        }
    }

    /// Appends NULL.
    pub(crate) fn append_null(&mut self) {
        match self {
            Self::Boolean(builder) => builder.append_null(),
            Self::BigInt(builder) => builder.append_null(),
            Self::Decimal { builder, .. } => builder.append_null(),
            Self::Double(builder) => builder.append_null(),
            Self::NumberText(builder) | Self::Text(builder) | Self::Json(builder) => {
                builder.append_null()
            }
            Self::Binary(builder) => builder.append_null(),
            Self::List(builder) | Self::Set(builder) => builder.append(Presence::Null),
            Self::Struct(builder) => builder.append_null(),
        }
    }

    /// Appends the attribute value at the cursor.
    #[inline]
    pub(crate) fn append(
        &mut self,
        cursor: &mut Cursor<'_>,
        state: &mut Decoding,
    ) -> Result<(), DecodeError> {
        if let Self::Json(builder) = self {
            return append_json(builder, cursor, state);
        }
        let descriptor = attribute::open(cursor, &mut state.scratch)?;
        let problem = match (&mut *self, descriptor) {
            (_, Descriptor::Null) => {
                cursor.boolean()?;
                self.append_null();
                None
            }
            (Self::Boolean(builder), Descriptor::Boolean) => {
                builder.append_value(cursor.boolean()?);
                None
            }
            (
                Self::Text(_)
                | Self::BigInt(_)
                | Self::Decimal { .. }
                | Self::Double(_)
                | Self::NumberText(_)
                | Self::Binary(_),
                Descriptor::String | Descriptor::Number | Descriptor::Binary,
            ) => self.append_scalar(descriptor, cursor, state)?,
            (Self::List(list), Descriptor::List) => {
                list.append_elements(cursor, state, |values, cursor, state| {
                    values.append(cursor, state)
                })?;
                None
            }
            (
                Self::Set(list),
                Descriptor::StringSet | Descriptor::NumberSet | Descriptor::BinarySet,
            ) if list.takes_set(descriptor) => {
                let element = element_descriptor(descriptor);
                list.append_elements(cursor, state, |values, cursor, state| {
                    match values.append_scalar(element, cursor, state)? {
                        None => Ok(()),
                        Some(message) => values.mismatch(message, state),
                    }
                })?;
                None
            }
            (Self::Struct(structure), Descriptor::Map) => {
                structure.append_members(cursor, state)?;
                None
            }
            (_, other) => {
                let found = cursor.raw_value()?;
                Some(format!(
                    "expected {}, found {} {}",
                    self.expectation(),
                    other.as_str(),
                    shortened(found)
                ))
            }
        };
        attribute::close(cursor)?;
        match problem {
            None => Ok(()),
            Some(message) => self.mismatch(message, state),
        }
    }

    /// Appends the payload of an `S`, `N` or `B` value; a message when it does not fit (then nothing is appended).
    #[inline]
    fn append_scalar(
        &mut self,
        descriptor: Descriptor,
        cursor: &mut Cursor<'_>,
        state: &mut Decoding,
    ) -> Result<Option<String>, SyntaxError> {
        let text = cursor.string(&mut state.scratch)?;
        match (&mut *self, descriptor) {
            (Self::Text(builder), Descriptor::String) => builder.append_value(text),
            (Self::BigInt(builder), Descriptor::Number) => {
                match parse_small_integer(text).or_else(|| Number::parse(text)?.to_i64()) {
                    Some(value) => builder.append_value(value),
                    None => return Ok(Some(format!("{} is no 64-bit integer", shortened(text)))),
                }
            }
            (Self::Decimal { builder, scale }, Descriptor::Number) => {
                match Number::parse(text).and_then(|number| number.to_unscaled(*scale)) {
                    Some(value) => builder.append_value(value),
                    None => {
                        let message = format!(
                            "{} does not fit decimal({DECIMAL_PRECISION},{scale})",
                            shortened(text)
                        );
                        return Ok(Some(message));
                    }
                }
            }
            (Self::Double(builder), Descriptor::Number) => match text.parse::<f64>() {
                // DynamoDB has no negative zero.
                Ok(value) if value.is_finite() => builder.append_value(value + 0.0),
                _ => return Ok(Some(format!("{} is no number", shortened(text)))),
            },
            (Self::NumberText(builder), Descriptor::Number) => match Number::parse(text) {
                Some(number) => builder.append_value(number.to_string()),
                None => return Ok(Some(format!("{} is no number", shortened(text)))),
            },
            (Self::Binary(builder), Descriptor::Binary) => {
                state.bytes.clear();
                let decoded =
                    base64::engine::general_purpose::STANDARD.decode_vec(text, &mut state.bytes);
                if decoded.is_err() {
                    return Err(cursor.error("base64"));
                }
                builder.append_value(&state.bytes);
            }
            (_, other) => {
                let found = shortened(text);
                return Ok(Some(format!(
                    "expected {}, found {} {found}",
                    self.expectation(),
                    other.as_str()
                )));
            }
        }
        Ok(None)
    }

    fn mismatch(&mut self, message: String, state: &mut Decoding) -> Result<(), DecodeError> {
        match state.on_mismatch {
            OnTypeMismatch::Error => Err(DecodeError::Mismatch {
                path: Vec::new(),
                message,
            }),
            OnTypeMismatch::Null => {
                state.nulled += 1;
                self.append_null();
                Ok(())
            }
        }
    }

    fn expectation(&self) -> &'static str {
        match self {
            Self::Boolean(_) => "BOOL",
            Self::BigInt(_) | Self::Decimal { .. } | Self::Double(_) | Self::NumberText(_) => "N",
            Self::Text(_) => "S",
            Self::Binary(_) => "B",
            Self::Json(_) => "any type",
            Self::List(_) => "L",
            Self::Set(list) => match list.element {
                Shape::Text => "SS",
                Shape::Binary => "BS",
                _ => "NS",
            },
            Self::Struct(_) => "M",
        }
    }

    /// The array, leaving the builder empty.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::BigInt(builder) => Arc::new(builder.finish()),
            Self::Decimal { builder, .. } => Arc::new(builder.finish()),
            Self::Double(builder) => Arc::new(builder.finish()),
            Self::NumberText(builder) | Self::Text(builder) | Self::Json(builder) => {
                Arc::new(builder.finish())
            }
            Self::Binary(builder) => Arc::new(builder.finish()),
            Self::List(builder) | Self::Set(builder) => Arc::new(builder.finish()?),
            Self::Struct(builder) => Arc::new(builder.finish()?),
        })
    }
}

fn append_json(
    builder: &mut StringBuilder,
    cursor: &mut Cursor<'_>,
    state: &mut Decoding,
) -> Result<(), DecodeError> {
    state.json.clear();
    attribute::write_value(cursor, &mut state.json, &mut state.scratch)?;
    // The JSON value null is what a NULL attribute becomes; in SQL both are NULL.
    if state.json == "null" {
        builder.append_null();
    } else {
        builder.append_value(&state.json);
    }
    Ok(())
}

fn element_descriptor(set: Descriptor) -> Descriptor {
    match set {
        Descriptor::StringSet => Descriptor::String,
        Descriptor::BinarySet => Descriptor::Binary,
        _ => Descriptor::Number,
    }
}

fn shortened(text: &str) -> String {
    const LIMIT: usize = 60;
    if text.chars().count() <= LIMIT {
        return text.to_owned();
    }
    text.chars()
        .take(LIMIT)
        .chain(std::iter::once('…'))
        .collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    Null,
    Value,
}

impl ListBuilder {
    fn new(element: &Shape) -> Self {
        Self {
            element: element.clone(),
            offsets: vec![0],
            validity: NullBufferBuilder::new(0),
            values: ColumnBuilder::new(element),
            length: 0,
        }
    }

    fn takes_set(&self, descriptor: Descriptor) -> bool {
        Shape::Set(Box::new(self.element.clone())).descriptor() == Some(descriptor.as_str())
    }

    fn append(&mut self, presence: Presence) {
        self.offsets.push(self.length);
        match presence {
            Presence::Null => self.validity.append_null(),
            Presence::Value => self.validity.append_non_null(),
        }
    }

    fn append_elements(
        &mut self,
        cursor: &mut Cursor<'_>,
        state: &mut Decoding,
        mut append: impl FnMut(
            &mut ColumnBuilder,
            &mut Cursor<'_>,
            &mut Decoding,
        ) -> Result<(), DecodeError>,
    ) -> Result<(), DecodeError> {
        cursor.expect(b'[', "a list")?;
        let mut first = true;
        let mut position = 0_usize;
        while cursor.next_element(&mut first)? {
            append(&mut self.values, cursor, state)
                .map_err(|error| below(error, || format!("[{position}]")))?;
            position += 1;
            self.length += 1;
        }
        self.append(Presence::Value);
        Ok(())
    }

    fn finish(&mut self) -> Result<ListArray, ArrowError> {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        self.length = 0;
        let values = self.values.finish()?;
        ListArray::try_new(
            element_field(&self.element),
            OffsetBuffer::new(ScalarBuffer::from(offsets)),
            values,
            self.validity.finish(),
        )
    }
}

impl StructBuilder {
    fn new(members: &[Member]) -> Self {
        Self {
            members: members.to_vec(),
            names: NameLookup::new(members.iter().map(|member| member.source_name.as_str())),
            columns: members
                .iter()
                .map(|member| ColumnBuilder::new(&member.shape))
                .collect(),
            filled: vec![0; members.len()],
            validity: NullBufferBuilder::new(0),
            rows: 0,
        }
    }

    fn append_null(&mut self) {
        self.rows += 1;
        self.fill();
        self.validity.append_null();
    }

    fn fill(&mut self) {
        for (column, filled) in self.columns.iter_mut().zip(&mut self.filled) {
            if *filled < self.rows {
                column.append_null();
                *filled = self.rows;
            }
        }
    }

    fn append_members(
        &mut self,
        cursor: &mut Cursor<'_>,
        state: &mut Decoding,
    ) -> Result<(), DecodeError> {
        self.rows += 1;
        cursor.expect(b'{', "a map of attributes")?;
        let mut first = true;
        self.names.restart();
        while cursor.next_member(&mut first)? {
            let Some(index) = self.names.find(cursor.name(&mut state.scratch)?) else {
                cursor.skip_value()?;
                continue;
            };
            if self.filled[index] == self.rows {
                return Err(cursor.error("each member once").into());
            }
            self.columns[index]
                .append(cursor, state)
                .map_err(|error| below(error, || self.members[index].source_name.clone()))?;
            self.filled[index] = self.rows;
        }
        self.fill();
        self.validity.append_non_null();
        Ok(())
    }

    fn finish(&mut self) -> Result<StructArray, ArrowError> {
        let rows = std::mem::take(&mut self.rows);
        self.filled.fill(0);
        let columns = self
            .columns
            .iter_mut()
            .map(ColumnBuilder::finish)
            .collect::<Result<Vec<_>, _>>()?;
        let validity = self.validity.finish();
        if columns.is_empty() {
            return Ok(StructArray::new_empty_fields(rows, validity));
        }
        StructArray::try_new(member_fields(&self.members), columns, validity)
    }
}

fn below(error: DecodeError, name: impl FnOnce() -> String) -> DecodeError {
    match error {
        DecodeError::Mismatch { mut path, message } => {
            path.insert(0, name());
            DecodeError::Mismatch { path, message }
        }
        syntax => syntax,
    }
}

/// Finds a name's position; remembers which name followed which, since items mostly repeat their order.
#[derive(Debug)]
pub(crate) struct NameLookup {
    names: Vec<Box<str>>,
    positions: HashMap<Box<str>, usize, BuildHasherDefault<ShortTextHasher>>,
    /// `following[i]` was found last time after `i`; the last entry is for the first name of an item.
    following: Vec<usize>,
    previous: usize,
}

impl NameLookup {
    pub(crate) fn new<'n>(names: impl Iterator<Item = &'n str>) -> Self {
        let names: Vec<Box<str>> = names.map(Box::from).collect();
        let positions = names
            .iter()
            .cloned()
            .enumerate()
            .map(|(position, name)| (name, position))
            .collect();
        let count = names.len();
        Self {
            names,
            positions,
            following: vec![0; count + 1],
            previous: count,
        }
    }

    /// A new item begins.
    #[inline]
    pub(crate) fn restart(&mut self) {
        self.previous = self.names.len();
    }

    /// Position of a name; `None` when it is not looked for.
    #[inline]
    pub(crate) fn find(&mut self, name: &str) -> Option<usize> {
        let guess = self.following[self.previous];
        if self
            .names
            .get(guess)
            .is_some_and(|candidate| **candidate == *name)
        {
            self.previous = guess;
            return Some(guess);
        }
        let position = *self.positions.get(name)?;
        self.following[self.previous] = position;
        self.previous = position;
        Some(position)
    }
}

/// FNV-1a: attribute names are short, and an attacker cannot choose which names are looked for.
#[derive(Debug)]
pub(crate) struct ShortTextHasher(u64);

impl Default for ShortTextHasher {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for ShortTextHasher {
    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
