//! `owlet query` and `owlet explain`.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::harness::Place;

#[test]
fn csv_in_a_pipe() {
    let place = Place::with_shop();
    insta::assert_snapshot!(place.run(&["query", "SELECT * FROM shop.orders ORDER BY id"]));
}

#[test]
fn every_text_format() {
    let place = Place::with_shop();
    for format in ["table", "tsv", "json", "ndjson", "markdown"] {
        insta::assert_snapshot!(
            format!("format_{format}"),
            place.run(&[
                "query",
                "SELECT * FROM shop.orders ORDER BY id",
                "-o",
                format
            ])
        );
    }
}

#[test]
fn files_need_no_configuration() {
    let place = Place::empty();
    place.write("a.csv", "n,name\n1,Mia\n2,Zoë\n");
    insta::assert_snapshot!(place.run(&[
        "query",
        "SELECT name, n * 2 AS double FROM 'a.csv' ORDER BY n DESC"
    ]));
}

#[test]
fn files_appear_whole_or_not_at_all() {
    let place = Place::with_shop();
    for name in ["a.csv", "a.parquet", "a.arrow", "a.ndjson", "a.md"] {
        assert_eq!(
            place.exit_code(&[
                "query",
                "SELECT id FROM shop.orders ORDER BY id",
                "--to",
                name
            ]),
            0
        );
        if !name.ends_with(".md") {
            let back = place.run(&["query", &format!("SELECT count(*), sum(id) FROM '{name}'")]);
            assert!(back.contains("\n4,10\n"), "{name}: {back}");
        }
    }
    let before = place.files();
    let failing = "SELECT 1 / (id - 3) FROM shop.orders";
    assert_eq!(place.exit_code(&["query", failing, "--to", "b.csv"]), 1);
    assert_eq!(place.files(), before);
    insta::assert_snapshot!(place.run(&["query", "SELECT 1", "--to", "b.xls"]));
}

#[cfg(unix)]
#[test]
fn a_private_file_stays_private() {
    use std::os::unix::fs::PermissionsExt;

    let place = Place::empty();
    place.write("private.csv", "old");
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(place.path("private.csv"), private).expect("set");
    assert_eq!(
        place.exit_code(&["query", "SELECT 1 AS a", "--to", "private.csv"]),
        0
    );
    assert_eq!(place.read("private.csv"), "a\n1\n");
    let after = std::fs::metadata(place.path("private.csv")).expect("exists");
    assert_eq!(after.permissions().mode() & 0o777, 0o600);
}

/// What else goes to the standard output stays there, in its order.
#[cfg(unix)]
#[test]
fn the_standard_output_is_written_in_its_place() {
    let place = Place::empty();
    std::os::unix::fs::symlink("/dev/stdout", place.path("link")).expect("linked");
    for (target, redirect) in [
        ("/dev/stdout", ">>"),
        ("/dev/stdout", ">"),
        ("/proc/self/fd/1", ">>"),
        ("/dev/fd/1", ">>"),
        ("link", ">>"),
        ("f", ">>"),
        ("/dev/stderr", "2>>"),
        ("/dev/fd/3", "3>>"),
    ] {
        place.write("f", "");
        let script = format!(
            "(echo before >> f; \"$0\" query -o csv --to {target} 'SELECT 1 AS a'; echo after >> f) {redirect} f"
        );
        let output = std::process::Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_owlet")])
            .current_dir(place.path("."))
            .output()
            .expect("sh runs");
        assert!(output.status.success(), "{output:?}");
        let expected = match redirect {
            // Without >> the writers overwrite each other; the file must still be the same one.
            ">" => "a\n1\nre\nafter\n",
            _ => "before\na\n1\nafter\n",
        };
        assert_eq!(place.read("f"), expected, "{target} {redirect}");
        assert_eq!(place.files(), ["f", "link"]);
    }
}

#[test]
fn sql_may_begin_with_a_comment() {
    let place = Place::with_shop();
    let sql = "-- weekly report\nSELECT id FROM shop.orders WHERE id < :id";
    let answer = place.run(&["query", sql, "-o", "tsv", "-p", "id=3"]);
    assert!(
        answer.starts_with("exit code: 0\n----- stdout -----\nid\n1\n2\n"),
        "{answer}"
    );
    for command in ["explain", "verify"] {
        let answer = place.run(&[command, "-p", "id=3", sql]);
        assert!(answer.starts_with("exit code: 0\n"), "{answer}");
    }
    let answer = place.run(&["query", "--weekly\nSELECT nope FROM shop.orders"]);
    assert!(answer.contains("error: line 2:8: "), "{answer}");
    assert_eq!(place.exit_code(&["query", "-- nothing else"]), 2);
}

