//! What the suite found. Must never know a check.

use std::fmt;

/// Outcome of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Single statements checked.
    pub checked: usize,
    /// Filters the connector applied exactly.
    pub exact_filters: usize,
    /// Filters it applied as a superset.
    pub inexact_filters: usize,
    /// Filters it left to the engine.
    pub unsupported_filters: usize,
    /// What did not hold.
    pub failures: Vec<Failure>,
}

/// Something that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which part of the contract.
    pub check: &'static str,
    /// Fixture.
    pub table: String,
    /// What was asked, what came, what should have come.
    pub detail: String,
}

const MOST_SHOWN: usize = 40;

impl Report {
    /// Notes one statement: `detail` is made only when it does not hold.
    pub fn check(
        &mut self,
        check: &'static str,
        table: &str,
        holds: bool,
        detail: impl FnOnce() -> String,
    ) -> bool {
        self.checked += 1;
        if !holds {
            self.failures.push(Failure {
                check,
                table: table.to_owned(),
                detail: detail(),
            });
        }
        holds
    }

    /// Notes a failure.
    pub fn fail(&mut self, check: &'static str, table: &str, detail: impl Into<String>) {
        self.check(check, table, false, || detail.into());
    }

    /// The value, or a noted failure.
    pub fn require<T, E: fmt::Display>(
        &mut self,
        check: &'static str,
        table: &str,
        result: Result<T, E>,
        asked: impl FnOnce() -> String,
    ) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.fail(check, table, format!("{}: {error}", asked()));
                None
            }
        }
    }

    /// Panics with all failures, if there are any.
    ///
    /// # Panics
    /// When something did not hold: this is the assertion of a test.
    pub fn assert_passed(&self) {
        assert!(self.failures.is_empty(), "{self}");
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            formatter,
            "{} statements checked; filters: {} exact, {} inexact, {} unsupported; {} failures",
            self.checked,
            self.exact_filters,
            self.inexact_filters,
            self.unsupported_filters,
            self.failures.len()
        )?;
        for failure in self.failures.iter().take(MOST_SHOWN) {
            writeln!(
                formatter,
                "* {} on {}: {}",
                failure.check, failure.table, failure.detail
            )?;
        }
        if self.failures.len() > MOST_SHOWN {
            writeln!(formatter, "… and {} more", self.failures.len() - MOST_SHOWN)?;
        }
        Ok(())
    }
}
