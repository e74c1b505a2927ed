//! Metadata kept for a short while. Must never do I/O.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use owlet_connector::{TableMetadata, TableSummary};

use crate::catalog::Layout;

/// Exact schema and table name.
pub(crate) type TableKey = (String, String);

/// What is remembered of one catalog.
#[derive(Debug)]
pub(crate) struct MetadataCache {
    pub(crate) tables: Expiring<TableKey, Arc<TableMetadata>>,
    pub(crate) layouts: Expiring<TableKey, Arc<Layout>>,
    /// Names for matching without regard to case: all schemas under `()`, tables by schema.
    pub(crate) schema_names: Expiring<(), Arc<Vec<String>>>,
    pub(crate) table_names: Expiring<String, Arc<Vec<TableSummary>>>,
}

impl MetadataCache {
    pub(crate) fn new(time_to_live: Duration) -> Self {
        Self {
            tables: Expiring::new(time_to_live),
            layouts: Expiring::new(time_to_live),
            schema_names: Expiring::new(time_to_live),
            table_names: Expiring::new(time_to_live),
        }
    }

    /// Forgets everything: a scan found that something is not what it was.
    pub(crate) fn clear(&self) {
        self.tables.clear();
        self.layouts.clear();
        self.schema_names.clear();
        self.table_names.clear();
    }
}

/// A map whose entries are good for a while.
#[derive(Debug)]
pub(crate) struct Expiring<K, V> {
    time_to_live: Duration,
    entries: Mutex<HashMap<K, (Instant, V)>>,
}

impl<K: Eq + Hash, V: Clone> Expiring<K, V> {
    fn new(time_to_live: Duration) -> Self {
        Self {
            time_to_live,
            entries: Mutex::new(HashMap::new()),
        }
    }

    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let entries = self.lock();
        let (since, value) = entries.get(key)?;
        (since.elapsed() < self.time_to_live).then(|| value.clone())
    }

    pub(crate) fn insert(&self, key: K, value: V) {
        self.lock().insert(key, (Instant::now(), value));
    }

    fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, (Instant, V)>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_expire() {
        let lasting = Expiring::new(Duration::from_secs(60));
        lasting.insert("a", 1);
        assert_eq!(lasting.get(&"a"), Some(1));
        lasting.clear();
        assert_eq!(lasting.get(&"a"), None);
        let instant = Expiring::new(Duration::ZERO);
        instant.insert("a", 1);
        assert_eq!(instant.get(&"a"), None);
    }
}
