//! Decodes one CSV file into batches: header to columns, text to types. Must never do I/O.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringBuilder, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::backslashes::Backslashes;
use super::convert::{ConvertError, TypeOrigin, convert, is_text};
use super::tokenizer::{BlankLines, Dialect, Malformed, Tokenizer};
use crate::preamble::Preamble;
use crate::sql_type::{display_type, with_article};

/// Text of a batch after which it is handed on, however few rows it has.
const MAX_BATCH_BYTES: usize = 32 * 1024 * 1024;

/// How the records of a table's files are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvLayout {
    /// Structure.
    pub dialect: Dialect,
    /// The first record names the columns.
    pub header: Header,
    /// Text that stands for NULL, as it is written; `None` is the empty field, and what `backslashes` says.
    pub null: Option<String>,
    /// What backslashes outside of quotes mean.
    pub backslashes: Backslashes,
}

impl CsvLayout {
    /// Whether a field without quotes, as it is written, is a text that stands for NULL.
    pub fn is_null_text(&self, written: &str) -> bool {
        match &self.null {
            Some(null) => written == null,
            None => self.backslashes.null() == Some(written),
        }
    }

    /// The text that a field stands for.
    pub fn text<'a>(&self, written: &'a str, quoted: bool) -> Cow<'a, str> {
        match quoted {
            true => Cow::Borrowed(written),
            false => self.backslashes.text(written),
        }
    }
}

/// Whether files begin with column names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// They do.
    Present,
    /// They do not; columns are `column_1`, `column_2`, …
    Absent,
}

/// A wanted column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedColumn {
    /// Name as the file's header spells it.
    pub source_name: String,
    /// Which one of equally named header fields, counted from 0.
    pub occurrence: usize,
    /// SQL name, for messages and the batch.
    pub name: String,
    /// Type of its values.
    pub data_type: DataType,
    /// Where the type comes from.
    pub origin: TypeOrigin,
}

/// What a field without anything but blanks means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blank {
    /// What is written.
    Text,
    /// No value.
    Null,
    /// A value that does not fit.
    Wrong,
}

/// What is wrong with a file and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Physical line, from 1.
    pub line: u64,
    /// SQL name of the column, when it is about one value.
    pub column: Option<String>,
    /// What is wrong.
    pub message: String,
}

/// Decodes the chunks of one file.
#[derive(Debug)]
pub struct CsvDecoder {
    layout: CsvLayout,
    tokenizer: Tokenizer,
    preamble: Preamble,
    wanted: Vec<WantedColumn>,
    schema: SchemaRef,
    batch_rows: usize,
    /// Field count of a record and, for each wanted column, its position; known after the first record.
    positions: Option<Positions>,
    columns: Vec<StringBuilder>,
    lines: Vec<u64>,
    bytes: usize,
}

#[derive(Debug, Clone)]
struct Positions {
    fields: usize,
    wanted: Vec<Option<usize>>,
}

impl CsvDecoder {
    /// Decodes `wanted` columns, in that order.
    pub fn new(layout: CsvLayout, wanted: Vec<WantedColumn>, batch_rows: usize) -> Self {
        let fields: Vec<Field> = wanted
            .iter()
            .map(|column| Field::new(&column.name, column.data_type.clone(), true))
            .collect();
        Self {
            tokenizer: Tokenizer::new(layout.dialect),
            layout,
            preamble: Preamble::at_start(),
            columns: wanted.iter().map(|_| StringBuilder::new()).collect(),
            wanted,
            schema: Arc::new(Schema::new(fields)),
            batch_rows: batch_rows.max(1),
            positions: None,
            lines: Vec::new(),
            bytes: 0,
        }
    }

    /// The same, for a part of a file that begins at a later line; `names` are the file's columns.
    pub fn resume(mut self, names: &[String]) -> Self {
        self.preamble = Preamble::passed();
        self.set_positions(names);
        self
    }

