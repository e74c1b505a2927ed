//! `FETCH FIRST n ROWS ONLY | WITH TIES` and `TABLESAMPLE`, and the refusal of query clauses that would be ignored.
//! It must never know plans.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Expr, Fetch, Ident, LimitClause, ObjectName, OrderBy, OrderByKind, Query,
    Select, SelectItem, SetExpr, Spanned, Statement, TableAlias, TableFactor, TableSample,
    TableSampleKind, Value, ValueWithSpan, VisitorMut, WindowSpec, WindowType,
};

use crate::errors::SqlError;
use crate::passes::build;
use crate::passes::walk::walk;

/// Rewrites row limits and samples.
pub(crate) fn apply(statement: &mut Statement) -> Result<(), SqlError> {
    walk(statement, &mut Limits)
}

struct Limits;

impl VisitorMut for Limits {
    type Break = SqlError;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        flow(refuse_ignored(query).and_then(|()| fetch_to_limit(query)))
    }

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<SqlError> {
        flow(sample_to_filter(factor))
    }
}

fn flow(result: Result<(), SqlError>) -> ControlFlow<SqlError> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

/// Clauses the parser accepts for other dialects and the planner drops without a word.
fn refuse_ignored(query: &Query) -> Result<(), SqlError> {
    let clause = match query {
        Query { locks, .. } if !locks.is_empty() => "FOR UPDATE",
        Query {
            for_clause: Some(_),
            ..
        } => "FOR XML or FOR JSON",
        Query {
            settings: Some(_), ..
        } => "SETTINGS",
        Query {
            format_clause: Some(_),
            ..
        } => "FORMAT",
        Query { pipe_operators, .. } if !pipe_operators.is_empty() => "the pipe operator",
        _ => match query.body.as_ref() {
            SetExpr::Select(select) => match select.as_ref() {
                Select {
                    prewhere: Some(_), ..
                } => "PREWHERE",
                Select { connect_by, .. } if !connect_by.is_empty() => "CONNECT BY",
                Select { into: Some(_), .. } => "SELECT INTO",
                Select {
                    exclude: Some(_), ..
                } => "EXCLUDE",
                Select {
                    value_table_mode: Some(_),
                    ..
                } => "SELECT AS VALUE or STRUCT",
                _ => return Ok(()),
            },
            _ => return Ok(()),
        },
    };
    Err(SqlError::unsupported(
        query.span().start,
        format!("{clause} is not part of Athena's SQL"),
    ))
}

fn fetch_to_limit(query: &mut Query) -> Result<(), SqlError> {
    let Some(Fetch {
        with_ties,
        percent,
        quantity,
    }) = query.fetch.take()
    else {
        return Ok(());
    };
    let at = query.span().start;
    if percent {
        return Err(SqlError::unsupported(
            at,
            "FETCH FIRST … PERCENT is not part of Athena's SQL",
        ));
    }
    let quantity = quantity.unwrap_or_else(|| build::number(1));
    if with_ties {
        return keep_ties(query, quantity);
    }
    match &mut query.limit_clause {
        None => {
            query.limit_clause = Some(LimitClause::LimitOffset {
                limit: Some(quantity),
                offset: None,
                limit_by: Vec::new(),
            });
        }
        Some(LimitClause::LimitOffset {
            limit: limit @ None,
            ..
        }) => *limit = Some(quantity),
        Some(_) => {
            return Err(SqlError::syntax(
                at,
                "LIMIT and FETCH FIRST cannot be used together",
            ));
        }
    }
    Ok(())
}

