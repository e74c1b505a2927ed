//! What the integration tests share: a database of their own, a connector on it, and reading everything.

#![allow(dead_code, reason = "each test binary uses a part")]

pub mod cluster;
pub mod harness;
pub mod pooler;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arrow::array::{Array, AsArray};
use arrow::datatypes::*;
use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use owlet_connector::{
    Budget, Connector, ConnectorError, Expression, QueryWork, ScanContext, ScanDescription,
    ScanPlan, ScanRequest, TableMetadata, WorkRecorder,
};
use owlet_postgres::{PostgresConnector, PostgresOptions};
use tokio_util::sync::CancellationToken;

/// URL of the test server's superuser.
pub fn server_url() -> String {
    std::env::var("OWLET_TEST_POSTGRES_URL")
        .expect("OWLET_TEST_POSTGRES_URL is not set: run me through `cargo xtask test`")
}

/// Folder of PostgreSQL's programs.
pub fn server_programs() -> std::path::PathBuf {
    std::env::var("OWLET_TEST_POSTGRES_BIN")
        .expect("OWLET_TEST_POSTGRES_BIN is not set: run me through `cargo xtask test`")
        .into()
}

/// A database that exists as long as this value.
pub struct Database {
    pub name: String,
    pub client: tokio_postgres::Client,
}

impl Database {
    pub async fn create(purpose: &str) -> Self {
        Self::create_with(purpose, "").await
    }

    /// With options of `CREATE DATABASE`.
    pub async fn create_with(purpose: &str, options: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("owlet_postgres_{purpose}_{}_{number}", std::process::id());
        let admin = connect(&server_url()).await;
        admin
            .batch_execute(&format!("CREATE DATABASE {name} {options}"))
            .await
            .expect("database created");
        let client = connect(&url_of(&name)).await;
        Self { name, client }
    }

    pub fn url(&self) -> String {
        url_of(&self.name)
    }

    pub fn options(&self) -> PostgresOptions {
        PostgresOptions::new(self.url())
    }

    pub fn connector(&self) -> PostgresConnector {
        PostgresConnector::new("pg", self.options()).expect("valid options")
    }

    pub async fn run(&self, sql: &str) {
        if let Err(error) = self.client.batch_execute(sql).await {
            panic!("{sql}: {error}: {:?}", error.as_db_error());
        }
    }

    /// First column of the first row, as text.
    pub async fn text(&self, sql: &str) -> Option<String> {
        self.column(sql).await.into_iter().next().expect("a row")
    }

    /// First column, as text.
    pub async fn column(&self, sql: &str) -> Vec<Option<String>> {
        let messages = match self.client.simple_query(sql).await {
            Ok(messages) => messages,
            Err(error) => panic!("{sql}: {error}: {:?}", error.as_db_error()),
        };
        messages
            .iter()
            .filter_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).map(str::to_owned)),
                _ => None,
            })
            .collect()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let name = self.name.clone();
        let dropper = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("runtime");
            runtime.block_on(async {
                let admin = connect(&server_url()).await;
                let _ = admin
                    .batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
                    .await;
            });
        });
        let _ = dropper.join();
    }
}

pub fn url_of(database: &str) -> String {
    let server = server_url();
    let (front, _) = server.rsplit_once('/').expect("a URL with a database");
    format!("{front}/{database}")
}

pub async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
        .await
        .expect("test server");
    tokio::spawn(connection);
    client
}

pub fn recorder(budget: Budget) -> Arc<WorkRecorder> {
    QueryWork::new(budget).recorder(ScanDescription::default())
}

pub fn context() -> ScanContext {
    ScanContext {
        batch_rows: 1000,
        dynamic_filters: Vec::new(),
        work: recorder(Budget::default()),
        cancellation: CancellationToken::new(),
    }
}

