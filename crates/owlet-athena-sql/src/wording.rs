//! DataFusion's messages in the words of SQL: types by Athena's names, without the names of Rust's types and of the
//! stages of planning. It must never know where a message comes from.

use std::sync::LazyLock;

use arrow::datatypes::DataType;
use regex::{Captures, Regex};

use crate::functions::type_names::sql_name;

/// What stages of DataFusion put before a message of their own or of another.
const PREFIXES: [&str; 13] = [
    "Error during planning: ",
    "This feature is not implemented: ",
    "Execution error: ",
    "Schema error: ",
    "SQL error: ",
    "External error: ",
    "Arrow error: ",
    "Parser error: ",
    "Cast error: ",
    "Compute error: ",
    "Invalid argument error: ",
    "Optimizer rule ",
    "type_coercion\ncaused by\n",
];

/// The message without its `Error during planning: ` and the like.
fn without_prefixes(message: &str) -> &str {
    let mut message = message.trim();
    while let Some(rest) = PREFIXES
        .iter()
        .filter(|prefix| **prefix != "Optimizer rule ")
        .find_map(|prefix| message.strip_prefix(prefix))
    {
        message = rest.trim_start();
    }
    // `Optimizer rule 'x' failed\ncaused by\n…`: what caused it is what is wrong.
    match message.rsplit_once("\ncaused by\n") {
        Some((_, cause)) => without_prefixes(cause),
        None => message,
    }
}

/// The message in SQL's words, on one line.
pub(crate) fn plain(message: &str) -> String {
    let message = without_prefixes(message);
    let message = message
        .split("\n\nbacktrace:")
        .next()
        .unwrap_or_default()
        .split("This issue was likely caused by a bug in DataFusion")
        .next()
        .unwrap_or_default();
    // Spaces stay: a value may be quoted.
    with_sql_types(message.trim()).replace(['\n', '\t'], " ")
}

/// Arrow's types by Athena's names, and literals without them (`Int64(1)` is `1`). Only types that have parts or a number
/// in their names are meant: `Binary` may be somebody's word.
pub(crate) fn with_sql_types(message: &str) -> String {
    static NUMBERS: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"\b(?:U?Int(?:8|16|32|64)|Float(?:16|32|64)|Boolean)\(([^()]*)\)").ok()
    });
    static TEXTS: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r#"\b(?:Large)?Utf8(?:View)?\("([^"]*)"\)"#).ok());
    static TYPES: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let units = "Second|Millisecond|Microsecond|Nanosecond|s|ms|µs|ns";
        Regex::new(&format!(
            r#"\b(?:(?:Large)?Utf8(?:View)?|U?Int(?:8|16|32|64)|Float(?:16|32|64)|Date(?:32|64)|Decimal(?:32|64|128|256)\(\d+, ?-?\d+\)|Time(?:32|64)\((?:{units})\)|Timestamp\((?:{units})(?:, ?(?:None|Some\("[^"]*"\)|"[^"]*"))?\)|Interval\((?:YearMonth|DayTime|MonthDayNano)\)|Duration\((?:{units})\)|Boolean)"#
        ))
        .ok()
    });
    let (Some(numbers), Some(texts), Some(types)) =
        (NUMBERS.as_ref(), TEXTS.as_ref(), TYPES.as_ref())
    else {
        return message.to_owned();
    };
    let message = numbers.replace_all(message, "$1");
    let message = texts.replace_all(&message, "'$1'");
    let named = types.replace_all(&message, |found: &Captures<'_>| {
        let text = &found[0];
        match text.parse::<DataType>() {
            Ok(data_type) => sql_name(&data_type),
            Err(_) => text.to_owned(),
        }
    });
    named.into_owned()
}

/// `an integer`, `a bigint`.
pub(crate) fn with_article(noun: &str) -> String {
    match noun.starts_with(['a', 'e', 'i', 'o']) {
        true => format!("an {noun}"),
        false => format!("a {noun}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_and_rust_types_are_not_named() {
        for (message, expected) in [
            (
                "Error during planning: Cannot infer common argument type for comparison operation Utf8 = Int64",
                "Cannot infer common argument type for comparison operation varchar = bigint",
            ),
            (
                "type_coercion\ncaused by\nError during planning: nothing with Timestamp(ms) and Decimal128(10, 2)",
                "nothing with timestamp(3) and decimal(10,2)",
            ),
            (
                "orders.total > Int64(1) or orders.name = Utf8(\"x\") is no Boolean",
                "orders.total > 1 or orders.name = 'x' is no boolean",
            ),
            (
                "Arrow error: Parser error: Error parsing timestamp from 'x': error parsing date",
                "Error parsing timestamp from 'x': error parsing date",
            ),
        ] {
            assert_eq!(plain(message), expected);
        }
    }
}
