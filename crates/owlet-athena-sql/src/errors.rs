//! Errors of this crate, and DataFusion's planning errors turned into something a person can act on.
//! It must never know how a statement is executed.

use arrow::error::ArrowError;
use datafusion_common::utils::datafusion_strsim::levenshtein;
use datafusion_common::{Column, DataFusionError, SchemaError};
use sqlparser::tokenizer::Location;
use thiserror::Error;

use crate::{names, wording};

/// Why a text could not become a plan.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the fields are named in each message")]
pub enum SqlError {
    /// The text is not SQL. `line` and `column` count from 1.
    #[error("line {line}:{column}: {message}{}", hint_suffix(.hint))]
    Syntax {
        line: u64,
        column: u64,
        message: String,
        hint: String,
    },
    /// The statement is understood, but Owlet does not do it.
    #[error("line {line}:{column}: {message}{}", hint_suffix(.hint))]
    Unsupported {
        line: u64,
        column: u64,
        message: String,
        hint: String,
    },
    /// A parameter is missing, unknown, or its text does not fit its use.
    #[error("parameter {name}: {message}")]
    Parameter { name: String, message: String },
    /// DataFusion refused.
    #[error(transparent)]
    Planning(#[from] DataFusionError),
}

impl SqlError {
    pub(crate) fn syntax(location: Location, message: impl Into<String>) -> Self {
        let Location { line, column } = location;
        Self::Syntax {
            line: line.max(1),
            column: column.max(1),
            message: message.into(),
            hint: String::new(),
        }
    }

    pub(crate) fn unsupported(location: Location, message: impl Into<String>) -> Self {
        let Location { line, column } = location;
        Self::Unsupported {
            line: line.max(1),
            column: column.max(1),
            message: message.into(),
            hint: String::new(),
        }
    }

    pub(crate) fn with_hint(mut self, text: impl Into<String>) -> Self {
        if let Self::Syntax { hint, .. } | Self::Unsupported { hint, .. } = &mut self {
            *hint = text.into();
        }
        self
    }

    /// Line and column of the error, from 1.
    pub fn position(&self) -> Option<(u64, u64)> {
        match self {
            Self::Syntax { line, column, .. } | Self::Unsupported { line, column, .. } => {
                Some((*line, *column))
            }
            Self::Parameter { .. } | Self::Planning(_) => None,
        }
    }
}

/// A planning error as a person reads it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SqlErrorInfo {
    /// Line and column, from 1.
    pub position: Option<(u64, u64)>,
    /// What is wrong.
    pub message: String,
    /// What to do; may be empty.
    pub hint: String,
}

fn hint_suffix(hint: &str) -> String {
    if hint.is_empty() {
        String::new()
    } else {
        format!(" (hint: {hint})")
    }
}

/// Turns an error of DataFusion's planner (or of folding constants) into message, position and hint.
pub fn planning_error(error: &DataFusionError, sql: &str) -> SqlErrorInfo {
    let span = error.diagnostic().and_then(|diagnostic| diagnostic.span);
    let position = span.map(|span| (span.start.line, span.start.column));
    let mut info = describe(error);
    info.position = position
        .or(info.position)
        .filter(|(line, _)| *line as usize <= sql.lines().count().max(1));
    info.message = names::without_internal_parts(&info.message);
    info.hint = names::without_internal_parts(&info.hint);
    info
}

