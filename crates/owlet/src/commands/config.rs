//! `owlet config`: the JSON Schema of the configuration, and what is in force.

use std::fmt::Write as _;

use super::Context;
use crate::arguments::ConfigCommand;
use crate::config::{self, CatalogSettings};
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

/// File, engine settings and catalogs; the settings' own `Debug` form hides secrets.
fn show(context: &Context) -> Result<String> {
    let config = config::load(&context.config)?;
    let mut text = String::new();
    let _ = match &config.file {
        Some(file) => writeln!(text, "file: {}", file.display()),
        None => writeln!(text, "file: none (no owlet.toml here or above)"),
    };
    let _ = writeln!(text, "engine: {:?}", config.engine);
    for catalog in &config.catalogs {
        let settings = match &catalog.settings {
            CatalogSettings::Postgres(settings) => format!("{settings:?}"),
            CatalogSettings::Mysql(settings) => format!("{settings:?}"),
            CatalogSettings::Sqlite(settings) => format!("{settings:?}"),
            CatalogSettings::DynamoDb(settings) => format!("{settings:?}"),
            CatalogSettings::Object(settings) => format!("{settings:?}"),
        };
        let _ = writeln!(text, "catalog {}: {settings}", catalog.name);
    }
    Ok(text)
}
