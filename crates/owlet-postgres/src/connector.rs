//! The connector's face: metadata with a cache, plans, splits. Must never know the engine.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use arrow_schema::Schema;
use async_trait::async_trait;
use owlet_connector::{
    Activity, BatchStream, Connector, ConnectorError, Exactness, Gate, Health, PRIMARY, Result,
    Routes, ScanContext, ScanPlan, ScanRequest, ServerIdentity, TableMetadata, TableSummary,
};
use owlet_remote_sql::request::{ScanRelation, scan_relation};
use owlet_remote_sql::{Dialect, QueryOptions, Relation, SqlConnector};
use tokio::sync::OnceCell;

use crate::anchor::Anchors;
use crate::cache::{MetadataCache, TableKey};
use crate::catalog::{self, Layout, Selection};
use crate::failure::{Stage, translate};
use crate::options::PostgresOptions;
use crate::plan::{self, Filters, SharedTable, SplitLimits};
use crate::pool::{Lease, Pool};
use crate::replicas::Replicas;
use crate::settings::Settings;
use crate::snapshot::Snapshots;
use crate::source_query;
use crate::types::TypePolicy;
use crate::{dialect, health, identity};

/// A PostgreSQL database as a catalog. Connects when first asked for something; cheap to clone.
#[derive(Debug, Clone)]
pub struct PostgresConnector {
    pub(crate) settings: Arc<Settings>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) cache: Arc<MetadataCache>,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) routes: Arc<Routes>,
    pub(crate) anchors: Arc<Anchors>,
    gate: Arc<Gate>,
    dialect: Arc<OnceCell<Arc<dyn Dialect>>>,
}

impl PostgresConnector {
    /// A connector for the catalog of this name. Checks the options; does no I/O.
    ///
    /// # Errors
    /// [`ConnectorError::Configuration`] when the options cannot work.
    pub fn new(catalog: &str, options: PostgresOptions) -> Result<Self> {
        let max_connections = options.max_connections;
        let servers = Settings::of_servers(catalog, options)?;
        let pool = Pool::new(catalog, max_connections, servers);
        let settings = Arc::clone(pool.settings(PRIMARY)?);
        let mut gate = settings.options.gate.clone();
        gate.source = format!("postgres {}", settings.place);
        Ok(Self {
            routes: Arc::new(Routes::new(
                pool.replicas(),
                settings.options.max_replica_lag,
            )),
            anchors: Arc::new(Anchors::new(max_connections)),
            gate: Arc::new(Gate::new(catalog, gate)?),
            pool,
            cache: Arc::new(MetadataCache::new(settings.options.metadata_ttl)),
            snapshots: Arc::new(Snapshots::default()),
            dialect: Arc::new(OnceCell::new()),
            settings,
        })
    }

    fn type_policy(&self) -> TypePolicy {
        TypePolicy {
            numeric_scale: self.settings.options.numeric_scale,
        }
    }

    /// A connection for catalog queries; one that was idle is asked for a sign of life first.
    async fn catalog_lease(&self) -> Result<Lease> {
        self.gate.check_open()?;
        let server = self.routes.choose(&Replicas(&self.pool)).await;
        let mut lease = self.pool.acquire(server).await?;
        if !lease.session()?.seems_alive().await {
            drop(lease);
            lease = self.pool.acquire_fresh(server).await?;
        }
        lease.statement_started();
        Ok(lease)
    }

    /// Gives the connection back after a catalog query, or throws it away after a failed one.
    fn settle<T>(
        &self,
        mut lease: Lease,
        result: std::result::Result<T, tokio_postgres::Error>,
        object: &str,
    ) -> Result<T> {
        lease.statement_finished();
        match result {
            Ok(value) => {
                lease.release();
                Ok(value)
            }
            Err(error) => Err(translate(
                &error,
                Stage::Prepare,
                &self.settings.catalog,
                object,
            )),
        }
    }

