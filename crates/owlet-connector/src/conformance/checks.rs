//! Checks of what a scan answers without conditions: contents, metadata, projections, plans as data, unknown names.
//! Must never know a concrete source.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, TimeUnit};

use super::build::column;
use super::fixtures::Kind;
use super::harness::{ConformanceHarness, Limitations};
use super::reading::{Reading, Table, count, read};
use super::report::Report;
use super::value::Value;
use crate::connector::Connector;
use crate::error::ConnectorError;
use crate::expression::Expression;
use crate::scan::{ScanPlan, ScanRequest};

/// What was created is what is read.
pub fn contents(table: &Table, limitations: &Limitations, report: &mut Report) {
    const CHECK: &str = "contents";
    let name = table.fixture.name;
    let expected_rows = table.fixture.rows();
    report.check(CHECK, name, table.rows.num_rows() == expected_rows, || {
        format!(
            "{} rows were read, {expected_rows} were written",
            table.rows.num_rows()
        )
    });
    let mut order: BTreeMap<i128, usize> = BTreeMap::new();
    for row in 0..table.rows.num_rows() {
        match table.row_id(row) {
            Ok(id) => {
                order.insert(id, row);
            }
            Err(problem) => return report.fail(CHECK, name, problem),
        }
    }
    for expected in &table.fixture.columns {
        let position = table
            .metadata
            .columns
            .iter()
            .position(|column| column.source_name == expected.name);
        let Some(position) = position else {
            let may_be_unknown = limitations.columns_from_rows && expected_rows == 0;
            report.check(CHECK, name, may_be_unknown, || {
                format!("column {} is not listed", expected.name)
            });
            continue;
        };
        let array = table.rows.column(position);
        for (id, value) in expected.values.iter().enumerate() {
            let Some(row) = order.get(&(id as i128)) else {
                report.fail(CHECK, name, format!("the row with id {id} is missing"));
                break;
            };
            let read = Value::of_cell(array.as_ref(), *row);
            let same = read
                .as_ref()
                .is_ok_and(|read| stands_for(value, expected.kind, read, array.data_type()));
            let column = &expected.name;
            if !report.check(CHECK, name, same, || {
                format!(
                    "column {column} of id {id}: {value:?} was written, {read:?} ({}) was read",
                    array.data_type()
                )
            }) {
                break;
            }
        }
    }
}

/// Whether the value read stands for the value written, in whatever type the source keeps such values.
fn stands_for(written: &Value, kind: Kind, read: &Value, data_type: &DataType) -> bool {
    match (written, read) {
        (Value::Null, Value::Null) => true,
        (Value::Boolean(one), Value::Boolean(other)) => one == other,
        (Value::Boolean(one), Value::Integer(other)) => i128::from(*one) == *other,
        (Value::Text(one), Value::Text(other)) => one == other,
        (Value::Binary(one), Value::Binary(other)) => one == other,
        (Value::Float(one), Value::Float(other)) => {
            one.to_bits() == other.to_bits() || (one.is_nan() && other.is_nan())
        }
        (Value::Float(one), Value::Integer(other)) => {
            let DataType::Decimal128(_, scale) = data_type else {
                return *one == *other as f64;
            };
            (*one - *other as f64 / 10_f64.powi((*scale).into())).abs() <= one.abs() * 1e-15
        }
        (Value::Integer(one), Value::Integer(other)) => match (kind, data_type) {
            (Kind::Decimal, DataType::Decimal128(_, scale)) => {
                let more = u32::try_from(i32::from(*scale) - 2)
                    .ok()
                    .and_then(|digits| 10_i128.checked_pow(digits));
                more.is_some_and(|factor| one * factor == *other)
            }
            (Kind::Integer | Kind::SmallInteger, DataType::Decimal128(_, scale)) => {
                let factor = u32::try_from(*scale)
                    .ok()
                    .and_then(|digits| 10_i128.checked_pow(digits));
                factor.is_some_and(|factor| one * factor == *other)
            }
            (Kind::Timestamp | Kind::Instant, DataType::Timestamp(unit, _)) => match unit {
                TimeUnit::Second => *one == *other * 1_000_000,
                TimeUnit::Millisecond => *one == *other * 1_000,
                TimeUnit::Microsecond => one == other,
                TimeUnit::Nanosecond => *one * 1_000 == *other,
            },
            _ => one == other,
        },
        // A source without such a type keeps its text.
        (Value::Integer(_), Value::Text(text)) => {
            super::fixtures::text_of(written, kind).as_deref() == Some(text)
        }
        _ => false,
    }
}