fn describe(error: &DataFusionError) -> SqlErrorInfo {
    let plain = |message: &str| SqlErrorInfo {
        message: message.trim().to_owned(),
        ..SqlErrorInfo::default()
    };
    match error {
        DataFusionError::Diagnostic(_, inner) | DataFusionError::Context(_, inner) => {
            describe(inner)
        }
        DataFusionError::Shared(inner) => describe(inner),
        DataFusionError::Collection(errors) => errors.first().map(describe).unwrap_or_default(),
        DataFusionError::SchemaError(schema_error, _) => describe_schema_error(schema_error),
        DataFusionError::Plan(message) => describe_plan_error(message),
        DataFusionError::NotImplemented(message) => describe_missing(message),
        DataFusionError::Execution(message) => match call_error(message) {
            Some((message, hint)) => SqlErrorInfo {
                position: None,
                message,
                hint: hint.to_owned(),
            },
            None => plain(&value_error(message)),
        },
        DataFusionError::ArrowError(arrow_error, _) => match arrow_error.as_ref() {
            ArrowError::DivideByZero => plain("division by zero"),
            ArrowError::CastError(message)
            | ArrowError::ParseError(message)
            | ArrowError::ComputeError(message)
            | ArrowError::InvalidArgumentError(message)
            | ArrowError::ArithmeticOverflow(message) => plain(&value_error(message)),
            other => plain(&wording::plain(&other.to_string())),
        },
        DataFusionError::SQL(parser_error, _) => plain(&wording::plain(&parser_error.to_string())),
        other => plain(&wording::plain(&other.strip_backtrace())),
    }
}

/// What is wrong with a value that was computed.
fn value_error(message: &str) -> String {
    let message = wording::plain(message);
    let cast = message
        .strip_prefix("Cannot cast string ")
        .and_then(|rest| rest.rsplit_once(" to value of "))
        .map(|(value, kind)| (value, kind.trim_end_matches(" type")));
    if let Some((value, kind)) = cast {
        return format!("{value} cannot be cast to {kind}");
    }
    let range = message
        .strip_prefix("Can't cast value ")
        .and_then(|rest| rest.rsplit_once(" to type "));
    if let Some((value, kind)) = range {
        return format!("{value} does not fit into {kind}");
    }
    // `integerArray overflow on abs(-2147483648)`
    if let Some((kind, call)) = message.split_once("Array overflow on ") {
        return format!("{kind} overflow: {call}");
    }
    if let Some(rest) = message.strip_prefix("Failed to convert ")
        && let Some((value, kind)) = rest.split_once(" to temporal for ")
    {
        return format!(
            "a {kind} is too far from today to be written as text ({value} since 1970 in its unit)"
        );
    }
    if let Some(message) = decimal_range(&message) {
        return message;
    }
    let field = message
        .strip_prefix("Cannot access field at argument ")
        .and_then(|rest| rest.split_once(": type "))
        .and_then(|(_, rest)| rest.split_once(" is not Struct"));
    match field {
        Some((kind, _)) => format!("a value of type {kind} has no fields"),
        None => message,
    }
}

/// `123.456 is too large to store in a Decimal128 of precision 5. Max is 99.999`
fn decimal_range(message: &str) -> Option<String> {
    let (value, rest) = message
        .split_once(" is too large to store in a Decimal")
        .or_else(|| message.split_once(" is too small to store in a Decimal"))?;
    let (_, rest) = rest.split_once(" of precision ")?;
    let (precision, limit) = rest.split_once(". M")?;
    let scale = limit
        .split_once('.')
        .map_or(0, |(_, fraction)| fraction.trim_end().len());
    Some(format!(
        "{value} does not fit into decimal({precision},{scale})"
    ))
}

/// What DataFusion does not do; its message may show the syntax tree.
fn describe_missing(message: &str) -> SqlErrorInfo {
    const UNPLANNED: &str = "Physical plan does not support logical expression ";
    let message = message.trim();
    let (message, hint) = if message == "wildcard * with AS alias not supported" {
        ("* cannot have another name".to_owned(), "name the columns")
    } else if message == "TOP" {
        ("TOP is not offered".to_owned(), "write LIMIT at the end")
    } else if let Some(expression) = message.strip_prefix(UNPLANNED) {
        match expression.starts_with("WindowFunction") {
            true => (
                "a window function can stand in the select list and in ORDER BY only".to_owned(),
                "compute it in a subquery, and filter that",
            ),
            false => ("an expression cannot stand where it does".to_owned(), ""),
        }
    } else if message.starts_with("Unsupported ast node in sqltorel") {
        (
            "an expression of this statement is not offered".to_owned(),
            "",
        )
    } else {
        (format!("not offered: {}", wording::plain(message)), "")
    };
    SqlErrorInfo {
        position: None,
        message,
        hint: hint.to_owned(),
    }
}

