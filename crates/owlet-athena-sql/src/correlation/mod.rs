//! Analyzer rule: DataFusion turns a correlated subquery into a join by lifting its correlated conditions to the top.
//! What it would lift them over although that changes the answer (a limit, a window, the optional side of an outer join,
//! an aggregate that has a row even where nothing matches) is said differently here, or refused.
//! It must never know sources.

mod apart;
mod keys;
mod late;
mod membership;
mod numbering;
mod shape;
mod sinking;

use std::sync::Arc;

use datafusion::optimizer::AnalyzerRule;
use datafusion_common::config::ConfigOptions;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{JoinType, Result, not_impl_err};
use datafusion_expr::expr::{Exists, InSubquery, SetComparison};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::logical_plan::SkipType;
use datafusion_expr::utils::split_conjunction;
use datafusion_expr::{
    BinaryExpr, Distinct, Expr, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, lit,
};

pub(crate) use sinking::EarlyConditions;

/// Rewrites or refuses.
#[derive(Debug)]
pub(crate) struct Correlations;

impl AnalyzerRule for Correlations {
    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let mut next = 0;
        let plan = plan
            .transform_down_with_subqueries(membership::rewrite)?
            .data;
        let plan = plan.transform_down_with_subqueries(apart::rewrite)?.data;
        let plan = plan.transform_down_with_subqueries(late::rewrite)?.data;
        let plan = plan.transform_up_with_subqueries(|node| rewrite_plan(node, &mut next))?;
        Ok(plan.data)
    }

    fn name(&self) -> &str {
        "athena_correlations"
    }
}

/// The rule, for the session's builder.
pub(crate) fn rule() -> Arc<dyn AnalyzerRule + Send + Sync> {
    Arc::new(Correlations)
}

/// Where a subquery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Exists,
    /// `IN`, `ANY`, `ALL`.
    Set,
    Scalar,
    /// In FROM, where rows without a match are dropped.
    InnerLateral,
    /// In FROM, where they are kept.
    OuterLateral,
}

/// How conditions refer to the outer query; the greater says more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Correlation {
    None,
    Equality,
    Other,
}

/// What was found in a part of a subquery.
#[derive(Debug, Clone, Copy)]
struct Inside {
    correlation: Correlation,
    /// An aggregate without GROUP BY over correlated rows: it has a row where nothing matches.
    totals: bool,
}

impl Inside {
    const NOTHING: Self = Self {
        correlation: Correlation::None,
        totals: false,
    };

    fn is_correlated(self) -> bool {
        self.correlation > Correlation::None
    }

    fn and(self, other: Self) -> Self {
        Self {
            correlation: self.correlation.max(other.correlation),
            totals: self.totals || other.totals,
        }
    }
}

fn rewrite_plan(plan: LogicalPlan, next: &mut usize) -> Result<Transformed<LogicalPlan>> {
    if let LogicalPlan::Join(join) = &plan
        && let Some(subquery) = lateral(&join.right)
    {
        if let Some(plan) = numbering::rewrite_lateral(join, subquery, next)? {
            return Ok(Transformed::yes(plan));
        }
        let place = match join.join_type {
            JoinType::Left => Place::OuterLateral,
            _ => Place::InnerLateral,
        };
        inspect(&subquery.subquery, place)?;
    }
    let plan = keys::rewrite(plan)?.data;
    let plan = numbering::rewrite(plan, next)?.data;
    let names = NamePreserver::new(&plan);
    let rewritten = plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let rewritten = expr.transform_up(rewrite_expression)?;
        Ok(rewritten.update_data(|expr| name.restore(expr)))
    })?;
    rewritten.map_data(LogicalPlan::recompute_schema)
}

fn lateral(plan: &LogicalPlan) -> Option<&Subquery> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => lateral(&alias.input),
        LogicalPlan::Subquery(subquery) if is_correlated(subquery) => Some(subquery),
        _ => None,
    }
}

fn is_correlated(subquery: &Subquery) -> bool {
    !subquery.outer_ref_columns.is_empty()
}

fn has_correlated_subquery(expr: &Expr) -> Result<bool> {
    expr.exists(|inner| {
        Ok(matches!(inner, Expr::ScalarSubquery(subquery) if is_correlated(subquery)))
    })
}

