//! The connector for exports: the contract's methods over catalog and reader, and the plan of a scan, which has little
//! to choose. Must never know bytes.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use owlet_connector::{
    BatchStream, Connector, ConnectorError, CostEstimate, Exactness, Health, Result, ScanContext,
    ScanPlan, ScanRequest, Split, TableKind, TableMetadata, TableSummary,
};

use super::catalog::{ExportCatalog, ExportColumn, ExportTable};
use super::manifest::DataFile;
use super::read::{self, ExportSplit};
use super::record::{Output, output_schema};
use super::store::ExportStore;
use crate::decode::DecodedColumn;
use crate::infer::InferenceReport;
use crate::options::DynamoDbOptions;
use crate::shape::Shape;
use crate::table::SCHEMA;

/// A folder of DynamoDB exports as a catalog with the schema `default`: the newest full export of each table under
/// the table's name, and the records of all its incremental exports as `NAME$changes`.
#[derive(Debug)]
pub struct DynamoDbExportConnector {
    catalog: String,
    options: Arc<DynamoDbOptions>,
    store: Arc<ExportStore>,
    tables: ExportCatalog,
}

impl DynamoDbExportConnector {
    /// Checks location (a local folder or `s3://bucket/prefix`) and options; does no I/O. Of the options, region,
    /// endpoint and credentials are those of S3; sampling, types, overrides and time-outs mean what they mean for
    /// tables.
    pub fn new(catalog: &str, location: &str, options: DynamoDbOptions) -> Result<Self> {
        let options = Arc::new(options);
        let store = Arc::new(ExportStore::new(catalog, location, Arc::clone(&options))?);
        Ok(Self {
            catalog: catalog.to_owned(),
            tables: ExportCatalog::new(Arc::clone(&store), Arc::clone(&options)),
            options,
            store,
        })
    }

    /// What the sample of a table showed.
    pub fn infer_schema<'a>(&'a self, table: &'a str) -> BoxFuture<'a, Result<InferenceReport>> {
        async move {
            let found = self.tables.find_for_evidence(table).await?;
            Ok(found.ok_or_else(|| self.not_found(table))?.report())
        }
        .boxed()
    }

    async fn existing(&self, table: &str) -> Result<Arc<ExportTable>> {
        let found = self.tables.find(table).await?;
        found.ok_or_else(|| self.not_found(table))
    }

    fn not_found(&self, table: &str) -> ConnectorError {
        ConnectorError::TableNotFound {
            catalog: self.catalog.clone(),
            table: table.to_owned(),
            hint: format!(
                "no finished export of it is in {}; `owlet tables` lists what is",
                self.store.name(self.store.root())
            ),
        }
    }
}

#[async_trait]
impl Connector for DynamoDbExportConnector {
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
        if !schema.eq_ignore_ascii_case(SCHEMA) {
            return Ok(Vec::new());
        }
        let sources = self.tables.sources().await?;
        Ok(sources
            .iter()
            .map(|source| TableSummary {
                name: source.name.clone(),
                kind: TableKind::Table,
            })
            .collect())
    }

    async fn table(&self, schema: &str, table: &str) -> Result<Option<Arc<TableMetadata>>> {
        if !schema.eq_ignore_ascii_case(SCHEMA) {
            return Ok(None);
        }
        let found = self.tables.find(table).await?;
        Ok(found.map(|table| Arc::clone(&table.metadata)))
    }

    async fn plan_scan(&self, request: &ScanRequest) -> Result<ScanPlan> {
        let table = self.existing(&request.table).await?;
        plan(&table, request)
    }

    fn open(&self, plan: &ScanPlan, split: usize, context: ScanContext) -> BatchStream {
        read::open(
            Arc::clone(&self.store),
            self.options.on_type_mismatch,
            plan,
            split,
            context,
        )
    }

    async fn health(&self) -> Health {
        let started = Instant::now();
        let outcome = self.tables.sources().await;
        let version = format!("DynamoDB exports in {}", self.store.name(self.store.root()));
        match outcome {
            Ok(sources) => Health {
                healthy: true,
                version,
                rights: "reads files".to_owned(),
                latency: Some(started.elapsed()),
                problem: if sources.is_empty() {
                    "there is no finished export".to_owned()
                } else {
                    String::new()
                },
                fix: if sources.is_empty() {
                    "point location at the folder AWSDynamoDB or the one above it".to_owned()
                } else {
                    String::new()
                },
            },
            Err(error) => Health {
                healthy: false,
                version,
                rights: String::new(),
                latency: None,
                problem: error.to_string(),
                fix: match &error {
                    ConnectorError::Authentication { hint, .. } => hint.clone(),
                    _ => "check location, credentials and the rights s3:GetObject, s3:ListBucket"
                        .to_owned(),
                },
            },
        }
    }
}

