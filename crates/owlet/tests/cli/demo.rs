//! The demo, and the embedded DynamoDB it leaves.

use crate::harness::Place;

#[test]
fn the_tour_answers_five_questions() {
    let tour = Place::demo().read("demo.out");
    for number in 1..=5 {
        assert!(tour.contains(&format!("\n{number}. ")), "{tour}");
    }
    assert_eq!(tour.matches(" rows, in ").count(), 5, "{tour}");
    assert!(tour.contains("owlet shell"), "{tour}");
}

#[test]
fn everything_works_afterwards_without_a_server() {
    let place = Place::demo();
    insta::assert_snapshot!("demo_tables", place.run(&["tables"]));
    insta::assert_snapshot!(
        "demo_order",
        place.run(&[
            "query",
            "SELECT at, step, status FROM events.order_events WHERE order_id = 4711 ORDER BY at"
        ])
    );
    insta::assert_snapshot!(
        "demo_steps",
        place.run(&[
            "query",
            "SELECT step, count(*) AS events FROM events.order_events GROUP BY step ORDER BY step"
        ])
    );
}

#[test]
fn a_budget_refuses_with_its_exit_code() {
    let answer = Place::demo().run(&[
        "query",
        "SELECT * FROM events.order_events",
        "--max-rcu",
        "1",
    ]);
    assert!(
        answer.starts_with(
            "exit code: 5\n----- stdout -----\n----- stderr -----\nerror: refused by the budget"
        ),
        "{answer}"
    );
}

#[test]
fn schemas_are_inferred_with_evidence() {
    insta::assert_snapshot!(Place::demo().run(&["schema", "infer", "events.carts"]));
    insta::assert_snapshot!(
        "infer_sqlite",
        Place::demo().run(&["schema", "infer", "shop.orders"])
    );
    let answer = Place::demo().run(&["schema", "infer", "Events"]);
    assert!(
        answer.contains(
            "error: Events is a catalog, and no table of it is named\n\
             hint: write Events.TABLE; `owlet tables Events` lists them"
        ),
        "{answer}"
    );
}

/// The types of a CSV listing's columns by name.
fn types(listing: &str) -> Vec<(String, String)> {
    let mut reader = csv::Reader::from_reader(listing.as_bytes());
    let rows = reader.records().map(|row| row.expect("CSV"));
    rows.map(|row| (row[0].to_owned(), row[1].to_owned()))
        .filter(|(column, _)| column != "_item")
        .collect()
}

#[test]
fn an_inferred_schema_has_the_types_of_the_table() {
    let listing = |arguments: &[&str]| {
        let output = Place::demo().command(arguments).output();
        let output = output.expect("the binary runs");
        types(&String::from_utf8_lossy(&output.stdout))
    };
    let inferred = listing(&["schema", "infer", "events.carts"]);
    assert_eq!(inferred, listing(&["describe", "events.carts"]));
    assert!(inferred.iter().any(|(column, _)| column == "note"));
}

#[test]
fn verify_agrees_across_both_sources() {
    let sql = "SELECT o.status, e.step, count(*) AS n FROM shop.orders o \
               JOIN events.order_events e ON e.order_id = o.id WHERE o.id < 1200 GROUP BY o.status, e.step";
    let answer = Place::demo().run(&["verify", sql]);
    assert!(
        answer.starts_with("exit code: 0\n----- stdout -----\nsame: "),
        "{answer}"
    );
}

#[test]
fn another_configuration_is_left_alone() {
    let place = Place::with_shop();
    let before = (place.read("owlet.toml"), place.files());
    let answer = place.run(&["demo", "--once", "--dir", "."]);
    assert!(
        answer.starts_with(
            "exit code: 2\n----- stdout -----\n----- stderr -----\n\
             error: ./owlet.toml is there already, and is not the demo's\nhint: choose another folder with --dir"
        ),
        "{answer}"
    );
    assert_eq!((place.read("owlet.toml"), place.files()), before);
}
