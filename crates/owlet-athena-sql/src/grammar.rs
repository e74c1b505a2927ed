//! The parts of Athena's expression grammar that the parser does not know: type names inside `CAST`
//! (`ARRAY(ROW(a BIGINT))`, `MAP(VARCHAR, DOUBLE)`), typed literals (`DECIMAL '1.10'`, `JSON '{}'`) and the units of
//! intervals. It must never know how a type is represented.

use sqlparser::ast::{
    ArrayElemTypeDef, CastKind, DataType, DateTimeField, ExactNumberInfo, Expr, Ident, ObjectName,
    StructBracketKind, StructField, TimezoneInfo, TrimWhereField, TypedString, Value,
    ValueWithSpan,
};
use sqlparser::keywords::Keyword;
use sqlparser::parser::{Parser, ParserError};
use sqlparser::tokenizer::{Span, Token, Word};

use crate::passes::build;

/// Name of the type that carries a unit and a time zone of its own, which SQL's type names cannot:
/// `Custom(ZONED_TIMESTAMP, [precision, zone])`.
pub(crate) const ZONED_TIMESTAMP: &str = "owlet_zoned_timestamp";

/// What an interval can be measured in.
pub(crate) const INTERVAL_UNITS: &str =
    "write YEAR, MONTH, WEEK, DAY, HOUR, MINUTE or SECOND after the number, as in INTERVAL '1' DAY";

/// Type names whose literals are `NAME 'text'`.
const LITERAL_TYPES: &[&str] = &[
    "json",
    "uuid",
    "ipaddress",
    "decimal",
    "real",
    "double",
    "tinyint",
    "smallint",
    "integer",
    "int",
    "bigint",
    "varchar",
    "char",
    "boolean",
    "timestamp",
    "time",
    "date",
];

/// Parses `CAST(… AS type)`, `TRY_CAST(… AS type)`, `TRIM(BOTH FROM …)` and typed literals; `None` leaves everything
/// else to the parser.
pub(crate) fn parse_prefix(parser: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
    let first = parser.peek_token();
    let Token::Word(Word {
        value,
        quote_style: None,
        ..
    }) = &first.token
    else {
        return None;
    };
    match (value.as_str(), parser.peek_nth_token(1).token) {
        ("cast", Token::LParen) => Some(parse_cast(parser, CastKind::Cast)),
        ("try_cast", Token::LParen) => Some(parse_cast(parser, CastKind::TryCast)),
        ("trim", Token::LParen) => parse_trim(parser),
        (name, Token::SingleQuotedString(text)) if LITERAL_TYPES.contains(&name) => {
            let name = name.to_owned();
            parser.next_token();
            let span = parser.next_token().span;
            Some(typed_literal(&name, text, span))
        }
        ("interval", Token::SingleQuotedString(_) | Token::Number(..)) => {
            parser.next_token();
            Some(parse_interval(parser))
        }
        // `interval - 1` takes one from a column.
        ("interval", Token::Minus | Token::Plus) => {
            parser.next_token();
            let interval = parser.maybe_parse(parse_interval).transpose();
            let column = Expr::Identifier(Ident::with_span(first.span, value));
            Some(interval.unwrap_or(Ok(column)))
        }
        _ => None,
    }
}

/// What follows the word INTERVAL. The parser takes `INTERVAL '1' mins` for an interval without a unit, which is one of
/// seconds to the planner, that is called `mins`.
fn parse_interval(parser: &mut Parser<'_>) -> Result<Expr, ParserError> {
    let start = parser.peek_token().span;
    let parsed = parser.parse_interval()?;
    let Expr::Interval(interval) = &parsed else {
        return Ok(parsed);
    };
    let Some(unit) = &interval.leading_field else {
        let text = build::literal_text(&interval.value).unwrap_or_default();
        let last = text.split_whitespace().next_back().unwrap_or_default();
        if last.contains(|symbol: char| symbol.is_alphabetic() || symbol == ':') {
            return Ok(parsed);
        }
        let next = parser.peek_token();
        return Err(match &next.token {
            Token::Word(word) if word.keyword == Keyword::NoKeyword => error(
                next.span,
                format!("{} is no unit of an interval; {INTERVAL_UNITS}", word.value),
            ),
            _ => error(
                start,
                format!("this interval has no unit; {INTERVAL_UNITS}"),
            ),
        });
    };
    let is_length = matches!(
        unit,
        DateTimeField::Century
            | DateTimeField::Decade
            | DateTimeField::Year
            | DateTimeField::Years
            | DateTimeField::Month
            | DateTimeField::Months
            | DateTimeField::Week(None)
            | DateTimeField::Weeks
            | DateTimeField::Day
            | DateTimeField::Days
            | DateTimeField::Hour
            | DateTimeField::Hours
            | DateTimeField::Minute
            | DateTimeField::Minutes
            | DateTimeField::Second
            | DateTimeField::Seconds
            | DateTimeField::Millisecond
            | DateTimeField::Milliseconds
            | DateTimeField::Microsecond
            | DateTimeField::Microseconds
            | DateTimeField::Nanosecond
            | DateTimeField::Nanoseconds
    );
    match is_length {
        true => Ok(parsed),
        false => Err(error(
            start,
            format!(
                "{} is no unit of an interval; {INTERVAL_UNITS}",
                unit.to_string().to_lowercase()
            ),
        )),
    }
}

