//! Every type at its edges, compared with what the server itself says.

mod support;

use arrow::datatypes::{DataType, TimeUnit};
use owlet_connector::{Connector, ConnectorError};
use owlet_postgres::{PostgresConnector, UnrepresentablePolicy};
use support::{Database, column_text, read_table, table};

const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// Puts the values into a table of the type, reads it, and compares with an expression of the server's.
async fn check(
    database: &Database,
    native: &str,
    values: &[&str],
    arrow: DataType,
    expected: &str,
) {
    static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let name = format!(
        "t{}",
        NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
    );
    database
        .run(&format!("CREATE TABLE {name} (n serial, v {native})"))
        .await;
    for value in values {
        database
            .run(&format!("INSERT INTO {name} (v) VALUES ({value})"))
            .await;
    }
    database
        .run(&format!("INSERT INTO {name} (v) VALUES (NULL)"))
        .await;
    let connector = database.connector();
    let metadata = table(&connector, &name).await;
    assert_eq!(metadata.columns[1].data_type, arrow, "{native}");
    let batches = read_table(&connector, &name)
        .await
        .unwrap_or_else(|error| panic!("{native}: {error}"));
    let actual = column_text(&batches, 1);
    let server = database
        .column(&format!(
            "SET TimeZone = 'UTC'; SET IntervalStyle = postgres; SET extra_float_digits = 1; \
             SELECT ({expected})::text FROM {name} ORDER BY n"
        ))
        .await;
    assert_eq!(actual.len(), values.len() + 1, "{native}");
    assert_eq!(actual, server, "{native}");
}

#[tokio::test]
async fn numbers() {
    let database = Database::create("numbers").await;
    let same = "v";
    check(
        &database,
        "boolean",
        &["true", "false"],
        DataType::Boolean,
        same,
    )
    .await;
    check(
        &database,
        "smallint",
        &["-32768", "0", "32767"],
        DataType::Int16,
        same,
    )
    .await;
    check(
        &database,
        "integer",
        &["-2147483648", "-1", "2147483647"],
        DataType::Int32,
        same,
    )
    .await;
    check(
        &database,
        "bigint",
        &["-9223372036854775808", "0", "9223372036854775807"],
        DataType::Int64,
        same,
    )
    .await;
    check(
        &database,
        "oid",
        &["0", "4294967295"],
        DataType::Int64,
        same,
    )
    .await;
    // Bits, as hexadecimal without leading zeros.
    let float4 = "ltrim(encode(float4send(v), 'hex'), '0')";
    let float8 = "ltrim(encode(float8send(v), 'hex'), '0')";
    let floats = &[
        "'NaN'",
        "'Infinity'",
        "'-Infinity'",
        "'-0'",
        "0.1",
        "1e-37",
        "3.4028235e38",
        "-1.5",
    ];
    check(&database, "real", floats, DataType::Float32, float4).await;
    let doubles = &[
        "'NaN'",
        "'Infinity'",
        "'-Infinity'",
        "'-0'",
        "0.1",
        "5e-324",
        "1.7976931348623157e308",
    ];
    check(
        &database,
        "double precision",
        doubles,
        DataType::Float64,
        float8,
    )
    .await;
}