/// Listing, lookup and the agreement of metadata and scans.
pub async fn metadata(table: &Table, report: &mut Report) {
    const CHECK: &str = "metadata";
    let name = table.fixture.name;
    let connector = table.connector.as_ref();
    let (schema, source_name) = (&table.metadata.schema, &table.metadata.name);
    let schemas = connector.schemas().await;
    if let Some(schemas) = report.require(CHECK, name, schemas, || "schemas".to_owned()) {
        report.check(CHECK, name, schemas.contains(schema), || {
            format!("{schema} is not among {schemas:?}")
        });
    }
    if let Some(tables) = report.require(CHECK, name, connector.tables(schema).await, || {
        "tables".to_owned()
    }) {
        let listed = tables
            .iter()
            .filter(|listed| listed.name == *source_name)
            .count();
        report.check(CHECK, name, listed == 1, || {
            format!("{source_name} is listed {listed} times")
        });
    }
    report.check(CHECK, name, *source_name == table.created.table, || {
        format!("{:?} calls itself {source_name}", table.created)
    });
    let swapped: String = source_name.chars().map(swap_case).collect();
    match connector.table(schema, &swapped).await {
        Ok(found) => {
            let same = found
                .as_ref()
                .is_some_and(|found| found.name == *source_name);
            report.check(CHECK, name, same, || {
                format!("{swapped} does not find {source_name}")
            });
        }
        Err(ConnectorError::AmbiguousName { .. }) => {}
        Err(error) => report.fail(CHECK, name, format!("looking for {swapped}: {error}")),
    }
    let names: Vec<&str> = table
        .metadata
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    let mut unique = names.clone();
    unique.sort_unstable();
    unique.dedup();
    report.check(CHECK, name, unique.len() == names.len(), || {
        format!("names are not unique: {names:?}")
    });
    let lower = names.iter().all(|column| *column == column.to_lowercase());
    report.check(CHECK, name, lower, || {
        format!("names are not lower case: {names:?}")
    });
    let described = connector.describe_schema(schema).await;
    if let Some(described) = report.require(CHECK, name, described, || "describe_schema".to_owned())
    {
        let found = described.iter().find(|found| found.name == *source_name);
        let same = found.is_some_and(|found| {
            let types = |table: &crate::metadata::TableMetadata| {
                table
                    .columns
                    .iter()
                    .map(|column| (column.name.clone(), column.data_type.clone()))
                    .collect::<Vec<_>>()
            };
            types(found) == types(&table.metadata)
        });
        report.check(CHECK, name, same, || {
            "describe_schema and table disagree".to_owned()
        });
    }
    if let Some(rows) = match table.metadata.rows {
        crate::metadata::RowCount::Exact(rows) => Some(rows),
        _ => None,
    } {
        report.check(CHECK, name, rows == table.rows.num_rows() as u64, || {
            format!(
                "{rows} rows are promised, {} are there",
                table.rows.num_rows()
            )
        });
    }
}

fn swap_case(character: char) -> char {
    if character.is_ascii_uppercase() {
        character.to_ascii_lowercase()
    } else {
        character.to_ascii_uppercase()
    }
}

/// Order, duplicates and absence of columns.
pub async fn projections(table: &Table, report: &mut Report) {
    const CHECK: &str = "projection";
    let name = table.fixture.name;
    let last = table.metadata.columns.len() - 1;
    let id = table.id;
    let reversed: Vec<usize> = (0..=last).rev().collect();
    for projection in [
        vec![id],
        vec![last, id],
        reversed,
        vec![id, id],
        vec![id, last, id, last],
        Vec::new(),
    ] {
        let request = table.request(projection.clone());
        let read = table.read(&request).await;
        let Some((plan, batches)) =
            report.require(CHECK, name, read, || format!("columns {projection:?}"))
        else {
            continue;
        };
        agrees(table, &request, &plan, &batches, report);
        report.check(
            CHECK,
            name,
            count(&batches) == table.rows.num_rows(),
            || {
                format!(
                    "columns {projection:?} give {} rows of {}",
                    count(&batches),
                    table.rows.num_rows()
                )
            },
        );
        if let Some(position) = projection.iter().position(|column| *column == id) {
            same_rows(table, &projection, position, &batches, report);
        }
    }
}

/// The schema of plan and batches is that of the metadata.
fn agrees(
    table: &Table,
    request: &ScanRequest,
    plan: &ScanPlan,
    batches: &[RecordBatch],
    report: &mut Report,
) {
    const CHECK: &str = "schema";
    let name = table.fixture.name;
    let all = table.metadata.arrow_schema();
    let expected: Vec<(String, DataType)> = request
        .projection
        .iter()
        .map(|column| {
            (
                all.field(*column).name().clone(),
                all.field(*column).data_type().clone(),
            )
        })
        .collect();
    let fields = |schema: &Schema| -> Vec<(String, DataType)> {
        schema
            .fields()
            .iter()
            .map(|field| (field.name().clone(), field.data_type().clone()))
            .collect()
    };
    report.check(CHECK, name, fields(&plan.schema) == expected, || {
        format!(
            "columns {:?}: the plan has {:?}, not {expected:?}",
            request.projection,
            fields(&plan.schema)
        )
    });
    for batch in batches {
        let found = fields(&batch.schema());
        if !report.check(CHECK, name, found == fields(&plan.schema), || {
            format!("a batch has {found:?}, its plan {:?}", fields(&plan.schema))
        }) {
            break;
        }
    }
    for field in plan
        .schema
        .fields()
        .iter()
        .filter(|field| !field.is_nullable())
    {
        let nulls: usize = batches
            .iter()
            .filter_map(|batch| batch.column_by_name(field.name()))
            .map(|column| column.null_count())
            .sum();
        report.check(CHECK, name, nulls == 0, || {
            format!("column {} is not nullable but holds NULL", field.name())
        });
    }
}

