//! What SQLite says about its tables: names, declared types, keys, collations, row counts.
//! Reads the schema and statistics tables, and table data only for the types of columns that have none declared.
//! Must never know plans.

use owlet_connector::{
    Collation, ColumnMetadata, ConnectorError, Result, RowCount, TableKind, TableMetadata,
    TableSummary,
};
use owlet_remote_sql::sqlite::column::{
    ANY_TYPE, ColumnKind, ROW_NUMBER_TYPE, STRICT_SUFFIX, UNKNOWN_TYPE,
};
use rusqlite::{ErrorCode, OptionalExtension, params};

use crate::connection::PooledConnection;

/// The only schema: attached databases belong to a connection, not to a file.
pub(crate) const SCHEMA: &str = "main";
/// What SQLite calls columns of views that hold blobs, values of several types, or values of a column without a type.
const TYPE_OF_MIXTURES: &str = "BLOB";
/// A row takes at least this many bytes: bounds the estimate from row numbers.
const SMALLEST_ROW: u64 = 4;

/// Whether a name means the one schema.
pub(crate) fn is_schema(name: &str) -> bool {
    name.eq_ignore_ascii_case(SCHEMA)
}

/// Tables and views, without SQLite's own and without the shadow tables of virtual tables.
pub(crate) fn tables(connection: &PooledConnection) -> Result<Vec<TableSummary>> {
    let listing = list(connection).map_err(|error| connection.error(&error))?;
    Ok(listing
        .into_iter()
        .map(|listed| TableSummary {
            name: listed.name,
            kind: listed.kind,
        })
        .collect())
}

/// Metadata of one table, found by its exact name or else by the only name equal to it without regard to case.
pub(crate) fn table(connection: &PooledConnection, name: &str) -> Result<Option<TableMetadata>> {
    let listing = list(connection).map_err(|error| connection.error(&error))?;
    if let Some(exact) = listing.iter().find(|listed| listed.name == name) {
        return describe(connection, exact).map(Some);
    }
    let folded = name.to_lowercase();
    let matching: Vec<&Listed> = listing
        .iter()
        .filter(|listed| listed.name.to_lowercase() == folded)
        .collect();
    match matching.as_slice() {
        [] => Ok(None),
        [only] => describe(connection, only).map(Some),
        several => Err(ConnectorError::AmbiguousName {
            catalog: connection.catalog().to_owned(),
            name: name.to_owned(),
            candidates: several
                .iter()
                .map(|listed| listed.name.as_str())
                .collect::<Vec<_>>()
                .join(", "),
        }),
    }
}

/// Metadata of every table. One whose definition is broken, such as a view of a dropped table, must not hide the
/// others: it is listed without columns, with the reason as its comment.
pub(crate) fn all_tables(connection: &PooledConnection) -> Result<Vec<TableMetadata>> {
    let listing = list(connection).map_err(|error| connection.error(&error))?;
    listing
        .iter()
        .map(|listed| {
            read_table(connection, listed).or_else(|error| {
                match definition_error(connection, listed, &error) {
                    Some(reason) => Ok(listed.without_columns(reason.to_string())),
                    None => Err(connection.error(&error)),
                }
            })
        })
        .collect()
}

/// `PRAGMA encoding`.
pub(crate) fn encoding(connection: &PooledConnection) -> Result<String> {
    connection
        .query_row("PRAGMA encoding", [], |row| row.get(0))
        .map_err(|error| connection.error(&error))
}

/// One row of `PRAGMA table_list`.
struct Listed {
    name: String,
    kind: TableKind,
    is_stored: bool,
    without_row_number: bool,
    strict: bool,
}

impl DeclaredColumn {
    fn is_undeclared(&self) -> bool {
        self.declared_type.trim().is_empty()
    }
}

impl Listed {
    /// Whether only values tell a column's type. Virtual tables are not asked for values: they may need conditions.
    fn is_untyped(&self, column: &DeclaredColumn) -> bool {
        let may_be_mixture = || column.declared_type.eq_ignore_ascii_case(TYPE_OF_MIXTURES);
        match self.kind {
            TableKind::View => column.is_undeclared() || may_be_mixture(),
            _ => self.is_stored && column.is_undeclared(),
        }
    }

    /// For a table that cannot be described, and why.
    fn without_columns(&self, reason: String) -> TableMetadata {
        TableMetadata {
            schema: SCHEMA.to_owned(),
            name: self.name.clone(),
            kind: self.kind,
            columns: Vec::new(),
            rows: RowCount::Unknown,
            bytes: None,
            primary_key: Vec::new(),
            comment: Some(reason),
        }
    }

    /// The native type that a declaration means.
    fn native_type(&self, column: &DeclaredColumn) -> String {
        let declared = match column.declared_type.trim() {
            "" => ANY_TYPE,
            declared => declared,
        };
        if self.strict {
            format!("{declared}{STRICT_SUFFIX}")
        } else {
            declared.to_owned()
        }
    }
}

/// One row of `PRAGMA table_xinfo`.
struct DeclaredColumn {
    name: String,
    declared_type: String,
    not_null: bool,
    key_position: usize,
    hidden: bool,
}

