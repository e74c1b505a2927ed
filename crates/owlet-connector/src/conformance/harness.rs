//! What a connector's test gives to the suite. Must never know a check.

use std::sync::Arc;

use async_trait::async_trait;

use super::fixtures::{Fixture, FixtureColumn, Kind};
use crate::connector::Connector;

/// Where a fixture was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedTable {
    /// Schema in the source's spelling.
    pub schema: String,
    /// Table in the source's spelling.
    pub table: String,
}

/// What a source cannot do by its nature. Everything else is checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limitations {
    /// Kinds of values the source has no type for.
    pub missing_kinds: Vec<Kind>,
    /// Columns are known only from rows: a table without rows has none beside its key.
    pub columns_from_rows: bool,
}

/// A real source with a connector for it.
#[async_trait]
pub trait ConformanceHarness: Sync {
    /// A connector with a configuration that stays the same; each call gives a fresh one.
    async fn connector(&self) -> Arc<dyn Connector>;

    /// Creates a table with these columns and rows at the source (not through the connector).
    async fn create(&self, fixture: &Fixture) -> CreatedTable;

    /// What the source cannot do.
    fn limitations(&self) -> Limitations {
        Limitations::default()
    }

    /// A column name the source cannot have; such columns are left out of the fixtures.
    fn refuses_column(&self, column: &FixtureColumn) -> bool {
        let _ = column;
        false
    }

    /// Rows of the table that is read in parts, cancelled and limited.
    fn large_rows(&self) -> usize {
        20_000
    }
}
