//! Every type at its edges, as the server holds it and as Arrow does.

mod support;

use std::sync::Arc;

use arrow::array::AsArray;
use arrow_schema::{DataType, TimeUnit};
use owlet_connector::{Connector, ConnectorError, Exactness, Expression, QueryWork};
use owlet_mysql::{MysqlConnector, TinyIntPolicy, ZeroDatePolicy};
use support::{Database, read_plan, read_table, request, table, texts};

fn some(values: &[&str]) -> Vec<Option<String>> {
    values
        .iter()
        .map(|value| (*value != "NULL").then(|| (*value).to_owned()))
        .collect()
}

/// Creates a table of one column beside its key and checks type and values.
async fn check(
    database: &Database,
    declared: &str,
    values: &[&str],
    expected_type: DataType,
    expected: &[&str],
) {
    database.run("DROP TABLE IF EXISTS t").await;
    database
        .run(&format!(
            "CREATE TABLE t (id INT PRIMARY KEY, v {declared})"
        ))
        .await;
    for (position, value) in values.iter().enumerate() {
        database
            .run(&format!("INSERT INTO t VALUES ({position}, {value})"))
            .await;
    }
    let connector = database.connector();
    let metadata = table(&connector, database, "t").await;
    assert_eq!(metadata.columns[1].data_type, expected_type, "{declared}");
    let batches = read_table(&connector, database, "t")
        .await
        .unwrap_or_else(|error| {
            panic!("{declared}: {error}");
        });
    assert_eq!(texts(&batches, 1), some(expected), "{declared}");
}

#[tokio::test]
async fn integers() {
    let database = Database::create("integers").await;
    for (declared, smallest, largest, expected) in [
        ("TINYINT", "-128", "127", DataType::Int8),
        ("TINYINT UNSIGNED", "0", "255", DataType::Int16),
        ("SMALLINT", "-32768", "32767", DataType::Int16),
        ("SMALLINT UNSIGNED", "0", "65535", DataType::Int32),
        ("MEDIUMINT", "-8388608", "8388607", DataType::Int32),
        ("MEDIUMINT UNSIGNED", "0", "16777215", DataType::Int32),
        ("INT", "-2147483648", "2147483647", DataType::Int32),
        ("INT UNSIGNED", "0", "4294967295", DataType::Int64),
        (
            "BIGINT",
            "-9223372036854775808",
            "9223372036854775807",
            DataType::Int64,
        ),
        (
            "BIGINT UNSIGNED",
            "0",
            "18446744073709551615",
            DataType::Decimal128(20, 0),
        ),
    ] {
        let values = [smallest, largest, "NULL"];
        check(&database, declared, &values, expected, &values).await;
    }
    check(
        &database,
        "YEAR",
        &["1901", "2155", "0"],
        DataType::Int16,
        &["1901", "2155", "0"],
    )
    .await;
    check(
        &database,
        "BIT(1)",
        &["b'1'", "b'0'", "NULL"],
        DataType::Boolean,
        &["true", "false", "NULL"],
    )
    .await;
    check(
        &database,
        "BIT(12)",
        &["b'100000000001'", "0"],
        DataType::Int64,
        &["2049", "0"],
    )
    .await;
    check(
        &database,
        "BIT(64)",
        &["18446744073709551615"],
        DataType::Decimal128(20, 0),
        &["18446744073709551615"],
    )
    .await;
    check(
        &database,
        "BOOLEAN",
        &["TRUE", "FALSE", "7", "NULL"],
        DataType::Boolean,
        &["true", "false", "true", "NULL"],
    )
    .await;
}

#[tokio::test]
async fn a_short_integer_may_be_a_number() {
    let database = Database::create("tinyint").await;
    database.run("CREATE TABLE t (v TINYINT(1))").await;
    database.run("INSERT INTO t VALUES (7), (-1)").await;
    let mut options = database.options();
    options.tinyint1 = TinyIntPolicy::Integer;
    let connector = MysqlConnector::new("my", options).expect("valid options");
    let batches = read_table(&connector, &database, "t").await.expect("read");
    assert_eq!(texts(&batches, 0), some(&["7", "-1"]));
}

