//! A real DynamoDB (Local) for tests: tables made and dropped, items written, scans run and compared.

#![allow(dead_code, reason = "each test file uses a part")]

pub mod oracle;
pub mod proxy;

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use futures::TryStreamExt as _;
use owlet_connector::{
    Budget, ColumnReference, CompareOperator, Connector as _, ConnectorError, Expression, Literal,
    QueryWork, ScanContext, ScanDescription, ScanPlan, ScanRequest, SourceWork, TableMetadata,
};
use owlet_dynamodb::{DynamoDbConnector, DynamoDbOptions};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

tokio::task_local! {
    /// Replaces the service under test within [`everywhere`].
    static ENDPOINT: String;
}

/// Runs a test on DynamoDB Local, and on dynalite as a second opinion.
pub async fn everywhere<F: Future<Output = ()>>(test: impl Fn() -> F) {
    test().await;
    let dynalite = std::env::var("OWLET_TEST_DYNALITE_ENDPOINT")
        .expect("OWLET_TEST_DYNALITE_ENDPOINT is not set: run me through `cargo xtask test`");
    ENDPOINT.scope(dynalite, test()).await;
}

/// Address of the service under test.
pub fn endpoint() -> String {
    if let Ok(replaced) = ENDPOINT.try_with(Clone::clone) {
        return replaced;
    }
    std::env::var("OWLET_TEST_DYNAMODB_ENDPOINT")
        .expect("OWLET_TEST_DYNAMODB_ENDPOINT is not set: run me through `cargo xtask test`")
}

/// Options that reach the service at `endpoint`.
pub fn options_at(endpoint: &str) -> DynamoDbOptions {
    DynamoDbOptions {
        region: Some("us-east-1".to_owned()),
        endpoint: Some(endpoint.to_owned()),
        access_key_id: Some("local".to_owned()),
        secret_access_key: Some("local".to_owned()),
        ..DynamoDbOptions::default()
    }
}

/// Options that reach the service under test.
pub fn options() -> DynamoDbOptions {
    options_at(&endpoint())
}

/// A connector with default options.
pub fn connector() -> DynamoDbConnector {
    DynamoDbConnector::new("events", options()).expect("the options are valid")
}

/// One request of the service's own protocol; panics with its error.
pub async fn call(operation: &str, body: &Value) -> Value {
    try_call(operation, body)
        .await
        .unwrap_or_else(|error| panic!("{operation} {body}: {error}"))
}

/// One request of the service's own protocol.
pub async fn try_call(operation: &str, body: &Value) -> Result<Value, String> {
    let response = reqwest::Client::new()
        .post(endpoint())
        .header("X-Amz-Target", format!("DynamoDB_20120810.{operation}"))
        .header("Content-Type", "application/x-amz-json-1.0")
        .header("Authorization", AUTHORIZATION)
        .header("X-Amz-Date", "20260101T000000Z")
        .body(body.to_string())
        .send()
        .await
        .map_err(|error| error.to_string())?;
    let status = response.status();
    let text = response.text().await.map_err(|error| error.to_string())?;
    if !status.is_success() {
        return Err(text);
    }
    serde_json::from_str(&text).map_err(|error| error.to_string())
}

/// DynamoDB Local reads the key id and does not check the signature.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/dynamodb/aws4_request, \
                             SignedHeaders=host, Signature=00";

/// A table that is dropped with this value.
#[derive(Debug)]
pub struct TestTable {
    pub name: String,
    endpoint: String,
}

