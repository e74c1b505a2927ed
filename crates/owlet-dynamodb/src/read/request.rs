//! The JSON documents of Scan, Query, GetItem and BatchGetItem. Must never send them.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::description::KeySchema;
use crate::options::Consistency;
use crate::plan::condition::Rendered;
use crate::plan::payload::{Counting, ItemKey, RangeOrder, ReadSpecification};
use crate::plan::sort_range::{Bound, Range};
use crate::transport::Operation;
use crate::value::AttributeValue;

/// A chain of requests that together read one part.
#[derive(Debug, Clone)]
pub(super) enum Unit {
    /// At most a batch of full keys.
    Keys(Vec<ItemKey>),
    /// One key range.
    Range {
        index: Option<String>,
        keys: Arc<KeySchema>,
        hash: AttributeValue,
        test: SortTest,
        order: RangeOrder,
    },
    /// A PartiQL statement.
    Statement {
        text: String,
        index: Option<String>,
        consistency: Consistency,
    },
    /// One segment of a scan.
    Segment {
        index: Option<String>,
        segment: u32,
        total: u32,
    },
}

/// The sort key condition of one Query.
#[derive(Debug, Clone)]
pub(super) enum SortTest {
    Any,
    Equal(AttributeValue),
    Range(Range),
    Prefix(String),
}

impl Unit {
    pub(super) fn operation(&self) -> Operation {
        match self {
            Self::Keys(keys) if keys.len() == 1 => Operation::GetItem,
            Self::Keys(_) => Operation::BatchGetItem,
            Self::Range { .. } => Operation::Query,
            Self::Statement { .. } => Operation::ExecuteStatement,
            Self::Segment { .. } => Operation::Scan,
        }
    }

    pub(super) fn index(&self) -> Option<&str> {
        match self {
            Self::Keys(_) => None,
            Self::Range { index, .. }
            | Self::Statement { index, .. }
            | Self::Segment { index, .. } => index.as_deref(),
        }
    }
}

/// The document of a unit's first request, without `Limit` and start key.
pub(super) fn document(
    unit: &Unit,
    read: &ReadSpecification,
    filter: Option<&Rendered>,
    consistency: Consistency,
) -> Map<String, Value> {
    let mut document = Map::new();
    document.insert("ReturnConsumedCapacity".to_owned(), "TOTAL".into());
    match unit {
        Unit::Keys(keys) => match keys.as_slice() {
            [key] => {
                document.insert("TableName".to_owned(), read.table.as_str().into());
                document.insert("Key".to_owned(), key_document(key, &read.keys));
                reading(&mut document, read, consistency);
            }
            keys => {
                let mut of_table = Map::new();
                let keys: Vec<Value> = keys
                    .iter()
                    .map(|key| key_document(key, &read.keys))
                    .collect();
                of_table.insert("Keys".to_owned(), keys.into());
                reading(&mut of_table, read, consistency);
                document.insert("RequestItems".to_owned(), json!({ &read.table: of_table }));
            }
        },
        Unit::Range {
            index,
            keys,
            hash,
            test,
            order,
        } => {
            document.insert("TableName".to_owned(), read.table.as_str().into());
            pages(&mut document, index.as_deref(), read, filter, consistency);
            key_condition(&mut document, keys, hash, test);
            if *order == RangeOrder::Descending {
                document.insert("ScanIndexForward".to_owned(), false.into());
            }
        }
        Unit::Statement {
            text, consistency, ..
        } => {
            document.insert("Statement".to_owned(), text.as_str().into());
            if *consistency == Consistency::Strong {
                document.insert("ConsistentRead".to_owned(), true.into());
            }
        }
        Unit::Segment {
            index,
            segment,
            total,
        } => {
            document.insert("TableName".to_owned(), read.table.as_str().into());
            pages(&mut document, index.as_deref(), read, filter, consistency);
            if *total > 1 {
                document.insert("Segment".to_owned(), (*segment).into());
                document.insert("TotalSegments".to_owned(), (*total).into());
            }
        }
    }
    document
}

