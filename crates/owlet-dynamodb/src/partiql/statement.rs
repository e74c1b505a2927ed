//! A reading PartiQL statement taken apart: table, index, what it returns, how it reaches the items. Anything that
//! is not plainly a single `SELECT` is refused here, before it is sent. Must never know columns or requests.

use super::tokens::{Token, tokens};

/// A `SELECT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SelectStatement {
    pub(crate) table: String,
    pub(crate) index: Option<String>,
    /// What each item of the answer has.
    pub(crate) selected: Selected,
    /// Tokens of the condition.
    condition: Vec<Token>,
}

/// What a statement returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Selected {
    /// Whole items.
    Everything,
    /// These paths, in order.
    Paths(Vec<SelectedPath>),
}

/// One returned path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SelectedPath {
    /// The attribute it begins at.
    pub(crate) attribute: String,
    pub(crate) steps: Vec<Step>,
}

/// A step below an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Member(String),
    Element(String),
}

impl SelectedPath {
    /// What DynamoDB calls the value in the answer: the last member with the elements after it.
    pub(crate) fn answer_name(&self) -> String {
        let mut name = self.attribute.clone();
        for step in &self.steps {
            match step {
                Step::Member(member) => name.clone_from(member),
                Step::Element(element) => name.push_str(&format!("[{element}]")),
            }
        }
        name
    }
}

impl SelectStatement {
    /// Takes a text apart; the error says why it is not sent.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut tokens = tokens(text)?;
        while tokens.last() == Some(&Token::Symbol(';')) {
            tokens.pop();
        }
        if tokens.contains(&Token::Symbol(';')) {
            return Err("it has several statements".to_owned());
        }
        if tokens.contains(&Token::Symbol('?')) {
            return Err("it has a parameter without a value".to_owned());
        }
        match tokens.first() {
            Some(first) if first.is_word("select") => {}
            Some(Token::Word(word)) => {
                return Err(format!(
                    "it begins with {}, and only SELECT reads",
                    word.to_uppercase()
                ));
            }
            _ => return Err("it does not begin with SELECT".to_owned()),
        }
        let mut parser = Parser {
            tokens: &tokens[1..],
        };
        let selected = parser.selected()?;
        let table = parser.name("the table")?;
        let index = parser
            .accept('.')
            .then(|| parser.name("the index"))
            .transpose()?;
        let condition = match parser.tokens {
            [] => Vec::new(),
            [first, rest @ ..] if first.is_word("where") => rest.to_vec(),
            [first, ..] if first.is_word("order") => Vec::new(),
            [other, ..] => {
                return Err(format!(
                    "{} follows the table, where WHERE or ORDER BY can",
                    describe(other)
                ));
            }
        };
        Ok(Self {
            table,
            index,
            selected,
            condition,
        })
    }

    /// How many values of the partition key the condition surely fixes; `None` when it may read everything. Only
    /// plain conjunctions are understood.
    pub(crate) fn fixed_values(&self, partition_key: &str) -> Option<usize> {
        let tokens = &self.condition;
        let end = tokens
            .iter()
            .position(|token| token.is_word("order"))
            .unwrap_or(tokens.len());
        let condition = &tokens[..end];
        if condition
            .iter()
            .any(|token| token.is_word("or") || token.is_word("not"))
        {
            return None;
        }
        let mut depth = 0_u32;
        for (position, token) in condition.iter().enumerate() {
            match token {
                Token::Symbol('(' | '[') => depth += 1,
                Token::Symbol(')' | ']') => depth = depth.saturating_sub(1),
                _ => {}
            }
            let is_bound = position >= 3 && condition[position - 3].is_word("between");
            let begins = position == 0 || (condition[position - 1].is_word("and") && !is_bound);
            if depth > 0 || !begins || token.name() != Some(partition_key) {
                continue;
            }
            match &condition[position + 1..] {
                [
                    Token::Symbol('='),
                    Token::Text(_) | Token::Number(_) | Token::Ion,
                    ..,
                ] => {
                    return Some(1);
                }
                [Token::Symbol('='), Token::Symbol('-'), Token::Number(_), ..] => return Some(1),
                [word, Token::Symbol('[' | '('), rest @ ..] if word.is_word("in") => {
                    let list = rest
                        .iter()
                        .take_while(|token| !matches!(token, Token::Symbol(']' | ')')));
                    let commas = list.filter(|token| **token == Token::Symbol(',')).count();
                    return Some(commas + 1);
                }
                _ => {}
            }
        }
        None
    }
}

struct Parser<'a> {
    tokens: &'a [Token],
}

