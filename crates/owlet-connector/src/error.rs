//! The error enum all connectors share. Messages never contain secrets.

use thiserror::Error;

/// Result of connector operations.
pub type Result<T, E = ConnectorError> = std::result::Result<T, E>;

/// What happened at a source, and what to do. `catalog` is the configured catalog name.
#[derive(Debug, Clone, Error)]
#[allow(missing_docs, reason = "the fields are named in each message")]
pub enum ConnectorError {
    /// The configuration of the catalog cannot work.
    #[error("catalog {catalog}: {message}{}", hint_suffix(.hint))]
    Configuration {
        catalog: String,
        message: String,
        hint: String,
    },
    /// The source refused the identity.
    #[error("catalog {catalog}: authentication failed: {message}{}", hint_suffix(.hint))]
    Authentication {
        catalog: String,
        message: String,
        hint: String,
    },
    /// The identity lacks a right on an object.
    #[error("catalog {catalog}: no permission on {object}: {message}{}", hint_suffix(.hint))]
    PermissionDenied {
        catalog: String,
        object: String,
        message: String,
        hint: String,
    },
    /// The source cannot be reached.
    #[error("catalog {catalog}: cannot reach the source: {message}{}", hint_suffix(.hint))]
    Unreachable {
        catalog: String,
        message: String,
        hint: String,
    },
    /// The connection broke while rows were read; the answer would be incomplete, so there is none.
    #[error("catalog {catalog}: the connection was lost while reading {object}: {message}")]
    ConnectionLost {
        catalog: String,
        object: String,
        message: String,
    },
    /// A table or schema does not exist (or vanished between planning and reading).
    #[error("catalog {catalog}: table {table} does not exist{}", hint_suffix(.hint))]
    TableNotFound {
        catalog: String,
        table: String,
        hint: String,
    },
    /// A name matches several objects that differ only by case.
    #[error("catalog {catalog}: {name} is ambiguous: it matches {candidates}")]
    AmbiguousName {
        catalog: String,
        name: String,
        candidates: String,
    },
    /// The column's type has no Arrow mapping; it is listed but cannot be read.
    #[error("column {table}.{column} of type {native_type} cannot be read: {message}")]
    UnreadableColumn {
        table: String,
        column: String,
        native_type: String,
        message: String,
    },
    /// A value does not fit its column's type.
    #[error("value of {table}.{column}{}: {message}", key_suffix(.key))]
    Value {
        table: String,
        column: String,
        key: Option<String>,
        message: String,
    },
    /// A query in the source's own language is not sent: it is no reading one, or the source has no language.
    #[error("catalog {catalog}: the query is refused: {message}{}", hint_suffix(.hint))]
    QueryRefused {
        catalog: String,
        message: String,
        hint: String,
    },
    /// The source rejected or failed the request. `code` is its own error code (SQLSTATE, exception name).
    #[error("catalog {catalog}: the source failed{}: {message}", code_suffix(.code))]
    Source {
        catalog: String,
        code: Option<String>,
        message: String,
    },
    /// A limit of the budget is or would be exceeded.
    #[error("refused by the budget: {limit} allows {allowed}, {situation}{}", hint_suffix(.hint))]
    BudgetExceeded {
        limit: String,
        allowed: String,
        situation: String,
        hint: String,
    },
    /// The statement ran into a time limit.
    #[error("catalog {catalog}: {message}{}", hint_suffix(.hint))]
    Timeout {
        catalog: String,
        message: String,
        hint: String,
    },
    /// The query was cancelled.
    #[error("the query was cancelled")]
    Cancelled,
    /// A bug in Owlet.
    #[error("internal error: {0}; please report it")]
    Internal(String),
}

/// Coarse class of an error; one table in the binary maps it to exit code, SQLSTATE, HTTP status and the Athena
/// error category.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCategory {
    /// The statement is wrong or failed.
    Query,
    /// Usage or configuration.
    Configuration,
    /// Identity or rights.
    Authentication,
    /// Refused by a budget.
    Budget,
    /// A source cannot be reached or the connection broke.
    Unreachable,
    /// Cancelled by the user.
    Cancelled,
    /// A bug in Owlet.
    Internal,
}

impl ConnectorError {
    /// The class of this error.
    pub fn category(&self) -> ErrorCategory {
        match self {
            Self::Configuration { .. } => ErrorCategory::Configuration,
            Self::Authentication { .. } | Self::PermissionDenied { .. } => {
                ErrorCategory::Authentication
            }
            Self::Unreachable { .. } | Self::ConnectionLost { .. } => ErrorCategory::Unreachable,
            Self::BudgetExceeded { .. } => ErrorCategory::Budget,
            Self::Cancelled => ErrorCategory::Cancelled,
            Self::Internal(_) => ErrorCategory::Internal,
            Self::TableNotFound { .. }
            | Self::AmbiguousName { .. }
            | Self::UnreadableColumn { .. }
            | Self::Value { .. }
            | Self::QueryRefused { .. }
            | Self::Source { .. }
            | Self::Timeout { .. } => ErrorCategory::Query,
        }
    }
}

fn hint_suffix(hint: &str) -> String {
    if hint.is_empty() {
        String::new()
    } else {
        format!(" (hint: {hint})")
    }
}

fn key_suffix(key: &Option<String>) -> String {
    key.as_ref()
        .map(|key| format!(" at key {key}"))
        .unwrap_or_default()
}

fn code_suffix(code: &Option<String>) -> String {
    code.as_ref()
        .map(|code| format!(" [{code}]"))
        .unwrap_or_default()
}
