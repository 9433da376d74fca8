//! Throttled log of one service: counts faults and exceeded limits, and says when to log them. Pure.
//!
//! The first occurrence of a reason is logged at once. Further ones are counted and logged as one entry after a minute, with the
//! latest reason, so that each reason is logged once a minute at most and none is lost.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::time::{Duration, Instant};

use crate::config::Limits;
use crate::fault_kind::FaultKind;

/// Shortest time between two lines about one reason.
const PAUSE: Duration = Duration::from_secs(60);

/// Reasons of one fault kind that are counted separately within [`PAUSE`]; further ones are counted with the last of them.
const REASONS: usize = 8;

/// Counts of one service, by fault kind.
#[derive(Debug, Default)]
pub(crate) struct ThrottledLog {
    rows: BTreeMap<FaultKind, Row>,
}

/// Counts of one fault kind.
#[derive(Debug, Default)]
struct Row {
    /// Since the last report.
    total: u64,
    /// Before the last report.
    reported: u64,
    /// Reasons that were logged within [`PAUSE`], or have occurrences to log.
    reasons: Vec<ReasonCount>,
}

/// Counts of one reason.
#[derive(Debug)]
struct ReasonCount {
    /// Key that distinguishes it from other reasons of the same fault kind.
    key: String,
    /// Text of the latest occurrence.
    text: String,
    /// Occurrences that were not logged yet.
    pending: u64,
    /// Time of the last log line.
    logged_at: Instant,
}

/// Reason of a fault.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Reason {
    /// Key that distinguishes it from other reasons of the same fault kind; empty where there is only one.
    pub key: String,
    /// Text; empty where the name of the fault kind says it all.
    pub text: String,
}

/// Entry to write to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Fault kind.
    pub kind: FaultKind,
    /// Number of occurrences.
    pub count: u64,
    /// Time in which they occurred.
    pub span: Duration,
    /// Text of the latest reason; empty where the name of the fault kind says it all.
    pub reason: String,
}

impl ThrottledLog {
    /// Counts `count` occurrences. Returns whether to log them now, because the reason was not logged within the last minute.
    pub(crate) fn record(
        &mut self,
        kind: FaultKind,
        reason: Reason,
        count: u64,
        now: Instant,
    ) -> bool {
        let row = self.rows.entry(kind).or_default();
        row.total += count;
        row.reasons.retain(|count_of_reason| {
            count_of_reason.pending > 0
                || now.saturating_duration_since(count_of_reason.logged_at) < PAUSE
        });
        let Reason { key, text } = reason;
        let known = row
            .reasons
            .iter()
            .position(|count_of_reason| count_of_reason.key == key);
        if known.is_none() && row.reasons.len() < REASONS {
            row.reasons.push(ReasonCount {
                key,
                text,
                pending: 0,
                logged_at: now,
            });

            return true;
        }

        if let Some(count_of_reason) = row.reasons.get_mut(known.unwrap_or(REASONS - 1)) {
            count_of_reason.pending += count;
            count_of_reason.text = text;
        }
        false
    }

    /// Counts an occurrence that is logged in any case.
    pub(crate) fn count(&mut self, kind: FaultKind) {
        self.rows.entry(kind).or_default().total += 1;
    }

    /// Time of the next due entry; `None` when nothing is to be logged.
    pub(crate) fn due(&self) -> Option<Instant> {
        let reasons = self.rows.values().flat_map(|row| &row.reasons);
        reasons
            .filter(|count_of_reason| count_of_reason.pending > 0)
            .map(|count_of_reason| count_of_reason.logged_at + PAUSE)
            .min()
    }

