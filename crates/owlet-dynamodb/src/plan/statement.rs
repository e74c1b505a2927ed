//! The plan of a reading PartiQL statement: its columns from what the table's sample showed, its cost from the keys
//! it fixes. Must never judge whether a statement reads.

use arrow_schema::{Field, Schema};
use owlet_connector::{ConnectorError, CostEstimate, ScanPlan};

use super::candidate::Question;
use super::cost::{self, Cost};
use super::payload::{AccessPath, Counting, ReadSpecification};
use super::preflight::{Circumstances, preflight};
use super::{as_split, capacities, scan_denied};
use crate::catalog::access_kind::AccessKind;
use crate::decode::DecodedColumn;
use crate::description::{IndexDescription, IndexKind};
use crate::options::{Consistency, DynamoDbOptions, ScanPolicy};
use crate::partiql::{SelectStatement, Selected, SelectedPath, Step};
use crate::shape::{Shape, name_members};
use crate::table::{DynamoTable, SCHEMA};

/// Plans one statement on its table.
pub(crate) fn plan_statement(
    catalog: &str,
    table: &DynamoTable,
    statement: &SelectStatement,
    text: &str,
    options: &DynamoDbOptions,
    circumstances: &Circumstances,
) -> Result<ScanPlan, ConnectorError> {
    let index = index_of(catalog, table, statement)?;
    let consistency = match index {
        Some(index) if index.kind == IndexKind::Global => Consistency::Eventual,
        _ => options.consistency,
    };
    let columns = answer_columns(table, statement, index);
    let question = Question {
        table,
        options,
        conjuncts: &[],
        columns: &[],
        workers: 1,
        learned: &circumstances.learned,
    };
    let extent = question.extent(index);
    let partition_key = index.map_or(&table.description.keys.hash.name, |index| {
        &index.keys.hash.name
    });
    let (access, cost) = match statement.fixed_values(partition_key) {
        Some(values) => {
            let items = question.items_of_partition(partition_key, extent);
            let cost = cost::ranges(values as f64, items, extent.item_bytes, consistency);
            ("statement by partition key", cost)
        }
        None => {
            let cost = cost::scan(extent.items, extent.bytes(), 1.0, consistency);
            ("statement that reads everything", cost)
        }
    };
    let reads_everything = statement.fixed_values(partition_key).is_none();
    if reads_everything && options.scan == ScanPolicy::Deny {
        return Err(scan_denied(table, Some(cost.units)));
    }
    let read = ReadSpecification {
        table: table.description.name.clone(),
        keys: table.description.keys.clone(),
        outputs: (0..columns.len()).collect(),
        columns,
        projection: None,
        filter: None,
        filter_attributes: Vec::new(),
        counting: Counting::ByItems,
        limit: None,
        item_bytes: extent.item_bytes,
        capacities: capacities(table),
        lesson: None,
    };
    let fields: Vec<Field> = read
        .columns
        .iter()
        .map(|column| Field::new(&column.name, column.shape.data_type(), column.nullable))
        .collect();
    let path = AccessPath::Statement {
        text: text.to_owned(),
        index: statement.index.clone(),
        consistency,
    };
    let mut notes = vec![
        "the estimate assumes that the condition reads whole partitions, or everything".to_owned(),
    ];
    let mut estimate = estimate(cost);
    preflight(
        &mut estimate,
        &mut notes,
        &table.description,
        statement.index.as_deref(),
        1,
        circumstances.latency(&AccessKind::named(access)),
        circumstances,
    );
    Ok(ScanPlan {
        schema: Schema::new(fields),
        splits: vec![as_split(catalog, &read, path)?],
        filters: Vec::new(),
        limit_applied: false,
        ordering_applied: false,
        estimate,
        table: format!("{SCHEMA}.{}", table.description.name),
        access: access.to_owned(),
        remote: text.to_owned(),
        notes,
    })
}

fn estimate(cost: Cost) -> CostEstimate {
    CostEstimate {
        rows_read: Some(cost.items),
        rows_returned: Some(cost.items),
        bytes: Some(cost.bytes),
        rcu: Some(cost.units),
        requests: Some(cost.requests),
        ..CostEstimate::default()
    }
}

fn index_of<'t>(
    catalog: &str,
    table: &'t DynamoTable,
    statement: &SelectStatement,
) -> Result<Option<&'t IndexDescription>, ConnectorError> {
    let Some(name) = &statement.index else {
        return Ok(None);
    };
    let mut indexes = table.description.indexes.iter();
    match indexes.find(|index| index.name == *name) {
        Some(index) => Ok(Some(index)),
        None => {
            let known: Vec<&str> = table
                .description
                .indexes
                .iter()
                .map(|index| index.name.as_str())
                .collect();
            Err(ConnectorError::QueryRefused {
                catalog: catalog.to_owned(),
                message: format!("table {} has no index {name}", table.description.name),
                hint: if known.is_empty() {
                    "it has no index at all; name the table only".to_owned()
                } else {
                    format!("it has {}", known.join(", "))
                },
            })
        }
    }
}

/// The columns of the answer: those of the table that the index holds, or one for each selected path.
fn answer_columns(
    table: &DynamoTable,
    statement: &SelectStatement,
    index: Option<&IndexDescription>,
) -> Vec<DecodedColumn> {
    let keys = &table.description.keys;
    let shapes: Vec<(String, Shape)> = match &statement.selected {
        Selected::Everything => table
            .columns
            .iter()
            .filter_map(|column| Some((column.attribute.clone()?, column.shape.clone())))
            .filter(|(attribute, _)| index.is_none_or(|index| index.holds(attribute, keys)))
            .collect(),
        Selected::Paths(paths) => paths
            .iter()
            .map(|path| (path.answer_name(), shape_of(table, path)))
            .collect(),
    };
    name_members(shapes)
        .into_iter()
        .map(|member| DecodedColumn {
            attribute: Some(member.source_name),
            name: member.name,
            shape: member.shape,
            nullable: true,
        })
        .collect()
}

/// What the sample knows of a path; anything else is JSON.
fn shape_of(table: &DynamoTable, path: &SelectedPath) -> Shape {
    let column = table
        .columns
        .iter()
        .find(|column| column.attribute.as_ref() == Some(&path.attribute));
    let mut shape = column.map(|column| &column.shape);
    for step in &path.steps {
        shape = match (shape, step) {
            (Some(Shape::Struct(members)), Step::Member(name)) => members
                .iter()
                .find(|member| member.source_name == *name)
                .map(|member| &member.shape),
            (Some(Shape::List(element)), Step::Element(_)) => Some(&**element),
            _ => None,
        };
    }
    shape.cloned().unwrap_or(Shape::Json)
}
