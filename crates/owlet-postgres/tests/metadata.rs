//! What the system catalogs tell: names, kinds, keys, sizes, statistics, rights.

mod support;

use arrow::datatypes::DataType;
use owlet_connector::{Connector, ConnectorError, LiteralValue, RowCount, TableKind};
use owlet_postgres::PostgresConnector;
use support::{Database, column_text, read_table, table};

#[tokio::test]
async fn schemas_and_kinds() {
    let database = Database::create("kinds").await;
    database
        .run(
            "CREATE SCHEMA sales; CREATE SCHEMA \"Weird.Schema\"; CREATE TABLE plain (a int); \
             CREATE VIEW seen AS SELECT a FROM plain; CREATE MATERIALIZED VIEW kept AS SELECT a FROM plain; \
             CREATE TABLE parts (a int) PARTITION BY RANGE (a); \
             CREATE TABLE part_1 PARTITION OF parts FOR VALUES FROM (0) TO (10); \
             CREATE EXTENSION postgres_fdw; CREATE SERVER other FOREIGN DATA WRAPPER postgres_fdw; \
             CREATE FOREIGN TABLE abroad (a int NOT NULL) SERVER other; CREATE INDEX ON plain (a); \
             CREATE SEQUENCE numbers; CREATE TEMP TABLE gone (a int)",
        )
        .await;
    let connector = database.connector();
    assert_eq!(
        connector.schemas().await.expect("schemas"),
        ["Weird.Schema", "public", "sales"]
    );
    let tables = connector.tables("public").await.expect("tables");
    let listed: Vec<_> = tables
        .iter()
        .map(|table| (table.name.as_str(), table.kind))
        .collect();
    assert_eq!(
        listed,
        [
            ("abroad", TableKind::Foreign),
            ("kept", TableKind::View),
            ("part_1", TableKind::Table),
            ("parts", TableKind::Table),
            ("plain", TableKind::Table),
            ("seen", TableKind::View),
        ]
    );
    assert_eq!(connector.tables("nowhere").await.expect("no error"), []);
    assert!(
        connector
            .table("nowhere", "plain")
            .await
            .expect("no error")
            .is_none()
    );
    assert!(
        connector
            .table("public", "nothing")
            .await
            .expect("no error")
            .is_none()
    );
    // The promise of a foreign table is not kept by this server.
    assert!(table(&connector, "abroad").await.columns[0].nullable);
    let catalog = connector
        .table("pg_catalog", "pg_class")
        .await
        .expect("readable")
        .expect("there");
    assert!(!catalog.columns.is_empty());
    assert!(
        !connector
            .tables("information_schema")
            .await
            .expect("tables")
            .is_empty()
    );
}

#[tokio::test]
async fn names_with_everything_in_them() {
    let database = Database::create("names").await;
    database
        .run(
            "CREATE TABLE \"Odd \"\"Table\"\".x; --\" (\"Mixed\" int, \"mixed\" int, \"MIXED\" int, \"with space\" int, \
             \"quote\"\"d\" int, \"dot.ted\" int, \"ünï\" int, \"select\" int, \"$1\" int); \
             INSERT INTO \"Odd \"\"Table\"\".x; --\" VALUES (1, 2, 3, 4, 5, 6, 7, 8, 9)",
        )
        .await;
    let connector = database.connector();
    let metadata = table(&connector, "Odd \"Table\".x; --").await;
    let names: Vec<_> = metadata
        .columns
        .iter()
        .map(|column| column.name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "mixed",
            "mixed_2",
            "mixed_3",
            "with space",
            "quote\"d",
            "dot.ted",
            "ünï",
            "select",
            "$1"
        ]
    );
    let batches = read_table(&connector, "Odd \"Table\".x; --")
        .await
        .expect("rows");
    for position in 0..9 {
        assert_eq!(
            column_text(&batches, position),
            [Some((position + 1).to_string())]
        );
    }
}

