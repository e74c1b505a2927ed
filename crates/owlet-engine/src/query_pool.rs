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
/// Part of the memory that queues may hold beside it, before they take it from others.
const QUEUES_BESIDE: usize = 4;

/// Shares memory fairly among what can spill, as DataFusion's `FairSpillPool` does, with two differences.
///
/// What can spill never takes all: the merging of sorts beside it would fail.
///
/// Queues between threads always get what they ask for, and no share is kept for them. They hold a few batches each, which
/// are on their way to somebody who has to have room for them.
/// DataFusion 55.2 lets them spill too, and then queries can stand still for ever (seen: a GROUP BY over Parquet). By
/// reading its code: the reader waits for the first of several files, while the writers of the one that it wants wait for
/// the reader.
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
    queued: usize,
}

/// Which of the counters a consumer is counted by.
#[derive(Clone, Copy)]
enum Kind {
    Sharing,
    Queue,
    Other,
}

impl Kind {
    fn of(consumer: &MemoryConsumer) -> Self {
        match consumer.can_spill() {
            true if consumer.name().starts_with(QUEUE) => Self::Queue,
            true => Self::Sharing,
            false => Self::Other,
        }
    }
}

impl State {
    fn counter(&mut self, kind: Kind) -> &mut usize {
        match kind {
            Kind::Sharing => &mut self.spillable,
            Kind::Queue => &mut self.queued,
            Kind::Other => &mut self.unspillable,
        }
    }
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

impl MemoryPool for QueryPool {
    fn name(&self) -> &str {
        "queries"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        if let Kind::Sharing = Kind::of(consumer) {
            self.lock().sharing += 1;
        }
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        if let Kind::Sharing = Kind::of(consumer) {
            let mut state = self.lock();
            state.sharing = state.sharing.saturating_sub(1);
        }
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        *self.lock().counter(Kind::of(reservation.consumer())) += additional;
    }

    fn shrink(&self, reservation: &MemoryReservation, bytes: usize) {
        let mut state = self.lock();
        let counter = state.counter(Kind::of(reservation.consumer()));
        *counter = counter.saturating_sub(bytes);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let kind = Kind::of(reservation.consumer());
        let mut state = self.lock();
        let taken_by_queues = state.queued.saturating_sub(self.bytes / QUEUES_BESIDE);
        let left = self
            .bytes
            .saturating_sub(state.unspillable + taken_by_queues);
        let available = match kind {
            Kind::Queue => usize::MAX,
            Kind::Sharing => {
                let together = left.min(self.bytes / 3 * SPILLABLE_THIRDS);
                let share = together / state.sharing.max(1);
                share.saturating_sub(reservation.size())
            }
            Kind::Other => left.saturating_sub(state.spillable),
        };
        if additional > available {
            return Err(self.refusal(reservation, additional, available));
        }
        *state.counter(kind) += additional;
        Ok(())
    }

    fn reserved(&self) -> usize {
        let state = self.lock();
        state.spillable + state.unspillable + state.queued
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