/// Every cell of the rows read is that of the row with the same id.
fn same_rows(
    table: &Table,
    projection: &[usize],
    id: usize,
    batches: &[RecordBatch],
    report: &mut Report,
) {
    const CHECK: &str = "values";
    let name = table.fixture.name;
    let mut rows: BTreeMap<i128, usize> = BTreeMap::new();
    for row in 0..table.rows.num_rows() {
        if let Ok(id) = table.row_id(row) {
            rows.insert(id, row);
        }
    }
    for batch in batches {
        for row in 0..batch.num_rows() {
            let ids = table.ids(&[batch.slice(row, 1)], id);
            let source_row = ids
                .ok()
                .and_then(|ids| ids.keys().next().and_then(|id| rows.get(id).copied()));
            let Some(source_row) = source_row else {
                report.fail(
                    CHECK,
                    name,
                    format!("columns {projection:?} give a row with an unknown id"),
                );
                return;
            };
            for (position, column) in projection.iter().enumerate() {
                let found = Value::of_cell(batch.column(position).as_ref(), row);
                let expected = Value::of_cell(table.rows.column(*column).as_ref(), source_row);
                let same = format!("{found:?}") == format!("{expected:?}");
                if !report.check(CHECK, name, same, || {
                    format!(
                        "columns {projection:?}, column {column}: {found:?} instead of {expected:?}"
                    )
                }) {
                    return;
                }
            }
        }
    }
}

/// A plan is plain data: another process with the same configuration can open it.
pub async fn serialised_plans(
    harness: &dyn ConformanceHarness,
    table: &Table,
    report: &mut Report,
) {
    const CHECK: &str = "serialised plan";
    let name = table.fixture.name;
    let last = table.metadata.columns.len() - 1;
    let mut request = table.request(vec![table.id, last]);
    request.filters = vec![Expression::IsNotNull(Box::new(column(
        table.id,
        &table.metadata.columns[table.id],
    )))];
    let Some(plan) = report.require(
        CHECK,
        name,
        table.connector.plan_scan(&request).await,
        || "plan".to_owned(),
    ) else {
        return;
    };
    let round_trip =
        serde_json::to_string(&plan).and_then(|text| serde_json::from_str::<ScanPlan>(&text));
    let Some(copy) = report.require(CHECK, name, round_trip, || "JSON".to_owned()) else {
        return;
    };
    report.check(CHECK, name, copy == plan, || {
        format!("{copy:?} is not {plan:?}")
    });
    let fresh: Arc<dyn Connector> = harness.connector().await;
    let batches = read(fresh.as_ref(), &copy, &Reading::default()).await;
    if let Some(batches) =
        report.require(CHECK, name, batches, || "reading it elsewhere".to_owned())
    {
        report.check(
            CHECK,
            name,
            count(&batches) == table.rows.num_rows(),
            || {
                format!(
                    "{} rows elsewhere, {} here",
                    count(&batches),
                    table.rows.num_rows()
                )
            },
        );
        same_rows(table, &request.projection, 0, &batches, report);
    }
}

/// Names that do not exist.
pub async fn unknown_names(connector: &Arc<dyn Connector>, report: &mut Report) {
    const CHECK: &str = "unknown names";
    const NOBODY: &str = "no_such_name_xyz";
    let schemas = connector.schemas().await.unwrap_or_default();
    for schema in schemas.iter().take(1).map(String::as_str).chain([NOBODY]) {
        let found = connector.table(schema, NOBODY).await;
        report.check(CHECK, schema, matches!(found, Ok(None)), || {
            format!("table gives {found:?}")
        });
        let request = ScanRequest {
            schema: schema.to_owned(),
            table: NOBODY.to_owned(),
            projection: vec![0],
            fields: Default::default(),
            filters: Vec::new(),
            limit: None,
            ordering: Vec::new(),
            lookup_columns: Vec::new(),
            lookup_rows: None,
            target_partitions: 1,
        };
        let planned = connector.plan_scan(&request).await;
        let refused = matches!(planned, Err(ConnectorError::TableNotFound { .. }));
        report.check(CHECK, schema, refused, || {
            format!("plan_scan gives {planned:?}")
        });
    }
    match connector.tables(NOBODY).await {
        Ok(tables) => {
            report.check(CHECK, NOBODY, tables.is_empty(), || {
                format!("tables gives {tables:?}")
            });
        }
        Err(ConnectorError::TableNotFound { .. }) => {}
        Err(error) => report.fail(CHECK, NOBODY, format!("tables gives {error}")),
    }
}
