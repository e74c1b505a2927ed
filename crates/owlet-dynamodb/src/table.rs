//! One table as the rest of the crate sees it: description, columns with the attributes behind them, SQL metadata.
//! Must never do I/O.

use std::sync::Arc;

use owlet_connector::{ColumnMetadata, ColumnStatistics, RowCount, TableKind, TableMetadata};

use crate::description::{KeyKind, KeySchema, TableDescription};
use crate::infer::{
    AttributeEvidence, InferenceReport, InferredAttribute, InferredSchema, SchemaOverrides,
};
use crate::shape::Shape;

/// The only schema of a DynamoDB catalog.
pub(crate) const SCHEMA: &str = "default";
/// Column with the whole item as JSON.
pub(crate) const ITEM_COLUMN: &str = "_item";

/// A table with everything planning needs.
#[derive(Debug)]
pub(crate) struct DynamoTable {
    pub(crate) description: TableDescription,
    pub(crate) metadata: Arc<TableMetadata>,
    /// Parallel to the metadata's columns.
    pub(crate) columns: Vec<TableColumn>,
    pub(crate) inferred: InferredSchema,
}

/// What is behind one column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TableColumn {
    /// Attribute as stored; `None` is the whole item.
    pub(crate) attribute: Option<String>,
    pub(crate) shape: Shape,
    /// An override decides the shape.
    pub(crate) overridden: bool,
}

impl DynamoTable {
    /// Puts columns together: key attributes first, then the others by name, last the hidden `_item`.
    pub(crate) fn new(
        description: TableDescription,
        inferred: InferredSchema,
        overrides: &SchemaOverrides,
    ) -> Self {
        let columns = table_columns(&description, &inferred, overrides);
        let mut metadata: Vec<ColumnMetadata> = columns
            .iter()
            .map(|column| column_metadata(column, &description, &inferred))
            .collect();
        TableMetadata::make_names_unique(&mut metadata);
        for column in &mut metadata {
            let is_key = description.keys.contains(&column.source_name) && !column.hidden;
            // An item without its key does not exist.
            column.nullable = !(is_key || column.hidden);
        }
        let primary_key = (0..description.keys.attributes().count()).collect();
        let metadata = TableMetadata {
            schema: SCHEMA.to_owned(),
            name: description.name.clone(),
            kind: TableKind::Table,
            columns: metadata,
            rows: row_count(&description, &inferred),
            bytes: (description.items > 0).then_some(description.bytes),
            primary_key,
            comment: None,
        };
        Self {
            description,
            metadata: Arc::new(metadata),
            columns,
            inferred,
        }
    }

    /// Position of the column of an attribute.
    pub(crate) fn column_of(&self, attribute: &str) -> Option<usize> {
        self.columns
            .iter()
            .position(|column| column.attribute.as_deref() == Some(attribute))
    }

    /// What the sample said of an attribute.
    pub(crate) fn evidence(&self, attribute: &str) -> Option<&InferredAttribute> {
        self.inferred
            .attributes
            .iter()
            .find(|inferred| inferred.name == attribute)
    }

    /// Estimated number of different values of an attribute in the whole table, from the sample.
    pub(crate) fn distinct_values(&self, attribute: &str) -> Option<f64> {
        let evidence = self.evidence(attribute)?;
        distinct_estimate(evidence, &self.inferred, &self.description)
    }

    /// The evidence for people.
    pub(crate) fn report(&self) -> InferenceReport {
        let attributes = self
            .columns
            .iter()
            .zip(&self.metadata.columns)
            .filter_map(|(column, metadata)| {
                let attribute = column.attribute.as_ref()?;
                let inferred = self.evidence(attribute);
                let sampled = self.inferred.items.max(1) as f64;
                let present = inferred.map_or(0, |inferred| inferred.present);
                Some(AttributeEvidence {
                    attribute: attribute.clone(),
                    column: metadata.name.clone(),
                    inferred_type: inferred.map_or_else(
                        || "unknown".to_owned(),
                        |inferred| inferred.shape.sql_type(),
                    ),
                    column_type: column.shape.sql_type(),
                    overridden: column.overridden,
                    key: self.description.keys.contains(attribute),
                    present: present as f64 / sampled,
                    types: inferred
                        .map(|inferred| {
                            let share = |count: u64| count as f64 / present.max(1) as f64;
                            inferred
                                .by_type
                                .iter()
                                .map(|(name, count)| (name.clone(), share(*count)))
                                .collect()
                        })
                        .unwrap_or_default(),
                    distinct: inferred.map_or(0, |inferred| inferred.distinct),
                    shape: column.shape.clone(),
                })
            })
            .collect();
        InferenceReport {
            table: self.description.name.clone(),
            items: self.inferred.items,
            table_items: self.description.items,
            segments: self.inferred.segments,
            rcu: self.inferred.capacity_units,
            attributes,
        }
    }
}

