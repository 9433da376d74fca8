//! The time, as spans since 1970 or since an arbitrary moment; virtual in the test kit.

use std::time::Duration;

use crate::host;

/// Returns the time since 1970 by the system's clock, for people to read. It may jump.
pub fn wall() -> Duration {
    host::clock::wall()
}

/// Time since some moment: for measuring. It never jumps.
pub fn monotonic() -> Duration {
    host::clock::monotonic()
}
