//! Conditions of a FilterExpression as a tree, and their text with placeholders within DynamoDB's limits.
//! Must never know SQL.
//!
//! Limits: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html> ("Expression
//! parameters").

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::value::AttributeValue;

/// Longest text of an expression, in bytes.
const MAX_EXPRESSION_BYTES: usize = 4096;
/// Most operators and functions in an expression.
const MAX_OPERATORS: usize = 300;
/// Most operands of one IN.
const MAX_IN_OPERANDS: usize = 100;
/// Most bytes of all placeholder values together; the limit is 2 MB, the rest is for names.
const MAX_VALUE_BYTES: usize = 1_500_000;

/// Place of a value in an item: an attribute, then map keys.
pub(crate) type Path = Vec<String>;

/// A condition on an item. DynamoDB's logic has two values: a comparison with a missing attribute or one of another
/// type is false (`<>` is true).
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Condition {
    Always,
    Never,
    Compare {
        path: Path,
        operator: Operator,
        value: AttributeValue,
    },
    Between {
        path: Path,
        low: AttributeValue,
        high: AttributeValue,
    },
    In {
        path: Path,
        values: Vec<AttributeValue>,
    },
    TypeIs {
        path: Path,
        descriptor: &'static str,
    },
    NotExists(Path),
    BeginsWith {
        path: Path,
        prefix: String,
    },
    Contains {
        path: Path,
        text: String,
    },
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
}

/// DynamoDB's comparison operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Operator {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

/// An expression's text with the names and values behind its placeholders.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rendered {
    pub(crate) text: String,
    /// `#n0` → attribute name.
    pub(crate) names: Map<String, Value>,
    /// `:v0` → value in DynamoDB's form.
    pub(crate) values: Map<String, Value>,
}

impl Condition {
    /// All of these; simplified.
    pub(crate) fn all(conditions: Vec<Condition>) -> Self {
        let mut kept = Vec::new();
        for condition in conditions {
            match condition {
                Self::Always => {}
                Self::Never => return Self::Never,
                Self::And(nested) => kept.extend(nested),
                other => kept.push(other),
            }
        }
        match kept.len() {
            0 => Self::Always,
            1 => kept.remove(0),
            _ => Self::And(kept),
        }
    }

    /// Any of these; simplified.
    pub(crate) fn any(conditions: Vec<Condition>) -> Self {
        let mut kept = Vec::new();
        for condition in conditions {
            match condition {
                Self::Never => {}
                Self::Always => return Self::Always,
                Self::Or(nested) => kept.extend(nested),
                other => kept.push(other),
            }
        }
        match kept.len() {
            0 => Self::Never,
            1 => kept.remove(0),
            _ => Self::Or(kept),
        }
    }

