//! Hive partitions: `key=value` folders as columns. Must never do I/O.

use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use datafusion::scalar::ScalarValue;

use crate::csv::convert::{ConvertError, TypeOrigin, convert};
use crate::csv::guess::Guess;
use crate::sql_type::{display_type, with_article};

/// What Hive writes for NULL.
const NULL_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// The partition keys and values in a path, in order; `None` is NULL.
pub type PartitionPath = Vec<(String, Option<String>)>;

/// Reads the folders of a path (without the file name).
pub fn parse_folders<'a>(folders: impl Iterator<Item = &'a str>) -> PartitionPath {
    folders
        .filter_map(|folder| folder.split_once('='))
        .filter(|(key, _)| !key.is_empty())
        .map(|(key, value)| {
            let value = (value != NULL_PARTITION).then(|| percent_decoded(value));
            (percent_decoded(key), value)
        })
        .collect()
}

/// The partition columns of a table and the values of each file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Partitions {
    /// Lower-case names and types.
    pub columns: Vec<(String, DataType)>,
    /// One entry a file, one value a column.
    pub values: Vec<Vec<ScalarValue>>,
}

/// Brings the paths of all files of a table together. `files` names each for messages.
pub fn unite(
    paths: &[PartitionPath],
    files: &[String],
    declared: &BTreeMap<String, DataType>,
) -> Result<Partitions, String> {
    let keys = |path: &PartitionPath| {
        path.iter()
            .map(|(key, _)| key.to_lowercase())
            .collect::<Vec<_>>()
    };
    let Some(first) = paths.first() else {
        return Ok(Partitions::default());
    };
    let names = keys(first);
    if let Some(other) = paths.iter().position(|path| keys(path) != names) {
        return Err(format!(
            "files disagree on partition folders: {} has ({}), {} has ({})",
            files.first().map(String::as_str).unwrap_or_default(),
            names.join(", "),
            files.get(other).map(String::as_str).unwrap_or_default(),
            keys(&paths[other]).join(", "),
        ));
    }
    if let Some(twice) = names
        .iter()
        .enumerate()
        .find(|(index, name)| names[..*index].contains(name))
    {
        return Err(format!(
            "partition key {} appears twice in one path",
            twice.1
        ));
    }
    if let Some(unknown) = declared.keys().find(|name| !names.contains(name)) {
        return Err(format!(
            "partition_types names {unknown}, but the partitions are ({})",
            names.join(", ")
        ));
    }
    let mut columns = Vec::with_capacity(names.len());
    for (index, name) in names.into_iter().enumerate() {
        let data_type = match declared.get(&name) {
            Some(data_type) => data_type.clone(),
            None => infer(paths.iter().filter_map(|path| path[index].1.as_deref())),
        };
        columns.push((name, data_type));
    }
    let values = paths
        .iter()
        .zip(files)
        .map(|(path, file)| {
            path.iter()
                .zip(&columns)
                .map(|((_, value), (name, data_type))| {
                    typed(value.as_deref(), data_type, name, file)
                })
                .collect::<Result<Vec<_>, String>>()
        })
        .collect::<Result<Vec<_>, String>>()?;
    Ok(Partitions { columns, values })
}

/// Integer, date or text. Zero-padded numbers (`month=01`) are integers: a partition is named, not written.
fn infer<'a>(values: impl Iterator<Item = &'a str>) -> DataType {
    let mut guess = Guess::default();
    let mut all_integers = true;
    for value in values {
        guess.add(value);
        all_integers &= is_integer(value);
    }
    if guess.is_empty() {
        return DataType::Utf8;
    }
    if all_integers {
        return DataType::Int64;
    }
    match guess.data_type() {
        DataType::Date32 => DataType::Date32,
        _ => DataType::Utf8,
    }
}

fn is_integer(value: &str) -> bool {
    let digits = value.strip_prefix('-').unwrap_or(value);
    !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && value.parse::<i64>().is_ok()
}

fn typed(
    value: Option<&str>,
    data_type: &DataType,
    name: &str,
    file: &str,
) -> Result<ScalarValue, String> {
    let wrong = || {
        format!(
            "partition {name} of {file}: '{}' is not {} (hint: set partition_types)",
            value.unwrap_or_default(),
            with_article(&display_type(data_type))
        )
    };
    let array =
        convert(vec![value].into(), data_type, TypeOrigin::Declared).map_err(
            |error| match error {
                ConvertError::Value { .. } => wrong(),
                ConvertError::Type(error) => format!("{}: {error}", wrong()),
            },
        )?;
    ScalarValue::try_from_array(&array, 0).map_err(|error| format!("{}: {error}", wrong()))
}

/// Undoes `%XX`; text that is not escaped correctly stays as it is.
fn percent_decoded(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut position = 0;
    while position < bytes.len() {
        let escaped = (bytes[position] == b'%')
            .then(|| text.get(position + 1..position + 3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escaped {
            Some(byte) => {
                decoded.push(byte);
                position += 3;
            }
            None => {
                decoded.push(bytes[position]);
                position += 1;
            }
        }
    }
    String::from_utf8(decoded).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unite_texts(paths: &[&str]) -> Result<Partitions, String> {
        let files: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        let parsed: Vec<PartitionPath> = paths
            .iter()
            .map(|path| parse_folders(path.split('/')))
            .collect();
        unite(&parsed, &files, &BTreeMap::new())
    }

    #[test]
    fn types_and_values() {
        let found = unite_texts(&[
            "Month=01/dt=2024-01-02/k=a%2Fb",
            "month=12/dt=2024-02-03/k=__HIVE_DEFAULT_PARTITION__",
        ])
        .unwrap();
        let expected = [
            ("month".to_owned(), DataType::Int64),
            ("dt".to_owned(), DataType::Date32),
            ("k".to_owned(), DataType::Utf8),
        ];
        assert_eq!(found.columns, expected);
        assert_eq!(found.values[0][0], ScalarValue::Int64(Some(1)));
        assert_eq!(
            found.values[0][2],
            ScalarValue::Utf8(Some("a/b".to_owned()))
        );
        assert_eq!(found.values[1][2], ScalarValue::Utf8(None));
    }

    #[test]
    fn disagreement_is_an_error() {
        let error = unite_texts(&["a=1/b=2", "a=1"]).unwrap_err();
        assert!(error.contains("a=1/b=2 has (a, b)"), "{error}");
        assert!(unite_texts(&["a=1/A=2"]).is_err());
        assert_eq!(
            unite_texts(&["a=1", "a=x"]).unwrap().columns[0].1,
            DataType::Utf8
        );
    }

    #[test]
    fn declared_types_must_fit() {
        let declared = BTreeMap::from([("a".to_owned(), DataType::Int64)]);
        let paths = [parse_folders(["a=x"].into_iter())];
        let error = unite(&paths, &["f".to_owned()], &declared).unwrap_err();
        assert!(error.contains("'x' is not a bigint"), "{error}");
    }
}
