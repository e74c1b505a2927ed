//! Short constructors of expressions, for tests. Must never know a connector.

use arrow::datatypes::DataType;

use crate::expression::{CompareOperator, Expression, Truth};
use crate::literal::Literal;
use crate::metadata::ColumnMetadata;
use crate::{ColumnReference, LiteralValue};

/// A column of a table by its position.
pub fn column(index: usize, metadata: &ColumnMetadata) -> Expression {
    Expression::Column(ColumnReference {
        index,
        name: metadata.name.clone(),
        data_type: metadata.data_type.clone(),
        nullable: metadata.nullable,
    })
}

/// A constant.
pub fn constant(literal: Literal) -> Expression {
    Expression::Literal(literal)
}

/// A text constant.
pub fn text(value: &str) -> Expression {
    Expression::Literal(Literal::text(value))
}

/// An integer constant of any integer type.
pub fn integer(value: i128, data_type: DataType) -> Expression {
    Expression::Literal(Literal {
        value: LiteralValue::Integer(value),
        data_type,
    })
}

/// A comparison.
pub fn compare(left: Expression, operator: CompareOperator, right: Expression) -> Expression {
    Expression::Compare {
        operator,
        left: Box::new(left),
        right: Box::new(right),
    }
}

/// NOT.
pub fn not(operand: Expression) -> Expression {
    Expression::Not(Box::new(operand))
}

/// `IS [NOT]` a truth value.
pub fn is(expression: Expression, truth: Truth, negated: bool) -> Expression {
    Expression::Is {
        expression: Box::new(expression),
        truth,
        negated,
    }
}

/// `[NOT] IN`.
pub fn in_list(expression: Expression, list: Vec<Expression>, negated: bool) -> Expression {
    Expression::InList {
        expression: Box::new(expression),
        list,
        negated,
    }
}

/// `[NOT] LIKE`.
pub fn like(
    expression: Expression,
    pattern: &str,
    escape: Option<char>,
    negated: bool,
) -> Expression {
    Expression::Like {
        expression: Box::new(expression),
        pattern: Box::new(text(pattern)),
        escape,
        negated,
        case_insensitive: false,
    }
}

/// A function call.
pub fn function(name: &str, arguments: Vec<Expression>, data_type: DataType) -> Expression {
    Expression::Function {
        name: name.to_owned(),
        arguments,
        data_type,
    }
}
