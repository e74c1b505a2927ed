//! `EXPLAIN`, `SHOW` and `DESCRIBE`, and the refusal of everything that would change something.
//! It must never know what is listed or explained.

use datafusion_common::TableReference;
use sqlparser::ast::ObjectName;
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Location, Token, TokenWithSpan};

use crate::errors::SqlError;
use crate::patterns::NamePattern;
use crate::statement::{
    ExplainFormat, ExplainMode, ExplainType, StatementKind, expect_end, syntax_error,
};

/// What follows `EXPLAIN`, before the explained statement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExplainOptions {
    pub(crate) mode: ExplainMode,
    pub(crate) explain_type: ExplainType,
    pub(crate) format: ExplainFormat,
}

/// The first word of the statement.
pub(crate) fn first_word(tokens: &[TokenWithSpan]) -> Option<(&str, Location)> {
    tokens.iter().find_map(|token| match &token.token {
        Token::Word(word) if word.quote_style.is_none() => {
            Some((word.value.as_str(), token.span.start))
        }
        _ => None,
    })
}

/// Refuses statements that Owlet understands but does not do, before their own syntax gets in the way.
pub(crate) fn refuse(word: &str, location: Location) -> Result<(), SqlError> {
    let (message, hint) = match word {
        "create" | "drop" | "alter" | "insert" | "update" | "delete" | "merge" | "truncate"
        | "msck" | "vacuum" | "optimize" | "comment" | "refresh" | "analyze" | "grant"
        | "revoke" | "deny" | "call" => (
            format!(
                "{} is not possible: Owlet reads its sources and never changes them",
                word.to_uppercase()
            ),
            "run it at the source",
        ),
        "unload" | "copy" => (
            format!(
                "{} is not possible: Owlet never writes to a source",
                word.to_uppercase()
            ),
            "run the query alone and let the client write its result to a file (owlet query --to FILE)",
        ),
        "start" | "begin" | "commit" | "rollback" => (
            format!(
                "{} is not possible: there are no transactions, a statement stands alone",
                word.to_uppercase()
            ),
            "leave it out and run the query alone",
        ),
        "set" | "reset" | "use" => (
            format!(
                "{} is not possible: a statement stands alone, there is no session to change",
                word.to_uppercase()
            ),
            match word {
                "use" => "write full names (catalog.schema.table)",
                _ => "settings stand in the configuration",
            },
        ),
        "using" => (
            "USING EXTERNAL FUNCTION is not offered".to_owned(),
            "write the expression with the functions that SHOW FUNCTIONS lists",
        ),
        "prepare" | "execute" | "deallocate" => (
            format!("{} is not possible here", word.to_uppercase()),
            "write ? or :name in the query and give the values beside it",
        ),
        _ => return Ok(()),
    };
    Err(SqlError::unsupported(location, message).with_hint(hint))
}

