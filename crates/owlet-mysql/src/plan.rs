//! From a relation to a plan of plain data: which splits, what they cost, what each carries. Must never do I/O.

use arrow_schema::{Field, Schema};
use owlet_connector::{CompareOperator, CostEstimate, Expression, Split};
use owlet_remote_sql::{OutputColumn, Relation, RemoteTable};
use serde::{Deserialize, Serialize};

use crate::decode::ColumnOrigin;

/// Lookups by at most this share of a table's rows are left to the server's indexes rather than split.
const FEW_ROWS_SHARE: f64 = 0.05;

/// What a split carries from planning to reading.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SplitPayload {
    /// The same for all splits of a plan, different for every plan.
    pub(crate) plan: u64,
    /// Number of splits of the plan.
    pub(crate) splits: usize,
    /// What to read; leaves carry the split's range of the primary key.
    pub(crate) relation: Relation,
    /// Set when the splits must see one snapshot.
    pub(crate) shared: Option<SharedTable>,
}

/// The table that the splits of a plan share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SharedTable {
    pub(crate) schema: String,
    pub(crate) name: String,
}

/// A relation that reads one table row by row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowWiseScan<'a> {
    pub(crate) table: &'a RemoteTable,
    pub(crate) filters: Filters,
}

/// Whether rows are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filters {
    None,
    Some,
}

/// `Project`s and `Filter`s over one table: each row of the table gives at most one row, on its own.
pub(crate) fn row_wise_scan(relation: &Relation) -> Option<RowWiseScan<'_>> {
    match relation {
        Relation::Table(table) if table.restriction.is_none() => Some(RowWiseScan {
            table,
            filters: Filters::None,
        }),
        Relation::Project { input, .. } => row_wise_scan(input),
        Relation::Filter { input, .. } => row_wise_scan(input).map(|scan| RowWiseScan {
            filters: Filters::Some,
            ..scan
        }),
        _ => None,
    }
}

/// The filters ask for one row: they fix every column of the primary key.
pub(crate) fn fixes_primary_key(relation: &Relation, primary_key: &[String]) -> bool {
    let mut fixed = Vec::new();
    collect_fixed(relation, &mut fixed);
    !primary_key.is_empty() && primary_key.iter().all(|column| fixed.contains(column))
}

/// Source names of the columns compared for equality with a constant by filters directly above the table.
fn collect_fixed(relation: &Relation, fixed: &mut Vec<String>) {
    let Relation::Filter { input, predicate } = relation else {
        if let Relation::Project { input, .. } = relation {
            collect_fixed(input, fixed);
        }
        return;
    };
    collect_fixed(input, fixed);
    let columns = input.columns();
    for conjunct in predicate.clone().into_conjuncts() {
        let Expression::Compare {
            operator: CompareOperator::Equal,
            left,
            right,
        } = conjunct
        else {
            continue;
        };
        let (Expression::Column(column), Expression::Literal(_)) = (&*left, &*right) else {
            continue;
        };
        if let Some(origin) = columns
            .get(column.index)
            .and_then(|column| column.origin.as_ref())
        {
            fixed.push(origin.source_name.clone());
        }
    }
}

/// A join will deliver so few values that an index lookup by all of them beats reading ranges of the table.
pub(crate) fn expects_few_rows(
    lookup_columns: &[usize],
    lookup_rows: Option<u64>,
    table_rows: Option<u64>,
) -> bool {
    match (lookup_rows, table_rows) {
        (Some(lookup), Some(table)) if !lookup_columns.is_empty() => {
            lookup as f64 <= table as f64 * FEW_ROWS_SHARE
        }
        _ => false,
    }
}

/// A range of the primary key, as the server's SQL and for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyRange {
    /// The condition; empty for all rows.
    pub(crate) condition: String,
    /// For people.
    pub(crate) description: String,
}

/// One split for each range.
pub(crate) fn ranged_splits(
    relation: &Relation,
    table: SharedTable,
    ranges: &[KeyRange],
    plan: u64,
) -> Result<Vec<Split>, serde_json::Error> {
    ranges
        .iter()
        .map(|range| {
            let payload = SplitPayload {
                plan,
                splits: ranges.len(),
                relation: restricted(relation, &range.condition),
                shared: Some(table.clone()),
            };
            Ok(Split {
                description: range.description.clone(),
                payload: serde_json::to_string(&payload)?,
            })
        })
        .collect()
}

/// The one split of a relation that is not cut.
pub(crate) fn single_split(relation: &Relation, plan: u64) -> Result<Split, serde_json::Error> {
    let payload = SplitPayload {
        plan,
        splits: 1,
        relation: relation.clone(),
        shared: None,
    };
    Ok(Split {
        description: "whole".to_owned(),
        payload: serde_json::to_string(&payload)?,
    })
}

