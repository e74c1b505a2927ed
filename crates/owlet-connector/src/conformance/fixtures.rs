//! The tables every connector is tested with: what they are called and what is in them. A harness creates them at
//! the real source with the source's own types. Must never know a connector.

use arrow::array::{Array, AsArray, Date32Array, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use super::value::Value;

/// A table to create.
#[derive(Debug, Clone, PartialEq)]
pub struct Fixture {
    /// Wanted table name; a source that cannot have it takes another one.
    pub name: &'static str,
    /// Columns; the first is always `id`: integers, unique, never NULL.
    pub columns: Vec<FixtureColumn>,
}

/// A column to create.
#[derive(Debug, Clone, PartialEq)]
pub struct FixtureColumn {
    /// Name, spelled exactly so at the source.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// One value a row.
    pub values: Vec<Value>,
}

/// What a column holds; each source has its own types for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// 16-bit integers.
    SmallInteger,
    /// 64-bit integers.
    Integer,
    /// Decimals with 12 digits, 2 of them after the point; values are unscaled.
    Decimal,
    /// Doubles, without NaN and infinities.
    Double,
    /// NaN, infinities and negative zero.
    SpecialDouble,
    /// Text.
    Text,
    /// Booleans.
    Boolean,
    /// Calendar days; values are days since 1970-01-01.
    Date,
    /// Times without zone; values are microseconds since 1970-01-01.
    Timestamp,
    /// Instants; values are microseconds since 1970-01-01 UTC.
    Instant,
    /// Bytes.
    Binary,
}

impl Fixture {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, |column| column.values.len())
    }

    /// The table without the columns of kinds a source does not have.
    pub fn without(mut self, unsupported: impl Fn(&FixtureColumn) -> bool) -> Self {
        self.columns
            .retain(|column| column.name == "id" || !unsupported(column));
        self
    }
}

/// A value as text most sources read: ISO dates and times (a space before the time, instants with `+00`), decimals
/// with their point, numbers and text as they are. `None` for NULL and bytes.
pub fn text_of(value: &Value, kind: Kind) -> Option<String> {
    match (value, kind) {
        (Value::Integer(days), Kind::Date) => {
            let array = Date32Array::from(vec![i32::try_from(*days).ok()?]);
            shown(&array)
        }
        (Value::Integer(micros), Kind::Timestamp | Kind::Instant) => {
            let array = TimestampMicrosecondArray::from(vec![i64::try_from(*micros).ok()?]);
            let zone = if kind == Kind::Instant { "+00" } else { "" };
            Some(format!("{}{zone}", shown(&array)?.replacen('T', " ", 1)))
        }
        (Value::Integer(unscaled), Kind::Decimal) => {
            let sign = if *unscaled < 0 { "-" } else { "" };
            let digits = unscaled.unsigned_abs();
            Some(format!("{sign}{}.{:02}", digits / 100, digits % 100))
        }
        (Value::Integer(value), _) => Some(value.to_string()),
        (Value::Float(value), _) => Some(format!("{value:?}")),
        (Value::Boolean(value), _) => Some(value.to_string()),
        (Value::Text(value), _) => Some(value.clone()),
        _ => None,
    }
}

fn shown(array: &dyn Array) -> Option<String> {
    let text = cast(array, &DataType::Utf8).ok()?;
    Some(text.as_string::<i32>().value(0).to_owned())
}

/// All tables; `large_rows` is the size of the one that is to be read in parts.
pub fn all(large_rows: usize) -> Vec<Fixture> {
    vec![
        numbers(),
        texts(),
        dates(),
        nulls(),
        awkward(),
        empty(),
        wide(),
        large(large_rows),
    ]
}

fn column(name: &str, kind: Kind, values: Vec<Value>) -> FixtureColumn {
    FixtureColumn {
        name: name.to_owned(),
        kind,
        values,
    }
}

fn integers(values: impl IntoIterator<Item = i64>) -> Vec<Value> {
    values
        .into_iter()
        .map(|value| Value::Integer(value.into()))
        .collect()
}

fn ids(count: usize) -> FixtureColumn {
    column(
        "id",
        Kind::Integer,
        (0..count).map(|id| Value::Integer(id as i128)).collect(),
    )
}

