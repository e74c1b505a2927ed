//! Which key values a query's predicates allow, for one table or index. Must never know costs or requests.

use std::collections::{BTreeMap, BTreeSet};

use owlet_connector::{CompareOperator, Expression, Literal, LiteralValue};

use super::like::{LikePattern, PatternForm};
use super::sort_range::{SortCondition, SortRule};
use super::translate::value_for_shape;
use crate::description::{KeyAttribute, KeySchema};
use crate::shape::Shape;
use crate::value::{AttributeValue, MAX_HASH_BYTES, MAX_SORT_BYTES};

/// More alternatives than this are not worth enumerating.
const MAX_BRANCHES: usize = 10_000;

/// A key attribute with the column it is read as.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeyColumn<'a> {
    pub(crate) attribute: &'a KeyAttribute,
    pub(crate) column: usize,
    pub(crate) shape: &'a Shape,
}

/// The key of a table or index in terms of columns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keys<'a> {
    pub(crate) hash: KeyColumn<'a>,
    pub(crate) sort: Option<KeyColumn<'a>>,
}

/// What the predicates say of a key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KeySelection {
    /// For each allowed partition key value the allowed sort keys. Empty: no item can match.
    pub(crate) values: BTreeMap<AttributeValue, SortCondition>,
    /// For each conjunct whether the selection enforces it completely, does so in part, or not at all.
    pub(crate) enforced: Vec<Enforcement>,
    /// The sort key is compared with a range, so values of unexpected type can be among those read.
    pub(crate) uses_range: bool,
    /// A constant cannot be a key value, though an attribute outside the index could hold it.
    pub(crate) has_unstorable_values: bool,
}

/// How much of a conjunct a key selection enforces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Enforcement {
    Complete,
    /// Why not completely.
    Partial(String),
    None,
}

/// One alternative of a disjunction, as far as it concerns the key.
#[derive(Debug, Clone, Default)]
struct Branch {
    hash: Option<BTreeSet<AttributeValue>>,
    sort: Option<SortRule>,
    /// The branch says something that key conditions do not express.
    has_rest: bool,
}

impl<'a> Keys<'a> {
    /// The key of `schema` when all its attributes are columns of a comparable shape.
    pub(crate) fn resolve(
        schema: &'a KeySchema,
        find: impl Fn(&str) -> Option<(usize, &'a Shape)>,
    ) -> Option<Self> {
        let resolve = |attribute: &'a KeyAttribute| {
            let (column, shape) = find(&attribute.name)?;
            Some(KeyColumn {
                attribute,
                column,
                shape,
            })
        };
        let hash = resolve(&schema.hash)?;
        let sort = match &schema.sort {
            None => None,
            Some(sort) => Some(resolve(sort)?),
        };
        Some(Self { hash, sort })
    }

    /// Allowed key values; `None` when the partition key is not fixed to a set.
    pub(crate) fn select(&self, conjuncts: &[Expression]) -> Option<KeySelection> {
        let mut selector = Selector {
            keys: self,
            has_unstorable_values: false,
        };
        let mut hash: Option<BTreeSet<AttributeValue>> = None;
        let mut sort = SortCondition::Any;
        let mut enforced = vec![Enforcement::None; conjuncts.len()];
        let mut alternatives: Option<(usize, Vec<Branch>)> = None;
        for (position, conjunct) in conjuncts.iter().enumerate() {
            let branches = selector.branches(conjunct);
            match branches.as_slice() {
                [branch] if branch.hash.is_some() || branch.sort.is_some() => {
                    enforced[position] = if branch.has_rest {
                        partial_rest()
                    } else {
                        Enforcement::Complete
                    };
                    if let Some(values) = &branch.hash {
                        hash = Some(intersection(hash, values));
                    }
                    if let Some(rule) = &branch.sort {
                        match sort.restricted(rule) {
                            Ok(restricted) => sort = restricted,
                            Err(reason) => enforced[position] = Enforcement::Partial(reason),
                        }
                    }
                }
                several
                    if several.len() > 1
                        && alternatives.is_none()
                        && several.iter().all(|branch| branch.hash.is_some()) =>
                {
                    alternatives = Some((position, branches));
                }
                _ => {}
            }
        }
        let mut values = BTreeMap::new();
        match alternatives {
            None => {
                for value in hash? {
                    values.insert(value, sort.clone());
                }
            }
            Some((position, branches)) => {
                let merged = merge_branches(&branches, hash.as_ref(), &sort);
                values = merged.values;
                enforced[position] = merged.enforcement;
            }
        }
        values.retain(|_, condition| !condition.is_empty());
        let uses_range = values.values().any(SortCondition::is_range);
        Some(KeySelection {
            values,
            enforced,
            uses_range,
            has_unstorable_values: selector.has_unstorable_values,
        })
    }
}

impl Keys<'_> {
    /// What the predicates say of the sort key whatever the partition.
    pub(crate) fn common_sort(&self, conjuncts: &[Expression]) -> SortCondition {
        let mut selector = Selector {
            keys: self,
            has_unstorable_values: false,
        };
        conjuncts
            .iter()
            .fold(SortCondition::Any, |condition, conjunct| {
                match selector.branches(conjunct).as_slice() {
                    [
                        Branch {
                            sort: Some(rule), ..
                        },
                    ] => condition.restricted(rule).unwrap_or(condition),
                    _ => condition,
                }
            })
    }
}

