//! Conditions `f(columns) = outer columns` of correlated subqueries become `key = outer columns` with a computed key, so
//! that rows can be grouped by it. Must never know what the subquery is for.

use std::sync::Arc;

use datafusion_common::tree_node::Transformed;
use datafusion_common::{DFSchema, Result};
use datafusion_expr::expr::Cast;
use datafusion_expr::utils::{conjunction, split_conjunction_owned};
use datafusion_expr::{
    BinaryExpr, Expr, ExprSchemable, Filter, LogicalPlan, LogicalPlanBuilder, Operator,
};

use super::shape::{column, contains_subquery};
use crate::names;

/// Computes the keys of the filters in the node's correlated scalar and LATERAL subqueries.
pub(super) fn rewrite(filter: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Filter(filter) = filter else {
        return Ok(Transformed::no(filter));
    };
    let mut keys = Vec::new();
    let conditions = split_conjunction_owned(filter.predicate.clone())
        .into_iter()
        .map(|condition| with_key(condition, filter.input.schema(), &mut keys))
        .collect::<Result<Vec<_>>>()?;
    let Some(condition) = conjunction(conditions).filter(|_| !keys.is_empty()) else {
        return Ok(Transformed::no(LogicalPlan::Filter(filter)));
    };
    let columns = filter
        .input
        .schema()
        .columns()
        .into_iter()
        .map(Expr::Column);
    let input = LogicalPlanBuilder::from(filter.input.as_ref().clone())
        .project(columns.chain(keys))?
        .build()?;
    let filter = Filter::try_new(condition, Arc::new(input))?;
    Ok(Transformed::yes(LogicalPlan::Filter(filter)))
}

/// The condition with a column in place of what is compared with the outer query.
fn with_key(condition: Expr, schema: &DFSchema, keys: &mut Vec<Expr>) -> Result<Expr> {
    let Expr::BinaryExpr(BinaryExpr {
        left,
        op: Operator::Eq,
        right,
    }) = &condition
    else {
        return Ok(condition);
    };
    let (key, outer) = match (left.contains_outer(), right.contains_outer()) {
        (false, true) => (left, right),
        (true, false) => (right, left),
        _ => return Ok(condition),
    };
    if key.column_refs().is_empty()
        || is_as_good_as_a_column(key, schema)?
        || !outer.column_refs().is_empty()
        || key.is_volatile()
        || contains_subquery(key)?
        || contains_subquery(outer)?
    {
        return Ok(condition);
    }
    let name = names::of_subquery(&key.schema_name().to_string(), 0);
    if !keys
        .iter()
        .any(|known| known.schema_name().to_string() == name)
    {
        keys.push(key.as_ref().clone().alias(name.clone()));
    }
    Ok(Expr::BinaryExpr(BinaryExpr::new(
        Box::new(column(name)),
        Operator::Eq,
        outer.clone(),
    )))
}

/// A column, or one in a wider type of integers: it tells as many values apart.
fn is_as_good_as_a_column(key: &Expr, schema: &DFSchema) -> Result<bool> {
    Ok(match key {
        Expr::Column(_) => true,
        Expr::Cast(Cast { expr, field }) => {
            matches!(expr.as_ref(), Expr::Column(_))
                && field.data_type().is_integer()
                && expr.get_type(schema)?.is_integer()
        }
        _ => false,
    })
}
