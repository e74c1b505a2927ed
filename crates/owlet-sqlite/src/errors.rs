//! SQLite's errors as connector errors: what happened, and what to do. Must never know Arrow.

use std::path::Path;

use owlet_connector::ConnectorError;
use rusqlite::ErrorCode;
use serde::{Deserialize, Serialize};

/// A value that does not fit its column, found by one of Owlet's functions inside SQLite. It travels as the text of
/// a SQLite error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Misfit {
    /// `table.column`, or empty when a computation and not a column is at fault.
    pub column: String,
    /// What is wrong.
    pub message: String,
}

/// Begins the text of errors that carry a [`Misfit`].
const MISFIT_MARK: &str = "owlet misfit ";

impl std::fmt::Display for Misfit {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let json = serde_json::to_string(self).map_err(|_| std::fmt::Error)?;
        write!(formatter, "{MISFIT_MARK}{json}")
    }
}

impl std::error::Error for Misfit {}

impl Misfit {
    /// As an error of a SQL function.
    pub fn into_sqlite(self) -> rusqlite::Error {
        rusqlite::Error::UserFunctionError(Box::new(self))
    }

    fn from_message(message: &str) -> Option<Self> {
        let (_, json) = message.split_once(MISFIT_MARK)?;
        serde_json::from_str(json).ok()
    }
}

/// Where an error happened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    /// Catalog name.
    pub catalog: &'a str,
    /// Database file.
    pub path: &'a Path,
}

/// Translates an error of SQLite.
pub(crate) fn connector_error(place: Place<'_>, error: &rusqlite::Error) -> ConnectorError {
    let catalog = place.catalog.to_owned();
    let path = place.path.display();
    let rusqlite::Error::SqliteFailure(failure, message) = error else {
        if let rusqlite::Error::UserFunctionError(inner) = error
            && let Some(misfit) = Misfit::from_message(&inner.to_string())
        {
            return misfit_error(misfit, catalog);
        }
        return ConnectorError::Source {
            catalog,
            code: None,
            message: error.to_string(),
        };
    };
    let message = message.clone().unwrap_or_else(|| failure.to_string());
    if let Some(misfit) = Misfit::from_message(&message) {
        return misfit_error(misfit, catalog);
    }
    if let Some(table) = message.strip_prefix("no such table: ") {
        return ConnectorError::TableNotFound {
            catalog,
            table: table.to_owned(),
            hint: "it was dropped or renamed since the query was planned".to_owned(),
        };
    }
    match failure.code {
        ErrorCode::OperationInterrupted => ConnectorError::Cancelled,
        ErrorCode::NotADatabase => ConnectorError::Configuration {
            catalog,
            message: format!("{path} is not a SQLite database, or it is encrypted"),
            hint: "point `path` at an unencrypted SQLite 3 file".to_owned(),
        },
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => ConnectorError::Timeout {
            catalog,
            message: format!("{path} is locked by a writer"),
            hint: "try again when the writer has committed; WAL mode lets readers and a writer work together"
                .to_owned(),
        },
        ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied => {
            ConnectorError::PermissionDenied {
                catalog,
                object: path.to_string(),
                message,
                hint: "Owlet needs to read the file".to_owned(),
            }
        }
        ErrorCode::CannotOpen => ConnectorError::Unreachable {
            catalog,
            message: format!("cannot open {path}: {message}"),
            hint: "the file must be readable; for a database in WAL mode its folder must be writable too, because SQLite keeps the -shm file there"
                .to_owned(),
        },
        ErrorCode::DatabaseCorrupt => ConnectorError::Source {
            catalog,
            code: Some("SQLITE_CORRUPT".to_owned()),
            message: format!("{path} is damaged: {message}; `PRAGMA integrity_check` tells where"),
        },
        code => ConnectorError::Source { catalog, code: Some(format!("{code:?}")), message },
    }
}

fn misfit_error(misfit: Misfit, catalog: String) -> ConnectorError {
    match misfit.column.rsplit_once('.') {
        Some((table, column)) => ConnectorError::Value {
            table: table.to_owned(),
            column: column.to_owned(),
            key: None,
            message: misfit.message,
        },
        None => ConnectorError::Source {
            catalog,
            code: None,
            message: misfit.message,
        },
    }
}
