//! Correlated subqueries with LIMIT, and totals correlated by more than `column = outer column`: the rows of the outer
//! query are numbered and joined with the subquery's, and what the subquery says of its rows is said of those with the
//! same number. Must never know what else may be done with a subquery.

use datafusion::functions_aggregate::count::count_udaf;
use datafusion::functions_aggregate::first_last::first_value_udaf;
use datafusion::functions_window::row_number::row_number_udwf;
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{JoinType, Result, not_impl_err};
use datafusion_expr::expr::{Sort, WindowFunction};
use datafusion_expr::expr_rewriter::NamePreserver;
use datafusion_expr::utils::{conjunction, split_conjunction_owned};
use datafusion_expr::{
    Expr, ExprFunctionExt, Filter, Join, LogicalPlan, LogicalPlanBuilder, Projection, Subquery,
    WindowFunctionDefinition, lit, when,
};

use super::shape::{Limit, Names, Shape, Total, as_column, column, contains_subquery};
use super::{Correlation, correlation_of, is_correlated};

/// Moves the scalar subqueries of a projection or a filter into its input.
pub(super) fn rewrite(plan: LogicalPlan, next: &mut usize) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Projection(projection) => rewrite_projection(projection, next),
        LogicalPlan::Filter(filter) => rewrite_filter(filter, next),
        other => Ok(Transformed::no(other)),
    }
}

fn rewrite_projection(
    projection: Projection,
    next: &mut usize,
) -> Result<Transformed<LogicalPlan>> {
    let mut input = projection.input.as_ref().clone();
    let mut changed = false;
    let plan = LogicalPlan::Projection(projection);
    let names = NamePreserver::new(&plan);
    let exprs = plan
        .expressions()
        .into_iter()
        .map(|expr| {
            let name = names.save(&expr);
            let moved = move_subqueries(expr, &mut input, next)?;
            changed |= moved.transformed;
            Ok(name.restore(moved.data))
        })
        .collect::<Result<Vec<_>>>()?;
    if !changed {
        return Ok(Transformed::no(plan));
    }
    let rewritten = LogicalPlanBuilder::from(input).project(exprs)?.build()?;
    Ok(Transformed::yes(rewritten))
}

fn rewrite_filter(filter: Filter, next: &mut usize) -> Result<Transformed<LogicalPlan>> {
    let columns = filter.input.schema().columns();
    // What needs no subquery is asked before; but not what refers to a query further out, which has to find it on top.
    let (mut late, mut early) = (Vec::new(), Vec::new());
    for condition in split_conjunction_owned(filter.predicate.clone()) {
        match contains_subquery(&condition)? || condition.contains_outer() {
            true => late.push(condition),
            false => early.push(condition),
        }
    }
    let mut input = filter.input.as_ref().clone();
    if let Some(condition) = conjunction(early) {
        input = LogicalPlanBuilder::from(input).filter(condition)?.build()?;
    }
    let mut changed = false;
    let late = late
        .into_iter()
        .map(|condition| {
            let moved = move_subqueries(condition, &mut input, next)?;
            changed |= moved.transformed;
            Ok(moved.data)
        })
        .collect::<Result<Vec<_>>>()?;
    let Some(condition) = conjunction(late).filter(|_| changed) else {
        return Ok(Transformed::no(LogicalPlan::Filter(filter)));
    };
    let rewritten = LogicalPlanBuilder::from(input)
        .filter(condition)?
        .project(columns.into_iter().map(Expr::Column))?
        .build()?;
    Ok(Transformed::yes(rewritten))
}

/// Replaces the expression's scalar subqueries by columns of the input, which gets them.
fn move_subqueries(
    expr: Expr,
    input: &mut LogicalPlan,
    next: &mut usize,
) -> Result<Transformed<Expr>> {
    expr.transform_up(|inner| {
        let Expr::ScalarSubquery(subquery) = &inner else {
            return Ok(Transformed::no(inner));
        };
        let Some((with_value, value)) = attach(input, subquery, Names(*next))? else {
            return Ok(Transformed::no(inner));
        };
        *next += 1;
        *input = with_value;
        Ok(Transformed::yes(value))
    })
}

