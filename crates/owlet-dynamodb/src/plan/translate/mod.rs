//! SQL predicates into DynamoDB conditions, with a proof obligation: a condition holds exactly for the items for
//! which SQL says TRUE, or the translation says why it does not. Must never know keys, indexes or requests.
//!
//! SQL has three truth values, DynamoDB two, so every predicate is translated twice: into the condition "it is
//! TRUE" and into "it is FALSE". Negation exchanges the two; items for which neither holds are SQL's UNKNOWN.

mod comparison;
mod operand;

use std::collections::BTreeSet;

use owlet_connector::{Expression, Literal, LiteralValue, Truth};

pub(crate) use self::comparison::value_for_shape;
use self::comparison::{constant_value, is_double_comparison, is_empty, no_comparison};
use super::condition::{Condition, Operator};
use super::like::{LikePattern, PatternForm};
use crate::options::OnTypeMismatch;
use crate::shape::Shape;
use crate::table::TableColumn;
use crate::value::AttributeValue;

/// What predicates refer to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Columns<'a> {
    pub(crate) columns: &'a [TableColumn],
    /// Attributes that are never missing nor NULL (the table's key).
    pub(crate) required: &'a [&'a str],
    /// Attributes a condition must not name (the keys of a Query).
    pub(crate) forbidden: &'a [&'a str],
    pub(crate) on_mismatch: OnTypeMismatch,
}

/// A translated predicate.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Translated {
    pub(crate) condition: Condition,
    /// Why the condition also holds for other items; `None` when it is exact.
    pub(crate) inexact: Option<String>,
    /// Columns whose values must be read so that one of a wrong type is an error as without pushdown.
    pub(crate) checks: BTreeSet<usize>,
}

type Result<T> = std::result::Result<T, String>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    True,
    False,
}

impl Wanted {
    fn opposite(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
        }
    }
}

/// Translates a predicate; `Err` says why DynamoDB cannot help with it.
pub(crate) fn translate(predicate: &Expression, columns: Columns<'_>) -> Result<Translated> {
    columns.predicate(predicate, Wanted::True)
}

impl Translated {
    fn exact(condition: Condition) -> Self {
        Self {
            condition,
            inexact: None,
            checks: BTreeSet::new(),
        }
    }

    fn combine(parts: Vec<Self>, combine: fn(Vec<Condition>) -> Condition) -> Self {
        let mut combined = Self::exact(Condition::Always);
        let mut conditions = Vec::new();
        for part in parts {
            conditions.push(part.condition);
            combined.checks.extend(part.checks);
            combined.inexact = combined.inexact.or(part.inexact);
        }
        combined.condition = combine(conditions);
        combined
    }

    /// "Not this": only right for an exact condition.
    fn negated(self) -> Result<Self> {
        match self.inexact {
            None => Ok(Self {
                condition: self.condition.negated(),
                ..self
            }),
            Some(reason) => Err(reason),
        }
    }

    fn because(mut self, reason: &str) -> Self {
        self.inexact.get_or_insert_with(|| reason.to_owned());
        self
    }
}

impl<'a> Columns<'a> {
    fn predicate(&self, predicate: &'a Expression, wanted: Wanted) -> Result<Translated> {
        match predicate {
            Expression::Literal(literal) => constant(literal, wanted),
            Expression::Not(inner) => self.predicate(inner, wanted.opposite()),
            Expression::And(operands) => self.connective(operands, wanted, wanted == Wanted::True),
            Expression::Or(operands) => self.connective(operands, wanted, wanted == Wanted::False),
            Expression::IsNull(operand) => self.is_null(operand, wanted),
            Expression::IsNotNull(operand) => self.is_null(operand, wanted.opposite()),
            Expression::Is {
                expression,
                truth,
                negated,
            } => {
                let wanted = if *negated { wanted.opposite() } else { wanted };
                self.is_truth(expression, *truth, wanted)
            }
            Expression::Compare {
                operator,
                left,
                right,
            } => self.compare(*operator, left, right, wanted),
            Expression::InList {
                expression,
                list,
                negated,
            } => {
                let wanted = if *negated { wanted.opposite() } else { wanted };
                self.in_list(expression, list, wanted)
            }
            Expression::Like {
                expression,
                pattern,
                escape,
                negated,
                case_insensitive,
            } => {
                if *case_insensitive {
                    return Err("DynamoDB compares text case-sensitively".to_owned());
                }
                let wanted = if *negated { wanted.opposite() } else { wanted };
                self.like(expression, pattern, *escape, wanted)
            }
            Expression::Column(_) | Expression::Field { .. } => {
                let operand = self.operand(predicate)?;
                let value = AttributeValue::Bool(wanted == Wanted::True);
                self.comparison(&operand, Operator::Equal, value)
            }
            _ => Err("DynamoDB has no such function or arithmetic".to_owned()),
        }
    }

