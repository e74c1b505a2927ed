//! What a source says about its tables. Must never know plans.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use serde::{Deserialize, Serialize};

use crate::literal::Literal;

/// One entry of a schema listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSummary {
    /// Name in the source's own spelling.
    pub name: String,
    /// Kind of relation.
    pub kind: TableKind,
}

/// Kind of relation, as `information_schema.tables.table_type` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TableKind {
    /// Stored rows.
    Table,
    /// A query by name (materialised or not).
    View,
    /// A table of another server.
    Foreign,
}

/// Everything the planner knows of one table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TableMetadata {
    /// Schema in the source's own spelling.
    pub schema: String,
    /// Table in the source's own spelling.
    pub name: String,
    /// Kind of relation.
    pub kind: TableKind,
    /// Columns in the source's order.
    pub columns: Vec<ColumnMetadata>,
    /// Number of rows.
    pub rows: RowCount,
    /// Stored bytes, if the source tells.
    pub bytes: Option<u64>,
    /// Positions of the primary key's columns; empty when there is none or it is unknown.
    pub primary_key: Vec<usize>,
    /// The source's comment on the table.
    pub comment: Option<String>,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnMetadata {
    /// Name in SQL: lower case and unique within the table. Names that differ only by case keep the plain
    /// lower-case form for the first in source order; the others get a suffix `_2`, `_3`, …
    pub name: String,
    /// Name in the source's own spelling.
    pub source_name: String,
    /// Arrow type of the values a scan returns.
    pub data_type: DataType,
    /// May hold NULL. Must be true unless the source guarantees otherwise.
    pub nullable: bool,
    /// The source's own type, e.g. `numeric(12,2)`, `character(10)`.
    pub native_type: String,
    /// For text of sources with collations: how the source compares it.
    pub collation: Option<Collation>,
    /// Not part of `SELECT *` (but readable by name).
    pub hidden: bool,
    /// Why the column cannot be read; reading it is then [`crate::ConnectorError::UnreadableColumn`].
    pub unreadable: Option<String>,
    /// The source's comment on the column.
    pub comment: Option<String>,
    /// What the source's statistics say.
    pub statistics: ColumnStatistics,
}

/// How a source compares a text column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Collation {
    /// The source's name for it, e.g. `en_US.utf8`.
    pub name: String,
    /// Equality is equality of bytes.
    pub binary_equality: bool,
    /// Ordering is ordering of UTF-8 bytes.
    pub binary_ordering: bool,
}

/// Statistics of one column; all estimates.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ColumnStatistics {
    /// Number of distinct values.
    pub distinct: Option<u64>,
    /// Share of NULLs, 0 to 1.
    pub null_fraction: Option<f64>,
    /// Average width in bytes.
    pub width: Option<u64>,
    /// Smallest value.
    pub minimum: Option<Literal>,
    /// Largest value.
    pub maximum: Option<Literal>,
}

/// How many rows a table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RowCount {
    /// Nobody knows.
    Unknown,
    /// The source's estimate.
    Estimated(u64),
    /// Counted.
    Exact(u64),
}

impl RowCount {
    /// The number, however known.
    pub fn value(self) -> Option<u64> {
        match self {
            Self::Unknown => None,
            Self::Estimated(rows) | Self::Exact(rows) => Some(rows),
        }
    }
}

impl ColumnMetadata {
    /// A nullable column whose SQL name is the lower-cased source name.
    pub fn new(
        source_name: impl Into<String>,
        data_type: DataType,
        native_type: impl Into<String>,
    ) -> Self {
        let source_name = source_name.into();
        Self {
            name: source_name.to_lowercase(),
            source_name,
            data_type,
            nullable: true,
            native_type: native_type.into(),
            collation: None,
            hidden: false,
            unreadable: None,
            comment: None,
            statistics: ColumnStatistics::default(),
        }
    }

    /// The Arrow field of this column.
    pub fn field(&self) -> Field {
        Field::new(&self.name, self.data_type.clone(), self.nullable)
    }
}

impl TableMetadata {
    /// The Arrow schema of all columns.
    pub fn arrow_schema(&self) -> SchemaRef {
        Arc::new(Schema::new(
            self.columns
                .iter()
                .map(ColumnMetadata::field)
                .collect::<Vec<_>>(),
        ))
    }

    /// Gives columns whose names differ only by case unique SQL names (see [`ColumnMetadata::name`]).
    pub fn make_names_unique(columns: &mut [ColumnMetadata]) {
        let mut taken = std::collections::HashSet::new();
        for column in columns {
            let base = column.source_name.to_lowercase();
            let mut name = base.clone();
            let mut suffix = 2;
            while !taken.insert(name.clone()) {
                name = format!("{base}_{suffix}");
                suffix += 1;
            }
            column.name = name;
        }
    }
}
