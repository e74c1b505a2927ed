//! The statement layer: one text becomes one statement Owlet knows how to answer.
//! It must never know plans or sources.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::parser::Statement as DataFusionStatement;
use datafusion_common::{DFSchema, TableReference};
use sqlparser::ast::{ObjectName, Select, Statement, Visit, Visitor};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token};

use crate::dialect::AthenaDialect;
use crate::errors::SqlError;
use crate::names;
use crate::parameters::ParameterUse;
use crate::passes;
use crate::patterns::NamePattern;
use crate::session::RECURSION_LIMIT;
use crate::source::{self, Source, Spellings};
use crate::utility::{self, ExplainOptions};

/// A statement in Athena's dialect, ready to be planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParsedStatement {
    /// What is asked.
    pub statement: StatementKind,
    /// The parameters it uses.
    pub parameters: ParameterUse,
    /// Original spelling of table names that were folded to lower case: `catalog.schema.table` folded, as it
    /// appears in a `TableReference`'s `to_string()`, to the parts as written.
    pub table_spellings: HashMap<String, Vec<String>>,
    /// Names of output columns as written, by their folded form.
    column_spellings: HashMap<String, String>,
}

/// The kinds of statement Owlet answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatementKind {
    /// `SELECT`, `VALUES`, `WITH`: ready for `SessionState::statement_to_plan`.
    Query(Box<DataFusionStatement>),
    /// `EXPLAIN [ANALYZE] [(TYPE …, FORMAT …)]` of the inner query.
    Explain {
        /// Plan only, or run and measure.
        mode: ExplainMode,
        /// Which view of the plan.
        explain_type: ExplainType,
        /// How it is written.
        format: ExplainFormat,
        /// The query.
        inner: Box<DataFusionStatement>,
    },
    /// `SHOW CATALOGS [LIKE …]`.
    ShowCatalogs {
        /// Which names.
        like: Option<NamePattern>,
    },
    /// `SHOW SCHEMAS|DATABASES [FROM|IN catalog] [LIKE …]`.
    ShowSchemas {
        /// Catalog; `None` is the session's.
        catalog: Option<String>,
        /// Which names.
        like: Option<NamePattern>,
    },
    /// `SHOW TABLES [FROM|IN [catalog.]schema] [LIKE …]`.
    ShowTables {
        /// Catalog; `None` is the session's.
        catalog: Option<String>,
        /// Schema; `None` is the session's.
        schema: Option<String>,
        /// Which names.
        like: Option<NamePattern>,
    },
    /// `SHOW COLUMNS FROM|IN table`.
    ShowColumns {
        /// The table.
        table: TableReference,
    },
    /// `DESCRIBE|DESC table`.
    DescribeTable {
        /// The table.
        table: TableReference,
    },
    /// `SHOW FUNCTIONS [LIKE …]`.
    ShowFunctions {
        /// Which names.
        like: Option<NamePattern>,
    },
}

/// Whether an explained statement runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExplainMode {
    /// `EXPLAIN`: plan only.
    Plan,
    /// `EXPLAIN ANALYZE`: run it and report what happened.
    Analyze,
    /// `EXPLAIN ANALYZE VERBOSE`.
    AnalyzeVerbose,
}

/// `EXPLAIN (TYPE …)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExplainType {
    /// The logical plan.
    Logical,
    /// The plan as it is executed (the default).
    #[default]
    Distributed,
    /// Only whether the statement is valid.
    Validate,
    /// What is read.
    Io,
}

/// `EXPLAIN (FORMAT …)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExplainFormat {
    /// A tree for people (the default).
    #[default]
    Text,
    /// JSON.
    Json,
    /// Graphviz.
    Graphviz,
}

/// Parses exactly one statement in Athena's dialect; a closing `;` is allowed.
pub fn parse(sql: &str) -> Result<ParsedStatement, SqlError> {
    let Source { tokens, spellings } = source::tokenize(sql)?;
    let (word, location) = match utility::first_word(&tokens) {
        Some((word, location)) => (word.to_owned(), location),
        None => (String::new(), Location { line: 1, column: 1 }),
    };
    utility::refuse(&word, location)?;
    let mut parser = Parser::new(&AthenaDialect)
        .with_recursion_limit(RECURSION_LIMIT)
        .with_tokens_with_locations(tokens);
    match word.as_str() {
        "show" => utility::parse_show(&mut parser).map(ParsedStatement::without_names),
        "describe" | "desc" => {
            utility::parse_describe(&mut parser).map(ParsedStatement::without_names)
        }
        "explain" => {
            let ExplainOptions {
                mode,
                explain_type,
                format,
            } = utility::parse_explain(&mut parser)?;
            let parsed = parse_query(&mut parser, &spellings)?;
            Ok(parsed.into_statement(|inner| StatementKind::Explain {
                mode,
                explain_type,
                format,
                inner,
            }))
        }
        _ => Ok(parse_query(&mut parser, &spellings)?.into_statement(StatementKind::Query)),
    }
}

/// A query with what its text tells about names.
struct ParsedQuery {
    query: Box<DataFusionStatement>,
    parameters: ParameterUse,
    table_spellings: HashMap<String, Vec<String>>,
    column_spellings: HashMap<String, String>,
}

impl ParsedQuery {
    fn into_statement(
        self,
        kind: impl FnOnce(Box<DataFusionStatement>) -> StatementKind,
    ) -> ParsedStatement {
        let Self {
            query,
            parameters,
            table_spellings,
            column_spellings,
        } = self;
        ParsedStatement {
            statement: kind(query),
            parameters,
            table_spellings,
            column_spellings,
        }
    }
}

