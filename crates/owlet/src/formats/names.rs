//! Column names for formats that cannot have two of the same name. Knows nothing else of a schema.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};

/// The names with `_2`, `_3`, … behind those that have come before. Names that are unique stay as they are.
pub fn unique(schema: &Schema) -> Vec<String> {
    let mut taken: HashSet<String> = schema
        .fields()
        .iter()
        .map(|field| field.name().clone())
        .collect();
    let mut seen = HashSet::new();
    schema
        .fields()
        .iter()
        .map(|field| {
            if seen.insert(field.name().clone()) {
                return field.name().clone();
            }
            let mut number = 2;
            loop {
                let candidate = format!("{}_{number}", field.name());
                if taken.insert(candidate.clone()) {
                    return candidate;
                }
                number += 1;
            }
        })
        .collect()
}

/// The schema with [`unique`] names.
pub fn unique_schema(schema: &SchemaRef) -> SchemaRef {
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .zip(unique(schema))
        .map(|(field, name)| field.as_ref().clone().with_name(name))
        .collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}