    /// Metadata by exact names; a table that the patterns hide does not exist.
    async fn exact_table(&self, schema: &str, table: &str) -> Result<Option<Arc<TableMetadata>>> {
        if !self.settings.options.tables.admits(schema, table) {
            return Ok(None);
        }
        self.described_table(schema, table).await
    }

    /// Metadata by exact names, whatever the patterns say: a planned table may be that of another catalog, whose
    /// patterns have admitted it.
    async fn described_table(
        &self,
        schema: &str,
        table: &str,
    ) -> Result<Option<Arc<TableMetadata>>> {
        let key = (schema.to_owned(), table.to_owned());
        if let Some(metadata) = self.cache.tables.get(&key) {
            return Ok(Some(metadata));
        }
        let policy = self.type_policy();
        let lease = self.catalog_lease().await?;
        let result = futures::try_join!(
            catalog::describe(lease.session()?, schema, Selection::Table(table), policy),
            catalog::layout(lease.session()?, schema, table),
        );
        let (described, layout) = self.settle(lease, result, &plan::qualified(schema, table))?;
        let Some(metadata) = described.into_iter().next() else {
            return Ok(None);
        };
        if let Some(layout) = layout {
            self.cache.layouts.insert(key.clone(), Arc::new(layout));
        }
        self.cache.tables.insert(key, Arc::clone(&metadata));
        Ok(Some(metadata))
    }

    async fn layout(&self, schema: &str, table: &str) -> Result<Option<Arc<Layout>>> {
        let key: TableKey = (schema.to_owned(), table.to_owned());
        if let Some(layout) = self.cache.layouts.get(&key) {
            return Ok(Some(layout));
        }
        let lease = self.catalog_lease().await?;
        let result = catalog::layout(lease.session()?, schema, table).await;
        let layout = self
            .settle(lease, result, &plan::qualified(schema, table))?
            .map(Arc::new);
        if let Some(layout) = &layout {
            self.cache.layouts.insert(key, Arc::clone(layout));
        }
        Ok(layout)
    }

    async fn table_names(&self, schema: &str) -> Result<Arc<Vec<TableSummary>>> {
        if let Some(names) = self.cache.table_names.get(&schema.to_owned()) {
            return Ok(names);
        }
        let lease = self.catalog_lease().await?;
        let result = catalog::tables(lease.session()?, schema).await;
        let mut names = self.settle(lease, result, schema)?;
        names.retain(|summary| self.settings.options.tables.admits(schema, &summary.name));
        let names = Arc::new(names);
        self.cache
            .table_names
            .insert(schema.to_owned(), Arc::clone(&names));
        Ok(names)
    }

    async fn all_schema_names(&self) -> Result<Arc<Vec<String>>> {
        if let Some(names) = self.cache.schema_names.get(&()) {
            return Ok(names);
        }
        let lease = self.catalog_lease().await?;
        let result = catalog::all_schemas(lease.session()?).await;
        let names = Arc::new(self.settle(lease, result, "schemas")?);
        self.cache.schema_names.insert((), Arc::clone(&names));
        Ok(names)
    }

    /// The schemas a name may mean: the exact one alone, else all that differ only by case.
    async fn matching_schemas(&self, schema: &str) -> Result<Vec<String>> {
        let names = self.all_schema_names().await?;
        if names.iter().any(|name| name == schema) {
            return Ok(vec![schema.to_owned()]);
        }
        Ok(same_but_for_case(names.iter().map(String::as_str), schema))
    }

