//! The relational algebra. Columns are positions in the input; names never matter.

use arrow_schema::DataType;
use owlet_connector::{ColumnMetadata, Expression, SortKey};
use serde::{Deserialize, Serialize};

/// A query over tables of one SQL source, as plain data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Relation {
    /// Some columns of a table or view.
    Table(RemoteTable),
    /// Rows for which the predicate is true.
    Filter {
        /// Input.
        input: Box<Relation>,
        /// Boolean over the input's columns.
        predicate: Expression,
    },
    /// One output column per expression.
    Project {
        /// Input.
        input: Box<Relation>,
        /// Over the input's columns.
        expressions: Vec<Expression>,
    },
    /// Grouping; output columns are the group keys, then the aggregates. Without keys: one row.
    Aggregate {
        /// Input.
        input: Box<Relation>,
        /// Group keys over the input's columns.
        keys: Vec<Expression>,
        /// Aggregates over the input's columns.
        aggregates: Vec<AggregateExpression>,
    },
    /// Join; output columns are the left's, then the right's (only the left's for semi and anti joins).
    Join {
        /// Left input.
        left: Box<Relation>,
        /// Right input.
        right: Box<Relation>,
        /// Kind.
        kind: JoinKind,
        /// Pairs of equal expressions, each over its own side's columns. Never empty: no cross join is pushed.
        on: Vec<(Expression, Expression)>,
        /// Further condition over the left's, then the right's columns.
        filter: Option<Expression>,
    },
    /// Ordering; only meaningful below [`Relation::Limit`] or at the top.
    Sort {
        /// Input.
        input: Box<Relation>,
        /// Keys over the input's columns.
        keys: Vec<SortKey>,
    },
    /// `OFFSET skip LIMIT fetch`.
    Limit {
        /// Input.
        input: Box<Relation>,
        /// Rows to skip.
        skip: u64,
        /// Rows to return.
        fetch: Option<u64>,
    },
    /// Duplicate rows removed (NULLs are equal).
    Distinct {
        /// Input.
        input: Box<Relation>,
    },
    /// Set operation over inputs with the same column types.
    SetOperation {
        /// Operator.
        operator: SetOperator,
        /// Two or more inputs.
        inputs: Vec<Relation>,
    },
}

/// A leaf: chosen columns of one remote table. Each column is read in its canonical form (what a scan returns).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RemoteTable {
    /// Schema in the source's own spelling.
    pub schema: String,
    /// Table in the source's own spelling.
    pub name: String,
    /// The columns read, in output order.
    pub columns: Vec<ColumnMetadata>,
    /// A condition in the source's own SQL that makes this leaf one part of a split scan (a `ctid` or key range).
    /// Set only by the source's own connector, from numbers it computed itself; the engine leaves it `None`.
    #[serde(default)]
    pub restriction: Option<String>,
}

/// An aggregate call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AggregateExpression {
    /// Function.
    pub function: AggregateFunction,
    /// Argument; `None` only for [`AggregateFunction::CountRows`].
    pub argument: Option<Expression>,
    /// Over distinct argument values.
    pub distinct: bool,
    /// `FILTER (WHERE …)`.
    pub filter: Option<Expression>,
    /// Result type as planned; the remote result must be cast to exactly this.
    pub data_type: DataType,
}

/// Aggregate functions a dialect may know. The semantics are the engine's (SQL's, NULLs skipped).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AggregateFunction {
    /// `count(*)`
    CountRows,
    /// `count(x)`
    Count,
    /// `sum(x)`
    Sum,
    /// `min(x)`
    Minimum,
    /// `max(x)`
    Maximum,
    /// `avg(x)`
    Average,
    /// `bool_and(x)`
    BooleanAnd,
    /// `bool_or(x)`
    BooleanOr,
}

/// Join kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum JoinKind {
    /// Matching pairs.
    Inner,
    /// And unmatched left rows.
    Left,
    /// And unmatched right rows.
    Right,
    /// And unmatched rows of both.
    Full,
    /// Left rows with a match.
    LeftSemi,
    /// Left rows without a match (`NOT EXISTS`, not `NOT IN`).
    LeftAnti,
}

/// Set operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SetOperator {
    /// `UNION ALL`
    UnionAll,
}

/// What is known of an output column of a relation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OutputColumn {
    /// Arrow type.
    pub data_type: DataType,
    /// May hold NULL.
    pub nullable: bool,
    /// The table column it is passed through from unchanged, if it is.
    pub origin: Option<ColumnMetadata>,
}

