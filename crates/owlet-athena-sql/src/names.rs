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
    match name.split_once(SEPARATOR) {
        None => name.to_owned(),
        Some((_, rest)) if rest.starts_with(SEPARATOR) => format!("_col{position}"),
        Some((shown, _)) => shown.to_owned(),
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
