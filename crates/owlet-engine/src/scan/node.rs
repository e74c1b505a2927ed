//! The logical leaf that stands for a planned scan, and its translation to the physical leaf.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering as Atomic};

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::{DFSchemaRef, Result, internal_err};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use owlet_connector::{ColumnStatistics, Connector, ScanPlan};

use crate::pushdown::shared::Owners;
use crate::scan::QueryRun;
use crate::scan::exec::ScanExec;

/// Whether a join will deliver a filter to a scan at run time; only such a scan may wait for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinFed {
    /// A join below which this scan lies uses one of its columns as key.
    Yes,
    /// Nothing to wait for.
    No,
}

/// Everything known of one scan before it runs.
#[derive(Debug, Clone)]
pub struct PlannedScan {
    /// Name of the catalog that asks the source.
    pub catalog: String,
    /// The catalogs whose tables are read; none means `catalog` alone.
    pub owners: Owners,
    /// The connector that made the plan and opens it.
    pub connector: Arc<dyn Connector>,
    /// What will be done.
    pub plan: ScanPlan,
    /// See [`JoinFed`].
    pub join_fed: JoinFed,
    /// Rows the scan would return without the values of a join, where its plan counts on them. What a join keeps must
    /// be chosen by these: when it keeps this scan, no values come.
    pub rows_without_keys: Option<f64>,
    /// What the source's statistics say of each output column.
    pub columns: Vec<ColumnStatistics>,
    /// What stayed local above this scan, with reasons.
    pub stayed_local: Vec<String>,
}

/// A leaf of the logical plan.
#[derive(Debug, Clone)]
pub struct RemoteScan {
    id: u64,
    /// The scan.
    pub scan: Arc<PlannedScan>,
    schema: DFSchemaRef,
}

impl RemoteScan {
    /// A leaf with this output schema, whose columns are the plan's in order.
    pub fn new(scan: PlannedScan, schema: DFSchemaRef) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT.fetch_add(1, Atomic::Relaxed),
            scan: Arc::new(scan),
            schema,
        }
    }

    /// The same scan with other column names.
    pub fn with_schema(&self, schema: DFSchemaRef) -> Self {
        Self {
            schema,
            ..Self::new(self.scan.as_ref().clone(), Arc::clone(&self.schema))
        }
    }

    /// As a plan.
    pub fn into_plan(self) -> LogicalPlan {
        LogicalPlan::Extension(Extension {
            node: Arc::new(self),
        })
    }
}

impl PartialEq for RemoteScan {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for RemoteScan {}

impl PartialOrd for RemoteScan {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.id.cmp(&other.id))
    }
}

impl Hash for RemoteScan {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

impl UserDefinedLogicalNodeCore for RemoteScan {
    fn name(&self) -> &str {
        "RemoteScan"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        Vec::new()
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(
            formatter,
            "RemoteScan: {} {}",
            self.scan.catalog, self.scan.plan.remote
        )
    }

    fn with_exprs_and_inputs(&self, exprs: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        if !exprs.is_empty() || !inputs.is_empty() {
            return internal_err!("a remote scan has neither expressions nor inputs");
        }
        Ok(self.clone())
    }
}

/// Turns [`RemoteScan`] into [`ScanExec`].
#[derive(Debug)]
pub struct RemoteScanPlanner {
    /// The query the scans belong to.
    pub run: QueryRun,
    /// Partitions a scan may use.
    pub target_partitions: usize,
}

#[async_trait]
impl ExtensionPlanner for RemoteScanPlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        _physical_inputs: &[Arc<dyn ExecutionPlan>],
        _session: &dyn Session,
        _planning_context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(remote) = node.as_any().downcast_ref::<RemoteScan>() else {
            return Ok(None);
        };
        let schema = Arc::clone(remote.schema.inner());
        let exec = ScanExec::new(
            Arc::clone(&remote.scan),
            schema,
            self.run.clone(),
            self.target_partitions,
        );
        Ok(Some(Arc::new(exec)))
    }
}