    /// Decodes the next chunk; complete batches are appended to `out`.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<RecordBatch>) -> Result<(), Problem> {
        let text = self
            .preamble
            .push(chunk)
            .map_err(|error| at_start(&error))?;
        self.decode(&text, out)
    }

    /// The file ends.
    pub fn finish(&mut self, out: &mut Vec<RecordBatch>) -> Result<(), Problem> {
        let rest = self.preamble.finish().map_err(|error| at_start(&error))?;
        self.decode(&rest, out)?;
        if self.tokenizer.finish()? {
            self.take_record(out)?;
        }
        if !self.lines.is_empty() {
            out.push(self.build()?);
        }
        Ok(())
    }

    fn decode(&mut self, text: &[u8], out: &mut Vec<RecordBatch>) -> Result<(), Problem> {
        let mut rest = text;
        while !rest.is_empty() {
            let (used, complete) = self.tokenizer.advance(rest)?;
            rest = &rest[used..];
            if complete {
                self.take_record(out)?;
            }
        }
        Ok(())
    }

    fn take_record(&mut self, out: &mut Vec<RecordBatch>) -> Result<(), Problem> {
        if self.positions.is_none() {
            match self.layout.header {
                Header::Present => {
                    let names = record_names(&self.tokenizer, &self.layout)?;
                    self.set_positions(&names);
                    return Ok(());
                }
                Header::Absent => self.set_positions(&unnamed(self.tokenizer.field_count())),
            }
        }
        self.append_record()?;
        if self.lines.len() >= self.batch_rows || self.bytes >= MAX_BATCH_BYTES {
            out.push(self.build()?);
        }
        Ok(())
    }

    fn set_positions(&mut self, names: &[String]) {
        let wanted = self
            .wanted
            .iter()
            .map(|column| {
                names
                    .iter()
                    .enumerate()
                    .filter(|(_, name)| **name == column.source_name)
                    .nth(column.occurrence)
                    .map(|(position, _)| position)
            })
            .collect();
        if names.len() == 1 {
            self.tokenizer.set_blank_lines(BlankLines::Record);
        }
        self.positions = Some(Positions {
            fields: names.len(),
            wanted,
        });
    }

    fn append_record(&mut self) -> Result<(), Problem> {
        let Some(positions) = &self.positions else {
            return Ok(());
        };
        let line = self.tokenizer.record_line();
        let found = self.tokenizer.field_count();
        if found != positions.fields {
            return Err(Problem {
                line,
                column: None,
                message: format!(
                    "the record has {found} fields where the first one has {}{}",
                    positions.fields,
                    match positions.fields {
                        1 =>
                            " (hint: if the fields are separated by something else, set csv delimiter)",
                        _ => "",
                    }
                ),
            });
        }
        for (index, position) in positions.wanted.iter().enumerate() {
            let column = &self.wanted[index];
            let Some(field) = position.and_then(|position| self.tokenizer.field(position)) else {
                continue;
            };
            let Ok(text) = std::str::from_utf8(field.bytes) else {
                return Err(Problem {
                    line,
                    column: Some(column.name.clone()),
                    message: "the value is not UTF-8 (hint: convert the file, e.g. iconv -f WINDOWS-1252 -t UTF-8)"
                        .to_owned(),
                });
            };
            let blank = match (is_text(&column.data_type), column.origin) {
                (true, _) => Blank::Text,
                (false, TypeOrigin::Declared) => Blank::Null,
                // The first rows would have made a text column of it.
                (false, TypeOrigin::Inferred) if field.quoted || !text.is_empty() => Blank::Wrong,
                (false, TypeOrigin::Inferred) => Blank::Null,
            };
            let text = match blank {
                Blank::Text => text,
                Blank::Null | Blank::Wrong => text.trim_matches([' ', '\t']),
            };
            let is_empty_null = match blank {
                Blank::Text => self.layout.null.is_none() && !field.quoted,
                Blank::Null => true,
                Blank::Wrong => false,
            };
            let is_null = (!field.quoted && self.layout.is_null_text(text))
                || (text.is_empty() && is_empty_null);
            self.bytes += text.len();
            let text = (!is_null).then(|| self.layout.text(text, field.quoted));
            self.columns[index].append_option(text);
        }
        self.lines.push(line);
        Ok(())
    }

    fn build(&mut self) -> Result<RecordBatch, Problem> {
        let lines = std::mem::take(&mut self.lines);
        self.bytes = 0;
        let missing: Vec<bool> = match &self.positions {
            Some(positions) => positions.wanted.iter().map(Option::is_none).collect(),
            None => vec![true; self.wanted.len()],
        };
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.wanted.len());
        for ((column, builder), missing) in self.wanted.iter().zip(&mut self.columns).zip(missing) {
            if missing {
                arrays.push(new_null_array(&column.data_type, lines.len()));
                continue;
            }
            let converted = convert(builder.finish(), &column.data_type, column.origin);
            arrays.push(converted.map_err(|error| conversion_problem(column, &lines, error))?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(lines.len()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options).map_err(
            |error| Problem {
                line: lines.first().copied().unwrap_or(1),
                column: None,
                message: error.to_string(),
            },
        )
    }
}

