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
fn schemas_are_listed_in_their_own_spelling() {
    let place = Place::with_shop();
    let answer = place.run(&["tables", "SHOP.MAIN"]);
    assert!(answer.contains("\nshop,main,orders,table\n"), "{answer}");
}

#[test]
fn doctor_says_one_line_for_each_source() {
    let place = Place::empty();
    place.write(
        "owlet.toml",
        "[catalog.events]\nconnector = \"dynamodb\"\nregion = \"eu-central-1\"\n\
         endpoint = \"http://127.0.0.1:1\"\n\
         [catalog.archive]\nconnector = \"dynamodb\"\nsource = \"export\"\nregion = \"eu-central-1\"\n\
         location = \"s3://bucket/exports\"\nendpoint = \"http://127.0.0.1:1\"\n\
         [catalog.secret]\nconnector = \"postgres\"\nsecret = \"a\"\nregion = \"eu-central-1\"\n\
         [catalog.lake]\nconnector = \"object\"\nlocation = \"nowhere/\"\n\
         [catalog.my]\nconnector = \"mysql\"\nurl = \"mysql://u:p@127.0.0.1:1/x\"\n",
    );
    let output = place
        .command(&["doctor"])
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 6, "{text}");
    for line in &lines[1..4] {
        assert!(
            line.contains("authentication failed: AWS credentials could not be loaded: no credentials found in chain.")
                && line.contains("Environment: environment variable not set; Profile: not enabled;")
                && line.contains("(fix: run `aws sts get-caller-identity`"),
            "{line}"
        );
        assert_eq!(line.matches("hint").count(), 0, "{line}");
    }
    assert!(
        lines[4].starts_with("fail  lake     object    location /")
            && lines[4].ends_with(
                "/nowhere does not exist  (fix: create the folder, or correct `location` of [catalog.lake]; it is \
                 relative to the configuration file)"
            ),
        "{}",
        lines[4]
    );
    assert!(
        lines[5].contains("127.0.0.1:1: Connection refused (os error"),
        "{}",
        lines[5]
    );
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

/// The source is asked for its names only when one is not there.
#[test]
fn names_that_are_not_there_are_answered_with_near_ones() {
    let place = Place::with_shop();
    for (arguments, code, expected) in [
        (
            &["query", "SELECT * FROM shop.main.ordrs"][..],
            1,
            "table shop.main.ordrs does not exist\nhint: did you mean shop.main.orders; `owlet tables` lists all",
        ),
        (
            &["query", "SELECT * FROM big_order"],
            1,
            "table big_order does not exist\nhint: did you mean shop.main.big_orders;",
        ),
        (
            &["describe", "shop.big_order"],
            1,
            "table shop.big_order does not exist\nhint: did you mean shop.main.big_orders;",
        ),
        (
            &["query", "SELECT * FROM shop.mian.orders"],
            1,
            "table shop.mian.orders does not exist\nhint: did you mean shop.main.orders;",
        ),
        (
            &["query", "SELECT * FROM shop.public.orders"],
            1,
            "hint: catalog shop has no schema public; known schemas: main",
        ),
        (
            &["query", "SELECT * FROM shap.main.orders"],
            1,
            "hint: did you mean shop.main.orders;",
        ),
        (
            &["query", "SELECT * FROM nothing_like_it"],
            1,
            "hint: write catalog.schema.table; catalogs: shop; `owlet tables` lists tables",
        ),
        (
            &["query", "SELECT * FROM orders", "--schema", "nope"],
            1,
            "hint: catalog shop has no schema nope; known schemas: main",
        ),
        (
            &["query", "SELECT 1", "--catalog", "shp"],
            2,
            "error: catalog shp does not exist\nhint: did you mean shop; known catalogs: shop",
        ),
        (
            &["doctor", "shp"],
            2,
            "error: catalog shp does not exist\nhint: did you mean shop;",
        ),
    ] {
        let answer = place.run(arguments);
        assert!(
            answer.starts_with(&format!("exit code: {code}\n")) && answer.contains(expected),
            "{arguments:?}: {answer}"
        );
    }
}

#[test]
fn information_schema_belongs_to_a_catalog() {
    let place = Place::with_shop();
    let config = place.read("owlet.toml");
    place.write(
        "owlet.toml",
        &format!("{config}\n[catalog.other]\nconnector = \"sqlite\"\npath = \"shop.sqlite\"\n"),
    );
    let sql = "SELECT table_name FROM information_schema.tables";
    let answer = place.run(&["query", sql]);
    assert!(
        answer.starts_with("exit code: 1\n")
            && answer.contains(
                "error: information_schema.tables needs a catalog\n\
                 hint: write shop.information_schema.tables, or give --catalog; catalogs: shop, other"
            ),
        "{answer}"
    );
    let answer = place.run(&["query", sql, "--catalog", "shop"]);
    assert!(answer.contains("\norders\n"), "{answer}");
}

/// What is wrong comes before the patience of requests that are repeated; who says nothing has the time of --timeout.
#[test]
fn doctor_tells_refusing_from_silent_sources() {
    let place = Place::empty();
    let listener = || std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = |listener: &std::net::TcpListener| listener.local_addr().expect("an address").port();
    let silent = listener();
    let refusing = port(&listener());
    let catalog = |name: &str, port: u16| {
        format!(
            "[catalog.{name}]\nconnector = \"dynamodb\"\nendpoint = \"http://127.0.0.1:{port}\"\n\
             region = \"eu-central-1\"\naccess_key_id = \"a\"\nsecret_access_key = \"b\"\n"
        )
    };
    place.write(
        "owlet.toml",
        &(catalog("refusing", refusing) + &catalog("silent", port(&silent))),
    );
    let answer = place.run(&["doctor", "--timeout", "4s"]);
    let line = |name: &str| {
        let line = answer.lines().find(|line| line.contains(name));
        line.expect("a line").to_owned()
    };
    assert!(
        line("fail  refusing").contains("cannot reach the source"),
        "{answer}"
    );
    assert_eq!(
        line("fail  refusing").matches("hint").count(),
        0,
        "{answer}"
    );
    assert!(
        line("fail  silent").contains("no answer within 4s  (fix: check the address"),
        "{answer}"
    );
}
