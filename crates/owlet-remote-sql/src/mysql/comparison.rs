//! How MySQL compares, orders and groups, made to agree with the engine. Must never know a driver.

use owlet_connector::{CompareOperator, LiteralValue};

use super::leaf::charset_of;
use super::literal::native_text;
use crate::class::TypeClass;
use crate::dialect::Refusal;
use crate::fragment::{Fragment, NativeKind, TextCollation};
use crate::rule::{Call, Construct, Detail, compare_construct, compare_symbol};
use crate::spelling::in_list;

/// Forms in which the engine's kernels may tell the two zeros apart.
const ZEROS: &str = "the engine may tell -0.0 and 0.0 apart, MySQL does not";
/// Why long text is not sorted or grouped by.
const LONG: &str = "it may be longer than what the server compares when it sorts (max_sort_length)";

/// Comparisons and `IN` of values that MySQL compares as the engine does.
pub(super) fn plain(call: &Call<'_>) -> Result<String, Refusal> {
    let texts: Vec<String> = call.operands.iter().map(by_value).collect();
    compare(call, &texts)
}

/// Comparisons and `IN` of text by bytes; equality under the column's own collation stands beside it, which holds
/// for all equal bytes and lets indexes work.
pub(super) fn text(call: &Call<'_>) -> Result<String, Refusal> {
    let texts: Vec<String> = call
        .operands
        .iter()
        .map(|operand| operand.sql.clone())
        .collect();
    let exact = compare(call, &texts)?;
    let narrows = matches!(
        call.detail,
        Detail::Compare(CompareOperator::Equal) | Detail::InList { negated: false }
    );
    match native_operands(call.operands) {
        Some(native) if narrows => {
            let superset = compare(call, &native)?;
            Ok(format!("({superset} AND {exact})"))
        }
        _ => Ok(exact),
    }
}

/// Comparisons of floats with constants. Both sides hold -0.0 and 0.0 equal in `=`, `<>`, `<` and the like.
pub(super) fn float(call: &Call<'_>) -> Result<String, Refusal> {
    match (call.detail, call.operands) {
        (Detail::Compare(operator), [left, right]) => {
            let constant = float_constant(left).or(float_constant(right));
            let Some(constant) = constant else {
                return Err(call.refuse(compare_construct(operator), ZEROS));
            };
            let tells_zeros_apart = matches!(
                operator,
                CompareOperator::DistinctFrom | CompareOperator::NotDistinctFrom
            );
            if constant == 0.0 && tells_zeros_apart {
                return Err(call.refuse(compare_construct(operator), ZEROS));
            }
            plain(call)
        }
        (Detail::InList { .. }, [_, candidates @ ..]) => {
            let ordinary = |candidate: &Fragment| {
                candidate.is_null_literal()
                    || float_constant(candidate).is_some_and(|value| value != 0.0)
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
    let operand = bounded(call, Construct::Grouping)?;
    Ok(operand.sql.clone())
}

/// A key of `ORDER BY`.
pub(super) fn sort_key(call: &Call<'_>) -> Result<String, Refusal> {
    Ok(by_value(bounded(call, Construct::SortKey)?))
}

fn bounded<'a>(call: &Call<'a>, construct: Construct) -> Result<&'a Fragment, Refusal> {
    match call.operands {
        [operand] if operand.unbounded_length => Err(call.refuse(construct, LONG)),
        [operand] => Ok(operand),
        _ => Err(call.refuse(construct, "a form that is not known")),
    }
}

/// The stored number where it compares as the canonical one does.
fn by_value(operand: &Fragment) -> String {
    match &operand.native {
        Some(native) if native.kind == NativeKind::Unsigned => native.sql.clone(),
        _ => operand.sql.clone(),
    }
}

/// All operands under one column's collation, if equal bytes are sure to be equal there.
fn native_operands(operands: &[Fragment]) -> Option<Vec<String>> {
    let mut collations = operands.iter().filter_map(|operand| {
        operand
            .native
            .as_ref()
            .filter(|native| native.kind == NativeKind::Collated)
            .map(|_| &operand.collation)
    });
    let collation = collations.next()?;
    if collations.any(|other| other != collation) {
        return None;
    }
    let TextCollation::Column(collation) = collation else {
        return None;
    };
    let is_unicode = charset_of(&collation.name) == "utf8mb4";
    operands
        .iter()
        .map(|operand| match (&operand.native, &operand.literal) {
            (Some(native), _) => (native.kind == NativeKind::Collated).then(|| native.sql.clone()),
            (None, Some(literal)) => match &literal.value {
                LiteralValue::Null => Some("NULL".to_owned()),
                // A character that the column's own character set lacks would be an error.
                LiteralValue::Text(text) if is_unicode || text.is_ascii() => native_text(text),
                _ => None,
            },
            (None, None) => None,
        })
        .collect()
}

fn compare(call: &Call<'_>, texts: &[String]) -> Result<String, Refusal> {
    match (call.detail, texts) {
        (Detail::Compare(CompareOperator::NotDistinctFrom), [left, right]) => {
            Ok(format!("({left} <=> {right})"))
        }
        (Detail::Compare(CompareOperator::DistinctFrom), [left, right]) => {
            Ok(format!("(NOT ({left} <=> {right}))"))
        }
        (Detail::Compare(operator), [left, right]) => {
            Ok(format!("({left} {} {right})", compare_symbol(operator)))
        }
        (Detail::InList { negated }, [tested, candidates @ ..]) => {
            Ok(in_list(tested, candidates, negated))
        }
        _ => Err(call.refuse(Construct::Equality, "a form that is not known")),
    }
}

fn float_constant(operand: &Fragment) -> Option<f64> {
    match operand.literal.as_ref()?.value {
        LiteralValue::Float(value) => Some(value),
        _ => None,
    }
}
