//! What the integration tests share: a database of their own, a connector on it, and reading everything.

#![allow(dead_code, reason = "each test binary uses a part")]

pub mod impostor;
pub mod server;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arrow::array::Array;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, Value};
use owlet_connector::{
    Budget, Connector, ConnectorError, Expression, QueryWork, ScanContext, ScanDescription,
    ScanPlan, ScanRequest, TableMetadata, WorkRecorder,
};
use owlet_mysql::{MysqlConnector, MysqlOptions};
use tokio_util::sync::CancellationToken;

/// URL of the test server, without a database.
pub fn server_url() -> String {
    std::env::var("OWLET_TEST_MYSQL_URL")
        .expect("OWLET_TEST_MYSQL_URL is not set: run me through `cargo xtask test`")
        .trim_end_matches('/')
        .to_owned()
}

/// A database that exists as long as this value.
pub struct Database {
    pub name: String,
    pub url: String,
}

impl Database {
    pub async fn create(purpose: &str) -> Self {
        Self::create_at(&server_url(), purpose).await
    }

    /// On another server.
    pub async fn create_at(server: &str, purpose: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("owlet_mysql_{purpose}_{}_{number}", std::process::id());
        let mut admin = connect(server).await;
        admin
            .query_drop(format!(
                "CREATE DATABASE {name} CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci"
            ))
            .await
            .expect("database created");
        Self {
            url: format!("{server}/{name}"),
            name,
        }
    }

    pub fn options(&self) -> MysqlOptions {
        MysqlOptions::new(&self.url)
    }

    pub fn connector(&self) -> MysqlConnector {
        MysqlConnector::new("my", self.options()).expect("valid options")
    }

    pub async fn connect(&self) -> Conn {
        connect(&self.url).await
    }

    pub async fn run(&self, sql: &str) {
        let mut conn = self.connect().await;
        if let Err(error) = conn.query_drop(sql).await {
            let shown: String = sql.chars().take(400).collect();
            panic!("{shown}: {error}");
        }
    }

    /// First column, as text.
    pub async fn column(&self, sql: &str) -> Vec<Option<String>> {
        let mut conn = self.connect().await;
        let rows: Vec<mysql_async::Row> = match conn.query(sql).await {
            Ok(rows) => rows,
            Err(error) => panic!("{sql}: {error}"),
        };
        rows.iter().map(|row| shown(row.as_ref(0))).collect()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (name, url) = (self.name.clone(), self.url.clone());
        let dropper = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("runtime");
            runtime.block_on(async {
                let server = url.trim_end_matches(&name).trim_end_matches('/');
                if let Ok(mut admin) = Conn::new(Opts::from_url(server).expect("a URL")).await {
                    let _ = admin
                        .query_drop(format!("DROP DATABASE IF EXISTS {name}"))
                        .await;
                }
            });
        });
        let _ = dropper.join();
    }
}

pub async fn connect(url: &str) -> Conn {
    let opts = mysql_async::OptsBuilder::from_opts(Opts::from_url(url).expect("a URL"))
        .prefer_socket(Some(false));
    let mut conn = Conn::new(opts).await.expect("test server");
    conn.query_drop("SET NAMES utf8mb4, time_zone = '+00:00'")
        .await
        .expect("settings");
    conn
}

pub fn shown(value: Option<&Value>) -> Option<String> {
    match value? {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        other => Some(other.as_sql(true).trim_matches('\'').to_owned()),
    }
}

/// A recorder of a query of its own.
pub fn recorder() -> Arc<WorkRecorder> {
    QueryWork::new(Budget::default()).recorder(ScanDescription::default())
}

pub fn context(work: Arc<WorkRecorder>) -> ScanContext {
    ScanContext {
        batch_rows: 1_000,
        dynamic_filters: Vec::new(),
        work,
        cancellation: CancellationToken::new(),
    }
}

/// All columns of a table, no filters.
pub fn request(metadata: &TableMetadata) -> ScanRequest {
    ScanRequest {
        schema: metadata.schema.clone(),
        table: metadata.name.clone(),
        projection: (0..metadata.columns.len()).collect(),
        fields: Default::default(),
        filters: Vec::new(),
        limit: None,
        ordering: Vec::new(),
        lookup_columns: Vec::new(),
        lookup_rows: None,
        target_partitions: 4,
    }
}

/// Metadata of a table of the database.
pub async fn table(
    connector: &MysqlConnector,
    database: &Database,
    name: &str,
) -> Arc<TableMetadata> {
    connector
        .table(&database.name, name)
        .await
        .expect("metadata")
        .expect("the table exists")
}

/// Reads all splits one after the other.
pub async fn read_plan(
    connector: &MysqlConnector,
    plan: &ScanPlan,
    dynamic_filters: Vec<Expression>,
) -> Result<Vec<RecordBatch>, ConnectorError> {
    let work = recorder();
    let mut batches = Vec::new();
    for split in 0..plan.splits.len() {
        let context = ScanContext {
            dynamic_filters: dynamic_filters.clone(),
            ..context(Arc::clone(&work))
        };
        let stream = connector.open(plan, split, context);
        batches.extend(stream.try_collect::<Vec<_>>().await?);
    }
    Ok(batches)
}

/// Reads a whole table.
pub async fn read_table(
    connector: &MysqlConnector,
    database: &Database,
    name: &str,
) -> Result<Vec<RecordBatch>, ConnectorError> {
    let metadata = table(connector, database, name).await;
    let plan = connector.plan_scan(&request(&metadata)).await?;
    read_plan(connector, &plan, Vec::new()).await
}

/// One column of all batches as text; NULL is `None`.
pub fn texts(batches: &[RecordBatch], column: usize) -> Vec<Option<String>> {
    let options = FormatOptions::default();
    batches
        .iter()
        .flat_map(|batch| {
            let array = batch.column(column);
            let formatter = ArrayFormatter::try_new(array, &options).expect("can be shown");
            (0..array.len())
                .map(|row| (!array.is_null(row)).then(|| formatter.value(row).to_string()))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Number of rows of all batches.
pub fn rows(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}
