//! What MySQL's types become in Arrow: one table for the connector and its documentation. Must never do I/O.

use arrow_schema::{DataType, TimeUnit};

use crate::options::TinyIntPolicy;

/// What decides the Arrow type of a column.
#[derive(Debug, Clone)]
pub(crate) struct NativeType<'a> {
    /// `DATA_TYPE`, e.g. `int`.
    pub(crate) name: &'a str,
    /// `COLUMN_TYPE`, e.g. `int(10) unsigned`.
    pub(crate) declared: &'a str,
    /// `NUMERIC_PRECISION`.
    pub(crate) precision: Option<u32>,
    /// `NUMERIC_SCALE`.
    pub(crate) scale: Option<u32>,
}

/// One row of the documented type table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeRow {
    /// MySQL types, as a user writes them.
    pub native: &'static str,
    /// Arrow type.
    pub arrow: &'static str,
    /// What happens at the edges; empty when nothing can.
    pub notes: &'static str,
}

/// The documented type table.
pub fn type_table() -> Vec<TypeRow> {
    DOCUMENTED
        .iter()
        .map(|(native, arrow, notes)| TypeRow {
            native,
            arrow,
            notes,
        })
        .collect()
}

#[rustfmt::skip] // A table reads by rows.
const DOCUMENTED: &[(&str, &str, &str)] = &[
    ("`TINYINT(1)`, `BOOLEAN`", "Boolean", "every number but 0 is true; `tinyint1 = \"integer\"` reads numbers (Int8)"),
    ("`TINYINT`", "Int8", ""),
    ("`TINYINT UNSIGNED`, `SMALLINT`", "Int16", ""),
    ("`SMALLINT UNSIGNED`, `MEDIUMINT`, `MEDIUMINT UNSIGNED`, `INT`", "Int32", ""),
    ("`INT UNSIGNED`, `BIGINT`", "Int64", ""),
    ("`BIGINT UNSIGNED`, `SERIAL`", "Decimal128(20, 0)", "all values up to 2^64 - 1"),
    ("`DECIMAL(p,s)`, also `UNSIGNED`", "Decimal128(p, s)", "Decimal256(p, s) above 38 digits, up to `DECIMAL(65,30)`"),
    ("`FLOAT`", "Float32", ""),
    ("`DOUBLE`", "Float64", ""),
    ("`BIT(1)`", "Boolean", ""),
    ("`BIT(n)`", "Int64", "Decimal128(20, 0) for `BIT(64)`"),
    ("`YEAR`", "Int16", "year 0000 is 0"),
    ("`DATE`", "Date32", "zero and partial dates by `zero_dates`: an error, or NULL and counted"),
    ("`DATETIME(f)`", "Timestamp(Microsecond)", "zero and partial dates by `zero_dates`"),
    ("`TIMESTAMP(f)`", "Timestamp(Microsecond, UTC)", "the instant, whatever the time zone of server or user; `0000-00-00 00:00:00` by `zero_dates`"),
    ("`TIME(f)`", "Time64(Microsecond)", "negative times and times from 24 h on by `zero_dates`"),
    ("`CHAR`, `VARCHAR`, `TINYTEXT`, `TEXT`, `MEDIUMTEXT`, `LONGTEXT`", "Utf8", "of any character set, converted by the server; `CHAR` without padding"),
    ("`ENUM`, `SET`", "Utf8", "the labels; a set's are separated by commas"),
    ("`JSON`", "Utf8", "as the server spells it (MariaDB: as it was stored)"),
    ("`UUID`, `INET4`, `INET6` (MariaDB)", "Utf8", "canonical text"),
    ("`BINARY`, `VARBINARY`, `TINYBLOB`, `BLOB`, `MEDIUMBLOB`, `LONGBLOB`", "Binary", "`BINARY(n)` with its zero bytes at the end"),
    ("`GEOMETRY`, `POINT`, `LINESTRING`, `POLYGON`, `MULTI…`, `GEOMETRYCOLLECTION`", "Binary", "well-known binary (WKB), x before y, without the SRID"),
];

/// The Arrow type of a column, or why it cannot be read.
pub(crate) fn arrow_type(
    native: &NativeType<'_>,
    tinyint1: TinyIntPolicy,
) -> Result<DataType, String> {
    let is_unsigned = native.declared.contains("unsigned");
    Ok(match native.name {
        "tinyint"
            if tinyint1 == TinyIntPolicy::Boolean && native.declared.starts_with("tinyint(1)") =>
        {
            DataType::Boolean
        }
        "tinyint" if !is_unsigned => DataType::Int8,
        "tinyint" | "year" => DataType::Int16,
        "smallint" if !is_unsigned => DataType::Int16,
        "smallint" | "mediumint" => DataType::Int32,
        "int" | "integer" if !is_unsigned => DataType::Int32,
        "int" | "integer" => DataType::Int64,
        "bigint" if !is_unsigned => DataType::Int64,
        "bigint" => DataType::Decimal128(20, 0),
        "decimal" | "numeric" => decimal(native)?,
        "float" => DataType::Float32,
        "double" | "real" => DataType::Float64,
        "bit" => match native.precision.or(declared_length(native.declared)) {
            Some(1) => DataType::Boolean,
            Some(64) => DataType::Decimal128(20, 0),
            _ => DataType::Int64,
        },
        "date" => DataType::Date32,
        "datetime" => DataType::Timestamp(TimeUnit::Microsecond, None),
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "time" => DataType::Time64(TimeUnit::Microsecond),
        "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext" | "enum" | "set"
        | "json" | "uuid" | "inet4" | "inet6" => DataType::Utf8,
        "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob" => {
            DataType::Binary
        }
        "geometry" | "point" | "linestring" | "polygon" | "multipoint" | "multilinestring"
        | "multipolygon" | "geometrycollection" | "geomcollection" => DataType::Binary,
        other => {
            return Err(format!(
                "the type {other} is not known to this version of Owlet"
            ));
        }
    })
}

fn decimal(native: &NativeType<'_>) -> Result<DataType, String> {
    let parts = native
        .precision
        .zip(native.scale)
        .and_then(|(precision, scale)| {
            Some((u8::try_from(precision).ok()?, i8::try_from(scale).ok()?))
        });
    match parts {
        Some((precision @ 1..=38, scale)) => Ok(DataType::Decimal128(precision, scale)),
        Some((precision @ 39..=65, scale)) => Ok(DataType::Decimal256(precision, scale)),
        _ => Err(format!("{} has no known precision", native.declared)),
    }
}

/// The number in `bit(8)`.
fn declared_length(declared: &str) -> Option<u32> {
    let (_, rest) = declared.split_once('(')?;
    rest.split_once(')')?.0.parse().ok()
}

/// The server's values of this type need not fit the Arrow type: zero dates, long times.
pub(crate) fn has_unrepresentable_values(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Date32 | DataType::Timestamp(..) | DataType::Time64(_)
    )
}
