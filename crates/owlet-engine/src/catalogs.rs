//! Catalogs as DataFusion sees them: names resolve lazily, one table at a time, and nothing is opened for a
//! source that a query does not name. Must never know how a table is scanned.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, SchemaProvider, Session, TableProvider,
};
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::execution::SessionState;
use datafusion::logical_expr::{Expr, TableScan, TableType};
use datafusion::physical_plan::ExecutionPlan;
use indexmap::IndexMap;
use owlet_athena_sql::{FILE_CATALOG, FILE_SCHEMA, PASSTHROUGH_SCHEMA};
use owlet_connector::{
    ColumnMetadata, Connector, ConnectorError, Expression, TableKind, TableMetadata,
};
use owlet_object::ObjectOptions;

use crate::engine::Source;
use crate::information_schema;
use crate::passthrough::SourceQuery;

/// Catalog of names that give neither catalog nor a schema the engine can place.
pub const NO_CATALOG: &str = "owlet";

/// The only schema of catalogs without schemas of their own.
pub const USUAL_SCHEMA: &str = "default";

/// The schema a connector's names without one belong to.
pub fn default_schema(connector: &dyn Connector) -> String {
    if let Some(configured) = connector.default_schema() {
        return configured.to_owned();
    }
    let usual = match connector.kind() {
        "postgres" => "public",
        "sqlite" => "main",
        _ => USUAL_SCHEMA,
    };
    usual.to_owned()
}

/// The catalogs of one query.
pub struct QueryCatalogs {
    sources: Arc<IndexMap<String, Source>>,
    default_catalog: Option<String>,
    spellings: Arc<HashMap<String, Vec<String>>>,
    session: Arc<SessionState>,
    statement: Arc<str>,
}

impl fmt::Debug for QueryCatalogs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("QueryCatalogs")
            .field("catalogs", &self.sources.keys())
            .finish_non_exhaustive()
    }
}

impl QueryCatalogs {
    /// Catalogs for one statement. `session` gives file readers their runtime; `spellings` the original case of
    /// table names (folded, dotted name to written parts). A hidden column is part of a table only for a
    /// `statement` (lower-case text) that mentions its name: `SELECT *` stays clean.
    pub fn new(
        sources: Arc<IndexMap<String, Source>>,
        default_catalog: Option<String>,
        spellings: HashMap<String, Vec<String>>,
        session: Arc<SessionState>,
        statement: Arc<str>,
    ) -> Self {
        Self {
            sources,
            default_catalog,
            spellings: Arc::new(spellings),
            session,
            statement,
        }
    }
}

impl CatalogProviderList for QueryCatalogs {
    fn register_catalog(
        &self,
        _name: String,
        _catalog: Arc<dyn CatalogProvider>,
    ) -> Option<Arc<dyn CatalogProvider>> {
        None
    }

    fn catalog_names(&self) -> Vec<String> {
        self.sources.keys().cloned().collect()
    }

    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        Some(Arc::new(QueryCatalog {
            name: name.to_lowercase(),
            sources: Arc::clone(&self.sources),
            is_default: self.default_catalog.as_deref().unwrap_or(NO_CATALOG) == name,
            spellings: Arc::clone(&self.spellings),
            session: Arc::clone(&self.session),
            statement: Arc::clone(&self.statement),
        }))
    }
}

#[derive(Clone)]
struct QueryCatalog {
    name: String,
    sources: Arc<IndexMap<String, Source>>,
    is_default: bool,
    spellings: Arc<HashMap<String, Vec<String>>>,
    session: Arc<SessionState>,
    statement: Arc<str>,
}

impl fmt::Debug for QueryCatalog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("QueryCatalog")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl CatalogProvider for QueryCatalog {
    fn schema_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        Some(Arc::new(QuerySchema {
            catalog: self.clone(),
            name: name.to_owned(),
        }))
    }
}

#[derive(Debug)]
struct QuerySchema {
    catalog: QueryCatalog,
    name: String,
}

#[async_trait]
impl SchemaProvider for QuerySchema {
    fn table_names(&self) -> Vec<String> {
        Vec::new()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        self.resolve(name).await.map_err(|error| match error {
            ResolveError::Connector(error) => DataFusionError::External(Box::new(error)),
            ResolveError::DataFusion(error) => error,
        })
    }

    fn table_exist(&self, _name: &str) -> bool {
        true
    }
}

enum ResolveError {
    Connector(ConnectorError),
    DataFusion(DataFusionError),
}

impl From<ConnectorError> for ResolveError {
    fn from(error: ConnectorError) -> Self {
        Self::Connector(error)
    }
}

impl From<DataFusionError> for ResolveError {
    fn from(error: DataFusionError) -> Self {
        Self::DataFusion(error)
    }
}

impl QuerySchema {
    async fn resolve(&self, table: &str) -> Result<Option<Arc<dyn TableProvider>>, ResolveError> {
        if self.catalog.name == FILE_CATALOG && self.name == FILE_SCHEMA {
            let session: &dyn Session = self.catalog.session.as_ref();
            let provider =
                owlet_object::path_provider(session, table, &ObjectOptions::default()).await?;
            return Ok(Some(provider));
        }
        if let Some(source) = self.catalog.sources.get(&self.catalog.name)
            && let Some(found) = self
                .in_source(&self.catalog.name, source, &self.name, table)
                .await?
        {
            return Ok(Some(found));
        }
        // `catalog.table`: the first part of a two-part name may be a catalog with one usual schema.
        if self.catalog.is_default
            && let Some(source) = self.catalog.sources.get(&self.name)
        {
            let schema = default_schema(&*source.connector());
            return self.in_source(&self.name, source, &schema, table).await;
        }
        Ok(None)
    }

