//! Machine: the time that a guest call spends waiting for others. In: the beginning and the end of each wait. Out: how long the
//! call has waited, which does not count against its deadline. Owns the sum; shared by the call and what watches its deadline.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The waits of one call.
#[derive(Debug, Default)]
pub(super) struct Pause {
    waits: Mutex<Waits>,
    /// Whether there is anything to forget, so that calls that never wait take no lock.
    used: AtomicBool,
}

#[derive(Debug, Default)]
struct Waits {
    over: Duration,
    /// How many waits last, and since when one does.
    lasting: Option<(u32, Instant)>,
}

/// A wait that lasts until this is dropped.
#[derive(Debug)]
pub(super) struct Wait(Arc<Pause>);

impl Pause {
    /// A call begins: what an earlier one has waited does not count for it.
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

    /// A wait begins.
    pub(super) fn begin(self: &Arc<Self>) -> Wait {
        self.used.store(true, Ordering::Relaxed);
        let mut waits = self.waits();
        match &mut waits.lasting {
            Some((count, _)) => *count += 1,
            None => waits.lasting = Some((1, Instant::now())),
        }
        Wait(self.clone())
    }

    /// How long the call has waited, a wait that still lasts included.
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

impl Drop for Wait {
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
