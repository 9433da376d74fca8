//! A clock that a test moves, in place of the clocks and the random numbers of the machine: a guest that sees nothing else does
//! the same whenever it is run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use wasmtime_wasi::{Deterministic, HostMonotonicClock, HostWallClock, WasiCtxBuilder};

/// The wall clock at the beginning: 1 January 2026, midnight UTC, in seconds since 1970.
const BEGINNING: u64 = 1_767_225_600;

/// The monotonic clock at the beginning: Go takes zero for a clock that is broken.
const UP: Duration = Duration::from_secs(1);

/// The random numbers repeat after this many bytes.
const RANDOM_BYTES: usize = 64 * 1024;

/// A clock that stands still until it is moved.
#[derive(Debug)]
pub struct VirtualClock {
    beginning: Instant,
    milliseconds: AtomicU64,
}

impl VirtualClock {
    /// Creates a clock that begins now.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            beginning: Instant::now(),
            milliseconds: AtomicU64::new(0),
        })
    }

    /// The present time of this clock.
    pub fn now(&self) -> Instant {
        self.beginning + self.elapsed()
    }

    /// The time since its beginning.
    pub fn elapsed(&self) -> Duration {
        Duration::from_millis(self.milliseconds.load(Ordering::Relaxed))
    }

    /// Moves the clock to `time`, in whole milliseconds; never back.
    pub fn move_to(&self, time: Instant) {
        let elapsed = time.saturating_duration_since(self.beginning).as_millis();
        let elapsed = u64::try_from(elapsed).unwrap_or(u64::MAX);
        self.milliseconds.fetch_max(elapsed, Ordering::Relaxed);
    }
}

/// Gives WASI this clock, and random numbers that are the same each time.
pub(super) fn install(clock: &Arc<VirtualClock>, builder: &mut WasiCtxBuilder) {
    let mut random = fastrand::Rng::with_seed(1);
    let bytes: Vec<u8> = std::iter::repeat_with(|| random.u8(..))
        .take(RANDOM_BYTES)
        .collect();

    builder
        .wall_clock(Wall(clock.clone()))
        .monotonic_clock(Monotonic(clock.clone()))
        .secure_random(Deterministic::new(bytes.clone()))
        .insecure_random(Deterministic::new(bytes))
        .insecure_random_seed(1);
}

struct Wall(Arc<VirtualClock>);

impl HostWallClock for Wall {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::from_secs(BEGINNING) + self.0.elapsed()
    }
}

struct Monotonic(Arc<VirtualClock>);

impl HostMonotonicClock for Monotonic {
    fn resolution(&self) -> u64 {
        1_000_000
    }

    fn now(&self) -> u64 {
        u64::try_from((UP + self.0.elapsed()).as_nanos()).unwrap_or(u64::MAX)
    }
}
