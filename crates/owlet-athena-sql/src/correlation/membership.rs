//! `x IN (SELECT y …)` as a value: true, false, or NULL where x or a y is NULL and no y is equal; so for ANY and ALL.
//! DataFusion has them as conditions only, where NULL and false are the same. Must never know how scalar subqueries are
//! computed.

use std::sync::Arc;

use datafusion::functions_aggregate::expr_fn::count;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Column, DFSchema, DataFusionError, Result, Spans, not_impl_err};
use datafusion_expr::expr::{InSubquery, SetComparison, SetQuantifier};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::utils::{conjunction, merge_schema, split_conjunction_owned};
use datafusion_expr::{
    BinaryExpr, Expr, ExprFunctionExt, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator,
    Subquery, lit, when,
};

use super::shape::contains_subquery;

/// Says the memberships of the node's expressions by scalar subqueries, where NULL matters.
pub(super) fn rewrite(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let is_filter = match &plan {
        LogicalPlan::Filter(_) => true,
        LogicalPlan::Projection(_)
        | LogicalPlan::Aggregate(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Sort(_) => false,
        _ => return Ok(Transformed::no(plan)),
    };
    let schema = merge_schema(&plan.inputs());
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let has_any = expr.exists(|inner| {
            Ok(match inner {
                Expr::InSubquery(_) => true,
                // As a part of a condition it is right.
                Expr::SetComparison(_) => !is_filter,
                _ => false,
            })
        })?;
        if !has_any {
            return Ok(Transformed::no(expr));
        }
        let name = names.save(&expr);
        let rewritten = if is_filter {
            conditions(expr, &schema)?
        } else {
            value(expr, &schema)?
        };
        Ok(Transformed::yes(name.restore(rewritten)))
    })
}

/// The conditions of a filter: a membership, or its opposite, can stay.
fn conditions(predicate: Expr, schema: &DFSchema) -> Result<Expr> {
    let conditions = split_conjunction_owned(predicate)
        .into_iter()
        .map(|condition| {
            let (set, negated) = match &condition {
                Expr::InSubquery(set) => (set, set.negated),
                Expr::Not(inner) => match inner.as_ref() {
                    Expr::InSubquery(set) => (set, !set.negated),
                    _ => return true_or_not(condition, schema),
                },
                _ => return true_or_not(condition, schema),
            };
            match negated && is_correlated_with_nulls(set, schema)? {
                true => value(condition, schema),
                false => Ok(condition),
            }
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(conjunction(conditions).unwrap_or_else(|| lit(true)))
}

/// DataFusion's join for NOT IN knows NULLs, or a correlation, but not both. A total is compared otherwise.
fn is_correlated_with_nulls(set: &InSubquery, schema: &DFSchema) -> Result<bool> {
    let is_total = |plan: &LogicalPlan| Ok(matches!(plan, LogicalPlan::Aggregate(_)));
    if set.subquery.outer_ref_columns.is_empty() || set.subquery.subquery.exists(is_total)? {
        return Ok(false);
    }
    let member = set.subquery.subquery.schema().field(0);
    Ok(member.is_nullable() || set.expr.nullable(schema)?)
}

/// Where NULL is the same as false: a membership can stay.
fn true_or_not(condition: Expr, schema: &DFSchema) -> Result<Expr> {
    match condition {
        Expr::InSubquery(InSubquery { negated: false, .. }) => Ok(condition),
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: op @ (Operator::And | Operator::Or),
            right,
        }) => Ok(Expr::BinaryExpr(BinaryExpr::new(
            Box::new(true_or_not(*left, schema)?),
            op,
            Box::new(true_or_not(*right, schema)?),
        ))),
        other => value(other, schema),
    }
}

fn value(expr: Expr, schema: &DFSchema) -> Result<Expr> {
    let rewritten = expr.transform_up(|inner| match inner {
        Expr::InSubquery(set) => Ok(Transformed::yes(membership(set, schema)?)),
        Expr::SetComparison(set) => Ok(Transformed::yes(comparison(set, schema)?)),
        other => Ok(Transformed::no(other)),
    })?;
    Ok(rewritten.data)
}

/// What is among the values of a subquery.
const NOTHING: i64 = 0;
const VALUES: i64 = 1;
const A_NULL: i64 = 2;