/// What Scan and Query have in common.
fn pages(
    document: &mut Map<String, Value>,
    index: Option<&str>,
    read: &ReadSpecification,
    filter: Option<&Rendered>,
    consistency: Consistency,
) {
    if let Some(index) = index {
        document.insert("IndexName".to_owned(), index.into());
    }
    match read.counting {
        Counting::AtService => {
            document.insert("Select".to_owned(), "COUNT".into());
            if consistency == Consistency::Strong {
                document.insert("ConsistentRead".to_owned(), true.into());
            }
        }
        Counting::ByItems => reading(document, read, consistency),
    }
    if let Some(filter) = filter {
        document.insert("FilterExpression".to_owned(), filter.text.as_str().into());
        merge(document, "ExpressionAttributeNames", &filter.names);
        merge(document, "ExpressionAttributeValues", &filter.values);
    }
}

/// Consistency and projection, which every kind of request has.
fn reading(document: &mut Map<String, Value>, read: &ReadSpecification, consistency: Consistency) {
    if consistency == Consistency::Strong {
        document.insert("ConsistentRead".to_owned(), true.into());
    }
    if let Some(projection) = &read.projection {
        document.insert(
            "ProjectionExpression".to_owned(),
            projection.text.as_str().into(),
        );
        merge(document, "ExpressionAttributeNames", &projection.names);
    }
}

fn merge(document: &mut Map<String, Value>, member: &str, entries: &Map<String, Value>) {
    if entries.is_empty() {
        return;
    }
    let known = document
        .entry(member)
        .or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(known) = known {
        known.extend(
            entries
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
    }
}

fn key_condition(
    document: &mut Map<String, Value>,
    keys: &KeySchema,
    hash: &AttributeValue,
    test: &SortTest,
) {
    let mut text = "#h = :h".to_owned();
    let mut names = Map::from_iter([("#h".to_owned(), Value::from(keys.hash.name.as_str()))]);
    let mut values = Map::from_iter([(":h".to_owned(), hash.to_json())]);
    let bounds: Vec<&AttributeValue> = match test {
        SortTest::Any
        | SortTest::Range(Range {
            lower: None,
            upper: None,
        }) => Vec::new(),
        SortTest::Equal(value) => {
            text.push_str(" AND #s = :s0");
            vec![value]
        }
        SortTest::Range(Range {
            lower: Some(lower),
            upper: Some(upper),
        }) => {
            text.push_str(" AND #s BETWEEN :s0 AND :s1");
            vec![&lower.value, &upper.value]
        }
        SortTest::Range(Range {
            lower: Some(Bound { value, inclusive }),
            upper: None,
        }) => {
            text.push_str(if *inclusive {
                " AND #s >= :s0"
            } else {
                " AND #s > :s0"
            });
            vec![value]
        }
        SortTest::Range(Range {
            lower: None,
            upper: Some(Bound { value, inclusive }),
        }) => {
            text.push_str(if *inclusive {
                " AND #s <= :s0"
            } else {
                " AND #s < :s0"
            });
            vec![value]
        }
        SortTest::Prefix(prefix) => {
            text.push_str(" AND begins_with(#s,:s0)");
            values.insert(
                ":s0".to_owned(),
                AttributeValue::S(prefix.clone()).to_json(),
            );
            Vec::new()
        }
    };
    for (position, bound) in bounds.into_iter().enumerate() {
        values.insert(format!(":s{position}"), bound.to_json());
    }
    if let Some(sort) = keys.sort.as_ref().filter(|_| text.contains("#s")) {
        names.insert("#s".to_owned(), sort.name.as_str().into());
    }
    document.insert("KeyConditionExpression".to_owned(), text.into());
    merge(document, "ExpressionAttributeNames", &names);
    merge(document, "ExpressionAttributeValues", &values);
}

fn key_document(key: &ItemKey, keys: &KeySchema) -> Value {
    let mut document = Map::from_iter([(keys.hash.name.clone(), key.hash.to_json())]);
    if let (Some(sort), Some(value)) = (&keys.sort, &key.sort) {
        document.insert(sort.name.clone(), value.to_json());
    }
    Value::Object(document)
}
