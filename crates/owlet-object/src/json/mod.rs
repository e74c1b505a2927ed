//! JSON files: one object a line (white space between objects is free), or one array of objects.
//! Must never know tables or stores.

pub mod array;
pub mod exact;
pub mod guess;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;
use arrow::json::reader::Decoder;

use self::array::ArrayUnwrapper;
use self::exact::{decoded_schema, restore, with_lost_numbers_as_text};
use self::guess::Guess;
use crate::csv::Ended;
use crate::preamble::{Preamble, Start};

/// What the first rows of a file tell.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JsonSample {
    /// Fields of the rows.
    pub guess: Guess,
    /// Rows seen.
    pub rows: u64,
    /// Bytes (unpacked) these rows took.
    pub bytes: u64,
    /// The file is one array.
    pub is_array: bool,
}

/// What is wrong with a file; the line is known only while rows are read one by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonProblem {
    /// Physical line, from 1.
    pub line: Option<u64>,
    /// What is wrong.
    pub message: String,
}

/// Collects a [`JsonSample`] from chunks.
pub struct JsonSampler {
    text: Vec<u8>,
    parsed: usize,
    line: u64,
    preamble: Preamble,
    unwrapper: ArrayUnwrapper,
    sample: JsonSample,
    most_rows: u64,
}

impl JsonSampler {
    /// Looks at up to `most_rows` rows.
    pub fn new(most_rows: u64) -> Self {
        Self {
            text: Vec::new(),
            parsed: 0,
            line: 1,
            preamble: Preamble::at_start(),
            unwrapper: ArrayUnwrapper::new(),
            sample: JsonSample::default(),
            most_rows,
        }
    }

    /// Takes a chunk; true when enough has been seen.
    pub fn push(&mut self, chunk: &[u8]) -> Result<bool, JsonProblem> {
        let mut piece = self
            .preamble
            .push(chunk)
            .map_err(|error| self.problem(&error))?
            .into_owned();
        self.take(&mut piece)?;
        self.parse(Ended::Sample)
    }

    /// The file ended or enough was seen.
    pub fn finish(mut self, ended: Ended) -> Result<JsonSample, JsonProblem> {
        if ended == Ended::File {
            let mut rest = self
                .preamble
                .finish()
                .map_err(|error| self.problem(&error))?;
            self.take(&mut rest)?;
            self.unwrapper
                .finish()
                .map_err(|error| self.problem(&error))?;
            self.parse(Ended::File)?;
        }
        self.sample.is_array = self.unwrapper.is_array();
        Ok(self.sample)
    }

    fn take(&mut self, piece: &mut [u8]) -> Result<(), JsonProblem> {
        self.unwrapper
            .push(piece)
            .map_err(|error| self.problem(&error))?;
        self.text.drain(..self.parsed);
        self.parsed = 0;
        self.text.extend_from_slice(piece);
        Ok(())
    }

    /// Parses the whole rows in the buffer.
    fn parse(&mut self, ended: Ended) -> Result<bool, JsonProblem> {
        loop {
            if self.sample.rows >= self.most_rows {
                return Ok(true);
            }
            let rest = &self.text[self.parsed..];
            let mut rows =
                serde_json::Deserializer::from_slice(rest).into_iter::<serde_json::Value>();
            let row = match rows.next() {
                None => return Ok(false),
                Some(Err(error)) if error.is_eof() && ended == Ended::Sample => return Ok(false),
                Some(Err(error)) => {
                    let line = self.line + (error.line() as u64).saturating_sub(1);
                    return Err(JsonProblem {
                        line: Some(line),
                        message: error.to_string(),
                    });
                }
                Some(Ok(row)) => row,
            };
            let used = rows.byte_offset();
            // What serde has rounded is guessed from the text instead.
            let row = match with_lost_numbers_as_text(&rest[..used]) {
                Some(text) => serde_json::from_slice(&text).map_err(|error| JsonProblem {
                    line: Some(self.line),
                    message: error.to_string(),
                })?,
                None => row,
            };
            let Some(fields) = row.as_object() else {
                return Err(JsonProblem {
                    line: Some(self.line),
                    message: format!(
                        "a row must be an object, not {}",
                        shortened(&row.to_string())
                    ),
                });
            };
            self.sample.guess.add_row(fields);
            self.sample.rows += 1;
            self.sample.bytes += used as u64;
            self.line += rest[..used].iter().filter(|byte| **byte == b'\n').count() as u64;
            self.parsed += used;
        }
    }

    fn problem(&self, message: &impl ToString) -> JsonProblem {
        JsonProblem {
            line: None,
            message: message.to_string(),
        }
    }
}

/// Decodes the chunks of one file.
pub struct JsonDecoder {
    decoder: Decoder,
    schema: SchemaRef,
    preamble: Preamble,
    unwrapper: Option<ArrayUnwrapper>,
}

