//! Paths into JSON documents: `$.a.b[0]["c d"]`, `$.a[*].b`, `lax $.a`. It must never know Arrow.

use super::document::{Malformed, Scanner};

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Member(String),
    /// From 0; from the end when negative.
    Element(i64),
    /// All members or elements.
    Each,
}

/// What happens when a member is asked of an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Nothing is found: `json_extract`.
    Plain,
    /// Its elements are asked instead: SQL/JSON's `lax`.
    Lax,
}

/// A path, ready to be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    steps: Vec<Step>,
    mode: Mode,
}

impl Path {
    /// Reads a path; the error says what is wrong.
    pub(super) fn parse(text: &str, mode: Mode) -> Result<Self, String> {
        let (text, mode) = match (text.trim().split_once(char::is_whitespace), mode) {
            (Some(("lax", rest)), Mode::Lax) => (rest.trim(), Mode::Lax),
            (Some(("strict", rest)), Mode::Lax) => (rest.trim(), Mode::Plain),
            _ => (text.trim(), mode),
        };
        let mut rest = text
            .strip_prefix('$')
            .ok_or_else(|| format!("'{text}' does not start with $"))?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = step(rest).ok_or_else(|| {
                format!("'{rest}' is not a step: .name, [0], [\"name\"] and [*] are; filters and .. are not offered")
            })?;
            steps.push(step);
            rest = after;
        }
        Ok(Self { steps, mode })
    }

    /// True if the path can find more than one value.
    pub(super) fn is_many(&self) -> bool {
        self.mode == Mode::Lax || self.steps.contains(&Step::Each)
    }

    /// The raw texts of the values found, in order.
    pub(super) fn find<'a>(&self, document: &'a str) -> Result<Vec<&'a str>, Malformed> {
        let mut found = Vec::new();
        let mut scanner = Scanner {
            text: document,
            position: 0,
        };
        follow(&self.steps, self.mode, &mut scanner, &mut found)?;
        Ok(found)
    }
}

fn step(rest: &str) -> Option<(Step, &str)> {
    if let Some(rest) = rest.strip_prefix('.') {
        if let Some(rest) = rest.strip_prefix('*') {
            return Some((Step::Each, rest));
        }
        if rest.starts_with('"') {
            let (name, rest) = quoted(rest)?;
            return Some((Step::Member(name), rest));
        }
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let name = rest.get(..end).filter(|name| !name.is_empty())?;
        return Some((Step::Member(name.to_owned()), &rest[end..]));
    }
    let inner = rest.strip_prefix('[')?.trim_start();
    let (step, rest) = if let Some(rest) = inner.strip_prefix('*') {
        (Step::Each, rest)
    } else if inner.starts_with(['"', '\'']) {
        let (name, rest) = quoted(inner)?;
        (Step::Member(name), rest)
    } else {
        let end = inner.find(']')?;
        (
            Step::Element(inner[..end].trim().parse().ok()?),
            &inner[end..],
        )
    };
    Some((step, rest.trim_start().strip_prefix(']')?))
}

/// A name in quotes; a backslash makes the next character literal.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut characters = text.char_indices();
    let (_, quote) = characters.next()?;
    let mut name = String::new();
    while let Some((index, character)) = characters.next() {
        match character {
            '\\' => name.push(characters.next()?.1),
            _ if character == quote => return Some((name, &text[index + quote.len_utf8()..])),
            other => name.push(other),
        }
    }
    None
}

/// Leaves the scanner behind the value.
fn follow<'a>(
    steps: &[Step],
    mode: Mode,
    scanner: &mut Scanner<'a>,
    found: &mut Vec<&'a str>,
) -> Result<(), Malformed> {
    let Some((step, rest)) = steps.split_first() else {
        found.push(scanner.skip(0)?);
        return Ok(());
    };
    match (step, scanner.next_token()) {
        (Step::Member(wanted), Some(b'{')) => {
            // Of two equal names the last counts.
            let mut last = None;
            scanner.members(|scanner, name| {
                if name == wanted.as_str() {
                    last = Some(scanner.clone());
                }
                scanner.skip(0).map(|_| ())
            })?;
            match last {
                Some(mut value) => follow(rest, mode, &mut value, found),
                None => Ok(()),
            }
        }
        (Step::Member(_), Some(b'[')) if mode == Mode::Lax => {
            scanner.elements(|scanner, _| match scanner.next_token() {
                // Only one level of arrays is opened.
                Some(b'[') => scanner.skip(0).map(|_| ()),
                _ => follow(steps, mode, scanner, found),
            })
        }
        (Step::Element(wanted), Some(b'[')) => {
            let mut places = Vec::new();
            scanner.elements(|scanner, _| {
                places.push(scanner.clone());
                scanner.skip(0).map(|_| ())
            })?;
            let length = i64::try_from(places.len()).map_err(|_| Malformed)?;
            let index = if *wanted < 0 {
                length + wanted
            } else {
                *wanted
            };
            match usize::try_from(index)
                .ok()
                .and_then(|index| places.get_mut(index))
            {
                Some(value) => follow(rest, mode, value, found),
                None => Ok(()),
            }
        }
        // In lax mode a value that is no array counts as an array of one.
        (Step::Element(0) | Step::Each, Some(first))
            if mode == Mode::Lax && !b"[{".contains(&first) =>
        {
            follow(rest, mode, scanner, found)
        }
        (Step::Each, Some(b'[')) => {
            scanner.elements(|scanner, _| follow(rest, mode, scanner, found))
        }
        (Step::Each, Some(b'{')) => {
            scanner.members(|scanner, _| follow(rest, mode, scanner, found))
        }
        _ => scanner.skip(0).map(|_| ()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_find_values() {
        let document =
            r#"{"a": {"b": [1, 2, {"c d": "x"}]}, "e": [{"f": 1}, {"f": 2}], "n": null}"#;
        for (path, mode, expected) in [
            ("$", Mode::Plain, vec![document]),
            ("$.a.b[0]", Mode::Plain, vec!["1"]),
            ("$.a.b[-2]", Mode::Plain, vec!["2"]),
            ("$.a.b[2][\"c d\"]", Mode::Plain, vec!["\"x\""]),
            ("$['a']['b'][1]", Mode::Plain, vec!["2"]),
            ("$.e[*].f", Mode::Plain, vec!["1", "2"]),
            ("$.e.f", Mode::Plain, vec![]),
            ("lax $.e.f", Mode::Lax, vec!["1", "2"]),
            ("strict $.e.f", Mode::Lax, vec![]),
            ("$.n", Mode::Plain, vec!["null"]),
            ("$.missing", Mode::Plain, vec![]),
            ("$.a.b[9]", Mode::Plain, vec![]),
        ] {
            let path = Path::parse(path, mode).expect(path);
            assert_eq!(path.find(document), Ok(expected), "{path:?}");
        }
        assert!(Path::parse("a.b", Mode::Plain).is_err());
        assert!(Path::parse("$..a", Mode::Plain).is_err());
        assert!(Path::parse("$[?(@.a)]", Mode::Plain).is_err());
    }
}
