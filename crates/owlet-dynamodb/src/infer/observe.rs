//! What was seen under each attribute name of a sample, and which column follows from it (the type lattice).
//! Must never know how the sample was taken.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

use crate::number::Number;
use crate::options::NumberPolicy;
use crate::shape::{DECIMAL_PRECISION, Shape, name_members};

/// Most decimals a sampled attribute may have to count as decimal rather than binary floating point.
const MOST_DECIMALS: u32 = 12;
/// Most members of a map that becomes a struct.
const MOST_MEMBERS: usize = 200;
/// A map with this few different keys is a struct even when its keys are rare.
const FEW_MEMBERS: usize = 8;

/// Everything seen under one name (or at one place below it).
#[derive(Debug, Default)]
pub(crate) struct Observation {
    /// Values of any type, NULL included.
    pub(crate) values: u64,
    /// Values by type descriptor.
    pub(crate) by_type: BTreeMap<String, u64>,
    numbers: NumberObservation,
    /// Elements of lists.
    elements: Option<Box<Observation>>,
    /// Numbers in number sets.
    set_numbers: NumberObservation,
    /// Members of maps.
    members: BTreeMap<String, Observation>,
    /// Hashes of distinct scalar values.
    distinct: HashSet<u64>,
    /// Bytes of the values as DynamoDB accounts them, without the attribute's name.
    pub(crate) bytes: u64,
}

#[derive(Debug)]
struct NumberObservation {
    count: u64,
    all_fit_bigint: bool,
    most_decimals: u32,
    most_integer_digits: u32,
    all_survive_double: bool,
}

impl Default for NumberObservation {
    fn default() -> Self {
        Self {
            count: 0,
            all_fit_bigint: true,
            most_decimals: 0,
            most_integer_digits: 0,
            all_survive_double: true,
        }
    }
}

impl NumberObservation {
    fn add(&mut self, text: &str) {
        self.count += 1;
        let Some(number) = Number::parse(text) else {
            self.all_fit_bigint = false;
            self.all_survive_double = false;
            self.most_integer_digits = u32::MAX / 2;
            return;
        };
        self.all_fit_bigint &= number.to_i64().is_some();
        self.most_decimals = self.most_decimals.max(number.scale());
        self.most_integer_digits = self.most_integer_digits.max(number.integer_digits());
        let survives = text
            .parse::<f64>()
            .ok()
            .filter(|double| double.is_finite())
            .and_then(|double| Number::parse(&format!("{double:e}")))
            .is_some_and(|back| back == number);
        self.all_survive_double &= survives;
    }

    fn shape(&self, policy: NumberPolicy) -> Shape {
        if self.all_fit_bigint {
            return Shape::BigInt;
        }
        match policy {
            NumberPolicy::Double => Shape::Double,
            NumberPolicy::Text => Shape::NumberText,
            NumberPolicy::Decimal => {
                let fits = self.most_decimals <= MOST_DECIMALS
                    && self.most_integer_digits.saturating_add(self.most_decimals)
                        <= u32::from(DECIMAL_PRECISION);
                match i8::try_from(self.most_decimals) {
                    Ok(scale) if fits => Shape::Decimal { scale },
                    _ if self.all_survive_double => Shape::Double,
                    _ => Shape::NumberText,
                }
            }
        }
    }
}

impl Observation {
    /// Adds one attribute value in DynamoDB's JSON form.
    pub(crate) fn add(&mut self, value: &Value) {
        let Some((descriptor, payload)) = value.as_object().and_then(|object| object.iter().next())
        else {
            return;
        };
        self.values += 1;
        self.bytes += accounted_bytes(descriptor, payload);
        *self.by_type.entry(descriptor.clone()).or_default() += 1;
        match (descriptor.as_str(), payload) {
            ("N", Value::String(text)) => {
                self.numbers.add(text);
                self.remember(text);
            }
            ("S" | "B", Value::String(text)) => self.remember(text),
            ("BOOL", Value::Bool(value)) => self.remember(if *value { "true" } else { "false" }),
            ("NS", Value::Array(elements)) => {
                for element in elements.iter().filter_map(Value::as_str) {
                    self.set_numbers.add(element);
                }
            }
            ("L", Value::Array(elements)) => {
                let below = self.elements.get_or_insert_default();
                for element in elements {
                    below.add(element);
                }
            }
            ("M", Value::Object(members)) => {
                for (name, member) in members {
                    self.members.entry(name.clone()).or_default().add(member);
                }
            }
            _ => {}
        }
    }

    fn remember(&mut self, text: &str) {
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        self.distinct.insert(hasher.finish());
    }

    fn count(&self, descriptor: &str) -> u64 {
        self.by_type.get(descriptor).copied().unwrap_or(0)
    }

    /// Number of values that are not NULL.
    pub(crate) fn non_null(&self) -> u64 {
        self.values - self.count("NULL")
    }

    /// Number of different scalar values seen.
    pub(crate) fn distinct_seen(&self) -> u64 {
        self.distinct.len() as u64
    }

    /// The column's shape: the one type seen, or JSON text when several were (or none).
    pub(crate) fn shape(&self, policy: NumberPolicy) -> Shape {
        let mut types = self
            .by_type
            .keys()
            .filter(|descriptor| descriptor.as_str() != "NULL");
        let (Some(descriptor), None) = (types.next(), types.next()) else {
            return Shape::Json;
        };
        match descriptor.as_str() {
            "S" => Shape::Text,
            "N" => self.numbers.shape(policy),
            "B" => Shape::Binary,
            "BOOL" => Shape::Boolean,
            "SS" => Shape::Set(Box::new(Shape::Text)),
            "BS" => Shape::Set(Box::new(Shape::Binary)),
            "NS" => Shape::Set(Box::new(self.set_numbers.shape(policy))),
            "L" => self.list_shape(policy),
            "M" => self.map_shape(policy),
            _ => Shape::Json,
        }
    }

