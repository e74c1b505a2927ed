//! From a relation to a plan of plain data: which splits, what they cost, what each carries. Must never do I/O.

use arrow_schema::{Field, Schema};
use owlet_connector::{CompareOperator, CostEstimate, Expression, Split};
use owlet_remote_sql::{Relation, RemoteTable};
use serde::{Deserialize, Serialize};

use crate::catalog::Layout;
use crate::decode::{ColumnOrigin, OriginKind};

/// A range of fewer pages than this is not worth a connection of its own (8 MiB).
const LEAST_PAGES_OF_A_SPLIT: u64 = 1024;
/// The last ranges are at most this part of a reader's work: it may wait for others that long.
const MOST_RANGES_OF_A_READER: u64 = 32;
/// Lookups by at most this share of a table's rows are left to the server's indexes rather than split.
const FEW_ROWS_SHARE: f64 = 0.05;

/// What a split carries from planning to reading.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SplitPayload {
    /// The same for all splits of a plan, different for every plan.
    pub(crate) plan: u64,
    /// Number of splits of the plan.
    pub(crate) splits: usize,
    /// What to read; leaves carry the split's `ctid` range.
    pub(crate) relation: Relation,
    /// Set when the splits must see one snapshot.
    pub(crate) shared: Option<SharedTable>,
}

/// The table that the splits of a plan share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SharedTable {
    pub(crate) schema: String,
    pub(crate) name: String,
    /// Its rows lie in partitions, which may come and go.
    pub(crate) is_partitioned: bool,
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

/// What the number of splits depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SplitLimits {
    /// The engine's wish.
    pub(crate) target_partitions: usize,
    /// Connections that one scan may have at once.
    pub(crate) connections: usize,
}

/// First pages of the splits, or why there is only one.
pub(crate) fn choose_boundaries(layout: &Layout, limits: SplitLimits) -> Result<Vec<u64>, String> {
    if let Some(obstacle) = &layout.obstacle {
        return Err(format!("not split: {obstacle}"));
    }
    let readers = limits.target_partitions.min(limits.connections) as u64;
    if readers < 2 {
        return Err("not split: one reader".to_owned());
    }
    let pages = layout.pages();
    let pages_before = if limits.connections >= limits.target_partitions {
        ranges_for_all(pages, readers)
    } else {
        // Readers that would wait for each other's connections get no more ranges than there are connections.
        even_ranges(pages, readers.min(pages / LEAST_PAGES_OF_A_SPLIT))
    };
    let boundaries = layout.boundaries(&pages_before);
    if boundaries.len() < 2 {
        Err("not split: the table is small".to_owned())
    } else {
        Ok(boundaries)
    }
}

/// Pages before each of so many equal ranges.
fn even_ranges(pages: u64, parts: u64) -> Vec<u64> {
    let before = |part| (u128::from(pages) * u128::from(part)).div_ceil(u128::from(parts)) as u64;
    (0..parts).map(before).collect()
}

