//! `owlet verify`.

use crate::harness::Place;

#[test]
fn the_same_answer() {
    let place = Place::with_shop();
    place.write("q.sql", "SELECT customer, total FROM shop.orders WHERE id > 1;\nSELECT id FROM shop.orders ORDER BY id DESC");
    insta::assert_snapshot!(place.run(&["verify", "-f", "q.sql"]));
}

#[test]
fn another_answer_each_time_is_a_difference() {
    let place = Place::with_shop();
    let answer = place.run(&["verify", "SELECT random() AS r FROM shop.orders"]);
    assert!(
        answer.starts_with("exit code: 1\n----- stdout -----\ndifferent: the rows differ\n"),
        "{answer}"
    );
    assert!(
        answer.contains("only with pushdown: ") && answer.contains("only without pushdown: "),
        "{answer}"
    );
}

#[test]
fn no_temporary_file_stays() {
    let place = Place::with_shop();
    std::fs::create_dir(place.path("spill")).expect("a folder");
    let config = place.read("owlet.toml");
    place.write(
        "owlet.toml",
        &format!("[engine]\nspill_dir = \"spill\"\n{config}"),
    );
    assert_eq!(place.exit_code(&["verify", "SELECT * FROM shop.orders"]), 0);
    let left: Vec<_> = std::fs::read_dir(place.path("spill"))
        .expect("listed")
        .map(|entry| entry.expect("an entry").file_name())
        .filter(|name| name.to_string_lossy().contains("verify"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn pushdown_cannot_be_switched_off() {
    let place = Place::with_shop();
    assert_eq!(place.exit_code(&["verify", "--no-pushdown", "SELECT 1"]), 2);
}

/// SQLite and Owlet's own sort leave tied rows in different orders; both are right.
#[test]
fn ties_at_a_limit_are_told_from_differences() {
    let place = Place::empty();
    let connection = rusqlite::Connection::open(place.path("shop.sqlite")).expect("a database");
    connection
        .execute_batch(
            "CREATE TABLE orders (id INTEGER PRIMARY KEY, status TEXT);
             CREATE INDEX newest_first ON orders (status, id DESC);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2000)
             INSERT INTO orders SELECT i, CASE WHEN i <= 3 THEN 'a' ELSE 'b' END FROM n;",
        )
        .expect("tables");
    drop(connection);
    place.write(
        "owlet.toml",
        "[catalog.shop]\nconnector = \"sqlite\"\npath = \"shop.sqlite\"\n",
    );
    for sql in [
        "SELECT id, status FROM shop.orders ORDER BY status LIMIT 10",
        "SELECT id FROM shop.orders ORDER BY status LIMIT 10",
        "SELECT id FROM shop.orders ORDER BY upper(status) LIMIT 10",
        "SELECT id FROM shop.orders ORDER BY status",
    ] {
        let answer = place.run(&["verify", sql]);
        assert!(
            answer.starts_with("exit code: 0\n----- stdout -----\nsame: "),
            "{sql}: {answer}"
        );
    }
    let answer = place.run(&[
        "verify",
        "SELECT id, random() FROM shop.orders ORDER BY status LIMIT 10",
    ]);
    assert!(
        answer.starts_with("exit code: 1\n----- stdout -----\ndifferent: the rows differ\n"),
        "{answer}"
    );
}
