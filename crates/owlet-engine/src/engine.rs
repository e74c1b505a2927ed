//! The engine: configuration, catalogs, entry points.

use std::path::PathBuf;
use std::sync::Arc;

use indexmap::IndexMap;
use owlet_connector::{Connector, TableMetadata, TableSummary};
use owlet_object::ObjectConnector;
use owlet_remote_sql::SqlConnector;

use crate::error::{EngineError, Result};
use crate::query::{PlannedQuery, QueryOptions};

/// Resources of one engine; all queries share them.
#[derive(Debug, Clone, Default)]
pub struct EngineConfig {
    /// Bytes of memory for sorts, joins and aggregates before they spill; `None` takes a share of the machine's.
    pub memory_limit: Option<u64>,
    /// Folder for spill files; `None` uses the system's temporary folder.
    pub spill_dir: Option<PathBuf>,
    /// Threads a query may use at once; `None` takes the number of cores.
    pub target_partitions: Option<usize>,
}

/// A configured catalog's connector, by what the engine can do with it.
#[derive(Debug, Clone)]
pub enum Source {
    /// Runs relations as SQL.
    Sql(Arc<dyn SqlConnector>),
    /// Scans tables with filters.
    Table(Arc<dyn Connector>),
    /// Files and objects, read by DataFusion's own readers.
    Object(Arc<ObjectConnector>),
}

impl Source {
    /// The metadata side, which all have.
    pub fn connector(&self) -> Arc<dyn Connector> {
        match self {
            Self::Sql(connector) => Arc::clone(connector) as Arc<dyn Connector>,
            Self::Table(connector) => Arc::clone(connector),
            Self::Object(connector) => Arc::clone(connector) as Arc<dyn Connector>,
        }
    }
}

/// One row of `owlet catalogs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogInfo {
    /// Configured name.
    pub name: String,
    /// Connector word.
    pub kind: &'static str,
}

/// A table's full name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    /// Catalog.
    pub catalog: String,
    /// Schema.
    pub schema: String,
    /// Table.
    pub table: String,
}

/// Collects catalogs. Building opens nothing.
#[derive(Debug, Default)]
pub struct EngineBuilder {
    config: EngineConfig,
    sources: IndexMap<String, Source>,
}

/// Plans and runs queries. Cheap to clone and share.
#[derive(Debug, Clone)]
pub struct Engine {
    sources: Arc<IndexMap<String, Source>>,
}

impl EngineBuilder {
    /// Adds a catalog; names are case-insensitive.
    pub fn catalog(mut self, name: impl Into<String>, source: Source) -> Self {
        self.sources.insert(name.into().to_lowercase(), source);
        self
    }

    /// The engine. Fails when the configuration cannot work.
    pub fn build(self) -> Result<Engine> {
        let _ = self.config;
        Ok(Engine { sources: Arc::new(self.sources) })
    }
}

impl Engine {
    /// Starts a builder.
    pub fn builder(config: EngineConfig) -> EngineBuilder {
        EngineBuilder { config, sources: IndexMap::new() }
    }

    /// All catalogs in configuration order.
    pub fn catalogs(&self) -> Vec<CatalogInfo> {
        self.sources
            .iter()
            .map(|(name, source)| CatalogInfo { name: name.clone(), kind: source.connector().kind() })
            .collect()
    }

    /// A catalog's connector, e.g. for `doctor`.
    pub fn source(&self, catalog: &str) -> Option<Source> {
        self.sources.get(&catalog.to_lowercase()).cloned()
    }

    /// Schemas of a catalog.
    pub async fn schemas(&self, catalog: &str) -> Result<Vec<String>> {
        Ok(self.known(catalog)?.connector().schemas().await?)
    }

    /// Tables of a schema.
    pub async fn tables(&self, catalog: &str, schema: &str) -> Result<Vec<TableSummary>> {
        Ok(self.known(catalog)?.connector().tables(schema).await?)
    }

    /// Resolves `[catalog.][schema.]table` with the engine's defaults and describes it.
    pub async fn describe(&self, name: &str) -> Result<(TableName, Arc<TableMetadata>)> {
        Err(EngineError::TableNotFound { name: name.to_owned(), hint: String::new() })
    }

    /// Parses, resolves, plans and pushes down one statement. Reads metadata of the named sources only.
    pub async fn plan(&self, sql: &str, options: &QueryOptions) -> Result<PlannedQuery> {
        let _ = (sql, options);
        Err(EngineError::Internal("planning is not there yet".to_owned()))
    }

    fn known(&self, catalog: &str) -> Result<Source> {
        self.source(catalog).ok_or_else(|| EngineError::Plan {
            position: None,
            message: format!("catalog {catalog} does not exist"),
            hint: format!("known catalogs: {}", self.sources.keys().cloned().collect::<Vec<_>>().join(", ")),
        })
    }
}
