//! One table from the server's error numbers to the errors all connectors share. Must never do I/O.
//!
//! Numbers: MySQL 8.0 Error Reference ("Server Error Message Reference") and MariaDB's "Error Codes".

use mysql_async::{DriverError, Error, IoError, ServerError};
use owlet_connector::ConnectorError;

use crate::session::rustls_error;
use crate::settings::Settings;

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
    Changed,
}

/// Error numbers with a meaning of their own, and what the user can do; all others are failures of the statement.
const MEANINGS: &[(u16, Meaning, &str)] = &[
    (
        1045,
        Meaning::Authentication,
        "check user and password of the catalog's url, and from which hosts the user may connect",
    ),
    (
        1698,
        Meaning::Authentication,
        "the account cannot log in by password; create one for Owlet",
    ),
    (
        1130,
        Meaning::Authentication,
        "the server does not accept this client's host: allow it with CREATE USER 'user'@'host'",
    ),
    (
        1251,
        Meaning::Authentication,
        "the account uses an authentication plugin this client does not speak",
    ),
    (
        1862,
        Meaning::Authentication,
        "the account's password has expired; change it",
    ),
    (
        3118,
        Meaning::Authentication,
        "the account is locked; ALTER USER … ACCOUNT UNLOCK",
    ),
    (
        4151,
        Meaning::Authentication,
        "the account is locked; ALTER USER … ACCOUNT UNLOCK",
    ),
    (
        3159,
        Meaning::Configuration,
        "the server demands TLS: choose sslmode = \"verify-full\" or \"require\"",
    ),
    (
        1044,
        Meaning::Permission,
        "GRANT SELECT on the database to the configured user",
    ),
    (
        1049,
        Meaning::Configuration,
        "check the database name at the end of the catalog's url",
    ),
    (
        1142,
        Meaning::Permission,
        "GRANT SELECT on the table to the configured user",
    ),
    (
        1143,
        Meaning::Permission,
        "GRANT SELECT on the column to the configured user",
    ),
    (
        1227,
        Meaning::Permission,
        "the configured user lacks a privilege",
    ),
    (
        1146,
        Meaning::NotFound,
        "it was dropped or renamed after it was listed; run the query again",
    ),
    (
        1051,
        Meaning::NotFound,
        "it was dropped after it was listed; run the query again",
    ),
    (
        1040,
        Meaning::Unreachable,
        "the server has no free connection: lower max_connections of the catalog, or raise the server's",
    ),
    (
        1203,
        Meaning::Unreachable,
        "the user has no free connection: lower max_connections of the catalog, or raise max_user_connections",
    ),
    (
        1226,
        Meaning::Unreachable,
        "the user has used up a limit of the server: lower max_connections of the catalog, or raise it",
    ),
    (
        1129,
        Meaning::Unreachable,
        "the server blocks this host after many failed connections: FLUSH HOSTS",
    ),
    (1053, Meaning::Lost, "the server is shutting down"),
    (1152, Meaning::Lost, ""),
    (1158, Meaning::Lost, ""),
    (1159, Meaning::Lost, ""),
    (1160, Meaning::Lost, ""),
    (1161, Meaning::Lost, ""),
    (1184, Meaning::Lost, ""),
    // KILL CONNECTION.
    (1927, Meaning::Lost, ""),
    (4031, Meaning::Lost, ""),
    (
        1205,
        Meaning::Timeout,
        "another session holds a lock on the table; try again later, or raise lock_timeout",
    ),
    (
        1969,
        Meaning::Timeout,
        "raise statement_timeout, or narrow the query",
    ),
    (
        3024,
        Meaning::Timeout,
        "raise statement_timeout, or narrow the query",
    ),
    (1317, Meaning::Cancelled, ""),
    (1054, Meaning::Changed, "run the query again"),
    (1412, Meaning::Changed, "run the query again"),
    (1615, Meaning::Changed, "run the query again"),
];

/// Not an error number: the code of Owlet's own check that a table still has the planned types.
pub(crate) const CHANGED_CODE: &str = "changed";

/// Translates an error of the driver. `object` names what was read, e.g. `shop.orders`; while connecting, host and port.
pub(crate) fn translate(
    error: &Error,
    stage: Stage,
    settings: &Settings,
    object: &str,
) -> ConnectorError {
    match error {
        Error::Server(server) => from_server(server, stage, settings, object),
        other => from_driver(other, stage, settings, object),
    }
}

/// The error means the connection (not the statement) failed, so another connection may succeed.
pub(crate) fn is_connection_failure(error: &ConnectorError) -> bool {
    matches!(
        error,
        ConnectorError::ConnectionLost { .. } | ConnectorError::Unreachable { .. }
    )
}

/// A conflict with the server's own work (deadlock): the same statement may succeed when repeated.
pub(crate) fn is_transient(error: &ConnectorError) -> bool {
    matches!(error, ConnectorError::Source { code: Some(code), .. } if code == "1213")
}

/// The error says that cached metadata is out of date.
pub(crate) fn is_stale_metadata(error: &ConnectorError) -> bool {
    match error {
        ConnectorError::TableNotFound { .. } => true,
        ConnectorError::Source {
            code: Some(code), ..
        } => {
            code == CHANGED_CODE
                || MEANINGS.iter().any(|(number, meaning, _)| {
                    *meaning == Meaning::Changed && code == &number.to_string()
                })
        }
        _ => false,
    }
}

