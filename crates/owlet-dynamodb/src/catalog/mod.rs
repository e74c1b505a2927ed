//! The tables of one catalog: found, described, inferred once, and kept in memory and on disk.
//! Must never know scans.

pub(crate) mod access_kind;
mod disk;
pub(crate) mod learned;
pub(crate) mod partition_sizes;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use owlet_connector::{ConnectorError, SampleWork};
use serde::Deserialize;
use serde_json::json;

use self::disk::DiskCache;
use crate::decode::Rejection;
use crate::description::TableDescription;
use crate::infer::{InferenceReport, InferredSchema, SchemaOverrides};
use crate::options::DynamoDbOptions;
use crate::table::{DynamoTable, SCHEMA};
use crate::transport::{Consumption, Operation, Repetitions, Request, Target, Transport, Watch};

/// Finds and remembers tables.
#[derive(Debug)]
pub(crate) struct TableCatalog {
    transport: Arc<Transport>,
    options: DynamoDbOptions,
    slots: Mutex<HashMap<String, Arc<Slot>>>,
    names: tokio::sync::Mutex<Option<(Instant, Arc<Vec<String>>)>>,
    /// Other spellings that were asked for, with the table's own: a look-up should not list tables each time.
    spellings: Mutex<HashMap<String, String>>,
    overrides: tokio::sync::OnceCell<Arc<SchemaOverrides>>,
    /// What samples have read so far, by table.
    sampled: Mutex<BTreeMap<String, SampleWork>>,
}

/// One table's place; its lock makes concurrent look-ups share one inference.
type Slot = tokio::sync::Mutex<Option<(Instant, Arc<DynamoTable>)>>;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TablePage {
    #[serde(default)]
    table_names: Vec<String>,
    last_evaluated_table_name: Option<String>,
}

impl Consumption for TablePage {
    fn capacity_units(&self) -> f64 {
        0.0
    }
}

impl Consumption for TableDescription {
    fn capacity_units(&self) -> f64 {
        0.0
    }
}

impl TableCatalog {
    pub(crate) fn new(transport: Arc<Transport>, options: DynamoDbOptions) -> Self {
        Self {
            transport,
            options,
            slots: Mutex::default(),
            names: tokio::sync::Mutex::default(),
            spellings: Mutex::default(),
            overrides: tokio::sync::OnceCell::new(),
            sampled: Mutex::default(),
        }
    }

    /// Names of all tables, at most `metadata_ttl` old.
    pub(crate) async fn names(&self) -> Result<Arc<Vec<String>>, ConnectorError> {
        let mut cached = self.names.lock().await;
        if let Some((loaded, names)) = cached.as_ref()
            && loaded.elapsed() < self.options.metadata_ttl
        {
            return Ok(Arc::clone(names));
        }
        let mut names = Vec::new();
        let mut start: Option<String> = None;
        loop {
            let page = self
                .list_page(start.as_deref(), 100, Repetitions::Configured)
                .await?;
            names.extend(page.table_names);
            start = page.last_evaluated_table_name;
            if start.is_none() {
                break;
            }
        }
        let names = Arc::new(names);
        *cached = Some((Instant::now(), Arc::clone(&names)));
        Ok(names)
    }

    /// Some table names, with one request that is never cached: is the service there, and what may we do?
    pub(crate) async fn some_names(&self) -> Result<Vec<String>, ConnectorError> {
        Ok(self
            .list_page(None, 5, Repetitions::Once)
            .await?
            .table_names)
    }

