//! `FROM t CROSS JOIN LATERAL (SELECT t.a * 2 AS b) AS u`: a LATERAL subquery without FROM only adds columns to its
//! left side, and is planned so. It must never know where the columns come from.

use datafusion_common::{Result, TableReference, not_impl_err, plan_err};
use datafusion_expr::expr_rewriter::normalize_col;
use datafusion_expr::planner::RelationPlannerContext;
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use sqlparser::ast::{Join, JoinConstraint, JoinOperator, SelectItem, TableFactor};

use crate::passes::relations::lateral_select;
use crate::passes::select_names::item_name;
use crate::unnest::is_true;

/// The left side with the subquery's columns, under the subquery's alias.
pub(crate) fn plan(
    left: LogicalPlan,
    join: Join,
    context: &mut dyn RelationPlannerContext,
) -> Result<LogicalPlan> {
    let TableFactor::Derived {
        subquery, alias, ..
    } = &join.relation
    else {
        return plan_err!("expected a LATERAL subquery");
    };
    let Some(select) = lateral_select(subquery) else {
        return plan_err!("expected a LATERAL subquery without FROM");
    };
    let condition = match join.join_operator {
        JoinOperator::CrossJoin(JoinConstraint::None) => None,
        JoinOperator::Join(JoinConstraint::On(condition))
        | JoinOperator::Inner(JoinConstraint::On(condition)) => Some(condition),
        JoinOperator::Left(JoinConstraint::On(condition))
        | JoinOperator::LeftOuter(JoinConstraint::On(condition))
            if is_true(&condition) && select.selection.is_none() =>
        {
            None
        }
        _ => return not_impl_err!("this join with a LATERAL subquery without FROM"),
    };
    let (qualifier, names): (Option<TableReference>, Vec<String>) = match alias {
        None => (None, Vec::new()),
        Some(alias) => (
            Some(TableReference::bare(
                context.normalize_ident(alias.name.clone()),
            )),
            alias
                .columns
                .iter()
                .map(|column| context.normalize_ident(column.name.clone()))
                .collect(),
        ),
    };
    if !names.is_empty() && names.len() != select.projection.len() {
        return plan_err!(
            "the subquery has {} columns but its alias names {}",
            select.projection.len(),
            names.len()
        );
    }
    let mut columns: Vec<Expr> = left
        .schema()
        .columns()
        .into_iter()
        .map(Expr::Column)
        .collect();
    for (index, item) in select.projection.iter().enumerate() {
        let (SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) = item else {
            return plan_err!("a LATERAL subquery without FROM has no columns for *");
        };
        let name = names
            .get(index)
            .cloned()
            .or_else(|| item_name(item).map(|name| context.normalize_ident(name.clone())));
        let value = normalize_col(context.sql_to_expr(expr.clone(), left.schema())?, &left)?;
        columns.push(match name {
            Some(name) => value.alias_qualified(qualifier.clone(), name),
            None => value,
        });
    }
    let mut builder = LogicalPlanBuilder::from(left.clone());
    if let Some(selection) = &select.selection {
        builder = builder.filter(normalize_col(
            context.sql_to_expr(selection.clone(), left.schema())?,
            &left,
        )?)?;
    }
    let plan = builder.project(columns)?.build()?;
    match condition.filter(|condition| !is_true(condition)) {
        None => Ok(plan),
        Some(condition) => {
            let condition = normalize_col(context.sql_to_expr(condition, plan.schema())?, &plan)?;
            LogicalPlanBuilder::from(plan).filter(condition)?.build()
        }
    }
}
