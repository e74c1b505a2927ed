//! Columns of PostgreSQL tables in the canonical form that scans return. Must never know a driver.

use arrow_schema::DataType;
use owlet_connector::ColumnMetadata;

use crate::class::{TypeClass, type_class};
use crate::fragment::{Fragment, Native, NativeKind, TextCollation};
use crate::relation::RemoteTable;
use crate::render::origin_collation;

/// The canonical form of a column.
pub(super) fn table_column(
    quoted_name: &str,
    qualifier: &str,
    table: &RemoteTable,
    column: &ColumnMetadata,
) -> Fragment {
    let raw = format!("{qualifier}.{quoted_name}");
    let label = format!("{}.{}", table.name, column.source_name);
    let native_type = column.native_type.trim().to_lowercase();
    let mut fragment = Fragment {
        nullable: column.nullable,
        unbounded_scale: native_type == "numeric",
        collation: origin_collation(column),
        simple: true,
        ..Fragment::computed(raw.clone(), column.data_type.clone(), label)
    };
    if let Some(cast) = canonical_cast(&column.data_type, &native_type, column.native_type.trim()) {
        fragment.sql = cast.apply(&raw);
        if sends_its_text(&column.data_type, &native_type) {
            fragment.stored = Some(raw.clone());
        }
        fragment.native =
            native_kind(&column.data_type, &native_type).map(|kind| Native { sql: raw, kind });
        if type_class(&column.data_type) == TypeClass::Text && fragment.native.is_none() {
            // A cast from a type without a collation has the database's default.
            fragment.collation = TextCollation::Neutral;
        }
    }
    if type_class(&column.data_type) == TypeClass::Text
        && column
            .collation
            .as_ref()
            .is_some_and(|collation| !collation.binary_equality)
    {
        // A nondeterministic collation holds different texts equal, also for LIKE, grouping and joins.
        fragment.sql = format!("({} COLLATE \"C\")", fragment.sql);
        fragment.collation = TextCollation::Column(owlet_connector::Collation {
            name: "C".to_owned(),
            binary_equality: true,
            binary_ordering: true,
        });
        fragment.native = None;
    }
    fragment
}

/// A conversion of the stored value.
enum CanonicalCast {
    /// `value::type`.
    To(&'static str),
    /// `function(value)`.
    Function(String),
}

impl CanonicalCast {
    fn apply(&self, raw: &str) -> String {
        match self {
            Self::To(target) => format!("{raw}::{target}"),
            Self::Function(function) => format!("{function}({raw})"),
        }
    }
}

/// `native_type` in lower case, and as the server spells it.
fn canonical_cast(data_type: &DataType, native_type: &str, spelled: &str) -> Option<CanonicalCast> {
    match type_class(data_type) {
        TypeClass::Text if is_text_type(native_type) => None,
        TypeClass::Text => Some(CanonicalCast::To("text")),
        TypeClass::Binary if native_type == "bytea" => None,
        TypeClass::Binary if is_geometry(native_type) => {
            Some(CanonicalCast::Function(as_binary_function(spelled)))
        }
        TypeClass::SmallInteger | TypeClass::BigInteger if is_integer_type(native_type) => None,
        _ if *data_type == DataType::Int16 => Some(CanonicalCast::To("int2")),
        _ if *data_type == DataType::Int32 => Some(CanonicalCast::To("int4")),
        _ if *data_type == DataType::Int64 => Some(CanonicalCast::To("int8")),
        _ => match data_type {
            DataType::List(element) | DataType::LargeList(element)
                if type_class(element.data_type()) == TypeClass::Text
                    && !native_type.strip_suffix("[]").is_some_and(is_text_type) =>
            {
                Some(CanonicalCast::To("text[]"))
            }
            _ => None,
        },
    }
}

fn native_kind(data_type: &DataType, native_type: &str) -> Option<NativeKind> {
    if type_class(data_type) != TypeClass::Text {
        return None;
    }
    if native_type == "uuid" {
        return Some(NativeKind::Uuid);
    }
    is_blank_padded(native_type).then_some(NativeKind::BlankPadded)
}

fn is_blank_padded(native_type: &str) -> bool {
    matches!(native_type, "character" | "bpchar" | "char")
        || native_type.starts_with("character(")
        || native_type.starts_with("char(")
        || native_type.starts_with("bpchar(")
}

/// Types of whose binary form the connector makes the canonical text itself, so that the server need not convert every
/// value. (`"char"` with its quotes is another type.)
fn sends_its_text(data_type: &DataType, native_type: &str) -> bool {
    let is_sent = matches!(native_type, "uuid" | "json" | "jsonb") || is_blank_padded(native_type);
    is_sent && type_class(data_type) == TypeClass::Text
}

/// Types whose stored value is the text itself.
fn is_text_type(native_type: &str) -> bool {
    native_type == "text"
        || native_type == "varchar"
        || native_type == "character varying"
        || native_type.starts_with("character varying(")
        || native_type.starts_with("varchar(")
}

fn is_integer_type(native_type: &str) -> bool {
    matches!(
        native_type,
        "smallint" | "integer" | "bigint" | "int2" | "int4" | "int8"
    )
}

fn is_geometry(native_type: &str) -> bool {
    let (_, name) = schema_and_name(native_type);
    matches!(name, "geometry" | "geography")
}

/// PostGIS's function stands in the schema of its types. The schema is spelled, and quoted, by the server.
fn as_binary_function(spelled: &str) -> String {
    match schema_and_name(spelled) {
        ("", _) => "st_asbinary".to_owned(),
        (schema, _) => format!("{schema}.st_asbinary"),
    }
}

/// Schema (empty when not spelled) and name of `gis.geometry(Point,4326)`.
fn schema_and_name(native_type: &str) -> (&str, &str) {
    let without_modifier = native_type
        .strip_suffix(')')
        .and_then(|rest| rest.rsplit_once('('))
        .map_or(native_type, |(name, _)| name);
    without_modifier
        .rsplit_once('.')
        .unwrap_or(("", without_modifier))
}