struct Merged {
    values: BTreeMap<AttributeValue, SortCondition>,
    enforcement: Enforcement,
}

/// One partition key value may occur in several branches: its sort conditions are united, never queried twice.
fn merge_branches(
    branches: &[Branch],
    allowed: Option<&BTreeSet<AttributeValue>>,
    common: &SortCondition,
) -> Merged {
    let mut enforcement = Enforcement::Complete;
    let mut united: BTreeMap<AttributeValue, SortCondition> = BTreeMap::new();
    for branch in branches {
        if branch.has_rest {
            enforcement = partial_rest();
        }
        let condition = match &branch.sort {
            None => SortCondition::Any,
            Some(rule) => match SortCondition::Any.restricted(rule) {
                Ok(condition) => condition,
                Err(reason) => {
                    enforcement = Enforcement::Partial(reason);
                    SortCondition::Any
                }
            },
        };
        for value in branch.hash.iter().flatten() {
            if allowed.is_some_and(|allowed| !allowed.contains(value)) {
                continue;
            }
            match united.remove(value) {
                None => {
                    united.insert(value.clone(), condition.clone());
                }
                Some(other) => {
                    let (union, is_exact) = other.union(&condition);
                    if !is_exact {
                        enforcement = Enforcement::Partial(
                            "several ranges of one partition are read as one".to_owned(),
                        );
                    }
                    united.insert(value.clone(), union);
                }
            }
        }
    }
    let values = united
        .into_iter()
        .map(|(value, condition)| match condition.intersected(common) {
            Some(both) => (value, both),
            None => {
                enforcement = Enforcement::Partial(
                    "two conditions on the sort key are not combined".to_owned(),
                );
                // The common condition is enforced for all partitions, so it is the one to keep.
                (value, common.clone())
            }
        })
        .collect();
    Merged {
        values,
        enforcement,
    }
}

fn partial_rest() -> Enforcement {
    Enforcement::Partial("key conditions enforce a part of it".to_owned())
}

fn intersection(
    known: Option<BTreeSet<AttributeValue>>,
    values: &BTreeSet<AttributeValue>,
) -> BTreeSet<AttributeValue> {
    match known {
        None => values.clone(),
        Some(known) => known.intersection(values).cloned().collect(),
    }
}

struct Selector<'k, 'a> {
    keys: &'k Keys<'a>,
    has_unstorable_values: bool,
}

impl Selector<'_, '_> {
    /// The predicate as a disjunction of key conditions; one branch without any when it has nothing to say.
    fn branches(&mut self, predicate: &Expression) -> Vec<Branch> {
        match predicate {
            Expression::Or(operands) => {
                let mut branches = Vec::new();
                for operand in operands {
                    branches.extend(self.branches(operand));
                    if branches.len() > MAX_BRANCHES {
                        return vec![Branch {
                            has_rest: true,
                            ..Branch::default()
                        }];
                    }
                }
                united_if_simple(branches)
            }
            Expression::And(operands) => {
                let mut product = vec![Branch::default()];
                for operand in operands {
                    let factors = self.branches(operand);
                    if product.len().saturating_mul(factors.len()) > MAX_BRANCHES {
                        for branch in &mut product {
                            branch.has_rest = true;
                        }
                        continue;
                    }
                    product = product
                        .iter()
                        .flat_map(|left| factors.iter().map(move |right| both(left, right)))
                        .collect();
                }
                product
            }
            leaf => vec![self.leaf(leaf).unwrap_or(Branch {
                has_rest: true,
                ..Branch::default()
            })],
        }
    }

    fn leaf(&mut self, predicate: &Expression) -> Option<Branch> {
        if let Some(values) = self.equal_values(predicate, &self.keys.hash, MAX_HASH_BYTES) {
            return Some(Branch {
                hash: Some(values),
                ..Branch::default()
            });
        }
        let sort = self.keys.sort?;
        if let Some(values) = self.equal_values(predicate, &sort, MAX_SORT_BYTES) {
            return Some(Branch {
                sort: Some(SortRule::In(values)),
                ..Branch::default()
            });
        }
        let (rule, has_rest) = sort_rule(predicate, &sort)?;
        Some(Branch {
            hash: None,
            sort: Some(rule),
            has_rest,
        })
    }

