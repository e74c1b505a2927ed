//! The house's floors: who may depend on whom (ARCHITECTURE.md, "Rooms").

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

/// Floor of every room. A room may use rooms of lower floors only; rooms of one floor do not know each other,
/// except where [`NEIGHBOURS`] says so.
const FLOORS: &[(&str, u8)] = &[
    ("owlet-connector", 1),
    ("owlet-remote-sql", 2),
    ("owlet-athena-sql", 2),
    ("owlet-aws", 2),
    ("owlet-postgres", 3),
    ("owlet-mysql", 3),
    ("owlet-sqlite", 3),
    ("owlet-dynamodb", 3),
    ("owlet-object", 3),
    ("owlet-engine", 4),
    ("owlet", 7),
    ("owlet-testkit", 8),
];

/// What a room must never link, directly: it would know something that is not its business.
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "owlet-connector",
        &[
            "datafusion",
            "sqlparser",
            "tokio-postgres",
            "rusqlite",
            "reqwest",
            "axum",
        ],
    ),
    (
        "owlet-remote-sql",
        &[
            "datafusion",
            "tokio-postgres",
            "rusqlite",
            "reqwest",
            "tokio",
        ],
    ),
    (
        "owlet-athena-sql",
        &["tokio-postgres", "rusqlite", "reqwest", "object_store"],
    ),
    (
        "owlet-postgres",
        &["datafusion", "rusqlite", "reqwest", "sqlparser"],
    ),
    (
        "owlet-sqlite",
        &["datafusion", "tokio-postgres", "reqwest", "sqlparser"],
    ),
    (
        "owlet-dynamodb",
        &[
            "datafusion",
            "tokio-postgres",
            "rusqlite",
            "sqlparser",
            "owlet-remote-sql",
        ],
    ),
    (
        "owlet-object",
        &["tokio-postgres", "rusqlite", "owlet-remote-sql"],
    ),
    (
        "owlet-engine",
        &["tokio-postgres", "rusqlite", "reqwest", "clap", "axum"],
    ),
    ("xtask", &["tokio", "arrow", "datafusion", "serde", "clap"]),
];

/// Never linked into what ships (needs a foreign build tool on the builder's machine).
const FORBIDDEN_EVERYWHERE: &[&str] = &[
    "openssl-sys",
    "native-tls",
    "aws-lc-sys",
    "cmake",
    "prost-build",
];

struct Package {
    dependencies: Vec<String>,
}

fn cargo_metadata(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1"])
        .args(arguments)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

fn packages() -> BTreeMap<String, Package> {
    let metadata = cargo_metadata(&["--no-deps"]);
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap();
            let linked = dependencies
                .iter()
                .filter(|dependency| dependency["kind"] != "dev");
            let names = linked
                .map(|dependency| dependency["name"].as_str().unwrap().to_owned())
                .collect();
            (
                package["name"].as_str().unwrap().to_owned(),
                Package {
                    dependencies: names,
                },
            )
        })
        .collect()
}

fn floor(name: &str) -> Option<u8> {
    FLOORS
        .iter()
        .find(|(room, _)| *room == name)
        .map(|(_, floor)| *floor)
}

#[test]
fn every_room_has_a_floor() {
    for name in packages().keys().filter(|name| *name != "xtask") {
        assert!(
            floor(name).is_some(),
            "{name} has no floor: add it to FLOORS and to ARCHITECTURE.md"
        );
    }
}

#[test]
fn dependencies_run_downwards_only() {
    for (name, package) in packages() {
        for dependency in &package.dependencies {
            let Some(below) = floor(dependency) else {
                continue;
            };
            let Some(own) = floor(&name) else {
                panic!("{name} uses {dependency} but has no floor")
            };
            assert!(
                below < own,
                "{name} (floor {own}) must not depend on {dependency} (floor {below})"
            );
        }
    }
}

#[test]
fn rooms_do_not_know_what_is_not_their_business() {
    let packages = packages();
    for (name, forbidden) in FORBIDDEN {
        for dependency in &packages[*name].dependencies {
            assert!(
                !forbidden.contains(&dependency.as_str()),
                "{name} must not depend on {dependency}"
            );
        }
    }
}

#[test]
fn connectors_do_not_use_all_of_datafusion_except_for_files() {
    for (name, package) in packages() {
        let is_connector = floor(&name) == Some(3) && name != "owlet-object";
        let datafusion = package
            .dependencies
            .iter()
            .find(|dependency| dependency.starts_with("datafusion"));
        assert!(
            !is_connector || datafusion.is_none(),
            "{name} must not depend on {datafusion:?}"
        );
    }
}

#[test]
fn what_ships_does_not_link_the_testkit() {
    for (name, package) in packages() {
        assert!(
            !package
                .dependencies
                .iter()
                .any(|dependency| dependency == "owlet-testkit"),
            "{name} links the testkit"
        );
    }
}

/// Neither OpenSSL, protoc nor cmake may be needed on the builder's machine.
#[test]
fn building_needs_a_c_compiler_and_nothing_else() {
    let metadata = cargo_metadata(&["--locked"]);
    let names: Vec<&str> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| package["name"].as_str().unwrap())
        .collect();
    let resolved: Vec<&str> = metadata["resolve"]["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|node| node["id"].as_str())
        .collect();
    assert_eq!(names.len(), resolved.len());
    for forbidden in FORBIDDEN_EVERYWHERE {
        assert!(
            !names.contains(forbidden),
            "{forbidden} came into the dependency graph"
        );
    }
}
