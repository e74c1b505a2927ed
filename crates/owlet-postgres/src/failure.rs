//! One table from PostgreSQL's SQLSTATEs to the errors all connectors share. Must never do I/O.
//!
//! Codes: PostgreSQL documentation, appendix A "PostgreSQL Error Codes".

use std::error::Error as _;

use owlet_connector::ConnectorError;
use tokio_postgres::error::DbError;

use crate::source_query;

/// What was going on when an error came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Establishing a connection.
    Connect,
    /// Metadata, EXPLAIN, opening a transaction: nothing has been read yet.
    Prepare,
    /// Rows were being read.
    Read,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Authentication,
    Configuration,
    Permission,
    NotFound,
    Unreachable,
    Lost,
    Timeout,
    Cancelled,
    Source,
}

/// SQLSTATEs (or classes, two characters) with a meaning of their own, and what the user can do. The first
/// matching row counts; all others are failures of the statement.
const MEANINGS: &[(&str, Meaning, &str)] = &[
    (
        "28P01",
        Meaning::Authentication,
        "check user and password of the catalog's url",
    ),
    (
        "28000",
        Meaning::Authentication,
        "check user, database and pg_hba.conf; the server may demand sslmode = \"require\"",
    ),
    (
        "3D000",
        Meaning::Configuration,
        "check the database name at the end of the catalog's url",
    ),
    (
        "42501",
        Meaning::Permission,
        "GRANT USAGE on the schema and SELECT on the table to the configured user",
    ),
    (
        "42P01",
        Meaning::NotFound,
        "it was dropped or renamed after it was listed; run the query again",
    ),
    ("3F000", Meaning::NotFound, "the schema does not exist"),
    (
        "53300",
        Meaning::Unreachable,
        "the server has no free connection: lower max_connections, or raise the server's",
    ),
    ("53", Meaning::Source, "the server is short of resources"),
    (
        "55P03",
        Meaning::Timeout,
        "another session holds a lock on the table; try again later, or raise lock_timeout",
    ),
    ("57014", Meaning::Cancelled, ""),
    (
        "57P03",
        Meaning::Unreachable,
        "the server is starting up or shutting down; try again",
    ),
    ("57P01", Meaning::Lost, ""),
    ("57P02", Meaning::Lost, ""),
    ("57P04", Meaning::Lost, ""),
    ("57P05", Meaning::Lost, ""),
    ("25P03", Meaning::Lost, ""),
    ("08", Meaning::Lost, ""),
];

/// Translates an error of the driver. `object` names what was read, e.g. `public.orders`.
pub(crate) fn translate(
    error: &tokio_postgres::Error,
    stage: Stage,
    catalog: &str,
    object: &str,
) -> ConnectorError {
    match error.as_db_error() {
        Some(server) => from_server(server, stage, catalog, object),
        None => from_driver(error, stage, catalog, object),
    }
}

/// The error means the connection (not the statement) failed, so another connection may succeed.
pub(crate) fn is_connection_failure(error: &ConnectorError) -> bool {
    matches!(
        error,
        ConnectorError::ConnectionLost { .. } | ConnectorError::Unreachable { .. }
    )
}

/// A conflict with the server's own work (hot standby, serialisation, deadlock), or behind a pooler with a statement
/// name that an ended client has left at the server: the same statement may succeed when repeated.
pub(crate) fn is_transient(error: &ConnectorError) -> bool {
    const CODES: [&str; 4] = ["40001", "40P01", "42P05", "26000"];
    matches!(error, ConnectorError::Source { code: Some(code), .. } if CODES.contains(&code.as_str()))
}

/// The error says that cached metadata is out of date.
pub(crate) fn is_stale_metadata(error: &ConnectorError) -> bool {
    match error {
        ConnectorError::TableNotFound { .. } => true,
        ConnectorError::Source {
            code: Some(code), ..
        } => {
            matches!(
                code.as_str(),
                "42703" | "42804" | "42883" | "42846" | CHANGED_CODE
            )
        }
        _ => false,
    }
}

/// Not a SQLSTATE: the code of Owlet's own check that a table still has the planned types.
pub(crate) const CHANGED_CODE: &str = "changed";

fn meaning_of(code: &str) -> (Meaning, &'static str) {
    MEANINGS
        .iter()
        .find(|(prefix, ..)| code.starts_with(prefix))
        .map_or((Meaning::Source, ""), |(_, meaning, hint)| (*meaning, hint))
}

