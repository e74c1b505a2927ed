//! A split as plain data: everything a process with the same configuration needs to read it.
//! Must never hold a connection or a credential.

use serde::{Deserialize, Serialize};

use super::condition::Rendered;
use super::sort_range::SortCondition;
use crate::catalog::access_kind::AccessKind;
use crate::decode::DecodedColumn;
use crate::description::{KeyAttribute, KeySchema};
use crate::options::Consistency;
use crate::shape::Shape;
use crate::value::AttributeValue;

/// One split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SplitPayload {
    pub(crate) read: ReadSpecification,
    pub(crate) path: AccessPath,
}

/// What is read of each item, whatever the access path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ReadSpecification {
    pub(crate) table: String,
    pub(crate) keys: KeySchema,
    /// Columns to decode.
    pub(crate) columns: Vec<DecodedColumn>,
    /// Positions of the returned ones among them, in order.
    pub(crate) outputs: Vec<usize>,
    /// ProjectionExpression; `None` reads whole items.
    pub(crate) projection: Option<Rendered>,
    /// FilterExpression of Query and Scan.
    pub(crate) filter: Option<Rendered>,
    /// Attributes the filter names: a Query must not filter on its key.
    pub(crate) filter_attributes: Vec<String>,
    /// Only the number of items is asked for, and the service can count them.
    pub(crate) counting: Counting,
    /// At most this many rows are wanted of the whole split.
    pub(crate) limit: Option<u64>,
    /// Average bytes of an item, for estimates at run time.
    pub(crate) item_bytes: f64,
    /// Capacity provisioned for the table and its global indexes; empty when it is on demand.
    pub(crate) capacities: Vec<(Option<String>, Option<f64>)>,
    /// What to compare with the estimate once all was read; `None` when nothing is to be learned from it.
    pub(crate) lesson: Option<Lesson>,
}

/// An estimate that can be compared with what was counted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Lesson {
    /// The very table, see [`crate::catalog::learned`].
    pub(crate) table: String,
    /// Access path.
    pub(crate) access: AccessKind,
    /// Estimated read capacity units of all splits, before anything was learned; `None` when they are known from
    /// reading the same partitions before.
    pub(crate) estimated: Option<f64>,
    /// Splits of the scan.
    pub(crate) splits: usize,
}

/// How a request without columns is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Counting {
    /// `Select=COUNT`.
    AtService,
    /// Items are read.
    ByItems,
}

/// How items are reached.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum AccessPath {
    /// Single items by full keys.
    Items { keys: Vec<ItemKey> },
    /// Key ranges of the table or an index.
    Ranges {
        index: Option<String>,
        keys: KeySchema,
        ranges: Vec<KeyRange>,
        order: RangeOrder,
    },
    /// Segments of the table or an index.
    Segments {
        index: Option<String>,
        segments: Vec<u32>,
        total: u32,
    },
    /// A reading PartiQL statement, as its author wrote it.
    Statement {
        text: String,
        /// The index it reads, for messages and consistency.
        index: Option<String>,
        /// Global indexes cannot be read consistently.
        consistency: Consistency,
    },
    /// Keys that a join finds out at run time; `fallback` when there are none or too many.
    LookUp {
        targets: Vec<LookUpTarget>,
        fallback: Box<AccessPath>,
        /// Estimated cost of the fallback; `None` when the service has not counted the table yet.
        fallback_units: Option<f64>,
    },
}

/// Full primary key of an item.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct ItemKey {
    pub(crate) hash: AttributeValue,
    pub(crate) sort: Option<AttributeValue>,
}

/// One partition with a condition on its sort key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct KeyRange {
    pub(crate) hash: AttributeValue,
    pub(crate) sort: SortCondition,
}

/// Order in which the items of a range come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum RangeOrder {
    /// Nobody cares: ranges are read at once.
    Unordered,
    /// By ascending sort key, range after range.
    Ascending,
    /// By descending sort key.
    Descending,
}

/// A key that can be looked up once a join has told values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LookUpTarget {
    /// `None`: the table itself.
    pub(crate) index: Option<String>,
    pub(crate) keys: KeySchema,
    pub(crate) hash: LookUpKey,
    /// `None`: the sort key is free.
    pub(crate) sort: Option<LookUpKey>,
    /// Estimated items of one partition.
    pub(crate) items_of_one: f64,
    /// Average bytes of an item.
    pub(crate) item_bytes: f64,
}

/// Where values of a key attribute come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct LookUpKey {
    pub(crate) attribute: KeyAttribute,
    pub(crate) shape: Shape,
    pub(crate) source: LookUpSource,
}

/// Source of a look-up's values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum LookUpSource {
    /// A dynamic filter on this position of the plan's schema.
    Column(usize),
    /// Constants of the query.
    Fixed(Vec<AttributeValue>),
}
