//! `(a, b) IN (SELECT x, y …)` and `= ANY (VALUES …)`. It must never know types.

use std::ops::ControlFlow;

use sqlparser::ast::{
    BinaryOperator, Expr, Ident, Query, SelectItem, SetExpr, Spanned, Statement,
    TableAliasColumnDef, TableWithJoins, VisitMut, VisitorMut,
};

use crate::errors::SqlError;
use crate::passes::build;

/// Rewrites the memberships.
pub(crate) fn apply(statement: &mut Statement) -> Result<(), SqlError> {
    match statement.visit(&mut Memberships::default()) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

#[derive(Default)]
struct Memberships {
    counter: usize,
}

impl VisitorMut for Memberships {
    type Break = SqlError;

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
