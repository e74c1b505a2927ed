//! Parquet and Arrow IPC. Must never buffer more than one row group.

use std::io::Write;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::display::to_text_array;
use super::{ResultWriter, WriteError, names};

/// Rows of one Parquet row group.
const ROW_GROUP_ROWS: usize = 122_880;
/// Encoded bytes after which a row group ends early, so that wide rows do not fill the memory.
const ROW_GROUP_BYTES: usize = 32 * 1024 * 1024;

type Out<'a> = Box<dyn Write + Send + 'a>;

/// Parquet with ZSTD compression.
pub struct ParquetWriter<'a> {
    schema: SchemaRef,
    /// `None` after `finish`.
    writer: Option<ArrowWriter<Out<'a>>>,
}

impl<'a> ParquetWriter<'a> {
    /// Writes the file's head.
    pub fn new(schema: &SchemaRef, out: Out<'a>) -> Result<Self, WriteError> {
        let fields: Vec<Field> = names::unique_schema(schema)
            .fields()
            .iter()
            .map(|field| {
                if parquet_can_hold(field.data_type()) {
                    field.as_ref().clone()
                } else {
                    field.as_ref().clone().with_data_type(DataType::Utf8)
                }
            })
            .collect();
        let schema = Arc::new(Schema::new(fields));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_created_by(concat!("owlet ", env!("CARGO_PKG_VERSION")).to_owned())
            .build();
        let writer = ArrowWriter::try_new(out, Arc::clone(&schema), Some(properties))?;
        Ok(Self {
            schema,
            writer: Some(writer),
        })
    }
}

impl ResultWriter for ParquetWriter<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        let columns = self
            .schema
            .fields()
            .iter()
            .zip(batch.columns())
            .map(|(field, column)| {
                if field.data_type() == column.data_type() {
                    Ok(ArrayRef::clone(column))
                } else {
                    to_text_array(column)
                }
            })
            .collect::<Result<Vec<_>, _>>()?;
        let batch = with_schema(columns, batch.num_rows(), &self.schema)?;
        if let Some(writer) = &mut self.writer {
            writer.write(&batch)?;
            if writer.in_progress_size() > ROW_GROUP_BYTES {
                writer.flush()?;
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), WriteError> {
        if let Some(writer) = self.writer.take() {
            writer.into_inner()?.flush()?;
        }
        Ok(())
    }
}

/// A batch under the names of the file.
fn with_schema(
    columns: Vec<ArrayRef>,
    rows: usize,
    schema: &SchemaRef,
) -> Result<RecordBatch, WriteError> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns,
        &options,
    )?)
}

/// The Parquet writer has no encoding for these types; they are written as text, which is exact.
fn parquet_can_hold(data_type: &DataType) -> bool {
    match data_type {
        DataType::Interval(_)
        | DataType::Union(_, _)
        | DataType::RunEndEncoded(_, _)
        | DataType::ListView(_)
        | DataType::LargeListView(_) => false,
        DataType::List(field)
        | DataType::LargeList(field)
        | DataType::FixedSizeList(field, _)
        | DataType::Map(field, _) => parquet_can_hold(field.data_type()),
        DataType::Struct(fields) => {
            !fields.is_empty()
                && fields
                    .iter()
                    .all(|field| parquet_can_hold(field.data_type()))
        }
        DataType::Dictionary(_, value) => parquet_can_hold(value),
        _ => true,
    }
}

/// Arrow IPC for a pipe: readable from the first batch on.
pub struct ArrowStreamWriter<'a> {
    schema: SchemaRef,
    writer: StreamWriter<Out<'a>>,
}

impl<'a> ArrowStreamWriter<'a> {
    /// Writes the schema.
    pub fn new(schema: &SchemaRef, out: Out<'a>) -> Result<Self, WriteError> {
        let schema = names::unique_schema(schema);
        let writer = StreamWriter::try_new(out, &schema)?;
        Ok(Self { schema, writer })
    }
}

impl ResultWriter for ArrowStreamWriter<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        self.writer.write(&with_schema(
            batch.columns().to_vec(),
            batch.num_rows(),
            &self.schema,
        )?)?;
        self.writer.flush()?;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), WriteError> {
        self.writer.finish()?;
        self.writer.flush()?;
        Ok(())
    }
}

/// Arrow IPC for a file: readable at any place, compressed.
pub struct ArrowFileWriter<'a> {
    schema: SchemaRef,
    writer: FileWriter<Out<'a>>,
}

impl<'a> ArrowFileWriter<'a> {
    /// Writes the file's head.
    pub fn new(schema: &SchemaRef, out: Out<'a>) -> Result<Self, WriteError> {
        let schema = names::unique_schema(schema);
        let options =
            IpcWriteOptions::default().try_with_compression(Some(CompressionType::ZSTD))?;
        let writer = FileWriter::try_new_with_options(out, &schema, options)?;
        Ok(Self { schema, writer })
    }
}

impl ResultWriter for ArrowFileWriter<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        self.writer.write(&with_schema(
            batch.columns().to_vec(),
            batch.num_rows(),
            &self.schema,
        )?)?;
        Ok(())
    }

    fn finish(&mut self) -> Result<(), WriteError> {
        self.writer.finish()?;
        self.writer.flush()?;
        Ok(())
    }
}
