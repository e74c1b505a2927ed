//! CSV and TSV files: options, sampling of columns. Must never know tables or stores.

pub mod backslashes;
pub mod convert;
pub mod decode;
pub mod guess;
pub mod tokenizer;

use std::collections::BTreeMap;

use arrow::datatypes::DataType;

use self::backslashes::Backslashes;
use self::convert::TypeOrigin;
use self::decode::{CsvLayout, Header, Problem, record_names, unnamed};
use self::guess::Guess;
use self::tokenizer::{BlankLines, Dialect, Tokenizer};
use crate::format::Format;
use crate::options::CsvOptions;
use crate::preamble::Preamble;
use crate::sql_type::parse_sql_type;

/// Everything configured about the CSV files of one table, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvSettings {
    /// How records are written.
    pub layout: CsvLayout,
    /// Declared types by lower-case column name.
    pub types: BTreeMap<String, DataType>,
    /// What columns without a declared type are.
    pub undeclared: Undeclared,
    /// Whether a file can be read from several places at once.
    pub splitting: Splitting,
}

/// Type of columns that are not declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undeclared {
    /// Guessed from values.
    Guessed,
    /// Text.
    Text,
}

/// Whether one file may be read in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Splitting {
    /// A line end is always a record end.
    AtLines,
    /// Records may contain line ends.
    Never,
}

impl CsvSettings {
    /// Checks options; a sentence about what cannot work.
    pub fn new(format: Format, options: &CsvOptions) -> Result<Self, String> {
        let default_delimiter = if format == Format::Tsv { '\t' } else { ',' };
        let delimiter = ascii("delimiter", options.delimiter.unwrap_or(default_delimiter))?;
        // Whoever says how the file quotes or escapes says that it is written as CSV is.
        let has_backslashes = format == Format::Tsv
            && delimiter == b'\t'
            && (options.quote, options.escape) == (None, None);
        let backslashes = match has_backslashes {
            true => Backslashes::Escape,
            false => Backslashes::Plain,
        };
        // COPY, which writes NULL so, quotes nothing.
        let is_copied = has_backslashes && options.null.as_deref() == backslashes.null();
        let quote = match is_copied {
            true => None,
            false => Some(ascii("quote", options.quote.unwrap_or('"'))?),
        };
        let dialect = Dialect {
            delimiter,
            quote,
            escape: options
                .escape
                .map(|escape| ascii("escape", escape))
                .transpose()?,
            comment: options
                .comment
                .map(|comment| ascii("comment", comment))
                .transpose()?,
        };
        if Some(delimiter) == dialect.quote || Some(delimiter) == dialect.comment {
            return Err(
                "csv: delimiter, quote and comment must be different characters".to_owned(),
            );
        }
        let mut types = BTreeMap::new();
        for (column, type_name) in &options.types {
            let data_type = parse_sql_type(type_name)
                .map_err(|message| format!("csv type of {column}: {message}"))?;
            types.insert(column.to_lowercase(), data_type);
        }
        Ok(Self {
            layout: CsvLayout {
                dialect,
                header: if options.header == Some(false) {
                    Header::Absent
                } else {
                    Header::Present
                },
                null: options.null.clone(),
                backslashes,
            },
            types,
            undeclared: if options.all_text == Some(true) {
                Undeclared::Text
            } else {
                Undeclared::Guessed
            },
            splitting: if options.newlines_in_values == Some(false) {
                Splitting::AtLines
            } else {
                Splitting::Never
            },
        })
    }
}

impl CsvSettings {
    /// Where the type of a column comes from, by its SQL name.
    pub fn origin(&self, column: &str) -> TypeOrigin {
        if self.types.contains_key(column) {
            TypeOrigin::Declared
        } else {
            TypeOrigin::Inferred
        }
    }
}

fn ascii(option: &str, character: char) -> Result<u8, String> {
    match u8::try_from(character) {
        Ok(byte) if byte.is_ascii() && byte != b'\n' && byte != b'\r' => Ok(byte),
        _ => Err(format!(
            "csv {option} must be one ASCII character other than a line end, not {character:?}"
        )),
    }
}

/// What the first rows of a file tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CsvSample {
    /// Column names in file order; `None` before the first record.
    pub names: Option<Vec<String>>,
    /// What their values have in common.
    pub guesses: Vec<Guess>,
    /// Rows seen.
    pub rows: u64,
    /// Bytes (unpacked) these rows took.
    pub bytes: u64,
}

/// Collects a [`CsvSample`] from chunks.
pub struct CsvSampler<'a> {
    layout: &'a CsvLayout,
    tokenizer: Tokenizer,
    preamble: Preamble,
    sample: CsvSample,
    most_rows: u64,
}

impl<'a> CsvSampler<'a> {
    /// Looks at up to `most_rows` rows.
    pub fn new(layout: &'a CsvLayout, most_rows: u64) -> Self {
        Self {
            layout,
            tokenizer: Tokenizer::new(layout.dialect),
            preamble: Preamble::at_start(),
            sample: CsvSample::default(),
            most_rows,
        }
    }

    /// Takes a chunk; true when enough has been seen.
    pub fn push(&mut self, chunk: &[u8]) -> Result<bool, Problem> {
        let text = self
            .preamble
            .push(chunk)
            .map_err(|error| not_text(&error))?
            .into_owned();
        self.take(&text)
    }

