//! The memory that queries share. Must never know plans.

use std::fmt;

use datafusion::common::Result;
use datafusion::execution::memory_pool::{
    FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};

/// Begins the names of the queues between threads of a plan.
const QUEUE: &str = "RepartitionExec";

/// DataFusion's pool that shares memory fairly among what can spill, with one difference: queues between threads always
/// get what they ask for, and no share is kept for them.
///
/// They hold a few batches each. DataFusion 55.2 lets them spill too, into several files of which the reader waits for the
/// first one: when the batch it wants is in another, whose writers wait for the reader, the query stands still for ever.
#[derive(Debug)]
pub struct QueryPool {
    fair: FairSpillPool,
}

impl QueryPool {
    /// A pool of so many bytes.
    pub fn new(bytes: usize) -> Self {
        Self {
            fair: FairSpillPool::new(bytes),
        }
    }
}

fn is_queue(consumer: &MemoryConsumer) -> bool {
    consumer.can_spill() && consumer.name().starts_with(QUEUE)
}

impl MemoryPool for QueryPool {
    fn name(&self) -> &str {
        self.fair.name()
    }

    fn register(&self, consumer: &MemoryConsumer) {
        if !is_queue(consumer) {
            self.fair.register(consumer);
        }
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        if !is_queue(consumer) {
            self.fair.unregister(consumer);
        }
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.fair.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.fair.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        if is_queue(reservation.consumer()) {
            self.fair.grow(reservation, additional);
            return Ok(());
        }
        self.fair.try_grow(reservation, additional)
    }

    fn reserved(&self) -> usize {
        self.fair.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.fair.memory_limit()
    }
}

impl fmt::Display for QueryPool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fair.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn queues_get_all_and_others_their_share() {
        let pool: Arc<dyn MemoryPool> = Arc::new(QueryPool::new(100));
        let consumer = |name: &str| MemoryConsumer::new(name).with_can_spill(true);
        let queue = consumer("RepartitionExec[0]").register(&pool);
        let sort = consumer("ExternalSorter[0]").register(&pool);
        let group = consumer("FinalHashAggregateStream[0]").register(&pool);
        queue.try_grow(200).expect("a queue is never refused");
        sort.try_grow(50).expect("its share is half of the pool");
        assert!(sort.try_grow(1).is_err());
        group.try_grow(50).expect("the other half");
        queue.shrink(200);
        assert_eq!(pool.reserved(), 100);
    }
}
