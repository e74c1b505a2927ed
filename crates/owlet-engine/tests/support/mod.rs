//! A table source in memory that notes what it is asked, so tests can see what the planner hands to a connector.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Schema};
use async_trait::async_trait;
use futures::TryStreamExt;
use owlet_connector::{
    BatchStream, ColumnMetadata, Connector, CostEstimate, Exactness, Expression, Health, Result,
    RowCount, SampleWork, ScanContext, ScanPlan, ScanRequest, Split, TableKind, TableMetadata,
    TableSummary,
};
use owlet_engine::{Engine, EngineConfig, EngineError, QueryOptions, Source};

/// Two tables, `people(id, name, city_id)` and `cities(id, name)`, in schema `default`.
#[derive(Debug)]
pub struct MemoryConnector {
    catalog: String,
    exactness: Exactness,
    rcu: Option<f64>,
    /// What samples of tables cost so far, and what one costs.
    sampled: Mutex<BTreeMap<String, SampleWork>>,
    sample_rcu: f64,
    /// Everything `plan_scan` was asked.
    pub requests: Mutex<Vec<ScanRequest>>,
    /// Dynamic filters `open` was given.
    pub dynamic_filters: Mutex<Vec<Vec<Expression>>>,
}

impl MemoryConnector {
    /// A source that claims this exactness for every filter (and indeed applies none).
    pub fn new(catalog: &str, exactness: Exactness) -> Arc<Self> {
        Arc::new(Self {
            catalog: catalog.to_owned(),
            exactness,
            rcu: None,
            sampled: Mutex::default(),
            sample_rcu: 0.0,
            requests: Mutex::default(),
            dynamic_filters: Mutex::default(),
        })
    }

    /// A source whose scans are estimated to cost read capacity.
    pub fn costing(catalog: &str, rcu: f64) -> Arc<Self> {
        Arc::new(Self {
            catalog: catalog.to_owned(),
            exactness: Exactness::Unsupported("memory".to_owned()),
            rcu: Some(rcu),
            sampled: Mutex::default(),
            sample_rcu: 0.0,
            requests: Mutex::default(),
            dynamic_filters: Mutex::default(),
        })
    }

    /// A source that samples each table when it is first described, which costs read capacity as a scan does.
    pub fn sampling(catalog: &str, rcu: f64) -> Arc<Self> {
        Arc::new(Self {
            catalog: catalog.to_owned(),
            exactness: Exactness::Unsupported("memory".to_owned()),
            rcu: Some(rcu),
            sampled: Mutex::default(),
            sample_rcu: rcu,
            requests: Mutex::default(),
            dynamic_filters: Mutex::default(),
        })
    }

    fn data(table: &str) -> (Vec<ArrayRef>, Vec<(&'static str, DataType)>) {
        let text =
            |values: &[Option<&str>]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
        let numbers =
            |values: &[Option<i64>]| Arc::new(Int64Array::from(values.to_vec())) as ArrayRef;
        match table {
            "people" => (
                vec![
                    numbers(&[Some(1), Some(2), Some(3), Some(4)]),
                    text(&[Some("Ada"), Some("Björn"), None, Some("Çelik")]),
                    numbers(&[Some(10), Some(20), Some(10), None]),
                ],
                vec![
                    ("id", DataType::Int64),
                    ("Name", DataType::Utf8),
                    ("city_id", DataType::Int64),
                ],
            ),
            _ => (
                vec![
                    numbers(&[Some(10), Some(30)]),
                    text(&[Some("Bern"), Some("Oslo")]),
                ],
                vec![("id", DataType::Int64), ("name", DataType::Utf8)],
            ),
        }
    }
}

#[async_trait]
impl Connector for MemoryConnector {
    fn catalog(&self) -> &str {
        &self.catalog
    }

    fn kind(&self) -> &'static str {
        "memory"
    }

    async fn schemas(&self) -> Result<Vec<String>> {
        Ok(vec!["default".to_owned()])
    }

    async fn tables(&self, _schema: &str) -> Result<Vec<TableSummary>> {
        let table = |name: &str| TableSummary {
            name: name.to_owned(),
            kind: TableKind::Table,
        };
        Ok(vec![table("people"), table("cities")])
    }

