//! Types and values with traps: what sources and the engine like to disagree about. Must never know a query.

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// Who reads a rendered text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// The engine's dialect.
    Owlet,
    /// PostgreSQL itself.
    Postgres,
    /// SQLite itself.
    Sqlite,
    /// MariaDB itself, in sessions as [`crate::native::mysql`] sets them.
    Mysql,
}

/// How text compares in its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Collation {
    /// By bytes.
    Binary,
    /// A language's order (ICU on PostgreSQL).
    Language,
    /// Without case (SQLite's `NOCASE`, a nondeterministic collation on PostgreSQL).
    NoCase,
    /// Without case, in a character set of one byte (MariaDB's `latin1_swedish_ci`).
    Western,
}

/// Type of a column or expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `boolean`
    Boolean,
    /// 16 bits
    SmallInteger,
    /// 32 bits
    Integer,
    /// 64 bits
    BigInteger,
    /// 32 bits without sign (MariaDB)
    Unsigned,
    /// 64 bits without sign, a decimal to the engine (MariaDB)
    BigUnsigned,
    /// `year`, a number that is compared as one of four digits (MariaDB)
    Year,
    /// `bit(16)`, a number that is stored as bytes (MariaDB)
    Bits,
    /// `enum(…)`, a text that is ordered by its position in the declaration (MariaDB)
    Enumeration,
    /// 32-bit float
    Real,
    /// 64-bit float
    Double,
    /// `numeric(precision, scale)`
    Decimal(u8, u8),
    /// Text of any length
    Text(Collation),
    /// `char(n)`, padded with spaces by PostgreSQL
    Character(u8),
    /// Day
    Date,
    /// Date and time without zone
    Timestamp,
    /// Instant
    Instant,
    /// Bytes
    Bytes,
    /// `uuid`
    Uuid,
}

/// What expressions may be mixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// Truth values
    Boolean,
    /// Integers of all widths
    Integer,
    /// Floats of both widths
    Float,
    /// Decimals
    Decimal,
    /// All text
    Text,
    /// Days
    Date,
    /// Timestamps without zone
    Timestamp,
    /// Instants
    Instant,
    /// Compared for nothing but NULL
    Opaque,
}

/// A value as text that its type understands.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// NULL
    Null,
    /// Truth value
    Boolean(bool),
    /// Integer
    Integer(i64),
    /// Float
    Float(f64),
    /// Text form of a decimal, date, timestamp, instant or uuid
    Written(&'static str),
    /// Text
    Text(String),
    /// Bytes
    Bytes(Vec<u8>),
}

