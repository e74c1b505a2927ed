//! How PostgreSQL's types become Arrow's: the one table the code decides by and the documentation is made from.
//! Must never do I/O.
//!
//! Facts: PostgreSQL documentation, chapter 8 "Data Types"; object identifiers from `pg_type.dat`.

use std::sync::Arc;

use arrow_schema::{DataType, Field, IntervalUnit, TimeUnit};

/// A column's type as the catalog describes it, domains already resolved to what they are made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NativeType {
    /// Object identifier; stable for built-in types only.
    pub(crate) oid: u32,
    /// `pg_type.typname`, e.g. `int4`, `geometry`.
    pub(crate) name: String,
    /// `pg_type.typtype`: `b`ase, `c`omposite, `e`num, `r`ange, `m`ultirange, …
    pub(crate) kind: char,
    /// Type modifier; -1 without one.
    pub(crate) modifier: i32,
    /// Element type of a true array.
    pub(crate) element: Option<Box<NativeType>>,
}

/// Choices of the configuration that change a mapping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TypePolicy {
    /// Scale of `numeric` without precision.
    pub(crate) numeric_scale: u8,
}

/// One row of the documented type table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeRow {
    /// PostgreSQL types, as a user writes them.
    pub native: &'static str,
    /// Arrow type.
    pub arrow: String,
    /// What happens at the edges; empty when nothing can.
    pub notes: &'static str,
}

pub(crate) mod oid {
    //! Object identifiers of built-in types.
    pub(crate) const BOOL: u32 = 16;
    pub(crate) const BYTEA: u32 = 17;
    pub(crate) const CHAR: u32 = 18;
    pub(crate) const NAME: u32 = 19;
    pub(crate) const INT8: u32 = 20;
    pub(crate) const INT2: u32 = 21;
    pub(crate) const INT2_VECTOR: u32 = 22;
    pub(crate) const INT4: u32 = 23;
    pub(crate) const TEXT: u32 = 25;
    pub(crate) const OID: u32 = 26;
    pub(crate) const OID_VECTOR: u32 = 30;
    pub(crate) const JSON: u32 = 114;
    pub(crate) const XML: u32 = 142;
    pub(crate) const FLOAT4: u32 = 700;
    pub(crate) const FLOAT8: u32 = 701;
    pub(crate) const UNKNOWN: u32 = 705;
    pub(crate) const BPCHAR: u32 = 1042;
    pub(crate) const VARCHAR: u32 = 1043;
    pub(crate) const DATE: u32 = 1082;
    pub(crate) const TIME: u32 = 1083;
    pub(crate) const TIMESTAMP: u32 = 1114;
    pub(crate) const TIMESTAMPTZ: u32 = 1184;
    pub(crate) const INTERVAL: u32 = 1186;
    pub(crate) const NUMERIC: u32 = 1700;
    pub(crate) const UUID: u32 = 2950;
    pub(crate) const JSONB: u32 = 3802;
}

/// The families the mapping knows. [`FAMILIES`] documents each; [`family`] recognises them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Boolean,
    Int2,
    Int4,
    Int8,
    Oid,
    Float4,
    Float8,
    Numeric,
    Text,
    Char,
    Binary,
    Date,
    Timestamp,
    TimestampTz,
    Time,
    Interval,
    Uuid,
    Geometry,
    Array,
    AsText,
}

