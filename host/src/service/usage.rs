//! Usage of one service: the cost of its calls, the limits that it exceeded, and the log lines about both.
//!
//! Each reason is logged once a minute at most and counted in between, so that a faulty service does not fill the log.

pub(super) mod rate_limits;
pub(super) mod statistics;
pub(super) mod throttled_log;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::config::Limits;
use crate::fault_kind::FaultKind;
use crate::guest::{Fault, Meter, RequestCounts};
use crate::mailbox::Counters;
use crate::rollout::Timestamp;

use rate_limits::{CallCost, RateLimits};
use statistics::{CallTotals, Durations, LastFault, Purpose, Statistics};
use throttled_log::{Entry, Reason, ThrottledLog};

/// Messages dropped by a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct DroppedMessages {
    messages: u64,
    bytes: u64,
}

/// Usage of one service.
#[derive(Debug)]
pub(super) struct Usage {
    rates: RateLimits,
    statistics: Statistics,
    log: ThrottledLog,
    /// Dropped messages that `log` has counted.
    dropped: DroppedMessages,
    /// Whether the faults of the current invocation are logged, and not only counted.
    is_verbose: bool,
    /// Time of an offence that nobody has asked for yet.
    offence: Option<Instant>,
}

impl Usage {
    /// Creates the usage of a service that was not called yet.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            rates: RateLimits::default(),
            statistics: Statistics::new(now),
            log: ThrottledLog::default(),
            dropped: DroppedMessages::default(),
            is_verbose: true,
            offence: None,
        }
    }

    /// Whether the consequences of the current fault are logged.
    pub(super) const fn is_verbose(&self) -> bool {
        self.is_verbose
    }

    /// Begins another invocation, or one that was deferred: its first fault decides whether its faults are logged. `is_logged`:
    /// whether that was so before it was deferred.
    pub(super) const fn begin_invocation(&mut self, is_logged: bool) {
        self.is_verbose = is_logged;
    }

    /// Counts a call that ended: `took` where it was measured, `failure` where it failed.
    pub(super) fn on_call_ended(
        &mut self,
        purpose: Purpose<'_>,
        took: Option<Duration>,
        failure: Option<&Fault>,
    ) {
        let failure = failure.map(last_fault);
        self.statistics.on_call_ended(purpose, took, failure);
    }

    /// Counts a fault of the current invocation. Returns whether it is logged. Once one fault of an invocation was logged, so are
    /// the following ones.
    pub(super) fn on_fault(&mut self, fault: &Fault, now: Instant) -> bool {
        let kind = fault.kind();
        // an error that the guest returns is logged each time: its text may differ, and the back-off bounds how often
        let is_new = if kind == FaultKind::Refused {
            self.log.count(kind);
            true
        } else {
            self.log.record(kind, reason(fault), 1, now)
        };

        self.is_verbose |= is_new;
        self.note_offence(kind, now);
        self.is_verbose
    }

    /// Counts a failed start. Returns whether it is logged.
    pub(super) fn on_start_fault(&mut self, fault: &Fault, now: Instant) -> bool {
        self.statistics.on_failure(last_fault(fault));
        self.log.record(FaultKind::Start, reason(fault), 1, now)
    }

    /// Counts what the guest exceeded since the last time. Returns the requests that it sent.
    pub(super) fn read_meter(&mut self, meter: &Meter) -> RequestCounts {
        let Some((exceeded, requested)) = meter.take() else {
            return RequestCounts::default();
        };
        let now = Instant::now();
        for (limit, count) in exceeded {
            self.on_exceeded(limit, count, now);
        }
        requested
    }

    /// Charges the cost of a call. Returns how long the service has to wait because it is over one of its rates.
    pub(super) fn charge(&mut self, cost: CallCost, limits: &Limits) -> Option<Duration> {
        let (limit, wait) = self.rates.charge(cost, limits, Instant::now)?;
        self.on_exceeded(limit, 1, Instant::now());
        Some(wait)
    }

    /// Counts messages that the mailbox dropped since the last time.
    pub(super) fn count_dropped(&mut self, counters: Counters) {
        let all = counters.dropped_oldest + counters.dropped_newest;
        let dropped = DroppedMessages {
            messages: all - counters.dropped_for_bytes,
            bytes: counters.dropped_for_bytes,
        };
        if dropped == self.dropped {
            return;
        }

        let before = std::mem::replace(&mut self.dropped, dropped);
        let now = Instant::now();
        self.on_exceeded(FaultKind::Mailbox, dropped.messages - before.messages, now);
        self.on_exceeded(FaultKind::MailboxBytes, dropped.bytes - before.bytes, now);
    }

    /// Counts that a limit was exceeded, and logs it unless it was logged within the last minute.
    pub(super) fn on_exceeded(&mut self, limit: FaultKind, count: u64, now: Instant) {
        if count == 0 {
            return;
        }
        self.note_offence(limit, now);

        let is_new = self.log.record(limit, Reason::default(), count, now);
        // a missing grant is logged where it is missed, with the line that would grant it
        if is_new && limit != FaultKind::Grants {
            self.write(&Entry {
                kind: limit,
                count,
                span: Duration::ZERO,
                reason: String::new(),
            });
        }
    }

    /// Time of the latest offence since the last call of this method.
    pub(super) const fn take_offence(&mut self) -> Option<Instant> {
        self.offence.take()
    }

    /// Time of the next log line about counted faults; `None` while there is nothing to log.
    pub(super) fn due(&self) -> Option<Instant> {
        self.log.due()
    }

    /// Logs counted faults whose minute is over.
    pub(super) fn log_due(&mut self) {
        if self.log.due().is_some() {
            for entry in self.log.take_due(Instant::now()) {
                self.write(&entry);
            }
        }
    }

    /// Resets the counters and logs what they held: another version runs, or an operator intervened.
    pub(super) fn reset(&mut self, now: Instant) {
        for entry in self.log.reset(now) {
            self.write(&entry);
        }
    }

    /// Logs what the calls since the last report cost; nothing if there were none.
    pub(super) fn report(&mut self, counters: Counters, now: Instant) {
        let calls = self.statistics.report(now);
        let troubles = self.log.report();
        let troubles = troubles.map(|troubles| format!("troubles: {troubles}"));
        let parts: Vec<String> = calls.into_iter().chain(troubles).collect();
        if !parts.is_empty() {
            info!(
                waiting = counters.depth,
                most = counters.high_water,
                "{}",
                parts.join("; ")
            );
        }
    }

    /// All calls since the service began: of messages, of timers, and others.
    pub(super) fn totals(&self) -> [CallTotals; 3] {
        self.statistics.totals()
    }

    /// Measured calls of messages by their duration.
    pub(super) fn durations(&self) -> Durations {
        self.statistics.durations()
    }

    /// The last failed call or start.
    pub(super) fn last_fault(&self) -> Option<&LastFault> {
        self.statistics.last_fault()
    }

    /// How often limits were exceeded and calls have failed since the service began.
    pub(super) fn fault_counts(&self) -> BTreeMap<FaultKind, u64> {
        self.log.counts()
    }

    fn note_offence(&mut self, kind: FaultKind, now: Instant) {
        if kind.is_offence() {
            self.offence = Some(now);
        }
    }

    fn write(&self, entry: &Entry) {
        warn!(limit = entry.kind.name(), "{entry}");
    }
}

