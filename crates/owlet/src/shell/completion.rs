//! Completes keywords, catalogs, schemas, tables and columns. Names are asked of the sources when Tab first needs
//! them, with a short patience, and kept; a source that does not answer is not asked again.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use owlet_engine::Engine;
use rustyline::completion::{Completer, Pair};
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper, Highlighter, Hinter};
use tokio::runtime::Handle;

use crate::statements;

/// How long Tab waits for a source.
const PATIENCE: Duration = Duration::from_secs(2);

const KEYWORDS: [&str; 64] = [
    "ALL",
    "AND",
    "ARRAY",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "COUNT",
    "CROSS",
    "CURRENT_DATE",
    "CURRENT_TIMESTAMP",
    "DATE",
    "DESC",
    "DISTINCT",
    "ELSE",
    "END",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "EXTRACT",
    "FALSE",
    "FETCH",
    "FILTER",
    "FIRST",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "IF",
    "IN",
    "INNER",
    "INTERSECT",
    "INTERVAL",
    "IS",
    "JOIN",
    "LAST",
    "LEFT",
    "LIKE",
    "LIMIT",
    "NOT",
    "NULL",
    "NULLS",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PARTITION",
    "RIGHT",
    "ROWS",
    "SELECT",
    "THEN",
    "TIMESTAMP",
    "TRUE",
    "UNION",
    "UNNEST",
    "USING",
    "VALUES",
    "WHEN",
    "WHERE",
    "WITH",
];

/// What rustyline asks while a line is typed.
#[derive(Helper, Hinter, Highlighter)]
pub struct ShellHelper {
    names: Names,
}

impl ShellHelper {
    /// Nothing is asked yet.
    pub fn new(engine: Engine, handle: Handle) -> Self {
        Self {
            names: Names {
                engine,
                handle,
                cache: RefCell::default(),
            },
        }
    }
}

impl Validator for ShellHelper {
    /// A statement goes on until its `;`; backslash commands are one line.
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if is_complete(context.input()) {
            ValidationResult::Valid(None)
        } else {
            ValidationResult::Incomplete
        })
    }
}

/// The typed text can be run as it is.
pub fn is_complete(text: &str) -> bool {
    let trimmed = text.trim();
    trimmed.starts_with('\\')
        || matches!(trimmed.to_lowercase().as_str(), "exit" | "quit" | "help")
        || statements::split(text).complete
}

impl Completer for ShellHelper {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let start = word_start(line, position);
        let word = &line[start..position];
        let (qualifier, prefix) = match word.rfind('.') {
            Some(dot) => (Some(&word[..dot]), &word[dot + 1..]),
            None => (None, word),
        };
        let candidates = match qualifier {
            None => self.unqualified(line, prefix),
            Some(qualifier) => self.qualified(line, qualifier),
        };
        let lower = prefix.to_lowercase();
        let mut matching: Vec<String> = candidates
            .into_iter()
            .filter(|name| name.to_lowercase().starts_with(&lower))
            .collect();
        matching.sort();
        matching.dedup();
        let pairs = matching
            .into_iter()
            .map(|name| Pair {
                display: name.clone(),
                replacement: name,
            })
            .collect();
        Ok((position - prefix.len(), pairs))
    }
}

impl ShellHelper {
    fn unqualified(&self, line: &str, prefix: &str) -> Vec<String> {
        // People who type small letters get small letters.
        let upper = prefix.chars().any(char::is_uppercase);
        let keywords = KEYWORDS.iter().map(|word| {
            if upper {
                (*word).to_owned()
            } else {
                word.to_lowercase()
            }
        });
        let mut candidates: Vec<String> = keywords.collect();
        let catalogs = self.names.catalogs();
        // With one catalog its name need not be written.
        if let [only] = catalogs.as_slice() {
            candidates.extend(self.names.tables(only));
        }
        candidates.extend(catalogs);
        for table in tables_in(line) {
            candidates.extend(self.names.columns(&table.name));
            candidates.extend(table.alias);
        }
        candidates
    }

