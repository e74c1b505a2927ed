//! SQL predicates into DynamoDB conditions, with a proof obligation: a condition holds exactly for the items for
//! which SQL says TRUE, or the translation says why it does not. Must never know keys, indexes or requests.
//!
//! SQL has three truth values, DynamoDB two, so every predicate is translated twice: into the condition "it is
//! TRUE" and into "it is FALSE". Negation exchanges the two; items for which neither holds are SQL's UNKNOWN.

use std::collections::BTreeSet;

use arrow_schema::DataType;
use owlet_connector::{CompareOperator, Expression, Literal, LiteralValue, Truth};

use super::condition::{Condition, Operator, Path};
use super::like::{LikePattern, PatternForm};
use crate::number::Number;
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

/// A value in an item that a predicate is about.
#[derive(Debug)]
struct Operand<'a> {
    column: usize,
    path: Path,
    shape: &'a Shape,
    required: bool,
    /// The predicate compares the value after a cast to another number type.
    cast: Option<&'a DataType>,
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

    fn compare(
        &self,
        operator: CompareOperator,
        left: &'a Expression,
        right: &'a Expression,
        wanted: Wanted,
    ) -> Result<Translated> {
        let (operand, literal, operator) = match (left, right) {
            (operand, Expression::Literal(literal)) => (operand, literal, operator),
            (Expression::Literal(literal), operand) => (operand, literal, operator.swapped()),
            _ => return Err("DynamoDB filters compare an attribute with a constant".to_owned()),
        };
        let operator = match operator {
            CompareOperator::NotDistinctFrom | CompareOperator::DistinctFrom => {
                let wanted = if operator == CompareOperator::DistinctFrom {
                    wanted.opposite()
                } else {
                    wanted
                };
                return self.not_distinct(operand, literal, wanted);
            }
            CompareOperator::Equal => Operator::Equal,
            CompareOperator::NotEqual => Operator::NotEqual,
            CompareOperator::Less => Operator::Less,
            CompareOperator::LessOrEqual => Operator::LessOrEqual,
            CompareOperator::Greater => Operator::Greater,
            CompareOperator::GreaterOrEqual => Operator::GreaterOrEqual,
        };
        if literal.is_null() {
            return Ok(Translated::exact(Condition::Never));
        }
        let operator = match wanted {
            Wanted::True => operator,
            Wanted::False => complement(operator),
        };
        let operand = self.operand(operand)?;
        self.compare_value(&operand, operator, literal)
    }

    /// `IS NOT DISTINCT FROM` is never UNKNOWN.
    fn not_distinct(
        &self,
        operand: &'a Expression,
        literal: &'a Literal,
        wanted: Wanted,
    ) -> Result<Translated> {
        if literal.is_null() {
            return self.is_null(operand, wanted);
        }
        let equal = self.compare_value(&self.operand(operand)?, Operator::Equal, literal)?;
        match wanted {
            Wanted::True => Ok(equal),
            Wanted::False => equal.negated(),
        }
    }

    fn compare_value(
        &self,
        operand: &Operand<'_>,
        operator: Operator,
        literal: &Literal,
    ) -> Result<Translated> {
        if is_double_comparison(operand, literal) {
            return double_comparison(operand, operator, literal);
        }
        let value = constant_value(operand, literal)?;
        let translated = self.comparison(operand, operator, value)?;
        Ok(if operand.cast.is_some() {
            translated.because("the value is cast before it is compared")
        } else {
            translated
        })
    }

    fn comparison(
        &self,
        operand: &Operand<'_>,
        operator: Operator,
        value: AttributeValue,
    ) -> Result<Translated> {
        let comparison = Condition::Compare {
            path: operand.path.clone(),
            operator,
            value,
        };
        let Some(descriptor) = operand.shape.descriptor() else {
            return Err(no_comparison(operand.shape));
        };
        match operator {
            // Only values of the right type, all of which are representable, are equal to a constant.
            Operator::Equal => Ok(Translated::exact(comparison)),
            // `<>` is true for missing attributes and other types; SQL's is not.
            Operator::NotEqual => {
                let has_type = Condition::TypeIs {
                    path: operand.path.clone(),
                    descriptor,
                };
                Ok(self.checked(
                    Translated::exact(Condition::all(vec![has_type, comparison])),
                    operand,
                ))
            }
            _ => Ok(self.checked(Translated::exact(comparison), operand)),
        }
    }

    /// A condition that may hold for values that do not fit the column: they must be seen, not only counted.
    fn checked(&self, mut translated: Translated, operand: &Operand<'_>) -> Translated {
        let has_only_fitting_values = operand.shape.is_total()
            && matches!(
                translated.condition,
                Condition::Compare { .. }
                    | Condition::And(_)
                    | Condition::In { .. }
                    | Condition::TypeIs { .. }
            );
        if has_only_fitting_values {
            return translated;
        }
        let is_nested = operand.path.len() > 1;
        if is_nested || self.on_mismatch == OnTypeMismatch::Null {
            return translated.because(NOT_REPRESENTABLE);
        }
        translated.checks.insert(operand.column);
        translated
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

    fn operand(&self, expression: &'a Expression) -> Result<Operand<'a>> {
        match expression {
            Expression::Column(reference) => {
                let column = self
                    .columns
                    .get(reference.index)
                    .ok_or_else(|| "the column is unknown".to_owned())?;
                let Some(attribute) = &column.attribute else {
                    return Err("the whole item cannot be compared by DynamoDB".to_owned());
                };
                if self.forbidden.contains(&attribute.as_str()) {
                    return Err(format!(
                        "a Query cannot filter on its key attribute {attribute}"
                    ));
                }
                Ok(Operand {
                    column: reference.index,
                    path: vec![attribute.clone()],
                    shape: &column.shape,
                    required: self.required.contains(&attribute.as_str()),
                    cast: None,
                })
            }
            Expression::Field {
                expression, name, ..
            } => {
                let parent = self.operand(expression)?;
                let Shape::Struct(members) = parent.shape else {
                    return Err("DynamoDB filters reach into maps only".to_owned());
                };
                let Some(member) = members.iter().find(|member| member.name == *name) else {
                    return Err(format!("the map has no member {name}"));
                };
                let mut path = parent.path;
                path.push(member.source_name.clone());
                Ok(Operand {
                    path,
                    shape: &member.shape,
                    required: false,
                    ..parent
                })
            }
            Expression::Cast {
                expression,
                data_type,
                ..
            } => {
                let operand = self.operand(expression)?;
                let is_number_widening = match (operand.shape, data_type, operand.cast) {
                    (
                        Shape::BigInt | Shape::Decimal { .. } | Shape::Double,
                        DataType::Float64,
                        None,
                    ) => true,
                    (Shape::BigInt, DataType::Decimal128(_, scale), None) => *scale >= 0,
                    (Shape::Decimal { scale: own }, DataType::Decimal128(_, scale), None) => {
                        scale >= own
                    }
                    _ => false,
                };
                if !is_number_widening {
                    return Err(format!("DynamoDB has no cast to {data_type}"));
                }
                Ok(Operand {
                    cast: Some(data_type),
                    ..operand
                })
            }
            _ => Err("DynamoDB filters compare an attribute with a constant".to_owned()),
        }
    }
}

const NOT_REPRESENTABLE: &str = "stored values that do not fit the column's type would pass";
const PARTIAL_PATTERN: &str = "DynamoDB tests only a part of the LIKE pattern";

fn no_comparison(shape: &Shape) -> String {
    format!(
        "values of type {} are not comparable in DynamoDB as in SQL",
        shape.sql_type()
    )
}

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

fn complement(operator: Operator) -> Operator {
    match operator {
        Operator::Equal => Operator::NotEqual,
        Operator::NotEqual => Operator::Equal,
        Operator::Less => Operator::GreaterOrEqual,
        Operator::LessOrEqual => Operator::Greater,
        Operator::Greater => Operator::LessOrEqual,
        Operator::GreaterOrEqual => Operator::Less,
    }
}

/// The constant as DynamoDB compares it with values of the operand's shape.
fn constant_value(operand: &Operand<'_>, literal: &Literal) -> Result<AttributeValue> {
    value_for_shape(operand.shape, literal).ok_or_else(|| {
        let found = format!("a constant of type {}", literal.data_type);
        format!(
            "{found} is not comparable with {} in DynamoDB",
            operand.shape.sql_type()
        )
    })
}

/// A constant in the representation of a shape's values, when the comparison of both is that of SQL.
pub(crate) fn value_for_shape(shape: &Shape, literal: &Literal) -> Option<AttributeValue> {
    match (shape, &literal.value) {
        (Shape::Boolean, LiteralValue::Boolean(value)) => Some(AttributeValue::Bool(*value)),
        (Shape::Text, LiteralValue::Text(text)) => Some(AttributeValue::S(text.clone())),
        (Shape::Binary, LiteralValue::Binary(bytes)) => Some(AttributeValue::B(bytes.clone())),
        (Shape::BigInt | Shape::Decimal { .. }, LiteralValue::Integer(value)) => {
            let scale = match literal.data_type {
                DataType::Decimal128(_, scale) => scale,
                ref integer if integer.is_integer() => 0,
                _ => return None,
            };
            Number::from_unscaled(*value, scale)
                .filter(Number::is_storable)
                .map(AttributeValue::N)
        }
        _ => None,
    }
}

fn is_double_comparison(operand: &Operand<'_>, literal: &Literal) -> bool {
    let is_number = matches!(
        operand.shape,
        Shape::BigInt | Shape::Decimal { .. } | Shape::Double
    );
    is_number
        && matches!(literal.value, LiteralValue::Float(_))
        && literal.data_type == DataType::Float64
}

/// SQL compares the nearest double of a stored number, DynamoDB the number itself. Bounds two doubles wide of the
/// constant hold for every number whose double passes.
fn double_comparison(
    operand: &Operand<'_>,
    operator: Operator,
    literal: &Literal,
) -> Result<Translated> {
    let LiteralValue::Float(value) = literal.value else {
        return Err("the constant is no double".to_owned());
    };
    let below = bound(value.next_down().next_down())?;
    let above = bound(value.next_up().next_up())?;
    let path = operand.path.clone();
    let condition = match operator {
        Operator::Equal => Condition::Between {
            path,
            low: below,
            high: above,
        },
        Operator::NotEqual => Condition::TypeIs {
            path,
            descriptor: "N",
        },
        Operator::Less | Operator::LessOrEqual => Condition::Compare {
            path,
            operator: Operator::LessOrEqual,
            value: above,
        },
        Operator::Greater | Operator::GreaterOrEqual => Condition::Compare {
            path,
            operator: Operator::GreaterOrEqual,
            value: below,
        },
    };
    Ok(Translated::exact(condition).because("numbers are compared as doubles, which round"))
}

fn bound(value: f64) -> Result<AttributeValue> {
    // A denormal bound is zero for DynamoDB, whose smallest magnitude is 1E-130.
    let text = if value.abs() < 1e-130 {
        "0".to_owned()
    } else {
        format!("{value:e}")
    };
    Number::parse(&text)
        .filter(|number| value.is_finite() && number.is_storable())
        .map(AttributeValue::N)
        .ok_or_else(|| "the constant is beyond DynamoDB's numbers".to_owned())
}
