//! The statement layer: one text becomes one statement Owlet knows how to answer.
//! It must never know plans or sources.

use std::collections::HashMap;
use std::ops::ControlFlow;

use datafusion::sql::parser::Statement as DataFusionStatement;
use datafusion_common::{DFSchema, TableReference};
use sqlparser::ast::{ObjectName, Statement, Visit, Visitor};
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Token, TokenWithSpan};

use crate::dialect::AthenaDialect;
use crate::errors::SqlError;
use crate::names;
use crate::parameters::ParameterUse;
use crate::passes;
use crate::patterns::NamePattern;
use crate::session::RECURSION_LIMIT;
use crate::source::{self, Spellings};

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
    let source = source::tokenize(sql)?;
    let statement = parse_tokens(source.tokens)?;
    query_statement(statement, &source.spellings)
}

fn parse_tokens(tokens: Vec<TokenWithSpan>) -> Result<Statement, SqlError> {
    let mut parser = Parser::new(&AthenaDialect)
        .with_recursion_limit(RECURSION_LIMIT)
        .with_tokens_with_locations(tokens);
    let statement = parser
        .parse_statement()
        .map_err(|error| syntax_error(error, &parser))?;
    let next = parser.peek_token();
    if next.token != Token::EOF {
        return Err(SqlError::Syntax {
            line: next.span.start.line,
            column: next.span.start.column,
            message: format!("unexpected {}", next.token),
            hint: String::new(),
        });
    }
    Ok(statement)
}

fn syntax_error(error: ParserError, parser: &Parser<'_>) -> SqlError {
    let location = parser.peek_token().span.start;
    let message = match error {
        ParserError::TokenizerError(message) | ParserError::ParserError(message) => message,
        ParserError::RecursionLimitExceeded => "the expression is nested too deeply".to_owned(),
    };
    SqlError::Syntax {
        line: location.line.max(1),
        column: location.column.max(1),
        message,
        hint: String::new(),
    }
}

fn query_statement(
    mut statement: Statement,
    spellings: &Spellings,
) -> Result<ParsedStatement, SqlError> {
    let table_spellings = table_spellings(&statement, spellings);
    passes::files::apply(&mut statement);
    let parameters = passes::placeholders::apply(&mut statement);
    passes::select_names::apply(&mut statement);
    let statement = Box::new(DataFusionStatement::Statement(Box::new(statement)));
    Ok(ParsedStatement {
        statement: StatementKind::Query(statement),
        parameters,
        table_spellings,
    })
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

impl ParsedStatement {
    /// Display names of the columns of this statement's planned query, as written in the statement.
    pub fn display_names(&self, schema: &DFSchema) -> Vec<String> {
        names::display_names(schema)
    }
}