    fn qualified(&self, line: &str, qualifier: &str) -> Vec<String> {
        let mut candidates = Vec::new();
        for table in tables_in(line) {
            let last = table.name.rsplit('.').next().unwrap_or_default();
            let known_as = table.alias.as_deref().unwrap_or(last);
            if known_as.eq_ignore_ascii_case(qualifier) {
                candidates.extend(self.names.columns(&table.name));
            }
        }
        let catalogs = self.names.catalogs();
        match qualifier.split_once('.') {
            None if catalogs.contains(&qualifier.to_lowercase()) => {
                candidates.extend(self.names.schemas(qualifier));
                candidates.extend(self.names.tables(qualifier));
            }
            Some((catalog, schema)) if catalogs.contains(&catalog.to_lowercase()) => {
                candidates.extend(self.names.tables_of_schema(catalog, schema));
            }
            _ => {}
        }
        candidates
    }
}

/// Names of the sources, asked once.
struct Names {
    engine: Engine,
    handle: Handle,
    cache: RefCell<HashMap<String, Vec<String>>>,
}

impl Names {
    fn catalogs(&self) -> Vec<String> {
        self.engine
            .catalogs()
            .into_iter()
            .map(|catalog| catalog.name)
            .collect()
    }

    fn schemas(&self, catalog: &str) -> Vec<String> {
        self.cached(format!("schemas of {catalog}"), async {
            self.engine.schemas(catalog).await.unwrap_or_default()
        })
    }

    /// Tables that can be written without their schema.
    fn tables(&self, catalog: &str) -> Vec<String> {
        let schemas = self.schemas(catalog);
        let usual = ["public", "main", "default"];
        let configured = self
            .engine
            .source(catalog)
            .and_then(|source| source.connector().default_schema().map(str::to_lowercase));
        schemas
            .iter()
            .find(|schema| match &configured {
                Some(configured) => schema.to_lowercase() == *configured,
                None => usual.contains(&schema.as_str()),
            })
            .map(|schema| self.tables_of_schema(catalog, schema))
            .unwrap_or_default()
    }

    fn tables_of_schema(&self, catalog: &str, schema: &str) -> Vec<String> {
        self.cached(format!("tables of {catalog}.{schema}"), async {
            let tables = self
                .engine
                .tables(catalog, schema)
                .await
                .unwrap_or_default();
            tables.into_iter().map(|table| table.name).collect()
        })
    }

    fn columns(&self, table: &str) -> Vec<String> {
        self.cached(format!("columns of {table}"), async {
            match self.engine.describe(table).await {
                Ok((_, table)) => table
                    .columns
                    .iter()
                    .map(|column| column.name.clone())
                    .collect(),
                // Half a name is the usual case while typing.
                Err(_) => Vec::new(),
            }
        })
    }

    fn cached(&self, key: String, load: impl Future<Output = Vec<String>>) -> Vec<String> {
        if let Some(known) = self.cache.borrow().get(&key) {
            return known.clone();
        }
        let loaded = self
            .handle
            .block_on(async { tokio::time::timeout(PATIENCE, load).await })
            .unwrap_or_default();
        self.cache.borrow_mut().insert(key, loaded.clone());
        loaded
    }
}

/// A table named in the text, with its alias.
#[derive(Debug, PartialEq, Eq)]
struct NamedTable {
    name: String,
    alias: Option<String>,
}

