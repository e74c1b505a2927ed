//! What a correlated subquery computes, if it is of a form whose rows can be looked at beside the rows of the outer
//! query: a limit or a total over correlated rows. Must never know where the subquery stands.

use datafusion_common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion_common::{Column, DFSchema, Result};
use datafusion_expr::expr::Sort;
use datafusion_expr::logical_plan::{FetchType, SkipType};
use datafusion_expr::utils::{conjunction, split_conjunction_owned};
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder, lit};

use super::is_correlated;
use crate::names;

/// The rows of a subquery, or one row that is computed of them.
#[derive(Debug)]
pub(super) struct Shape {
    /// Without a reference to the outer query; its columns are `names` and `found`.
    pub(super) source: LogicalPlan,
    /// Over the source and the outer query.
    pub(super) conditions: Vec<Expr>,
    pub(super) order: Vec<Sort>,
    pub(super) limit: Option<Limit>,
    pub(super) total: Option<Total>,
    /// The subquery's columns: over the source, or over the aggregates of the total.
    pub(super) outputs: Vec<Expr>,
}

/// LIMIT and OFFSET.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limit {
    pub(super) skip: i64,
    pub(super) fetch: Option<i64>,
}

/// An aggregate without GROUP BY.
#[derive(Debug)]
pub(super) struct Total {
    /// Over the source, each under its name.
    pub(super) aggregates: Vec<Expr>,
    /// Over the aggregates.
    pub(super) having: Vec<Expr>,
}

/// The names that a subquery's columns get beside those of the outer query.
#[derive(Debug, Clone, Copy)]
pub(super) struct Names(pub(super) usize);

impl Names {
    fn source(self, index: usize) -> String {
        names::of_subquery(&format!("column{index}"), self.0)
    }

    fn aggregate(self, index: usize) -> String {
        names::of_subquery(&format!("aggregate{index}"), self.0)
    }

    /// True in rows that the subquery found; NULL for a row of the outer query for which it found none.
    pub(super) fn found(self) -> String {
        names::of_subquery("found", self.0)
    }

    /// The column of the outer query at this position, carried along by a total.
    pub(super) fn carried(self, index: usize) -> String {
        names::of_subquery(&format!("carried{index}"), self.0)
    }

    /// Numbers the rows of the outer query.
    pub(super) fn outer_row(self) -> String {
        names::of_subquery("outer_row", self.0)
    }

    /// How many rows the subquery has for a row of the outer query.
    pub(super) fn count(self) -> String {
        names::of_subquery("count", self.0)
    }

    /// Numbers the subquery's rows for each row of the outer query.
    pub(super) fn position(self) -> String {
        names::of_subquery("position", self.0)
    }
}

/// A column that is not qualified.
pub(super) fn column(name: String) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