fn plan(table: &ExportTable, request: &ScanRequest) -> Result<ScanPlan> {
    let (columns, outputs) = projected(table, &request.projection)?;
    let limit = request
        .limit
        .filter(|_| request.filters.is_empty() && request.ordering.is_empty());
    let items: u64 = table.files.iter().map(|file| file.items).sum();
    let needed = limit.map_or(items, |limit| limit.min(items)) as f64;
    // With a limit the first files usually suffice.
    let parts = if limit.is_some() {
        1
    } else {
        request.target_partitions.max(1)
    };
    let splits = divided(&table.files, parts)
        .into_iter()
        .map(|files| {
            let split = ExportSplit {
                table: table.name.clone(),
                key_names: table.key_names.clone(),
                columns: columns.clone(),
                outputs: outputs.clone(),
                files,
                limit,
            };
            let payload = serde_json::to_string(&split).map_err(|error| {
                ConnectorError::Internal(format!("a split does not serialise: {error}"))
            })?;
            Ok(Split {
                description: format!("{} files", split.files.len()),
                payload,
            })
        })
        .collect::<Result<_>>()?;
    Ok(ScanPlan {
        schema: output_schema(&columns, &outputs),
        splits,
        filters: vec![
            Exactness::Unsupported("an export is read whole".to_owned());
            request.filters.len()
        ],
        limit_applied: limit.is_some(),
        ordering_applied: false,
        estimate: CostEstimate {
            rows_read: Some(needed),
            rows_returned: Some(needed),
            rcu: Some(0.0),
            requests: Some(table.files.len() as f64),
            ..CostEstimate::default()
        },
        table: format!("{SCHEMA}.{}", table.name),
        access: "export files".to_owned(),
        remote: format!("{} files of the {}", table.files.len(), table.origin),
        notes: vec![format!(
            "columns inferred from {} items",
            table.sampled_items()
        )],
    })
}

/// The columns to decode, and where each returned one comes from.
fn projected(
    table: &ExportTable,
    projection: &[usize],
) -> Result<(Vec<DecodedColumn>, Vec<Output>)> {
    let mut columns: Vec<DecodedColumn> = Vec::new();
    let mut outputs = Vec::new();
    for position in projection {
        let (Some(column), Some(metadata)) = (
            table.columns.get(*position),
            table.metadata.columns.get(*position),
        ) else {
            return Err(ConnectorError::Internal(format!(
                "table {} has no column at position {position}",
                table.name
            )));
        };
        let decoded = match column {
            ExportColumn::Attribute { name, shape } => DecodedColumn {
                attribute: Some(name.clone()),
                name: metadata.name.clone(),
                shape: shape.clone(),
                nullable: true,
            },
            ExportColumn::Item => DecodedColumn {
                attribute: None,
                name: metadata.name.clone(),
                shape: Shape::Json,
                nullable: false,
            },
            ExportColumn::Change(change) => {
                outputs.push(Output::Change(*change, metadata.name.clone()));
                continue;
            }
        };
        let known = columns.iter().position(|known| *known == decoded);
        outputs.push(Output::Decoded(known.unwrap_or_else(|| {
            columns.push(decoded);
            columns.len() - 1
        })));
    }
    Ok((columns, outputs))
}

/// Divides files into parts of nearly as many items: the biggest first, each to the part that has the least.
fn divided(files: &[DataFile], parts: usize) -> Vec<Vec<DataFile>> {
    let mut order: Vec<&DataFile> = files.iter().collect();
    order.sort_by_key(|file| std::cmp::Reverse(file.items));
    let mut divided: Vec<(u64, Vec<DataFile>)> = vec![(0, Vec::new()); parts.min(files.len())];
    for file in order {
        if let Some((items, part)) = divided.iter_mut().min_by_key(|(items, _)| *items) {
            *items += file.items;
            part.push(file.clone());
        }
    }
    divided.into_iter().map(|(_, part)| part).collect()
}
