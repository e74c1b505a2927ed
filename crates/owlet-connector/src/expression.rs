//! Scalar expressions as plain data, with SQL's three-valued logic and DataFusion's (Athena-adjusted) value
//! semantics. Connectors and remote dialects decide what of this they can do exactly.
//! Must never know DataFusion or any SQL text.

use arrow_schema::DataType;
use serde::{Deserialize, Serialize};

use crate::literal::Literal;

/// A scalar expression over the columns of one input relation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Expression {
    /// A column of the input.
    Column(ColumnReference),
    /// A constant.
    Literal(Literal),
    /// Conjunction (at least one operand).
    And(Vec<Expression>),
    /// Disjunction (at least one operand).
    Or(Vec<Expression>),
    /// Negation; NULL stays NULL.
    Not(Box<Expression>),
    /// Comparison; both sides have the same type after the planner's coercion. Text compares by UTF-8 bytes;
    /// for floats NaN equals NaN and is the largest value, and `-0.0` equals `0.0` (only an ordering tells them apart).
    Compare {
        /// The operator.
        operator: CompareOperator,
        /// Left side.
        left: Box<Expression>,
        /// Right side.
        right: Box<Expression>,
    },
    /// `IS NULL`.
    IsNull(Box<Expression>),
    /// `IS NOT NULL`.
    IsNotNull(Box<Expression>),
    /// `IS [NOT] TRUE | FALSE | UNKNOWN`.
    Is {
        /// Operand.
        expression: Box<Expression>,
        /// The truth value tested for.
        truth: Truth,
        /// `IS NOT`.
        negated: bool,
    },
    /// `IN (…)` with SQL NULL semantics.
    InList {
        /// Operand.
        expression: Box<Expression>,
        /// Candidates.
        list: Vec<Expression>,
        /// `NOT IN`.
        negated: bool,
    },
    /// `LIKE`; `%` and `_` as in SQL, `_` matches one Unicode character.
    Like {
        /// Operand.
        expression: Box<Expression>,
        /// Pattern.
        pattern: Box<Expression>,
        /// Escape character; without one, a backslash escapes (DataFusion's rule).
        escape: Option<char>,
        /// `NOT LIKE`.
        negated: bool,
        /// `ILIKE`.
        case_insensitive: bool,
    },
    /// Arithmetic; overflow of integers is an error, integer division truncates.
    Arithmetic {
        /// The operator.
        operator: ArithmeticOperator,
        /// Left side.
        left: Box<Expression>,
        /// Right side.
        right: Box<Expression>,
        /// Result type as planned.
        data_type: DataType,
    },
    /// Unary minus.
    Negative(Box<Expression>),
    /// `CAST` / `TRY_CAST`.
    Cast {
        /// Operand.
        expression: Box<Expression>,
        /// Target.
        data_type: DataType,
        /// What an impossible value does.
        on_failure: CastFailure,
    },
    /// Searched `CASE` (simple `CASE` is lowered to it).
    Case {
        /// Condition and result pairs.
        branches: Vec<(Expression, Expression)>,
        /// `ELSE`.
        otherwise: Option<Box<Expression>>,
        /// Result type as planned.
        data_type: DataType,
    },
    /// A scalar function by its engine name (lower case), e.g. `lower`, `coalesce`, `date_trunc`.
    Function {
        /// Engine name.
        name: String,
        /// Arguments.
        arguments: Vec<Expression>,
        /// Result type as planned.
        data_type: DataType,
    },
    /// Field of a struct column.
    Field {
        /// Operand of type `Struct`.
        expression: Box<Expression>,
        /// Field name.
        name: String,
        /// Field type.
        data_type: DataType,
    },
}

/// A column of the input relation, by position.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnReference {
    /// Zero-based position in the input's columns.
    pub index: usize,
    /// Name, for messages only.
    pub name: String,
    /// Arrow type.
    pub data_type: DataType,
    /// May hold NULL.
    pub nullable: bool,
}

/// Comparison operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CompareOperator {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `IS DISTINCT FROM`
    DistinctFrom,
    /// `IS NOT DISTINCT FROM`
    NotDistinctFrom,
}

/// Arithmetic operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ArithmeticOperator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Modulo,
    /// `||`
    Concatenate,
}

/// Truth values of three-valued logic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Truth {
    /// TRUE
    True,
    /// FALSE
    False,
    /// UNKNOWN (NULL)
    Unknown,
}

/// What a cast does with a value that has no counterpart in the target type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CastFailure {
    /// `CAST`: the query fails.
    Error,
    /// `TRY_CAST`: the result is NULL.
    Null,
}

/// Sort direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SortDirection {
    /// Smallest first.
    Ascending,
    /// Largest first.
    Descending,
}

/// Where NULLs go in an ordering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum NullsOrder {
    /// Before all values.
    First,
    /// After all values.
    Last,
}

/// One key of an ordering.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SortKey {
    /// What to order by.
    pub expression: Expression,
    /// Direction.
    pub direction: SortDirection,
    /// Place of NULLs, always explicit.
    pub nulls: NullsOrder,
}