const TEXTS: &[&str] = &[
    "",
    " ",
    "  ",
    "a",
    "A",
    "a ",
    " a",
    "a  ",
    "b",
    "B",
    "ab",
    "aB",
    "Ab",
    "abc",
    "ABC",
    "a-b",
    "ab-",
    "a b",
    "z",
    "Z",
    "_",
    "%",
    "a%b",
    "a_b",
    "a\\b",
    "\\",
    "\\\\",
    "\\%",
    "\\'",
    "'",
    "''",
    "a'b",
    "\"",
    "a\"b",
    "') or 1=1 --",
    ";--",
    "/*",
    "$1",
    "?",
    ":a",
    "NULL",
    "null",
    "0",
    "-1",
    "1.0",
    "1e5",
    "true",
    "é",
    "e\u{301}",
    "É",
    "E",
    "e",
    "ß",
    "ss",
    "SS",
    "i",
    "I",
    "İ",
    "ı",
    "日本語",
    "😀",
    "\u{E000}",
    "\u{FFFD}",
    "\u{10FFFD}",
    "\t",
    "\n",
    "a\nb",
    "\r\n",
    "\u{200B}",
    "\u{FEFF}x",
    "\u{A0}",
    "ñ",
    "n",
    "resume",
    "résumé",
    "Resume",
    "10",
    "9",
    "#",
    "~",
    "{}",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
];
const BIG_INTEGERS: &[i64] = &[
    i64::MIN,
    i64::MIN + 1,
    i64::MAX,
    i64::MAX - 1,
    9_007_199_254_740_993,
    -9_007_199_254_740_993,
    4_294_967_296,
];
const INTEGERS: &[i64] = &[
    i32::MIN as i64,
    i32::MAX as i64,
    65_536,
    -65_536,
    1_000_000,
    16_777_217,
];
const SMALL_INTEGERS: &[i64] = &[
    -32_768, 32_767, -1, 0, 0, 1, 1, 2, 2, 3, 4, 5, 7, 10, -2, -3, -7, 100, 127, 128, -128, 255,
    256,
];
const DOUBLES: &[f64] = &[
    0.0,
    -0.0,
    1.0,
    -1.0,
    1.5,
    -1.5,
    2.5,
    0.1,
    0.2,
    0.3,
    0.30000000000000004,
    1e16,
    9007199254740993.0,
    1e-7,
    123456.789,
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::MAX,
    f64::MIN,
    f64::MIN_POSITIVE,
    5e-324,
    1e308,
    3.4028235e38,
];
const REALS: &[f64] = &[
    0.0,
    -0.0,
    1.0,
    -1.5,
    2.5,
    0.5,
    16777216.0,
    1e10,
    -1e-10,
    f64::NAN,
    f64::INFINITY,
    f64::NEG_INFINITY,
];
const DECIMALS: &[&str] = &[
    "0.00",
    "-0.01",
    "0.01",
    "1.00",
    "1.10",
    "1.25",
    "1.50",
    "2.00",
    "-1.50",
    "10.00",
    "99999999.99",
    "-99999999.99",
];
const WIDE_DECIMALS: &[&str] = &[
    "0",
    "1",
    "-1",
    "0.0000000001",
    "1234567890123456789.0123456789",
    "99999999999999999999.9999999999",
    "-99999999999999999999.9999999999",
    "2.5",
    "0.5",
];
const WIDEST_DECIMALS: &[&str] = &[
    "0",
    "1",
    "-1.5",
    "0.000000000000000000000000000001",
    "-0.000000000000000000000000000001",
    "99999999999999999999999999999999999.999999999999999999999999999999",
    "-99999999999999999999999999999999999.999999999999999999999999999999",
];
const BIG_UNSIGNED: &[&str] = &[
    "0",
    "1",
    "2",
    "7",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551614",
    "18446744073709551615",
];
const YEARS: &[i64] = &[0, 1901, 1970, 2000, 2005, 2024, 2155];
const BITS: &[i64] = &[0, 1, 2, 48, 49, 255, 256, 65_535];
const ENUMERATED: &[&str] = &["z", "a", "B", "é", "10", "9"];
const UNSIGNED: &[i64] = &[0, 1, 2, 3, 7, 2_147_483_647, 2_147_483_648, 4_294_967_295];
/// What MariaDB stores where no `sql_mode` forbids it, and the engine shows as NULL when told to.
pub const ZERO_DATES: &[&str] = &["0000-00-00", "2024-00-00", "2024-05-00"];
const DATES: &[&str] = &[
    "0001-01-01",
    "1582-10-04",
    "1582-10-15",
    "1752-09-14",
    "1899-12-31",
    "1900-02-28",
    "1969-12-31",
    "1970-01-01",
    "1999-12-31",
    "2000-02-29",
    "2024-02-29",
    "2024-03-10",
    "2024-03-31",
    "2024-11-03",
    "2038-01-19",
    "9999-12-31",
];
const TIMESTAMPS: &[&str] = &[
    "0001-01-01 00:00:00",
    "1582-10-10 12:00:00",
    "1677-09-21 00:12:43",
    "1883-11-18 12:03:57",
    "1969-12-31 23:59:59.999999",
    "1970-01-01 00:00:00",
    "2024-02-29 23:59:59",
    "2024-03-10 02:30:00",
    "2024-03-31 01:00:00.000001",
    "2024-03-31 02:30:00",
    "2024-11-03 01:30:00",
    "2038-01-19 03:14:08",
    "2262-04-11 23:47:16.854775",
    "2262-04-11 23:47:16.854776",
    "9999-12-31 23:59:59.999999",
    "2024-03-31 00:00:00",
    "2024-03-31 12:34:56.789",
];
const UUIDS: &[&str] = &[
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "123e4567-e89b-12d3-a456-426614174000",
];
const BYTES: &[&[u8]] = &[b"", b"\x00", b"\xff", b"abc", b"\x00\x01", b"\\x00", b"'"];

