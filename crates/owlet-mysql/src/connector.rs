//! The connector's face: metadata with a cache, plans, splits. Must never know the engine.

use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use arrow_schema::Schema;
use async_trait::async_trait;
use owlet_connector::{
    Activity, BatchStream, Connector, ConnectorError, Exactness, Gate, Health, PRIMARY, Result,
    Routes, ScanContext, ScanPlan, ScanRequest, ServerIdentity, TableMetadata, TableSummary,
};
use owlet_remote_sql::mysql::Product;
use owlet_remote_sql::request::{ScanRelation, scan_relation};
use owlet_remote_sql::{Dialect, QueryOptions, Relation, RemoteTable, SqlConnector};
use tokio::sync::OnceCell;

use crate::cache::{MetadataCache, TableKey};
use crate::catalog::{self, Layout, Selection};
use crate::failure::{Stage, translate};
use crate::keys::{self, SplitLimits, Subject};
use crate::options::MysqlOptions;
use crate::plan::{self, Filters, KeyRange, SharedTable};
use crate::pool::{Lease, Pool};
use crate::replicas::Replicas;
use crate::session::Session;
use crate::settings::Settings;
use crate::snapshot::Snapshots;
use crate::{dialect, health, identity};

/// A MySQL or MariaDB server as a catalog; its databases are the schemas. Connects when first asked for something; cheap to clone.
#[derive(Debug, Clone)]
pub struct MysqlConnector {
    pub(crate) settings: Arc<Settings>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) cache: Arc<MetadataCache>,
    pub(crate) snapshots: Arc<Snapshots>,
    pub(crate) routes: Arc<Routes>,
    gate: Arc<Gate>,
    dialect: Arc<OnceCell<Arc<dyn Dialect>>>,
}

impl MysqlConnector {
    /// A connector for the catalog of this name. Checks the options; does no I/O.
    ///
    /// # Errors
    /// [`ConnectorError::Configuration`] when the options cannot work.
    pub fn new(catalog: &str, options: MysqlOptions) -> Result<Self> {
        let max_connections = options.max_connections;
        let servers = Settings::of_servers(catalog, options)?;
        let pool = Pool::new(catalog, max_connections, servers);
        let settings = Arc::clone(pool.settings(PRIMARY)?);
        let mut gate = settings.options.gate.clone();
        gate.source = settings.gate_source();
        Ok(Self {
            routes: Arc::new(Routes::new(
                pool.replicas(),
                settings.options.max_replica_lag,
            )),
            gate: Arc::new(Gate::new(catalog, gate)?),
            pool,
            cache: Arc::new(MetadataCache::new(settings.options.metadata_ttl)),
            snapshots: Arc::new(Snapshots::new(catalog, max_connections)),
            dialect: Arc::new(OnceCell::new()),
            settings,
        })
    }

