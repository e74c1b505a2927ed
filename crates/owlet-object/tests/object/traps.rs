//! What goes wrong with files: late values, damage, duplicates, links, mixed folders, files that vanish.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use datafusion::physical_plan::displayable;
use owlet_connector::{Connector, ConnectorError, RowCount, TableSummary};
use owlet_object::{CsvOptions, ObjectConnector, ObjectOptions};

use crate::common::{Fixture, rows, text};

fn numbers(name: &str, values: std::ops::Range<i32>) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int32Array::from_iter_values(values));
    RecordBatch::try_from_iter([(name, column)]).unwrap()
}

async fn names(connector: &ObjectConnector) -> Vec<String> {
    connector
        .tables("default")
        .await
        .unwrap()
        .into_iter()
        .map(|TableSummary { name, .. }| name)
        .collect()
}

#[tokio::test]
async fn a_late_value_of_another_type_is_an_error_with_file_line_and_column() {
    let fixture = Fixture::new();
    let mut csv = "id,amount\n".to_owned();
    for n in 0..30_000 {
        csv += &format!("{n},{n}\n");
    }
    csv += "30000,n/a\n";
    let path = fixture.write("late.csv", &csv);
    let connector = fixture.connector();
    let failure = fixture
        .query(&connector, "late", "SELECT sum(amount) FROM t")
        .await
        .unwrap_err();
    let message = failure.message();
    assert!(
        message.contains(&format!(
            "{} line 30002, column amount: 'n/a' is not a bigint",
            text(&path)
        )),
        "{message}"
    );
    assert!(message.contains("csv types"), "{message}");
    // A query that does not need the column is answered.
    assert_eq!(
        fixture
            .query(&connector, "late", "SELECT count(id) AS n FROM t")
            .await
            .unwrap(),
        "n\n30001"
    );
    // Reading enough rows finds the type.
    let connector = fixture.connector_with(ObjectOptions {
        infer_rows: Some(100_000),
        ..ObjectOptions::default()
    });
    assert_eq!(
        fixture
            .query(&connector, "late", "SELECT max(amount) AS m FROM t")
            .await
            .unwrap(),
        "m\nn/a"
    );
}

#[tokio::test]
async fn a_late_value_in_a_part_of_a_file_still_has_its_line() {
    let fixture = Fixture::new();
    let rows = |bad: usize, row: fn(usize) -> String, wrong: &str| -> String {
        (0..50_000)
            .map(|n| if n == bad { wrong.to_owned() } else { row(n) })
            .collect()
    };
    fixture.write(
        "a.csv",
        format!("id\n{}", rows(40_000, |n| format!("{n}\n"), "wrong\n")),
    );
    fixture.write(
        "b.json",
        rows(
            40_000,
            |n| format!("{{\"id\":{n}}}\n"),
            "{\"id\":\"wrong\"}\n",
        ),
    );
    let csv = CsvOptions {
        newlines_in_values: Some(false),
        ..CsvOptions::default()
    };
    let connector = fixture.connector_with(ObjectOptions {
        csv,
        ..ObjectOptions::default()
    });
    fixture
        .session
        .state_ref()
        .write()
        .config_mut()
        .options_mut()
        .optimizer
        .repartition_file_min_size = 1;
    for (table, line) in [("a", "a.csv line 40002"), ("b", "b.json line 40001")] {
        let failure = fixture
            .query(&connector, table, "SELECT sum(id) FROM t")
            .await
            .unwrap_err();
        assert!(failure.message().contains(line), "{}", failure.message());
    }
}

