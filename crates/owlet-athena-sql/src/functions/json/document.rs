//! JSON documents: a scanner that finds values without building trees, and trees where they are needed. Numbers keep
//! their digits. It must never know Arrow.

use std::fmt::Write as _;

/// Documents nested deeper than this are refused: reading them would exhaust the stack.
const DEEPEST: usize = 500;

/// A JSON value. Objects keep the order of their keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Json {
    Null,
    Boolean(bool),
    /// The digits as written.
    Number(String),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// Why a text is not JSON; small, because most callers make a NULL of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

impl Json {
    /// Reads a whole text.
    pub(super) fn parse(text: &str) -> Result<Self, Malformed> {
        let mut scanner = Scanner { text, position: 0 };
        let value = scanner.value(0)?;
        scanner.blanks();
        if scanner.position == text.len() {
            Ok(value)
        } else {
            Err(Malformed)
        }
    }

    /// The value without blanks.
    pub(super) fn write(&self, text: &mut String) {
        match self {
            Self::Null => text.push_str("null"),
            Self::Boolean(value) => text.push_str(if *value { "true" } else { "false" }),
            Self::Number(digits) => text.push_str(digits),
            Self::Text(value) => write_text(value, text),
            Self::Array(values) => {
                text.push('[');
                for (index, value) in values.iter().enumerate() {
                    text.push_str(if index > 0 { "," } else { "" });
                    value.write(text);
                }
                text.push(']');
            }
            Self::Object(members) => {
                text.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    text.push_str(if index > 0 { "," } else { "" });
                    write_text(name, text);
                    text.push(':');
                    value.write(text);
                }
                text.push('}');
            }
        }
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text);
        text
    }

    /// Objects with sorted keys, as Athena keeps them; of two equal keys the last counts.
    pub(super) fn sorted(self) -> Self {
        match self {
            Self::Array(values) => Self::Array(values.into_iter().map(Self::sorted).collect()),
            Self::Object(members) => {
                let members = members
                    .into_iter()
                    .map(|(name, value)| (name, value.sorted()));
                let sorted: std::collections::BTreeMap<String, Self> = members.collect();
                Self::Object(sorted.into_iter().collect())
            }
            scalar => scalar,
        }
    }

    /// The text of a scalar; `None` for null, arrays and objects.
    pub(super) fn scalar_text(&self) -> Option<String> {
        match self {
            Self::Boolean(value) => Some(value.to_string()),
            Self::Number(digits) => Some(digits.clone()),
            Self::Text(text) => Some(text.clone()),
            Self::Null | Self::Array(_) | Self::Object(_) => None,
        }
    }
}

fn write_text(value: &str, text: &mut String) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            control if control < ' ' => {
                // Writing to a string cannot fail.
                let _ = write!(text, "\\u{:04X}", u32::from(control));
            }
            other => text.push(other),
        }
    }
    text.push('"');
}

