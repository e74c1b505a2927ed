//! `LIKE`: Athena has no default escape character and takes any character after `ESCAPE`; DataFusion's LIKE always
//! escapes with a backslash. Patterns are rewritten so that both mean the same.
//! It must never know the texts that are matched.

use std::ops::ControlFlow;

use sqlparser::ast::{Expr, Spanned, Statement, Value, ValueWithSpan, VisitorMut};
use sqlparser::tokenizer::Span;

use crate::errors::SqlError;
use crate::passes::build;
use crate::passes::walk::walk;

/// Name of the function that rewrites patterns which are not literals.
pub(crate) const PATTERN_FUNCTION: &str = "owlet_like_pattern";

/// Rewrites all patterns.
pub(crate) fn apply(statement: &mut Statement) -> Result<(), SqlError> {
    walk(statement, &mut Likes)
}

struct Likes;

impl VisitorMut for Likes {
    type Break = SqlError;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<SqlError> {
        let (Expr::Like {
            pattern,
            escape_char,
            any: false,
            ..
        }
        | Expr::ILike {
            pattern,
            escape_char,
            any: false,
            ..
        }) = expr
        else {
            return ControlFlow::Continue(());
        };
        match rewritten(pattern, escape_char.take()) {
            Ok(rewritten) => {
                **pattern = rewritten;
                ControlFlow::Continue(())
            }
            Err(error) => ControlFlow::Break(error),
        }
    }
}

fn rewritten(pattern: &Expr, escape: Option<ValueWithSpan>) -> Result<Expr, SqlError> {
    let at = pattern.span();
    let escape = match escape {
        None => None,
        Some(ValueWithSpan {
            value: Value::SingleQuotedString(text),
            span,
        }) => {
            let mut characters = text.chars();
            match (characters.next(), characters.next()) {
                (Some(character), None) => Some(character),
                _ => return Err(SqlError::syntax(span.start, "ESCAPE takes one character")),
            }
        }
        Some(other) => {
            return Err(SqlError::unsupported(
                other.span.start,
                "ESCAPE takes a text of one character",
            ));
        }
    };
    if let Some(text) = build::literal_text(pattern) {
        let text = backslash_pattern(text, escape)
            .map_err(|message| SqlError::syntax(at.start, message))?;
        return Ok(build::text(&text, at));
    }
    let mut arguments = vec![pattern.clone()];
    arguments.extend(escape.map(|escape| build::text(&escape.to_string(), Span::empty())));
    Ok(build::call(PATTERN_FUNCTION, arguments))
}

/// The pattern with a backslash as its escape character.
pub(crate) fn backslash_pattern(
    pattern: &str,
    escape: Option<char>,
) -> Result<String, &'static str> {
    let mut rewritten = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if Some(character) == escape {
            match characters.next() {
                Some(literal) if ['%', '_'].contains(&literal) || Some(literal) == escape => {
                    push_literal(&mut rewritten, literal)
                }
                _ => {
                    return Err(
                        "in a LIKE pattern, %, _ or the escape character itself must follow the escape character",
                    );
                }
            }
        } else if character == '\\' {
            rewritten.push_str("\\\\");
        } else {
            rewritten.push(character);
        }
    }
    Ok(rewritten)
}

fn push_literal(pattern: &mut String, literal: char) {
    if ['%', '_', '\\'].contains(&literal) {
        pattern.push('\\');
    }
    pattern.push(literal);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_escaped_with_backslashes() {
        assert_eq!(backslash_pattern("a%b", None), Ok("a%b".to_owned()));
        assert_eq!(backslash_pattern(r"a\b", None), Ok(r"a\\b".to_owned()));
        assert_eq!(backslash_pattern("10#%", Some('#')), Ok(r"10\%".to_owned()));
        assert_eq!(backslash_pattern("a##", Some('#')), Ok("a#".to_owned()));
        assert_eq!(
            backslash_pattern(r"a\_b", Some('\\')),
            Ok(r"a\_b".to_owned())
        );
        assert!(backslash_pattern("a#b", Some('#')).is_err());
        assert!(backslash_pattern("a#", Some('#')).is_err());
    }
}
