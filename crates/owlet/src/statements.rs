//! Splits SQL text into statements at `;`, and tells whether typed text is complete.
//! Knows where strings, quoted names and comments begin and end, and nothing else of SQL.

use std::collections::BTreeSet;

/// One statement of a text that may hold several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The statement without the final `;` and surrounding blanks.
    pub text: String,
    /// Line of the whole text where the statement starts, from 1.
    pub line: u64,
    /// Column of that line, in characters, from 1.
    pub column: u64,
}

impl Statement {
    /// A statement that is a whole text.
    pub fn whole(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            line: 1,
            column: 1,
        }
    }

    /// Turns a position within the statement into one within the whole text. Both count from 1.
    pub fn position_in_source(&self, line: u64, column: u64) -> (u64, u64) {
        if line <= 1 {
            return (self.line, self.column + column.saturating_sub(1));
        }
        (self.line + line - 1, column)
    }

    /// The `?` and `:name` outside of strings, quoted names and comments.
    pub fn placeholders(&self) -> Placeholders {
        let mut found = Placeholders::default();
        let mut scanner = Scanner::new(&self.text);
        while let Some((offset, _, _, character)) = scanner.next_character() {
            match character {
                '-' if scanner.peek() == Some('-') => scanner.skip_line(),
                '/' if scanner.peek() == Some('*') => {
                    scanner.skip_block_comment();
                }
                '\'' | '"' | '`' => {
                    scanner.skip_quoted(character);
                }
                '?' => found.positional += 1,
                ':' => {
                    let behind = &self.text[offset + 1..];
                    let name: String = behind
                        .chars()
                        .take_while(|character| character.is_alphanumeric() || *character == '_')
                        .collect();
                    found.names.insert(name.to_lowercase());
                }
                _ => {}
            }
        }
        found
    }
}

/// The parameters a statement seems to use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placeholders {
    /// Number of `?`.
    pub positional: usize,
    /// What stands behind a `:`, in lower case. May hold words that are no parameters, never too few.
    names: BTreeSet<String>,
}

impl Placeholders {
    /// Whether a name, which is case-insensitive, is among them.
    pub fn has(&self, name: &str) -> bool {
        self.names.contains(&name.to_lowercase())
    }
}

/// What splitting found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Statements in order; blank ones and those of comments only are left out.
    pub statements: Vec<Statement>,
    /// The text ends after a `;` (or holds nothing), outside of strings and comments.
    pub complete: bool,
}

/// Splits a text at each `;` outside of strings, quoted names and comments.
pub fn split(text: &str) -> Split {
    let mut scanner = Scanner::new(text);
    let mut statements = Vec::new();
    // Where the current statement's first word starts: byte offset, line, column.
    let mut start: Option<(usize, u64, u64)> = None;
    // End of the last character that is neither blank nor part of a comment.
    let mut end = 0;
    let mut terminated = true;
    while let Some((offset, line, column, character)) = scanner.next_character() {
        match character {
            '-' if scanner.peek() == Some('-') => scanner.skip_line(),
            '/' if scanner.peek() == Some('*') => {
                if !scanner.skip_block_comment() {
                    // It stays in the text, so that whoever reads the statement says where it begins.
                    start.get_or_insert((offset, line, column));
                    end = text.len();
                    terminated = false;
                }
            }
            ';' => {
                if let Some((first, line, column)) = start.take() {
                    statements.push(Statement {
                        text: text[first..end].to_owned(),
                        line,
                        column,
                    });
                }
            }
            blank if blank.is_whitespace() => {}
            other => {
                start.get_or_insert((offset, line, column));
                if matches!(other, '\'' | '"' | '`') && !scanner.skip_quoted(other) {
                    terminated = false;
                }
                end = scanner.offset(text);
            }
        }
    }
    let complete = start.is_none() && terminated;
    if let Some((first, line, column)) = start {
        statements.push(Statement {
            text: text[first..end].to_owned(),
            line,
            column,
        });
    }
    Split {
        statements,
        complete,
    }
}

