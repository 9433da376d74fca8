//! Machine: the time that a guest call spends waiting for others. In: the beginning and the end of a wait. Out: how long the call
//! has waited, which does not count against its deadline. Owns the sum; shared by the call and what watches its deadline.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The waits of one call.
#[derive(Debug, Default)]
pub(super) struct Pause(Mutex<Waits>);

#[derive(Debug, Default)]
struct Waits {
    over: Duration,
    since: Option<Instant>,
}

impl Pause {
    /// A call begins.
    pub(super) fn reset(&self) {
        *self.waits() = Waits::default();
    }

    /// A wait begins.
    pub(super) fn begin(&self) {
        self.waits().since = Some(Instant::now());
    }

    /// The wait is over.
    pub(super) fn end(&self) {
        let mut waits = self.waits();
        if let Some(since) = waits.since.take() {
            waits.over += since.elapsed();
        }
    }

    /// How long the call has waited, a wait that still lasts included.
    pub(super) fn waited(&self, now: Instant) -> Duration {
        let waits = self.waits();
        waits.over + waits.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    fn waits(&self) -> MutexGuard<'_, Waits> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
