//! A subtree that one SQL source could run whole, and the decision whether it should.

use std::sync::Arc;

use datafusion::common::{DFSchemaRef, Result};
use datafusion::logical_expr::{Expr, LogicalPlan, Projection};
use owlet_remote_sql::{Dialect, QueryOptions, Relation, SqlConnector};

use crate::pushdown::estimate::{Estimate, estimate};
use crate::pushdown::hints::{Hints, passed_through};
use crate::pushdown::roomy::Roomy;
use crate::pushdown::shared::Owners;
use crate::pushdown::{PushdownPlanner, connector_error};
use crate::scan::node::{JoinFed, PlannedScan, RemoteScan};

/// An exact remote form of a local plan.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// Name of the catalog that asks the source.
    pub catalog: String,
    /// The catalogs whose tables it reads.
    pub owners: Owners,
    /// The source.
    pub connector: Arc<dyn SqlConnector>,
    /// Its dialect.
    pub dialect: Arc<dyn Dialect>,
    /// The remote form; its columns are the local plan's.
    pub relation: Relation,
    /// The local plan it stands for (over the inputs before rewriting).
    pub plan: LogicalPlan,
    /// The candidates it was built from, in the order of the plan's inputs.
    pub inputs: Vec<Candidate>,
    /// Rows and bytes to transfer if it runs remotely.
    pub estimate: Estimate,
    /// What was refused above it.
    pub notes: Vec<String>,
}

impl Candidate {
    /// A candidate for `plan` made of candidates of the same source.
    pub fn over(inputs: Vec<Candidate>, relation: Relation, plan: LogicalPlan) -> Option<Self> {
        let first = inputs.first()?;
        Some(Self {
            catalog: first.catalog.clone(),
            owners: Owners::united(inputs.iter().map(|input| &input.owners)),
            connector: Arc::clone(&first.connector),
            dialect: Arc::clone(&first.dialect),
            relation,
            estimate: estimate(&plan),
            notes: inputs
                .iter()
                .flat_map(|input| input.notes.clone())
                .collect(),
            plan,
            inputs,
        })
    }

    /// Output columns of the local plan.
    pub fn schema(&self) -> &DFSchemaRef {
        self.plan.schema()
    }

    /// The same source.
    pub fn same_source(&self, other: &Self) -> bool {
        self.catalog == other.catalog
    }

    /// Least bytes to transfer, over all ways to cut this candidate.
    fn least_bytes(&self) -> f64 {
        if self.inputs.is_empty() {
            self.estimate.bytes
        } else {
            self.estimate.bytes.min(self.cut_bytes())
        }
    }

    fn cut_bytes(&self) -> f64 {
        self.inputs.iter().map(Self::least_bytes).sum()
    }

    /// Whether running the topmost operator here transfers clearly less. Estimates are rough, so a tie or a small
    /// difference goes remote, except for operators that only compute or concatenate: those gain nothing remotely.
    fn is_better_cut(&self) -> bool {
        if self.inputs.is_empty() {
            return false;
        }
        let cut = self.cut_bytes();
        match &self.plan {
            LogicalPlan::Union(_) => true,
            LogicalPlan::Projection(projection) if !only_passes(projection) => {
                let on_aggregate = matches!(projection.input.as_ref(), LogicalPlan::Aggregate(_));
                !on_aggregate && cut <= self.estimate.bytes
            }
            _ => cut * CUT_TOLERANCE < self.estimate.bytes,
        }
    }
}

/// A pushed subtree may transfer this much more than its parts by the (rough) estimate.
const CUT_TOLERANCE: f64 = 1.5;

fn only_passes(projection: &Projection) -> bool {
    projection
        .expr
        .iter()
        .all(|expr| passed_through(expr, &projection.input).is_some())
}

impl PushdownPlanner {
    /// Cuts the candidate where that transfers less, and plans the remote queries.
    pub(crate) fn materialise<'a>(
        &'a self,
        candidate: Candidate,
        hints: &'a Hints,
    ) -> Roomy<'a, Result<LogicalPlan>> {
        Roomy::new(async move {
            if candidate.is_better_cut() {
                let note = matches!(candidate.plan, LogicalPlan::Join(_)).then(|| {
                    format!(
                        "join stays local: its result (about {:.0} bytes) is larger than its inputs (about {:.0})",
                        candidate.estimate.bytes,
                        candidate.cut_bytes()
                    )
                });
                let hints_of_inputs = input_hints(&candidate.plan, hints);
                let mut inputs = Vec::with_capacity(candidate.inputs.len());
                for (mut input, hints) in candidate.inputs.into_iter().zip(hints_of_inputs) {
                    input.notes.extend(note.clone());
                    inputs.push(self.materialise(input, &hints).await?);
                }
                return self.rebuild(candidate.plan, inputs).await;
            }
            self.plan_remote(candidate, hints).await
        })
    }

    async fn plan_remote(&self, candidate: Candidate, hints: &Hints) -> Result<LogicalPlan> {
        let options = QueryOptions {
            target_partitions: self.target_partitions,
            lookup_columns: hints.lookup.clone(),
            lookup_rows: hints.lookup_rows,
        };
        let mut plan = candidate
            .connector
            .plan_query(&candidate.relation, &options)
            .await
            .map_err(connector_error)?;
        if plan.estimate.rows_returned.is_none() {
            plan.estimate.rows_returned = Some(candidate.estimate.rows);
            plan.estimate.bytes = Some(candidate.estimate.bytes);
        }
        let mut sharing = candidate.owners.unlike(&candidate.catalog);
        if !sharing.is_empty() {
            sharing.retain(|catalog| *catalog != candidate.catalog);
            plan.notes.push(format!(
                "catalog {} asks for {}, too: they reach the same server as the same user",
                candidate.catalog,
                sharing.join(" and ")
            ));
        }
        let schema = Arc::clone(candidate.plan.schema());
        let columns = candidate
            .relation
            .columns()
            .into_iter()
            .map(|column| {
                column
                    .origin
                    .map(|origin| origin.statistics)
                    .unwrap_or_default()
            })
            .collect();
        let scan = PlannedScan {
            columns,
            catalog: candidate.catalog,
            owners: candidate.owners,
            connector: candidate.connector,
            plan,
            join_fed: if hints.lookup.is_empty() {
                JoinFed::No
            } else {
                JoinFed::Yes
            },
            rows_without_keys: None,
            stayed_local: candidate.notes,
        };
        Ok(RemoteScan::new(scan, schema).into_plan())
    }
}

/// Hints for the inputs of an operator that turned out to stay local.
fn input_hints(plan: &LogicalPlan, hints: &Hints) -> Vec<Hints> {
    match plan {
        LogicalPlan::Join(join) => {
            let (left, right) = super::join_hints(join, hints);
            vec![left, right]
        }
        LogicalPlan::Projection(projection) => {
            let expressions: &[Expr] = &projection.expr;
            vec![hints.through_projection(expressions, &projection.input)]
        }
        other => vec![Hints::default(); other.inputs().len()],
    }
}
