//! `owlet shell`, fed through its standard input.

use crate::harness::Place;

#[test]
fn a_session() {
    let place = Place::with_shop();
    let input = r"SELECT 1
  AS a;
\dt
\d shop.orders
SELECT nope FROM shop.orders;
\pushdown off
\o json
SELECT id FROM shop.orders WHERE id = 1;
\nonsense
\q
SELECT 'not reached';
";
    insta::assert_snapshot!(place.run_with_input(&["shell", "-o", "csv"], input));
}

#[test]
fn piped_input_needs_no_last_semicolon_and_tells_of_failures() {
    let place = Place::with_shop();
    let answer = place.run_with_input(&["shell", "-o", "csv"], "SELECT 1 AS a;\nSELECT 2\n  AS b");
    assert!(
        answer.starts_with("exit code: 0\n----- stdout -----\na\n1\nb\n2\n"),
        "{answer}"
    );
    let answer = place.run_with_input(
        &["shell", "-o", "csv"],
        "SELECT nope FROM shop.orders;\nSELECT 1 AS a",
    );
    assert!(
        answer.starts_with("exit code: 1\n----- stdout -----\na\n1\n"),
        "{answer}"
    );
}
