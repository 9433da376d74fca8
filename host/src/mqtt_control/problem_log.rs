//! Decides when to log requests that get no answer: each kind at once, and further ones as a count a minute later. Pure.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Shortest time between two lines about one kind.
const PAUSE: Duration = Duration::from_secs(60);

/// Kinds of requests that get no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Problem {
    /// The broker has kept it.
    Retained,
    /// Answers may not go to its response topic.
    ResponseTopic,
    /// It is wrong, and its sender does not say how to recognise the answer.
    Unanswered,
    /// There are too many.
    Dropped,
}

/// Requests of one kind since the last line.
#[derive(Debug)]
struct Count {
    logged_at: Instant,
    pending: u64,
    last: String,
}

/// Requests that got no answer.
#[derive(Debug, Default)]
pub(super) struct ProblemLog {
    counts: BTreeMap<Problem, Count>,
}

impl ProblemLog {
    /// Handles `number` requests. Returns the line to log now.
    pub(super) fn record(
        &mut self,
        problem: Problem,
        (number, text): (u64, String),
        now: Instant,
    ) -> Option<String> {
        match self.counts.get_mut(&problem) {
            Some(count) => {
                count.pending += number;
                count.last = text;
                None
            }
            None => {
                let count = Count {
                    logged_at: now,
                    pending: 0,
                    last: String::new(),
                };
                self.counts.insert(problem, count);
                Some(text)
            }
        }
    }

    /// The time of the next [`ProblemLog::take_due`]; `None`: never.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let times = self.counts.values();
        times.map(|count| count.logged_at + PAUSE).min()
    }

    /// The lines to log at `now`.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<String> {
        let mut lines = Vec::new();
        self.counts.retain(|_, count| {
            if now < count.logged_at + PAUSE {
                return true;
            }
            if count.pending == 0 {
                return false;
            }
            let (number, last) = (count.pending, &count.last);
            lines.push(format!(
                "{number} more requests in a minute; the last: {last}"
            ));
            count.logged_at = now;
            count.pending = 0;
            true
        });

        lines
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn first_is_logged_at_once_and_the_others_are_counted() {
        let mut log = ProblemLog::default();
        let start = Instant::now();
        let line = |text: &str| (1, text.to_owned());
        let first = log.record(Problem::Retained, line("a"), start);
        assert_eq!(first.as_deref(), Some("a"));
        assert_eq!(log.record(Problem::Retained, line("b"), start), None);
        assert_eq!(
            log.record(Problem::Retained, (4, "c".to_owned()), start),
            None
        );
        assert_eq!(
            log.record(Problem::Dropped, line("d"), start).as_deref(),
            Some("d")
        );

        assert_eq!(log.next_due(), Some(start + PAUSE));
        assert!(log.take_due(start).is_empty());
        let later = start + PAUSE;
        assert_eq!(
            log.take_due(later),
            ["5 more requests in a minute; the last: c"]
        );
        assert!(log.take_due(later + PAUSE).is_empty());
        assert_eq!(log.next_due(), None);
    }
}
