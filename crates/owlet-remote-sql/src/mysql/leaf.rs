//! Columns of MySQL tables in the canonical form that scans return. Must never know a driver.

use arrow_schema::DataType;
use owlet_connector::ColumnMetadata;

use super::Product;
use super::literal::{MAXIMUM_SORT_CHARACTERS, decimal_type};
use crate::class::{TypeClass, type_class};
use crate::fragment::{Fragment, Native, NativeKind};
use crate::relation::RemoteTable;
use crate::render::origin_collation;

/// A column of a server for which nothing is computed.
pub(super) fn plain_column(raw: String, table: &RemoteTable, column: &ColumnMetadata) -> Fragment {
    let label = format!("{}.{}", table.name, column.source_name);
    Fragment {
        nullable: column.nullable,
        collation: origin_collation(column),
        simple: true,
        ..Fragment::computed(raw, column.data_type.clone(), label)
    }
}

/// The canonical form of a column.
pub(super) fn table_column(
    raw: String,
    product: Product,
    binary_collation: &str,
    table: &RemoteTable,
    column: &ColumnMetadata,
) -> Fragment {
    let native_type = column.native_type.to_lowercase();
    let form = Form::of(&raw, product, binary_collation, column, &native_type);
    let mut fragment = plain_column(raw.clone(), table, column);
    fragment.unbounded_length = may_be_long(&column.data_type, Some(column));
    if let Form::Converted { sql, native } = form {
        fragment.sql = sql;
        fragment.stored = Some(raw.clone());
        fragment.native = native.map(|kind| Native { sql: raw, kind });
    }
    fragment
}

/// How the stored value becomes the canonical one.
enum Form {
    /// It is the canonical one.
    AsStored,
    /// By this expression.
    Converted {
        sql: String,
        /// Comparisons of the stored value that are of use, too.
        native: Option<NativeKind>,
    },
}

impl Form {
    fn of(
        raw: &str,
        product: Product,
        binary_collation: &str,
        column: &ColumnMetadata,
        native_type: &str,
    ) -> Self {
        let converted = |sql: String, native| Self::Converted { sql, native };
        let name = type_name(native_type);
        let is_unsigned = native_type.contains("unsigned");
        match type_class(&column.data_type) {
            TypeClass::Text => text(raw, binary_collation, column, name),
            TypeClass::Binary if is_geometry(name) => match product {
                Product::MariaDb => converted(format!("ST_AsWKB({raw})"), None),
                // Without the option, points on the globe come with latitude first.
                Product::MySql => {
                    converted(format!("ST_AsWKB({raw}, 'axis-order=long-lat')"), None)
                }
            },
            TypeClass::Boolean => converted(format!("({raw} <> 0)"), None),
            TypeClass::SmallInteger | TypeClass::BigInteger if is_unsigned => {
                converted(format!("CAST({raw} AS SIGNED)"), Some(NativeKind::Unsigned))
            }
            // A year compared with 5 would be compared with 2005.
            TypeClass::SmallInteger | TypeClass::BigInteger if name == "year" || name == "bit" => {
                converted(format!("CAST({raw} AS SIGNED)"), None)
            }
            TypeClass::Decimal if name == "bit" => converted(
                format!("CAST(CAST({raw} AS UNSIGNED) AS DECIMAL(20,0))"),
                None,
            ),
            TypeClass::Decimal if is_unsigned => match decimal_type(&column.data_type) {
                Ok(target) => converted(
                    format!("CAST({raw} AS {target})"),
                    Some(NativeKind::Unsigned),
                ),
                Err(_) => Self::AsStored,
            },
            _ => Self::AsStored,
        }
    }
}

fn text(raw: &str, binary_collation: &str, column: &ColumnMetadata, name: &str) -> Form {
    let Some(collation) = &column.collation else {
        // UUIDs, network addresses, MySQL's JSON.
        return Form::Converted {
            sql: format!("(CONVERT({raw} USING utf8mb4) COLLATE {binary_collation})"),
            native: None,
        };
    };
    let is_stored_text = name.ends_with("char") || name.ends_with("text");
    if collation.binary_equality && collation.binary_ordering && is_stored_text {
        return Form::AsStored;
    }
    let sql = if is_stored_text && charset_of(&collation.name) == "utf8mb4" {
        format!("({raw} COLLATE {binary_collation})")
    } else {
        format!("(CONVERT({raw} USING utf8mb4) COLLATE {binary_collation})")
    };
    Form::Converted {
        sql,
        native: Some(NativeKind::Collated),
    }
}

/// `latin1_swedish_ci` belongs to `latin1`; MariaDB also writes collations without their character set
/// (`uca1400_ai_ci`), which are utf8mb4's when stored so.
pub(super) fn charset_of(collation: &str) -> &str {
    collation.split('_').next().unwrap_or_default()
}

/// `int(10) unsigned` is an `int`.
fn type_name(native_type: &str) -> &str {
    native_type
        .split(|character: char| !character.is_ascii_alphanumeric())
        .next()
        .unwrap_or_default()
}

fn is_geometry(name: &str) -> bool {
    matches!(
        name,
        "geometry"
            | "point"
            | "linestring"
            | "polygon"
            | "multipoint"
            | "multilinestring"
            | "multipolygon"
            | "geometrycollection"
            | "geomcollection"
    )
}

/// Of unknown length, declared without one, or with one beyond what is compared when rows are sorted.
pub(super) fn may_be_long(data_type: &DataType, origin: Option<&ColumnMetadata>) -> bool {
    if !matches!(type_class(data_type), TypeClass::Text | TypeClass::Binary) {
        return false;
    }
    let Some(origin) = origin else {
        return true;
    };
    let native_type = origin.native_type.to_lowercase();
    let declared: Option<u32> = native_type
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'))
        .and_then(|(length, _)| length.parse().ok());
    match (type_name(&native_type), declared) {
        ("char" | "varchar" | "binary" | "varbinary", Some(length)) => {
            length > MAXIMUM_SORT_CHARACTERS
        }
        ("enum" | "uuid" | "inet4" | "inet6", _) => false,
        _ => true,
    }
}