fn from_server(
    server: &ServerError,
    stage: Stage,
    settings: &Settings,
    object: &str,
) -> ConnectorError {
    let (meaning, hint) = MEANINGS
        .iter()
        .find(|(number, ..)| *number == server.code)
        .map_or((None, ""), |(_, meaning, hint)| (Some(*meaning), *hint));
    let catalog = settings.catalog.clone();
    let message = server.message.clone();
    let hint = hint.to_owned();
    let place = match stage {
        Stage::Connect => object,
        Stage::Prepare | Stage::Read => &settings.place,
    };
    let message_with_place = format!("{place}: {message}");
    let object = object.to_owned();
    let code = Some(server.code.to_string());
    match meaning {
        Some(Meaning::Authentication) => ConnectorError::Authentication {
            catalog,
            message,
            hint,
        },
        Some(Meaning::Configuration) => ConnectorError::Configuration {
            catalog,
            message,
            hint,
        },
        Some(Meaning::Permission) => ConnectorError::PermissionDenied {
            catalog,
            object,
            message,
            hint,
        },
        Some(Meaning::NotFound) => ConnectorError::TableNotFound {
            catalog,
            table: object,
            hint: format!("{message}; {hint}"),
        },
        Some(Meaning::Unreachable) => ConnectorError::Unreachable {
            catalog,
            message: message_with_place,
            hint,
        },
        Some(Meaning::Lost) if stage == Stage::Connect => ConnectorError::Unreachable {
            catalog,
            message: message_with_place,
            hint,
        },
        Some(Meaning::Lost) => ConnectorError::ConnectionLost {
            catalog,
            object,
            message,
        },
        Some(Meaning::Timeout) => ConnectorError::Timeout {
            catalog,
            message: format!("{message}, while reading {object}"),
            hint,
        },
        Some(Meaning::Changed) => ConnectorError::Source {
            catalog,
            code,
            message: format!("{object} changed between planning and reading: {message}; {hint}"),
        },
        Some(Meaning::Cancelled) | None => ConnectorError::Source {
            catalog,
            code,
            message: format!("{message}, while reading {object}"),
        },
    }
}

fn from_driver(error: &Error, stage: Stage, settings: &Settings, object: &str) -> ConnectorError {
    let message = chain(error);
    let catalog = settings.catalog.clone();
    if stage != Stage::Connect {
        return ConnectorError::ConnectionLost {
            catalog,
            object: object.to_owned(),
            message,
        };
    }
    if let Error::Driver(DriverError::CleartextPluginDisabled) = error {
        return ConnectorError::Authentication {
            catalog,
            message: "the server asks for the password itself (mysql_clear_password), which is sent only to a server \
                      whose certificate is verified"
                .to_owned(),
            hint: "choose sslmode = \"verify-full\", or auth = \"iam\" for an RDS account of AWSAuthenticationPlugin"
                .to_owned(),
        };
    }
    if let Error::Driver(
        DriverError::UnknownAuthPlugin { .. } | DriverError::MysqlOldPasswordDisabled,
    ) = error
    {
        return ConnectorError::Authentication {
            catalog,
            message,
            hint: "choose an account with caching_sha2_password, mysql_native_password or ed25519"
                .to_owned(),
        };
    }
    let hint = match (error, rustls_error(error)) {
        (Error::Driver(DriverError::NoClientSslFlagFromServer), _) => {
            "enable ssl on the server, or choose sslmode = \"disable\" if the network may be trusted"
        }
        (_, Some(rustls::Error::InvalidCertificate(problem))) => match problem {
            rustls::CertificateError::UnknownIssuer => {
                "the server's certificate is not signed by a trusted authority: name it with ca_file (Amazon RDS \
                 publishes its bundle), or choose sslmode = \"require\" to accept any certificate"
            }
            rustls::CertificateError::NotValidForName
            | rustls::CertificateError::NotValidForNameContext { .. } => {
                "the certificate is for another host name: connect by the name it was issued for, or choose \
                 sslmode = \"verify-ca\""
            }
            other if format!("{other:?}").contains("CaUsedAsEndEntity") => {
                "the server's certificate is that of an authority (CA:TRUE), which no server may use for itself: issue \
                 one for the server, or choose sslmode = \"require\" without ca_file to accept any certificate"
            }
            _ => "check the server's certificate, or choose another sslmode",
        },
        (_, Some(_)) => "check the server's TLS settings, or choose another sslmode",
        _ => {
            "check host and port, that the server runs, and that the network lets the connection through"
        }
    };
    ConnectorError::Unreachable {
        catalog,
        message: format!("{object}: {message}"),
        hint: hint.to_owned(),
    }
}

/// An error's text with its causes. The driver's own may hold rows or packets, so those are left out.
fn chain(error: &Error) -> String {
    match error {
        Error::Driver(DriverError::UnexpectedPacket { .. }) => "an unexpected packet".to_owned(),
        Error::Driver(DriverError::FromValue { .. } | DriverError::FromRow { .. }) => {
            "a value of an unexpected type".to_owned()
        }
        other => {
            // What the driver puts before an error of the system says nothing, twice.
            let first: &dyn std::error::Error = match other {
                Error::Io(IoError::Io(error)) => error,
                other => other,
            };
            let mut text = first.to_string();
            let mut cause = first.source();
            while let Some(inner) = cause {
                let line = inner.to_string();
                if !text.contains(&line) {
                    text = format!("{text}: {line}");
                }
                cause = inner.source();
            }
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn errors_of_the_system_speak_for_themselves() {
        let refused = io::Error::new(io::ErrorKind::ConnectionRefused, "connection refused");
        assert_eq!(
            chain(&Error::Io(IoError::Io(refused))),
            "connection refused"
        );
    }
}
