//! Takes a bounded sample of a table's items, spread over its segments. Must never know columns.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use owlet_connector::ConnectorError;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::observe::Observation;
use super::statistics::KeyValues;
use crate::decode::Rejection;
use crate::description::{KeySchema, TableDescription};
use crate::options::DynamoDbOptions;
use crate::transport::{Answer, Consumption, Operation, Request, Target, Transport, Watch};

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
    pub(crate) requests: u64,
    /// Bytes of the answers.
    pub(crate) bytes: u64,
    pub(crate) segments: u32,
    pub(crate) capacity_units: f64,
    /// Nothing was left to read.
    pub(crate) complete: bool,
    pub(crate) attributes: BTreeMap<String, Observation>,
    /// Values of the attributes that are keys of the table or an index.
    pub(crate) key_values: BTreeMap<String, KeyValues>,
    /// Segments that were not read to their end: their last partition may be longer than what was seen of it.
    pub(crate) cut_segments: u64,
    /// Partitions that were seen to their end.
    pub(crate) whole_partitions: u64,
    /// Their items.
    pub(crate) whole_items: f64,
    /// The squares of their items.
    pub(crate) whole_squares: f64,
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

/// The partition that a segment is in: its sort keys count only once all of them were seen, since a partition that
/// was cut off would make its first ones look frequent.
#[derive(Debug, Default)]
struct OpenPartition {
    hash: Option<Value>,
    items: f64,
    sort_keys: Vec<Value>,
}

impl OpenPartition {
    fn add(&mut self, item: &Map<String, Value>, keys: &KeySchema, sample: &mut Sample) {
        let hash = item.get(&keys.hash.name);
        if self.hash.as_ref() != hash {
            self.finish(keys, sample);
            self.hash = hash.cloned();
        }
        self.items += 1.0;
        let sort_key = keys.sort.as_ref().and_then(|sort| item.get(&sort.name));
        self.sort_keys.extend(sort_key.cloned());
    }

    fn finish(&mut self, keys: &KeySchema, sample: &mut Sample) {
        let values = keys
            .sort
            .as_ref()
            .and_then(|sort| sample.key_values.get_mut(&sort.name));
        if let Some(values) = values {
            self.sort_keys.iter().for_each(|value| values.add(value));
        }
        self.sort_keys.clear();
        if self.hash.take().is_some() {
            sample.whole_partitions += 1;
            sample.whole_items += self.items;
            sample.whole_squares += self.items * self.items;
        }
        self.items = 0.0;
    }
}

impl Sample {
    fn add(&mut self, item: &Map<String, Value>, table: &TableDescription) {
        for (name, value) in item {
            let is_sort_key = table
                .keys
                .sort
                .as_ref()
                .is_some_and(|sort| sort.name == *name);
            if let Some(values) = self.key_values.get_mut(name).filter(|_| !is_sort_key) {
                values.add(value);
            }
            match self.attributes.get_mut(name) {
                Some(observation) => observation.add(value),
                None => self.attributes.entry(name.clone()).or_default().add(value),
            }
        }
    }
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
        key_values: key_attributes(table)
            .map(|name| (name, KeyValues::default()))
            .collect(),
        ..Sample::default()
    };
    let mut is_complete = true;
    let mut partitions: BTreeMap<u32, OpenPartition> = BTreeMap::new();
    let mut open: Vec<Position> = (0..segments)
        .map(|segment| Position {
            segment,
            start_key: None,
        })
        .collect();
    // A round asks every segment that has more; segments of uneven tables may be empty, so several can be needed.
    while !open.is_empty()
        && sample.items < options.sample_items
        && sample.requests < MOST_REQUESTS
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
            let Answer { value: page, bytes } = page?;
            sample.requests += 1;
            sample.bytes += bytes;
            sample.capacity_units += page.capacity_units();
            sample.items += page.items.len() as u64;
            let partition = partitions.entry(segment).or_default();
            for item in &page.items {
                sample.add(item, table);
                partition.add(item, &table.keys, &mut sample);
            }
            if page.last_evaluated_key.is_none() {
                partition.finish(&table.keys, &mut sample);
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
    sample.cut_segments = open.len() as u64;
    Ok(sample)
}

/// Key attributes of the table and its indexes.
fn key_attributes(table: &TableDescription) -> impl Iterator<Item = String> {
    std::iter::once(&table.keys)
        .chain(table.indexes.iter().map(|index| &index.keys))
        .flat_map(KeySchema::attributes)
        .map(|attribute| attribute.name.clone())
}

async fn scan_page(
    transport: &Transport,
    table: &TableDescription,
    position: &Position,
    segments: u32,
    limit: u64,
    watch: &Watch,
) -> Result<Answer<SamplePage>, ConnectorError> {
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
    transport
        .call(&request, watch, |body| {
            serde_json::from_slice::<SamplePage>(body)
                .map_err(|error| Rejection::Damaged(error.to_string()))
        })
        .await
}