fn from_server(server: &DbError, stage: Stage, catalog: &str, object: &str) -> ConnectorError {
    let code = server.code().code();
    let (meaning, own_hint) = meaning_of(code);
    let mut message = server.message().to_owned();
    if let Some(detail) = server.detail() {
        message = format!("{message} ({detail})");
    }
    let hint = match server.hint() {
        Some(theirs) if own_hint.is_empty() => theirs.to_owned(),
        Some(theirs) => format!("{own_hint}; the server says: {theirs}"),
        None => own_hint.to_owned(),
    };
    let catalog = catalog.to_owned();
    let object = object.to_owned();
    match meaning {
        Meaning::Authentication => ConnectorError::Authentication {
            catalog,
            message,
            hint,
        },
        Meaning::Configuration => ConnectorError::Configuration {
            catalog,
            message,
            hint,
        },
        Meaning::Permission => ConnectorError::PermissionDenied {
            catalog,
            object,
            message,
            hint,
        },
        Meaning::NotFound if object == source_query::OBJECT => ConnectorError::QueryRefused {
            catalog,
            message,
            hint: "qualify the name with its schema, or set the catalog's search_path".to_owned(),
        },
        Meaning::NotFound => ConnectorError::TableNotFound {
            catalog,
            table: object,
            hint: format!("{message}; {hint}"),
        },
        Meaning::Unreachable => ConnectorError::Unreachable {
            catalog,
            message,
            hint,
        },
        Meaning::Timeout => ConnectorError::Timeout {
            catalog,
            message,
            hint,
        },
        Meaning::Lost if stage == Stage::Connect => ConnectorError::Unreachable {
            catalog,
            message,
            hint,
        },
        Meaning::Lost => ConnectorError::ConnectionLost {
            catalog,
            object,
            message,
        },
        // The code is the same for both; only the text tells them apart, and lc_messages may have translated it.
        Meaning::Cancelled if message.contains("timeout") => ConnectorError::Timeout {
            catalog,
            message,
            hint: "raise statement_timeout, or narrow the query".to_owned(),
        },
        Meaning::Cancelled => ConnectorError::Source {
            catalog,
            code: Some(code.to_owned()),
            message: format!("{message}, while reading {object}"),
        },
        Meaning::Source => {
            let hint = if hint.is_empty() {
                String::new()
            } else {
                format!("; {hint}")
            };
            ConnectorError::Source {
                catalog,
                code: Some(code.to_owned()),
                message: format!("{message}, while reading {object}{hint}"),
            }
        }
    }
}

const NO_CONNECTION_HINT: &str =
    "check host and port, that the server runs, and that the network lets the connection through";

fn from_driver(
    error: &tokio_postgres::Error,
    stage: Stage,
    catalog: &str,
    object: &str,
) -> ConnectorError {
    let message = chain(error);
    let catalog = catalog.to_owned();
    if stage != Stage::Connect {
        return ConnectorError::ConnectionLost {
            catalog,
            object: object.to_owned(),
            message,
        };
    }
    if message.contains("password missing") || message.contains("authentication") {
        let hint = "give a password in the url, as password, or as password_file".to_owned();
        return ConnectorError::Authentication {
            catalog,
            message,
            hint,
        };
    }
    let hint = if message.contains("certificate") {
        if message.contains("UnknownIssuer") {
            UNTRUSTED_HINT
        } else if message.contains("NotValidForName") || message.contains("not valid for name") {
            "the certificate is for another host name: connect by the name it was issued for, or choose \
             sslmode = \"verify-ca\""
        } else {
            "check the server's certificate, or choose another sslmode"
        }
    } else if message.contains("does not support TLS") {
        "enable ssl on the server, or choose sslmode = \"disable\" if the network may be trusted"
    } else {
        NO_CONNECTION_HINT
    };
    ConnectorError::Unreachable {
        catalog,
        message,
        hint: hint.to_owned(),
    }
}

/// No connection was made at all.
pub(crate) fn not_connected(error: &std::io::Error, catalog: &str) -> ConnectorError {
    ConnectorError::Unreachable {
        catalog: catalog.to_owned(),
        message: format!("error connecting to server: {error}"),
        hint: NO_CONNECTION_HINT.to_owned(),
    }
}

/// What to do about a certificate of an unknown authority.
pub(crate) const UNTRUSTED_HINT: &str = "the server's certificate is not signed by a trusted authority: name it with \
     ca_file (Amazon RDS publishes its bundle), or choose sslmode = \"require\" to accept any certificate";

/// An error's text with its causes.
fn chain(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let line = inner.to_string();
        if !text.contains(&line) {
            text = format!("{text}: {line}");
        }
        cause = inner.source();
    }
    text
}
