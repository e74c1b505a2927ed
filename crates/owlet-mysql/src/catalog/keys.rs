//! Whether and by what a table can be read in ranges. Must never know plans.

use mysql_async::Error;
use owlet_connector::{TableKind, TableMetadata};

use super::{number, text};
use crate::session::Session;

/// Storage engines whose transactions read in a snapshot.
const SNAPSHOT_ENGINES: &[&str] = &["InnoDB"];

/// Facts about a table's storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Layout {
    /// The columns of the primary key, first to last.
    pub(crate) key: Vec<KeyColumn>,
    /// Bytes of the rows.
    pub(crate) bytes: u64,
    /// Rows, by the server's estimate.
    pub(crate) rows: u64,
    /// Why key ranges cannot cut it.
    pub(crate) obstacle: Option<String>,
}

/// A column of the primary key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyColumn {
    /// Name in the server's spelling.
    pub(crate) name: String,
    /// `DATA_TYPE`.
    pub(crate) data_type: String,
}

/// Reads the layout; `None` when the table is gone.
pub(crate) async fn layout(
    session: &mut Session,
    metadata: &TableMetadata,
) -> Result<Option<Layout>, Error> {
    let parameters = [metadata.schema.as_str(), metadata.name.as_str()];
    let sql = "SELECT ENGINE, TABLE_ROWS, DATA_LENGTH, TABLE_NAME, TABLE_SCHEMA FROM information_schema.TABLES \
               WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?";
    let rows = session.query(sql, &parameters).await?;
    let Some(row) = rows.iter().find(|row| {
        text(row, 3).as_deref() == Some(&metadata.name)
            && text(row, 4).as_deref() == Some(&metadata.schema)
    }) else {
        return Ok(None);
    };
    let engine = text(row, 0).unwrap_or_default();
    let key: Vec<KeyColumn> = metadata
        .primary_key
        .iter()
        .filter_map(|position| metadata.columns.get(*position))
        .map(|column| KeyColumn {
            name: column.source_name.clone(),
            data_type: column
                .native_type
                .split(|character: char| !character.is_ascii_alphanumeric())
                .next()
                .unwrap_or_default()
                .to_lowercase(),
        })
        .collect();
    let obstacle = if metadata.kind != TableKind::Table {
        Some("it is a view".to_owned())
    } else if !SNAPSHOT_ENGINES.contains(&engine.as_str()) {
        Some(format!("the storage engine {engine} has no snapshots"))
    } else if key.is_empty() {
        Some("it has no primary key".to_owned())
    } else {
        None
    };
    Ok(Some(Layout {
        key,
        bytes: number(row, 2).unwrap_or(0),
        rows: number(row, 1).unwrap_or(0),
        obstacle,
    }))
}
