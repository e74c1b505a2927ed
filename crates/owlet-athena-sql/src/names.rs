//! Names of result columns: Athena allows duplicate and unnamed columns, DataFusion's plans do not. Select items
//! that would clash get an internal name which this module makes, and turns back for display.
//! It must never know syntax trees.

use datafusion_common::DFSchema;

/// Starts the part of an internal name that no person sees. A control character: it cannot be typed by accident.
const SEPARATOR: char = '\u{1f}';

/// An internal name for one of several select items called `name`. `counter` is unique in the statement.
pub(crate) fn duplicate_name(name: &str, counter: usize) -> String {
    format!("{name}{SEPARATOR}{counter}")
}

/// An internal name for a select item without a name.
pub(crate) fn unnamed(counter: usize) -> String {
    format!("_col{SEPARATOR}{SEPARATOR}{counter}")
}

/// An internal name for an output column of UNNEST without a name. `position` is unique in its FROM clause.
pub(crate) fn unnamed_unnest(position: usize) -> String {
    format!("_col{SEPARATOR}{SEPARATOR}unnest{position}")
}

/// Counts the internal names of columns that a select list repeats; the counters of select items stay below.
const FIRST_REPEATED: usize = 1_000_000;

/// An internal name for one of several output columns called `name` that wildcards brought. `position` is that of the
/// column; no select item has such a name.
pub(crate) fn repeated(name: &str, position: usize) -> String {
    duplicate_name(name, FIRST_REPEATED + position)
}

/// An internal name for an output column without a name that a wildcard brought.
pub(crate) fn repeated_unnamed(position: usize) -> String {
    unnamed(FIRST_REPEATED + position)
}

/// Alias of a subquery whose columns are to be repeated.
pub(crate) fn repetition() -> String {
    format!("{SEPARATOR}repetition")
}

/// Begins the names of columns that end the columns of a wildcard.
const MARK: &str = "\u{1f}mark";

/// The name of a column that stands behind those of a wildcard. `number` is unique in its select list.
pub(crate) fn mark(number: usize) -> String {
    format!("{MARK}{number}")
}

/// Whether [`mark`] made this name.
pub(crate) fn is_mark(name: &str) -> bool {
    name.starts_with(MARK)
}

/// Whether this module made the name.
pub(crate) fn is_internal(name: &str) -> bool {
    name.contains(SEPARATOR)
}

/// The name that a statement gave a column, if it gave one.
pub(crate) fn given_name(name: &str) -> Option<&str> {
    match name.split_once(SEPARATOR) {
        None => Some(name),
        Some((_, rest)) if rest.starts_with(SEPARATOR) => None,
        Some((shown, _)) => Some(shown),
    }
}

/// Ends the internal names of columns that subqueries need.
const SUBQUERY: &str = "subquery";

/// An internal name for a column that a subquery needs. `number` tells subqueries of one statement apart.
pub(crate) fn of_subquery(purpose: &str, number: usize) -> String {
    format!("{purpose}{SEPARATOR}{SUBQUERY}{number}")
}

/// Whether [`of_subquery`] made this name.
pub(crate) fn is_of_subquery(name: &str) -> bool {
    name.split_once(SEPARATOR)
        .is_some_and(|(_, rest)| rest.starts_with(SUBQUERY))
}

/// The name people see for a column at `position` (from 0) whose internal name is `name`.
pub fn display_name(name: &str, position: usize) -> String {
    match given_name(name) {
        Some(given) => given.to_owned(),
        None => format!("_col{position}"),
    }
}

/// Display names of the columns of a planned query, in order. They need not be unique.
pub fn display_names(schema: &DFSchema) -> Vec<String> {
    let fields = schema.fields().iter().enumerate();
    fields
        .map(|(position, field)| display_name(field.name(), position))
        .collect()
}

/// A text for people: internal names lose the part nobody should see.
pub(crate) fn without_internal_parts(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut pieces = text.split(SEPARATOR);
    shown.extend(pieces.next());
    for piece in pieces {
        let counter = |character: char| character.is_ascii_digit();
        shown.push_str(
            piece
                .trim_start_matches("unnest")
                .trim_start_matches(SUBQUERY)
                .trim_start_matches(counter),
        );
    }
    shown
}
