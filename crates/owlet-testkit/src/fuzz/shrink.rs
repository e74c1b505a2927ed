//! Smaller queries that may show the same difference. Must never run anything.

use super::query::{Expr, Output, Query};

/// Variants of a query with something taken away, largest cuts first.
pub fn smaller(query: &Query) -> Vec<Query> {
    let mut variants = Vec::new();
    let mut with = |change: &dyn Fn(&mut Query)| {
        let mut variant = query.clone();
        change(&mut variant);
        variants.push(variant);
    };
    if query.union_filter.is_some() {
        with(&|variant| variant.union_filter = None);
    }
    if query.limit.is_some() {
        with(&|variant| variant.limit = None);
    } else if !query.order.is_empty() {
        with(&|variant| variant.order.clear());
    }
    if query.filter.is_some() {
        with(&|variant| variant.filter = None);
    }
    if !query.joins.is_empty() && !uses_table(query, query.joins.len()) && !has_subquery(query) {
        with(&|variant| {
            variant.joins.pop();
            variant.tables.truncate(variant.joins.len() + 1);
        });
    }
    if let Some(filter) = &query.filter {
        for smaller in simpler(filter) {
            with(&|variant| variant.filter = Some(smaller.clone()));
        }
    }
    for (index, join) in query.joins.iter().enumerate() {
        for smaller in simpler(&join.on) {
            with(&|variant| variant.joins[index].on = smaller.clone());
        }
        if join.kind != "JOIN" {
            with(&|variant| variant.joins[index].kind = "JOIN");
        }
    }
    match &query.output {
        Output::Rows {
            expressions,
            distinct,
        } => {
            if *distinct {
                with(&|variant| {
                    if let Output::Rows { distinct, .. } = &mut variant.output {
                        *distinct = false;
                    }
                });
            }
            for (index, expression) in expressions.iter().enumerate() {
                if expressions.len() > 1 && query.order.is_empty() {
                    with(&|variant| {
                        if let Output::Rows { expressions, .. } = &mut variant.output {
                            expressions.remove(index);
                        }
                    });
                }
                for smaller in simpler(expression)
                    .into_iter()
                    .filter(|smaller| smaller.class() == expression.class())
                {
                    with(&|variant| {
                        if let Output::Rows { expressions, .. } = &mut variant.output {
                            expressions[index] = smaller.clone();
                        }
                    });
                }
            }
        }
        Output::Groups {
            keys,
            aggregates,
            having,
        } => {
            if having.is_some() {
                with(&|variant| {
                    if let Output::Groups { having, .. } = &mut variant.output {
                        *having = None;
                    }
                });
            }
            if query.order.is_empty() {
                for index in 0..keys.len() {
                    with(&|variant| {
                        if let Output::Groups { keys, .. } = &mut variant.output {
                            keys.remove(index);
                        }
                    });
                }
                for index in (0..aggregates.len()).filter(|_| aggregates.len() > 1) {
                    with(&|variant| {
                        if let Output::Groups { aggregates, .. } = &mut variant.output {
                            aggregates.remove(index);
                        }
                    });
                }
            }
            for index in 0..aggregates.len() {
                if aggregates[index].filter.is_some() {
                    with(&|variant| {
                        if let Output::Groups { aggregates, .. } = &mut variant.output {
                            aggregates[index].filter = None;
                        }
                    });
                }
            }
        }
    }
    variants
}

/// Operands of the same class, and lists with one element less.
fn simpler(expression: &Expr) -> Vec<Expr> {
    let class = expression.class();
    let mut simpler: Vec<Expr> = expression
        .children()
        .into_iter()
        .filter(|child| child.class() == class)
        .cloned()
        .collect();
    match expression {
        Expr::Exists { .. } | Expr::InQuery { .. } | Expr::Subquery { .. } => simpler.clear(),
        Expr::Logic(word, operands) if operands.len() > 2 => {
            for index in 0..operands.len() {
                let mut rest = operands.clone();
                rest.remove(index);
                simpler.push(Expr::Logic(word, rest));
            }
        }
        Expr::In {
            operand,
            list,
            negated,
        } if list.len() > 1 => {
            for index in 0..list.len() {
                let mut rest = list.clone();
                rest.remove(index);
                simpler.push(Expr::In {
                    operand: operand.clone(),
                    list: rest,
                    negated: *negated,
                });
            }
        }
        _ => {}
    }
    simpler
}

fn expressions(query: &Query) -> Vec<&Expr> {
    let mut all: Vec<&Expr> = query.filter.iter().chain(&query.union_filter).collect();
    all.extend(
        query
            .joins
            .iter()
            .take(query.joins.len().saturating_sub(1))
            .map(|join| &join.on),
    );
    match &query.output {
        Output::Rows { expressions, .. } => all.extend(expressions),
        Output::Groups {
            keys, aggregates, ..
        } => {
            all.extend(keys);
            for aggregate in aggregates {
                all.extend(aggregate.argument.iter().chain(&aggregate.filter));
            }
        }
    }
    all
}

fn uses_table(query: &Query, position: usize) -> bool {
    let is_column =
        |expression: &Expr| matches!(expression, Expr::Column { table, .. } if *table == position);
    expressions(query)
        .iter()
        .any(|expression| expression.any(&is_column))
}

fn has_subquery(query: &Query) -> bool {
    let is_subquery = |expression: &Expr| {
        matches!(
            expression,
            Expr::Exists { .. } | Expr::InQuery { .. } | Expr::Subquery { .. }
        )
    };
    expressions(query)
        .iter()
        .any(|expression| expression.any(&is_subquery))
}