#[tokio::test]
async fn decimals_and_doubles() {
    let database = Database::create("decimals").await;
    check(
        &database,
        "DECIMAL(10,2)",
        &["-99999999.99", "0.01", "NULL"],
        DataType::Decimal128(10, 2),
        &["-99999999.99", "0.01", "NULL"],
    )
    .await;
    let nines = "9".repeat(38);
    check(
        &database,
        "DECIMAL(38,0)",
        &[&nines],
        DataType::Decimal128(38, 0),
        &[&nines],
    )
    .await;
    let long = format!("{}.{}", "9".repeat(35), "9".repeat(30));
    let negative = format!("-{long}");
    check(
        &database,
        "DECIMAL(65,30)",
        &[&long, &negative],
        DataType::Decimal256(65, 30),
        &[&long, &negative],
    )
    .await;
    check(
        &database,
        "DECIMAL(5,2) UNSIGNED",
        &["1.5"],
        DataType::Decimal128(5, 2),
        &["1.50"],
    )
    .await;
    check(
        &database,
        "FLOAT",
        &["0.1", "-3.4e38"],
        DataType::Float32,
        &["0.1", "-3.4e38"],
    )
    .await;
    check(
        &database,
        "DOUBLE",
        &["0.1", "1.7976931348623157e308", "-5e-324"],
        DataType::Float64,
        &["0.1", "1.7976931348623157e308", "-5e-324"],
    )
    .await;
}

#[tokio::test]
async fn dates_and_times() {
    let database = Database::create("times").await;
    let local = DataType::Timestamp(TimeUnit::Microsecond, None);
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    check(
        &database,
        "DATE",
        &["'0001-01-01'", "'9999-12-31'", "NULL"],
        DataType::Date32,
        &["0001-01-01", "9999-12-31", "NULL"],
    )
    .await;
    check(
        &database,
        "DATETIME",
        &["'1000-01-01'"],
        local.clone(),
        &["1000-01-01T00:00:00"],
    )
    .await;
    check(
        &database,
        "DATETIME(6)",
        &["'9999-12-31 23:59:59.999999'"],
        local,
        &["9999-12-31T23:59:59.999999"],
    )
    .await;
    check(
        &database,
        "TIMESTAMP(3) NULL",
        &["'1970-01-01 00:00:01.5'", "NULL"],
        instant,
        &["1970-01-01T00:00:01.500Z", "NULL"],
    )
    .await;
    check(
        &database,
        "TIME(6)",
        &["'23:59:59.999999'", "'00:00:00'"],
        DataType::Time64(TimeUnit::Microsecond),
        &["23:59:59.999999", "00:00:00"],
    )
    .await;
}

/// The same instant, whatever zone it was written in and the server or user prefers.
#[tokio::test]
async fn instants_do_not_depend_on_time_zones() {
    let database = Database::create("zones").await;
    database.run("CREATE TABLE t (v TIMESTAMP NULL)").await;
    let mut conn = database.connect().await;
    use mysql_async::prelude::Queryable;
    conn.query_drop("SET time_zone = '+05:30'")
        .await
        .expect("set");
    conn.query_drop("INSERT INTO t VALUES ('2024-06-01 05:30:00')")
        .await
        .expect("inserted");
    let batches = read_table(&database.connector(), &database, "t")
        .await
        .expect("read");
    assert_eq!(texts(&batches, 0), some(&["2024-06-01T00:00:00Z"]));
}

#[tokio::test]
async fn zero_dates_and_long_times_follow_the_policy() {
    let database = Database::create("zero").await;
    use mysql_async::prelude::Queryable;
    let mut conn = database.connect().await;
    conn.query_drop("SET sql_mode = 'ALLOW_INVALID_DATES'")
        .await
        .expect("set");
    for (declared, value) in [
        ("DATE", "0000-00-00"),
        ("DATE", "2024-00-00"),
        ("DATE", "2024-05-00"),
        ("DATE", "2024-02-31"),
        ("DATETIME", "0000-00-00 00:00:00"),
        ("TIMESTAMP NULL", "0000-00-00 00:00:00"),
        ("TIME", "838:59:59"),
        ("TIME", "-00:00:01"),
        ("TIME", "24:00:00"),
    ] {
        conn.query_drop("DROP TABLE IF EXISTS t")
            .await
            .expect("dropped");
        conn.query_drop(format!("CREATE TABLE t (v {declared}, n INT)"))
            .await
            .expect("created");
        conn.query_drop(format!("INSERT INTO t VALUES ('{value}', 1), (NULL, 2)"))
            .await
            .expect("inserted");
        let error = read_table(&database.connector(), &database, "t")
            .await
            .expect_err("no date");
        let ConnectorError::Value {
            column, message, ..
        } = &error
        else {
            panic!("{error:?}");
        };
        assert_eq!(column, "v");
        assert!(message.contains("zero_dates"), "{message}");

        let mut options = database.options();
        options.zero_dates = ZeroDatePolicy::Null;
        let connector = MysqlConnector::new("my", options).expect("valid options");
        let metadata = table(&connector, &database, "t").await;
        let mut filtered = request(&metadata);
        filtered.filters = vec![Expression::IsNotNull(Box::new(Expression::Column(
            owlet_connector::ColumnReference {
                index: 0,
                name: "v".to_owned(),
                data_type: metadata.columns[0].data_type.clone(),
                nullable: true,
            },
        )))];
        let plan = connector.plan_scan(&filtered).await.expect("a plan");
        assert!(
            matches!(plan.filters[0], Exactness::Unsupported(_)),
            "the server would see the zero date: {plan:?}"
        );
        let work = QueryWork::new(owlet_connector::Budget::default())
            .recorder(owlet_connector::ScanDescription::default());
        use futures::TryStreamExt;
        let batches: Vec<_> = connector
            .open(&plan, 0, support::context(Arc::clone(&work)))
            .try_collect()
            .await
            .expect("read");
        assert_eq!(texts(&batches, 0), some(&["NULL", "NULL"]));
        assert_eq!(work.snapshot().nulled_values, 1);
    }
}