/// Every family with the types it covers and what its values do at the edges.
const FAMILIES: &[(Family, &str, &str)] = &[
    (Family::Boolean, "boolean", ""),
    (Family::Int2, "smallint, smallserial", ""),
    (Family::Int4, "integer, serial", ""),
    (Family::Int8, "bigint, bigserial", ""),
    (Family::Float4, "real", "NaN and infinities are kept"),
    (
        Family::Float8,
        "double precision",
        "NaN and infinities are kept",
    ),
    (
        Family::Numeric,
        "numeric(p,s)",
        "p up to 38: Decimal128, up to 76: Decimal256, beyond: Utf8 with the exact text. A negative scale becomes \
         scale 0 with more digits; a scale above the precision raises the precision. NaN and infinity fail the query where they are read",
    ),
    (
        Family::Numeric,
        "numeric (without precision)",
        "the scale is the option numeric_scale (default 18); a value that does not fit exactly fails the query, \
         nothing is ever rounded. NaN and infinity fail the query where they are read",
    ),
    (
        Family::Text,
        "text, varchar, varchar(n), name, citext, \"char\"",
        "",
    ),
    (
        Family::Char,
        "char(n)",
        "trailing blanks are removed, as PostgreSQL does when it casts to text",
    ),
    (Family::Binary, "bytea", ""),
    (Family::Date, "date", "infinity: option infinity"),
    (
        Family::Timestamp,
        "timestamp",
        "microseconds; infinity and times after 294247-01-10 04:00:54.775807 do not fit: option infinity",
    ),
    (
        Family::TimestampTz,
        "timestamp with time zone",
        "microseconds, an instant in UTC; infinity and instants after 294247-01-10 04:00:54.775807 do not fit: \
         option infinity",
    ),
    (
        Family::Time,
        "time",
        "microseconds; 24:00:00 does not fit: option infinity",
    ),
    (
        Family::Interval,
        "interval",
        "months, days and nanoseconds; 24 hours are a day; more than 2147483647 days fail the query; infinity: option \
         infinity",
    ),
    (Family::Uuid, "uuid", "lower case with hyphens"),
    (Family::Oid, "oid", ""),
    (
        Family::Array,
        "arrays of the types above and below",
        "NULL elements are kept; more than one dimension or a lower bound other than 1 fails the query",
    ),
    (
        Family::Geometry,
        "geometry, geography (PostGIS)",
        "well-known binary by ST_AsBinary",
    ),
    (
        Family::AsText,
        "json, jsonb, xml, enum types, inet, cidr, macaddr, macaddr8, bit, varbit, money, time with time zone, \
         tsvector, tsquery, ranges, multiranges, composite types, point, line, lseg, box, path, polygon, circle, \
         pg_lsn, pg_snapshot, xid, xid8, cid, tid, regclass and its kin, hstore, ltree, and every unknown type",
        "the text of a cast to text, with DateStyle ISO, IntervalStyle postgres, TimeZone UTC (an inet of one host \
         therefore ends in /32 or /128)",
    ),
];

/// The documented type table.
pub fn type_table() -> Vec<TypeRow> {
    let policy = TypePolicy { numeric_scale: 18 };
    FAMILIES
        .iter()
        .map(|(family, native, notes)| TypeRow {
            native,
            arrow: documented_arrow(*family, native, policy),
            notes,
        })
        .collect()
}

fn documented_arrow(family: Family, native: &str, policy: TypePolicy) -> String {
    match family {
        Family::Numeric if native.contains("without") => {
            format!("Decimal128(38, {})", policy.numeric_scale)
        }
        Family::Numeric => "Decimal128(p, s), Decimal256(p, s)".to_owned(),
        Family::Array => "List of the element's type".to_owned(),
        simple => simple_type(simple)
            .map(|data_type| data_type.to_string())
            .unwrap_or_default(),
    }
}

/// The Arrow type of a column.
pub(crate) fn arrow_type(native: &NativeType, policy: TypePolicy) -> DataType {
    match family(native) {
        Family::Numeric => numeric_type(native.modifier, policy),
        Family::Array => match &native.element {
            Some(element) => {
                let element = NativeType {
                    modifier: native.modifier,
                    ..element.as_ref().clone()
                };
                let nullable = true;
                let element_type = match family(&element) {
                    // There is no cast of a whole array to well-known binary.
                    Family::Geometry => DataType::Utf8,
                    _ => arrow_type(&element, policy),
                };
                DataType::List(Arc::new(Field::new_list_field(element_type, nullable)))
            }
            None => DataType::Utf8,
        },
        simple => simple_type(simple).unwrap_or(DataType::Utf8),
    }
}

/// Families whose Arrow type depends on nothing else.
fn simple_type(family: Family) -> Option<DataType> {
    Some(match family {
        Family::Boolean => DataType::Boolean,
        Family::Int2 => DataType::Int16,
        Family::Int4 => DataType::Int32,
        Family::Int8 | Family::Oid => DataType::Int64,
        Family::Float4 => DataType::Float32,
        Family::Float8 => DataType::Float64,
        Family::Text | Family::Char | Family::Uuid | Family::AsText => DataType::Utf8,
        Family::Binary | Family::Geometry => DataType::Binary,
        Family::Date => DataType::Date32,
        Family::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        Family::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Family::Time => DataType::Time64(TimeUnit::Microsecond),
        Family::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
        Family::Numeric | Family::Array => return None,
    })
}