fn last_fault(fault: &Fault) -> LastFault {
    LastFault {
        kind: fault.kind(),
        reason: fault.to_string(),
        at: Timestamp::now().unix_millis,
    }
}

fn reason(fault: &Fault) -> Reason {
    Reason {
        key: fault.detail(),
        text: fault.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trap(reason: &str) -> Fault {
        Fault::Trapped {
            reason: reason.to_owned(),
            backtrace: String::new(),
        }
    }

    #[test]
    fn repeated_faults_are_logged_once_a_minute() {
        let start = Instant::now();
        let mut usage = Usage::new(start);
        usage.begin_invocation(false);
        assert!(usage.on_fault(&trap("unreachable"), start));
        usage.begin_invocation(false);
        assert!(!usage.on_fault(&trap("unreachable"), start));
        assert!(usage.due().is_some_and(|due| due > start));
        assert!(
            usage.on_fault(&trap("division by zero"), start),
            "another reason is logged"
        );
        assert!(
            usage.on_fault(&trap("unreachable"), start),
            "so are further faults of the same invocation"
        );
        usage.begin_invocation(true);
        assert!(
            usage.on_fault(&trap("unreachable"), start),
            "also after it was deferred"
        );
        usage.reset(start);
        usage.begin_invocation(false);
        assert!(usage.on_fault(&trap("unreachable"), start));
    }

    #[test]
    fn errors_that_the_guest_returns_are_always_logged() {
        let start = Instant::now();
        let mut usage = Usage::new(start);
        for _ in 0..3 {
            usage.begin_invocation(false);
            assert!(usage.on_fault(&Fault::Refused("no".to_owned()), start));
        }
        assert_eq!((usage.take_offence(), usage.due()), (None, None));
    }

    #[test]
    fn offences_are_reported_once() {
        let start = Instant::now();
        let mut usage = Usage::new(start);
        assert!(usage.on_fault(&trap("unreachable"), start));
        assert_eq!(usage.take_offence(), Some(start));
        assert_eq!(usage.take_offence(), None);
    }

    #[test]
    fn dropped_messages_are_counted_once() {
        let mut usage = Usage::new(Instant::now());
        let counters = Counters {
            dropped_oldest: 2,
            dropped_newest: 3,
            dropped_for_bytes: 1,
            ..Counters::default()
        };

        usage.count_dropped(counters);
        usage.count_dropped(counters);
        let report = usage.log.report();
        assert_eq!(report.as_deref(), Some("mailbox 4, mailbox-bytes 1"));
    }
}