#[tokio::test]
async fn text_of_all_character_sets() {
    let database = Database::create("charsets").await;
    for (charset, value) in [
        ("latin1", "Ünïcödé"),
        ("utf8mb3", "日本語"),
        ("utf8mb4", "👍🏽 ß"),
        ("utf8mb4 COLLATE utf8mb4_bin", "a "),
        ("utf8mb4 COLLATE utf8mb4_nopad_bin", "a "),
        ("ucs2", "Ω"),
        ("utf16", "👍"),
        ("cp1251", "Привет"),
        ("sjis", "日本"),
    ] {
        for declared in ["VARCHAR(20)", "TEXT"] {
            check(
                &database,
                &format!("{declared} CHARACTER SET {charset}"),
                &[&format!("'{value}'"), "''", "NULL"],
                DataType::Utf8,
                &[value, "", "NULL"],
            )
            .await;
        }
    }
    check(
        &database,
        "CHAR(5)",
        &["'ab'", "'ab  '"],
        DataType::Utf8,
        &["ab", "ab"],
    )
    .await;
    check(
        &database,
        "ENUM('b', 'ä')",
        &["'ä'", "'b'", "NULL"],
        DataType::Utf8,
        &["ä", "b", "NULL"],
    )
    .await;
    check(
        &database,
        "SET('x', 'y', 'z')",
        &["'z,x'", "''"],
        DataType::Utf8,
        &["x,z", ""],
    )
    .await;
    check(
        &database,
        "JSON",
        &["'{\"a\": [1, null]}'"],
        DataType::Utf8,
        &["{\"a\": [1, null]}"],
    )
    .await;
    check(
        &database,
        "UUID",
        &["'123E4567-E89B-12D3-A456-426655440000'"],
        DataType::Utf8,
        &["123e4567-e89b-12d3-a456-426655440000"],
    )
    .await;
    check(
        &database,
        "INET6",
        &["'2001:DB8::1'", "'::ffff:1.2.3.4'"],
        DataType::Utf8,
        &["2001:db8::1", "::ffff:1.2.3.4"],
    )
    .await;
    check(
        &database,
        "INET4",
        &["'10.0.0.1'"],
        DataType::Utf8,
        &["10.0.0.1"],
    )
    .await;
}

#[tokio::test]
async fn bytes_and_geometry() {
    let database = Database::create("bytes").await;
    check(
        &database,
        "BINARY(4)",
        &["X'61'"],
        DataType::Binary,
        &["61000000"],
    )
    .await;
    check(
        &database,
        "VARBINARY(10)",
        &["X'00FF275C'", "''", "NULL"],
        DataType::Binary,
        &["00ff275c", "", "NULL"],
    )
    .await;
    check(
        &database,
        "LONGBLOB",
        &["X'C328'"],
        DataType::Binary,
        &["c328"],
    )
    .await;
    check(
        &database,
        "POINT",
        &["ST_GeomFromText('POINT(1 2)', 4326)", "NULL"],
        DataType::Binary,
        &["0101000000000000000000f03f0000000000000040", "NULL"],
    )
    .await;
    check(
        &database,
        "GEOMETRY",
        &["ST_GeomFromText('LINESTRING(0 0, 1 1)')"],
        DataType::Binary,
        &["01020000000200000000000000000000000000000000000000000000000000f03f000000000000f03f"],
    )
    .await;
}

