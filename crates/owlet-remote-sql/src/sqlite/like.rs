//! `LIKE` on SQLite, whose own `LIKE` folds ASCII case and whose `GLOB` stops at NUL characters: simple patterns
//! become comparisons. Must never know a driver.

use owlet_connector::{Expression, Literal, LiteralValue};

use super::comparison::binary;
use super::literal::{blob, quoted};
use crate::dialect::Refusal;
use crate::pattern::{PatternPart, parse_pattern, to_like};
use crate::rule::{Call, Construct, Detail};

/// `LIKE` with a constant pattern: the whole text, its beginning, its end, or a part of it.
pub(super) fn like(call: &Call<'_>) -> Result<String, Refusal> {
    let (Detail::Like { escape, negated }, [operand, pattern]) = (call.detail, call.operands)
    else {
        return Err(call.refuse(Construct::Like, "a form that is not known"));
    };
    let Some(Literal {
        value: LiteralValue::Text(pattern),
        ..
    }) = &pattern.literal
    else {
        return Err(call.refuse(Construct::Like, "the pattern is not a constant"));
    };
    let Some(mut parts) = parse_pattern(pattern, escape) else {
        return Err(call.refuse(
            Construct::Like,
            "the pattern ends with its escape character",
        ));
    };
    parts.dedup_by(|part, previous| {
        *part == PatternPart::AnyText && *previous == PatternPart::AnyText
    });
    let tested = binary(operand);
    let condition = match parts.as_slice() {
        [] => format!("({tested} = '')"),
        [PatternPart::Text(text)] => format!("({tested} = {})", quoted(text)?),
        // NULL for NULL, true for everything else.
        [PatternPart::AnyText] => format!("({tested} = {})", operand.sql),
        [PatternPart::Text(prefix), PatternPart::AnyText] => match text_after_prefix(prefix) {
            Some(end) => format!(
                "({tested} >= {} AND {tested} < {})",
                quoted(prefix)?,
                quoted(&end)?
            ),
            None => format!("({tested} >= {})", quoted(prefix)?),
        },
        [
            PatternPart::AnyText,
            PatternPart::Text(part),
            PatternPart::AnyText,
        ] => {
            format!("(instr({}, {}) > 0)", operand.sql, quoted(part)?)
        }
        [PatternPart::AnyText, PatternPart::Text(suffix)] => {
            let bytes = suffix.as_bytes();
            // The length first: the end of an empty blob is NULL to SQLite.
            format!(
                "(length(CAST({0} AS BLOB)) >= {1} AND substr(CAST({0} AS BLOB), -{1}) = {2})",
                operand.sql,
                bytes.len(),
                blob(bytes)
            )
        }
        _ => {
            let reason = "only prefix, suffix and part patterns have an exact form in SQLite";
            return Err(call.refuse(Construct::Like, reason));
        }
    };
    Ok(if negated {
        format!("(NOT {condition})")
    } else {
        condition
    })
}

/// For a pattern that is too rich: its constant beginning.
pub(super) fn weakened(predicate: &Expression) -> Option<Expression> {
    let Expression::Like {
        expression,
        pattern,
        escape,
        negated: false,
        case_insensitive: false,
    } = predicate
    else {
        return None;
    };
    let Expression::Literal(Literal {
        value: LiteralValue::Text(pattern),
        data_type,
    }) = &**pattern
    else {
        return None;
    };
    let parts = parse_pattern(pattern, escape.unwrap_or('\\'))?;
    let beginning = parts
        .into_iter()
        .next()
        .filter(|part| matches!(part, PatternPart::Text(_)))?;
    let prefix = to_like(&[beginning, PatternPart::AnyText]);
    Some(Expression::Like {
        expression: expression.clone(),
        pattern: Box::new(Expression::Literal(Literal {
            value: LiteralValue::Text(prefix),
            data_type: data_type.clone(),
        })),
        escape: None,
        negated: false,
        case_insensitive: false,
    })
}

/// The first text, in the order of code points, that comes after all texts with this beginning.
fn text_after_prefix(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        // Ranges over characters step over the surrogates.
        if let Some(next) = (last..=char::MAX).nth(1) {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::text_after_prefix;

    #[test]
    fn the_end_of_a_prefix() {
        assert_eq!(text_after_prefix("abc").as_deref(), Some("abd"));
        assert_eq!(text_after_prefix("a\u{d7ff}").as_deref(), Some("a\u{e000}"));
        assert_eq!(text_after_prefix("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(text_after_prefix("\u{10ffff}"), None);
    }
}
