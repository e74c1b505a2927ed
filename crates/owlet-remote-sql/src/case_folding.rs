//! `lower(x)` and `upper(x)` compared with ASCII constants. Sources fold the case of other letters by their own
//! rules, but against an ASCII text only those letters matter whose other case is ASCII. Must never know a dialect.
//!
//! The engine folds each character on its own (Unicode Character Database, simple mappings: only U+0130 and U+212A have
//! an ASCII lower case, only U+0131 and U+017F have an ASCII upper case).

use owlet_connector::{Expression, Literal, LiteralValue};

/// A function that folds ASCII letters only; dialects spell it.
pub(crate) const ASCII_LOWER: &str = "owlet_ascii_lower";
/// A function that folds ASCII letters only; dialects spell it.
pub(crate) const ASCII_UPPER: &str = "owlet_ascii_upper";

/// The same comparison with ASCII folding.
pub(crate) fn with_ascii_folding(expression: &Expression) -> Option<Expression> {
    match expression {
        Expression::Compare {
            operator,
            left,
            right,
        } => {
            let (left, right) = match (folded(left), folded(right)) {
                (Some(left), None) if is_ascii(right) => (left, right.as_ref().clone()),
                (None, Some(right)) if is_ascii(left) => (left.as_ref().clone(), right),
                _ => return None,
            };
            // Other letters keep their place among equals, not in an ordering.
            let is_equality =
                crate::rule::compare_construct(*operator) == crate::rule::Construct::Equality;
            is_equality.then(|| Expression::Compare {
                operator: *operator,
                left: Box::new(left),
                right: Box::new(right),
            })
        }
        Expression::InList {
            expression,
            list,
            negated,
        } => {
            let expression = folded(expression)?;
            list.iter().all(is_ascii).then(|| Expression::InList {
                expression: Box::new(expression),
                list: list.clone(),
                negated: *negated,
            })
        }
        Expression::Like {
            expression,
            pattern,
            escape,
            negated,
            case_insensitive: false,
        } => {
            let expression = folded(expression)?;
            is_ascii(pattern).then(|| Expression::Like {
                expression: Box::new(expression),
                pattern: pattern.clone(),
                escape: *escape,
                negated: *negated,
                case_insensitive: false,
            })
        }
        _ => None,
    }
}

fn folded(expression: &Expression) -> Option<Expression> {
    let Expression::Function {
        name,
        arguments,
        data_type,
    } = expression
    else {
        return None;
    };
    let [argument] = arguments.as_slice() else {
        return None;
    };
    let (function, pairs): (&str, &[(&str, &str)]) = match name.as_str() {
        "lower" => (ASCII_LOWER, &[("\u{130}", "i"), ("\u{212a}", "k")]),
        "upper" => (ASCII_UPPER, &[("\u{131}", "I"), ("\u{17f}", "S")]),
        _ => return None,
    };
    let text = |text: &str| Expression::Literal(Literal::text(text));
    let replaced = pairs.iter().fold(argument.clone(), |operand, (from, to)| {
        Expression::Function {
            name: "replace".to_owned(),
            arguments: vec![operand, text(from), text(to)],
            data_type: data_type.clone(),
        }
    });
    Some(Expression::Function {
        name: function.to_owned(),
        arguments: vec![replaced],
        data_type: data_type.clone(),
    })
}

fn is_ascii(expression: &Expression) -> bool {
    match expression {
        Expression::Literal(Literal {
            value: LiteralValue::Text(text),
            ..
        }) => text.is_ascii(),
        Expression::Literal(literal) => literal.is_null(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    /// What the tables above claim about every character there is. The standard library has full mappings: that of U+0130
    /// is two characters, its simple one is `i`.
    #[test]
    fn only_four_other_letters_have_an_ascii_case() {
        let single = |mut mapped: Box<dyn Iterator<Item = char>>| {
            let first = mapped.next();
            first.filter(|first| mapped.next().is_none() && first.is_ascii())
        };
        let others = || (char::MIN..=char::MAX).filter(|character| !character.is_ascii());
        let lower: Vec<_> = others()
            .filter_map(|other| Some((other, single(Box::new(other.to_lowercase()))?)))
            .collect();
        let upper: Vec<_> = others()
            .filter_map(|other| Some((other, single(Box::new(other.to_uppercase()))?)))
            .collect();
        assert_eq!(lower, [('\u{212a}', 'k')]);
        assert_eq!(upper, [('\u{131}', 'I'), ('\u{17f}', 'S')]);
        let begins_in_ascii = |other: &char| {
            other
                .to_lowercase()
                .next()
                .is_some_and(|first| first.is_ascii())
        };
        let longer: Vec<char> = others()
            .filter(|other| other.to_lowercase().count() > 1)
            .filter(begins_in_ascii)
            .collect();
        assert_eq!(longer, ['\u{130}']);
    }
}
