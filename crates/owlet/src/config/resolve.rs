//! From a document to settings: which table means what, and every problem found on the way. Must never open anything.

use toml::de::DeValue;

use super::document::{self, Document, Entry, Places};
use super::error::{ConfigError, Problem};
use super::settings::{
    Catalog, CatalogSettings, Config, DynamoDbSettings, DynamoDbSource, EngineSettings,
    MysqlSettings, ObjectSettings, PostgresSettings,
};
use crate::units::ByteSize;

/// Connector words of later versions, so that their users get a better answer than "unknown".
const LATER_CONNECTORS: [&str; 2] = ["lambda", "glue"];

const CONNECTORS: [&str; 5] = ["postgres", "mysql", "sqlite", "dynamodb", "object"];

/// Below this even a sort of a few rows fails.
const LEAST_MEMORY: ByteSize = ByteSize(16_000_000);

/// The key of an address that goes on with a path.
const LOCATION: &str = "location";

/// What to do with keys in an address.
const KEYS_HINT: &str = "take them out of the address, and give them as access_key_id and secret_access_key, or name a profile";

/// Reads an interpolated document; every problem found is listed.
pub fn resolve(document: Document<'_>) -> Result<Config, ConfigError> {
    let (places, entries) = document.into_parts();
    let mut config = Config::default();
    let mut problems = Vec::new();
    // Also those whose settings are wrong: each mistake is told once.
    let catalog_names: Vec<String> = entries
        .iter()
        .filter(|entry| entry.key == "catalog")
        .filter_map(|entry| entry.value.get_ref().as_table())
        .flat_map(|table| table.keys().map(|name| name.get_ref().to_lowercase()))
        .collect();
    for entry in entries {
        match entry.key.as_str() {
            "engine" => {
                problems.extend(unknown_default(&places, &entry, &catalog_names));
                let memory_offset = offset_of(&entry, "memory_limit");
                match places.read::<EngineSettings>("engine", entry.value) {
                    Ok(engine) => {
                        problems.extend(little_memory(&places, memory_offset, &engine));
                        config.engine = engine;
                    }
                    Err(problem) => problems.push(problem),
                }
            }
            "catalog" => resolve_catalogs(&places, entry, &mut config.catalogs, &mut problems),
            other => {
                let known = ["catalog".to_owned(), "engine".to_owned()];
                problems.push(places.unknown_key(entry.offset, other, "the file", &known));
            }
        }
    }
    places.fail_if_any(problems)?;
    Ok(config)
}

/// Where the value of a key of a table stands; the table's own place when it is not there.
fn offset_of(table: &Entry<'_>, key: &str) -> usize {
    let value = table
        .value
        .get_ref()
        .as_table()
        .and_then(|table| table.get(key));
    value.map_or(table.offset, |value| value.span().start)
}

/// The problem of a limit that no sort can work with; mostly a number whose unit was forgotten.
fn little_memory(places: &Places, offset: usize, engine: &EngineSettings) -> Option<Problem> {
    let limit = engine.memory_limit?;
    if limit.0 >= LEAST_MEMORY.0 {
        return None;
    }
    let message =
        format!("[engine] memory_limit is {limit}, and queries need {LEAST_MEMORY} at least");
    let hint = "a number without a unit is bytes: write for example memory_limit = \"512MB\", or leave it out for a \
                share of the machine's memory";
    Some(places.problem(offset, message, hint))
}

/// The problem of a `default_catalog` that is none of the catalogs.
fn unknown_default(places: &Places, engine: &Entry<'_>, known: &[String]) -> Option<Problem> {
    let value = engine.value.get_ref().as_table()?.get("default_catalog")?;
    // Another type is reported where it is read.
    let name = value.get_ref().as_str()?;
    if known.contains(&name.to_lowercase()) {
        return None;
    }
    let hint = match document::nearest(name, known) {
        Some(suggestion) => format!("did you mean \"{suggestion}\"?"),
        None if known.is_empty() => {
            format!("add [catalog.{name}], or remove default_catalog")
        }
        None => format!("known catalogs: {}", known.join(", ")),
    };
    let message = format!("[engine] default_catalog \"{name}\" is no catalog of this file");
    Some(places.problem(value.span().start, message, hint))
}

fn resolve_catalogs(
    places: &Places,
    entry: Entry<'_>,
    catalogs: &mut Vec<Catalog>,
    problems: &mut Vec<Problem>,
) {
    let DeValue::Table(table) = entry.value.into_inner() else {
        problems.push(places.problem(
            entry.offset,
            "`catalog` must be a table",
            "write [catalog.NAME]",
        ));
        return;
    };
    for entry in document::entries(table) {
        let name = entry.key.to_lowercase();
        if let Err(problem) = check_catalog_name(places, &entry, catalogs) {
            problems.push(problem);
            continue;
        }
        match resolve_catalog(places, entry) {
            Ok(settings) => catalogs.push(Catalog { name, settings }),
            Err(problem) => problems.push(problem),
        }
    }
}

