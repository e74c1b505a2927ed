//! LIKE patterns: what they require of a text. Must never know DynamoDB.

/// A pattern in pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LikePattern {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// `%`
    Any,
    /// `_`
    One,
}

/// What a pattern asks of a text, as far as prefix and substring tests can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PatternForm {
    /// `%`
    Anything,
    /// No wildcard.
    Exactly(String),
    /// `text%`
    StartsWith(String),
    /// `%text%`
    Contains(String),
    /// Starts with the text, and more is required.
    StartsWithAndMore(String),
    /// Contains the text, and more is required.
    ContainsAndMore(String),
    /// No text at all, e.g. `_`.
    Other,
}

impl LikePattern {
    /// Reads a pattern; without an escape character a backslash escapes. `None` when it ends with the escape.
    pub(crate) fn parse(pattern: &str, escape: Option<char>) -> Option<Self> {
        let escape = escape.unwrap_or('\\');
        let mut pieces: Vec<Piece> = Vec::new();
        let mut characters = pattern.chars();
        while let Some(character) = characters.next() {
            let literal = match character {
                character if character == escape => characters.next()?,
                '%' => {
                    if pieces.last() != Some(&Piece::Any) {
                        pieces.push(Piece::Any);
                    }
                    continue;
                }
                '_' => {
                    pieces.push(Piece::One);
                    continue;
                }
                other => other,
            };
            match pieces.last_mut() {
                Some(Piece::Text(text)) => text.push(literal),
                _ => pieces.push(Piece::Text(literal.to_string())),
            }
        }
        Some(Self { pieces })
    }

    /// The strongest test that prefix, substring and equality can make.
    pub(crate) fn form(&self) -> PatternForm {
        match self.pieces.as_slice() {
            [] => PatternForm::Exactly(String::new()),
            [Piece::Any] => PatternForm::Anything,
            [Piece::Text(text)] => PatternForm::Exactly(text.clone()),
            [Piece::Text(text), Piece::Any] => PatternForm::StartsWith(text.clone()),
            [Piece::Any, Piece::Text(text), Piece::Any] => PatternForm::Contains(text.clone()),
            [Piece::Text(text), ..] => PatternForm::StartsWithAndMore(text.clone()),
            pieces => {
                let longest = pieces
                    .iter()
                    .filter_map(|piece| match piece {
                        Piece::Text(text) => Some(text),
                        _ => None,
                    })
                    .max_by_key(|text| text.len());
                longest.map_or(PatternForm::Other, |text| {
                    PatternForm::ContainsAndMore(text.clone())
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(pattern: &str) -> PatternForm {
        LikePattern::parse(pattern, None)
            .expect("the pattern is complete")
            .form()
    }

    #[test]
    fn forms() {
        assert_eq!(form(""), PatternForm::Exactly(String::new()));
        assert_eq!(form("%%"), PatternForm::Anything);
        assert_eq!(form("abc"), PatternForm::Exactly("abc".to_owned()));
        assert_eq!(form("abc%"), PatternForm::StartsWith("abc".to_owned()));
        assert_eq!(form(r"a\%b\_%"), PatternForm::StartsWith("a%b_".to_owned()));
        assert_eq!(form("%abc%"), PatternForm::Contains("abc".to_owned()));
        assert_eq!(form("%abc"), PatternForm::ContainsAndMore("abc".to_owned()));
        assert_eq!(form("a%b"), PatternForm::StartsWithAndMore("a".to_owned()));
        assert_eq!(form("a_"), PatternForm::StartsWithAndMore("a".to_owned()));
        assert_eq!(form("_%"), PatternForm::Other);
        assert_eq!(LikePattern::parse("a\\", None), None);
        assert_eq!(
            LikePattern::parse("50!%%", Some('!')).map(|pattern| pattern.form()),
            Some(PatternForm::StartsWith("50%".to_owned()))
        );
    }
}
