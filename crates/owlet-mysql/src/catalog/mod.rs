//! Metadata from `information_schema`. Must never know plans.

mod column;
mod keys;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use mysql_async::{Error, Row, Value};
use owlet_connector::{RowCount, TableKind, TableMetadata, TableSummary};

use crate::options::TinyIntPolicy;
use crate::session::Session;

pub(crate) use keys::{KeyColumn, Layout, layout};

/// Schemas of the server's own that no user looks for in a listing; they can still be read by name.
const SYSTEM_SCHEMAS: &[&str] = &["information_schema", "performance_schema", "mysql", "sys"];

type Result<T> = std::result::Result<T, Error>;

/// Schemas the user may see.
pub(crate) async fn schemas(session: &mut Session) -> Result<Vec<String>> {
    let names = all_schemas(session).await?;
    Ok(names
        .into_iter()
        .filter(|name| !SYSTEM_SCHEMAS.contains(&name.to_lowercase().as_str()))
        .collect())
}

/// All schema names, the server's own included, for matching a name that differs by case.
pub(crate) async fn all_schemas(session: &mut Session) -> Result<Vec<String>> {
    let sql = "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA ORDER BY SCHEMA_NAME";
    Ok(session
        .query(sql, &[])
        .await?
        .iter()
        .filter_map(|row| text(row, 0))
        .collect())
}

/// Tables and views of a schema. Names are compared by the server without regard to case, so again here.
pub(crate) async fn tables(session: &mut Session, schema: &str) -> Result<Vec<TableSummary>> {
    let sql = "SELECT TABLE_NAME, TABLE_TYPE, TABLE_SCHEMA FROM information_schema.TABLES \
               WHERE TABLE_SCHEMA = ? ORDER BY TABLE_NAME";
    Ok(session
        .query(sql, &[schema])
        .await?
        .iter()
        .filter(|row| text(row, 2).as_deref() == Some(schema))
        .filter_map(|row| {
            let kind = table_kind(&text(row, 1)?)?;
            Some(TableSummary {
                name: text(row, 0)?,
                kind,
            })
        })
        .collect())
}

/// Which tables to describe.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Selection<'a> {
    /// One table, by its exact name.
    Table(&'a str),
    /// All tables of the schema.
    All,
}

/// Full metadata of one or all tables of a schema (exact names).
pub(crate) async fn describe(
    session: &mut Session,
    schema: &str,
    selection: Selection<'_>,
    tinyint1: TinyIntPolicy,
) -> Result<Vec<Arc<TableMetadata>>> {
    let (condition, parameters) = match selection {
        Selection::Table(table) => (" AND TABLE_NAME = ?", vec![schema, table]),
        Selection::All => ("", vec![schema]),
    };
    let is_wanted = |row_schema: Option<String>, name: &str| {
        row_schema.as_deref() == Some(schema)
            && match selection {
                Selection::Table(table) => name == table,
                Selection::All => true,
            }
    };
    let tables_sql = format!(
        "SELECT TABLE_NAME, TABLE_SCHEMA, TABLE_TYPE, ENGINE, TABLE_ROWS, DATA_LENGTH, TABLE_COMMENT \
         FROM information_schema.TABLES WHERE TABLE_SCHEMA = ?{condition}"
    );
    let mut tables: BTreeMap<String, Described> = BTreeMap::new();
    for row in session.query(&tables_sql, &parameters).await? {
        let Some(name) = text(&row, 0).filter(|name| is_wanted(text(&row, 1), name)) else {
            continue;
        };
        let Some(kind) = text(&row, 2).and_then(|kind| table_kind(&kind)) else {
            continue;
        };
        tables.insert(
            name.clone(),
            Described {
                rows: rows(kind, text(&row, 3).as_deref(), number(&row, 4)),
                bytes: number(&row, 5),
                comment: text(&row, 6).filter(|comment| {
                    let is_generated = kind == TableKind::View && comment == "VIEW";
                    !comment.is_empty() && !is_generated
                }),
                kind,
                columns: Vec::new(),
                distinct: HashMap::new(),
                key: Vec::new(),
            },
        );
    }
    if tables.is_empty() {
        return Ok(Vec::new());
    }
    let columns_sql = format!(
        "SELECT {} FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = ?{condition} \
         ORDER BY TABLE_NAME, ORDINAL_POSITION",
        column::FIELDS
    );
    for row in session.query(&columns_sql, &parameters).await? {
        let Some(name) = text(&row, 0).filter(|name| is_wanted(text(&row, 1), name)) else {
            continue;
        };
        if let (Some(table), Some(column)) = (tables.get_mut(&name), column::read(&row, tinyint1)) {
            table.columns.push(column);
        }
    }
    let statistics_sql = format!(
        "SELECT TABLE_NAME, TABLE_SCHEMA, INDEX_NAME, SEQ_IN_INDEX, COLUMN_NAME, CARDINALITY \
         FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = ?{condition} \
         ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX"
    );
    for row in session.query(&statistics_sql, &parameters).await? {
        let Some(name) = text(&row, 0).filter(|name| is_wanted(text(&row, 1), name)) else {
            continue;
        };
        let (Some(table), Some(column)) = (tables.get_mut(&name), text(&row, 4)) else {
            continue;
        };
        if text(&row, 2).as_deref() == Some("PRIMARY") {
            table.key.push(column.clone());
        }
        // The cardinality of an index's first column is that of the column.
        if let (Some(1), Some(distinct)) = (number(&row, 3), number(&row, 5)) {
            table.distinct.entry(column).or_insert(distinct);
        }
    }
    Ok(tables
        .into_iter()
        .map(|(name, table)| Arc::new(table.finish(schema, name)))
        .collect())
}