#[tokio::test]
async fn case_is_ignored_only_where_that_is_unambiguous() {
    let database = Database::create("case").await;
    database
        .run(
            "CREATE SCHEMA \"Sales\"; CREATE TABLE \"Sales\".\"Orders\" (a int); CREATE TABLE \"One\" (a int); \
             CREATE TABLE \"one\" (b int); CREATE TABLE \"Two\" (a int); CREATE TABLE \"TWO\" (a int); \
             CREATE SCHEMA \"DOUBLE\"; CREATE SCHEMA double; CREATE TABLE \"DOUBLE\".x (a int); \
             CREATE TABLE public.\"Ärger\" (a int)",
        )
        .await;
    let connector = database.connector();
    let find = async |schema: &str, name: &str| connector.table(schema, name).await;
    let found = find("sales", "orders")
        .await
        .expect("found")
        .expect("there");
    assert_eq!(
        (found.schema.as_str(), found.name.as_str()),
        ("Sales", "Orders")
    );
    assert_eq!(
        find("public", "one")
            .await
            .expect("exact")
            .expect("there")
            .columns[0]
            .name,
        "b"
    );
    assert_eq!(
        find("public", "One")
            .await
            .expect("exact")
            .expect("there")
            .columns[0]
            .name,
        "a"
    );
    assert_eq!(
        find("PUBLIC", "ärger")
            .await
            .expect("found")
            .expect("there")
            .name,
        "Ärger"
    );
    let error = find("public", "two").await.expect_err("ambiguous");
    assert!(
        matches!(&error, ConnectorError::AmbiguousName { candidates, .. } if candidates.contains("TWO")),
        "{error}"
    );
    assert!(
        find("Double", "x")
            .await
            .expect("only one has it")
            .is_some()
    );
    assert!(connector.tables("Double").await.is_err());
}

#[tokio::test]
async fn keys_nullability_comments_and_native_types() {
    let database = Database::create("keys").await;
    database
        .run(
            "CREATE TABLE t (note text, b int, a bigint NOT NULL, price numeric(12,2) NOT NULL, code char(3), \
             PRIMARY KEY (b, a)); COMMENT ON TABLE t IS 'the table'; COMMENT ON COLUMN t.note IS 'a note'; \
             ALTER TABLE t ADD dropped int; ALTER TABLE t DROP dropped; \
             CREATE TABLE base (a int); CREATE TABLE child () INHERITS (base); \
             ALTER TABLE ONLY base ALTER a SET NOT NULL; CREATE VIEW v AS SELECT * FROM t",
        )
        .await;
    let connector = database.connector();
    let metadata = table(&connector, "t").await;
    assert_eq!(metadata.primary_key, [1, 2]);
    assert_eq!(metadata.comment.as_deref(), Some("the table"));
    assert_eq!(metadata.columns[0].comment.as_deref(), Some("a note"));
    let nullable: Vec<_> = metadata
        .columns
        .iter()
        .map(|column| column.nullable)
        .collect();
    assert_eq!(nullable, [true, false, false, false, true]);
    let native: Vec<_> = metadata
        .columns
        .iter()
        .map(|column| column.native_type.as_str())
        .collect();
    assert_eq!(
        native,
        ["text", "integer", "bigint", "numeric(12,2)", "character(3)"]
    );
    assert!(
        table(&connector, "base").await.columns[0].nullable,
        "a child may hold NULL"
    );
    assert!(
        table(&connector, "v")
            .await
            .columns
            .iter()
            .all(|column| column.nullable)
    );
}

#[tokio::test]
async fn collations() {
    let database = Database::create_with(
        "collations",
        "TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8'",
    )
    .await;
    database
        .run(
            "CREATE COLLATION lax (provider = icu, locale = 'und-u-ks-level2', deterministic = false); \
             CREATE EXTENSION citext; \
             CREATE TABLE t (standard text, binary_c text COLLATE \"C\", lax text COLLATE lax, folded citext, \
             icu varchar(3) COLLATE \"en-x-icu\", n int, posix text COLLATE \"POSIX\")",
        )
        .await;
    let metadata = table(&database.connector(), "t").await;
    let facts: Vec<_> = metadata
        .columns
        .iter()
        .map(|column| {
            column
                .collation
                .as_ref()
                .map(|collation| (collation.binary_equality, collation.binary_ordering))
        })
        .collect();
    assert_eq!(
        facts,
        [
            Some((true, false)),
            Some((true, true)),
            Some((false, false)),
            Some((false, false)),
            Some((true, false)),
            None,
            Some((true, true)),
        ]
    );
    assert_eq!(
        metadata.columns[0].collation.as_ref().expect("text").name,
        "C.UTF-8"
    );
    let plain = Database::create_with(
        "plain_c",
        "TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'",
    )
    .await;
    plain.run("CREATE TABLE t (standard text)").await;
    let metadata = table(&plain.connector(), "t").await;
    let collation = metadata.columns[0].collation.as_ref().expect("text");
    assert_eq!(
        (collation.name.as_str(), collation.binary_ordering),
        ("C", true)
    );
}

