//! Decision after a fault of a service. Pure: no clock, no I/O, no logging.
//!
//! A failed call is tried again after a wait that doubles with each fault, up to `limits.attempts` times; then it is given up.
//! If the order of messages may change (`limits.when_failing`), a failed message is deferred, so that later messages do not
//! wait for it. An instance that does not start is started again, `limits.restarts` times within `limits.restart_window`. A
//! version that has more faults during its probation than allowed is rolled back instead.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::backoff::Backoff;
use crate::config::{Limits, WhenFailing};

/// The operation that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// The start of an instance.
    Start,
    /// Handling a timer or a notice.
    Event {
        /// Number of the failed attempt, from 1.
        attempt: u32,
    },
    /// Handling a message.
    Message {
        /// Number of the failed attempt, from 1.
        attempt: u32,
        /// Messages that are deferred or spooled already.
        waiting: usize,
    },
}

impl Operation {
    /// Number of the failed attempt, from 1.
    pub const fn attempt(self) -> u32 {
        match self {
            Self::Start => 1,
            Self::Event { attempt } | Self::Message { attempt, .. } => attempt,
        }
    }
}

/// Decision after a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Wait, then try the same invocation again. Later messages wait behind it.
    Retry {
        /// Time until the next attempt.
        after: Duration,
    },
    /// Put the message away for so long, and handle those behind it meanwhile.
    Defer {
        /// Time until the next attempt; also until the restart, where the fault killed the instance.
        after: Duration,
    },
    /// Give the invocation up: a message becomes a dead letter.
    GiveUp {
        /// Time until the restart, where the fault killed the instance.
        restart_after: Duration,
    },
    /// Wait, then start an instance again.
    Restart {
        /// Time until the next start.
        after: Duration,
    },
    /// Replace the version by the one that ran before it.
    RollBack,
}

/// Policy and counters of one service.
#[derive(Debug)]
pub struct Retry {
    attempts: u32,
    when_failing: WhenFailing,
    /// Messages that may be deferred or spooled while further ones are deferred.
    mailbox: usize,
    backoff: Backoff,
    restarts: u32,
    window: Duration,
    /// Times of restarts within the window.
    restarted: VecDeque<Instant>,
    /// Whether the next restart does not count, because its cause lies elsewhere.
    is_next_free: bool,
}

impl Retry {
    /// Creates a policy without faults so far.
    pub fn new(limits: &Limits) -> Self {
        Self {
            attempts: limits.retry.attempts.max(1),
            when_failing: limits.retry.when_failing,
            mailbox: limits.mailbox.messages,
            backoff: Backoff::new(limits.retry.backoff.min, limits.retry.backoff.max),
            restarts: limits.retry.restarts,
            window: limits.retry.restart_window,
            restarted: VecDeque::new(),
            is_next_free: false,
        }
    }

    /// Decides what to do after a fault. `exceeds_probation`: the version has more faults than its probation allows. `jitter` is a
    /// random number in 0.0..1.0.
    pub fn on_fault(
        &mut self,
        operation: Operation,
        exceeds_probation: bool,
        jitter: f64,
    ) -> Decision {
        if exceeds_probation {
            return Decision::RollBack;
        }

        let wait = self.next_wait(jitter);
        match operation {
            Operation::Start => Decision::Restart { after: wait },
            Operation::Event { attempt } | Operation::Message { attempt, .. }
                if attempt >= self.attempts =>
            {
                Decision::GiveUp {
                    restart_after: wait,
                }
            }

            Operation::Message { waiting, .. }
                if self.when_failing != WhenFailing::InOrder && waiting < self.mailbox =>
            {
                Decision::Defer { after: wait }
            }
            Operation::Event { .. } | Operation::Message { .. } => Decision::Retry { after: wait },
        }
    }

    /// Counts a fault and returns the wait that follows it.
    pub fn next_wait(&mut self, jitter: f64) -> Duration {
        self.backoff.next(jitter)
    }

    /// Resets the back-off: a call succeeded.
    pub fn on_success(&mut self) {
        self.backoff.reset();
    }

    /// Resets all counters: an operator intervened, or another version runs.
    pub fn reset(&mut self) {
        self.restarted.clear();
        self.backoff.reset();
    }

    /// Does not count the next restart: the fault before it lay elsewhere, at the provider of an interface or in the network.
    pub fn forgive_next_restart(&mut self) {
        self.is_next_free = true;
    }

