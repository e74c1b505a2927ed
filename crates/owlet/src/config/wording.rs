//! The deserializer's messages in words of people who write a configuration. Must never know a key.

/// What follows a number that stands in quotes.
const UNQUOTED_HINT: &str = "write the number without quotes; ${…} stands in text values only";

/// A message such as ``invalid type: string "5", expected a nonzero usize``, in plain words and with a hint; any other as
/// it is.
pub fn of_serde(message: &str) -> (String, &'static str) {
    let unchanged = || (message.to_owned(), "");
    let Some((found, expected)) = message
        .strip_prefix("invalid type: ")
        .or_else(|| message.strip_prefix("invalid value: "))
        .and_then(|rest| rest.rsplit_once(", expected "))
    else {
        return unchanged();
    };
    let wanted = wanted(expected);
    let hint = match found.starts_with("string ") && wanted.contains("number") {
        true => UNQUOTED_HINT,
        false => "",
    };
    (format!("expected {wanted}, found {}", this(found)), hint)
}

/// The type that was expected.
fn wanted(expected: &str) -> &str {
    match expected {
        "a nonzero usize" | "a nonzero u64" | "a nonzero u32" => "a whole number from 1 upwards",
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "usize" | "u32" | "u64" => "a whole number from 0 upwards",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "path string" => "a path in quotes",
        "a string" => "text in quotes",
        "a sequence" => "a list",
        "a map" => "a table",
        other if other.starts_with("struct ") => "a table",
        other => other,
    }
}

/// The value that was found.
fn this(found: &str) -> String {
    let (kind, value) = found.split_once(' ').unwrap_or((found, ""));
    match (kind, value.trim_start_matches("point ")) {
        ("integer" | "floating" | "boolean", value) => value.to_owned(),
        ("string", value) => value.to_owned(),
        ("map", _) => "a table".to_owned(),
        ("sequence", _) => "a list".to_owned(),
        _ => found.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_called_as_people_call_them() {
        for (message, expected) in [
            (
                "invalid value: integer `0`, expected a nonzero usize",
                ("expected a whole number from 1 upwards, found `0`", ""),
            ),
            (
                "invalid type: string \"8\", expected a nonzero usize",
                (
                    "expected a whole number from 1 upwards, found \"8\"",
                    UNQUOTED_HINT,
                ),
            ),
            (
                "invalid type: integer `5`, expected path string",
                ("expected a path in quotes, found `5`", ""),
            ),
            (
                "invalid type: floating point `0.5`, expected u32",
                ("expected a whole number from 0 upwards, found `0.5`", ""),
            ),
            (
                "invalid type: map, expected a string",
                ("expected text in quotes, found a table", ""),
            ),
            (
                "invalid type: boolean `true`, expected a size such as \"512MB\"",
                ("expected a size such as \"512MB\", found `true`", ""),
            ),
            ("missing field `path`", ("missing field `path`", "")),
        ] {
            let (text, hint) = of_serde(message);
            assert_eq!((text.as_str(), hint), expected);
        }
    }
}
