//! A pull parser for the JSON that DynamoDB answers with: strings without copies, values skipped by structure.
//! Must never know what the values mean.

use std::fmt;

/// Deepest nesting followed; DynamoDB itself allows 32 levels of attributes (two JSON levels each).
const MAX_DEPTH: usize = 256;

/// The text is no JSON, or ends early. A page with this error is asked for again, never used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    pub(crate) position: usize,
    pub(crate) expected: &'static str,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "expected {} at byte {}",
            self.expected, self.position
        )
    }
}

/// Reads JSON from a text, front to back.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            text,
            bytes: text.as_bytes(),
            position: 0,
        }
    }

    /// Where the next byte is read.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// The text between two positions.
    pub(crate) fn slice(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or_default()
    }

    /// The text from a position to the end.
    pub(crate) fn rest(&self, start: usize) -> &'a str {
        self.text.get(start..).unwrap_or_default()
    }

    pub(crate) fn error(&self, expected: &'static str) -> SyntaxError {
        SyntaxError {
            position: self.position,
            expected,
        }
    }

    /// The next byte that is no white space, not consumed.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.bytes.get(self.position)?;
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.position += 1;
        }
    }

    /// Consumes one expected byte.
    #[inline]
    pub(crate) fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), SyntaxError> {
        if self.peek() != Some(byte) {
            return Err(self.error(expected));
        }
        self.position += 1;
        Ok(())
    }

    /// Consumes `byte` if it is next.
    #[inline]
    pub(crate) fn accept(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.position += 1;
        }
        found
    }

    /// After `{` or a member: true when another member follows. Consumes `,` and the closing brace.
    #[inline]
    pub(crate) fn next_member(&mut self, first: &mut bool) -> Result<bool, SyntaxError> {
        self.next_in(first, b'}', "',' or '}'")
    }

    /// After `[` or an element: true when another element follows. Consumes `,` and the closing bracket.
    #[inline]
    pub(crate) fn next_element(&mut self, first: &mut bool) -> Result<bool, SyntaxError> {
        self.next_in(first, b']', "',' or ']'")
    }

    #[inline]
    fn next_in(
        &mut self,
        first: &mut bool,
        close: u8,
        expected: &'static str,
    ) -> Result<bool, SyntaxError> {
        if self.accept(close) {
            return Ok(false);
        }
        if *first {
            *first = false;
        } else {
            self.expect(b',', expected)?;
        }
        Ok(true)
    }

    /// A member's name and its colon.
    #[inline]
    pub(crate) fn name<'s>(&mut self, scratch: &'s mut String) -> Result<&'s str, SyntaxError>
    where
        'a: 's,
    {
        let name = self.string(scratch)?;
        self.expect(b':', "':'")?;
        Ok(name)
    }

    /// A string; `scratch` is used only when it has escapes.
    #[inline]
    pub(crate) fn string<'s>(&mut self, scratch: &'s mut String) -> Result<&'s str, SyntaxError>
    where
        'a: 's,
    {
        self.expect(b'"', "a string")?;
        let start = self.position;
        self.skip_plain_bytes();
        match self.bytes.get(self.position) {
            Some(b'"') => {
                let content = self.slice(start, self.position);
                self.position += 1;
                Ok(content)
            }
            Some(b'\\') => self.string_with_escapes(start, scratch),
            _ => Err(self.error("the end of a string")),
        }
    }

    /// Moves to the next quote, backslash or control character.
    #[inline]
    fn skip_plain_bytes(&mut self) {
        const ONES: u64 = 0x0101_0101_0101_0101;
        const HIGHS: u64 = 0x8080_8080_8080_8080;
        while let Some(chunk) = self
            .bytes
            .get(self.position..)
            .and_then(|rest| rest.first_chunk::<8>())
        {
            let word = u64::from_le_bytes(*chunk);
            let quote = word ^ (ONES * u64::from(b'"'));
            let backslash = word ^ (ONES * u64::from(b'\\'));
            let control = word.wrapping_sub(ONES * 0x20);
            // The lowest flagged byte is always a true hit; borrows can only flag bytes above one.
            let hits = ((quote.wrapping_sub(ONES) & !quote)
                | (backslash.wrapping_sub(ONES) & !backslash)
                | (control & !word))
                & HIGHS;
            if hits != 0 {
                self.position += (hits.trailing_zeros() / 8) as usize;
                return;
            }
            self.position += 8;
        }
        while let Some(&byte) = self.bytes.get(self.position) {
            if byte == b'"' || byte == b'\\' || byte < 0x20 {
                return;
            }
            self.position += 1;
        }
    }

    #[cold]
    fn string_with_escapes<'s>(
        &mut self,
        start: usize,
        scratch: &'s mut String,
    ) -> Result<&'s str, SyntaxError> {
        scratch.clear();
        scratch.push_str(self.slice(start, self.position));
        loop {
            match self.bytes.get(self.position) {
                Some(b'"') => {
                    self.position += 1;
                    return Ok(scratch);
                }
                Some(b'\\') => {
                    self.position += 1;
                    let character = self.escape()?;
                    scratch.push(character);
                }
                _ => return Err(self.error("the end of a string")),
            }
            let plain = self.position;
            self.skip_plain_bytes();
            scratch.push_str(self.slice(plain, self.position));
        }
    }

    fn escape(&mut self) -> Result<char, SyntaxError> {
        let Some(&byte) = self.bytes.get(self.position) else {
            return Err(self.error("an escape"));
        };
        self.position += 1;
        let character = match byte {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode_escape(),
            _ => return Err(self.error("an escape")),
        };
        Ok(character)
    }

    fn unicode_escape(&mut self) -> Result<char, SyntaxError> {
        let first = self.hex_unit()?;
        if !(0xD800..0xE000).contains(&first) {
            return char::from_u32(first).ok_or_else(|| self.error("a Unicode character"));
        }
        let has_low_surrogate =
            first < 0xDC00 && self.bytes.get(self.position..self.position + 2) == Some(b"\\u");
        if !has_low_surrogate {
            return Err(self.error("a low surrogate"));
        }
        self.position += 2;
        let second = self.hex_unit()?;
        if !(0xDC00..0xE000).contains(&second) {
            return Err(self.error("a low surrogate"));
        }
        let code = 0x10000 + ((first - 0xD800) << 10) + (second - 0xDC00);
        char::from_u32(code).ok_or_else(|| self.error("a Unicode character"))
    }

    fn hex_unit(&mut self) -> Result<u32, SyntaxError> {
        let digits = self
            .bytes
            .get(self.position..self.position + 4)
            .ok_or_else(|| self.error("four hex digits"))?;
        let mut unit = 0;
        for &digit in digits {
            let value = char::from(digit)
                .to_digit(16)
                .ok_or_else(|| self.error("four hex digits"))?;
            unit = unit * 16 + value;
        }
        self.position += 4;
        Ok(unit)
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self) -> Result<bool, SyntaxError> {
        self.peek();
        if self.take_word(b"true") {
            return Ok(true);
        }
        if self.take_word(b"false") {
            return Ok(false);
        }
        Err(self.error("true or false"))
    }

    fn take_word(&mut self, word: &[u8]) -> bool {
        let found = self.bytes.get(self.position..self.position + word.len()) == Some(word);
        if found {
            self.position += word.len();
        }
        found
    }

    /// A number's text as it stands.
    pub(crate) fn number(&mut self) -> Result<&'a str, SyntaxError> {
        self.peek();
        let start = self.position;
        while matches!(
            self.bytes.get(self.position),
            Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
        ) {
            self.position += 1;
        }
        if start == self.position {
            return Err(self.error("a number"));
        }
        Ok(self.slice(start, self.position))
    }

    /// Skips one value and returns its text.
    pub(crate) fn raw_value(&mut self) -> Result<&'a str, SyntaxError> {
        self.peek();
        let start = self.position;
        self.skip_value()?;
        Ok(self.slice(start, self.position))
    }

    /// Skips one value of any kind.
    pub(crate) fn skip_value(&mut self) -> Result<(), SyntaxError> {
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                Some(b'{' | b'[') => {
                    depth += 1;
                    if depth > MAX_DEPTH {
                        return Err(self.error("a value less deeply nested"));
                    }
                    self.position += 1;
                }
                Some(b'}' | b']') if depth > 0 => {
                    depth -= 1;
                    self.position += 1;
                }
                Some(b',' | b':') if depth > 0 => self.position += 1,
                Some(b'"') => self.skip_string()?,
                Some(b't' | b'f') => {
                    self.boolean()?;
                }
                Some(b'n') => {
                    if !self.take_word(b"null") {
                        return Err(self.error("null"));
                    }
                }
                Some(b'-' | b'0'..=b'9') => {
                    self.number()?;
                }
                _ => return Err(self.error("a value")),
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn skip_string(&mut self) -> Result<(), SyntaxError> {
        self.position += 1;
        loop {
            self.skip_plain_bytes();
            match self.bytes.get(self.position) {
                Some(b'"') => {
                    self.position += 1;
                    return Ok(());
                }
                Some(b'\\') => self.position += 2,
                _ => return Err(self.error("the end of a string")),
            }
        }
    }

    /// Nothing but white space is left.
    pub(crate) fn expect_end(&mut self) -> Result<(), SyntaxError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.error("the end of the text")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(json: &str) -> Result<String, SyntaxError> {
        let mut scratch = String::new();
        Cursor::new(json).string(&mut scratch).map(str::to_owned)
    }

    #[test]
    fn strings_are_read_exactly() {
        for text in [
            "",
            "a",
            "12345678",
            "1234567890abcdef",
            "quote \" backslash \\ slash /",
            "é€😀",
            "\u{1}\n\t\r",
            "𝄞x",
        ] {
            let json = serde_json::to_string(text).expect("text is serialisable");
            assert_eq!(text_of(&json).as_deref(), Ok(text));
        }
        assert_eq!(
            text_of(r#""\u0041\u00e9\ud83d\ude00\/""#).as_deref(),
            Ok("Aé😀/")
        );
    }

    #[test]
    fn broken_strings_are_errors() {
        for json in [
            "\"abc",
            "\"abc\\",
            "\"\\u12\"",
            "\"\\ud83d\"",
            "\"\\x\"",
            "\"a\nb\"",
            "abc",
            "\"\\ude00\"",
        ] {
            assert!(text_of(json).is_err(), "{json}");
        }
    }

    #[test]
    fn values_are_skipped_whole() {
        let json = r#"{"a":[1,-2.5e3,{"b":"x\"]}"},null,true],"c":{}} , next"#;
        let mut cursor = Cursor::new(json);
        assert_eq!(
            cursor.raw_value(),
            Ok(r#"{"a":[1,-2.5e3,{"b":"x\"]}"},null,true],"c":{}}"#)
        );
        assert_eq!(cursor.peek(), Some(b','));
    }

    #[test]
    fn truncation_is_noticed_at_every_byte() {
        let json = r#"{"a":[1,{"b":"x\"]}"},null,true],"c":{"d":"é"}}"#;
        for length in (0..json.len()).filter(|length| json.is_char_boundary(*length)) {
            let mut cursor = Cursor::new(&json[..length]);
            assert!(cursor.skip_value().is_err(), "{}", &json[..length]);
        }
    }
}
