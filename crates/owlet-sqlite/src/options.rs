//! What a SQLite catalog is configured with. Must never know a configuration file.

use std::path::PathBuf;
use std::time::Duration;

/// Options of one SQLite catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteOptions {
    /// The database file.
    pub path: PathBuf,
    /// How long a statement waits for a writer's lock before it fails.
    pub busy_timeout: Duration,
    /// How many idle connections are kept for the next statement.
    pub idle_connections: usize,
    /// Steps of SQLite's virtual machine that the first rows of a table or view may cost from which the types of its
    /// untyped columns are inferred. A million are 10 to 20 ms.
    pub inference_steps: i32,
}

impl SqliteOptions {
    /// Defaults for a file: five seconds of patience, four idle connections, one or two seconds for inferring types.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            busy_timeout: Duration::from_secs(5),
            idle_connections: 4,
            inference_steps: 100_000_000,
        }
    }
}
