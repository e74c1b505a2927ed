//! Finds where two answers differ and shows it. Must never read more of them than the search needs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;

use super::{Answer, ComparedRow, bucket_of, hash, rows_of};
use crate::errors::Result;
use crate::units;

/// Rows examined for a difference at most; beyond, a part of them is enough to show one.
const EXAMINED_ROWS: u64 = 200_000;
/// Rows shown of each side.
const SHOWN_ROWS: usize = 3;
/// Sums of floats depend on the order of their addition, which parallel execution does not fix.
const FLOAT_TOLERANCE: f64 = 1e-9;

/// What the comparison found.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The same rows, in the same order where the statement fixes one.
    Equal,
    /// The same, but for the last digits of floats in this many rows.
    EqualUpToRounding(u64),
    /// Not the same.
    Different(Difference),
}

/// How two answers differ; `first` and `second` are the names people know them by.
#[derive(Debug, PartialEq, Eq)]
pub enum Difference {
    /// Names or types of the columns.
    Columns(String),
    /// Rows that only one of them has, as text; and how many rows each answer has.
    Rows(String),
    /// The same rows in another order.
    Order(String),
}

/// Compares two finished answers. `names` are what people call them.
pub fn compare(
    first: &Answer,
    second: &Answer,
    names: [&str; 2],
    ordered: bool,
) -> Result<Verdict> {
    if let Some(difference) = compare_columns(first, second, names) {
        return Ok(Verdict::Different(difference));
    }
    if first.buckets == second.buckets {
        if !ordered {
            return Ok(Verdict::Equal);
        }
        return Ok(match first_row_out_of_order(first, second, names)? {
            None => Verdict::Equal,
            Some(difference) => Verdict::Different(difference),
        });
    }
    compare_rows(first, second, names)
}

fn compare_columns(first: &Answer, second: &Answer, names: [&str; 2]) -> Option<Difference> {
    let describe = |answer: &Answer| -> Vec<String> {
        answer
            .schema
            .fields()
            .iter()
            .map(|field| format!("{} {}", field.name(), field.data_type()))
            .collect()
    };
    let (left, right) = (describe(first), describe(second));
    if left == right {
        return None;
    }
    let [first, second] = names;
    Some(Difference::Columns(format!(
        "columns {first}: {}\ncolumns {second}: {}",
        left.join(", "),
        right.join(", ")
    )))
}

fn compare_rows(first: &Answer, second: &Answer, names: [&str; 2]) -> Result<Verdict> {
    let mut examined: HashSet<usize> = HashSet::new();
    let mut rows = 0;
    let mut complete = true;
    for (index, (left, right)) in first.buckets.iter().zip(&second.buckets).enumerate() {
        if left == right {
            continue;
        }
        rows += left.rows + right.rows;
        if rows > EXAMINED_ROWS && !examined.is_empty() {
            complete = false;
            break;
        }
        examined.insert(index);
    }
    let left = rows_in(first, &examined)?;
    let right = rows_in(second, &examined)?;
    let (left, right) = without_common(left, right);
    if complete && equal_up_to_rounding(&left, &right) {
        return Ok(Verdict::EqualUpToRounding(left.len() as u64));
    }
    let mut text = String::new();
    for (name, answer) in names.iter().zip([first, second]) {
        let _ = writeln!(text, "{name}: {}", units::counted(answer.rows, "row"));
    }
    let columns: Vec<&str> = first
        .schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    let _ = writeln!(text, "columns: {}", columns.join(", "));
    for (name, rows) in names.iter().zip([&left, &right]) {
        for row in rows.iter().take(SHOWN_ROWS) {
            let _ = writeln!(text, "only {name}: {}", readable(&row.text));
        }
        if rows.len() > SHOWN_ROWS {
            let more = units::count((rows.len() - SHOWN_ROWS) as u64);
            let at_least = if complete { "" } else { "at least " };
            let _ = writeln!(text, "only {name}: … and {at_least}{more} more");
        }
    }
    Ok(Verdict::Different(Difference::Rows(
        text.trim_end().to_owned(),
    )))
}

fn rows_in(answer: &Answer, buckets: &HashSet<usize>) -> Result<Vec<ComparedRow>> {
    let mut rows = Vec::new();
    for batch in answer.spool.read()? {
        rows.extend(rows_of(&batch?, |text| {
            buckets.contains(&bucket_of(hash(text)))
        })?);
    }
    Ok(rows)
}

