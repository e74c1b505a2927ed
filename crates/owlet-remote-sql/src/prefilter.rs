//! Superset predicates: what a source may drop early when it cannot apply a predicate exactly.
//! Must never know a dialect's spelling.

use owlet_connector::Expression;

use crate::double_bounds;
use crate::flavor::Flavor;
use crate::limits::check_expression_depth;
use crate::relation::OutputColumn;
use crate::render::check_expression;

/// A predicate the source runs exactly and that is true wherever `predicate` is true.
pub(crate) fn prefilter(
    flavor: &dyn Flavor,
    predicate: &Expression,
    input: &[OutputColumn],
) -> Option<Expression> {
    check_expression_depth(predicate).ok()?;
    superset(flavor, predicate, input)
}

fn superset(
    flavor: &dyn Flavor,
    predicate: &Expression,
    input: &[OutputColumn],
) -> Option<Expression> {
    match predicate {
        Expression::And(operands) => {
            // A conjunct that is not applied only lets more rows through.
            let mut kept: Vec<Expression> = operands
                .iter()
                .filter_map(|operand| superset(flavor, operand, input))
                .collect();
            match kept.len() {
                0 => None,
                1 => kept.pop(),
                _ => Some(Expression::And(kept)),
            }
        }
        Expression::Or(operands) => {
            // One branch without a superset could be true for any row.
            let kept: Option<Vec<Expression>> = operands
                .iter()
                .map(|operand| superset(flavor, operand, input))
                .collect();
            kept.filter(|kept| !kept.is_empty()).map(Expression::Or)
        }
        other if check_expression(flavor, other, input).is_ok() => Some(other.clone()),
        other => [double_bounds::weaker(other), flavor.weakened(other)]
            .into_iter()
            .flatten()
            .find(|weaker| check_expression(flavor, weaker, input).is_ok()),
    }
}
