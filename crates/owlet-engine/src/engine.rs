//! The engine: configuration, catalogs, entry points. Planning goes dialect → DataFusion's optimizer → pushdown →
//! physical plan; nothing is opened for a source that a statement does not name.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use datafusion::common::TableReference;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement;
use futures::FutureExt;
use futures::future::BoxFuture;
use indexmap::IndexMap;
use owlet_athena_sql::{
    ExplainFormat, ExplainMode, ExplainType, PASSTHROUGH_SCHEMA, ParsedStatement, StatementKind,
};
use owlet_connector::{Budget, Connector, TableMetadata, TableSummary};
use owlet_object::ObjectConnector;
use owlet_remote_sql::SqlConnector;

use crate::catalogs::{NO_CATALOG, QueryCatalogs, USUAL_SCHEMA, default_schema};
use crate::error::{EngineError, Result};
use crate::explain::Explanation;
use crate::pushdown::PushdownPlanner;
use crate::pushdown::shared::SharedServers;
use crate::query::{OrderKeys, PlannedQuery, Pushdown, QueryOptions, Work};
use crate::row_order::RowOrder;
use crate::rows::TextRows;
use crate::sampling::Sampling;
use crate::scan::node::RemoteScan;
use crate::session::Session;
use crate::{
    duplicate_names, float_keys, information_schema, physical, row_order, suggestions, top_groups,
    unique_names,
};

/// The catalog that names without one belong to when several are configured and one has this name.
const ATHENA_DEFAULT_CATALOG: &str = "awsdatacatalog";

/// How long sources may take to list the names that an error suggests.
const LISTING_PATIENCE: Duration = Duration::from_secs(2);

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
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: EngineConfig,
    sources: Arc<IndexMap<String, Source>>,
    session: OnceLock<Session>,
}

impl EngineBuilder {
    /// Adds a catalog; names are case-insensitive.
    pub fn catalog(mut self, name: impl Into<String>, source: Source) -> Self {
        self.sources.insert(name.into().to_lowercase(), source);
        self
    }

    /// The engine. Fails when the configuration cannot work.
    pub fn build(self) -> Result<Engine> {
        if self.config.memory_limit == Some(0) {
            return Err(EngineError::Configuration {
                message: "memory_limit is 0".to_owned(),
                hint: "give at least some megabytes, e.g. \"512MB\"".to_owned(),
            });
        }
        let inner = Inner {
            config: self.config,
            sources: Arc::new(self.sources),
            session: OnceLock::new(),
        };
        Ok(Engine {
            inner: Arc::new(inner),
        })
    }
}

impl Engine {
    /// Starts a builder.
    pub fn builder(config: EngineConfig) -> EngineBuilder {
        EngineBuilder {
            config,
            sources: IndexMap::new(),
        }
    }

    /// All catalogs in configuration order.
    pub fn catalogs(&self) -> Vec<CatalogInfo> {
        self.inner
            .sources
            .iter()
            .map(|(name, source)| CatalogInfo {
                name: name.clone(),
                kind: source.connector().kind(),
            })
            .collect()
    }

