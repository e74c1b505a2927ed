//! Formats whose decoders pull bytes: Arrow IPC and Avro. Runs on blocking threads. Must never know tables.

use std::io::{self, BufReader, Read};

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, FieldRef, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use datafusion::arrow_avro::reader::ReaderBuilder as AvroReaderBuilder;

use crate::avro_blocks::WholeBlocks;
use crate::schema::{is_uuid, mark_uuid};

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
        let schema = match self {
            Self::Arrow => at_arrow_stream(buffered(reader))?.batches(None)?.schema(),
            Self::Avro => AvroReaderBuilder::new()
                .build(buffered(WholeBlocks::new(reader)))?
                .schema(),
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
        match self {
            Self::Arrow => {
                let stream = at_arrow_stream(buffered(reader))?;
                let layout = stream.layout;
                Ok(Box::new(WholeArrow {
                    batches: stream.batches(Some(projection))?,
                    layout,
                }))
            }
            Self::Avro => {
                let builder = AvroReaderBuilder::new()
                    .with_batch_size(batch_rows.max(1))
                    .with_projection(projection);
                Ok(Box::new(builder.build(buffered(WholeBlocks::new(reader)))?))
            }
        }
    }
}

fn buffered<R: Read>(reader: R) -> BufReader<R> {
    BufReader::with_capacity(READ_BUFFER_BYTES, reader)
}

/// Which of the two Arrow IPC formats a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ArrowLayout {
    /// Messages between a magic word and a footer.
    File,
    /// Messages only; the end of the bytes may be the end of the stream.
    Stream,
}

/// The messages of an Arrow IPC file.
struct ArrowStream<R> {
    layout: ArrowLayout,
    messages: R,
}

impl<R: Read> ArrowStream<R> {
    fn batches(self, projection: Option<Vec<usize>>) -> Result<StreamReader<R>, ArrowError> {
        StreamReader::try_new(self.messages, projection)
    }
}

/// Skips the magic of the file format, if it is there: what follows is a stream, and the footer after its end is not
/// needed to read in order.
fn at_arrow_stream<R: Read>(mut reader: R) -> Result<ArrowStream<impl Read>, ArrowError> {
    let mut word = read_word(&mut reader)?;
    if word.starts_with(b"FEA1") {
        return Err(ArrowError::ParseError(
            "this is Feather version 1; write it again as version 2".to_owned(),
        ));
    }
    let mut layout = ArrowLayout::Stream;
    if word.starts_with(ARROW_MAGIC) {
        layout = ArrowLayout::File;
        // Writers pad the magic to 8 or more bytes; no message begins with zeros.
        word = read_word(&mut reader)?;
        while word.len() == WORD_BYTES && word.iter().all(|byte| *byte == 0) {
            word = read_word(&mut reader)?;
        }
    }
    Ok(ArrowStream {
        layout,
        messages: io::Cursor::new(word).chain(reader),
    })
}

/// The batches of an Arrow IPC file, then, where the format has one, a look at its footer: without it the file is cut
/// off, and between two messages the stream's reader takes that for the end.
struct WholeArrow<R> {
    batches: StreamReader<R>,
    layout: ArrowLayout,
}

impl<R: Read> Iterator for WholeArrow<R> {
    type Item = Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(batch) = self.batches.next() {
            return Some(batch);
        }
        if self.layout == ArrowLayout::Stream {
            return None;
        }
        // The footer is looked at once.
        self.layout = ArrowLayout::Stream;
        check_footer(self.batches.get_mut()).err().map(Err)
    }
}

/// Reads what follows the messages of a file: the footer, its length, the magic.
fn check_footer(reader: &mut impl Read) -> Result<(), ArrowError> {
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest)?;
    let is_whole = rest
        .strip_suffix(ARROW_MAGIC)
        .and_then(|rest| rest.split_last_chunk())
        .is_some_and(|(footer, length)| {
            usize::try_from(i32::from_le_bytes(*length))
                .is_ok_and(|length| length > 0 && length <= footer.len())
        });
    if is_whole {
        return Ok(());
    }
    Err(ArrowError::ParseError(
        "the file is cut off: the footer at its end is missing".to_owned(),
    ))
}

fn read_word(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut word = Vec::with_capacity(WORD_BYTES);
    reader.take(WORD_BYTES as u64).read_to_end(&mut word)?;
    Ok(word)
}

/// A schema without the metadata of its fields, which differs between files for no good reason; only UUIDs stay marked.
fn without_metadata(schema: &Schema) -> Schema {
    let fields: Fields = schema
        .fields()
        .iter()
        .map(|field: &FieldRef| {
            let plain = Field::new(field.name(), field.data_type().clone(), field.is_nullable());
            match is_uuid(field) {
                true => mark_uuid(&plain),
                false => plain,
            }
        })
        .collect();
    Schema::new(fields)
}