/// A request for all columns.
pub fn request(table: &TableMetadata) -> ScanRequest {
    ScanRequest {
        schema: table.schema.clone(),
        table: table.name.clone(),
        projection: (0..table.columns.len()).collect(),
        fields: Default::default(),
        filters: Vec::new(),
        limit: None,
        ordering: Vec::new(),
        lookup_columns: Vec::new(),
        lookup_rows: None,
        target_partitions: 1,
    }
}

pub async fn table(connector: &PostgresConnector, name: &str) -> Arc<TableMetadata> {
    connector
        .table("public", name)
        .await
        .expect("metadata")
        .unwrap_or_else(|| panic!("no table {name}"))
}

/// All splits of a plan, one after another.
pub async fn read_plan(
    connector: &PostgresConnector,
    plan: &ScanPlan,
    context: &ScanContext,
) -> Result<Vec<RecordBatch>, ConnectorError> {
    let mut batches = Vec::new();
    for split in 0..plan.splits.len() {
        batches.extend(
            connector
                .open(plan, split, context.clone())
                .try_collect::<Vec<_>>()
                .await?,
        );
    }
    Ok(batches)
}

/// All rows of a table.
pub async fn read_table(
    connector: &PostgresConnector,
    name: &str,
) -> Result<Vec<RecordBatch>, ConnectorError> {
    let metadata = table(connector, name).await;
    let plan = connector.plan_scan(&request(&metadata)).await?;
    read_plan(connector, &plan, &context()).await
}

pub fn row_count(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

/// Values of a column as raw text: integers for dates and times, see [`raw`].
pub fn column_text(batches: &[RecordBatch], column: usize) -> Vec<Option<String>> {
    batches
        .iter()
        .flat_map(|batch| {
            let array = batch.column(column);
            (0..array.len())
                .map(|row| raw(array.as_ref(), row))
                .collect::<Vec<_>>()
        })
        .collect()
}

/// One value: days, microseconds, `months days nanoseconds`, hexadecimal bytes, float bits, else its text.
pub fn raw(array: &dyn Array, row: usize) -> Option<String> {
    if array.is_null(row) {
        return None;
    }
    Some(match array.data_type() {
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(row).to_string(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Float32 => format!(
            "{:x}",
            array.as_primitive::<Float32Type>().value(row).to_bits()
        ),
        DataType::Float64 => format!(
            "{:x}",
            array.as_primitive::<Float64Type>().value(row).to_bits()
        ),
        DataType::Decimal128(..) => array.as_primitive::<Decimal128Type>().value_as_string(row),
        DataType::Decimal256(..) => array.as_primitive::<Decimal256Type>().value_as_string(row),
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::Binary => array
            .as_binary::<i32>()
            .value(row)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
        DataType::Date32 => array.as_primitive::<Date32Type>().value(row).to_string(),
        DataType::Timestamp(..) => array
            .as_primitive::<TimestampMicrosecondType>()
            .value(row)
            .to_string(),
        DataType::Time64(_) => array
            .as_primitive::<Time64MicrosecondType>()
            .value(row)
            .to_string(),
        DataType::Interval(_) => {
            let interval = array.as_primitive::<IntervalMonthDayNanoType>().value(row);
            format!(
                "{} {} {}",
                interval.months, interval.days, interval.nanoseconds
            )
        }
        DataType::List(_) => {
            let elements = array.as_list::<i32>().value(row);
            let texts: Vec<String> = (0..elements.len())
                .map(|element| raw(elements.as_ref(), element).unwrap_or_else(|| "NULL".to_owned()))
                .collect();
            format!("{{{}}}", texts.join(","))
        }
        other => panic!("no raw text for {other}"),
    })
}

/// A column of a table's scan as an expression.
pub fn column(table: &TableMetadata, name: &str) -> Expression {
    let index = table
        .columns
        .iter()
        .position(|column| column.name == name)
        .expect("a column");
    let column = &table.columns[index];
    Expression::Column(owlet_connector::ColumnReference {
        index,
        name: name.to_owned(),
        data_type: column.data_type.clone(),
        nullable: column.nullable,
    })
}