/// The input with what a scalar subquery needs, and the subquery's value over that; `None` for subqueries that can
/// stay what they are, or have another form.
fn attach(
    input: &LogicalPlan,
    subquery: &Subquery,
    names: Names,
) -> Result<Option<(LogicalPlan, Expr)>> {
    let Some(shape) = shape_of(subquery, names)? else {
        return Ok(None);
    };
    let [value] = shape.outputs.as_slice() else {
        return Ok(None);
    };
    let value = value.clone();
    if let Some(total) = &shape.total {
        let having = conjunction(total.having.clone());
        let plan = totals(input, &shape, total, names)?;
        return Ok(Some((plan, only_if(having, value)?)));
    }
    match shape.limit {
        Some(Limit {
            skip,
            fetch: Some(1),
        }) => {
            let plan = positions(input, &shape, JoinType::Left, names)?;
            let (is_there, position) = if skip == 0 {
                (column(names.found()), lit(1_u64))
            } else {
                // Where too few rows are there, the first one stays, so that no row of the outer query is lost.
                let is_there = column(names.count()).gt(lit(skip));
                let wanted = lit(as_unsigned(skip.saturating_add(1)));
                let position = when(is_there.clone(), wanted).otherwise(lit(1_u64))?;
                (is_there, position)
            };
            let plan = LogicalPlanBuilder::from(plan)
                .filter(column(names.position()).eq(position))?
                .build()?;
            Ok(Some((plan, only_if(Some(is_there), value)?)))
        }
        _ => Ok(None),
    }
}

/// A LATERAL subquery of FROM, likewise.
pub(super) fn rewrite_lateral(
    join: &Join,
    subquery: &Subquery,
    next: &mut usize,
) -> Result<Option<LogicalPlan>> {
    let names = Names(*next);
    let Some(shape) = lateral_shape_of(join, subquery, names)? else {
        return Ok(None);
    };
    let is_kept = match join.join_type {
        JoinType::Inner => false,
        JoinType::Left => true,
        _ => return Ok(None),
    };
    if !join.on.is_empty() {
        return Ok(None);
    }
    let condition = join.filter.clone().filter(|filter| *filter != lit(true));
    if is_kept && condition.is_some() {
        return not_impl_err!(
            "LEFT JOIN LATERAL of a subquery with LIMIT or a total, with another condition than ON true; write the \
             condition into the subquery"
        );
    }
    let (plan, exists) = match (&shape.total, shape.limit) {
        (Some(total), _) => {
            let plan = totals(&join.left, &shape, total, names)?;
            (plan, conjunction(total.having.clone()))
        }
        (None, Some(Limit { skip, fetch })) => {
            if is_kept && (skip > 0 || fetch == Some(0)) {
                return not_impl_err!("OFFSET or LIMIT 0 in LEFT JOIN LATERAL; use row_number()");
            }
            let plan = positions(&join.left, &shape, join.join_type, names)?;
            let position = || column(names.position());
            let mut range = vec![position().gt(lit(as_unsigned(skip)))];
            if let Some(fetch) = fetch {
                range.push(position().lt_eq(lit(as_unsigned(skip.saturating_add(fetch)))));
            }
            let plan = match conjunction(range) {
                Some(range) => LogicalPlanBuilder::from(plan).filter(range)?.build()?,
                None => plan,
            };
            (plan, is_kept.then(|| column(names.found())))
        }
        (None, None) => return Ok(None),
    };
    *next += 1;
    let mut builder = LogicalPlanBuilder::from(plan);
    let mut only_where = exists;
    if !is_kept && let Some(exists) = only_where.take() {
        builder = builder.filter(exists)?;
    }
    let mut columns: Vec<Expr> = join
        .left
        .schema()
        .columns()
        .into_iter()
        .map(Expr::Column)
        .collect();
    for (output, (qualifier, field)) in shape.outputs.iter().zip(join.right.schema().iter()) {
        let value = only_if(only_where.clone(), output.clone())?;
        columns.push(value.alias_qualified(qualifier.cloned(), field.name()));
    }
    builder = builder.project(columns)?;
    if let Some(condition) = condition {
        builder = builder.filter(condition)?;
    }
    Ok(Some(builder.build()?))
}

/// The form of a scalar subquery that has to be moved.
fn shape_of(subquery: &Subquery, names: Names) -> Result<Option<Shape>> {
    if !is_correlated(subquery) {
        return Ok(None);
    }
    let Some(shape) = Shape::of(&subquery.subquery, names)? else {
        return Ok(None);
    };
    let needs_it = shape.limit.is_some() || correlation(&shape) == Correlation::Other;
    if !needs_it || !shape.is_movable()? {
        return Ok(None);
    }
    shape.beside_outer_columns().map(Some)
}

fn lateral_shape_of(join: &Join, subquery: &Subquery, names: Names) -> Result<Option<Shape>> {
    let Some(shape) = Shape::of(&subquery.subquery, names)? else {
        return Ok(None);
    };
    let drops_totals =
        |total: &Total| !total.having.is_empty() && join.join_type == JoinType::Inner;
    let needs_it = shape.limit.is_some()
        || shape
            .total
            .as_ref()
            .is_some_and(|total| correlation(&shape) == Correlation::Other || drops_totals(total));
    if !needs_it || !shape.is_movable()? {
        return Ok(None);
    }
    shape.beside_outer_columns().map(Some)
}

