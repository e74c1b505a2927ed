//! The connector against the suite every connector must pass.

use std::sync::Arc;

use async_trait::async_trait;
use owlet_connector::Connector;
use owlet_connector::conformance::fixtures::{Fixture, FixtureColumn, Kind, text_of};
use owlet_connector::conformance::{ConformanceHarness, CreatedTable, Limitations, Value, run};
use owlet_sqlite::{SqliteConnector, SqliteOptions};
use rusqlite::types::Value as Stored;
use tempfile::TempDir;

struct Harness {
    folder: TempDir,
}

impl Harness {
    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("conformance.db")
    }
}

fn declared(kind: Kind) -> &'static str {
    match kind {
        Kind::SmallInteger | Kind::Integer => "INTEGER",
        Kind::Decimal => "DECIMAL(12,2)",
        Kind::Double | Kind::SpecialDouble => "REAL",
        Kind::Text => "TEXT",
        Kind::Boolean => "BOOLEAN",
        Kind::Date => "DATE",
        Kind::Timestamp => "TIMESTAMP",
        Kind::Instant => "TIMESTAMP WITH TIME ZONE",
        Kind::Binary => "BLOB",
    }
}

fn stored(value: &Value, kind: Kind) -> Stored {
    match (value, kind) {
        (Value::Null, _) => Stored::Null,
        (Value::Integer(value), Kind::Integer | Kind::SmallInteger) => {
            Stored::Integer(i64::try_from(*value).expect("fits"))
        }
        (Value::Boolean(value), _) => Stored::Integer((*value).into()),
        (Value::Float(value), _) => Stored::Real(*value),
        (Value::Binary(value), _) => Stored::Blob(value.clone()),
        (value, kind) => Stored::Text(text_of(value, kind).expect("has a text")),
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[async_trait]
impl ConformanceHarness for Harness {
    async fn connector(&self) -> Arc<dyn Connector> {
        Arc::new(SqliteConnector::new("files", SqliteOptions::new(self.path())).expect("valid"))
    }

    async fn create(&self, fixture: &Fixture) -> CreatedTable {
        let mut connection = rusqlite::Connection::open(self.path()).expect("opens");
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
        connection.execute_batch(&create).expect("creates");
        let transaction = connection.transaction().expect("begins");
        let places = vec!["?"; fixture.columns.len()].join(", ");
        let insert = format!("INSERT INTO {table} VALUES ({places})");
        for row in 0..fixture.rows() {
            let values = fixture
                .columns
                .iter()
                .map(|column| stored(&column.values[row], column.kind));
            let values = rusqlite::params_from_iter(values);
            transaction.execute(&insert, values).expect("inserts");
        }
        transaction.commit().expect("commits");
        CreatedTable {
            schema: "main".to_owned(),
            table: fixture.name.to_owned(),
        }
    }

    fn limitations(&self) -> Limitations {
        Limitations {
            // SQLite stores NaN as NULL.
            missing_kinds: vec![Kind::SpecialDouble],
            columns_from_rows: false,
        }
    }

    fn refuses_column(&self, _column: &FixtureColumn) -> bool {
        false
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conforms() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let report = run(&Harness { folder }).await;
    println!("{report}");
    report.assert_passed();
}
