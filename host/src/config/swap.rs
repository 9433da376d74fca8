//! The section `swap` of a service.

use std::time::Duration;

use super::format::{Flag, Number, Size, Span};
use super::settings::settings;
use super::units::MIB;

const DAY: Duration = Duration::from_secs(86_400);

settings! {
    /// The way in which a new version of a service takes over.
    pub struct Swap {
        /// Whether a new component file takes over by itself. Otherwise its version waits for `miqro-host update NAME`, and the running
        /// version goes on, with `versions` also after a restart of the host.
        pub automatic: bool = true, "automatic": Flag, example "false";
        /// How long a new version is on probation; `0s`: not at all.
        pub probation: Duration = Duration::from_secs(60), "probation": Span(Duration::ZERO..=365 * DAY);
        /// Handled messages after which the probation ends earlier; 0: by time only.
        pub messages: u64 = 0, "messages": Number(0..=u64::MAX);
        /// Faults that a new version may have in its probation. With one more, the former version is put back, with the state
        /// that it had.
        pub faults: u32 = 3, "faults": Number(0..=u32::MAX);
        /// Former versions that are kept.
        pub versions: usize = 3, "versions": Number(0..=100);
        /// Bytes that `save` may hand over.
        pub saved: usize = 16 * MIB, "saved": Size(0..=1024 * MIB);
        /// How long a new version first handles copies of messages while the running one continues, so that the two can be
        /// compared; `0s`: not at all.
        pub shadow: Duration = Duration::ZERO, "shadow": Span(Duration::ZERO..=DAY);
    }
}
