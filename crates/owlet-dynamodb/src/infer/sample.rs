//! Takes a bounded sample of a table's items, spread over its segments. Must never know columns.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use owlet_connector::ConnectorError;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::observe::Observation;
use crate::decode::Rejection;
use crate::description::TableDescription;
use crate::options::DynamoDbOptions;
use crate::transport::{Consumption, Operation, Request, Target, Transport, Watch};

/// Segments a big table is divided into: enough that the sample comes from everywhere in the key space.
const SAMPLE_SEGMENTS: u32 = 16;
/// Tables of fewer bytes are read from their start: they are one page.
const ONE_PAGE_BYTES: u64 = 1 << 20;
/// Requests that sampling one table may take.
const MOST_REQUESTS: u64 = 64;
const CONCURRENT_REQUESTS: usize = 4;

/// What a sample showed.
#[derive(Debug, Default)]
pub(crate) struct Sample {
    pub(crate) items: u64,
    pub(crate) segments: u32,
    pub(crate) capacity_units: f64,
    /// Nothing was left to read.
    pub(crate) complete: bool,
    pub(crate) attributes: BTreeMap<String, Observation>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SamplePage {
    #[serde(default)]
    items: Vec<Map<String, Value>>,
    last_evaluated_key: Option<Value>,
    consumed_capacity: Option<ConsumedCapacity>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ConsumedCapacity {
    #[serde(default)]
    capacity_units: f64,
}

impl Consumption for SamplePage {
    fn capacity_units(&self) -> f64 {
        self.consumed_capacity
            .as_ref()
            .map_or(0.0, |consumed| consumed.capacity_units)
    }
}

/// A place in the table where sampling goes on.
#[derive(Debug)]
struct Position {
    segment: u32,
    start_key: Option<Value>,
}

/// Reads up to `sample_items` items, never more than `sample_max_rcu` capacity units plus the requests under way.
pub(crate) async fn sample(
    transport: &Transport,
    table: &TableDescription,
    options: &DynamoDbOptions,
    watch: &Watch,
) -> Result<Sample, ConnectorError> {
    let is_small = table.items <= options.sample_items || table.bytes <= ONE_PAGE_BYTES;
    let segments = if is_small { 1 } else { SAMPLE_SEGMENTS };
    let limit = options.sample_items.div_ceil(u64::from(segments)).max(1);
    let mut sample = Sample {
        segments,
        ..Sample::default()
    };
    let mut requests = 0;
    let mut is_complete = true;
    let mut open: Vec<Position> = (0..segments)
        .map(|segment| Position {
            segment,
            start_key: None,
        })
        .collect();
    // A round asks every segment that has more; segments of uneven tables may be empty, so several can be needed.
    while !open.is_empty()
        && sample.items < options.sample_items
        && requests < MOST_REQUESTS
        && sample.capacity_units < options.sample_max_rcu
    {
        let round: Vec<Position> = std::mem::take(&mut open);
        let mut answers = futures::stream::iter(round)
            .map(|position| async move {
                let page = scan_page(transport, table, &position, segments, limit, watch).await;
                (position.segment, page)
            })
            .buffer_unordered(CONCURRENT_REQUESTS);
        while let Some((segment, page)) = answers.next().await {
            let page = page?;
            requests += 1;
            sample.capacity_units += page.capacity_units();
            sample.items += page.items.len() as u64;
            for item in &page.items {
                for (name, value) in item {
                    match sample.attributes.get_mut(name) {
                        Some(observation) => observation.add(value),
                        None => sample
                            .attributes
                            .entry(name.clone())
                            .or_default()
                            .add(value),
                    }
                }
            }
            if let Some(key) = page.last_evaluated_key {
                open.push(Position {
                    segment,
                    start_key: Some(key),
                });
            }
            if sample.capacity_units >= options.sample_max_rcu {
                is_complete = false;
                break;
            }
        }
    }
    sample.complete = is_complete && open.is_empty();
    Ok(sample)
}

async fn scan_page(
    transport: &Transport,
    table: &TableDescription,
    position: &Position,
    segments: u32,
    limit: u64,
    watch: &Watch,
) -> Result<SamplePage, ConnectorError> {
    let mut body = json!({
        "TableName": table.name,
        "Limit": limit,
        "Segment": position.segment,
        "TotalSegments": segments,
        "ReturnConsumedCapacity": "TOTAL",
    });
    if let Some(key) = &position.start_key {
        body["ExclusiveStartKey"] = key.clone();
    }
    let request = Request {
        target: Target {
            operation: Operation::Scan,
            table: Some(&table.name),
            index: None,
        },
        body: body.to_string(),
        expected_units: (limit as f64 * table.item_bytes() / 8192.0).clamp(0.5, 128.0),
    };
    let answer = transport
        .call(&request, watch, |body| {
            serde_json::from_slice::<SamplePage>(body)
                .map_err(|error| Rejection::Damaged(error.to_string()))
        })
        .await?;
    Ok(answer.value)
}