#[tokio::test]
async fn sizes_and_statistics() {
    let database = Database::create("statistics").await;
    database
        .run(
            "CREATE TABLE t (id int PRIMARY KEY, color text, day date, empty int); \
             INSERT INTO t SELECT i, 'color ' || i % 4, date '2020-01-01' + i % 100, \
             CASE WHEN i % 2 = 0 THEN i END FROM generate_series(1, 10000) AS i; \
             CREATE TABLE fresh (a int) WITH (autovacuum_enabled = off); INSERT INTO fresh VALUES (1); \
             CREATE TABLE parts (a int) PARTITION BY RANGE (a); \
             CREATE TABLE part_1 PARTITION OF parts FOR VALUES FROM (0) TO (100); \
             CREATE TABLE part_2 PARTITION OF parts FOR VALUES FROM (100) TO (1000); \
             INSERT INTO parts SELECT generate_series(0, 499); ANALYZE t; ANALYZE parts; \
             CREATE TABLE fresh_parts (a int) PARTITION BY RANGE (a); \
             CREATE TABLE fresh_1 PARTITION OF fresh_parts FOR VALUES FROM (0) TO (100) \
             WITH (autovacuum_enabled = off); \
             CREATE TABLE fresh_2 PARTITION OF fresh_parts FOR VALUES FROM (100) TO (200); \
             INSERT INTO fresh_parts SELECT generate_series(95, 109); ANALYZE fresh_2; \
             CREATE TABLE nothing (a int)",
        )
        .await;
    let connector = database.connector();
    let metadata = table(&connector, "t").await;
    assert_eq!(metadata.rows, RowCount::Estimated(10000));
    assert!(metadata.bytes.is_some_and(|bytes| bytes > 8192));
    let [id, color, day, empty] = metadata.columns.as_slice() else {
        panic!("four columns")
    };
    assert_eq!(id.statistics.distinct, Some(10000));
    assert_eq!(
        id.statistics.minimum.as_ref().map(|literal| &literal.value),
        Some(&LiteralValue::Integer(1))
    );
    assert_eq!(
        id.statistics.maximum.as_ref().map(|literal| &literal.value),
        Some(&LiteralValue::Integer(10000))
    );
    assert_eq!(color.statistics.distinct, Some(4));
    assert!(color.statistics.minimum.is_none());
    assert!(color.statistics.width.is_some_and(|width| width >= 7));
    assert_eq!(
        day.statistics
            .minimum
            .as_ref()
            .map(|literal| &literal.data_type),
        Some(&DataType::Date32)
    );
    assert!(
        empty
            .statistics
            .null_fraction
            .is_some_and(|share| (share - 0.5).abs() < 0.01)
    );
    // One page of rows that nobody has counted; four bytes a value.
    assert_eq!(
        table(&connector, "fresh").await.rows,
        RowCount::Estimated(226)
    );
    assert_eq!(
        table(&connector, "fresh_parts").await.rows,
        RowCount::Estimated(226 + 10)
    );
    assert_eq!(
        table(&connector, "nothing").await.rows,
        RowCount::Estimated(0)
    );
    assert_eq!(
        table(&connector, "parts").await.rows,
        RowCount::Estimated(500)
    );
    assert!(
        table(&connector, "parts").await.columns[0]
            .statistics
            .distinct
            .is_some()
    );
}

