//! A TOML document whose values keep their place in the file. Must never know what a key means.

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use super::error::{ConfigError, Problem};
use super::interpolate::{self, Missing, Sources};
use super::wording;

/// A parsed file.
pub struct Document<'text> {
    places: Places,
    root: Spanned<DeTable<'text>>,
}

/// Turns byte offsets into problems with lines.
#[derive(Debug, Clone)]
pub struct Places {
    file: PathBuf,
    line_starts: Vec<usize>,
}

/// One key of a table with its value, in the order of the file.
pub struct Entry<'text> {
    /// The key.
    pub key: String,
    /// Byte offset of the key.
    pub offset: usize,
    /// The value.
    pub value: Spanned<DeValue<'text>>,
}

impl<'text> Document<'text> {
    /// Parses TOML.
    pub fn parse(file: &Path, text: &'text str) -> Result<Self, ConfigError> {
        let places = Places::new(file, text);
        let root = DeTable::parse(text).map_err(|error| {
            let offset = error.span().map_or(0, |span| span.start);
            places.invalid(offset, format!("not TOML: {}", error.message()), "")
        })?;
        Ok(Self { places, root })
    }

    /// Replaces the references in every text value.
    pub fn interpolate(
        &mut self,
        folder: &Path,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), ConfigError> {
        let sources = Sources {
            folder,
            environment,
        };
        let mut problems = Vec::new();
        for (_, value) in self.root.get_mut().iter_mut() {
            interpolate_value(value, &sources, &self.places, &mut problems);
        }
        self.places.fail_if_any(problems)
    }

    /// The top-level entries and the means to report on them.
    pub fn into_parts(self) -> (Places, Vec<Entry<'text>>) {
        (self.places, entries(self.root.into_inner()))
    }
}

impl Places {
    fn new(file: &Path, text: &str) -> Self {
        let line_starts = std::iter::once(0)
            .chain(text.match_indices('\n').map(|(offset, _)| offset + 1))
            .collect();
        Self {
            file: file.to_owned(),
            line_starts,
        }
    }

    /// A problem at a byte offset.
    pub fn problem(
        &self,
        offset: usize,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Problem {
        Problem {
            file: self.file.clone(),
            line: self.line_starts.partition_point(|start| *start <= offset),
            message: message.into(),
            hint: hint.into(),
        }
    }

    /// An error of one problem.
    pub fn invalid(
        &self,
        offset: usize,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> ConfigError {
        ConfigError::Invalid {
            problems: vec![self.problem(offset, message, hint)],
        }
    }

    /// An error of all problems, in the order of the file.
    pub fn fail_if_any(&self, mut problems: Vec<Problem>) -> Result<(), ConfigError> {
        if problems.is_empty() {
            return Ok(());
        }
        problems.sort_by_key(|problem| problem.line);
        Err(ConfigError::Invalid { problems })
    }

    /// Reads a table as `T`; an unknown key or a wrong type is a problem. `name` is how people call the table.
    pub fn read<T: DeserializeOwned>(
        &self,
        name: &str,
        table: Spanned<DeValue<'_>>,
    ) -> Result<T, Problem> {
        let span = table.span();
        if !table.get_ref().is_table() {
            return Err(self.problem(span.start, format!("[{name}] must be a table"), ""));
        }
        T::deserialize(ValueDeserializer::from(table)).map_err(|error| {
            let offset = error.span().map_or(span.start, |span| span.start);
            match unknown_field(error.message()) {
                Some((key, known)) => self.unknown_key(offset, &key, &format!("[{name}]"), &known),
                None => {
                    let (message, hint) = wording::of_serde(error.message());
                    self.problem(offset, format!("[{name}] {message}"), hint)
                }
            }
        })
    }

    /// The problem of a key nobody knows, with the nearest known one.
    pub fn unknown_key(&self, offset: usize, key: &str, place: &str, known: &[String]) -> Problem {
        let hint = match nearest(key, known) {
            Some(suggestion) => format!("did you mean `{suggestion}`?"),
            None => format!("known keys: {}", known.join(", ")),
        };
        self.problem(offset, format!("unknown key `{key}` in {place}"), hint)
    }
}

/// The entries of a table in the order of the file.
pub fn entries<'text>(table: DeTable<'text>) -> Vec<Entry<'text>> {
    let mut entries: Vec<Entry<'text>> = table
        .into_iter()
        .map(|(key, value)| Entry {
            offset: key.span().start,
            key: key.into_inner().into_owned(),
            value,
        })
        .collect();
    entries.sort_by_key(|entry| entry.offset);
    entries
}

/// The candidate people most likely meant, if any is near.
pub fn nearest<'a>(word: &str, candidates: &'a [String]) -> Option<&'a str> {
    let word = word.to_lowercase();
    candidates
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance <= 2.max(candidate.len() / 3) && *distance < candidate.len()
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate.as_str())
}

/// Takes serde's message for an unknown key apart: the key, and the keys the type knows.
fn unknown_field(message: &str) -> Option<(String, Vec<String>)> {
    let mut quoted = message
        .strip_prefix("unknown field ")?
        .split('`')
        .skip(1)
        .step_by(2);
    let key = quoted.next()?.to_owned();
    Some((key, quoted.map(ToOwned::to_owned).collect()))
}

fn interpolate_value(
    value: &mut Spanned<DeValue<'_>>,
    sources: &Sources<'_>,
    places: &Places,
    problems: &mut Vec<Problem>,
) {
    let offset = value.span().start;
    match value.get_mut() {
        DeValue::String(text) if text.contains("${") => {
            match interpolate::interpolate(text, sources) {
                Ok(replaced) => *text = Cow::Owned(replaced),
                Err(missing) => problems.extend(missing.into_iter().map(|missing| match missing {
                    Missing::Variable(name) => places.problem(
                        offset,
                        format!("environment variable {name} is not set"),
                        format!("set it, or give a default: ${{{name}:-…}}"),
                    ),
                    Missing::File(path, reason) => places.problem(
                        offset,
                        format!("cannot read {}: {reason}", path.display()),
                        "",
                    ),
                    Missing::Malformed(message) => {
                        places.problem(offset, message, "write `$${` for a plain `${`")
                    }
                })),
            }
        }
        DeValue::Array(items) => {
            for item in items.iter_mut() {
                interpolate_value(item, sources, places, problems);
            }
        }
        DeValue::Table(table) => {
            for (_, item) in table.iter_mut() {
                interpolate_value(item, sources, places, problems);
            }
        }
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => {}
    }
}
