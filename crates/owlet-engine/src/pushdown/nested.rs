//! Filters on fields of rows over sources without SQL. DataFusion computes such fields in a projection between the
//! filter and the scan; the filter is rewritten over the scan's own columns, so that the source may apply it. Must
//! never know a concrete source.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, Projection};

use crate::catalogs::SourceTable;
use crate::engine::Source;
use crate::pushdown::PushdownPlanner;
use crate::pushdown::hints::Hints;
use crate::query::Pushdown;

impl PushdownPlanner {
    /// `Filter → Projection → TableScan` with the filter at the table and the projection above it; `None` when the
    /// plan is another one, or no part of the filter can be said with the table's columns and their fields.
    pub(super) async fn filter_below_projection(
        &self,
        filter: &Filter,
        hints: &Hints,
    ) -> Result<Option<LogicalPlan>> {
        let LogicalPlan::Projection(projection) = filter.input.as_ref() else {
            return Ok(None);
        };
        let LogicalPlan::TableScan(scan) = projection.input.as_ref() else {
            return Ok(None);
        };
        if !matches!(
            SourceTable::of(scan).map(|table| &table.source),
            Some(Source::Table(_))
        ) || self.pushdown != Pushdown::On
        {
            return Ok(None);
        }
        let mut below = Vec::new();
        let mut above = Vec::new();
        for conjunct in split_conjunction_owned(filter.predicate.clone()) {
            match over_columns(&conjunct, projection)? {
                Some(moved) => below.push(moved),
                None => above.push(conjunct),
            }
        }
        if below.is_empty() {
            return Ok(None);
        }
        let mut hints = hints.using(above.iter(), &filter.input);
        if !above.is_empty() {
            // A limit counts rows after the whole filter.
            hints.limit = None;
            hints.ordering = Vec::new();
        }
        let input_hints = hints.through_projection(&projection.expr, &projection.input);
        let leaf = self.table(scan, &below, &input_hints).await?;
        // The table may leave out what only the filter used; so does the projection.
        let expressions: Vec<Expr> = match &hints.needed {
            None => projection.expr.clone(),
            Some(needed) => needed
                .iter()
                .filter_map(|position| projection.expr.get(*position).cloned())
                .collect(),
        };
        let mut plan = leaf;
        // A projection without columns only counts rows, which its input does as well.
        if !expressions.is_empty() {
            let rebuilt = Projection::try_new(expressions, Arc::new(plan.clone()))?;
            plan = self
                .rebuild(LogicalPlan::Projection(rebuilt), vec![plan])
                .await?;
        }
        if let Some(predicate) = conjunction(above) {
            let rest = Filter::try_new(predicate, Arc::new(plan.clone()))?;
            plan = self.rebuild(LogicalPlan::Filter(rest), vec![plan]).await?;
        }
        Ok(Some(plan))
    }
}

/// A conjunct over a projection's output as one over its input; `None` when it uses a column that is computed, or
/// a subquery, whose own plan names the output's columns.
fn over_columns(conjunct: &Expr, projection: &Projection) -> Result<Option<Expr>> {
    let has_subquery = conjunct.exists(|inner| {
        Ok(matches!(
            inner,
            Expr::ScalarSubquery(_)
                | Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
                | Expr::OuterReferenceColumn(..)
        ))
    })?;
    if has_subquery {
        return Ok(None);
    }
    let source = |expr: &Expr| {
        let Expr::Column(column) = expr else {
            return None;
        };
        let position = projection.schema.maybe_index_of_column(column)?;
        field_chain(projection.expr.get(position)?)
    };
    let unknown =
        conjunct.exists(|inner| Ok(matches!(inner, Expr::Column(_)) && source(inner).is_none()))?;
    if unknown {
        return Ok(None);
    }
    // Bottom-up, so that the columns of what is put in are not looked at again.
    let moved = conjunct.clone().transform_up(|inner| {
        Ok(match source(&inner) {
            Some(replacement) => Transformed::yes(replacement),
            None => Transformed::no(inner),
        })
    })?;
    Ok(Some(moved.data))
}

/// The expression below its aliases, if it is a column or a field of one.
fn field_chain(expr: &Expr) -> Option<Expr> {
    match expr {
        Expr::Alias(alias) => field_chain(&alias.expr),
        Expr::Column(_) => Some(expr.clone()),
        Expr::ScalarFunction(function) if function.func.name() == "get_field" => {
            let (base, names) = function.args.split_first()?;
            field_chain(base)?;
            let all_constant = names.iter().all(|name| matches!(name, Expr::Literal(..)));
            all_constant.then(|| expr.clone())
        }
        _ => None,
    }
}