fn check_catalog_name(
    places: &Places,
    entry: &Entry<'_>,
    catalogs: &[Catalog],
) -> Result<(), Problem> {
    let name = entry.key.to_lowercase();
    if name.is_empty() || name.contains(['.', '"']) {
        let message = format!("`{}` cannot be a catalog name", entry.key);
        return Err(places.problem(entry.offset, message, "use letters, digits and underscores"));
    }
    if catalogs.iter().any(|catalog| catalog.name == name) {
        let message = format!("catalog {name} is configured twice (names are case-insensitive)");
        return Err(places.problem(entry.offset, message, "rename one of them"));
    }
    Ok(())
}

fn resolve_catalog(places: &Places, entry: Entry<'_>) -> Result<CatalogSettings, Problem> {
    let table_name = format!("catalog.{}", entry.key);
    let mut value = entry.value;
    let DeValue::Table(fields) = value.get_mut() else {
        return Err(places.problem(entry.offset, format!("[{table_name}] must be a table"), ""));
    };
    let all_words = || format!("connector is one of {}", quoted(&CONNECTORS));
    let Some(connector) = fields.remove("connector") else {
        let message = format!("[{table_name}] has no `connector`");
        return Err(places.problem(entry.offset, message, all_words()));
    };
    let offset = connector.span().start;
    let DeValue::String(word) = connector.get_ref() else {
        return Err(places.problem(
            offset,
            format!("[{table_name}] connector must be text"),
            all_words(),
        ));
    };
    let refuse_keys =
        |addresses: &[(&str, Option<&str>)]| match addresses.iter().find_map(with_keys) {
            None => Ok(()),
            Some(key) => {
                let message = format!("[{table_name}] `{key}` holds a user or a key");
                Err(places.problem(offset, message, KEYS_HINT))
            }
        };
    match word.as_ref() {
        "postgres" => {
            let settings: PostgresSettings = places.read(&table_name, value)?;
            refuse_keys(&[("aws_endpoint", settings.aws_endpoint.as_deref())])?;
            Ok(CatalogSettings::Postgres(settings))
        }
        "mysql" => {
            let settings: MysqlSettings = places.read(&table_name, value)?;
            refuse_keys(&[("aws_endpoint", settings.aws_endpoint.as_deref())])?;
            Ok(CatalogSettings::Mysql(settings))
        }
        "sqlite" => places.read(&table_name, value).map(CatalogSettings::Sqlite),
        "dynamodb" => {
            let settings: DynamoDbSettings = places.read(&table_name, value)?;
            refuse_keys(&[
                ("endpoint", settings.endpoint.as_deref()),
                (LOCATION, settings.location.as_deref()),
            ])?;
            match contradiction(&settings) {
                None => Ok(CatalogSettings::DynamoDb(settings)),
                Some((message, hint)) => {
                    Err(places.problem(offset, format!("[{table_name}] {message}"), hint))
                }
            }
        }
        "object" => {
            let settings: ObjectSettings = places.read(&table_name, value)?;
            refuse_keys(&[
                ("endpoint", settings.endpoint.as_deref()),
                (LOCATION, Some(&settings.location)),
            ])?;
            Ok(CatalogSettings::Object(settings))
        }
        later if LATER_CONNECTORS.contains(&later) => {
            let message =
                format!("[{table_name}] connector \"{later}\" is not in this version of Owlet");
            Err(places.problem(offset, message, all_words()))
        }
        other => {
            let known = CONNECTORS.map(ToOwned::to_owned);
            let hint = match document::nearest(other, &known) {
                Some(suggestion) => format!("did you mean \"{suggestion}\"?"),
                None => all_words(),
            };
            Err(places.problem(
                offset,
                format!("[{table_name}] unknown connector \"{other}\""),
                hint,
            ))
        }
    }
}

/// The key of an address that holds a user, which errors and `owlet config show` would print.
fn with_keys<'a>((key, address): &(&'a str, Option<&str>)) -> Option<&'a str> {
    let address = (*address)?;
    let has_keys = match address.split_once("://") {
        // A secret may have a / of its own, an object's name an @; a bucket's name has no colon.
        Some((_, rest)) if *key == LOCATION => rest
            .split('/')
            .next()
            .is_some_and(|authority| authority.contains(['@', ':'])),
        // A folder.
        None if *key == LOCATION => false,
        _ => address.contains('@'),
    };
    has_keys.then_some(*key)
}

/// Keys of a DynamoDB catalog that mean nothing together, with the remedy.
fn contradiction(settings: &DynamoDbSettings) -> Option<(&'static str, &'static str)> {
    let exported = settings.source == Some(DynamoDbSource::Export);
    if exported && settings.location.is_none() {
        return Some((
            "source = \"export\" without `location`",
            "add location = \"s3://bucket/prefix\", or a folder",
        ));
    }
    if exported && settings.embedded.is_some() {
        return Some((
            "`embedded` is a live database, source = \"export\" reads files",
            "remove one of them",
        ));
    }
    if !exported && settings.location.is_some() {
        return Some((
            "`location` without source = \"export\"",
            "add source = \"export\" to read exported files",
        ));
    }
    None
}

fn quoted(words: &[&str]) -> String {
    words
        .iter()
        .map(|word| format!("\"{word}\""))
        .collect::<Vec<_>>()
        .join(", ")
}
