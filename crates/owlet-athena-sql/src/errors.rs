//! Errors of this crate, and DataFusion's planning errors turned into something a person can act on.
//! It must never know how a statement is executed.

use arrow::error::ArrowError;
use datafusion_common::utils::datafusion_strsim::levenshtein;
use datafusion_common::{Column, DataFusionError, SchemaError};
use sqlparser::tokenizer::Location;
use thiserror::Error;

use crate::names;

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
        DataFusionError::NotImplemented(message) => plain(&format!("not offered: {message}")),
        DataFusionError::Execution(message) => plain(message),
        DataFusionError::ArrowError(arrow_error, _) => match arrow_error.as_ref() {
            ArrowError::DivideByZero => plain("division by zero"),
            ArrowError::CastError(message)
            | ArrowError::ParseError(message)
            | ArrowError::ComputeError(message)
            | ArrowError::InvalidArgumentError(message)
            | ArrowError::ArithmeticOverflow(message) => plain(message),
            other => plain(&other.to_string()),
        },
        DataFusionError::SQL(parser_error, _) => plain(&parser_error.to_string()),
        other => plain(&other.strip_backtrace()),
    }
}

fn describe_schema_error(error: &SchemaError) -> SqlErrorInfo {
    let (message, hint) = match error {
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

/// How many column names a hint lists.
const LISTED_COLUMNS: usize = 20;

fn column_hint(field: &Column, valid: &[Column]) -> String {
    if valid.is_empty() {
        return "there is no table to take columns from".to_owned();
    }
    let mut shown: Vec<String> = valid
        .iter()
        .take(LISTED_COLUMNS)
        .map(Column::flat_name)
        .collect();
    if valid.len() > LISTED_COLUMNS {
        shown.push("…".to_owned());
    }
    let columns = format!("columns: {}", shown.join(", "));
    match closest(&field.name, valid) {
        Some(close) => format!("did you mean {}; {columns}", close.flat_name()),
        None => columns,
    }
}

fn closest<'a>(name: &str, candidates: &'a [Column]) -> Option<&'a Column> {
    let distance = |candidate: &&Column| levenshtein(&candidate.name, name);
    let close = candidates.iter().min_by_key(distance)?;
    (distance(&close) <= name.chars().count().div_ceil(3)).then_some(close)
}

/// Plan errors are texts; the common ones are told apart by their beginnings.
fn describe_plan_error(message: &str) -> SqlErrorInfo {
    let with_hint = |message: String, hint: &str| SqlErrorInfo {
        position: None,
        message,
        hint: hint.to_owned(),
    };
    if let Some(rest) = message.strip_prefix("Invalid function '") {
        let name = rest.split('\'').next().unwrap_or_default();
        let close = rest
            .split("Did you mean '")
            .nth(1)
            .and_then(|close| close.split('\'').next());
        let hint = close
            .map(|close| format!("did you mean {close}; SHOW FUNCTIONS lists all"))
            .unwrap_or_default();
        return with_hint(format!("function {name} does not exist"), &hint);
    }
    if message.contains("require unique expression names") {
        return with_hint(
            "two columns of a subquery have the same name".to_owned(),
            "give one of them another name with AS",
        );
    }
    if message.contains("must appear in the GROUP BY clause") {
        let message = message
            .trim_start_matches("Column in SELECT must be in GROUP BY or an aggregate function: ");
        return with_hint(
            message.to_owned(),
            "group by it, or aggregate it (arbitrary(x) takes any value)",
        );
    }
    with_hint(message.trim().to_owned(), "")
}