    /// A list of one element type is an array; of several, or never with an element, JSON text.
    fn list_shape(&self, policy: NumberPolicy) -> Shape {
        let Some(elements) = self
            .elements
            .as_ref()
            .filter(|elements| elements.non_null() > 0)
        else {
            return Shape::Json;
        };
        match elements.shape(policy) {
            Shape::Json => Shape::Json,
            element => Shape::List(Box::new(element)),
        }
    }

    /// Maps that share their keys are structs; maps whose keys are data (ids, dates) are JSON text.
    fn map_shape(&self, policy: NumberPolicy) -> Shape {
        let maps = self.count("M").max(1) as f64;
        let different = self.members.len();
        let average = self
            .members
            .values()
            .map(|member| member.values)
            .sum::<u64>() as f64
            / maps;
        let is_stable = different > 0
            && different <= MOST_MEMBERS
            && (different <= FEW_MEMBERS || average >= different as f64 / 2.0);
        if !is_stable {
            return Shape::Json;
        }
        let mut members: Vec<(&String, &Observation)> = self.members.iter().collect();
        members.sort_by_key(|(name, _)| sort_key(name));
        Shape::Struct(name_members(
            members
                .into_iter()
                .map(|(name, member)| (name.clone(), member.shape(policy)))
                .collect(),
        ))
    }
}

/// Size of a value.
/// Source: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/CapacityUnitCalculations.html>.
fn accounted_bytes(descriptor: &str, payload: &Value) -> u64 {
    let length = |text: &Value| text.as_str().map_or(0, |text| text.len() as u64);
    let number = |text: &Value| {
        let digits = text.as_str().map_or(0, |text| {
            text.bytes().filter(u8::is_ascii_digit).count() as u64
        });
        digits.div_ceil(2) + 1
    };
    let binary = |text: &Value| length(text) * 3 / 4;
    let nested = |value: &Value| {
        let member = value.as_object().and_then(|object| object.iter().next());
        1 + member.map_or(0, |(descriptor, payload)| {
            accounted_bytes(descriptor, payload)
        })
    };
    match (descriptor, payload) {
        ("S", text) => length(text),
        ("N", text) => number(text),
        ("B", text) => binary(text),
        ("SS", Value::Array(elements)) => elements.iter().map(length).sum(),
        ("NS", Value::Array(elements)) => elements.iter().map(number).sum(),
        ("BS", Value::Array(elements)) => elements.iter().map(binary).sum(),
        ("L", Value::Array(elements)) => 3 + elements.iter().map(nested).sum::<u64>(),
        ("M", Value::Object(members)) => {
            3 + members
                .iter()
                .map(|(name, value)| name.len() as u64 + nested(value))
                .sum::<u64>()
        }
        _ => 1,
    }
}

/// Order of attributes: by lower-case name; of names that differ only by case the lower-case one comes first.
pub(crate) fn sort_key(name: &str) -> (String, bool, String) {
    let lower = name.to_lowercase();
    let is_other_spelling = lower != name;
    (lower, is_other_spelling, name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shape_of(values: &[Value]) -> Shape {
        let mut observation = Observation::default();
        for value in values {
            observation.add(value);
        }
        observation.shape(NumberPolicy::Decimal)
    }

    #[test]
    fn numbers_climb_the_lattice() {
        assert_eq!(
            shape_of(&[json!({"N":"1"}), json!({"N":"-9223372036854775808"})]),
            Shape::BigInt
        );
        assert_eq!(
            shape_of(&[json!({"N":"1"}), json!({"N":"2.50"})]),
            Shape::Decimal { scale: 1 }
        );
        assert_eq!(
            shape_of(&[json!({"N":"9223372036854775808"})]),
            Shape::Decimal { scale: 0 }
        );
        assert_eq!(shape_of(&[json!({"N":"3.141592653589793"})]), Shape::Double);
        assert_eq!(shape_of(&[json!({"N":"1E125"})]), Shape::Double);
        assert_eq!(
            shape_of(&[json!({"N":"0.12345678901234567890123"})]),
            Shape::NumberText
        );
    }

    #[test]
    fn mixed_and_empty_become_json() {
        assert_eq!(shape_of(&[json!({"N":"1"}), json!({"S":"1"})]), Shape::Json);
        assert_eq!(shape_of(&[json!({"NULL":true})]), Shape::Json);
        assert_eq!(shape_of(&[json!({"L":[]})]), Shape::Json);
        assert_eq!(shape_of(&[json!({"M":{}})]), Shape::Json);
        assert_eq!(
            shape_of(&[json!({"NULL":true}), json!({"S":"a"})]),
            Shape::Text
        );
        assert_eq!(shape_of(&[json!({"L":[{"S":"a"},{"N":"1"}]})]), Shape::Json);
    }

    #[test]
    fn lists_sets_and_maps() {
        assert_eq!(
            shape_of(&[json!({"L":[{"N":"1"},{"NULL":true}]})]),
            Shape::List(Box::new(Shape::BigInt))
        );
        assert_eq!(
            shape_of(&[json!({"NS":["1","2.5"]})]),
            Shape::Set(Box::new(Shape::Decimal { scale: 1 }))
        );
        assert_eq!(
            shape_of(&[json!({"M":{"Zip":{"S":"1"},"city":{"S":"x"}}})]).sql_type(),
            r#"row("city" varchar, "Zip" varchar)"#
        );
        let by_id: Vec<Value> = (0..50)
            .map(|id| json!({"M": {format!("id{id}"): {"N":"1"}}}))
            .collect();
        assert_eq!(shape_of(&by_id), Shape::Json);
    }
}
