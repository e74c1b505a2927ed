//! Scalar attribute values in requests. Must never know columns or SQL.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::description::KeyKind;
use crate::number::Number;

/// Longest partition key value, in bytes.
/// Source: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>.
pub(crate) const MAX_HASH_BYTES: usize = 2048;
/// Longest sort key value, in bytes (same source).
pub(crate) const MAX_SORT_BYTES: usize = 1024;

/// A scalar value. Serialises in DynamoDB's own form, `{"S":"text"}`. Values of one type order as DynamoDB orders
/// them: text and binary by bytes, numbers by value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "Value", try_from = "Value")]
pub(crate) enum AttributeValue {
    S(String),
    N(Number),
    B(Vec<u8>),
    Bool(bool),
}

impl AttributeValue {
    /// The value as DynamoDB writes it.
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::S(text) => json!({ "S": text }),
            Self::N(number) => json!({ "N": number.to_string() }),
            Self::B(bytes) => json!({ "B": STANDARD.encode(bytes) }),
            Self::Bool(value) => json!({ "BOOL": value }),
        }
    }

    /// The value for people.
    pub(crate) fn readable(&self) -> String {
        match self {
            Self::S(text) => format!("'{}'", text.replace('\'', "''")),
            Self::N(number) => number.to_string(),
            Self::B(bytes) => format!(
                "X'{}'",
                bytes
                    .iter()
                    .map(|byte| format!("{byte:02X}"))
                    .collect::<String>()
            ),
            Self::Bool(value) => value.to_string(),
        }
    }

    /// The key type that has such values.
    pub(crate) fn key_kind(&self) -> Option<KeyKind> {
        match self {
            Self::S(_) => Some(KeyKind::S),
            Self::N(_) => Some(KeyKind::N),
            Self::B(_) => Some(KeyKind::B),
            Self::Bool(_) => None,
        }
    }

    /// An item can have this as a key value of at most `most_bytes`.
    pub(crate) fn is_storable_key(&self, most_bytes: usize) -> bool {
        match self {
            Self::S(text) => !text.is_empty() && text.len() <= most_bytes,
            Self::B(bytes) => !bytes.is_empty() && bytes.len() <= most_bytes,
            Self::N(number) => number.is_storable(),
            Self::Bool(_) => false,
        }
    }
}

impl From<AttributeValue> for Value {
    fn from(value: AttributeValue) -> Self {
        value.to_json()
    }
}

impl TryFrom<Value> for AttributeValue {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let invalid = || format!("{value} is no scalar attribute value");
        let (descriptor, payload) = value
            .as_object()
            .and_then(|object| object.iter().next())
            .ok_or_else(invalid)?;
        let text = || payload.as_str().ok_or_else(invalid);
        Ok(match descriptor.as_str() {
            "S" => Self::S(text()?.to_owned()),
            "N" => Self::N(Number::parse(text()?).ok_or_else(invalid)?),
            "B" => Self::B(STANDARD.decode(text()?).map_err(|_| invalid())?),
            "BOOL" => Self::Bool(payload.as_bool().ok_or_else(invalid)?),
            _ => return Err(invalid()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_serialisation() {
        let number = Number::parse("12345678901234567890123456789012345678").expect("38 digits");
        for value in [
            AttributeValue::S("a\"b".to_owned()),
            AttributeValue::N(number),
            AttributeValue::B(vec![0, 255]),
            AttributeValue::Bool(true),
        ] {
            let text = serde_json::to_string(&value).expect("values serialise");
            assert_eq!(
                serde_json::from_str::<AttributeValue>(&text).ok(),
                Some(value)
            );
        }
    }
}
