//! `information_schema` of every catalog: schemata, tables, columns, filled from the connector when scanned, and
//! only as far as the query's filters on schema and table names need. Must never know plans beyond one scan.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{MemTable, Session, TableProvider};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Expr, Operator, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use owlet_connector::{ColumnMetadata, ConnectorError, RowCount, TableKind, TableMetadata};

use crate::engine::Source;
use crate::type_names::type_name;

/// The schema's name.
pub const SCHEMA: &str = "information_schema";

/// Its tables.
pub const TABLES: [&str; 3] = ["schemata", "tables", "columns"];

/// One of its tables, if it exists.
pub fn table(catalog: &str, source: &Source, name: &str) -> Option<Arc<dyn TableProvider>> {
    let kind = match name {
        "schemata" => View::Schemata,
        "tables" => View::Tables,
        "columns" => View::Columns,
        _ => return None,
    };
    Some(Arc::new(InformationSchemaTable {
        catalog: catalog.to_owned(),
        source: source.clone(),
        view: kind,
    }))
}

/// One of its tables as `DESCRIBE` shows it, if it exists: these, and not the source's own of that name, are what
/// queries read.
pub fn describe(catalog: &str, source: &Source, name: &str) -> Option<TableMetadata> {
    let name = name.to_lowercase();
    let provider = table(catalog, source, &name)?;
    let schema = provider.schema();
    let columns = schema.fields().iter().map(|field| {
        let native_type = type_name(field.data_type());
        ColumnMetadata::new(field.name(), field.data_type().clone(), native_type)
    });
    Some(TableMetadata {
        schema: SCHEMA.to_owned(),
        kind: TableKind::View,
        columns: columns.collect(),
        rows: RowCount::Unknown,
        bytes: None,
        primary_key: Vec::new(),
        comment: None,
        name,
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum View {
    Schemata,
    Tables,
    Columns,
}

#[derive(Debug)]
struct InformationSchemaTable {
    catalog: String,
    source: Source,
    view: View,
}

#[async_trait]
impl TableProvider for InformationSchemaTable {
    fn schema(&self) -> SchemaRef {
        let text = |name: &str| Field::new(name, DataType::Utf8, true);
        let fields = match self.view {
            View::Schemata => vec![text("catalog_name"), text("schema_name")],
            View::Tables => {
                vec![
                    text("table_catalog"),
                    text("table_schema"),
                    text("table_name"),
                    text("table_type"),
                ]
            }
            View::Columns => vec![
                text("table_catalog"),
                text("table_schema"),
                text("table_name"),
                text("column_name"),
                Field::new("ordinal_position", DataType::Int64, true),
                text("column_default"),
                text("is_nullable"),
                text("data_type"),
                text("comment"),
                text("source_name"),
                text("native_type"),
            ],
        };
        Arc::new(Schema::new(fields))
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let batch = self.rows(filters).await?;
        let table = MemTable::try_new(self.schema(), vec![vec![batch]])?;
        table.scan(state, projection, &[], limit).await
    }
}

impl InformationSchemaTable {
    async fn rows(&self, filters: &[Expr]) -> Result<RecordBatch> {
        let failed = |error: ConnectorError| DataFusionError::External(Box::new(error));
        let connector = self.source.connector();
        let wanted_schema = wanted(
            filters,
            if self.view == View::Schemata {
                "schema_name"
            } else {
                "table_schema"
            },
        );
        let wanted_table = wanted(filters, "table_name");
        let mut schemas = connector.schemas().await.map_err(failed)?;
        if let Some(wanted) = &wanted_schema {
            schemas.retain(|schema| schema == wanted || schema.to_lowercase() == *wanted);
        }
        let mut rows = Rows::default();
        for schema in schemas {
            match self.view {
                View::Schemata => rows.texts(&[&self.catalog, &schema]),
                View::Tables => {
                    for table in connector.tables(&schema).await.map_err(failed)? {
                        let kind = match table.kind {
                            TableKind::Table => "BASE TABLE",
                            TableKind::View => "VIEW",
                            TableKind::Foreign => "FOREIGN",
                        };
                        rows.texts(&[&self.catalog, &schema, &table.name.to_lowercase(), kind]);
                    }
                }
                View::Columns => {
                    let described = match &wanted_table {
                        Some(table) => connector
                            .table(&schema, table)
                            .await
                            .map_err(failed)?
                            .into_iter()
                            .collect(),
                        None => connector.describe_schema(&schema).await.map_err(failed)?,
                    };
                    for table in described {
                        let visible = table.columns.iter().filter(|column| !column.hidden);
                        for (position, column) in visible.enumerate() {
                            rows.cells.push(vec![
                                Some(self.catalog.clone()),
                                Some(schema.clone()),
                                Some(table.name.to_lowercase()),
                                Some(column.name.clone()),
                                None,
                                Some(if column.nullable { "YES" } else { "NO" }.to_owned()),
                                Some(type_name(&column.data_type)),
                                column.comment.clone(),
                                Some(column.source_name.clone()),
                                Some(column.native_type.clone()),
                            ]);
                            rows.positions.push(position as i64 + 1);
                        }
                    }
                }
            }
        }
        rows.into_batch(self.schema())
    }
}

#[derive(Default)]
struct Rows {
    /// Text cells in column order (without `ordinal_position`).
    cells: Vec<Vec<Option<String>>>,
    positions: Vec<i64>,
}

impl Rows {
    fn texts(&mut self, cells: &[&str]) {
        self.cells
            .push(cells.iter().map(|cell| Some((*cell).to_owned())).collect());
    }

    fn into_batch(self, schema: SchemaRef) -> Result<RecordBatch> {
        let mut text_position = 0;
        let columns = schema
            .fields()
            .iter()
            .map(|field| -> ArrayRef {
                if field.data_type() == &DataType::Int64 {
                    return Arc::new(Int64Array::from(self.positions.clone()));
                }
                let position = text_position;
                text_position += 1;
                let cell = |row: &Vec<Option<String>>| row.get(position).cloned().flatten();
                Arc::new(self.cells.iter().map(cell).collect::<StringArray>())
            })
            .collect();
        Ok(RecordBatch::try_new(schema, columns)?)
    }
}

/// The constant a conjunct compares a column with.
fn wanted(filters: &[Expr], column: &str) -> Option<String> {
    filters
        .iter()
        .flat_map(split_conjunction)
        .find_map(|conjunct| match conjunct {
            Expr::BinaryExpr(binary) if binary.op == Operator::Eq => {
                match (binary.left.as_ref(), binary.right.as_ref()) {
                    (Expr::Column(name), Expr::Literal(value, _))
                    | (Expr::Literal(value, _), Expr::Column(name))
                        if name.name == column =>
                    {
                        value.try_as_str().flatten().map(str::to_owned)
                    }
                    _ => None,
                }
            }
            _ => None,
        })
}
