//! `LIKE` patterns, read by the engine's rules so that each dialect can spell the same meaning.
//! Must never know a dialect.

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PatternPart {
    /// Exactly this text.
    Text(String),
    /// `_`: one character.
    OneCharacter,
    /// `%`: any text, also empty.
    AnyText,
}

/// Reads a pattern: the escape character makes the next character literal (whatever it is).
/// `None` when the pattern ends with the escape character, which engines treat differently.
pub(crate) fn parse_pattern(pattern: &str, escape: char) -> Option<Vec<PatternPart>> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if character == escape {
            text.push(characters.next()?);
            continue;
        }
        let wildcard = match character {
            '_' => PatternPart::OneCharacter,
            '%' => PatternPart::AnyText,
            other => {
                text.push(other);
                continue;
            }
        };
        if !text.is_empty() {
            parts.push(PatternPart::Text(std::mem::take(&mut text)));
        }
        parts.push(wildcard);
    }
    if !text.is_empty() {
        parts.push(PatternPart::Text(text));
    }
    Some(parts)
}

/// Spells parts as a `LIKE` pattern with backslash as the escape character.
pub(crate) fn to_like(parts: &[PatternPart]) -> String {
    to_like_escaped(parts, '\\')
}

/// Spells parts as a `LIKE` pattern with this escape character.
pub(crate) fn to_like_escaped(parts: &[PatternPart], escape: char) -> String {
    let mut pattern = String::new();
    for part in parts {
        match part {
            PatternPart::OneCharacter => pattern.push('_'),
            PatternPart::AnyText => pattern.push('%'),
            PatternPart::Text(text) => {
                for character in text.chars() {
                    if character == escape || matches!(character, '%' | '_') {
                        pattern.push(escape);
                    }
                    pattern.push(character);
                }
            }
        }
    }
    pattern
}