fn correlation(shape: &Shape) -> Correlation {
    if shape.computes_with_outer_columns() {
        return Correlation::Other;
    }
    shape
        .conditions
        .iter()
        .map(correlation_of)
        .max()
        .unwrap_or(Correlation::None)
}

/// One row for each row of the input: its columns, and the aggregates of the rows that were found for it.
fn totals(input: &LogicalPlan, shape: &Shape, total: &Total, names: Names) -> Result<LogicalPlan> {
    let joined = matches(input, shape, JoinType::Left, names)?;
    let columns = input.schema().columns();
    let mut aggregates: Vec<Expr> = columns
        .iter()
        .enumerate()
        .map(|(index, outer)| {
            first_value_udaf()
                .call(vec![Expr::Column(outer.clone())])
                .alias(names.carried(index))
        })
        .collect();
    for aggregate in &total.aggregates {
        aggregates.push(of_found_rows(aggregate.clone(), names)?);
    }
    let outputs = columns
        .iter()
        .enumerate()
        .map(|(index, outer)| {
            column(names.carried(index)).alias_qualified(outer.relation.clone(), outer.name.clone())
        })
        .chain(
            total
                .aggregates
                .iter()
                .map(|aggregate| column(aggregate.schema_name().to_string())),
        )
        .collect::<Vec<_>>();
    LogicalPlanBuilder::from(joined)
        .aggregate([column(names.outer_row())], aggregates)?
        .project(outputs)?
        .build()
}

/// The aggregate over rows that were found, and not over the row that stands for none.
fn of_found_rows(aggregate: Expr, names: Names) -> Result<Expr> {
    let found = || column(names.found());
    let filtered = aggregate.transform_up(|inner| match inner {
        Expr::AggregateFunction(mut function) => {
            let filter = match function.params.filter.take() {
                Some(filter) => found().and(*filter),
                None => found(),
            };
            function.params.filter = Some(Box::new(filter));
            Ok(Transformed::yes(Expr::AggregateFunction(function)))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(filtered.data)
}

/// The input's rows, each as often as rows were found for it, and these numbered.
fn positions(
    input: &LogicalPlan,
    shape: &Shape,
    join_type: JoinType,
    names: Names,
) -> Result<LogicalPlan> {
    let joined = matches(input, shape, join_type, names)?;
    let outer_row = || vec![column(names.outer_row())];
    let number = row_number(outer_row(), shape.order.clone())?;
    let count = WindowFunction::new(
        WindowFunctionDefinition::AggregateUDF(count_udaf()),
        vec![column(names.found())],
    );
    let count = Expr::from(count).partition_by(outer_row()).build()?;
    LogicalPlanBuilder::from(joined)
        .window([number.alias(names.position())])?
        .window([count.alias(names.count())])?
        .build()
}

/// The numbered rows of the input beside the rows of the subquery's source that its conditions find for them.
fn matches(
    input: &LogicalPlan,
    shape: &Shape,
    join_type: JoinType,
    names: Names,
) -> Result<LogicalPlan> {
    let (correlated, own): (Vec<Expr>, Vec<Expr>) = shape
        .conditions
        .iter()
        .cloned()
        .partition(Expr::contains_outer);
    let mut source = LogicalPlanBuilder::from(shape.source.clone());
    if let Some(condition) = conjunction(own) {
        source = source.filter(condition)?;
    }
    let mut conditions = correlated
        .into_iter()
        .map(as_column)
        .collect::<Result<Vec<_>>>()?;
    if conditions.is_empty() {
        conditions.push(lit(true));
    }
    let number = row_number(Vec::new(), Vec::new())?;
    LogicalPlanBuilder::from(input.clone())
        .window([number.alias(names.outer_row())])?
        .join_on(source.build()?, join_type, conditions)?
        .build()
}

fn row_number(partition: Vec<Expr>, order: Vec<Sort>) -> Result<Expr> {
    let function = WindowFunction::new(
        WindowFunctionDefinition::WindowUDF(row_number_udwf()),
        Vec::new(),
    );
    Expr::from(function)
        .partition_by(partition)
        .order_by(order)
        .build()
}

/// The value where the condition holds, else NULL.
fn only_if(condition: Option<Expr>, value: Expr) -> Result<Expr> {
    match condition {
        None => Ok(value),
        Some(condition) => when(condition, value).end(),
    }
}

fn as_unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}