/// Tables behind FROM, JOIN and the commas that follow FROM. A guess that costs nothing when it is wrong.
fn tables_in(line: &str) -> Vec<NamedTable> {
    let words: Vec<&str> = line
        .split(|character: char| character.is_whitespace() || matches!(character, '(' | ')' | ';'))
        .filter(|word| !word.is_empty())
        .collect();
    let mut tables = Vec::new();
    let mut expects_table = false;
    let mut index = 0;
    while index < words.len() {
        let word = words[index];
        index += 1;
        if ["from", "join"]
            .iter()
            .any(|keyword| word.eq_ignore_ascii_case(keyword))
        {
            expects_table = true;
            continue;
        }
        if !expects_table {
            continue;
        }
        let ends_with_comma = word.ends_with(',');
        let name = word.trim_end_matches(',').to_owned();
        expects_table = ends_with_comma;
        let mut alias = None;
        if !ends_with_comma {
            if words
                .get(index)
                .is_some_and(|next| next.eq_ignore_ascii_case("as"))
            {
                index += 1;
            }
            if let Some(next) = words.get(index) {
                let candidate = next.trim_end_matches(',');
                if !KEYWORDS
                    .iter()
                    .any(|keyword| candidate.eq_ignore_ascii_case(keyword))
                {
                    alias = Some(candidate.to_owned());
                    expects_table = next.ends_with(',');
                    index += 1;
                }
            }
        }
        tables.push(NamedTable { name, alias });
    }
    tables
}

/// Where the name under the cursor begins.
fn word_start(line: &str, position: usize) -> usize {
    line[..position]
        .char_indices()
        .rev()
        .take_while(|(_, character)| {
            character.is_alphanumeric() || matches!(character, '_' | '.' | '-')
        })
        .last()
        .map_or(position, |(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_and_aliases_are_found() {
        let found = tables_in(
            "select o. from shop.orders o join shop.customers AS c on c.id = o.x, events.carts where",
        );
        let names: Vec<(&str, Option<&str>)> = found
            .iter()
            .map(|table| (table.name.as_str(), table.alias.as_deref()))
            .collect();
        assert_eq!(
            names,
            [("shop.orders", Some("o")), ("shop.customers", Some("c"))]
        );
        let found = tables_in("SELECT * FROM a x, b");
        let names: Vec<&str> = found.iter().map(|table| table.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[test]
    fn the_word_under_the_cursor() {
        assert_eq!(word_start("select shop.or", 14), 7);
        assert_eq!(word_start("select ", 7), 7);
        assert_eq!(word_start("select count(ä", 15), 13);
    }

    #[test]
    fn statements_end_with_a_semicolon() {
        assert!(is_complete("SELECT 1;"));
        assert!(!is_complete("SELECT 1"));
        assert!(is_complete(r"\d"));
        assert!(is_complete("quit"));
        assert!(is_complete("  "));
    }

    #[test]
    fn completes_keywords_catalogs_tables_and_columns() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a.sqlite");
        let connection = rusqlite::Connection::open(&file).expect("a database");
        connection
            .execute_batch("CREATE TABLE orders (id INTEGER, ordered_at TEXT)")
            .expect("a table");
        let config = crate::config::parse(
            &folder.path().join("owlet.toml"),
            "[catalog.shop]\nconnector = \"sqlite\"\npath = \"a.sqlite\"\n",
            &|_| None,
        )
        .expect("valid");
        let engine = crate::config::runtime::engine(&config).expect("an engine");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .expect("threads");
        let helper = ShellHelper::new(engine, runtime.handle().clone());
        let history = rustyline::history::MemHistory::new();
        let completed = |line: &str| -> Vec<String> {
            let (_, pairs) = helper
                .complete(line, line.len(), &Context::new(&history))
                .expect("completed");
            pairs.into_iter().map(|pair| pair.replacement).collect()
        };
        assert_eq!(completed("SEL"), ["SELECT"]);
        assert_eq!(completed("select * from sh"), ["shop"]);
        assert_eq!(completed("select * from shop."), ["main", "orders"]);
        assert_eq!(completed("select * from shop.main.or"), ["orders"]);
        assert_eq!(
            completed("select * from shop.orders o where o."),
            ["id", "ordered_at"]
        );
        assert_eq!(
            completed("select * from shop.orders where ordered"),
            ["ordered_at"]
        );
    }
}
