//! Join-made filters (`k IN (…)`, ranges) as the contract's plain expressions. What is not understood is left
//! out: the join checks every row itself, so a dynamic filter only ever saves work.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::ScalarFunctionExpr;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, CastExpr, Column, DynamicFilterPhysicalExpr, InListExpr, IsNullExpr,
    Literal as PhysicalLiteral,
};
use owlet_connector::{ColumnReference, Expression, LiteralValue};

use crate::pushdown::hints::widens_integer;
use crate::pushdown::translate::{compare_operator, is_text, literal};

/// The conjuncts of a finished dynamic filter that can be said as plain expressions over `schema`.
pub fn conjuncts(filter: &Arc<dyn PhysicalExpr>, schema: &SchemaRef) -> Vec<Expression> {
    match superset(filter, schema) {
        Some(expression) => expression.into_conjuncts(),
        None => Vec::new(),
    }
}

/// An expression that is true wherever `filter` is true; `None` when nothing useful is known.
fn superset(filter: &Arc<dyn PhysicalExpr>, schema: &SchemaRef) -> Option<Expression> {
    if let Some(dynamic) = filter.downcast_ref::<DynamicFilterPhysicalExpr>() {
        return superset(&dynamic.current().ok()?, schema);
    }
    if let Some(binary) = filter.downcast_ref::<BinaryExpr>() {
        return binary_superset(binary, schema);
    }
    if let Some(list) = filter.downcast_ref::<InListExpr>() {
        if list.negated() {
            return None;
        }
        if let Some(structure) = list.expr().downcast_ref::<ScalarFunctionExpr>() {
            return tuples(structure, list.list(), schema);
        }
        let tested = operand(list.expr(), schema)?;
        // A join tells the key of every row it has.
        let mut seen = HashSet::with_capacity(list.list().len());
        let items = list
            .list()
            .iter()
            .filter(|item| match item.downcast_ref::<PhysicalLiteral>() {
                Some(constant) => seen.insert(constant.value()),
                None => true,
            })
            .map(|item| operand(item, schema))
            .collect::<Option<Vec<_>>>()?
            .into_iter()
            .filter(|item| !matches!(item, Expression::Literal(literal) if literal.is_null()))
            // A value outside the column's own integer type matches no row.
            .filter_map(|item| narrowed(item, &tested))
            .collect();
        return Some(Expression::InList {
            expression: Box::new(tested),
            list: items,
            negated: false,
        });
    }
    if let Some(test) = filter.downcast_ref::<IsNullExpr>() {
        return Some(Expression::IsNull(Box::new(operand(test.arg(), schema)?)));
    }
    if let Some(constant) = filter.downcast_ref::<PhysicalLiteral>() {
        return match constant.value() {
            ScalarValue::Boolean(Some(true)) => None,
            value => Some(Expression::Literal(literal(value).ok()?)),
        };
    }
    if let Some(case) = filter.downcast_ref::<CaseExpr>() {
        // Partitioned joins route by hash: a row passes if it passes any partition's filter.
        let branches = case
            .when_then_expr()
            .iter()
            .map(|(_, then)| then)
            .chain(case.else_expr());
        let mut alternatives = Vec::new();
        for branch in branches {
            match superset(branch, schema)? {
                Expression::Literal(constant) if is_false(&constant) => {}
                other => alternatives.push(other),
            }
        }
        return Some(union(alternatives));
    }
    None
}

/// Tuples said one by one; more would make a request longer than it saves.
const MAXIMUM_TUPLES: usize = 1_000;

/// A join on several columns: `struct(a, b) IN (…)` as a set for each column, and the exact pairs if they are few.
fn tuples(
    structure: &ScalarFunctionExpr,
    list: &[Arc<dyn PhysicalExpr>],
    schema: &SchemaRef,
) -> Option<Expression> {
    if structure.name() != "struct" {
        return None;
    }
    let columns: Vec<Expression> = structure
        .args()
        .iter()
        .map(|column| operand(column, schema))
        .collect::<Option<_>>()?;
    let mut alternatives = Vec::new();
    let mut sets: Vec<Vec<Expression>> = vec![Vec::new(); columns.len()];
    // A join tells the keys of every row it has.
    let mut seen = HashSet::with_capacity(list.len());
    let mut seen_in_column: Vec<HashSet<ScalarValue>> = vec![HashSet::new(); columns.len()];
    for item in list {
        let constant = item.downcast_ref::<PhysicalLiteral>()?;
        let ScalarValue::Struct(row) = constant.value() else {
            return None;
        };
        if !seen.insert(constant.value()) {
            continue;
        }
        let mut equalities = Vec::with_capacity(columns.len());
        for (position, column) in columns.iter().enumerate() {
            let scalar = ScalarValue::try_from_array(row.column(position), 0).ok()?;
            let value = Expression::Literal(literal(&scalar).ok()?);
            let Some(value) = narrowed(value, column) else {
                continue;
            };
            if seen_in_column[position].insert(scalar) {
                sets[position].push(value.clone());
            }
            equalities.push(Expression::Compare {
                operator: owlet_connector::CompareOperator::Equal,
                left: Box::new(column.clone()),
                right: Box::new(value),
            });
        }
        // A tuple with a value outside a column's own type matches no row.
        if equalities.len() == columns.len() {
            alternatives.push(Expression::And(equalities));
        }
    }
    let mut conjuncts: Vec<Expression> = columns
        .into_iter()
        .zip(sets)
        .map(|(column, list)| Expression::InList {
            expression: Box::new(column),
            list,
            negated: false,
        })
        .collect();
    if alternatives.len() <= MAXIMUM_TUPLES {
        conjuncts.push(or(alternatives));
    }
    Some(Expression::And(conjuncts))
}

