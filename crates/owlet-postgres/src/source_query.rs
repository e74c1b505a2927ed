//! Queries in PostgreSQL's own SQL (`TABLE(catalog.system.query(query => '…'))`): which are sent, and what their answer
//! looks like. Must never do I/O.
//!
//! The text becomes a derived table, `SELECT … FROM (text) AS q(c0, c1, …)`, so that values PostgreSQL would send in a
//! form of their own come as text. Before that, the server has prepared the text alone: it is one statement, and so it
//! cannot end the parentheses it stands in. Whatever writes fails: it is no derived table, and every transaction is
//! read-only.

use arrow_schema::{DataType, Field, Schema};
use owlet_connector::{ColumnMetadata, CostEstimate, ScanPlan, Split, TableMetadata};
use serde::{Deserialize, Serialize};
use tokio_postgres::types::{Kind, Type};

use crate::decode::{ColumnOrigin, OriginKind};
use crate::session::DescribedColumn;
use crate::types::{NativeType, TypePolicy, arrow_type};

/// Words a reading statement begins with.
const READING: [&str; 4] = ["select", "with", "values", "table"];
/// How the work report and messages call the query.
pub(crate) const OBJECT: &str = "the given query";

/// What the split of such a query carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SourceQueryPayload {
    /// The whole statement.
    pub(crate) source_sql: String,
}

/// The text without a final semicolon; an error when it does not begin like a reading statement.
pub(crate) fn reading(text: &str) -> Result<&str, String> {
    let text = text.trim().trim_end_matches(';').trim_end();
    let word: String = without_comments(text)
        .trim_start_matches(|character: char| character == '(' || character.is_whitespace())
        .chars()
        .take_while(char::is_ascii_alphabetic)
        .collect();
    let word = word.to_lowercase();
    if READING.contains(&word.as_str()) {
        return Ok(text);
    }
    Err(match word.as_str() {
        "" => "it is no SQL statement".to_owned(),
        word => format!(
            "{} is not one of SELECT, WITH, VALUES, TABLE",
            word.to_uppercase()
        ),
    })
}

/// The text behind the comments and blanks it begins with.
fn without_comments(text: &str) -> &str {
    let mut rest = text.trim_start();
    loop {
        if let Some(comment) = rest.strip_prefix("--") {
            rest = comment.split_once('\n').map_or("", |(_, after)| after);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").map_or("", |(_, after)| after);
        } else {
            return rest;
        }
        rest = rest.trim_start();
    }
}

/// The plan of a query whose answer has these columns.
pub(crate) fn plan(
    text: &str,
    columns: &[DescribedColumn],
    policy: TypePolicy,
) -> Result<ScanPlan, serde_json::Error> {
    let mut described = Vec::with_capacity(columns.len());
    let mut items = Vec::with_capacity(columns.len());
    for (position, column) in columns.iter().enumerate() {
        let native = native_type(&column.wire_type, column.modifier);
        let data_type = match arrow_type(&native, policy) {
            // Well-known binary needs PostGIS's function, and so the schema it was installed in.
            DataType::Binary if column.wire_type != Type::BYTEA => DataType::Utf8,
            data_type => data_type,
        };
        let cast = cast(&column.wire_type, &data_type);
        items.push(format!("q.c{position}{cast} AS c{position}"));
        described.push(ColumnMetadata::new(
            column.name.clone(),
            data_type,
            column.wire_type.name().to_owned(),
        ));
    }
    TableMetadata::make_names_unique(&mut described);
    let nullable = true;
    let fields: Vec<Field> = described
        .iter()
        .map(|column| Field::new(&column.name, column.data_type.clone(), nullable))
        .collect();
    let aliases: Vec<String> = (0..columns.len())
        .map(|position| format!("c{position}"))
        .collect();
    // A derived table without columns has no alias list. The line break ends a comment at the text's end.
    let alias = if aliases.is_empty() {
        "q".to_owned()
    } else {
        format!("q({})", aliases.join(", "))
    };
    let payload = SourceQueryPayload {
        source_sql: format!("SELECT {} FROM ({text}\n) AS {alias}", items.join(", ")),
    };
    Ok(ScanPlan {
        schema: Schema::new(fields),
        splits: vec![Split {
            description: "whole".to_owned(),
            payload: serde_json::to_string(&payload)?,
        }],
        filters: Vec::new(),
        limit_applied: false,
        ordering_applied: false,
        estimate: CostEstimate {
            requests: Some(1.0),
            ..CostEstimate::default()
        },
        table: OBJECT.to_owned(),
        access: "query as given".to_owned(),
        remote: text.to_owned(),
        notes: Vec::new(),
    })
}

/// For messages about values.
pub(crate) fn origins(schema: &Schema) -> Vec<ColumnOrigin> {
    schema
        .fields()
        .iter()
        .map(|field| ColumnOrigin {
            table: OBJECT.to_owned(),
            column: field.name().clone(),
            // Whatever the query computes it from, its text can be changed.
            kind: OriginKind::Expression,
        })
        .collect()
}

fn native_type(wire: &Type, modifier: i32) -> NativeType {
    let (kind, element) = match wire.kind() {
        Kind::Array(element) => ('b', Some(Box::new(native_type(element, -1)))),
        Kind::Enum(_) => ('e', None),
        Kind::Composite(_) => ('c', None),
        Kind::Range(_) => ('r', None),
        Kind::Multirange(_) => ('m', None),
        Kind::Domain(inner) => return native_type(inner, modifier),
        _ => ('b', None),
    };
    NativeType {
        oid: wire.oid(),
        name: wire.name().to_owned(),
        kind,
        modifier,
        element,
    }
}

/// What makes the server send the value in the form the decoder reads.
fn cast(wire: &Type, data_type: &DataType) -> &'static str {
    let is_text = |wire: &Type| *wire == Type::TEXT || *wire == Type::VARCHAR;
    match data_type {
        DataType::Utf8 if !is_text(wire) => "::text",
        DataType::Int64 if *wire != Type::INT8 => "::int8",
        DataType::List(element) => match (element.data_type(), wire.kind()) {
            (DataType::Utf8, Kind::Array(inner)) if !is_text(inner) => "::text[]",
            (DataType::Int64, Kind::Array(inner)) if *inner != Type::INT8 => "::int8[]",
            (DataType::Binary, Kind::Array(inner)) if *inner != Type::BYTEA => "::text[]",
            _ => "",
        },
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reading_statements_pass() {
        for text in [
            "SELECT 1",
            " select 1 ;; ",
            "-- why\n/* and */ WITH x AS (SELECT 1) TABLE x",
            "(VALUES (1)) UNION (SELECT 2)",
            "TABLE orders;",
        ] {
            assert!(reading(text).is_ok(), "{text}");
        }
        assert_eq!(reading("SELECT 1;"), Ok("SELECT 1"));
        for text in [
            "",
            "--",
            "/* SELECT 1",
            "DELETE FROM t",
            "copy t to stdout",
            "EXPLAIN SELECT 1",
            "; SELECT 1",
        ] {
            assert!(reading(text).is_err(), "{text}");
        }
    }
}
