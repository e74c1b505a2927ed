//! Attribute values as they travel: `{"S":"text"}`, and their plain JSON form.
//! Must never know columns or Arrow.

use crate::cursor::{Cursor, SyntaxError};
use crate::number::Number;

/// Deepest nesting of attribute values followed; DynamoDB allows 32.
const MAX_DEPTH: usize = 64;

/// DynamoDB's type descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Descriptor {
    String,
    Number,
    Binary,
    Boolean,
    Null,
    List,
    Map,
    StringSet,
    NumberSet,
    BinarySet,
}

impl Descriptor {
    /// As DynamoDB writes it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::String => "S",
            Self::Number => "N",
            Self::Binary => "B",
            Self::Boolean => "BOOL",
            Self::Null => "NULL",
            Self::List => "L",
            Self::Map => "M",
            Self::StringSet => "SS",
            Self::NumberSet => "NS",
            Self::BinarySet => "BS",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "S" => Self::String,
            "N" => Self::Number,
            "B" => Self::Binary,
            "BOOL" => Self::Boolean,
            "NULL" => Self::Null,
            "L" => Self::List,
            "M" => Self::Map,
            "SS" => Self::StringSet,
            "NS" => Self::NumberSet,
            "BS" => Self::BinarySet,
            _ => return None,
        })
    }
}

/// Opens an attribute value: consumes `{"S":` and tells the type.
#[inline]
pub(crate) fn open(
    cursor: &mut Cursor<'_>,
    scratch: &mut String,
) -> Result<Descriptor, SyntaxError> {
    cursor.expect(b'{', "an attribute value")?;
    match Descriptor::parse(cursor.name(scratch)?) {
        Some(descriptor) => Ok(descriptor),
        None => Err(cursor.error("a type descriptor")),
    }
}

/// Closes an attribute value.
#[inline]
pub(crate) fn close(cursor: &mut Cursor<'_>) -> Result<(), SyntaxError> {
    cursor.expect(b'}', "the end of an attribute value")
}

/// Writes a map of attributes (an item) as a plain JSON object.
pub(crate) fn write_item(
    cursor: &mut Cursor<'_>,
    output: &mut String,
    scratch: &mut String,
) -> Result<(), SyntaxError> {
    write_members(cursor, output, scratch, 0)
}

/// Writes one attribute value as plain JSON: numbers with all their digits, binary as base64 text, sets as arrays.
pub(crate) fn write_value(
    cursor: &mut Cursor<'_>,
    output: &mut String,
    scratch: &mut String,
) -> Result<(), SyntaxError> {
    write_nested(cursor, output, scratch, 0)
}

fn write_members(
    cursor: &mut Cursor<'_>,
    output: &mut String,
    scratch: &mut String,
    depth: usize,
) -> Result<(), SyntaxError> {
    cursor.expect(b'{', "a map of attributes")?;
    output.push('{');
    let mut first = true;
    let mut written = false;
    while cursor.next_member(&mut first)? {
        if written {
            output.push(',');
        }
        written = true;
        // A name is a JSON string already: it is copied with its escapes.
        output.push_str(raw_string(cursor)?);
        cursor.expect(b':', "':'")?;
        output.push(':');
        write_nested(cursor, output, scratch, depth + 1)?;
    }
    output.push('}');
    Ok(())
}

fn write_nested(
    cursor: &mut Cursor<'_>,
    output: &mut String,
    scratch: &mut String,
    depth: usize,
) -> Result<(), SyntaxError> {
    if depth > MAX_DEPTH {
        return Err(cursor.error("a value less deeply nested"));
    }
    match open(cursor, scratch)? {
        Descriptor::String | Descriptor::Binary => output.push_str(raw_string(cursor)?),
        Descriptor::Number => write_number(cursor.string(scratch)?, output),
        Descriptor::Boolean => output.push_str(if cursor.boolean()? { "true" } else { "false" }),
        Descriptor::Null => {
            cursor.boolean()?;
            output.push_str("null");
        }
        Descriptor::Map => write_members(cursor, output, scratch, depth)?,
        Descriptor::List => {
            write_array(cursor, output, |cursor, output| {
                write_nested(cursor, output, scratch, depth + 1)
            })?;
        }
        Descriptor::StringSet | Descriptor::BinarySet => {
            write_array(cursor, output, |cursor, output| {
                output.push_str(raw_string(cursor)?);
                Ok(())
            })?;
        }
        Descriptor::NumberSet => {
            write_array(cursor, output, |cursor, output| {
                write_number(cursor.string(scratch)?, output);
                Ok(())
            })?;
        }
    }
    close(cursor)
}

fn write_array(
    cursor: &mut Cursor<'_>,
    output: &mut String,
    mut element: impl FnMut(&mut Cursor<'_>, &mut String) -> Result<(), SyntaxError>,
) -> Result<(), SyntaxError> {
    cursor.expect(b'[', "a list")?;
    output.push('[');
    let mut first = true;
    let mut written = false;
    while cursor.next_element(&mut first)? {
        if written {
            output.push(',');
        }
        written = true;
        element(cursor, output)?;
    }
    output.push(']');
    Ok(())
}

fn raw_string<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, SyntaxError> {
    if cursor.peek() != Some(b'"') {
        return Err(cursor.error("a string"));
    }
    cursor.raw_value()
}

/// Text that is a number in DynamoDB is nearly always one in JSON; the rest gets its canonical form.
fn write_number(text: &str, output: &mut String) {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_plain_integer = !digits.starts_with('0')
        && !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_plain_integer || text == "0" {
        output.push_str(text);
        return;
    }
    match Number::parse(text) {
        Some(number) => output.push_str(&number.to_string()),
        None => output.push_str(&serde_json::Value::from(text).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_become_plain_json() {
        let item = r#"{"s":{"S":"a\"b\u00e9"},"n":{"N":"12345678901234567890123456789012345678"},"e":{"N":"1E+125"},
            "z":{"N":"-0"},"t":{"BOOL":true},"x":{"NULL":true},"b":{"B":"AQI="},"l":{"L":[{"N":"1.50"},{"L":[]}]},
            "m":{"M":{"k":{"M":{}}}},"ss":{"SS":["a","b"]},"ns":{"NS":["1","2.5"]},"bs":{"BS":["AQ=="]}}"#;
        let (mut output, mut scratch) = (String::new(), String::new());
        write_item(&mut Cursor::new(item), &mut output, &mut scratch)
            .expect("the item is well formed");
        assert_eq!(
            output,
            r#"{"s":"a\"b\u00e9","n":12345678901234567890123456789012345678,"e":1E125,"z":0,"t":true,"x":null,"b":"AQI=","l":[1.5,[]],"m":{"k":{}},"ss":["a","b"],"ns":[1,2.5],"bs":["AQ=="]}"#
        );
        serde_json::from_str::<serde_json::Value>(&output).expect("the result is JSON");
    }

    #[test]
    fn depth_of_32_is_read() {
        let mut item = r#"{"N":"7"}"#.to_owned();
        for _ in 0..32 {
            item = format!(r#"{{"M":{{"d":{item}}}}}"#);
        }
        let (mut output, mut scratch) = (String::new(), String::new());
        write_value(&mut Cursor::new(&item), &mut output, &mut scratch)
            .expect("32 levels are allowed");
        assert_eq!(output.matches("\"d\"").count(), 32);
    }
}