impl Relation {
    /// Output columns in order.
    pub fn columns(&self) -> Vec<OutputColumn> {
        match self {
            Self::Table(table) => table
                .columns
                .iter()
                .map(|column| OutputColumn {
                    data_type: column.data_type.clone(),
                    nullable: column.nullable,
                    origin: Some(column.clone()),
                })
                .collect(),
            Self::Filter { input, .. }
            | Self::Sort { input, .. }
            | Self::Limit { input, .. }
            | Self::Distinct { input } => input.columns(),
            Self::Project { input, expressions } => {
                let columns = input.columns();
                expressions
                    .iter()
                    .map(|expression| output_column(expression, &columns))
                    .collect()
            }
            Self::Aggregate {
                input,
                keys,
                aggregates,
            } => {
                let columns = input.columns();
                let keys = keys.iter().map(|key| output_column(key, &columns));
                let aggregates = aggregates.iter().map(|aggregate| OutputColumn {
                    data_type: aggregate.data_type.clone(),
                    nullable: true,
                    origin: None,
                });
                keys.chain(aggregates).collect()
            }
            Self::Join {
                left, right, kind, ..
            } => {
                let left_nullable = matches!(kind, JoinKind::Right | JoinKind::Full);
                let right_nullable = matches!(kind, JoinKind::Left | JoinKind::Full);
                let mut columns = widen(left.columns(), left_nullable);
                if !matches!(kind, JoinKind::LeftSemi | JoinKind::LeftAnti) {
                    columns.extend(widen(right.columns(), right_nullable));
                }
                columns
            }
            Self::SetOperation { inputs, .. } => {
                let mut columns = inputs.first().map(Self::columns).unwrap_or_default();
                for input in inputs.iter().skip(1) {
                    for (column, other) in columns.iter_mut().zip(input.columns()) {
                        column.nullable |= other.nullable;
                        if column.origin != other.origin {
                            column.origin = None;
                        }
                    }
                }
                columns
            }
        }
    }

    /// Direct inputs, left to right.
    pub fn inputs(&self) -> Vec<&Relation> {
        match self {
            Self::Table(_) => Vec::new(),
            Self::Filter { input, .. }
            | Self::Project { input, .. }
            | Self::Aggregate { input, .. }
            | Self::Sort { input, .. }
            | Self::Limit { input, .. }
            | Self::Distinct { input } => vec![input],
            Self::Join { left, right, .. } => vec![left, right],
            Self::SetOperation { inputs, .. } => inputs.iter().collect(),
        }
    }

    /// The expressions of the topmost operator.
    pub fn expressions(&self) -> Vec<&Expression> {
        match self {
            Self::Table(_)
            | Self::Limit { .. }
            | Self::Distinct { .. }
            | Self::SetOperation { .. } => Vec::new(),
            Self::Filter { predicate, .. } => vec![predicate],
            Self::Project { expressions, .. } => expressions.iter().collect(),
            Self::Aggregate {
                keys, aggregates, ..
            } => keys
                .iter()
                .chain(
                    aggregates
                        .iter()
                        .flat_map(|aggregate| aggregate.argument.iter().chain(&aggregate.filter)),
                )
                .collect(),
            Self::Join { on, filter, .. } => on
                .iter()
                .flat_map(|(left, right)| [left, right])
                .chain(filter)
                .collect(),
            Self::Sort { keys, .. } => keys.iter().map(|key| &key.expression).collect(),
        }
    }

    /// The tables read, in order of appearance.
    pub fn tables(&self) -> Vec<&RemoteTable> {
        match self {
            Self::Table(table) => vec![table],
            Self::Filter { input, .. }
            | Self::Project { input, .. }
            | Self::Aggregate { input, .. }
            | Self::Sort { input, .. }
            | Self::Limit { input, .. }
            | Self::Distinct { input } => input.tables(),
            Self::Join { left, right, .. } => {
                left.tables().into_iter().chain(right.tables()).collect()
            }
            Self::SetOperation { inputs, .. } => inputs.iter().flat_map(Self::tables).collect(),
        }
    }
}

fn output_column(expression: &Expression, input: &[OutputColumn]) -> OutputColumn {
    match expression {
        Expression::Column(reference) => match input.get(reference.index) {
            Some(column) => column.clone(),
            None => OutputColumn {
                data_type: reference.data_type.clone(),
                nullable: reference.nullable,
                origin: None,
            },
        },
        other => OutputColumn {
            data_type: other.data_type(),
            nullable: true,
            origin: None,
        },
    }
}

fn widen(mut columns: Vec<OutputColumn>, nullable: bool) -> Vec<OutputColumn> {
    for column in &mut columns {
        column.nullable |= nullable;
    }
    columns
}
