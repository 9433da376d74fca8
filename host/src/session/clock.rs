//! The clock of the session.

use std::time::Instant;

/// The current time, read once for everything that is done in one turn.
pub(super) fn now() -> Instant {
    Instant::now()
}
