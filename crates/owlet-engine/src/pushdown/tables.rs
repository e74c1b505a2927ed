//! Scans of sources without SQL: ask the connector, keep what it does not do exactly.

use std::sync::Arc;

use datafusion::common::{DFSchema, DataFusionError, Result};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, TableScan};
use owlet_connector::{
    ColumnReference, Exactness, Expression, FieldPaths, NullsOrder, ScanPlan, ScanRequest,
    SortDirection, SortKey,
};

use crate::catalogs::SourceTable;
use crate::pushdown::estimate::estimate;
use crate::pushdown::hints::{Hints, merge_fields};
use crate::pushdown::shared::Owners;
use crate::pushdown::translate::Translator;
use crate::pushdown::{PushdownPlanner, connector_error};
use crate::query::Pushdown;
use crate::scan::node::{JoinFed, PlannedScan, RemoteScan};

impl PushdownPlanner {
    /// A scan of a table with the filter's conjuncts; returns the planned leaf, with a local filter for what the
    /// connector does not apply exactly.
    pub(super) async fn table(
        &self,
        scan: &TableScan,
        conjuncts: &[Expr],
        hints: &Hints,
    ) -> Result<LogicalPlan> {
        let table = SourceTable::of(scan)
            .ok_or_else(|| DataFusionError::Internal("a scan without a source table".to_owned()))?;
        let mut translated = Vec::new();
        let mut untranslated = Vec::new();
        for conjunct in conjuncts {
            match Translator::new(&scan.projected_schema).expression(conjunct) {
                Ok(predicate) => {
                    translated.push((conjunct, table.to_table_positions(predicate, scan)?))
                }
                Err(refusal) => untranslated.push((conjunct, refusal.to_string())),
            }
        }
        let without_keys = without_keys(scan, conjuncts)?;
        let output = table.projection(scan);
        let pushed = self.pushdown == Pushdown::On;
        let request = ScanRequest {
            schema: table.metadata.schema.clone(),
            table: table.metadata.name.clone(),
            projection: output.clone(),
            fields: if pushed {
                fields(hints, conjuncts, scan, &output)
            } else {
                FieldPaths::new()
            },
            filters: translated
                .iter()
                .map(|(_, predicate)| predicate.clone())
                .collect(),
            limit: if pushed && untranslated.is_empty() {
                hints.limit
            } else {
                None
            },
            ordering: if pushed {
                ordering(hints, &output, table)?
            } else {
                Vec::new()
            },
            lookup_columns: if pushed {
                positions(&hints.lookup, &output)
            } else {
                Vec::new()
            },
            lookup_rows: hints.lookup_rows,
            target_partitions: self.target_partitions,
        };
        let connector = table.source.connector();
        // Columns only the filters need are not read when the source applies all filters exactly.
        let needed: Option<Vec<usize>> = hints
            .needed
            .clone()
            .filter(|_| pushed && !translated.is_empty());
        if let Some(needed) =
            needed.filter(|needed| needed.len() < output.len() && untranslated.is_empty())
        {
            let narrow = ScanRequest {
                projection: positions(&needed, &output),
                ..request.clone()
            };
            let plan = connector
                .plan_scan(&narrow)
                .await
                .map_err(connector_error)?;
            if plan
                .filters
                .iter()
                .all(|filter| *filter == Exactness::Exact)
            {
                let schema = project(&scan.projected_schema, &needed)?;
                let leaf = Leaf {
                    plan,
                    schema: Arc::new(schema),
                    stayed_local: Vec::new(),
                    without_keys,
                };
                return Ok(self.leaf(table, leaf, hints, scan));
            }
        }
        let plan = connector
            .plan_scan(&request)
            .await
            .map_err(connector_error)?;
        let mut stayed_local: Vec<String> = untranslated
            .iter()
            .map(|(conjunct, reason)| format!("filter {conjunct}: {reason}"))
            .collect();
        let mut residual: Vec<Expr> = untranslated
            .iter()
            .map(|(conjunct, _)| (*conjunct).clone())
            .collect();
        for ((conjunct, _), exactness) in translated.iter().zip(&plan.filters) {
            match exactness {
                Exactness::Exact => {}
                Exactness::Inexact(reason) => {
                    stayed_local.push(format!("filter {conjunct} is checked again: {reason}"));
                    residual.push((*conjunct).clone());
                }
                Exactness::Unsupported(reason) => {
                    stayed_local.push(format!("filter {conjunct}: {reason}"));
                    residual.push((*conjunct).clone());
                }
            }
        }
        let leaf = Leaf {
            plan,
            schema: Arc::clone(&scan.projected_schema),
            stayed_local,
            without_keys,
        };
        let leaf = self.leaf(table, leaf, hints, scan);
        match conjunction(residual) {
            None => Ok(leaf),
            Some(predicate) => {
                let filter =
                    LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(leaf.clone()))?);
                self.rebuild(filter, vec![leaf]).await
            }
        }
    }

    fn leaf(
        &self,
        table: &SourceTable,
        leaf: Leaf,
        hints: &Hints,
        scan: &TableScan,
    ) -> LogicalPlan {
        let Leaf {
            mut plan,
            schema,
            stayed_local,
            without_keys,
        } = leaf;
        if plan.estimate.rows_returned.is_none() {
            plan.estimate.rows_returned =
                Some(estimate(&LogicalPlan::TableScan(scan.clone())).rows);
        }
        let join_fed = match (self.pushdown, hints.lookup.is_empty()) {
            (Pushdown::On, false) => JoinFed::Yes,
            _ => JoinFed::No,
        };
        let columns = schema
            .fields()
            .iter()
            .map(|field| {
                let column = table
                    .metadata
                    .columns
                    .iter()
                    .find(|column| column.name == *field.name());
                column
                    .map(|column| column.statistics.clone())
                    .unwrap_or_default()
            })
            .collect();
        let planned = PlannedScan {
            columns,
            catalog: table.catalog.clone(),
            connector: table.source.connector(),
            owners: Owners::default(),
            plan,
            join_fed,
            rows_without_keys: (join_fed == JoinFed::Yes).then_some(without_keys),
            stayed_local,
        };
        RemoteScan::new(planned, schema).into_plan()
    }
}

