//! From the checked logical plan to the physical one. It is planned again where the first one must not run. Must never
//! know statements.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, PhysicalPlanner};
use owlet_connector::Budget;

use crate::query::Work;
use crate::scan::QueryRun;
use crate::scan::node::RemoteScanPlanner;
use crate::{big_joins, duplicate_names, unique_names, yielding};

/// What plans are made for.
pub struct Circumstances<'a> {
    /// Limits of the query.
    pub budget: &'a Budget,
    /// Bytes that queries may use.
    pub memory: u64,
}

/// The physical plan, and the work that its scans report to: `work` if it was planned once.
pub async fn plan(
    logical: LogicalPlan,
    state: &mut SessionState,
    work: Work,
    circumstances: &Circumstances<'_>,
) -> Result<(Arc<dyn ExecutionPlan>, Work)> {
    let mut logical = logical;
    let mut attempt = Attempt::of(&logical, state, work).await?;
    if duplicate_names::endanger_join_filters(&attempt.plan)
        && let Some(renamed) = unique_names::apply(&logical)
    {
        logical = renamed;
        attempt = Attempt::of(&logical, state, circumstances.new_work()).await?;
    }
    if duplicate_names::endanger_join_filters(&attempt.plan) {
        let optimizer = &mut state.config_mut().options_mut().optimizer;
        optimizer.enable_join_dynamic_filter_pushdown = false;
        attempt = Attempt::of(&logical, state, circumstances.new_work()).await?;
    }
    if big_joins::exceed(&attempt.plan, circumstances.memory) {
        let optimizer = &mut state.config_mut().options_mut().optimizer;
        optimizer.prefer_hash_join = false;
        attempt = Attempt::of(&logical, state, circumstances.new_work()).await?;
    }
    Ok((yielding::between_batches(attempt.plan)?, attempt.work))
}

impl Circumstances<'_> {
    fn new_work(&self) -> Work {
        Work::new(self.budget.clone())
    }
}

struct Attempt {
    plan: Arc<dyn ExecutionPlan>,
    work: Work,
}

impl Attempt {
    async fn of(logical: &LogicalPlan, state: &SessionState, work: Work) -> Result<Self> {
        let run = QueryRun {
            work: Arc::clone(&work.work),
            cancellation: work.cancellation.clone(),
        };
        let scans = RemoteScanPlanner {
            run,
            target_partitions: state.config().target_partitions(),
        };
        let plan = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(scans)])
            .create_physical_plan(logical, state)
            .await?;
        Ok(Self { plan, work })
    }
}