fn restricted(relation: &Relation, restriction: &str) -> Relation {
    let inner = |input: &Relation| Box::new(restricted(input, restriction));
    match relation {
        Relation::Table(table) => Relation::Table(RemoteTable {
            restriction: Some(restriction.to_owned()),
            ..table.clone()
        }),
        Relation::Project { input, expressions } => Relation::Project {
            input: inner(input),
            expressions: expressions.clone(),
        },
        Relation::Filter { input, predicate } => Relation::Filter {
            input: inner(input),
            predicate: predicate.clone(),
        },
        other => other.clone(),
    }
}

/// `c0`, `c1`, … with the relation's types.
pub(crate) fn output_schema(relation: &Relation) -> Schema {
    let fields: Vec<Field> = relation
        .columns()
        .into_iter()
        .enumerate()
        .map(|(position, column)| {
            Field::new(format!("c{position}"), column.data_type, column.nullable)
        })
        .collect();
    Schema::new(fields)
}

/// Whose values the output columns hold, for messages: the table column they come from, else the output name.
pub(crate) fn output_origins(relation: &Relation, schema: &Schema) -> Vec<ColumnOrigin> {
    let tables = relation.tables();
    relation
        .columns()
        .into_iter()
        .zip(schema.fields())
        .map(|(column, field)| match column.origin {
            Some(origin) => {
                let table = tables.iter().find(|table| table.columns.contains(&origin));
                ColumnOrigin {
                    table: table
                        .map(|table| qualified(&table.schema, &table.name))
                        .unwrap_or_default(),
                    column: origin.source_name,
                }
            }
            None => ColumnOrigin {
                table: table_list(relation),
                column: field.name().clone(),
            },
        })
        .collect()
}

/// `shop.orders, shop.customer`.
pub(crate) fn table_list(relation: &Relation) -> String {
    let mut names: Vec<String> = relation
        .tables()
        .iter()
        .map(|table| qualified(&table.schema, &table.name))
        .collect();
    names.dedup();
    names.join(", ")
}

/// Schema and table for people.
pub(crate) fn qualified(schema: &str, table: &str) -> String {
    format!("{schema}.{table}")
}

/// What `EXPLAIN` says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Explained {
    /// Rows of the answer.
    pub(crate) rows: f64,
    /// Rows of all tables that are looked at.
    pub(crate) rows_read: f64,
    /// The only table is read from end to end.
    pub(crate) reads_everything: bool,
}

/// One row of `EXPLAIN`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ExplainedTable {
    /// `SIMPLE`, `PRIMARY`, `DERIVED`, ….
    pub(crate) select_type: String,
    /// Access: `ALL`, `range`, `ref`, ….
    pub(crate) access: String,
    /// Rows looked at, for each combination of rows before.
    pub(crate) rows: f64,
    /// Percentage that passes the conditions.
    pub(crate) filtered: f64,
}

/// Combines the rows of `EXPLAIN`; `None` when there are none.
pub(crate) fn combine_explained(tables: &[ExplainedTable]) -> Option<Explained> {
    let is_outer =
        |table: &&ExplainedTable| matches!(table.select_type.as_str(), "SIMPLE" | "PRIMARY");
    let mut rows = 1.0;
    let mut rows_read = 0.0;
    for table in tables.iter().filter(is_outer) {
        rows_read += rows * table.rows;
        rows *= table.rows * table.filtered / 100.0;
    }
    for table in tables.iter().filter(|table| !is_outer(table)) {
        rows_read += table.rows;
    }
    let first = tables.first()?;
    Some(Explained {
        rows,
        rows_read,
        reads_everything: tables.len() == 1 && matches!(first.access.as_str(), "ALL" | "index"),
    })
}

/// Bytes a row takes beside its values: a header, and a bit and a length for each field.
pub(crate) fn estimate(
    rows_read: Option<f64>,
    rows: Option<f64>,
    row_width: f64,
    columns: usize,
    splits: usize,
) -> CostEstimate {
    let framing = 5.0 + 1.1 * columns as f64;
    CostEstimate {
        rows_read: rows_read.map(f64::round),
        rows_returned: rows.map(f64::round),
        bytes: rows.map(|rows| (rows * (row_width + framing)).round()),
        requests: Some(splits as f64),
        ..CostEstimate::default()
    }
}

/// Average width of a row of these columns, as far as it is known.
pub(crate) fn average_width(columns: &[OutputColumn]) -> f64 {
    const UNKNOWN_WIDTH: u64 = 16;
    columns
        .iter()
        .map(|column| {
            let known = column
                .origin
                .as_ref()
                .and_then(|origin| origin.statistics.width);
            known.unwrap_or(UNKNOWN_WIDTH) as f64
        })
        .sum()
}
