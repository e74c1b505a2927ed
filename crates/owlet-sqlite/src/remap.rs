//! Moves expressions from a table's columns to the columns of a narrower leaf. Pure.

use owlet_connector::{Expression, SortKey};

/// The table's columns that something needs, in order, and the way to speak of them by their new positions.
#[derive(Debug, Default)]
pub(crate) struct Narrowing {
    kept: Vec<usize>,
}

impl Narrowing {
    /// Keeps these positions (in any order, with repetitions).
    pub fn new(positions: impl IntoIterator<Item = usize>) -> Self {
        let mut kept: Vec<usize> = positions.into_iter().collect();
        kept.sort_unstable();
        kept.dedup();
        Self { kept }
    }

    /// The kept positions, ascending.
    pub fn kept(&self) -> &[usize] {
        &self.kept
    }

    /// The new position of a kept column.
    pub fn position(&self, column: usize) -> Option<usize> {
        self.kept.binary_search(&column).ok()
    }

    /// The expression over the kept columns. Columns that were not kept stay as they are; they must not occur.
    pub fn expression(&self, expression: &Expression) -> Expression {
        let one = |expression: &Expression| Box::new(self.expression(expression));
        let many = |expressions: &[Expression]| {
            expressions
                .iter()
                .map(|each| self.expression(each))
                .collect()
        };
        match expression {
            Expression::Column(column) => {
                let mut column = column.clone();
                column.index = self.position(column.index).unwrap_or(column.index);
                Expression::Column(column)
            }
            Expression::Literal(literal) => Expression::Literal(literal.clone()),
            Expression::And(operands) => Expression::And(many(operands)),
            Expression::Or(operands) => Expression::Or(many(operands)),
            Expression::Not(operand) => Expression::Not(one(operand)),
            Expression::IsNull(operand) => Expression::IsNull(one(operand)),
            Expression::IsNotNull(operand) => Expression::IsNotNull(one(operand)),
            Expression::Negative(operand) => Expression::Negative(one(operand)),
            Expression::Compare {
                operator,
                left,
                right,
            } => Expression::Compare {
                operator: *operator,
                left: one(left),
                right: one(right),
            },
            Expression::Is {
                expression,
                truth,
                negated,
            } => Expression::Is {
                expression: one(expression),
                truth: *truth,
                negated: *negated,
            },
            Expression::InList {
                expression,
                list,
                negated,
            } => Expression::InList {
                expression: one(expression),
                list: many(list),
                negated: *negated,
            },
            Expression::Like {
                expression,
                pattern,
                escape,
                negated,
                case_insensitive,
            } => Expression::Like {
                expression: one(expression),
                pattern: one(pattern),
                escape: *escape,
                negated: *negated,
                case_insensitive: *case_insensitive,
            },
            Expression::Arithmetic {
                operator,
                left,
                right,
                data_type,
            } => Expression::Arithmetic {
                operator: *operator,
                left: one(left),
                right: one(right),
                data_type: data_type.clone(),
            },
            Expression::Cast {
                expression,
                data_type,
                on_failure,
            } => Expression::Cast {
                expression: one(expression),
                data_type: data_type.clone(),
                on_failure: *on_failure,
            },
            Expression::Case {
                branches,
                otherwise,
                data_type,
            } => Expression::Case {
                branches: branches
                    .iter()
                    .map(|(condition, result)| {
                        (self.expression(condition), self.expression(result))
                    })
                    .collect(),
                otherwise: otherwise.as_deref().map(one),
                data_type: data_type.clone(),
            },
            Expression::Function {
                name,
                arguments,
                data_type,
            } => Expression::Function {
                name: name.clone(),
                arguments: many(arguments),
                data_type: data_type.clone(),
            },
            Expression::Field {
                expression,
                name,
                data_type,
            } => Expression::Field {
                expression: one(expression),
                name: name.clone(),
                data_type: data_type.clone(),
            },
        }
    }

    /// The key over the kept columns.
    pub fn sort_key(&self, key: &SortKey) -> SortKey {
        SortKey {
            expression: self.expression(&key.expression),
            ..key.clone()
        }
    }
}