#[test]
fn a_missing_file_is_in_no_catalog() {
    let answer = Place::with_shop().run(&["query", "SELECT * FROM 'none.csv'"]);
    assert!(
        answer.contains(
            "error: [FOLDER]/none.csv does not exist\nhint: there is no such file or folder"
        ),
        "{answer}"
    );
}

#[test]
fn several_statements_run_in_order() {
    let place = Place::with_shop();
    place.write(
        "two.sql",
        "-- first\nSELECT 1 AS a;\n\nSELECT nope\n  FROM shop.orders;\nSELECT 3 AS c;\n",
    );
    insta::assert_snapshot!(place.run(&["query", "-f", "two.sql"]));
    insta::assert_snapshot!(
        "standard_input",
        place.run_with_input(&["query", "-"], "SELECT ';' AS a; SELECT 2 AS b")
    );
}

#[test]
fn parameters_are_bound() {
    let place = Place::with_shop();
    let named = [
        "query",
        "SELECT id FROM shop.orders WHERE customer = :who",
        "-p",
        "who=Zoë, \"Z\"",
    ];
    insta::assert_snapshot!("named_parameter", place.run(&named));
    let positional = [
        "query",
        "SELECT id FROM shop.orders WHERE id > ? AND id < ?",
        "-p",
        "2=4",
        "-p",
        "1=1",
    ];
    insta::assert_snapshot!("positional_parameters", place.run(&positional));
    insta::assert_snapshot!(
        "missing_parameter",
        place.run(&["query", "SELECT id FROM shop.orders WHERE id = :id"])
    );
}

#[test]
fn a_parameter_may_belong_to_one_of_several_statements() {
    let place = Place::with_shop();
    place.write(
        "two.sql",
        "\u{feff}SELECT id FROM shop.orders WHERE customer = :who;\nSELECT id FROM shop.orders WHERE id = :id AND id < ?",
    );
    let answer = place.run(&[
        "query", "-f", "two.sql", "-p", "Who=Mia", "-p", "id=2", "-p", "1=3",
    ]);
    assert!(
        answer.starts_with("exit code: 0\n----- stdout -----\nid\n1\nid\n2\n"),
        "{answer}"
    );
    let answer = place.run(&["query", "-f", "two.sql", "-p", "who=Mia", "-p", "no=2"]);
    assert!(answer.starts_with("exit code: 2\n"), "{answer}");
    assert!(
        answer.contains("parameter :no: none of the statements uses it"),
        "{answer}"
    );
}

#[test]
fn formats_of_one_result_take_one_statement() {
    let place = Place::empty();
    for format in ["json", "parquet", "arrow"] {
        let answer = place.run(&["query", "SELECT 1; SELECT 2", "-o", format]);
        assert!(
            answer.starts_with("exit code: 2\n----- stdout -----\n----- stderr -----\nerror: "),
            "{answer}"
        );
    }
    assert_eq!(
        place.exit_code(&["query", "SELECT 1; SELECT 2", "-o", "ndjson"]),
        0
    );
    assert_eq!(
        place.exit_code(&["explain", "SELECT 1; SELECT 2", "-o", "json"]),
        2
    );
}

#[test]
fn an_error_at_the_end_is_shown_at_the_end() {
    let place = Place::empty();
    let answer = place.run(&["query", "SELECT 1\n  FROM"]);
    assert!(answer.contains("2:7"), "{answer}");
}

#[test]
fn errors_show_the_place_and_the_remedy() {
    let place = Place::with_shop();
    insta::assert_snapshot!(
        "syntax_error",
        place.run(&["query", "SELECT id FROM shop.orders WHERE ORDER"])
    );
    insta::assert_snapshot!(
        "unknown_column",
        place.run(&["query", "SELECT id,\n  custmer FROM shop.orders"])
    );
    insta::assert_snapshot!(
        "unknown_table",
        place.run(&["query", "SELECT * FROM shop.order"])
    );
    insta::assert_snapshot!(
        "unknown_catalog",
        place.run(&["query", "SELECT * FROM shap.main.orders"])
    );
    insta::assert_snapshot!("no_sql", place.run(&["query"]));
    insta::assert_snapshot!(
        "unknown_option",
        place.run(&["query", "SELECT 1", "--to-file", "x"])
    );
}

