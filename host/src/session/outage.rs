//! Log lines while a host has no stable connection: one line at the beginning, one for each further kind of failure, one with a
//! count each minute, and one at the end.

use std::time::{Duration, Instant};

/// The time between two lines with a count.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// The report about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FailureReport {
    /// The failure: it is the first of its kind.
    New,
    /// The number of failures since the last report.
    Count(u64),
    /// Nothing.
    Nothing,
}

/// The summary of an outage that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OutageSummary {
    /// Number of failed attempts and lost connections.
    pub failures: u64,
    /// How long it duration.
    pub duration: Duration,
}

/// A time without a stable connection.
#[derive(Debug, Default)]
pub(super) struct Outage {
    began: Option<Instant>,
    /// When a report was logged last.
    last_report: Option<Instant>,
    /// Kinds of failures that were reported.
    reported: Vec<&'static str>,
    failures: u64,
    /// The part of `failures` that no report has counted.
    unreported: u64,
}

impl Outage {
    /// Handles a failed attempt or a lost connection.
    pub(super) fn on_failed(&mut self, kind: &'static str, now: Instant) -> FailureReport {
        self.began.get_or_insert(now);
        self.failures += 1;
        if !self.reported.contains(&kind) {
            self.reported.push(kind);
            self.last_report = Some(now);
            return FailureReport::New;
        }
        self.unreported += 1;
        if self
            .last_report
            .is_some_and(|last| now.saturating_duration_since(last) < REPORT_INTERVAL)
        {
            return FailureReport::Nothing;
        }

        self.last_report = Some(now);
        FailureReport::Count(std::mem::take(&mut self.unreported))
    }

    /// Handles a stable connection.
    pub(super) fn on_recovered(&mut self, now: Instant) -> Option<OutageSummary> {
        let Self {
            began, failures, ..
        } = std::mem::take(self);
        began.map(|began| OutageSummary {
            failures,
            duration: now.saturating_duration_since(began),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_reported_once_and_counted_each_minute() {
        let mut outage = Outage::default();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(outage.on_failed("lost", at(0)), FailureReport::New);
        assert_eq!(outage.on_failed("TCP", at(1)), FailureReport::New);
        for second in 2..61 {
            assert_eq!(
                outage.on_failed(if second % 2 == 0 { "lost" } else { "TCP" }, at(second)),
                FailureReport::Nothing
            );
        }

        assert_eq!(outage.on_failed("lost", at(61)), FailureReport::Count(60));
        assert_eq!(outage.on_failed("lost", at(62)), FailureReport::Nothing);
        assert_eq!(outage.on_failed("lost", at(121)), FailureReport::Count(2));
        assert_eq!(
            outage.on_recovered(at(130)),
            Some(OutageSummary {
                failures: 64,
                duration: Duration::from_secs(130)
            })
        );
    }

    #[test]
    fn an_ended_outage_begins_again() {
        let mut outage = Outage::default();
        let now = Instant::now();
        assert_eq!(outage.on_recovered(now), None);
        assert_eq!(outage.on_failed("lost", now), FailureReport::New);
        assert_eq!(
            outage.on_recovered(now),
            Some(OutageSummary {
                failures: 1,
                duration: Duration::ZERO
            })
        );

        assert_eq!(outage.on_recovered(now), None);
        assert_eq!(outage.on_failed("lost", now), FailureReport::New);
    }
}
