//! How PostgreSQL compares, orders and groups, made to agree with the engine. Must never know a driver.

use owlet_connector::{CompareOperator, Literal, LiteralValue};

use super::literal::quoted;
use crate::class::TypeClass;
use crate::dialect::Refusal;
use crate::fragment::{Fragment, NativeKind, TextCollation};
use crate::pattern::{PatternPart, parse_pattern, to_like};
use crate::rule::{Call, Construct, Detail, compare_construct, compare_symbol};
use crate::spelling::in_list;

/// Comparisons and `IN` of values that PostgreSQL compares as the engine does.
pub(super) fn plain(call: &Call<'_>) -> Result<String, Refusal> {
    let texts: Vec<String> = call
        .operands
        .iter()
        .map(|operand| operand.sql.clone())
        .collect();
    compare(call, &texts)
}

/// Comparisons and `IN` of text: by bytes.
pub(super) fn text(call: &Call<'_>) -> Result<String, Refusal> {
    if let Some(texts) = native_operands(call)? {
        return compare(call, &texts);
    }
    let needs_bytes = match call.detail {
        Detail::Compare(operator) if compare_construct(operator) == Construct::Ordering => {
            !combined(call.operands).orders_bytes()
        }
        _ => combined(call.operands) == TextCollation::Mixed,
    };
    let mut texts: Vec<String> = call
        .operands
        .iter()
        .map(|operand| operand.sql.clone())
        .collect();
    if needs_bytes && let Some(first) = texts.first_mut() {
        *first = bytewise(first);
    }
    compare(call, &texts)
}

/// Forms in which the engine's kernels may tell the two zeros apart.
const ZEROS: &str = "the engine may tell -0.0 and 0.0 apart, PostgreSQL does not";

/// Comparisons of floats with constants. Both sides hold -0.0 and 0.0 equal in `=`, `<>`, `<` and the like.
pub(super) fn float(call: &Call<'_>) -> Result<String, Refusal> {
    match (call.detail, call.operands) {
        (Detail::Compare(operator), [left, right]) => {
            match (float_constant(left), float_constant(right)) {
                (None, Some(constant)) => {
                    float_with_constant(call, operator, left, right, constant)
                }
                (Some(constant), None) => {
                    float_with_constant(call, operator.swapped(), right, left, constant)
                }
                _ => Err(call.refuse(compare_construct(operator), ZEROS)),
            }
        }
        (Detail::InList { .. }, [_, candidates @ ..]) => {
            let ordinary = |candidate: &Fragment| {
                candidate.is_null_literal()
                    || float_constant(candidate)
                        .is_some_and(|value| value != 0.0 && !value.is_nan())
            };
            if candidates.iter().all(ordinary) {
                return plain(call);
            }
            Err(call.refuse(Construct::Equality, ZEROS))
        }
        _ => Err(call.refuse(Construct::Equality, ZEROS)),
    }
}

/// Equality of join keys.
pub(super) fn join_key(call: &Call<'_>) -> Result<String, Refusal> {
    let equality = Call {
        detail: Detail::Compare(CompareOperator::Equal),
        ..*call
    };
    let is_text = call
        .operands
        .iter()
        .any(|operand| operand.class() == TypeClass::Text);
    if is_text {
        text(&equality)
    } else {
        plain(&equality)
    }
}

/// A key of `GROUP BY` or a column of `DISTINCT`.
pub(super) fn grouping(call: &Call<'_>) -> Result<String, Refusal> {
    let [operand] = call.operands else {
        return Err(call.refuse(Construct::Grouping, "a form that is not known"));
    };
    if operand.collation == TextCollation::Mixed {
        return Ok(bytewise(&operand.sql));
    }
    Ok(operand.sql.clone())
}

/// A key of `ORDER BY`.
pub(super) fn sort_key(call: &Call<'_>) -> Result<String, Refusal> {
    let [operand] = call.operands else {
        return Err(call.refuse(Construct::SortKey, "a form that is not known"));
    };
    if operand.class() != TypeClass::Text {
        return Ok(operand.sql.clone());
    }
    if let Some(native) = operand
        .native
        .as_ref()
        .filter(|native| native.kind == NativeKind::Uuid)
    {
        return Ok(native.sql.clone());
    }
    Ok(ordered_text(operand))
}

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
    let mut tested = operand.sql.clone();
    if operand.collation == TextCollation::Mixed {
        tested = bytewise(&tested);
    }
    let spelled = |text: String| call.flavor.constant(&Literal::text(text));
    if let [] | [PatternPart::Text(_)] = parts.as_slice() {
        let symbol = if negated { "<>" } else { "=" };
        let text: String = parts
            .iter()
            .map(|part| {
                if let PatternPart::Text(text) = part {
                    text.as_str()
                } else {
                    ""
                }
            })
            .collect();
        return Ok(format!("({tested} {symbol} {})", spelled(text)?));
    }
    let not = if negated { "NOT " } else { "" };
    Ok(format!(
        "({tested} {not}LIKE {})",
        spelled(to_like(&parts))?
    ))
}

