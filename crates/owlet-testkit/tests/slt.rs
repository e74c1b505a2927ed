//! The `.slt` files, in three modes: pushdown on, pushdown off, and straight at PostgreSQL for files whose first
//! line says `# portable` (their expectations are then PostgreSQL's own answers).

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use owlet_engine::{Engine, Pushdown, QueryOptions};
use owlet_testkit::dynamodb::DynamoDb;
use owlet_testkit::environment::{PostgresDatabase, required};
use owlet_testkit::sources::{self, Catalogs};
use owlet_testkit::{native, run};
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};
use tokio_postgres::Client;
use tokio_postgres::types::Type;

#[derive(Debug)]
struct Failure(String);

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

/// The engine, in one mode.
struct Owlet {
    engine: Engine,
    pushdown: Pushdown,
}

#[async_trait]
impl AsyncDB for Owlet {
    type Error = Failure;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<Self::ColumnType>, Failure> {
        let options = QueryOptions {
            pushdown: self.pushdown,
            default_catalog: Some("pg".to_owned()),
            ..QueryOptions::default()
        };
        let answer = run::answer(&self.engine, sql, &options)
            .await
            .map_err(|error| Failure(error.to_string()))?;
        let is_float: Vec<bool> = answer
            .columns
            .iter()
            .map(|(_, kind)| kind.is_floating())
            .collect();
        let is_time: Vec<bool> = answer
            .columns
            .iter()
            .map(|(_, kind)| kind.is_temporal())
            .collect();
        let rows = answer.rows.into_iter().map(|row| {
            let fields = row
                .into_iter()
                .enumerate()
                .map(|(column, field)| match field {
                    Some(text) if is_float[column] => text.trim_end_matches(".0").to_owned(),
                    Some(text) if is_time[column] => text.replacen('T', " ", 1),
                    other => shown(other),
                });
            fields.collect()
        });
        Ok(DBOutput::Rows {
            types: vec![DefaultColumnType::Any; is_float.len()],
            rows: rows.collect(),
        })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        match self.pushdown {
            Pushdown::On => "pushdown",
            Pushdown::Off => "local",
        }
    }
}

/// PostgreSQL itself.
struct Postgres {
    client: Client,
}

#[async_trait]
impl AsyncDB for Postgres {
    type Error = Failure;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<Self::ColumnType>, Failure> {
        let failure = |error: tokio_postgres::Error| Failure(native::describe(&error));
        let statement = self.client.prepare(sql).await.map_err(failure)?;
        let is_boolean: Vec<bool> = statement
            .columns()
            .iter()
            .map(|column| *column.type_() == Type::BOOL)
            .collect();
        let answer = native::postgres(&self.client, sql)
            .await
            .map_err(|error| Failure(error.to_string()))?;
        let rows = answer.rows.into_iter().map(|row| {
            let fields = row
                .into_iter()
                .enumerate()
                .map(|(column, field)| match field {
                    Some(text) if is_boolean[column] => {
                        if text == "t" { "true" } else { "false" }.to_owned()
                    }
                    other => shown(other),
                });
            fields.collect()
        });
        Ok(DBOutput::Rows {
            types: vec![DefaultColumnType::Any; is_boolean.len()],
            rows: rows.collect(),
        })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &str {
        "postgres"
    }
}

fn shown(field: Option<String>) -> String {
    match field {
        None => "NULL".to_owned(),
        Some(text) if text.is_empty() => "(empty)".to_owned(),
        Some(text) => text,
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("slt")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slt_files_pass_in_every_mode() {
    let database = PostgresDatabase::create("owlet_slt").await.unwrap();
    let client = database.connect().await.unwrap();
    client
        .batch_execute(&std::fs::read_to_string(folder().join("fixture/postgres.sql")).unwrap())
        .await
        .unwrap();
    let temporary = tempfile::tempdir().unwrap();
    let lite = temporary.path().join("slt.sqlite");
    let sqlite = rusqlite::Connection::open(&lite).unwrap();
    sqlite
        .execute_batch(&std::fs::read_to_string(folder().join("fixture/sqlite.sql")).unwrap())
        .unwrap();
    drop(sqlite);
    let endpoint = required("OWLET_TEST_DYNAMODB_ENDPOINT");
    let dynamodb = DynamoDb::new(endpoint.clone());
    let fixture = std::fs::read_to_string(folder().join("fixture/dynamodb.json")).unwrap();
    let fixture: serde_json::Value = serde_json::from_str(&fixture).unwrap();
    let carts = format!("slt_{}_carts", std::process::id());
    dynamodb
        .create_table(&carts, &[("person", "N", "HASH")])
        .await
        .unwrap();
    dynamodb
        .put_all(&carts, fixture["items"].as_array().unwrap())
        .await
        .unwrap();
    let engine = sources::engine(&Catalogs {
        postgres: Some(database.url()),
        sqlite: Some(lite),
        dynamodb: Some(endpoint),
        object: Some(folder().join("fixture/files")),
        ..Catalogs::default()
    })
    .unwrap();

    let mut files: Vec<PathBuf> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "slt"))
        .collect();
    files.sort();
    assert!(files.len() >= 10, "only {} .slt files", files.len());
    let mut problems = Vec::new();
    for file in &files {
        // The DynamoDB table has this process's own name.
        let script = std::fs::read_to_string(file)
            .unwrap()
            .replace("dynamo.default.carts", &format!("dynamo.default.{carts}"));
        for pushdown in [Pushdown::On, Pushdown::Off] {
            let mut runner = Runner::new(|| async {
                Ok(Owlet {
                    engine: engine.clone(),
                    pushdown,
                })
            });
            record(
                &mut problems,
                file,
                &format!("pushdown {pushdown:?}"),
                run_all(&mut runner, &script).await,
            );
        }
        if script.starts_with("# portable") {
            let url = database.url();
            let mut runner = Runner::new(|| async {
                let client = owlet_testkit::environment::connect(&url)
                    .await
                    .map_err(|error| Failure(error.to_string()))?;
                Ok(Postgres { client })
            });
            record(
                &mut problems,
                file,
                "straight at PostgreSQL",
                run_all(&mut runner, &script).await,
            );
        }
    }
    dynamodb.drop_table(&carts).await.unwrap();
    drop(client);
    database.drop_database().await.unwrap();
    assert!(
        problems.is_empty(),
        "{} problems:\n{}",
        problems.len(),
        problems.join("\n")
    );
}

/// Runs every record, also after one that failed.
async fn run_all<D, M>(runner: &mut Runner<D, M>, script: &str) -> (usize, Vec<String>)
where
    D: AsyncDB<ColumnType = DefaultColumnType>,
    M: sqllogictest::MakeConnection<Conn = D>,
{
    let records = sqllogictest::parse::<DefaultColumnType>(script).unwrap();
    let mut run = 0;
    let mut failures = Vec::new();
    for record in records {
        run += usize::from(matches!(
            record,
            sqllogictest::Record::Query { .. } | sqllogictest::Record::Statement { .. }
        ));
        if let Err(error) = runner.run_async(record).await {
            failures.push(error.display(false).to_string());
        }
    }
    (run, failures)
}

fn record(
    problems: &mut Vec<String>,
    file: &Path,
    mode: &str,
    (run, failures): (usize, Vec<String>),
) {
    let name = file.file_name().unwrap().to_string_lossy();
    println!("{name}, {mode}: {run} records, {} failed", failures.len());
    assert!(run > 0, "{name} has no records");
    problems.extend(
        failures
            .into_iter()
            .map(|failure| format!("── {name}, {mode}\n{failure}")),
    );
}
