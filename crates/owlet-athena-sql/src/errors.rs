//! Errors of this crate, and DataFusion's planning errors turned into something a person can act on.
//! It must never know how a statement is executed.

use datafusion_common::DataFusionError;
use sqlparser::tokenizer::Location;
use thiserror::Error;

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

/// Turns an error of DataFusion's planner into message, position and hint.
pub fn planning_error(error: &DataFusionError, _sql: &str) -> SqlErrorInfo {
    let position = error
        .diagnostic()
        .and_then(|diagnostic| diagnostic.span)
        .map(|span| (span.start.line, span.start.column));
    SqlErrorInfo {
        position,
        message: error.strip_backtrace(),
        hint: String::new(),
    }
}