    async fn table(&self, schema: &str, table: &str) -> Result<Option<Arc<TableMetadata>>> {
        let table = table.to_lowercase();
        if schema != "default" || !["people", "cities"].contains(&table.as_str()) {
            return Ok(None);
        }
        if self.sample_rcu > 0.0 {
            let mut sampled = self.sampled.lock().expect("no test panicked");
            let work = SampleWork {
                requests: 1,
                items: 2,
                bytes: 30,
                capacity_units: self.sample_rcu,
            };
            sampled.insert(table.clone(), work);
        }
        let (columns, types) = Self::data(&table);
        Ok(Some(Arc::new(TableMetadata {
            schema: schema.to_owned(),
            name: table,
            kind: TableKind::Table,
            columns: types
                .into_iter()
                .map(|(name, kind)| ColumnMetadata::new(name, kind, "memory"))
                .collect(),
            rows: RowCount::Exact(columns[0].len() as u64),
            bytes: None,
            primary_key: vec![0],
            comment: None,
        })))
    }

    async fn plan_scan(&self, request: &ScanRequest) -> Result<ScanPlan> {
        self.requests
            .lock()
            .expect("no test panicked while asking")
            .push(request.clone());
        let (columns, types) = Self::data(&request.table);
        let fields: Vec<_> = request
            .projection
            .iter()
            .map(|column| {
                ColumnMetadata::new(types[*column].0, types[*column].1.clone(), "").field()
            })
            .collect();
        Ok(ScanPlan {
            schema: Schema::new(fields),
            splits: vec![Split {
                description: "all".to_owned(),
                payload: serde_json::to_string(request).expect("a request is plain data"),
            }],
            filters: vec![self.exactness.clone(); request.filters.len()],
            limit_applied: false,
            ordering_applied: false,
            estimate: CostEstimate {
                rows_returned: Some(columns[0].len() as f64),
                rcu: self.rcu,
                ..CostEstimate::default()
            },
            table: request.table.clone(),
            access: "memory".to_owned(),
            remote: format!("memory {}", request.table),
            notes: Vec::new(),
        })
    }

    fn open(&self, plan: &ScanPlan, split: usize, context: ScanContext) -> BatchStream {
        self.dynamic_filters
            .lock()
            .expect("no test panicked while opening")
            .push(context.dynamic_filters.clone());
        let request: ScanRequest =
            serde_json::from_str(&plan.splits[split].payload).expect("the payload is a request");
        let (columns, _) = Self::data(&request.table);
        let rows = columns[0].len();
        let columns = request
            .projection
            .iter()
            .map(|column| Arc::clone(&columns[*column]))
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch =
            RecordBatch::try_new_with_options(Arc::new(plan.schema.clone()), columns, &options)
                .expect("the columns match the schema");
        let counted = context.work.add_rows_returned(rows as u64).map(|()| batch);
        Box::pin(futures::stream::iter([counted]))
    }

    fn sampled(&self) -> BTreeMap<String, SampleWork> {
        self.sampled.lock().expect("no test panicked").clone()
    }

    async fn health(&self) -> Health {
        Health {
            healthy: true,
            version: String::new(),
            rights: String::new(),
            latency: None,
            problem: String::new(),
            fix: String::new(),
        }
    }
}

/// An engine over the given memory sources.
pub fn engine(connectors: &[Arc<MemoryConnector>]) -> Engine {
    let mut builder = Engine::builder(EngineConfig {
        target_partitions: Some(2),
        ..EngineConfig::default()
    });
    for connector in connectors {
        let source = Source::Table(Arc::clone(connector) as Arc<dyn Connector>);
        builder = builder.catalog(connector.catalog(), source);
    }
    builder.build().expect("the configuration is right")
}

/// Runs a query and prints its answer as aligned text.
pub async fn answer(
    engine: &Engine,
    sql: &str,
    options: &QueryOptions,
) -> Result<String, EngineError> {
    let stream = engine.plan(sql, options).await?.execute()?;
    let schema = stream.schema();
    let batches: Vec<RecordBatch> = stream.try_collect().await?;
    let table = arrow::util::pretty::pretty_format_batches_with_schema(schema, &batches);
    Ok(table.expect("results print").to_string())
}