#[tokio::test]
async fn rights() {
    let database = Database::create("rights").await;
    let role = format!("{}_reader", database.name);
    database
        .run(&format!(
            "CREATE SCHEMA hidden; CREATE TABLE hidden.t (a int); CREATE TABLE open (a int); \
             CREATE TABLE closed (a int); CREATE TABLE half (a int, b int); \
             CREATE ROLE {role} LOGIN PASSWORD 'secret'; GRANT SELECT ON open TO {role}; \
             GRANT SELECT (a) ON half TO {role}; INSERT INTO open VALUES (1)"
        ))
        .await;
    let url = database
        .url()
        .replace("owlet:owlet@", &format!("{role}:secret@"));
    let connector =
        PostgresConnector::new("pg", owlet_postgres::PostgresOptions::new(&url)).expect("options");
    assert_eq!(connector.schemas().await.expect("schemas"), ["public"]);
    assert_eq!(
        support::row_count(&read_table(&connector, "open").await.expect("allowed")),
        1
    );
    let error = read_table(&connector, "closed").await.expect_err("refused");
    assert!(
        matches!(&error, ConnectorError::PermissionDenied { object, .. } if object == "public.closed"),
        "{error}"
    );
    assert!(matches!(
        read_table(&connector, "half").await,
        Err(ConnectorError::PermissionDenied { .. })
    ));
    let metadata = table(&connector, "half").await;
    let mut only_a = support::request(&metadata);
    only_a.projection = vec![0];
    let plan = connector.plan_scan(&only_a).await.expect("planned");
    support::read_plan(&connector, &plan, &support::context())
        .await
        .expect("the granted column");

    let health = connector.health().await;
    assert!(
        health.healthy && health.rights == "read-only" && health.problem.is_empty(),
        "{health:?}"
    );
    assert!(
        health.version.contains('.') && health.latency.is_some(),
        "{health:?}"
    );
    let health = database.connector().health().await;
    assert!(
        health.healthy && health.rights == "superuser" && !health.fix.is_empty(),
        "{health:?}"
    );

    let wrong = PostgresConnector::new(
        "pg",
        owlet_postgres::PostgresOptions::new(url.replace("secret", "guess")),
    )
    .expect("options");
    let error = wrong.schemas().await.expect_err("wrong password");
    assert!(
        matches!(&error, ConnectorError::Authentication { .. }),
        "{error}"
    );
    assert!(!error.to_string().contains("guess"));
    assert!(!wrong.health().await.healthy);
    drop(connector);
    database
        .run(&format!("DROP OWNED BY {role}; DROP ROLE {role}"))
        .await;
}

#[tokio::test]
async fn a_changed_table_is_noticed() {
    let database = Database::create("changes").await;
    database
        .run("CREATE TABLE t (a int); INSERT INTO t VALUES (1)")
        .await;
    let connector = database.connector();
    let metadata = table(&connector, "t").await;
    let plan = connector
        .plan_scan(&support::request(&metadata))
        .await
        .expect("planned");
    let read = async || support::read_plan(&connector, &plan, &support::context()).await;
    database.run("ALTER TABLE t ALTER a TYPE float8").await;
    let error = read().await.expect_err("changed type");
    assert!(
        error
            .to_string()
            .contains("changed between planning and reading"),
        "{error}"
    );
    assert_eq!(
        table(&connector, "t").await.columns[0].data_type,
        DataType::Float64,
        "metadata is read again"
    );
    database.run("ALTER TABLE t RENAME a TO b").await;
    let error = read().await.expect_err("no such column");
    assert!(
        matches!(&error, ConnectorError::Source { code: Some(code), .. } if code == "42703"),
        "{error}"
    );
    database.run("DROP TABLE t").await;
    let error = read().await.expect_err("no such table");
    assert!(
        matches!(&error, ConnectorError::TableNotFound { table, .. } if table == "public.t"),
        "{error}"
    );
}

#[tokio::test]
async fn sessions_are_read_only_and_reused() {
    let database = Database::create("sessions").await;
    database
        .run("CREATE VIEW settings AS SELECT name::text, setting FROM pg_settings")
        .await;
    let mut options = database.options();
    options.statement_timeout = Some(std::time::Duration::from_millis(123_456));
    options.application_name = "owlet test".to_owned();
    let connector = PostgresConnector::new("pg", options).expect("options");
    let batches = read_table(&connector, "settings").await.expect("rows");
    let settings: std::collections::HashMap<_, _> = column_text(&batches, 0)
        .into_iter()
        .zip(column_text(&batches, 1))
        .collect();
    let setting = |name: &str| settings[&Some(name.to_owned())].clone().unwrap_or_default();
    assert_eq!(setting("default_transaction_read_only"), "on");
    assert_eq!(setting("transaction_read_only"), "on");
    assert_eq!(setting("TimeZone"), "UTC");
    assert_eq!(setting("DateStyle"), "ISO, MDY");
    assert_eq!(setting("IntervalStyle"), "postgres");
    assert_eq!(setting("statement_timeout"), "123456");
    assert_eq!(setting("client_encoding"), "UTF8");
    assert_eq!(setting("search_path"), "pg_catalog");
    assert_eq!(setting("application_name"), "owlet test");
    for _ in 0..5 {
        read_table(&connector, "settings").await.expect("rows");
    }
    let count = database
        .text(&format!(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = '{}' AND application_name = 'owlet test'",
            database.name
        ))
        .await;
    assert_eq!(
        count.as_deref(),
        Some("1"),
        "one connection serves one query after another"
    );
}
