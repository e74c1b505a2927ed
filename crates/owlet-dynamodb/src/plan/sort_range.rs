//! Conditions on a sort key that a Query can express: a set of values, one range, or a prefix.
//! Must never know SQL or costs.

use std::collections::BTreeSet;

use owlet_connector::CompareOperator;
use serde::{Deserialize, Serialize};

use crate::number::Number;
use crate::value::{AttributeValue, MAX_SORT_BYTES};

/// One predicate on the sort key.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum SortRule {
    In(BTreeSet<AttributeValue>),
    Range(Range),
    Prefix(String),
}

/// An interval; `None` is unbounded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Range {
    pub(crate) lower: Option<Bound>,
    pub(crate) upper: Option<Bound>,
}

/// An end of an interval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bound {
    pub(crate) value: AttributeValue,
    pub(crate) inclusive: bool,
}

/// All that is known of the sort key of one partition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum SortCondition {
    /// Nothing.
    Any,
    In(BTreeSet<AttributeValue>),
    Range(Range),
    Prefix(String),
}

impl SortRule {
    /// `key operator value`. For numbers of a fixed scale exclusive bounds become the neighbouring inclusive ones,
    /// since BETWEEN has only those.
    pub(crate) fn comparison(
        operator: CompareOperator,
        value: AttributeValue,
        scale: Option<i8>,
    ) -> Option<Self> {
        let exclusive = |step: i128, value: AttributeValue| match neighbour(&value, step, scale) {
            Some(neighbour) => Bound {
                value: neighbour,
                inclusive: true,
            },
            None => Bound {
                value,
                inclusive: false,
            },
        };
        let range = match operator {
            CompareOperator::Less => Range {
                lower: None,
                upper: Some(exclusive(-1, value)),
            },
            CompareOperator::LessOrEqual => Range {
                lower: None,
                upper: Some(Bound {
                    value,
                    inclusive: true,
                }),
            },
            CompareOperator::Greater => Range {
                lower: Some(exclusive(1, value)),
                upper: None,
            },
            CompareOperator::GreaterOrEqual => Range {
                lower: Some(Bound {
                    value,
                    inclusive: true,
                }),
                upper: None,
            },
            _ => return None,
        };
        Some(Self::Range(range))
    }

    /// Both rules as one; `None` when one rule cannot say it.
    pub(crate) fn intersected(&self, other: &Self) -> Option<Self> {
        match SortCondition::from(self).restricted(other) {
            Ok(SortCondition::In(values)) => Some(Self::In(values)),
            Ok(SortCondition::Range(range)) => Some(Self::Range(range)),
            Ok(SortCondition::Prefix(prefix)) => Some(Self::Prefix(prefix)),
            Ok(SortCondition::Any) | Err(_) => None,
        }
    }

    fn admits(&self, value: &AttributeValue) -> bool {
        match self {
            Self::In(values) => values.contains(value),
            Self::Range(range) => range.admits(value),
            Self::Prefix(prefix) => {
                matches!(value, AttributeValue::S(text) if text.starts_with(prefix))
            }
        }
    }
}

impl From<&SortRule> for SortCondition {
    fn from(rule: &SortRule) -> Self {
        match rule {
            SortRule::In(values) => Self::In(values.clone()),
            SortRule::Range(range) => Self::Range(range.clone()),
            SortRule::Prefix(prefix) => Self::Prefix(prefix.clone()),
        }
    }
}

/// The next possible value of a fixed scale, or the next text or binary value upwards.
fn neighbour(value: &AttributeValue, step: i128, scale: Option<i8>) -> Option<AttributeValue> {
    match value {
        AttributeValue::N(number) => {
            let scale = scale?;
            let next = number.to_unscaled(scale)?.checked_add(step)?;
            Number::from_unscaled(next, scale).map(AttributeValue::N)
        }
        AttributeValue::S(text) if step > 0 && text.len() < MAX_SORT_BYTES => {
            Some(AttributeValue::S(format!("{text}\0")))
        }
        AttributeValue::B(bytes) if step > 0 && bytes.len() < MAX_SORT_BYTES => Some(
            AttributeValue::B(bytes.iter().copied().chain(std::iter::once(0)).collect()),
        ),
        _ => None,
    }
}