fn rewrite_expression(expr: Expr) -> Result<Transformed<Expr>> {
    match expr {
        Expr::Exists(Exists { subquery, negated }) if is_correlated(&subquery) => {
            exists(subquery, negated)
        }
        Expr::InSubquery(set) if is_correlated(&set.subquery) => contains(set),
        Expr::SetComparison(SetComparison { ref subquery, .. }) if is_correlated(subquery) => {
            if inspect(&subquery.subquery, Place::Set)?.totals {
                return refuse_total();
            }
            Ok(Transformed::no(expr))
        }
        Expr::ScalarSubquery(ref subquery) if is_correlated(subquery) => {
            inspect(&subquery.subquery, Place::Scalar)?;
            Ok(Transformed::no(expr))
        }
        other => Ok(Transformed::no(other)),
    }
}

/// A total without HAVING always exists; with HAVING its condition is a total of its own.
fn exists(subquery: Subquery, negated: bool) -> Result<Transformed<Expr>> {
    let Some(total) = total(&subquery.subquery) else {
        if inspect(&subquery.subquery, Place::Exists)?.totals {
            return refuse_total();
        }
        return Ok(Transformed::no(Expr::Exists(Exists { subquery, negated })));
    };
    let Some(having) = total.having else {
        return Ok(Transformed::yes(lit(!negated)));
    };
    if having.contains_outer() {
        return refuse_total();
    }
    let condition = LogicalPlanBuilder::from(total.aggregate.clone())
        .project([having.clone().alias("having")])?
        .build()?;
    inspect(&condition, Place::Scalar)?;
    let holds = Box::new(Expr::ScalarSubquery(
        subquery.with_plan(Arc::new(condition)),
    ));
    Ok(Transformed::yes(match negated {
        false => Expr::IsTrue(holds),
        true => Expr::IsNotTrue(holds),
    }))
}

/// `x IN (SELECT max(y) …)` compares with exactly one value.
fn contains(set: InSubquery) -> Result<Transformed<Expr>> {
    match total(&set.subquery.subquery) {
        Some(Total { having: None, .. }) => {
            inspect(&set.subquery.subquery, Place::Scalar)?;
            let op = match set.negated {
                false => Operator::Eq,
                true => Operator::NotEq,
            };
            let value = Box::new(Expr::ScalarSubquery(set.subquery));
            Ok(Transformed::yes(Expr::BinaryExpr(BinaryExpr::new(
                set.expr, op, value,
            ))))
        }
        Some(_) => refuse_total(),
        None => {
            if inspect(&set.subquery.subquery, Place::Set)?.totals {
                return refuse_total();
            }
            Ok(Transformed::no(Expr::InSubquery(set)))
        }
    }
}

/// An aggregate without GROUP BY on top of a subquery.
struct Total<'a> {
    aggregate: &'a LogicalPlan,
    having: Option<&'a Expr>,
}

fn total(plan: &LogicalPlan) -> Option<Total<'_>> {
    match plan {
        LogicalPlan::Projection(projection) => total(&projection.input),
        LogicalPlan::Filter(filter) => match filter.input.as_ref() {
            aggregate @ LogicalPlan::Aggregate(inner) if inner.group_expr.is_empty() => {
                Some(Total {
                    aggregate,
                    having: Some(&filter.predicate),
                })
            }
            _ => None,
        },
        LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() => Some(Total {
            aggregate: plan,
            having: None,
        }),
        _ => None,
    }
}

/// Fails where lifting the correlated conditions to the top would change the answer.
fn inspect(plan: &LogicalPlan, place: Place) -> Result<Inside> {
    let inside = inspect_part(plan, place)?;
    if place == Place::Scalar && inside.correlation == Correlation::Other {
        return not_impl_err!(
            "a scalar subquery that is correlated by something else than `column = outer column`; join, and group by \
             the outer query's key"
        );
    }
    Ok(inside)
}

