//! Functions on text. Positions and lengths count characters, from 1. It must never know tables.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListBuilder, StringBuilder};
use arrow::datatypes::DataType;
use datafusion_common::{Result, exec_err};
use datafusion_expr::ScalarUDF;

use super::scalar::Kind::{Bigint, Binary, Double, List, Text};
use super::scalar::Overload::{Exact, Variadic};
use super::scalar::{Call, function, returns};
use super::{array_shapes, lists};
use crate::passes::likes;

/// All of them.
pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![
        function(
            &["length", "char_length", "character_length"],
            &[Exact(&[Text]), Exact(&[Binary])],
            returns::bigint,
            length,
        ),
        function(&["lower"], &[Exact(&[Text])], returns::text, lower),
        function(&["upper"], &[Exact(&[Text])], returns::text, upper),
        function(
            &["substr", "substring"],
            &[
                Exact(&[Text, Bigint]),
                Exact(&[Text, Bigint, Bigint]),
                Exact(&[Binary, Bigint]),
                Exact(&[Binary, Bigint, Bigint]),
            ],
            returns::first,
            substr,
        ),
        function(
            &["strpos"],
            &[Exact(&[Text, Text]), Exact(&[Text, Text, Bigint])],
            returns::bigint,
            strpos,
        ),
        function(
            &["replace"],
            &[Exact(&[Text, Text]), Exact(&[Text, Text, Text])],
            returns::text,
            replace,
        ),
        function(
            &["split"],
            &[Exact(&[Text, Text]), Exact(&[Text, Text, Bigint])],
            returns::texts,
            split,
        ),
        function(
            &["split_part"],
            &[Exact(&[Text, Text, Bigint])],
            returns::text,
            split_part,
        ),
        function(
            &["lpad"],
            &[Exact(&[Text, Bigint, Text])],
            returns::text,
            |call| pad(call, Side::Left),
        ),
        function(
            &["rpad"],
            &[Exact(&[Text, Bigint, Text])],
            returns::text,
            |call| pad(call, Side::Right),
        ),
        function(
            &["ltrim"],
            &[Exact(&[Text]), Exact(&[Text, Text])],
            returns::text,
            |call| trim(call, Ends::Start),
        ),
        function(
            &["rtrim"],
            &[Exact(&[Text]), Exact(&[Text, Text])],
            returns::text,
            |call| trim(call, Ends::End),
        ),
        function(
            &["trim", "btrim"],
            &[Exact(&[Text]), Exact(&[Text, Text])],
            returns::text,
            |call| trim(call, Ends::Both),
        ),
        function(
            &["starts_with"],
            &[Exact(&[Text, Text])],
            returns::boolean,
            |call| {
                let (texts, starts) = (call.texts(0)?, call.texts(1)?);
                call.boolean(|row| Ok(Some(texts.value(row).starts_with(starts.value(row)))))
            },
        ),
        function(&["chr"], &[Exact(&[Bigint])], returns::text, |call| {
            let codes = call.bigints(0)?;
            call.text(|row| {
                character(codes.value(row)).map(|character| Some(character.to_string()))
            })
        }),
        function(&["codepoint"], &[Exact(&[Text])], returns::bigint, |call| {
            let texts = call.texts(0)?;
            call.bigint(|row| {
                let mut characters = texts.value(row).chars();
                match (characters.next(), characters.next()) {
                    (Some(character), None) => Ok(Some(i64::from(u32::from(character)))),
                    _ => exec_err!("codepoint takes one character, not '{}'", texts.value(row)),
                }
            })
        }),
        function(
            &["translate"],
            &[Exact(&[Text, Text, Text])],
            returns::text,
            translate,
        ),
        function(
            &["levenshtein_distance"],
            &[Exact(&[Text, Text])],
            returns::bigint,
            |call| {
                let (left, right) = (call.texts(0)?, call.texts(1)?);
                call.bigint(|row| Ok(Some(levenshtein(left.value(row), right.value(row)))))
            },
        ),
        function(
            &["hamming_distance"],
            &[Exact(&[Text, Text])],
            returns::bigint,
            hamming,
        ),
        function(
            &["concat_ws"],
            &[Exact(&[Text, List]), Variadic(&[Text, Text])],
            returns::text,
            concat_ws,
        ),
        function(
            &[likes::PATTERN_FUNCTION],
            &[Exact(&[Text]), Exact(&[Text, Text])],
            returns::text,
            like_pattern,
        ),
        function(
            &["reverse"],
            &[Exact(&[Text]), Exact(&[Binary]), Exact(&[List])],
            returns::first,
            reverse,
        ),
        function(
            &["format_number"],
            &[Exact(&[Double])],
            returns::text,
            |call| {
                let numbers = call.doubles(0)?;
                call.text(|row| Ok(Some(format_number(numbers.value(row)))))
            },
        ),
    ]
}

