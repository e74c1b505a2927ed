//! The words for column types in override files and reports, e.g. `array(row("sku" varchar, "n" bigint))`.
//! Must never know files or tables.

use crate::shape::{DECIMAL_PRECISION, Shape, name_members};

/// Deepest nesting of a declared type.
const MAX_DEPTH: usize = 32;

/// Reads a type; the error says what is wrong with it.
pub(crate) fn parse_type(text: &str) -> Result<Shape, String> {
    let mut parser = Parser { rest: text };
    let shape = parser.shape(0)?;
    parser.skip_space();
    if !parser.rest.is_empty() {
        return Err(format!("{:?} follows the type", parser.rest));
    }
    Ok(shape)
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn accept(&mut self, character: char) -> bool {
        self.skip_space();
        match self.rest.strip_prefix(character) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, character: char) -> Result<(), String> {
        if self.accept(character) {
            Ok(())
        } else {
            Err(format!("{character:?} is missing before {:?}", self.rest))
        }
    }

    fn word(&mut self) -> String {
        self.skip_space();
        let end = self
            .rest
            .find(|character: char| !(character.is_alphanumeric() || character == '_'));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        word.to_owned()
    }

    /// A bare word or a quoted name with doubled quotes inside.
    fn name(&mut self) -> Result<String, String> {
        if !self.accept('"') {
            let word = self.word();
            return if word.is_empty() {
                Err(format!("a name is missing before {:?}", self.rest))
            } else {
                Ok(word)
            };
        }
        let mut name = String::new();
        loop {
            let Some(end) = self.rest.find('"') else {
                return Err("a quoted name does not end".to_owned());
            };
            name.push_str(&self.rest[..end]);
            self.rest = &self.rest[end + 1..];
            match self.rest.strip_prefix('"') {
                Some(rest) => {
                    name.push('"');
                    self.rest = rest;
                }
                None => return Ok(name),
            }
        }
    }

    fn number(&mut self) -> Result<u32, String> {
        let word = self.word();
        word.parse().map_err(|_| format!("{word:?} is no number"))
    }

    fn shape(&mut self, depth: usize) -> Result<Shape, String> {
        if depth > MAX_DEPTH {
            return Err(format!("it is nested deeper than {MAX_DEPTH} levels"));
        }
        let word = self.word().to_lowercase();
        Ok(match word.as_str() {
            "boolean" => Shape::Boolean,
            "bigint" => Shape::BigInt,
            "double" => Shape::Double,
            "varchar" => Shape::Text,
            "varbinary" => Shape::Binary,
            "json" => Shape::Json,
            "number_text" => Shape::NumberText,
            "decimal" => self.decimal()?,
            "array" | "set" => {
                self.expect('(')?;
                let element = Box::new(self.shape(depth + 1)?);
                self.expect(')')?;
                if word == "array" {
                    Shape::List(element)
                } else {
                    checked_set(element)?
                }
            }
            "row" => self.row(depth)?,
            other => {
                return Err(format!(
                    "{other:?} is no type; known are boolean, bigint, decimal(38,scale), double, number_text, varchar, \
                     varbinary, json, array(type), set(type), row(name type, …)"
                ));
            }
        })
    }

    fn decimal(&mut self) -> Result<Shape, String> {
        self.expect('(')?;
        let precision = self.number()?;
        self.expect(',')?;
        let scale = self.number()?;
        self.expect(')')?;
        if precision != u32::from(DECIMAL_PRECISION) || scale > precision {
            return Err(format!(
                "decimals have {DECIMAL_PRECISION} digits here: write decimal({DECIMAL_PRECISION},scale)"
            ));
        }
        i8::try_from(scale)
            .map(|scale| Shape::Decimal { scale })
            .map_err(|error| error.to_string())
    }

    fn row(&mut self, depth: usize) -> Result<Shape, String> {
        self.expect('(')?;
        let mut members = Vec::new();
        loop {
            let name = self.name()?;
            members.push((name, self.shape(depth + 1)?));
            if !self.accept(',') {
                break;
            }
        }
        self.expect(')')?;
        Ok(Shape::Struct(name_members(members)))
    }
}

fn checked_set(element: Box<Shape>) -> Result<Shape, String> {
    match *element {
        Shape::Text
        | Shape::Binary
        | Shape::BigInt
        | Shape::Decimal { .. }
        | Shape::Double
        | Shape::NumberText => Ok(Shape::Set(element)),
        _ => Err("DynamoDB's sets hold text, numbers or binary values".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_survive_a_round_trip() {
        for text in [
            "boolean",
            "bigint",
            "decimal(38,2)",
            "double",
            "number_text",
            "varchar",
            "varbinary",
            "json",
            "array(array(bigint))",
            "set(decimal(38,0))",
            r#"row("a ""b""" varchar, "c" row("d" set(varbinary)))"#,
        ] {
            assert_eq!(
                parse_type(text).map(|shape| shape.sql_type()).as_deref(),
                Ok(text)
            );
        }
        assert_eq!(
            parse_type(" ROW( a bigint , b Double ) ")
                .map(|shape| shape.sql_type())
                .as_deref(),
            Ok(r#"row("a" bigint, "b" double)"#)
        );
    }

    #[test]
    fn mistakes_are_told() {
        for text in [
            "",
            "int",
            "decimal(10,2)",
            "decimal(38,39)",
            "array(bigint",
            "row()",
            "set(boolean)",
            "bigint x",
        ] {
            assert!(parse_type(text).is_err(), "{text}");
        }
    }
}
