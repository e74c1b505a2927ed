//! What the object connector's tests share: a folder of files, a session, answers as text.

#![allow(dead_code, reason = "each test binary uses a part")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::catalog::TableProvider;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::error::DataFusionError;
use datafusion::physical_plan::{ExecutionPlan, collect};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::{StreamExt, TryStreamExt};
use owlet_connector::ConnectorError;
use owlet_object::{ObjectConnector, ObjectOptions, path_provider};
use tempfile::TempDir;

/// A location on disk and a session.
pub struct Fixture {
    pub folder: TempDir,
    pub session: SessionContext,
}

impl Fixture {
    pub fn new() -> Self {
        let config = SessionConfig::new()
            .with_target_partitions(3)
            .with_batch_size(1000);
        Self {
            folder: TempDir::new().unwrap(),
            session: SessionContext::new_with_config(config),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    pub fn write_parquet(&self, name: &str, batch: &RecordBatch) -> PathBuf {
        use datafusion::parquet::arrow::ArrowWriter;
        use datafusion::parquet::file::properties::WriterProperties;
        let properties = WriterProperties::builder()
            .set_max_row_group_row_count(Some(100))
            .build();
        let mut bytes = Vec::new();
        let mut writer =
            ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
        writer.write(batch).unwrap();
        writer.close().unwrap();
        self.write(name, bytes)
    }

    pub fn connector(&self) -> ObjectConnector {
        self.connector_with(ObjectOptions::default())
    }

    pub fn connector_with(&self, options: ObjectOptions) -> ObjectConnector {
        let location = self.folder.path().display().to_string();
        ObjectConnector::new(
            "files",
            ObjectOptions {
                location,
                ..options
            },
        )
        .unwrap()
    }

    /// The answer of `sql` over table `name` of the connector, called `t` in the statement.
    pub async fn query(
        &self,
        connector: &ObjectConnector,
        name: &str,
        sql: &str,
    ) -> Result<String, Failure> {
        let provider = connector
            .table_provider(&self.session.state(), name)
            .await?
            .unwrap_or_else(|| panic!("no table {name}"));
        self.run(provider, sql).await
    }

    /// The answer of `sql` over a path, called `t` in the statement.
    pub async fn query_path(&self, path: &str, sql: &str) -> Result<String, Failure> {
        let provider =
            path_provider(&self.session.state(), path, &ObjectOptions::default()).await?;
        self.run(provider, sql).await
    }

    pub async fn run(
        &self,
        provider: Arc<dyn TableProvider>,
        sql: &str,
    ) -> Result<String, Failure> {
        let (_, batches) = self.execute(provider, sql).await?;
        Ok(rows(&batches))
    }

    /// The executed plan (with metrics) and its batches.
    pub async fn execute(
        &self,
        provider: Arc<dyn TableProvider>,
        sql: &str,
    ) -> Result<(Arc<dyn ExecutionPlan>, Vec<RecordBatch>), Failure> {
        let _ = self.session.deregister_table("t")?;
        self.session.register_table("t", provider)?;
        let plan = self.session.sql(sql).await?.create_physical_plan().await?;
        let batches = collect(Arc::clone(&plan), self.session.task_ctx()).await?;
        Ok((plan, batches))
    }
}

/// The rows of a table as text: columns separated by `|`, rows by line ends, the header first.
pub fn rows(batches: &[RecordBatch]) -> String {
    let shown = pretty_format_batches(batches).unwrap().to_string();
    shown
        .lines()
        .filter(|line| !line.starts_with('+'))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            cells.join("|")
        })
        .collect::<Vec<_>>()
        .join("\n")
}

/// What a query failed with; the connector's own error where there is one.
#[derive(Debug)]
pub enum Failure {
    Connector(ConnectorError),
    Engine(DataFusionError),
}

impl From<ConnectorError> for Failure {
    fn from(error: ConnectorError) -> Self {
        Self::Connector(error)
    }
}

impl From<DataFusionError> for Failure {
    fn from(error: DataFusionError) -> Self {
        Self::Engine(error)
    }
}

impl Failure {
    /// The message a user sees.
    pub fn message(&self) -> String {
        match self {
            Self::Connector(error) => error.to_string(),
            Self::Engine(error) => match error.find_root() {
                DataFusionError::External(source) => {
                    match source.downcast_ref::<ConnectorError>() {
                        Some(error) => error.to_string(),
                        None => format!("not a connector error: {error}"),
                    }
                }
                other => format!("not a connector error: {other}"),
            },
        }
    }
}

pub async fn compress(kind: FileCompressionType, content: &[u8]) -> Vec<u8> {
    let whole = futures::stream::iter([Ok(content.to_vec().into())]).boxed();
    let packed: Vec<_> = kind
        .convert_to_compress_stream(whole)
        .unwrap()
        .try_collect()
        .await
        .unwrap();
    packed.concat()
}

pub fn text(path: &Path) -> String {
    path.display().to_string()
}
