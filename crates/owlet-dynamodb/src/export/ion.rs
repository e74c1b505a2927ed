//! Ion text of an export into DynamoDB's JSON form, so that one decoder reads both. Must never know files or columns.
//!
//! Sources: <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html> (which Ion type
//! stands for which DynamoDB type) and <https://amazon-ion.github.io/ion-docs/docs/spec.html> (the text form).

/// Deepest nesting followed; DynamoDB allows 32 levels.
const MAX_DEPTH: usize = 64;

/// Rewrites one line: `$ion_1_0 {Item:{id:"a"}}` becomes `{"Item":{"id":{"S":"a"}}}`. The error says what is wrong.
pub(crate) fn to_json(line: &str, output: &mut String) -> Result<(), String> {
    let mut reader = Reader { rest: line };
    reader.skip_space();
    while let Some(rest) = reader.rest.strip_prefix("$ion_1_0") {
        reader.rest = rest;
        reader.skip_space();
    }
    reader.record(output)?;
    reader.skip_space();
    if reader.rest.is_empty() {
        Ok(())
    } else {
        Err(reader.unexpected("the end of the line"))
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn unexpected(&self, wanted: &str) -> String {
        let found: String = self.rest.chars().take(20).collect();
        format!("{wanted} is missing before {found:?}")
    }

    fn accept(&mut self, text: &str) -> bool {
        self.skip_space();
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, text: &str) -> Result<(), String> {
        if self.accept(text) {
            Ok(())
        } else {
            Err(self.unexpected(text))
        }
    }

    /// The struct of a line: images and keys are maps of attributes, metadata is plain.
    fn record(&mut self, output: &mut String) -> Result<(), String> {
        self.fields('{', output, &mut |reader, name, output| match name {
            "Item" | "Keys" | "NewImage" | "OldImage" => {
                reader.fields('{', output, &mut |reader, _, output| {
                    reader.value(output, 0)
                })
            }
            "Record" => reader.record(output),
            _ => reader.value(output, 0),
        })
    }

    /// `{name: value, …}`; writes a JSON object and leaves the values to `value`.
    fn fields(
        &mut self,
        open: char,
        output: &mut String,
        value: &mut dyn FnMut(&mut Self, &str, &mut String) -> Result<(), String>,
    ) -> Result<(), String> {
        self.expect(open.encode_utf8(&mut [0; 4]))?;
        output.push('{');
        let mut first = true;
        while !self.accept("}") {
            if !first {
                self.expect(",")?;
                if self.accept("}") {
                    break;
                }
                output.push(',');
            }
            first = false;
            let name = self.field_name()?;
            write_string(&name, output);
            output.push(':');
            self.expect(":")?;
            value(self, &name, output)?;
        }
        output.push('}');
        Ok(())
    }

    fn field_name(&mut self) -> Result<String, String> {
        self.skip_space();
        match self.rest.as_bytes().first() {
            Some(b'"' | b'\'') => self.quoted(),
            _ => {
                let symbol = self.symbol();
                if symbol.is_empty() {
                    Err(self.unexpected("a name"))
                } else {
                    Ok(symbol.to_owned())
                }
            }
        }
    }

    fn symbol(&mut self) -> &'a str {
        self.skip_space();
        let end = self
            .rest
            .find(|character: char| {
                !(character.is_ascii_alphanumeric() || matches!(character, '_' | '$'))
            })
            .unwrap_or(self.rest.len());
        let (symbol, rest) = self.rest.split_at(end);
        self.rest = rest;
        symbol
    }

    /// One attribute value.
    fn value(&mut self, output: &mut String, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err("a value is nested too deeply".to_owned());
        }
        self.skip_space();
        if self.rest.starts_with("{{") {
            output.push_str("{\"B\":");
            self.blob(output)?;
            output.push('}');
            return Ok(());
        }
        match self.rest.as_bytes().first() {
            Some(b'{') => {
                output.push_str("{\"M\":");
                self.fields('{', output, &mut |reader, _, output| {
                    reader.value(output, depth + 1)
                })?;
                output.push('}');
                Ok(())
            }
            Some(b'[') => {
                output.push_str("{\"L\":");
                self.elements(output, &mut |reader, output| {
                    reader.value(output, depth + 1)
                })?;
                output.push('}');
                Ok(())
            }
            Some(b'"' | b'\'') => self.text_or_set(output),
            Some(b'-' | b'+' | b'0'..=b'9') => {
                output.push_str("{\"N\":\"");
                self.number(output)?;
                output.push_str("\"}");
                Ok(())
            }
            _ => self.word(output),
        }
    }

    /// A text, or an annotation in quotes before a set.
    fn text_or_set(&mut self, output: &mut String) -> Result<(), String> {
        let is_symbol = self.rest.starts_with('\'') && !self.rest.starts_with("'''");
        let text = self.quoted()?;
        if is_symbol && self.accept("::") {
            return self.set(&text, output);
        }
        output.push_str("{\"S\":");
        write_string(&text, output);
        output.push('}');
        Ok(())
    }

    fn word(&mut self, output: &mut String) -> Result<(), String> {
        let word = self.symbol();
        match word {
            "true" | "false" => output.push_str(&format!("{{\"BOOL\":{word}}}")),
            "null" => {
                if self.rest.starts_with('.') {
                    self.rest = &self.rest[1..];
                    self.symbol();
                }
                output.push_str("{\"NULL\":true}");
            }
            "" => return Err(self.unexpected("a value")),
            annotation => {
                let annotation = annotation.to_owned();
                self.expect("::")?;
                return self.set(&annotation, output);
            }
        }
        Ok(())
    }

    fn set(&mut self, annotation: &str, output: &mut String) -> Result<(), String> {
        let kind = match annotation {
            "$dynamodb_SS" => "SS",
            "$dynamodb_NS" => "NS",
            "$dynamodb_BS" => "BS",
            other => return Err(format!("{other} is no known annotation")),
        };
        output.push_str(&format!("{{\"{kind}\":"));
        self.elements(output, &mut |reader, output| {
            reader.skip_space();
            match kind {
                "SS" => {
                    let text = reader.quoted()?;
                    write_string(&text, output);
                    Ok(())
                }
                "NS" => {
                    output.push('"');
                    reader.number(output)?;
                    output.push('"');
                    Ok(())
                }
                _ => reader.blob(output),
            }
        })?;
        output.push('}');
        Ok(())
    }

    fn elements(
        &mut self,
        output: &mut String,
        element: &mut dyn FnMut(&mut Self, &mut String) -> Result<(), String>,
    ) -> Result<(), String> {
        self.expect("[")?;
        output.push('[');
        let mut first = true;
        while !self.accept("]") {
            if !first {
                self.expect(",")?;
                if self.accept("]") {
                    break;
                }
                output.push(',');
            }
            first = false;
            element(self, output)?;
        }
        output.push(']');
        Ok(())
    }

    /// `{{base64}}`
    fn blob(&mut self, output: &mut String) -> Result<(), String> {
        self.expect("{{")?;
        let end = self
            .rest
            .find("}}")
            .ok_or_else(|| "a binary value does not end".to_owned())?;
        let is_base64 = |character: char| {
            character.is_ascii_alphanumeric() || matches!(character, '+' | '/' | '=')
        };
        output.push('"');
        for character in self.rest[..end]
            .chars()
            .filter(|character| !character.is_whitespace())
        {
            if !is_base64(character) {
                return Err(format!("{character:?} is not base64"));
            }
            output.push(character);
        }
        output.push('"');
        self.rest = &self.rest[end + 2..];
        Ok(())
    }

    /// A number: Ion writes a decimal's exponent with `d`, and `103.` for an integer.
    fn number(&mut self, output: &mut String) -> Result<(), String> {
        self.skip_space();
        let end = self
            .rest
            .find(|character: char| {
                !(character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '+' | '_'))
            })
            .unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(end);
        let mut text = String::with_capacity(number.len());
        for character in number.chars().filter(|character| *character != '_') {
            match character {
                'd' | 'D' | 'e' | 'E' => {
                    if text.ends_with('.') {
                        text.pop();
                    }
                    text.push('E');
                }
                other => text.push(other),
            }
        }
        if text.ends_with('.') {
            text.pop();
        }
        if crate::number::Number::parse(&text).is_none() {
            return Err(format!("{number:?} is no number"));
        }
        output.push_str(&text);
        self.rest = rest;
        Ok(())
    }

    /// A text or symbol in quotes, or a long text of several parts, unescaped.
    fn quoted(&mut self) -> Result<String, String> {
        if !self.rest.starts_with("'''") {
            let quote = match self.rest.chars().next() {
                Some(quote @ ('"' | '\'')) => quote,
                _ => return Err(self.unexpected("a text")),
            };
            self.rest = &self.rest[1..];
            return self.until(quote.encode_utf8(&mut [0; 4]));
        }
        let mut text = String::new();
        while self.accept("'''") {
            text.push_str(&self.until("'''")?);
        }
        Ok(text)
    }

    fn until(&mut self, end: &str) -> Result<String, String> {
        let mut text = String::new();
        loop {
            if let Some(rest) = self.rest.strip_prefix(end) {
                self.rest = rest;
                return Ok(text);
            }
            let mut characters = self.rest.chars();
            match characters.next() {
                None => return Err("a text does not end".to_owned()),
                Some('\\') => {
                    self.rest = characters.as_str();
                    self.escape(&mut text)?;
                }
                Some(character) => {
                    text.push(character);
                    self.rest = characters.as_str();
                }
            }
        }
    }

    fn escape(&mut self, text: &mut String) -> Result<(), String> {
        let mut characters = self.rest.chars();
        let Some(kind) = characters.next() else {
            return Err("a text does not end".to_owned());
        };
        self.rest = characters.as_str();
        let plain = match kind {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'v' => '\u{b}',
            '0' => '\0',
            '"' | '\'' | '\\' | '/' | '?' => kind,
            '\n' => return Ok(()),
            'x' => return self.hexadecimal(2, text),
            'u' => return self.hexadecimal(4, text),
            'U' => return self.hexadecimal(8, text),
            other => return Err(format!("\\{other} is no escape")),
        };
        text.push(plain);
        Ok(())
    }

    fn hexadecimal(&mut self, digits: usize, text: &mut String) -> Result<(), String> {
        let mut unit = self.unit(digits)?;
        // Characters beyond the first 65,536 may come as two halves.
        if (0xd800..0xdc00).contains(&unit) && self.rest.starts_with("\\u") {
            self.rest = &self.rest[2..];
            let low = self.unit(4)?;
            if !(0xdc00..0xe000).contains(&low) {
                return Err("half a character".to_owned());
            }
            unit = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
        }
        let character = char::from_u32(unit).ok_or_else(|| format!("{unit:x} is no character"))?;
        text.push(character);
        Ok(())
    }

    fn unit(&mut self, digits: usize) -> Result<u32, String> {
        let hexadecimal = self
            .rest
            .get(..digits)
            .ok_or_else(|| "an escape does not end".to_owned())?;
        let unit = u32::from_str_radix(hexadecimal, 16)
            .map_err(|_| format!("{hexadecimal:?} is not hexadecimal"))?;
        self.rest = &self.rest[digits..];
        Ok(unit)
    }
}