impl Shape {
    /// `None` for subqueries of another form.
    pub(super) fn of(plan: &LogicalPlan, names: Names) -> Result<Option<Self>> {
        if !refers_outside(plan)? {
            return Ok(Some(Self::source(plan, names)?));
        }
        match plan {
            LogicalPlan::Projection(projection) => {
                let Some(mut shape) = Self::of(&projection.input, names)? else {
                    return Ok(None);
                };
                shape.outputs = shape.over_all(&projection.expr, projection.input.schema())?;
                Ok(Some(shape))
            }
            LogicalPlan::SubqueryAlias(alias) => Self::of(&alias.input, names),
            LogicalPlan::Filter(filter) => {
                let conditions = split_conjunction_owned(filter.predicate.clone());
                let (outer, own) = if refers_outside(&filter.input)? {
                    (conditions, Vec::new())
                } else {
                    partition(conditions, plan)?
                };
                let input = match conjunction(own) {
                    // It stays below, with all that is in it.
                    Some(own) => LogicalPlanBuilder::from(filter.input.as_ref().clone())
                        .filter(own)?
                        .build()?,
                    None => filter.input.as_ref().clone(),
                };
                let Some(mut shape) = Self::of(&input, names)? else {
                    return Ok(None);
                };
                let conditions = shape.over_all(&outer, filter.input.schema())?;
                match &mut shape.total {
                    Some(total) => total.having.extend(conditions),
                    None if shape.limit.is_none() => shape.conditions.extend(conditions),
                    _ => return Ok(None),
                }
                Ok(Some(shape))
            }
            LogicalPlan::Sort(sort) => {
                let Some(mut shape) = Self::of(&sort.input, names)? else {
                    return Ok(None);
                };
                if shape.limit.is_some() || sort.fetch.is_some() {
                    return Ok(None);
                }
                shape.order = sort
                    .expr
                    .iter()
                    .map(|key| {
                        let expr = shape.over(key.expr.clone(), sort.input.schema())?;
                        Ok(key.with_expr(expr))
                    })
                    .collect::<Result<_>>()?;
                Ok(Some(shape))
            }
            LogicalPlan::Limit(limit) => {
                let (SkipType::Literal(skip), FetchType::Literal(fetch)) =
                    (limit.get_skip_type()?, limit.get_fetch_type()?)
                else {
                    return Ok(None);
                };
                let (Ok(skip), Ok(fetch)) =
                    (i64::try_from(skip), fetch.map(i64::try_from).transpose())
                else {
                    return Ok(None);
                };
                let Some(mut shape) = Self::of(&limit.input, names)? else {
                    return Ok(None);
                };
                if shape.total.is_some() {
                    let keeps_it = skip == 0 && fetch.is_none_or(|rows| rows > 0);
                    return Ok(keeps_it.then_some(shape));
                }
                if shape.limit.is_some() {
                    return Ok(None);
                }
                shape.limit = Some(Limit { skip, fetch });
                Ok(Some(shape))
            }
            LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() => {
                let Some(mut shape) = Self::of(&aggregate.input, names)? else {
                    return Ok(None);
                };
                if shape.limit.is_some() || shape.total.is_some() {
                    return Ok(None);
                }
                let aggregates = shape
                    .over_all(&aggregate.aggr_expr, aggregate.input.schema())?
                    .into_iter()
                    .enumerate()
                    .map(|(index, expr)| expr.unalias().alias(names.aggregate(index)))
                    .collect::<Vec<_>>();
                shape.outputs = (0..aggregates.len())
                    .map(|index| column(names.aggregate(index)))
                    .collect();
                shape.total = Some(Total {
                    aggregates,
                    having: Vec::new(),
                });
                Ok(Some(shape))
            }
            _ => Ok(None),
        }
    }

    fn source(plan: &LogicalPlan, names: Names) -> Result<Self> {
        let columns = plan.schema().columns();
        let mut renamed: Vec<Expr> = columns
            .into_iter()
            .enumerate()
            .map(|(index, column)| Expr::Column(column).alias(names.source(index)))
            .collect();
        let outputs = (0..renamed.len())
            .map(|index| column(names.source(index)))
            .collect();
        renamed.push(lit(true).alias(names.found()));
        Ok(Self {
            source: LogicalPlanBuilder::from(plan.clone())
                .project(renamed)?
                .build()?,
            conditions: Vec::new(),
            order: Vec::new(),
            limit: None,
            total: None,
            outputs,
        })
    }

    fn over_all(&self, exprs: &[Expr], schema: &DFSchema) -> Result<Vec<Expr>> {
        exprs
            .iter()
            .map(|expr| self.over(expr.clone(), schema))
            .collect()
    }

    /// The expression over the outputs, said over what they are computed of.
    fn over(&self, expr: Expr, schema: &DFSchema) -> Result<Expr> {
        let replaced = expr.transform_up(|inner| match &inner {
            Expr::Column(column) => {
                let index = schema.index_of_column(column)?;
                Ok(Transformed::yes(self.outputs[index].clone().unalias()))
            }
            _ => Ok(Transformed::no(inner)),
        })?;
        Ok(replaced.data)
    }

