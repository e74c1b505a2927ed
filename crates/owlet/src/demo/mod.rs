//! The shop of `owlet demo`: its data, the two databases it is kept in, its configuration, and the tour of
//! questions. Everything is embedded: no server, no network.

mod data;
mod dynamo;
mod random;
mod sqlite;
pub mod tour;

use std::fs;
use std::path::{Path, PathBuf};

use crate::config::{self, CatalogSettings, Config, ConfigSource};
use crate::errors::{CliError, Result};

/// Names within the folder; `owlet.toml` refers to them.
const SQLITE_FILE: &str = "shop.sqlite";
const DYNAMODB_FILE: &str = "events.dynamodb";
const CONFIG_FILE: &str = "owlet.toml";
const CONFIG: &str = include_str!("owlet.toml");

/// A folder that holds the shop.
#[derive(Debug)]
pub struct DemoFolder {
    folder: PathBuf,
}

/// What [`DemoFolder::prepare`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prepared {
    /// The data was made now: this many rows and items.
    Built {
        /// Rows in SQLite.
        rows: u64,
        /// Items in DynamoDB.
        items: u64,
    },
    /// The data was there from an earlier run.
    Found,
}

impl DemoFolder {
    /// The shop's folder; nothing is touched yet.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// The configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.folder.join(CONFIG_FILE)
    }

    /// The embedded DynamoDB's file.
    pub fn dynamodb_file(&self) -> PathBuf {
        self.folder.join(DYNAMODB_FILE)
    }

    /// Builds what is missing. Files that are there stay as they are: each appears only when it is whole.
    pub fn prepare(&self) -> Result<Prepared> {
        fs::create_dir_all(&self.folder).map_err(|error| self.failed(&self.folder, &error))?;
        self.check_configuration()?;
        let sqlite = self.folder.join(SQLITE_FILE);
        let dynamodb = self.dynamodb_file();
        let mut prepared = Prepared::Found;
        if !sqlite.exists() || !dynamodb.exists() {
            let shop = data::shop();
            if !sqlite.exists() {
                self.build(&sqlite, |path| {
                    sqlite::write(path, &shop).map_err(|error| error.to_string())
                })?;
            }
            if !dynamodb.exists() {
                self.build(&dynamodb, |path| {
                    dynamo::write(path, &shop).map_err(|error| error.to_string())
                })?;
            }
            let rows = shop.customers.len()
                + shop.orders.len()
                + shop.order_lines.len()
                + shop.shipments.len();
            let items = shop.order_events.len() + shop.carts.len() + shop.sessions.len();
            prepared = Prepared::Built {
                rows: rows as u64,
                items: items as u64,
            };
        }
        let config = self.config_file();
        if !config.exists() {
            fs::write(&config, CONFIG).map_err(|error| self.failed(&config, &error))?;
        }
        Ok(prepared)
    }

    /// A configuration of somebody else is neither changed nor asked the demo's questions.
    fn check_configuration(&self) -> Result<()> {
        let file = self.config_file();
        if !file.exists() {
            return Ok(());
        }
        let source = ConfigSource {
            file: Some(file.clone()),
            folder: self.folder.clone(),
        };
        if config::load(&source).is_ok_and(|config| is_of_the_shop(&config)) {
            return Ok(());
        }
        Err(CliError::usage(
            format!("{} is there already, and is not the demo's", file.display()),
            "choose another folder with --dir",
        ))
    }

    /// Writes a database under another name and renames it, so that an interrupted run leaves no half database.
    fn build(&self, target: &Path, write: impl FnOnce(&Path) -> Result<(), String>) -> Result<()> {
        let temporary = target.with_extension("building");
        remove_database(&temporary);
        write(&temporary).map_err(|message| {
            remove_database(&temporary);
            CliError::failed(
                format!("cannot write {}: {message}", target.display()),
                "choose another --dir",
            )
        })?;
        fs::rename(&temporary, target).map_err(|error| self.failed(target, &error))
    }

    fn failed(&self, path: &Path, error: &std::io::Error) -> CliError {
        CliError::failed(
            format!("cannot write {}: {error}", path.display()),
            "choose another --dir",
        )
    }
}

/// The demo has written it, though people may have added to it.
fn is_of_the_shop(config: &Config) -> bool {
    let has = |wanted: &dyn Fn(&CatalogSettings) -> bool| {
        config
            .catalogs
            .iter()
            .any(|catalog| wanted(&catalog.settings))
    };
    has(
        &|settings| matches!(settings, CatalogSettings::Sqlite(sqlite) if sqlite.path == Path::new(SQLITE_FILE)),
    ) && has(&|settings| {
        matches!(settings, CatalogSettings::DynamoDb(dynamodb)
                if dynamodb.embedded.as_deref() == Some(Path::new(DYNAMODB_FILE)))
    })
}

/// Removes a database file with its journals; that they do not exist is the usual case.
fn remove_database(path: &Path) {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let _ = fs::remove_file(name);
    }
}
