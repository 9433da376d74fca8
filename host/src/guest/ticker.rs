//! The clock that interrupts guests: one epoch tick a millisecond in the engines while calls run. Its thread sleeps without
//! wake-ups while no guest runs.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::{self, Thread};
use std::time::Duration;

use wasmtime::{Engine, EngineWeak};

/// Time from tick to tick.
pub(super) const TICK: Duration = Duration::from_millis(1);

/// Ticks without any call after which the thread parks: unparking costs a call some microseconds, so a service that gets a
/// message every few milliseconds should not pay it for each.
const IDLE_TICKS: u32 = 20;

/// At most two engines tick: the pooling one and the on-demand one.
type Engines = [OnceLock<EngineWeak>; 2];

/// Ticks the engines while calls run.
pub(super) struct Ticker {
    shared: Arc<Shared>,
    thread: Thread,
}

struct Shared {
    /// The number of running calls.
    running: AtomicUsize,
    /// Whether the thread sleeps or is about to.
    parked: AtomicBool,
    engines: Engines,
}

impl Ticker {
    /// Starts the thread; it ends when the ticker is dropped.
    pub(super) fn start() -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            running: AtomicUsize::new(0),
            parked: AtomicBool::new(false),
            engines: [const { OnceLock::new() }; 2],
        });
        let weak = Arc::downgrade(&shared);
        let thread = thread::Builder::new()
            .name("guest-ticker".to_owned())
            .spawn(move || run(&weak))?;
        Ok(Self {
            shared,
            thread: thread.thread().clone(),
        })
    }

    /// Ticks `engine` too.
    pub(super) fn add(&self, engine: &Engine) {
        let weak = engine.weak();
        for slot in &self.shared.engines {
            if slot.set(weak.clone()).is_ok() {
                return;
            }
        }
    }

    fn enter(&self) {
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        // the other half of the handshake is in `Shared::rest`: each side writes first and reads then
        if self.shared.parked.load(Ordering::SeqCst)
            && self.shared.parked.swap(false, Ordering::SeqCst)
        {
            self.thread.unpark();
        }
    }

    fn leave(&self) {
        self.shared.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.parked.store(false, Ordering::SeqCst);
        self.thread.unpark();
    }
}

/// The calls of one instance: the engines tick while one runs. Dropping it in the middle of a call ends the call.
pub(super) struct ActiveCall {
    ticker: Arc<Ticker>,
    running: bool,
}

impl ActiveCall {
    pub(super) fn new(ticker: Arc<Ticker>) -> Self {
        Self {
            ticker,
            running: false,
        }
    }

    /// Starts a call.
    pub(super) fn begin(&mut self) {
        if !self.running {
            self.running = true;
            self.ticker.enter();
        }
    }

    /// Ends the call.
    pub(super) fn end(&mut self) {
        if self.running {
            self.running = false;
            self.ticker.leave();
        }
    }
}

impl Drop for ActiveCall {
    fn drop(&mut self) {
        self.end();
    }
}

/// Takes a strong reference for each tick only, so that the thread ends soon after the ticker is dropped.
fn run(shared: &Weak<Shared>) {
    let mut idle = 0;
    while let Some(shared) = shared.upgrade() {
        if shared.running.load(Ordering::SeqCst) > 0 {
            idle = 0;
            shared.tick();
        } else {
            idle += 1;
        }

        let rest = idle > IDLE_TICKS && shared.rest();
        drop(shared);
        if rest {
            thread::park();
            idle = 0;
        } else {
            thread::sleep(TICK);
        }
    }
}

impl Shared {
    fn tick(&self) {
        for engine in self.engines.iter().filter_map(|slot| slot.get()?.upgrade()) {
            engine.increment_epoch();
        }
    }

    /// Whether the thread may park. Says that it does before it looks once more for calls, so that a call that begins
    /// meanwhile is either seen here or sees `parked`.
    fn rest(&self) -> bool {
        self.parked.store(true, Ordering::SeqCst);
        if self.running.load(Ordering::SeqCst) == 0 {
            return true;
        }
        self.parked.store(false, Ordering::SeqCst);
        false
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::time::Instant;

    use super::*;

    fn wait_for(what: impl Fn() -> bool) -> bool {
        let end = Instant::now() + Duration::from_secs(10);
        while !what() {
            if Instant::now() > end {
                return false;
            }
            thread::yield_now();
        }

        true
    }

    #[test]
    fn parks_when_idle_and_wakes_for_each_call() {
        let ticker = Arc::new(Ticker::start().unwrap());
        for _ in 0..3 {
            assert!(
                wait_for(|| ticker.shared.parked.load(Ordering::SeqCst)),
                "it did not park"
            );
            let mut active_call = ActiveCall::new(ticker.clone());
            active_call.begin();
            assert!(
                !ticker.shared.parked.load(Ordering::SeqCst),
                "it was not woken"
            );
            drop(active_call);
        }
    }

    #[test]
    fn the_thread_ends_with_the_ticker() {
        let ticker = Ticker::start().unwrap();
        let shared = Arc::downgrade(&ticker.shared);
        drop(ticker);
        assert!(wait_for(|| shared.strong_count() == 0));
    }
}