#[test]
fn an_unreachable_source_has_its_exit_code() {
    let place = Place::empty();
    place.write(
        "owlet.toml",
        "[catalog.rds]\nconnector = \"postgres\"\nurl = \"postgres://u:geheim@127.0.0.1:1/d\"\n",
    );
    let answer = place.run(&["query", "SELECT * FROM rds.public.t"]);
    assert!(answer.starts_with("exit code: 6\n"), "{answer}");
    assert!(!answer.contains("geheim"), "{answer}");
    // Sources a query does not name are not opened.
    assert_eq!(place.exit_code(&["query", "SELECT 1"]), 0);
}

#[test]
fn the_work_report_has_exactly_these_keys() {
    let place = Place::with_shop();
    let output = place
        .command(&["query", "SELECT count(*) FROM shop.orders", "--work"])
        .output()
        .expect("the binary runs");
    let report: serde_json::Value =
        serde_json::from_slice(&output.stderr).expect("one JSON object");
    let keys = |value: &serde_json::Value| -> Vec<String> {
        value
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect()
    };
    assert_eq!(
        keys(&report),
        [
            "elapsed_ms",
            "rows",
            "peak_memory_bytes",
            "sources",
            "skew_ms"
        ]
    );
    assert_eq!(
        keys(&report["sources"][0]),
        [
            "catalog",
            "table",
            "access",
            "remote",
            "requests",
            "rows_read",
            "rows_returned",
            "bytes",
            "rcu_estimated",
            "rcu_consumed",
            "ms",
            "as_of",
            "as_of_until"
        ]
    );
    assert_eq!(report["rows"], 1);
}

#[test]
fn conditions_skip_what_the_footers_of_parquet_rule_out() {
    let place = Place::empty();
    for (file, rows) in [("p1.parquet", "(1), (2)"), ("p2.parquet", "(8), (9), (7)")] {
        let statement = format!("SELECT n FROM (VALUES {rows}) v(n)");
        place.run(&["query", &statement, "--to", file]);
    }
    for (statement, answer, read) in [
        ("SELECT n FROM 'p?.parquet' WHERE n > 8", "n\n9\n", 3),
        (
            "SELECT n FROM 'p?.parquet' WHERE n > 8 OR n = 1 ORDER BY n",
            "n\n1\n9\n",
            5,
        ),
    ] {
        let output = place
            .command(&["query", statement, "--work", "-o", "csv"])
            .output()
            .expect("the binary runs");
        assert_eq!(String::from_utf8_lossy(&output.stdout), answer);
        let report: serde_json::Value =
            serde_json::from_slice(&output.stderr).expect("one JSON object");
        assert_eq!(report["sources"][0]["rows_read"], read, "{statement}");
    }
}