    /// Takes the entries of reasons that were not logged within the last minute.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<Entry> {
        self.pending(now, |span| span >= PAUSE)
    }

    /// Takes all entries, and forgets all reasons: the next occurrence of each is logged at once.
    pub(crate) fn reset(&mut self, now: Instant) -> Vec<Entry> {
        let entries = self.pending(now, |_| true);
        self.rows.values_mut().for_each(|row| row.reasons.clear());
        entries
    }

    fn pending(&mut self, now: Instant, is_due: impl Fn(Duration) -> bool) -> Vec<Entry> {
        let mut entries = Vec::new();
        for (kind, row) in &mut self.rows {
            for count_of_reason in row
                .reasons
                .iter_mut()
                .filter(|count_of_reason| count_of_reason.pending > 0)
            {
                let span = now.saturating_duration_since(count_of_reason.logged_at);
                if is_due(span) {
                    count_of_reason.logged_at = now;
                    let count = std::mem::take(&mut count_of_reason.pending);
                    let reason = count_of_reason.text.clone();
                    entries.push(Entry {
                        kind: *kind,
                        count,
                        span,
                        reason,
                    });
                }
            }
        }

        entries
    }

    /// Every fault kind with its count since the beginning.
    pub(crate) fn counts(&self) -> BTreeMap<FaultKind, u64> {
        let counts = self
            .rows
            .iter()
            .map(|(kind, row)| (*kind, row.reported + row.total));
        counts.collect()
    }

    /// Every fault kind with its count since the last report; `None` when nothing occurred.
    pub(crate) fn report(&mut self) -> Option<String> {
        let mut text = String::new();
        for (kind, row) in self.rows.iter_mut().filter(|(_, row)| row.total > 0) {
            let separator = if text.is_empty() { "" } else { ", " };
            // writing to a String cannot fail
            let _ = write!(text, "{separator}{kind} {}", row.total);
            row.reported += std::mem::take(&mut row.total);
        }

        (!text.is_empty()).then_some(text)
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = if self.count == 1 { "time" } else { "times" };
        let seconds = self.span.as_secs();
        match Limits::key_of(self.kind) {
            Some(key) => write!(f, "limits.{key} exceeded {} {times}", self.count)?,
            None if self.kind == FaultKind::Outbox => write!(
                f,
                "the service's share of broker.outbox exceeded {} {times}",
                self.count
            )?,
            None => write!(f, "{}: {} {times}", self.kind, self.count)?,
        }

        if seconds > 0 {
            write!(f, " in the last {seconds} s")?;
        }
        f.write_str(self.kind.consequence())?;
        if self.reason.is_empty() {
            Ok(())
        } else {
            write!(f, "; the last: {}", self.reason)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A reason of this key; its text says which one of them it is.
    fn reason(key: u64, number: u64) -> Reason {
        Reason {
            key: key.to_string(),
            text: format!("{key}.{number}"),
        }
    }

    #[test]
    fn a_flood_is_spoken_of_once_a_minute_and_completely() {
        let mut log = ThrottledLog::default();
        let start = Instant::now();
        let none = Reason::default;
        assert_eq!((log.due(), log.take_due(start)), (None, Vec::new()));
        assert!(log.record(FaultKind::Mailbox, none(), 3, start));
        assert_eq!(log.due(), None);
        assert!(!log.record(FaultKind::Mailbox, none(), 4, start + PAUSE / 2));
        assert!(
            log.record(FaultKind::Trap, none(), 1, start + PAUSE / 2),
            "each name by itself"
        );
        assert_eq!(log.due(), Some(start + PAUSE));
        assert_eq!(log.take_due(start + PAUSE / 2), Vec::new());
        let entries = log.take_due(start + PAUSE);
        assert_eq!(
            entries,
            [Entry {
                kind: FaultKind::Mailbox,
                count: 4,
                span: PAUSE,
                reason: String::new()
            }]
        );

        assert_eq!(
            entries[0].to_string(),
            "limits.mailbox exceeded 4 times in the last 60 s; these messages are dropped"
        );
        assert!(!log.record(FaultKind::Mailbox, none(), 1, start + PAUSE));
        assert_eq!(log.report().as_deref(), Some("trap 1, mailbox 8"));
        assert_eq!(log.report(), None);
    }

    #[test]
    fn each_reason_is_logged_and_summaries_carry_the_last() {
        let mut log = ThrottledLog::default();
        let start = Instant::now();
        assert!(log.record(FaultKind::Trap, reason(1, 1), 1, start));
        assert!(
            log.record(FaultKind::Trap, reason(2, 1), 1, start),
            "another reason"
        );
        for number in 2..5 {
            assert!(
                !log.record(FaultKind::Trap, reason(1, number), 1, start),
                "in turn with another one too"
            );
            assert!(!log.record(FaultKind::Trap, reason(2, number), 1, start));
        }

        let entries: Vec<_> = log
            .take_due(start + PAUSE)
            .iter()
            .map(Entry::to_string)
            .collect();
        assert_eq!(
            entries,
            [1, 2].map(|key| format!("trap: 3 times in the last 60 s; the last: {key}.4"))
        );
    }

    #[test]
    fn counts_begin_again_and_none_is_lost() {
        let mut log = ThrottledLog::default();
        let start = Instant::now();
        assert!(log.record(FaultKind::Trap, reason(1, 1), 1, start));
        assert!(!log.record(FaultKind::Trap, reason(1, 2), 2, start));
        let entries = log.reset(start + PAUSE / 2);
        assert_eq!(
            entries,
            [Entry {
                kind: FaultKind::Trap,
                count: 2,
                span: PAUSE / 2,
                reason: "1.2".to_owned()
            }]
        );

        assert!(log.record(FaultKind::Trap, reason(1, 3), 1, start + PAUSE / 2));
        assert_eq!(log.reset(start + PAUSE / 2), []);
        assert_eq!(log.report().as_deref(), Some("trap 4"));
    }

    proptest! {
        /// No reason is logged twice within a minute, no more than the allowed number are, and the log has every occurrence.
        #[test]
        fn reports_are_complete_and_throttled(
            steps in prop::collection::vec((any::<bool>(), 0_u64..2 * REASONS as u64, 1_u64..5, 0_u64..90), 1..200),
        ) {
            let mut log = ThrottledLog::default();
            let mut now = Instant::now();
            let mut said: BTreeMap<FaultKind, Vec<(String, u64, Instant)>> = BTreeMap::new();
            let mut happened: BTreeMap<FaultKind, u64> = BTreeMap::new();
            for (which, key, count, seconds) in steps {
                now += Duration::from_secs(seconds);
                for Entry { kind, count, reason, .. } in log.take_due(now) {
                    said.entry(kind).or_default().push((reason, count, now));
                }
                let kind = if which { FaultKind::Trap } else { FaultKind::Payload };
                *happened.entry(kind).or_default() += count;
                let reason = Reason { key: key.to_string(), text: key.to_string() };
                if log.record(kind, reason, count, now) {
                    said.entry(kind).or_default().push((key.to_string(), count, now));
                }
                let recent = |lines: &Vec<(String, u64, Instant)>| {
                    lines.iter().filter(|(.., at)| now.saturating_duration_since(*at) < PAUSE).count()
                };
                prop_assert!(said.values().map(recent).all(|lines| lines <= REASONS));
            }

            for Entry { kind, count, reason, .. } in log.take_due(now + PAUSE) {
                said.entry(kind).or_default().push((reason, count, now));
            }
            let sum = |lines: Vec<(String, u64, Instant)>| lines.into_iter().map(|(_, count, _)| count).sum();
            let said: BTreeMap<FaultKind, u64> = said.into_iter().map(|(kind, lines)| (kind, sum(lines))).collect();
            prop_assert_eq!(said, happened);
        }
    }
}
