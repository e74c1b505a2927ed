//! The text of a statement as tokens: identifiers folded to lower case with their spelling remembered, and the
//! few pieces of Athena's syntax that only tokens can express (bare `VALUES 1, 2`, `0xFF`) spelled out.
//! It must never know the meaning of a statement.

use std::collections::HashMap;

use sqlparser::keywords::Keyword;
use sqlparser::tokenizer::{
    Location, Token, TokenWithSpan, Tokenizer, TokenizerError, Whitespace, Word,
};

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
    let mut tokens = Vec::new();
    Tokenizer::new(&AthenaDialect, sql)
        .tokenize_with_location_into_buf(&mut tokens)
        .map_err(|error| no_token(error, &tokens))?;
    if let Some(backtick) = tokens.iter().find(|token| token.token == Token::Char('`')) {
        return Err(
            SqlError::syntax(backtick.span.start, "backticks do not quote names here")
                .with_hint("use double quotes: \"name\""),
        );
    }
    let mut spellings = Spellings::default();
    let tokens = tokens
        .into_iter()
        .map(|token| fold(token, &mut spellings))
        .collect();
    let tokens = spell_out_numbers(single_statement(tokens)?)?;
    Ok(Source {
        tokens: wrap_value_rows(tokens),
        spellings,
    })
}

