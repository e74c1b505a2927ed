//! Spellings that PostgreSQL, SQLite and MySQL share. Must never know one of them.

use owlet_connector::Truth;

use crate::dialect::Refusal;
use crate::rule::{Call, Connective, Construct, Detail};

/// Parsers build left-deep trees; a balanced one keeps thousands of operands shallow.
const FLAT_OPERANDS: usize = 32;

/// `AND`, `OR`, `NOT` and truth tests.
pub(crate) fn logic(call: &Call<'_>) -> Result<String, Refusal> {
    let texts: Vec<&str> = call
        .operands
        .iter()
        .map(|operand| operand.sql.as_str())
        .collect();
    Ok(match (call.detail, texts.as_slice()) {
        (Detail::Logic(Connective::Not), [only]) => format!("(NOT {only})"),
        (Detail::Logic(Connective::And), many) => balanced(many, " AND "),
        (Detail::Logic(Connective::Or), many) => balanced(many, " OR "),
        (Detail::Truth { truth, negated }, [only]) => {
            let not = if negated { "NOT " } else { "" };
            let value = match truth {
                Truth::True => "TRUE",
                Truth::False => "FALSE",
                Truth::Unknown => "NULL",
            };
            format!("({only} IS {not}{value})")
        }
        _ => return Err(call.refuse(Construct::Logic, "a form that is not known")),
    })
}

/// `IS [NOT] NULL`.
pub(crate) fn null_test(call: &Call<'_>) -> Result<String, Refusal> {
    let (Detail::NullTest { negated }, [operand]) = (call.detail, call.operands) else {
        return Err(call.refuse(Construct::NullTest, "a form that is not known"));
    };
    let test = if negated { "IS NOT NULL" } else { "IS NULL" };
    Ok(format!("({} {test})", operand.sql))
}

/// Searched `CASE`.
pub(crate) fn case(call: &Call<'_>) -> Result<String, Refusal> {
    let Detail::Case { has_otherwise } = call.detail else {
        return Err(call.refuse(Construct::Case, "a form that is not known"));
    };
    let pairs = call.operands.len() / 2;
    if pairs == 0 || call.operands.len() % 2 != usize::from(has_otherwise) {
        return Err(call.refuse(Construct::Case, "no branch"));
    }
    let mut sql = String::from("(CASE");
    for pair in call.operands[..pairs * 2].chunks_exact(2) {
        sql.push_str(&format!(" WHEN {} THEN {}", pair[0].sql, pair[1].sql));
    }
    if has_otherwise && let Some(otherwise) = call.operands.last() {
        sql.push_str(&format!(" ELSE {}", otherwise.sql));
    }
    sql.push_str(" END)");
    Ok(sql)
}

/// `a IN (b, c)` over texts that need nothing else.
pub(crate) fn in_list(tested: &str, candidates: &[String], negated: bool) -> String {
    let not = if negated { "NOT " } else { "" };
    format!("({tested} {not}IN ({}))", candidates.join(", "))
}

/// The operands in parentheses, as a balanced tree when there are many.
pub(crate) fn balanced(operands: &[&str], separator: &str) -> String {
    if operands.len() <= FLAT_OPERANDS {
        return format!("({})", operands.join(separator));
    }
    let (left, right) = operands.split_at(operands.len() / 2);
    format!(
        "({}{separator}{})",
        balanced(left, separator),
        balanced(right, separator)
    )
}
