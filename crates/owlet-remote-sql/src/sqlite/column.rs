//! What a declared SQLite type means: one decision for the connector that reads and the dialect that computes.
//! Must never know a driver.
//!
//! SQLite stores any value in any column. A column's *affinity* follows from its declared type by the rules of
//! <https://www.sqlite.org/datatype3.html#determination_of_column_affinity>; what Owlet makes of it is decided
//! here.

use arrow_schema::{DataType, TimeUnit};

/// What Owlet makes of a declared type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// Integers.
    Integer,
    /// Doubles, and integers that are exact as doubles.
    Real,
    /// Text.
    Text,
    /// Blobs.
    Blob,
    /// Integers 0 and 1.
    Boolean,
    /// Text `YYYY-MM-DD`.
    Date,
    /// ISO text of a local timestamp.
    Timestamp,
    /// ISO text of an instant; UTC unless it says otherwise.
    Instant,
    /// Integers, doubles or text whose shortest decimal form fits precision and scale.
    Decimal {
        /// Digits.
        precision: u8,
        /// Digits after the point.
        scale: i8,
    },
    /// No known type: text, numbers as their text.
    Untyped,
}

/// A declared type that SQLite itself enforces (a `STRICT` table) is listed with this suffix.
pub const STRICT_SUFFIX: &str = " STRICT";
/// The native type of a column for which SQLite tells none, taken from its first values, has this suffix.
pub const INFERRED_SUFFIX: &str = " INFERRED";
/// The native type of such a column while nothing is known of its values: it may hold texts only, because numbers
/// would be compared as texts without anybody having said so.
pub const UNKNOWN_TYPE: &str = "TEXT INFERRED";
/// The native type of a column that holds texts, or texts and numbers, and is read as text.
pub const ANY_TYPE: &str = "ANY";
/// The native type of a column that is an alias of the row's number, which is always an integer.
pub const ROW_NUMBER_TYPE: &str = "INTEGER PRIMARY KEY";

/// What a value of a column must be, for people: `where` and the rest of the sentence.
pub fn expectation(native_type: &str) -> String {
    let expected = ColumnKind::from_declared_type(native_type).expectation();
    if native_type.ends_with(INFERRED_SUFFIX) {
        format!("where {expected} is expected; {INFERENCE}")
    } else {
        format!("where {expected} is declared")
    }
}

/// Why a value of an inferred type can be of another, and what to do.
pub const INFERENCE: &str = "SQLite tells no type for this column, so its first values decided: \
     CAST(… AS INTEGER), REAL or TEXT in the view, or in a view over the table, tells one";

impl ColumnKind {
    /// Reads a declared type (any case; may be empty).
    pub fn from_declared_type(declared: &str) -> Self {
        let upper = declared.trim().to_uppercase();
        let contains = |part: &str| upper.contains(part);
        if contains("INT") {
            return Self::Integer;
        }
        if contains("CHAR") || contains("CLOB") || contains("TEXT") {
            return Self::Text;
        }
        if contains("BLOB") {
            return Self::Blob;
        }
        if contains("REAL") || contains("FLOA") || contains("DOUB") {
            return Self::Real;
        }
        let (name, arguments) = match upper.split_once('(') {
            Some((name, rest)) => (
                name.trim(),
                rest.trim_end_matches(STRICT_SUFFIX)
                    .trim()
                    .strip_suffix(')'),
            ),
            None => (upper.as_str(), None),
        };
        match name {
            "BOOL" | "BOOLEAN" => Self::Boolean,
            "DATE" => Self::Date,
            "DATETIME" | "TIMESTAMP" | "TIMESTAMP WITHOUT TIME ZONE" => Self::Timestamp,
            "TIMESTAMPTZ" | "DATETIMETZ" | "TIMESTAMP WITH TIME ZONE" => Self::Instant,
            // Views report columns computed as numbers as NUM.
            "NUM" | "NUMERIC" | "DECIMAL" | "DEC" | "NUMBER" => decimal(arguments),
            _ => Self::Untyped,
        }
    }

