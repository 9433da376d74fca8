//! Throttled events: the first of each kind is logged at once, the others as counts with the last one, a minute apart.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use super::state::Event;

/// How long counts are collected.
const PERIOD: Duration = Duration::from_secs(60);

/// Counts of events that were not logged one by one.
#[derive(Debug, Default)]
pub(super) struct EventThrottle {
    kinds: HashMap<&'static str, KindCount>,
    /// Number of unreported events of all kinds.
    unreported: u64,
}

#[derive(Debug)]
struct KindCount {
    /// The begin of the count.
    since: Instant,
    count: u64,
    last: Option<Event>,
}

/// Some events of one kind.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Summary {
    /// Their number.
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
    /// Handles an event. Returns it if it is the first of its kind, to be logged now. Repetitions that are not errors are not counted.
    pub(super) fn admit(
        &mut self,
        kind: &'static str,
        event: Event,
        now: Instant,
    ) -> Option<Event> {
        match self.kinds.get_mut(kind) {
            Some(_) if !event.is_error() => None,
            Some(known) => {
                self.unreported += 1;
                known.count += 1;
                known.last = Some(event);
                None
            }
            None => {
                self.kinds.insert(
                    kind,
                    KindCount {
                        since: now,
                        count: 0,
                        last: None,
                    },
                );

                Some(event)
            }
        }
    }

    /// Whether some events are unreported.
    pub(super) const fn is_due(&self) -> bool {
        self.unreported > 0
    }

    /// Returns the summaries that are due at `now`; at the `end` all of them.
    pub(super) fn take_summaries(&mut self, now: Instant, end: bool) -> Vec<Summary> {
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
                self.unreported -= kind.count;
                (kind.since, kind.count) = (now, 0);
            }
        }

        summaries
    }

    /// Starts again: the next event of each kind is the first.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_events_are_logged_and_then_counts_each_minute() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let event = |packet| Event::Unattributed { packet };
        let mut throttle = EventThrottle::default();
        assert_eq!(throttle.admit("a", event("1"), at(0)), Some(event("1")));
        assert!(!throttle.is_due());
        for (second, packet) in [(1, "2"), (2, "3")] {
            assert_eq!(throttle.admit("a", event(packet), at(second)), None);
        }
        assert_eq!(
            throttle.admit("b", event("4"), at(30)),
            Some(event("4")),
            "another kind"
        );
        assert!(throttle.is_due() && throttle.take_summaries(at(59), false).is_empty());
        assert_eq!(
            throttle.take_summaries(at(60), false),
            [Summary {
                count: 2,
                last: event("3")
            }]
        );

        assert!(!throttle.is_due());
        assert_eq!(throttle.admit("a", event("5"), at(61)), None);
        assert!(throttle.take_summaries(at(119), false).is_empty());
        assert_eq!(
            throttle.take_summaries(at(119), true),
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
            [(); 3].map(|()| throttle.admit("retain", lowered(), at(119)).is_some()),
            [true, false, false]
        );
        assert!(throttle.take_summaries(at(300), true).is_empty());
        throttle.reset();
        assert_eq!(throttle.admit("a", event("6"), at(120)), Some(event("6")));
    }
}