fn inspect_part(plan: &LogicalPlan, place: Place) -> Result<Inside> {
    let mut inside = Inside::NOTHING;
    match plan {
        // It is a level of its own.
        LogicalPlan::Subquery(_) => return Ok(inside),
        LogicalPlan::Join(join) => return inspect_join(join, place),
        _ => {}
    }
    for input in plan.inputs() {
        inside = inside.and(inspect_part(input, place)?);
    }
    match plan {
        LogicalPlan::Filter(filter) => {
            if inside.totals && matches!(place, Place::InnerLateral) {
                return not_impl_err!(
                    "a correlated LATERAL subquery with HAVING or a condition over its total; LEFT JOIN LATERAL … ON \
                     true, then WHERE"
                );
            }
            for condition in split_conjunction(&filter.predicate) {
                inside.correlation = inside.correlation.max(correlation_of(condition));
            }
        }
        LogicalPlan::Window(_) if inside.is_correlated() => {
            return not_impl_err!(
                "a window function over the rows of a correlated subquery; compute it in a subquery of its own, with \
                 PARTITION BY, then join"
            );
        }
        LogicalPlan::Aggregate(aggregate) if inside.is_correlated() => {
            if inside.totals {
                return not_impl_err!(
                    "an aggregate of a correlated subquery's total; join, then group"
                );
            }
            let groups = match aggregate.aggr_expr.is_empty() {
                true => Groups::Bare,
                false => Groups::Aggregated,
            };
            check_groups(inside, groups, place)?;
            inside.totals = aggregate.group_expr.is_empty();
        }
        LogicalPlan::Distinct(Distinct::All(_)) if inside.is_correlated() => {
            check_groups(inside, Groups::Bare, place)?;
        }
        LogicalPlan::Distinct(Distinct::On(_)) | LogicalPlan::Union(_)
            if inside.is_correlated() =>
        {
            return not_impl_err!("UNION in a correlated subquery; join each part, then unite");
        }
        LogicalPlan::Limit(limit) if inside.is_correlated() => {
            let skips_nothing = matches!(limit.get_skip_type()?, SkipType::Literal(0));
            if place != Place::Exists || !skips_nothing {
                return not_impl_err!(
                    "LIMIT or OFFSET in a correlated subquery; number the rows by row_number() in a subquery of its \
                     own, with PARTITION BY, then join"
                );
            }
        }
        _ => {}
    }
    Ok(inside)
}

/// What groups are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Groups {
    /// Their keys, as with DISTINCT.
    Bare,
    Aggregated,
}

/// Groups get the correlated columns as further keys: that is exact when each outer row meets one value of them, or
/// when it does not matter how often a group comes.
fn check_groups(inside: Inside, groups: Groups, place: Place) -> Result<()> {
    let repeats_matter =
        groups == Groups::Aggregated || !matches!(place, Place::Exists | Place::Set);
    if inside.correlation == Correlation::Other && repeats_matter {
        return not_impl_err!(
            "GROUP BY, DISTINCT or an aggregate in a subquery that is correlated by something else than `column = outer \
             column`; join, and group by the outer query's key"
        );
    }
    Ok(())
}

fn inspect_join(join: &datafusion_expr::Join, place: Place) -> Result<Inside> {
    let left = inspect_part(&join.left, place)?;
    let right = inspect_part(&join.right, place)?;
    let (left_is_kept, right_is_kept) = match join.join_type {
        JoinType::Inner => (true, true),
        JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => {
            (true, false)
        }
        JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => {
            (false, true)
        }
        JoinType::Full => (false, false),
    };
    if (left.is_correlated() && !left_is_kept) || (right.is_correlated() && !right_is_kept) {
        return not_impl_err!(
            "a correlated condition on the optional side of an outer join inside a subquery; write it into ON"
        );
    }
    Ok(left.and(right))
}

/// `column = outer column` in any order is an equality; of casts, only those are left that tell all values apart
/// ([`keys`]).
fn correlation_of(condition: &Expr) -> Correlation {
    if !condition.contains_outer() {
        return Correlation::None;
    }
    let Expr::BinaryExpr(BinaryExpr {
        left,
        op: Operator::Eq,
        right,
    }) = condition
    else {
        return Correlation::Other;
    };
    let is_outer = |side: &Expr| side.contains_outer() && side.column_refs().is_empty();
    let is_column = |side: &Expr| match side {
        Expr::Cast(cast) => matches!(cast.expr.as_ref(), Expr::Column(_)),
        other => matches!(other, Expr::Column(_)),
    };
    match (is_outer(left) && is_column(right)) || (is_column(left) && is_outer(right)) {
        true => Correlation::Equality,
        false => Correlation::Other,
    }
}

fn refuse_total<T>() -> Result<T> {
    not_impl_err!(
        "EXISTS, IN, ANY or ALL over a correlated aggregate without GROUP BY in this form; compare with the scalar \
         subquery"
    )
}