/// Takes away what both have, as often as both have it. What is left is sorted, so that reports are stable.
fn without_common(
    left: Vec<ComparedRow>,
    right: Vec<ComparedRow>,
) -> (Vec<ComparedRow>, Vec<ComparedRow>) {
    let mut counts: HashMap<Vec<u8>, i64> = HashMap::new();
    for row in &right {
        *counts.entry(row.text.clone()).or_default() += 1;
    }
    let mut only_left = Vec::new();
    for row in left {
        match counts.get_mut(&row.text) {
            Some(count) if *count > 0 => *count -= 1,
            _ => only_left.push(row),
        }
    }
    let mut only_right = Vec::new();
    for row in right {
        if let Some(count) = counts.get_mut(&row.text)
            && *count > 0
        {
            *count -= 1;
            only_right.push(row);
        }
    }
    only_left.sort_by(|a, b| a.text.cmp(&b.text));
    only_right.sort_by(|a, b| a.text.cmp(&b.text));
    (only_left, only_right)
}

/// Each row of one side has a partner on the other that differs only in the last digits of its floats.
fn equal_up_to_rounding(left: &[ComparedRow], right: &[ComparedRow]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    let left = by_rest(left);
    let right = by_rest(right);
    left.len() == right.len()
        && left
            .iter()
            .zip(&right)
            .all(|((left_rest, left), (right_rest, right))| {
                left_rest == right_rest
                    && left.len() == right.len()
                    && left
                        .iter()
                        .zip(right)
                        .all(|(left, right)| floats_close(left, right))
            })
}

fn by_rest(rows: &[ComparedRow]) -> BTreeMap<&[u8], Vec<&[Option<f64>]>> {
    let mut groups: BTreeMap<&[u8], Vec<&[Option<f64>]>> = BTreeMap::new();
    for row in rows {
        groups.entry(&row.rest).or_default().push(&row.floats);
    }
    for group in groups.values_mut() {
        group.sort_by(|a, b| {
            let order = |(a, b): (&Option<f64>, &Option<f64>)| match (a, b) {
                (Some(a), Some(b)) => a.total_cmp(b),
                (a, b) => a.is_some().cmp(&b.is_some()),
            };
            a.iter()
                .zip(b.iter())
                .map(order)
                .find(|order| order.is_ne())
                .unwrap_or(std::cmp::Ordering::Equal)
        });
    }
    groups
}

fn floats_close(left: &[Option<f64>], right: &[Option<f64>]) -> bool {
    left.iter()
        .zip(right)
        .all(|(left, right)| match (left, right) {
            (Some(left), Some(right)) => {
                left.to_bits() == right.to_bits()
                    || (left - right).abs() <= FLOAT_TOLERANCE * left.abs().max(right.abs())
            }
            (left, right) => left.is_none() && right.is_none(),
        })
}

fn first_row_out_of_order(
    first: &Answer,
    second: &Answer,
    names: [&str; 2],
) -> Result<Option<Difference>> {
    let mut left = first.spool.read()?;
    let mut right = second.spool.read()?;
    let (mut left_rows, mut right_rows) = (Vec::new().into_iter(), Vec::new().into_iter());
    let mut number = 0_u64;
    loop {
        let left_row = next_row(&mut left, &mut left_rows)?;
        let right_row = next_row(&mut right, &mut right_rows)?;
        number += 1;
        match (left_row, right_row) {
            (Some(left), Some(right)) if left.text == right.text => {}
            (Some(left), Some(right)) => {
                let [first, second] = names;
                return Ok(Some(Difference::Order(format!(
                    "row {} {first}: {}\nrow {} {second}: {}",
                    units::count(number),
                    readable(&left.text),
                    units::count(number),
                    readable(&right.text)
                ))));
            }
            _ => return Ok(None),
        }
    }
}

fn next_row(
    batches: &mut impl Iterator<Item = Result<arrow::record_batch::RecordBatch>>,
    rows: &mut std::vec::IntoIter<ComparedRow>,
) -> Result<Option<ComparedRow>> {
    loop {
        if let Some(row) = rows.next() {
            return Ok(Some(row));
        }
        let Some(batch) = batches.next() else {
            return Ok(None);
        };
        *rows = rows_of(&batch?, |_| true)?.into_iter();
    }
}

/// A row's text for people: cells between bars.
fn readable(mut text: &[u8]) -> String {
    let mut cells = Vec::new();
    while let Some((length, rest)) = text.split_first_chunk::<8>() {
        let length = u64::from_le_bytes(*length);
        let Some(cell) = usize::try_from(length)
            .ok()
            .and_then(|length| rest.get(..length))
        else {
            cells.push("NULL".to_owned());
            text = rest;
            continue;
        };
        cells.push(String::from_utf8_lossy(cell).escape_debug().to_string());
        text = &rest[cell.len()..];
    }
    cells.join(" | ")
}
