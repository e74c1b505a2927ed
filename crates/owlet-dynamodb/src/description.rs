//! What DescribeTable says of a table: keys, indexes, sizes, identity. Must never know columns or plans.

use serde::{Deserialize, Serialize};

/// A table's description.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct TableDescription {
    pub(crate) name: String,
    /// Identifies the table together with `created`: a table that was dropped and made again differs.
    pub(crate) arn: String,
    pub(crate) created: String,
    pub(crate) keys: KeySchema,
    pub(crate) indexes: Vec<IndexDescription>,
    /// Number of items; DynamoDB updates it about every six hours.
    pub(crate) items: u64,
    /// Stored bytes; as old as `items`.
    pub(crate) bytes: u64,
    /// Provisioned read capacity units a second; 0 for on-demand tables.
    pub(crate) provisioned_units: u64,
    /// Storage and price class.
    #[serde(default)]
    pub(crate) class: TableClass,
}

/// Storage and price class of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) enum TableClass {
    /// DynamoDB Standard.
    #[default]
    Standard,
    /// Standard-Infrequent Access (or a class that did not exist yet): reads have other prices.
    Other,
}

/// Key attributes of a table or index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeySchema {
    pub(crate) hash: KeyAttribute,
    pub(crate) sort: Option<KeyAttribute>,
}

/// One key attribute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyAttribute {
    pub(crate) name: String,
    pub(crate) kind: KeyKind,
}

/// Types a key attribute can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum KeyKind {
    S,
    N,
    B,
}

/// A secondary index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IndexDescription {
    pub(crate) name: String,
    pub(crate) kind: IndexKind,
    pub(crate) keys: KeySchema,
    pub(crate) projection: Projection,
    pub(crate) items: u64,
    pub(crate) bytes: u64,
    /// Provisioned read capacity units a second of a global index; 0 for on-demand and for local indexes.
    #[serde(default)]
    pub(crate) provisioned_units: u64,
    /// Why it cannot be read now (being built or deleted).
    pub(crate) unusable: Option<String>,
}

/// Kind of secondary index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum IndexKind {
    /// Own partition key; eventually consistent only.
    Global,
    /// The table's partition key with another sort key.
    Local,
}

/// Attributes an index holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Projection {
    /// All of the item.
    All,
    /// Key attributes of index and table, and these.
    Only(Vec<String>),
}

impl KeySchema {
    /// Partition key, then sort key.
    pub(crate) fn attributes(&self) -> impl Iterator<Item = &KeyAttribute> {
        std::iter::once(&self.hash).chain(&self.sort)
    }

    /// True when `name` is one of the key attributes.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.attributes().any(|attribute| attribute.name == name)
    }
}

impl KeyKind {
    /// DynamoDB's descriptor.
    pub(crate) fn descriptor(self) -> &'static str {
        match self {
            Self::S => "S",
            Self::N => "N",
            Self::B => "B",
        }
    }
}

impl TableDescription {
    /// Average bytes of an item, as DynamoDB accounts them.
    pub(crate) fn item_bytes(&self) -> f64 {
        if self.items == 0 {
            0.0
        } else {
            self.bytes as f64 / self.items as f64
        }
    }

    /// Provisioned read capacity units a second of the table or an index; `None` when it is on demand.
    pub(crate) fn provisioned(&self, index: Option<&str>) -> Option<f64> {
        let own = index.and_then(|name| {
            self.indexes
                .iter()
                .find(|index| index.name == name && index.kind == IndexKind::Global)
        });
        let units = own.map_or(self.provisioned_units, |index| index.provisioned_units);
        (units > 0).then_some(units as f64)
    }

    /// The table and its global indexes, each with what is provisioned for it.
    pub(crate) fn capacities(&self) -> Vec<(Option<String>, Option<f64>)> {
        let indexes = self
            .indexes
            .iter()
            .filter(|index| index.kind == IndexKind::Global)
            .map(|index| Some(index.name.clone()));
        std::iter::once(None)
            .chain(indexes)
            .map(|index| {
                let units = self.provisioned(index.as_deref());
                (index, units)
            })
            .collect()
    }

