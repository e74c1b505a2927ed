//! A Markdown table (GitHub's). Must never buffer more than one batch.

use std::io::Write;

use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;

use super::display::{Encoder, Notation};
use super::{ResultWriter, WriteError};

/// Writes one table row a line.
pub struct MarkdownWriter<'a> {
    out: Box<dyn Write + Send + 'a>,
}

impl<'a> MarkdownWriter<'a> {
    /// Writes the header.
    pub fn new(schema: &Schema, mut out: Box<dyn Write + Send + 'a>) -> Result<Self, WriteError> {
        let mut lines = vec![b'|'];
        for field in schema.fields() {
            lines.push(b' ');
            write_cell(field.name().as_bytes(), &mut lines);
            lines.extend_from_slice(b" |");
        }
        lines.extend_from_slice(b"\n|");
        for field in schema.fields() {
            let right = field.data_type().is_numeric();
            lines.extend_from_slice(if right { b" ---: |" } else { b" --- |" });
        }
        lines.push(b'\n');
        out.write_all(&lines)?;
        Ok(Self { out })
    }
}

impl ResultWriter for MarkdownWriter<'_> {
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
            line.push(b'|');
            for encoder in &encoders {
                line.push(b' ');
                if encoder.is_null(row) {
                    line.extend_from_slice(b"NULL");
                } else {
                    cell.clear();
                    encoder.write(row, &mut cell);
                    write_cell(&cell, &mut line);
                }
                line.extend_from_slice(b" |");
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

/// A cell must stay on its line and within its bars.
fn write_cell(text: &[u8], line: &mut Vec<u8>) {
    for byte in text {
        match byte {
            b'|' => line.extend_from_slice(b"\\|"),
            b'\\' => line.extend_from_slice(b"\\\\"),
            b'\n' => line.extend_from_slice(b"<br>"),
            b'\r' => {}
            b'<' => line.extend_from_slice(b"&lt;"),
            other => line.push(*other),
        }
    }
}
