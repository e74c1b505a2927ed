//! Functions on JSON. JSON travels as text whose field has the extension name `arrow.json`.
//! It must never know tables.

use std::sync::Arc;

use arrow::array::ArrayRef;
use datafusion_common::{Result, exec_datafusion_err, exec_err};
use datafusion_expr::ScalarUDF;

use self::document::Json;
use self::path::{Mode, Path};
use super::scalar::Kind::{Any, Bigint, Text};
use super::scalar::Overload::Exact;
use super::scalar::{Call, function, returns};
use super::text::to_i64;

mod convert;
mod document;
mod path;

pub(super) use convert::{from_json, to_json};

/// All of them.
pub(super) fn functions() -> Vec<ScalarUDF> {
    vec![
        function(&["json_parse"], &[Exact(&[Text])], returns::json, |call| {
            let texts = call.texts(0)?;
            call.text(|row| match Json::parse(texts.value(row)) {
                Ok(json) => Ok(Some(json.sorted().to_text())),
                Err(_) => exec_err!(
                    "json_parse: this is not JSON: {}",
                    shortened(texts.value(row))
                ),
            })
        }),
        function(&["json_format"], &[Exact(&[Text])], returns::text, |call| {
            Ok(Arc::clone(&call.arrays[0]))
        }),
        function(
            &["json_extract"],
            &[Exact(&[Text, Text])],
            returns::json,
            |call| {
                extract(call, Mode::Plain, |path, found| match path.is_many() {
                    true => Some(array_of(&found)),
                    false => found.first().map(|value| compact(value)),
                })
            },
        ),
        function(
            &["json_extract_scalar"],
            &[Exact(&[Text, Text])],
            returns::text,
            |call| extract(call, Mode::Plain, |_, found| single_scalar(&found)),
        ),
        function(
            &["json_value"],
            &[Exact(&[Text, Text])],
            returns::text,
            |call| extract(call, Mode::Lax, |_, found| single_scalar(&found)),
        ),
        function(
            &["json_query"],
            &[Exact(&[Text, Text])],
            returns::text,
            |call| {
                extract(call, Mode::Lax, |_, found| match found.as_slice() {
                    [value] if value.starts_with(['{', '[']) => Some(compact(value)),
                    _ => None,
                })
            },
        ),
        function(
            &["json_exists"],
            &[Exact(&[Text, Text])],
            returns::boolean,
            |call| {
                let documents = call.texts(0)?;
                let mut paths = Paths::new(call, Mode::Lax);
                call.boolean(|row| {
                    Ok(paths
                        .of(row)?
                        .find(documents.value(row))
                        .ok()
                        .map(|found| !found.is_empty()))
                })
            },
        ),
        function(
            &["json_size"],
            &[Exact(&[Text, Text])],
            returns::bigint,
            |call| {
                let documents = call.texts(0)?;
                let mut paths = Paths::new(call, Mode::Plain);
                call.bigint(|row| {
                    let found = paths
                        .of(row)?
                        .find(documents.value(row))
                        .unwrap_or_default();
                    Ok(found
                        .first()
                        .and_then(|value| Json::parse(value).ok())
                        .and_then(|value| to_i64(size(&value))))
                })
            },
        ),
        function(
            &["json_array_length"],
            &[Exact(&[Text])],
            returns::bigint,
            |call| {
                let documents = call.texts(0)?;
                call.bigint(|row| match Json::parse(documents.value(row)) {
                    Ok(Json::Array(values)) => Ok(to_i64(values.len())),
                    _ => Ok(None),
                })
            },
        ),
        function(
            &["json_array_get"],
            &[Exact(&[Text, Bigint])],
            returns::json,
            |call| {
                let (documents, indexes) = (call.texts(0)?, call.bigints(1)?);
                call.text(|row| {
                    let Ok(Json::Array(values)) = Json::parse(documents.value(row)) else {
                        return Ok(None);
                    };
                    let index = indexes.value(row);
                    let length = i64::try_from(values.len()).unwrap_or(i64::MAX);
                    let index = if index < 0 {
                        length.saturating_add(index)
                    } else {
                        index
                    };
                    let value = usize::try_from(index)
                        .ok()
                        .and_then(|index| values.get(index));
                    Ok(value.map(Json::to_text))
                })
            },
        ),
        function(
            &["json_array_contains"],
            &[Exact(&[Text, Any])],
            returns::boolean,
            json_array_contains,
        ),
        function(
            &["is_json_scalar"],
            &[Exact(&[Text])],
            returns::boolean,
            |call| {
                let documents = call.texts(0)?;
                call.boolean(|row| match Json::parse(documents.value(row)) {
                    Ok(json) => Ok(Some(!matches!(json, Json::Array(_) | Json::Object(_)))),
                    Err(_) => exec_err!(
                        "is_json_scalar: this is not JSON: {}",
                        shortened(documents.value(row))
                    ),
                })
            },
        ),
    ]
}