impl TestTable {
    /// Makes a table. `keys` and the keys of indexes are `(attribute, type)`.
    pub async fn create(label: &str, keys: &[(&str, &str)], indexes: &[Index<'_>]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let unique = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |time| time.as_nanos());
        let name = format!(
            "owlet_dynamodb.{label}-{}-{unique}-{number}",
            std::process::id()
        );
        let mut definitions = serde_json::Map::new();
        for (attribute, kind) in keys
            .iter()
            .chain(indexes.iter().flat_map(|index| index.keys))
        {
            definitions.insert((*attribute).to_owned(), (*kind).into());
        }
        let definitions: Vec<Value> = definitions
            .iter()
            .map(|(attribute, kind)| json!({"AttributeName": attribute, "AttributeType": kind}))
            .collect();
        let mut body = json!({
            "TableName": name,
            "KeySchema": key_schema(keys),
            "AttributeDefinitions": definitions,
            "BillingMode": "PAY_PER_REQUEST",
        });
        for (member, local) in [
            ("GlobalSecondaryIndexes", false),
            ("LocalSecondaryIndexes", true),
        ] {
            let described: Vec<Value> = indexes
                .iter()
                .filter(|index| index.local == local)
                .map(|index| {
                    let mut projection = json!({"ProjectionType": index.projection});
                    if !index.include.is_empty() {
                        projection["NonKeyAttributes"] = json!(index.include);
                    }
                    json!({"IndexName": index.name, "KeySchema": key_schema(index.keys), "Projection": projection})
                })
                .collect();
            if !described.is_empty() {
                body[member] = described.into();
            }
        }
        call("CreateTable", &body).await;
        // A second opinion takes its time, as AWS does.
        while call("DescribeTable", &json!({"TableName": name})).await["Table"]["TableStatus"]
            != "ACTIVE"
        {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        Self {
            name,
            endpoint: endpoint(),
        }
    }

    /// Gives the table provisioned capacity.
    pub async fn provision(&self, units: u64) {
        let body = json!({
            "TableName": self.name,
            "BillingMode": "PROVISIONED",
            "ProvisionedThroughput": {"ReadCapacityUnits": units, "WriteCapacityUnits": 5},
        });
        call("UpdateTable", &body).await;
    }

    /// Writes items in DynamoDB's JSON form.
    pub async fn put(&self, items: &[Value]) {
        for chunk in items.chunks(25) {
            let puts: Vec<Value> = chunk
                .iter()
                .map(|item| json!({"PutRequest": {"Item": item}}))
                .collect();
            let answer = call(
                "BatchWriteItem",
                &json!({"RequestItems": {&self.name: puts}}),
            )
            .await;
            assert_eq!(answer["UnprocessedItems"], json!({}));
        }
    }
}

impl Drop for TestTable {
    fn drop(&mut self) {
        let url = url::Url::parse(&self.endpoint).expect("the endpoint is an address");
        let address = format!(
            "{}:{}",
            url.host_str().unwrap_or_default(),
            url.port().unwrap_or(80)
        );
        let body = json!({"TableName": self.name}).to_string();
        if let Ok(mut stream) = std::net::TcpStream::connect(&address) {
            let request = format!(
                "POST / HTTP/1.1\r\nHost: {address}\r\nX-Amz-Target: DynamoDB_20120810.DeleteTable\r\nContent-Type: \
                 application/x-amz-json-1.0\r\nX-Amz-Date: 20260101T000000Z\r\nAuthorization: {AUTHORIZATION}\r\nConnection: close\r\nContent-Length: \
                 {}\r\n\r\n{body}",
                body.len()
            );
            let _ = stream.write_all(request.as_bytes());
            let _ = stream.read_to_end(&mut Vec::new());
        }
    }
}

/// A secondary index to make.
#[derive(Debug, Clone, Copy)]
pub struct Index<'a> {
    pub name: &'a str,
    pub keys: &'a [(&'a str, &'a str)],
    pub projection: &'a str,
    pub include: &'a [&'a str],
    pub local: bool,
}

impl<'a> Index<'a> {
    /// A global index with all attributes.
    pub fn global(name: &'a str, keys: &'a [(&'a str, &'a str)]) -> Self {
        Self {
            name,
            keys,
            projection: "ALL",
            include: &[],
            local: false,
        }
    }
}

fn key_schema(keys: &[(&str, &str)]) -> Vec<Value> {
    keys.iter()
        .zip(["HASH", "RANGE"])
        .map(|((attribute, _), kind)| json!({"AttributeName": attribute, "KeyType": kind}))
        .collect()
}

/// A table of a connector, with helpers to ask for it.
pub struct Source {
    pub connector: DynamoDbConnector,
    pub metadata: Arc<TableMetadata>,
}

/// Rows as text and how they were got.
#[derive(Debug)]
pub struct Answer {
    pub rows: Vec<Vec<String>>,
    pub plan: ScanPlan,
    pub work: SourceWork,
}

impl Answer {
    /// Rows in a comparable order.
    pub fn sorted(&self) -> Vec<Vec<String>> {
        let mut rows = self.rows.clone();
        rows.sort();
        rows
    }
}

impl Source {
    pub async fn open(connector: DynamoDbConnector, table: &TestTable) -> Self {
        let metadata = connector
            .table("default", &table.name)
            .await
            .unwrap_or_else(|error| panic!("{error}"))
            .expect("the table exists");
        Self {
            connector,
            metadata,
        }
    }

