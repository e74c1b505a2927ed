//! What a failed command says and how the process ends: the one table from error category to exit code,
//! SQLSTATE, HTTP status and Athena's error category, and the shape every error is printed in.
//! Must never know a command or a source.

use std::fmt::Write as _;
use std::process::ExitCode;

use owlet_connector::{ConnectorError, ErrorCategory};
use owlet_engine::EngineError;
use thiserror::Error;

use crate::config::ConfigError;
use crate::statements::Statement;

/// Result of everything a command does.
pub type Result<T, E = CliError> = std::result::Result<T, E>;

/// How a command ends. The numbers are a contract: scripts depend on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// The command did what it was asked.
    Success,
    /// The query failed, or a check found a difference.
    Failure,
    /// The command line or the configuration is wrong.
    Usage,
    /// A source refused the identity, or the identity lacks a right.
    Authentication,
    /// A budget refused the query.
    Budget,
    /// A source cannot be reached, or the connection broke; trying again may help.
    Unreachable,
    /// Interrupted by the user.
    Interrupted,
}

/// One row of the table that says how an error looks at each front door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorMapping {
    /// The category.
    pub category: ErrorCategory,
    /// Exit status of the command line.
    pub exit: ExitStatus,
    /// SQLSTATE of the PostgreSQL wire protocol (class codes of PostgreSQL's appendix A).
    pub sqlstate: &'static str,
    /// HTTP status.
    pub http: u16,
    /// Athena's `AthenaError.ErrorCategory`: 1 system, 2 user, 3 other.
    pub athena_category: u8,
    /// What it means, for `owlet help exit-codes`.
    pub meaning: &'static str,
}

/// The one table. Every front door looks its code up here.
pub const ERROR_MAPPINGS: [ErrorMapping; 7] = [
    ErrorMapping {
        category: ErrorCategory::Query,
        exit: ExitStatus::Failure,
        sqlstate: "42000",
        http: 400,
        athena_category: 2,
        meaning: "the query failed, or a check found a difference",
    },
    ErrorMapping {
        category: ErrorCategory::Configuration,
        exit: ExitStatus::Usage,
        sqlstate: "F0000",
        http: 400,
        athena_category: 2,
        meaning: "the command line or the configuration is wrong",
    },
    ErrorMapping {
        category: ErrorCategory::Authentication,
        exit: ExitStatus::Authentication,
        sqlstate: "28000",
        http: 403,
        athena_category: 2,
        meaning: "a source refused the identity, or the identity lacks a right",
    },
    ErrorMapping {
        category: ErrorCategory::Budget,
        exit: ExitStatus::Budget,
        sqlstate: "53400",
        http: 429,
        athena_category: 2,
        meaning: "refused by a budget, for example --max-rcu",
    },
    ErrorMapping {
        category: ErrorCategory::Unreachable,
        exit: ExitStatus::Unreachable,
        sqlstate: "08000",
        http: 503,
        athena_category: 3,
        meaning: "a source cannot be reached or the connection broke; trying again may help",
    },
    ErrorMapping {
        category: ErrorCategory::Cancelled,
        exit: ExitStatus::Interrupted,
        sqlstate: "57014",
        http: 499,
        athena_category: 2,
        meaning: "interrupted (Ctrl-C); the query was cancelled at its sources",
    },
    ErrorMapping {
        category: ErrorCategory::Internal,
        exit: ExitStatus::Failure,
        sqlstate: "XX000",
        http: 500,
        athena_category: 1,
        meaning: "a bug in Owlet; please report it",
    },
];

/// The row of [`ERROR_MAPPINGS`] for a category.
pub fn mapping(category: ErrorCategory) -> ErrorMapping {
    let [
        query,
        configuration,
        authentication,
        budget,
        unreachable,
        cancelled,
        internal,
    ] = ERROR_MAPPINGS;
    match category {
        ErrorCategory::Query => query,
        ErrorCategory::Configuration => configuration,
        ErrorCategory::Authentication => authentication,
        ErrorCategory::Budget => budget,
        ErrorCategory::Unreachable => unreachable,
        ErrorCategory::Cancelled => cancelled,
        ErrorCategory::Internal => internal,
    }
}

