//! LIKE, by its definition. Must never know expressions.

/// A pattern taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// Exactly this character.
    Literal(char),
    /// `_`
    One,
    /// `%`
    Any,
}

/// Whether `%` and `_` match upper and lower case alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// LIKE.
    Sensitive,
    /// ILIKE.
    Insensitive,
}

/// Whether `text` matches `pattern`; `escape` makes the next character literal, a backslash when there is none.
/// An escape at the end of the pattern stands for itself.
pub fn matches(text: &str, pattern: &str, escape: Option<char>, case: Case) -> bool {
    let fold = |character: char| match case {
        Case::Sensitive => vec![character],
        Case::Insensitive => character.to_lowercase().collect(),
    };
    let text: Vec<Vec<char>> = text.chars().map(fold).collect();
    let mut tokens = Vec::new();
    let escape = escape.unwrap_or('\\');
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        tokens.push(match character {
            escaping if escaping == escape => Token::Literal(characters.next().unwrap_or(escape)),
            '%' => Token::Any,
            '_' => Token::One,
            literal => Token::Literal(literal),
        });
    }
    // reachable[i]: the tokens so far match the first i characters.
    let mut reachable = vec![false; text.len() + 1];
    reachable[0] = true;
    for token in tokens {
        let mut next = vec![false; text.len() + 1];
        match token {
            Token::Any => {
                let mut seen = false;
                for (position, reached) in reachable.iter().enumerate() {
                    seen |= reached;
                    next[position] = seen;
                }
            }
            Token::One => next[1..].copy_from_slice(&reachable[..text.len()]),
            Token::Literal(literal) => {
                let wanted = fold(literal);
                for (position, character) in text.iter().enumerate() {
                    next[position + 1] = reachable[position] && *character == wanted;
                }
            }
        }
        reachable = next;
    }
    reachable[text.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        let cases = [
            ("abc", "abc", true),
            ("abc", "a%", true),
            ("abc", "%c", true),
            ("abc", "%b%", true),
            ("abc", "a_c", true),
            ("abc", "a_", false),
            ("abc", "", false),
            ("", "", true),
            ("", "%", true),
            ("", "_", false),
            ("a%c", "a\\%c", true),
            ("abc", "a\\%c", false),
            ("a\\", "a\\\\", true),
            ("a\\", "a\\", true),
            ("ä", "_", true),
            ("👍🏽", "__", true),
            ("a\nb", "a%b", true),
            ("ABC", "abc", false),
            ("aXbXc", "a%b%c", true),
            ("aaa", "%a_a", true),
        ];
        for (text, pattern, expected) in cases {
            assert_eq!(
                matches(text, pattern, None, Case::Sensitive),
                expected,
                "{text} {pattern}"
            );
        }
        assert!(matches("ÄBC", "äb_", None, Case::Insensitive));
        assert!(matches("50%", "50!%", Some('!'), Case::Sensitive));
        assert!(!matches("50x", "50!%", Some('!'), Case::Sensitive));
        assert!(matches("a\\b", "a\\b", Some('!'), Case::Sensitive));
    }
}