    /// The table of a name: the exact spelling, or the only one that differs by case.
    pub(crate) async fn find(
        &self,
        name: &str,
    ) -> Result<Option<Arc<DynamoTable>>, ConnectorError> {
        let known = lock(&self.spellings).get(name).cloned();
        if let Some(own) = known
            && let Some(table) = self.exact(&own).await?
        {
            return Ok(Some(table));
        }
        if is_table_name(name)
            && let Some(table) = self.exact(name).await?
        {
            return Ok(Some(table));
        }
        let names = self.names().await?;
        let lower = name.to_lowercase();
        let candidates: Vec<&String> = names
            .iter()
            .filter(|known| known.to_lowercase() == lower)
            .collect();
        match candidates.as_slice() {
            [] => Ok(None),
            [only] => {
                lock(&self.spellings).insert(name.to_owned(), (*only).clone());
                self.exact(only).await
            }
            several => Err(ConnectorError::AmbiguousName {
                catalog: self.transport.catalog().to_owned(),
                name: name.to_owned(),
                candidates: several
                    .iter()
                    .map(|name| name.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
            }),
        }
    }

    /// The table of exactly this spelling.
    pub(crate) async fn exact(
        &self,
        name: &str,
    ) -> Result<Option<Arc<DynamoTable>>, ConnectorError> {
        let slot = Arc::clone(lock(&self.slots).entry(name.to_owned()).or_default());
        let mut cached = slot.lock().await;
        if let Some((loaded, table)) = cached.as_ref()
            && loaded.elapsed() < self.options.metadata_ttl
        {
            return Ok(Some(Arc::clone(table)));
        }
        let description = match self.describe(name).await {
            Ok(description) => description,
            Err(ConnectorError::TableNotFound { .. }) => {
                *cached = None;
                drop(cached);
                lock(&self.slots).remove(name);
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        for (index, units) in description.capacities() {
            self.transport
                .provisioned(&description.name, index.as_deref(), units);
        }
        let known = cached.as_ref().map(|(_, table)| Arc::clone(table));
        let inferred = self.inferred(&description, known.as_deref()).await?;
        let table = Arc::new(DynamoTable::new(
            description,
            inferred,
            self.overrides().await?.as_ref(),
        ));
        *cached = Some((Instant::now(), Arc::clone(&table)));
        Ok(Some(table))
    }

    /// Samples a table anew, whatever is cached, and remembers the result.
    pub(crate) async fn infer(&self, name: &str) -> Result<InferenceReport, ConnectorError> {
        let file = self.options.schema_overrides.as_deref();
        if let Some(none) = SchemaOverrides::of_missing_file(file) {
            // What is inferred here may become the file.
            self.overrides
                .get_or_init(|| async { Arc::new(none) })
                .await;
        }
        let Some(table) = self.find(name).await? else {
            return Err(self.not_found(name));
        };
        let name = table.description.name.clone();
        let description = self.describe(&name).await?;
        let inferred = self.sample(&description).await?;
        let table = Arc::new(DynamoTable::new(
            description,
            inferred,
            self.overrides().await?.as_ref(),
        ));
        let slot = Arc::clone(lock(&self.slots).entry(name).or_default());
        *slot.lock().await = Some((Instant::now(), Arc::clone(&table)));
        Ok(table.report())
    }

    /// The error for a table that is not there.
    pub(crate) fn not_found(&self, name: &str) -> ConnectorError {
        ConnectorError::TableNotFound {
            catalog: self.transport.catalog().to_owned(),
            table: name.to_owned(),
            hint: "`owlet tables` lists the tables of the account and region".to_owned(),
        }
    }

    /// Columns from memory, from disk, or from a new sample, as long as they belong to this very table.
    async fn inferred(
        &self,
        description: &TableDescription,
        known: Option<&DynamoTable>,
    ) -> Result<InferredSchema, ConnectorError> {
        let is_same = |other: &TableDescription| {
            other.arn == description.arn && other.created == description.created
        };
        if let Some(known) = known
            && is_same(&known.description)
            && known
                .inferred
                .is_current(description, self.options.schema_ttl)
        {
            return Ok(known.inferred.clone());
        }
        if let Some(disk) = self.disk().await?
            && let Some(stored) = disk.load(description, &self.options).await
            && stored.is_current(description, self.options.schema_ttl)
        {
            return Ok(stored);
        }
        self.sample(description).await
    }

    /// Columns from a new sample, which is kept and counted.
    async fn sample(
        &self,
        description: &TableDescription,
    ) -> Result<InferredSchema, ConnectorError> {
        let (inferred, work) = InferredSchema::infer(
            &self.transport,
            description,
            &self.options,
            &Watch::default(),
        )
        .await?;
        *lock(&self.sampled)
            .entry(format!("{SCHEMA}.{}", description.name))
            .or_default() += work;
        self.store(description, &inferred).await;
        Ok(inferred)
    }

    /// What samples have read so far, by table.
    pub(crate) fn sampled(&self) -> BTreeMap<String, SampleWork> {
        lock(&self.sampled).clone()
    }

    async fn store(&self, description: &TableDescription, inferred: &InferredSchema) {
        if inferred.items == 0 {
            return;
        }
        if let Ok(Some(disk)) = self.disk().await {
            disk.store(description, inferred, &self.options).await;
        }
    }

    async fn disk(&self) -> Result<Option<DiskCache>, ConnectorError> {
        match &self.options.cache_dir {
            None => Ok(None),
            Some(folder) => Ok(Some(DiskCache::new(
                folder,
                self.transport.address().await?.as_str(),
            ))),
        }
    }

    async fn overrides(&self) -> Result<Arc<SchemaOverrides>, ConnectorError> {
        let load = || async {
            let Some(path) = &self.options.schema_overrides else {
                return Ok(Arc::default());
            };
            SchemaOverrides::load_configured(self.transport.catalog(), path).map(Arc::new)
        };
        self.overrides.get_or_try_init(load).await.map(Arc::clone)
    }

    async fn describe(&self, name: &str) -> Result<TableDescription, ConnectorError> {
        let request = Request {
            target: Target {
                operation: Operation::DescribeTable,
                table: Some(name),
                index: None,
            },
            body: json!({ "TableName": name }).to_string(),
            expected_units: 0.0,
        };
        let answer = self
            .transport
            .call(&request, &Watch::default(), |body| {
                TableDescription::parse(body).map_err(Rejection::Damaged)
            })
            .await?;
        Ok(answer.value)
    }

    async fn list_page(
        &self,
        start: Option<&str>,
        limit: u32,
        repetitions: Repetitions,
    ) -> Result<TablePage, ConnectorError> {
        let mut body = json!({ "Limit": limit });
        if let Some(start) = start {
            body["ExclusiveStartTableName"] = start.into();
        }
        let request = Request {
            target: Target {
                operation: Operation::ListTables,
                table: None,
                index: None,
            },
            body: body.to_string(),
            expected_units: 0.0,
        };
        let watch = Watch {
            repetitions,
            ..Watch::default()
        };
        let answer = self
            .transport
            .call(&request, &watch, |body| {
                serde_json::from_slice::<TablePage>(body)
                    .map_err(|error| Rejection::Damaged(error.to_string()))
            })
            .await?;
        Ok(answer.value)
    }
}

/// DynamoDB's rule for table names; it rejects requests about others.
fn is_table_name(name: &str) -> bool {
    (3..=255).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
