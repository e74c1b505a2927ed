//! The connector against the suite every connector must pass.

mod support;

use std::sync::Arc;

use async_trait::async_trait;
use mysql_async::prelude::Queryable;
use owlet_connector::Connector;
use owlet_connector::conformance::fixtures::{Fixture, Kind, text_of};
use owlet_connector::conformance::{ConformanceHarness, CreatedTable, Limitations, Value, run};
use support::server::Server;
use support::{Database, connect, server_url};

struct Harness {
    database: Database,
    /// Collation of text columns.
    collation: &'static str,
}

fn declared(kind: Kind, collation: &str) -> String {
    match kind {
        Kind::SmallInteger => "smallint".to_owned(),
        Kind::Integer => "bigint".to_owned(),
        Kind::Decimal => "decimal(12,2)".to_owned(),
        Kind::Double | Kind::SpecialDouble => "double".to_owned(),
        Kind::Text => format!("mediumtext CHARACTER SET utf8mb4 COLLATE {collation}"),
        Kind::Boolean => "boolean".to_owned(),
        Kind::Date => "date".to_owned(),
        Kind::Timestamp => "datetime(6)".to_owned(),
        Kind::Instant => "timestamp(6)".to_owned(),
        Kind::Binary => "longblob".to_owned(),
    }
}

fn spelled(value: &Value, kind: Kind) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Boolean(value) => value.to_string(),
        Value::Binary(bytes) => format!("X'{}'", hexadecimal(bytes)),
        Value::Text(text) => format!("CONVERT(X'{}' USING utf8mb4)", hexadecimal(text.as_bytes())),
        value => format!("'{}'", text_of(value, kind).expect("has a text")),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

#[async_trait]
impl ConformanceHarness for Harness {
    async fn connector(&self) -> Arc<dyn Connector> {
        Arc::new(self.database.connector())
    }

    async fn create(&self, fixture: &Fixture) -> CreatedTable {
        let columns: Vec<String> = fixture
            .columns
            .iter()
            .map(|column| {
                let tail = if column.name == "id" {
                    " PRIMARY KEY"
                } else {
                    " NULL"
                };
                format!(
                    "{} {}{tail}",
                    quoted(&column.name),
                    declared(column.kind, self.collation)
                )
            })
            .collect();
        let table = quoted(fixture.name);
        self.database
            .run(&format!("CREATE TABLE {table} ({})", columns.join(", ")))
            .await;
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
            self.database
                .run(&format!("INSERT INTO {table} VALUES {}", some.join(", ")))
                .await;
        }
        self.database.run(&format!("ANALYZE TABLE {table}")).await;
        CreatedTable {
            schema: self.database.name.clone(),
            table: fixture.name.to_owned(),
        }
    }

    fn limitations(&self) -> Limitations {
        Limitations {
            // No NaN and no infinity; TIMESTAMP knows the years 1970 to 2038 only.
            missing_kinds: vec![Kind::SpecialDouble, Kind::Instant],
            ..Limitations::default()
        }
    }
}

async fn conforms(collation: &'static str) {
    conforms_at(&server_url(), collation).await;
}

/// On a server whose sessions all begin under this `sql_mode`.
async fn conforms_under(sql_mode: &str) {
    let server = Server::start(&[&format!("--sql-mode={sql_mode}")]);
    let mut conn = connect(&server.url()).await;
    let begun: Option<String> = conn.query_first("SELECT @@sql_mode").await.expect("a mode");
    let begun = begun.unwrap_or_default();
    let expected = |word| begun.contains(word);
    assert!(sql_mode.split(',').all(expected), "{begun}");
    drop(conn);
    conforms_at(&server.url(), "utf8mb4_general_ci").await;
}

async fn conforms_at(server: &str, collation: &'static str) {
    let database = Database::create_at(server, "conformance").await;
    let report = run(&Harness {
        database,
        collation,
    })
    .await;
    println!("{report}");
    report.assert_passed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conforms_where_the_collation_ignores_case() {
    conforms("utf8mb4_general_ci").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conforms_where_the_collation_compares_bytes_but_not_blanks() {
    conforms("utf8mb4_bin").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conforms_where_the_collation_compares_bytes() {
    conforms("utf8mb4_nopad_bin").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conforms_where_double_quotes_stand_around_names() {
    conforms_under("ANSI_QUOTES,PIPES_AS_CONCAT").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conforms_where_backslashes_escape_nothing() {
    conforms_under("NO_BACKSLASH_ESCAPES").await;
}