    /// A catalog's connector, e.g. for `doctor`.
    pub fn source(&self, catalog: &str) -> Option<Source> {
        self.inner.sources.get(&catalog.to_lowercase()).cloned()
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
    pub fn describe<'a>(
        &'a self,
        name: &'a str,
    ) -> BoxFuture<'a, Result<(TableName, Arc<TableMetadata>)>> {
        async move { self.describe_with(name, &QueryOptions::default()).await }.boxed()
    }

    pub(crate) async fn describe_with(
        &self,
        name: &str,
        options: &QueryOptions,
    ) -> Result<(TableName, Arc<TableMetadata>)> {
        let candidates = self.interpretations(name, options)?;
        for candidate in &candidates {
            let Some(source) = self.source(&candidate.catalog) else {
                continue;
            };
            let found = if candidate
                .schema
                .eq_ignore_ascii_case(information_schema::SCHEMA)
            {
                information_schema::describe(&candidate.catalog, &source, &candidate.table)
                    .map(Arc::new)
            } else {
                source
                    .connector()
                    .table(&candidate.schema, &candidate.table)
                    .await?
            };
            if let Some(metadata) = found {
                return Ok((candidate.clone(), metadata));
            }
        }
        Err(self.table_not_found(name, &candidates).await)
    }

    /// What a dotted name may mean, best first.
    fn interpretations(&self, name: &str, options: &QueryOptions) -> Result<Vec<TableName>> {
        let usual = |catalog: &str| self.default_schema(catalog, options);
        let full = |catalog: &str, schema: &str, table: &str| TableName {
            catalog: catalog.to_lowercase(),
            schema: schema.to_owned(),
            table: table.to_owned(),
        };
        let default = self.default_catalog(options);
        let meanings = match TableReference::parse_str(name) {
            TableReference::Bare { table } => default
                .iter()
                .map(|catalog| full(catalog, &usual(catalog), &table))
                .collect(),
            TableReference::Partial { schema, table } => {
                let in_default = default.iter().map(|catalog| full(catalog, &schema, &table));
                let as_catalog = self
                    .source(&schema)
                    .map(|source| full(&schema, &default_schema(&*source.connector()), &table));
                in_default.chain(as_catalog).collect()
            }
            TableReference::Full {
                catalog,
                schema,
                table,
            } => {
                self.known(&catalog)?;
                vec![full(&catalog, &schema, &table)]
            }
        };
        Ok(meanings)
    }

    /// Parses, resolves, plans and pushes down one statement. Reads metadata of the named sources only.
    ///
    /// Boxed, since the body of an `async fn` is compiled again in every crate that awaits it: here that would be the
    /// whole of planning.
    pub fn plan<'a>(
        &'a self,
        sql: &'a str,
        options: &'a QueryOptions,
    ) -> BoxFuture<'a, Result<PlannedQuery>> {
        self.plan_parsed(sql, options).boxed()
    }

    async fn plan_parsed(&self, sql: &str, options: &QueryOptions) -> Result<PlannedQuery> {
        let parsed =
            owlet_athena_sql::parse(sql).map_err(|error| EngineError::from_sql(error, sql))?;
        let work = Work::new(options.budget.clone());
        if let Some(rows) = self.metadata_rows(&parsed.statement, options).await? {
            return Ok(PlannedQuery::of_rows(
                rows,
                Explanation::trivial("Metadata"),
                work,
            ));
        }
        match parsed.statement.clone() {
            StatementKind::Explain {
                mode,
                explain_type,
                format,
                inner,
            } => {
                let planned = self
                    .plan_statement(sql, *inner, &parsed, options, work)
                    .await?;
                explained(planned, mode, explain_type, format).await
            }
            StatementKind::Query(statement) => {
                self.plan_statement(sql, *statement, &parsed, options, work)
                    .await
            }
            other => Err(EngineError::Internal(format!(
                "statement {other:?} has no answer"
            ))),
        }
    }

    async fn plan_statement(
        &self,
        sql: &str,
        statement: Statement,
        parsed: &ParsedStatement,
        options: &QueryOptions,
        work: Work,
    ) -> Result<PlannedQuery> {
        let failed = |error| EngineError::from_datafusion(&error, sql);
        let sampling = Sampling::before(self.inner.sources.values().map(Source::connector));
        let template = self.session()?;
        let default_catalog = self.default_catalog(options);
        let catalogs = QueryCatalogs::new(
            Arc::clone(&self.inner.sources),
            default_catalog.clone(),
            parsed.table_spellings.clone(),
            Arc::clone(&template.state),
            Arc::from(sql.to_lowercase()),
        );
        let catalog = default_catalog.unwrap_or_else(|| NO_CATALOG.to_owned());
        let schema = self.default_schema(&catalog, options);
        let mut state = template.state.as_ref().clone();
        state.config_mut().options_mut().catalog.default_catalog = catalog;
        state.config_mut().options_mut().catalog.default_schema = schema;
        state.register_catalog_list(Arc::new(catalogs));
        // The time that now() and current_date mean, the same wherever the query asks.
        state.mark_start_execution();
        if let Some(moment) = options.moment {
            state.execution_props_mut().query_execution_start_time = Some(moment.into());
        }
        let plan = match state.statement_to_plan(statement).await {
            Ok(plan) => plan,
            Err(error) => return Err(self.planning_failed(&error, sql).await),
        };
        let parameters = &options.parameters;
        let plan =
            owlet_athena_sql::bind_parameters(plan, &parameters.positional, &parameters.named)
                .map_err(|error| EngineError::from_sql(error, sql))?;
        let mut names = parsed.display_names(plan.schema());
        let plan = match options.order_keys {
            OrderKeys::AsSelected => plan,
            OrderKeys::Added => row_order::with_keys(plan).map_err(failed)?,
        };
        let added = plan.schema().fields().len() - names.len();
        names.extend((1..=added).map(|key| format!("order key {key}")));
        let order = RowOrder::of(&plan);
        let optimized = state.optimize(&plan).map_err(failed)?;
        let optimized = owlet_athena_sql::restore_conditions(optimized).map_err(failed)?;
        let target_partitions = state.config().target_partitions();
        let pushdown = PushdownPlanner {
            pushdown: options.pushdown,
            target_partitions,
            shared: match options.pushdown {
                Pushdown::On => SharedServers::of(&optimized).map_err(failed)?,
                Pushdown::Off => SharedServers::default(),
            },
        };
        let rewritten = pushdown.rewrite(optimized).await.map_err(failed)?;
        if reads_remotely(&rewritten) {
            // Filters of top-N and aggregates never complete before their input yields: a scan that waits for
            // join filters must not be handed those.
            let optimizer = &mut state.config_mut().options_mut().optimizer;
            optimizer.enable_topk_dynamic_filter_pushdown = false;
            optimizer.enable_aggregate_dynamic_filter_pushdown = false;
        }
        if top_groups::hold_floats(&rewritten) {
            let optimizer = &mut state.config_mut().options_mut().optimizer;
            optimizer.enable_topk_aggregation = false;
        }
        let mut checked = owlet_athena_sql::prepare_execution(rewritten).map_err(failed)?;
        if duplicate_names::endanger_filters(&checked).map_err(failed)?
            && let Some(renamed) = unique_names::apply(&checked)
        {
            checked = renamed;
        }
        if float_keys::join_tables(&checked).map_err(failed)? {
            let optimizer = &mut state.config_mut().options_mut().optimizer;
            optimizer.enable_join_dynamic_filter_pushdown = false;
        }
        let circumstances = physical::Circumstances {
            budget: &options.budget,
            memory: template.memory_limit,
        };
        let (physical, work) = physical::plan(checked, &mut state, work, &circumstances)
            .await
            .map_err(failed)?;
        sampling.record(&work.work);
        Ok(PlannedQuery::of_plan(
            physical,
            state.task_ctx(),
            names,
            order,
            options,
            work,
            sql,
        ))
    }

    async fn planning_failed(
        &self,
        error: &datafusion::common::DataFusionError,
        sql: &str,
    ) -> EngineError {
        let mapped = EngineError::from_datafusion(error, sql);
        let EngineError::Plan { message, .. } = &mapped else {
            return mapped;
        };
        let Some(name) = message
            .split_once("table '")
            .and_then(|(_, rest)| rest.split_once("' not found"))
            .map(|(name, _)| name.to_owned())
        else {
            return mapped;
        };
        if let Some((catalog, _)) = name.split_once(&format!(".{PASSTHROUGH_SCHEMA}.")) {
            return self.known(catalog).err().unwrap_or(mapped);
        }
        self.table_not_found(as_written(&name, sql), &suggestions::meanings(self, &name))
            .await
    }

    /// The error of a table that is not there. `name` is what the statement says, `meant` catalog, schema and table that
    /// this means.
    async fn table_not_found(&self, name: &str, meant: &[TableName]) -> EngineError {
        let catalogs = self.catalog_names();
        let lacks_catalog = |meant: &TableName| {
            meant.catalog == NO_CATALOG && meant.schema == information_schema::SCHEMA
        };
        if let (Some(meant), Some(first)) = (meant.first(), catalogs.first())
            && lacks_catalog(meant)
        {
            return EngineError::Plan {
                position: None,
                message: format!("{name} needs a catalog"),
                hint: format!(
                    "write {first}.{}.{}, or give --catalog; catalogs: {}",
                    meant.schema,
                    meant.table,
                    catalogs.join(", ")
                ),
            };
        }
        let hint = if catalogs.is_empty() {
            "no catalog is configured; name a file in quotes ('data.parquet') or write an owlet.toml (`owlet init`)"
                .to_owned()
        } else {
            let usual = format!(
                "write catalog.schema.table; catalogs: {}; `owlet tables` lists tables",
                catalogs.join(", ")
            );
            // A source that is slow to list must not keep the error back.
            let near = tokio::time::timeout(LISTING_PATIENCE, suggestions::near(self, meant)).await;
            match near {
                Ok(Some(near)) => near,
                Ok(None) | Err(_) => usual,
            }
        };
        EngineError::TableNotFound {
            name: name.to_owned(),
            hint,
        }
    }

    pub(crate) fn catalog_names(&self) -> Vec<String> {
        self.inner.sources.keys().cloned().collect()
    }

    pub(crate) fn default_catalog(&self, options: &QueryOptions) -> Option<String> {
        if let Some(catalog) = &options.default_catalog {
            return Some(catalog.to_lowercase());
        }
        let sources = &self.inner.sources;
        if sources.len() == 1 {
            return sources.keys().next().cloned();
        }
        sources
            .contains_key(ATHENA_DEFAULT_CATALOG)
            .then(|| ATHENA_DEFAULT_CATALOG.to_owned())
    }

    pub(crate) fn default_schema(&self, catalog: &str, options: &QueryOptions) -> String {
        if let Some(schema) = &options.default_schema {
            return schema.clone();
        }
        self.source(catalog).map_or_else(
            || USUAL_SCHEMA.to_owned(),
            |source| default_schema(&*source.connector()),
        )
    }

    pub(crate) fn function_names(&self) -> Result<Vec<String>> {
        let session = &self.session()?.state;
        let scalar = session.scalar_functions().keys();
        let aggregate = session.aggregate_functions().keys();
        let window = session.window_functions().keys();
        Ok(scalar.chain(aggregate).chain(window).cloned().collect())
    }

    fn session(&self) -> Result<&Session> {
        if let Some(session) = self.inner.session.get() {
            return Ok(session);
        }
        let built = Session::build(&self.inner.config)?;
        Ok(self.inner.session.get_or_init(|| built))
    }

    fn known(&self, catalog: &str) -> Result<Source> {
        self.source(catalog).ok_or_else(|| EngineError::Plan {
            position: None,
            message: format!("catalog {catalog} does not exist"),
            hint: suggestions::of_catalogs(catalog, &self.catalog_names()),
        })
    }
}