#[tokio::test]
async fn damaged_and_empty_files_say_which_file() {
    let fixture = Fixture::new();
    let parquet =
        std::fs::read(fixture.write_parquet("good.parquet", &numbers("a", 0..500))).unwrap();
    fixture.write("cut.parquet", &parquet[..parquet.len() - 100]);
    fixture.write("text.parquet", "this is no parquet file at all");
    fixture.write("empty.parquet", "");
    fixture.write("empty.csv", "");
    fixture.write("empty.json", "\n \n");
    fixture.write("cut.json", "{\"a\":1}\n{\"a\":");
    fixture.write("cut_array.json", "[{\"a\":1},{\"a\":2}");
    fixture.write("scalars.json", "1\n2\n");
    fixture.write("open.csv", "a,b\n1,\"2\n3,4\n");
    fixture.write("ragged.csv", "a,b\n1,2\n1,2,3\n");
    fixture.write("latin.csv", b"a,b\n1,M\xFCnchen\n");
    fixture.write("utf16.csv", b"\xFF\xFEa\0,\0b\0\n\0");
    fixture.write("cut.csv.gz", [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3, 0x4B]);
    fixture.write("packed.parquet.gz", "x");
    fixture.write("wrong.avro", "no avro");
    fixture.write("wrong.arrow", "no arrow");
    let connector = fixture.connector();
    for (table, wanted) in [
        ("cut.parquet", "cut.parquet cannot be read"),
        ("text", "text.parquet cannot be read"),
        ("empty.parquet", "empty.parquet cannot be read: it is empty"),
        (
            "empty.csv",
            "empty.csv cannot be read: there is not even a header",
        ),
        ("empty.json", "empty.json cannot be read: there is no row"),
        ("cut.json", "cut.json line 2"),
        ("cut_array", "cut_array.json: the JSON array is cut off"),
        ("scalars", "scalars.json line 1: a row must be an object"),
        ("open", "open.csv line 2: a quoted field"),
        (
            "ragged",
            "ragged.csv line 3: the record has 3 fields where the first one has 2",
        ),
        (
            "latin",
            "latin.csv line 2, column b: the value is not UTF-8",
        ),
        ("utf16", "utf16.csv line 1: the file is written in UTF-16"),
        ("cut.csv.gz", "cut.csv.gz cannot be read"),
        ("packed", "packed Parquet file"),
        ("wrong.avro", "wrong.avro cannot be read"),
        ("wrong.arrow", "wrong.arrow cannot be read"),
    ] {
        let failure = fixture
            .query(&connector, table, "SELECT * FROM t")
            .await
            .unwrap_err();
        assert!(
            failure.message().contains(wanted),
            "{table}: {}",
            failure.message()
        );
    }
    // All of them are listed, and one bad file does not hide the others.
    let described = connector.describe_schema("default").await.unwrap();
    assert_eq!(described.len(), 17);
    assert_eq!(
        described
            .iter()
            .filter(|table| table.columns.is_empty())
            .count(),
        14
    );
    let good = described.iter().find(|table| table.name == "good").unwrap();
    assert_eq!(good.rows, RowCount::Exact(500));
}

#[tokio::test]
async fn a_file_with_only_a_header_has_columns_and_no_rows() {
    let fixture = Fixture::new();
    fixture.write("head.csv", "Id,Name\n");
    let connector = fixture.connector();
    assert_eq!(
        fixture
            .query(
                &connector,
                "head",
                "SELECT count(*) AS n, max(name) AS m FROM t"
            )
            .await
            .unwrap(),
        "n|m\n0|"
    );
    let all = fixture
        .query(&connector, "head", "SELECT id, name FROM t")
        .await
        .unwrap();
    assert!(all.lines().count() <= 1, "{all}");
}