    /// The file ended or enough was seen.
    pub fn finish(mut self, ended: Ended) -> Result<CsvSample, Problem> {
        if ended == Ended::File {
            let rest = self.preamble.finish().map_err(|error| not_text(&error))?;
            let enough = self.take(&rest)?;
            if !enough && self.tokenizer.finish()? {
                self.take_record()?;
            }
        }
        Ok(self.sample)
    }

    fn take(&mut self, text: &[u8]) -> Result<bool, Problem> {
        let mut rest = text;
        while !rest.is_empty() {
            if self.is_enough() {
                return Ok(true);
            }
            let (used, complete) = self.tokenizer.advance(rest)?;
            rest = &rest[used..];
            self.sample.bytes += used as u64;
            if complete {
                self.take_record()?;
            }
        }
        Ok(self.is_enough())
    }

    fn is_enough(&self) -> bool {
        self.sample.names.is_some() && self.sample.rows >= self.most_rows
    }

    fn take_record(&mut self) -> Result<(), Problem> {
        if self.sample.names.is_none() {
            let names = match self.layout.header {
                Header::Present => record_names(&self.tokenizer, self.layout)?,
                Header::Absent => unnamed(self.tokenizer.field_count()),
            };
            if names.len() == 1 {
                self.tokenizer.set_blank_lines(BlankLines::Record);
            }
            self.sample.guesses = vec![Guess::default(); names.len()];
            self.sample.names = Some(names);
            if self.layout.header == Header::Present {
                return Ok(());
            }
        }
        self.sample.rows += 1;
        for (index, guess) in self.sample.guesses.iter_mut().enumerate() {
            // Records of another length and text that is not UTF-8 are reported when they are read.
            let Some(field) = self.tokenizer.field(index) else {
                continue;
            };
            let Ok(text) = std::str::from_utf8(field.bytes) else {
                continue;
            };
            // A quoted empty field is empty text, which only a text column can hold.
            let is_null = !field.quoted && (text.is_empty() || self.layout.is_null_text(text));
            if !is_null {
                guess.add(&self.layout.text(text, field.quoted));
            }
        }
        Ok(())
    }
}

/// Why sampling stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The file has no more bytes.
    File,
    /// Enough rows were seen.
    Sample,
}

fn not_text(message: &impl ToString) -> Problem {
    Problem {
        line: 1,
        column: None,
        message: message.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(text: &str, most_rows: u64) -> CsvSample {
        let settings = CsvSettings::new(Format::Csv, &CsvOptions::default()).unwrap();
        let mut sampler = CsvSampler::new(&settings.layout, most_rows);
        for piece in text.as_bytes().chunks(5) {
            if sampler.push(piece).unwrap() {
                return sampler.finish(Ended::Sample).unwrap();
            }
        }
        sampler.finish(Ended::File).unwrap()
    }

    #[test]
    fn samples() {
        let whole = sample("id,name,\n1,a,\n2,,2024-01-01", 100);
        assert_eq!(
            whole.names,
            Some(vec![
                "id".to_owned(),
                "name".to_owned(),
                "column_3".to_owned()
            ])
        );
        assert_eq!(whole.rows, 2);
        let types: Vec<DataType> = whole
            .guesses
            .iter()
            .map(|guess| guess.data_type())
            .collect();
        assert_eq!(types, [DataType::Int64, DataType::Utf8, DataType::Date32]);
        assert_eq!(
            sample("id\n1\n2\nx\n", 2).guesses[0].data_type(),
            DataType::Int64
        );
        assert_eq!(sample("", 2).names, None);
        assert_eq!(sample("id,x\n", 2).rows, 0);
    }

    #[test]
    fn options_are_checked() {
        let mut options = CsvOptions {
            delimiter: Some('→'),
            ..CsvOptions::default()
        };
        assert!(CsvSettings::new(Format::Csv, &options).is_err());
        options.delimiter = Some('"');
        assert!(CsvSettings::new(Format::Csv, &options).is_err());
        options.delimiter = None;
        options.types.insert("a".to_owned(), "nonsense".to_owned());
        assert!(CsvSettings::new(Format::Csv, &options).is_err());
        let tsv = CsvSettings::new(Format::Tsv, &CsvOptions::default()).unwrap();
        assert_eq!(tsv.layout.dialect.delimiter, b'\t');
        assert_eq!(tsv.layout.backslashes, Backslashes::Escape);
        assert_eq!(tsv.layout.dialect.quote, Some(b'"'));
        let copied = CsvOptions {
            null: Some("\\N".to_owned()),
            ..CsvOptions::default()
        };
        for (format, quote) in [(Format::Tsv, None), (Format::Csv, Some(b'"'))] {
            let settings = CsvSettings::new(format, &copied).unwrap();
            assert_eq!(settings.layout.dialect.quote, quote);
        }
        let quoting = CsvOptions {
            quote: Some('"'),
            ..CsvOptions::default()
        };
        let csv = CsvOptions::default();
        for (format, options) in [(Format::Tsv, &quoting), (Format::Csv, &csv)] {
            let settings = CsvSettings::new(format, options).unwrap();
            assert_eq!(settings.layout.backslashes, Backslashes::Plain);
        }
    }
}