    /// A connection for catalog queries; one that was idle is asked for a sign of life first.
    async fn catalog_lease(&self) -> Result<Lease> {
        self.gate.check_open()?;
        let server = self.routes.choose(&Replicas(&self.pool)).await;
        let mut lease = self.pool.acquire(server).await?;
        if !lease.session_mut()?.seems_alive().await {
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
        result: std::result::Result<T, mysql_async::Error>,
        object: &str,
    ) -> Result<T> {
        lease.statement_finished();
        match result {
            Ok(value) => {
                lease.release();
                Ok(value)
            }
            Err(error) => Err(translate(&error, Stage::Prepare, &self.settings, object)),
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
        let tinyint1 = self.settings.options.tinyint1;
        let mut lease = self.catalog_lease().await?;
        let result = catalog::describe(
            lease.session_mut()?,
            schema,
            Selection::Table(table),
            tinyint1,
        )
        .await;
        let described = self.settle(lease, result, &plan::qualified(schema, table))?;
        let Some(metadata) = described.into_iter().next() else {
            return Ok(None);
        };
        self.cache.tables.insert(key, Arc::clone(&metadata));
        Ok(Some(metadata))
    }

    async fn layout(&self, metadata: &TableMetadata) -> Result<Option<Arc<Layout>>> {
        let key: TableKey = (metadata.schema.clone(), metadata.name.clone());
        if let Some(layout) = self.cache.layouts.get(&key) {
            return Ok(Some(layout));
        }
        let mut lease = self.catalog_lease().await?;
        let result = catalog::layout(lease.session_mut()?, metadata).await;
        let layout = self
            .settle(
                lease,
                result,
                &plan::qualified(&metadata.schema, &metadata.name),
            )?
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
        let mut lease = self.catalog_lease().await?;
        let result = catalog::tables(lease.session_mut()?, schema).await;
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
        let mut lease = self.catalog_lease().await?;
        let result = catalog::all_schemas(lease.session_mut()?).await;
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
        let query = dialect.render(relation).map_err(|refusal| {
            ConnectorError::Internal(format!("a planned query cannot be rendered: {refusal}"))
        })?;
        let mut notes = wishes.notes;
        let table_name = plan::table_list(relation);
        let row_wise = plan::row_wise_scan(relation);
        let mut metadata = None;
        let mut layout = None;
        if let Some(scan) = &row_wise {
            metadata = self
                .described_table(&scan.table.schema, &scan.table.name)
                .await?;
            if let Some(metadata) = &metadata {
                layout = self.layout(metadata).await?;
            }
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
            let mut lease = self.catalog_lease().await?;
            let result = explain(lease.session_mut()?, &query.sql).await;
            plan::combine_explained(&self.settle(lease, result, &table_name)?)
        };
        let columns = schema.fields().len();
        let row_width = plan::average_width(&relation.columns());
        let mut ranges = Vec::new();
        if let (Some(scan), Some(layout)) = (&row_wise, &layout) {
            let limits = SplitLimits {
                target_partitions: wishes.options.target_partitions,
                connections: self.settings.options.max_connections,
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
                match keys::wanted_ranges(layout, limits) {
                    Ok(parts) => {
                        ranges = self.ranges(scan.table, layout, parts).await?;
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
            Some(scan) if ranges.len() > 1 => {
                let shared = SharedTable {
                    schema: scan.table.schema.clone(),
                    name: scan.table.name.clone(),
                };
                plan::ranged_splits(relation, shared, &ranges, plan_id).map_err(encode)?
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
                    row_width,
                    columns,
                    splits.len(),
                )
            }
            (None, Some(_)) => {
                let rows = if is_key_lookup {
                    Some(1.0)
                } else {
                    table_rows.map(|rows| rows as f64)
                };
                plan::estimate(rows, rows, row_width, columns, splits.len())
            }
            (None, None) => plan::estimate(None, None, 0.0, columns, splits.len()),
        };
        let access = match (&row_wise, splits.len()) {
            (Some(_), 1) if is_key_lookup => "lookup by primary key".to_owned(),
            (Some(_), 1) => "scan".to_owned(),
            (Some(_), parts) => format!("parallel scan of {parts} key ranges"),
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

    /// Ranges of the primary key. A table whose key cannot be asked about is read as a whole.
    async fn ranges(
        &self,
        table: &RemoteTable,
        layout: &Layout,
        parts: u64,
    ) -> Result<Vec<KeyRange>> {
        let subject = Subject {
            schema: &table.schema,
            table: &table.name,
            layout,
        };
        let mut lease = self.catalog_lease().await?;
        let result = keys::ranges(lease.session_mut()?, &subject, parts).await;
        self.settle(lease, result, &plan::qualified(&table.schema, &table.name))
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
impl Connector for MysqlConnector {
    fn catalog(&self) -> &str {
        &self.settings.catalog
    }

    fn kind(&self) -> &'static str {
        "mysql"
    }

    /// The database of the URL.
    fn default_schema(&self) -> Option<&str> {
        self.settings.database()
    }

    async fn schemas(&self) -> Result<Vec<String>> {
        let mut lease = self.catalog_lease().await?;
        let result = catalog::schemas(lease.session_mut()?).await;
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
        let tinyint1 = self.settings.options.tinyint1;
        let mut lease = self.catalog_lease().await?;
        let result = catalog::describe(lease.session_mut()?, &only, Selection::All, tinyint1).await;
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

impl MysqlConnector {
    fn ambiguous(&self, name: &str, candidates: &[String]) -> ConnectorError {
        ConnectorError::AmbiguousName {
            catalog: self.settings.catalog.clone(),
            name: name.to_owned(),
            candidates: candidates.join(", "),
        }
    }
}

#[async_trait]
impl SqlConnector for MysqlConnector {
    async fn dialect(&self) -> Result<Arc<dyn Dialect>> {
        let dialect = self
            .dialect
            .get_or_try_init(async || {
                let server = self.routes.choose(&Replicas(&self.pool)).await;
                let lease = self.pool.acquire(server).await?;
                let exact = lease.session()?.server.dialect();
                lease.release();
                Ok::<_, ConnectorError>(dialect::dialect(exact, self.settings.options.zero_dates))
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

/// The server's plan of a query.
async fn explain(
    session: &mut Session,
    sql: &str,
) -> std::result::Result<Vec<plan::ExplainedTable>, mysql_async::Error> {
    // MySQL tells what share of rows passes without being asked, and no longer knows the word.
    let word = match session.server.product {
        Product::MariaDb => "EXPLAIN EXTENDED",
        Product::MySql => "EXPLAIN",
    };
    let rows = session.query(&format!("{word} {sql}"), &[]).await?;
    Ok(rows.iter().filter_map(explained_table).collect())
}

fn explained_table(row: &mysql_async::Row) -> Option<plan::ExplainedTable> {
    let columns = row.columns();
    let field = |name: &str| {
        columns
            .iter()
            .position(|column| column.name_str().eq_ignore_ascii_case(name))
            .and_then(|position| catalog::text(row, position))
    };
    let number = |name: &str| field(name).and_then(|text| text.parse::<f64>().ok());
    Some(plan::ExplainedTable {
        select_type: field("select_type")?,
        access: field("type").unwrap_or_default(),
        rows: number("rows").unwrap_or(1.0),
        filtered: number("filtered").unwrap_or(100.0),
    })
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