fn parse_query(parser: &mut Parser<'_>, spellings: &Spellings) -> Result<ParsedQuery, SqlError> {
    let at = parser.peek_token().span.start;
    let mut statement = parser
        .parse_statement()
        .map_err(|error| syntax_error(error, parser))?;
    expect_end(parser)?;
    if !matches!(statement, Statement::Query(_)) {
        return Err(SqlError::unsupported(
            at,
            "this statement is not offered: Owlet answers queries",
        ));
    }
    let table_spellings = table_spellings(&statement, spellings);
    let column_spellings = column_spellings(&statement, spellings);
    let parameters = passes::apply(&mut statement)?;
    let query = Box::new(DataFusionStatement::Statement(Box::new(statement)));
    Ok(ParsedQuery {
        query,
        parameters,
        table_spellings,
        column_spellings,
    })
}

pub(crate) fn expect_end(parser: &mut Parser<'_>) -> Result<(), SqlError> {
    let next = parser.peek_token();
    match next.token {
        Token::EOF => Ok(()),
        unexpected => Err(SqlError::syntax(
            next.span.start,
            format!("unexpected {unexpected}"),
        )),
    }
}

/// The parser's error with its place, which it only writes into its text.
pub(crate) fn syntax_error(error: ParserError, parser: &Parser<'_>) -> SqlError {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
        ParserError::RecursionLimitExceeded => "the expression is nested too deeply".to_owned(),
    };
    let (message, location) = match text.rsplit_once(" at Line: ") {
        None => (text.as_str(), None),
        Some((message, place)) => (
            message,
            place.split_once(", Column: ").and_then(|(line, column)| {
                Some(Location {
                    line: line.trim().parse().ok()?,
                    column: column.trim().parse().ok()?,
                })
            }),
        ),
    };
    let message = message
        .replace("Expected: ", "expected ")
        .replace("Expected an expression", "expected an expression")
        .replace("found: EOF", "found the end of the statement");
    // Some messages have no place; the parser then stands at or behind the culprit.
    let next = parser.peek_token();
    let current = parser.get_current_token();
    let near = if next.token != Token::EOF {
        next.span.start
    } else if message.ends_with("the end of the statement") {
        end_of_text(parser)
    } else {
        current.span.start
    };
    // The parser reads FROM as a column's name first, and then names the place behind it.
    let location = if message.ends_with("expected an expression, found: from") {
        Some(current.span.start)
    } else {
        location
    };
    SqlError::syntax(
        location.unwrap_or(near),
        message.replace("found: ", "found "),
    )
}

/// Behind the last word. Tokens of the text's end have no place of their own.
fn end_of_text(parser: &Parser<'_>) -> Location {
    (0..=parser.index())
        .rev()
        .map(|index| parser.token_at(index))
        .find(|token| !matches!(token.token, Token::EOF | Token::Whitespace(_)))
        .map_or(Location { line: 1, column: 1 }, |token| token.span.end)
}

fn table_spellings(statement: &Statement, spellings: &Spellings) -> HashMap<String, Vec<String>> {
    struct Tables<'a> {
        spellings: &'a Spellings,
        found: HashMap<String, Vec<String>>,
    }
    impl Visitor for Tables<'_> {
        type Break = ();

        fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
            let parts: Vec<_> = relation
                .0
                .iter()
                .filter_map(|part| part.as_ident())
                .collect();
            let written: Vec<String> = parts
                .iter()
                .map(|part| {
                    self.spellings
                        .at(part.span.start)
                        .unwrap_or(&part.value)
                        .to_owned()
                })
                .collect();
            let folded: Vec<&str> = parts.iter().map(|part| part.value.as_str()).collect();
            if written != folded {
                self.found.insert(folded.join("."), written);
            }
            ControlFlow::Continue(())
        }
    }
    let mut tables = Tables {
        spellings,
        found: HashMap::new(),
    };
    let _ = statement.visit(&mut tables);
    tables.found
}

/// Names of output columns that are not written in lower case. What the outermost select list says wins; names
/// further down show through a wildcard.
fn column_spellings(statement: &Statement, spellings: &Spellings) -> HashMap<String, String> {
    struct Columns<'a> {
        spellings: &'a Spellings,
        found: HashMap<String, String>,
    }
    impl Visitor for Columns<'_> {
        type Break = ();

        fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
            for name in select
                .projection
                .iter()
                .filter_map(passes::select_names::item_name)
            {
                let spelling = self.spellings.at(name.span.start).unwrap_or(&name.value);
                self.found
                    .entry(name.value.clone())
                    .or_insert_with(|| spelling.to_owned());
            }
            ControlFlow::Continue(())
        }
    }
    let mut columns = Columns {
        spellings,
        found: HashMap::new(),
    };
    // Parents are visited before their subqueries; CTEs come before the query's body in the tree.
    if let Statement::Query(query) = statement {
        let _ = query.body.visit(&mut columns);
    }
    let _ = statement.visit(&mut columns);
    columns.found.retain(|folded, spelling| folded != spelling);
    columns.found
}

impl ParsedStatement {
    fn without_names(statement: StatementKind) -> Self {
        Self {
            statement,
            parameters: ParameterUse::default(),
            table_spellings: HashMap::new(),
            column_spellings: HashMap::new(),
        }
    }

    /// Display names of the columns of this statement's planned query, spelled as in the statement.
    pub fn display_names(&self, schema: &DFSchema) -> Vec<String> {
        let names = names::display_names(schema).into_iter();
        names
            .map(|name| self.column_spellings.get(&name).cloned().unwrap_or(name))
            .collect()
    }
}
