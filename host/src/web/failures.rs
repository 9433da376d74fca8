//! Wrong tokens and passwords by address, and how long an address has to wait after them. Pure: the time is an argument.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Failures of an address before it has to wait.
pub(super) const FREE_FAILURES: u32 = 5;
/// The first and the longest wait after a failure.
pub(super) const FIRST_WAIT: Duration = Duration::from_secs(1);
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Addresses whose failures are counted at most; the oldest is forgotten.
const ADDRESSES: usize = 1024;

/// The failures of all addresses.
#[derive(Debug, Default)]
pub(super) struct Failures(HashMap<IpAddr, OfAddress>);

/// The failures of one address.
#[derive(Debug, Clone, Copy)]
struct OfAddress {
    count: u32,
    last: Instant,
}

impl Failures {
    /// The time that is left until an address may try again; `None` if it may now.
    pub(super) fn wait(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let failures = self.0.get(&address)?;
        let beyond = failures.count.checked_sub(FREE_FAILURES)?;
        let wait = FIRST_WAIT
            .saturating_mul(2_u32.saturating_pow(beyond))
            .min(LONGEST_WAIT);
        let left = wait.saturating_sub(now.saturating_duration_since(failures.last));

        (!left.is_zero()).then_some(left)
    }

    /// Counts a failure.
    pub(super) fn note(&mut self, address: IpAddr, now: Instant) {
        if self.0.len() >= ADDRESSES && !self.0.contains_key(&address) {
            let oldest = self.0.iter().min_by_key(|(_, failures)| failures.last);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                self.0.remove(&oldest);
            }
        }

        let failures = self.0.entry(address).or_insert(OfAddress {
            count: 0,
            last: now,
        });
        failures.count += 1;
        failures.last = now;
    }

    /// Forgets the failures of an address, which has succeeded.
    pub(super) fn forget(&mut self, address: IpAddr) {
        self.0.remove(&address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_of_addresses_is_bounded() {
        let mut failures = Failures::default();
        let start = Instant::now();
        for address in 0..2 * ADDRESSES as u32 {
            failures.note(IpAddr::V4(address.into()), start);
        }
        assert_eq!(failures.0.len(), ADDRESSES);
    }
}