/// A text as PostgreSQL orders it by bytes.
pub(super) fn ordered_text(operand: &Fragment) -> String {
    if operand.collation.orders_bytes() {
        operand.sql.clone()
    } else {
        bytewise(&operand.sql)
    }
}

fn bytewise(sql: &str) -> String {
    format!("({sql} COLLATE \"C\")")
}

fn combined(operands: &[Fragment]) -> TextCollation {
    operands
        .iter()
        .fold(TextCollation::Neutral, |collation, operand| {
            collation.combined(&operand.collation)
        })
}

fn compare(call: &Call<'_>, texts: &[String]) -> Result<String, Refusal> {
    match (call.detail, texts) {
        (Detail::Compare(operator), [left, right]) => {
            Ok(format!("({left} {} {right})", compare_symbol(operator)))
        }
        (Detail::InList { negated }, [tested, candidates @ ..]) => {
            Ok(in_list(tested, candidates, negated))
        }
        _ => Err(call.refuse(Construct::Equality, "a form that is not known")),
    }
}

/// The operands in the column's own type, where that compares as the canonical text does and lets indexes work.
fn native_operands(call: &Call<'_>) -> Result<Option<Vec<String>>, Refusal> {
    let is_equality = match call.detail {
        Detail::Compare(operator) => compare_construct(operator) == Construct::Equality,
        Detail::InList { .. } => true,
        _ => return Ok(None),
    };
    let mut kinds = call
        .operands
        .iter()
        .filter_map(|operand| operand.native.as_ref().map(|native| native.kind));
    let Some(kind) = kinds.next() else {
        return Ok(None);
    };
    if kind == NativeKind::BlankPadded {
        // Two blank-padded columns may have different collations; one is compared with constants only.
        let columns = call
            .operands
            .iter()
            .filter(|operand| operand.literal.is_none())
            .count();
        if !is_equality || columns != 1 {
            return Ok(None);
        }
    }
    let mut texts = Vec::with_capacity(call.operands.len());
    for operand in call.operands {
        match native_operand(operand, kind)? {
            Some(text) => texts.push(text),
            None => return Ok(None),
        }
    }
    Ok(Some(texts))
}

fn native_operand(operand: &Fragment, kind: NativeKind) -> Result<Option<String>, Refusal> {
    if let Some(native) = &operand.native {
        return Ok((native.kind == kind).then(|| native.sql.clone()));
    }
    let Some(literal) = &operand.literal else {
        return Ok(None);
    };
    let target = match kind {
        NativeKind::Uuid => "uuid",
        NativeKind::BlankPadded => "bpchar",
        NativeKind::IsoTimestamp | NativeKind::Collated | NativeKind::Unsigned => return Ok(None),
    };
    Ok(match &literal.value {
        LiteralValue::Null => Some(format!("NULL::{target}")),
        LiteralValue::Text(text) if is_canonical(text, kind) => {
            Some(format!("{}::{target}", quoted(text)?))
        }
        _ => None,
    })
}

/// Whether a constant can equal a canonical text at all; others are compared as text.
fn is_canonical(text: &str, kind: NativeKind) -> bool {
    match kind {
        NativeKind::IsoTimestamp | NativeKind::Collated | NativeKind::Unsigned => false,
        NativeKind::BlankPadded => !text.ends_with(' '),
        NativeKind::Uuid => {
            let hyphens = [8, 13, 18, 23];
            text.len() == 36
                && text.bytes().enumerate().all(|(position, byte)| {
                    if hyphens.contains(&position) {
                        byte == b'-'
                    } else {
                        byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
                    }
                })
        }
    }
}

fn float_constant(operand: &Fragment) -> Option<f64> {
    match operand.literal.as_ref()?.value {
        LiteralValue::Float(value) => Some(value),
        _ => None,
    }
}

fn float_with_constant(
    call: &Call<'_>,
    operator: CompareOperator,
    operand: &Fragment,
    constant: &Fragment,
    value: f64,
) -> Result<String, Refusal> {
    if value.is_nan() {
        return Err(call.refuse(
            compare_construct(operator),
            "PostgreSQL holds all NaN equal, the engine compares their bits",
        ));
    }
    let tested = &operand.sql;
    let tells_zeros_apart = matches!(
        operator,
        CompareOperator::DistinctFrom | CompareOperator::NotDistinctFrom
    );
    if value == 0.0 && tells_zeros_apart {
        return Err(call.refuse(compare_construct(operator), ZEROS));
    }
    Ok(format!(
        "({tested} {} {})",
        compare_symbol(operator),
        constant.sql
    ))
}
