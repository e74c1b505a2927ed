//! The shape of an attribute: which Arrow type it has in SQL and which DynamoDB values fit it.
//! Must never know bytes or requests.

use std::fmt;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields};
use serde::{Deserialize, Serialize};

/// Digits of every decimal column; DynamoDB keeps 38.
pub(crate) const DECIMAL_PRECISION: u8 = 38;

/// How the values of one attribute (or of one element or member below it) become SQL values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Shape {
    /// `BOOL` → `Boolean`.
    Boolean,
    /// `N`, integers of 64 bits → `Int64`.
    BigInt,
    /// `N`, at most `scale` decimals → `Decimal128(38, scale)`.
    Decimal { scale: i8 },
    /// `N` → the nearest `Float64`.
    Double,
    /// `N` → its exact text, `Utf8`.
    NumberText,
    /// `S` → `Utf8`.
    Text,
    /// `B` → `Binary`.
    Binary,
    /// Any value → JSON text, `Utf8`.
    Json,
    /// `L` → `List`.
    List(Box<Shape>),
    /// `SS`, `NS` or `BS` → `List`; the order of the elements is DynamoDB's.
    Set(Box<Shape>),
    /// `M` → `Struct`. Members that are not listed are not read.
    Struct(Vec<Member>),
}

/// One field of a [`Shape::Struct`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Member {
    /// Key in the map, as stored.
    pub(crate) source_name: String,
    /// Field name in SQL: lower case, unique within the struct.
    pub(crate) name: String,
    /// Shape of the values.
    pub(crate) shape: Shape,
}

impl Shape {
    /// The Arrow type of the values.
    pub(crate) fn data_type(&self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::BigInt => DataType::Int64,
            Self::Decimal { scale } => DataType::Decimal128(DECIMAL_PRECISION, *scale),
            Self::Double => DataType::Float64,
            Self::NumberText | Self::Text | Self::Json => DataType::Utf8,
            Self::Binary => DataType::Binary,
            Self::List(element) | Self::Set(element) => DataType::List(element_field(element)),
            Self::Struct(members) => DataType::Struct(member_fields(members)),
        }
    }

    /// DynamoDB's own type descriptor of the values; `None` when any type fits or the set kind is open.
    pub(crate) fn descriptor(&self) -> Option<&'static str> {
        match self {
            Self::Boolean => Some("BOOL"),
            Self::BigInt | Self::Decimal { .. } | Self::Double | Self::NumberText => Some("N"),
            Self::Text => Some("S"),
            Self::Binary => Some("B"),
            Self::Json => None,
            Self::List(_) => Some("L"),
            Self::Set(element) => match **element {
                Self::Text => Some("SS"),
                Self::Binary => Some("BS"),
                _ => Some("NS"),
            },
            Self::Struct(_) => Some("M"),
        }
    }

    /// Every value with this shape's descriptor is representable, so that no value of that type is an error.
    pub(crate) fn is_total(&self) -> bool {
        match self {
            Self::Boolean
            | Self::Text
            | Self::Binary
            | Self::Json
            | Self::Double
            | Self::NumberText => true,
            Self::BigInt | Self::Decimal { .. } => false,
            Self::List(_) | Self::Set(_) | Self::Struct(_) => false,
        }
    }

    /// The type in the words of the override file, e.g. `array(decimal(38,2))`.
    pub(crate) fn sql_type(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => formatter.write_str("boolean"),
            Self::BigInt => formatter.write_str("bigint"),
            Self::Decimal { scale } => write!(formatter, "decimal({DECIMAL_PRECISION},{scale})"),
            Self::Double => formatter.write_str("double"),
            Self::NumberText => formatter.write_str("number_text"),
            Self::Text => formatter.write_str("varchar"),
            Self::Binary => formatter.write_str("varbinary"),
            Self::Json => formatter.write_str("json"),
            Self::List(element) => write!(formatter, "array({element})"),
            Self::Set(element) => write!(formatter, "set({element})"),
            Self::Struct(members) => {
                formatter.write_str("row(")?;
                for (position, member) in members.iter().enumerate() {
                    let separator = if position == 0 { "" } else { ", " };
                    let name = member.source_name.replace('"', "\"\"");
                    write!(formatter, "{separator}\"{name}\" {}", member.shape)?;
                }
                formatter.write_str(")")
            }
        }
    }
}

/// Fields of a struct type.
pub(crate) fn member_fields(members: &[Member]) -> Fields {
    members
        .iter()
        .map(|member| Field::new(&member.name, member.shape.data_type(), true))
        .collect()
}

/// The element field of a list type.
pub(crate) fn element_field(element: &Shape) -> Arc<Field> {
    Arc::new(Field::new_list_field(element.data_type(), true))
}

/// Members in a fixed order with SQL names that are unique: names that differ only by case keep the plain
/// lower-case form for the first, the others get a suffix `_2`, `_3`, ….
pub(crate) fn name_members(shapes: Vec<(String, Shape)>) -> Vec<Member> {
    let mut taken = std::collections::HashSet::new();
    shapes
        .into_iter()
        .map(|(source_name, shape)| {
            let base = source_name.to_lowercase();
            let mut name = base.clone();
            let mut suffix = 2;
            while !taken.insert(name.clone()) {
                name = format!("{base}_{suffix}");
                suffix += 1;
            }
            Member {
                source_name,
                name,
                shape,
            }
        })
        .collect()
}