impl Kind {
    /// What it may be compared with.
    pub fn class(self) -> Class {
        match self {
            Self::Boolean => Class::Boolean,
            Self::SmallInteger
            | Self::Integer
            | Self::BigInteger
            | Self::Unsigned
            | Self::Year
            | Self::Bits => Class::Integer,
            Self::Real | Self::Double => Class::Float,
            Self::Decimal(_, _) | Self::BigUnsigned => Class::Decimal,
            Self::Text(_) | Self::Character(_) | Self::Enumeration => Class::Text,
            Self::Date => Class::Date,
            Self::Timestamp => Class::Timestamp,
            Self::Instant => Class::Instant,
            Self::Bytes | Self::Uuid => Class::Opaque,
        }
    }

    /// A type as a source's DDL or the engine's `CAST` spells it.
    pub fn sql(self, target: Target) -> String {
        let name = match (self, target) {
            (kind, Target::Mysql) => return kind.mysql(),
            (Self::Boolean, _) => "boolean",
            (Self::SmallInteger, Target::Sqlite)
            | (Self::Integer, Target::Sqlite)
            | (Self::BigInteger | Self::Unsigned | Self::BigUnsigned, Target::Sqlite)
            | (Self::Year | Self::Bits, Target::Sqlite) => "INTEGER",
            (Self::SmallInteger | Self::Year, _) => "smallint",
            (Self::Integer, _) => "integer",
            (Self::BigInteger | Self::Unsigned | Self::Bits, _) => "bigint",
            (Self::BigUnsigned, _) => "decimal(20,0)",
            (Self::Real, _) => "real",
            (Self::Double, Target::Owlet) => "double",
            (Self::Double, Target::Postgres) => "double precision",
            (Self::Double, Target::Sqlite) => "REAL",
            (Self::Decimal(precision, scale), Target::Postgres) => {
                return format!("numeric({precision},{scale})");
            }
            (Self::Decimal(precision, scale), _) => return format!("decimal({precision},{scale})"),
            (Self::Text(_) | Self::Character(_) | Self::Enumeration, Target::Owlet) => "varchar",
            (Self::Enumeration, _) => "text",
            (Self::Text(Collation::Binary | Collation::Western), Target::Postgres) => {
                "text COLLATE \"C\""
            }
            (Self::Text(Collation::Language), Target::Postgres) => "text COLLATE \"en-US-x-icu\"",
            (Self::Text(Collation::NoCase), Target::Postgres) => "text COLLATE fuzz_nocase",
            (Self::Text(Collation::NoCase), Target::Sqlite) => "TEXT COLLATE NOCASE",
            (Self::Text(_) | Self::Character(_), Target::Sqlite) => "TEXT",
            (Self::Character(length), Target::Postgres) => return format!("char({length})"),
            (Self::Date, _) => "date",
            (Self::Timestamp, _) => "timestamp",
            (Self::Instant, Target::Sqlite) => "timestamp",
            (Self::Instant, _) => "timestamp with time zone",
            (Self::Bytes, Target::Owlet) => "varbinary",
            (Self::Bytes, Target::Postgres) => "bytea",
            (Self::Bytes, Target::Sqlite) => "BLOB",
            (Self::Uuid, Target::Sqlite) => "TEXT",
            (Self::Uuid, _) => "uuid",
        };
        name.to_owned()
    }

