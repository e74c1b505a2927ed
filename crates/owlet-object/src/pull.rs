//! Formats whose decoders pull bytes: Arrow IPC and Avro. Runs on blocking threads. Must never know tables.

use std::io::{self, BufRead, BufReader, Read};

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, FieldRef, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use datafusion::arrow_avro::reader::ReaderBuilder as AvroReaderBuilder;

/// A format read by pulling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullFormat {
    /// Arrow IPC, file or stream.
    Arrow,
    /// Avro object container.
    Avro,
}

/// Batches of one file.
pub type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>>>;

const ARROW_MAGIC: &[u8] = b"ARROW1";
/// Arrow files are aligned to words of this size at least.
const WORD_BYTES: usize = 8;
const READ_BUFFER_BYTES: usize = 128 * 1024;

impl PullFormat {
    /// The columns of a file.
    pub fn schema(self, reader: impl Read) -> Result<SchemaRef, ArrowError> {
        let reader = BufReader::with_capacity(READ_BUFFER_BYTES, reader);
        let schema = match self {
            Self::Arrow => StreamReader::try_new(at_arrow_stream(reader)?, None)?.schema(),
            Self::Avro => AvroReaderBuilder::new().build(reader)?.schema(),
        };
        Ok(SchemaRef::new(without_metadata(&schema)))
    }

    /// The rows of a file with the columns at `projection`, in file order.
    pub fn batches(
        self,
        reader: impl Read + 'static,
        projection: Vec<usize>,
        batch_rows: usize,
    ) -> Result<Batches, ArrowError> {
        let reader = BufReader::with_capacity(READ_BUFFER_BYTES, reader);
        match self {
            Self::Arrow => Ok(Box::new(StreamReader::try_new(
                at_arrow_stream(reader)?,
                Some(projection),
            )?)),
            Self::Avro => {
                let builder = AvroReaderBuilder::new()
                    .with_batch_size(batch_rows.max(1))
                    .with_projection(projection);
                Ok(Box::new(builder.build(reader)?))
            }
        }
    }
}

/// Skips the magic of the file format, if it is there: what follows is a stream, and the footer after its end is not
/// needed to read in order.
fn at_arrow_stream<R: BufRead>(mut reader: R) -> Result<impl BufRead, ArrowError> {
    let mut word = read_word(&mut reader)?;
    if word.starts_with(b"FEA1") {
        return Err(ArrowError::ParseError(
            "this is Feather version 1; write it again as version 2".to_owned(),
        ));
    }
    if word.starts_with(ARROW_MAGIC) {
        // Writers pad the magic to 8 or more bytes; no message begins with zeros.
        word = read_word(&mut reader)?;
        while word.len() == WORD_BYTES && word.iter().all(|byte| *byte == 0) {
            word = read_word(&mut reader)?;
        }
    }
    Ok(io::Cursor::new(word).chain(reader))
}

fn read_word(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut word = Vec::with_capacity(WORD_BYTES);
    reader.take(WORD_BYTES as u64).read_to_end(&mut word)?;
    Ok(word)
}

/// A schema without the metadata of its fields, which differs between files for no good reason.
fn without_metadata(schema: &Schema) -> Schema {
    let fields: Fields = schema
        .fields()
        .iter()
        .map(|field: &FieldRef| {
            Field::new(field.name(), field.data_type().clone(), field.is_nullable())
        })
        .collect();
    Schema::new(fields)
}
