//! Random queries as a tree, so that they can be rendered for several targets and shrunk. Must never run anything.

use super::schema::{Home, Table};
use super::value::{Class, Kind, Value};

/// A scalar expression.
#[derive(Debug, Clone)]
#[allow(
    missing_docs,
    reason = "the fields are the parts of the syntax shown at each variant"
)]
pub enum Expr {
    /// Column of the table at this position of [`Query::tables`].
    Column {
        table: usize,
        column: usize,
        kind: Kind,
    },
    /// Constant
    Constant(Value, Kind),
    /// `=`, `<>`, `<`, …, `IS [NOT] DISTINCT FROM`
    Compare(&'static str, Box<Expr>, Box<Expr>),
    /// `AND` or `OR`
    Logic(&'static str, Vec<Expr>),
    /// `NOT`
    Not(Box<Expr>),
    /// `IS NULL`, `IS NOT TRUE`, …
    Is(Box<Expr>, &'static str),
    /// `[NOT] IN (…)`
    In {
        operand: Box<Expr>,
        list: Vec<Expr>,
        negated: bool,
    },
    /// `[NOT] BETWEEN`
    Between {
        operand: Box<Expr>,
        low: Box<Expr>,
        high: Box<Expr>,
        negated: bool,
    },
    /// `[NOT] LIKE`
    Like {
        operand: Box<Expr>,
        pattern: String,
        escape: Option<char>,
        negated: bool,
    },
    /// Searched `CASE`
    Case {
        condition: Box<Expr>,
        then: Box<Expr>,
        otherwise: Option<Box<Expr>>,
    },
    /// `+ - * / %` or `||`
    Binary(&'static str, Box<Expr>, Box<Expr>),
    /// Function call
    Call(&'static str, Vec<Expr>, Class),
    /// `CAST`
    Cast(Box<Expr>, Kind),
    /// `[NOT] EXISTS (SELECT 1 FROM table WHERE outer = inner AND …)`; the inner table is the query's last but unlisted
    Exists {
        table: usize,
        on: (Box<Expr>, Box<Expr>),
        filter: Option<Box<Expr>>,
        negated: bool,
    },
    /// `(SELECT value FROM table WHERE outer < inner AND … ORDER BY id LIMIT 1)`; without a value, `count(*)`
    Subquery {
        table: usize,
        value: Option<Box<Expr>>,
        on: Box<Expr>,
        filter: Option<Box<Expr>>,
        descending: bool,
    },
    /// `operand [NOT] IN (SELECT column FROM table)`
    InQuery {
        operand: Box<Expr>,
        table: usize,
        column: Box<Expr>,
        negated: bool,
    },
}

/// An aggregate call.
#[derive(Debug, Clone)]
pub struct Aggregate {
    /// `count`, `sum`, …
    pub function: &'static str,
    /// `None` is `*`
    pub argument: Option<Expr>,
    /// Over distinct values
    pub distinct: bool,
    /// `FILTER (WHERE …)`
    pub filter: Option<Expr>,
}

/// What the query returns.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the fields are the clauses of a SELECT")]
pub enum Output {
    /// Expressions; `distinct` removes duplicates.
    Rows {
        expressions: Vec<Expr>,
        distinct: bool,
    },
    /// Groups.
    Groups {
        keys: Vec<Expr>,
        aggregates: Vec<Aggregate>,
        having: Option<(Aggregate, &'static str, i64)>,
    },
}

/// A join of one more table.
#[derive(Debug, Clone)]
pub struct Join {
    /// `JOIN`, `LEFT JOIN`, …
    pub kind: &'static str,
    /// Position of the joined table in [`Query::tables`].
    pub table: usize,
    /// Condition.
    pub on: Expr,
}

/// One key of the ordering: position of the output column from 0, and the words after it.
#[derive(Debug, Clone)]
pub struct OrderKey {
    /// Output column.
    pub output: usize,
    /// `DESC`
    pub descending: bool,
    /// `Some(true)` is `NULLS FIRST`; without a word the engine puts NULLs last.
    pub nulls_first: Option<bool>,
}

/// A query.
#[derive(Debug, Clone)]
pub struct Query {
    /// Positions in the case's tables; the alias of the i-th is `t<i>`.
    pub tables: Vec<usize>,
    /// Joins in order; the first table is joined to nothing.
    pub joins: Vec<Join>,
    /// `WHERE`
    pub filter: Option<Expr>,
    /// `SELECT`
    pub output: Output,
    /// `ORDER BY`; either empty or unique.
    pub order: Vec<OrderKey>,
    /// `OFFSET` and `LIMIT`; only with an ordering.
    pub limit: Option<(u64, u64)>,
    /// Second arm of `UNION ALL` over the same tables: another filter.
    pub union_filter: Option<Expr>,
}

impl Expr {
    /// Class of the value.
    pub fn class(&self) -> Class {
        match self {
            Self::Column { kind, .. } | Self::Constant(_, kind) | Self::Cast(_, kind) => {
                kind.class()
            }
            Self::Case { then, .. } => then.class(),
            Self::Binary("||", _, _) => Class::Text,
            Self::Binary(_, left, _) => left.class(),
            Self::Call(_, _, class) => *class,
            Self::Subquery { value, .. } => {
                value.as_ref().map_or(Class::Integer, |value| value.class())
            }
            _ => Class::Boolean,
        }
    }

    /// Direct operands.
    pub fn children(&self) -> Vec<&Expr> {
        match self {
            Self::Column { .. } | Self::Constant(_, _) => vec![],
            Self::Compare(_, left, right) | Self::Binary(_, left, right) => vec![left, right],
            Self::Logic(_, operands) | Self::Call(_, operands, _) => operands.iter().collect(),
            Self::Not(operand) | Self::Is(operand, _) | Self::Cast(operand, _) => vec![operand],
            Self::Like { operand, .. } => vec![operand],
            Self::In { operand, list, .. } => {
                std::iter::once(operand.as_ref()).chain(list).collect()
            }
            Self::Between {
                operand, low, high, ..
            } => vec![operand, low, high],
            Self::Case {
                condition,
                then,
                otherwise,
            } => {
                let mut children: Vec<&Expr> = vec![condition, then];
                children.extend(otherwise.as_deref());
                children
            }
            Self::Exists { on, filter, .. } => {
                let mut children: Vec<&Expr> = vec![&on.0, &on.1];
                children.extend(filter.as_deref());
                children
            }
            Self::Subquery {
                value, on, filter, ..
            } => {
                let mut children: Vec<&Expr> = vec![on];
                children.extend(value.as_deref());
                children.extend(filter.as_deref());
                children
            }
            Self::InQuery {
                operand, column, ..
            } => vec![operand, column],
        }
    }

    /// Whether this or any operand satisfies a condition.
    pub fn any(&self, condition: &dyn Fn(&Expr) -> bool) -> bool {
        condition(self) || self.children().iter().any(|child| child.any(condition))
    }
}

impl Query {
    /// An output column is more than a column, a constant, or an aggregate of one.
    pub fn output_computes(&self) -> bool {
        let computes =
            |expression: &Expr| !matches!(expression, Expr::Column { .. } | Expr::Constant(_, _));
        match &self.output {
            Output::Rows { expressions, .. } => expressions.iter().any(computes),
            Output::Groups {
                keys, aggregates, ..
            } => {
                keys.iter().any(computes)
                    || aggregates
                        .iter()
                        .any(|aggregate| matches!(aggregate.function, "sum" | "avg"))
            }
        }
    }

    /// A condition of WHERE, ON or a FILTER computes values.
    pub fn conditions_compute(&self) -> bool {
        let computes = |expression: &Expr| {
            expression
                .any(&|part| matches!(part, Expr::Binary(..) | Expr::Call(..) | Expr::Cast(..)))
        };
        let aggregates = match &self.output {
            Output::Rows { .. } => &[],
            Output::Groups { aggregates, .. } => aggregates.as_slice(),
        };
        let conditions = self.joins.iter().map(|join| &join.on);
        conditions
            .chain(&self.filter)
            .chain(&self.union_filter)
            .chain(aggregates.iter().filter_map(|call| call.filter.as_ref()))
            .any(computes)
    }

    /// HAVING may drop groups whose output was computed already.
    pub fn drops_groups(&self) -> bool {
        matches!(
            self.output,
            Output::Groups {
                having: Some(_),
                ..
            }
        )
    }

    /// The only source of the query, if it has only one.
    pub fn home(&self, tables: &[Table]) -> Option<Home> {
        let home = tables[self.tables[0]].home;
        self.tables
            .iter()
            .all(|table| tables[*table].home == home)
            .then_some(home)
    }
}