    /// Whether everything can be moved out of the subquery: nothing in it is a subquery itself, or differs from one
    /// evaluation to the next.
    pub(super) fn is_movable(&self) -> Result<bool> {
        for expr in self.values().chain(&self.conditions) {
            if expr.is_volatile() || contains_subquery(expr)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether something else than the conditions refers to the outer query.
    pub(super) fn computes_with_outer_columns(&self) -> bool {
        self.values().any(Expr::contains_outer)
    }

    fn values(&self) -> impl Iterator<Item = &Expr> {
        let aggregates = self.total.iter().flat_map(|total| {
            let having = total.having.iter();
            total.aggregates.iter().chain(having)
        });
        let keys = self.order.iter().map(|key| &key.expr);
        self.outputs.iter().chain(keys).chain(aggregates)
    }

    /// Refers to the outer query's columns as to columns of the same rows, but for the conditions.
    pub(super) fn beside_outer_columns(mut self) -> Result<Self> {
        let all = |exprs: Vec<Expr>| exprs.into_iter().map(as_column).collect::<Result<Vec<_>>>();
        self.outputs = all(self.outputs)?;
        self.order = self
            .order
            .into_iter()
            .map(|key| Ok(key.with_expr(as_column(key.expr.clone())?)))
            .collect::<Result<_>>()?;
        if let Some(total) = &mut self.total {
            total.aggregates = all(std::mem::take(&mut total.aggregates))?;
            total.having = all(std::mem::take(&mut total.having))?;
        }
        Ok(self)
    }
}

/// The expression with columns where it refers to the outer query.
pub(super) fn as_column(expr: Expr) -> Result<Expr> {
    let replaced = expr.transform_up(|inner| match inner {
        Expr::OuterReferenceColumn(_, outer) => Ok(Transformed::yes(Expr::Column(outer))),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(replaced.data)
}

/// Whether an expression has a subquery in it.
pub(super) fn contains_subquery(expr: &Expr) -> Result<bool> {
    expr.exists(|inner| {
        Ok(matches!(
            inner,
            Expr::ScalarSubquery(_)
                | Expr::InSubquery(_)
                | Expr::Exists(_)
                | Expr::SetComparison(_)
        ))
    })
}

/// Whether a plan, or a subquery in it, refers to columns that it does not have.
fn refers_outside(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply(|node| {
        // A LATERAL subquery's columns are those of the join's other side, or of a query further out.
        found |= matches!(node, LogicalPlan::Subquery(lateral) if is_correlated(lateral));
        node.apply_expressions(|expr| {
            found |= expression_refers_outside(expr, node)?;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(match found {
            true => TreeNodeRecursion::Stop,
            false => TreeNodeRecursion::Continue,
        })
    })?;
    Ok(found)
}

/// Whether an expression of the node, or a subquery in it, refers to columns that the node's inputs do not have.
fn expression_refers_outside(expr: &Expr, node: &LogicalPlan) -> Result<bool> {
    let is_beyond = |references: &[Expr]| {
        references.iter().any(|reference| match reference {
            Expr::OuterReferenceColumn(_, column) => !node
                .inputs()
                .iter()
                .any(|input| input.schema().has_column(column)),
            _ => true,
        })
    };
    expr.exists(|inner| {
        Ok(match inner {
            Expr::OuterReferenceColumn(_, _) => true,
            Expr::ScalarSubquery(subquery) => is_beyond(&subquery.outer_ref_columns),
            Expr::Exists(exists) => is_beyond(&exists.subquery.outer_ref_columns),
            Expr::InSubquery(set) => is_beyond(&set.subquery.outer_ref_columns),
            Expr::SetComparison(set) => is_beyond(&set.subquery.outer_ref_columns),
            _ => false,
        })
    })
}

/// The conditions of a node that refer outside, and those that do not.
fn partition(conditions: Vec<Expr>, node: &LogicalPlan) -> Result<(Vec<Expr>, Vec<Expr>)> {
    let (mut outer, mut own) = (Vec::new(), Vec::new());
    for condition in conditions {
        match expression_refers_outside(&condition, node)? {
            true => outer.push(condition),
            false => own.push(condition),
        }
    }
    Ok((outer, own))
}