#[tokio::test]
async fn decimals() {
    let database = Database::create("decimals").await;
    let small = &[
        "0",
        "1",
        "-1",
        "99999999.99",
        "-99999999.99",
        "0.01",
        "10000",
        "9999.99",
        "10000.01",
        "0.10",
    ];
    check(
        &database,
        "numeric(10,2)",
        small,
        DataType::Decimal128(10, 2),
        "v",
    )
    .await;
    let wide = &[
        "99999999999999999999.999999999999999999",
        "-99999999999999999999.999999999999999999",
        "0.000000000000000001",
        "10000000000000000000",
        "0",
    ];
    check(
        &database,
        "numeric(38,18)",
        wide,
        DataType::Decimal128(38, 18),
        "v",
    )
    .await;
    let whole = &[
        "99999999999999999999999999999999999999",
        "-1",
        "100000000000000000000",
    ];
    check(
        &database,
        "numeric(38)",
        whole,
        DataType::Decimal128(38, 0),
        "v",
    )
    .await;
    let fractions = &[
        "0.99999999999999999999999999999999999999",
        "0.00000000000000000000000000000000000001",
    ];
    check(
        &database,
        "numeric(38,38)",
        fractions,
        DataType::Decimal128(38, 38),
        "v",
    )
    .await;
    let huge = &[
        "1e60",
        "-123456789012345678901234567890.123456789",
        "9999999999999999.9999",
        "0",
    ];
    check(
        &database,
        "numeric(76,10)",
        huge,
        DataType::Decimal256(76, 10),
        "v",
    )
    .await;
    check(
        &database,
        "numeric(39,0)",
        &["1e38", "-1e38"],
        DataType::Decimal256(39, 0),
        "v",
    )
    .await;
    check(
        &database,
        "numeric(77,0)",
        &["1e76", "'NaN'"],
        DataType::Utf8,
        "v",
    )
    .await;
    check(
        &database,
        "numeric(1000,500)",
        &["1e499", "1e-500"],
        DataType::Utf8,
        "v",
    )
    .await;
    check(
        &database,
        "numeric(5,-2)",
        &["9999900", "-100", "149"],
        DataType::Decimal128(7, 0),
        "v",
    )
    .await;
    check(
        &database,
        "numeric(3,5)",
        &["0.00999", "-0.00001"],
        DataType::Decimal128(5, 5),
        "v",
    )
    .await;
    // Without precision: exact at the configured scale, and the server's text only differs by trailing zeros.
    let free = &[
        "1.5",
        "-12345678901234567890.123456789012345678",
        "1e19",
        "1e-18",
        "0.000",
        "1.10",
    ];
    check(
        &database,
        "numeric",
        free,
        DataType::Decimal128(38, 18),
        "v::numeric(38,18)",
    )
    .await;
}

#[tokio::test]
async fn numerics_that_do_not_fit_fail_by_name() {
    let database = Database::create("misfits").await;
    for (value, part) in [
        ("'NaN'", "NaN has no decimal form"),
        ("'Infinity'", "Infinity has no decimal form"),
        ("'-Infinity'", "-Infinity has no decimal form"),
        ("1e-19", "0.0000000000000000001 does not fit"),
        ("1e20", "100000000000000000000 does not fit"),
    ] {
        database.run(&format!("DROP TABLE IF EXISTS m; CREATE TABLE m (price numeric); INSERT INTO m VALUES ({value})")).await;
        let error = read_table(&database.connector(), "m")
            .await
            .expect_err(value);
        let ConnectorError::Value {
            table,
            column,
            message,
            ..
        } = &error
        else {
            panic!("{value}: {error}");
        };
        assert_eq!((table.as_str(), column.as_str()), ("public.m", "price"));
        assert!(message.starts_with(part), "{message}");
    }
    database
        .run("DROP TABLE m; CREATE TABLE m (price numeric(5,2)); INSERT INTO m VALUES ('NaN')")
        .await;
    assert!(matches!(
        read_table(&database.connector(), "m").await,
        Err(ConnectorError::Value { .. })
    ));
}

