//! The probation of a new version. Pure: the time is an argument.

use std::time::Instant;

use crate::config::Swap;

/// Decision after an event of a probation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The probation continues, or there is none.
    Continue,
    /// The version has passed: later faults are ordinary ones.
    Pass,
    /// The version had more faults than allowed: the former one is restored.
    RollBack,
}

/// The probation of one version.
#[derive(Debug, Clone)]
pub struct Probation {
    until: Instant,
    /// Handled messages after which the probation ends early; 0: by time only.
    messages: u64,
    handled: u64,
    /// Faults that the version may have.
    allowed: u32,
    faults: u32,
}

impl Probation {
    /// Begins a probation at `now`; `None` where the rules have none.
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

    /// Time at which the version passes.
    pub fn until(&self) -> Instant {
        self.until
    }

    /// Faults so far.
    pub fn faults(&self) -> u32 {
        self.faults
    }

    /// A message was handled.
    pub fn on_handled(&mut self) -> Decision {
        self.handled = self.handled.saturating_add(1);
        if self.messages > 0 && self.handled >= self.messages {
            Decision::Pass
        } else {
            Decision::Continue
        }
    }

    /// A call failed, or the version did not start again.
    pub fn on_fault(&mut self, now: Instant) -> Decision {
        if now >= self.until {
            return Decision::Pass;
        }
        self.faults = self.faults.saturating_add(1);
        if self.faults > self.allowed {
            Decision::RollBack
        } else {
            Decision::Continue
        }
    }

    /// A timer has fired.
    pub fn on_deadline(&self, now: Instant) -> Decision {
        if now >= self.until {
            Decision::Pass
        } else {
            Decision::Continue
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
        let verdicts: Vec<_> = (0..3).map(|_| probation.on_fault(now)).collect();
        assert_eq!(
            verdicts,
            [Decision::Continue, Decision::Continue, Decision::RollBack]
        );
    }

    #[test]
    fn after_its_end_nothing_fails_it() {
        let now = Instant::now();
        let mut probation = Probation::new(&rules(0, 0), now).unwrap();
        assert_eq!(probation.on_fault(probation.until()), Decision::Pass);
    }

    proptest! {
        #[test]
        fn probation_fails_at_the_first_fault_beyond_the_limit(allowed in 0..20u32, handled in prop::collection::vec(0..5u8, 1..40)) {
            let now = Instant::now();
            let mut probation = Probation::new(&rules(0, allowed), now).unwrap();
            for (fault, between) in (1..).zip(handled) {
                for _ in 0..between {
                    prop_assert!(probation.on_handled() == Decision::Continue, "without a number of messages they do not end it");
                }
                let failed = probation.on_fault(now) == Decision::RollBack;
                prop_assert_eq!(failed, fault > allowed);
            }
        }

        #[test]
        fn probation_ends_after_enough_messages(messages in 1..50u64) {
            let mut probation = Probation::new(&rules(messages, 0), Instant::now()).unwrap();
            let ended: Vec<bool> = (0..messages).map(|_| probation.on_handled() == Decision::Pass).collect();
            prop_assert_eq!(ended.iter().position(|ended| *ended), Some(ended.len() - 1));
        }
    }
}
