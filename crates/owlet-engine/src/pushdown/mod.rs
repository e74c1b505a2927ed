//! The pushdown planner: finds, in an optimized logical plan, what each source can do exactly, and replaces it by
//! planned scans. What a dialect or connector refuses stays local, with its reason. Must never know a wire
//! protocol or a concrete source.

pub mod candidate;
pub mod estimate;
pub mod hints;
mod nested;
mod operators;
mod roomy;
pub mod shared;
mod tables;
pub mod translate;

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, FetchType, JoinType, LogicalPlan, SkipType, Subquery};

use crate::catalogs::SourceTable;
use crate::engine::Source;
use crate::passthrough::SourceQuery;
use crate::pushdown::candidate::Candidate;
use crate::pushdown::estimate::estimate;
use crate::pushdown::hints::{
    Hints, OrderHint, columns_used, fields_used, key_column, passed_through,
};
use crate::pushdown::roomy::Roomy;
use crate::pushdown::shared::SharedServers;
use crate::query::Pushdown;

/// Rewrites optimized logical plans.
#[derive(Debug)]
pub struct PushdownPlanner {
    /// Push, or only read columns.
    pub pushdown: Pushdown,
    /// How many splits can be worked on at once.
    pub target_partitions: usize,
    /// Which catalog asks for which other.
    pub shared: SharedServers,
}

/// A rewritten subtree.
pub(crate) enum Rewritten {
    /// Runs here; its leaves are planned scans.
    Local(LogicalPlan),
    /// Could run at one SQL source, whole.
    Remote(Box<Candidate>),
}

impl PushdownPlanner {
    /// Replaces every table of a source by planned scans that do as much as is exact.
    pub async fn rewrite(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let rewritten = self.node(plan, Hints::default()).await?;
        self.local(rewritten, &Hints::default()).await
    }

    /// Turns a candidate into planned scans; hands a local plan through.
    pub(crate) async fn local(&self, rewritten: Rewritten, hints: &Hints) -> Result<LogicalPlan> {
        match rewritten {
            Rewritten::Local(plan) => Ok(plan),
            Rewritten::Remote(candidate) => self.materialise(*candidate, hints).await,
        }
    }

