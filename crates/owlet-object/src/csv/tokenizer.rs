//! Splits CSV bytes into records and fields (RFC 4180 with a configurable dialect). Must never know types.

/// The characters that structure a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// Field separator.
    pub delimiter: u8,
    /// Quote, if fields can be quoted; doubled inside a quoted field it stands for itself.
    pub quote: Option<u8>,
    /// Escape inside quoted fields: the next byte is literal.
    pub escape: Option<u8>,
    /// Lines that start with it are skipped.
    pub comment: Option<u8>,
}

/// Why a file is not CSV. Lines count from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// Physical line.
    pub line: u64,
    /// What is wrong.
    pub message: String,
}

/// What to do with a line that has no characters at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlankLines {
    /// Not a record.
    Skip,
    /// A record of one empty field, as files with a single column write NULL.
    Record,
}

/// A push-driven splitter. It holds at most one record.
#[derive(Debug)]
pub struct Tokenizer {
    dialect: Dialect,
    blank_lines: BlankLines,
    ends_plain_run: [bool; 256],
    state: State,
    line: u64,
    record_line: u64,
    after_carriage_return: bool,
    data: Vec<u8>,
    fields: Vec<FieldEnd>,
    quoted: bool,
    complete: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    RecordStart,
    FieldStart,
    Plain,
    Quoted,
    Escaped,
    QuoteInQuoted,
    Comment,
}

#[derive(Debug, Clone, Copy)]
struct FieldEnd {
    end: usize,
    quoted: bool,
}

/// One field of the current record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// Content, unquoted and unescaped.
    pub bytes: &'a [u8],
    /// It was written in quotes.
    pub quoted: bool,
}

impl Tokenizer {
    /// Starts at the beginning of a line, which counts as line 1.
    pub fn new(dialect: Dialect) -> Self {
        let mut ends_plain_run = [false; 256];
        for byte in [dialect.delimiter, b'\n', b'\r'] {
            ends_plain_run[usize::from(byte)] = true;
        }
        Self {
            dialect,
            blank_lines: BlankLines::Skip,
            ends_plain_run,
            state: State::RecordStart,
            line: 1,
            record_line: 1,
            after_carriage_return: false,
            data: Vec::new(),
            fields: Vec::new(),
            quoted: false,
            complete: false,
        }
    }

    /// What blank lines mean from here on.
    pub fn set_blank_lines(&mut self, blank_lines: BlankLines) {
        self.blank_lines = blank_lines;
    }

    /// Reads up to the end of a record. Returns how many bytes were used and whether a record is complete; then
    /// its fields are valid until the next call.
    pub fn advance(&mut self, input: &[u8]) -> Result<(usize, bool), Malformed> {
        if self.complete {
            self.clear();
        }
        self.run(input)
    }

    /// The file ends. True when that completes a last record without a line end.
    pub fn finish(&mut self) -> Result<bool, Malformed> {
        if self.complete {
            self.clear();
        }
        match self.state {
            State::Quoted | State::Escaped => Err(Malformed {
                line: self.record_line,
                message: "a quoted field that begins in this record never ends".to_owned(),
            }),
            State::RecordStart | State::Comment => Ok(false),
            State::FieldStart | State::Plain | State::QuoteInQuoted => {
                self.end_field();
                self.complete = true;
                self.state = State::RecordStart;
                Ok(true)
            }
        }
    }

    /// Number of fields of the complete record.
    pub fn field_count(&self) -> usize {
        self.fields.len()
    }

    /// The line on which the complete record began.
    pub fn record_line(&self) -> u64 {
        self.record_line
    }

