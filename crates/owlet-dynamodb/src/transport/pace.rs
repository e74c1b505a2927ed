//! How fast requests may be sent: a shared brake that throttling sets and success releases, and a bucket of read
//! capacity units a second. Must never know requests.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rand::Rng as _;

/// First pause after throttling.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Longest pause between two requests.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Pauses below this are no pause.
const NEGLIGIBLE_PAUSE: Duration = Duration::from_millis(2);

/// A pause before each request, shared by all requests of a catalog: doubled by throttling, shortened by success.
#[derive(Debug, Default)]
pub(crate) struct Brake {
    pause: Mutex<Duration>,
}

impl Brake {
    /// How long to wait before the next request, spread at random so that waiting requests do not return together.
    pub(crate) fn pause(&self) -> Duration {
        let pause = *lock(&self.pause);
        if pause.is_zero() {
            pause
        } else {
            pause.mul_f64(rand::rng().random_range(0.5..1.5))
        }
    }

    /// The service throttled a request.
    pub(crate) fn throttled(&self) {
        let mut pause = lock(&self.pause);
        *pause = (*pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
    }

    /// A request succeeded.
    pub(crate) fn succeeded(&self) {
        let mut pause = lock(&self.pause);
        *pause = pause.mul_f64(0.7);
        if *pause < NEGLIGIBLE_PAUSE {
            *pause = Duration::ZERO;
        }
    }
}

/// Wait before the repetition number `attempt` (from 0), full jitter over an exponentially growing range.
/// Source of the method: <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>.
pub(crate) fn backoff(attempt: u32) -> Duration {
    let ceiling = Duration::from_millis(50)
        .saturating_mul(1 << attempt.min(10))
        .min(LONGEST_PAUSE);
    ceiling.mul_f64(rand::rng().random_range(0.3..1.0))
}

/// A token bucket of read capacity units. One second's worth may be used at once.
#[derive(Debug)]
pub(crate) struct CapacityBucket {
    units_per_second: f64,
    state: Mutex<BucketState>,
}

#[derive(Debug)]
struct BucketState {
    balance: f64,
    refilled: Instant,
}

impl CapacityBucket {
    pub(crate) fn new(units_per_second: f64) -> Self {
        let state = BucketState {
            balance: units_per_second,
            refilled: Instant::now(),
        };
        Self {
            units_per_second,
            state: Mutex::new(state),
        }
    }

    /// Takes the expected cost of a request; `Err` tells how long to wait before asking again. A request that is
    /// expected to cost more than a second's worth may start when the bucket is full.
    pub(crate) fn take(&self, expected: f64) -> Result<(), Duration> {
        let mut state = lock(&self.state);
        let now = Instant::now();
        let refill = now.duration_since(state.refilled).as_secs_f64() * self.units_per_second;
        state.balance = (state.balance + refill).min(self.units_per_second);
        state.refilled = now;
        let needed = expected.min(self.units_per_second);
        if state.balance >= needed {
            state.balance -= expected;
            return Ok(());
        }
        let seconds = (needed - state.balance) / self.units_per_second;
        Err(Duration::from_secs_f64(seconds.clamp(0.001, 3600.0)))
    }

    /// Corrects the balance once the real cost is known.
    pub(crate) fn settle(&self, expected: f64, consumed: f64) {
        lock(&self.state).balance += expected - consumed;
    }

    /// Units a second.
    pub(crate) fn units_per_second(&self) -> f64 {
        self.units_per_second
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brake_grows_and_is_released() {
        let brake = Brake::default();
        assert_eq!(brake.pause(), Duration::ZERO);
        for _ in 0..20 {
            brake.throttled();
        }
        assert!(brake.pause() >= LONGEST_PAUSE / 2);
        for _ in 0..60 {
            brake.succeeded();
        }
        assert_eq!(brake.pause(), Duration::ZERO);
    }

    #[test]
    fn the_bucket_owes_what_was_consumed() {
        let bucket = CapacityBucket::new(10.0);
        assert!(bucket.take(5.0).is_ok());
        bucket.settle(5.0, 25.0);
        let wait = bucket.take(5.0).expect_err("the bucket is in debt");
        assert!(
            wait > Duration::from_millis(1500) && wait < Duration::from_millis(2100),
            "{wait:?}"
        );
    }

    #[test]
    fn a_request_above_the_rate_can_start() {
        let bucket = CapacityBucket::new(10.0);
        assert!(bucket.take(128.0).is_ok());
        assert!(bucket.take(1.0).is_err());
    }
}
