//! Guards against statements that would overflow a stack, here or at the source. Must never know a dialect.

use owlet_connector::Expression;

use crate::dialect::Refusal;
use crate::relation::Relation;

/// Deepest nesting of an expression. PostgreSQL's and SQLite's parsers manage several hundred.
const MAXIMUM_EXPRESSION_DEPTH: usize = 100;
/// Deepest nesting of operators.
const MAXIMUM_RELATION_DEPTH: usize = 48;
/// Most joined tables in one statement; SQLite joins at most 64.
const MAXIMUM_TABLES: usize = 60;
/// Most inputs of one set operation; SQLite allows 500.
pub(crate) const MAXIMUM_MEMBERS: usize = 400;
/// Longest statement in bytes.
pub(crate) const MAXIMUM_STATEMENT_BYTES: usize = 8 * 1024 * 1024;

/// Refuses a predicate or projection that nests too deeply. Uses no recursion itself.
pub(crate) fn check_expression_depth(expression: &Expression) -> Result<(), Refusal> {
    let mut pending = vec![(expression, 1)];
    while let Some((expression, depth)) = pending.pop() {
        if depth > MAXIMUM_EXPRESSION_DEPTH {
            return Err(Refusal::new(format!(
                "the expression nests deeper than {MAXIMUM_EXPRESSION_DEPTH} levels"
            )));
        }
        pending.extend(
            expression
                .children()
                .into_iter()
                .map(|child| (child, depth + 1)),
        );
    }
    Ok(())
}

/// Refuses a relation that nests too deeply, in operators or in any expression.
pub(crate) fn check_relation_depth(relation: &Relation) -> Result<(), Refusal> {
    let mut pending = vec![(relation, 1)];
    let mut joined_tables = 0;
    while let Some((relation, depth)) = pending.pop() {
        if matches!(relation, Relation::Join { .. }) {
            joined_tables += 1;
        }
        if joined_tables >= MAXIMUM_TABLES {
            return Err(Refusal::new(format!(
                "the remote query joins more than {MAXIMUM_TABLES} tables"
            )));
        }
        if depth > MAXIMUM_RELATION_DEPTH {
            return Err(Refusal::new(format!(
                "the remote query nests deeper than {MAXIMUM_RELATION_DEPTH} operators"
            )));
        }
        for expression in relation.expressions() {
            check_expression_depth(expression)?;
        }
        pending.extend(
            relation
                .inputs()
                .into_iter()
                .map(|input| (input, depth + 1)),
        );
    }
    Ok(())
}

/// Refuses text that has grown beyond what a source should be sent.
pub(crate) fn check_size(sql: &str) -> Result<(), Refusal> {
    if sql.len() > MAXIMUM_STATEMENT_BYTES {
        return Err(Refusal::new(format!(
            "the remote statement is longer than {MAXIMUM_STATEMENT_BYTES} bytes"
        )));
    }
    Ok(())
}