    fn node(&self, plan: LogicalPlan, hints: Hints) -> Roomy<'_, Result<Rewritten>> {
        Roomy::new(async move {
            match plan {
                LogicalPlan::TableScan(scan) => {
                    if let Some(query) = SourceQuery::of(&scan) {
                        return Ok(Rewritten::Local(query.read(&scan)?));
                    }
                    match SourceTable::of(&scan).map(|table| table.source.clone()) {
                        Some(Source::Sql(connector)) => self.sql_table(&scan, &connector).await,
                        Some(Source::Table(_)) => {
                            Ok(Rewritten::Local(self.table(&scan, &[], &hints).await?))
                        }
                        Some(Source::Object(_)) | None => {
                            Ok(Rewritten::Local(LogicalPlan::TableScan(scan)))
                        }
                    }
                }
                LogicalPlan::Filter(filter) => {
                    if let LogicalPlan::TableScan(scan) = filter.input.as_ref()
                        && let Some(Source::Table(_)) =
                            SourceTable::of(scan).map(|table| &table.source)
                        && self.pushdown == Pushdown::On
                    {
                        let conjuncts = datafusion::logical_expr::utils::split_conjunction_owned(
                            filter.predicate,
                        );
                        return Ok(Rewritten::Local(
                            self.table(scan, &conjuncts, &hints).await?,
                        ));
                    }
                    if let Some(plan) = self.filter_below_projection(&filter, &hints).await? {
                        return Ok(Rewritten::Local(plan));
                    }
                    let input_hints =
                        hints.using(std::iter::once(&filter.predicate), &filter.input);
                    // A limit counts rows after this filter; below it, it would count others.
                    let input_hints = Hints {
                        limit: None,
                        ordering: Vec::new(),
                        ..input_hints
                    };
                    let input = self
                        .node(filter.input.as_ref().clone(), input_hints.clone())
                        .await?;
                    self.filter(filter, input, &input_hints).await
                }
                LogicalPlan::Projection(projection) => {
                    let input_hints = hints.through_projection(&projection.expr, &projection.input);
                    let input = self
                        .node(projection.input.as_ref().clone(), input_hints.clone())
                        .await?;
                    self.projection(projection, input, &input_hints).await
                }
                LogicalPlan::SubqueryAlias(alias) => {
                    let input = self
                        .node(alias.input.as_ref().clone(), hints.clone())
                        .await?;
                    self.subquery_alias(alias, input, &hints).await
                }
                LogicalPlan::Aggregate(aggregate) => {
                    let used = aggregate.group_expr.iter().chain(&aggregate.aggr_expr);
                    let lookup = hints
                        .lookup
                        .iter()
                        .filter_map(|position| {
                            passed_through(aggregate.group_expr.get(*position)?, &aggregate.input)
                        })
                        .collect();
                    let input_hints = Hints {
                        needed: Some(columns_used(used.clone(), &aggregate.input)),
                        fields: fields_used(used, aggregate.input.schema()),
                        ..Hints::only_lookup(lookup, hints.lookup_rows)
                    };
                    let input = self
                        .node(aggregate.input.as_ref().clone(), input_hints.clone())
                        .await?;
                    self.aggregate(aggregate, input, &input_hints).await
                }
                LogicalPlan::Join(join) => {
                    let (left_hints, right_hints) = join_hints(&join, &hints);
                    let left = self
                        .node(join.left.as_ref().clone(), left_hints.clone())
                        .await?;
                    let right = self
                        .node(join.right.as_ref().clone(), right_hints.clone())
                        .await?;
                    self.join(join, left, right, &left_hints, &right_hints)
                        .await
                }
                LogicalPlan::Sort(sort) => {
                    let mut input_hints =
                        hints.using(sort.expr.iter().map(|key| &key.expr), &sort.input);
                    let ordering: Option<Vec<OrderHint>> = sort
                        .expr
                        .iter()
                        .map(|key| {
                            Some(OrderHint {
                                column: passed_through(&key.expr, &sort.input)?,
                                sort: key.clone(),
                            })
                        })
                        .collect();
                    input_hints.limit = sort
                        .fetch
                        .filter(|_| ordering.is_some())
                        .map(|fetch| fetch as u64);
                    input_hints.ordering = ordering.unwrap_or_default();
                    if sort.fetch.is_some() {
                        input_hints.lookup = Vec::new();
                    }
                    let input = self
                        .node(sort.input.as_ref().clone(), input_hints.clone())
                        .await?;
                    self.sort(sort, input, &input_hints).await
                }
                LogicalPlan::Limit(limit) => {
                    let wanted = match (limit.get_skip_type()?, limit.get_fetch_type()?) {
                        (SkipType::Literal(skip), FetchType::Literal(Some(fetch))) => {
                            (skip as u64).checked_add(fetch as u64)
                        }
                        _ => None,
                    };
                    let input_hints = Hints {
                        limit: wanted,
                        needed: hints.needed,
                        fields: hints.fields,
                        ..Hints::default()
                    };
                    let input = self
                        .node(limit.input.as_ref().clone(), input_hints.clone())
                        .await?;
                    self.limit(limit, input, wanted, &input_hints).await
                }
                LogicalPlan::Union(union) => {
                    let limit = hints.limit.filter(|_| hints.ordering.is_empty());
                    let input_hints = Hints {
                        limit,
                        ..Hints::default()
                    };
                    let mut inputs = Vec::with_capacity(union.inputs.len());
                    for input in &union.inputs {
                        inputs.push(
                            self.node(input.as_ref().clone(), input_hints.clone())
                                .await?,
                        );
                    }
                    self.union(union, inputs).await
                }
                other => Ok(Rewritten::Local(self.stay_local(other).await?)),
            }
        })
    }

    /// An operator that always runs here: its inputs and the subqueries in its expressions are rewritten.
    async fn stay_local(&self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let mut inputs = Vec::new();
        for input in plan.inputs() {
            let rewritten = self.node(input.clone(), Hints::default()).await?;
            inputs.push(self.local(rewritten, &Hints::default()).await?);
        }
        self.rebuild(plan, inputs).await
    }

    /// The operator over new inputs, with the subqueries in its expressions rewritten.
    pub(crate) async fn rebuild(
        &self,
        plan: LogicalPlan,
        inputs: Vec<LogicalPlan>,
    ) -> Result<LogicalPlan> {
        let mut expressions = plan.expressions();
        for expression in &mut expressions {
            *expression = self.rewrite_subqueries(expression.clone()).await?;
        }
        plan.with_new_exprs(expressions, inputs)
    }

    async fn rewrite_subqueries(&self, expression: Expr) -> Result<Expr> {
        let mut subqueries: Vec<Subquery> = Vec::new();
        expression.apply(|inner| {
            if let Some(subquery) = subquery_of(inner) {
                subqueries.push(subquery.clone());
            }
            Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
        })?;
        if subqueries.is_empty() {
            return Ok(expression);
        }
        let mut rewritten = Vec::with_capacity(subqueries.len());
        for subquery in &subqueries {
            let node = self
                .node(subquery.subquery.as_ref().clone(), Hints::default())
                .await?;
            rewritten.push(Arc::new(self.local(node, &Hints::default()).await?));
        }
        let replaced = expression.transform(|inner| {
            let Some(subquery) = subquery_of(&inner) else {
                return Ok(Transformed::no(inner));
            };
            let position = subqueries
                .iter()
                .position(|known| Arc::ptr_eq(&known.subquery, &subquery.subquery));
            let Some(plan) = position.and_then(|position| rewritten.get(position)) else {
                return Ok(Transformed::no(inner));
            };
            let subquery = subquery.with_plan(Arc::clone(plan));
            Ok(Transformed::yes(match inner {
                Expr::ScalarSubquery(_) => Expr::ScalarSubquery(subquery),
                Expr::Exists(mut exists) => {
                    exists.subquery = subquery;
                    Expr::Exists(exists)
                }
                Expr::InSubquery(mut membership) => {
                    membership.subquery = subquery;
                    Expr::InSubquery(membership)
                }
                other => other,
            }))
        })?;
        Ok(replaced.data)
    }
}