    /// The opposite; simplified.
    pub(crate) fn negated(self) -> Self {
        match self {
            Self::Always => Self::Never,
            Self::Never => Self::Always,
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }

    /// The text for a request; `Err` names the limit it breaks. `Always` and `Never` have no text.
    pub(crate) fn render(&self) -> Result<Rendered, String> {
        let mut writer = Writer::default();
        writer.condition(self)?;
        if writer.output.text.len() > MAX_EXPRESSION_BYTES {
            return Err(format!(
                "a filter expression may have {MAX_EXPRESSION_BYTES} bytes at most"
            ));
        }
        if writer.operators > MAX_OPERATORS {
            return Err(format!(
                "a filter expression may have {MAX_OPERATORS} operators at most"
            ));
        }
        if writer.value_bytes > MAX_VALUE_BYTES {
            return Err("the constants of a filter expression may have 2 MB at most".to_owned());
        }
        Ok(writer.output)
    }

    /// The condition for people, with names and values in place.
    pub(crate) fn readable(&self) -> String {
        match self {
            Self::Always => "true".to_owned(),
            Self::Never => "false".to_owned(),
            Self::Compare {
                path,
                operator,
                value,
            } => {
                format!(
                    "{} {} {}",
                    readable_path(path),
                    operator.as_str(),
                    value.readable()
                )
            }
            Self::Between { path, low, high } => {
                format!(
                    "{} BETWEEN {} AND {}",
                    readable_path(path),
                    low.readable(),
                    high.readable()
                )
            }
            Self::In { path, values } => {
                format!("{} IN ({})", readable_path(path), readable_values(values))
            }
            Self::TypeIs { path, descriptor } => {
                format!("attribute_type({}, {descriptor})", readable_path(path))
            }
            Self::NotExists(path) => format!("attribute_not_exists({})", readable_path(path)),
            Self::BeginsWith { path, prefix } => {
                format!(
                    "begins_with({}, {})",
                    readable_path(path),
                    AttributeValue::S(prefix.clone()).readable()
                )
            }
            Self::Contains { path, text } => {
                format!(
                    "contains({}, {})",
                    readable_path(path),
                    AttributeValue::S(text.clone()).readable()
                )
            }
            Self::And(operands) => readable_operands(operands, " AND "),
            Self::Or(operands) => readable_operands(operands, " OR "),
            Self::Not(operand) => format!("NOT ({})", operand.readable()),
        }
    }
}

fn readable_operands(operands: &[Condition], separator: &str) -> String {
    let operands: Vec<String> = operands
        .iter()
        .map(|operand| match operand {
            Condition::And(_) | Condition::Or(_) => format!("({})", operand.readable()),
            _ => operand.readable(),
        })
        .collect();
    operands.join(separator)
}

pub(crate) fn readable_path(path: &[String]) -> String {
    path.join(".")
}

/// At most a few values, then how many more.
pub(crate) fn readable_values(values: &[AttributeValue]) -> String {
    const SHOWN: usize = 5;
    let mut texts: Vec<String> = values
        .iter()
        .take(SHOWN)
        .map(AttributeValue::readable)
        .collect();
    if values.len() > SHOWN {
        texts.push(format!("… {} more", values.len() - SHOWN));
    }
    texts.join(", ")
}

/// A ProjectionExpression; `None` when it would be too long (then all are read).
pub(crate) fn render_projection(paths: &[Path]) -> Option<Rendered> {
    let mut rendered = Rendered::default();
    let mut placeholders: BTreeMap<&str, String> = BTreeMap::new();
    for (position, path) in paths.iter().enumerate() {
        if position > 0 {
            rendered.text.push(',');
        }
        for (depth, name) in path.iter().enumerate() {
            let count = placeholders.len();
            let placeholder = placeholders.entry(name).or_insert_with(|| {
                let placeholder = format!("#p{count}");
                rendered
                    .names
                    .insert(placeholder.clone(), Value::from(name.as_str()));
                placeholder
            });
            if depth > 0 {
                rendered.text.push('.');
            }
            rendered.text.push_str(placeholder);
        }
    }
    (rendered.text.len() <= MAX_EXPRESSION_BYTES && !paths.is_empty()).then_some(rendered)
}

#[derive(Default)]
struct Writer {
    output: Rendered,
    operators: usize,
    value_bytes: usize,
}

impl Writer {
    fn name(&mut self, name: &str) -> String {
        let known = self
            .output
            .names
            .iter()
            .find(|(_, known)| known.as_str() == Some(name));
        if let Some((placeholder, _)) = known {
            return placeholder.clone();
        }
        let placeholder = format!("#n{}", self.output.names.len());
        self.output
            .names
            .insert(placeholder.clone(), Value::from(name));
        placeholder
    }

    fn path(&mut self, path: &[String]) -> String {
        let steps: Vec<String> = path.iter().map(|step| self.name(step)).collect();
        steps.join(".")
    }

    fn value(&mut self, value: &AttributeValue) -> String {
        let json = value.to_json();
        let known = self.output.values.iter().find(|(_, known)| **known == json);
        if let Some((placeholder, _)) = known {
            return placeholder.clone();
        }
        self.value_bytes += json.to_string().len();
        let placeholder = format!(":v{}", self.output.values.len());
        self.output.values.insert(placeholder.clone(), json);
        placeholder
    }

    fn write(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.output.text.write_fmt(text);
    }

    fn function(&mut self, name: &str, path: &[String], argument: Option<&AttributeValue>) {
        self.operators += 1;
        let path = self.path(path);
        match argument {
            Some(argument) => {
                let argument = self.value(argument);
                self.write(format_args!("{name}({path},{argument})"));
            }
            None => self.write(format_args!("{name}({path})")),
        }
    }

