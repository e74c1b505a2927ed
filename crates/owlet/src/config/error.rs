//! What can be wrong with a configuration file. Messages hold key names and places, never values.

use std::fmt::Write as _;
use std::path::PathBuf;

use thiserror::Error;

/// A configuration that cannot be used.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ConfigError {
    /// The file named by `--config` or `OWLET_CONFIG` does not exist.
    #[error("configuration file {} does not exist", .file.display())]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// The file exists but cannot be read.
    #[error("cannot read configuration file {}: {message}", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        message: String,
    },
    /// The content cannot work; every problem found is listed.
    #[error("{}", list(.problems))]
    Invalid {
        /// In the order of the file; never empty.
        problems: Vec<Problem>,
    },
}

/// One thing to mend in a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, for people to click on.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// What to do; may be empty.
    pub hint: String,
}

impl ConfigError {
    /// The text for the standard error, one `error:` and `hint:` for each problem.
    pub fn report(&self) -> String {
        let mut text = String::new();
        match self {
            Self::Missing { .. } => {
                let _ = writeln!(text, "error: {self}");
                text.push_str(
                    "hint: check --config and OWLET_CONFIG, or write one with `owlet init`\n",
                );
            }
            Self::Unreadable { .. } => {
                let _ = writeln!(text, "error: {self}");
            }
            Self::Invalid { problems } => {
                for problem in problems {
                    let _ = writeln!(text, "error: {problem}");
                    if !problem.hint.is_empty() {
                        let _ = writeln!(text, "hint: {}", problem.hint);
                    }
                }
            }
        }
        text
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{}:{}: {}",
            self.file.display(),
            self.line,
            self.message
        )
    }
}

fn list(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}
