//! Which predicates can only be true when a column is not NULL: what makes a sparse index complete for a query.
//! Must never know DynamoDB.

use owlet_connector::{CompareOperator, Expression, Truth};

/// True when the predicate is never TRUE for a row whose `column` is NULL.
pub(crate) fn rejects_null(predicate: &Expression, column: usize) -> bool {
    match predicate {
        Expression::And(operands) => operands.iter().any(|operand| rejects_null(operand, column)),
        Expression::Or(operands) => {
            !operands.is_empty() && operands.iter().all(|operand| rejects_null(operand, column))
        }
        Expression::IsNotNull(operand) => is_strict(operand, column),
        Expression::Is {
            expression,
            truth: Truth::True | Truth::False,
            negated: false,
        } => is_strict(expression, column),
        other => is_strict(other, column),
    }
}

/// True when the expression is NULL whenever `column` is.
fn is_strict(expression: &Expression, column: usize) -> bool {
    match expression {
        Expression::Column(reference) => reference.index == column,
        Expression::Not(operand) | Expression::Negative(operand) => is_strict(operand, column),
        Expression::Cast { expression, .. } | Expression::Field { expression, .. } => {
            is_strict(expression, column)
        }
        Expression::Compare {
            operator,
            left,
            right,
        } => {
            !matches!(
                operator,
                CompareOperator::DistinctFrom | CompareOperator::NotDistinctFrom
            ) && (is_strict(left, column) || is_strict(right, column))
        }
        Expression::InList {
            expression, list, ..
        } => !list.is_empty() && is_strict(expression, column),
        Expression::Like { expression, .. } => is_strict(expression, column),
        Expression::Arithmetic { left, right, .. } => {
            is_strict(left, column) || is_strict(right, column)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_schema::DataType;
    use owlet_connector::{ColumnReference, Literal};

    fn column(index: usize) -> Expression {
        let name = format!("c{index}");
        Expression::Column(ColumnReference {
            index,
            name,
            data_type: DataType::Int64,
            nullable: true,
        })
    }

    fn compare(operator: CompareOperator, index: usize) -> Expression {
        let right = Box::new(Expression::Literal(Literal::int64(1)));
        Expression::Compare {
            operator,
            left: Box::new(column(index)),
            right,
        }
    }

    #[test]
    fn comparisons_reject_null_and_null_safe_ones_do_not() {
        assert!(rejects_null(&compare(CompareOperator::NotEqual, 0), 0));
        assert!(!rejects_null(&compare(CompareOperator::NotEqual, 0), 1));
        assert!(!rejects_null(&compare(CompareOperator::DistinctFrom, 0), 0));
        assert!(rejects_null(&Expression::IsNotNull(Box::new(column(0))), 0));
        assert!(!rejects_null(&Expression::IsNull(Box::new(column(0))), 0));
        let equal = compare(CompareOperator::Equal, 0);
        assert!(rejects_null(&Expression::Not(Box::new(equal.clone())), 0));
        let either = Expression::Or(vec![equal.clone(), compare(CompareOperator::Equal, 1)]);
        assert!(!rejects_null(&either, 0));
        assert!(rejects_null(&Expression::And(vec![either, equal]), 0));
    }
}