    fn condition(&mut self, condition: &Condition) -> Result<(), String> {
        match condition {
            Condition::Always | Condition::Never => {
                return Err("a constant condition has no expression".to_owned());
            }
            Condition::Compare {
                path,
                operator,
                value,
            } => {
                self.operators += 1;
                let (path, value) = (self.path(path), self.value(value));
                self.write(format_args!("{path} {} {value}", operator.as_str()));
            }
            Condition::Between { path, low, high } => {
                self.operators += 2;
                let (path, low, high) = (self.path(path), self.value(low), self.value(high));
                self.write(format_args!("{path} BETWEEN {low} AND {high}"));
            }
            Condition::In { path, values } => self.in_list(path, values),
            Condition::TypeIs { path, descriptor } => {
                self.function(
                    "attribute_type",
                    path,
                    Some(&AttributeValue::S((*descriptor).to_owned())),
                );
            }
            Condition::NotExists(path) => self.function("attribute_not_exists", path, None),
            Condition::BeginsWith { path, prefix } => {
                self.function(
                    "begins_with",
                    path,
                    Some(&AttributeValue::S(prefix.clone())),
                );
            }
            Condition::Contains { path, text } => {
                self.function("contains", path, Some(&AttributeValue::S(text.clone())));
            }
            Condition::And(operands) => self.operands(operands, " AND ")?,
            Condition::Or(operands) => self.operands(operands, " OR ")?,
            Condition::Not(operand) => {
                self.operators += 1;
                self.write(format_args!("(NOT "));
                self.condition(operand)?;
                self.write(format_args!(")"));
            }
        }
        Ok(())
    }

    fn operands(&mut self, operands: &[Condition], separator: &str) -> Result<(), String> {
        self.write(format_args!("("));
        for (position, operand) in operands.iter().enumerate() {
            if position > 0 {
                self.operators += 1;
                self.write(format_args!("{separator}"));
            }
            self.condition(operand)?;
        }
        self.write(format_args!(")"));
        Ok(())
    }

    fn in_list(&mut self, path: &[String], values: &[AttributeValue]) {
        let path = self.path(path);
        let several = values.len() > MAX_IN_OPERANDS;
        if several {
            self.write(format_args!("("));
        }
        for (position, chunk) in values.chunks(MAX_IN_OPERANDS).enumerate() {
            self.operators += 1;
            let separator = if position == 0 { "" } else { " OR " };
            let chunk: Vec<String> = chunk.iter().map(|value| self.value(value)).collect();
            self.write(format_args!("{separator}{path} IN ({})", chunk.join(",")));
        }
        if several {
            self.write(format_args!(")"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> Path {
        vec![name.to_owned()]
    }

    fn text(value: &str) -> AttributeValue {
        AttributeValue::S(value.to_owned())
    }

    #[test]
    fn names_and_values_are_placeholders() {
        let equal = |name: &str, value: &str| Condition::Compare {
            path: path(name),
            operator: Operator::Equal,
            value: text(value),
        };
        let condition = Condition::all(vec![
            equal("a-b", "x"),
            Condition::any(vec![equal("a.b", "x"), equal("a-b", "y").negated()]),
        ]);
        let rendered = condition.render().expect("it is short");
        assert_eq!(
            rendered.text,
            "(#n0 = :v0 AND (#n1 = :v0 OR (NOT #n0 = :v1)))"
        );
        assert_eq!(rendered.names["#n1"], "a.b");
        assert_eq!(rendered.values.len(), 2);
    }

    #[test]
    fn long_lists_are_split_and_limits_hold() {
        let values = |count: usize| (0..count).map(|number| text(&number.to_string())).collect();
        let list = Condition::In {
            path: path("a"),
            values: values(250),
        };
        assert_eq!(
            list.render()
                .expect("it fits")
                .text
                .matches(" IN (")
                .count(),
            3
        );
        assert!(
            Condition::In {
                path: path("a"),
                values: values(2000)
            }
            .render()
            .is_err()
        );
        let many = (0..301)
            .map(|number| Condition::NotExists(path(&number.to_string())))
            .collect();
        assert!(Condition::any(many).render().is_err());
    }

    #[test]
    fn constants_simplify() {
        assert_eq!(
            Condition::all(vec![Condition::Always, Condition::Never]),
            Condition::Never
        );
        assert_eq!(
            Condition::any(vec![Condition::Never, Condition::NotExists(path("a"))]),
            Condition::NotExists(path("a"))
        );
    }
}
