//! `owlet.toml`: found, read, interpolated, checked and turned into settings, in that order and without effects.
//! [`runtime`] is the only part that builds anything from them. Must never know a command.

mod document;
mod error;
mod guest;
mod interpolate;
mod locate;
mod options;
mod resolve;
pub mod runtime;
mod schema;
mod secret;
mod settings;
mod wording;

use std::path::{Path, PathBuf};

pub use error::ConfigError;
pub use locate::FILE_NAME;
pub use schema::json_schema;
pub use settings::{CatalogSettings, Config};

/// Where configuration comes from.
#[derive(Debug, Clone, Default)]
pub struct ConfigSource {
    /// `--config` or `OWLET_CONFIG`; `None` looks for `owlet.toml` from `folder` upwards.
    pub file: Option<PathBuf>,
    /// The folder to start looking in.
    pub folder: PathBuf,
}

/// Reads the configuration; without a file it is empty, and file paths in SQL still work.
pub fn load(source: &ConfigSource) -> Result<Config, ConfigError> {
    let Some(path) = locate::locate(source)? else {
        return Ok(Config::default());
    };
    let text = std::fs::read_to_string(&path).map_err(|error| ConfigError::Unreadable {
        file: path.clone(),
        message: error.to_string(),
    })?;
    parse(&path, &text, &|name| std::env::var(name).ok())
}

/// Turns the text of a file into settings. `environment` answers `${NAME}`.
pub fn parse(
    path: &Path,
    text: &str,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Config, ConfigError> {
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    let mut document = document::Document::parse(path, text)?;
    document.interpolate(&folder, environment)?;
    let mut config = resolve::resolve(document)?;
    config.file = Some(path.to_owned());
    config.folder = folder;
    Ok(config)
}

#[cfg(test)]
mod tests;
