//! The walk over the syntax tree with a pass behind a pointer: so it is compiled once and not once for each pass,
//! which is most of this crate otherwise. It must never know a single pass.

use std::ops::ControlFlow;

use sqlparser::ast::{
    Expr, ObjectName, Query, Select, Statement, TableFactor, ValueWithSpan, VisitMut, VisitorMut,
};

use crate::errors::SqlError;

/// Takes a pass through a part of the tree, until it breaks with an error.
pub(super) fn walk(
    part: &mut impl VisitMut,
    pass: &mut dyn VisitorMut<Break = SqlError>,
) -> Result<(), SqlError> {
    match part.visit(&mut Walk { pass }) {
        ControlFlow::Break(error) => Err(*error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Walk<'a> {
    pass: &'a mut dyn VisitorMut<Break = SqlError>,
}

macro_rules! forward {
    ($($hook:ident: $node:ty),* $(,)?) => {
        impl VisitorMut for Walk<'_> {
            // Boxed: it is part of every stack frame of the walk.
            type Break = Box<SqlError>;

            $(
                fn $hook(&mut self, node: &mut $node) -> ControlFlow<Self::Break> {
                    self.pass.$hook(node).map_break(Box::new)
                }
            )*
        }
    };
}

forward! {
    pre_visit_query: Query,
    post_visit_query: Query,
    pre_visit_select: Select,
    post_visit_select: Select,
    pre_visit_relation: ObjectName,
    post_visit_relation: ObjectName,
    pre_visit_table_factor: TableFactor,
    post_visit_table_factor: TableFactor,
    pre_visit_expr: Expr,
    post_visit_expr: Expr,
    pre_visit_statement: Statement,
    post_visit_statement: Statement,
    pre_visit_value: ValueWithSpan,
    post_visit_value: ValueWithSpan,
}

/// What looks at expressions of one query, without those of its subqueries.
pub(super) trait OwnExpressions {
    /// Before what the expression holds is visited.
    fn enter(&mut self, _expr: &mut Expr) -> Result<(), SqlError> {
        Ok(())
    }

    /// After what the expression holds was visited.
    fn leave(&mut self, expr: &mut Expr) -> Result<(), SqlError>;
}

/// Visits a part's expressions, but none in the queries that it holds.
pub(super) fn walk_own_expressions(
    part: &mut impl VisitMut,
    visitor: &mut dyn OwnExpressions,
) -> Result<(), SqlError> {
    walk(part, &mut OwnWalk { visitor, depth: 0 })
}

struct OwnWalk<'a> {
    visitor: &'a mut dyn OwnExpressions,
    /// Queries the visit is inside of.
    depth: usize,
}

impl VisitorMut for OwnWalk<'_> {
    type Break = SqlError;

    fn pre_visit_query(&mut self, _query: &mut Query) -> ControlFlow<SqlError> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &mut Query) -> ControlFlow<SqlError> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        or_break(self.visitor.enter(expr))
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        if self.depth > 0 {
            return ControlFlow::Continue(());
        }
        or_break(self.visitor.leave(expr))
    }
}

/// Goes on, or ends the walk with the error.
pub(super) fn or_break(outcome: Result<(), SqlError>) -> ControlFlow<SqlError> {
    match outcome {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}
