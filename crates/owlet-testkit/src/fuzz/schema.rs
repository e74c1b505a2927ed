//! Random tables with random rows, and how a source is filled with them. Must never know a query.

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Map, Value as Json, json};

use super::value::{Collation, Kind, Target, Value, ZERO_DATES, identifier, pick};

/// Where a table lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Home {
    /// Catalog `pg`
    Postgres,
    /// Catalog `lite`
    Sqlite,
    /// Catalog `dynamo`
    DynamoDb,
    /// Catalog `my`
    Mysql,
}

/// A column.
#[derive(Debug, Clone)]
pub struct Column {
    /// Name in the source's spelling.
    pub name: String,
    /// Type.
    pub kind: Kind,
}

/// A table with its rows. Column 0 is always `id`, a unique integer.
#[derive(Debug, Clone)]
pub struct Table {
    /// Name, unique over all cases.
    pub name: String,
    /// Source.
    pub home: Home,
    /// Columns.
    pub columns: Vec<Column>,
    /// Rows.
    pub rows: Vec<Vec<Value>>,
    /// By which of two catalogs of the same server the engine names it.
    pub name_in: Catalog,
}

/// One of two catalogs that reach the same server as the same user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Catalog {
    /// `pg`, `my`
    First,
    /// `pg2`, `my2`
    Twin,
}

const NAMES: &[&str] = &[
    "plain",
    "MixedCase",
    "with space",
    "select",
    "we\"ird",
    "ünï",
    "semi;colon",
    "UPPER",
    "a.b",
    "_x",
    "o'k",
];

const POSTGRES_KINDS: &[Kind] = &[
    Kind::Boolean,
    Kind::SmallInteger,
    Kind::Integer,
    Kind::Integer,
    Kind::BigInteger,
    Kind::Real,
    Kind::Double,
    Kind::Double,
    Kind::Decimal(10, 2),
    Kind::Decimal(10, 2),
    Kind::Decimal(30, 10),
    Kind::Text(Collation::Binary),
    Kind::Text(Collation::Binary),
    Kind::Text(Collation::Language),
    Kind::Text(Collation::NoCase),
    Kind::Character(5),
    Kind::Date,
    Kind::Timestamp,
    Kind::Instant,
    Kind::Bytes,
    Kind::Uuid,
];
const SQLITE_KINDS: &[Kind] = &[
    Kind::BigInteger,
    Kind::BigInteger,
    Kind::Double,
    Kind::Text(Collation::Binary),
    Kind::Text(Collation::Binary),
    Kind::Text(Collation::NoCase),
    Kind::Bytes,
];
const MYSQL_KINDS: &[Kind] = &[
    Kind::Boolean,
    Kind::SmallInteger,
    Kind::Integer,
    Kind::Integer,
    Kind::BigInteger,
    Kind::Unsigned,
    Kind::BigUnsigned,
    Kind::Year,
    Kind::Bits,
    Kind::Enumeration,
    Kind::Real,
    Kind::Double,
    Kind::Decimal(10, 2),
    Kind::Decimal(10, 2),
    Kind::Decimal(30, 10),
    Kind::Decimal(65, 30),
    Kind::Text(Collation::Binary),
    Kind::Text(Collation::Language),
    Kind::Text(Collation::NoCase),
    Kind::Text(Collation::NoCase),
    Kind::Text(Collation::Western),
    Kind::Character(5),
    Kind::Date,
    Kind::Timestamp,
    Kind::Instant,
    Kind::Bytes,
    Kind::Uuid,
];
const DYNAMODB_KINDS: &[Kind] = &[
    Kind::Integer,
    Kind::Text(Collation::Binary),
    Kind::Boolean,
    Kind::Text(Collation::Binary),
];

impl Table {
    /// A random table.
    pub fn random(name: String, home: Home, random: &mut StdRng) -> Self {
        let kinds = match home {
            Home::Postgres => POSTGRES_KINDS,
            Home::Sqlite => SQLITE_KINDS,
            Home::DynamoDb => DYNAMODB_KINDS,
            Home::Mysql => MYSQL_KINDS,
        };
        let mut columns = vec![Column {
            name: "id".to_owned(),
            kind: Kind::Integer,
        }];
        for index in 0..random.random_range(3..8) {
            let stem = if random.random_bool(0.5) {
                "c"
            } else {
                pick(random, NAMES)
            };
            columns.push(Column {
                name: format!("{stem}{index}"),
                kind: pick(random, kinds),
            });
        }
        let mut pools: Vec<Vec<Value>> = columns
            .iter()
            .map(|column| {
                (0..random.random_range(2..9))
                    .map(|_| column.kind.value(random))
                    .collect()
            })
            .collect();
        if home == Home::Mysql && random.random_bool(0.2) {
            add_zero_dates(&columns, &mut pools, random);
        }
        let rows = (0..row_count(random))
            .map(|row| {
                let mut values = vec![Value::Integer(row)];
                for pool in &pools[1..] {
                    values.push(if random.random_bool(0.15) {
                        Value::Null
                    } else {
                        pick(random, pool)
                    });
                }
                values
            })
            .collect();
        Self {
            name,
            home,
            columns,
            rows,
            name_in: match random.random_bool(0.3) {
                true => Catalog::Twin,
                false => Catalog::First,
            },
        }
    }