fn family(native: &NativeType) -> Family {
    if let Some(element) = &native.element {
        // Their lower bound is 0, and PostgreSQL prints them as a list of words.
        let is_vector = matches!(native.oid, oid::INT2_VECTOR | oid::OID_VECTOR);
        return if is_vector || element.element.is_some() {
            Family::AsText
        } else {
            Family::Array
        };
    }
    match native.oid {
        oid::BOOL => Family::Boolean,
        oid::INT2 => Family::Int2,
        oid::INT4 => Family::Int4,
        oid::INT8 => Family::Int8,
        oid::OID => Family::Oid,
        oid::FLOAT4 => Family::Float4,
        oid::FLOAT8 => Family::Float8,
        oid::NUMERIC => Family::Numeric,
        oid::TEXT | oid::VARCHAR | oid::NAME | oid::CHAR => Family::Text,
        oid::BPCHAR => Family::Char,
        oid::BYTEA => Family::Binary,
        oid::DATE => Family::Date,
        oid::TIMESTAMP => Family::Timestamp,
        oid::TIMESTAMPTZ => Family::TimestampTz,
        oid::TIME => Family::Time,
        oid::INTERVAL => Family::Interval,
        oid::UUID => Family::Uuid,
        _ if native.kind == 'b' && matches!(native.name.as_str(), "geometry" | "geography") => {
            Family::Geometry
        }
        _ => Family::AsText,
    }
}

/// `numeric(p, s)`: the modifier is `((p << 16) | (s & 0x7ff)) + 4`, the scale an 11-bit signed number
/// (`make_numeric_typmod` in PostgreSQL's numeric.c; before version 15 the scale was never negative).
fn numeric_type(modifier: i32, policy: TypePolicy) -> DataType {
    const LARGEST_128: i32 = 38;
    const LARGEST_256: i32 = 76;
    if modifier < 4 {
        return DataType::Decimal128(38, policy.numeric_scale as i8);
    }
    let declared_precision = ((modifier - 4) >> 16) & 0xffff;
    let declared_scale = (((modifier - 4) & 0x7ff) ^ 1024) - 1024;
    let precision = (declared_precision - declared_scale.min(0)).max(declared_scale);
    let scale = declared_scale.max(0);
    if precision <= LARGEST_128 {
        DataType::Decimal128(precision as u8, scale as i8)
    } else if precision <= LARGEST_256 {
        DataType::Decimal256(precision as u8, scale as i8)
    } else {
        DataType::Utf8
    }
}

/// Whether the unrepresentable-value policy can change values of this type.
pub(crate) fn has_unrepresentable_values(data_type: &DataType) -> bool {
    match data_type {
        DataType::Date32
        | DataType::Timestamp(..)
        | DataType::Time64(_)
        | DataType::Interval(_) => true,
        DataType::List(element) => has_unrepresentable_values(element.data_type()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(precision: i32, scale: i32) -> DataType {
        numeric_type(
            ((precision << 16) | (scale & 0x7ff)) + 4,
            TypePolicy { numeric_scale: 18 },
        )
    }

    #[test]
    fn numerics() {
        assert_eq!(numeric(12, 2), DataType::Decimal128(12, 2));
        assert_eq!(numeric(38, 38), DataType::Decimal128(38, 38));
        assert_eq!(numeric(39, 0), DataType::Decimal256(39, 0));
        assert_eq!(numeric(77, 0), DataType::Utf8);
        assert_eq!(numeric(1000, 1000), DataType::Utf8);
        assert_eq!(numeric(5, -2), DataType::Decimal128(7, 0));
        assert_eq!(numeric(3, 5), DataType::Decimal128(5, 5));
        assert_eq!(numeric(1, -1000), DataType::Utf8);
        assert_eq!(
            numeric_type(-1, TypePolicy { numeric_scale: 4 }),
            DataType::Decimal128(38, 4)
        );
    }

    #[test]
    fn every_family_is_documented() {
        let table = type_table();
        assert_eq!(table.len(), FAMILIES.len());
        assert!(
            table
                .iter()
                .all(|row| !row.arrow.is_empty() && !row.native.is_empty())
        );
    }
}
