//! What ORDER BY and LIMIT leave open: rows that are equal in all keys come in any order, and of those at a LIMIT any
//! may be the ones that are left out. Must never compare more of a row than its keys.

use std::ops::Range;

use arrow::array::RecordBatch;
use owlet_engine::RowOrder;

use super::difference::{floats_close, readable};
use super::{Answer, ComparedRow, rows_of};
use crate::errors::Result;
use crate::units;

/// Two answers' rows, side by side in their order.
pub struct Pairs<L, R> {
    left: Rows<L>,
    right: Rows<R>,
}

struct Rows<B> {
    batches: B,
    rows: std::vec::IntoIter<ComparedRow>,
}

impl<B: Iterator<Item = Result<RecordBatch>>> Rows<B> {
    fn next(&mut self) -> Result<Option<ComparedRow>> {
        loop {
            if let Some(row) = self.rows.next() {
                return Ok(Some(row));
            }
            let Some(batch) = self.batches.next() else {
                return Ok(None);
            };
            self.rows = rows_of(&batch?, |_| true)?.into_iter();
        }
    }
}

impl<L, R> Pairs<L, R>
where
    L: Iterator<Item = Result<RecordBatch>>,
    R: Iterator<Item = Result<RecordBatch>>,
{
    fn next(&mut self) -> Result<Option<(ComparedRow, ComparedRow)>> {
        Ok(self.left.next()?.zip(self.right.next()?))
    }
}

fn pairs<'a>(
    first: &'a Answer,
    second: &'a Answer,
) -> Result<
    Pairs<
        impl Iterator<Item = Result<RecordBatch>> + 'a,
        impl Iterator<Item = Result<RecordBatch>> + 'a,
    >,
> {
    Ok(Pairs {
        left: Rows {
            batches: first.spool.read()?,
            rows: Vec::new().into_iter(),
        },
        right: Rows {
            batches: second.spool.read()?,
            rows: Vec::new().into_iter(),
        },
    })
}

/// The rows of both answers are the same one by one.
pub fn same_sequence(first: &Answer, second: &Answer) -> Result<bool> {
    let mut pairs = pairs(first, second)?;
    while let Some((left, right)) = pairs.next()? {
        if left.text != right.text {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What the keys of two answers with equally many rows say.
pub enum Keys {
    /// Row by row the same, so that the order is right; the rows that must be the same in both answers.
    Agree(Range<u64>),
    /// They differ at some row, which is described.
    Differ(String),
}

/// Compares the keys, and finds the rows that are not at the mercy of OFFSET and LIMIT.
pub fn compare_keys(
    first: &Answer,
    second: &Answer,
    names: [&str; 2],
    order: &RowOrder,
) -> Result<Keys> {
    let is_float: Vec<bool> = first
        .schema
        .fields()
        .iter()
        .map(|field| field.data_type().is_floating())
        .collect();
    let same = |left: &ComparedRow, right: &ComparedRow| same_keys(left, right, order, &is_float);
    let mut pairs = pairs(first, second)?;
    let mut before: Option<(ComparedRow, ComparedRow)> = None;
    // Where the first group of ties ends and the last one begins.
    let (mut first_end, mut last_start) = (None, 0);
    let mut number = 0_u64;
    while let Some((left, right)) = pairs.next()? {
        if !same(&left, &right) {
            let row = units::count(number + 1);
            let [first, second] = names;
            return Ok(Keys::Differ(format!(
                "row {row} {first}: {}\nrow {row} {second}: {}",
                readable(&left.text),
                readable(&right.text)
            )));
        }
        if let Some((left_before, right_before)) = &before {
            // Sums of floats may be tied in one answer only: a group ends where it does in both.
            let goes_on = same(left_before, &left) || same(right_before, &right);
            if !goes_on {
                first_end.get_or_insert(number);
                last_start = number;
            }
        }
        before = Some((left, right));
        number += 1;
    }
    let start = if order.offset > 0 {
        first_end.unwrap_or(number)
    } else {
        0
    };
    let end = if order.reached_limit(number) {
        last_start
    } else {
        number
    };
    Ok(Keys::Agree(start..end.max(start)))
}

fn same_keys(left: &ComparedRow, right: &ComparedRow, order: &RowOrder, is_float: &[bool]) -> bool {
    let (left_cells, right_cells) = (cells(&left.text), cells(&right.text));
    order.keys.iter().all(|key| {
        if !is_float.get(*key).copied().unwrap_or(false) {
            return left_cells.get(*key) == right_cells.get(*key);
        }
        let float = is_float[..*key]
            .iter()
            .filter(|is_float| **is_float)
            .count();
        floats_close(&left.floats[float..=float], &right.floats[float..=float])
    })
}

/// A row's text in its cells; `None` is NULL.
pub fn cells(mut text: &[u8]) -> Vec<Option<&[u8]>> {
    let mut cells = Vec::new();
    while let Some((length, rest)) = text.split_first_chunk::<8>() {
        let length = usize::try_from(u64::from_le_bytes(*length)).ok();
        let cell = length.and_then(|length| rest.get(..length));
        text = &rest[cell.map_or(0, <[u8]>::len)..];
        cells.push(cell);
    }
    cells
}
