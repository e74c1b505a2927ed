//! A query in a source's own language as a table (`TABLE(catalog.system.query(query => '…'))`). Must never know that
//! language: the connector plans it and the engine only reads the answer.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{Column, DFSchema, Result, internal_err};
use datafusion::datasource::DefaultTableSource;
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, TableScan, TableType};
use datafusion::physical_plan::ExecutionPlan;
use owlet_connector::{Connector, ScanPlan};

use crate::pushdown::shared::Owners;
use crate::scan::node::{JoinFed, PlannedScan, RemoteScan};

/// A planned query of one source. It is never scanned by itself: the pushdown planner replaces it.
#[derive(Debug)]
pub struct SourceQuery {
    catalog: String,
    connector: Arc<dyn Connector>,
    plan: ScanPlan,
    schema: SchemaRef,
}

impl SourceQuery {
    /// A table of the answer's columns.
    pub fn new(catalog: &str, connector: Arc<dyn Connector>, plan: ScanPlan) -> Self {
        Self {
            catalog: catalog.to_owned(),
            connector,
            schema: Arc::new(plan.schema.clone()),
            plan,
        }
    }

    /// The catalog whose source is asked.
    pub fn catalog(&self) -> &str {
        &self.catalog
    }

    /// The query a scan reads, if it is one.
    pub fn of(scan: &TableScan) -> Option<&Self> {
        let source = scan.source.downcast_ref::<DefaultTableSource>()?;
        (source.table_provider.as_ref() as &dyn std::any::Any).downcast_ref::<Self>()
    }

    /// The planned scan, cut to the columns that are used. The source computes them all: its text is not changed.
    pub fn read(&self, scan: &TableScan) -> Result<LogicalPlan> {
        let whole = DFSchema::try_from_qualified_schema(scan.table_name.clone(), &self.schema)?;
        let columns = scan.projection.as_ref().map(|positions| {
            positions
                .iter()
                .map(|position| Expr::Column(Column::from(whole.qualified_field(*position))))
                .collect::<Vec<Expr>>()
        });
        let planned = PlannedScan {
            catalog: self.catalog.clone(),
            connector: Arc::clone(&self.connector),
            owners: Owners::default(),
            columns: vec![Default::default(); self.schema.fields().len()],
            plan: self.plan.clone(),
            join_fed: JoinFed::No,
            rows_without_keys: None,
            stayed_local: Vec::new(),
        };
        let leaf = RemoteScan::new(planned, Arc::new(whole)).into_plan();
        match columns {
            None => Ok(leaf),
            Some(columns) => Ok(LogicalPlan::Projection(Projection::try_new(
                columns,
                Arc::new(leaf),
            )?)),
        }
    }
}

#[async_trait]
impl TableProvider for SourceQuery {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Temporary
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        _projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        internal_err!(
            "a query of {} was not replaced by a planned scan",
            self.catalog
        )
    }
}