impl Range {
    fn admits(&self, value: &AttributeValue) -> bool {
        let above = self.lower.as_ref().is_none_or(|bound| {
            if bound.inclusive {
                *value >= bound.value
            } else {
                *value > bound.value
            }
        });
        let below = self.upper.as_ref().is_none_or(|bound| {
            if bound.inclusive {
                *value <= bound.value
            } else {
                *value < bound.value
            }
        });
        above && below
    }

    fn is_empty(&self) -> bool {
        match (&self.lower, &self.upper) {
            (Some(lower), Some(upper)) => {
                lower.value > upper.value
                    || (lower.value == upper.value && !(lower.inclusive && upper.inclusive))
            }
            _ => false,
        }
    }

    fn intersected(&self, other: &Self) -> Self {
        let lower = tighter(&self.lower, &other.lower, |left, right| {
            left.value > right.value
        });
        let upper = tighter(&self.upper, &other.upper, |left, right| {
            left.value < right.value
        });
        Self { lower, upper }
    }

    /// A Query states both bounds only as BETWEEN, which includes them.
    fn is_expressible(&self) -> bool {
        match (&self.lower, &self.upper) {
            (Some(lower), Some(upper)) => lower.inclusive && upper.inclusive,
            _ => true,
        }
    }
}

fn tighter(
    left: &Option<Bound>,
    right: &Option<Bound>,
    is_tighter: fn(&Bound, &Bound) -> bool,
) -> Option<Bound> {
    match (left, right) {
        (Some(left), Some(right)) => {
            let left_wins =
                is_tighter(left, right) || (left.value == right.value && !left.inclusive);
            Some(if left_wins { left } else { right }.clone())
        }
        (left, right) => left.clone().or_else(|| right.clone()),
    }
}

impl SortCondition {
    /// This and a further rule; `Err` says why the rule cannot be enforced completely (then it is not applied).
    pub(crate) fn restricted(&self, rule: &SortRule) -> Result<Self, String> {
        let combined = match (self, rule) {
            (Self::Any, rule) => Self::from(rule),
            (Self::In(values), rule) => Self::In(
                values
                    .iter()
                    .filter(|value| rule.admits(value))
                    .cloned()
                    .collect(),
            ),
            (condition, SortRule::In(values)) => Self::In(
                values
                    .iter()
                    .filter(|value| condition.admits(value))
                    .cloned()
                    .collect(),
            ),
            (Self::Range(range), SortRule::Range(other)) => Self::Range(range.intersected(other)),
            (Self::Prefix(prefix), SortRule::Prefix(other))
                if other.starts_with(prefix.as_str()) =>
            {
                Self::Prefix(other.clone())
            }
            (Self::Prefix(prefix), SortRule::Prefix(other))
                if prefix.starts_with(other.as_str()) =>
            {
                Self::Prefix(prefix.clone())
            }
            (Self::Prefix(_), SortRule::Prefix(_)) => Self::In(BTreeSet::new()),
            (Self::Prefix(_), SortRule::Range(_)) | (Self::Range(_), SortRule::Prefix(_)) => {
                return Err(
                    "a Query takes a prefix or a range of the sort key, not both".to_owned(),
                );
            }
        };
        match &combined {
            Self::Range(range) if !range.is_empty() && !range.is_expressible() => {
                Err("a Query with two bounds of the sort key includes both".to_owned())
            }
            _ => Ok(combined),
        }
    }

    /// Both conditions; `None` when a Query cannot state them together.
    pub(crate) fn intersected(&self, other: &Self) -> Option<Self> {
        let rule = match other {
            Self::Any => return Some(self.clone()),
            Self::In(values) => SortRule::In(values.clone()),
            Self::Range(range) => SortRule::Range(range.clone()),
            Self::Prefix(prefix) => SortRule::Prefix(prefix.clone()),
        };
        self.restricted(&rule).ok()
    }

    /// A condition that covers both, and whether it covers nothing else.
    pub(crate) fn union(&self, other: &Self) -> (Self, bool) {
        match (self, other) {
            (left, right) if left == right => (left.clone(), true),
            (Self::In(left), Self::In(right)) => {
                (Self::In(left.union(right).cloned().collect()), true)
            }
            (Self::Any, _) | (_, Self::Any) => (Self::Any, true),
            _ => (Self::Any, false),
        }
    }

    fn admits(&self, value: &AttributeValue) -> bool {
        match self {
            Self::Any => true,
            Self::In(values) => values.contains(value),
            Self::Range(range) => range.admits(value),
            Self::Prefix(prefix) => SortRule::Prefix(prefix.clone()).admits(value),
        }
    }

