//! The clock of the session.

use std::time::{Instant, SystemTime};

/// The current time, read once for everything that is done in one turn.
pub(super) fn now() -> Instant {
    Instant::now()
}

/// The current time by the calendar, for traces.
pub(super) fn calendar_time() -> SystemTime {
    SystemTime::now()
}
