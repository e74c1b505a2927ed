//! `(a, b) IN (SELECT x, y …)` and `= ANY (VALUES …)`. It must never know types.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Expr, GroupByExpr, Ident, Query, Select, SelectItem, SetExpr, Spanned,
    Statement, TableAliasColumnDef, TableWithJoins, VisitorMut,
};

use crate::errors::SqlError;
use crate::passes::build;
use crate::passes::walk::{OwnExpressions, walk, walk_own_expressions};

/// Rewrites the memberships.
pub(crate) fn apply(statement: &mut Statement) -> Result<(), SqlError> {
    walk(statement, &mut Memberships::default())
}

#[derive(Default)]
struct Memberships {
    counter: usize,
}

impl VisitorMut for Memberships {
    type Break = SqlError;

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<SqlError> {
        for item in &mut select.projection {
            if let SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } = item
                && let Err(error) = walk_own_expressions(expr, &mut ValuePredicates)
            {
                return ControlFlow::Break(error);
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        let at = expr.span().start;
        if let Expr::InSubquery {
            expr: left,
            subquery,
            negated,
        } = expr
            && let Expr::Tuple(values) = left.as_mut()
        {
            if *negated {
                return ControlFlow::Break(
                    SqlError::unsupported(at, "NOT IN of several columns is not offered")
                        .with_hint("NOT EXISTS (SELECT 1 … WHERE …)"),
                );
            }
            *expr = self.row_exists(values, subquery);
        }
        ControlFlow::Continue(())
    }
}

impl Memberships {
    /// `EXISTS (SELECT 1 FROM (subquery) AS m(m0, m1) WHERE m0 = a AND m1 = b)`. Where it is not true it is false
    /// instead of NULL, which is the same to a WHERE clause.
    fn row_exists(&mut self, values: &[Expr], subquery: &Query) -> Expr {
        self.counter += 1;
        let column = |index: usize| format!("owlet_member_{}_{index}", self.counter);
        let mut alias = build::table_alias(Ident::new(format!("owlet_members_{}", self.counter)));
        let definitions =
            (0..values.len()).map(|index| TableAliasColumnDef::from_name(column(index)));
        alias.columns = definitions.collect();
        let equal = |(index, value): (usize, &Expr)| Expr::BinaryOp {
            left: Box::new(build::column(&column(index))),
            op: BinaryOperator::Eq,
            right: Box::new(Expr::Nested(Box::new(value.clone()))),
        };
        let all_equal = values
            .iter()
            .enumerate()
            .map(equal)
            .reduce(|left, right| Expr::BinaryOp {
                left: Box::new(left),
                op: BinaryOperator::And,
                right: Box::new(right),
            });
        let from = TableWithJoins {
            relation: build::derived(subquery.clone(), Some(alias)),
            joins: Vec::new(),
        };
        let one = SelectItem::UnnamedExpr(build::number(1));
        let exists = build::query(SetExpr::Select(Box::new(build::select(
            vec![one],
            vec![from],
            all_equal,
        ))));
        Expr::Exists {
            subquery: Box::new(exists),
            negated: false,
        }
    }
}

/// EXISTS in a select list: a filter can test it, a value has to count.
struct ValuePredicates;

impl OwnExpressions for ValuePredicates {
    fn leave(&mut self, expr: &mut Expr) -> Result<(), SqlError> {
        let at = expr.span().start;
        match expr {
            Expr::Exists { subquery, negated } => {
                let Some(value) = exists_value(subquery, *negated) else {
                    return Err(
                        SqlError::unsupported(at, "EXISTS over this subquery is not offered in a select list")
                            .with_hint("use it in WHERE, or leave out its GROUP BY, DISTINCT, LIMIT and set operations"),
                    );
                };
                *expr = value;
                Ok(())
            }
            Expr::InSubquery { expr, .. } if matches!(expr.as_ref(), Expr::Tuple(_)) => {
                Err(SqlError::unsupported(
                    at,
                    "IN (SELECT …) of several columns is not offered in a select list",
                )
                .with_hint("use it in WHERE, or LEFT JOIN the subquery and test a column for NULL"))
            }
            _ => Ok(()),
        }
    }
}

/// `COALESCE((SELECT count(*) > 0 FROM …), false)`.
fn exists_value(subquery: &Query, negated: bool) -> Option<Expr> {
    let Query {
        with: None,
        body,
        limit_clause: None,
        fetch: None,
        ..
    } = subquery
    else {
        return None;
    };
    let SetExpr::Select(select) = body.as_ref() else {
        return None;
    };
    let is_plain = select.distinct.is_none()
        && select.having.is_none()
        && select.qualify.is_none()
        && matches!(&select.group_by, GroupByExpr::Expressions(keys, _) if keys.is_empty());
    if !is_plain {
        return None;
    }
    let mut counted = select.as_ref().clone();
    let (op, default) = match negated {
        true => (BinaryOperator::Eq, true),
        false => (BinaryOperator::Gt, false),
    };
    let test = Expr::BinaryOp {
        left: Box::new(Expr::Function(build::count_rows())),
        op,
        right: Box::new(build::number(0)),
    };
    counted.projection = vec![SelectItem::ExprWithAlias {
        expr: test,
        alias: Ident::new("owlet_exists"),
    }];
    let counted = Expr::Subquery(Box::new(build::query(SetExpr::Select(Box::new(counted)))));
    Some(build::call(
        "coalesce",
        vec![counted, build::boolean(default)],
    ))
}