/// Repeats values over that many rows.
fn cycle(values: &[Value], rows: usize) -> Vec<Value> {
    values.iter().cycle().take(rows).cloned().collect()
}

fn numbers() -> Fixture {
    const EXACT: i64 = 1 << 53;
    let whole = integers([
        0,
        1,
        -1,
        2,
        7,
        10,
        42,
        100,
        -100,
        i64::MAX,
        i64::MIN,
        i64::MAX - 1,
        EXACT,
        EXACT + 1,
        -EXACT - 1,
        4_294_967_296,
        2_147_483_648,
        999_999_999_999,
    ]);
    let rows = whole.len();
    let small = cycle(&integers([0, 1, -1, 2, 3, 32_767, -32_768]), rows);
    let amount = cycle(
        &integers([
            0,
            1,
            -1,
            50,
            99,
            100,
            150,
            -150,
            999_999_999_999,
            -999_999_999_999,
        ]),
        rows,
    );
    let ratio = [
        0.0,
        1.0,
        -1.0,
        0.5,
        -0.5,
        0.1,
        1e300,
        -1e300,
        1e-300,
        3.25,
        1.0 / 3.0,
        123_456.789,
    ];
    let ratio = cycle(&ratio.map(Value::Float), rows);
    let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0, 1.0];
    let special = cycle(&special.map(Value::Float), rows);
    Fixture {
        name: "numbers",
        columns: vec![
            ids(rows),
            column("whole", Kind::Integer, whole),
            column("small", Kind::SmallInteger, small),
            column("amount", Kind::Decimal, amount),
            column("ratio", Kind::Double, ratio),
            column("special", Kind::SpecialDouble, special),
        ],
    }
}

fn texts() -> Fixture {
    let long = "long ".repeat(2_000);
    let words = [
        "",
        " ",
        "a",
        "A",
        "b",
        "B",
        "ab",
        "aB",
        "a ",
        " a",
        "abc",
        "ABC",
        "á",
        "Á",
        "ä",
        "z",
        "Z",
        "é",
        "e\u{301}",
        "ß",
        "ss",
        "SS",
        "10",
        "9",
        "1e2",
        "true",
        "NULL",
        "null",
        "it's",
        "say \"hi\"",
        "back\\slash",
        "\\",
        "\\'",
        "' OR 1=1 --",
        "100%",
        "under_score",
        "a%b",
        "a_b",
        "tab\there",
        "line\nbreak",
        "cr\r\nlf",
        "日本語",
        "👍🏽",
        "\u{FEFF}bom",
        "İstanbul",
        "ı",
        "Ω",
        "ω",
        "ς",
        "zz",
        "a-b",
        "a.b",
        "$1",
        "?",
        ":name",
        "{}",
        "[]",
        ";",
        "/* x */",
        "é",
        &long,
    ];
    let word: Vec<Value> = words
        .iter()
        .map(|word| Value::Text((*word).to_owned()))
        .collect();
    let rows = word.len();
    let group: Vec<Value> = (0..rows)
        .map(|row| Value::Text(format!("group {}", row % 4)))
        .collect();
    let bytes: Vec<Value> = (0..rows)
        .map(|row| Value::Binary(vec![0, u8::try_from(row).unwrap_or(0), 0xFF, b'\'', b'\\']))
        .collect();
    Fixture {
        name: "texts",
        columns: vec![
            ids(rows),
            column("word", Kind::Text, word),
            column("team", Kind::Text, group),
            column("bytes", Kind::Binary, bytes),
        ],
    }
}

fn dates() -> Fixture {
    const DAY: i64 = 86_400_000_000;
    // 0001-01-01, 1582-10-15, 1969-12-31, 1970-01-01, 2000-02-29, 2024-03-31, 9999-12-31.
    let days = [
        -719_162, -141_427, -1, 0, 11_016, 19_813, 2_932_896, 19_000, 19_001,
    ];
    let day = integers(days);
    let rows = day.len();
    let moments = [
        days[0] * DAY,
        days[1] * DAY + 1,
        -1,
        0,
        1,
        11_016 * DAY + 43_200_000_000,
        19_813 * DAY + 9_000_000_000,
        2_932_897 * DAY - 1,
        19_000 * DAY + 123_456,
    ];
    Fixture {
        name: "dates",
        columns: vec![
            ids(rows),
            column("day", Kind::Date, day),
            column("moment", Kind::Timestamp, integers(moments)),
            column("instant", Kind::Instant, integers(moments)),
        ],
    }
}