/// A resolved name without the leading parts that the statement does not spell.
fn as_written<'name>(resolved: &'name str, sql: &str) -> &'name str {
    let sql = sql.to_lowercase();
    let mut name = resolved;
    while !sql.contains(&name.to_lowercase()) {
        match name.split_once('.') {
            Some((_, rest)) => name = rest,
            None => return resolved,
        }
    }
    name
}

fn reads_remotely(plan: &LogicalPlan) -> bool {
    let mut found = false;
    // The visitor itself never fails.
    let _ = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Extension(extension) = node {
            found |= extension.node.as_any().is::<RemoteScan>();
        }
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    });
    found
}

/// `EXPLAIN` as a result: the plan's text, one line a row.
async fn explained(
    planned: PlannedQuery,
    mode: ExplainMode,
    explain_type: ExplainType,
    format: ExplainFormat,
) -> Result<PlannedQuery> {
    // The explained query's own work ends with it; the rows that tell of it are another query.
    let work = Work::new(Budget::default());
    if explain_type == ExplainType::Validate {
        let mut rows = TextRows::new(&["Valid"]);
        rows.push(["true".to_owned()]);
        return Ok(PlannedQuery::of_rows(
            rows,
            Explanation::trivial("Validate"),
            work,
        ));
    }
    let explanation = planned.explanation().clone();
    let mut text = match format {
        ExplainFormat::Json => serde_json::to_string_pretty(&explanation)
            .map_err(|error| EngineError::Internal(error.to_string()))?,
        ExplainFormat::Text => explanation.to_string(),
        ExplainFormat::Graphviz => explanation.to_graphviz(),
    };
    if mode != ExplainMode::Plan {
        let report = planned.run_to_end().await?;
        let report = serde_json::to_string_pretty(&report)
            .map_err(|error| EngineError::Internal(error.to_string()))?;
        text.push_str("\nWork:\n");
        text.push_str(&report);
    }
    let mut rows = TextRows::new(&["Query Plan"]);
    for line in text.lines() {
        rows.push([line.to_owned()]);
    }
    Ok(PlannedQuery::of_rows(rows, explanation, work))
}
