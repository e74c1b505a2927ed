//! Analyzer rule: `INTERSECT ALL` and `EXCEPT ALL` count how often a row comes on each side. DataFusion joins the sides
//! without counting; numbering the copies of a row makes that join exact. It must never know sources.

use std::sync::Arc;

use datafusion::functions_window::expr_fn::row_number;
use datafusion::optimizer::AnalyzerRule;
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::Transformed;
use datafusion_common::{Column, JoinType, NullEquality, Result};
use datafusion_expr::{Expr, ExprFunctionExt, Join, LogicalPlan, LogicalPlanBuilder};

/// The number of a copy, by side.
const COPY: [&str; 2] = ["owlet_left_copy", "owlet_right_copy"];

/// Rewrites the joins.
#[derive(Debug)]
pub(crate) struct CountedSets;

impl AnalyzerRule for CountedSets {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        Ok(plan.transform_up_with_subqueries(rewrite_plan)?.data)
    }

    fn name(&self) -> &str {
        "athena_counted_sets"
    }
}

/// The rule, for the session's builder.
pub(crate) fn rule() -> Arc<dyn AnalyzerRule + Send + Sync> {
    Arc::new(CountedSets)
}

fn rewrite_plan(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    match &plan {
        LogicalPlan::Join(join) if is_counted(join) => Ok(Transformed::yes(counted(join)?)),
        _ => Ok(Transformed::no(plan)),
    }
}

/// Before optimization only set operations are joins of this kind; without ALL their left side is distinct.
fn is_counted(join: &Join) -> bool {
    matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
        && join.null_equality == NullEquality::NullEqualsNull
        && !matches!(join.left.as_ref(), LogicalPlan::Distinct(_))
}

fn counted(join: &Join) -> Result<LogicalPlan> {
    let columns = join.left.schema().columns();
    let left = numbered(&join.left, COPY[0])?;
    let right = numbered(&join.right, COPY[1])?;
    let (mut left_keys, mut right_keys): (Vec<Expr>, Vec<Expr>) = join.on.iter().cloned().unzip();
    left_keys.push(Expr::Column(Column::from_name(COPY[0])));
    right_keys.push(Expr::Column(Column::from_name(COPY[1])));
    LogicalPlanBuilder::from(left)
        .join_with_expr_keys(
            right,
            join.join_type,
            (left_keys, right_keys),
            join.filter.clone(),
        )?
        .build()
        .and_then(with_equal_nulls)
        .map(LogicalPlanBuilder::from)?
        .project(columns.into_iter().map(Expr::Column))?
        .build()
}

fn with_equal_nulls(plan: LogicalPlan) -> Result<LogicalPlan> {
    Ok(match plan {
        LogicalPlan::Join(mut join) => {
            join.null_equality = NullEquality::NullEqualsNull;
            LogicalPlan::Join(join)
        }
        other => other,
    })
}

fn numbered(side: &LogicalPlan, name: &str) -> Result<LogicalPlan> {
    let columns = side.schema().columns();
    let copy = row_number()
        .partition_by(columns.into_iter().map(Expr::Column).collect())
        .build()?
        .alias(name);
    LogicalPlanBuilder::from(side.clone())
        .window([copy])?
        .build()
}
