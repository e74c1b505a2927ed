//! Calls and grouping keys of one select that differ in casts only (`sum(a), sum(CAST(a AS double))`) get their casts
//! marked, because DataFusion takes them for one. It must never know types.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, GroupByExpr, OrderByKind, Query, Select, SelectItem, SetExpr, Statement, VisitorMut,
};
use sqlparser::tokenizer::Span;

use crate::errors::SqlError;
use crate::marks::MARK;
use crate::passes::build;
use crate::passes::walk::{OwnExpressions, or_break, walk, walk_own_expressions};

/// Marks the casts.
pub(crate) fn apply(statement: &mut Statement) -> Result<(), SqlError> {
    walk(statement, &mut RepeatedCasts)
}

struct RepeatedCasts;

impl VisitorMut for RepeatedCasts {
    type Break = SqlError;

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<SqlError> {
        let marked = match query.body.as_mut() {
            SetExpr::Select(select) => {
                let mut keys: Vec<&mut Expr> = match &mut query.order_by {
                    Some(order_by) => match &mut order_by.kind {
                        OrderByKind::Expressions(keys) => {
                            keys.iter_mut().map(|key| &mut key.expr).collect()
                        }
                        OrderByKind::All(_) => Vec::new(),
                    },
                    None => Vec::new(),
                };
                mark_select(select, &mut keys)
            }
            SetExpr::SetOperation { left, right, .. } => {
                mark_operand(left).and_then(|()| mark_operand(right))
            }
            _ => Ok(()),
        };
        or_break(marked)
    }
}

/// The operands of a set operation without parentheses are no queries of their own.
fn mark_operand(operand: &mut SetExpr) -> Result<(), SqlError> {
    match operand {
        SetExpr::Select(select) => mark_select(select, &mut []),
        SetExpr::SetOperation { left, right, .. } => {
            mark_operand(left)?;
            mark_operand(right)
        }
        _ => Ok(()),
    }
}

fn mark_select(select: &mut Select, sort_keys: &mut [&mut Expr]) -> Result<(), SqlError> {
    let mut calls = Calls::default();
    walk_own_expressions(select, &mut calls)?;
    for key in sort_keys.iter_mut() {
        walk_own_expressions(&mut **key, &mut calls)?;
    }
    let has_groups =
        !matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    if has_groups {
        if let GroupByExpr::Expressions(keys, _) = &select.group_by {
            keys.iter().try_for_each(|key| calls.add(key))?;
        }
        for item in &select.projection {
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item {
                calls.add(expr)?;
            }
        }
    }
    let repeated: HashSet<String> = calls
        .spellings
        .into_iter()
        .filter(|(_, spellings)| spellings.len() > 1)
        .map(|(uncast, _)| uncast)
        .collect();
    if repeated.is_empty() {
        return Ok(());
    }
    let mut marks = Marks {
        repeated: &repeated,
        inside: 0,
    };
    walk_own_expressions(select, &mut marks)?;
    for key in sort_keys.iter_mut() {
        walk_own_expressions(&mut **key, &mut marks)?;
    }
    Ok(())
}

/// The expression's text without its casts.
fn without_casts(expr: &Expr) -> Result<String, SqlError> {
    struct Casts;
    impl VisitorMut for Casts {
        type Break = SqlError;

        fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
            if let Expr::Cast { expr: operand, .. } = expr {
                let operand = std::mem::replace(operand.as_mut(), build::number(0));
                *expr = operand;
            }
            ControlFlow::Continue(())
        }
    }
    let mut expr = expr.clone();
    walk(&mut expr, &mut Casts)?;
    Ok(expr.to_string())
}

/// The spellings of each call of a select, by its text without casts. Subqueries have calls of their own.
#[derive(Default)]
struct Calls {
    spellings: HashMap<String, HashSet<String>>,
}

impl Calls {
    fn add(&mut self, expr: &Expr) -> Result<(), SqlError> {
        let spellings = self.spellings.entry(without_casts(expr)?).or_default();
        spellings.insert(expr.to_string());
        Ok(())
    }
}

impl OwnExpressions for Calls {
    fn leave(&mut self, expr: &mut Expr) -> Result<(), SqlError> {
        match expr {
            Expr::Function(_) => self.add(expr),
            _ => Ok(()),
        }
    }
}

struct Marks<'a> {
    repeated: &'a HashSet<String>,
    /// Expressions the visit is inside of, from one with marks on.
    inside: usize,
}

impl OwnExpressions for Marks<'_> {
    /// What stands in an expression with marks is marked already.
    fn enter(&mut self, expr: &mut Expr) -> Result<(), SqlError> {
        if self.inside > 0 {
            self.inside += 1;
            return Ok(());
        }
        if !self.repeated.contains(&without_casts(expr)?) {
            return Ok(());
        }
        self.inside = 1;
        walk_own_expressions(expr, &mut MarkCasts)
    }

    fn leave(&mut self, _expr: &mut Expr) -> Result<(), SqlError> {
        self.inside = self.inside.saturating_sub(1);
        Ok(())
    }
}

struct MarkCasts;

impl OwnExpressions for MarkCasts {
    fn leave(&mut self, expr: &mut Expr) -> Result<(), SqlError> {
        let Expr::Cast {
            kind, data_type, ..
        } = expr
        else {
            return Ok(());
        };
        let name = build::text(&format!("{kind:?} {data_type}"), Span::empty());
        *expr = build::call(MARK, vec![expr.clone(), name]);
        Ok(())
    }
}
