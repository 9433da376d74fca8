//! Counts of faults that were handled without failing the call.

use std::cell::Cell;

/// How often something went wrong since the service was loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Messages (and captured levels) that were not what their handler takes.
    pub decode_errors: u64,
    /// Messages that no handler took.
    pub unhandled: u64,
    /// Readings that a stream dropped because an operator failed.
    pub stream_errors: u64,
}

thread_local! {
    static COUNTERS: Cell<Counters> = const { Cell::new(Counters { decode_errors: 0, unhandled: 0, stream_errors: 0 }) };
}

/// The counts so far.
pub fn counters() -> Counters {
    COUNTERS.get()
}

pub(crate) fn count(change: impl FnOnce(&mut Counters)) {
    let mut counters = COUNTERS.get();
    change(&mut counters);
    COUNTERS.set(counters);
}

pub(crate) fn reset() {
    COUNTERS.set(Counters::default());
}