/// The header's column names; empty ones are `column_N`.
pub fn record_names(tokenizer: &Tokenizer, layout: &CsvLayout) -> Result<Vec<String>, Problem> {
    (0..tokenizer.field_count())
        .map(|index| {
            let (bytes, quoted) = tokenizer
                .field(index)
                .map(|field| (field.bytes, field.quoted))
                .unwrap_or_default();
            let written = std::str::from_utf8(bytes).map_err(|_| Problem {
                line: tokenizer.record_line(),
                column: None,
                message: format!("the name of column {} is not UTF-8", index + 1),
            })?;
            let name = layout.text(written, quoted);
            let name = name.trim();
            Ok(if name.is_empty() {
                format!("column_{}", index + 1)
            } else {
                name.to_owned()
            })
        })
        .collect()
}

/// Names of columns in files without a header.
pub fn unnamed(count: usize) -> Vec<String> {
    (1..=count)
        .map(|number| format!("column_{number}"))
        .collect()
}

fn conversion_problem(column: &WantedColumn, lines: &[u64], error: ConvertError) -> Problem {
    let wanted_type = display_type(&column.data_type);
    match error {
        ConvertError::Value { row, value } => Problem {
            line: lines.get(row).copied().unwrap_or(0),
            column: Some(column.name.clone()),
            message: value_problem(column, &value, &wanted_type),
        },
        ConvertError::Type(error) => Problem {
            line: lines.first().copied().unwrap_or(1),
            column: Some(column.name.clone()),
            message: format!("text cannot be read as {wanted_type}: {error}"),
        },
    }
}

fn value_problem(column: &WantedColumn, value: &str, wanted_type: &str) -> String {
    let hint = match column.origin {
        TypeOrigin::Declared => format!(
            "(hint: csv types declares {} as {wanted_type}; declare a type that fits, e.g. \"varchar\")",
            column.name
        ),
        TypeOrigin::Inferred => format!(
            "(hint: set csv types, e.g. {} = \"varchar\", or read more rows with infer_rows)",
            column.name
        ),
    };
    let shown = shortened(value);
    if value.is_empty() {
        return format!(
            "blank text is not {}, and only an empty field without quotes is NULL {hint}",
            with_article(wanted_type)
        );
    }
    if column.origin == TypeOrigin::Inferred && can_be_read(value, &column.data_type) {
        return format!("'{shown}' would be changed by the inferred type {wanted_type} {hint}");
    }
    format!("'{shown}' is not {} {hint}", with_article(wanted_type))
}

fn can_be_read(value: &str, data_type: &DataType) -> bool {
    convert(vec![value].into(), data_type, TypeOrigin::Declared).is_ok()
}

fn shortened(value: &str) -> String {
    const MOST: usize = 60;
    match value.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.to_owned(),
    }
}

fn at_start(message: &impl ToString) -> Problem {
    Problem {
        line: 1,
        column: None,
        message: message.to_string(),
    }
}

