//! Decides what goes to the standard output and what to the standard error. Results go to the output and
//! everything else to the error, so that pipes carry results only.

use std::io::{self, IsTerminal, Write};

use crate::errors::{CliError, Result};

/// Where a command writes. Cheap to copy.
#[derive(Debug, Clone, Copy)]
pub struct Printer {
    stdout_is_terminal: bool,
    stderr_is_terminal: bool,
}

impl Printer {
    /// A printer for this process.
    pub fn new() -> Self {
        Self {
            stdout_is_terminal: io::stdout().is_terminal(),
            stderr_is_terminal: io::stderr().is_terminal(),
        }
    }

    /// Somebody reads the results on a screen.
    pub fn stdout_is_terminal(self) -> bool {
        self.stdout_is_terminal
    }

    /// Somebody reads the messages on a screen.
    pub fn stderr_is_terminal(self) -> bool {
        self.stderr_is_terminal
    }

    /// Writes text that is the command's result.
    pub fn result(self, text: &str) -> Result<()> {
        let mut stdout = io::stdout().lock();
        stdout
            .write_all(text.as_bytes())
            .and_then(|()| stdout.flush())
            .map_err(|error| CliError::output("the standard output", &error))
    }

    /// Writes one line for people. When nobody can read it, nothing can be said about that either.
    pub fn note(self, line: &str) {
        let _ = writeln!(io::stderr().lock(), "{line}");
    }

    /// Writes one line that only people want: nothing when the standard error is not a terminal.
    pub fn note_for_people(self, line: &str) {
        if self.stderr_is_terminal {
            self.note(line);
        }
    }

    /// Writes prepared text for people, such as an error report.
    pub fn message(self, text: &str) {
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }
}