    /// Plans a relation whose output has this schema.
    async fn plan_relation(
        &self,
        relation: &Relation,
        schema: Schema,
        wishes: Wishes<'_>,
    ) -> Result<ScanPlan> {
        let dialect = self.dialect().await?;
        let table_name = plan::table_list(relation);
        let query = dialect
            .render(relation)
            .map_err(|refusal| ConnectorError::QueryRefused {
                catalog: self.settings.catalog.clone(),
                message: format!("reading {table_name}: {refusal}"),
                hint: "name fewer columns, or write shorter conditions".to_owned(),
            })?;
        let mut notes = wishes.notes;
        let row_wise = plan::row_wise_scan(relation);
        let mut metadata = None;
        let mut layout = None;
        if let Some(scan) = &row_wise {
            metadata = self
                .described_table(&scan.table.schema, &scan.table.name)
                .await?;
            layout = self.layout(&scan.table.schema, &scan.table.name).await?;
        }
        let table_rows = metadata.as_ref().and_then(|metadata| metadata.rows.value());
        let is_key_lookup = metadata.as_ref().is_some_and(|metadata| {
            let key: Vec<String> = metadata
                .primary_key
                .iter()
                .filter_map(|position| metadata.columns.get(*position))
                .map(|column| column.source_name.clone())
                .collect();
            plan::fixes_primary_key(relation, &key)
        });
        let has_filters = row_wise.is_none_or(|scan| scan.filters == Filters::Some);
        let explained = if !has_filters || is_key_lookup {
            None
        } else {
            let lease = self.catalog_lease().await?;
            let result = lease.session()?.explain(&query.sql).await;
            plan::read_explain(&self.settle(lease, result, &table_name)?)
        };
        let columns = schema.fields().len();
        let mut boundaries = vec![0];
        if let (Some(scan), Some(layout)) = (&row_wise, &layout) {
            let limits = SplitLimits {
                target_partitions: wishes.options.target_partitions,
                connections: self.settings.options.connections_per_scan(),
            };
            let reason = if is_key_lookup {
                Some("not split: at most one row".to_owned())
            } else if has_filters && !explained.is_some_and(|explained| explained.reads_everything)
            {
                Some("not split: the server's plan reads only a part of the table".to_owned())
            } else if plan::expects_few_rows(
                &wishes.options.lookup_columns,
                wishes.options.lookup_rows,
                table_rows,
            ) {
                Some("not split: the join looks up few rows".to_owned())
            } else {
                match plan::choose_boundaries(layout, limits) {
                    Ok(chosen) => {
                        boundaries = chosen;
                        None
                    }
                    Err(reason) => Some(reason),
                }
            };
            tracing::debug!(table = scan.table.name, ?reason, "splits");
            notes.extend(reason);
        }
        let plan_id = random_id();
        let encode = |error: serde_json::Error| {
            ConnectorError::Internal(format!("encoding a split: {error}"))
        };
        let splits = match &row_wise {
            Some(scan) if boundaries.len() > 1 => {
                let shared = SharedTable {
                    schema: scan.table.schema.clone(),
                    name: scan.table.name.clone(),
                    is_partitioned: layout.as_ref().is_some_and(|layout| layout.is_partitioned),
                };
                plan::ranged_splits(relation, shared, &boundaries, plan_id).map_err(encode)?
            }
            _ => vec![plan::single_split(relation, plan_id).map_err(encode)?],
        };
        let estimate = match (&explained, &row_wise) {
            (Some(explained), _) => {
                let rows_read = if row_wise.is_some() && explained.reads_everything {
                    table_rows.map(|rows| rows as f64)
                } else {
                    Some(explained.rows_read)
                };
                plan::estimate(
                    rows_read,
                    Some(explained.rows),
                    explained.width,
                    columns,
                    splits.len(),
                )
            }
            (None, Some(scan)) => {
                let rows = if is_key_lookup {
                    Some(1.0)
                } else {
                    table_rows.map(|rows| rows as f64)
                };
                plan::estimate(
                    rows,
                    rows,
                    plan::average_width(scan.table),
                    columns,
                    splits.len(),
                )
            }
            (None, None) => plan::estimate(None, None, 0.0, columns, splits.len()),
        };
        let access = match (&row_wise, splits.len()) {
            (Some(_), 1) if is_key_lookup => "lookup by primary key".to_owned(),
            (Some(_), 1) => "scan".to_owned(),
            (Some(_), parts) => format!("parallel scan of {parts} ctid ranges"),
            (None, _) => "query".to_owned(),
        };
        Ok(ScanPlan {
            schema,
            splits,
            filters: wishes.filters,
            limit_applied: wishes.limit_applied,
            ordering_applied: wishes.ordering_applied,
            estimate,
            table: table_name,
            access,
            remote: query.sql,
            notes,
        })
    }
}