/// Pages before each range, when a reader that has finished one takes the next. Each range is a share of what is left,
/// so that requests are few, and yet all readers end at about the same time ("guided self-scheduling": Polychronopoulos
/// and Kuck, IEEE Transactions on Computers, 1987).
fn ranges_for_all(pages: u64, readers: u64) -> Vec<u64> {
    let least = (pages / (readers * MOST_RANGES_OF_A_READER)).max(LEAST_PAGES_OF_A_SPLIT);
    let mut before = Vec::new();
    let mut next = 0;
    while next < pages {
        before.push(next);
        let left = pages - next;
        let range = (left / (readers * 2)).max(least);
        // No range smaller than the least stays over.
        next = if left - range.min(left) < least {
            pages
        } else {
            next + range
        };
    }
    before
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

/// One split for each range, the last one without an end: the table may grow until it is read.
pub(crate) fn ranged_splits(
    relation: &Relation,
    table: SharedTable,
    boundaries: &[u64],
    plan: u64,
) -> Result<Vec<Split>, serde_json::Error> {
    boundaries
        .iter()
        .enumerate()
        .map(|(position, first)| {
            let next = boundaries.get(position + 1).copied();
            let restriction = match next {
                Some(next) => format!("ctid >= '({first},0)'::tid AND ctid < '({next},0)'::tid"),
                None => format!("ctid >= '({first},0)'::tid"),
            };
            let description = match next {
                Some(next) => format!("ctid pages {first} to {next}"),
                None => format!("ctid pages from {first}"),
            };
            let payload = SplitPayload {
                plan,
                splits: boundaries.len(),
                relation: restricted(relation, Some(&restriction)),
                shared: Some(table.clone()),
            };
            Ok(Split {
                description,
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

/// The relation without the range of a split.
pub(crate) fn unrestricted(relation: &Relation) -> Relation {
    restricted(relation, None)
}

fn restricted(relation: &Relation, restriction: Option<&str>) -> Relation {
    let inner = |input: &Relation| Box::new(restricted(input, restriction));
    match relation {
        Relation::Table(table) => Relation::Table(RemoteTable {
            restriction: restriction.map(str::to_owned),
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

/// Whose values the output columns hold, for messages: the table column they come from, if it is one.
pub(crate) fn output_origins(relation: &Relation) -> Vec<ColumnOrigin> {
    let tables = relation.tables();
    relation
        .columns()
        .into_iter()
        .map(|column| match column.origin {
            Some(origin) => {
                let table = tables.iter().find(|table| table.columns.contains(&origin));
                ColumnOrigin {
                    table: table
                        .map(|table| qualified(&table.schema, &table.name))
                        .unwrap_or_default(),
                    column: origin.source_name,
                    kind: OriginKind::Column,
                }
            }
            None => ColumnOrigin {
                table: table_list(relation),
                column: "(an expression of the query)".to_owned(),
                kind: OriginKind::Expression,
            },
        })
        .collect()
}

/// `public.orders, public.customer`.
pub(crate) fn table_list(relation: &Relation) -> String {
    let mut names: Vec<String> = relation
        .tables()
        .iter()
        .map(|table| qualified(&table.schema, &table.name))
        .collect();
    names.dedup();
    names.join(", ")
}

/// Schema and name of each table, once.
pub(crate) fn table_names(relation: &Relation) -> Vec<(String, String)> {
    let mut names: Vec<_> = relation
        .tables()
        .iter()
        .map(|table| (table.schema.clone(), table.name.clone()))
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Schema and table for people.
pub(crate) fn qualified(schema: &str, table: &str) -> String {
    format!("{schema}.{table}")
}

/// What `EXPLAIN (FORMAT JSON)` says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Explained {
    pub(crate) rows: f64,
    pub(crate) width: f64,
    /// Rows of all scans at the leaves.
    pub(crate) rows_read: f64,
    /// All leaves read whole tables, and nothing but appending happens above them.
    pub(crate) reads_everything: bool,
}

/// Reads the plan; `None` when it has an unknown shape.
pub(crate) fn read_explain(text: &str) -> Option<Explained> {
    let document: serde_json::Value = serde_json::from_str(text).ok()?;
    let top = document.get(0)?.get("Plan")?;
    let mut rows_read = 0.0;
    let mut reads_everything = true;
    visit(top, &mut rows_read, &mut reads_everything);
    Some(Explained {
        rows: top.get("Plan Rows")?.as_f64()?,
        width: top.get("Plan Width")?.as_f64()?,
        rows_read,
        reads_everything,
    })
}

fn visit(node: &serde_json::Value, rows_read: &mut f64, reads_everything: &mut bool) {
    let kind = node
        .get("Node Type")
        .and_then(serde_json::Value::as_str)
        .unwrap_or_default();
    *reads_everything &= matches!(
        kind,
        "Seq Scan" | "Append" | "Gather" | "Subquery Scan" | "Result"
    );
    match node.get("Plans").and_then(serde_json::Value::as_array) {
        Some(children) => children
            .iter()
            .for_each(|child| visit(child, rows_read, reads_everything)),
        None => {
            *rows_read += node
                .get("Plan Rows")
                .and_then(serde_json::Value::as_f64)
                .unwrap_or(0.0)
        }
    }
}

/// Bytes a row takes beside its values: two for the row, four for each field.
pub(crate) fn estimate(
    rows_read: Option<f64>,
    rows: Option<f64>,
    row_width: f64,
    columns: usize,
    splits: usize,
) -> CostEstimate {
    let framing = 2.0 + 4.0 * columns as f64;
    CostEstimate {
        rows_read,
        rows_returned: rows,
        bytes: rows.map(|rows| rows * (row_width + framing)),
        requests: Some(splits as f64),
        ..CostEstimate::default()
    }
}

/// Average width of a row of these columns, by statistics where there are some.
pub(crate) fn average_width(table: &RemoteTable) -> f64 {
    const UNKNOWN_WIDTH: u64 = 16;
    table
        .columns
        .iter()
        .map(|column| column.statistics.width.unwrap_or(UNKNOWN_WIDTH) as f64)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_shrink_towards_the_end_and_cover_all_pages() {
        for readers in 2..=16 {
            for pages in [1, 2047, 2048, 5000, 100_000, 111_708, 13_000_000] {
                let mut ends = ranges_for_all(pages, readers);
                ends.push(pages);
                let sizes: Vec<u64> = ends.windows(2).map(|pair| pair[1] - pair[0]).collect();
                assert_eq!((ends[0], sizes.iter().sum::<u64>()), (0, pages));
                if sizes.len() > 1 {
                    assert!(sizes.iter().all(|size| *size >= LEAST_PAGES_OF_A_SPLIT));
                    let last = sizes[sizes.len() - 1];
                    let longest_wait = pages / readers / MOST_RANGES_OF_A_READER;
                    assert!(
                        last < 2 * longest_wait.max(LEAST_PAGES_OF_A_SPLIT),
                        "{pages} pages, {readers} readers: {sizes:?}"
                    );
                    assert!(sizes.len() as u64 <= readers * MOST_RANGES_OF_A_READER);
                }
            }
        }
        assert_eq!(ranges_for_all(2047, 2), [0]);
        assert_eq!(ranges_for_all(2048, 2), [0, 1024]);
        let before = ranges_for_all(100_000, 2);
        assert_eq!(before[..4], [0, 25_000, 43_750, 57_812]);
        assert_eq!(before.len(), 13);
    }

    #[test]
    fn even_ranges_are_even() {
        assert_eq!(even_ranges(1000, 3), [0, 334, 667]);
        assert!(even_ranges(1000, 0).is_empty());
    }
}