/// A count as BIGINT; memory never holds more than BIGINT can count.
pub(super) fn to_i64(count: usize) -> Option<i64> {
    i64::try_from(count).ok()
}

fn length(call: &Call<'_>) -> Result<ArrayRef> {
    if call.arrays[0].data_type() == &DataType::Binary {
        let bytes = call.binaries(0)?;
        return call.bigint(|row| Ok(to_i64(bytes.value(row).len())));
    }
    let texts = call.texts(0)?;
    call.bigint(|row| Ok(to_i64(texts.value(row).chars().count())))
}

/// Athena maps characters one to one (Unicode's simple mappings), so `ß` has no upper case.
fn lower(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.texts(0)?;
    let one = |character: char| {
        let mut mapped = character.to_lowercase();
        match (mapped.next(), mapped.next()) {
            (Some(only), None) => only,
            // The only character whose simple lower case is not its full one, `i` and a dot above.
            _ if character == 'İ' => 'i',
            _ => character,
        }
    };
    call.text(|row| {
        let text = texts.value(row);
        Ok(Some(if text.is_ascii() {
            text.to_ascii_lowercase()
        } else {
            text.chars().map(one).collect()
        }))
    })
}

fn upper(call: &Call<'_>) -> Result<ArrayRef> {
    let texts = call.texts(0)?;
    let one = |character: char| {
        let mut mapped = character.to_uppercase();
        match (mapped.next(), mapped.next()) {
            (Some(only), None) => only,
            _ => with_capital_iota(character).unwrap_or(character),
        }
    };
    call.text(|row| {
        let text = texts.value(row);
        Ok(Some(if text.is_ascii() {
            text.to_ascii_uppercase()
        } else {
            text.chars().map(one).collect()
        }))
    })
}

/// The simple upper case of Greek letters with an iota below, whose full one is two letters: those with it beside.
fn with_capital_iota(character: char) -> Option<char> {
    let code = u32::from(character);
    let distance = match code {
        0x1F80..=0x1F87 | 0x1F90..=0x1F97 | 0x1FA0..=0x1FA7 => 8,
        0x1FB3 | 0x1FC3 | 0x1FF3 => 9,
        _ => return None,
    };
    char::from_u32(code + distance)
}

/// The part of `length` units that starts at `start`, which counts from 1, or from the end when negative.
/// Zero and positions outside give nothing.
fn range(units: usize, start: i64, length: Option<i64>) -> std::ops::Range<usize> {
    let units = i64::try_from(units).unwrap_or(i64::MAX);
    let first = match start {
        0 => return 0..0,
        1.. => start - 1,
        _ => units.saturating_add(start),
    };
    if first < 0 || first >= units {
        return 0..0;
    }
    let end = length.map_or(units, |length| {
        first.saturating_add(length.max(0)).min(units)
    });
    usize::try_from(first).unwrap_or(0)..usize::try_from(end).unwrap_or(0)
}

fn substr(call: &Call<'_>) -> Result<ArrayRef> {
    let starts = call.bigints(1)?;
    let lengths = if call.arrays.len() > 2 {
        Some(call.bigints(2)?)
    } else {
        None
    };
    let length = |row| lengths.map(|lengths| lengths.value(row));
    if call.arrays[0].data_type() == &DataType::Binary {
        let bytes = call.binaries(0)?;
        return call.binary(|row| {
            let bytes = bytes.value(row);
            Ok(Some(
                bytes[range(bytes.len(), starts.value(row), length(row))].to_vec(),
            ))
        });
    }
    let texts = call.texts(0)?;
    call.text(|row| {
        let text = texts.value(row);
        if text.is_ascii() {
            return Ok(Some(
                text[range(text.len(), starts.value(row), length(row))].to_owned(),
            ));
        }
        let range = range(text.chars().count(), starts.value(row), length(row));
        Ok(Some(
            text.chars().skip(range.start).take(range.len()).collect(),
        ))
    })
}