    /// The type in MariaDB. Text comes in both binary and other collations, short enough to be sorted and not.
    fn mysql(self) -> String {
        match self {
            Self::Boolean => "boolean".to_owned(),
            Self::SmallInteger => "smallint".to_owned(),
            Self::Integer => "int".to_owned(),
            Self::BigInteger => "bigint".to_owned(),
            Self::Unsigned => "int unsigned".to_owned(),
            Self::BigUnsigned => "bigint unsigned".to_owned(),
            Self::Year => "year".to_owned(),
            Self::Bits => "bit(16)".to_owned(),
            Self::Enumeration => format!("enum('{}')", ENUMERATED.join("', '")),
            Self::Real => "float".to_owned(),
            Self::Double => "double".to_owned(),
            Self::Decimal(precision, scale) => format!("decimal({precision},{scale})"),
            Self::Text(Collation::Binary) => "varchar(200) COLLATE utf8mb4_bin".to_owned(),
            Self::Text(Collation::Language) => "text COLLATE utf8mb4_unicode_ci".to_owned(),
            Self::Text(Collation::NoCase) => "varchar(200) COLLATE utf8mb4_general_ci".to_owned(),
            Self::Text(Collation::Western) => {
                "varchar(200) CHARACTER SET latin1 COLLATE latin1_swedish_ci".to_owned()
            }
            Self::Character(length) => format!("char({length}) COLLATE utf8mb4_general_ci"),
            Self::Date => "date".to_owned(),
            Self::Timestamp => "datetime(6)".to_owned(),
            Self::Instant => "timestamp(6) NULL".to_owned(),
            Self::Bytes => "varbinary(100)".to_owned(),
            Self::Uuid => "uuid".to_owned(),
        }
    }

    /// A value of this type, often a trap.
    pub fn value(self, random: &mut StdRng) -> Value {
        match self {
            Self::Boolean => Value::Boolean(random.random()),
            Self::SmallInteger => Value::Integer(pick(random, SMALL_INTEGERS)),
            Self::Integer if random.random_bool(0.2) => Value::Integer(pick(random, INTEGERS)),
            Self::BigInteger if random.random_bool(0.2) => {
                Value::Integer(pick(random, BIG_INTEGERS))
            }
            Self::Integer | Self::BigInteger => Value::Integer(pick(random, SMALL_INTEGERS)),
            Self::Unsigned => Value::Integer(pick(random, UNSIGNED)),
            Self::BigUnsigned => Value::Written(pick(random, BIG_UNSIGNED)),
            Self::Year => Value::Integer(pick(random, YEARS)),
            Self::Bits => Value::Integer(pick(random, BITS)),
            Self::Enumeration => Value::Text(pick(random, ENUMERATED).to_owned()),
            Self::Real => Value::Float(pick(random, REALS)),
            Self::Double => Value::Float(pick(random, DOUBLES)),
            Self::Decimal(precision, _) if precision > 38 => {
                Value::Written(pick(random, WIDEST_DECIMALS))
            }
            Self::Decimal(precision, _) if precision > 20 => {
                Value::Written(pick(random, WIDE_DECIMALS))
            }
            Self::Decimal(_, _) => Value::Written(pick(random, DECIMALS)),
            Self::Text(_) if random.random_bool(0.1) => {
                let length = random.random_range(1..8);
                let letters = (0..length).map(|_| {
                    pick(
                        random,
                        &['a', 'b', 'A', ' ', '\\', '\'', '%', '_', 'é', '"'],
                    )
                });
                Value::Text(letters.collect())
            }
            Self::Text(_) => Value::Text(pick(random, TEXTS).to_owned()),
            Self::Character(length) => {
                let text = pick(random, TEXTS).replace(['\n', '\r', '\t'], "x");
                Value::Text(text.chars().take(length.into()).collect())
            }
            Self::Date => Value::Written(pick(random, DATES)),
            Self::Timestamp | Self::Instant => Value::Written(pick(random, TIMESTAMPS)),
            Self::Bytes => Value::Bytes(pick(random, BYTES).to_vec()),
            Self::Uuid => Value::Written(pick(random, UUIDS)),
        }
    }
}

