//! CSV and TSV. Must never buffer more than one batch.
//!
//! CSV quotes as RFC 4180 says, with a line feed at the end of each record. NULL is an empty field without
//! quotes, the empty text is `""`. TSV never quotes: NULL is `\N`, and tab, line feed, carriage return and
//! backslash are `\t`, `\n`, `\r` and `\\`, as PostgreSQL's text COPY does.

use std::io::Write;

use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;

use super::display::{Encoder, Notation};
use super::{ResultWriter, WriteError};

/// Writes one record a line.
pub struct DelimitedWriter<'a> {
    dialect: Dialect,
    out: Box<dyn Write + Send + 'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Csv,
    Tsv,
}

impl<'a> DelimitedWriter<'a> {
    /// CSV with a header.
    pub fn csv(schema: &Schema, out: Box<dyn Write + Send + 'a>) -> Result<Self, WriteError> {
        Self::new(Dialect::Csv, schema, out)
    }

    /// TSV with a header.
    pub fn tsv(schema: &Schema, out: Box<dyn Write + Send + 'a>) -> Result<Self, WriteError> {
        Self::new(Dialect::Tsv, schema, out)
    }

    fn new(
        dialect: Dialect,
        schema: &Schema,
        mut out: Box<dyn Write + Send + 'a>,
    ) -> Result<Self, WriteError> {
        let mut line = Vec::new();
        for (index, field) in schema.fields().iter().enumerate() {
            if index > 0 {
                line.push(dialect.delimiter());
            }
            dialect.write_field(field.name().as_bytes(), &mut line);
        }
        line.push(b'\n');
        out.write_all(&line)?;
        Ok(Self { dialect, out })
    }
}

impl ResultWriter for DelimitedWriter<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        let encoders = batch
            .columns()
            .iter()
            .map(|column| Encoder::new(column.as_ref(), Notation::Text))
            .collect::<Result<Vec<_>, _>>()?;
        let mut line = Vec::new();
        let mut cell = Vec::new();
        for row in 0..batch.num_rows() {
            line.clear();
            for (index, encoder) in encoders.iter().enumerate() {
                if index > 0 {
                    line.push(self.dialect.delimiter());
                }
                if encoder.is_null(row) {
                    self.dialect.write_null(&mut line);
                    continue;
                }
                cell.clear();
                encoder.write(row, &mut cell);
                self.dialect.write_field(&cell, &mut line);
            }
            line.push(b'\n');
            self.out.write_all(&line)?;
        }
        self.out.flush()?;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), WriteError> {
        self.out.flush()?;
        Ok(())
    }
}

impl Dialect {
    fn delimiter(self) -> u8 {
        match self {
            Self::Csv => b',',
            Self::Tsv => b'\t',
        }
    }

    fn write_null(self, line: &mut Vec<u8>) {
        if self == Self::Tsv {
            line.extend_from_slice(b"\\N");
        }
    }

    fn write_field(self, text: &[u8], line: &mut Vec<u8>) {
        match self {
            Self::Csv => write_csv_field(text, line),
            Self::Tsv => write_tsv_field(text, line),
        }
    }
}

fn write_csv_field(text: &[u8], line: &mut Vec<u8>) {
    let needs_quotes = text.is_empty()
        || text
            .iter()
            .any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'));
    if !needs_quotes {
        line.extend_from_slice(text);
        return;
    }
    line.push(b'"');
    for byte in text {
        if *byte == b'"' {
            line.push(b'"');
        }
        line.push(*byte);
    }
    line.push(b'"');
}

fn write_tsv_field(text: &[u8], line: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'\t' => line.extend_from_slice(b"\\t"),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            b'\\' => line.extend_from_slice(b"\\\\"),
            other => line.push(*other),
        }
    }
}
