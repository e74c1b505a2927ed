//! Backslashes in fields without quotes, as PostgreSQL's COPY and Owlet write text files. Must never know types.

use std::borrow::Cow;

/// What a backslash in a field without quotes means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backslashes {
    /// Itself.
    Plain,
    /// `\N` is NULL; `\t`, `\n`, `\r`, `\b`, `\f`, `\v` and `\\` are one character.
    Escape,
}

impl Backslashes {
    /// The field that is NULL by itself, whatever else is.
    pub fn null(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Escape => Some("\\N"),
        }
    }

    /// The text that a field without quotes stands for.
    pub fn text(self, field: &str) -> Cow<'_, str> {
        match self {
            Self::Escape if field.contains('\\') => Cow::Owned(unescaped(field)),
            Self::Plain | Self::Escape => Cow::Borrowed(field),
        }
    }
}

/// A backslash before any other character is kept: files of other programs have paths and patterns.
fn unescaped(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    // A quote would begin a quoted field; behind that it needs no backslash.
    let mut rest = match field.strip_prefix("\\\"") {
        Some(rest) => {
            text.push('"');
            rest
        }
        None => field,
    };
    while let Some((before, behind)) = rest.split_once('\\') {
        text.push_str(before);
        let escaped = match behind.bytes().next() {
            Some(b't') => Some('\t'),
            Some(b'n') => Some('\n'),
            Some(b'r') => Some('\r'),
            Some(b'b') => Some('\u{8}'),
            Some(b'f') => Some('\u{c}'),
            Some(b'v') => Some('\u{b}'),
            Some(b'\\') => Some('\\'),
            _ => None,
        };
        text.push(escaped.unwrap_or('\\'));
        rest = &behind[usize::from(escaped.is_some())..];
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_read_and_other_backslashes_kept() {
        for (field, expected) in [
            ("plain", "plain"),
            ("a\\tb\\nc\\rd", "a\tb\nc\rd"),
            ("\\b\\f\\v", "\u{8}\u{c}\u{b}"),
            ("\\\\N", "\\N"),
            ("\\\\t", "\\t"),
            ("C:\\\\new", "C:\\new"),
            ("\\d+\\w", "\\d+\\w"),
            ("é\\é", "é\\é"),
            ("end\\", "end\\"),
            ("\\\"quoted\"", "\"quoted\""),
            ("a\\\"b", "a\\\"b"),
        ] {
            assert_eq!(Backslashes::Escape.text(field), expected, "{field}");
            assert_eq!(Backslashes::Plain.text(field), field);
        }
    }
}
