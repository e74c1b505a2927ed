//! AWS's SDK reading recorded bodies, and a plain conversion of its items to given Arrow columns.
//! Must never know our decoder.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Decimal128Builder, Float64Builder, Int64Builder,
    ListArray, StringBuilder, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::kernels::cast_utils::parse_decimal;
use arrow::datatypes::{DataType, Decimal128Type, SchemaRef};
use arrow::record_batch::RecordBatch;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::{HttpRequest, HttpResponse};
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{
    BehaviorVersion, Config, Credentials, Region, StalledStreamProtectionConfig,
};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::http::StatusCode;
use bytes::Bytes;

use crate::Result;

/// An item as the SDK gives it.
pub type Item = HashMap<String, AttributeValue>;

/// The SDK's client with an HTTP client that answers from memory.
pub struct Sdk {
    client: Client,
    body: Arc<Mutex<Bytes>>,
}

/// Answers every request with the same body.
struct Replay(Arc<Mutex<Bytes>>);

impl fmt::Debug for Replay {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Replay")
    }
}

impl HttpConnector for Replay {
    fn call(&self, _request: HttpRequest) -> HttpConnectorFuture {
        let body = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        HttpConnectorFuture::ready(
            StatusCode::try_from(200)
                .map(|status| HttpResponse::new(status, body.into()))
                .map_err(|error| ConnectorError::other(Box::new(error), None)),
        )
    }
}

impl Sdk {
    pub fn new() -> Self {
        let body = Arc::new(Mutex::new(Bytes::new()));
        let connector = SharedHttpConnector::new(Replay(Arc::clone(&body)));
        let configuration = Config::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("test", "test", None, None, "benchmark"))
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .http_client(http_client_fn(move |_, _| connector.clone()))
            .build();
        Self {
            client: Client::from_conf(configuration),
            body,
        }
    }

    /// The items of a page.
    pub async fn parse(&self, body: &Bytes) -> Result<Vec<Item>> {
        *self.body.lock().unwrap_or_else(PoisonError::into_inner) = body.clone();
        let output = self.client.scan().table_name("recorded").send().await?;
        Ok(output.items.unwrap_or_default())
    }

    /// The items as columns; columns have the names of their attributes.
    pub fn batch(&self, schema: &SchemaRef, items: &[Item]) -> Result<RecordBatch> {
        let columns = schema
            .fields()
            .iter()
            .map(|field| {
                let values: Vec<_> = items.iter().map(|item| item.get(field.name())).collect();
                column(field.data_type(), &values)
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
    }
}

/// Values of one attribute; missing and NULL are null.
fn column(data_type: &DataType, values: &[Option<&AttributeValue>]) -> Result<ArrayRef> {
    let present = |value: &Option<&AttributeValue>| {
        value.is_some_and(|value| !matches!(value, AttributeValue::Null(_)))
    };
    macro_rules! fill {
        ($builder:expr, $value:pat => $converted:expr) => {{
            let mut builder = $builder;
            for value in values {
                match value {
                    Some($value) => builder.append_value($converted),
                    None | Some(AttributeValue::Null(_)) => builder.append_null(),
                    Some(other) => return Err(unexpected(data_type, other)),
                }
            }
            Ok(Arc::new(builder.finish()))
        }};
    }
    match data_type {
        DataType::Utf8 => fill!(StringBuilder::new(), AttributeValue::S(text) => text),
        DataType::Int64 => fill!(Int64Builder::new(), AttributeValue::N(text) => text.parse()?),
        DataType::Float64 => fill!(Float64Builder::new(), AttributeValue::N(text) => text.parse()?),
        DataType::Boolean => fill!(BooleanBuilder::new(), AttributeValue::Bool(flag) => *flag),
        DataType::Binary => fill!(BinaryBuilder::new(), AttributeValue::B(blob) => blob),
        DataType::Decimal128(precision, scale) => fill!(
            Decimal128Builder::new().with_precision_and_scale(*precision, *scale)?,
            AttributeValue::N(text) => parse_decimal::<Decimal128Type>(text, *precision, *scale)?
        ),
        DataType::List(element) => {
            let mut elements = Vec::new();
            let mut lengths = Vec::with_capacity(values.len());
            for value in values {
                let before = elements.len();
                match value {
                    Some(AttributeValue::L(list)) => elements.extend(list.iter().map(Some)),
                    None | Some(AttributeValue::Null(_)) => {}
                    Some(other) => return Err(unexpected(data_type, other)),
                }
                lengths.push(elements.len() - before);
            }
            Ok(Arc::new(ListArray::try_new(
                Arc::clone(element),
                OffsetBuffer::from_lengths(lengths),
                column(element.data_type(), &elements)?,
                nulls(values.iter().map(present).collect()),
            )?))
        }
        DataType::Struct(members) => {
            let mut columns = Vec::with_capacity(members.len());
            for member in members {
                let values: Vec<_> = values
                    .iter()
                    .map(|value| match value {
                        Some(AttributeValue::M(map)) => Ok(map.get(member.name())),
                        None | Some(AttributeValue::Null(_)) => Ok(None),
                        Some(other) => Err(unexpected(data_type, other)),
                    })
                    .collect::<Result<_>>()?;
                columns.push(column(member.data_type(), &values)?);
            }
            Ok(Arc::new(StructArray::try_new(
                members.clone(),
                columns,
                nulls(values.iter().map(present).collect()),
            )?))
        }
        other => Err(format!("the conversion knows no {other}").into()),
    }
}

fn nulls(present: Vec<bool>) -> Option<NullBuffer> {
    present.contains(&false).then(|| NullBuffer::from(present))
}

fn unexpected(data_type: &DataType, value: &AttributeValue) -> crate::Failure {
    format!("{value:?} is no {data_type}").into()
}