    /// `conjunction`: all operands are needed. A conjunction may leave operands out (more items pass), a
    /// disjunction may not.
    fn connective(
        &self,
        operands: &'a [Expression],
        wanted: Wanted,
        conjunction: bool,
    ) -> Result<Translated> {
        let mut parts = Vec::new();
        let mut left_out = None;
        for operand in operands {
            match self.predicate(operand, wanted) {
                Ok(part) => parts.push(part),
                Err(reason) if conjunction => left_out = left_out.or(Some(reason)),
                Err(reason) => return Err(reason),
            }
        }
        if let Some(reason) = left_out {
            if parts.is_empty() {
                return Err(reason);
            }
            return Ok(Translated::combine(parts, Condition::all).because(&reason));
        }
        Ok(Translated::combine(
            parts,
            if conjunction {
                Condition::all
            } else {
                Condition::any
            },
        ))
    }

    fn is_truth(
        &self,
        expression: &'a Expression,
        truth: Truth,
        wanted: Wanted,
    ) -> Result<Translated> {
        let holds = match truth {
            Truth::True => self.predicate(expression, Wanted::True)?,
            Truth::False => self.predicate(expression, Wanted::False)?,
            Truth::Unknown => {
                let not_true = self.predicate(expression, Wanted::True)?.negated()?;
                let not_false = self.predicate(expression, Wanted::False)?.negated()?;
                Translated::combine(vec![not_true, not_false], Condition::all)
            }
        };
        match wanted {
            Wanted::True => Ok(holds),
            Wanted::False => holds.negated(),
        }
    }

    fn is_null(&self, expression: &'a Expression, wanted: Wanted) -> Result<Translated> {
        let operand = self.operand(expression)?;
        if operand.required {
            let holds = wanted == Wanted::False;
            return Ok(Translated::exact(if holds {
                Condition::Always
            } else {
                Condition::Never
            }));
        }
        if operand.cast.is_some() {
            return Err("the value is cast before it is tested".to_owned());
        }
        let path = operand.path.clone();
        match (self.on_mismatch, operand.shape.descriptor()) {
            // A value of another type becomes NULL.
            (OnTypeMismatch::Null, Some(descriptor)) => {
                let has_type = Condition::TypeIs { path, descriptor };
                let becomes_null = matches!(operand.shape, Shape::BigInt | Shape::Decimal { .. });
                match wanted {
                    Wanted::True if becomes_null => Err(NOT_REPRESENTABLE.to_owned()),
                    Wanted::True => Ok(Translated::exact(has_type.negated())),
                    Wanted::False if becomes_null => {
                        Ok(Translated::exact(has_type).because(NOT_REPRESENTABLE))
                    }
                    Wanted::False => Ok(Translated::exact(has_type)),
                }
            }
            _ => {
                let missing = Condition::NotExists(path.clone());
                let null = Condition::TypeIs {
                    path,
                    descriptor: "NULL",
                };
                let is_null = Condition::any(vec![missing, null]);
                match wanted {
                    Wanted::True => Ok(Translated::exact(is_null)),
                    Wanted::False => {
                        let translated = Translated::exact(is_null.negated());
                        let any_value_fits = *operand.shape == Shape::Json;
                        Ok(if any_value_fits {
                            translated
                        } else {
                            self.checked(translated, &operand)
                        })
                    }
                }
            }
        }
    }