fn describe_schema_error(error: &SchemaError) -> SqlErrorInfo {
    let (message, hint) = match error {
        SchemaError::FieldNotFound {
            field,
            valid_fields,
        } if is_repeated(field, valid_fields) => (
            format!(
                "column {} is ambiguous: there are several of this name",
                field.flat_name()
            ),
            "give them different names with AS".to_owned(),
        ),
        SchemaError::FieldNotFound {
            field,
            valid_fields,
        } => (
            format!("column {} does not exist", field.flat_name()),
            column_hint(field, valid_fields),
        ),
        SchemaError::AmbiguousReference { field } => (
            format!("column {} is ambiguous", field.flat_name()),
            "write the table's name or alias before it".to_owned(),
        ),
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => (
            format!("column {name} appears twice in a subquery"),
            "give one of them another name with AS".to_owned(),
        ),
    };
    let spans = match error {
        SchemaError::FieldNotFound { field, .. } | SchemaError::AmbiguousReference { field } => {
            field.spans().first()
        }
        _ => None,
    };
    let position = spans.map(|span| (span.start.line, span.start.column));
    SqlErrorInfo {
        position,
        message,
        hint,
    }
}

/// Several columns have this name; internally they have others.
fn is_repeated(field: &Column, valid: &[Column]) -> bool {
    let same = |column: &&Column| {
        column.name != field.name
            && names::without_internal_parts(&column.name) == field.name
            && (field.relation.is_none() || field.relation == column.relation)
    };
    valid.iter().filter(same).count() > 1
}

/// How many column names a hint lists.
const LISTED_COLUMNS: usize = 20;

fn column_hint(field: &Column, valid: &[Column]) -> String {
    if valid.is_empty() {
        return "there is no table to take columns from".to_owned();
    }
    let named: Vec<&Column> = valid
        .iter()
        .filter(|column| names::given_name(&column.name).is_some_and(|name| !name.is_empty()))
        .collect();
    let has_unnamed = valid
        .iter()
        .any(|column| names::given_name(&column.name).is_none());
    if named.is_empty() && has_unnamed {
        return "the subquery gives its columns no names: give them some with AS".to_owned();
    }
    let mut shown: Vec<String> = Vec::new();
    for column in &named {
        let name = names::without_internal_parts(&column.flat_name());
        if shown.contains(&name) {
            continue;
        }
        if shown.len() == LISTED_COLUMNS {
            shown.push("…".to_owned());
            break;
        }
        shown.push(name);
    }
    let mut columns = format!("columns: {}", shown.join(", "));
    if has_unnamed {
        columns += "; others have no names: give them some with AS";
    }
    match closest(&field.name, &named) {
        Some(close) => format!("did you mean {}; {columns}", close.flat_name()),
        None => columns,
    }
}

fn closest<'a>(name: &str, candidates: &[&'a Column]) -> Option<&'a Column> {
    let distance = |candidate: &&Column| levenshtein(&candidate.name, name);
    let close = candidates.iter().copied().min_by_key(distance)?;
    (distance(&close) <= name.chars().count().div_ceil(3)).then_some(close)
}

/// Functions that exist with OVER only.
const WINDOW_FUNCTIONS: [&str; 11] = [
    "row_number",
    "rank",
    "dense_rank",
    "percent_rank",
    "cume_dist",
    "ntile",
    "lag",
    "lead",
    "first_value",
    "last_value",
    "nth_value",
];

