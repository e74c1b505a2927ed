//! What `owlet.toml` may and may not say.

use std::num::NonZeroUsize;
use std::path::Path;

use super::*;

fn environment(name: &str) -> Option<String> {
    match name {
        "PGPASSWORD" => Some("hunter2".to_owned()),
        "TRICK" => Some("x\"\nconnector = \"sqlite".to_owned()),
        _ => None,
    }
}

fn read(text: &str) -> Result<Config, ConfigError> {
    parse(Path::new("folder/owlet.toml"), text, &environment)
}

fn report(text: &str) -> String {
    read(text).expect_err("the text must be refused").report()
}

#[test]
fn a_whole_file() {
    let config = read(
        r#"
        [engine]
        memory_limit = "512MB"
        spill_dir = "spill"
        target_partitions = 4

        [catalog.Rds]
        connector = "postgres"
        url = "postgres://owl:${PGPASSWORD}@${PGHOST:-db.example.com}:5432/shop"

        [catalog.files]
        connector = "object"
        location = "data/"
        csv.delimiter = ";"
        tables.orders.csv.types.total = "decimal(12,2)"

        [catalog.app]
        connector = "sqlite"
        path = "app.db"

        [catalog.dynamo]
        connector = "dynamodb"
        region = "eu-central-1"
        "#,
    )
    .expect("valid");
    assert_eq!(
        config.engine.memory_limit,
        Some(crate::units::ByteSize(512_000_000))
    );
    assert_eq!(config.engine.target_partitions, NonZeroUsize::new(4));
    let names: Vec<&str> = config
        .catalogs
        .iter()
        .map(|catalog| catalog.name.as_str())
        .collect();
    assert_eq!(names, ["rds", "files", "app", "dynamo"]);
    let CatalogSettings::Postgres(postgres) = &config.catalogs[0].settings else {
        panic!("not postgres")
    };
    assert_eq!(
        postgres.url.as_ref().expect("a url").expose(),
        "postgres://owl:hunter2@db.example.com:5432/shop"
    );
    assert_eq!(config.path(Path::new("app.db")), Path::new("folder/app.db"));
    assert_eq!(config.path(Path::new("/app.db")), Path::new("/app.db"));
}

#[test]
fn secrets_are_never_printed() {
    let config =
        read("[catalog.a]\nconnector = \"postgres\"\nurl = \"postgres://u:${PGPASSWORD}@h/d\"")
            .expect("valid");
    assert!(!format!("{config:?}").contains("hunter2"));
    let wrong_type =
        report("[catalog.a]\nconnector = \"postgres\"\nurl = \"postgres://h/d\"\npassword = 4711");
    assert!(!wrong_type.contains("4711"), "{wrong_type}");
}

#[test]
fn a_secret_in_the_wrong_place_is_not_printed() {
    for connector in ["postgres", "mysql"] {
        for value in [
            "\"x://u:S3cret@h/d\"",
            "4711",
            "{ x = \"S3cret\" }",
            "[4711]",
            "[[\"S3cret\"]]",
        ] {
            let text =
                format!("[catalog.a]\nconnector = \"{connector}\"\nreplica_urls = {value}\n");
            let report = report(&text);
            assert!(
                !report.contains("S3cret") && !report.contains("4711"),
                "{report}"
            );
            assert!(report.contains("owlet.toml:3: [catalog.a]"), "{report}");
        }
    }
}

#[test]
fn addresses_hold_no_keys() {
    for text in [
        "connector = \"dynamodb\"\nendpoint = \"http://u:S3cret@h:8000\"",
        "connector = \"dynamodb\"\nsource = \"export\"\nlocation = \"s3://AK:S3cret@b/\"",
        "connector = \"object\"\nlocation = \"s3://AK:S3cret@b/\"",
        "connector = \"object\"\nlocation = \"s3://AK:S3/cret@b/\"",
        "connector = \"object\"\nlocation = \"s3://b/\"\nendpoint = \"http://u:S3/cret@h\"",
        "connector = \"postgres\"\nsecret = \"s\"\naws_endpoint = \"http://u:S3cret@h\"",
    ] {
        let report = report(&format!("[catalog.a]\n{text}\n"));
        assert!(!report.contains("cret@"), "{report}");
        assert!(report.contains("access_key_id"), "{report}");
    }
    read("[catalog.a]\nconnector = \"object\"\nlocation = \"s3://b/mia@example.com/\"\n")
        .expect("an object's name may have an @");
}

#[test]
fn a_query_needs_a_thread() {
    let report = report("[engine]\ntarget_partitions = 0\n");
    assert!(
        report.contains("owlet.toml:2: [engine] expected a whole number from 1 upwards, found `0`"),
        "{report}"
    );
}

