//! A table for people. Holds the first and last rows of a result only, and says how many it left out.

use std::collections::VecDeque;
use std::io::Write;

use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Row, Table};

use super::display::{Encoder, Notation};
use super::records::{self, Record};
use super::{ResultWriter, WriteError};
use crate::units;

/// Characters of one cell that are shown; the whole value is in every other format.
const MAX_CELL_CHARACTERS: usize = 1_000;

/// How a table is laid out.
#[derive(Debug, Clone, Copy)]
pub struct TableOptions {
    /// Rows shown at most.
    pub max_rows: usize,
    /// Width to fit the table into; `None` lets it be as wide as its content.
    pub width: Option<u16>,
    /// How NULL is shown.
    pub null: &'static str,
}

/// Collects what will be shown.
pub struct TableWriter<'a> {
    options: TableOptions,
    columns: Vec<(String, CellAlignment)>,
    head: Vec<Vec<String>>,
    tail: VecDeque<RecordBatch>,
    tail_rows: usize,
    rows: u64,
    out: Box<dyn Write + Send + 'a>,
}

impl<'a> TableWriter<'a> {
    /// An empty table.
    pub fn new(schema: &Schema, options: TableOptions, out: Box<dyn Write + Send + 'a>) -> Self {
        let columns = schema
            .fields()
            .iter()
            .map(|field| {
                let alignment = if field.data_type().is_numeric() {
                    CellAlignment::Right
                } else {
                    CellAlignment::Left
                };
                (printable(field.name()), alignment)
            })
            .collect();
        Self {
            options,
            columns,
            head: Vec::new(),
            tail: VecDeque::new(),
            tail_rows: 0,
            rows: 0,
            out,
        }
    }

    fn keep_tail(&mut self, batch: RecordBatch) {
        self.tail_rows += batch.num_rows();
        self.tail.push_back(batch);
        while let Some(first) = self.tail.front() {
            if self.tail_rows - first.num_rows() < self.options.max_rows {
                break;
            }
            self.tail_rows -= first.num_rows();
            self.tail.pop_front();
        }
    }
}

impl ResultWriter for TableWriter<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Result<(), WriteError> {
        self.rows += batch.num_rows() as u64;
        // Half of the limit is the head's; when the result turns out short, the tail holds the rest.
        let head_limit = self.options.max_rows.div_ceil(2);
        let missing = head_limit
            .saturating_sub(self.head.len())
            .min(batch.num_rows());
        let head = cells(&batch.slice(0, missing), self.options.null)?;
        self.head.extend(head);
        let rest = batch.num_rows() - missing;
        if rest > 0 {
            self.keep_tail(batch.slice(missing, rest));
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), WriteError> {
        let mut tail = Vec::new();
        for batch in &self.tail {
            tail.extend(cells(batch, self.options.null)?);
        }
        let tail_limit = self.options.max_rows.saturating_sub(self.head.len());
        let tail = tail.split_off(tail.len().saturating_sub(tail_limit));
        let shown = (self.head.len() + tail.len()) as u64;
        let left_out = self.rows - shown;

        if let Some(width) = self.options.width.map(usize::from)
            && records::are_better(self.natural_widths(&tail), width)
        {
            self.write_records(&tail, width)?;
        } else {
            self.write_table(tail, left_out)?;
        }
        if left_out > 0 {
            let total = units::counted(self.rows, "row");
            writeln!(
                self.out,
                "{total}, {} not shown (see --max-rows, or another format)",
                units::count(left_out)
            )?;
        }
        self.out.flush()?;
        Ok(())
    }
}

impl TableWriter<'_> {
    fn natural_widths<'a>(&'a self, tail: &'a [Vec<String>]) -> impl Iterator<Item = usize> + 'a {
        self.columns
            .iter()
            .enumerate()
            .map(move |(column, (name, _))| {
                let cells = self.head.iter().chain(tail).map(|row| &row[column]);
                cells
                    .chain([name])
                    .map(|text| text.chars().count())
                    .max()
                    .unwrap_or(0)
            })
    }

    fn write_records(&mut self, tail: &[Vec<String>], width: usize) -> Result<(), WriteError> {
        let first_of_tail = self.rows - tail.len() as u64;
        let head = self.head.iter().zip(1..);
        let tail = tail.iter().zip(first_of_tail + 1..);
        let records: Vec<Record<'_>> = head
            .chain(tail)
            .map(|(cells, number)| Record { number, cells })
            .collect();
        let names: Vec<&str> = self.columns.iter().map(|(name, _)| name.as_str()).collect();
        records::write(&names, &records, width, &mut self.out)?;
        Ok(())
    }

    fn write_table(&mut self, tail: Vec<Vec<String>>, left_out: u64) -> Result<(), WriteError> {
        let mut table = Table::new();
        table.load_preset("││──╞═╪╡│    ┬┴┌┐└┘");
        match self.options.width {
            Some(width) => {
                table
                    .set_content_arrangement(ContentArrangement::Dynamic)
                    .set_width(width);
            }
            None => {
                table.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        table.set_header(self.columns.iter().map(|(name, _)| Cell::new(name)));
        for row in std::mem::take(&mut self.head) {
            table.add_row(self.row(row));
        }
        if left_out > 0 {
            let mark = vec!["…".to_owned(); self.columns.len()];
            table.add_row(self.row(mark));
        }
        for row in tail {
            table.add_row(self.row(row));
        }
        writeln!(self.out, "{table}")?;
        Ok(())
    }

    fn row(&self, cells: Vec<String>) -> Row {
        cells
            .into_iter()
            .zip(&self.columns)
            .map(|(text, (_, alignment))| Cell::new(text).set_alignment(*alignment))
            .collect::<Vec<Cell>>()
            .into()
    }
}

fn cells(batch: &RecordBatch, null: &str) -> Result<Vec<Vec<String>>, WriteError> {
    let encoders = batch
        .columns()
        .iter()
        .map(|column| Encoder::new(column.as_ref(), Notation::Text))
        .collect::<Result<Vec<_>, _>>()?;
    let mut cell = Vec::new();
    Ok((0..batch.num_rows())
        .map(|row| {
            encoders
                .iter()
                .map(|encoder| {
                    if encoder.is_null(row) {
                        return null.to_owned();
                    }
                    cell.clear();
                    encoder.write(row, &mut cell);
                    printable(&String::from_utf8_lossy(&cell))
                })
                .collect()
        })
        .collect())
}

/// Text that cannot move the cursor or colour the screen, and that ends somewhere.
fn printable(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for (index, character) in text.chars().enumerate() {
        if index == MAX_CELL_CHARACTERS {
            result.push('…');
            break;
        }
        if character.is_control() {
            result.extend(character.escape_default());
        } else {
            result.push(character);
        }
    }
    result
}