    /// Counts a restart after a fault, unless there were `limits.restarts` within the window; then returns `false`.
    pub fn try_restart(&mut self, now: Instant) -> bool {
        if std::mem::take(&mut self.is_next_free) {
            return true;
        }
        while self
            .restarted
            .front()
            .is_some_and(|at| now.saturating_duration_since(*at) >= self.window)
        {
            self.restarted.pop_front();
        }

        let allowed = usize::try_from(self.restarts).unwrap_or(usize::MAX);
        let may_restart = self.restarted.len() < allowed;
        if may_restart {
            self.restarted.push_back(now);
        }
        may_restart
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIRST: Operation = Operation::Event { attempt: 1 };

    fn retry(attempts: u32, when_failing: WhenFailing) -> Retry {
        let mut limits = Limits::default();
        limits.mailbox.messages = 10;
        limits.retry.attempts = attempts;
        limits.retry.when_failing = when_failing;
        limits.retry.backoff.min = Duration::from_millis(100);
        limits.retry.backoff.max = Duration::from_secs(1);
        Retry::new(&limits)
    }

    fn wait_of(decision: Decision) -> Duration {
        match decision {
            Decision::Retry { after }
            | Decision::Defer { after }
            | Decision::Restart { after }
            | Decision::GiveUp {
                restart_after: after,
            } => after,
            Decision::RollBack => Duration::ZERO,
        }
    }

    #[test]
    fn gives_up_after_the_allowed_attempts() {
        let mut retry = retry(3, WhenFailing::InOrder);
        let given_up = [1, 2, 3].map(|attempt| {
            let decision = retry.on_fault(Operation::Event { attempt }, false, 0.5);
            matches!(decision, Decision::GiveUp { .. })
        });
        assert_eq!(given_up, [false, false, true]);
    }

    #[test]
    fn waits_longer_after_each_fault_and_starts_over_after_a_success() {
        let mut retry = retry(10, WhenFailing::InOrder);
        let first = wait_of(retry.on_fault(FIRST, false, 0.5));
        let second = wait_of(retry.on_fault(FIRST, false, 0.5));
        assert!(second > first, "{second:?} is not longer than {first:?}");
        retry.on_success();
        assert_eq!(wait_of(retry.on_fault(FIRST, false, 0.5)), first);
    }

    #[test]
    fn restarts_are_counted_within_the_window() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut limits = Limits::default();
        limits.retry.restarts = 2;
        limits.retry.restart_window = 10 * second;
        let mut retry = Retry::new(&limits);
        let allowed =
            [0, 4, 9, 10, 11, 14].map(|seconds| retry.try_restart(start + seconds * second));
        assert_eq!(allowed, [true, true, false, true, false, true]);
        retry.reset();
        assert!(retry.try_restart(start + 15 * second));
    }

    fn operation() -> impl Strategy<Value = Operation> {
        prop_oneof![
            Just(Operation::Start),
            (1_u32..8).prop_map(|attempt| Operation::Event { attempt }),
            (1_u32..8, 0_usize..20)
                .prop_map(|(attempt, waiting)| Operation::Message { attempt, waiting }),
        ]
    }

    proptest! {
        /// Every decision follows from the operation, the attempt, the policy and the probation, whatever happened before.
        #[test]
        fn decisions_follow_the_policy(
            attempts in 1_u32..6,
            in_order in any::<bool>(),
            faults in prop::collection::vec((operation(), prop::bool::weighted(0.1), 0.0..1.0_f64), 1..60),
        ) {
            let when_failing = if in_order { WhenFailing::InOrder } else { WhenFailing::OutOfOrder };
            let mut retry = retry(attempts, when_failing);
            for (operation, exceeds_probation, jitter) in faults {
                let decision = retry.on_fault(operation, exceeds_probation, jitter);
                prop_assert!(wait_of(decision) <= Duration::from_secs(1));
                match (operation, decision) {
                    (_, Decision::RollBack) => prop_assert!(exceeds_probation),
                    _ if exceeds_probation => prop_assert!(false, "{decision:?} in place of a roll-back"),
                    (Operation::Start, decision) => {
                        let restarts = matches!(decision, Decision::Restart { .. });
                        prop_assert!(restarts, "{decision:?}");
                    }
                    (Operation::Event { attempt } | Operation::Message { attempt, .. }, Decision::GiveUp { .. }) => {
                        prop_assert!(attempt >= attempts);
                    }
                    (Operation::Event { attempt }, Decision::Retry { .. }) => prop_assert!(attempt < attempts),
                    (Operation::Message { attempt, waiting }, Decision::Retry { .. }) => {
                        prop_assert!(attempt < attempts && (in_order || waiting >= 10));
                    }
                    (Operation::Message { attempt, waiting }, Decision::Defer { .. }) => {
                        prop_assert!(attempt < attempts && !in_order && waiting < 10);
                    }
                    (operation, decision) => prop_assert!(false, "{decision:?} after {operation:?}"),
                }
            }
        }
    }
}
