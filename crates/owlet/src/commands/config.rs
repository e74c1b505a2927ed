//! `owlet config`: the JSON Schema of the configuration, and what is in force.

use std::fmt::Write as _;

use serde::Serialize;
use toml::Value;

use super::Context;
use crate::arguments::ConfigCommand;
use crate::config;
use crate::errors::{CliError, ExitStatus, Result};

/// Runs the command.
pub fn run(command: &ConfigCommand, context: &Context) -> Result<ExitStatus> {
    let text = match command {
        ConfigCommand::Schema => {
            let schema = serde_json::to_string_pretty(&config::json_schema())
                .map_err(|error| CliError::failed(error.to_string(), ""))?;
            schema + "\n"
        }
        ConfigCommand::Show => show(context)?,
    };
    context.printer.result(&text)?;
    Ok(ExitStatus::Success)
}

/// What is in force, as a configuration file whose secrets are not shown: references are replaced, and keys are in the
/// order of the alphabet.
fn show(context: &Context) -> Result<String> {
    let config = config::load(&context.config)?;
    let mut text = match &config.file {
        Some(file) => format!("# {}\n", file.display()),
        None => "# no owlet.toml here or above\n".to_owned(),
    };
    write_table(&mut text, "engine", None, &config.engine)?;
    for catalog in &config.catalogs {
        let kind = catalog.settings.kind();
        let name = format!("catalog.{}", key(&catalog.name));
        write_table(&mut text, &name, Some(kind), &catalog.settings)?;
    }
    Ok(text)
}

/// Appends the settings that are given as the table `name`, with its tables behind it.
fn write_table(
    text: &mut String,
    name: &str,
    connector: Option<&str>,
    settings: &impl Serialize,
) -> Result<()> {
    let failed = |error: toml::ser::Error| CliError::failed(error.to_string(), "");
    let settings = toml::Table::try_from(settings).map_err(failed)?;
    let first = connector.map(|word| ("connector".to_owned(), Value::from(word)));
    write_entries(text, name, first, settings);
    Ok(())
}

fn write_entries(
    text: &mut String,
    name: &str,
    first: Option<(String, Value)>,
    entries: toml::Table,
) {
    let (tables, values): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|(_, value)| value.is_table());
    let is_empty_list = |value: &Value| value.as_array().is_some_and(Vec::is_empty);
    let values: Vec<_> = first
        .into_iter()
        .chain(
            values
                .into_iter()
                .filter(|(_, value)| !is_empty_list(value)),
        )
        .collect();
    if !values.is_empty() {
        let _ = writeln!(text, "\n[{name}]");
    }
    for (entry, value) in values {
        let _ = writeln!(text, "{} = {value}", key(&entry));
    }
    for (entry, value) in tables {
        if let Value::Table(inner) = value {
            write_entries(text, &format!("{name}.{}", key(&entry)), None, inner);
        }
    }
}

/// A key, in quotes where TOML wants them.
fn key(name: &str) -> String {
    let is_bare = |character: char| character.is_ascii_alphanumeric() || "_-".contains(character);
    if !name.is_empty() && name.chars().all(is_bare) {
        return name.to_owned();
    }
    Value::from(name).to_string()
}
