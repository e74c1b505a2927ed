//! Tables of `docs/connectors/object.md`, made by running the code they describe. Must never do I/O.

use arrow::datatypes::DataType;

use crate::csv::guess::Guess;
use crate::format::Format;
use crate::json::guess::Guess as JsonGuess;
use crate::sql_type::{display_type, parse_sql_type};

/// Formats: suffixes, compression, how columns and types are found, whether one file is read in parts.
pub fn format_table() -> String {
    let mut table = String::from(
        "| format | suffixes | packed as a whole | columns and types | one file in parallel parts |\n\
         |---|---|---|---|---|\n",
    );
    for format in Format::ALL {
        let suffixes: Vec<String> = format
            .suffixes()
            .iter()
            .map(|suffix| format!("`.{suffix}`"))
            .collect();
        let packed = match format.may_be_compressed() {
            true => "`.gz`, `.bz2`, `.xz`, `.zst`",
            false => "no (packs inside)",
        };
        let columns = match format {
            Format::Parquet => "from each file's footer, with row counts and statistics",
            Format::Csv | Format::Tsv => "from the header; types declared or inferred from rows",
            Format::Json => "inferred from rows",
            Format::Arrow | Format::Avro => "from each file's header",
        };
        let parts = match format {
            Format::Parquet => "yes, by row groups",
            Format::Csv | Format::Tsv => "with `newlines_in_values = false`",
            Format::Json => "yes, unless packed or an array",
            Format::Arrow | Format::Avro => "no",
        };
        table += &format!(
            "| {format} | {} | {packed} | {columns} | {parts} |\n",
            suffixes.join(", ")
        );
    }
    table
}

/// What values and declared types become.
pub fn type_table() -> String {
    let mut table =
        String::from("| where | written as | SQL type | Arrow type |\n|---|---|---|---|\n");
    let mut row = |place: &str, written: &str, data_type: &DataType| {
        table += &format!(
            "| {place} | {written} | {} | `{data_type}` |\n",
            display_type(data_type)
        );
    };
    for values in CSV_EXAMPLES {
        let mut guess = Guess::default();
        for value in *values {
            guess.add(value);
        }
        let written: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
        let written = if written.is_empty() {
            "only empty fields".to_owned()
        } else {
            written.join(", ")
        };
        row("CSV values", &written, &guess.data_type());
    }
    for values in JSON_EXAMPLES {
        let mut guess = JsonGuess::default();
        for value in *values {
            if let Ok(value) = serde_json::from_str(value) {
                guess.add(&value);
            }
        }
        let written: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
        if let Ok(data_type) = guess.data_type("value") {
            row("JSON values", &written.join(", "), &data_type);
        }
    }
    for name in DECLARABLE {
        if let Ok(data_type) = parse_sql_type(name) {
            row("declared in `types`", &format!("`{name}`"), &data_type);
        }
    }
    table
}

const CSV_EXAMPLES: &[&[&str]] = &[
    &["1", "-20"],
    &["1", "2.5", "1e3"],
    &["007"],
    &["12345678901234567890"],
    &["true", "False"],
    &["2024-02-29"],
    &["2024-02-29 10:00:00.5"],
    &["2024-02-29T10:00:00Z", "2024-02-29 10:00:00+02:00"],
    &["2024-02-29T10:00:00.123456789"],
    &["1", "x"],
    &[],
];

const JSON_EXAMPLES: &[&[&str]] = &[
    &["1"],
    &["1", "2.5"],
    &["18446744073709551615"],
    &["true"],
    &["\"text\"", "1"],
    &["[1, 2]"],
    &["{\"a\": 1}"],
    &["null"],
];

const DECLARABLE: &[&str] = &[
    "boolean",
    "tinyint",
    "smallint",
    "integer",
    "bigint",
    "real",
    "double",
    "decimal(12,2)",
    "varchar",
    "date",
    "time",
    "timestamp(3)",
    "timestamp",
    "timestamp(9)",
    "timestamp with time zone",
    "varbinary",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// `cargo xtask docs` writes the page; this only tells when it was forgotten.
    #[test]
    fn the_page_is_current() {
        let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../docs/connectors/object.md");
        let text = std::fs::read_to_string(page).unwrap();
        for (name, table) in [
            ("object-formats", format_table()),
            ("object-types", type_table()),
        ] {
            let marked = format!(
                "<!-- begin {name} -->\n\n{}\n\n<!-- end {name} -->",
                table.trim_end()
            );
            assert!(
                text.contains(&marked),
                "{name} is out of date; it should be\n{marked}"
            );
        }
    }
}