#[tokio::test]
async fn names_of_tables() {
    let fixture = Fixture::new();
    fixture.write("orders.csv", "a\n1\n");
    fixture.write("orders.json", "{\"a\":2}\n");
    fixture.write("Mixed Case.csv.gz", b"");
    fixture.write("events/1.csv", "a\n3\n");
    fixture.write("events/2.csv", "a\n4\n");
    fixture.write("events/_SUCCESS", "");
    fixture.write("events/.part.crc", "x");
    fixture.write("_hidden.csv", "a\n1\n");
    fixture.write(".hidden.csv", "a\n1\n");
    fixture.write("README.md", "hello");
    fixture.write("weird #%ü&= name.csv", "a\n5\n");
    let connector = fixture.connector();
    assert_eq!(
        names(&connector).await,
        [
            "Mixed Case",
            "events",
            "orders.csv",
            "orders.json",
            "weird #%ü&= name"
        ]
    );
    let ambiguous = fixture
        .query(&connector, "orders", "SELECT a FROM t")
        .await
        .unwrap_err();
    assert!(
        ambiguous
            .message()
            .contains("\"orders.csv\", \"orders.json\""),
        "{}",
        ambiguous.message()
    );
    assert_eq!(
        fixture
            .query(&connector, "orders.json", "SELECT a FROM t")
            .await
            .unwrap(),
        "a\n2"
    );
    assert_eq!(
        fixture
            .query(&connector, "EVENTS", "SELECT sum(a) AS s FROM t")
            .await
            .unwrap(),
        "s\n7"
    );
    assert_eq!(
        fixture
            .query(&connector, "weird #%ü&= name", "SELECT a FROM t")
            .await
            .unwrap(),
        "a\n5"
    );
    assert!(
        connector
            .table("default", "nothing")
            .await
            .unwrap()
            .is_none()
    );
    assert!(connector.table("other", "events").await.unwrap().is_none());
    for outside in ["../x", "/etc/passwd", "events/1.csv", ".."] {
        let refused = connector.table("default", outside).await;
        assert!(
            matches!(refused, Err(ConnectorError::Configuration { .. })),
            "{outside}"
        );
    }
}

#[cfg(unix)]
#[tokio::test]
async fn links_must_stay_inside() {
    let fixture = Fixture::new();
    let outside = Fixture::new();
    let secret = outside.write("secret.csv", "a\n1\n");
    fixture.write("folder/inside.csv", "a\n2\n");
    std::os::unix::fs::symlink(&secret, fixture.path("leak.csv")).unwrap();
    std::os::unix::fs::symlink(outside.folder.path(), fixture.path("leaks")).unwrap();
    std::os::unix::fs::symlink(fixture.path("folder/inside.csv"), fixture.path("fine.csv"))
        .unwrap();
    let connector = fixture.connector();
    for table in ["leak", "leaks"] {
        let failure = fixture
            .query(&connector, table, "SELECT a FROM t")
            .await
            .unwrap_err();
        assert!(
            failure.message().contains("leads outside"),
            "{}",
            failure.message()
        );
    }
    assert_eq!(
        fixture
            .query(&connector, "fine", "SELECT a FROM t")
            .await
            .unwrap(),
        "a\n2"
    );
}

#[tokio::test]
async fn partitions_become_columns_and_prune() {
    let fixture = Fixture::new();
    for (folder, value) in [
        ("Year=2023/month=01/dt=2023-01-05", 1),
        ("Year=2024/month=01/dt=2024-01-05", 2),
        ("Year=2024/month=12/dt=2024-12-31", 3),
        ("Year=__HIVE_DEFAULT_PARTITION__/month=02/dt=2024-02-01", 4),
    ] {
        fixture.write_parquet(
            &format!("sales/{folder}/x.parquet"),
            &numbers("V", value..value + 1),
        );
    }
    let connector = fixture.connector();
    let metadata = connector.table("default", "sales").await.unwrap().unwrap();
    let columns: Vec<String> = metadata
        .columns
        .iter()
        .map(|column| format!("{} {}", column.name, column.native_type))
        .collect();
    assert_eq!(
        columns,
        ["v integer", "year bigint", "month bigint", "dt date"]
    );
    for (condition, answer) in [
        ("year = 2024 AND month = 1", "2"),
        ("month = 12", "3"),
        ("dt >= DATE '2024-01-05' AND dt < DATE '2024-03-01'", "2,4"),
        ("year IS NULL", "4"),
        ("year IS NULL OR v = 1", "1,4"),
        ("year + month = 2025", "2"),
        ("year <> 2024", "1"),
        ("v >= 3", "3,4"),
    ] {
        let sql = format!(
            "SELECT string_agg(CAST(v AS varchar), ',' ORDER BY v) AS vs FROM t WHERE {condition}"
        );
        assert_eq!(
            fixture.query(&connector, "sales", &sql).await.unwrap(),
            format!("vs\n{answer}"),
            "{condition}"
        );
    }
    let provider = connector
        .table_provider(&fixture.session.state(), "sales")
        .await
        .unwrap()
        .unwrap();
    let sql = "SELECT count(*) AS n, min(year) AS y, max(dt) AS d, count(year) AS years FROM t WHERE month IN (1, 2)";
    let (plan, batches) = fixture.execute(provider, sql).await.unwrap();
    assert_eq!(rows(&batches), "n|y|d|years\n3|2023|2024-02-01|2");
    let shown = displayable(plan.as_ref()).indent(true).to_string();
    assert!(
        !shown.contains("month=12") && !shown.contains("FilterExec"),
        "{shown}"
    );
    let all = fixture
        .query(
            &connector,
            "sales",
            "SELECT year, v, month FROM t ORDER BY v",
        )
        .await
        .unwrap();
    assert_eq!(all, "year|v|month\n2023|1|1\n2024|2|1\n2024|3|12\n|4|2");

    fixture.write("mixed/a=1/x.csv", "v\n1\n");
    fixture.write("mixed/b=1/x.csv", "v\n1\n");
    let failure = fixture
        .query(&connector, "mixed", "SELECT * FROM t")
        .await
        .unwrap_err();
    assert!(
        failure
            .message()
            .contains("files disagree on partition folders"),
        "{}",
        failure.message()
    );
}