fn list(connection: &PooledConnection) -> rusqlite::Result<Vec<Listed>> {
    let mut statement = connection.prepare_cached(
        "SELECT name, type, wr, strict FROM pragma_table_list \
         WHERE schema = 'main' AND type IN ('table', 'view', 'virtual') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' \
         ORDER BY name",
    )?;
    let rows = statement.query_map([], |row| {
        let kind: String = row.get(1)?;
        Ok(Listed {
            name: row.get(0)?,
            kind: if kind == "view" {
                TableKind::View
            } else {
                TableKind::Table
            },
            is_stored: kind == "table",
            without_row_number: row.get(2)?,
            strict: row.get(3)?,
        })
    })?;
    rows.collect()
}

fn describe(connection: &PooledConnection, listed: &Listed) -> Result<TableMetadata> {
    read_table(connection, listed).map_err(|error| {
        definition_error(connection, listed, &error).unwrap_or_else(|| connection.error(&error))
    })
}

/// The error of a table whose own definition is at fault; `None` when the file or a lock is.
fn definition_error(
    connection: &PooledConnection,
    listed: &Listed,
    error: &rusqlite::Error,
) -> Option<ConnectorError> {
    // SQLite's general error, for all that is wrong with the meaning of a statement.
    if error.sqlite_error_code() != Some(ErrorCode::Unknown) {
        return None;
    }
    let reason = match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    };
    let kind = match listed.kind {
        TableKind::View => "view",
        _ => "table",
    };
    Some(ConnectorError::Source {
        catalog: connection.catalog().to_owned(),
        code: None,
        message: format!(
            "the definition of {kind} {} does not work: {reason}; correct the {kind}, or drop it",
            listed.name
        ),
    })
}

fn read_table(connection: &PooledConnection, listed: &Listed) -> rusqlite::Result<TableMetadata> {
    let declared = declared_columns(connection, &listed.name)?;
    let row_number = row_number_column(connection, listed, &declared)?;
    let untyped: Vec<&str> = declared
        .iter()
        .filter(|column| listed.is_untyped(column))
        .map(|column| column.name.as_str())
        .collect();
    let inferred = connection.inferred_types(&listed.name, &untyped)?;
    let mut columns = Vec::with_capacity(declared.len());
    for (position, column) in declared.iter().enumerate() {
        let is_row_number = row_number == Some(position);
        let native_type = match inferred.get(&column.name) {
            Some(inferred) if inferred != UNKNOWN_TYPE || column.is_undeclared() => {
                inferred.clone()
            }
            _ if is_row_number => ROW_NUMBER_TYPE.to_owned(),
            _ => listed.native_type(column),
        };
        columns.push(column_metadata(connection, listed, column, native_type));
    }
    TableMetadata::make_names_unique(&mut columns);

    let mut key: Vec<(usize, usize)> = declared
        .iter()
        .enumerate()
        .filter(|(_, column)| column.key_position > 0)
        .map(|(position, column)| (column.key_position, position))
        .collect();
    key.sort_unstable();

    let rows = if listed.is_stored {
        row_count(connection, listed)?
    } else {
        RowCount::Unknown
    };
    if let Some(rows) = rows.value() {
        distinct_counts(connection, &listed.name, rows, &mut columns)?;
    }
    Ok(TableMetadata {
        schema: SCHEMA.to_owned(),
        name: listed.name.clone(),
        kind: listed.kind,
        columns,
        rows,
        bytes: None,
        primary_key: key.into_iter().map(|(_, position)| position).collect(),
        comment: None,
    })
}

fn declared_columns(
    connection: &PooledConnection,
    table: &str,
) -> rusqlite::Result<Vec<DeclaredColumn>> {
    let mut statement = connection.prepare_cached(
        "SELECT name, type, \"notnull\", pk, hidden FROM pragma_table_xinfo(?1, 'main') ORDER BY cid",
    )?;
    let rows = statement.query_map(params![table], |row| {
        let hidden: i64 = row.get(4)?;
        Ok(DeclaredColumn {
            name: row.get(0)?,
            declared_type: row.get::<_, Option<String>>(1)?.unwrap_or_default(),
            not_null: row.get(2)?,
            key_position: row.get(3)?,
            // 1: a hidden column of a virtual table; 2 and 3 are generated columns, which `SELECT *` shows.
            hidden: hidden == 1,
        })
    })?;
    rows.collect()
}

/// The column that is an alias of the row number: a single key column declared exactly `INTEGER`, for which SQLite
/// keeps no index of its own.
fn row_number_column(
    connection: &PooledConnection,
    listed: &Listed,
    declared: &[DeclaredColumn],
) -> rusqlite::Result<Option<usize>> {
    if !listed.is_stored || listed.without_row_number {
        return Ok(None);
    }
    let key: Vec<usize> = (0..declared.len())
        .filter(|position| declared[*position].key_position > 0)
        .collect();
    let [only] = key.as_slice() else {
        return Ok(None);
    };
    if !declared[*only]
        .declared_type
        .trim()
        .eq_ignore_ascii_case("INTEGER")
    {
        return Ok(None);
    }
    let indexed: bool = connection
        .prepare_cached(
            "SELECT count(*) > 0 FROM pragma_index_list(?1, 'main') WHERE origin = 'pk'",
        )?
        .query_row(params![listed.name], |row| row.get(0))?;
    Ok((!indexed).then_some(*only))
}