impl Parser<'_> {
    fn accept(&mut self, symbol: char) -> bool {
        match self.tokens {
            [Token::Symbol(own), rest @ ..] if *own == symbol => {
                self.tokens = rest;
                true
            }
            _ => false,
        }
    }

    fn name(&mut self, what: &str) -> Result<String, String> {
        match self.tokens {
            [token, rest @ ..] => match token.name() {
                Some(name) => {
                    self.tokens = rest;
                    Ok(name.to_owned())
                }
                None => Err(format!(
                    "the name of {what} is missing before {}",
                    describe(token)
                )),
            },
            [] => Err(format!("the name of {what} is missing at its end")),
        }
    }

    /// Everything up to and with FROM.
    fn selected(&mut self) -> Result<Selected, String> {
        if self.accept('*') {
            self.expect_from()?;
            return Ok(Selected::Everything);
        }
        let mut paths = Vec::new();
        loop {
            paths.push(self.path()?);
            if !self.accept(',') {
                break;
            }
        }
        self.expect_from()?;
        Ok(Selected::Paths(paths))
    }

    fn path(&mut self) -> Result<SelectedPath, String> {
        let attribute = self.name("an attribute")?;
        let mut steps = Vec::new();
        loop {
            if self.accept('.') {
                steps.push(Step::Member(self.name("a map's key")?));
            } else if self.accept('[') {
                match self.tokens {
                    [Token::Number(number), Token::Symbol(']'), rest @ ..] => {
                        steps.push(Step::Element(number.clone()));
                        self.tokens = rest;
                    }
                    [Token::Text(member), Token::Symbol(']'), rest @ ..] => {
                        steps.push(Step::Member(member.clone()));
                        self.tokens = rest;
                    }
                    _ => return Err("[ is not followed by an element's number".to_owned()),
                }
            } else {
                return Ok(SelectedPath { attribute, steps });
            }
        }
    }

    fn expect_from(&mut self) -> Result<(), String> {
        match self.tokens {
            [first, rest @ ..] if first.is_word("from") => {
                self.tokens = rest;
                Ok(())
            }
            [other, ..] => Err(format!(
                "{} follows what is selected, where FROM must (DynamoDB returns attributes and paths, nothing computed)",
                describe(other)
            )),
            [] => Err("it has no FROM".to_owned()),
        }
    }
}

fn describe(token: &Token) -> String {
    match token {
        Token::Word(word) => word.clone(),
        Token::Quoted(name) => format!("\"{name}\""),
        Token::Text(text) => format!("'{text}'"),
        Token::Number(number) => number.clone(),
        Token::Ion => "an Ion literal".to_owned(),
        Token::Symbol(symbol) => symbol.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> SelectStatement {
        SelectStatement::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn selects_are_taken_apart() {
        let statement =
            parsed("select pk, m.\"a b\".c[1], t FROM \"my-table\".\"by status\" WHERE pk='a';");
        assert_eq!(statement.table, "my-table");
        assert_eq!(statement.index.as_deref(), Some("by status"));
        let Selected::Paths(paths) = &statement.selected else {
            panic!("paths were selected");
        };
        let names: Vec<String> = paths.iter().map(SelectedPath::answer_name).collect();
        assert_eq!(names, ["pk", "c[1]", "t"]);
        assert_eq!(parsed("SELECT * FROM t").selected, Selected::Everything);
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "-- SELECT * FROM t",
            "DELETE FROM t WHERE pk = 'a'",
            "INSERT INTO t VALUE {'pk': 'a'}",
            "UPDATE t SET a = 1 WHERE pk = 'a'",
            "EXISTS(SELECT * FROM t WHERE pk = 'a')",
            "SELECT * FROM t; DELETE FROM t WHERE pk = 'a'",
            "SELECT * FROM t WHERE pk = ?",
            "SELECT count(*) FROM t",
            "SELECT pk AS a FROM t",
            "SELECT pk",
            "SELECT * FROM t x",
            "SELECT * FROM (DELETE FROM t)",
            "/* SELECT */ DELETE FROM t",
        ] {
            assert!(SelectStatement::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn fixed_partition_keys_are_found() {
        let fixed = |text: &str| parsed(&format!("SELECT * FROM t {text}")).fixed_values("pk");
        assert_eq!(fixed("WHERE pk = 'a'"), Some(1));
        assert_eq!(fixed("WHERE \"pk\" = -5 AND x > 3 ORDER BY sk"), Some(1));
        assert_eq!(fixed("WHERE x > 3 AND pk IN ['a', 'b', 'c']"), Some(3));
        for open in [
            "",
            "WHERE pk = 'a' OR x = 1",
            "WHERE NOT pk = 'a'",
            "WHERE PK = 'a'",
            "WHERE m.pk = 'a'",
            "WHERE x = pk",
            "WHERE pk > 'a'",
            "WHERE pk = other",
            "WHERE contains(pk, 'a')",
            "WHERE (pk = 'a')",
            "WHERE x BETWEEN 1 AND pk = 'a'",
        ] {
            assert_eq!(fixed(open), None, "{open}");
        }
    }
}
