//! Types of the columns for which SQLite tells none, from the values they hold. Must never know plans.
//!
//! SQLite tells no type for what a view computes (`count(*)`, `sum(x)`) and for columns declared without one, as
//! `CREATE TABLE … AS` leaves them. Read as text, their numbers would be compared as texts: 10 before 9. So the first
//! values decide, and a later value of another type is an error, as in columns with a declared type.

use std::collections::{BTreeSet, HashMap};
use std::ffi::c_int;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use owlet_remote_sql::sqlite::column::{ANY_TYPE, INFERRED_SUFFIX, UNKNOWN_TYPE};
use rusqlite::{Connection, ErrorCode};

use crate::connection::FileIdentity;

/// Rows whose values are looked at.
const ROWS: u32 = 10_000;

/// Native types by column name.
pub(crate) type InferredTypes = Arc<HashMap<String, String>>;

/// The state of a database for which types were inferred: its file, and the number of its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SchemaVersion {
    pub file: FileIdentity,
    pub number: i64,
}

/// Types that were inferred before. A table keeps them as long as the schema stays, so that planning and metadata speak
/// of the same types, and a costly view is not computed for each query.
#[derive(Debug, Default)]
pub(crate) struct KnownTypes {
    tables: Mutex<HashMap<String, (SchemaVersion, InferredTypes)>>,
}

impl KnownTypes {
    /// The types of a table's columns, from memory or from its first rows, for which SQLite may take this many steps.
    pub fn of_table(
        &self,
        connection: &Connection,
        version: SchemaVersion,
        table: &str,
        columns: &[&str],
        steps: c_int,
    ) -> rusqlite::Result<InferredTypes> {
        if columns.is_empty() {
            return Ok(InferredTypes::default());
        }
        if let Some((known, types)) = self.lock().get(table)
            && *known == version
        {
            return Ok(Arc::clone(types));
        }
        let sample = Sample::take(connection, table, columns, steps)?;
        let types: InferredTypes = Arc::new(
            columns
                .iter()
                .zip(&sample.storage_classes)
                .map(|(column, classes)| ((*column).to_owned(), native_type(classes)))
                .collect(),
        );
        // A column without values gets its type when it has some; what was costly is not tried again.
        let has_values = |classes: &BTreeSet<String>| !classes.is_empty();
        if sample.is_cut || sample.storage_classes.iter().all(has_values) {
            self.lock()
                .insert(table.to_owned(), (version, Arc::clone(&types)));
        }
        Ok(types)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, (SchemaVersion, InferredTypes)>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the first rows showed.
struct Sample {
    /// `typeof` of the values that are not NULL, for each column.
    storage_classes: Vec<BTreeSet<String>>,
    /// The rows cost too much, or could not be computed.
    is_cut: bool,
}

impl Sample {
    fn take(
        connection: &Connection,
        table: &str,
        columns: &[&str],
        steps: c_int,
    ) -> rusqlite::Result<Self> {
        let mut sample = Self {
            storage_classes: vec![BTreeSet::new(); columns.len()],
            is_cut: false,
        };
        let limited = StepLimit::new(connection, steps);
        let outcome = sample.read(connection, table, columns);
        drop(limited);
        let Err(error) = outcome else {
            return Ok(sample);
        };
        // The query will meet other errors than a lock itself, if it asks for the same rows at all.
        let is_locked = matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
        );
        if is_locked {
            return Err(error);
        }
        sample.is_cut = true;
        Ok(sample)
    }

    fn read(
        &mut self,
        connection: &Connection,
        table: &str,
        columns: &[&str],
    ) -> rusqlite::Result<()> {
        let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
        let types: Vec<String> = columns
            .iter()
            .map(|column| format!("typeof(t.{})", quote(column)))
            .collect();
        let sql = format!(
            "SELECT {} FROM main.{} AS t LIMIT {ROWS}",
            types.join(", "),
            quote(table)
        );
        let mut statement = connection.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            for (position, classes) in self.storage_classes.iter_mut().enumerate() {
                let class = row.get_ref(position)?.as_str()?;
                if class != "null" && !classes.contains(class) {
                    classes.insert(class.to_owned());
                }
            }
        }
        Ok(())
    }
}

/// Interrupts a connection's statement after a number of steps. They are counted and not timed, so that the same data
/// give the same types on a slow machine.
struct StepLimit<'a> {
    connection: &'a Connection,
}

impl<'a> StepLimit<'a> {
    fn new(connection: &'a Connection, steps: c_int) -> Self {
        connection.progress_handler(steps, Some(|| true));
        Self { connection }
    }
}

impl Drop for StepLimit<'_> {
    fn drop(&mut self) {
        self.connection.progress_handler(0, None::<fn() -> bool>);
    }
}

/// The type that holds all these values.
fn native_type(storage_classes: &BTreeSet<String>) -> String {
    let classes: Vec<&str> = storage_classes.iter().map(String::as_str).collect();
    let inferred = |name: &str| format!("{name}{INFERRED_SUFFIX}");
    match classes.as_slice() {
        [] => UNKNOWN_TYPE.to_owned(),
        ["integer"] => inferred("INTEGER"),
        ["real"] | ["integer", "real"] => inferred("REAL"),
        ["blob"] => inferred("BLOB"),
        _ => ANY_TYPE.to_owned(),
    }
}