#[tokio::test]
async fn a_column_that_is_also_a_partition_comes_from_the_path() {
    let fixture = Fixture::new();
    fixture.write("t/day=2024-01-01/x.csv", "v,Day\n1,wrong\n");
    fixture.write_parquet("p/v=7/x.parquet", &numbers("V", 0..2));
    let connector = fixture.connector();
    assert_eq!(
        fixture
            .query(&connector, "t", "SELECT * FROM t")
            .await
            .unwrap(),
        "v|day\n1|2024-01-01"
    );
    assert_eq!(
        fixture
            .query(&connector, "p", "SELECT v FROM t WHERE v = 7")
            .await
            .unwrap(),
        "v\n7\n7"
    );
}

#[tokio::test]
async fn folders_of_different_files_merge_by_name() {
    let fixture = Fixture::new();
    fixture.write_parquet("p/1.parquet", &numbers("a", 0..3));
    let wide = RecordBatch::try_from_iter([
        ("b", Arc::new(StringArray::from(vec!["x", "y"])) as ArrayRef),
        (
            "a",
            Arc::new(Int64Array::from(vec![5_000_000_000, 1])) as ArrayRef,
        ),
    ])
    .unwrap();
    fixture.write_parquet("p/2.parquet", &wide);
    fixture.write("c/1.csv", "a,b\n1,x\n");
    fixture.write("c/2.csv", "b,a,c\ny,2.5,new\n");
    fixture.write("c/3.csv", "");
    fixture.write("j/1.json", "{\"a\":1}");
    fixture.write("j/2.json", "{\"b\":[1],\"a\":2.5}");
    let connector = fixture.connector();
    let answer = fixture
        .query(&connector, "p", "SELECT a, b FROM t ORDER BY a, b")
        .await
        .unwrap();
    assert_eq!(answer, "a|b\n0|\n1|y\n1|\n2|\n5000000000|x");
    let pushed = fixture
        .query(&connector, "p", "SELECT b FROM t WHERE a > 4000000000")
        .await
        .unwrap();
    assert_eq!(pushed, "b\nx");
    assert_eq!(
        fixture
            .query(&connector, "p", "SELECT max(a) AS m, count(b) AS n FROM t")
            .await
            .unwrap(),
        "m|n\n5000000000|2"
    );
    let answer = fixture
        .query(&connector, "c", "SELECT a, b, c FROM t ORDER BY a")
        .await
        .unwrap();
    assert_eq!(answer, "a|b|c\n1.0|x|\n2.5|y|new");
    let answer = fixture
        .query(&connector, "j", "SELECT a, b FROM t ORDER BY a")
        .await
        .unwrap();
    assert_eq!(answer, "a|b\n1.0|\n2.5|[1]");

    fixture.write_parquet("conflict/1.parquet", &numbers("a", 0..3));
    let texts =
        RecordBatch::try_from_iter([("a", Arc::new(StringArray::from(vec!["x"])) as ArrayRef)])
            .unwrap();
    fixture.write_parquet("conflict/2.parquet", &texts);
    let failure = fixture
        .query(&connector, "conflict", "SELECT * FROM t")
        .await
        .unwrap_err();
    assert!(
        failure.message().contains("1.parquet but"),
        "{}",
        failure.message()
    );
    fixture.write("formats/1.csv", "a\n1\n");
    fixture.write("formats/2.json", "{}");
    let failure = fixture
        .query(&connector, "formats", "SELECT * FROM t")
        .await
        .unwrap_err();
    assert!(
        failure.message().contains("mixes formats"),
        "{}",
        failure.message()
    );
    std::fs::create_dir(fixture.path("nothing")).unwrap();
    let failure = fixture
        .query(&connector, "nothing", "SELECT * FROM t")
        .await;
    assert!(failure.is_err() || !names(&connector).await.contains(&"nothing".to_owned()));
}

