//! Read-only connections and the idle ones kept for the next statement. Must never know Arrow.

use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use owlet_connector::{ConnectorError, Result};
use rusqlite::{Connection, OpenFlags};

use crate::errors::{Place, connector_error};
use crate::functions;
use crate::infer::{InferredTypes, KnownTypes, SchemaVersion};
use crate::options::SqliteOptions;

/// Connections to one database file. There is no upper bound on open connections: a query may read several scans in
/// lockstep, and a bound could make it wait for itself. Idle ones are kept up to the configured number.
#[derive(Debug)]
pub(crate) struct Pool {
    catalog: String,
    options: SqliteOptions,
    idle: Mutex<Vec<(FileIdentity, Connection)>>,
    types: KnownTypes,
}

/// A connection that goes back to the pool when dropped.
#[derive(Debug)]
pub(crate) struct PooledConnection {
    pool: Arc<Pool>,
    identity: FileIdentity,
    connection: Option<Connection>,
}

/// Which file a connection has open: a database may be replaced by renaming another file over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    device: u64,
    inode: u64,
}

impl Pool {
    /// A pool without connections.
    pub fn new(catalog: String, options: SqliteOptions) -> Arc<Self> {
        Arc::new(Self {
            catalog,
            options,
            idle: Mutex::new(Vec::new()),
            types: KnownTypes::default(),
        })
    }

    /// Catalog name.
    pub fn catalog(&self) -> &str {
        &self.catalog
    }

    /// Translates an error of one of this pool's connections.
    pub fn error(&self, error: &rusqlite::Error) -> ConnectorError {
        connector_error(
            Place {
                catalog: &self.catalog,
                path: &self.options.path,
            },
            error,
        )
    }

    /// An idle connection, or a new one. Blocks.
    pub fn take(self: &Arc<Self>) -> Result<PooledConnection> {
        let identity = self.identity()?;
        let idle = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.retain(|(opened, _)| *opened == identity);
            idle.pop()
        };
        let connection = match idle {
            Some((_, connection)) => connection,
            None => self.open().map_err(|error| self.error(&error))?,
        };
        Ok(PooledConnection {
            pool: Arc::clone(self),
            identity,
            connection: Some(connection),
        })
    }

    /// Runs blocking work on a connection, away from the async threads.
    pub async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&PooledConnection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let pool = Arc::clone(self);
        tokio::task::spawn_blocking(move || work(&pool.take()?))
            .await
            .map_err(|error| {
                ConnectorError::Internal(format!("a SQLite task ended early: {error}"))
            })?
    }

    /// The file as it is now. Only its metadata is read: opening and closing the file here would drop the locks
    /// that other connections of this process hold on it.
    fn identity(&self) -> Result<FileIdentity> {
        let path = &self.options.path;
        let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => ConnectorError::Unreachable {
                catalog: self.catalog.clone(),
                message: format!("the file {} does not exist", path.display()),
                hint: "check `path`; a relative path starts at the configuration file".to_owned(),
            },
            std::io::ErrorKind::PermissionDenied => ConnectorError::PermissionDenied {
                catalog: self.catalog.clone(),
                object: path.display().to_string(),
                message: error.to_string(),
                hint: "Owlet needs to read the file and to enter its folder".to_owned(),
            },
            _ => ConnectorError::Unreachable {
                catalog: self.catalog.clone(),
                message: format!("cannot look at {}: {error}", path.display()),
                hint: String::new(),
            },
        })?;
        if metadata.is_dir() {
            return Err(ConnectorError::Configuration {
                catalog: self.catalog.clone(),
                message: format!("{} is a folder", path.display()),
                hint: "point `path` at the database file".to_owned(),
            });
        }
        Ok(file_identity(&metadata))
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        // One thread at a time uses a connection, so SQLite's own mutex is not needed.
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.options.path, flags)?;
        connection.busy_timeout(self.options.busy_timeout)?;
        functions::register(&connection)?;
        connection.execute_batch("PRAGMA query_only = ON; PRAGMA trusted_schema = OFF")?;
        // Opening reads nothing; this does, and tells a database from any other file.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(connection)
    }

    fn give_back(&self, identity: FileIdentity, connection: Connection) {
        // A connection inside a transaction would keep its old snapshot, and a writer waiting. After a panic nobody
        // knows what state it is in.
        if !connection.is_autocommit() || std::thread::panicking() {
            return;
        }
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < self.options.idle_connections {
            idle.push((identity, connection));
        }
    }
}

impl Deref for PooledConnection {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        match &self.connection {
            Some(connection) => connection,
            // Only `drop` takes the connection out.
            None => unreachable!("a pooled connection is used after it was given back"),
        }
    }
}

impl Drop for PooledConnection {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.give_back(self.identity, connection);
        }
    }
}

impl PooledConnection {
    /// Translates an error of this connection.
    pub fn error(&self, error: &rusqlite::Error) -> ConnectorError {
        self.pool.error(error)
    }

    /// Catalog name.
    pub fn catalog(&self) -> &str {
        self.pool.catalog()
    }

    /// Native types of those columns of a table for which SQLite tells none.
    pub fn inferred_types(&self, table: &str, columns: &[&str]) -> rusqlite::Result<InferredTypes> {
        let version = SchemaVersion {
            file: self.identity,
            number: self.query_row("PRAGMA schema_version", [], |row| row.get(0))?,
        };
        let steps = self.pool.options.inference_steps;
        self.pool
            .types
            .of_table(self, version, table, columns, steps)
    }
}

#[cfg(unix)]
fn file_identity(metadata: &std::fs::Metadata) -> FileIdentity {
    use std::os::unix::fs::MetadataExt;
    FileIdentity {
        device: metadata.dev(),
        inode: metadata.ino(),
    }
}

#[cfg(not(unix))]
fn file_identity(metadata: &std::fs::Metadata) -> FileIdentity {
    let created = metadata
        .created()
        .ok()
        .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    FileIdentity {
        device: 0,
        inode: created.map_or(0, |age| age.as_nanos() as u64),
    }
}
