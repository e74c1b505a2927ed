//! Column types guessed from JSON values, nested ones included. Must never know files.

use arrow::datatypes::{DataType, Field, Fields};
use serde_json::{Map, Value};

use crate::csv::guess::is_exact_in_double;

/// What the values at one place have in common so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Guess {
    /// Only nulls.
    #[default]
    Nothing,
    /// Booleans.
    Boolean,
    /// Integers that a double keeps.
    Integer,
    /// 64-bit integers, some of which a double would round.
    LongInteger,
    /// Integers some of which need 65 bits or more, none negative beyond 64.
    WideInteger,
    /// Numbers.
    Float,
    /// Text, or different kinds of plain values.
    Text,
    /// Arrays of elements alike.
    List(Box<Guess>),
    /// Objects; fields in order of appearance.
    Struct(Vec<(String, Guess)>),
    /// Plain values here, arrays or objects there: no one type.
    Conflict(&'static str, &'static str),
}

impl Guess {
    /// Takes a value into account.
    pub fn add(&mut self, value: &Value) {
        self.merge(Self::of(value));
    }

    /// Takes the fields of a row into account.
    pub fn add_row(&mut self, row: &Map<String, Value>) {
        self.merge(Self::of_object(row));
    }

    /// Takes over what another guess has seen.
    pub fn merge(&mut self, other: Self) {
        let own = std::mem::take(self);
        *self = own.union(other);
    }

    fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Nothing,
            Value::Bool(_) => Self::Boolean,
            Value::Number(number) if number.as_i64().is_some_and(is_exact_in_double) => {
                Self::Integer
            }
            Value::Number(number) if number.is_i64() => Self::LongInteger,
            Value::Number(number) if number.is_u64() => Self::WideInteger,
            Value::Number(_) => Self::Float,
            Value::String(_) => Self::Text,
            Value::Array(elements) => {
                let mut inner = Self::Nothing;
                for element in elements {
                    inner.add(element);
                }
                Self::List(Box::new(inner))
            }
            Value::Object(fields) => Self::of_object(fields),
        }
    }

    fn of_object(fields: &Map<String, Value>) -> Self {
        Self::Struct(
            fields
                .iter()
                .map(|(name, value)| (name.clone(), Self::of(value)))
                .collect(),
        )
    }

    fn union(self, other: Self) -> Self {
        use Guess::{
            Boolean, Conflict, Float, Integer, List, LongInteger, Nothing, Struct, Text,
            WideInteger,
        };
        match (self, other) {
            (Nothing, guess) | (guess, Nothing) => guess,
            (Conflict(one, two), _) | (_, Conflict(one, two)) => Conflict(one, two),
            (Boolean, Boolean) => Boolean,
            (Integer, Integer) => Integer,
            (Integer | LongInteger, Integer | LongInteger) => LongInteger,
            (Integer | LongInteger | WideInteger, Integer | LongInteger | WideInteger) => {
                WideInteger
            }
            (Integer | Float, Integer | Float) => Float,
            (List(mut own), List(other)) => {
                own.merge(*other);
                List(own)
            }
            (Struct(mut own), Struct(other)) => {
                for (name, guess) in other {
                    match own.iter_mut().find(|(known, _)| *known == name) {
                        Some((_, known)) => known.merge(guess),
                        None => own.push((name, guess)),
                    }
                }
                Struct(own)
            }
            (one, two) if one.is_plain() && two.is_plain() => Text,
            (one, two) => Conflict(one.kind(), two.kind()),
        }
    }

    fn is_plain(&self) -> bool {
        !matches!(self, Self::List(_) | Self::Struct(_) | Self::Conflict(_, _))
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::List(_) => "an array",
            Self::Struct(_) => "an object",
            _ => "a plain value",
        }
    }

    /// The type that holds every value seen, or the place and the two kinds that do not go together.
    pub fn data_type(&self, place: &str) -> Result<DataType, String> {
        Ok(match self {
            Self::Nothing | Self::Text => DataType::Utf8,
            Self::Boolean => DataType::Boolean,
            Self::Integer | Self::LongInteger => DataType::Int64,
            Self::WideInteger => DataType::Decimal128(38, 0),
            Self::Float => DataType::Float64,
            Self::List(inner) => DataType::new_list(inner.data_type(&format!("{place}[]"))?, true),
            Self::Struct(fields) => DataType::Struct(struct_fields(place, fields)?),
            Self::Conflict(one, two) => {
                return Err(format!(
                    "{place} holds {one} in one row and {two} in another"
                ));
            }
        })
    }

    /// The top-level fields, when rows were added with [`Guess::add_row`].
    pub fn columns(&self) -> &[(String, Self)] {
        match self {
            Self::Struct(fields) => fields,
            _ => &[],
        }
    }
}

fn struct_fields(place: &str, fields: &[(String, Guess)]) -> Result<Fields, String> {
    fields
        .iter()
        .map(|(name, guess)| {
            Ok(Field::new(
                name,
                guess.data_type(&format!("{place}.{name}"))?,
                true,
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn types(rows: &[&str]) -> Result<Vec<(String, DataType)>, String> {
        let mut guess = Guess::default();
        for row in rows {
            guess.add_row(
                serde_json::from_str::<Value>(row)
                    .unwrap()
                    .as_object()
                    .unwrap(),
            );
        }
        guess
            .columns()
            .iter()
            .map(|(name, guess)| Ok((name.clone(), guess.data_type(name)?)))
            .collect()
    }

    #[test]
    fn rows_unite_to_columns() {
        let found = types(&[
            r#"{"z": 1, "a": null, "f": 1, "mixed": 1, "l": [], "s": {"x": 1}, "big": 18446744073709551615}"#,
            r#"{"z": 2, "f": 1.5, "mixed": "x", "l": [1, 2.5], "s": {"y": true}, "big": -1, "late": "x"}"#,
        ])
        .unwrap();
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["z", "a", "f", "mixed", "l", "s", "big", "late"]);
        let only_types: Vec<String> = found
            .iter()
            .map(|(_, data_type)| data_type.to_string())
            .collect();
        assert_eq!(only_types[..4], ["Int64", "Utf8", "Float64", "Utf8"]);
        assert_eq!(found[4].1, DataType::new_list(DataType::Float64, true));
        assert!(only_types[5].contains("x") && only_types[5].contains("y"));
        assert_eq!(found[6].1, DataType::Decimal128(38, 0));
    }

    #[test]
    fn plain_values_and_objects_do_not_go_together() {
        let error = types(&[r#"{"a": {"b": [1]}}"#, r#"{"a": {"b": 2}}"#]).unwrap_err();
        assert_eq!(
            error,
            "a.b holds an array in one row and a plain value in another"
        );
    }
}