/// The service counts a table about every six hours; a new one has no items until then.
fn row_count(description: &TableDescription, inferred: &InferredSchema) -> RowCount {
    match (description.items, inferred.complete) {
        (0, true) => RowCount::Estimated(inferred.items),
        (0, false) => RowCount::Unknown,
        (counted, _) => RowCount::Estimated(counted.max(inferred.items)),
    }
}

fn table_columns(
    description: &TableDescription,
    inferred: &InferredSchema,
    overrides: &SchemaOverrides,
) -> Vec<TableColumn> {
    let mut columns: Vec<TableColumn> = description
        .keys
        .attributes()
        .map(|key| {
            let found = inferred
                .attributes
                .iter()
                .find(|attribute| attribute.name == key.name);
            let shape =
                found.map_or_else(|| key_shape(key.kind), |attribute| attribute.shape.clone());
            TableColumn {
                attribute: Some(key.name.clone()),
                shape,
                overridden: false,
            }
        })
        .collect();
    let keys = &description.keys;
    columns.extend(
        inferred
            .attributes
            .iter()
            .filter(|attribute| !keys.contains(&attribute.name))
            .map(|attribute| TableColumn {
                attribute: Some(attribute.name.clone()),
                shape: attribute.shape.clone(),
                overridden: false,
            }),
    );
    for (name, shape) in overrides.of_table(&description.name) {
        let known = columns
            .iter_mut()
            .find(|column| column.attribute.as_deref() == Some(name));
        match known {
            Some(column) => {
                column.shape = shape.clone();
                column.overridden = true;
            }
            None => columns.push(TableColumn {
                attribute: Some(name.to_owned()),
                shape: shape.clone(),
                overridden: true,
            }),
        }
    }
    columns.push(TableColumn {
        attribute: None,
        shape: Shape::Json,
        overridden: false,
    });
    columns
}

/// Shape of a key attribute that no sampled item told.
fn key_shape(kind: KeyKind) -> Shape {
    match kind {
        KeyKind::S => Shape::Text,
        KeyKind::N => Shape::BigInt,
        KeyKind::B => Shape::Binary,
    }
}

fn column_metadata(
    column: &TableColumn,
    description: &TableDescription,
    inferred: &InferredSchema,
) -> ColumnMetadata {
    let Some(attribute) = &column.attribute else {
        let mut metadata = ColumnMetadata::new(ITEM_COLUMN, Shape::Json.data_type(), "item");
        metadata.hidden = true;
        metadata.comment = Some("the whole item as JSON".to_owned());
        return metadata;
    };
    let native_type = native_type(column, attribute, &description.keys);
    let mut metadata = ColumnMetadata::new(attribute, column.shape.data_type(), native_type);
    if let Some(evidence) = inferred
        .attributes
        .iter()
        .find(|evidence| evidence.name == *attribute)
    {
        let sampled = inferred.items.max(1) as f64;
        metadata.statistics = ColumnStatistics {
            distinct: distinct_estimate(evidence, inferred, description)
                .map(|distinct| distinct as u64),
            null_fraction: Some(1.0 - evidence.non_null as f64 / sampled),
            width: Some(evidence.value_bytes().ceil() as u64),
            ..ColumnStatistics::default()
        };
    }
    metadata
}

