//! Pure: what of the events that come in numbers is said. In: events of a kind, the time. Out: the first of each kind at once, then counts
//! with the last one, a minute apart. Owns the counts.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use super::state::Event;

/// How long counts are collected.
const PERIOD: Duration = Duration::from_secs(60);

/// Events that were not said one by one.
#[derive(Debug, Default)]
pub struct EventThrottle {
    kinds: HashMap<&'static str, Kind>,
    /// In all kinds.
    unsaid: u64,
}

#[derive(Debug)]
struct Kind {
    /// Since when the count runs.
    since: Instant,
    count: u64,
    last: Option<Event>,
}

/// Some events of one kind.
#[derive(Debug, PartialEq, Eq)]
pub struct Summary {
    /// How many.
    pub count: u64,
    /// The last of them.
    pub last: Event,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} more times, the last time: {}", self.count, self.last)
    }
}

impl EventThrottle {
    /// Notes an event; gives it back when it is the first of its kind, to be said now. Those that are no errors are not counted.
    pub fn note(&mut self, kind: &'static str, event: Event, now: Instant) -> Option<Event> {
        match self.kinds.get_mut(kind) {
            Some(_) if !event.is_error() => None,
            Some(known) => {
                self.unsaid += 1;
                known.count += 1;
                known.last = Some(event);
                None
            }
            None => {
                self.kinds.insert(
                    kind,
                    Kind {
                        since: now,
                        count: 0,
                        last: None,
                    },
                );
                Some(event)
            }
        }
    }

    /// Whether something was not said yet.
    pub const fn is_due(&self) -> bool {
        self.unsaid > 0
    }

    /// What is to be said at `now`; at the `end` everything that was not said yet.
    pub fn take(&mut self, now: Instant, end: bool) -> Vec<Summary> {
        let mut summaries = Vec::new();
        for kind in self.kinds.values_mut() {
            if !end && now.saturating_duration_since(kind.since) < PERIOD {
                continue;
            }
            if let Some(last) = kind.last.take() {
                summaries.push(Summary {
                    count: kind.count,
                    last,
                });
                self.unsaid -= kind.count;
                (kind.since, kind.count) = (now, 0);
            }
        }
        summaries
    }

    /// Begins again: the next of each kind is the first.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_said_and_then_counts_a_minute_apart() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let event = |packet| Event::Unattributed { packet };
        let mut digest = EventThrottle::default();
        assert_eq!(digest.note("a", event("1"), at(0)), Some(event("1")));
        assert!(!digest.is_due());
        for (second, packet) in [(1, "2"), (2, "3")] {
            assert_eq!(digest.note("a", event(packet), at(second)), None);
        }
        assert_eq!(
            digest.note("b", event("4"), at(30)),
            Some(event("4")),
            "another kind"
        );
        assert!(digest.is_due() && digest.take(at(59), false).is_empty());
        assert_eq!(
            digest.take(at(60), false),
            [Summary {
                count: 2,
                last: event("3")
            }]
        );
        assert!(!digest.is_due());
        assert_eq!(digest.note("a", event("5"), at(61)), None);
        assert!(digest.take(at(119), false).is_empty());
        assert_eq!(
            digest.take(at(119), true),
            [Summary {
                count: 1,
                last: event("5")
            }]
        );
        let lowered = || Event::Lowered {
            topic: crate::topic::Topic::home_assistant(),
            what: "retain",
        };
        assert_eq!(
            [(); 3].map(|()| digest.note("retain", lowered(), at(119)).is_some()),
            [true, false, false]
        );
        assert!(digest.take(at(300), true).is_empty());
        digest.clear();
        assert_eq!(digest.note("a", event("6"), at(120)), Some(event("6")));
    }
}
