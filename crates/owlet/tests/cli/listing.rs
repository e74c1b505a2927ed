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

#[test]
fn an_unknown_schema_is_an_error() {
    let place = Place::with_shop();
    let answer = place.run(&["tables", "shop.nope"]);
    assert!(answer.starts_with("exit code: 2\n"), "{answer}");
    assert!(
        answer.contains(
            "error: schema nope does not exist in catalog shop\nhint: known schemas: main"
        ),
        "{answer}"
    );
}

#[test]
fn settings_that_cannot_work_disable_their_catalog_only() {
    let place = Place::with_shop();
    let config = place.read("owlet.toml");
    for (connector, url) in [
        ("postgres", "postgres://u:S3cr@et/x#y@127.0.0.1/db"),
        ("mysql", "mysql://u:S3cr@et/x#y@127.0.0.1/db"),
    ] {
        place.write(
            "owlet.toml",
            &format!("[catalog.bad]\nconnector = \"{connector}\"\nurl = \"{url}\"\n{config}"),
        );
        assert_eq!(
            place.exit_code(&["query", "SELECT id FROM shop.main.orders"]),
            0
        );
        let doctor = place.run(&["doctor"]);
        assert!(doctor.starts_with("exit code: 1\n"), "{doctor}");
        assert!(doctor.contains("fail  bad "), "{doctor}");
        assert!(doctor.contains("ok    shop"), "{doctor}");
        let query = place.run(&["query", "SELECT * FROM bad.public.t"]);
        assert!(query.starts_with("exit code: 2\n"), "{query}");
        let catalogs = place.run(&["catalogs"]);
        assert!(catalogs.starts_with("exit code: 2\n"), "{catalogs}");
        for answer in [doctor, query, catalogs] {
            assert!(answer.contains("percent-encode the password"), "{answer}");
            assert!(
                !answer.contains("S3cr") && !answer.contains("et/x") && !answer.contains("y@"),
                "{answer}"
            );
        }
    }
}