fn nulls() -> Fixture {
    let rows: usize = 24;
    // Different periods give every combination of NULL and not NULL.
    let every = |period: usize, value: &dyn Fn(usize) -> Value| -> Vec<Value> {
        (0..rows)
            .map(|row| {
                if row % period == 0 {
                    Value::Null
                } else {
                    value(row)
                }
            })
            .collect()
    };
    Fixture {
        name: "nulls",
        columns: vec![
            ids(rows),
            column(
                "number",
                Kind::Integer,
                every(2, &|row| Value::Integer((row % 5) as i128)),
            ),
            column(
                "other",
                Kind::Integer,
                every(3, &|row| Value::Integer((row % 4) as i128)),
            ),
            column(
                "word",
                Kind::Text,
                every(4, &|row| Value::Text(["", "x", "NULL"][row % 3].to_owned())),
            ),
            column(
                "flag",
                Kind::Boolean,
                every(5, &|row| Value::Boolean(row % 2 == 0)),
            ),
            column(
                "day",
                Kind::Date,
                every(6, &|row| Value::Integer(row as i128)),
            ),
            column(
                "ratio",
                Kind::Double,
                every(7, &|row| Value::Float(row as f64 / 4.0)),
            ),
        ],
    }
}

fn awkward() -> Fixture {
    let names = [
        "Capital",
        "with space",
        "dot.ted",
        "select",
        "Order",
        "with'single",
        "with\"double",
        "semi;colon",
        "back\\slash",
        "per%cent",
        "dollar$1",
        "üñí",
        "日本",
        "1digit",
        "a-b",
        "--",
        "c0",
        "count(*)",
    ];
    let rows = 5;
    let mut columns = vec![ids(rows)];
    for (position, name) in names.iter().enumerate() {
        let values = (0..rows)
            .map(|row| Value::Integer((position * 10 + row) as i128))
            .collect();
        columns.push(column(name, Kind::Integer, values));
    }
    Fixture {
        name: "Awkward \"Table\" it's.a/ñ",
        columns,
    }
}

fn empty() -> Fixture {
    Fixture {
        name: "empty",
        columns: vec![
            column("id", Kind::Integer, Vec::new()),
            column("number", Kind::Integer, Vec::new()),
            column("word", Kind::Text, Vec::new()),
        ],
    }
}

fn wide() -> Fixture {
    let rows = 12;
    let mut columns = vec![ids(rows)];
    for position in 0..80_usize {
        let values = (0..rows)
            .map(|row| Value::Integer((position * row) as i128))
            .collect();
        columns.push(column(
            &format!("column_number_{position}"),
            Kind::Integer,
            values,
        ));
    }
    Fixture {
        name: "wide",
        columns,
    }
}

fn large(rows: usize) -> Fixture {
    let payload = (0..rows)
        .map(|row| Value::Text(format!("{row:0>120}")))
        .collect();
    let bucket = (0..rows)
        .map(|row| Value::Integer((row % 97) as i128))
        .collect();
    Fixture {
        name: "large",
        columns: vec![
            ids(rows),
            column("bucket", Kind::Integer, bucket),
            column("payload", Kind::Text, payload),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_as_text() {
        let cases = [
            (-719_162, Kind::Date, "0001-01-01"),
            (2_932_896, Kind::Date, "9999-12-31"),
            (-1, Kind::Timestamp, "1969-12-31 23:59:59.999999"),
            (0, Kind::Instant, "1970-01-01 00:00:00+00"),
            (-150, Kind::Decimal, "-1.50"),
            (-1, Kind::Decimal, "-0.01"),
        ];
        for (value, kind, expected) in cases {
            assert_eq!(
                text_of(&Value::Integer(value), kind).as_deref(),
                Some(expected)
            );
        }
    }

    #[test]
    fn every_table_has_ids_and_equal_columns() {
        for fixture in all(100) {
            assert_eq!(fixture.columns[0].name, "id");
            for column in &fixture.columns {
                assert_eq!(
                    column.values.len(),
                    fixture.rows(),
                    "{}.{}",
                    fixture.name,
                    column.name
                );
            }
        }
    }
}