    fn in_list(
        &self,
        expression: &'a Expression,
        list: &'a [Expression],
        wanted: Wanted,
    ) -> Result<Translated> {
        let operand = self.operand(expression)?;
        let mut has_null = false;
        let mut literals = Vec::new();
        for element in list {
            match element {
                Expression::Literal(literal) if literal.is_null() => has_null = true,
                Expression::Literal(literal) => literals.push(literal),
                _ => return Err("DynamoDB's IN takes constants".to_owned()),
            }
        }
        if wanted == Wanted::False && has_null {
            return Ok(Translated::exact(Condition::Never));
        }
        if literals
            .iter()
            .any(|literal| is_double_comparison(&operand, literal))
        {
            let operator = if wanted == Wanted::True {
                Operator::Equal
            } else {
                Operator::NotEqual
            };
            let parts = literals
                .iter()
                .map(|literal| self.compare_value(&operand, operator, literal))
                .collect::<Result<Vec<_>>>()?;
            let combine = if wanted == Wanted::True {
                Condition::any
            } else {
                Condition::all
            };
            return Ok(Translated::combine(parts, combine));
        }
        let mut values = literals
            .into_iter()
            .map(|literal| constant_value(&operand, literal))
            .collect::<Result<Vec<_>>>()?;
        values.sort();
        values.dedup();
        values.retain(|value| !(operand.required && is_empty(value)));
        let Some(descriptor) = operand.shape.descriptor() else {
            return Err(no_comparison(operand.shape));
        };
        let found = if values.is_empty() {
            Condition::Never
        } else {
            Condition::In {
                path: operand.path.clone(),
                values,
            }
        };
        let translated = match wanted {
            Wanted::True => Translated::exact(found),
            Wanted::False => {
                let has_type = Condition::TypeIs {
                    path: operand.path.clone(),
                    descriptor,
                };
                self.checked(
                    Translated::exact(Condition::all(vec![has_type, found.negated()])),
                    &operand,
                )
            }
        };
        Ok(if operand.cast.is_some() {
            translated.because("the value is cast before it is compared")
        } else {
            translated
        })
    }

    fn like(
        &self,
        expression: &'a Expression,
        pattern: &'a Expression,
        escape: Option<char>,
        wanted: Wanted,
    ) -> Result<Translated> {
        let operand = self.operand(expression)?;
        if *operand.shape != Shape::Text {
            return Err("LIKE is pushed for text attributes only".to_owned());
        }
        let pattern = match pattern {
            Expression::Literal(Literal {
                value: LiteralValue::Text(pattern),
                ..
            }) => pattern,
            Expression::Literal(literal) if literal.is_null() => {
                return Ok(Translated::exact(Condition::Never));
            }
            _ => return Err("the LIKE pattern is no constant".to_owned()),
        };
        let Some(pattern) = LikePattern::parse(pattern, escape) else {
            return Err("the LIKE pattern ends with its escape character".to_owned());
        };
        let path = operand.path.clone();
        let has_type = Condition::TypeIs {
            path: path.clone(),
            descriptor: "S",
        };
        let (condition, inexact) = match pattern.form() {
            PatternForm::Anything => (has_type.clone(), None),
            PatternForm::Exactly(text) => {
                let value = AttributeValue::S(text);
                (
                    Condition::Compare {
                        path,
                        operator: Operator::Equal,
                        value,
                    },
                    None,
                )
            }
            PatternForm::StartsWith(prefix) => (Condition::BeginsWith { path, prefix }, None),
            PatternForm::Contains(text) => {
                // On a set, contains() looks for an element.
                (
                    Condition::all(vec![has_type.clone(), Condition::Contains { path, text }]),
                    None,
                )
            }
            PatternForm::StartsWithAndMore(prefix) => (
                Condition::BeginsWith { path, prefix },
                Some(PARTIAL_PATTERN),
            ),
            PatternForm::ContainsAndMore(text) => (
                Condition::all(vec![has_type.clone(), Condition::Contains { path, text }]),
                Some(PARTIAL_PATTERN),
            ),
            PatternForm::Other => (has_type.clone(), Some(PARTIAL_PATTERN)),
        };
        let translated = Translated {
            condition,
            inexact: inexact.map(str::to_owned),
            checks: BTreeSet::new(),
        };
        match wanted {
            Wanted::True => Ok(translated),
            Wanted::False => {
                let negated = translated.negated()?;
                Ok(Translated::combine(
                    vec![Translated::exact(has_type), negated],
                    Condition::all,
                ))
            }
        }
    }
}

const NOT_REPRESENTABLE: &str = "stored values that do not fit the column's type would pass";
const PARTIAL_PATTERN: &str = "DynamoDB tests only a part of the LIKE pattern";

fn constant(literal: &Literal, wanted: Wanted) -> Result<Translated> {
    let holds = match literal.value {
        LiteralValue::Boolean(value) => value == (wanted == Wanted::True),
        LiteralValue::Null => false,
        _ => return Err("the constant is no truth value".to_owned()),
    };
    Ok(Translated::exact(if holds {
        Condition::Always
    } else {
        Condition::Never
    }))
}