fn column_metadata(
    connection: &PooledConnection,
    listed: &Listed,
    declared: &DeclaredColumn,
    native_type: String,
) -> ColumnMetadata {
    let is_row_number = native_type == ROW_NUMBER_TYPE;
    let kind = ColumnKind::from_declared_type(&native_type);
    let in_key_of_clustered_table = listed.without_row_number && declared.key_position > 0;
    let mut column = ColumnMetadata::new(&declared.name, kind.data_type(), native_type);
    column.nullable =
        !(declared.not_null || is_row_number || in_key_of_clustered_table) || !listed.is_stored;
    column.hidden = declared.hidden;
    if kind == ColumnKind::Text {
        column.collation = Some(collation(connection, listed, &declared.name));
    }
    column
}

/// How SQLite compares a text column. What is not known (columns of views) counts as not binary.
fn collation(connection: &PooledConnection, listed: &Listed, column: &str) -> Collation {
    let known = listed.is_stored.then(|| {
        let metadata = connection
            .column_metadata(Some(SCHEMA), listed.name.as_str(), column)
            .ok()?;
        metadata.1.map(|name| name.to_string_lossy().into_owned())
    });
    let name = known.flatten().unwrap_or_else(|| "unknown".to_owned());
    let is_binary = name.eq_ignore_ascii_case("BINARY");
    Collation {
        name,
        binary_equality: is_binary,
        binary_ordering: is_binary,
    }
}

/// From `ANALYZE` if it was run, else from the span of row numbers: both cost a page or two.
fn row_count(connection: &PooledConnection, listed: &Listed) -> rusqlite::Result<RowCount> {
    if has_statistics(connection)? {
        let analyzed: Option<i64> = connection
            .prepare_cached("SELECT max(CAST(stat AS INTEGER)) FROM sqlite_stat1 WHERE tbl = ?1")?
            .query_row(params![listed.name], |row| row.get(0))?;
        if let Some(rows) = analyzed.and_then(|rows| u64::try_from(rows).ok()) {
            return Ok(RowCount::Estimated(rows));
        }
    }
    if listed.without_row_number {
        return Ok(RowCount::Unknown);
    }
    let quoted = format!("\"{}\"", listed.name.replace('"', "\"\""));
    let span: Option<(Option<i64>, Option<i64>)> = connection
        .query_row(
            &format!("SELECT (SELECT min(_rowid_) FROM main.{quoted}), (SELECT max(_rowid_) FROM main.{quoted})"),
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()
        // A table whose columns take all names of the row number has no span; it also has no estimate.
        .unwrap_or(None);
    let (Some(lowest), Some(highest)) = span.unwrap_or((None, None)) else {
        return Ok(if span.is_some() {
            RowCount::Exact(0)
        } else {
            RowCount::Unknown
        });
    };
    let numbers = u64::try_from(i128::from(highest) - i128::from(lowest) + 1).unwrap_or(u64::MAX);
    let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
    let page_bytes: i64 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    let most = u64::try_from(pages.saturating_mul(page_bytes)).unwrap_or(u64::MAX) / SMALLEST_ROW;
    Ok(RowCount::Estimated(numbers.min(most)))
}

fn has_statistics(connection: &PooledConnection) -> rusqlite::Result<bool> {
    connection
        .prepare_cached("SELECT count(*) > 0 FROM sqlite_schema WHERE name = 'sqlite_stat1'")?
        .query_row([], |row| row.get(0))
}

/// Distinct values of the first column of every analyzed full index: rows, divided by rows for each value.
fn distinct_counts(
    connection: &PooledConnection,
    table: &str,
    rows: u64,
    columns: &mut [ColumnMetadata],
) -> rusqlite::Result<()> {
    if !has_statistics(connection)? {
        return Ok(());
    }
    let mut statement = connection.prepare_cached(
        "SELECT statistics.stat, (SELECT name FROM pragma_index_info(list.name) WHERE seqno = 0) \
         FROM pragma_index_list(?1, 'main') AS list \
         JOIN sqlite_stat1 AS statistics ON statistics.idx = list.name AND statistics.tbl = ?1 \
         WHERE list.partial = 0",
    )?;
    let found = statement.query_map(params![table], |row| {
        Ok((
            row.get::<_, Option<String>>(0)?,
            row.get::<_, Option<String>>(1)?,
        ))
    })?;
    for entry in found {
        let (Some(statistics), Some(first_column)) = entry? else {
            continue;
        };
        let each: Option<u64> = statistics
            .split(' ')
            .nth(1)
            .and_then(|number| number.parse().ok());
        let Some(each) = each.filter(|each| *each > 0) else {
            continue;
        };
        if let Some(column) = columns
            .iter_mut()
            .find(|column| column.source_name == first_column)
        {
            column.statistics.distinct = Some(rows.div_ceil(each));
        }
    }
    Ok(())
}
