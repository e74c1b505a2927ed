//! Puts TPC-H tables into PostgreSQL, MariaDB, DynamoDB, SQLite and Parquet files. Must never know the engine.

use std::fs::File;
use std::io::Cursor;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Builder, Decimal128Builder, Int32Builder, Int64Builder, StringBuilder,
};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use futures::SinkExt;
use mysql_async::Conn;
use mysql_async::prelude::Queryable;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde_json::{Value, json};
use tokio_postgres::Client;

use super::{ColumnType, Table, rows};
use crate::Result;
use crate::dynamodb::DynamoDb;

const COPY_CHUNK_BYTES: usize = 256 * 1024;
const BATCH_ROWS: usize = 8192;
/// Rows of one `INSERT` into MariaDB.
const INSERTED_ROWS: usize = 1000;

/// Creates the tables with their primary keys, loads and analyzes them.
pub async fn postgres(client: &Client, tables: &[Table], scale_factor: f64) -> Result<()> {
    for table in tables {
        let columns: Vec<String> = table
            .columns
            .iter()
            .map(|(name, kind)| format!("{name} {} NOT NULL", postgres_type(*kind)))
            .collect();
        client
            .batch_execute(&format!(
                "CREATE TABLE {} ({})",
                table.name,
                columns.join(", ")
            ))
            .await?;
        let sink = client
            .copy_in(&format!(
                "COPY {} FROM STDIN WITH (DELIMITER '|')",
                table.name
            ))
            .await?;
        let mut sink = pin!(sink);
        let mut chunk = String::with_capacity(COPY_CHUNK_BYTES + 1024);
        for row in rows(*table, scale_factor) {
            chunk.push_str(&row);
            chunk.push('\n');
            if chunk.len() >= COPY_CHUNK_BYTES {
                sink.send(Cursor::new(std::mem::take(&mut chunk).into_bytes()))
                    .await?;
            }
        }
        sink.send(Cursor::new(chunk.into_bytes())).await?;
        sink.as_mut().finish().await?;
        let key = table.primary_key.join(", ");
        client
            .batch_execute(&format!(
                "ALTER TABLE {} ADD PRIMARY KEY ({key})",
                table.name
            ))
            .await?;
        client
            .batch_execute(&format!("VACUUM (ANALYZE) {}", table.name))
            .await?;
    }
    Ok(())
}

/// Creates the tables with their primary keys, loads and analyzes them.
pub async fn mysql(conn: &mut Conn, tables: &[Table], scale_factor: f64) -> Result<()> {
    for table in tables {
        let columns: Vec<String> = table
            .columns
            .iter()
            .map(|(name, kind)| format!("{name} {} NOT NULL", mysql_type(*kind)))
            .collect();
        conn.query_drop(format!(
            "CREATE TABLE {} ({}, PRIMARY KEY ({})) ENGINE=InnoDB",
            table.name,
            columns.join(", "),
            table.primary_key.join(", ")
        ))
        .await?;
        let mut values: Vec<String> = Vec::with_capacity(INSERTED_ROWS);
        for row in rows(*table, scale_factor) {
            // Column types turn the text of numbers and dates into what they are.
            let fields: Vec<String> = row
                .split('|')
                .map(|field| format!("'{}'", field.replace('\\', "\\\\").replace('\'', "''")))
                .collect();
            values.push(format!("({})", fields.join(",")));
            if values.len() == INSERTED_ROWS {
                insert(conn, table.name, &mut values).await?;
            }
        }
        insert(conn, table.name, &mut values).await?;
        conn.query_drop(format!("ANALYZE TABLE {}", table.name))
            .await?;
    }
    Ok(())
}

async fn insert(conn: &mut Conn, table: &str, values: &mut Vec<String>) -> Result<()> {
    if values.is_empty() {
        return Ok(());
    }
    let statement = format!("INSERT INTO {table} VALUES {}", values.join(","));
    values.clear();
    Ok(conn.query_drop(statement).await?)
}

fn mysql_type(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Identifier => "bigint",
        ColumnType::Integer => "int",
        ColumnType::Decimal => "decimal(15,2)",
        ColumnType::Date => "date",
        ColumnType::Text => "varchar(255)",
    }
}

fn postgres_type(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Identifier => "bigint",
        ColumnType::Integer => "integer",
        ColumnType::Decimal => "numeric(15,2)",
        ColumnType::Date => "date",
        ColumnType::Text => "text",
    }
}

/// Creates one DynamoDB table for each, named `prefix` + table name, with its single key column as hash key.
pub async fn dynamodb(
    database: &DynamoDb,
    prefix: &str,
    tables: &[Table],
    scale_factor: f64,
) -> Result<()> {
    for table in tables {
        let name = format!("{prefix}{}", table.name);
        let [key] = table.primary_key else {
            return Err(format!("{} has no single key column", table.name).into());
        };
        database.create_table(&name, &[(key, "N", "HASH")]).await?;
        let items: Vec<Value> = rows(*table, scale_factor)
            .map(|row| item(*table, &row))
            .collect();
        database.put_all(&name, &items).await?;
    }
    Ok(())
}

