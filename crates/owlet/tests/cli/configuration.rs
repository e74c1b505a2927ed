//! Configuration, and commands that need no source.

use crate::harness::Place;

#[test]
fn problems_are_usage_errors() {
    let place = Place::empty();
    place.write(
        "owlet.toml",
        "[catalog.a]\nconnector = \"postgres\"\nulr = \"postgres://h/d\"\n\n[engine]\nmemory = 1\n",
    );
    insta::assert_snapshot!(place.run(&["query", "SELECT 1"]));
    place.write(
        "owlet.toml",
        "[catalog.a]\nconnector = \"mysql\"\nurl = \"mysql://${DB_USER}:${DB_PASSWORD}@h/d\"\n",
    );
    insta::assert_snapshot!("missing_variables", place.run(&["tables"]));
    insta::assert_snapshot!(
        "missing_file",
        place.run(&["tables", "--config", "none.toml"])
    );
}

#[test]
fn the_environment_names_the_file() {
    let place = Place::with_shop();
    std::fs::create_dir(place.path("else")).expect("a folder");
    std::fs::rename(place.path("owlet.toml"), place.path("else/other.toml")).expect("renamed");
    std::fs::rename(place.path("shop.sqlite"), place.path("else/shop.sqlite")).expect("renamed");
    let output = place
        .command(&["query", "SELECT count(*) AS n FROM shop.orders"])
        .env("OWLET_CONFIG", place.path("else/other.toml"))
        .output()
        .expect("the binary runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "n\n4\n");
}

#[test]
fn an_empty_variable_names_no_file() {
    let place = Place::with_shop();
    let output = place
        .command(&["query", "SELECT count(*) AS n FROM shop.orders"])
        .env("OWLET_CONFIG", "")
        .output()
        .expect("the binary runs");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "n\n4\n");
}

#[test]
fn init_writes_once() {
    let place = Place::empty();
    insta::assert_snapshot!("init", place.run(&["init"]));
    let written = place.read("owlet.toml");
    insta::assert_snapshot!("init_again", place.run(&["init"]));
    assert_eq!(place.read("owlet.toml"), written);
    assert_eq!(place.exit_code(&["doctor"]), 0);
}

#[test]
fn the_schema_is_json() {
    let output = Place::empty()
        .command(&["config", "schema"])
        .output()
        .expect("the binary runs");
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(schema["title"], "owlet.toml");
}

#[test]
fn secrets_are_not_shown() {
    let place = Place::empty();
    place.write(
        "owlet.toml",
        "[catalog.a]\nconnector = \"postgres\"\nurl = \"postgres://u:geheim@h/d\"\npassword = \"geheim\"\n",
    );
    let answer = place.run(&["config", "show"]);
    assert!(
        answer.starts_with("exit code: 0") && !answer.contains("geheim"),
        "{answer}"
    );
}

#[test]
fn what_is_in_force_is_shown_as_it_is_written() {
    let place = Place::empty();
    place.write(
        "owlet.toml",
        "[engine]\nmemory_limit = \"2048 MiB\"\n\n\
         [catalog.rds]\nconnector = \"postgres\"\nurl = \"postgres://u:geheim@h/d\"\n\
         connect_timeout = \"${PATIENCE:-90s}\"\nsslmode = \"verify-full\"\ninclude = [\"sales\"]\n\n\
         [catalog.lake]\nconnector = \"object\"\nlocation = \"files\"\n\n\
         [catalog.lake.csv]\ndelimiter = \";\"\n\n[catalog.lake.tables.\"a.b\"]\nformat = \"csv\"\n",
    );
    let shown = place.run(&["config", "show"]);
    insta::assert_snapshot!("config_show", shown);
    // It can be read again.
    let text = shown
        .split("----- stdout -----\n")
        .nth(1)
        .and_then(|rest| rest.split("----- stderr").next())
        .expect("a result");
    place.write("owlet.toml", text);
    assert_eq!(place.run(&["config", "show"]), shown);
}

#[test]
fn the_default_catalog_must_exist() {
    let place = Place::with_shop();
    let config = place.read("owlet.toml");
    place.write(
        "owlet.toml",
        &format!("{config}\n[engine]\ndefault_catalog = \"shoop\"\n"),
    );
    let answer = place.run(&["query", "SELECT 1"]);
    assert!(
        answer.starts_with("exit code: 2\n")
            && answer.contains(
                "owlet.toml:6: [engine] default_catalog \"shoop\" is no catalog of this file\n\
                 hint: did you mean \"shop\"?"
            ),
        "{answer}"
    );
    place.write(
        "owlet.toml",
        &format!("{config}\n[engine]\ndefault_catalog = \"SHOP\"\n"),
    );
    assert_eq!(place.exit_code(&["query", "SELECT id FROM orders"]), 0);
}

#[test]
fn help_has_topics() {
    let place = Place::empty();
    insta::assert_snapshot!("help_exit_codes", place.run(&["help", "exit-codes"]));
    for topic in ["formats", "config", "environment", "query", "schema"] {
        assert_eq!(place.exit_code(&["help", topic]), 0, "{topic}");
    }
    assert_eq!(place.exit_code(&["help", "nothing"]), 2);
    insta::assert_snapshot!("help_query", place.run(&["query", "--help"]));
    insta::assert_snapshot!("help", place.run(&["--help"]));
}

#[test]
fn completions_and_version() {
    let place = Place::empty();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert_eq!(place.exit_code(&["completions", shell]), 0);
    }
    let version = place.run(&["--version"]);
    assert!(
        version.contains(concat!("owlet ", env!("CARGO_PKG_VERSION"))),
        "{version}"
    );
}