fn subquery_of(expression: &Expr) -> Option<&Subquery> {
    match expression {
        Expr::ScalarSubquery(subquery) => Some(subquery),
        Expr::Exists(exists) => Some(&exists.subquery),
        Expr::InSubquery(membership) => Some(&membership.subquery),
        _ => None,
    }
}

/// What a join promises to its inputs: for each side the key columns for which the other side's values arrive.
fn join_hints(join: &datafusion::logical_expr::Join, hints: &Hints) -> (Hints, Hints) {
    let left_columns = join.left.schema().fields().len();
    let (feeds_left, feeds_right) = match join.join_type {
        JoinType::Inner | JoinType::LeftSemi | JoinType::RightSemi => (true, true),
        JoinType::Left | JoinType::LeftAnti | JoinType::LeftMark => (false, true),
        JoinType::Right | JoinType::RightAnti | JoinType::RightMark => (true, false),
        JoinType::Full => (false, false),
    };
    let left_rows = estimate(&join.left).rows.max(0.0) as u64;
    let right_rows = estimate(&join.right).rows.max(0.0) as u64;
    let mut left = Hints::default();
    let mut right = Hints::default();
    if feeds_left {
        let keys = join
            .on
            .iter()
            .filter_map(|(key, _)| key_column(key, &join.left));
        left = Hints::only_lookup(keys.collect(), Some(right_rows));
    }
    if feeds_right {
        let keys = join
            .on
            .iter()
            .filter_map(|(_, key)| key_column(key, &join.right));
        right = Hints::only_lookup(keys.collect(), Some(left_rows));
    }
    // A join further up reaches through an inner join to the column's own side.
    if join.join_type == JoinType::Inner {
        for position in &hints.lookup {
            let (side, position, rows) = if *position < left_columns {
                (&mut left, *position, hints.lookup_rows)
            } else {
                (&mut right, *position - left_columns, hints.lookup_rows)
            };
            if !side.lookup.contains(&position) {
                side.lookup.push(position);
                side.lookup_rows = match (side.lookup_rows, rows) {
                    (Some(known), Some(other)) => Some(known.min(other)),
                    (known, other) => known.or(other),
                };
            }
        }
    }
    (left, right)
}

/// A refusal of the contract crates as DataFusion carries it.
pub(crate) fn connector_error(error: owlet_connector::ConnectorError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