struct Described {
    kind: TableKind,
    rows: RowCount,
    bytes: Option<u64>,
    comment: Option<String>,
    columns: Vec<owlet_connector::ColumnMetadata>,
    distinct: HashMap<String, u64>,
    key: Vec<String>,
}

impl Described {
    fn finish(mut self, schema: &str, name: String) -> TableMetadata {
        for column in &mut self.columns {
            column.statistics.distinct = self.distinct.get(&column.source_name).copied();
        }
        TableMetadata::make_names_unique(&mut self.columns);
        let positions: Vec<usize> = self
            .key
            .iter()
            .filter_map(|key| {
                self.columns
                    .iter()
                    .position(|column| column.source_name == *key)
            })
            .collect();
        let primary_key = if positions.len() == self.key.len() {
            positions
        } else {
            Vec::new()
        };
        TableMetadata {
            schema: schema.to_owned(),
            name,
            kind: self.kind,
            columns: self.columns,
            rows: self.rows,
            bytes: self.bytes,
            primary_key,
            comment: self.comment,
        }
    }
}

/// `None` for what holds no rows a query can ask for (sequences).
fn table_kind(word: &str) -> Option<TableKind> {
    match word {
        "VIEW" | "SYSTEM VIEW" => Some(TableKind::View),
        "SEQUENCE" => None,
        _ => Some(TableKind::Table),
    }
}

/// InnoDB estimates; engines that count their rows know.
fn rows(kind: TableKind, engine: Option<&str>, rows: Option<u64>) -> RowCount {
    match (kind, engine, rows) {
        (TableKind::View, ..) | (_, _, None) => RowCount::Unknown,
        (_, Some("MyISAM" | "Aria" | "MEMORY"), Some(rows)) => RowCount::Exact(rows),
        (_, _, Some(rows)) => RowCount::Estimated(rows),
    }
}

/// A field as text.
pub(crate) fn text(row: &Row, position: usize) -> Option<String> {
    match row.as_ref(position)? {
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::Int(value) => Some(value.to_string()),
        Value::UInt(value) => Some(value.to_string()),
        _ => None,
    }
}

/// A field as a number.
pub(crate) fn number(row: &Row, position: usize) -> Option<u64> {
    match row.as_ref(position)? {
        Value::Int(value) => u64::try_from(*value).ok(),
        Value::UInt(value) => Some(*value),
        Value::Bytes(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok(),
        _ => None,
    }
}
