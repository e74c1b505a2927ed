//! Finds the configuration file. Must never read it.

use std::path::{Path, PathBuf};

use super::{ConfigError, ConfigSource};

/// The file's name where none is given.
pub const FILE_NAME: &str = "owlet.toml";

/// The named file, else the nearest `owlet.toml` from the folder upwards, else none.
pub fn locate(source: &ConfigSource) -> Result<Option<PathBuf>, ConfigError> {
    let Some(file) = &source.file else {
        return Ok(nearest(&source.folder));
    };
    if !file.exists() {
        return Err(ConfigError::Missing { file: file.clone() });
    }
    Ok(Some(file.clone()))
}

fn nearest(folder: &Path) -> Option<PathBuf> {
    folder
        .ancestors()
        .map(|folder| folder.join(FILE_NAME))
        .find(|file| file.is_file())
}