/// Reads `EXPLAIN [ANALYZE [VERBOSE]] [(TYPE …, FORMAT …)]` and leaves the parser before the explained statement.
pub(crate) fn parse_explain(parser: &mut Parser<'_>) -> Result<ExplainOptions, SqlError> {
    let mut options = ExplainOptions {
        mode: ExplainMode::Plan,
        explain_type: ExplainType::default(),
        format: ExplainFormat::default(),
    };
    parser
        .expect_keyword(Keyword::EXPLAIN)
        .map_err(|error| syntax_error(error, parser))?;
    if parser.parse_keyword(Keyword::ANALYZE) {
        options.mode = match parser.parse_keyword(Keyword::VERBOSE) {
            true => ExplainMode::AnalyzeVerbose,
            false => ExplainMode::Analyze,
        };
    }
    let opens_options = parser.peek_token().token == Token::LParen
        && matches!(&parser.peek_nth_token(1).token, Token::Word(word) if ["type", "format"].contains(&word.value.as_str()));
    if !opens_options {
        return Ok(options);
    }
    parser.next_token();
    loop {
        let name = next_word(parser);
        let at = parser.peek_token().span.start;
        let value = next_word(parser);
        match (name.as_str(), value.as_str()) {
            ("type", "logical") => options.explain_type = ExplainType::Logical,
            ("type", "distributed") => options.explain_type = ExplainType::Distributed,
            ("type", "validate") => options.explain_type = ExplainType::Validate,
            ("type", "io") => options.explain_type = ExplainType::Io,
            ("format", "text") => options.format = ExplainFormat::Text,
            ("format", "json") => options.format = ExplainFormat::Json,
            ("format", "graphviz") => options.format = ExplainFormat::Graphviz,
            _ => {
                return Err(SqlError::syntax(at, format!("EXPLAIN has no option {name} {value}")).with_hint(
                    "TYPE LOGICAL, DISTRIBUTED, VALIDATE or IO; FORMAT TEXT, JSON or GRAPHVIZ",
                ));
            }
        }
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    parser
        .expect_token(&Token::RParen)
        .map_err(|error| syntax_error(error, parser))?;
    Ok(options)
}

fn next_word(parser: &mut Parser<'_>) -> String {
    match parser.next_token().token {
        Token::Word(word) => word.value,
        other => other.to_string(),
    }
}

/// `SHOW …`.
pub(crate) fn parse_show(parser: &mut Parser<'_>) -> Result<StatementKind, SqlError> {
    parser.next_token();
    let at = parser.peek_token().span.start;
    let subject = next_word(parser);
    let parsed = match subject.as_str() {
        "catalogs" => name_pattern(parser).map(|like| StatementKind::ShowCatalogs { like }),
        "schemas" | "databases" => show_schemas(parser),
        "tables" | "views" => show_tables(parser),
        "columns" => show_columns(parser),
        "functions" => name_pattern(parser).map(|like| StatementKind::ShowFunctions { like }),
        other => {
            return Err(SqlError::unsupported(
                at,
                format!("SHOW {} is not offered", other.to_uppercase()),
            )
            .with_hint(
                "SHOW CATALOGS, SCHEMAS, TABLES, COLUMNS FROM table and FUNCTIONS are; \
                 information_schema has the rest",
            ));
        }
    };
    finish(parsed, parser)
}

/// `DESCRIBE table`.
pub(crate) fn parse_describe(parser: &mut Parser<'_>) -> Result<StatementKind, SqlError> {
    parser.next_token();
    while matches!(&parser.peek_token().token, Token::Word(word) if ["formatted", "extended", "table"].contains(&word.value.as_str()))
        && matches!(parser.peek_nth_token(1).token, Token::Word(_))
    {
        parser.next_token();
    }
    let parsed = table_reference(parser).map(|table| StatementKind::DescribeTable { table });
    finish(parsed, parser)
}

fn finish(
    parsed: Result<StatementKind, ParserError>,
    parser: &mut Parser<'_>,
) -> Result<StatementKind, SqlError> {
    let statement = parsed.map_err(|error| syntax_error(error, parser))?;
    expect_end(parser)?;
    Ok(statement)
}

fn show_schemas(parser: &mut Parser<'_>) -> Result<StatementKind, ParserError> {
    let catalog = match from_or_in(parser) {
        true => Some(parser.parse_identifier()?.value),
        false => None,
    };
    Ok(StatementKind::ShowSchemas {
        catalog,
        like: name_pattern(parser)?,
    })
}

fn show_tables(parser: &mut Parser<'_>) -> Result<StatementKind, ParserError> {
    let mut parts = match from_or_in(parser) {
        true => identifiers(&parser.parse_object_name(false)?),
        false => Vec::new(),
    };
    let schema = parts.pop();
    let catalog = parts.pop();
    Ok(StatementKind::ShowTables {
        catalog,
        schema,
        like: name_pattern(parser)?,
    })
}

fn show_columns(parser: &mut Parser<'_>) -> Result<StatementKind, ParserError> {
    if !from_or_in(parser) {
        return parser.expected("FROM or IN", parser.peek_token());
    }
    let table = table_reference(parser)?;
    // Hive's form names the database after the table.
    let table = match from_or_in(parser) {
        true => TableReference::partial(parser.parse_identifier()?.value, table.table().to_owned()),
        false => table,
    };
    Ok(StatementKind::ShowColumns { table })
}

fn from_or_in(parser: &mut Parser<'_>) -> bool {
    parser
        .parse_one_of_keywords(&[Keyword::FROM, Keyword::IN])
        .is_some()
}

fn table_reference(parser: &mut Parser<'_>) -> Result<TableReference, ParserError> {
    let at = parser.peek_token();
    let mut parts = identifiers(&parser.parse_object_name(false)?);
    let (table, schema, catalog) = (parts.pop(), parts.pop(), parts.pop());
    match (catalog, schema, table, parts.is_empty()) {
        (None, None, Some(table), true) => Ok(TableReference::bare(table)),
        (None, Some(schema), Some(table), true) => Ok(TableReference::partial(schema, table)),
        (Some(catalog), Some(schema), Some(table), true) => {
            Ok(TableReference::full(catalog, schema, table))
        }
        _ => parser.expected("a table name of one to three parts", at),
    }
}

fn identifiers(name: &ObjectName) -> Vec<String> {
    name.0
        .iter()
        .filter_map(|part| part.as_ident())
        .map(|part| part.value.clone())
        .collect()
}

fn name_pattern(parser: &mut Parser<'_>) -> Result<Option<NamePattern>, ParserError> {
    if parser.parse_keyword(Keyword::LIKE) {
        let pattern = parser.parse_literal_string()?;
        let escape = match parser.parse_keyword(Keyword::ESCAPE) {
            true => parser.parse_literal_string()?.chars().next(),
            false => None,
        };
        return Ok(Some(NamePattern::Like { pattern, escape }));
    }
    match parser.peek_token().token {
        Token::SingleQuotedString(pattern) => {
            parser.next_token();
            Ok(Some(NamePattern::Hive(pattern)))
        }
        _ => Ok(None),
    }
}
