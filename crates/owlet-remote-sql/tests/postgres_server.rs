//! The rendered SQL on a real PostgreSQL, run by `psql`: what a server makes of it, and which plans it chooses.

mod support;

use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use arrow_schema::{DataType, TimeUnit};
use owlet_connector::{
    ArithmeticOperator, CastFailure, CompareOperator, Expression, Literal, LiteralValue, Truth,
};
use owlet_remote_sql::postgres::PostgresDialect;
use owlet_remote_sql::{
    AggregateExpression, AggregateFunction, Dialect, JoinKind, Relation, SetOperator,
};
use support::*;

/// A database that is dropped when this value is.
struct Database {
    name: String,
}

fn variable(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} is not set: run me through `cargo xtask test`"))
}

fn psql(database: Option<&str>, sql: &str) -> Result<String, String> {
    let server = variable("OWLET_TEST_POSTGRES_URL");
    let url = match (database, server.rsplit_once('/')) {
        (Some(database), Some((base, _))) => format!("{base}/{database}"),
        _ => server,
    };
    let program = format!("{}/psql", variable("OWLET_TEST_POSTGRES_BIN"));
    let output = Command::new(program)
        .args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            &url,
            "-c",
            sql,
        ])
        .env("PGTZ", "UTC")
        .env("PGCLIENTENCODING", "UTF8")
        .output()
        .expect("psql runs");
    if output.status.success() {
        Ok(String::from_utf8(output.stdout)
            .expect("UTF-8")
            .trim_end_matches('\n')
            .to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

impl Database {
    fn create() -> Self {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let number = COUNTER.fetch_add(1, Ordering::Relaxed);
        let name = format!("owlet_remote_sql_{}_{number}", std::process::id());
        psql(
            None,
            &format!("CREATE DATABASE {name} TEMPLATE template0 LOCALE 'C.UTF-8'"),
        )
        .expect("creates");
        let database = Self { name };
        database.run(
            "CREATE COLLATION en (provider = icu, locale = 'en-US');
             CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
             CREATE TABLE users (
                id integer PRIMARY KEY, name text COLLATE en, uid uuid UNIQUE, code character(5), price numeric(10,2),
                score double precision, born date, seen timestamptz, big bigint, active boolean,
                ci text COLLATE nocase, c_name text COLLATE \"C\", data jsonb, at timestamp);
             CREATE INDEX ON users (name); CREATE INDEX ON users (code); CREATE INDEX ON users (c_name);
             CREATE INDEX ON users (score);
             INSERT INTO users SELECT i, 'name ' || i % 1000, md5(i::text)::uuid, 'c' || i % 50, i / 7.0, i / 3.0,
                date '2000-01-01' + i % 9000, timestamptz '2024-01-01 00:00+00' + i * interval '1 min', i * 1000, i % 2 = 0,
                CASE i % 2 WHEN 0 THEN 'Word' ELSE 'word' END, 'c ' || i % 1000, '{}', timestamp '2024-01-01' + i * interval '1 s'
                FROM generate_series(1, 20000) AS i;
             INSERT INTO users (id, name, score, c_name) VALUES
                (-1, 'a', '-0', 'a'), (-2, 'B', '0', 'B'), (-3, 'ä', 'NaN', 'ä'), (-4, NULL, NULL, NULL),
                (-5, 'b', 'Infinity', 'b'), (-6, 'A', '-Infinity', 'A');
             ANALYZE users",
        );
        database
    }

    fn run(&self, sql: &str) -> String {
        psql(Some(&self.name), sql).unwrap_or_else(|error| panic!("{error}\n{sql}"))
    }

    fn rows(&self, relation: &Relation) -> Vec<String> {
        let sql = PostgresDialect::new()
            .render(relation)
            .expect("renders")
            .sql;
        self.run(&sql).lines().map(str::to_owned).collect()
    }

    fn plan(&self, relation: &Relation) -> String {
        let sql = PostgresDialect::new()
            .render(relation)
            .expect("renders")
            .sql;
        self.run(&format!("EXPLAIN {sql}"))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let _ = psql(None, &format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

fn ids(relation: Relation, predicate: Expression) -> Relation {
    let id = col(&relation, 0);
    project(
        sort(filter(relation, predicate), vec![ascending(id.clone())]),
        vec![id],
    )
}

#[test]
fn constants_arrive_as_they_were() {
    let database = Database::create();
    let texts = [
        "",
        "'",
        "''",
        "\\",
        "\\'",
        "a\\''b",
        "O'Hara",
        "';DROP TABLE users;--",
        "$$",
        "E'\\n'",
        "\n\r\t",
        "é\u{301}\u{10ffff}",
        "\"",
        "%_",
        "/* */ --",
    ];
    let mut list = Vec::new();
    let mut expected = Vec::new();
    for text in texts {
        let literal = PostgresDialect::new()
            .literal(&Literal::text(text))
            .expect("spelled");
        list.push(format!("encode(convert_to({literal}, 'UTF8'), 'hex')"));
        expected.push(
            text.bytes()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>(),
        );
    }
    for double in [0.1, 1.0 / 3.0, -0.0, 5e-324, f64::MAX, f64::INFINITY, 1e22] {
        let literal = PostgresDialect::new()
            .literal(&Literal::float64(double))
            .expect("spelled");
        list.push(format!("encode(float8send({literal}), 'hex')"));
        expected.push(format!("{:016x}", double.to_bits()));
    }
    let of = |value: i128, data_type: DataType| Literal {
        value: LiteralValue::Integer(value),
        data_type,
    };
    let timestamp = DataType::Timestamp(TimeUnit::Microsecond, None);
    let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    for (literal, text) in [
        (of(0, DataType::Date32), "1970-01-01"),
        (of(-719_529, DataType::Date32), "0002-12-31 BC"),
        (of(2_145_042_905, DataType::Date32), "5874897-12-31"),
        (of(-2_440_588, DataType::Date32), "4714-11-24 BC"),
        (of(-1, timestamp.clone()), "1969-12-31 23:59:59.999999"),
        (
            of(i64::MAX.into(), timestamp),
            "294247-01-10 04:00:54.775807",
        ),
        (of(1, zoned), "1970-01-01 00:00:00.000001+00"),
        (
            of(86_399_999_999, DataType::Time64(TimeUnit::Microsecond)),
            "23:59:59.999999",
        ),
        (of(i64::MIN.into(), DataType::Int64), "-9223372036854775808"),
        (of(-32_768, DataType::Int16), "-32768"),
        (of(-5, DataType::Decimal128(5, 2)), "-0.05"),
        (
            of(i128::MAX / 10, DataType::Decimal128(38, 38)),
            "0.17014118346046923173168730371588410572",
        ),
        (
            Literal {
                value: LiteralValue::Binary(vec![0, 92, 39, 255]),
                data_type: DataType::Binary,
            },
            "\\x005c27ff",
        ),
        (
            Literal {
                value: LiteralValue::Interval {
                    months: -14,
                    days: 3,
                    nanoseconds: -1_500_000_000,
                },
                data_type: DataType::Interval(arrow_schema::IntervalUnit::MonthDayNano),
            },
            "-1 years -2 mons +3 days -00:00:01.5",
        ),
    ] {
        let spelled = PostgresDialect::new().literal(&literal).expect("spelled");
        list.push(format!("({spelled})::text"));
        expected.push(text.to_owned());
    }
    assert_eq!(
        database.run(&format!("SELECT {}", list.join(", "))),
        expected.join("|")
    );
}

#[test]
fn filters_and_orderings_use_indexes() {
    let database = Database::create();
    let users = users();
    let nested = project(
        users.clone(),
        (0..14).map(|index| col(&users, index)).collect(),
    );
    let seek = |index: usize, literal: Expression| {
        database.plan(&filter(nested.clone(), equal(col(&nested, index), literal)))
    };
    assert!(seek(0, int32(5)).contains("Index Scan using users_pkey"));
    assert!(seek(1, text("name 7")).contains("users_name_idx"));
    assert!(seek(2, text("c4ca4238-a0b9-2382-0dcc-509a6f75849b")).contains("users_uid_key"));
    assert!(seek(3, text("c7")).contains("users_code_idx"));
    let uuids = in_list(
        col(&nested, 2),
        vec![
            text("c4ca4238-a0b9-2382-0dcc-509a6f75849b"),
            text("c81e728d-9d4c-2f63-6f06-7f89cc14862c"),
        ],
        false,
    );
    assert!(
        database
            .plan(&filter(nested.clone(), uuids))
            .contains("users_uid_key")
    );
    let top = |index: usize| {
        database.plan(&limit(
            sort(nested.clone(), vec![ascending(col(&nested, index))]),
            0,
            Some(3),
        ))
    };
    assert!(top(0).contains("users_pkey"), "{}", top(0));
    assert!(top(11).contains("users_c_name_idx"), "{}", top(11));
    assert!(top(5).contains("users_score_idx"), "{}", top(5));

    // A semi join, an aggregate and a join over nested selects are flattened.
    let semi = Relation::Join {
        left: Box::new(filter(users.clone(), equal(col(&users, 0), int32(7)))),
        right: Box::new(users.clone()),
        kind: JoinKind::LeftSemi,
        on: vec![(col(&users, 2), col(&users, 2))],
        filter: None,
    };
    assert!(
        database.plan(&semi).contains("users_uid_key"),
        "{}",
        database.plan(&semi)
    );
}

#[test]
fn doubles_keep_their_zeros_and_nan_apart() {
    let database = Database::create();
    let users = users();
    // -1 is -0.0, -2 is 0.0, -3 is NaN, -5 and -6 are the infinities.
    let found = |operator, value| {
        let small = compare(col(&users, 0), CompareOperator::Less, int32(0));
        let predicate = Expression::And(vec![
            small,
            compare(col(&users, 5), operator, float64(value)),
        ]);
        database.rows(&ids(users.clone(), predicate)).join(" ")
    };
    use CompareOperator as Operator;
    for zero in [0.0, -0.0] {
        assert_eq!(found(Operator::Equal, zero), "-2 -1");
        assert_eq!(found(Operator::NotEqual, zero), "-6 -5 -3");
        assert_eq!(found(Operator::Less, zero), "-6");
        assert_eq!(found(Operator::LessOrEqual, zero), "-6 -2 -1");
        assert_eq!(found(Operator::Greater, zero), "-5 -3");
        assert_eq!(found(Operator::GreaterOrEqual, zero), "-5 -3 -2 -1");
    }
    assert_eq!(found(Operator::Greater, f64::INFINITY), "-3");
    let small = filter(
        users.clone(),
        compare(col(&users, 0), Operator::Less, int32(0)),
    );
    let sorted = project(
        sort(small, vec![ascending(col(&users, 5))]),
        vec![col(&users, 0)],
    );
    assert_eq!(database.rows(&sorted).join(" "), "-6 -1 -2 -5 -3 -4");
}

#[test]
fn text_compares_by_bytes() {
    let database = Database::create();
    let users = users();
    let small = filter(
        users.clone(),
        compare(col(&users, 0), CompareOperator::Less, int32(0)),
    );
    for column in [1, 11] {
        let sorted = project(
            sort(small.clone(), vec![ascending(col(&users, column))]),
            vec![col(&users, 0)],
        );
        // A, B, a, b, ä, NULL.
        assert_eq!(database.rows(&sorted).join(" "), "-6 -2 -1 -5 -3 -4");
        let greater = compare(col(&small, column), CompareOperator::Greater, text("B"));
        assert_eq!(
            database.rows(&ids(small.clone(), greater)).join(" "),
            "-5 -3 -1"
        );
    }
    // A nondeterministic collation holds 'Word' and 'word' equal; the engine does not.
    let counted = aggregate(
        filter(users.clone(), equal(col(&users, 10), text("word"))),
        vec![col(&users, 10)],
        vec![call(AggregateFunction::CountRows, None, DataType::Int64)],
    );
    assert_eq!(database.rows(&counted), ["word|10000"]);
    let folded = |name: &str, constant: &str| {
        let call = function(name, vec![col(&small, 1)], DataType::Utf8);
        database
            .rows(&ids(small.clone(), equal(call, text(constant))))
            .join(" ")
    };
    assert_eq!(
        (folded("lower", "a"), folded("upper", "A")),
        ("-6 -1".to_owned(), "-6 -1".to_owned())
    );
    database.run("UPDATE users SET name = chr(8490) WHERE id = -5; UPDATE users SET name = chr(305) || chr(383) WHERE id = -2");
    assert_eq!(
        (folded("lower", "k"), folded("upper", "IS")),
        ("-5".to_owned(), "-2".to_owned())
    );
    database.run("UPDATE users SET name = chr(304) WHERE id = -5");
    assert_eq!(folded("lower", "i"), "-5");
    database.run(
        "UPDATE users SET name = 'b' WHERE id = -5; UPDATE users SET name = 'B' WHERE id = -2",
    );
    // Different collations meet.
    let mixed = compare(col(&users, 1), CompareOperator::Less, col(&users, 11));
    assert_eq!(database.rows(&ids(small.clone(), mixed)).len(), 0);
    let patterns = [
        ("%'%", 0),
        ("name 99_", 0),
        ("B", 1),
        ("%", 5),
        ("_", 5),
        ("\\_", 0),
        ("\\B", 1),
    ];
    for (pattern, rows) in patterns {
        assert_eq!(
            database
                .rows(&ids(small.clone(), like(col(&small, 1), pattern)))
                .len(),
            rows,
            "{pattern}"
        );
    }
}

/// Every allowed construct is at least valid SQL of the planned type; the values are compared by the fuzzer.
#[test]
fn every_construct_runs() {
    let database = Database::create();
    let users = users();
    let column = |index| col(&users, index);
    let timestamp = DataType::Timestamp(TimeUnit::Microsecond, None);
    let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let days = Expression::Literal(Literal {
        value: LiteralValue::Interval {
            months: 1,
            days: 2,
            nanoseconds: 0,
        },
        data_type: DataType::Interval(arrow_schema::IntervalUnit::MonthDayNano),
    });
    use ArithmeticOperator as Operator;
    let decimal = |precision, scale| DataType::Decimal128(precision, scale);
    let cases: Vec<(Expression, &str)> = vec![
        (
            arithmetic(column(0), Operator::Add, int32(1), DataType::Int32),
            "integer",
        ),
        (
            arithmetic(column(8), Operator::Multiply, int64(2), DataType::Int64),
            "bigint",
        ),
        (
            arithmetic(column(8), Operator::Divide, int64(-7), DataType::Int64),
            "bigint",
        ),
        (
            arithmetic(column(0), Operator::Modulo, int32(7), DataType::Int32),
            "integer",
        ),
        (
            arithmetic(column(4), Operator::Multiply, column(4), decimal(21, 4)),
            "numeric",
        ),
        (
            arithmetic(
                column(4),
                Operator::Subtract,
                integer(5, decimal(3, 1)),
                decimal(11, 2),
            ),
            "numeric",
        ),
        (
            arithmetic(column(1), Operator::Concatenate, column(11), DataType::Utf8),
            "text",
        ),
        (
            arithmetic(column(6), Operator::Add, days.clone(), DataType::Date32),
            "date",
        ),
        (
            arithmetic(
                column(13),
                Operator::Subtract,
                days.clone(),
                timestamp.clone(),
            ),
            "timestamp without time zone",
        ),
        (
            arithmetic(column(7), Operator::Add, days, zoned.clone()),
            "timestamp with time zone",
        ),
        (Expression::Negative(Box::new(column(0))), "integer"),
        (cast(column(0), DataType::Int64), "bigint"),
        (cast(column(0), DataType::Int16), "smallint"),
        (cast(column(0), DataType::Float64), "double precision"),
        (cast(column(0), decimal(12, 2)), "numeric"),
        (cast(column(4), decimal(20, 4)), "numeric"),
        (cast(column(4), DataType::Float64), "double precision"),
        (cast(column(0), DataType::Utf8), "text"),
        (cast(column(9), DataType::Utf8), "text"),
        (
            cast(column(6), timestamp.clone()),
            "timestamp without time zone",
        ),
        (cast(column(13), zoned.clone()), "timestamp with time zone"),
        (
            cast(column(7), timestamp.clone()),
            "timestamp without time zone",
        ),
        (cast(column(13), DataType::Date32), "date"),
        (
            function("coalesce", vec![column(1), text("none")], DataType::Utf8),
            "text",
        ),
        (
            function("nullif", vec![column(0), int32(3)], DataType::Int32),
            "integer",
        ),
        (function("abs", vec![column(4)], decimal(10, 2)), "numeric"),
        (
            function("length", vec![column(3)], DataType::Int64),
            "bigint",
        ),
        (
            function("octet_length", vec![column(1)], DataType::Int32),
            "integer",
        ),
        (
            function(
                "substr",
                vec![column(1), int64(2), int64(3)],
                DataType::Utf8,
            ),
            "text",
        ),
        (
            function(
                "replace",
                vec![column(1), text("n"), text("m")],
                DataType::Utf8,
            ),
            "text",
        ),
        (function("reverse", vec![column(1)], DataType::Utf8), "text"),
        (
            function("starts_with", vec![column(1), text("n")], DataType::Boolean),
            "boolean",
        ),
        (
            function("strpos", vec![column(1), text("m")], DataType::Int64),
            "bigint",
        ),
        (
            function("floor", vec![column(5)], DataType::Float64),
            "double precision",
        ),
        (
            function("ceil", vec![column(5)], DataType::Float64),
            "double precision",
        ),
        (
            function(
                "date_trunc",
                vec![text("month"), column(13)],
                timestamp.clone(),
            ),
            "timestamp without time zone",
        ),
        (
            function("date_trunc", vec![text("week"), column(7)], zoned),
            "timestamp with time zone",
        ),
        (
            function(
                "date_trunc",
                vec![text("year"), column(6)],
                DataType::Date32,
            ),
            "date",
        ),
        (
            function("date_part", vec![text("year"), column(6)], DataType::Int32),
            "integer",
        ),
        (
            function("date_part", vec![text("dow"), column(7)], DataType::Int64),
            "bigint",
        ),
        (
            function("date_part", vec![text("hour"), column(13)], DataType::Int32),
            "integer",
        ),
        (
            function("second", vec![column(7)], DataType::Int64),
            "bigint",
        ),
        (
            function("day_of_week", vec![column(6)], DataType::Int64),
            "bigint",
        ),
        (function("date", vec![column(7)], DataType::Date32), "date"),
        (
            function(
                "concat",
                vec![column(1), text("-"), column(11)],
                DataType::Utf8,
            ),
            "text",
        ),
        // The connector makes their text; see `a_result_is_read_from_the_stored_value`.
        (column(12), "jsonb"),
        (column(2), "uuid"),
        (
            Expression::Case {
                branches: vec![(equal(column(0), int32(1)), column(1))],
                otherwise: Some(Box::new(null(DataType::Utf8))),
                data_type: DataType::Utf8,
            },
            "text",
        ),
        (
            Expression::Is {
                expression: Box::new(column(9)),
                truth: Truth::Unknown,
                negated: true,
            },
            "boolean",
        ),
        (
            Expression::Cast {
                expression: Box::new(column(0)),
                data_type: DataType::Int64,
                on_failure: CastFailure::Null,
            },
            "bigint",
        ),
    ];
    for (expression, expected) in cases {
        let projected = limit(
            project(users.clone(), vec![expression.clone()]),
            0,
            Some(50),
        );
        let sql = PostgresDialect::new()
            .render(&projected)
            .unwrap_or_else(|refusal| panic!("{expression:?}: {refusal}"))
            .sql;
        let types = database.run(&format!(
            "SELECT DISTINCT pg_typeof(c0)::text FROM ({sql}) AS checked"
        ));
        assert_eq!(types, expected, "{sql}");
        // As a group key and a sort key, too.
        let grouped = aggregate(
            project(users.clone(), vec![expression.clone()]),
            vec![col(&project(users.clone(), vec![expression]), 0)],
            vec![call(AggregateFunction::CountRows, None, DataType::Int64)],
        );
        if PostgresDialect::new().render(&grouped).is_ok() {
            database.rows(&grouped);
        }
    }

    let aggregates: Vec<AggregateExpression> = vec![
        call(AggregateFunction::CountRows, None, DataType::Int64),
        call(AggregateFunction::Count, Some(column(1)), DataType::Int64),
        call(AggregateFunction::Sum, Some(column(0)), DataType::Int64),
        call(AggregateFunction::Sum, Some(column(8)), DataType::Int64),
        call(AggregateFunction::Sum, Some(column(4)), decimal(20, 2)),
        call(
            AggregateFunction::Average,
            Some(column(0)),
            DataType::Float64,
        ),
        call(
            AggregateFunction::Average,
            Some(cast(column(0), DataType::Float64)),
            DataType::Float64,
        ),
        call(AggregateFunction::Minimum, Some(column(1)), DataType::Utf8),
        call(AggregateFunction::Maximum, Some(column(2)), DataType::Utf8),
        call(
            AggregateFunction::Maximum,
            Some(column(9)),
            DataType::Boolean,
        ),
        call(
            AggregateFunction::Minimum,
            Some(column(6)),
            DataType::Date32,
        ),
        call(
            AggregateFunction::BooleanAnd,
            Some(column(9)),
            DataType::Boolean,
        ),
        AggregateExpression {
            distinct: true,
            filter: Some(compare(column(0), CompareOperator::Greater, int32(19_990))),
            ..call(AggregateFunction::Count, Some(column(1)), DataType::Int64)
        },
    ];
    let whole = aggregate(users.clone(), Vec::new(), aggregates);
    let totals = database.rows(&whole).concat();
    let (numbers, rest) = totals.split_once("|A|").expect("the smallest name is A");
    assert_eq!(
        numbers,
        "20006|20005|200009979|200010000000|28572857.14|9997.499700089973|9997.499700089973"
    );
    let (uuid, rest) = rest.split_once('|').expect("more columns");
    assert_eq!((uuid.len(), rest), (36, "t|2000-01-01|f|10"));
    // Athena's average of decimals: half away from zero.
    let price = DataType::Decimal128(10, 2);
    let averages = |values: [i128; 3]| {
        let average = call(AggregateFunction::Average, Some(column(4)), price.clone());
        let range = in_list(
            cast(column(0), DataType::Int64),
            values.map(|id| integer(id, DataType::Int64)).to_vec(),
            false,
        );
        database
            .rows(&aggregate(
                filter(users.clone(), range),
                Vec::new(),
                vec![average],
            ))
            .concat()
    };
    // Prices are id / 7, rounded: 0.14, 0.29, 0.43, …
    assert_eq!(averages([1, 2, 3]), "0.29");
    assert_eq!(averages([1, 2, 2]), "0.22");
    assert_eq!(averages([1, 1, 1]), "0.14");
    assert_eq!(averages([-1, -2, -3]), "");
    let union = Relation::SetOperation {
        operator: SetOperator::UnionAll,
        inputs: vec![
            project(users.clone(), vec![column(1)]),
            project(users.clone(), vec![column(11)]),
        ],
    };
    let distinct = Relation::Distinct {
        input: Box::new(union),
    };
    assert_eq!(database.rows(&distinct).len(), 2_006);
    let empty = project(users.clone(), Vec::new());
    assert_eq!(
        database.run(&format!(
            "SELECT count(*) FROM ({}) AS counted",
            PostgresDialect::new().render(&empty).expect("renders").sql
        )),
        "20006"
    );
}