/// What a plan is asked for beside its relation.
struct Wishes<'a> {
    options: &'a QueryOptions,
    filters: Vec<Exactness>,
    limit_applied: bool,
    ordering_applied: bool,
    notes: Vec<String>,
}

#[async_trait]
impl Connector for PostgresConnector {
    fn catalog(&self) -> &str {
        &self.settings.catalog
    }

    fn kind(&self) -> &'static str {
        "postgres"
    }

    async fn schemas(&self) -> Result<Vec<String>> {
        let lease = self.catalog_lease().await?;
        let result = catalog::schemas(lease.session()?).await;
        let mut schemas = self.settle(lease, result, "schemas")?;
        schemas.retain(|schema| self.settings.options.tables.admits_schema(schema));
        Ok(schemas)
    }

    async fn tables(&self, schema: &str) -> Result<Vec<TableSummary>> {
        let mut schemas = self.matching_schemas(schema).await?;
        match (schemas.pop(), schemas.is_empty()) {
            (Some(only), true) => Ok(self.table_names(&only).await?.as_ref().clone()),
            (Some(last), false) => {
                schemas.push(last);
                Err(self.ambiguous(schema, &schemas))
            }
            (None, _) => Ok(Vec::new()),
        }
    }

    async fn table(&self, schema: &str, table: &str) -> Result<Option<Arc<TableMetadata>>> {
        if let Some(metadata) = self.exact_table(schema, table).await? {
            return Ok(Some(metadata));
        }
        let mut candidates = Vec::new();
        for schema in self.matching_schemas(schema).await? {
            let names = self.table_names(&schema).await?;
            let names = names.iter().map(|summary| summary.name.as_str());
            let matching = match names.clone().find(|name| *name == table) {
                Some(exact) => vec![exact.to_owned()],
                None => same_but_for_case(names, table),
            };
            candidates.extend(matching.into_iter().map(|name| (schema.clone(), name)));
        }
        match candidates.as_slice() {
            [] => Ok(None),
            [(schema, name)] => self.exact_table(schema, name).await,
            several => {
                let names: Vec<String> = several
                    .iter()
                    .map(|(schema, name)| plan::qualified(schema, name))
                    .collect();
                Err(self.ambiguous(&plan::qualified(schema, table), &names))
            }
        }
    }

    async fn describe_schema(&self, schema: &str) -> Result<Vec<Arc<TableMetadata>>> {
        let mut schemas = self.matching_schemas(schema).await?;
        let Some(only) = schemas.pop() else {
            return Ok(Vec::new());
        };
        if !schemas.is_empty() {
            schemas.push(only);
            return Err(self.ambiguous(schema, &schemas));
        }
        let policy = self.type_policy();
        let lease = self.catalog_lease().await?;
        let result = catalog::describe(lease.session()?, &only, Selection::All, policy).await;
        let mut described = self.settle(lease, result, &only)?;
        described.retain(|table| self.settings.options.tables.admits(&only, &table.name));
        Ok(described)
    }

    async fn plan_scan(&self, request: &ScanRequest) -> Result<ScanPlan> {
        self.gate.check_open()?;
        let Some(metadata) = self.exact_table(&request.schema, &request.table).await? else {
            return Err(ConnectorError::TableNotFound {
                catalog: self.settings.catalog.clone(),
                table: plan::qualified(&request.schema, &request.table),
                hint: String::new(),
            });
        };
        let dialect = self.dialect().await?;
        let ScanRelation {
            relation,
            schema,
            filters,
            limit_applied,
            ordering_applied,
        } = scan_relation(request, &metadata, &*dialect)?;
        let options = QueryOptions {
            target_partitions: request.target_partitions,
            lookup_columns: request.lookup_columns.clone(),
            lookup_rows: request.lookup_rows,
        };
        let wishes = Wishes {
            options: &options,
            filters,
            limit_applied,
            ordering_applied,
            notes: Vec::new(),
        };
        self.plan_relation(&relation, schema, wishes).await
    }

    async fn plan_source_query(&self, query: &str) -> Result<ScanPlan> {
        let refuse = |message: String, hint: &str| ConnectorError::QueryRefused {
            catalog: self.settings.catalog.clone(),
            message,
            hint: hint.to_owned(),
        };
        let text = source_query::reading(query).map_err(|message| {
            refuse(message, "write one statement of PostgreSQL that only reads")
        })?;
        if !self.settings.options.tables.admit_everything() {
            return Err(refuse(
                "the catalog hides tables (include, exclude), which a query in PostgreSQL's own SQL would see"
                    .to_owned(),
                "name its tables in ordinary SQL",
            ));
        }
        let lease = self.catalog_lease().await?;
        let described = lease.session()?.describe_reading(text).await;
        let columns = self.settle(lease, described, source_query::OBJECT)?;
        source_query::plan(text, &columns, self.type_policy())
            .map_err(|error| ConnectorError::Internal(format!("encoding a split: {error}")))
    }

    fn open(&self, plan: &ScanPlan, split: usize, context: ScanContext) -> BatchStream {
        self.open_split(plan, split, context)
    }

    fn activity(&self) -> Option<Activity> {
        Some(self.pool.activity())
    }

    fn gate(&self) -> Option<&Gate> {
        Some(&self.gate)
    }

    fn server_identity(&self) -> Option<ServerIdentity> {
        identity::of(&self.settings)
    }

    async fn health(&self) -> Health {
        if let Err(error) = self.gate.check_open() {
            return health::closed(&error);
        }
        health::check(&self.pool, &self.settings, &self.routes).await
    }
}