/// `FETCH FIRST n ROWS WITH TIES`: the rows whose rank in the query's order is at most n.
fn keep_ties(query: &mut Query, quantity: Expr) -> Result<(), SqlError> {
    let at = query.span().start;
    let unsupported =
        |what: &str| SqlError::unsupported(at, format!("FETCH FIRST … WITH TIES {what}"));
    let Some(OrderBy {
        kind: OrderByKind::Expressions(keys),
        ..
    }) = &query.order_by
    else {
        return Err(SqlError::syntax(
            at,
            "FETCH FIRST … WITH TIES needs ORDER BY",
        ));
    };
    if query.limit_clause.is_some() {
        return Err(unsupported("does not go with OFFSET or LIMIT here"));
    }
    let SetExpr::Select(select) = query.body.as_mut() else {
        return Err(unsupported(
            "over a set operation is not offered: put that into a subquery",
        ));
    };
    if select.distinct.is_some() {
        return Err(unsupported(
            "with DISTINCT is not offered: put that into a subquery",
        ));
    }
    let mut keys = keys.clone();
    for key in &mut keys {
        if let Some(selected) = selected_expression(&select.projection, &key.expr) {
            key.expr = selected;
        }
    }
    let mut rank = build::function("rank", Vec::new());
    rank.over = Some(WindowType::WindowSpec(WindowSpec {
        window_name: None,
        partition_by: Vec::new(),
        order_by: keys,
        window_frame: None,
    }));
    let in_rank = Expr::BinaryOp {
        left: Box::new(Expr::Function(rank)),
        op: BinaryOperator::LtEq,
        right: Box::new(quantity),
    };
    select.qualify = Some(match select.qualify.take() {
        Some(other) => Expr::BinaryOp {
            left: Box::new(other),
            op: BinaryOperator::And,
            right: Box::new(in_rank),
        },
        None => in_rank,
    });
    Ok(())
}

/// What an ORDER BY key stands for if it is an ordinal or an alias.
fn selected_expression(projection: &[SelectItem], key: &Expr) -> Option<Expr> {
    match key {
        Expr::Value(ValueWithSpan {
            value: Value::Number(ordinal, _),
            ..
        }) => {
            let index = ordinal.parse::<usize>().ok()?.checked_sub(1)?;
            match projection.get(index)? {
                SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
                    Some(expr.clone())
                }
                _ => None,
            }
        }
        Expr::Identifier(name) => projection.iter().find_map(|item| match item {
            SelectItem::ExprWithAlias { expr, alias } if alias.value == name.value => {
                Some(expr.clone())
            }
            _ => None,
        }),
        _ => None,
    }
}

/// `t TABLESAMPLE BERNOULLI (p)`: each row with probability p %. SYSTEM samples rows too, not blocks.
fn sample_to_filter(factor: &mut TableFactor) -> Result<(), SqlError> {
    let at = factor.span().start;
    let (sample, alias) = match factor {
        TableFactor::Table {
            sample,
            alias,
            name,
            ..
        } if sample.is_some() => {
            let alias = alias.take().or_else(|| default_alias(name));
            (sample.take(), alias)
        }
        TableFactor::Derived { sample, alias, .. } if sample.is_some() => {
            (sample.take(), alias.take())
        }
        _ => return Ok(()),
    };
    let Some(TableSampleKind::BeforeTableAlias(sample) | TableSampleKind::AfterTableAlias(sample)) =
        sample
    else {
        return Ok(());
    };
    let TableSample {
        quantity: Some(quantity),
        seed: None,
        bucket: None,
        offset: None,
        ..
    } = *sample
    else {
        return Err(
            SqlError::unsupported(at, "this form of TABLESAMPLE is not offered")
                .with_hint("TABLESAMPLE BERNOULLI (percentage)"),
        );
    };
    if quantity.unit.is_some() {
        return Err(SqlError::unsupported(at, "TABLESAMPLE takes a percentage")
            .with_hint("TABLESAMPLE BERNOULLI (percentage)"));
    }
    let percentage = match quantity.value {
        Expr::Nested(inner) => *inner,
        other => other,
    };
    let chance = Expr::BinaryOp {
        left: Box::new(build::call("random", Vec::new())),
        op: BinaryOperator::Lt,
        right: Box::new(Expr::BinaryOp {
            left: Box::new(percentage),
            op: BinaryOperator::Divide,
            right: Box::new(build::number("100.0")),
        }),
    };
    *factor = build::derived(build::select_all(factor.clone(), Some(chance)), alias);
    Ok(())
}

fn default_alias(name: &ObjectName) -> Option<TableAlias> {
    let name = name.0.last()?.as_ident()?;
    Some(build::table_alias(Ident::with_quote(
        '"',
        name.value.clone(),
    )))
}