impl JsonDecoder {
    /// Decodes the fields of `schema`; fields a row lacks are NULL.
    pub fn new(schema: SchemaRef, batch_rows: usize, start: Start) -> Result<Self, ArrowError> {
        let decoder = ReaderBuilder::new(decoded_schema(&schema))
            .with_batch_size(batch_rows.max(1))
            .with_coerce_primitive(true)
            .build_decoder()?;
        Ok(match start {
            Start::Beginning => Self {
                decoder,
                schema,
                preamble: Preamble::at_start(),
                unwrapper: Some(ArrayUnwrapper::new()),
            },
            Start::Inside => Self {
                decoder,
                schema,
                preamble: Preamble::passed(),
                unwrapper: None,
            },
        })
    }

    /// Decodes the next chunk; complete batches are appended to `out`.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<RecordBatch>) -> Result<(), JsonProblem> {
        let piece = self.preamble.push(chunk).map_err(plain)?;
        match self.unwrapper.as_mut() {
            None => self.decode(&piece, out),
            Some(unwrapper) => {
                let mut piece = piece.into_owned();
                unwrapper.push(&mut piece).map_err(plain)?;
                self.decode(&piece, out)
            }
        }
    }

    /// The file ends.
    pub fn finish(&mut self, out: &mut Vec<RecordBatch>) -> Result<(), JsonProblem> {
        let mut rest = self.preamble.finish().map_err(plain)?;
        if let Some(unwrapper) = self.unwrapper.as_mut() {
            unwrapper.push(&mut rest).map_err(plain)?;
            unwrapper.finish().map_err(plain)?;
        }
        self.decode(&rest, out)?;
        if self.decoder.has_partial_record() {
            return Err(plain("the last row is cut off"));
        }
        if let Some(batch) = self.flush()? {
            out.push(batch);
        }
        Ok(())
    }

    /// Converts the rows decoded so far, if they are whole; finds out whether they fit.
    pub fn flush_whole_rows(&mut self) -> Result<(), JsonProblem> {
        if !self.decoder.has_partial_record() {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<Option<RecordBatch>, JsonProblem> {
        match self.decoder.flush().map_err(plain)? {
            Some(batch) => restore(&batch, &self.schema).map(Some).map_err(plain),
            None => Ok(None),
        }
    }

    fn decode(&mut self, text: &[u8], out: &mut Vec<RecordBatch>) -> Result<(), JsonProblem> {
        let mut rest = text;
        while !rest.is_empty() {
            let used = self.decoder.decode(rest).map_err(plain)?;
            if used < rest.len() {
                // The decoder stops only when a batch is full.
                match self.flush()? {
                    Some(batch) => out.push(batch),
                    None if used == 0 => return Err(plain("the decoder does not advance")),
                    None => {}
                }
            }
            rest = &rest[used..];
        }
        Ok(())
    }
}

fn plain(message: impl ToString) -> JsonProblem {
    JsonProblem {
        line: None,
        message: message.to_string(),
    }
}

fn shortened(text: &str) -> String {
    const MOST: usize = 40;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::AsArray;
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};

    use super::*;

    fn sample(text: &str) -> Result<JsonSample, JsonProblem> {
        let mut sampler = JsonSampler::new(100);
        for piece in text.as_bytes().chunks(4) {
            if sampler.push(piece)? {
                return sampler.finish(Ended::Sample);
            }
        }
        sampler.finish(Ended::File)
    }

    fn decode(text: &str, step: usize) -> Result<Vec<i64>, JsonProblem> {
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
        let mut decoder = JsonDecoder::new(schema, 2, Start::Beginning).unwrap();
        let mut batches = Vec::new();
        for piece in text.as_bytes().chunks(step) {
            decoder.push(piece, &mut batches)?;
        }
        decoder.finish(&mut batches)?;
        Ok(batches
            .iter()
            .flat_map(|batch| {
                batch
                    .column(0)
                    .as_primitive::<Int64Type>()
                    .values()
                    .to_vec()
            })
            .collect())
    }

    #[test]
    fn lines_arrays_and_pretty_printed_objects() {
        for text in [
            "{\"a\":1}\n{\"a\":2}\n{\"a\":3}",
            "[{\"a\":1},\n{\"a\":2},{\"a\":3}]",
            "{\n \"a\": 1\n} {\"a\":2,\"b\":[1]}\r\n\n{\"a\":3}\n",
        ] {
            for step in [1, 3, 1000] {
                assert_eq!(
                    decode(text, step).unwrap(),
                    [1, 2, 3],
                    "{text} in pieces of {step}"
                );
            }
            assert_eq!(sample(text).unwrap().rows, 3);
        }
        assert_eq!(sample("").unwrap().rows, 0);
        assert_eq!(decode("[]", 1).unwrap(), [0_i64; 0]);
    }

    #[test]
    fn damage_is_an_error() {
        assert!(decode("{\"a\":1}\n{\"a\":", 100).is_err());
        assert!(decode("[{\"a\":1}", 100).is_err());
        assert!(decode("{\"a\":\"x\"}", 100).is_err());
        assert!(
            decode("{\"a\":1.5}", 100)
                .unwrap_err()
                .message
                .contains("1.5 is not a bigint")
        );
        assert_eq!(
            sample("{\"a\":1}\n{\"a\":1}\n{\"a\" 1}").unwrap_err().line,
            Some(3)
        );
        assert_eq!(sample("{\"a\":1}\n17\n").unwrap_err().line, Some(1));
    }
}