    /// A field of the complete record.
    pub fn field(&self, index: usize) -> Option<Field<'_>> {
        let end = self.fields.get(index)?;
        let start = index
            .checked_sub(1)
            .map_or(0, |before| self.fields[before].end);
        Some(Field {
            bytes: &self.data[start..end.end],
            quoted: end.quoted,
        })
    }

    fn run(&mut self, input: &[u8]) -> Result<(usize, bool), Malformed> {
        let mut position = 0;
        while position < input.len() {
            let byte = input[position];
            match self.state {
                State::RecordStart => {
                    if byte == b'\n' && self.after_carriage_return {
                        self.after_carriage_return = false;
                        position += 1;
                        continue;
                    }
                    self.after_carriage_return = false;
                    self.record_line = self.line;
                    if byte == b'\n' || byte == b'\r' {
                        position += 1;
                        self.end_line(byte);
                        if self.blank_lines == BlankLines::Record {
                            self.end_field();
                            self.complete = true;
                            return Ok((position, true));
                        }
                        continue;
                    }
                    if Some(byte) == self.dialect.comment {
                        self.state = State::Comment;
                        position += 1;
                        continue;
                    }
                    self.state = State::FieldStart;
                }
                State::FieldStart => {
                    if Some(byte) == self.dialect.quote {
                        self.quoted = true;
                        self.state = State::Quoted;
                        position += 1;
                    } else {
                        self.state = State::Plain;
                    }
                }
                State::Plain => {
                    let rest = &input[position..];
                    let run = rest
                        .iter()
                        .position(|byte| self.ends_plain_run[usize::from(*byte)])
                        .unwrap_or(rest.len());
                    self.data.extend_from_slice(&rest[..run]);
                    position += run;
                    if let Some(&byte) = input.get(position) {
                        position += 1;
                        if self.structure(byte) {
                            return Ok((position, true));
                        }
                    }
                }
                State::Quoted => {
                    let rest = &input[position..];
                    let quote = self.dialect.quote.unwrap_or(b'"');
                    let escape = self.dialect.escape.unwrap_or(quote);
                    let run = rest
                        .iter()
                        .position(|byte| *byte == quote || *byte == escape)
                        .unwrap_or(rest.len());
                    self.line += rest[..run].iter().filter(|byte| **byte == b'\n').count() as u64;
                    self.data.extend_from_slice(&rest[..run]);
                    position += run;
                    if let Some(&byte) = input.get(position) {
                        position += 1;
                        let is_escape = Some(byte) == self.dialect.escape && byte != quote;
                        self.state = if is_escape {
                            State::Escaped
                        } else {
                            State::QuoteInQuoted
                        };
                    }
                }
                State::Escaped => {
                    self.line += u64::from(byte == b'\n');
                    self.data.push(byte);
                    self.state = State::Quoted;
                    position += 1;
                }
                State::QuoteInQuoted => {
                    position += 1;
                    if Some(byte) == self.dialect.quote {
                        self.data.push(byte);
                        self.state = State::Quoted;
                    } else if self.ends_plain_run[usize::from(byte)] {
                        if self.structure(byte) {
                            return Ok((position, true));
                        }
                    } else {
                        return Err(Malformed {
                            line: self.line,
                            message: "text follows the closing quote of a field".to_owned(),
                        });
                    }
                }
                State::Comment => {
                    position += 1;
                    if byte == b'\n' || byte == b'\r' {
                        self.end_line(byte);
                    }
                }
            }
        }
        Ok((position, false))
    }

    /// A delimiter or line end outside of quotes; true when the record is complete.
    fn structure(&mut self, byte: u8) -> bool {
        self.end_field();
        if byte == self.dialect.delimiter {
            self.state = State::FieldStart;
            return false;
        }
        self.end_line(byte);
        self.complete = true;
        true
    }

    fn end_line(&mut self, byte: u8) {
        self.line += 1;
        self.after_carriage_return = byte == b'\r';
        self.state = State::RecordStart;
    }

    fn end_field(&mut self) {
        self.fields.push(FieldEnd {
            end: self.data.len(),
            quoted: self.quoted,
        });
        self.quoted = false;
    }

    fn clear(&mut self) {
        self.data.clear();
        self.fields.clear();
        self.complete = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIALECT: Dialect = Dialect {
        delimiter: b',',
        quote: Some(b'"'),
        escape: None,
        comment: None,
    };

    /// All records as (line, fields), read in pieces of `step` bytes; quoted fields are marked with `~`.
    fn split_in(
        dialect: Dialect,
        blank: BlankLines,
        text: &str,
        step: usize,
    ) -> Result<Vec<(u64, Vec<String>)>, Malformed> {
        let mut tokenizer = Tokenizer::new(dialect);
        tokenizer.set_blank_lines(blank);
        let mut records = Vec::new();
        let record = |tokenizer: &Tokenizer| {
            let fields = (0..tokenizer.field_count())
                .filter_map(|index| tokenizer.field(index))
                .map(|field| {
                    format!(
                        "{}{}",
                        if field.quoted { "~" } else { "" },
                        String::from_utf8_lossy(field.bytes)
                    )
                })
                .collect();
            (tokenizer.record_line(), fields)
        };
        for piece in text.as_bytes().chunks(step) {
            let mut rest = piece;
            while !rest.is_empty() {
                let (used, complete) = tokenizer.advance(rest)?;
                rest = &rest[used..];
                if complete {
                    records.push(record(&tokenizer));
                }
            }
        }
        if tokenizer.finish()? {
            records.push(record(&tokenizer));
        }
        Ok(records)
    }

    fn split(text: &str) -> Result<Vec<(u64, Vec<String>)>, Malformed> {
        let whole = split_in(DIALECT, BlankLines::Skip, text, usize::MAX);
        for step in [1, 2, 3, 7] {
            assert_eq!(
                split_in(DIALECT, BlankLines::Skip, text, step),
                whole,
                "in pieces of {step}"
            );
        }
        whole
    }

    fn records(expected: &[(u64, &[&str])]) -> Vec<(u64, Vec<String>)> {
        expected
            .iter()
            .map(|(line, fields)| {
                (
                    *line,
                    fields.iter().map(|field| (*field).to_owned()).collect(),
                )
            })
            .collect()
    }

    #[test]
    fn plain_and_quoted_fields() {
        let found = split("a,b\n1,\"x, \"\"y\"\"\"\n,\n\"\",z").unwrap();
        let expected = records(&[
            (1, &["a", "b"]),
            (2, &["1", "~x, \"y\""]),
            (3, &["", ""]),
            (4, &["~", "z"]),
        ]);
        assert_eq!(found, expected);
    }

    #[test]
    fn line_ends_and_lines_inside_quotes_are_counted() {
        let found = split("a,b\r\n\"1\n2\r\n3\",x\r\n\r\n5,6\r7,8").unwrap();
        let expected = records(&[
            (1, &["a", "b"]),
            (2, &["~1\n2\r\n3", "x"]),
            (6, &["5", "6"]),
            (7, &["7", "8"]),
        ]);
        assert_eq!(found, expected);
    }

    #[test]
    fn quotes_inside_plain_fields_are_literal() {
        assert_eq!(
            split("5\" pipe,x\n").unwrap(),
            records(&[(1, &["5\" pipe", "x"])])
        );
    }

    #[test]
    fn files_without_quoted_fields_have_quotes_as_they_are() {
        let dialect = Dialect {
            quote: None,
            ..DIALECT
        };
        let found = split_in(dialect, BlankLines::Skip, "\"a,b\"\n\"\",\"\n", 2).unwrap();
        assert_eq!(
            found,
            records(&[(1, &["\"a", "b\""]), (2, &["\"\"", "\""])])
        );
    }

    #[test]
    fn an_open_quote_and_text_after_a_quote_are_errors() {
        assert_eq!(split("a\n\"1\n2\n").unwrap_err().line, 2);
        assert_eq!(split("a\n1\n\"2\"x\n").unwrap_err().line, 3);
    }

    #[test]
    fn blank_lines_of_a_single_column() {
        let found = split_in(DIALECT, BlankLines::Record, "a\n\n1\n\n", 2).unwrap();
        assert_eq!(
            found,
            records(&[(1, &["a"]), (2, &[""]), (3, &["1"]), (4, &[""])])
        );
    }

    #[test]
    fn escapes_and_comments() {
        let dialect = Dialect {
            delimiter: b';',
            quote: Some(b'\''),
            escape: Some(b'\\'),
            comment: Some(b'#'),
        };
        let found = split_in(
            dialect,
            BlankLines::Skip,
            "# hello; 'x\n'a\\'b';c\n'd''e';\\f\n#end",
            3,
        )
        .unwrap();
        assert_eq!(
            found,
            records(&[(2, &["~a'b", "c"]), (3, &["~d'e", "\\f"])])
        );
    }
}
