//! What makes two reads of a table alike, so that what one took is expected of the other.

use serde::{Deserialize, Serialize};

use crate::description::IndexDescription;

/// How the names begin of kinds that read some partitions of many. They are also the keys of the file on disk.
const PARTITIONS: &str = "query of ";

/// A kind of access to one table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct AccessKind(String);

impl AccessKind {
    /// A kind by its name.
    pub(crate) fn named(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// Reads of parts of partitions, which are sized alike (`"sort keys"`, `"spans"`), perhaps by an index.
    pub(crate) fn of_partitions(parts: &str, index: Option<&IndexDescription>) -> Self {
        Self(match index {
            None => format!("{PARTITIONS}{parts}"),
            Some(index) => format!("{PARTITIONS}{parts} in {}", index.name),
        })
    }

    /// Whether each read concerns some partitions only, which say little about the others.
    pub(crate) fn reads_partitions(&self) -> bool {
        self.0.starts_with(PARTITIONS)
    }
}