/// The error of a text that goes on in no token. What has no end is told where it begins, which is behind the last token.
fn no_token(error: TokenizerError, before: &[TokenWithSpan]) -> SqlError {
    let TokenizerError { message, location } = error;
    let (what, closing) = if message.contains("multi-line comment") {
        ("comment", "*/")
    } else if message.starts_with("Expected close delimiter") {
        ("quoted name", "\"")
    } else if message.starts_with("Unterminated") && !message.contains("dollar") {
        ("text", "'")
    } else {
        return SqlError::syntax(location, message);
    };
    let begin = before
        .last()
        .map_or(Location { line: 1, column: 1 }, |token| token.span.end);
    SqlError::syntax(begin, format!("this {what} has no end"))
        .with_hint(format!("close it with {closing}"))
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

fn is_blank(token: &TokenWithSpan) -> bool {
    matches!(token.token, Token::Whitespace(_))
}

fn single_statement(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>, SqlError> {
    let is_comment = |token: &TokenWithSpan| {
        matches!(
            token.token,
            Token::Whitespace(
                Whitespace::SingleLineComment { .. } | Whitespace::MultiLineComment(_)
            )
        )
    };
    let mut tokens = tokens.into_iter();
    // A comment separates words as a blank does.
    let kept: Vec<TokenWithSpan> = tokens
        .by_ref()
        .take_while(|token| !matches!(token.token, Token::SemiColon | Token::EOF))
        .map(|token| match is_comment(&token) {
            true => TokenWithSpan {
                token: Token::Whitespace(Whitespace::Space),
                span: token.span,
            },
            false => token,
        })
        .collect();
    let extra = tokens
        .find(|token| !is_blank(token) && !matches!(token.token, Token::SemiColon | Token::EOF));
    if let Some(extra) = extra {
        return Err(
            SqlError::syntax(extra.span.start, "a second statement starts here")
                .with_hint("run one statement at a time"),
        );
    }
    if kept.iter().all(is_blank) {
        return Err(SqlError::syntax(
            Location { line: 1, column: 1 },
            "the statement is empty",
        ));
    }
    Ok(kept)
}

/// `0xFF`, `0b101`, `0o17` and `1_000` become plain decimal numbers; blanks inside `X'AB CD'` go.
fn spell_out_numbers(tokens: Vec<TokenWithSpan>) -> Result<Vec<TokenWithSpan>, SqlError> {
    let mut spelled: Vec<TokenWithSpan> = Vec::with_capacity(tokens.len());
    for token in tokens {
        let TokenWithSpan { token, span } = token;
        let length = span.end.column.saturating_sub(span.start.column);
        let replaced = match token {
            // `X'…'` and `0x…` are the same token; only their length tells them apart.
            Token::HexStringLiteral(digits) if length == digits.chars().count() as u64 + 2 => {
                Token::Number(integer(&digits, 16, span.start)?, false)
            }
            Token::HexStringLiteral(digits) => Token::HexStringLiteral(
                digits
                    .chars()
                    .filter(|digit| !digit.is_whitespace())
                    .collect(),
            ),
            Token::Number(text, long) => Token::Number(text.replace('_', ""), long),
            Token::Word(word) if word.quote_style.is_none() => {
                let previous = spelled
                    .last()
                    .filter(|previous| previous.span.end == span.start);
                let zero = previous
                    .is_some_and(|previous| previous.token == Token::Number("0".to_owned(), false));
                let radix = match word.value.get(..1) {
                    Some("b") => 2,
                    Some("o") => 8,
                    _ => 0,
                };
                match zero && radix != 0 {
                    true => {
                        spelled.pop();
                        Token::Number(integer(&word.value[1..], radix, span.start)?, false)
                    }
                    false => Token::Word(word),
                }
            }
            other => other,
        };
        spelled.push(TokenWithSpan {
            token: replaced,
            span,
        });
    }
    Ok(spelled)
}

fn integer(digits: &str, radix: u32, location: Location) -> Result<String, SqlError> {
    match i64::from_str_radix(&digits.replace('_', ""), radix) {
        Ok(number) => Ok(number.to_string()),
        Err(_) => Err(SqlError::syntax(
            location,
            "this is not a number that fits into a BIGINT",
        )),
    }
}

/// Athena allows `VALUES 1, 2`; the parser wants `VALUES (1), (2)`.
fn wrap_value_rows(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    // From the last to the first, so that rows inside rows are done when the outer ones are measured.
    for index in (0..tokens.len()).rev() {
        if is_keyword(&tokens[index], &[Keyword::VALUES]) && starts_query(&tokens[..index]) {
            tokens = wrap_rows_after(tokens, index);
            if is_quantified(&tokens[..index]) {
                tokens = select_from_values(tokens, index);
            }
        }
    }
    tokens
}

fn is_keyword(token: &TokenWithSpan, keywords: &[Keyword]) -> bool {
    matches!(&token.token, Token::Word(word) if keywords.contains(&word.keyword))
}

fn starts_query(before: &[TokenWithSpan]) -> bool {
    let Some(previous) = before.iter().rev().find(|token| !is_blank(token)) else {
        return true;
    };
    matches!(previous.token, Token::LParen | Token::RParen)
        || is_keyword(
            previous,
            &[
                Keyword::UNION,
                Keyword::ALL,
                Keyword::DISTINCT,
                Keyword::INTERSECT,
                Keyword::EXCEPT,
                Keyword::EXPLAIN,
                Keyword::ANALYZE,
                Keyword::VERBOSE,
            ],
        )
}

/// True after `ANY (`, `ALL (`, `SOME (`.
fn is_quantified(before: &[TokenWithSpan]) -> bool {
    let mut significant = before.iter().rev().filter(|token| !is_blank(token));
    significant
        .next()
        .is_some_and(|token| token.token == Token::LParen)
        && significant
            .next()
            .is_some_and(|token| is_keyword(token, &[Keyword::ANY, Keyword::ALL, Keyword::SOME]))
}

/// `(VALUES …)` becomes `(SELECT * FROM (VALUES …))`, which the parser takes after a quantifier.
fn select_from_values(tokens: Vec<TokenWithSpan>, values: usize) -> Vec<TokenWithSpan> {
    let span = tokens[values].span;
    let added = |token: Token| TokenWithSpan { token, span };
    let mut end = values + 1;
    while tokens
        .get(end)
        .is_some_and(|token| token.token != Token::RParen)
    {
        end = row_end(&tokens, end);
        if tokens
            .get(end)
            .is_some_and(|token| token.token == Token::Comma || is_keyword(token, ROW_LIST_ENDS))
        {
            end += 1;
        }
    }
    let mut selected = tokens[..values].to_vec();
    let words = [
        Token::make_word("select", None),
        Token::Mul,
        Token::make_word("from", None),
        Token::LParen,
    ];
    selected.extend(words.into_iter().map(added));
    selected.extend_from_slice(&tokens[values..end]);
    selected.push(added(Token::RParen));
    selected.extend_from_slice(&tokens[end..]);
    selected
}

fn starts_expression(token: &TokenWithSpan) -> bool {
    matches!(
        token.token,
        Token::Word(_)
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::UnicodeStringLiteral(_)
            | Token::HexStringLiteral(_)
            | Token::LParen
            | Token::LBracket
            | Token::Minus
            | Token::Plus
            | Token::Placeholder(_)
            | Token::Colon
    )
}

const ROW_LIST_ENDS: &[Keyword] = &[
    Keyword::ORDER,
    Keyword::LIMIT,
    Keyword::OFFSET,
    Keyword::FETCH,
    Keyword::UNION,
    Keyword::INTERSECT,
    Keyword::EXCEPT,
];

fn wrap_rows_after(tokens: Vec<TokenWithSpan>, values: usize) -> Vec<TokenWithSpan> {
    let first = tokens[values + 1..].iter().find(|token| !is_blank(token));
    if !first.is_some_and(starts_expression) {
        return tokens;
    }
    let mut wrapped = tokens[..=values].to_vec();
    let mut start = values + 1;
    loop {
        let end = row_end(&tokens, start);
        push_row(&mut wrapped, &tokens[start..end]);
        match tokens.get(end) {
            Some(token) if token.token == Token::Comma => {
                wrapped.push(token.clone());
                start = end + 1;
            }
            _ => {
                wrapped.extend_from_slice(&tokens[end..]);
                return wrapped;
            }
        }
    }
}

/// The index after the last token of the row that starts at `start`.
fn row_end(tokens: &[TokenWithSpan], start: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(start) {
        match token.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket if depth == 0 => return index,
            Token::RParen | Token::RBracket => depth -= 1,
            Token::Comma if depth == 0 => return index,
            _ if depth == 0 && is_keyword(token, ROW_LIST_ENDS) => return index,
            _ => {}
        }
    }
    tokens.len()
}

fn push_row(wrapped: &mut Vec<TokenWithSpan>, row: &[TokenWithSpan]) {
    let significant: Vec<usize> = (0..row.len())
        .filter(|index| !is_blank(&row[*index]))
        .collect();
    let (Some(first), Some(last)) = (significant.first(), significant.last()) else {
        wrapped.extend_from_slice(row);
        return;
    };
    let after_row_keyword = significant
        .get(1)
        .filter(|_| is_keyword(&row[*first], &[Keyword::ROW]));
    let open = after_row_keyword.unwrap_or(first);
    if row[*open].token == Token::LParen && closes_at_end(&row[*open..=*last]) {
        wrapped.extend_from_slice(&row[*open..]);
        return;
    }
    let parenthesis = |token: Token, near: &TokenWithSpan| TokenWithSpan {
        token,
        span: near.span,
    };
    wrapped.push(parenthesis(Token::LParen, &row[*first]));
    wrapped.extend_from_slice(&row[..=*last]);
    wrapped.push(parenthesis(Token::RParen, &row[*last]));
    wrapped.extend_from_slice(&row[*last + 1..]);
}

/// True if the opening parenthesis at the start is closed by the very last token.
fn closes_at_end(tokens: &[TokenWithSpan]) -> bool {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate() {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return index + 1 == tokens.len();
                }
            }
            _ => {}
        }
    }
    false
}