/// The beginning of a text, for errors.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 60;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Paths are almost always one literal; it is read once, not per row.
struct Paths<'a> {
    call: &'a Call<'a>,
    mode: Mode,
    last: Option<(String, Path)>,
}

impl<'a> Paths<'a> {
    fn new(call: &'a Call<'a>, mode: Mode) -> Self {
        Self {
            call,
            mode,
            last: None,
        }
    }

    fn of(&mut self, row: usize) -> Result<&Path> {
        let text = self.call.texts(1)?.value(row);
        if self.last.as_ref().is_none_or(|(known, _)| known != text) {
            let path = Path::parse(text, self.mode).map_err(|reason| {
                exec_datafusion_err!("{}: the path is not valid: {reason}", self.call.name)
            })?;
            self.last = Some((text.to_owned(), path));
        }
        match &self.last {
            Some((_, path)) => Ok(path),
            None => exec_err!("{}: no path", self.call.name),
        }
    }
}

/// Follows a path in every document; malformed documents give NULL.
fn extract(
    call: &Call<'_>,
    mode: Mode,
    result: impl Fn(&Path, Vec<&str>) -> Option<String>,
) -> Result<ArrayRef> {
    let documents = call.texts(0)?;
    let mut paths = Paths::new(call, mode);
    call.text(|row| {
        let path = paths.of(row)?;
        Ok(path
            .find(documents.value(row))
            .ok()
            .and_then(|found| result(path, found)))
    })
}

/// A raw value without blanks.
fn compact(value: &str) -> String {
    Json::parse(value)
        .map(|json| json.to_text())
        .unwrap_or_default()
}

fn array_of(values: &[&str]) -> String {
    let values: Vec<String> = values.iter().map(|value| compact(value)).collect();
    format!("[{}]", values.join(","))
}

fn single_scalar(found: &[&str]) -> Option<String> {
    match found {
        [value] => Json::parse(value).ok()?.scalar_text(),
        _ => None,
    }
}

fn size(value: &Json) -> usize {
    match value {
        Json::Array(values) => values.len(),
        Json::Object(members) => members.len(),
        _ => 0,
    }
}

fn json_array_contains(call: &Call<'_>) -> Result<ArrayRef> {
    let documents = call.texts(0)?;
    let wanted =
        super::conversion::print::to_varchar(&call.arrays[1], super::conversion::OnError::Fail)?;
    let wanted = arrow::array::AsArray::as_string::<i32>(&wanted);
    let is_text = call.arrays[1].data_type().is_string();
    let is_boolean = call.arrays[1].data_type() == &arrow::datatypes::DataType::Boolean;
    call.boolean(|row| {
        let Ok(Json::Array(values)) = Json::parse(documents.value(row)) else {
            return Ok(None);
        };
        let wanted = wanted.value(row);
        let equal = |value: &Json| match value {
            Json::Text(text) => is_text && text == wanted,
            Json::Boolean(boolean) => is_boolean && boolean.to_string() == wanted,
            Json::Number(digits) => {
                !is_text
                    && !is_boolean
                    && digits
                        .parse::<f64>()
                        .is_ok_and(|number| Ok(number) == wanted.parse::<f64>())
            }
            _ => false,
        };
        Ok(Some(values.iter().any(equal)))
    })
}