#[tokio::test]
async fn equal_names_get_a_suffix() {
    let fixture = Fixture::new();
    fixture.write("d.csv", "a,A,a,\n1,2,3,4\n");
    fixture.write("e.json", "{\"Id\":1,\"id\":2}\n");
    let batch = RecordBatch::try_from_iter([
        ("Id", Arc::new(Int64Array::from(vec![1])) as ArrayRef),
        ("id", Arc::new(Int64Array::from(vec![2])) as ArrayRef),
    ])
    .unwrap();
    fixture.write_parquet("p.parquet", &batch);
    let connector = fixture.connector();
    assert_eq!(
        fixture
            .query(&connector, "d", "SELECT * FROM t")
            .await
            .unwrap(),
        "a|a_2|a_3|column_4\n1|2|3|4"
    );
    for table in ["e", "p"] {
        assert_eq!(
            fixture
                .query(&connector, table, "SELECT * FROM t")
                .await
                .unwrap(),
            "id|id_2\n1|2",
            "{table}"
        );
        let filtered = fixture
            .query(&connector, table, "SELECT id FROM t WHERE id_2 = 2")
            .await
            .unwrap();
        assert_eq!(filtered, "id\n1", "{table}");
    }
}

#[tokio::test]
async fn files_that_vanish_or_change_after_planning() {
    let fixture = Fixture::new();
    let connector = fixture.connector();
    for (name, content) in [("a.csv", "a\n1\n"), ("b.json", "{\"a\":1}")] {
        let path = fixture.write(name, content);
        let table = &name[..1];
        let provider = connector
            .table_provider(&fixture.session.state(), table)
            .await
            .unwrap()
            .unwrap();
        fixture.write(name, content.replace('1', "12"));
        let failure = fixture
            .run(Arc::clone(&provider), "SELECT a FROM t")
            .await
            .unwrap_err();
        assert!(
            failure
                .message()
                .contains("was changed after the query was planned"),
            "{}",
            failure.message()
        );
        std::fs::remove_file(&path).unwrap();
        let failure = fixture.run(provider, "SELECT a FROM t").await.unwrap_err();
        assert!(
            failure.message().contains("does not exist"),
            "{}",
            failure.message()
        );
    }
    let path = fixture.write_parquet("p.parquet", &numbers("a", 0..3));
    let provider = connector
        .table_provider(&fixture.session.state(), "p")
        .await
        .unwrap()
        .unwrap();
    std::fs::remove_file(path).unwrap();
    assert!(fixture.run(provider, "SELECT a + 1 FROM t").await.is_err());
    // A changed file is looked into again.
    fixture.write("c.csv", "a\n1\n");
    assert_eq!(
        fixture
            .query(&connector, "c", "SELECT a FROM t")
            .await
            .unwrap(),
        "a\n1"
    );
    fixture.write("c.csv", "a,b\nx,22\n");
    assert_eq!(
        fixture
            .query(&connector, "c", "SELECT * FROM t")
            .await
            .unwrap(),
        "a|b\nx|22"
    );
}