#[tokio::test]
async fn text_and_bytes() {
    let database = Database::create("texts").await;
    database
        .run("CREATE EXTENSION citext; CREATE TYPE mood AS ENUM ('sad', 'it''s \"ok\"', 'Émotion')")
        .await;
    let texts = &[
        "''",
        "'a'",
        "'  padded  '",
        "E'tab\\tnew\\nline'",
        "'Ünïcødé 🦉'",
        "'quote '' and \"'",
        "E'back\\\\slash'",
    ];
    for native in ["text", "varchar", "varchar(40)", "citext", "json", "name"] {
        if native == "json" {
            check(
                &database,
                native,
                &["'{\"b\": 1,  \"a\": null}'", "'[]'"],
                DataType::Utf8,
                "v",
            )
            .await;
        } else {
            check(&database, native, texts, DataType::Utf8, "v").await;
        }
    }
    check(
        &database,
        "char(8)",
        &["''", "'ab'", "'ab  '", "' ab'", "'Ü'"],
        DataType::Utf8,
        "v::text",
    )
    .await;
    check(
        &database,
        "bpchar",
        &["'x  '", "'y'"],
        DataType::Utf8,
        "v::text",
    )
    .await;
    check(
        &database,
        "\"char\"",
        &["'a'", "''", "'\u{e9}'::bytea::text::\"char\""],
        DataType::Utf8,
        "v",
    )
    .await;
    check(
        &database,
        "jsonb",
        &["'{\"b\": 1,  \"a\": null}'", "'\"x\"'", "'1e2'"],
        DataType::Utf8,
        "v",
    )
    .await;
    check(
        &database,
        "mood",
        &["'sad'", "'it''s \"ok\"'", "'Émotion'"],
        DataType::Utf8,
        "v",
    )
    .await;
    check(
        &database,
        "uuid",
        &[
            "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'",
            "'00000000-0000-0000-0000-000000000000'",
        ],
        DataType::Utf8,
        "v",
    )
    .await;
    let bytes = &["''", "'\\x00'", "'\\xdeadbeef00ff'"];
    check(
        &database,
        "bytea",
        bytes,
        DataType::Binary,
        "encode(v, 'hex')",
    )
    .await;
    check(
        &database,
        "xml",
        &["'<a>b</a>'", "'plain'"],
        DataType::Utf8,
        "v",
    )
    .await;
}

#[tokio::test]
async fn dates_and_times() {
    let database = Database::create("times").await;
    let dates = &[
        "'1970-01-01'",
        "'1969-12-31'",
        "'2000-01-01'",
        "'2000-02-29'",
        "'0001-01-01'",
        "'0001-12-31 BC'",
        "'4713-11-24 BC'",
        "'9999-12-31'",
        "'5874897-12-31'",
        "'1582-10-10'",
    ];
    check(
        &database,
        "date",
        dates,
        DataType::Date32,
        "v - '1970-01-01'::date",
    )
    .await;
    let times = &[
        "'1970-01-01 00:00:00'",
        "'1969-12-31 23:59:59.999999'",
        "'2000-01-01 00:00:00.000001'",
        "'4713-11-24 00:00:00 BC'",
        "'0044-03-15 12:00:00 BC'",
        "'294247-01-10 04:00:54.775807'",
        "'9999-12-31 23:59:59.999999'",
    ];
    // extract(epoch) itself rounds at the far end.
    let since = |epoch: &str| {
        format!(
            "(extract(day FROM v - {epoch}) * 86400000000 + extract(hour FROM v - {epoch}) * 3600000000 + \
             extract(minute FROM v - {epoch}) * 60000000 + extract(microseconds FROM v - {epoch}))::numeric(30,0)"
        )
    };
    let since_1970 = since("timestamp '1970-01-01'");
    check(&database, "timestamp", times, TIMESTAMP, &since_1970).await;
    check(
        &database,
        "timestamp(0)",
        &["'2020-01-01 00:00:00.6'"],
        TIMESTAMP,
        &since_1970,
    )
    .await;
    let zoned = &[
        "'1970-01-01 00:00:00+00'",
        "'2021-03-28 02:30:00 Europe/Berlin'",
        "'2020-01-01 00:00:00-15:59'",
        "'4713-11-24 00:00:00+00 BC'",
        "'294247-01-10 04:00:54.775807+00'",
    ];
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    check(
        &database,
        "timestamptz",
        zoned,
        utc,
        &since("timestamptz '1970-01-01 00:00+00'"),
    )
    .await;
    let clock = &["'00:00:00'", "'23:59:59.999999'", "'12:34:56.789'"];
    check(
        &database,
        "time",
        clock,
        DataType::Time64(TimeUnit::Microsecond),
        "(extract(epoch FROM v) * 1000000)::numeric(30,0)",
    )
    .await;
    check(
        &database,
        "timetz",
        &["'24:00:00+03'", "'12:00:00.5-15:59'"],
        DataType::Utf8,
        "v",
    )
    .await;
    let intervals = &[
        "'0'",
        "'1 year 2 months -3 days 04:05:06.789'",
        "'-178000000 years'",
        "'178000000 years'",
        "'2562047 hours'",
        "'2562048 hours'",
        "'1 day -1 hour'",
        "'-2562047 hours -1 microsecond'",
        "'2147483647 days'",
        "'-1 microsecond'",
    ];
    // 24 hours are a day.
    let length = "(extract(day FROM v)::numeric * 86400000000 + extract(hour FROM v) * 3600000000 + \
                  extract(minute FROM v) * 60000000 + extract(microseconds FROM v))";
    let parts = &format!(
        "(extract(year FROM v) * 12 + extract(month FROM v))::int || ' ' || \
         div({length}, 86400000000)::bigint || ' ' || \
         (({length} - div({length}, 86400000000) * 86400000000) * 1000)::numeric(30,0)"
    );
    let interval = DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano);
    check(&database, "interval", intervals, interval, parts).await;
}

