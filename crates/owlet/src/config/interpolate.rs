//! `${NAME}`, `${NAME:-default}` and `${file:path}` in one value, replaced once. `$${` writes a plain `${`.
//! Must never know what the value is for.

use std::path::{Path, PathBuf};

/// What a value asks for that cannot be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// An environment variable is not set.
    Variable(String),
    /// A file cannot be read.
    File(PathBuf, String),
    /// `${` without `}`, or nothing between them.
    Malformed(String),
}

/// Where replacements come from.
pub struct Sources<'a> {
    /// Folder that `${file:…}` paths are relative to.
    pub folder: &'a Path,
    /// Answers `${NAME}`.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
}

/// Replaces every reference of `text`; what is put in is not looked at again. Returns all that is missing.
pub fn interpolate(text: &str, sources: &Sources<'_>) -> Result<String, Vec<Missing>> {
    let mut result = String::with_capacity(text.len());
    let mut missing = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, reference) = rest.split_at(start);
        if let Some(before) = before.strip_suffix('$') {
            result.push_str(before);
            result.push_str("${");
            rest = &reference[2..];
            continue;
        }
        result.push_str(before);
        let Some(length) = reference.find('}') else {
            missing.push(Missing::Malformed("`${` without a closing `}`".to_owned()));
            rest = "";
            break;
        };
        match resolve(&reference[2..length], sources) {
            Ok(value) => result.push_str(&value),
            Err(problem) => missing.push(problem),
        }
        rest = &reference[length + 1..];
    }
    result.push_str(rest);
    if missing.is_empty() {
        Ok(result)
    } else {
        Err(missing)
    }
}

fn resolve(reference: &str, sources: &Sources<'_>) -> Result<String, Missing> {
    if let Some(path) = reference.strip_prefix("file:") {
        if path.is_empty() {
            return Err(Missing::Malformed("`${file:}` names no file".to_owned()));
        }
        return read_secret(&sources.folder.join(path));
    }
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    if name.is_empty()
        || !name
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || character == '_')
    {
        return Err(Missing::Malformed(format!(
            "`${{{reference}}}` is no variable reference"
        )));
    }
    match (sources.environment)(name) {
        Some(value) if !(value.is_empty() && default.is_some()) => Ok(value),
        _ => default
            .map(ToOwned::to_owned)
            .ok_or_else(|| Missing::Variable(name.to_owned())),
    }
}

/// Files that hold secrets usually end with a newline that is not part of it.
fn read_secret(path: &Path) -> Result<String, Missing> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Missing::File(path.to_owned(), error.to_string()))?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(name: &str) -> Option<String> {
        match name {
            "USER" => Some("owl".to_owned()),
            "EMPTY" => Some(String::new()),
            "TRICK" => Some("${USER}".to_owned()),
            _ => None,
        }
    }

    fn run(text: &str) -> Result<String, Vec<Missing>> {
        interpolate(
            text,
            &Sources {
                folder: Path::new(""),
                environment: &environment,
            },
        )
    }

    #[test]
    fn replaces_variables_and_defaults() {
        assert_eq!(
            run("a ${USER} b ${NO:-x:y} ${EMPTY:-z}${EMPTY}").as_deref(),
            Ok("a owl b x:y z")
        );
    }

    #[test]
    fn what_is_put_in_is_not_looked_at_again() {
        assert_eq!(run("${TRICK}").as_deref(), Ok("${USER}"));
    }

    #[test]
    fn a_doubled_dollar_is_plain() {
        assert_eq!(run("a$${USER} $5 $$").as_deref(), Ok("a${USER} $5 $$"));
    }

    #[test]
    fn all_missing_names_come_at_once() {
        assert_eq!(
            run("${ONE}${USER}${TWO}"),
            Err(vec![
                Missing::Variable("ONE".to_owned()),
                Missing::Variable("TWO".to_owned())
            ])
        );
    }

    #[test]
    fn malformed_references_are_told() {
        for malformed in ["${USER", "${a b}", "${}", "${file:}"] {
            let missing = run(malformed).expect_err("malformed");
            assert!(
                matches!(missing.as_slice(), [Missing::Malformed(_)]),
                "{malformed}"
            );
        }
    }
}