#[tokio::test]
async fn paths_globs_and_folders() {
    let fixture = Fixture::new();
    fixture.write("data/year=2024/a.csv", "v\n1\n");
    fixture.write("data/year=2025/b.csv", "v\n2\n");
    fixture.write("data/year=2025/c.json", "{\"v\":3}");
    fixture.write("data/year=2025/_d.csv", "v\n4\n");
    fixture.write("odd[1].csv", "v\n5\n");
    let base = fixture.folder.path().display().to_string();
    let query =
        async |path: &str, sql: &str| fixture.query_path(&path.replace('~', &base), sql).await;
    assert_eq!(
        query("~/data/**/*.csv", "SELECT sum(v) AS s FROM t")
            .await
            .unwrap(),
        "s\n3"
    );
    assert_eq!(
        query("~/data/*/*.csv", "SELECT v, year FROM t ORDER BY v")
            .await
            .unwrap(),
        "v|year\n1|2024\n2|2025"
    );
    assert_eq!(
        query("~/data/year=2024", "SELECT v, year FROM t")
            .await
            .unwrap(),
        "v|year\n1|2024"
    );
    assert_eq!(
        query("~/data/year=2025/c.json", "SELECT v, year FROM t")
            .await
            .unwrap(),
        "v|year\n3|2025"
    );
    assert_eq!(
        query("file://~/data/year=2024/", "SELECT v FROM t")
            .await
            .unwrap(),
        "v\n1"
    );
    assert_eq!(
        query("~/data/year=2025/_d.csv", "SELECT v FROM t")
            .await
            .unwrap(),
        "v\n4"
    );
    assert_eq!(
        query("~/data/year=2025/_*.csv", "SELECT v FROM t")
            .await
            .unwrap(),
        "v\n4"
    );
    assert_eq!(
        query("~/odd[1].csv", "SELECT v FROM t").await.unwrap(),
        "v\n5"
    );
    for (path, wanted) in [
        ("~/nothing/*.csv", "no file matches"),
        ("~/nothing.csv", "does not exist"),
        ("~/data/**/*", "mixes formats"),
        ("~/data/[", "pattern"),
        ("ftp://x/y.csv", "ftp"),
    ] {
        let failure = query(path, "SELECT * FROM t").await.unwrap_err();
        assert!(
            failure.message().contains(wanted),
            "{path}: {}",
            failure.message()
        );
    }
}

#[tokio::test]
async fn limits_and_empty_projections() {
    let fixture = Fixture::new();
    fixture.write("c.csv", "a,b\n".to_owned() + &"1,2\n".repeat(5000));
    fixture.write_parquet("p.parquet", &numbers("a", 0..5000));
    let connector = fixture.connector();
    for table in ["c", "p"] {
        assert_eq!(
            fixture
                .query(&connector, table, "SELECT count(*) AS n FROM t")
                .await
                .unwrap(),
            "n\n5000"
        );
        let limited = "SELECT count(*) AS n FROM (SELECT a FROM t LIMIT 7)";
        assert_eq!(
            fixture.query(&connector, table, limited).await.unwrap(),
            "n\n7"
        );
        let filtered = "SELECT count(*) AS n FROM (SELECT a FROM t WHERE a >= 1 LIMIT 70)";
        assert_eq!(
            fixture.query(&connector, table, filtered).await.unwrap(),
            "n\n70"
        );
        let one = "SELECT 1 AS one FROM t LIMIT 2";
        assert_eq!(
            fixture.query(&connector, table, one).await.unwrap(),
            "one\n1\n1"
        );
    }
}

#[tokio::test]
async fn health_says_what_is_wrong() {
    let fixture = Fixture::new();
    let empty = fixture.connector().health().await;
    assert!(empty.healthy && empty.problem.contains("no table"));
    fixture.write("a.csv", "a\n1\n");
    let good = fixture.connector().health().await;
    assert!(
        good.healthy
            && good.problem.is_empty()
            && good.version == "1 table"
            && good.latency.is_some()
    );
    let location = fixture.path("missing").display().to_string();
    let missing = ObjectConnector::new(
        "x",
        ObjectOptions {
            location,
            ..ObjectOptions::default()
        },
    )
    .unwrap();
    let health = missing.health().await;
    assert!(
        !health.healthy && health.problem.contains("missing"),
        "{}",
        health.problem
    );
    let location = fixture.path("a.csv").display().to_string();
    let file = ObjectConnector::new(
        "x",
        ObjectOptions {
            location,
            ..ObjectOptions::default()
        },
    )
    .unwrap();
    assert!(file.health().await.problem.contains("is a file"));
}
