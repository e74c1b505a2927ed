//! Rows of one answer in a temporary file, removed when dropped. Must never look at the rows.

use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::Schema;
use arrow::ipc::CompressionType;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::{IpcWriteOptions, StreamWriter};
use arrow::record_batch::RecordBatch;

use crate::errors::{CliError, Result};

/// A file of batches.
pub struct Spool {
    path: PathBuf,
    /// `None` once finished.
    writer: Option<StreamWriter<BufWriter<File>>>,
}

impl Spool {
    /// Creates the file.
    pub fn create(folder: &Path, schema: &Schema) -> Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = folder.join(format!(
            "owlet-verify-{}-{number}.arrows",
            std::process::id()
        ));
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&path)
            .map_err(|error| CliError::output(path.display().to_string(), &error))?;
        let options = IpcWriteOptions::default()
            .try_with_compression(Some(CompressionType::LZ4_FRAME))
            .map_err(|error| failed(&path, &error))?;
        let writer = StreamWriter::try_new_with_options(BufWriter::new(file), schema, options)
            .map_err(|error| failed(&path, &error))?;
        Ok(Self {
            path,
            writer: Some(writer),
        })
    }

    /// Appends rows.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        match &mut self.writer {
            Some(writer) => writer
                .write(batch)
                .map_err(|error| failed(&self.path, &error)),
            None => Err(CliError::failed("rows came after the end of an answer", "")),
        }
    }

    /// Ends the file.
    pub fn finish(&mut self) -> Result<()> {
        let Some(mut writer) = self.writer.take() else {
            return Ok(());
        };
        writer
            .finish()
            .map_err(|error| failed(&self.path, &error))?;
        writer
            .get_mut()
            .flush()
            .map_err(|error| CliError::output(self.path.display().to_string(), &error))
    }

    /// The batches in the order they were written.
    pub fn read(&self) -> Result<impl Iterator<Item = Result<RecordBatch>> + '_> {
        let file = File::open(&self.path).map_err(|error| {
            CliError::failed(format!("cannot read {}: {error}", self.path.display()), "")
        })?;
        let reader = StreamReader::try_new(BufReader::new(file), None)
            .map_err(|error| failed(&self.path, &error))?;
        Ok(reader.map(|batch| batch.map_err(|error| failed(&self.path, &error))))
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.writer = None;
        // A file left in the temporary folder harms nobody; there is nothing better to do.
        let _ = fs::remove_file(&self.path);
    }
}

fn failed(path: &Path, error: &dyn std::fmt::Display) -> CliError {
    CliError::Output {
        target: path.display().to_string(),
        message: error.to_string(),
    }
}