    /// No sort key satisfies it.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::In(values) => values.is_empty(),
            Self::Range(range) => range.is_empty(),
            Self::Any | Self::Prefix(_) => false,
        }
    }

    /// True for conditions that values of another type than expected can satisfy.
    pub(crate) fn is_range(&self) -> bool {
        matches!(self, Self::Range(_))
    }

    /// For people: the condition on an attribute.
    pub(crate) fn readable(&self, attribute: &str) -> String {
        match self {
            Self::Any => String::new(),
            Self::In(values) => {
                let values: Vec<AttributeValue> = values.iter().cloned().collect();
                match values.as_slice() {
                    [one] => format!("{attribute} = {}", one.readable()),
                    several => format!(
                        "{attribute} IN ({})",
                        super::condition::readable_values(several)
                    ),
                }
            }
            Self::Prefix(prefix) => {
                format!(
                    "begins_with({attribute}, {})",
                    AttributeValue::S(prefix.clone()).readable()
                )
            }
            Self::Range(Range {
                lower: Some(lower),
                upper: Some(upper),
            }) => {
                format!(
                    "{attribute} BETWEEN {} AND {}",
                    lower.value.readable(),
                    upper.value.readable()
                )
            }
            Self::Range(Range {
                lower: Some(bound),
                upper: None,
            }) => {
                format!(
                    "{attribute} {} {}",
                    if bound.inclusive { ">=" } else { ">" },
                    bound.value.readable()
                )
            }
            Self::Range(Range {
                lower: None,
                upper: Some(bound),
            }) => {
                format!(
                    "{attribute} {} {}",
                    if bound.inclusive { "<=" } else { "<" },
                    bound.value.readable()
                )
            }
            Self::Range(Range {
                lower: None,
                upper: None,
            }) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(value: i64) -> AttributeValue {
        AttributeValue::N(
            Number::from_unscaled(value.into(), 0).expect("small numbers are numbers"),
        )
    }

    fn text(value: &str) -> AttributeValue {
        AttributeValue::S(value.to_owned())
    }

    fn rule(operator: CompareOperator, value: AttributeValue, scale: Option<i8>) -> SortRule {
        SortRule::comparison(operator, value, scale).expect("the operator makes a range")
    }

    fn all(rules: &[SortRule]) -> Result<SortCondition, String> {
        rules
            .iter()
            .try_fold(SortCondition::Any, |condition, rule| {
                condition.restricted(rule)
            })
    }

    #[test]
    fn exclusive_bounds_of_integers_become_inclusive() {
        let condition = all(&[
            rule(CompareOperator::Greater, number(5), Some(0)),
            rule(CompareOperator::Less, number(9), Some(0)),
        ]);
        assert_eq!(
            condition
                .map(|condition| condition.readable("k"))
                .as_deref(),
            Ok("k BETWEEN 6 AND 8")
        );
    }

    #[test]
    fn an_exclusive_upper_text_bound_beside_a_lower_one_is_not_exact() {
        let rules = [
            rule(CompareOperator::Greater, text("a"), None),
            rule(CompareOperator::Less, text("c"), None),
        ];
        assert!(all(&rules).is_err());
        assert!(all(&rules[..1]).is_ok() && all(&rules[1..]).is_ok());
    }

    #[test]
    fn contradictions_are_empty() {
        let condition = all(&[
            rule(CompareOperator::Greater, number(5), Some(0)),
            rule(CompareOperator::Less, number(6), Some(0)),
        ]);
        assert_eq!(condition.map(|condition| condition.is_empty()), Ok(true));
        let values = SortRule::In(BTreeSet::from([number(1), number(7)]));
        let condition = all(&[values, rule(CompareOperator::Greater, number(5), Some(0))]);
        assert_eq!(
            condition,
            Ok(SortCondition::In(BTreeSet::from([number(7)])))
        );
    }

    #[test]
    fn prefixes_combine_with_prefixes_only() {
        let prefix = |text: &str| SortRule::Prefix(text.to_owned());
        assert_eq!(
            all(&[prefix("ab"), prefix("a")]),
            Ok(SortCondition::Prefix("ab".to_owned()))
        );
        assert_eq!(
            all(&[prefix("ab"), prefix("b")]).map(|condition| condition.is_empty()),
            Ok(true)
        );
        assert!(
            all(&[
                prefix("ab"),
                rule(CompareOperator::Greater, text("a"), None)
            ])
            .is_err()
        );
    }
}
