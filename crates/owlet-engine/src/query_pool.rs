//! The memory that queries share. Must never know plans.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation, human_readable_size,
};

/// Begins the names of the queues between threads of a plan.
const QUEUE: &str = "RepartitionExec";
/// Thirds of the memory that what can spill may fill. Sorts that have spilled need the rest for merging, which cannot
/// spill.
const SPILLABLE_THIRDS: usize = 2;

/// Shares memory fairly among what can spill, as DataFusion's `FairSpillPool` does, with two differences.
///
/// What can spill never takes all: the merging of sorts beside it would fail.
///
/// Queues between threads always get what they ask for, and no share is kept for them. They hold a few batches each.
/// DataFusion 55.2 lets them spill too, into several files of which the reader waits for the first one: when the batch it
/// wants is in another, whose writers wait for the reader, the query stands still for ever.
#[derive(Debug)]
pub struct QueryPool {
    bytes: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Consumers that can spill, without queues.
    sharing: usize,
    spillable: usize,
    unspillable: usize,
}

impl QueryPool {
    /// A pool of so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self {
            bytes,
            state: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refusal(
        &self,
        reservation: &MemoryReservation,
        additional: usize,
        available: usize,
    ) -> DataFusionError {
        DataFusionError::ResourcesExhausted(format!(
            "Failed to allocate {} for {} with {} allocated, {} of {self} available",
            human_readable_size(additional),
            reservation.consumer().name(),
            human_readable_size(reservation.size()),
            human_readable_size(available),
        ))
    }
}

fn is_queue(consumer: &MemoryConsumer) -> bool {
    consumer.can_spill() && consumer.name().starts_with(QUEUE)
}

fn shares(consumer: &MemoryConsumer) -> bool {
    consumer.can_spill() && !is_queue(consumer)
}

impl MemoryPool for QueryPool {
    fn name(&self) -> &str {
        "queries"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        if shares(consumer) {
            self.lock().sharing += 1;
        }
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        if shares(consumer) {
            let mut state = self.lock();
            state.sharing = state.sharing.saturating_sub(1);
        }
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        let mut state = self.lock();
        if shares(reservation.consumer()) {
            state.spillable += additional;
        } else {
            state.unspillable += additional;
        }
    }

    fn shrink(&self, reservation: &MemoryReservation, bytes: usize) {
        let mut state = self.lock();
        if shares(reservation.consumer()) {
            state.spillable = state.spillable.saturating_sub(bytes);
        } else {
            state.unspillable = state.unspillable.saturating_sub(bytes);
        }
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let mut state = self.lock();
        if is_queue(reservation.consumer()) {
            state.unspillable += additional;
            return Ok(());
        }
        let unspillable_left = self.bytes.saturating_sub(state.unspillable);
        if shares(reservation.consumer()) {
            let together = unspillable_left.min(self.bytes / 3 * SPILLABLE_THIRDS);
            let share = together / state.sharing.max(1);
            if reservation.size() + additional > share {
                return Err(self.refusal(reservation, additional, share));
            }
            state.spillable += additional;
            return Ok(());
        }
        let available = unspillable_left.saturating_sub(state.spillable);
        if additional > available {
            return Err(self.refusal(reservation, additional, available));
        }
        state.unspillable += additional;
        Ok(())
    }

    fn reserved(&self) -> usize {
        let state = self.lock();
        state.spillable + state.unspillable
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.bytes)
    }
}

impl fmt::Display for QueryPool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{}(pool_size: {})",
            self.name(),
            human_readable_size(self.bytes)
        )
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn queues_get_all_and_others_their_share() {
        let pool: Arc<dyn MemoryPool> = Arc::new(QueryPool::new(300));
        let consumer = |name: &str| MemoryConsumer::new(name).with_can_spill(true);
        let queue = consumer("RepartitionExec[0]").register(&pool);
        let sort = consumer("ExternalSorter[0]").register(&pool);
        let group = consumer("FinalHashAggregateStream[0]").register(&pool);
        let merge = MemoryConsumer::new("ExternalSorterMerge[0]").register(&pool);
        queue.try_grow(1000).expect("a queue is never refused");
        queue.shrink(1000);
        sort.try_grow(100).expect("its share of two thirds");
        assert!(sort.try_grow(1).is_err());
        group.try_grow(100).expect("the other share");
        merge.try_grow(100).expect("what others cannot take");
        assert!(merge.try_grow(1).is_err());
        assert_eq!(pool.reserved(), 300);
    }
}