#[test]
fn the_work_report_names_the_catalog_of_files() {
    let place = Place::empty();
    place.write(
        "owlet.toml",
        "[catalog.lake]\nconnector = \"object\"\nlocation = \".\"\n",
    );
    place.write("orders.csv", "n\n1\n");
    for (table, named) in [
        ("lake.default.orders", ["lake", "orders"]),
        ("'*.csv'", ["file://", "*.csv"]),
    ] {
        let statement = format!("SELECT n FROM {table}");
        let output = place
            .command(&["query", &statement, "--work"])
            .output()
            .expect("the binary runs");
        let report: serde_json::Value =
            serde_json::from_slice(&output.stderr).expect("one JSON object");
        let source = &report["sources"][0];
        assert_eq!([&source["catalog"], &source["table"]], named);
        assert_eq!(source["access"], "1 file");
        let address = source["remote"].as_str().expect("text");
        assert!(
            std::path::Path::new(address).is_absolute() && address.ends_with("/orders.csv"),
            "{address}"
        );
        let plan = place.run(&["explain", &statement]);
        let shown = format!("catalog={}, table={}", named[0], named[1]);
        assert!(plan.contains(&shown), "{plan}");
    }
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let place = Place::empty();
    let lines = "n\n".to_owned() + &"1234567890\n".repeat(1000);
    place.write("a.csv", &lines);
    let mut child = place
        .command(&["query", "SELECT a.n FROM 'a.csv' a CROSS JOIN 'a.csv' b"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut first = String::new();
    let mut reader = BufReader::new(child.stdout.take().expect("piped"));
    reader.read_line(&mut first).expect("a line");
    drop(reader);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(first, "n\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn explain_names_the_remote_query() {
    let place = Place::with_shop();
    insta::assert_snapshot!(
        place.run(&["explain", "SELECT customer FROM shop.orders WHERE id = 2"])
    );
    let json = place
        .command(&["explain", "SELECT 1", "-o", "json"])
        .output()
        .expect("the binary runs");
    let explanation: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert!(explanation["plan"]["operator"].is_string());
}

/// The MD5 checksum in base64, as the manifests of exports have it.
fn md5(place: &Place, file: &str) -> String {
    let script = r#"printf '%b' "$(md5sum "$1" | cut -c1-32 | sed 's/../\\x&/g')" | base64"#;
    let output = std::process::Command::new("bash")
        .args(["-c", script, "md5", file])
        .current_dir(place.path("."))
        .output()
        .expect("bash runs");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[test]
fn exports_of_dynamodb_are_tables() {
    let place = Place::empty();
    let export = "copied/AWSDynamoDB/01700000000000-abcdef01";
    std::fs::create_dir_all(place.path(&format!("{export}/data"))).expect("a folder");
    std::fs::create_dir_all(place.path("elsewhere")).expect("a folder");
    let data = format!("{export}/data/a.json");
    place.write(
        &data,
        "{\"Item\":{\"id\":{\"S\":\"a\"},\"total\":{\"N\":\"12.50\"}}}\n\
         {\"Item\":{\"id\":{\"S\":\"b\"}}}\n",
    );
    let packed = std::process::Command::new("gzip")
        .arg(place.path(&data))
        .status()
        .expect("gzip runs");
    assert!(packed.success());
    let files = format!(
        "{{\"itemCount\":2,\"md5Checksum\":\"{}\",\"etag\":\"x-1\",\"dataFileS3Key\":\"p/{data}.gz\"}}\n",
        md5(&place, &format!("{data}.gz"))
    );
    let arn = "arn:aws:dynamodb:us-east-1:123456789012:table/orders";
    let time = "2026-01-01T00:00:00.000Z";
    let summary = format!(
        "{{\"version\":\"2020-06-30\",\"exportArn\":\"{arn}/export/01700000000000-abcdef01\",\
         \"startTime\":\"{time}\",\"endTime\":\"{time}\",\"tableArn\":\"{arn}\",\"tableId\":\"t\",\
         \"exportTime\":\"{time}\",\"s3Bucket\":\"b\",\"s3Prefix\":\"p\",\"s3SseAlgorithm\":\"AES256\",\
         \"s3SseKmsKeyId\":null,\"manifestFilesS3Key\":\"p/{export}/manifest-files.json\",\
         \"billedSizeBytes\":0,\"itemCount\":2,\"outputFormat\":\"DYNAMODB_JSON\",\
         \"exportType\":\"FULL_EXPORT\"}}"
    );
    for (name, content) in [("manifest-files", &files), ("manifest-summary", &summary)] {
        let file = format!("{export}/{name}.json");
        place.write(&file, content);
        let checksum = md5(&place, &file);
        place.write(&format!("{export}/{name}.checksum"), &checksum);
    }
    place.write(
        "owlet.toml",
        "[catalog.archive]\nconnector = \"dynamodb\"\nsource = \"export\"\nlocation = \"copied\"\n",
    );
    let sql = "SELECT id, total FROM archive.orders ORDER BY id";
    let answer = place.run(&["query", sql]);
    assert!(
        answer.contains("exit code: 0\n----- stdout -----\nid,total\na,12.5\nb,\n"),
        "{answer}"
    );
    // The location is relative to the configuration, wherever the command runs.
    let elsewhere = place
        .command(&["--config", "../owlet.toml", "query", sql])
        .current_dir(place.path("elsewhere"))
        .output()
        .expect("the binary runs");
    assert_eq!(
        String::from_utf8_lossy(&elsewhere.stdout),
        "id,total\na,12.5\nb,\n"
    );
    let inferred = place.run(&["schema", "infer", "archive.orders"]);
    assert!(inferred.contains("decimal(38,1)"), "{inferred}");
}

/// Mistakes that show only when the query is planned to its end, or runs.
#[test]
fn values_that_do_not_work_are_told_in_the_words_of_sql() {
    let place = Place::with_shop();
    for (sql, expected) in [
        (
            "SELECT 1 / (id - 1) FROM shop.orders",
            "error: division by zero",
        ),
        (
            "SELECT CAST(customer AS integer) FROM shop.orders",
            "error: 'Mia' cannot be cast to integer",
        ),
        (
            "SELECT CAST(id * 100 AS tinyint) FROM shop.orders",
            "error: 200 does not fit into tinyint",
        ),
        (
            "SELECT id FROM shop.orders WHERE row_number() OVER (ORDER BY id) = 1",
            "error: a window function can stand in the select list and in ORDER BY only\n\
             hint: compute it in a subquery, and filter that",
        ),
        (
            "SELECT id.x FROM shop.orders",
            "error: a value of type bigint has no fields",
        ),
    ] {
        let answer = place.run(&["query", sql]);
        assert!(answer.contains(expected), "{sql}: {answer}");
    }
}