fn write_string(text: &str, output: &mut String) {
    output.push_str(&serde_json::Value::from(text).to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(line: &str) -> Result<String, String> {
        let mut output = String::new();
        to_json(line, &mut output)?;
        serde_json::from_str::<serde_json::Value>(&output).expect("the result is JSON");
        Ok(output)
    }

    #[test]
    fn every_type_is_rewritten() {
        let line = "$ion_1_0 {Item:{Authors:$dynamodb_SS::[\"A\",\"B\"],Ns:$dynamodb_NS::[1.,25d-1],\
                    Bs:$dynamodb_BS::[{{AQ==}}],Id:103.,Stock:false,Pages:6d2,Price:2.5,Big:12345678901234567890123456789012345678.,\
                    Tiny:-1d-125,'a b':\"q\\\"\\u00e9\\n😀\",Blob:{{AQI=}},None:null,Typed:null.struct,List:[1.,[\"x\"],{y:true}],\
                    Empty:{},\"null\":'''long'''}}";
        assert_eq!(
            json(line).as_deref(),
            Ok(concat!(
                r#"{"Item":{"Authors":{"SS":["A","B"]},"Ns":{"NS":["1","25E-1"]},"Bs":{"BS":["AQ=="]},"#,
                r#""Id":{"N":"103"},"Stock":{"BOOL":false},"Pages":{"N":"6E2"},"Price":{"N":"2.5"},"#,
                r#""Big":{"N":"12345678901234567890123456789012345678"},"Tiny":{"N":"-1E-125"},"#,
                r#""a b":{"S":"q\"é\n😀"},"Blob":{"B":"AQI="},"None":{"NULL":true},"Typed":{"NULL":true},"#,
                r#""List":{"L":[{"N":"1"},{"L":[{"S":"x"}]},{"M":{"y":{"BOOL":true}}}]},"Empty":{"M":{}},"#,
                r#""null":{"S":"long"}}}"#
            ))
        );
    }

    #[test]
    fn changes_are_rewritten() {
        let line = "$ion_1_0 {Metadata:{WriteTimestampMicros:1680109764000000.},Keys:{id:\"a\"},NewImage:{id:\"a\",n:1.}}";
        assert_eq!(
            json(line).as_deref(),
            Ok(concat!(
                r#"{"Metadata":{"M":{"WriteTimestampMicros":{"N":"1680109764000000"}}},"Keys":{"id":{"S":"a"}},"#,
                r#""NewImage":{"id":{"S":"a"},"n":{"N":"1"}}}"#
            ))
        );
    }

    #[test]
    fn damage_is_told() {
        for line in [
            "",
            "{Item:",
            "{Item:{a:1.}",
            "{Item:{a:}}",
            "{Item:{a:\"x}}",
            "{Item:{a:abc}}",
            "{Item:{a:other::[1.]}}",
            "{Item:{a:1.}} more",
            "{Item:{a:{{A*==}}}}",
            "{Item:{a:\"\\ud83d\"}}",
            "{Item:{a:1x}}",
        ] {
            assert!(json(line).is_err(), "{line}");
        }
    }
}
