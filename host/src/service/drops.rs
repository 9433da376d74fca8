//! Pure: what is said about messages that a full mailbox dropped. In: the mailbox's counters. Out: how many to speak of now:
//! a flood becomes one log line a second. Owns what was said last.

use std::time::{Duration, Instant};

use crate::mailbox::Counters;

/// The shortest time between two lines.
const PAUSE: Duration = Duration::from_secs(1);

/// What was said about dropped messages so far.
#[derive(Debug, Default)]
pub struct Drops {
    said: u64,
    at: Option<Instant>,
}

impl Drops {
    /// How many messages were dropped that were not spoken of yet; `None`: nothing to say now.
    pub fn news(&mut self, counters: Counters, now: Instant) -> Option<u64> {
        let dropped = counters.dropped_oldest + counters.dropped_newest;
        let pause = self.at.is_some_and(|at| now.saturating_duration_since(at) < PAUSE);
        if dropped == self.said || pause {
            return None;
        }
        self.at = Some(now);
        Some(dropped - std::mem::replace(&mut self.said, dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_spoken_of_once_a_second_and_completely() {
        let (mut drops, start) = (Drops::default(), Instant::now());
        let dropped =
            |oldest, newest| Counters { dropped_oldest: oldest, dropped_newest: newest, ..Counters::default() };
        assert_eq!(drops.news(dropped(0, 0), start), None);
        assert_eq!(drops.news(dropped(1, 0), start), Some(1));
        assert_eq!(drops.news(dropped(5, 2), start + PAUSE / 2), None);
        assert_eq!(drops.news(dropped(5, 3), start + PAUSE), Some(7));
        assert_eq!(drops.news(dropped(5, 3), start + 3 * PAUSE), None);
    }
}
