//! MySQL's functions of text, over operands that compare by bytes. Must never know a driver.

use arrow_schema::DataType;
use owlet_connector::{Literal, LiteralValue};

use crate::dialect::Refusal;
use crate::fragment::{Fragment, NativeKind};
use crate::pattern::{PatternPart, parse_pattern, to_like_escaped};
use crate::rule::{Call, Construct, Detail};

/// The escape character of patterns: a backslash would be read as one by some modes and not by others.
const ESCAPE: char = '|';

/// `LIKE` with a constant pattern.
pub(super) fn like(call: &Call<'_>) -> Result<String, Refusal> {
    let (Detail::Like { escape, negated }, [operand, pattern]) = (call.detail, call.operands)
    else {
        return Err(call.refuse(Construct::Like, "a form that is not known"));
    };
    let Some(Literal {
        value: LiteralValue::Text(pattern),
        ..
    }) = &pattern.literal
    else {
        return Err(call.refuse(Construct::Like, "the pattern is not a constant"));
    };
    let Some(parts) = parse_pattern(pattern, escape) else {
        return Err(call.refuse(
            Construct::Like,
            "the pattern ends with its escape character",
        ));
    };
    let spelled = |text: String| call.flavor.constant(&Literal::text(text));
    let tested = &operand.sql;
    if let [] | [PatternPart::Text(_)] = parts.as_slice() {
        let symbol = if negated { "<>" } else { "=" };
        let text = match parts.as_slice() {
            [PatternPart::Text(text)] => text.clone(),
            _ => String::new(),
        };
        return Ok(format!("({tested} {symbol} {})", spelled(text)?));
    }
    let not = if negated { "NOT " } else { "" };
    let pattern = to_like_escaped(&parts, ESCAPE);
    let exact = format!(
        "({tested} {not}LIKE {} ESCAPE '{ESCAPE}')",
        spelled(pattern.clone())?
    );
    // Under the column's own collation it matches more, and finds a range of an index.
    let begins_with_text = matches!(parts.first(), Some(PatternPart::Text(_)));
    match &operand.native {
        Some(native)
            if native.kind == NativeKind::Collated
                && !negated
                && begins_with_text
                && pattern.is_ascii() =>
        {
            Ok(match super::literal::native_text(&pattern) {
                Some(pattern) => {
                    format!(
                        "({} LIKE {pattern} ESCAPE '{ESCAPE}' AND {exact})",
                        native.sql
                    )
                }
                None => exact,
            })
        }
        _ => Ok(exact),
    }
}

/// A function of the same arguments under another name.
pub(super) fn plain(call: &Call<'_>, name: &str) -> Result<String, Refusal> {
    let arguments: Vec<&str> = call
        .operands
        .iter()
        .map(|operand| operand.sql.as_str())
        .collect();
    Ok(format!("{name}({})", arguments.join(", ")))
}

/// A function that counts.
pub(super) fn counting(
    call: &Call<'_>,
    name: &str,
    engine_name: &'static str,
) -> Result<String, Refusal> {
    require_integer(call, engine_name)?;
    plain(call, name)
}

/// `substr(text, start, length)` with constant positions inside the text's numbering.
pub(super) fn substring(call: &Call<'_>, engine_name: &'static str) -> Result<String, Refusal> {
    let limit = i128::from(i32::MAX);
    let numbers: Vec<Option<i128>> = call.operands.iter().skip(1).map(integer_constant).collect();
    let fits = match numbers.as_slice() {
        [Some(start)] => (1..=limit).contains(start),
        [Some(start), Some(length)] => (1..=limit).contains(start) && (0..=limit).contains(length),
        _ => false,
    };
    if !fits {
        return Err(call.refuse(
            Construct::Function(engine_name),
            "pushed only for constant positions from 1 on",
        ));
    }
    plain(call, "SUBSTRING")
}

/// `replace(text, from, to)` with a constant, non-empty `from`.
pub(super) fn replace(call: &Call<'_>) -> Result<String, Refusal> {
    let from = call.operands.get(1).and_then(text_constant);
    if from.is_none_or(str::is_empty) {
        return Err(call.refuse(
            Construct::Function("replace"),
            "pushed only for a constant text to be replaced",
        ));
    }
    plain(call, "REPLACE")
}

/// `strpos(text, part)`.
pub(super) fn strpos(call: &Call<'_>) -> Result<String, Refusal> {
    require_integer(call, "strpos")?;
    locate(call, "strpos")
}

/// `starts_with(text, part)`.
pub(super) fn starts_with(call: &Call<'_>) -> Result<String, Refusal> {
    Ok(format!("({} = 1)", locate(call, "starts_with")?))
}

/// `concat` of texts: NULL if any is NULL.
pub(super) fn concat(call: &Call<'_>) -> Result<String, Refusal> {
    if call.operands.is_empty() {
        return Err(call.refuse(Construct::Function("concat"), "nothing to concatenate"));
    }
    plain(call, "CONCAT")
}

fn locate(call: &Call<'_>, name: &'static str) -> Result<String, Refusal> {
    match call.operands {
        [text, part] => Ok(format!("LOCATE({}, {})", part.sql, text.sql)),
        _ => Err(call.refuse(Construct::Function(name), "a form that is not known")),
    }
}

fn require_integer(call: &Call<'_>, name: &'static str) -> Result<(), Refusal> {
    if matches!(call.data_type, DataType::Int32 | DataType::Int64) {
        return Ok(());
    }
    Err(call.refuse(Construct::Function(name), call.type_reason()))
}

/// The text of a constant.
pub(super) fn text_constant(operand: &Fragment) -> Option<&str> {
    match &operand.literal.as_ref()?.value {
        LiteralValue::Text(text) => Some(text),
        _ => None,
    }
}

/// The number of a constant.
pub(super) fn integer_constant(operand: &Fragment) -> Option<i128> {
    match operand.literal.as_ref()?.value {
        LiteralValue::Integer(value) => Some(value),
        _ => None,
    }
}
