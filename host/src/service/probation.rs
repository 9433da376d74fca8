//! Pure: the probation of a new version. In: messages that it handled, faults, the time. Out: whether it goes on, has ended well, or
//! has failed, so that the former version is to be put back. Owns the counts; no clock, no logging.

use std::time::Instant;

use crate::config::Swap;

/// What becomes of a new version after a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is still on probation.
    GoesOn,
    /// Its probation was over before; the fault is one like any other.
    Passed,
    /// It has faulted too often.
    Failed,
}

/// The probation of one version.
#[derive(Debug, Clone)]
pub struct Probation {
    until: Instant,
    /// Messages after which it ends earlier; 0: by time only.
    messages: u64,
    handled: u64,
    /// Faults that it may have.
    allowed: u32,
    faults: u32,
}

impl Probation {
    /// Begins at `now`; `None` where there is to be none.
    pub fn new(rules: &Swap, now: Instant) -> Option<Self> {
        let until = now
            .checked_add(rules.probation)
            .filter(|until| *until > now)?;
        Some(Self {
            until,
            messages: rules.messages,
            handled: 0,
            allowed: rules.faults,
            faults: 0,
        })
    }

    /// When it ends well if nothing happens.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// Faults so far.
    pub fn faults(&self) -> u32 {
        self.faults
    }

    /// A message was handled: whether it has ended well with it.
    pub fn handled(&mut self) -> bool {
        self.handled = self.handled.saturating_add(1);
        self.messages > 0 && self.handled >= self.messages
    }

    /// A call failed at `now`, or the version did not start again.
    pub fn failed(&mut self, now: Instant) -> Verdict {
        if now >= self.until {
            return Verdict::Passed;
        }
        self.faults = self.faults.saturating_add(1);
        if self.faults > self.allowed {
            Verdict::Failed
        } else {
            Verdict::GoesOn
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn rules(messages: u64, faults: u32) -> Swap {
        Swap {
            probation: Duration::from_secs(60),
            messages,
            faults,
            ..Swap::default()
        }
    }

    #[test]
    fn without_a_time_there_is_none() {
        assert!(
            Probation::new(
                &Swap {
                    probation: Duration::ZERO,
                    ..rules(5, 0)
                },
                Instant::now()
            )
            .is_none()
        );
    }

    #[test]
    fn one_fault_more_than_allowed_fails_it() {
        let now = Instant::now();
        let mut probation = Probation::new(&rules(0, 2), now).unwrap();
        let verdicts: Vec<_> = (0..3).map(|_| probation.failed(now)).collect();
        assert_eq!(
            verdicts,
            [Verdict::GoesOn, Verdict::GoesOn, Verdict::Failed]
        );
    }

    #[test]
    fn after_its_end_nothing_fails_it() {
        let now = Instant::now();
        let mut probation = Probation::new(&rules(0, 0), now).unwrap();
        assert_eq!(probation.failed(probation.until()), Verdict::Passed);
    }

    proptest! {
        #[test]
        fn probation_fails_at_the_first_fault_beyond_the_limit(allowed in 0..20u32, handled in prop::collection::vec(0..5u8, 1..40)) {
            let now = Instant::now();
            let mut probation = Probation::new(&rules(0, allowed), now).unwrap();
            for (fault, between) in (1..).zip(handled) {
                for _ in 0..between {
                    prop_assert!(!probation.handled(), "without a number of messages they do not end it");
                }
                let failed = probation.failed(now) == Verdict::Failed;
                prop_assert_eq!(failed, fault > allowed);
            }
        }

        #[test]
        fn probation_ends_after_enough_messages(messages in 1..50u64) {
            let mut probation = Probation::new(&rules(messages, 0), Instant::now()).unwrap();
            let ended: Vec<bool> = (0..messages).map(|_| probation.handled()).collect();
            prop_assert_eq!(ended.iter().position(|ended| *ended), Some(ended.len() - 1));
        }
    }
}
