//! How SQLite compares, orders and groups, made to agree with the engine. Must never know a driver.

use owlet_connector::{CompareOperator, LiteralValue};

use super::literal::{EXACT_DIGITS, EXACT_SCALE, date_text, quoted};
use crate::calendar::MICROSECONDS_PER_DAY;
use crate::class::TypeClass;
use crate::dialect::Refusal;
use crate::fragment::{Fragment, NativeKind, TextCollation};
use crate::rule::{Call, Construct, Detail, compare_symbol};
use crate::spelling::in_list;

/// Comparisons and `IN` of values that SQLite compares as the engine does.
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
    let mut texts: Vec<String> = call
        .operands
        .iter()
        .map(|operand| operand.sql.clone())
        .collect();
    // SQLite takes the left side's collation, else the right side's; one that is spelled out wins.
    let needs_binary = call.operands.iter().any(needs_binary);
    if needs_binary && let Some(first) = texts.first_mut() {
        *first = format!("({first} COLLATE BINARY)");
    }
    compare(call, &texts)
}

/// Comparisons and `IN` of decimals, which SQLite holds as doubles.
pub(super) fn decimal(call: &Call<'_>) -> Result<String, Refusal> {
    require_exact_decimals(call, Construct::Equality)?;
    plain(call)
}

/// Comparisons of timestamps: canonical texts, with a condition on the stored text beside it for indexes.
pub(super) fn timestamp(call: &Call<'_>) -> Result<String, Refusal> {
    let canonical = plain(call)?;
    let (Detail::Compare(operator), [left, right]) = (call.detail, call.operands) else {
        return Ok(canonical);
    };
    let (operator, tested, constant) = match (iso_timestamp(left), instant_constant(right)) {
        (Some(tested), Some(constant)) => (operator, tested, constant),
        _ => match (iso_timestamp(right), instant_constant(left)) {
            (Some(tested), Some(constant)) => (operator.swapped(), tested, constant),
            _ => return Ok(canonical),
        },
    };
    // Every spelling begins with the date, so texts and timestamps order alike against whole days.
    let day = |offset: i128| {
        i64::try_from(constant.div_euclid(MICROSECONDS_PER_DAY) + offset)
            .ok()
            .and_then(date_text)
    };
    let (Some(first_day), Some(next_day)) = (day(0), day(1)) else {
        return Ok(canonical);
    };
    let from = format!("{tested} >= {}", quoted(&first_day)?);
    let before = format!("{tested} < {}", quoted(&next_day)?);
    Ok(match operator {
        CompareOperator::Equal => format!("({from} AND {before} AND {canonical})"),
        CompareOperator::Greater | CompareOperator::GreaterOrEqual => {
            format!("({from} AND {canonical})")
        }
        CompareOperator::Less | CompareOperator::LessOrEqual => {
            format!("({before} AND {canonical})")
        }
        CompareOperator::NotEqual
        | CompareOperator::DistinctFrom
        | CompareOperator::NotDistinctFrom => canonical,
    })
}

/// Equality of join keys; each side must be a plain column, or SQLite would compare every pair of rows.
pub(super) fn join_key(call: &Call<'_>) -> Result<String, Refusal> {
    let is_column = |operand: &Fragment| {
        operand.simple && operand.literal.is_none() && operand.stored.is_none()
    };
    if !call.operands.iter().all(is_column) {
        return Err(call.refuse(
            Construct::JoinKey,
            "SQLite would compare every pair of rows for a computed key",
        ));
    }
    let equality = Call {
        detail: Detail::Compare(CompareOperator::Equal),
        ..*call
    };
    match call.operands.first().map(Fragment::class) {
        Some(TypeClass::Text) => text(&equality),
        Some(TypeClass::Decimal) => {
            require_exact_decimals(call, Construct::JoinKey)?;
            plain(&equality)
        }
        _ => plain(&equality),
    }
}

/// A key of `GROUP BY` or a column of `DISTINCT`.
pub(super) fn grouping(call: &Call<'_>) -> Result<String, Refusal> {
    require_exact_decimals(call, Construct::Grouping)?;
    single(call, Construct::Grouping).map(binary)
}

/// A key of `ORDER BY`.
pub(super) fn sort_key(call: &Call<'_>) -> Result<String, Refusal> {
    require_exact_decimals(call, Construct::SortKey)?;
    single(call, Construct::SortKey).map(binary)
}

/// The text of a value as SQLite compares it by bytes.
pub(super) fn binary(operand: &Fragment) -> String {
    if needs_binary(operand) {
        format!("({} COLLATE BINARY)", operand.sql)
    } else {
        operand.sql.clone()
    }
}

/// Refuses decimals of more digits than a double keeps.
pub(super) fn require_exact_decimals(call: &Call<'_>, construct: Construct) -> Result<(), Refusal> {
    for operand in call.operands {
        if let Some((precision, scale)) = operand.decimal_digits()
            && (precision > EXACT_DIGITS || scale > EXACT_SCALE)
        {
            return Err(call.refuse(
                construct,
                "SQLite holds decimals as doubles, which keep 15 digits",
            ));
        }
    }
    Ok(())
}

fn single<'a>(call: &Call<'a>, construct: Construct) -> Result<&'a Fragment, Refusal> {
    match call.operands {
        [only] => Ok(only),
        _ => Err(call.refuse(construct, "a form that is not known")),
    }
}

fn needs_binary(operand: &Fragment) -> bool {
    match &operand.collation {
        TextCollation::Neutral => false,
        TextCollation::Column(_) => !operand.collation.orders_bytes(),
        TextCollation::Mixed => true,
    }
}

fn iso_timestamp(operand: &Fragment) -> Option<&str> {
    operand
        .native
        .as_ref()
        .filter(|native| native.kind == NativeKind::IsoTimestamp)
        .map(|native| native.sql.as_str())
}

fn instant_constant(operand: &Fragment) -> Option<i128> {
    match operand.literal.as_ref()?.value {
        LiteralValue::Integer(value) => Some(value),
        _ => None,
    }
}

fn compare(call: &Call<'_>, texts: &[String]) -> Result<String, Refusal> {
    match (call.detail, texts) {
        (Detail::Compare(operator), [left, right]) => {
            let comparison = format!("({left} {} {right})", compare_symbol(operator));
            Ok(match operator {
                CompareOperator::Equal => keeping_guards(call, comparison),
                _ => comparison,
            })
        }
        (Detail::InList { negated }, [tested, candidates @ ..]) => {
            let membership = in_list(tested, candidates, negated);
            Ok(match candidates {
                // SQLite takes it for `=`.
                [_] if !negated => keeping_guards(call, membership),
                _ => membership,
            })
        }
        _ => Err(call.refuse(Construct::Equality, "a form that is not known")),
    }
}

/// An equality that leaves the guard of its column alone. Where a conjunct of WHERE is `column = constant`, SQLite puts
/// the constant in the column's place in all others, and a guard would test the constant. A condition with COLLATE
/// around it is not taken for one, but still finds its index; on a truth value the collation means nothing.
fn keeping_guards(call: &Call<'_>, equality: String) -> String {
    let has_constant = call
        .operands
        .iter()
        .any(|operand| operand.literal.is_some());
    if has_constant && call.operands.iter().any(|operand| operand.guarded) {
        format!("({equality} COLLATE BINARY)")
    } else {
        equality
    }
}
