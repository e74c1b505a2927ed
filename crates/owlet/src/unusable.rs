//! A catalog whose settings cannot work: it says so whenever it is asked, and does not keep others from working.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use owlet_connector::{
    BatchStream, Connector, ConnectorError, Health, Result, ScanContext, ScanPlan, ScanRequest,
    TableMetadata, TableSummary,
};

/// Stands in the place of a connector that could not be made.
#[derive(Debug)]
pub struct UnusableConnector {
    catalog: String,
    kind: &'static str,
    error: ConnectorError,
}

impl UnusableConnector {
    /// `kind` is the `connector = "…"` word, `error` why it cannot work.
    pub fn new(catalog: &str, kind: &'static str, error: ConnectorError) -> Self {
        Self {
            catalog: catalog.to_owned(),
            kind,
            error,
        }
    }

    fn refuse<T>(&self) -> Result<T> {
        Err(self.error.clone())
    }
}

#[async_trait]
impl Connector for UnusableConnector {
    fn catalog(&self) -> &str {
        &self.catalog
    }

    fn kind(&self) -> &'static str {
        self.kind
    }

    async fn schemas(&self) -> Result<Vec<String>> {
        self.refuse()
    }

    async fn tables(&self, _: &str) -> Result<Vec<TableSummary>> {
        self.refuse()
    }

    async fn table(&self, _: &str, _: &str) -> Result<Option<Arc<TableMetadata>>> {
        self.refuse()
    }

    async fn plan_scan(&self, _: &ScanRequest) -> Result<ScanPlan> {
        self.refuse()
    }

    async fn plan_source_query(&self, _: &str) -> Result<ScanPlan> {
        self.refuse()
    }

    fn open(&self, _: &ScanPlan, _: usize, _: ScanContext) -> BatchStream {
        futures::stream::iter([self.refuse()]).boxed()
    }

    async fn health(&self) -> Health {
        let (problem, fix) = match &self.error {
            ConnectorError::Configuration { message, hint, .. } => (message.clone(), hint.clone()),
            other => (other.to_string(), String::new()),
        };
        Health {
            healthy: false,
            version: String::new(),
            rights: String::new(),
            latency: None,
            problem,
            fix,
        }
    }
}