    /// `key = constant` and `key IN (constants)`. Constants that no key can have are left out.
    fn equal_values(
        &mut self,
        predicate: &Expression,
        key: &KeyColumn<'_>,
        most_bytes: usize,
    ) -> Option<BTreeSet<AttributeValue>> {
        let literals: Vec<&Literal> = match predicate {
            Expression::Compare {
                operator,
                left,
                right,
            } => match (&**left, &**right) {
                (Expression::Column(column), Expression::Literal(literal))
                | (Expression::Literal(literal), Expression::Column(column))
                    if column.index == key.column =>
                {
                    match operator {
                        CompareOperator::Equal => vec![literal],
                        // With NULL it asks for items without the attribute, which an index may have left out.
                        CompareOperator::NotDistinctFrom if !literal.is_null() => vec![literal],
                        _ => return None,
                    }
                }
                _ => return None,
            },
            Expression::InList {
                expression,
                list,
                negated: false,
            } => {
                if !is_column(expression, key.column) {
                    return None;
                }
                let literals = list.iter().map(|element| match element {
                    Expression::Literal(literal) => Some(literal),
                    _ => None,
                });
                literals.collect::<Option<Vec<_>>>()?
            }
            _ => return None,
        };
        let mut values = BTreeSet::new();
        for literal in literals {
            // No key is NULL.
            if literal.is_null() {
                continue;
            }
            let value = key_value(literal, key)?;
            if value.is_storable_key(most_bytes) {
                values.insert(value);
            } else {
                self.has_unstorable_values = true;
            }
        }
        Some(values)
    }
}

fn is_column(expression: &Expression, index: usize) -> bool {
    matches!(expression, Expression::Column(column) if column.index == index)
}

/// The constant as a key value; `None` when column and key differ in type.
pub(crate) fn key_value(literal: &Literal, key: &KeyColumn<'_>) -> Option<AttributeValue> {
    value_for_shape(key.shape, literal).filter(|value| value.key_kind() == Some(key.attribute.kind))
}

/// A range or prefix of the sort key, and whether the predicate says more than that.
fn sort_rule(predicate: &Expression, key: &KeyColumn<'_>) -> Option<(SortRule, bool)> {
    match predicate {
        Expression::Compare {
            operator,
            left,
            right,
        } => {
            let (literal, operator) = match (&**left, &**right) {
                (Expression::Column(column), Expression::Literal(literal))
                    if column.index == key.column =>
                {
                    (literal, *operator)
                }
                (Expression::Literal(literal), Expression::Column(column))
                    if column.index == key.column =>
                {
                    (literal, operator.swapped())
                }
                _ => return None,
            };
            let value =
                key_value(literal, key).filter(|value| value.is_storable_key(MAX_SORT_BYTES))?;
            let scale = match key.shape {
                Shape::BigInt => Some(0),
                Shape::Decimal { scale } => Some(*scale),
                _ => None,
            };
            Some((SortRule::comparison(operator, value, scale)?, false))
        }
        Expression::Like {
            expression,
            pattern,
            escape,
            negated: false,
            case_insensitive: false,
        } if is_column(expression, key.column) && *key.shape == Shape::Text => {
            let Expression::Literal(Literal {
                value: LiteralValue::Text(pattern),
                ..
            }) = &**pattern
            else {
                return None;
            };
            match LikePattern::parse(pattern, *escape)?.form() {
                PatternForm::Exactly(text) => {
                    let value = AttributeValue::S(text);
                    value
                        .is_storable_key(MAX_SORT_BYTES)
                        .then(|| (SortRule::In(BTreeSet::from([value])), false))
                }
                PatternForm::StartsWith(prefix) if prefix.len() <= MAX_SORT_BYTES => {
                    Some((SortRule::Prefix(prefix), false))
                }
                PatternForm::StartsWithAndMore(prefix) if prefix.len() <= MAX_SORT_BYTES => {
                    Some((SortRule::Prefix(prefix), true))
                }
                _ => None,
            }
        }
        _ => None,
    }
}

/// `a = 1 OR a = 2` is one branch with two values.
fn united_if_simple(branches: Vec<Branch>) -> Vec<Branch> {
    let only_hash = branches
        .iter()
        .all(|branch| branch.hash.is_some() && branch.sort.is_none() && !branch.has_rest);
    if only_hash {
        let hash = branches
            .into_iter()
            .filter_map(|branch| branch.hash)
            .flatten()
            .collect();
        return vec![Branch {
            hash: Some(hash),
            ..Branch::default()
        }];
    }
    let only_sort_values = branches.iter().all(|branch| {
        branch.hash.is_none() && !branch.has_rest && matches!(branch.sort, Some(SortRule::In(_)))
    });
    if only_sort_values {
        let values = branches
            .into_iter()
            .filter_map(|branch| match branch.sort {
                Some(SortRule::In(values)) => Some(values),
                _ => None,
            })
            .flatten()
            .collect();
        return vec![Branch {
            sort: Some(SortRule::In(values)),
            ..Branch::default()
        }];
    }
    branches
}

fn both(left: &Branch, right: &Branch) -> Branch {
    let hash = match (&left.hash, &right.hash) {
        (Some(left), Some(right)) => Some(left.intersection(right).cloned().collect()),
        (left, right) => left.clone().or_else(|| right.clone()),
    };
    let mut has_rest = left.has_rest || right.has_rest;
    let sort = match (&left.sort, &right.sort) {
        (Some(left), Some(right)) => match left.intersected(right) {
            Some(both) => Some(both),
            None => {
                has_rest = true;
                Some(left.clone())
            }
        },
        (left, right) => left.clone().or_else(|| right.clone()),
    };
    Branch {
        hash,
        sort,
        has_rest,
    }
}