    /// Position of a column.
    pub fn position(&self, name: &str) -> usize {
        let found = self
            .metadata
            .columns
            .iter()
            .position(|column| column.name == name);
        found.unwrap_or_else(|| panic!("no column {name} in {:?}", self.metadata.columns))
    }

    /// A column as an expression.
    pub fn column(&self, name: &str) -> Expression {
        let index = self.position(name);
        let column = &self.metadata.columns[index];
        Expression::Column(ColumnReference {
            index,
            name: column.name.clone(),
            data_type: column.data_type.clone(),
            nullable: column.nullable,
        })
    }

    /// `column operator constant`
    pub fn compare(&self, name: &str, operator: CompareOperator, literal: Literal) -> Expression {
        Expression::Compare {
            operator,
            left: Box::new(self.column(name)),
            right: Box::new(Expression::Literal(literal)),
        }
    }

    /// `column = constant`
    pub fn equal(&self, name: &str, literal: Literal) -> Expression {
        self.compare(name, CompareOperator::Equal, literal)
    }

    /// `column IN (…)`
    pub fn among(&self, name: &str, literals: Vec<Literal>) -> Expression {
        Expression::InList {
            expression: Box::new(self.column(name)),
            list: literals.into_iter().map(Expression::Literal).collect(),
            negated: false,
        }
    }

    /// A request for some columns.
    pub fn request(&self, columns: &[&str], filters: Vec<Expression>) -> ScanRequest {
        ScanRequest {
            schema: "default".to_owned(),
            table: self.metadata.name.clone(),
            projection: columns.iter().map(|name| self.position(name)).collect(),
            fields: Default::default(),
            filters,
            limit: None,
            ordering: Vec::new(),
            lookup_columns: Vec::new(),
            lookup_rows: None,
            target_partitions: 4,
        }
    }

    /// Runs a scan with all its splits.
    pub async fn scan(&self, request: &ScanRequest) -> Result<Answer, ConnectorError> {
        self.scan_with(request, Budget::default(), Vec::new()).await
    }

    /// Runs a scan under a budget with filters from a join.
    pub async fn scan_with(
        &self,
        request: &ScanRequest,
        budget: Budget,
        dynamic_filters: Vec<Expression>,
    ) -> Result<Answer, ConnectorError> {
        let plan = self.connector.plan_scan(request).await?;
        // A plan is data: it must survive a journey.
        let text = serde_json::to_string(&plan).expect("plans serialise");
        let plan: ScanPlan = serde_json::from_str(&text).expect("plans deserialise");
        let work = QueryWork::new(budget);
        let recorder = work.recorder(ScanDescription {
            catalog: "events".to_owned(),
            table: plan.table.clone(),
            access: plan.access.clone(),
            remote: plan.remote.clone(),
            rcu_estimated: plan.estimate.rcu,
            ..ScanDescription::default()
        });
        let mut rows = Vec::new();
        for split in 0..plan.splits.len() {
            let context = ScanContext {
                batch_rows: 1000,
                dynamic_filters: dynamic_filters.clone(),
                work: Arc::clone(&recorder),
                cancellation: CancellationToken::new(),
            };
            let batches: Vec<RecordBatch> = self
                .connector
                .open(&plan, split, context)
                .try_collect()
                .await?;
            for batch in &batches {
                assert_eq!(
                    *batch.schema(),
                    plan.schema,
                    "batches have the planned schema"
                );
                rows.extend(text_rows(batch));
            }
        }
        Ok(Answer {
            rows,
            plan,
            work: recorder.snapshot(),
        })
    }

    /// Runs a scan that must work.
    pub async fn rows(&self, columns: &[&str], filters: Vec<Expression>) -> Answer {
        let request = self.request(columns, filters);
        self.scan(&request)
            .await
            .unwrap_or_else(|error| panic!("{error}"))
    }
}

/// A batch as text, NULL as `NULL`.
pub fn text_rows(batch: &RecordBatch) -> Vec<Vec<String>> {
    let options = FormatOptions::default().with_null("NULL");
    let formatters: Vec<ArrayFormatter<'_>> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options).expect("the column is printable"))
        .collect();
    (0..batch.num_rows())
        .map(|row| {
            formatters
                .iter()
                .map(|formatter| formatter.value(row).to_string())
                .collect()
        })
        .collect()
}

/// Rows of texts, for comparisons.
pub fn texts(rows: &[&[&str]]) -> Vec<Vec<String>> {
    rows.iter()
        .map(|row| row.iter().map(|text| (*text).to_owned()).collect())
        .collect()
}
