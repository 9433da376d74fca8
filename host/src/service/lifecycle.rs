//! Pure: what a service does about a fault. In: faults and successes of guest calls, restarts. Out: `Verdict`: try again after a
//! wait, or give the work up; whether the guest may be started once more. Owns the back-off of one service and when it was started
//! anew; no clock, no logging.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::backoff::Backoff;
use crate::config::Limits;

/// What a service is doing, as the rest of the host sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Not yet started, or starting again.
    Starting,
    /// Handling messages and ticks.
    Running,
    /// Waiting before it is started again after a fault.
    Waiting,
    /// Started anew as often as allowed: it waits for another file, or to be told.
    Failed,
    /// Stopped for good.
    Stopped,
}

impl Status {
    /// What `service/<name>/online` says: whether messages to the service are being handled.
    pub fn is_online(self) -> bool {
        self == Self::Running
    }
}

/// What to do after a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// How long to wait before going on.
    pub wait: Duration,
    /// Whether the message or tick was tried as often as allowed, so that it is given up.
    pub give_up: bool,
}

/// Counts the faults of one service and says what to do about each.
#[derive(Debug)]
pub struct Lifecycle {
    attempts: u32,
    backoff: Backoff,
    restarts: u32,
    window: Duration,
    /// When the guest was started anew, within the window.
    restarted: VecDeque<Instant>,
}

impl Lifecycle {
    /// Starts without faults.
    pub fn new(limits: &Limits) -> Self {
        Self {
            attempts: limits.attempts.max(1),
            backoff: Backoff::new(limits.backoff_min, limits.backoff_max),
            restarts: limits.restarts,
            window: limits.restart_window,
            restarted: VecDeque::new(),
        }
    }

    /// Whether the guest may be started anew now, after a fault; that is counted.
    pub fn may_restart(&mut self, now: Instant) -> bool {
        while self
            .restarted
            .front()
            .is_some_and(|at| now.saturating_duration_since(*at) >= self.window)
        {
            self.restarted.pop_front();
        }
        let may = self.restarted.len() < usize::try_from(self.restarts).unwrap_or(usize::MAX);
        if may {
            self.restarted.push_back(now);
        }
        may
    }

    /// Somebody has done something about the faults: everything begins anew.
    pub fn renewed(&mut self) {
        self.restarted.clear();
        self.backoff.reset();
    }

    /// A call ended well: the next fault waits the shortest time again.
    pub fn succeeded(&mut self) {
        self.backoff.reset();
    }

    /// Attempt number `attempt` (from 1) at some work failed. `jitter` is in 0.0..1.0.
    pub fn failed(&mut self, attempt: u32, jitter: f64) -> Verdict {
        Verdict {
            wait: self.backoff.next(jitter),
            give_up: attempt >= self.attempts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifecycle(attempts: u32) -> Lifecycle {
        let limits = Limits {
            attempts,
            backoff_min: Duration::from_millis(100),
            backoff_max: Duration::from_secs(1),
            ..Limits::default()
        };
        Lifecycle::new(&limits)
    }

    #[test]
    fn gives_up_after_the_allowed_attempts() {
        let mut lifecycle = lifecycle(3);
        let verdicts: Vec<bool> = (1..=3)
            .map(|attempt| lifecycle.failed(attempt, 0.5).give_up)
            .collect();
        assert_eq!(verdicts, [false, false, true]);
    }

    #[test]
    fn waits_longer_after_each_fault_and_starts_over_after_a_success() {
        let mut lifecycle = lifecycle(10);
        let first = lifecycle.failed(1, 0.5).wait;
        let second = lifecycle.failed(2, 0.5).wait;
        assert!(second > first, "{second:?} is not longer than {first:?}");
        lifecycle.succeeded();
        assert_eq!(lifecycle.failed(1, 0.5).wait, first);
    }

    #[test]
    fn restarts_are_counted_within_the_window() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let limits = Limits {
            restarts: 2,
            restart_window: 10 * second,
            ..Limits::default()
        };
        let mut lifecycle = Lifecycle::new(&limits);
        let at =
            [0, 4, 9, 10, 11, 14].map(|seconds| lifecycle.may_restart(start + seconds * second));
        assert_eq!(at, [true, true, false, true, false, true]);
        lifecycle.renewed();
        assert!(lifecycle.may_restart(start + 15 * second));
    }

    #[test]
    fn only_a_running_service_is_online() {
        let online = [
            Status::Starting,
            Status::Running,
            Status::Waiting,
            Status::Failed,
            Status::Stopped,
        ]
        .map(Status::is_online);
        assert_eq!(online, [false, true, false, false, false]);
    }
}