impl PostgresConnector {
    fn ambiguous(&self, name: &str, candidates: &[String]) -> ConnectorError {
        ConnectorError::AmbiguousName {
            catalog: self.settings.catalog.clone(),
            name: name.to_owned(),
            candidates: candidates.join(", "),
        }
    }
}

#[async_trait]
impl SqlConnector for PostgresConnector {
    async fn dialect(&self) -> Result<Arc<dyn Dialect>> {
        let dialect = self
            .dialect
            .get_or_try_init(async || {
                let server = self.routes.choose(&Replicas(&self.pool)).await;
                let lease = self.pool.acquire(server).await?;
                let encoding = lease.session()?.server_encoding.clone();
                lease.release();
                Ok::<_, ConnectorError>(dialect::dialect(&encoding, self.settings.options.infinity))
            })
            .await?;
        Ok(Arc::clone(dialect))
    }

    async fn plan_query(&self, relation: &Relation, options: &QueryOptions) -> Result<ScanPlan> {
        self.gate.check_open()?;
        let schema = plan::output_schema(relation);
        let wishes = Wishes {
            options,
            filters: Vec::new(),
            limit_applied: false,
            ordering_applied: false,
            notes: Vec::new(),
        };
        self.plan_relation(relation, schema, wishes).await
    }
}

fn same_but_for_case<'a>(names: impl Iterator<Item = &'a str>, wanted: &str) -> Vec<String> {
    let folded = wanted.to_lowercase();
    names
        .filter(|name| name.to_lowercase() == folded)
        .map(str::to_owned)
        .collect()
}

/// Different for every plan of every process.
fn random_id() -> u64 {
    std::collections::hash_map::RandomState::new()
        .build_hasher()
        .finish()
}