impl ExitStatus {
    /// The process exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Authentication => 4,
            Self::Budget => 5,
            Self::Unreachable => 6,
            Self::Interrupted => 130,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        ExitCode::from(status.code())
    }
}

/// Everything a command can fail with.
#[derive(Debug, Error)]
pub enum CliError {
    /// The command line cannot mean anything. Exit code 2.
    #[error("{message}")]
    Usage {
        /// What is wrong.
        message: String,
        /// What to do; may be empty.
        hint: String,
    },
    /// The configuration file cannot work. Exit code 2.
    #[error(transparent)]
    Configuration(#[from] ConfigError),
    /// A statement failed. The exit code follows the error's category.
    #[error("{error}")]
    Statement {
        /// What happened.
        error: Box<EngineError>,
        /// The statement it happened to, to show the place.
        statement: Box<Statement>,
    },
    /// The engine failed outside of a statement. The exit code follows the error's category.
    #[error(transparent)]
    Engine(Box<EngineError>),
    /// Writing the result failed. Exit code 1.
    #[error("cannot write {target}: {message}")]
    Output {
        /// File name, or `the standard output`.
        target: String,
        /// Why.
        message: String,
    },
    /// Nobody reads our output any more (`owlet query … | head`): end quietly, exit code 0.
    #[error("the reader of the output has gone")]
    OutputClosed,
    /// Something else the user asked for failed. Exit code 1.
    #[error("{message}")]
    Failed {
        /// What happened.
        message: String,
        /// What to do; may be empty.
        hint: String,
    },
    /// Ctrl-C. Exit code 130.
    #[error("interrupted")]
    Interrupted,
}

impl CliError {
    /// A usage error.
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage {
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// A failure with a hint.
    pub fn failed(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Failed {
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// Writing failed; a closed pipe is told apart because it is not an error for anybody.
    pub fn output(target: impl Into<String>, error: &std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::OutputClosed;
        }
        Self::Output {
            target: target.into(),
            message: error.to_string(),
        }
    }

    /// A statement failed.
    pub fn statement(error: EngineError, statement: &Statement) -> Self {
        if matches!(error.category(), ErrorCategory::Cancelled) {
            return Self::Interrupted;
        }
        Self::Statement {
            error: Box::new(error),
            statement: Box::new(statement.clone()),
        }
    }

    /// How the process ends.
    pub fn exit_status(&self) -> ExitStatus {
        match self {
            Self::Usage { .. } | Self::Configuration(_) => ExitStatus::Usage,
            Self::Statement { error, .. } | Self::Engine(error) => mapping(error.category()).exit,
            Self::Output { .. } | Self::Failed { .. } => ExitStatus::Failure,
            Self::OutputClosed => ExitStatus::Success,
            Self::Interrupted => ExitStatus::Interrupted,
        }
    }

    /// The text for the standard error: `error: …`, the place in the statement, `hint: …`. Ends with a newline;
    /// empty when there is nothing to say.
    pub fn report(&self) -> String {
        match self {
            Self::OutputClosed => String::new(),
            Self::Interrupted => "interrupted\n".to_owned(),
            Self::Usage { message, hint } | Self::Failed { message, hint } => {
                shape(message, "", hint)
            }
            Self::Configuration(error) => error.report(),
            Self::Output { .. } => shape(&self.to_string(), "", ""),
            Self::Engine(error) => {
                let (message, hint) = split_hint(error);
                shape(&message, "", &hint)
            }
            Self::Statement { error, statement } => report_statement(error, statement),
        }
    }
}

impl From<EngineError> for CliError {
    fn from(error: EngineError) -> Self {
        if matches!(error.category(), ErrorCategory::Cancelled) {
            return Self::Interrupted;
        }
        Self::Engine(Box::new(error))
    }
}

/// `error: message`, an excerpt, `hint: …`.
pub fn shape(message: &str, excerpt: &str, hint: &str) -> String {
    let mut text = format!("error: {message}\n");
    text.push_str(excerpt);
    if !hint.is_empty() {
        let _ = writeln!(text, "hint: {hint}");
    }
    text
}

fn report_statement(error: &EngineError, statement: &Statement) -> String {
    let (message, hint) = split_hint(error);
    let Some((line, column)) = position(error) else {
        return shape(&message, "", &hint);
    };
    // The engine counts from the start of the statement; people count from the start of their file.
    let prefix = format!("line {line}:{column}: ");
    let message = message.strip_prefix(&prefix).unwrap_or(&message);
    let (shown_line, shown_column) = statement.position_in_source(line, column);
    let excerpt = excerpt(&statement.text, line, column, shown_line);
    shape(
        &format!("line {shown_line}:{shown_column}: {message}"),
        &excerpt,
        &hint,
    )
}

/// The statement's line with a caret below the column.
fn excerpt(text: &str, line: u64, column: u64, shown_line: u64) -> String {
    let Some(source_line) = usize::try_from(line)
        .ok()
        .and_then(|line| text.lines().nth(line.saturating_sub(1)))
    else {
        return String::new();
    };
    let number = shown_line.to_string();
    let gutter = " ".repeat(number.len());
    // Tabs stay tabs, so that the caret stands below its character whatever the tab width.
    let padding: String = source_line
        .chars()
        .take(usize::try_from(column).unwrap_or(1).saturating_sub(1))
        .map(|character| if character == '\t' { '\t' } else { ' ' })
        .collect();
    format!("{gutter} |\n{number} | {source_line}\n{gutter} | {padding}^\n")
}

fn position(error: &EngineError) -> Option<(u64, u64)> {
    match error {
        EngineError::Syntax { line, column, .. } => Some((*line, *column)),
        EngineError::Plan { position, .. } => *position,
        _ => None,
    }
}

/// The error's own text and its hint apart; the errors' `Display` puts both on one line.
pub fn split_hint(error: &EngineError) -> (String, String) {
    let text = error.to_string();
    let given = parameter_hint(error);
    let hint = match error {
        EngineError::Connector(error) => connector_hint(error),
        EngineError::Syntax { hint, .. }
        | EngineError::Plan { hint, .. }
        | EngineError::TableNotFound { hint, .. }
        | EngineError::ResourcesExhausted { hint, .. }
        | EngineError::Configuration { hint, .. } => hint,
        EngineError::Timeout { .. } => text
            .split_once(" (hint: ")
            .map(|(_, rest)| rest.trim_end_matches(')'))
            .unwrap_or(""),
        EngineError::Parameter { .. } => &given,
        EngineError::Execution { .. } | EngineError::Cancelled | EngineError::Internal(_) => "",
    };
    let message = text
        .strip_suffix(&format!(" (hint: {hint})"))
        .unwrap_or(&text);
    let message = match error {
        EngineError::Connector(error) => without_store(message, error),
        _ => message.to_owned(),
    };
    (message, hint.to_owned())
}

/// How a parameter without a value gets one on the command line; empty for other errors.
fn parameter_hint(error: &EngineError) -> String {
    match error {
        EngineError::Parameter { name, message } if message.starts_with("has no value") => {
            let name = name.trim_start_matches(':');
            format!("give it with -p {name}=…")
        }
        _ => String::new(),
    }
}

/// Files asked for by their path are in no catalog: their errors name the store, `file://` or `s3://bucket`, which the
/// path says as well.
fn without_store(message: &str, error: &ConnectorError) -> String {
    let unchanged = || message.to_owned();
    let Some((store, rest)) = message
        .strip_prefix("catalog ")
        .and_then(|rest| rest.split_once(": "))
    else {
        return unchanged();
    };
    if !store.contains("://") {
        return unchanged();
    }
    match error {
        ConnectorError::TableNotFound { table, .. } => format!("{table} does not exist"),
        _ => rest.to_owned(),
    }
}

fn connector_hint(error: &ConnectorError) -> &str {
    match error {
        ConnectorError::Configuration { hint, .. }
        | ConnectorError::Authentication { hint, .. }
        | ConnectorError::PermissionDenied { hint, .. }
        | ConnectorError::Unreachable { hint, .. }
        | ConnectorError::TableNotFound { hint, .. }
        | ConnectorError::QueryRefused { hint, .. }
        | ConnectorError::BudgetExceeded { hint, .. }
        | ConnectorError::Timeout { hint, .. } => hint,
        ConnectorError::ConnectionLost { .. }
        | ConnectorError::AmbiguousName { .. }
        | ConnectorError::UnreadableColumn { .. }
        | ConnectorError::Value { .. }
        | ConnectorError::Source { .. }
        | ConnectorError::Cancelled
        | ConnectorError::Internal(_) => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_category_has_its_own_row() {
        for row in ERROR_MAPPINGS {
            assert_eq!(mapping(row.category), row);
        }
    }

    #[test]
    fn exit_codes_are_the_contract() {
        let codes: Vec<(ErrorCategory, u8)> = ERROR_MAPPINGS
            .iter()
            .map(|row| (row.category, row.exit.code()))
            .collect();
        assert_eq!(
            codes,
            [
                (ErrorCategory::Query, 1),
                (ErrorCategory::Configuration, 2),
                (ErrorCategory::Authentication, 4),
                (ErrorCategory::Budget, 5),
                (ErrorCategory::Unreachable, 6),
                (ErrorCategory::Cancelled, 130),
                (ErrorCategory::Internal, 1),
            ]
        );
    }

    #[test]
    fn the_place_is_shown_in_the_terms_of_the_file() {
        let statement = Statement {
            text: "SELECT\n\tnope FROM t".to_owned(),
            line: 3,
            column: 5,
        };
        let error = EngineError::Plan {
            position: Some((2, 2)),
            message: "column nope does not exist".to_owned(),
            hint: "columns of t: a, b".to_owned(),
        };
        assert_eq!(
            CliError::statement(error, &statement).report(),
            "error: line 4:2: column nope does not exist\n  |\n4 | \tnope FROM t\n  | \t^\nhint: columns of t: a, b\n"
        );
    }

    #[test]
    fn a_connector_hint_gets_its_own_line() {
        let error = ConnectorError::Unreachable {
            catalog: "rds".to_owned(),
            message: "connection refused".to_owned(),
            hint: "is it running?".to_owned(),
        };
        let error = CliError::from(EngineError::from(error));
        assert_eq!(
            error.report(),
            "error: catalog rds: cannot reach the source: connection refused\nhint: is it running?\n"
        );
        assert_eq!(error.exit_status().code(), 6);
    }

    #[test]
    fn files_asked_for_by_path_are_in_no_catalog() {
        let missing = |catalog: &str| {
            let error = ConnectorError::TableNotFound {
                catalog: catalog.to_owned(),
                table: "/data/a.csv".to_owned(),
                hint: "there is no such file or folder".to_owned(),
            };
            CliError::from(EngineError::from(error)).report()
        };
        assert_eq!(
            missing("file://"),
            "error: /data/a.csv does not exist\nhint: there is no such file or folder\n"
        );
        assert!(missing("files").starts_with("error: catalog files: table /data/a.csv"));
        let unreachable = ConnectorError::Unreachable {
            catalog: "s3://b".to_owned(),
            message: "s3://b/a.csv: no answer".to_owned(),
            hint: String::new(),
        };
        assert_eq!(
            CliError::from(EngineError::from(unreachable)).report(),
            "error: cannot reach the source: s3://b/a.csv: no answer\n"
        );
    }

    #[test]
    fn a_parameter_without_a_value_says_how_to_give_one() {
        for (name, expected) in [(":id", "-p id=…"), ("2", "-p 2=…")] {
            let error = EngineError::Parameter {
                name: name.to_owned(),
                message: "has no value".to_owned(),
            };
            let report = CliError::from(error).report();
            assert!(
                report.ends_with(&format!("has no value\nhint: give it with {expected}\n")),
                "{report}"
            );
        }
    }

    #[test]
    fn a_closed_pipe_says_nothing() {
        let error = CliError::output(
            "the standard output",
            &std::io::Error::from(std::io::ErrorKind::BrokenPipe),
        );
        assert_eq!(error.report(), "");
        assert_eq!(error.exit_status(), ExitStatus::Success);
    }
}