impl From<Malformed> for Problem {
    fn from(malformed: Malformed) -> Self {
        Self {
            line: malformed.line,
            column: None,
            message: malformed.message,
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow::util::pretty::pretty_format_batches;

    use super::*;

    const DIALECT: Dialect = Dialect {
        delimiter: b',',
        quote: Some(b'"'),
        escape: None,
        comment: None,
    };

    fn layout(null: Option<&str>) -> CsvLayout {
        CsvLayout {
            dialect: DIALECT,
            header: Header::Present,
            null: null.map(str::to_owned),
            backslashes: Backslashes::Plain,
        }
    }

    fn column(name: &str, data_type: DataType) -> WantedColumn {
        WantedColumn {
            source_name: name.to_owned(),
            occurrence: 0,
            name: name.to_lowercase(),
            data_type,
            origin: TypeOrigin::Inferred,
        }
    }

    fn decode(layout: CsvLayout, wanted: Vec<WantedColumn>, text: &str) -> Result<String, Problem> {
        let mut decoder = CsvDecoder::new(layout, wanted, 2);
        let mut batches = Vec::new();
        for piece in text.as_bytes().chunks(3) {
            decoder.push(piece, &mut batches)?;
        }
        decoder.finish(&mut batches)?;
        let shown = pretty_format_batches(&batches).unwrap().to_string();
        Ok(shown
            .lines()
            .skip(3)
            .filter(|line| !line.starts_with('+'))
            .collect::<Vec<_>>()
            .join("\n"))
    }

    #[test]
    fn columns_are_found_by_name_and_missing_ones_are_null() {
        let wanted = vec![
            column("C", DataType::Int64),
            column("nope", DataType::Date32),
            column("a", DataType::Utf8),
        ];
        let shown = decode(
            layout(None),
            wanted,
            "\u{FEFF}a,b,C\nx,y,1\n,\"\", 2 \n\"\",z,\n",
        )
        .unwrap();
        assert_eq!(
            shown,
            "| 1 |      | x |\n| 2 |      |   |\n|   |      |   |"
        );
    }

    #[test]
    fn a_quoted_empty_field_is_text_and_an_empty_one_is_null() {
        let mut decoder = CsvDecoder::new(layout(None), vec![column("a", DataType::Utf8)], 10);
        let mut batches = Vec::new();
        decoder.push(b"a,b\n\"\",1\n,2\n", &mut batches).unwrap();
        decoder.finish(&mut batches).unwrap();
        assert_eq!(batches[0].column(0).null_count(), 1);
        assert!(batches[0].column(0).is_valid(0));
    }

    #[test]
    fn a_null_text_replaces_the_empty_field() {
        let wanted = vec![column("a", DataType::Utf8), column("b", DataType::Int64)];
        let mut decoder = CsvDecoder::new(layout(Some("NA")), wanted, 10);
        let mut batches = Vec::new();
        decoder
            .push(b"a,b\nNA,NA\n,\n\"NA\",3\n", &mut batches)
            .unwrap();
        decoder.finish(&mut batches).unwrap();
        let (a, b) = (batches[0].column(0), batches[0].column(1));
        assert_eq!(
            (a.is_null(0), a.is_null(1), a.is_null(2)),
            (true, false, false)
        );
        assert_eq!(
            (b.is_null(0), b.is_null(1), b.is_null(2)),
            (true, true, false)
        );
    }

    #[test]
    fn blank_numbers_are_null_where_that_was_seen_or_declared() {
        for (field, inferred, declared) in
            [("", true, true), ("\"\"", false, true), (" ", false, true)]
        {
            for (origin, accepted) in [
                (TypeOrigin::Inferred, inferred),
                (TypeOrigin::Declared, declared),
            ] {
                let wanted = WantedColumn {
                    origin,
                    ..column("a", DataType::Int64)
                };
                let decoded = decode(layout(None), vec![wanted], &format!("a,b\n{field},1\n"));
                assert_eq!(decoded.is_ok(), accepted, "[{field}] {origin:?}");
            }
        }
    }

    #[test]
    fn problems_name_line_and_column() {
        let wanted = || vec![column("a", DataType::Int64)];
        let problem = decode(layout(None), wanted(), "a,b\n1,\"x\ny\"\nbad,2\n").unwrap_err();
        assert_eq!((problem.line, problem.column.as_deref()), (4, Some("a")));
        assert!(
            problem.message.contains("'bad' is not a bigint"),
            "{}",
            problem.message
        );
        let ragged = decode(layout(None), wanted(), "a,b\n1,2\n3\n").unwrap_err();
        assert_eq!(ragged.line, 3);
        let open = decode(layout(None), wanted(), "a,b\n1,\"2\n").unwrap_err();
        assert_eq!(open.line, 2);
    }

    #[test]
    fn rows_are_counted_without_columns() {
        let mut decoder = CsvDecoder::new(layout(None), Vec::new(), 10);
        let mut batches = Vec::new();
        decoder.push(b"a\n1\n\n3", &mut batches).unwrap();
        decoder.finish(&mut batches).unwrap();
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 3);
    }
}
