//! Regular expressions. The engine is Rust's: it has no look-around and no back references, which is an error and
//! never another answer. It must never know tables.

use std::sync::Arc;

use arrow::array::{ArrayRef, ListBuilder, StringBuilder};
use datafusion_common::{Result, exec_datafusion_err, exec_err};
use datafusion_expr::ScalarUDF;
use regex::{Captures, Regex, RegexBuilder};

use super::scalar::Kind::{Bigint, Text};
use super::scalar::Overload::Exact;
use super::scalar::{Call, function, returns};
use super::text::to_i64;

/// Compiled patterns bigger than this are refused.
const COMPILED_SIZE_LIMIT: usize = 16 << 20;

/// All of them.
pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![
        function(
            &["regexp_like"],
            &[Exact(&[Text, Text])],
            returns::boolean,
            |call| {
                let (texts, mut patterns) = (call.texts(0)?, Patterns::new(call)?);
                call.boolean(|row| Ok(Some(patterns.of(row)?.is_match(texts.value(row)))))
            },
        ),
        function(
            &["regexp_extract"],
            &[Exact(&[Text, Text]), Exact(&[Text, Text, Bigint])],
            returns::text,
            |call| {
                let (texts, mut patterns) = (call.texts(0)?, Patterns::new(call)?);
                let groups = Groups::new(call)?;
                call.text(|row| {
                    let pattern = patterns.of(row)?;
                    let group = groups.of(row, pattern)?;
                    let found = pattern
                        .captures(texts.value(row))
                        .and_then(|captures| captures.get(group));
                    Ok(found.map(|found| found.as_str().to_owned()))
                })
            },
        ),
        function(
            &["regexp_extract_all"],
            &[Exact(&[Text, Text]), Exact(&[Text, Text, Bigint])],
            returns::texts,
            extract_all,
        ),
        function(
            &["regexp_replace"],
            &[Exact(&[Text, Text]), Exact(&[Text, Text, Text])],
            returns::text,
            replace,
        ),
        function(
            &["regexp_split"],
            &[Exact(&[Text, Text])],
            returns::texts,
            |call| {
                let (texts, mut patterns) = (call.texts(0)?, Patterns::new(call)?);
                lists(call, |row| {
                    Ok(patterns
                        .of(row)?
                        .split(texts.value(row))
                        .map(|part| Some(part.to_owned()))
                        .collect())
                })
            },
        ),
        function(
            &["regexp_count"],
            &[Exact(&[Text, Text])],
            returns::bigint,
            |call| {
                let (texts, mut patterns) = (call.texts(0)?, Patterns::new(call)?);
                call.bigint(|row| {
                    Ok(to_i64(
                        patterns.of(row)?.find_iter(texts.value(row)).count(),
                    ))
                })
            },
        ),
        function(
            &["regexp_position"],
            &[
                Exact(&[Text, Text]),
                Exact(&[Text, Text, Bigint]),
                Exact(&[Text, Text, Bigint, Bigint]),
            ],
            returns::bigint,
            position,
        ),
    ]
}

/// A pattern ready for use, or an error that says what is wrong with it.
pub(super) fn compile(function: &str, pattern: &str) -> Result<Regex> {
    RegexBuilder::new(pattern)
        .size_limit(COMPILED_SIZE_LIMIT)
        .build()
        .map_err(|error| {
            let reason = error.to_string();
            let reason = reason
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error: ");
            exec_datafusion_err!("{function}: the pattern '{pattern}' cannot be used: {reason}")
        })
}

/// Patterns are almost always one literal; it is compiled once, not per row.
struct Patterns<'a> {
    call: &'a Call<'a>,
    last: Option<(String, Regex)>,
}

impl<'a> Patterns<'a> {
    fn new(call: &'a Call<'a>) -> Result<Self> {
        call.texts(1)?;
        Ok(Self { call, last: None })
    }

    fn of(&mut self, row: usize) -> Result<&Regex> {
        let pattern = self.call.texts(1)?.value(row);
        if self.last.as_ref().is_none_or(|(known, _)| known != pattern) {
            let regex = compile(self.call.name, pattern)?;
            self.last = Some((pattern.to_owned(), regex));
        }
        match &self.last {
            Some((_, regex)) => Ok(regex),
            None => exec_err!("{}: no pattern", self.call.name),
        }
    }
}

/// The optional group number, third argument.
struct Groups<'a> {
    numbers: Option<&'a arrow::array::Int64Array>,
}

impl<'a> Groups<'a> {
    fn new(call: &'a Call<'a>) -> Result<Self> {
        Ok(Self {
            numbers: if call.arrays.len() > 2 {
                Some(call.bigints(2)?)
            } else {
                None
            },
        })
    }