/// Plan errors are texts; the common ones are told apart by their beginnings.
fn describe_plan_error(message: &str) -> SqlErrorInfo {
    let with_hint = |message: String, hint: &str| SqlErrorInfo {
        position: None,
        message,
        hint: hint.to_owned(),
    };
    if let Some(rest) = message.strip_prefix("Invalid function '") {
        let name = rest.split('\'').next().unwrap_or_default();
        if WINDOW_FUNCTIONS.contains(&name) {
            return with_hint(
                format!("{name} is a window function"),
                "write OVER (…) behind it",
            );
        }
        let close = rest
            .split("Did you mean '")
            .nth(1)
            .and_then(|close| close.split('\'').next());
        let hint = close
            .map(|close| format!("did you mean {close}; SHOW FUNCTIONS lists all"))
            .unwrap_or_default();
        return with_hint(format!("function {name} does not exist"), &hint);
    }
    if let Some((message, hint)) = call_error(message).or_else(|| shape_error(message)) {
        return with_hint(message, hint);
    }
    if message.contains("require unique expression names") {
        return with_hint(
            "two columns of a subquery have the same name".to_owned(),
            "give one of them another name with AS",
        );
    }
    if let Some(qualifier) = message.strip_prefix("Invalid qualifier ") {
        return with_hint(
            format!("{qualifier}.*: FROM has no table or alias {qualifier}"),
            "write the alias of a table before .*",
        );
    }
    if let Some((before, _)) = message.split_once(" must appear in the GROUP BY clause") {
        let having = before.strip_prefix("HAVING clause references: ");
        let column = before.rsplit_once("column ").map(|(_, column)| column);
        let what = match (having, column) {
            (Some(condition), _) => format!("HAVING: {}", wording::plain(condition)),
            (None, Some(column)) => format!("column {}", column.replace('"', "")),
            (None, None) => wording::plain(before),
        };
        return with_hint(
            format!("{what} is neither grouped nor aggregated"),
            "group by it, or aggregate it (arbitrary(x) takes any value)",
        );
    }
    with_hint(wording::plain(message), "")
}

/// Message and hint of a function, an operator or a condition whose operands do not fit.
fn call_error(message: &str) -> Option<(String, &'static str)> {
    const CAST: &str = "CAST the operands to types that fit";
    // Owlet's own functions say what they take; DataFusion says more around it.
    if let Some((before, rest)) = message.split_once(" does not take (") {
        let function = before.rsplit([' ', '\n']).next().unwrap_or_default();
        let rest = rest
            .split(['\n', '\t'])
            .next()
            .unwrap_or_default()
            .split(" No function matches")
            .next()
            .unwrap_or_default();
        let rest = wording::with_sql_types(rest);
        return Some(match function {
            "owlet_like_pattern" => {
                let given = rest.split(')').next().unwrap_or_default();
                (format!("LIKE takes texts, not {given}"), CAST)
            }
            _ => {
                let rest = rest.trim().trim_end_matches('.');
                (format!("{function} does not take ({rest}"), "")
            }
        });
    }
    if let Some(rest) = message.strip_prefix("Failed to coerce arguments to satisfy a call to '") {
        let (function, rest) = rest.split_once("' function: coercion from ")?;
        let (types, _) = rest.split_once(" to the signature ")?;
        let types = wording::with_sql_types(types).replace("Null", "unknown");
        return Some((format!("{function} does not take ({types})"), CAST));
    }
    if let Some(rest) = message
        .strip_prefix("No function matches the given name and argument types '")
        .or_else(|| {
            message
                .split_once("name and argument types '")
                .map(|(_, rest)| rest)
        })
    {
        let (call, _) = rest.split_once("'. You might need")?;
        let (function, types) = call.split_once('(')?;
        let types = wording::with_sql_types(types.strip_suffix(')').unwrap_or(types));
        return Some((format!("{function} does not take ({types})"), CAST));
    }
    if let Some((function, rest)) = message
        .strip_prefix("Function '")
        .or_else(|| message.strip_prefix("The function '"))
        .and_then(|rest| rest.split_once("' expect"))
    {
        let (wanted, given) = rest
            .split_once(' ')
            .and_then(|(_, rest)| rest.split_once(" but received "))?;
        let wanted = wanted.replace("argument(s)", "arguments");
        return Some((
            format!(
                "{function} takes {}, not {}",
                wording::plain(&wanted).replace("1 arguments", "one argument"),
                wording::plain(given)
            ),
            "",
        ));
    }
    if let Some((function, _)) = message
        .strip_prefix('\'')
        .and_then(|rest| rest.split_once("' does not support zero arguments"))
    {
        return Some((format!("{function} needs an argument"), ""));
    }
    for beginning in [
        "Cannot infer common argument type for comparison operation ",
        "Cannot infer common argument type for logical boolean operation ",
        "Cannot infer common argument type for regex operation ",
        "Cannot infer common string type for string concat operation ",
        "Cannot infer common type for bitwise operation ",
        "Cannot infer common argument type for operation ",
        "Cannot coerce arithmetic expression ",
    ] {
        if let Some((_, operation)) = message.split_once(beginning) {
            let operation = operation.trim_end_matches(" to valid types");
            let operation = wording::with_sql_types(operation);
            return Some((format!("no operator does {operation}"), CAST));
        }
    }
    if let Some((_, rest)) = message.split_once("Cannot get result type for decimal operation ")
        && let Some((operation, _)) = rest.split_once(": ")
    {
        let operation = wording::with_sql_types(operation);
        return Some((
            format!("{operation} has more than 38 digits after the point"),
            "CAST an operand to a decimal with fewer of them, or to double",
        ));
    }
    if let Some((_, rest)) = message.split_once("Cannot create filter with non-boolean predicate '")
    {
        let (condition, kind) = rest.rsplit_once("' returning ")?;
        let kind = wording::with_sql_types(kind);
        return Some((
            format!("the condition {condition} is of type {kind}, not boolean"),
            "compare it with something",
        ));
    }
    None
}

