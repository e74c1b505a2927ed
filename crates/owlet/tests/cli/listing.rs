//! Catalogs, schemas, tables, columns, doctor.

use crate::harness::Place;

#[test]
fn lists() {
    let place = Place::with_shop();
    insta::assert_snapshot!("catalogs", place.run(&["catalogs"]));
    insta::assert_snapshot!("schemas", place.run(&["schemas"]));
    insta::assert_snapshot!("tables", place.run(&["tables"]));
    insta::assert_snapshot!(
        "tables_json",
        place.run(&["tables", "shop.main", "-o", "json"])
    );
    insta::assert_snapshot!("unknown_catalog_listed", place.run(&["tables", "nope"]));
    insta::assert_snapshot!("no_configuration", Place::empty().run(&["catalogs"]));
}

#[test]
fn describes() {
    let place = Place::with_shop();
    insta::assert_snapshot!("describe", place.run(&["describe", "shop.orders"]));
    insta::assert_snapshot!("describe_unknown", place.run(&["describe", "shop.ordres"]));
}

#[test]
fn a_source_that_is_down_hides_no_other() {
    let place = Place::with_shop();
    let config = place.read("owlet.toml");
    place.write(
        "owlet.toml",
        &format!("[catalog.gone]\nconnector = \"sqlite\"\npath = \"gone.sqlite\"\n{config}"),
    );
    let answer = place.run(&["tables"]);
    assert!(answer.contains("shop,main,orders,table"), "{answer}");
    assert!(!answer.starts_with("exit code: 0"), "{answer}");
    insta::assert_snapshot!("doctor", place.run(&["doctor"]));
    assert_eq!(place.exit_code(&["doctor", "shop"]), 0);
}