/// Reads a text from a position on.
#[derive(Debug, Clone)]
pub(super) struct Scanner<'a> {
    pub(super) text: &'a str,
    pub(super) position: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    pub(super) fn blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.position += 1;
        }
    }

    /// The next character that is not blank; it stays.
    pub(super) fn next_token(&mut self) -> Option<u8> {
        self.blanks();
        self.peek()
    }

    pub(super) fn take(&mut self, expected: u8) -> Result<(), Malformed> {
        match self.next_token() {
            Some(byte) if byte == expected => {
                self.position += 1;
                Ok(())
            }
            _ => Err(Malformed),
        }
    }

    fn word(&mut self, word: &str) -> Result<(), Malformed> {
        match self.text[self.position..].starts_with(word) {
            true => {
                self.position += word.len();
                Ok(())
            }
            false => Err(Malformed),
        }
    }

    fn number(&mut self) -> Result<&'a str, Malformed> {
        let start = self.position;
        let digits = |scanner: &mut Self| {
            let first = scanner.position;
            while scanner.peek().is_some_and(|byte| byte.is_ascii_digit()) {
                scanner.position += 1;
            }
            if scanner.position > first {
                Ok(())
            } else {
                Err(Malformed)
            }
        };
        if self.peek() == Some(b'-') {
            self.position += 1;
        }
        let leading_zero = self.peek() == Some(b'0');
        let whole = self.position;
        digits(self)?;
        if leading_zero && self.position - whole > 1 {
            return Err(Malformed);
        }
        if self.peek() == Some(b'.') {
            self.position += 1;
            digits(self)?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.position += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.position += 1;
            }
            digits(self)?;
        }
        Ok(&self.text[start..self.position])
    }

    /// The raw text between the quotes.
    fn raw_text(&mut self) -> Result<&'a str, Malformed> {
        self.take(b'"')?;
        let start = self.position;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.position += 1;
                    return Ok(&self.text[start..self.position - 1]);
                }
                Some(b'\\') => self.position += 2,
                Some(byte) if byte >= b' ' => self.position += 1,
                _ => return Err(Malformed),
            }
        }
    }

    /// A text with its escapes resolved.
    pub(super) fn text_value(&mut self) -> Result<std::borrow::Cow<'a, str>, Malformed> {
        let raw = self.raw_text()?;
        if !raw.contains('\\') {
            return Ok(raw.into());
        }
        unescaped(raw).map(Into::into)
    }

    /// Passes over a value and gives its raw text.
    pub(super) fn skip(&mut self, depth: usize) -> Result<&'a str, Malformed> {
        if depth > DEEPEST {
            return Err(Malformed);
        }
        let first = self.next_token().ok_or(Malformed)?;
        let start = self.position;
        match first {
            b'"' => {
                self.raw_text()?;
            }
            b'{' => self.members(|scanner, _| scanner.skip(depth + 1).map(|_| ()))?,
            b'[' => self.elements(|scanner, _| scanner.skip(depth + 1).map(|_| ()))?,
            b't' => self.word("true")?,
            b'f' => self.word("false")?,
            b'n' => self.word("null")?,
            _ => {
                self.number()?;
            }
        }
        Ok(&self.text[start..self.position])
    }

    /// Calls `each` before every member's value, with its name.
    pub(super) fn members(
        &mut self,
        mut each: impl FnMut(&mut Self, std::borrow::Cow<'a, str>) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.take(b'{')?;
        if self.next_token() == Some(b'}') {
            return self.take(b'}');
        }
        loop {
            let name = self.text_value()?;
            self.take(b':')?;
            each(self, name)?;
            match self.next_token() {
                Some(b',') => self.take(b',')?,
                _ => return self.take(b'}'),
            }
            self.blanks();
        }
    }

    /// Calls `each` before every element, with its index.
    pub(super) fn elements(
        &mut self,
        mut each: impl FnMut(&mut Self, usize) -> Result<(), Malformed>,
    ) -> Result<(), Malformed> {
        self.take(b'[')?;
        if self.next_token() == Some(b']') {
            return self.take(b']');
        }
        for index in 0.. {
            each(self, index)?;
            match self.next_token() {
                Some(b',') => self.take(b',')?,
                _ => break,
            }
        }
        self.take(b']')
    }

    fn value(&mut self, depth: usize) -> Result<Json, Malformed> {
        if depth > DEEPEST {
            return Err(Malformed);
        }
        match self.next_token().ok_or(Malformed)? {
            b'"' => self.text_value().map(|text| Json::Text(text.into_owned())),
            b'{' => {
                let mut members = Vec::new();
                self.members(|scanner, name| {
                    members.push((name.into_owned(), scanner.value(depth + 1)?));
                    Ok(())
                })?;
                Ok(Json::Object(members))
            }
            b'[' => {
                let mut values = Vec::new();
                self.elements(|scanner, _| {
                    values.push(scanner.value(depth + 1)?);
                    Ok(())
                })?;
                Ok(Json::Array(values))
            }
            b't' => self.word("true").map(|()| Json::Boolean(true)),
            b'f' => self.word("false").map(|()| Json::Boolean(false)),
            b'n' => self.word("null").map(|()| Json::Null),
            _ => self.number().map(|digits| Json::Number(digits.to_owned())),
        }
    }
}

fn unescaped(raw: &str) -> Result<String, Malformed> {
    let mut text = String::with_capacity(raw.len());
    let mut characters = raw.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            text.push(character);
            continue;
        }
        text.push(match characters.next().ok_or(Malformed)? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => unicode(&mut characters)?,
            literal @ ('"' | '\\' | '/') => literal,
            _ => return Err(Malformed),
        });
    }
    Ok(text)
}

/// `\uXXXX`, or two of them for characters beyond U+FFFF. Half a pair becomes U+FFFD.
fn unicode(characters: &mut std::str::Chars<'_>) -> Result<char, Malformed> {
    let hex = |characters: &mut std::str::Chars<'_>| -> Result<u32, Malformed> {
        (0..4).try_fold(0, |code, _| {
            let digit = characters
                .next()
                .and_then(|digit| digit.to_digit(16))
                .ok_or(Malformed)?;
            Ok(code * 16 + digit)
        })
    };
    let code = hex(characters)?;
    if !(0xD800..0xDC00).contains(&code) {
        return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    let mut ahead = characters.clone();
    if ahead.next() != Some('\\') || ahead.next() != Some('u') {
        return Ok(char::REPLACEMENT_CHARACTER);
    }
    let low = hex(&mut ahead)?;
    *characters = ahead;
    let combined = 0x10000 + (code - 0xD800) * 0x400 + low.wrapping_sub(0xDC00);
    Ok(char::from_u32(combined)
        .filter(|_| (0xDC00..0xE000).contains(&low))
        .unwrap_or(char::REPLACEMENT_CHARACTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_read_and_written() {
        for (text, expected) in [
            (
                "{ \"b\" : [1, -2.50, 1e3], \"a\": null }",
                Some(r#"{"b":[1,-2.50,1e3],"a":null}"#),
            ),
            (r#""\u00e9\ud83d\ude00\n""#, Some("\"é😀\\n\"")),
            ("[]", Some("[]")),
            ("{}", Some("{}")),
            (" true ", Some("true")),
            ("01", None),
            ("[1,]", None),
            ("{\"a\":1", None),
            ("\"\\x\"", None),
            ("'a'", None),
            ("", None),
            ("1 2", None),
            ("\"\\", None),
        ] {
            assert_eq!(
                Json::parse(text).ok().map(|json| json.to_text()).as_deref(),
                expected,
                "{text}"
            );
        }
        assert_eq!(Json::parse(&"[".repeat(100_000)), Err(Malformed));
    }

    #[test]
    fn skipping_agrees_with_parsing() {
        for text in [
            "{\"a\": [1, {\"b\": \"x\\\"y\"}], \"c\": false} ",
            "[null, -0.5e-3]",
            "\"é\"",
        ] {
            let mut scanner = Scanner { text, position: 0 };
            assert_eq!(scanner.skip(0), Ok(text.trim()), "{text}");
        }
    }
}
