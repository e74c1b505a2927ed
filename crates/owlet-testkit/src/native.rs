//! A source's own answers, as text. Must never know the engine.

use std::path::Path;

use mysql_async::consts::ColumnType;
use mysql_async::prelude::Queryable;
use mysql_async::{Row, Value};
use rusqlite::types::ValueRef;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::Result;

/// Rows as the source's own text; `None` is NULL.
#[derive(Debug, Clone, PartialEq)]
pub struct NativeAnswer {
    /// Column names.
    pub columns: Vec<String>,
    /// Rows in the order of the source.
    pub rows: Vec<Vec<Option<String>>>,
}

/// PostgreSQL's answer in its text format (ISO dates, shortest floats, UTC).
pub async fn postgres(client: &Client, sql: &str) -> Result<NativeAnswer> {
    let mut answer = NativeAnswer {
        columns: Vec::new(),
        rows: Vec::new(),
    };
    for message in client
        .simple_query(sql)
        .await
        .map_err(|error| describe(&error))?
    {
        match message {
            SimpleQueryMessage::RowDescription(columns) => {
                answer.columns = columns
                    .iter()
                    .map(|column| column.name().to_owned())
                    .collect();
            }
            SimpleQueryMessage::Row(row) => {
                answer.rows.push(
                    (0..row.len())
                        .map(|index| row.get(index).map(str::to_owned))
                        .collect(),
                );
            }
            _ => {}
        }
    }
    Ok(answer)
}

/// The server's sentence instead of the client's "db error".
pub fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(server) => format!("{} ({})", server.message(), server.code().code()),
        None => error.to_string(),
    }
}

/// SQLite's answer; blobs as hexadecimal digits, reals in their shortest form.
pub fn sqlite(path: &Path, sql: &str) -> Result<NativeAnswer> {
    let connection =
        rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut statement = connection.prepare(sql)?;
    let columns: Vec<String> = statement
        .column_names()
        .iter()
        .map(|name| (*name).to_owned())
        .collect();
    let width = columns.len();
    let mut rows = Vec::new();
    let mut cursor = statement.query([])?;
    while let Some(row) = cursor.next()? {
        let mut fields = Vec::with_capacity(width);
        for index in 0..width {
            fields.push(match row.get_ref(index)? {
                ValueRef::Null => None,
                ValueRef::Integer(value) => Some(value.to_string()),
                ValueRef::Real(value) => Some(format!("{value:?}")),
                ValueRef::Text(value) => Some(String::from_utf8_lossy(value).into_owned()),
                ValueRef::Blob(value) => {
                    Some(value.iter().map(|byte| format!("{byte:02x}")).collect())
                }
            });
        }
        rows.push(fields);
    }
    Ok(NativeAnswer { columns, rows })
}

/// MariaDB's answer in its text format; bytes as hexadecimal digits. The session reads standard SQL: names in double
/// quotes, no escapes in texts, `||` joins texts, texts compare by their bytes, times are UTC. Subqueries are not
/// answered from MariaDB's cache, which confuses outer values that are equal in their column's collation only, nor from
/// a stored copy of their rows, whose NULLs `NOT IN` overlooks for a value that the copy's type cannot hold.
pub async fn mysql(url: &str, sql: &str) -> Result<NativeAnswer> {
    let mut conn = crate::environment::connect_mysql(url).await?;
    conn.query_drop(
        "SET sql_mode = 'ANSI_QUOTES,PIPES_AS_CONCAT,NO_BACKSLASH_ESCAPES', max_sort_length = 8192, \
         optimizer_switch = 'subquery_cache=off,materialization=off'",
    )
    .await?;
    conn.query_drop("SET NAMES utf8mb4 COLLATE utf8mb4_nopad_bin")
        .await?;
    let mut result = conn.query_iter(sql).await?;
    let columns = result.columns_ref().to_vec();
    let rows: Vec<Row> = result.collect().await?;
    drop(result);
    conn.disconnect().await?;
    let rows = rows.into_iter().map(|row| {
        let fields = row.unwrap().into_iter().zip(&columns);
        fields
            .map(|(value, column)| mysql_text(value, column))
            .collect()
    });
    Ok(NativeAnswer {
        rows: rows.collect(),
        columns: columns
            .iter()
            .map(|column| column.name_str().into_owned())
            .collect(),
    })
}

fn mysql_text(value: Value, column: &mysql_async::Column) -> Option<String> {
    /// The character set of what has none.
    const BINARY: u16 = 63;
    let is_bytes = column.character_set() == BINARY
        && matches!(
            column.column_type(),
            ColumnType::MYSQL_TYPE_VAR_STRING
                | ColumnType::MYSQL_TYPE_STRING
                | ColumnType::MYSQL_TYPE_BLOB
        );
    match value {
        Value::NULL => None,
        Value::Bytes(bytes) if is_bytes => {
            Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
        }
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        other => Some(other.as_sql(true)),
    }
}
