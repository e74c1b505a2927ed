//! The text of a statement as tokens: identifiers folded to lower case, their spelling remembered.
//! It must never know the meaning of a statement.

use std::collections::HashMap;

use sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer, Whitespace, Word};

use crate::dialect::AthenaDialect;
use crate::errors::SqlError;

/// Original spelling of identifiers that were folded, by the place where they start.
#[derive(Debug, Default)]
pub(crate) struct Spellings(HashMap<(u64, u64), String>);

impl Spellings {
    /// The spelling at a place, if it differs from the folded one.
    pub(crate) fn at(&self, location: Location) -> Option<&str> {
        self.0
            .get(&(location.line, location.column))
            .map(String::as_str)
    }
}

/// Tokens of one statement, without its closing semicolon.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) tokens: Vec<TokenWithSpan>,
    pub(crate) spellings: Spellings,
}

/// Splits the text into tokens, folds identifiers and checks that there is exactly one statement.
pub(crate) fn tokenize(sql: &str) -> Result<Source, SqlError> {
    let tokens = Tokenizer::new(&AthenaDialect, sql)
        .tokenize_with_location()
        .map_err(|error| SqlError::Syntax {
            line: error.location.line.max(1),
            column: error.location.column.max(1),
            message: error.message,
            hint: String::new(),
        })?;
    let mut spellings = Spellings::default();
    let tokens: Vec<TokenWithSpan> = tokens
        .into_iter()
        .map(|token| fold(token, &mut spellings))
        .collect();
    Ok(Source {
        tokens: single_statement(tokens)?,
        spellings,
    })
}

fn fold(token: TokenWithSpan, spellings: &mut Spellings) -> TokenWithSpan {
    let TokenWithSpan {
        token: Token::Word(word),
        span,
    } = token
    else {
        return token;
    };
    let folded = word.value.to_lowercase();
    if folded != word.value {
        spellings
            .0
            .insert((span.start.line, span.start.column), word.value);
    }
    TokenWithSpan {
        token: Token::Word(Word {
            value: folded,
            ..word
        }),
        span,
    }
}

/// Comments and blanks do not matter to the parser.
pub(crate) fn is_blank(token: &Token) -> bool {
    matches!(token, Token::Whitespace(_))
}

fn single_statement(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>, SqlError> {
    let mut kept = Vec::with_capacity(tokens.len());
    let mut tokens = tokens.into_iter();
    for token in tokens.by_ref() {
        if token.token == Token::SemiColon {
            break;
        }
        kept.push(token);
    }
    let leftover = tokens.find(|token| {
        !is_blank(&token.token) && !matches!(token.token, Token::SemiColon | Token::EOF)
    });
    if let Some(extra) = leftover {
        return Err(SqlError::Syntax {
            line: extra.span.start.line,
            column: extra.span.start.column,
            message: "a second statement starts here".to_owned(),
            hint: "run one statement at a time".to_owned(),
        });
    }
    if kept
        .iter()
        .all(|token| is_blank(&token.token) || token.token == Token::EOF)
    {
        return Err(SqlError::Syntax {
            line: 1,
            column: 1,
            message: "the statement is empty".to_owned(),
            hint: String::new(),
        });
    }
    kept.retain(|token| {
        !matches!(
            &token.token,
            Token::Whitespace(
                Whitespace::SingleLineComment { .. } | Whitespace::MultiLineComment(_)
            )
        )
    });
    Ok(kept)
}
