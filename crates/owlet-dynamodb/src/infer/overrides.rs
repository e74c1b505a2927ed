//! The override file: column types a person has decided, in a small and strict part of TOML.
//! Must never know samples or requests.
//!
//! ```toml
//! [tables.orders.columns]
//! total = "decimal(38,2)"
//! "line items" = "json"
//! ```

use std::path::Path;

use owlet_connector::ConnectorError;

use super::types::parse_type;
use crate::shape::Shape;

/// Pairs with unique keys in the order of insertion: a file keeps its order when it is rewritten.
type OrderedMap<V> = Vec<(String, V)>;

/// Declared column types by table and attribute, in the file's order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SchemaOverrides {
    tables: OrderedMap<OrderedMap<Override>>,
}

#[derive(Debug, Clone, PartialEq)]
struct Override {
    shape: Shape,
    comment: String,
}

impl SchemaOverrides {
    /// Reads a file; the error names file and line.
    pub fn load(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        Self::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// The configured file, as queries need it: missing, it is an error.
    pub(crate) fn load_configured(catalog: &str, path: &Path) -> Result<Self, ConnectorError> {
        Self::load(path).map_err(|message| ConnectorError::Configuration {
            catalog: catalog.to_owned(),
            message: format!("the schema override file cannot be used: {message}"),
            hint: if path.exists() {
                "correct the file; its sections are [tables.NAME.columns], its lines NAME = \"TYPE\""
            } else {
                "`owlet schema infer CATALOG.TABLE --write` makes one"
            }
            .to_owned(),
        })
    }

    /// What stands in for a configured file that is yet to be written; `None` where the file is there, or none is
    /// configured. Queries do not ask this: for them a missing file is an error, or a wrong path would change types
    /// without a word.
    pub(crate) fn of_missing_file(path: Option<&Path>) -> Option<Self> {
        path.filter(|path| !path.exists()).map(|_| Self::default())
    }

    /// Reads the file's text; the error names the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut overrides = Self::default();
        let mut table: Option<String> = None;
        for (number, line) in text.lines().enumerate() {
            let located = |message: String| format!("line {}: {message}", number + 1);
            let mut line = Line { rest: line.trim() };
            if line.rest.is_empty() || line.rest.starts_with('#') {
                continue;
            }
            if line.rest.starts_with('[') {
                let name = line.header().map_err(located)?;
                if overrides.tables.iter().any(|(known, _)| *known == name) {
                    return Err(located(format!("table {name} has a section already")));
                }
                overrides.tables.push((name.clone(), Vec::new()));
                table = Some(name);
                continue;
            }
            let Some(columns) = table
                .as_ref()
                .and_then(|table| overrides.columns_mut(table))
            else {
                return Err(located(
                    "a column needs a section [tables.NAME.columns] before it".to_owned(),
                ));
            };
            let (column, declared) = line.assignment().map_err(located)?;
            if columns.iter().any(|(known, _)| *known == column) {
                return Err(located(format!("column {column} is declared already")));
            }
            let shape = parse_type(&declared)
                .map_err(|error| located(format!("type of {column}: {error}")))?;
            columns.push((
                column,
                Override {
                    shape,
                    comment: line.comment(),
                },
            ));
        }
        Ok(overrides)
    }

    fn columns_mut(&mut self, table: &str) -> Option<&mut OrderedMap<Override>> {
        self.tables
            .iter_mut()
            .find(|(name, _)| name == table)
            .map(|(_, columns)| columns)
    }

    /// Declared shapes of one table's attributes.
    pub(crate) fn of_table(&self, table: &str) -> impl Iterator<Item = (&str, &Shape)> {
        self.tables
            .iter()
            .filter(move |(name, _)| name == table)
            .flat_map(|(_, columns)| {
                columns
                    .iter()
                    .map(|(name, declared)| (name.as_str(), &declared.shape))
            })
    }

    /// Replaces all declarations of one table; each column with a comment that tells why.
    pub(crate) fn replace_table(&mut self, table: &str, columns: Vec<(String, Shape, String)>) {
        let columns = columns
            .into_iter()
            .map(|(name, shape, comment)| (name, Override { shape, comment }))
            .collect();
        match self.columns_mut(table) {
            Some(known) => *known = columns,
            None => self.tables.push((table.to_owned(), columns)),
        }
    }

    /// The text of the file.
    pub fn render(&self) -> String {
        let mut text = String::from(
            "# Column types of DynamoDB tables. They take precedence over what Owlet infers from a sample.\n\
             # Types: boolean, bigint, decimal(38,scale), double, number_text, varchar, varbinary, json,\n\
             #        array(type), set(type), row(name type, ...)\n",
        );
        for (table, columns) in &self.tables {
            text.push_str(&format!("\n[tables.{}.columns]\n", quoted_key(table)));
            for (name, declared) in columns {
                text.push_str(&format!(
                    "{} = {}",
                    quoted_key(name),
                    quoted(&declared.shape.sql_type())
                ));
                if !declared.comment.is_empty() {
                    text.push_str(&format!(" # {}", declared.comment));
                }
                text.push('\n');
            }
        }
        text
    }
}

fn quoted_key(name: &str) -> String {
    let is_bare = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if is_bare {
        name.to_owned()
    } else {
        quoted(name)
    }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            other if other.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(other))),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

/// Reads one line of the file from its start.
struct Line<'a> {
    rest: &'a str,
}