/// Parses `left IS [NOT] DISTINCT FROM right`, whose right side the parser would let reach over `AND` and `OR`.
pub(crate) fn parse_infix(
    parser: &mut Parser<'_>,
    left: &Expr,
    precedence: u8,
) -> Option<Result<Expr, ParserError>> {
    const DISTINCT: &[Keyword] = &[Keyword::IS, Keyword::DISTINCT, Keyword::FROM];
    const NOT_DISTINCT: &[Keyword] = &[Keyword::IS, Keyword::NOT, Keyword::DISTINCT, Keyword::FROM];
    if !matches!(&parser.peek_token_ref().token, Token::Word(word) if word.keyword == Keyword::IS) {
        return None;
    }
    let build = if parser.parse_keywords(DISTINCT) {
        Expr::IsDistinctFrom
    } else if parser.parse_keywords(NOT_DISTINCT) {
        Expr::IsNotDistinctFrom
    } else {
        return None;
    };
    Some(
        parser
            .parse_subexpr(precedence)
            .map(|right| build(Box::new(left.clone()), Box::new(right))),
    )
}

fn parse_cast(parser: &mut Parser<'_>, kind: CastKind) -> Result<Expr, ParserError> {
    parser.next_token();
    parser.expect_token(&Token::LParen)?;
    let expr = parser.parse_expr()?;
    parser.expect_keyword(Keyword::AS)?;
    let data_type = parse_type(parser)?;
    parser.expect_token(&Token::RParen)?;
    Ok(Expr::Cast {
        kind,
        expr: Box::new(expr),
        data_type,
        array: false,
        format: None,
    })
}

/// `TRIM([BOTH|LEADING|TRAILING] FROM x)` without the characters to trim, which the parser wants there.
fn parse_trim(parser: &mut Parser<'_>) -> Option<Result<Expr, ParserError>> {
    let keyword = |parser: &Parser<'_>, index| match parser.peek_nth_token(index).token {
        Token::Word(word) if word.quote_style.is_none() => word.keyword,
        _ => Keyword::NoKeyword,
    };
    let (trim_where, words) = match keyword(parser, 2) {
        Keyword::BOTH => (Some(TrimWhereField::Both), 4),
        Keyword::LEADING => (Some(TrimWhereField::Leading), 4),
        Keyword::TRAILING => (Some(TrimWhereField::Trailing), 4),
        _ => (None, 3),
    };
    if keyword(parser, words - 1) != Keyword::FROM {
        return None;
    }
    for _ in 0..words {
        parser.next_token();
    }
    let operand = parser.parse_expr().and_then(|operand| {
        parser.expect_token(&Token::RParen)?;
        Ok(operand)
    });
    Some(operand.map(|operand| Expr::Trim {
        expr: Box::new(operand),
        trim_where,
        trim_what: None,
        trim_characters: None,
    }))
}

/// Athena's type grammar.
fn parse_type(parser: &mut Parser<'_>) -> Result<DataType, ParserError> {
    let mut data_type = parse_plain_type(parser)?;
    while parser.parse_keyword(Keyword::ARRAY) {
        data_type = DataType::Array(ArrayElemTypeDef::AngleBracket(Box::new(data_type)));
    }
    Ok(data_type)
}

