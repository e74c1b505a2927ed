//! JSON: one array of objects, or one object a line. Must never buffer more than one batch.
//!
//! Integers keep all their digits, decimals and times are strings, NaN and infinities are strings, binary is
//! hexadecimal. A second column of the same name gets `_2` behind it, because objects cannot have both.

use std::io::Write;

use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;

use super::display::{Encoder, Notation, write_json_string};
use super::{ResultWriter, WriteError, names};

/// Writes one object a row.
pub struct JsonWriter<'a> {
    layout: Layout,
    /// `"name":`, with a comma before all but the first.
    keys: Vec<Vec<u8>>,
    first: bool,
    out: Box<dyn Write + Send + 'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    Array,
    Lines,
}

impl<'a> JsonWriter<'a> {
    /// One array.
    pub fn array(schema: &Schema, mut out: Box<dyn Write + Send + 'a>) -> Result<Self, WriteError> {
        out.write_all(b"[")?;
        Ok(Self::new(Layout::Array, schema, out))
    }

    /// One object a line.
    pub fn lines(schema: &Schema, out: Box<dyn Write + Send + 'a>) -> Result<Self, WriteError> {
        Ok(Self::new(Layout::Lines, schema, out))
    }

    fn new(layout: Layout, schema: &Schema, out: Box<dyn Write + Send + 'a>) -> Self {
        let keys = names::unique(schema)
            .iter()
            .enumerate()
            .map(|(index, name)| {
                let mut key = Vec::new();
                if index > 0 {
                    key.push(b',');
                }
                write_json_string(name, &mut key);
                key.push(b':');
                key
            })
            .collect();
        Self {
            layout,
            keys,
            first: true,
            out,
        }
    }

    fn separator(&mut self) -> &'static [u8] {
        let first = std::mem::replace(&mut self.first, false);
        match (self.layout, first) {
            (Layout::Lines, _) => b"",
            (Layout::Array, true) => b"\n",
            (Layout::Array, false) => b",\n",
        }
    }
}

impl ResultWriter for JsonWriter<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        let encoders = batch
            .columns()
            .iter()
            .map(|column| Encoder::new(column.as_ref(), Notation::Json))
            .collect::<Result<Vec<_>, _>>()?;
        let mut line = Vec::new();
        for row in 0..batch.num_rows() {
            line.clear();
            line.extend_from_slice(self.separator());
            line.push(b'{');
            for (key, encoder) in self.keys.iter().zip(&encoders) {
                line.extend_from_slice(key);
                if encoder.is_null(row) {
                    line.extend_from_slice(b"null");
                } else {
                    encoder.write(row, &mut line);
                }
            }
            line.push(b'}');
            if self.layout == Layout::Lines {
                line.push(b'\n');
            }
            self.out.write_all(&line)?;
        }
        self.out.flush()?;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), WriteError> {
        if self.layout == Layout::Array {
            self.out
                .write_all(if self.first { b"]\n" } else { b"\n]\n" })?;
        }
        self.out.flush()?;
        Ok(())
    }
}
