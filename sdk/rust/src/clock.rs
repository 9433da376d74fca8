//! The time. In: nothing. Out: spans since 1970 or since some moment; virtual in the test kit. Owns nothing.

use std::time::Duration;

use crate::host;

/// Time since 1970, by the clock on the wall: for what people read. It may jump.
pub fn wall() -> Duration {
    host::clock::wall()
}

/// Time since some moment: for measuring. It never jumps.
pub fn monotonic() -> Duration {
    host::clock::monotonic()
}