fn membership(set: InSubquery, schema: &DFSchema) -> Result<Expr> {
    let InSubquery {
        expr: operand,
        subquery,
        negated,
    } = set;
    let members = subquery.subquery.as_ref().clone();
    let (qualifier, field) = members.schema().qualified_field(0);
    let member = Expr::Column(Column::from((qualifier, field)));
    let (outer, references) = outer_value(operand.as_ref(), &subquery, schema)?;
    let no_groups: [Expr; 0] = [];
    let equal = LogicalPlanBuilder::from(members.clone())
        .filter(member.clone().eq(outer))?
        .aggregate(no_groups.clone(), [count(lit(1_i64)).alias("equal")])?
        .build()?;
    let equal = Expr::ScalarSubquery(Subquery {
        subquery: Arc::new(equal),
        outer_ref_columns: references,
        spans: Spans::new(),
    });
    let mut cases = when(equal.gt(lit(0_i64)), lit(!negated));
    let is_nullable = field.is_nullable() || operand.nullable(schema)?;
    if !is_nullable {
        return cases.otherwise(lit(negated));
    }
    let kind = when(count_column("rows").eq(lit(0_i64)), lit(NOTHING))
        .when(count_column("rows").gt(count_column("values")), lit(A_NULL))
        .otherwise(lit(VALUES))?;
    let kind = LogicalPlanBuilder::from(members)
        .aggregate(
            no_groups,
            [
                count(lit(1_i64)).alias("rows"),
                count(member).alias("values"),
            ],
        )?
        .project([kind.alias("kind")])?
        .build()?;
    let kind = Expr::ScalarSubquery(subquery.with_plan(Arc::new(kind)));
    let of_values = when(operand.is_not_null(), lit(negated)).end()?;
    let otherwise = Expr::Case(datafusion_expr::Case::new(
        Some(Box::new(kind)),
        vec![
            (Box::new(lit(VALUES)), Box::new(of_values)),
            (Box::new(lit(A_NULL)), Box::new(unknown()?)),
        ],
        // Without rows, correlated counts are NULL instead of nothing.
        Some(Box::new(lit(negated))),
    ));
    cases.otherwise(otherwise)
}

/// `x > ALL (SELECT y …)`: of the comparisons with each y, a decisive one decides, then NULL.
fn comparison(set: SetComparison, schema: &DFSchema) -> Result<Expr> {
    let members = set.subquery.subquery.as_ref().clone();
    let member = Expr::Column(Column::from(members.schema().qualified_field(0)));
    let (outer, references) = outer_value(&set.expr, &set.subquery, schema)?;
    let compared = Expr::BinaryExpr(BinaryExpr::new(Box::new(outer), set.op, Box::new(member)));
    let (decisive, decision) = match set.quantifier {
        SetQuantifier::Any => (compared.clone().is_true(), true),
        SetQuantifier::All => (compared.clone().is_false(), false),
    };
    let count_where = |condition: Expr, name: &str| {
        let counted = count(lit(1_i64)).filter(condition).build()?;
        Ok::<_, DataFusionError>(counted.alias(name))
    };
    let no_groups: [Expr; 0] = [];
    let of_counts = when(count_column("decisive").gt(lit(0_i64)), lit(decision))
        .when(count_column("unknown").gt(lit(0_i64)), unknown()?)
        .otherwise(lit(!decision))?;
    let plan = LogicalPlanBuilder::from(members)
        .aggregate(
            no_groups,
            [
                count_where(decisive, "decisive")?,
                count_where(compared.is_null(), "unknown")?,
            ],
        )?
        .project([of_counts.alias("compared")])?
        .build()?;
    Ok(Expr::ScalarSubquery(Subquery {
        subquery: Arc::new(plan),
        outer_ref_columns: references,
        spans: Spans::new(),
    }))
}

/// A value of the outer query as the subquery sees it, and all that the subquery then refers to.
fn outer_value(
    operand: &Expr,
    subquery: &Subquery,
    schema: &DFSchema,
) -> Result<(Expr, Vec<Expr>)> {
    if operand.contains_outer() || operand.is_volatile() || contains_subquery(operand)? {
        return not_impl_err!(
            "IN, ANY or ALL (SELECT …) of this value, anywhere but as a condition of WHERE; compute the value in a \
             subquery of FROM"
        );
    }
    let mut references = subquery.outer_ref_columns.clone();
    let outer = operand.clone().transform_up(|inner| match inner {
        Expr::Column(column) => {
            let (_, field) = schema.qualified_field_from_column(&column)?;
            let reference = Expr::OuterReferenceColumn(Arc::clone(field), column);
            references.push(reference.clone());
            Ok(Transformed::yes(reference))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok((outer.data, references))
}

/// NULL.
fn unknown() -> Result<Expr> {
    when(lit(false), lit(true)).end()
}

fn count_column(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}
