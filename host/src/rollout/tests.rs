//! Tests of the decisions of a rollout, without components.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const PROBATION: Duration = Duration::from_secs(60);

fn version(number: u8) -> Version {
    Version::new([number; 32])
}

fn rules(messages: u64, faults: u32) -> Swap {
    Swap {
        probation: PROBATION,
        messages,
        faults,
        versions: 3,
        ..Swap::default()
    }
}

fn at(monotonic: Instant) -> Timestamp {
    Timestamp {
        monotonic,
        unix_millis: 0,
    }
}

fn swapped(rules: &Swap, now: Instant) -> Rollout<u8> {
    let mut rollout = Rollout::new(VersionHistory::default(), None);
    rollout.on_started(version(1), rules, at(now));
    let new = (version(2), String::new());
    rollout.on_swapped(new, Some(1), rules, at(now));
    rollout
}

#[test]
fn first_version_has_no_probation() {
    let now = Instant::now();
    let mut rollout = Rollout::<u8>::new(VersionHistory::default(), None);
    rollout.on_started(version(1), &rules(0, 0), at(now));
    assert!(!rollout.is_on_probation());
    assert_eq!(rollout.on_fault(now), Decision::Continue);
}

#[test]
fn interrupted_probation_begins_again() {
    let now = Instant::now();
    let rules = rules(0, 0);
    let history = VersionHistory::clone(swapped(&rules, now).history());
    assert!(history.is_on_probation());
    let mut rollout = Rollout::new(history, Some(1));
    rollout.on_started(version(2), &rules, at(now));
    assert_eq!(rollout.fallback(), Some(&1));
    assert_eq!(rollout.on_fault(now), Decision::RollBack);
}

#[test]
fn new_section_continues_the_probation() {
    let now = Instant::now();
    let rules = rules(0, 0);
    let mut rollout = swapped(&rules, now);
    rollout.on_configured(version(2), String::new(), &rules, 0);
    assert!(rollout.is_on_probation() && rollout.history().is_on_probation());
}

proptest! {
    /// Events of a probation: a fault, a handled message, or a second passes.
    #[test]
    fn probation_decides_once_and_as_configured(
        events in prop::collection::vec(0..3u8, 0..120), messages in 0..20u64, faults in 0..10u32,
    ) {
        let start = Instant::now();
        let rules = rules(messages, faults);
        let mut rollout = swapped(&rules, start);
        let mut now = start;
        let mut handled = 0;
        let mut failed = 0;

        for event in events {
            let decision = match event {
                0 => rollout.on_fault(now),
                1 => rollout.on_handled(),
                _ => {
                    now += Duration::from_secs(1);
                    rollout.on_deadline(now)
                }
            };

            failed += u32::from(event == 0);
            handled += u64::from(event == 1);

            let expected = match event {
                0 | 2 if now >= start + PROBATION => Decision::Pass,
                0 if failed > faults => Decision::RollBack,
                1 if messages > 0 && handled >= messages => Decision::Pass,
                _ => Decision::Continue,
            };

            prop_assert_eq!(decision, expected);
            match decision {
                Decision::Continue => continue,
                Decision::Pass => prop_assert!(rollout.pass(version(2), 0)),
                Decision::RollBack => {
                    prop_assert_eq!(rollout.on_rolled_back(version(1), "", 0), failed);
                    prop_assert_eq!(rollout.history().rejected(), [version(2)]);
                }
            }

            break;
        }

        let history = rollout.history();
        prop_assert_eq!(rollout.is_on_probation(), history.is_on_probation());
        if !rollout.is_on_probation() {
            prop_assert_eq!(rollout.on_fault(now), Decision::Continue);
            prop_assert_eq!(rollout.on_handled(), Decision::Continue);
            prop_assert!(!rollout.pass(version(1), 0));
        }
    }
}
