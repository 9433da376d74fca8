//! The host's functions: the imports of the contract in a component, and the test kit's in a native program. Both have the same names and
//! types.

#[cfg(target_family = "wasm")]
pub(crate) use crate::bindings::{config, log, messaging, state, timers};
#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::test::imports::{clock, config, http, log, messaging, state, timers};

#[cfg(target_family = "wasm")]
pub(crate) mod http;

/// Time and chance, which a component has from WASI.
#[cfg(target_family = "wasm")]
pub(crate) mod clock {
    use std::cell::OnceCell;
    use std::hash::{BuildHasher, RandomState};
    use std::time::{Duration, Instant, SystemTime};

    thread_local! {
        static BEGIN: OnceCell<Instant> = const { OnceCell::new() };
    }

    /// Time since 1970.
    pub(crate) fn wall() -> Duration {
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
    }

    /// Time since some moment, never backwards.
    pub(crate) fn monotonic() -> Duration {
        BEGIN.with(|begin| begin.get_or_init(Instant::now).elapsed())
    }

    /// Returns a random number: each state of a hasher has a new key.
    pub(crate) fn random() -> u64 {
        RandomState::new().hash_one(0_u8)
    }
}