impl Expression {
    /// The Arrow type of the value.
    pub fn data_type(&self) -> DataType {
        match self {
            Self::Column(column) => column.data_type.clone(),
            Self::Literal(literal) => literal.data_type.clone(),
            Self::And(_)
            | Self::Or(_)
            | Self::Not(_)
            | Self::Compare { .. }
            | Self::IsNull(_)
            | Self::IsNotNull(_)
            | Self::Is { .. }
            | Self::InList { .. }
            | Self::Like { .. } => DataType::Boolean,
            Self::Negative(expression) => expression.data_type(),
            Self::Arithmetic { data_type, .. }
            | Self::Cast { data_type, .. }
            | Self::Case { data_type, .. }
            | Self::Function { data_type, .. }
            | Self::Field { data_type, .. } => data_type.clone(),
        }
    }

    /// Direct operands, left to right.
    pub fn children(&self) -> Vec<&Expression> {
        match self {
            Self::Column(_) | Self::Literal(_) => Vec::new(),
            Self::And(operands) | Self::Or(operands) => operands.iter().collect(),
            Self::Not(operand)
            | Self::IsNull(operand)
            | Self::IsNotNull(operand)
            | Self::Negative(operand) => {
                vec![operand]
            }
            Self::Is { expression, .. }
            | Self::Cast { expression, .. }
            | Self::Field { expression, .. } => {
                vec![expression]
            }
            Self::Compare { left, right, .. } | Self::Arithmetic { left, right, .. } => {
                vec![left, right]
            }
            Self::InList {
                expression, list, ..
            } => std::iter::once(&**expression).chain(list).collect(),
            Self::Like {
                expression,
                pattern,
                ..
            } => vec![expression, pattern],
            Self::Case {
                branches,
                otherwise,
                ..
            } => branches
                .iter()
                .flat_map(|(condition, result)| [condition, result])
                .chain(otherwise.as_deref())
                .collect(),
            Self::Function { arguments, .. } => arguments.iter().collect(),
        }
    }

    /// Positions of all columns used, sorted, without duplicates.
    pub fn columns(&self) -> Vec<usize> {
        fn collect(expression: &Expression, found: &mut Vec<usize>) {
            if let Expression::Column(column) = expression {
                found.push(column.index);
            }
            for child in expression.children() {
                collect(child, found);
            }
        }
        let mut found = Vec::new();
        collect(self, &mut found);
        found.sort_unstable();
        found.dedup();
        found
    }

    /// The same expression over other column positions; `None` when `position` does not know one of them.
    pub fn map_columns(self, position: &dyn Fn(usize) -> Option<usize>) -> Option<Self> {
        let boxed = |expression: Box<Self>| expression.map_columns(position).map(Box::new);
        let all = |expressions: Vec<Self>| {
            expressions
                .into_iter()
                .map(|expression| expression.map_columns(position))
                .collect::<Option<Vec<_>>>()
        };
        Some(match self {
            Self::Column(mut column) => {
                column.index = position(column.index)?;
                Self::Column(column)
            }
            Self::Literal(literal) => Self::Literal(literal),
            Self::And(operands) => Self::And(all(operands)?),
            Self::Or(operands) => Self::Or(all(operands)?),
            Self::Not(operand) => Self::Not(boxed(operand)?),
            Self::IsNull(operand) => Self::IsNull(boxed(operand)?),
            Self::IsNotNull(operand) => Self::IsNotNull(boxed(operand)?),
            Self::Negative(operand) => Self::Negative(boxed(operand)?),
            Self::Is {
                expression,
                truth,
                negated,
            } => Self::Is {
                expression: boxed(expression)?,
                truth,
                negated,
            },
            Self::Compare {
                operator,
                left,
                right,
            } => Self::Compare {
                operator,
                left: boxed(left)?,
                right: boxed(right)?,
            },
            Self::InList {
                expression,
                list,
                negated,
            } => Self::InList {
                expression: boxed(expression)?,
                list: all(list)?,
                negated,
            },
            Self::Like {
                expression,
                pattern,
                escape,
                negated,
                case_insensitive,
            } => Self::Like {
                expression: boxed(expression)?,
                pattern: boxed(pattern)?,
                escape,
                negated,
                case_insensitive,
            },
            Self::Arithmetic {
                operator,
                left,
                right,
                data_type,
            } => Self::Arithmetic {
                operator,
                left: boxed(left)?,
                right: boxed(right)?,
                data_type,
            },
            Self::Cast {
                expression,
                data_type,
                on_failure,
            } => Self::Cast {
                expression: boxed(expression)?,
                data_type,
                on_failure,
            },
            Self::Case {
                branches,
                otherwise,
                data_type,
            } => Self::Case {
                branches: branches
                    .into_iter()
                    .map(|(condition, result)| {
                        Some((
                            condition.map_columns(position)?,
                            result.map_columns(position)?,
                        ))
                    })
                    .collect::<Option<Vec<_>>>()?,
                otherwise: match otherwise {
                    Some(otherwise) => Some(boxed(otherwise)?),
                    None => None,
                },
                data_type,
            },
            Self::Function {
                name,
                arguments,
                data_type,
            } => Self::Function {
                name,
                arguments: all(arguments)?,
                data_type,
            },
            Self::Field {
                expression,
                name,
                data_type,
            } => Self::Field {
                expression: boxed(expression)?,
                name,
                data_type,
            },
        })
    }

    /// The conjuncts of a predicate, nested ANDs flattened.
    pub fn into_conjuncts(self) -> Vec<Expression> {
        match self {
            Self::And(operands) => operands
                .into_iter()
                .flat_map(Self::into_conjuncts)
                .collect(),
            other => vec![other],
        }
    }
}

impl CompareOperator {
    /// The operator with its sides exchanged: `a < b` is `b > a`.
    pub fn swapped(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            same => same,
        }
    }
}