#[test]
fn wrong_types_are_told_in_plain_words() {
    insta::assert_snapshot!(report("[engine]\ntarget_partitions = \"4\"\n"), @r#"
    error: folder/owlet.toml:2: [engine] expected a whole number from 1 upwards, found "4"
    hint: write the number without quotes; ${…} stands in text values only
    "#);
    insta::assert_snapshot!(
        report("[catalog.a]\nconnector = \"sqlite\"\npath = 5\n"),
        @"error: folder/owlet.toml:3: [catalog.a] expected a path in quotes, found `5`"
    );
    insta::assert_snapshot!(
        report("[catalog.a]\nconnector = \"postgres\"\nurl = \"${file:}\"\n"),
        @r"
    error: folder/owlet.toml:3: `${file:}` names no file
    hint: write `$${` for a plain `${`
    ");
}

#[test]
fn memory_is_enough_to_sort() {
    for (value, shown) in [
        ("500", "500B"),
        ("\"5\"", "5B"),
        ("\"15MB\"", "15MB"),
        ("0", "0B"),
    ] {
        let report = report(&format!(
            "[engine]\nspill_dir = \"x\"\nmemory_limit = {value}\n"
        ));
        assert!(
            report.starts_with(&format!(
                "error: folder/owlet.toml:3: [engine] memory_limit is {shown}, and queries need 16MB at least\n\
                 hint: a number without a unit is bytes: "
            )),
            "{report}"
        );
    }
    read("[engine]\nmemory_limit = \"16MB\"\n").expect("enough");
}

#[test]
fn what_a_variable_holds_cannot_become_structure() {
    let config = read("[catalog.a]\nconnector = \"postgres\"\nurl = \"postgres://u@h/${TRICK}\"")
        .expect("valid");
    let CatalogSettings::Postgres(postgres) = &config.catalogs[0].settings else {
        panic!("not postgres")
    };
    assert_eq!(
        postgres.url.as_ref().expect("a url").expose(),
        "postgres://u@h/x\"\nconnector = \"sqlite"
    );
}

#[test]
fn problems_name_line_and_remedy() {
    insta::assert_snapshot!(report("[engin]\n"), @r"
    error: folder/owlet.toml:1: unknown key `engin` in the file
    hint: did you mean `engine`?
    ");
    insta::assert_snapshot!(report("[engine]\nmemory_limt = 1\n"), @r"
    error: folder/owlet.toml:2: unknown key `memory_limt` in [engine]
    hint: did you mean `memory_limit`?
    ");
    insta::assert_snapshot!(report("\n[catalog.a]\nconnector = \"sqlite\"\npath = \"x\"\nzzz = 1\n"), @r"
    error: folder/owlet.toml:5: unknown key `zzz` in [catalog.a]
    hint: known keys: path, busy_timeout
    ");
    insta::assert_snapshot!(
        report("[catalog.f]\nconnector = \"object\"\nlocation = \"x/\"\n[catalog.f.csv]\nheadr = true\n"),
        @r"
    error: folder/owlet.toml:5: unknown key `headr` in [catalog.f]
    hint: did you mean `header`?
    ");
    insta::assert_snapshot!(report("[catalog.a]\nconnector = \"sqlite\"\n"), @r"
    error: folder/owlet.toml:1: [catalog.a] missing field `path`
    ");
    insta::assert_snapshot!(report("[catalog.a]\npath = \"x\"\n"), @r#"
    error: folder/owlet.toml:1: [catalog.a] has no `connector`
    hint: connector is one of "postgres", "mysql", "sqlite", "dynamodb", "object"
    "#);
    insta::assert_snapshot!(report("[catalog.a]\nconnector = \"postgresql\"\n"), @r#"
    error: folder/owlet.toml:2: [catalog.a] unknown connector "postgresql"
    hint: did you mean "postgres"?
    "#);
    insta::assert_snapshot!(report("[engine]\nmemory_limit = \"much\"\n"), @r"
    error: folder/owlet.toml:2: [engine] `much` is no size; write for example 512MB or 2GiB
    ");
    insta::assert_snapshot!(report("[engine\n"), @"error: folder/owlet.toml:1: not TOML: unclosed table, expected `]`");
}

#[test]
fn connectors_of_later_versions_are_told_so() {
    for word in ["lambda", "glue"] {
        let report = report(&format!(
            "[catalog.a]\nconnector = \"{word}\"\nurl = \"x\"\n"
        ));
        assert!(
            report.contains(&format!(
                "connector \"{word}\" is not in this version of Owlet"
            )),
            "{report}"
        );
    }
}

#[test]
fn everything_missing_is_listed_at_once() {
    let text = "[catalog.a]\nconnector = \"postgres\"\nurl = \"postgres://${ONE}:${TWO}@h/d\"\n\
                [catalog.b]\nconnector = \"sqlite\"\npath = \"${file:no-such-file}\"\n";
    insta::assert_snapshot!(report(text), @r"
    error: folder/owlet.toml:3: environment variable ONE is not set
    hint: set it, or give a default: ${ONE:-…}
    error: folder/owlet.toml:3: environment variable TWO is not set
    hint: set it, or give a default: ${TWO:-…}
    error: folder/owlet.toml:6: cannot read folder/no-such-file: No such file or directory (os error 2)
    ");
}

#[test]
fn names_that_differ_by_case_only_are_refused() {
    let report = report(
        "[catalog.a]\nconnector = \"sqlite\"\npath = \"x\"\n[catalog.A]\nconnector = \"sqlite\"\npath = \"y\"\n",
    );
    assert!(report.contains("catalog a is configured twice"), "{report}");
}

#[test]
fn secrets_come_from_files() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("password"), "from file\n").expect("written");
    let text = "[catalog.a]\nconnector = \"postgres\"\nurl = \"postgres://u@h/d\"\npassword = \"${file:password}\"\n";
    let config = parse(&folder.path().join("owlet.toml"), text, &environment).expect("valid");
    let CatalogSettings::Postgres(postgres) = &config.catalogs[0].settings else {
        panic!("not postgres")
    };
    assert_eq!(
        postgres.password.as_ref().map(|password| password.expose()),
        Some("from file")
    );
}

#[test]
fn the_nearest_file_upwards_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let below = folder.path().join("a/b");
    std::fs::create_dir_all(&below).expect("created");
    std::fs::write(
        folder.path().join("owlet.toml"),
        "[engine]\ntarget_partitions = 3\n",
    )
    .expect("written");
    let config = load(&ConfigSource {
        file: None,
        folder: below.clone(),
    })
    .expect("valid");
    assert_eq!(config.engine.target_partitions, NonZeroUsize::new(3));
    let named = ConfigSource {
        file: Some(below.join("none.toml")),
        folder: below,
    };
    assert!(matches!(load(&named), Err(ConfigError::Missing { .. })));
}

#[test]
fn the_json_schema_knows_every_connector() {
    let schema = json_schema();
    let catalogs = schema["properties"]["catalog"]["additionalProperties"]["oneOf"]
        .as_array()
        .expect("a list");
    let words: Vec<&str> = catalogs
        .iter()
        .filter_map(|catalog| catalog["properties"]["connector"]["const"].as_str())
        .collect();
    assert_eq!(words, ["postgres", "mysql", "sqlite", "dynamodb", "object"]);
    assert_eq!(
        catalogs[2]["required"],
        serde_json::json!(["connector", "path"])
    );
    assert_eq!(
        catalogs[2]["additionalProperties"],
        serde_json::json!(false)
    );
}

#[test]
fn exports_of_dynamodb_are_read_from_their_location() {
    let config = read(
        r#"
        [catalog.near]
        connector = "dynamodb"
        source = "export"
        location = "exports/"
        [catalog.far]
        connector = "dynamodb"
        source = "export"
        location = "s3://bucket/prefix"
        [catalog.live]
        connector = "dynamodb"
        region = "eu-central-1"
        max_capacity_share = 0.25
        price_per_million_rcu = 0.1
        "#,
    )
    .expect("valid");
    let settings: Vec<&settings::DynamoDbSettings> = config
        .catalogs
        .iter()
        .map(|catalog| match &catalog.settings {
            CatalogSettings::DynamoDb(settings) => settings,
            other => panic!("not DynamoDB: {other:?}"),
        })
        .collect();
    let location = |settings: &settings::DynamoDbSettings| {
        settings
            .location
            .as_ref()
            .map(|location| options::location(&config, location))
    };
    assert_eq!(location(settings[0]).as_deref(), Some("folder/exports/"));
    assert_eq!(location(settings[1]).as_deref(), Some("s3://bucket/prefix"));
    assert_eq!(location(settings[2]), None);
    let options = options::dynamodb(&config, settings[2]);
    assert_eq!(options.max_capacity_share, Some(0.25));
    assert_eq!(options.price_per_million_rcu, Some(0.1));
    runtime::engine(&config).expect("every catalog can be built");
}

#[test]
fn keys_of_exports_that_contradict_are_refused() {
    insta::assert_snapshot!(report("[catalog.a]\nconnector = \"dynamodb\"\nsource = \"export\"\n"), @r#"
    error: folder/owlet.toml:2: [catalog.a] source = "export" without `location`
    hint: add location = "s3://bucket/prefix", or a folder
    "#);
    insta::assert_snapshot!(report("[catalog.a]\nconnector = \"dynamodb\"\nlocation = \"x/\"\n"), @r#"
    error: folder/owlet.toml:2: [catalog.a] `location` without source = "export"
    hint: add source = "export" to read exported files
    "#);
    insta::assert_snapshot!(
        report("[catalog.a]\nconnector = \"dynamodb\"\nsource = \"export\"\nlocation = \"x/\"\nembedded = \"y\"\n"),
        @r#"
    error: folder/owlet.toml:2: [catalog.a] `embedded` is a live database, source = "export" reads files
    hint: remove one of them
    "#);
}
