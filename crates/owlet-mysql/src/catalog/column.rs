//! One row of `information_schema.COLUMNS` as column metadata. Must never do I/O.

use arrow_schema::DataType;
use mysql_async::Row;
use owlet_connector::{Collation, ColumnMetadata};

use super::{number, text};
use crate::options::TinyIntPolicy;
use crate::types::{NativeType, arrow_type};

/// The fields of the query, in the order in which they are read.
pub(super) const FIELDS: &str = "TABLE_NAME, TABLE_SCHEMA, COLUMN_NAME, IS_NULLABLE, DATA_TYPE, COLUMN_TYPE, \
    NUMERIC_PRECISION, NUMERIC_SCALE, COLLATION_NAME, EXTRA, COLUMN_COMMENT, CHARACTER_OCTET_LENGTH, CHARACTER_SET_NAME";

/// Longest text whose declared length says something about its width.
const SHORT_TEXT: u64 = 64;

/// The column of this row.
pub(super) fn read(row: &Row, tinyint1: TinyIntPolicy) -> Option<ColumnMetadata> {
    let source_name = text(row, 2)?;
    let name = text(row, 4)?.to_lowercase();
    let declared = text(row, 5)?;
    let narrow = |position: usize| number(row, position).and_then(|value| value.try_into().ok());
    let native = NativeType {
        name: &name,
        declared: &declared.to_lowercase(),
        precision: narrow(6),
        scale: narrow(7),
    };
    let (data_type, unreadable) = match arrow_type(&native, tinyint1) {
        Ok(data_type) => (data_type, None),
        Err(reason) => (DataType::Utf8, Some(reason)),
    };
    let mut column = ColumnMetadata::new(source_name, data_type, declared);
    column.unreadable = unreadable;
    column.nullable = text(row, 3).as_deref() != Some("NO");
    if column.data_type == DataType::Utf8 {
        column.collation = text(row, 8).map(|collation| {
            // A collation that belongs to several character sets is named without one.
            let charset = text(row, 12).unwrap_or_default();
            let name = if collation.starts_with(&charset) {
                collation
            } else {
                format!("{charset}_{collation}")
            };
            let is_bytewise = matches!(name.as_str(), "utf8mb4_nopad_bin" | "utf8mb4_0900_bin");
            Collation {
                name,
                binary_equality: is_bytewise,
                binary_ordering: is_bytewise,
            }
        });
    }
    column.hidden = text(row, 9).is_some_and(|extra| extra.to_uppercase().contains("INVISIBLE"));
    column.comment = text(row, 10).filter(|comment| !comment.is_empty());
    column.statistics.width = match &column.data_type {
        DataType::Utf8 | DataType::Binary => number(row, 11).filter(|length| *length <= SHORT_TEXT),
        DataType::Decimal128(precision, _) | DataType::Decimal256(precision, _) => {
            Some(u64::from(*precision))
        }
        fixed => fixed.primitive_width().map(|width| width as u64),
    };
    Some(column)
}
