//! What a connector keeps for each query under way: a snapshot, a server, a view. Must never know what it is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::work::QueryWork;

/// One value for each query, forgotten some time after the query is over.
#[derive(Debug)]
pub struct PerQuery<T> {
    kept: Mutex<HashMap<usize, Kept<T>>>,
}

/// The weak reference keeps the address, which is the key, from being used again.
#[derive(Debug)]
struct Kept<T> {
    query: Weak<QueryWork>,
    value: Arc<T>,
}

impl<T> Default for PerQuery<T> {
    fn default() -> Self {
        Self {
            kept: Mutex::default(),
        }
    }
}

impl<T> PerQuery<T> {
    /// The value of this query, made when it is first asked for.
    pub fn get_or_insert_with(&self, query: &Arc<QueryWork>, make: impl FnOnce() -> T) -> Arc<T> {
        let mut kept = self.lock();
        kept.retain(|_, entry| entry.query.strong_count() > 0);
        let entry = kept
            .entry(Arc::as_ptr(query) as usize)
            .or_insert_with(|| Kept {
                query: Arc::downgrade(query),
                value: Arc::new(make()),
            });
        Arc::clone(&entry.value)
    }

    /// Forgets the value of this query, alive or not.
    pub fn remove(&self, query: &Weak<QueryWork>) {
        self.lock().remove(&(query.as_ptr() as usize));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<usize, Kept<T>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::Budget;

    #[test]
    fn each_query_has_its_own_value_until_it_is_over() {
        let values = PerQuery::default();
        let first = QueryWork::new(Budget::default());
        let second = QueryWork::new(Budget::default());
        assert_eq!(*values.get_or_insert_with(&first, || 1), 1);
        assert_eq!(*values.get_or_insert_with(&first, || 2), 1);
        assert_eq!(*values.get_or_insert_with(&second, || 3), 3);
        values.remove(&Arc::downgrade(&second));
        assert_eq!(*values.get_or_insert_with(&second, || 4), 4);
        drop(first);
        values.get_or_insert_with(&second, || 5);
        assert_eq!(values.lock().len(), 1);
    }
}
