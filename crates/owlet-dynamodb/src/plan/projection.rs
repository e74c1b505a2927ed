//! The ProjectionExpression of a read: attributes, or the parts of them that are used. Must never know filters.

use super::condition::{Path, Rendered, render_projection};
use crate::decode::DecodedColumn;

use crate::options::{DynamoDbOptions, OnTypeMismatch};
use crate::shape::Shape;
use crate::table::{DynamoTable, TableColumn};
use owlet_connector::FieldPaths;

/// What to ask for: the attributes that are decoded and the key (which names an item in messages), of some only the
/// parts that are used; `None` asks for all.
pub(super) fn projection(
    table: &DynamoTable,
    columns: &[DecodedColumn],
    parts_of: impl Fn(usize) -> Vec<Path>,
) -> Option<Rendered> {
    let mut attributes: Vec<&str> = Vec::new();
    let mut paths: Vec<Path> = Vec::new();
    for key in table.description.keys.attributes() {
        attributes.push(&key.name);
        paths.push(vec![key.name.clone()]);
    }
    for (position, column) in columns.iter().enumerate() {
        let attribute = column.attribute.as_ref()?;
        if attributes.contains(&attribute.as_str()) {
            continue;
        }
        attributes.push(attribute);
        match parts_of(position) {
            parts if parts.is_empty() => paths.push(vec![attribute.clone()]),
            parts => paths.extend(parts),
        }
    }
    let all_known = table
        .columns
        .iter()
        .filter(|column| column.attribute.is_some())
        .count();
    let has_parts = paths.iter().any(|path| path.len() > 1);
    if attributes.len() >= all_known && !has_parts {
        return None;
    }
    render_projection(&paths)
}

/// Document paths of the fields of a column that are used, as stored; empty when the whole attribute must be read.
///
/// Of an attribute that is no map, DynamoDB returns nothing for a path into it, as if it were missing. Only where
/// values of a wrong type become NULL anyway is that the same answer.
pub(super) fn nested_paths(
    table: &DynamoTable,
    options: &DynamoDbOptions,
    position: usize,
    fields: &FieldPaths,
) -> Vec<Path> {
    if options.on_type_mismatch != OnTypeMismatch::Null {
        return Vec::new();
    }
    let (Some(used), Some(column)) = (fields.get(&position), table.columns.get(position)) else {
        return Vec::new();
    };
    let resolved: Option<Vec<Path>> = used
        .iter()
        .map(|names| stored_path(column, names))
        .collect();
    without_overlaps(resolved.unwrap_or_default())
}

fn stored_path(column: &TableColumn, names: &[String]) -> Option<Path> {
    let mut path = vec![column.attribute.clone()?];
    let mut shape = &column.shape;
    for name in names {
        let Shape::Struct(members) = shape else {
            return None;
        };
        let member = members.iter().find(|member| member.name == *name)?;
        path.push(member.source_name.clone());
        shape = &member.shape;
    }
    Some(path)
}

/// DynamoDB refuses a path together with one that leads further.
fn without_overlaps(mut paths: Vec<Path>) -> Vec<Path> {
    paths.sort();
    let mut kept: Vec<Path> = Vec::new();
    for path in paths {
        let is_covered = kept.last().is_some_and(|last| path.starts_with(last));
        if !is_covered {
            kept.push(path);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        text.split('.').map(str::to_owned).collect()
    }

    #[test]
    fn a_path_covers_those_that_lead_further() {
        let given = ["a.b.c", "a.b", "a.bb", "a.b.d.e", "c", "c.d"].map(path);
        let kept = without_overlaps(given.to_vec());
        assert_eq!(kept, ["a.b", "a.bb", "c"].map(path));
    }

    #[test]
    fn names_are_said_once() {
        let rendered = render_projection(&[path("id"), path("a.id"), path("a.b")]);
        let rendered = rendered.expect("it is short");
        assert_eq!(rendered.text, "#p0,#p1.#p0,#p1.#p2");
        assert_eq!(rendered.names.len(), 3);
    }
}
