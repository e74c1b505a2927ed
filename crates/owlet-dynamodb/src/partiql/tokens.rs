//! PartiQL text into tokens, as far as recognising a reading statement needs. Must never know tables.
//!
//! Source of the syntax: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.select.html>
//! and the lexical rules of <https://partiql.org/assets/PartiQL-Specification.pdf>.

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// A bare word: keyword or name.
    Word(String),
    /// A name in double quotes, unescaped.
    Quoted(String),
    /// A text in single quotes, unescaped.
    Text(String),
    /// A number as written.
    Number(String),
    /// An Ion literal in backticks.
    Ion,
    /// Any other character.
    Symbol(char),
}

impl Token {
    /// True for a bare word, whatever its case.
    pub(crate) fn is_word(&self, word: &str) -> bool {
        matches!(self, Self::Word(own) if own.eq_ignore_ascii_case(word))
    }

    /// The name that a word or a quoted name is.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Word(name) | Self::Quoted(name) => Some(name),
            _ => None,
        }
    }
}

/// All tokens of a text, without comments; the error says what does not end.
pub(crate) fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if first.is_whitespace() {
            rest = &rest[first.len_utf8()..];
        } else if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.find('\n').map_or("", |end| &comment[end..]);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            let end = comment
                .find("*/")
                .ok_or_else(|| "a comment does not end".to_owned())?;
            rest = &comment[end + 2..];
        } else if matches!(first, '"' | '\'' | '`') {
            let (content, length) =
                quoted(rest, first).ok_or_else(|| format!("a {first} has no partner"))?;
            tokens.push(match first {
                '"' => Token::Quoted(content),
                '\'' => Token::Text(content),
                _ => Token::Ion,
            });
            rest = &rest[length..];
        } else if first.is_ascii_digit() {
            let length = rest
                .find(|character: char| !(character.is_ascii_alphanumeric() || character == '.'))
                .unwrap_or(rest.len());
            tokens.push(Token::Number(rest[..length].to_owned()));
            rest = &rest[length..];
        } else if is_word_character(first) {
            let length = rest
                .find(|character| !is_word_character(character))
                .unwrap_or(rest.len());
            tokens.push(Token::Word(rest[..length].to_owned()));
            rest = &rest[length..];
        } else {
            tokens.push(Token::Symbol(first));
            rest = &rest[first.len_utf8()..];
        }
    }
    Ok(tokens)
}

fn is_word_character(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '$')
}

/// The content of a quoted part and the bytes it takes; a doubled quote stands for one.
fn quoted(text: &str, quote: char) -> Option<(String, usize)> {
    let mut content = String::new();
    let mut characters = text.char_indices().skip(1).peekable();
    while let Some((position, character)) = characters.next() {
        if character != quote {
            content.push(character);
        } else if characters.next_if(|(_, next)| *next == quote).is_some() {
            content.push(quote);
        } else {
            return Some((content, position + quote.len_utf8()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_quotes_hide_words() {
        let tokens = tokens(
            "SELECT a -- DELETE\n/* UPDATE */ FROM \"a\"\"b\" WHERE x='it''s; DROP' + 1.5e3",
        )
        .expect("it is well formed");
        assert_eq!(
            tokens,
            [
                Token::Word("SELECT".to_owned()),
                Token::Word("a".to_owned()),
                Token::Word("FROM".to_owned()),
                Token::Quoted("a\"b".to_owned()),
                Token::Word("WHERE".to_owned()),
                Token::Word("x".to_owned()),
                Token::Symbol('='),
                Token::Text("it's; DROP".to_owned()),
                Token::Symbol('+'),
                Token::Number("1.5e3".to_owned()),
            ]
        );
    }

    #[test]
    fn open_ends_are_errors() {
        for text in ["SELECT 'a", "SELECT \"a", "SELECT /* a", "SELECT `a"] {
            assert!(tokens(text).is_err(), "{text}");
        }
    }
}
