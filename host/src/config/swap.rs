//! Pure: the section `swap` of a service. In: the section. Out: `Swap`. Owns nothing.

use std::time::Duration;

use super::Swap;
use super::connection::set;
use super::section::Section;

const MIB: usize = 1024 * 1024;
const DAY: Duration = Duration::from_secs(86_400);

impl Default for Swap {
    fn default() -> Self {
        Self {
            probation: Duration::from_secs(60),
            messages: 0,
            faults: 3,
            versions: 3,
            saved: 16 * MIB,
            shadow: Duration::ZERO,
        }
    }
}

/// Reads the section; what it does not say is the default.
pub(super) fn swap(mut section: Section<'_>) -> Swap {
    let mut swap = Swap::default();
    set(
        section
            .take("probation")
            .and_then(|given| given.duration(Duration::ZERO..=365 * DAY)),
        &mut swap.probation,
    );
    set(
        section
            .take("messages")
            .and_then(|given| given.number(0..=u64::MAX)),
        &mut swap.messages,
    );
    set(
        section
            .take("faults")
            .and_then(|given| given.number(0..=u32::MAX)),
        &mut swap.faults,
    );
    set(
        section
            .take("versions")
            .and_then(|given| given.number(0..=100)),
        &mut swap.versions,
    );
    set(
        section
            .take("saved")
            .and_then(|given| given.size(0..=1024 * MIB)),
        &mut swap.saved,
    );
    set(
        section
            .take("shadow")
            .and_then(|given| given.duration(Duration::ZERO..=DAY)),
        &mut swap.shadow,
    );
    section.finish();
    swap
}