struct Scanner<'text> {
    characters: std::iter::Peekable<std::str::CharIndices<'text>>,
    line: u64,
    column: u64,
}

impl<'text> Scanner<'text> {
    fn new(text: &'text str) -> Self {
        Self {
            characters: text.char_indices().peekable(),
            line: 1,
            column: 1,
        }
    }

    fn next_character(&mut self) -> Option<(usize, u64, u64, char)> {
        let (offset, character) = self.characters.next()?;
        let (line, column) = (self.line, self.column);
        if character == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some((offset, line, column, character))
    }

    fn peek(&mut self) -> Option<char> {
        self.characters.peek().map(|(_, character)| *character)
    }

    fn offset(&mut self, text: &str) -> usize {
        self.characters
            .peek()
            .map_or(text.len(), |(offset, _)| *offset)
    }

    fn skip_line(&mut self) {
        while let Some((_, _, _, character)) = self.next_character() {
            if character == '\n' {
                return;
            }
        }
    }

    /// Block comments nest in no dialect Athena follows. False when the text ends first.
    fn skip_block_comment(&mut self) -> bool {
        self.next_character();
        let mut previous = ' ';
        while let Some((_, _, _, character)) = self.next_character() {
            if previous == '*' && character == '/' {
                return true;
            }
            previous = character;
        }
        false
    }

    /// A doubled quote stands for itself, so it closes and opens again: no special case is needed.
    /// False when the text ends first.
    fn skip_quoted(&mut self, quote: char) -> bool {
        while let Some((_, _, _, character)) = self.next_character() {
            if character == quote {
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<String> {
        split(text)
            .statements
            .into_iter()
            .map(|statement| statement.text)
            .collect()
    }

    #[test]
    fn splits_only_outside_of_strings_names_and_comments() {
        assert_eq!(
            texts("SELECT ';' AS \"a;b\" -- no; not here\n , 'it''s;' /* ; */ ; SELECT `x;y`;"),
            [
                "SELECT ';' AS \"a;b\" -- no; not here\n , 'it''s;'",
                "SELECT `x;y`"
            ]
        );
    }

    #[test]
    fn blank_and_comment_only_statements_are_left_out() {
        assert_eq!(
            texts(" ;; -- nothing\n/* more */ ; SELECT 1 -- end"),
            ["SELECT 1"]
        );
        assert_eq!(split("-- only a comment").statements, []);
    }

    #[test]
    fn a_comment_without_an_end_stays_in_its_statement() {
        assert_eq!(texts("SELECT 1 /* x;"), ["SELECT 1 /* x;"]);
        assert_eq!(texts("SELECT 1; /* x"), ["SELECT 1", "/* x"]);
        assert_eq!(texts("SELECT 1 /* x */"), ["SELECT 1"]);
    }

    #[test]
    fn statements_know_their_place() {
        let split = split("SELECT 1;\n  SELECT é;SELECT 3");
        let places: Vec<(u64, u64)> = split
            .statements
            .iter()
            .map(|s| (s.line, s.column))
            .collect();
        assert_eq!(places, [(1, 1), (2, 3), (2, 12)]);
        assert_eq!(split.statements[1].position_in_source(1, 8), (2, 10));
        assert_eq!(split.statements[1].position_in_source(2, 4), (3, 4));
    }

    #[test]
    fn placeholders_stand_outside_of_strings_and_comments() {
        let statement =
            Statement::whole("SELECT ?, ':no', \"?\" -- :nor\n WHERE a = :Day AND b = ?");
        let found = statement.placeholders();
        assert_eq!(found.positional, 2);
        assert!(found.has("day") && found.has("DAY"));
        assert!(!found.has("no") && !found.has("nor"));
    }

    #[test]
    fn completeness_is_what_the_shell_waits_for() {
        assert!(split("SELECT 1;").complete);
        assert!(split("SELECT 1; -- done").complete);
        assert!(split("").complete);
        assert!(!split("SELECT 1").complete);
        assert!(!split("SELECT ';").complete);
        assert!(!split("SELECT 1; /* open").complete);
    }
}
