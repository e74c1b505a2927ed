//! The catalog of files behind the connector contract. Must never know how a format is decoded.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use owlet_connector::{
    BatchStream, Connector, ConnectorError, Health, Result, ScanContext, ScanPlan, ScanRequest,
    TableMetadata, TableSummary,
};

use crate::location::Location;
use crate::options::ObjectOptions;

/// The only schema of an object catalog.
pub const SCHEMA: &str = "default";

/// A folder or bucket prefix whose files and folders are tables of the schema `default`.
#[derive(Debug)]
pub struct ObjectConnector {
    catalog: String,
    options: ObjectOptions,
    location: Location,
}

impl ObjectConnector {
    /// A catalog of the files below `options.location`. Does no I/O.
    pub fn new(catalog: &str, options: ObjectOptions) -> Result<Self, ConnectorError> {
        let location = Location::parse(catalog, &options.location)?;
        Ok(Self {
            catalog: catalog.to_owned(),
            options,
            location,
        })
    }

    /// DataFusion's provider for one table of this catalog; registers the object store it needs with the session.
    pub async fn table_provider(
        &self,
        session: &dyn Session,
        table: &str,
    ) -> Result<Option<Arc<dyn TableProvider>>> {
        let _ = (session, table, &self.location, &self.options);
        Ok(None)
    }
}

/// DataFusion's provider for a path in place of a table name (`SELECT * FROM 'data/*.parquet'`): relative and
/// absolute local paths, globs, folders, `file://…` and `s3://…`. Of `options` everything but the location counts.
pub async fn path_provider(
    session: &dyn Session,
    path: &str,
    options: &ObjectOptions,
) -> Result<Arc<dyn TableProvider>> {
    let _ = (session, options);
    Location::parse(path, path)?;
    Err(ConnectorError::TableNotFound {
        catalog: String::new(),
        table: path.to_owned(),
        hint: String::new(),
    })
}

#[async_trait]
impl Connector for ObjectConnector {
    fn catalog(&self) -> &str {
        &self.catalog
    }
    fn kind(&self) -> &'static str {
        "object"
    }
    async fn schemas(&self) -> Result<Vec<String>> {
        Ok(vec![SCHEMA.to_owned()])
    }
    async fn tables(&self, _schema: &str) -> Result<Vec<TableSummary>> {
        Ok(Vec::new())
    }
    async fn table(&self, _schema: &str, _table: &str) -> Result<Option<Arc<TableMetadata>>> {
        Ok(None)
    }
    async fn plan_scan(&self, _request: &ScanRequest) -> Result<ScanPlan> {
        Err(ConnectorError::Internal(
            "object tables are read through table_provider".to_owned(),
        ))
    }
    fn open(&self, _plan: &ScanPlan, _split: usize, _context: ScanContext) -> BatchStream {
        Box::pin(futures::stream::once(async {
            Err(ConnectorError::Internal(
                "object tables are read through table_provider".to_owned(),
            ))
        }))
    }
    async fn health(&self) -> Health {
        Health {
            healthy: true,
            version: String::new(),
            rights: String::new(),
            latency: None,
            problem: String::new(),
            fix: String::new(),
        }
    }
}