    /// The Arrow type a scan returns.
    pub fn data_type(self) -> DataType {
        match self {
            Self::Integer => DataType::Int64,
            Self::Real => DataType::Float64,
            Self::Text | Self::Untyped => DataType::Utf8,
            Self::Blob => DataType::Binary,
            Self::Boolean => DataType::Boolean,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::Instant => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Decimal { precision, scale } => DataType::Decimal128(precision, scale),
        }
    }

    /// What a stored value must be, for people.
    pub fn expectation(self) -> String {
        match self {
            Self::Integer => "an integer".to_owned(),
            Self::Real => "a double, or an integer that is exact as a double".to_owned(),
            Self::Text => "a text".to_owned(),
            Self::Blob => "a blob".to_owned(),
            Self::Boolean => "the integer 0 or 1".to_owned(),
            Self::Date => "a text YYYY-MM-DD".to_owned(),
            Self::Timestamp => {
                "a text YYYY-MM-DD[ HH:MM[:SS[.ffffff]]], in UTC if it names a zone".to_owned()
            }
            Self::Instant => "a text YYYY-MM-DD[ HH:MM[:SS[.ffffff]]][zone]".to_owned(),
            Self::Decimal { precision, scale } => {
                format!("a number of at most {precision} digits, {scale} of them after the point")
            }
            Self::Untyped => "a text or a number".to_owned(),
        }
    }
}

/// With precision and scale an exact decimal; without, any number.
fn decimal(arguments: Option<&str>) -> ColumnKind {
    let Some(arguments) = arguments else {
        return ColumnKind::Real;
    };
    let mut parts = arguments.split(',').map(str::trim);
    let precision = parts.next().and_then(|part| part.parse::<u8>().ok());
    let scale = match parts.next() {
        None => Some(0),
        Some(part) => part.parse::<i8>().ok(),
    };
    match (precision, scale) {
        (Some(precision @ 1..=38), Some(scale))
            if scale >= 0 && i16::from(scale) <= i16::from(precision) =>
        {
            ColumnKind::Decimal { precision, scale }
        }
        _ => ColumnKind::Untyped,
    }
}

#[cfg(test)]
mod tests {
    use super::{ANY_TYPE, ColumnKind, UNKNOWN_TYPE};

    #[test]
    fn declared_types_follow_sqlites_affinity_rules() {
        let cases = [
            ("INTEGER", ColumnKind::Integer),
            ("unsigned big int", ColumnKind::Integer),
            ("INTEGER PRIMARY KEY", ColumnKind::Integer),
            ("CHARINT", ColumnKind::Integer),
            ("VARCHAR(255)", ColumnKind::Text),
            ("NATIVE CHARACTER(70)", ColumnKind::Text),
            ("BLOB", ColumnKind::Blob),
            ("DOUBLE PRECISION", ColumnKind::Real),
            ("FLOAT", ColumnKind::Real),
            ("BOOLEAN", ColumnKind::Boolean),
            ("date", ColumnKind::Date),
            ("DATETIME", ColumnKind::Timestamp),
            ("timestamptz", ColumnKind::Instant),
            (
                "DECIMAL(10,2)",
                ColumnKind::Decimal {
                    precision: 10,
                    scale: 2,
                },
            ),
            (
                "numeric ( 12 )",
                ColumnKind::Decimal {
                    precision: 12,
                    scale: 0,
                },
            ),
            ("DECIMAL(99,2)", ColumnKind::Untyped),
            ("NUMERIC", ColumnKind::Real),
            ("NUM", ColumnKind::Real),
            ("", ColumnKind::Untyped),
            ("UUID", ColumnKind::Untyped),
            ("TIME", ColumnKind::Untyped),
            ("ANY STRICT", ColumnKind::Untyped),
            ("TEXT STRICT", ColumnKind::Text),
            ("INTEGER INFERRED", ColumnKind::Integer),
            ("REAL INFERRED", ColumnKind::Real),
            ("BLOB INFERRED", ColumnKind::Blob),
            (UNKNOWN_TYPE, ColumnKind::Text),
            (ANY_TYPE, ColumnKind::Untyped),
        ];
        for (declared, expected) in cases {
            assert_eq!(
                ColumnKind::from_declared_type(declared),
                expected,
                "{declared}"
            );
        }
    }
}