fn parse_plain_type(parser: &mut Parser<'_>) -> Result<DataType, ParserError> {
    let token = parser.peek_token();
    let Token::Word(Word {
        value,
        quote_style: None,
        ..
    }) = &token.token
    else {
        return parser.expected("a type", token);
    };
    let opens = parser.peek_nth_token(1).token == Token::LParen;
    match value.as_str() {
        "array" if opens => {
            parser.next_token();
            parser.expect_token(&Token::LParen)?;
            let element = parse_type(parser)?;
            parser.expect_token(&Token::RParen)?;
            Ok(DataType::Array(ArrayElemTypeDef::AngleBracket(Box::new(
                element,
            ))))
        }
        "map" if opens => {
            parser.next_token();
            parser.expect_token(&Token::LParen)?;
            let key = parse_type(parser)?;
            parser.expect_token(&Token::Comma)?;
            let value = parse_type(parser)?;
            parser.expect_token(&Token::RParen)?;
            Ok(DataType::Map(Box::new(key), Box::new(value)))
        }
        "row" if opens => {
            parser.next_token();
            parser.expect_token(&Token::LParen)?;
            let fields = parser.parse_comma_separated(parse_row_field)?;
            parser.expect_token(&Token::RParen)?;
            Ok(DataType::Struct(fields, StructBracketKind::Parentheses))
        }
        "ipaddress" => {
            parser.next_token();
            Ok(DataType::Custom(
                ObjectName::from(vec![Ident::new("ipaddress")]),
                Vec::new(),
            ))
        }
        "varbinary" => {
            parser.next_token();
            Ok(DataType::Varbinary(None))
        }
        "string" => {
            parser.next_token();
            Ok(DataType::Varchar(None))
        }
        _ => {
            let data_type = parser.parse_data_type()?;
            match data_type {
                DataType::Custom(..) | DataType::Unspecified => parser.expected("a type", token),
                known => Ok(known),
            }
        }
    }
}

fn parse_row_field(parser: &mut Parser<'_>) -> Result<StructField, ParserError> {
    let named = parser.maybe_parse(|parser| {
        let name = parser.parse_identifier()?;
        let field_type = parse_type(parser)?;
        match parser.peek_token().token {
            Token::Comma | Token::RParen => Ok(StructField {
                field_name: Some(name),
                field_type,
                options: None,
            }),
            _ => parser.expected("the end of a row field", parser.peek_token()),
        }
    })?;
    match named {
        Some(field) => Ok(field),
        None => Ok(StructField {
            field_name: None,
            field_type: parse_type(parser)?,
            options: None,
        }),
    }
}

fn typed_literal(name: &str, text: String, span: Span) -> Result<Expr, ParserError> {
    let data_type = match name {
        "json" => return Ok(build::call("json_parse", vec![build::text(&text, span)])),
        "decimal" => decimal_type(&text)
            .ok_or_else(|| error(span, format!("'{text}' is not a decimal number")))?,
        "timestamp" => timestamp_type(&text).map_err(|message| error(span, message))?,
        "time" => DataType::Time(Some(fraction_digits(&text) as u64), TimezoneInfo::None),
        "date" => DataType::Date,
        "real" => DataType::Real,
        "double" => DataType::DoublePrecision,
        "tinyint" => DataType::TinyInt(None),
        "smallint" => DataType::SmallInt(None),
        "integer" | "int" => DataType::Integer(None),
        "bigint" => DataType::BigInt(None),
        "boolean" => DataType::Boolean,
        // The text itself: VARCHAR, CHAR and the types Owlet represents as text.
        _ => return Ok(build::text(&text, span)),
    };
    let value = ValueWithSpan {
        value: Value::SingleQuotedString(text),
        span,
    };
    Ok(Expr::TypedString(TypedString {
        data_type,
        value,
        uses_odbc_syntax: false,
    }))
}

fn error(span: Span, message: String) -> ParserError {
    let start = span.start;
    ParserError::ParserError(format!(
        "{message} at Line: {}, Column: {}",
        start.line, start.column
    ))
}

/// `1.10` is DECIMAL(3, 2).
fn decimal_type(text: &str) -> Option<DataType> {
    let digits = text.trim().trim_start_matches(['+', '-']);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if digits.is_empty() || digits == "." || !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let scale = fraction.len();
    let precision = (whole.trim_start_matches('0').len() + scale).max(1);
    (precision <= 38).then(|| {
        DataType::Decimal(ExactNumberInfo::PrecisionAndScale(
            precision as u64,
            i64::try_from(scale).unwrap_or(0),
        ))
    })
}

/// Digits after the point of a second.
pub(crate) fn fraction_digits(text: &str) -> usize {
    text.rsplit_once('.').map_or(0, |(_, fraction)| {
        fraction.bytes().take_while(u8::is_ascii_digit).count()
    })
}

/// The type of `TIMESTAMP 'text'`: its precision from the digits after the point, its zone from the end.
fn timestamp_type(text: &str) -> Result<DataType, String> {
    let precision = fraction_digits(text) as u64;
    if precision > 9 {
        return Err(format!("'{text}' has more than 9 digits after the point"));
    }
    let precision = precision.max(3);
    let Some(zone) = crate::zones::zone_of(text) else {
        return Ok(DataType::Timestamp(Some(precision), TimezoneInfo::None));
    };
    let name = ObjectName::from(vec![Ident::new(ZONED_TIMESTAMP)]);
    Ok(DataType::Custom(
        name,
        vec![precision.to_string(), zone.to_owned()],
    ))
}