    fn of(&self, row: usize, pattern: &Regex) -> Result<usize> {
        let number = self.numbers.map_or(0, |numbers| numbers.value(row));
        match usize::try_from(number) {
            Ok(group) if group < pattern.captures_len() => Ok(group),
            _ => exec_err!(
                "the pattern has {} groups, not {number}",
                pattern.captures_len() - 1
            ),
        }
    }
}

fn lists(
    call: &Call<'_>,
    mut list: impl FnMut(usize) -> Result<Vec<Option<String>>>,
) -> Result<ArrayRef> {
    let mut lists = ListBuilder::new(StringBuilder::new());
    for row in 0..call.rows {
        match call.has_null(row) {
            true => lists.append_null(),
            false => lists.append_value(list(row)?),
        }
    }
    Ok(Arc::new(lists.finish()))
}

fn extract_all(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, mut patterns) = (call.texts(0)?, Patterns::new(call)?);
    let groups = Groups::new(call)?;
    lists(call, |row| {
        let pattern = patterns.of(row)?;
        let group = groups.of(row, pattern)?;
        let text =
            |captures: Captures<'_>| captures.get(group).map(|found| found.as_str().to_owned());
        Ok(pattern.captures_iter(texts.value(row)).map(text).collect())
    })
}

fn replace(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, mut patterns) = (call.texts(0)?, Patterns::new(call)?);
    let replacements = if call.arrays.len() > 2 {
        Some(call.texts(2)?)
    } else {
        None
    };
    call.text(|row| {
        let pattern = patterns.of(row)?;
        let replacement = java_replacement(
            replacements.map_or("", |replacements| replacements.value(row)),
            pattern,
        )?;
        Ok(Some(
            pattern
                .replace_all(texts.value(row), replacement.as_str())
                .into_owned(),
        ))
    })
}

/// `$1` and `${name}` as in Java, where `\` makes the next character literal, in Rust's spelling.
fn java_replacement(replacement: &str, pattern: &Regex) -> Result<String> {
    let mut rust = String::with_capacity(replacement.len());
    let mut characters = replacement.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some('$') => rust.push_str("$$"),
                Some(literal) => rust.push(literal),
                None => return exec_err!("regexp_replace: the replacement ends with a backslash"),
            },
            '$' => {
                let mut group = String::new();
                if characters.next_if_eq(&'{').is_some() {
                    group.extend(std::iter::from_fn(|| {
                        characters.next_if(|character| *character != '}')
                    }));
                    if characters.next().is_none() {
                        return exec_err!("regexp_replace: the replacement has a ${{ without }}");
                    }
                } else {
                    // Digits belong to the number as long as there is such a group.
                    while let Some(digit) = characters.peek().filter(|digit| digit.is_ascii_digit())
                    {
                        let longer = format!("{group}{digit}");
                        if !group.is_empty() && !has_group(pattern, &longer) {
                            break;
                        }
                        group = longer;
                        characters.next();
                    }
                }
                if !has_group(pattern, &group) {
                    return exec_err!("regexp_replace: the pattern has no group '{group}'");
                }
                rust.push_str(&format!("${{{group}}}"));
            }
            literal => rust.push(literal),
        }
    }
    Ok(rust)
}

fn has_group(pattern: &Regex, group: &str) -> bool {
    match group.parse::<usize>() {
        Ok(number) => number < pattern.captures_len(),
        Err(_) => pattern.capture_names().flatten().any(|name| name == group),
    }
}

/// The character position of the n-th match at or after a start; -1 if there is none.
fn position(call: &Call<'_>) -> Result<ArrayRef> {
    let (texts, mut patterns) = (call.texts(0)?, Patterns::new(call)?);
    let starts = if call.arrays.len() > 2 {
        Some(call.bigints(2)?)
    } else {
        None
    };
    let occurrences = if call.arrays.len() > 3 {
        Some(call.bigints(3)?)
    } else {
        None
    };
    call.bigint(|row| {
        let text = texts.value(row);
        let start = starts.map_or(1, |starts| starts.value(row));
        let occurrence = occurrences.map_or(1, |occurrences| occurrences.value(row));
        let (Ok(start @ 1..), Ok(occurrence @ 1..)) =
            (usize::try_from(start), usize::try_from(occurrence))
        else {
            return exec_err!("regexp_position: start and occurrence count from 1");
        };
        let Some((byte, _)) = text.char_indices().nth(start - 1) else {
            return Ok(Some(-1));
        };
        let found = patterns
            .of(row)?
            .find_iter(&text[byte..])
            .nth(occurrence - 1);
        Ok(match found {
            Some(found) => to_i64(start + text[byte..byte + found.start()].chars().count()),
            None => Some(-1),
        })
    })
}
