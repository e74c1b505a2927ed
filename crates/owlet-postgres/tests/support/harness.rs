//! A database as the suite that every connector must pass wants it.

use std::sync::Arc;

use async_trait::async_trait;
use owlet_connector::Connector;
use owlet_connector::conformance::fixtures::{Fixture, Kind, text_of};
use owlet_connector::conformance::{ConformanceHarness, CreatedTable, Value};
use owlet_postgres::{PostgresConnector, PostgresOptions};

use super::Database;

/// Tables are made in the database, and read with the options.
pub struct Harness {
    pub database: Database,
    pub options: PostgresOptions,
}

fn declared(kind: Kind) -> &'static str {
    match kind {
        Kind::SmallInteger => "smallint",
        Kind::Integer => "bigint",
        Kind::Decimal => "numeric(12,2)",
        Kind::Double | Kind::SpecialDouble => "double precision",
        Kind::Text => "text",
        Kind::Boolean => "boolean",
        Kind::Date => "date",
        Kind::Timestamp => "timestamp",
        Kind::Instant => "timestamptz",
        Kind::Binary => "bytea",
    }
}

fn spelled(value: &Value, kind: Kind) -> String {
    let text = match value {
        Value::Null => return "NULL".to_owned(),
        Value::Binary(bytes) => {
            let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("\\x{digits}")
        }
        value => text_of(value, kind).expect("has a text"),
    };
    format!("'{}'", text.replace('\'', "''"))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[async_trait]
impl ConformanceHarness for Harness {
    async fn connector(&self) -> Arc<dyn Connector> {
        let connector = PostgresConnector::new("pg", self.options.clone());
        Arc::new(connector.expect("valid options"))
    }

    async fn create(&self, fixture: &Fixture) -> CreatedTable {
        let columns: Vec<String> = fixture
            .columns
            .iter()
            .map(|column| {
                let key = if column.name == "id" {
                    " PRIMARY KEY"
                } else {
                    ""
                };
                format!("{} {}{key}", quoted(&column.name), declared(column.kind))
            })
            .collect();
        let table = quoted(fixture.name);
        let create = format!("CREATE TABLE {table} ({})", columns.join(", "));
        self.database.run(&create).await;
        let rows: Vec<String> = (0..fixture.rows())
            .map(|row| {
                let values = fixture
                    .columns
                    .iter()
                    .map(|column| spelled(&column.values[row], column.kind));
                format!("({})", values.collect::<Vec<_>>().join(", "))
            })
            .collect();
        for some in rows.chunks(500) {
            let insert = format!("INSERT INTO {table} VALUES {}", some.join(", "));
            self.database.run(&insert).await;
        }
        self.database.run(&format!("ANALYZE {table}")).await;
        CreatedTable {
            schema: "public".to_owned(),
            table: fixture.name.to_owned(),
        }
    }
}