/// What becomes of a table's scan.
struct Leaf {
    plan: ScanPlan,
    schema: Arc<DFSchema>,
    stayed_local: Vec<String>,
    without_keys: f64,
}

/// Rows of the table that pass the filters.
fn without_keys(scan: &TableScan, conjuncts: &[Expr]) -> Result<f64> {
    let scan = LogicalPlan::TableScan(scan.clone());
    let filtered = match conjunction(conjuncts.iter().cloned()) {
        Some(predicate) => LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(scan))?),
        None => scan,
    };
    Ok(estimate(&filtered).rows)
}

/// The columns of which only fields are used, here and above, by their positions in the table.
fn fields(hints: &Hints, conjuncts: &[Expr], scan: &TableScan, output: &[usize]) -> FieldPaths {
    let mut fields = hints.fields.clone();
    merge_fields(&mut fields, conjuncts.iter(), &scan.projected_schema);
    fields
        .into_iter()
        .filter_map(|(position, paths)| Some((*output.get(position)?, paths)))
        .collect()
}

/// Output positions as positions in the table.
fn positions(wanted: &[usize], output: &[usize]) -> Vec<usize> {
    wanted
        .iter()
        .filter_map(|position| output.get(*position).copied())
        .collect()
}

fn ordering(hints: &Hints, output: &[usize], table: &SourceTable) -> Result<Vec<SortKey>> {
    hints
        .ordering
        .iter()
        .map(|hint| {
            let column = output
                .get(hint.column)
                .and_then(|position| Some((*position, table.column(*position)?)));
            let (index, metadata) = column.ok_or_else(|| {
                DataFusionError::Internal("an ordering names a column outside the scan".to_owned())
            })?;
            Ok(SortKey {
                expression: Expression::Column(ColumnReference {
                    index,
                    name: metadata.name.clone(),
                    data_type: metadata.data_type.clone(),
                    nullable: metadata.nullable,
                }),
                direction: if hint.sort.asc {
                    SortDirection::Ascending
                } else {
                    SortDirection::Descending
                },
                nulls: if hint.sort.nulls_first {
                    NullsOrder::First
                } else {
                    NullsOrder::Last
                },
            })
        })
        .collect()
}

fn project(schema: &DFSchema, columns: &[usize]) -> Result<DFSchema> {
    let fields = columns
        .iter()
        .map(|column| {
            let (qualifier, field) = schema.qualified_field(*column);
            (qualifier.cloned(), Arc::clone(field))
        })
        .collect();
    DFSchema::new_with_metadata(fields, schema.metadata().clone())
}
