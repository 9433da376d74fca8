//! The time that a guest call waits for others, which does not count against its deadline. The call and the timer of its
//! deadline share the clock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Measures the waits of one call.
#[derive(Debug, Default)]
pub(super) struct WaitClock {
    waits: Mutex<Waits>,
    /// Whether there is anything to reset, so that calls that never wait take no lock.
    used: AtomicBool,
}

#[derive(Debug, Default)]
struct Waits {
    over: Duration,
    /// The number of waits under way, and the start of the first.
    lasting: Option<(u32, Instant)>,
}

/// A wait that ends when the guard is dropped.
#[derive(Debug)]
pub(super) struct WaitGuard(Arc<WaitClock>);

impl WaitClock {
    /// Starts a call: waits of an earlier call do not count for it.
    pub(super) fn reset(&self) {
        if self.used.load(Ordering::Relaxed) {
            let mut waits = self.waits();
            waits.over = Duration::ZERO;
            if let Some((_, since)) = &mut waits.lasting {
                *since = Instant::now();
            } else {
                self.used.store(false, Ordering::Relaxed);
            }
        }
    }

    /// Starts a wait.
    pub(super) fn begin(self: &Arc<Self>) -> WaitGuard {
        self.used.store(true, Ordering::Relaxed);
        let mut waits = self.waits();
        match &mut waits.lasting {
            Some((count, _)) => *count += 1,
            None => waits.lasting = Some((1, Instant::now())),
        }
        WaitGuard(self.clone())
    }

    /// The time that the call has waited, a wait under way included.
    pub(super) fn waited(&self, now: Instant) -> Duration {
        let waits = self.waits();
        waits.over
            + waits.lasting.map_or(Duration::ZERO, |(_, since)| {
                now.saturating_duration_since(since)
            })
    }

    fn waits(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for WaitGuard {
    fn drop(&mut self) {
        let mut waits = self.0.waits();
        waits.lasting = match waits.lasting {
            Some((count, since)) if count > 1 => Some((count - 1, since)),
            Some((_, since)) => {
                waits.over += since.elapsed();
                None
            }
            None => None,
        };
    }
}