fn strpos(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, parts) = (call.texts(0)?, call.texts(1)?);
    let instances = if call.arrays.len() > 2 {
        Some(call.bigints(2)?)
    } else {
        None
    };
    call.bigint(|row| {
        let (text, part) = (texts.value(row), parts.value(row));
        let instance = instances.map_or(1, |instances| instances.value(row));
        if instance == 0 {
            return exec_err!("strpos: the instance counts from 1, or from the end when negative");
        }
        if part.is_empty() {
            return Ok(Some(1));
        }
        let nth = usize::try_from(instance.unsigned_abs() - 1).unwrap_or(usize::MAX);
        let starts = overlapping(text, part);
        let found = if instance > 0 {
            starts.get(nth)
        } else {
            starts.iter().rev().nth(nth)
        };
        Ok(to_i64(
            found.map_or(0, |byte| text[..*byte].chars().count() + 1),
        ))
    })
}

/// Byte offsets of all occurrences, also overlapping ones.
fn overlapping(text: &str, part: &str) -> Vec<usize> {
    text.char_indices()
        .map(|(byte, _)| byte)
        .filter(|byte| text[*byte..].starts_with(part))
        .collect()
}

fn replace(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, searched) = (call.texts(0)?, call.texts(1)?);
    let replacements = if call.arrays.len() > 2 {
        Some(call.texts(2)?)
    } else {
        None
    };
    call.text(|row| {
        let replacement = replacements.map_or("", |replacements| replacements.value(row));
        Ok(Some(
            texts.value(row).replace(searched.value(row), replacement),
        ))
    })
}

fn split(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, delimiters) = (call.texts(0)?, call.texts(1)?);
    let limits = if call.arrays.len() > 2 {
        Some(call.bigints(2)?)
    } else {
        None
    };
    let mut lists = ListBuilder::new(StringBuilder::new());
    for row in 0..call.rows {
        if call.has_null(row) {
            lists.append_null();
            continue;
        }
        let (text, delimiter) = (texts.value(row), delimiters.value(row));
        let limit = limits.map_or(i64::MAX, |limits| limits.value(row));
        if delimiter.is_empty() {
            return exec_err!("split: the delimiter is empty");
        }
        if limit <= 0 {
            return exec_err!("split: the limit must be positive");
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        lists.append_value(text.splitn(limit, delimiter).map(Some));
    }
    Ok(Arc::new(lists.finish()))
}

fn split_part(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, delimiters, indexes) = (call.texts(0)?, call.texts(1)?, call.bigints(2)?);
    call.text(|row| {
        let (text, delimiter) = (texts.value(row), delimiters.value(row));
        let Some(index) = indexes
            .value(row)
            .checked_sub(1)
            .and_then(|index| usize::try_from(index).ok())
        else {
            return exec_err!("split_part: the index counts from 1");
        };
        if delimiter.is_empty() {
            return Ok(text.chars().nth(index).map(String::from));
        }
        Ok(text.split(delimiter).nth(index).map(str::to_owned))
    })
}

enum Side {
    Left,
    Right,
}

