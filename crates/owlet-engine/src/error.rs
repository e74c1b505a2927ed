//! Everything that can go wrong between SQL text and the last batch.

use datafusion::arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use owlet_athena_sql::{SqlError, planning_error};
use owlet_connector::{ConnectorError, ErrorCategory};
use thiserror::Error;

use crate::exhausted;

/// Result of engine operations.
pub type Result<T, E = EngineError> = std::result::Result<T, E>;

/// What happened, and what to do.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the fields are named in each message")]
pub enum EngineError {
    /// The text is not SQL we understand. `line` and `column` count from 1.
    #[error("line {line}:{column}: {message}{}", hint_suffix(.hint))]
    Syntax {
        line: u64,
        column: u64,
        message: String,
        hint: String,
    },
    /// The statement is understood but cannot be planned (unknown column, wrong types, …).
    #[error("{}{message}{}", position_prefix(.position), hint_suffix(.hint))]
    Plan {
        position: Option<(u64, u64)>,
        message: String,
        hint: String,
    },
    /// A table name does not resolve.
    #[error("table {name} does not exist{}", hint_suffix(.hint))]
    TableNotFound { name: String, hint: String },
    /// A parameter is missing, unknown or of a wrong type.
    #[error("parameter {name}: {message}")]
    Parameter { name: String, message: String },
    /// A source said no.
    #[error(transparent)]
    Connector(#[from] ConnectorError),
    /// The query failed while running (division by zero, cast of a bad value, overflow, …).
    #[error("{message}")]
    Execution { message: String },
    /// Memory and spill space are used up.
    #[error("{message}{}", hint_suffix(.hint))]
    ResourcesExhausted { message: String, hint: String },
    /// The query's own time limit.
    #[error(
        "the query did not finish within {seconds} s (hint: raise --timeout or narrow the query)"
    )]
    Timeout { seconds: f64 },
    /// The query was cancelled.
    #[error("the query was cancelled")]
    Cancelled,
    /// The engine's configuration cannot work.
    #[error("{message}{}", hint_suffix(.hint))]
    Configuration { message: String, hint: String },
    /// A bug in Owlet.
    #[error("internal error: {0}; please report it")]
    Internal(String),
}

impl EngineError {
    /// The class of this error.
    pub fn category(&self) -> ErrorCategory {
        match self {
            Self::Syntax { .. }
            | Self::Plan { .. }
            | Self::TableNotFound { .. }
            | Self::Parameter { .. }
            | Self::Execution { .. }
            | Self::ResourcesExhausted { .. }
            | Self::Timeout { .. } => ErrorCategory::Query,
            Self::Connector(error) => error.category(),
            Self::Cancelled => ErrorCategory::Cancelled,
            Self::Configuration { .. } => ErrorCategory::Configuration,
            Self::Internal(_) => ErrorCategory::Internal,
        }
    }
}

impl EngineError {
    /// From the dialect layer.
    pub(crate) fn from_sql(error: SqlError, sql: &str) -> Self {
        match error {
            SqlError::Syntax {
                line,
                column,
                message,
                hint,
            } => Self::Syntax {
                line,
                column,
                message,
                hint,
            },
            SqlError::Unsupported {
                line,
                column,
                message,
                hint,
            } => Self::Plan {
                position: Some((line, column)),
                message,
                hint,
            },
            SqlError::Parameter { name, message } => Self::Parameter { name, message },
            SqlError::Planning(error) => Self::from_datafusion(&error, sql),
        }
    }

    /// From DataFusion, while planning `sql` or running it.
    pub(crate) fn from_datafusion(error: &DataFusionError, sql: &str) -> Self {
        if let DataFusionError::ResourcesExhausted(message) = error.find_root() {
            return exhausted::error(message);
        }
        match error {
            DataFusionError::External(inner) => Self::from_boxed(inner.as_ref(), sql),
            DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner)
                if carries_connector_error(inner) =>
            {
                Self::from_datafusion(inner, sql)
            }
            DataFusionError::Shared(inner) => Self::from_datafusion(inner, sql),
            DataFusionError::Collection(errors) if !errors.is_empty() => {
                Self::from_datafusion(&errors[0], sql)
            }
            DataFusionError::ArrowError(inner, _) => match inner.as_ref() {
                ArrowError::ExternalError(inner) => Self::from_boxed(inner.as_ref(), sql),
                _ => Self::Execution {
                    message: planning_error(error, sql).message,
                },
            },
            DataFusionError::Internal(message) => Self::Internal(message.clone()),
            DataFusionError::Execution(_) => Self::Execution {
                message: planning_error(error, sql).message,
            },
            other => {
                let info = planning_error(other, sql);
                Self::Plan {
                    position: info.position,
                    message: info.message,
                    hint: info.hint,
                }
            }
        }
    }

    fn from_boxed(error: &(dyn std::error::Error + Send + Sync + 'static), sql: &str) -> Self {
        if let Some(error) = error.downcast_ref::<ConnectorError>() {
            return Self::Connector(error.clone());
        }
        if let Some(error) = error.downcast_ref::<DataFusionError>() {
            return Self::from_datafusion(error, sql);
        }
        Self::Execution {
            message: error.to_string(),
        }
    }
}

fn carries_connector_error(error: &DataFusionError) -> bool {
    match error {
        DataFusionError::External(inner) => {
            inner.is::<ConnectorError>() || inner.is::<DataFusionError>()
        }
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
            carries_connector_error(inner)
        }
        DataFusionError::Shared(inner) => carries_connector_error(inner),
        DataFusionError::ArrowError(_, _) => true,
        _ => false,
    }
}

fn hint_suffix(hint: &str) -> String {
    if hint.is_empty() {
        String::new()
    } else {
        format!(" (hint: {hint})")
    }
}

fn position_prefix(position: &Option<(u64, u64)>) -> String {
    position
        .map(|(line, column)| format!("line {line}:{column}: "))
        .unwrap_or_default()
}