fn binary_superset(binary: &BinaryExpr, schema: &SchemaRef) -> Option<Expression> {
    match binary.op() {
        Operator::And => match (
            superset(binary.left(), schema),
            superset(binary.right(), schema),
        ) {
            (Some(left), Some(right)) => Some(Expression::And(vec![left, right])),
            (one, other) => one.or(other),
        },
        Operator::Or => {
            let left = superset(binary.left(), schema)?;
            let right = superset(binary.right(), schema)?;
            Some(Expression::Or(vec![left, right]))
        }
        other => {
            let left = operand(binary.left(), schema)?;
            let right = operand(binary.right(), schema)?;
            let (left, right) = match (&left, &right) {
                (Expression::Column(_), _) => {
                    let right = narrowed(right, &left)?;
                    (left, right)
                }
                _ => {
                    let left = narrowed(left, &right)?;
                    (left, right)
                }
            };
            Some(Expression::Compare {
                operator: compare_operator(*other)?,
                left: Box::new(left),
                right: Box::new(right),
            })
        }
    }
}

/// A constant in the integer type of the column it is compared with (which a join may have widened); `None` when
/// it is outside that type. Anything else is left as it is.
fn narrowed(constant: Expression, column: &Expression) -> Option<Expression> {
    let Expression::Literal(literal) = &constant else {
        return Some(constant);
    };
    let target = column.data_type();
    if literal.data_type == target || !widens_integer(&target, &literal.data_type) {
        return Some(constant);
    }
    let LiteralValue::Integer(value) = literal.value else {
        return Some(constant);
    };
    let fits = match target {
        DataType::Int8 => i8::try_from(value).is_ok(),
        DataType::Int16 => i16::try_from(value).is_ok(),
        DataType::Int32 => i32::try_from(value).is_ok(),
        _ => i64::try_from(value).is_ok(),
    };
    if !fits {
        return None;
    }
    Some(Expression::Literal(owlet_connector::Literal {
        value: LiteralValue::Integer(value),
        data_type: target,
    }))
}

/// Joins alternatives; sets over the same column become one set, which key look-ups need.
fn union(alternatives: Vec<Expression>) -> Expression {
    let mut merged: Option<(Expression, Vec<Expression>)> = None;
    for alternative in &alternatives {
        let set = alternative
            .clone()
            .into_conjuncts()
            .into_iter()
            .find_map(|conjunct| match conjunct {
                Expression::InList {
                    expression,
                    list,
                    negated: false,
                } => Some((*expression, list)),
                _ => None,
            });
        merged = match (merged, set) {
            (None, Some(set)) => Some(set),
            (Some((column, mut list)), Some((other, more))) if column == other => {
                list.extend(more);
                Some((column, list))
            }
            _ => return or(alternatives),
        };
    }
    match merged {
        Some((column, list)) => Expression::InList {
            expression: Box::new(column),
            list,
            negated: false,
        },
        None => or(alternatives),
    }
}

fn or(mut alternatives: Vec<Expression>) -> Expression {
    match alternatives.len() {
        0 => Expression::Literal(owlet_connector::Literal::boolean(false)),
        1 => alternatives.remove(0),
        _ => Expression::Or(alternatives),
    }
}

fn is_false(constant: &owlet_connector::Literal) -> bool {
    constant.value == owlet_connector::LiteralValue::Boolean(false)
}

fn operand(expression: &Arc<dyn PhysicalExpr>, schema: &SchemaRef) -> Option<Expression> {
    if let Some(column) = expression.downcast_ref::<Column>() {
        let field = schema.fields().get(column.index())?;
        return Some(Expression::Column(ColumnReference {
            index: column.index(),
            name: field.name().clone(),
            data_type: field.data_type().clone(),
            nullable: field.is_nullable(),
        }));
    }
    if let Some(constant) = expression.downcast_ref::<PhysicalLiteral>() {
        return literal(constant.value()).ok().map(Expression::Literal);
    }
    if let Some(cast) = expression.downcast_ref::<CastExpr>() {
        let inner = operand(cast.expr(), schema)?;
        let from = inner.data_type();
        let is_same_value = (is_text(&from) && is_text(cast.cast_type()))
            || (matches!(inner, Expression::Column(_)) && widens_integer(&from, cast.cast_type()));
        return is_same_value.then_some(inner);
    }
    None
}