impl Line<'_> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn expect(&mut self, token: &str) -> Result<(), String> {
        self.skip_space();
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                Ok(())
            }
            None => Err(format!("{token:?} is missing before {:?}", self.rest)),
        }
    }

    /// `[tables.NAME.columns]`
    fn header(&mut self) -> Result<String, String> {
        self.expect("[")?;
        let mut keys = vec![self.key()?];
        self.skip_space();
        while self.rest.starts_with('.') {
            self.expect(".")?;
            keys.push(self.key()?);
            self.skip_space();
        }
        self.expect("]")?;
        self.end()?;
        match <[String; 3]>::try_from(keys) {
            Ok([first, table, last]) if first == "tables" && last == "columns" => Ok(table),
            _ => Err("the sections of this file are [tables.NAME.columns]; quote a name with a dot in it".to_owned()),
        }
    }

    /// `NAME = "TYPE"`, up to a comment.
    fn assignment(&mut self) -> Result<(String, String), String> {
        let name = self.key()?;
        self.expect("=")?;
        self.skip_space();
        if !self.rest.starts_with(['"', '\'']) {
            return Err(format!("the type of {name} must be a quoted text"));
        }
        let value = self.key()?;
        self.end()?;
        Ok((name, value))
    }

    fn end(&mut self) -> Result<(), String> {
        self.skip_space();
        if self.rest.is_empty() || self.rest.starts_with('#') {
            return Ok(());
        }
        Err(format!("{:?} is not expected", self.rest))
    }

    fn comment(&self) -> String {
        self.rest.trim_start_matches('#').trim().to_owned()
    }

    /// A bare key, or a basic or literal string.
    fn key(&mut self) -> Result<String, String> {
        self.skip_space();
        if let Some(rest) = self.rest.strip_prefix('\'') {
            let Some((content, after)) = rest.split_once('\'') else {
                return Err("a quoted text does not end".to_owned());
            };
            self.rest = after;
            return Ok(content.to_owned());
        }
        if let Some(rest) = self.rest.strip_prefix('"') {
            return self.basic_string(rest.to_owned());
        }
        let end = self.rest.find(|character: char| {
            !(character.is_ascii_alphanumeric() || "_-".contains(character))
        });
        let (key, after) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        if key.is_empty() {
            return Err(format!("a name is missing before {:?}", self.rest));
        }
        let key = key.to_owned();
        self.rest = after;
        Ok(key)
    }

    fn basic_string(&mut self, rest: String) -> Result<String, String> {
        let mut content = String::new();
        let mut characters = rest.char_indices();
        while let Some((position, character)) = characters.next() {
            match character {
                '"' => {
                    let consumed = 1 + position + 1;
                    self.rest = self.rest.get(consumed..).unwrap_or_default();
                    return Ok(content);
                }
                '\\' => {
                    let Some((_, escape)) = characters.next() else {
                        break;
                    };
                    content.push(match escape {
                        '"' | '\\' => escape,
                        'n' => '\n',
                        'r' => '\r',
                        't' => '\t',
                        'b' => '\u{8}',
                        'f' => '\u{c}',
                        'u' | 'U' => {
                            unicode_escape(&mut characters, if escape == 'u' { 4 } else { 8 })?
                        }
                        other => return Err(format!("\\{other} is no escape")),
                    });
                }
                other => content.push(other),
            }
        }
        Err("a quoted text does not end".to_owned())
    }
}

fn unicode_escape(
    characters: &mut std::str::CharIndices<'_>,
    digits: usize,
) -> Result<char, String> {
    let text: String = characters
        .take(digits)
        .map(|(_, character)| character)
        .collect();
    let code = if text.chars().count() == digits {
        u32::from_str_radix(&text, 16).ok()
    } else {
        None
    };
    code.and_then(char::from_u32)
        .ok_or_else(|| format!("\\u{text} is no character"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_survives_a_round_trip() {
        let text = r#"
            # decided by the shop team
            [tables.orders.columns]
            total = "decimal(38,2)"  # N 99.2 %, S 0.8 %
            'line items' = 'row("sku" varchar, "n" bigint)'
            "weird \"name\" \u00e9" = "json"

            [ tables . "dotted.name" . columns ]
            a-b = "set(varchar)"
        "#;
        let overrides = SchemaOverrides::parse(text).expect("the file is valid");
        let names: Vec<&str> = overrides.of_table("orders").map(|(name, _)| name).collect();
        assert_eq!(names, ["total", "line items", "weird \"name\" é"]);
        assert_eq!(overrides.of_table("dotted.name").count(), 1);
        assert_eq!(SchemaOverrides::parse(&overrides.render()), Ok(overrides));
    }

    #[test]
    fn only_a_missing_file_is_to_be_made() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("schema.toml");
        let load = || {
            SchemaOverrides::load_configured("events", &path)
                .expect_err("the file cannot be used")
                .to_string()
        };
        let missing = load();
        assert!(missing.contains("--write"), "{missing}");
        std::fs::write(&path, "[tables.t.columns]\na = \"int\"\n").expect("it is written");
        let broken = load();
        assert!(
            broken.contains("schema.toml: line 2: type of a"),
            "{broken}"
        );
        assert!(
            broken.contains("hint: correct the file") && !broken.contains("--write"),
            "{broken}"
        );
    }

    #[test]
    fn mistakes_name_the_line() {
        for (text, line) in [
            ("a = \"bigint\"", "line 1"),
            ("[tables.t.columns]\na = bigint", "line 2"),
            ("[tables.t.columns]\na = \"int\"", "line 2"),
            ("[tables.t]\n", "line 1"),
            ("[tables.t.columns]\na = \"bigint\"\na = \"json\"", "line 3"),
            ("[tables.t.columns]\n\n\"a = \"bigint\"", "line 3"),
            ("[tables.t.columns]\na = \"bigint\" b", "line 2"),
        ] {
            let error = SchemaOverrides::parse(text).expect_err(text);
            assert!(error.starts_with(line), "{error}");
        }
    }
}
