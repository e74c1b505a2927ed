//! What somebody probably meant who wrote a name that is not there. Must never decide anything.

use datafusion::common::utils::datafusion_strsim::levenshtein;

use crate::catalogs::default_schema;
use crate::engine::{Engine, TableName};
use crate::information_schema;

/// How many names a hint lists.
const LISTED_NAMES: usize = 10;

/// The known name that is written almost like this one.
pub fn nearest<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    let name = name.to_lowercase();
    let distance = |known: &&String| levenshtein(&known.to_lowercase(), &name);
    let near = known.iter().min_by_key(distance)?;
    // A third of the letters may be wrong; a name of which nothing is right is none that was meant.
    let wrong = distance(&near);
    (wrong <= name.chars().count().div_ceil(3) && wrong < near.chars().count())
        .then_some(near.as_str())
}

/// The hint for a catalog that does not exist.
pub fn of_catalogs(name: &str, known: &[String]) -> String {
    if known.is_empty() {
        return "none is configured; write an owlet.toml with `owlet init`".to_owned();
    }
    of_names(name, "catalogs", known)
}

/// The hint for a name that does not exist: the nearest, and the `kind` of names there are.
pub fn of_names(name: &str, kind: &str, known: &[String]) -> String {
    let mut listed: Vec<&str> = known
        .iter()
        .take(LISTED_NAMES)
        .map(String::as_str)
        .collect();
    if known.len() > LISTED_NAMES {
        listed.push("…");
    }
    let all = format!("known {kind}: {}", listed.join(", "));
    match nearest(name, known) {
        Some(near) => format!("did you mean {near}; {all}"),
        None => all,
    }
}

/// Catalog, schema and table that a resolved name means, which may be `catalog.table` in the default catalog.
pub(crate) fn meanings(engine: &Engine, resolved: &str) -> Vec<TableName> {
    let mut parts = resolved.splitn(3, '.').map(str::to_owned);
    let (Some(catalog), Some(schema), Some(table)) = (parts.next(), parts.next(), parts.next())
    else {
        return Vec::new();
    };
    let as_catalog = engine.source(&schema).map(|source| TableName {
        catalog: schema.clone(),
        schema: default_schema(&*source.connector()),
        table: table.clone(),
    });
    let full = TableName {
        catalog,
        schema,
        table,
    };
    // Where the first part is no catalog, only the second can be meant.
    match as_catalog {
        Some(meant) if engine.source(&full.catalog).is_none() => vec![meant],
        as_catalog => std::iter::once(full).chain(as_catalog).collect(),
    }
}

/// What is near the first of these names that has something near it; `None` when nothing is known or a source cannot be
/// listed.
pub(crate) async fn near(engine: &Engine, meant: &[TableName]) -> Option<String> {
    let mut missing = None;
    let mut only_table_is_missing = false;
    for name in meant {
        match near_one(engine, name).await? {
            Near::Name(name) => {
                return Some(format!("did you mean {name}; `owlet tables` lists all"));
            }
            Near::Missing(text) => missing = missing.or(Some(text)),
            Near::NoSuchTable => only_table_is_missing = true,
            Near::Nothing => {}
        }
    }
    // `catalog.table` in a default catalog: that it has no schema `catalog` helps nobody.
    missing.filter(|_| !only_table_is_missing)
}

enum Near {
    /// A full name.
    Name(String),
    /// A part of the name does not exist.
    Missing(String),
    /// Catalog and schema are there, and no table has a similar name.
    NoSuchTable,
    Nothing,
}

async fn near_one(engine: &Engine, name: &TableName) -> Option<Near> {
    let catalogs = engine.catalog_names();
    let Some(source) = engine.source(&name.catalog) else {
        return Some(match nearest(&name.catalog, &catalogs) {
            Some(catalog) => Near::Name(format!("{catalog}.{}.{}", name.schema, name.table)),
            None => Near::Nothing,
        });
    };
    if name.schema == information_schema::SCHEMA {
        let tables = information_schema::TABLES.map(str::to_owned);
        return Some(match nearest(&name.table, &tables) {
            Some(table) => Near::Name(format!("{}.{}.{table}", name.catalog, name.schema)),
            None => Near::Missing(format!("{} has {}", name.schema, tables.join(", "))),
        });
    }
    let connector = source.connector();
    let schemas = connector.schemas().await.ok()?;
    let schema = schemas
        .iter()
        .find(|schema| schema.eq_ignore_ascii_case(&name.schema));
    let Some(schema) = schema else {
        return Some(match nearest(&name.schema, &schemas) {
            Some(schema) => Near::Name(format!("{}.{schema}.{}", name.catalog, name.table)),
            None => Near::Missing(format!(
                "catalog {} has no schema {}; {}",
                name.catalog,
                name.schema,
                of_names(&name.schema, "schemas", &schemas)
            )),
        });
    };
    let tables: Vec<String> = connector
        .tables(schema)
        .await
        .ok()?
        .into_iter()
        .map(|table| table.name)
        .collect();
    Some(match nearest(&name.table, &tables) {
        Some(table) => Near::Name(format!("{}.{schema}.{table}", name.catalog)),
        None => Near::NoSuchTable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_near() {
        let known = ["customers", "Orders", "s1"].map(str::to_owned);
        for (name, expected) in [
            ("custmers", Some("customers")),
            ("ORDER", Some("Orders")),
            ("ordres", Some("Orders")),
            ("shipments", None),
            ("s2", Some("s1")),
            ("xx", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, &known), expected, "{name}");
        }
    }

    #[test]
    fn hints_list_some_names() {
        let known: Vec<String> = (0..12).map(|number| format!("table_{number}")).collect();
        assert_eq!(
            of_names("table_77", "tables", &known[..2]),
            "did you mean table_0; known tables: table_0, table_1"
        );
        assert!(of_names("x", "tables", &known).ends_with("table_9, …"));
    }
}