/// Values of many batches, and one that is larger than a protocol packet.
#[tokio::test]
async fn large_values() {
    let database = Database::create("large").await;
    database
        .run("CREATE TABLE t (id INT PRIMARY KEY, v LONGTEXT)")
        .await;
    database
        .run("INSERT INTO t SELECT seq, REPEAT('x', 12000000) FROM seq_1_to_3")
        .await;
    let batches = read_table(&database.connector(), &database, "t")
        .await
        .expect("read");
    let lengths: Vec<usize> = batches
        .iter()
        .flat_map(|batch| {
            let array = batch.column(1).as_string::<i32>();
            (0..batch.num_rows())
                .map(|row| array.value(row).len())
                .collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(lengths, [12_000_000; 3]);
}

#[tokio::test]
async fn generated_and_invisible_columns_views_and_comments() {
    let database = Database::create("columns").await;
    database
        .run(
            "CREATE TABLE `Mixed Case` (`Id` INT PRIMARY KEY COMMENT 'the key', `id2` INT INVISIBLE DEFAULT 5, \
             twice INT AS (`Id` * 2) VIRTUAL, stored INT AS (`Id` * 3) STORED) COMMENT 'orders'",
        )
        .await;
    database
        .run("INSERT INTO `Mixed Case` (`Id`) VALUES (7)")
        .await;
    database
        .run("CREATE VIEW looking AS SELECT `Id`, twice + 1 AS next FROM `Mixed Case`")
        .await;
    let connector = database.connector();
    let metadata = connector
        .table(&database.name.to_uppercase(), "mixed case")
        .await
        .expect("asked")
        .expect("names match without regard to case");
    assert_eq!(metadata.name, "Mixed Case");
    assert_eq!(metadata.comment.as_deref(), Some("orders"));
    assert_eq!(metadata.columns[0].comment.as_deref(), Some("the key"));
    assert!(!metadata.columns[0].nullable);
    assert!(metadata.columns[1].hidden);
    assert_eq!(metadata.primary_key, [0]);
    let plan = connector
        .plan_scan(&request(&metadata))
        .await
        .expect("a plan");
    let batches = read_plan(&connector, &plan, Vec::new())
        .await
        .expect("read");
    for (column, expected) in ["7", "5", "14", "21"].iter().enumerate() {
        assert_eq!(texts(&batches, column), some(&[expected]));
    }
    let batches = read_table(&connector, &database, "looking")
        .await
        .expect("read");
    assert_eq!(texts(&batches, 1), some(&["15"]));
    let kinds: Vec<_> = connector.tables(&database.name).await.expect("listed");
    assert_eq!(kinds.len(), 2);
    database.run("CREATE TABLE `mixed CASE` (a INT)").await;
    let fresh = database.connector();
    let error = fresh
        .table(&database.name, "MIXED case")
        .await
        .expect_err("two tables");
    assert!(
        matches!(error, ConnectorError::AmbiguousName { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn names_under_each_lower_case_table_names() {
    for (mode, stored) in [("0", "Orders"), ("1", "orders")] {
        let server = support::server::Server::start(&[&format!("--lower-case-table-names={mode}")]);
        let database = Database::create_at(&server.url(), "names").await;
        database.run("CREATE TABLE `Orders` (a INT)").await;
        database.run("INSERT INTO `Orders` VALUES (1)").await;
        let connector = database.connector();
        for asked in ["Orders", "orders", "ORDERS"] {
            let metadata = connector
                .table(&database.name, asked)
                .await
                .expect("asked")
                .unwrap_or_else(|| panic!("{asked} is found under {mode}"));
            assert_eq!(metadata.name, stored);
            let plan = connector
                .plan_scan(&request(&metadata))
                .await
                .expect("a plan");
            let batches = read_plan(&connector, &plan, Vec::new())
                .await
                .expect("read");
            assert_eq!(texts(&batches, 0), some(&["1"]));
        }
    }
}

/// Nothing Owlet runs can write, even for a user who may.
#[tokio::test]
async fn sessions_cannot_write() {
    let database = Database::create("readonly").await;
    database.run("CREATE TABLE log (a INT)").await;
    database
        .run("CREATE FUNCTION sneaky() RETURNS INT DETERMINISTIC MODIFIES SQL DATA BEGIN INSERT INTO log VALUES (1); RETURN 1; END")
        .await;
    database.run("CREATE VIEW v AS SELECT sneaky() AS n").await;
    let error = read_table(&database.connector(), &database, "v")
        .await
        .expect_err("read-only");
    assert!(error.to_string().contains("READ ONLY"), "{error}");
    assert_eq!(
        database.column("SELECT COUNT(*) FROM log").await,
        some(&["0"])
    );
}
