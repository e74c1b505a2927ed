//! Compares two answers to the same statement without holding either: rows are spooled to files, and sums of row
//! hashes by bucket tell where to look for a difference. Must never know how the answers came about.

mod difference;
mod spool;
mod ties;

use std::hash::{DefaultHasher, Hasher};
use std::path::Path;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Float32Type, Float64Type, SchemaRef};
use arrow::record_batch::RecordBatch;

pub use difference::{Difference, Undecided, Verdict, compare};

use crate::errors::{CliError, Result};
use crate::formats::{Encoder, Notation, WriteError};
use spool::Spool;

const BUCKETS: usize = 1 << 16;

/// One whole answer: its rows in a file, and what identifies them as a multiset.
pub struct Answer {
    schema: SchemaRef,
    rows: u64,
    buckets: Vec<Bucket>,
    spool: Spool,
}

/// The rows whose hash falls here: how many, and the sum of their hashes, which does not depend on their order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Bucket {
    rows: u64,
    sum: u128,
}

impl Bucket {
    fn add(&mut self, hash: u128) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(hash);
    }
}

/// One row as the comparison sees it.
#[derive(Debug, Clone, PartialEq)]
struct ComparedRow {
    /// All cells as exact text, NULL apart from every text.
    text: Vec<u8>,
    /// Values of the columns that are floats themselves.
    floats: Vec<Option<f64>>,
    /// The cells that are not floats.
    rest: Vec<u8>,
}

impl Answer {
    /// An answer without rows yet; its file is created in `folder`.
    pub fn new(schema: SchemaRef, folder: &Path) -> Result<Self> {
        let spool = Spool::create(folder, &schema)?;
        Ok(Self {
            schema,
            rows: 0,
            buckets: vec![Bucket::default(); BUCKETS],
            spool,
        })
    }

    /// Adds rows.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        for_each_text(batch, |_, text| {
            let hash = hash(text);
            self.buckets[bucket_of(hash)].add(hash);
        })?;
        self.rows += batch.num_rows() as u64;
        self.spool.write(batch)
    }

    /// Ends the answer.
    pub fn finish(&mut self) -> Result<()> {
        self.spool.finish()
    }

    /// Rows added.
    pub fn rows(&self) -> u64 {
        self.rows
    }
}

/// Calls `visit` with the number and the text of each row.
fn for_each_text(batch: &RecordBatch, mut visit: impl FnMut(usize, &[u8])) -> Result<()> {
    let encoders = encoders(batch)?;
    let mut text = Vec::new();
    for row in 0..batch.num_rows() {
        text.clear();
        for encoder in &encoders {
            write_cell(encoder, row, &mut text);
        }
        visit(row, &text);
    }
    Ok(())
}

/// The rows that `wanted` accepts by their text.
fn rows_of(batch: &RecordBatch, mut wanted: impl FnMut(&[u8]) -> bool) -> Result<Vec<ComparedRow>> {
    let encoders = encoders(batch)?;
    let is_float: Vec<bool> = batch
        .columns()
        .iter()
        .map(|column| column.data_type().is_floating())
        .collect();
    let mut rows = Vec::new();
    for_each_text(batch, |row, text| {
        if !wanted(text) {
            return;
        }
        let mut compared = ComparedRow {
            text: text.to_owned(),
            floats: Vec::new(),
            rest: Vec::new(),
        };
        for (column, encoder) in encoders.iter().enumerate() {
            if is_float[column] {
                compared
                    .floats
                    .push((!encoder.is_null(row)).then(|| float(batch, column, row)));
            } else {
                write_cell(encoder, row, &mut compared.rest);
            }
        }
        rows.push(compared);
    })?;
    Ok(rows)
}

fn encoders(batch: &RecordBatch) -> Result<Vec<Encoder<'_>>> {
    batch
        .columns()
        .iter()
        .map(|column| Encoder::new(column.as_ref(), Notation::Text))
        .collect::<Result<Vec<_>, WriteError>>()
        .map_err(|error| CliError::failed(format!("cannot compare the answers: {error}"), ""))
}

/// Length before content, so that no two different rows have the same text; NULL has a length no text has.
fn write_cell(encoder: &Encoder<'_>, row: usize, text: &mut Vec<u8>) {
    let start = text.len();
    text.extend_from_slice(&u64::MAX.to_le_bytes());
    if encoder.is_null(row) {
        return;
    }
    encoder.write(row, text);
    let length = (text.len() - start - size_of::<u64>()) as u64;
    text[start..start + size_of::<u64>()].copy_from_slice(&length.to_le_bytes());
}

fn float(batch: &RecordBatch, column: usize, row: usize) -> f64 {
    let column = batch.column(column);
    match column.data_type() {
        DataType::Float64 => column.as_primitive::<Float64Type>().value(row),
        DataType::Float32 => f64::from(column.as_primitive::<Float32Type>().value(row)),
        _ => f64::from(
            column
                .as_primitive::<arrow::datatypes::Float16Type>()
                .value(row),
        ),
    }
}

/// 128 bits, so that a chance collision is out of the question.
fn hash(text: &[u8]) -> u128 {
    let half = |seed: u8| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(seed);
        hasher.write(text);
        u128::from(hasher.finish())
    };
    half(0) << 64 | half(1)
}

fn bucket_of(hash: u128) -> usize {
    usize::try_from(hash % BUCKETS as u128).unwrap_or_default()
}

#[cfg(test)]
mod tests;