#[tokio::test]
async fn times_arrow_cannot_hold() {
    let database = Database::create("infinity").await;
    let cases = [
        ("date", "'infinity'", "2932896"),
        ("date", "'-infinity'", "-719162"),
        ("timestamp", "'infinity'", "253402300799999999"),
        ("timestamp", "'-infinity'", "-62135596800000000"),
        (
            "timestamp",
            "'294247-01-10 04:00:54.775808'",
            "253402300799999999",
        ),
        (
            "timestamptz",
            "'294276-12-31 23:59:59.999999+00'",
            "253402300799999999",
        ),
        ("time", "'24:00:00'", "86399999999"),
    ];
    for (native, value, clamped) in cases {
        database.run(&format!("DROP TABLE IF EXISTS i; CREATE TABLE i (v {native}); INSERT INTO i VALUES ({value})")).await;
        let read = async |policy| {
            let mut options = database.options();
            options.infinity = policy;
            let connector = PostgresConnector::new("pg", options).expect("options");
            read_table(&connector, "i").await
        };
        let error = read(UnrepresentablePolicy::Error).await.expect_err(native);
        assert!(
            matches!(&error, ConnectorError::Value { column, .. } if column == "v"),
            "{error}"
        );
        let nulls = read(UnrepresentablePolicy::Null).await.expect(native);
        assert_eq!(column_text(&nulls, 0), [None], "{native} {value}");
        let clamps = read(UnrepresentablePolicy::Clamp).await.expect(native);
        assert_eq!(
            column_text(&clamps, 0),
            [Some(clamped.to_owned())],
            "{native} {value}"
        );
    }
    database
        .run("CREATE TABLE long (v interval); INSERT INTO long VALUES ('2147483647 days 24 hours')")
        .await;
    assert!(matches!(
        read_table(&database.connector(), "long").await,
        Err(ConnectorError::Value { .. })
    ));
}

