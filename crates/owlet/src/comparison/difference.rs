//! Finds where two answers differ and shows it. Must never read more of them than the search needs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::ops::Range;

use owlet_engine::RowOrder;

use super::ties::{self, Keys, cells};
use super::{Answer, BUCKETS, Bucket, ComparedRow, bucket_of, for_each_text, hash, rows_of};
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
    /// The same as far as the statement fixes the answer: this many rows are tied where LIMIT or OFFSET cuts, and others
    /// that are tied with them are as right.
    EqualUpToTies(u64),
    /// They differ, but the statement leaves open which is right, or its answer does not tell.
    Undecided(Undecided, Difference),
    /// Not the same.
    Different(Difference),
}

/// Why two answers that differ may both be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Undecided {
    /// LIMIT or OFFSET without ORDER BY.
    NoOrder,
    /// The answer does not show all keys of ORDER BY, which tell ties from differences.
    HiddenKeys,
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
    order: &RowOrder,
) -> Result<Verdict> {
    if let Some(difference) = compare_columns(first, second, names) {
        return Ok(Verdict::Different(difference));
    }
    let all = 0..first.rows.max(second.rows);
    let same_rows = first.buckets == second.buckets;
    if same_rows && (!order.ordered || ties::same_sequence(first, second)?) {
        return Ok(Verdict::Equal);
    }
    // However many right answers there are, all have as many rows.
    if first.rows != second.rows {
        return compare_rows(first, second, names, all);
    }
    let is_cut = order.offset > 0 || order.reached_limit(first.rows);
    if !order.ordered {
        let verdict = compare_rows(first, second, names, all)?;
        return Ok(match verdict {
            Verdict::Different(difference) if is_cut => {
                Verdict::Undecided(Undecided::NoOrder, difference)
            }
            verdict => verdict,
        });
    }
    let certain = match ties::compare_keys(first, second, names, order)? {
        Keys::Agree(certain) => certain,
        Keys::Differ(rows) if same_rows => {
            return Ok(Verdict::Different(Difference::Order(rows)));
        }
        Keys::Differ(rows) => {
            return Ok(match compare_rows(first, second, names, all)? {
                // What differs is not the rows.
                Verdict::EqualUpToRounding(_) => Verdict::Different(Difference::Order(rows)),
                verdict => verdict,
            });
        }
    };
    if !order.shows_all_keys {
        let difference = match same_rows {
            // Rows that are tied in the keys shown may be in the order of the others.
            true => Difference::Order(String::new()),
            false => match compare_rows(first, second, names, all)? {
                Verdict::Different(difference) if is_cut => difference,
                verdict => return Ok(verdict),
            },
        };
        return Ok(Verdict::Undecided(Undecided::HiddenKeys, difference));
    }
    if same_rows {
        return Ok(Verdict::Equal);
    }
    let tied = first.rows - (certain.end - certain.start);
    Ok(match compare_rows(first, second, names, certain)? {
        Verdict::Equal | Verdict::EqualUpToRounding(_) if tied > 0 => Verdict::EqualUpToTies(tied),
        verdict => verdict,
    })
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

/// Compares the rows with these numbers as a multiset.
fn compare_rows(
    first: &Answer,
    second: &Answer,
    names: [&str; 2],
    range: Range<u64>,
) -> Result<Verdict> {
    let left_buckets = buckets_of(first, &range)?;
    let right_buckets = buckets_of(second, &range)?;
    if left_buckets == right_buckets {
        return Ok(Verdict::Equal);
    }
    let mut examined: HashSet<usize> = HashSet::new();
    let mut rows = 0;
    let mut complete = true;
    for (index, (left, right)) in left_buckets.iter().zip(&right_buckets).enumerate() {
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
    let left = rows_in(first, &examined, &range)?;
    let right = rows_in(second, &examined, &range)?;
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

/// The buckets of some of the rows.
fn buckets_of(answer: &Answer, range: &Range<u64>) -> Result<Vec<Bucket>> {
    if range.contains(&0) && range.end >= answer.rows {
        return Ok(answer.buckets.clone());
    }
    let mut buckets = vec![Bucket::default(); BUCKETS];
    let mut number = 0;
    for batch in answer.spool.read()? {
        for_each_text(&batch?, |_, text| {
            if range.contains(&number) {
                let hash = hash(text);
                buckets[bucket_of(hash)].add(hash);
            }
            number += 1;
        })?;
    }
    Ok(buckets)
}

fn rows_in(
    answer: &Answer,
    buckets: &HashSet<usize>,
    range: &Range<u64>,
) -> Result<Vec<ComparedRow>> {
    let mut rows = Vec::new();
    let mut number = 0;
    for batch in answer.spool.read()? {
        rows.extend(rows_of(&batch?, |text| {
            let wanted = range.contains(&number) && buckets.contains(&bucket_of(hash(text)));
            number += 1;
            wanted
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

/// Equal, or equal but for the last digits; NULL equals NULL.
pub fn floats_close(left: &[Option<f64>], right: &[Option<f64>]) -> bool {
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

/// A row's text for people: cells between bars.
pub fn readable(text: &[u8]) -> String {
    let cells = cells(text).into_iter().map(|cell| match cell {
        Some(cell) => String::from_utf8_lossy(cell).escape_debug().to_string(),
        None => "NULL".to_owned(),
    });
    cells.collect::<Vec<_>>().join(" | ")
}
