//! The connector: the contract's methods over catalog, planner and readers. Must never decide anything itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use owlet_connector::{
    BatchStream, Connector, ConnectorError, Health, Result, SampleWork, ScanContext, ScanPlan,
    ScanRequest, TableKind, TableMetadata, TableSummary,
};

use crate::catalog::TableCatalog;
use crate::catalog::learned::{self, Learner};
use crate::infer::InferenceReport;
use crate::options::DynamoDbOptions;
use crate::partiql::SelectStatement;
use crate::plan::preflight::Circumstances;
use crate::plan::{plan_scan, plan_statement};
use crate::read;
use crate::table::{DynamoTable, SCHEMA};
use crate::transport::Transport;

/// Tables described at once for `information_schema`.
const CONCURRENT_DESCRIPTIONS: usize = 8;

/// One DynamoDB account and region as a catalog with the schema `default`.
#[derive(Debug)]
pub struct DynamoDbConnector {
    catalog: String,
    options: Arc<DynamoDbOptions>,
    transport: Arc<Transport>,
    tables: TableCatalog,
    learner: Arc<Learner>,
}

impl DynamoDbConnector {
    /// Checks the options; does no I/O.
    pub fn new(catalog: &str, options: DynamoDbOptions) -> Result<Self> {
        let transport = Arc::new(Transport::new(catalog, &options)?);
        Ok(Self {
            catalog: catalog.to_owned(),
            tables: TableCatalog::new(Arc::clone(&transport), options.clone()),
            learner: Arc::new(Learner::new(options.cache_dir.as_deref())),
            options: Arc::new(options),
            transport,
        })
    }

    /// Samples a table anew and tells what was found; the columns of later queries follow from it.
    pub fn infer_schema<'a>(&'a self, table: &'a str) -> BoxFuture<'a, Result<InferenceReport>> {
        self.tables.infer(table).boxed()
    }

    /// What planning must know beside the table.
    async fn circumstances(&self, table: &DynamoTable) -> Result<Circumstances> {
        let description = &table.description;
        let address = self.transport.address().await?.as_str();
        let region = if self.transport.is_aws() {
            Some(self.transport.region().await?)
        } else {
            None
        };
        let rates = description
            .capacities()
            .into_iter()
            .filter_map(|(index, _)| {
                let rate = self
                    .transport
                    .units_per_second(&description.name, index.as_deref())?;
                Some((index, rate))
            })
            .collect();
        Ok(Circumstances {
            region,
            price_per_million: self.options.price_per_million_rcu,
            rates,
            learned: self
                .learner
                .experience(address, &learned::identity(description))
                .await,
        })
    }
}

#[async_trait]
impl Connector for DynamoDbConnector {
    fn catalog(&self) -> &str {
        &self.catalog
    }

    fn kind(&self) -> &'static str {
        "dynamodb"
    }

    async fn schemas(&self) -> Result<Vec<String>> {
        Ok(vec![SCHEMA.to_owned()])
    }

    async fn tables(&self, schema: &str) -> Result<Vec<TableSummary>> {
        if !is_schema(schema) {
            return Ok(Vec::new());
        }
        let names = self.tables.names().await?;
        Ok(names
            .iter()
            .map(|name| TableSummary {
                name: name.clone(),
                kind: TableKind::Table,
            })
            .collect())
    }

    async fn table(&self, schema: &str, table: &str) -> Result<Option<Arc<TableMetadata>>> {
        if !is_schema(schema) {
            return Ok(None);
        }
        Ok(self
            .tables
            .find(table)
            .await?
            .map(|table| Arc::clone(&table.metadata)))
    }

    async fn describe_schema(&self, schema: &str) -> Result<Vec<Arc<TableMetadata>>> {
        if !is_schema(schema) {
            return Ok(Vec::new());
        }
        let names = self.tables.names().await?;
        let described: Vec<Option<_>> = futures::stream::iter(names.to_vec())
            .map(|name| async move { self.tables.exact(&name).await })
            .buffered(CONCURRENT_DESCRIPTIONS)
            .try_collect()
            .await?;
        // A table may have vanished since it was listed.
        Ok(described
            .into_iter()
            .flatten()
            .map(|table| Arc::clone(&table.metadata))
            .collect())
    }

    async fn plan_scan(&self, request: &ScanRequest) -> Result<ScanPlan> {
        let Some(table) = self.tables.find(&request.table).await? else {
            return Err(self.tables.not_found(&request.table));
        };
        let circumstances = self.circumstances(&table).await?;
        plan_scan(
            &self.catalog,
            &table,
            request,
            &self.options,
            &circumstances,
        )
    }

    async fn plan_source_query(&self, query: &str) -> Result<ScanPlan> {
        let statement =
            SelectStatement::parse(query).map_err(|message| ConnectorError::QueryRefused {
                catalog: self.catalog.clone(),
                message,
                hint: "write one PartiQL SELECT, like SELECT * FROM \"orders\" WHERE id = 'A1'"
                    .to_owned(),
            })?;
        let Some(table) = self.tables.exact(&statement.table).await? else {
            return Err(self.tables.not_found(&statement.table));
        };
        let circumstances = self.circumstances(&table).await?;
        plan_statement(
            &self.catalog,
            &table,
            &statement,
            query,
            &self.options,
            &circumstances,
        )
    }

    fn open(&self, plan: &ScanPlan, split: usize, context: ScanContext) -> BatchStream {
        read::open(
            Arc::clone(&self.transport),
            Arc::clone(&self.options),
            Arc::clone(&self.learner),
            plan,
            split,
            context,
        )
    }

    fn sampled(&self) -> BTreeMap<String, SampleWork> {
        self.tables.sampled()
    }

    async fn health(&self) -> Health {
        // The first request also opens the connection; the second one measures.
        let first = self.tables.some_names().await;
        let started = Instant::now();
        let outcome = match first {
            Ok(_) => self.tables.some_names().await,
            Err(error) => Err(error),
        };
        let latency = started.elapsed();
        let address = self
            .transport
            .address()
            .await
            .map(ToString::to_string)
            .unwrap_or_default();
        match outcome {
            Ok(names) => Health {
                healthy: true,
                version: format!("DynamoDB at {address}"),
                rights: if names.is_empty() {
                    "lists tables; there are none".to_owned()
                } else {
                    "lists tables".to_owned()
                },
                latency: Some(latency),
                problem: String::new(),
                fix: String::new(),
            },
            Err(error) => Health {
                healthy: false,
                version: format!("DynamoDB at {address}"),
                rights: String::new(),
                latency: None,
                fix: fix_of(&error),
                problem: error.to_string(),
            },
        }
    }
}

fn is_schema(schema: &str) -> bool {
    schema.eq_ignore_ascii_case(SCHEMA)
}

fn fix_of(error: &ConnectorError) -> String {
    match error {
        ConnectorError::Configuration { hint, .. }
        | ConnectorError::Authentication { hint, .. }
        | ConnectorError::PermissionDenied { hint, .. }
        | ConnectorError::Unreachable { hint, .. }
        | ConnectorError::Timeout { hint, .. } => hint.clone(),
        _ => "try again; if it stays, see the message".to_owned(),
    }
}