#[tokio::test]
async fn arrays() {
    let database = Database::create("arrays").await;
    database.run("CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE DOMAIN positive AS int CHECK (VALUE > 0)").await;
    let list = |element: DataType| DataType::new_list(element, true);
    // The texts of these arrays are the server's own.
    for (native, values, element) in [
        (
            "int[]",
            vec!["'{1,2,NULL}'", "'{}'", "'{NULL}'", "'{-2147483648}'"],
            DataType::Int32,
        ),
        ("smallint[]", vec!["'{1,NULL,-2}'"], DataType::Int16),
        ("bigint[]", vec!["'{9223372036854775807}'"], DataType::Int64),
        (
            "numeric(10,2)[]",
            vec!["'{1.50,NULL,-99999999.99}'"],
            DataType::Decimal128(10, 2),
        ),
        ("text[]", vec!["'{a,b,NULL,c}'", "'{Ü}'"], DataType::Utf8),
        ("varchar(5)[]", vec!["'{abc,NULL}'"], DataType::Utf8),
        (
            "uuid[]",
            vec!["'{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11,NULL}'"],
            DataType::Utf8,
        ),
        ("mood[]", vec!["'{sad,NULL,happy}'"], DataType::Utf8),
        ("positive[]", vec!["'{1,NULL,3}'"], DataType::Int32),
    ] {
        check(&database, native, &values, list(element), "v").await;
    }
    check(
        &database,
        "inet[]",
        &["'{10.0.0.1,::1,NULL}'"],
        list(DataType::Utf8),
        "v::text[]",
    )
    .await;
    check(
        &database,
        "char(3)[]",
        &["'{a,NULL,bcd}'"],
        list(DataType::Utf8),
        "v::text[]",
    )
    .await;
    check(
        &database,
        "bool[]",
        &["'{t,f,NULL}'"],
        list(DataType::Boolean),
        "CASE WHEN v IS NOT NULL THEN '{true,false,NULL}' END",
    )
    .await;
    let dates = "'{' || (v[1] - '1970-01-01'::date) || ',NULL}'";
    check(
        &database,
        "date[]",
        &["'{2020-02-29,NULL}'"],
        list(DataType::Date32),
        dates,
    )
    .await;
    let times = "'{' || (extract(epoch FROM v[1]) * 1000000)::numeric(30,0) || ',NULL}'";
    check(
        &database,
        "timestamp[]",
        &["'{2020-02-29 01:02:03.4,NULL}'"],
        list(TIMESTAMP),
        times,
    )
    .await;
    let json = "'{' || (v[1])::text || ',NULL}'";
    check(
        &database,
        "jsonb[]",
        &["ARRAY['{\"a\": 1}'::jsonb, NULL]"],
        list(DataType::Utf8),
        json,
    )
    .await;
    check(
        &database,
        "int2vector",
        &["'1 2 3'", "''"],
        DataType::Utf8,
        "v",
    )
    .await;
    check(&database, "oidvector", &["'1 2 3'"], DataType::Utf8, "v").await;
    for value in ["'{{1,2},{3,4}}'", "'[0:1]={1,2}'"] {
        database
            .run(&format!(
                "DROP TABLE IF EXISTS a; CREATE TABLE a (v int[]); INSERT INTO a VALUES ({value})"
            ))
            .await;
        let error = read_table(&database.connector(), "a")
            .await
            .expect_err(value);
        assert!(
            matches!(&error, ConnectorError::Value { column, .. } if column == "v"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn everything_else_is_text() {
    let database = Database::create("others").await;
    database
        .run(
            "CREATE EXTENSION hstore; CREATE EXTENSION ltree; CREATE TYPE pair AS (a int, b text); \
             CREATE TYPE floats AS RANGE (subtype = float8); CREATE DOMAIN code AS varchar(4); \
             CREATE DOMAIN inner_money AS numeric(12,2); CREATE DOMAIN amount AS inner_money NOT NULL DEFAULT 0",
        )
        .await;
    for (native, values) in [
        ("inet", vec!["'10.0.0.1/8'", "'::1'"]),
        ("cidr", vec!["'10.0.0.0/8'"]),
        ("macaddr", vec!["'08:00:2b:01:02:03'"]),
        ("macaddr8", vec!["'08:00:2b:01:02:03:04:05'"]),
        ("bit(5)", vec!["B'10101'"]),
        ("varbit", vec!["B''", "B'101'"]),
        ("money", vec!["'-1234.56'", "'92233720368547758.07'"]),
        ("tsvector", vec!["to_tsvector('simple', 'a fat cat')"]),
        ("tsquery", vec!["'fat & (rat | cat)'"]),
        ("int4range", vec!["'[1,5)'", "'empty'"]),
        ("tstzrange", vec!["'[2020-01-01 00:00+02,)'"]),
        ("int4multirange", vec!["'{[1,3),[5,7)}'"]),
        ("floats", vec!["'[1.5,2.5]'"]),
        ("pair", vec!["ROW(1, 'a \"b\" c')", "ROW(NULL, NULL)"]),
        ("point", vec!["'(1,2)'"]),
        ("line", vec!["'{1,2,3}'"]),
        ("lseg", vec!["'[(0,0),(1,1)]'"]),
        ("box", vec!["'(1,1),(0,0)'"]),
        ("path", vec!["'[(0,0),(1,1)]'"]),
        ("polygon", vec!["'((0,0),(1,1),(1,0))'"]),
        ("circle", vec!["'<(0,0),1>'"]),
        ("pg_lsn", vec!["'16/B374D848'"]),
        ("txid_snapshot", vec!["'10:20:10,14,15'"]),
        ("pg_snapshot", vec!["'10:20:10,14,15'"]),
        ("xid", vec!["'7'"]),
        ("xid8", vec!["'18446744073709551615'"]),
        ("cid", vec!["'7'"]),
        ("tid", vec!["'(4294967295,65535)'"]),
        ("regclass", vec!["'pg_class'"]),
        ("regtype", vec!["'integer'"]),
        ("hstore", vec!["'a=>1, b=>NULL'"]),
        ("ltree", vec!["'Top.Science'"]),
        ("code", vec!["'ab'"]),
        ("jsonpath", vec!["'$.a[*] ? (@ > 1)'"]),
    ] {
        check(&database, native, &values, DataType::Utf8, "v").await;
    }
    database
        .run("CREATE TABLE d (v amount, w inner_money NOT NULL); INSERT INTO d VALUES (12.5, 7)")
        .await;
    let connector = database.connector();
    let metadata = table(&connector, "d").await;
    let described: Vec<_> = metadata
        .columns
        .iter()
        .map(|column| (column.data_type.clone(), column.nullable))
        .collect();
    assert_eq!(
        described,
        [
            (DataType::Decimal128(12, 2), true),
            (DataType::Decimal128(12, 2), false)
        ]
    );
    assert_eq!(
        column_text(&read_table(&connector, "d").await.expect("rows"), 0),
        [Some("12.50".to_owned())]
    );
}

#[tokio::test]
async fn text_of_other_encodings() {
    let database = Database::create_with(
        "latin",
        "ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'",
    )
    .await;
    database
        .run("CREATE TABLE t (v text, c char(3)); INSERT INTO t VALUES ('Grüße', 'é')")
        .await;
    let batches = read_table(&database.connector(), "t").await.expect("rows");
    assert_eq!(column_text(&batches, 0), [Some("Grüße".to_owned())]);
    assert_eq!(column_text(&batches, 1), [Some("é".to_owned())]);
    let ascii = Database::create_with(
        "ascii",
        "ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'",
    )
    .await;
    ascii
        .run("CREATE TABLE t (v text); INSERT INTO t VALUES (convert_from('\\x41ff', 'SQL_ASCII'))")
        .await;
    let error = read_table(&ascii.connector(), "t")
        .await
        .expect_err("not UTF-8");
    assert!(
        error.to_string().contains("UTF-8") || error.to_string().contains("UTF8"),
        "{error}"
    );
}

#[tokio::test]
async fn a_schema_of_all_types_is_described_at_once() {
    let database = Database::create("describe").await;
    database.run("CREATE TABLE a (x int, y text); CREATE TABLE b (); CREATE VIEW c AS SELECT 1::int8 AS one").await;
    let connector = database.connector();
    let described = connector
        .describe_schema("public")
        .await
        .expect("described");
    let names: Vec<_> = described
        .iter()
        .map(|table| (table.name.as_str(), table.columns.len()))
        .collect();
    assert_eq!(names, [("a", 2), ("b", 0), ("c", 1)]);
}

#[tokio::test]
async fn geometry_is_well_known_binary() {
    let database = Database::create("geometry").await;
    // Not PostGIS, but what Owlet goes by: a base type of that name, and the function beside it.
    database
        .run(
            "CREATE SCHEMA \"GIS\"; CREATE TYPE \"GIS\".geometry; \
             CREATE FUNCTION \"GIS\".geometry_in(cstring) RETURNS \"GIS\".geometry LANGUAGE internal IMMUTABLE STRICT AS 'textin'; \
             CREATE FUNCTION \"GIS\".geometry_out(\"GIS\".geometry) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout'; \
             CREATE TYPE \"GIS\".geometry (INPUT = \"GIS\".geometry_in, OUTPUT = \"GIS\".geometry_out, LIKE = text); \
             CREATE FUNCTION \"GIS\".st_asbinary(\"GIS\".geometry) RETURNS bytea LANGUAGE internal IMMUTABLE STRICT AS 'textsend'",
        )
        .await;
    let hexadecimal = "encode(\"GIS\".st_asbinary(v), 'hex')";
    check(
        &database,
        "\"GIS\".geometry",
        &["'POINT(1 2)'", "''"],
        DataType::Binary,
        hexadecimal,
    )
    .await;
    let list = DataType::new_list(DataType::Utf8, true);
    check(&database, "\"GIS\".geometry[]", &["'{a,NULL}'"], list, "v").await;
}