    async fn in_source(
        &self,
        catalog: &str,
        source: &Source,
        schema: &str,
        table: &str,
    ) -> Result<Option<Arc<dyn TableProvider>>, ResolveError> {
        if schema == PASSTHROUGH_SCHEMA {
            let connector = source.connector();
            let plan = connector.plan_source_query(table).await?;
            return Ok(Some(Arc::new(SourceQuery::new(catalog, connector, plan))));
        }
        if schema == information_schema::SCHEMA {
            return Ok(information_schema::table(catalog, source, table));
        }
        let connector = source.connector();
        let (schema, table) = self.written(schema, table);
        if let Source::Object(object) = source {
            if !schema.eq_ignore_ascii_case("default") {
                return Ok(None);
            }
            let session: &dyn Session = self.catalog.session.as_ref();
            return Ok(object.table_provider(session, &table).await?);
        }
        let Some(metadata) = connector.table(&schema, &table).await? else {
            return Ok(None);
        };
        let provider = SourceTable::new(catalog, source.clone(), metadata, &self.catalog.statement);
        Ok(Some(Arc::new(provider)))
    }

    /// Schema and table as the statement spells them, for sources whose names differ only by case.
    fn written(&self, schema: &str, table: &str) -> (String, String) {
        let catalog = &self.catalog.name;
        let candidates = [
            format!("{catalog}.{schema}.{table}"),
            format!("{}.{table}", self.name),
            table.to_owned(),
        ];
        let written = candidates
            .iter()
            .find_map(|name| self.catalog.spellings.get(name));
        match written.map(Vec::as_slice) {
            Some([.., written_schema, written_table])
                if written_schema.eq_ignore_ascii_case(schema) =>
            {
                (written_schema.clone(), written_table.clone())
            }
            Some([.., written_table]) => (schema.to_owned(), written_table.clone()),
            _ => (schema.to_owned(), table.to_owned()),
        }
    }
}

/// A resolved table of a source. It is never scanned by itself: the pushdown planner replaces it.
#[derive(Debug)]
pub struct SourceTable {
    /// Catalog name.
    pub catalog: String,
    /// The source.
    pub source: Source,
    /// What the source says of it.
    pub metadata: Arc<TableMetadata>,
    /// Positions in the metadata of the columns this table shows.
    visible: Vec<usize>,
    schema: SchemaRef,
}

impl SourceTable {
    fn new(catalog: &str, source: Source, metadata: Arc<TableMetadata>, statement: &str) -> Self {
        let shown = |column: &ColumnMetadata| !column.hidden || statement.contains(&column.name);
        let visible: Vec<usize> = (0..metadata.columns.len())
            .filter(|index| shown(&metadata.columns[*index]))
            .collect();
        let fields: Vec<_> = visible
            .iter()
            .map(|index| metadata.columns[*index].field())
            .collect();
        let schema = Arc::new(Schema::new(fields));
        Self {
            catalog: catalog.to_owned(),
            source,
            metadata,
            visible,
            schema,
        }
    }

    /// The source table a scan reads, if it is one.
    pub fn of(scan: &TableScan) -> Option<&Self> {
        // The provider lives as long as the scan: borrow it through the scan's own source.
        let source = scan
            .source
            .downcast_ref::<datafusion::datasource::DefaultTableSource>()?;
        (source.table_provider.as_ref() as &dyn std::any::Any).downcast_ref::<Self>()
    }

    /// Output positions of a scan as positions in the metadata.
    pub fn projection(&self, scan: &TableScan) -> Vec<usize> {
        match &scan.projection {
            None => self.visible.clone(),
            Some(projection) => projection
                .iter()
                .filter_map(|position| self.visible.get(*position).copied())
                .collect(),
        }
    }

    /// The column at a position of the metadata.
    pub fn column(&self, position: usize) -> Option<&ColumnMetadata> {
        self.metadata.columns.get(position)
    }

    /// The columns a scan outputs; an error for one that cannot be read.
    pub fn projected_columns(&self, scan: &TableScan) -> Result<Vec<ColumnMetadata>> {
        self.projection(scan)
            .into_iter()
            .filter_map(|position| self.column(position))
            .map(|column| match &column.unreadable {
                None => Ok(column.clone()),
                Some(message) => Err(DataFusionError::External(Box::new(
                    ConnectorError::UnreadableColumn {
                        table: self.metadata.name.clone(),
                        column: column.source_name.clone(),
                        native_type: column.native_type.clone(),
                        message: message.clone(),
                    },
                ))),
            })
            .collect()
    }

    /// Rewrites column positions of a scan's output to positions in the metadata.
    pub fn to_table_positions(
        &self,
        expression: Expression,
        scan: &TableScan,
    ) -> Result<Expression> {
        let positions = self.projection(scan);
        expression
            .map_columns(&|position| positions.get(position).copied())
            .ok_or_else(|| {
                DataFusionError::Internal(
                    "a filter uses a column that its scan does not read".to_owned(),
                )
            })
    }
}

#[async_trait]
impl TableProvider for SourceTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        match self.metadata.kind {
            TableKind::View => TableType::View,
            TableKind::Table | TableKind::Foreign => TableType::Base,
        }
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        _projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        internal_err!(
            "table {} was not replaced by a planned scan",
            self.metadata.name
        )
    }
}