/// Message and hint of a query whose parts do not fit one another.
fn shape_error(message: &str) -> Option<(String, &'static str)> {
    if message.starts_with("Aggregate functions are not allowed in the WHERE clause") {
        return Some((
            "WHERE cannot hold an aggregate: it chooses the rows that are aggregated".to_owned(),
            "put the condition into HAVING",
        ));
    }
    if let Some((_, columns)) = message.split_once("The subquery should only return one column: ") {
        return Some((
            format!("a subquery that stands for a value has one column, not {columns}"),
            "select only one",
        ));
    }
    if message.starts_with("Aggregate function calls cannot be nested") {
        return Some((
            wording::plain(message),
            "compute the inner one in a subquery",
        ));
    }
    if let Some((_, columns)) = message.split_once("should only return one column, but found ") {
        let (count, names) = columns.split_once(": ")?;
        return Some((
            format!("a subquery that stands for a value has one column; this has {count}: {names}"),
            "select only one",
        ));
    }
    if let Some((operator, _)) = message.split_once(" queries have different number of columns") {
        return Some((
            format!("the queries of {operator} have different numbers of columns"),
            "select as many columns in each",
        ));
    }
    if let Some(rest) = message.strip_prefix("Inconsistent data length across values list: got ") {
        let (given, rest) = rest.split_once(" values in row ")?;
        let (row, expected) = rest.split_once(" but expected ")?;
        let row = row.parse::<usize>().ok()? + 1;
        return Some((
            format!("row {row} of VALUES has {given} values, the first has {expected}"),
            "",
        ));
    }
    if let Some(rest) = message.strip_prefix("Source table contains ") {
        let (columns, rest) = rest.split_once(" columns but only ")?;
        let (names, _) = rest.split_once(' ')?;
        return Some((
            format!("the list of column names has {names}, the table {columns} columns"),
            "name all columns, or none",
        ));
    }
    if let Some(rest) = message.strip_prefix("Cannot find column with position ") {
        let (position, rest) = rest.split_once(' ')?;
        let (_, last) = rest.rsplit_once(' ')?;
        return Some((
            format!("there is no column {position}: the select list has {last}"),
            "",
        ));
    }
    if let Some(rest) = message.strip_prefix("Order by column out of bounds, specified: ") {
        let (position, last) = rest.split_once(", max: ")?;
        return Some((
            format!("there is no column {position} to order by: the select list has {last}"),
            "",
        ));
    }
    if message.starts_with("SELECT * with no tables specified") {
        return Some((
            "SELECT * without FROM selects nothing".to_owned(),
            "name a table in FROM",
        ));
    }
    if let Some(rest) = message.strip_prefix("For SELECT DISTINCT, ORDER BY expressions ") {
        let (missing, _) = rest.split_once(" must appear")?;
        return Some((
            format!("SELECT DISTINCT cannot be ordered by {missing}, which it does not select"),
            "select it, or order by what is selected",
        ));
    }
    None
}
