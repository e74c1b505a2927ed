//! Queries that need more memory than they may use: they spill, say what is missing, and leave no files behind.

use std::fs;

use crate::harness::Place;

/// Rows of some 600 bytes, 24 MB in all, beside a limit of 16 MB.
fn with_little_memory() -> Place {
    let place = Place::empty();
    let connection = rusqlite::Connection::open(place.path("shop.sqlite")).expect("a database");
    connection
        .execute_batch(
            "CREATE TABLE wide (id INTEGER PRIMARY KEY, name TEXT NOT NULL, w TEXT NOT NULL);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40000)
             INSERT INTO wide SELECT i, printf('%08d', (i * 7919) % 40009), printf('%0600d', i) FROM n;
             ANALYZE",
        )
        .expect("a table");
    place.write(
        "owlet.toml",
        "[engine]\nmemory_limit = \"16MB\"\nspill_dir = \"spill\"\ntarget_partitions = 2\n\
         [catalog.shop]\nconnector = \"sqlite\"\npath = \"shop.sqlite\"\n",
    );
    place
}

fn answer(place: &Place, sql: &str, arguments: &[&str]) -> (i32, String, String) {
    let output = place
        .command(&["query", "--no-pushdown", sql])
        .args(arguments)
        .output()
        .expect("the binary runs");
    (
        output.status.code().expect("it ends by itself"),
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

fn spill_files(place: &Place) -> Vec<String> {
    let entries = fs::read_dir(place.path("spill")).expect("the folder was made");
    let names = entries.map(|entry| entry.expect("readable").file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

#[test]
fn sorts_windows_groups_and_joins_spill() {
    let place = with_little_memory();
    let (code, sorted, error) = answer(
        &place,
        "SELECT name, w FROM wide ORDER BY reverse(name)",
        &[],
    );
    assert_eq!(code, 0, "{error}");
    let names: Vec<String> = sorted
        .lines()
        .skip(1)
        .map(|line| line[..8].chars().rev().collect())
        .collect();
    assert_eq!(names.len(), 40_000);
    assert!(names.is_sorted());

    let (code, _, error) = answer(
        &place,
        "SELECT name, w FROM wide",
        &["--to", "wide.parquet"],
    );
    assert_eq!(code, 0, "{error}");
    for (sql, expected) in [
        (
            "SELECT sum(n) FROM (SELECT row_number() OVER (PARTITION BY id % 10 ORDER BY name, w) AS n FROM wide)",
            "80020000",
        ),
        (
            "SELECT count(*) FROM (SELECT name, w FROM wide GROUP BY name, w)",
            "40000",
        ),
        (
            "SELECT count(*) FROM (SELECT w FROM 'wide.parquet' GROUP BY w)",
            "40000",
        ),
        (
            "SELECT count(*) FROM (SELECT a.w, b.w AS v FROM 'wide.parquet' a JOIN 'wide.parquet' b ON a.name = b.name)
             WHERE w = v",
            "40000",
        ),
        (
            "SELECT count(*) FROM 'wide.parquet' a LEFT JOIN 'wide.parquet' b ON a.name = b.w WHERE b.w IS NULL",
            "40000",
        ),
    ] {
        let (code, output, error) = answer(&place, sql, &[]);
        assert_eq!(code, 0, "{sql}: {error}");
        assert_eq!(output.lines().nth(1), Some(expected), "{sql}");
    }
    assert_eq!(spill_files(&place), Vec::<String>::new());
}

#[test]
fn what_cannot_spill_is_told_in_words_of_sql() {
    let place = with_little_memory();
    let (code, _, error) = answer(
        &place,
        "SELECT length(array_join(array_agg(w), ',')) FROM wide",
        &[],
    );
    assert_eq!(code, 1, "{error}");
    assert!(
        error.contains("needs more memory than queries may use")
            && error.contains("raise [engine] memory_limit"),
        "{error}"
    );
    assert_eq!(spill_files(&place), Vec::<String>::new());
}