impl Value {
    /// A constant of a type in a target's SQL; never relies on how the target guesses types.
    pub fn sql(&self, kind: Kind, target: Target) -> String {
        let type_name = || match kind {
            // A cast to text must not change how the other side of a comparison compares.
            Kind::Text(_) => "text".to_owned(),
            other => other.sql(target),
        };
        match self {
            value if target == Target::Mysql => value.mysql_constant(kind),
            Self::Null if target == Target::Sqlite => "NULL".to_owned(),
            Self::Null => format!(
                "CAST(NULL AS {})",
                if target == Target::Owlet {
                    kind.sql(target)
                } else {
                    type_name()
                }
            ),
            Self::Boolean(value) => value.to_string(),
            Self::Integer(value) if value.abs_diff(0) <= i32::MAX as u64 => value.to_string(),
            Self::Integer(value) if target == Target::Sqlite => value.to_string(),
            Self::Integer(value) => format!("CAST('{value}' AS bigint)"),
            Self::Float(value) if target == Target::Sqlite => match value {
                value if value.is_nan() => "NULL".to_owned(),
                value if *value == f64::INFINITY => "9e999".to_owned(),
                value if *value == f64::NEG_INFINITY => "-9e999".to_owned(),
                value => format!("{value:e}"),
            },
            Self::Float(value) => {
                let text = match value {
                    value if value.is_nan() => "NaN".to_owned(),
                    value if value.is_infinite() => {
                        format!("{}Infinity", if *value < 0.0 { "-" } else { "" })
                    }
                    value => format!("{value:e}"),
                };
                format!("CAST('{text}' AS {})", type_name())
            }
            Self::Text(text) => quoted(text),
            Self::Bytes(bytes) => {
                let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                if target == Target::Postgres {
                    format!("'\\x{digits}'::bytea")
                } else {
                    format!("X'{digits}'")
                }
            }
            Self::Written(text) => match (kind, target) {
                (_, Target::Sqlite) => quoted(text),
                (Kind::Date, _) => format!("DATE '{text}'"),
                (Kind::Timestamp, _) => format!("TIMESTAMP '{text}'"),
                (Kind::Instant, Target::Postgres) => format!("TIMESTAMPTZ '{text}+00'"),
                (Kind::Instant, _) => format!("TIMESTAMP '{text} UTC'"),
                (Kind::Decimal(_, _) | Kind::BigUnsigned, Target::Postgres) => {
                    format!("CAST('{text}' AS numeric)")
                }
                (Kind::Decimal(_, _), _) if text.contains('.') => format!("DECIMAL '{text}'"),
                _ => format!("CAST('{text}' AS {})", type_name()),
            },
        }
    }
}

impl Value {
    /// A constant that MariaDB stores as it is, under every `sql_mode`.
    pub fn mysql_stored(&self, kind: Kind) -> String {
        let hexadecimal =
            |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("{byte:02x}")).collect() };
        match self {
            Self::Null => "NULL".to_owned(),
            Self::Boolean(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            // There is neither NaN nor infinity.
            Self::Float(value) if !value.is_finite() => "0.25e0".to_owned(),
            Self::Float(value) => format!("{value:e}"),
            // Its years are 1970 to 2038.
            Self::Written(text) if kind == Kind::Instant && !text.starts_with("2024") => {
                "'1999-12-31 23:59:59.000001'".to_owned()
            }
            Self::Written(text) => quoted(text),
            Self::Text(text) => {
                format!("CONVERT(X'{}' USING utf8mb4)", hexadecimal(text.as_bytes()))
            }
            Self::Bytes(bytes) => format!("X'{}'", hexadecimal(bytes)),
        }
    }

    /// A constant in a query for MariaDB.
    fn mysql_constant(&self, kind: Kind) -> String {
        match self {
            Self::Written(text) => match kind {
                Kind::Date => format!("DATE'{text}'"),
                Kind::Timestamp | Kind::Instant => format!("TIMESTAMP'{text}'"),
                Kind::Decimal(_, _) | Kind::BigUnsigned => format!("({text})"),
                _ => quoted(text),
            },
            Self::Integer(value) => format!("({value})"),
            Self::Float(value) => format!("({value:e})"),
            Self::Text(text) => quoted(text),
            other => other.mysql_stored(kind),
        }
    }

    /// A date that is none.
    pub fn is_zero_date(&self) -> bool {
        matches!(self, Self::Written(text) if ZERO_DATES.iter().any(|zero| text.starts_with(zero)))
    }
}

/// A random element.
pub fn pick<T: Clone>(random: &mut StdRng, values: &[T]) -> T {
    match values.choose(random) {
        Some(value) => value.clone(),
        None => unreachable!("pick() is only called with a non-empty list"),
    }
}

/// A string literal of standard SQL.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A quoted identifier of standard SQL.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
