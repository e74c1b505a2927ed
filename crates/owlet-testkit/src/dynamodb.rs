//! Creating and filling tables of a DynamoDB emulator over plain HTTP. Emulators check no signatures, so there
//! are none here; this can never reach the real service. Must never know the engine.

use std::time::Duration;

use serde_json::{Value, json};

use crate::Result;

const BATCH_ITEMS: usize = 25;
const LOADERS: usize = 8;

/// An emulator.
#[derive(Debug, Clone)]
pub struct DynamoDb {
    endpoint: String,
    client: reqwest::Client,
}

impl DynamoDb {
    /// The emulator at an endpoint such as `http://127.0.0.1:8000`.
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            client: reqwest::Client::new(),
        }
    }

    /// Sends one request of the JSON protocol.
    pub async fn call(&self, operation: &str, body: &Value) -> Result<Value> {
        let response = self.send(operation, body.to_string()).await?;
        let status = response.status();
        let text = response.text().await?;
        if !status.is_success() {
            return Err(format!("{operation}: {status}: {text}").into());
        }
        Ok(serde_json::from_str(&text)?)
    }

    /// Sends one request and gives back the answer as it comes, whatever its status.
    pub async fn send(&self, operation: &str, body: String) -> Result<reqwest::Response> {
        Ok(self
            .client
            .post(&self.endpoint)
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", format!("DynamoDB_20120810.{operation}"))
            .header("x-amz-date", "20250101T000000Z")
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=test/20250101/us-east-1/dynamodb/aws4_request, \
                 SignedHeaders=host;x-amz-date, Signature=0000000000000000000000000000000000000000000000000000000000000000",
            )
            .body(body)
            .send()
            .await?)
    }

    /// Creates a table with keys `(name, type, HASH | RANGE)`, paid per request, replacing one of that name.
    pub async fn create_table(&self, table: &str, keys: &[(&str, &str, &str)]) -> Result<()> {
        let attributes: Vec<Value> = keys
            .iter()
            .map(|(name, kind, _)| json!({ "AttributeName": name, "AttributeType": kind }))
            .collect();
        let schema: Vec<Value> = keys
            .iter()
            .map(|(name, _, role)| json!({ "AttributeName": name, "KeyType": role }))
            .collect();
        let body = json!({
            "TableName": table,
            "AttributeDefinitions": attributes,
            "KeySchema": schema,
            "BillingMode": "PAY_PER_REQUEST",
        });
        self.create(table, &body).await
    }

    /// Creates a table by the document of `CreateTable`, replacing one of that name, and waits until it is active.
    pub async fn create(&self, table: &str, document: &Value) -> Result<()> {
        self.drop_table(table).await?;
        self.call("CreateTable", document).await?;
        for _ in 0..100 {
            let description = self
                .call("DescribeTable", &json!({ "TableName": table }))
                .await?;
            if description["Table"]["TableStatus"] == "ACTIVE" {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(format!("table {table} does not become active").into())
    }

    /// Removes a table if it exists.
    pub async fn drop_table(&self, table: &str) -> Result<()> {
        match self
            .call("DeleteTable", &json!({ "TableName": table }))
            .await
        {
            Ok(_) => Ok(()),
            Err(error) if error.to_string().contains("ResourceNotFoundException") => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Writes items with `BatchWriteItem`, several batches at a time.
    pub async fn put_all(&self, table: &str, items: &[Value]) -> Result<()> {
        use futures::{StreamExt, TryStreamExt};
        let batches: Vec<Value> = items
            .chunks(BATCH_ITEMS)
            .map(|chunk| {
                let puts: Vec<Value> = chunk
                    .iter()
                    .map(|item| json!({ "PutRequest": { "Item": item } }))
                    .collect();
                json!({ "RequestItems": { table: puts } })
            })
            .collect();
        futures::stream::iter(batches)
            .map(|batch| self.put_batch(batch))
            .buffer_unordered(LOADERS)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(())
    }

    async fn put_batch(&self, mut batch: Value) -> Result<()> {
        for _ in 0..100 {
            let answer = self.call("BatchWriteItem", &batch).await?;
            match answer["UnprocessedItems"].as_object() {
                Some(left) if !left.is_empty() => batch = json!({ "RequestItems": left }),
                _ => return Ok(()),
            }
        }
        Err("the emulator does not take all items".into())
    }
}
