//! The connector: metadata, plans, streams. Must never know how values are stored.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use owlet_connector::{
    BatchStream, Connector, ConnectorError, Health, Result, ScanContext, ScanPlan, ScanRequest,
    TableMetadata, TableSummary,
};
use owlet_remote_sql::sqlite::SqliteDialect;
use owlet_remote_sql::{Dialect, QueryOptions, Relation, SqlConnector};

use crate::connection::{Pool, PooledConnection};
use crate::metadata::{self, SCHEMA, is_schema};
use crate::options::SqliteOptions;
use crate::plan::{self, SplitWork, scan_estimate, scan_relation};
use crate::statement::Statement;

/// One SQLite database file, read-only.
#[derive(Debug)]
pub struct SqliteConnector {
    catalog: String,
    pool: Arc<Pool>,
}

impl SqliteConnector {
    /// Does no I/O: a missing file is an error of the first query that needs it.
    pub fn new(catalog: impl Into<String>, options: SqliteOptions) -> Result<Self> {
        let catalog = catalog.into();
        if options.path.as_os_str().is_empty() {
            return Err(ConnectorError::Configuration {
                catalog,
                message: "`path` is empty".to_owned(),
                hint: "point it at a SQLite database file".to_owned(),
            });
        }
        let pool = Pool::new(catalog.clone(), options);
        Ok(Self { catalog, pool })
    }

    fn not_found(&self, schema: &str, table: &str) -> ConnectorError {
        ConnectorError::TableNotFound {
            catalog: self.catalog.clone(),
            table: format!("{schema}.{table}"),
            hint: if is_schema(schema) {
                String::new()
            } else {
                format!("SQLite's only schema is {SCHEMA}")
            },
        }
    }
}

#[async_trait]
impl Connector for SqliteConnector {
    fn catalog(&self) -> &str {
        &self.catalog
    }

    fn kind(&self) -> &'static str {
        "sqlite"
    }

    async fn schemas(&self) -> Result<Vec<String>> {
        Ok(vec![SCHEMA.to_owned()])
    }

    async fn tables(&self, schema: &str) -> Result<Vec<TableSummary>> {
        if !is_schema(schema) {
            return Ok(Vec::new());
        }
        self.pool.run(metadata::tables).await
    }

    async fn table(&self, schema: &str, table: &str) -> Result<Option<Arc<TableMetadata>>> {
        if !is_schema(schema) {
            return Ok(None);
        }
        let name = table.to_owned();
        let found = self
            .pool
            .run(move |connection| metadata::table(connection, &name))
            .await?;
        Ok(found.map(Arc::new))
    }

    async fn describe_schema(&self, schema: &str) -> Result<Vec<Arc<TableMetadata>>> {
        if !is_schema(schema) {
            return Ok(Vec::new());
        }
        let tables = self.pool.run(metadata::all_tables).await?;
        Ok(tables.into_iter().map(Arc::new).collect())
    }

    async fn plan_scan(&self, request: &ScanRequest) -> Result<ScanPlan> {
        let name = request.table.clone();
        let (table, encoding) = self
            .pool
            .run(move |connection| {
                Ok((
                    metadata::table(connection, &name)?,
                    metadata::encoding(connection)?,
                ))
            })
            .await?;
        let table = table
            .filter(|_| is_schema(&request.schema))
            .ok_or_else(|| self.not_found(&request.schema, &request.table))?;
        let dialect = SqliteDialect::with_encoding(&encoding);
        let scan = scan_relation(&dialect, &table, request)?;
        let names = |position: usize| {
            let column = request
                .projection
                .get(position)
                .and_then(|column| table.columns.get(*column));
            column.map_or_else(|| format!("c{position}"), |column| column.name.clone())
        };
        let mut plan = plan::plan(&self.catalog, &dialect, encoding, &scan.relation, names)?;
        plan.filters = scan.filters;
        plan.limit_applied = scan.limit_applied;
        plan.ordering_applied = scan.ordering_applied;
        plan.notes = scan.notes;
        plan.estimate = scan_estimate(&table, request);
        self.add_access(plan).await
    }

    fn open(&self, plan: &ScanPlan, split: usize, context: ScanContext) -> BatchStream {
        let prepared = plan
            .splits
            .get(split)
            .ok_or_else(|| ConnectorError::Internal(format!("a plan without split {split}")))
            .and_then(|split| {
                serde_json::from_str::<SplitWork>(&split.payload).map_err(|error| {
                    ConnectorError::Internal(format!("a split of another connector: {error}"))
                })
            });
        let pool = Arc::clone(&self.pool);
        let schema = plan.schema.clone();
        let access = plan.access.clone();
        let opened = async move {
            let work = match prepared {
                Ok(work) => work,
                Err(error) => return stream::once(async { Err(error) }).boxed(),
            };
            let sql = work.statement(&context.dynamic_filters);
            if sql != work.sql {
                context.work.set_access(access, sql.clone());
            }
            let statement = Statement {
                pool,
                sql,
                schema,
                columns: work.columns,
                batch_rows: context.batch_rows.max(1),
                work: context.work,
                cancellation: context.cancellation,
            };
            statement.start().boxed()
        };
        stream::once(opened).flatten().boxed()
    }

    async fn health(&self) -> Health {
        let checked = self
            .pool
            .run(|connection| {
                let start = Instant::now();
                let version: String = connection
                    .query_row("SELECT sqlite_version()", [], |row| row.get(0))
                    .map_err(|error| connection.error(&error))?;
                metadata::tables(connection)?;
                Ok((version, start.elapsed()))
            })
            .await;
        match checked {
            Ok((version, latency)) => Health {
                healthy: true,
                version,
                rights: "read-only".to_owned(),
                latency: Some(latency),
                problem: String::new(),
                fix: String::new(),
            },
            Err(error) => {
                let text = error.to_string();
                let (problem, fix) = match text.split_once(" (hint: ") {
                    Some((problem, hint)) => {
                        (problem.to_owned(), hint.trim_end_matches(')').to_owned())
                    }
                    None => (text, String::new()),
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
    }
}

#[async_trait]
impl SqlConnector for SqliteConnector {
    async fn dialect(&self) -> Result<Arc<dyn Dialect>> {
        let encoding = self.pool.run(metadata::encoding).await?;
        Ok(Arc::new(SqliteDialect::with_encoding(&encoding)))
    }

    async fn plan_query(&self, relation: &Relation, _options: &QueryOptions) -> Result<ScanPlan> {
        let encoding = self.pool.run(metadata::encoding).await?;
        let dialect = SqliteDialect::with_encoding(&encoding);
        let names = |position: usize| format!("c{position}");
        let plan = plan::plan(&self.catalog, &dialect, encoding, relation, names)?;
        self.add_access(plan).await
    }
}

impl SqliteConnector {
    /// Asks SQLite how it will run the statement. This also finds tables that have vanished.
    async fn add_access(&self, mut plan: ScanPlan) -> Result<ScanPlan> {
        let sql = plan.remote.clone();
        let steps = self
            .pool
            .run(move |connection| explain(connection, &sql))
            .await?;
        let searches = steps.iter().any(|step| step.starts_with("SEARCH"));
        plan.access = if searches { "index search" } else { "scan" }.to_owned();
        Ok(plan)
    }
}

fn explain(connection: &PooledConnection, sql: &str) -> Result<Vec<String>> {
    let read = || -> rusqlite::Result<Vec<String>> {
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
        let rows = statement.query_map([], |row| row.get::<_, String>(3))?;
        rows.collect()
    };
    read().map_err(|error| connection.error(&error))
}