fn pad(call: &Call<'_>, side: Side) -> Result<ArrayRef> {
    let (texts, sizes, pads) = (call.texts(0)?, call.bigints(1)?, call.texts(2)?);
    call.text(|row| {
        let (text, pad) = (texts.value(row), pads.value(row));
        // Athena's own bound keeps a typo from filling memory.
        let Some(size) = usize::try_from(sizes.value(row))
            .ok()
            .filter(|size| i32::try_from(*size).is_ok())
        else {
            return exec_err!("{}: the size must be between 0 and {}", call.name, i32::MAX);
        };
        if pad.is_empty() {
            return exec_err!("{}: the padding is empty", call.name);
        }
        let length = text.chars().count();
        if length >= size {
            return Ok(Some(text.chars().take(size).collect()));
        }
        let padding: String = pad.chars().cycle().take(size - length).collect();
        Ok(Some(match side {
            Side::Left => padding + text,
            Side::Right => text.to_owned() + &padding,
        }))
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    Start,
    End,
    Both,
}

fn trim(call: &Call<'_>, ends: Ends) -> Result<ArrayRef> {
    let texts = call.texts(0)?;
    let sets = if call.arrays.len() > 1 {
        Some(call.texts(1)?)
    } else {
        None
    };
    call.text(|row| {
        let set = sets.map(|sets| sets.value(row));
        let trimmed = |character: char| match set {
            Some(set) => set.contains(character),
            None => character.is_whitespace(),
        };
        let mut text = texts.value(row);
        if ends != Ends::End {
            text = text.trim_start_matches(trimmed);
        }
        if ends != Ends::Start {
            text = text.trim_end_matches(trimmed);
        }
        Ok(Some(text.to_owned()))
    })
}

fn character(code: i64) -> Result<char> {
    match u32::try_from(code).ok().and_then(char::from_u32) {
        Some(character) => Ok(character),
        None => exec_err!("chr: {code} is not a Unicode code point"),
    }
}

fn translate(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, from, to) = (call.texts(0)?, call.texts(1)?, call.texts(2)?);
    call.text(|row| {
        let (from, to): (Vec<char>, Vec<char>) = (
            from.value(row).chars().collect(),
            to.value(row).chars().collect(),
        );
        let translated =
            |character: char| match from.iter().position(|candidate| *candidate == character) {
                Some(index) => to.get(index).copied(),
                None => Some(character),
            };
        Ok(Some(
            texts.value(row).chars().filter_map(translated).collect(),
        ))
    })
}

fn levenshtein(left: &str, right: &str) -> i64 {
    let right: Vec<char> = right.chars().collect();
    let mut distances: Vec<i64> = (0..=right.len()).filter_map(to_i64).collect();
    for (row, left) in left.chars().enumerate() {
        let mut diagonal = distances[0];
        distances[0] = to_i64(row + 1).unwrap_or(i64::MAX);
        for (column, right) in right.iter().enumerate() {
            let substituted = diagonal + i64::from(left != *right);
            diagonal = distances[column + 1];
            distances[column + 1] = substituted.min(diagonal + 1).min(distances[column] + 1);
        }
    }
    distances[right.len()]
}

fn hamming(call: &Call<'_>) -> Result<ArrayRef> {
    let (left, right) = (call.texts(0)?, call.texts(1)?);
    call.bigint(|row| {
        let (left, right) = (left.value(row), right.value(row));
        if left.chars().count() != right.chars().count() {
            return exec_err!("hamming_distance takes texts of the same length");
        }
        Ok(to_i64(
            left.chars()
                .zip(right.chars())
                .filter(|(left, right)| left != right)
                .count(),
        ))
    })
}

/// Skips NULL texts; only a NULL separator gives NULL.
fn concat_ws(call: &Call<'_>) -> Result<ArrayRef> {
    let separators = call.texts(0)?;
    let mut joined = StringBuilder::new();
    let list = match call.arrays[1].data_type() {
        DataType::List(_) => Some(lists::TextLists::try_new(&call.arrays[1])?),
        _ => None,
    };
    for row in 0..call.rows {
        if separators.is_null(row) {
            joined.append_null();
            continue;
        }
        let parts: Vec<String> = match &list {
            Some(lists) => lists
                .texts(row)
                .into_iter()
                .flatten()
                .flatten()
                .map(str::to_owned)
                .collect(),
            None => (1..call.arrays.len())
                .map(|index| call.texts(index))
                .filter_map(|texts| match texts {
                    Ok(texts) if texts.is_null(row) => None,
                    texts => Some(texts.map(|texts| texts.value(row).to_owned())),
                })
                .collect::<Result<_>>()?,
        };
        joined.append_value(parts.join(separators.value(row)));
    }
    Ok(Arc::new(joined.finish()))
}

fn like_pattern(call: &Call<'_>) -> Result<ArrayRef> {
    let patterns = call.texts(0)?;
    let escapes = if call.arrays.len() > 1 {
        Some(call.texts(1)?)
    } else {
        None
    };
    call.text(|row| {
        let escape = escapes.and_then(|escapes| escapes.value(row).chars().next());
        match likes::backslash_pattern(patterns.value(row), escape) {
            Ok(pattern) => Ok(Some(pattern)),
            Err(message) => exec_err!("{message}"),
        }
    })
}

fn reverse(call: &Call<'_>) -> Result<ArrayRef> {
    match call.arrays[0].data_type() {
        DataType::List(_) => array_shapes::reverse(call),
        DataType::Binary => {
            let bytes = call.binaries(0)?;
            call.binary(|row| Ok(Some(bytes.value(row).iter().rev().copied().collect())))
        }
        _ => {
            let texts = call.texts(0)?;
            call.text(|row| Ok(Some(texts.value(row).chars().rev().collect())))
        }
    }
}

/// `1.23M`: three significant digits and a unit of thousands.
fn format_number(number: f64) -> String {
    let mut scaled = number.abs();
    let mut unit = "";
    for next in ["K", "M", "B", "T", "Q"] {
        if scaled < 1000.0 {
            break;
        }
        scaled /= 1000.0;
        unit = next;
    }
    let decimals = match scaled {
        scaled if scaled < 10.0 => 2,
        scaled if scaled < 100.0 => 1,
        _ => 0,
    };
    let mut digits = format!("{scaled:.decimals$}");
    if digits.contains('.') {
        digits = digits
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned();
    }
    let sign = if number < 0.0 { "-" } else { "" };
    format!("{sign}{digits}{unit}")
}