/// DynamoDB's type and what Owlet makes of it, e.g. `N`, `json`, `key S`.
fn native_type(column: &TableColumn, attribute: &str, keys: &KeySchema) -> String {
    let descriptor = column.shape.descriptor().unwrap_or("any");
    if keys.hash.name == attribute {
        return format!("{descriptor} (partition key)");
    }
    if keys
        .sort
        .as_ref()
        .is_some_and(|sort| sort.name == attribute)
    {
        return format!("{descriptor} (sort key)");
    }
    descriptor.to_owned()
}

/// Scales distinct values of the sample to the table. The partition key: sampled ranges of the key space are
/// contiguous, so partitions are seen whole. Others: all different means every item has its own value; few
/// different means the sample has most of them; in between the rest repeats as the sample does.
fn distinct_estimate(
    evidence: &InferredAttribute,
    inferred: &InferredSchema,
    description: &TableDescription,
) -> Option<f64> {
    if evidence.distinct == 0 || evidence.non_null == 0 {
        return None;
    }
    let seen = evidence.distinct as f64;
    let sampled = evidence.non_null as f64;
    let sampled_items = inferred.items.max(1) as f64;
    let items = description.items.max(inferred.items) as f64;
    if inferred.complete {
        return Some(seen);
    }
    if evidence.name == description.keys.hash.name {
        return Some((items * inferred.partitions / sampled_items).max(seen));
    }
    let share_of_different = seen / sampled;
    Some(if share_of_different > 0.1 {
        (items * sampled / sampled_items * share_of_different).max(seen)
    } else {
        seen
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::description::{KeyAttribute, TableClass};

    fn table(attributes: &[(&str, Shape)]) -> DynamoTable {
        let description = TableDescription {
            name: "t".to_owned(),
            arn: String::new(),
            created: String::new(),
            keys: KeySchema {
                hash: KeyAttribute {
                    name: "Id".to_owned(),
                    kind: KeyKind::S,
                },
                sort: None,
            },
            indexes: Vec::new(),
            items: 100,
            bytes: 1000,
            provisioned_units: 0,
            class: TableClass::Standard,
        };
        let attributes = attributes
            .iter()
            .map(|(name, shape)| InferredAttribute {
                name: (*name).to_owned(),
                shape: shape.clone(),
                present: 10,
                non_null: 10,
                by_type: std::collections::BTreeMap::new(),
                distinct: 10,
                bytes: 100,
            })
            .collect();
        let inferred = InferredSchema {
            items: 10,
            segments: 1,
            capacity_units: 0.5,
            sampled_at: 0,
            table_items: 100,
            complete: false,
            size_bias: 1.0,
            partitions: 10.0,
            keys: std::collections::BTreeMap::new(),
            attributes,
        };
        DynamoTable::new(description, inferred, &SchemaOverrides::default())
    }

    #[test]
    fn keys_come_first_and_the_item_last() {
        let table = table(&[
            ("a", Shape::BigInt),
            ("Id", Shape::Text),
            ("_item", Shape::Text),
        ]);
        let names: Vec<&str> = table
            .metadata
            .columns
            .iter()
            .map(|column| column.name.as_str())
            .collect();
        assert_eq!(names, ["id", "a", "_item", "_item_2"]);
        assert_eq!(table.metadata.primary_key, [0]);
        let nullable: Vec<bool> = table
            .metadata
            .columns
            .iter()
            .map(|column| column.nullable)
            .collect();
        assert_eq!(nullable, [false, true, true, false]);
        assert!(table.metadata.columns[3].hidden && !table.metadata.columns[2].hidden);
    }

    #[test]
    fn names_that_differ_by_case_are_all_kept() {
        let table = table(&[
            ("name", Shape::Text),
            ("NAME", Shape::Text),
            ("Name", Shape::Text),
        ]);
        let names: Vec<(&str, &str)> = table
            .metadata
            .columns
            .iter()
            .map(|column| (column.source_name.as_str(), column.name.as_str()))
            .collect();
        assert_eq!(
            names[1..4],
            [("name", "name"), ("NAME", "name_2"), ("Name", "name_3")]
        );
    }

    #[test]
    fn distinct_values_scale_with_the_table() {
        let table = table(&[("a", Shape::BigInt)]);
        assert_eq!(table.distinct_values("a"), Some(100.0));
    }
}