fn item(table: Table, row: &str) -> Value {
    let attributes = table
        .columns
        .iter()
        .zip(row.split('|'))
        .map(|((name, kind), field)| {
            let attribute = match kind {
                ColumnType::Identifier | ColumnType::Integer | ColumnType::Decimal => {
                    json!({ "N": field })
                }
                ColumnType::Date | ColumnType::Text => json!({ "S": field }),
            };
            ((*name).to_owned(), attribute)
        });
    Value::Object(attributes.collect())
}

/// Writes `folder/<table>.parquet` for each table.
pub fn parquet(folder: &Path, tables: &[Table], scale_factor: f64) -> Result<()> {
    for table in tables {
        let fields = table
            .columns
            .iter()
            .map(|(name, kind)| Field::new(*name, arrow_type(*kind), false));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let file = File::create(folder.join(format!("{}.parquet", table.name)))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .build();
        let mut writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties))?;
        let mut pending = Vec::with_capacity(BATCH_ROWS);
        for row in rows(*table, scale_factor) {
            pending.push(row);
            if pending.len() == BATCH_ROWS {
                writer.write(&batch(*table, &schema, &pending)?)?;
                pending.clear();
            }
        }
        writer.write(&batch(*table, &schema, &pending)?)?;
        writer.close()?;
    }
    Ok(())
}

fn arrow_type(kind: ColumnType) -> DataType {
    match kind {
        ColumnType::Identifier => DataType::Int64,
        ColumnType::Integer => DataType::Int32,
        ColumnType::Decimal => DataType::Decimal128(15, 2),
        ColumnType::Date => DataType::Date32,
        ColumnType::Text => DataType::Utf8,
    }
}

fn batch(table: Table, schema: &Arc<Schema>, rows: &[String]) -> Result<RecordBatch> {
    let fields: Vec<Vec<&str>> = rows.iter().map(|row| row.split('|').collect()).collect();
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(table.columns.len());
    for (index, (_, kind)) in table.columns.iter().enumerate() {
        let values = fields.iter().map(|row| row[index]);
        columns.push(match kind {
            ColumnType::Identifier => {
                let mut builder = Int64Builder::new();
                for value in values {
                    builder.append_value(value.parse()?);
                }
                Arc::new(builder.finish())
            }
            ColumnType::Integer => {
                let mut builder = Int32Builder::new();
                for value in values {
                    builder.append_value(value.parse()?);
                }
                Arc::new(builder.finish())
            }
            ColumnType::Decimal => {
                let mut builder = Decimal128Builder::new().with_precision_and_scale(15, 2)?;
                for value in values {
                    builder.append_value(hundredths(value)?);
                }
                Arc::new(builder.finish())
            }
            ColumnType::Date => {
                let epoch = chrono::NaiveDate::default();
                let mut builder = Date32Builder::new();
                for value in values {
                    let day: chrono::NaiveDate = value.parse()?;
                    builder.append_value(i32::try_from((day - epoch).num_days())?);
                }
                Arc::new(builder.finish())
            }
            ColumnType::Text => {
                let mut builder = StringBuilder::new();
                for value in values {
                    builder.append_value(value);
                }
                Arc::new(builder.finish())
            }
        });
    }
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

fn hundredths(value: &str) -> Result<i128> {
    match value.split_once('.') {
        Some((whole, fraction)) => Ok(format!("{whole}{fraction:0<2}").parse()?),
        None => Ok(value.parse::<i128>()? * 100),
    }
}

/// Creates and fills the tables of an SQLite file.
pub fn sqlite(path: &Path, tables: &[Table], scale_factor: f64) -> Result<()> {
    let mut connection = rusqlite::Connection::open(path)?;
    let transaction = connection.transaction()?;
    for table in tables {
        let columns: Vec<String> = table
            .columns
            .iter()
            .map(|(name, kind)| format!("{name} {} NOT NULL", sqlite_type(*kind)))
            .collect();
        let key = table.primary_key.join(", ");
        transaction.execute_batch(&format!(
            "CREATE TABLE {} ({}, PRIMARY KEY ({key}))",
            table.name,
            columns.join(", ")
        ))?;
        let places = vec!["?"; table.columns.len()].join(", ");
        let mut insert =
            transaction.prepare(&format!("INSERT INTO {} VALUES ({places})", table.name))?;
        for row in rows(*table, scale_factor) {
            // Column affinity turns the text of numbers into numbers.
            insert.execute(rusqlite::params_from_iter(row.split('|')))?;
        }
    }
    transaction.commit()?;
    connection.execute_batch("ANALYZE")?;
    Ok(())
}

fn sqlite_type(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::Identifier | ColumnType::Integer => "INTEGER",
        ColumnType::Decimal => "REAL",
        ColumnType::Date | ColumnType::Text => "TEXT",
    }
}

#[cfg(test)]
mod tests {
    use super::hundredths;

    #[test]
    fn decimals_keep_their_sign_and_scale() {
        assert_eq!(hundredths("-0.07").unwrap(), -7);
        assert_eq!(hundredths("21168.23").unwrap(), 2_116_823);
        assert_eq!(hundredths("17").unwrap(), 1_700);
    }
}
