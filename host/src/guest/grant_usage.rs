//! The grants of a service that its guest has used.

use std::sync::atomic::{AtomicU64, Ordering};

/// Kinds of grants whose use is seen. Directories and variables of the environment are a guest's from its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantKind {
    /// `grants.publish`.
    Publish,
    /// `grants.subscribe`.
    Subscribe,
    /// `grants.http`.
    Http,
    /// `grants.sockets`.
    Sockets,
}

/// The grants of one section of the configuration that were used, by their place in it. Those from the 64th on are seen together.
#[derive(Debug, Default)]
pub struct GrantUsage([AtomicU64; 4]);

impl GrantUsage {
    /// Notes that the grant at `place` was used. Costs one load when that is known.
    pub(super) fn note(&self, kind: GrantKind, place: usize) {
        let Some(seen) = self.0.get(kind as usize) else {
            return;
        };
        let bit = bit(place);
        if seen.load(Ordering::Relaxed) & bit == 0 {
            seen.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Whether the grant at `place` was used.
    pub fn is_used(&self, kind: GrantKind, place: usize) -> bool {
        let seen = self.0.get(kind as usize);
        seen.is_some_and(|seen| seen.load(Ordering::Relaxed) & bit(place) != 0)
    }
}

fn bit(place: usize) -> u64 {
    1 << place.min(63)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_and_place_is_seen_for_itself() {
        let usage = GrantUsage::default();
        usage.note(GrantKind::Publish, 1);
        usage.note(GrantKind::Http, 70);
        assert!(usage.is_used(GrantKind::Publish, 1) && usage.is_used(GrantKind::Http, 64));
        assert!(!usage.is_used(GrantKind::Publish, 0) && !usage.is_used(GrantKind::Sockets, 1));
    }
}