    /// Reads the answer of DescribeTable; the error says what is missing.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, String> {
        let answer: wire::Answer =
            serde_json::from_slice(body).map_err(|error| error.to_string())?;
        answer.table.into_description()
    }
}

impl IndexDescription {
    /// True when reading these attributes needs nothing but the index.
    pub(crate) fn holds(&self, attribute: &str, table: &KeySchema) -> bool {
        match &self.projection {
            Projection::All => true,
            Projection::Only(names) => {
                self.keys.contains(attribute)
                    || table.contains(attribute)
                    || names.iter().any(|name| name == attribute)
            }
        }
    }
}

/// The documents as DynamoDB sends them.
/// Source: <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TableDescription.html>.
mod wire {
    use serde::Deserialize;

    use super::{
        IndexDescription, IndexKind, KeyAttribute, KeyKind, KeySchema, Projection, TableClass,
        TableDescription,
    };

    #[derive(Deserialize)]
    pub(super) struct Answer {
        #[serde(rename = "Table")]
        pub(super) table: Table,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    pub(super) struct Table {
        table_name: String,
        #[serde(default)]
        table_arn: String,
        #[serde(default)]
        table_status: String,
        creation_date_time: Option<serde_json::Number>,
        attribute_definitions: Vec<AttributeDefinition>,
        key_schema: Vec<KeyElement>,
        #[serde(default)]
        item_count: u64,
        #[serde(default)]
        table_size_bytes: u64,
        provisioned_throughput: Option<Throughput>,
        table_class_summary: Option<ClassSummary>,
        #[serde(default)]
        global_secondary_indexes: Vec<Index>,
        #[serde(default)]
        local_secondary_indexes: Vec<Index>,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct AttributeDefinition {
        attribute_name: String,
        attribute_type: KeyKind,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct KeyElement {
        attribute_name: String,
        key_type: String,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Throughput {
        #[serde(default)]
        read_capacity_units: u64,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct ClassSummary {
        #[serde(default)]
        table_class: String,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Index {
        index_name: String,
        key_schema: Vec<KeyElement>,
        projection: Option<WireProjection>,
        index_status: Option<String>,
        provisioned_throughput: Option<Throughput>,
        #[serde(default)]
        backfilling: bool,
        #[serde(default)]
        item_count: u64,
        #[serde(default)]
        index_size_bytes: u64,
    }

    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct WireProjection {
        projection_type: Option<String>,
        #[serde(default)]
        non_key_attributes: Vec<String>,
    }

    impl Table {
        pub(super) fn into_description(self) -> Result<TableDescription, String> {
            if matches!(
                self.table_status.as_str(),
                "CREATING" | "DELETING" | "INACCESSIBLE_ENCRYPTION_CREDENTIALS"
            ) {
                return Err(format!("the table is {}", self.table_status));
            }
            let definitions = &self.attribute_definitions;
            let keys = key_schema(&self.key_schema, definitions)?;
            let mut indexes = Vec::new();
            let global = self
                .global_secondary_indexes
                .into_iter()
                .map(|index| (index, IndexKind::Global));
            let local = self
                .local_secondary_indexes
                .into_iter()
                .map(|index| (index, IndexKind::Local));
            for (index, kind) in global.chain(local) {
                indexes.push(index.into_description(kind, definitions)?);
            }
            Ok(TableDescription {
                name: self.table_name,
                arn: self.table_arn,
                created: self
                    .creation_date_time
                    .map(|time| time.to_string())
                    .unwrap_or_default(),
                keys,
                indexes,
                items: self.item_count,
                bytes: self.table_size_bytes,
                provisioned_units: self
                    .provisioned_throughput
                    .map_or(0, |throughput| throughput.read_capacity_units),
                class: match self.table_class_summary {
                    None => TableClass::Standard,
                    Some(summary) if summary.table_class == "STANDARD" => TableClass::Standard,
                    Some(_) => TableClass::Other,
                },
            })
        }
    }

    impl Index {
        fn into_description(
            self,
            kind: IndexKind,
            definitions: &[AttributeDefinition],
        ) -> Result<IndexDescription, String> {
            let projection = match self.projection {
                Some(projection) => match projection.projection_type.as_deref() {
                    Some("ALL") => Projection::All,
                    _ => Projection::Only(projection.non_key_attributes),
                },
                None => Projection::Only(Vec::new()),
            };
            let unusable = match self.index_status.as_deref() {
                _ if self.backfilling => Some("it is being filled".to_owned()),
                // Updating changes its capacity only; its content is complete.
                None | Some("ACTIVE" | "UPDATING") => None,
                Some(status) => Some(format!("it is {status}")),
            };
            let mut keys = key_schema(&self.key_schema, definitions)?;
            let has_composite_keys = ["HASH", "RANGE"].iter().any(|key_type| {
                self.key_schema
                    .iter()
                    .filter(|element| element.key_type == *key_type)
                    .count()
                    > 1
            });
            if has_composite_keys {
                keys.sort = None;
            }
            let unusable = unusable
                .or(has_composite_keys.then(|| "its keys have several attributes".to_owned()));
            Ok(IndexDescription {
                name: self.index_name,
                kind,
                keys,
                projection,
                items: self.item_count,
                bytes: self.index_size_bytes,
                provisioned_units: self
                    .provisioned_throughput
                    .map_or(0, |throughput| throughput.read_capacity_units),
                unusable,
            })
        }
    }

    fn key_schema(
        elements: &[KeyElement],
        definitions: &[AttributeDefinition],
    ) -> Result<KeySchema, String> {
        let attribute = |key_type: &str| {
            let Some(element) = elements.iter().find(|element| element.key_type == key_type) else {
                return Ok(None);
            };
            let name = &element.attribute_name;
            match definitions
                .iter()
                .find(|definition| definition.attribute_name == *name)
            {
                Some(definition) => Ok(Some(KeyAttribute {
                    name: name.clone(),
                    kind: definition.attribute_type,
                })),
                None => Err(format!("key attribute {name} has no definition")),
            }
        };
        let hash =
            attribute("HASH")?.ok_or_else(|| "the description has no partition key".to_owned())?;
        Ok(KeySchema {
            hash,
            sort: attribute("RANGE")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read() {
        let body = br#"{"Table":{"AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"},
            {"AttributeName":"sk","AttributeType":"N"},{"AttributeName":"g","AttributeType":"B"}],"TableName":"t",
            "KeySchema":[{"AttributeName":"pk","KeyType":"HASH"},{"AttributeName":"sk","KeyType":"RANGE"}],
            "TableStatus":"ACTIVE","CreationDateTime":1.795341052278E9,"TableSizeBytes":201,"ItemCount":18,
            "ProvisionedThroughput":{"ReadCapacityUnits":7},"TableArn":"arn:x","GlobalSecondaryIndexes":[
            {"IndexName":"byg","KeySchema":[{"AttributeName":"g","KeyType":"HASH"}],"Projection":{"ProjectionType":
            "INCLUDE","NonKeyAttributes":["a"]},"IndexStatus":"CREATING","Backfilling":true}]}}"#;
        let table = TableDescription::parse(body).expect("the answer is complete");
        assert_eq!(
            (table.items, table.bytes, table.provisioned_units),
            (18, 201, 7)
        );
        assert_eq!(
            table.keys.sort.as_ref().map(|key| key.kind),
            Some(KeyKind::N)
        );
        let index = table.indexes.first().expect("the index exists");
        assert!(index.unusable.is_some());
        assert!(
            index.holds("a", &table.keys)
                && index.holds("sk", &table.keys)
                && !index.holds("b", &table.keys)
        );
    }
}