    /// Some of its dates are none.
    pub fn has_zero_dates(&self) -> bool {
        self.rows.iter().flatten().any(Value::is_zero_date)
    }

    /// Name in the engine's dialect; `schema` is PostgreSQL's.
    pub fn owlet_name(&self, schema: &str) -> String {
        let number = match self.name_in {
            Catalog::First => "",
            Catalog::Twin => "2",
        };
        match self.home {
            Home::Postgres => format!("pg{number}.{schema}.{}", self.name),
            Home::Sqlite => format!("lite.main.{}", self.name),
            Home::DynamoDb => format!("dynamo.default.{}", identifier(&self.name)),
            Home::Mysql => format!("my{number}.{}.{}", mysql_schema(schema), self.name),
        }
    }

    /// `CREATE TABLE` and `INSERT` for a SQL source.
    pub fn sql(&self, target: Target, schema: &str) -> Vec<String> {
        let name = match target {
            Target::Postgres => format!("{schema}.{}", self.name),
            Target::Mysql => format!("{}.{}", mysql_schema(schema), self.name),
            _ => self.name.clone(),
        };
        let columns: Vec<String> = self
            .columns
            .iter()
            .enumerate()
            .map(|(index, column)| {
                let key = if index == 0 { " PRIMARY KEY" } else { "" };
                let name = match target {
                    Target::Mysql => format!("`{}`", column.name.replace('`', "``")),
                    _ => identifier(&column.name),
                };
                format!("{name} {}{key}", column.kind.sql(target))
            })
            .collect();
        let mut statements = vec![format!("CREATE TABLE {name} ({})", columns.join(", "))];
        for rows in self.rows.chunks(50) {
            let rows: Vec<String> = rows
                .iter()
                .map(|row| {
                    let values =
                        row.iter()
                            .zip(&self.columns)
                            .map(|(value, column)| match target {
                                Target::Mysql => value.mysql_stored(column.kind),
                                _ => value.sql(column.kind, target),
                            });
                    format!("({})", values.collect::<Vec<_>>().join(", "))
                })
                .collect();
            statements.push(format!(
                "INSERT INTO {name} VALUES\n  {}",
                rows.join(",\n  ")
            ));
        }
        match target {
            Target::Postgres => statements.push(format!("ANALYZE {name}")),
            Target::Mysql => statements.push(format!("ANALYZE TABLE {name}")),
            Target::Owlet | Target::Sqlite => {}
        }
        statements
    }

    /// DynamoDB items; a NULL is sometimes a missing attribute, sometimes DynamoDB's own NULL (by row number).
    pub fn items(&self) -> Vec<Json> {
        self.rows
            .iter()
            .enumerate()
            .map(|(number, row)| {
                let mut item = Map::new();
                for (value, column) in row.iter().zip(&self.columns) {
                    let attribute = match value {
                        Value::Null if number % 2 == 0 => continue,
                        Value::Null => json!({ "NULL": true }),
                        Value::Boolean(value) => json!({ "BOOL": value }),
                        Value::Integer(value) => json!({ "N": value.to_string() }),
                        Value::Text(text) => json!({ "S": text }),
                        other => unreachable!("{other:?} is not generated for DynamoDB"),
                    };
                    item.insert(column.name.clone(), attribute);
                }
                Json::Object(item)
            })
            .collect()
    }
}

/// The database of a case in MariaDB, where databases are the server's and not a connection's.
pub fn mysql_schema(schema: &str) -> String {
    format!("owlet_fuzz_{}_{schema}", std::process::id())
}

fn add_zero_dates(columns: &[Column], pools: &mut [Vec<Value>], random: &mut StdRng) {
    for (column, pool) in columns.iter().zip(pools) {
        if matches!(column.kind, Kind::Date | Kind::Timestamp) {
            pool.push(Value::Written(pick(random, ZERO_DATES)));
        }
    }
}

fn row_count(random: &mut StdRng) -> i64 {
    match random.random_range(0..20) {
        0 => 0,
        1 => 1,
        2..=15 => random.random_range(2..40),
        _ => random.random_range(40..200),
    }
}
