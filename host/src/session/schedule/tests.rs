//! Properties of the schedule.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

fn schedule() -> Schedule {
    Schedule::new(200 * MS, 1000 * MS)
}

/// When the connection may be attempted, if time alone decides.
fn due(schedule: &Schedule, role: Role, now: Instant) -> Option<Instant> {
    match schedule.next_attempt(role, now) {
        NextAttempt::Now => Some(now),
        NextAttempt::At(at) => Some(at),
        NextAttempt::AfterChange => None,
    }
}

#[test]
fn the_main_connection_comes_first() {
    let mut schedule = schedule();
    let now = Instant::now();
    assert_eq!(schedule.next_attempt(Role::Main, now), NextAttempt::Now);
    assert_eq!(
        schedule.next_attempt(Role::Presence, now),
        NextAttempt::AfterChange
    );
    schedule.on_connected(Role::Main, now);
    assert_eq!(schedule.next_attempt(Role::Presence, now), NextAttempt::Now);
    schedule.on_lost(Role::Main, now, now + 6000 * MS, (1.0, Duration::MAX));
    assert_eq!(
        schedule.next_attempt(Role::Presence, now + 6000 * MS),
        NextAttempt::AfterChange
    );
}

#[test]
fn presence_connections_are_attempted_one_by_one_after_a_failure() {
    let mut schedule = schedule();
    let now = Instant::now();
    schedule.on_connected(Role::Main, now);
    for _ in 0..MAX_PARALLEL {
        assert_eq!(schedule.next_attempt(Role::Presence, now), NextAttempt::Now);
        schedule.on_attempt_started(Role::Presence);
    }
    assert_eq!(
        schedule.next_attempt(Role::Presence, now),
        NextAttempt::AfterChange
    );
    for _ in 0..MAX_PARALLEL {
        schedule.on_attempt_ended(Role::Presence);
        schedule.on_failed(Role::Presence, FailureClass::Transient, now, 1.0);
    }
    let later = due(&schedule, Role::Presence, now).unwrap();
    assert!(later >= now + 800 * MS, "they share one back-off");
    schedule.on_attempt_started(Role::Presence);
    assert_eq!(
        schedule.next_attempt(Role::Presence, later),
        NextAttempt::AfterChange
    );
}

#[test]
fn short_connections_are_retried_later_each_time() {
    let mut schedule = schedule();
    let mut now = Instant::now();
    for wait in [200, 400, 800, 1000, 1000] {
        schedule.on_connected(Role::Main, now);
        schedule.on_lost(Role::Main, now, now, (1.0, Duration::MAX));
        assert_eq!(
            schedule.next_attempt(Role::Main, now),
            NextAttempt::At(now + wait * MS)
        );
        now += wait * MS;
    }

    assert_eq!(schedule.short_connections(), 5);
    assert_eq!(schedule.settle_time(), 800 * MS);
    schedule.on_connected(Role::Main, now);
    assert_eq!(
        schedule.next_attempt(Role::Presence, now),
        NextAttempt::At(now + 800 * MS)
    );
    schedule.on_lost(Role::Main, now, now + STABLE_AFTER, (1.0, Duration::MAX));
    assert_eq!(
        schedule.next_attempt(Role::Main, now + STABLE_AFTER),
        NextAttempt::At(now + STABLE_AFTER + 200 * MS)
    );
    assert_eq!(schedule.settle_time(), Duration::ZERO);
}

#[test]
fn permanent_refusals_wait_longer_from_the_start() {
    let mut schedule = schedule();
    let now = Instant::now();
    for wait in [5, 10, 20, 40, 60, 60] {
        schedule.on_failed(Role::Main, FailureClass::Persistent, now, 1.0);
        assert_eq!(
            schedule.next_attempt(Role::Main, now),
            NextAttempt::At(now + Duration::from_secs(wait))
        );
    }

    schedule.reset(200 * MS, 1000 * MS);
    assert_eq!(schedule.next_attempt(Role::Main, now), NextAttempt::Now);
}

#[test]
fn a_wait_can_be_cut_short_and_is_never_made_longer() {
    let mut schedule = schedule();
    let now = Instant::now();
    schedule.on_lost(Role::Main, now, now, (1.0, 5 * MS));
    assert_eq!(
        schedule.next_attempt(Role::Main, now),
        NextAttempt::At(now + 5 * MS)
    );
    schedule.on_lost(Role::Main, now, now, (1.0, 3_600_000 * MS));
    // one that was cut short counts for nothing
    assert_eq!(
        schedule.next_attempt(Role::Main, now),
        NextAttempt::At(now + 200 * MS)
    );
}

#[test]
fn presence_connections_yield_to_a_refused_main_connection() {
    let mut schedule = schedule();
    let now = Instant::now();
    schedule.on_connected(Role::Main, now);
    schedule.on_lost(Role::Main, now, now + STABLE_AFTER, (1.0, Duration::MAX));
    for _ in 0..YIELD_AFTER {
        assert!(!schedule.presence_must_yield());
        schedule.on_failed(Role::Main, FailureClass::Transient, now + STABLE_AFTER, 1.0);
    }
    assert!(schedule.presence_must_yield());
    schedule.on_connected(Role::Main, now + STABLE_AFTER);
    assert!(!schedule.presence_must_yield());
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Failed(FailureClass),
    Closed(u64),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Failed(FailureClass::Transient)),
        Just(Step::Failed(FailureClass::Persistent)),
        (0..6000_u64).prop_map(Step::Closed),
        (0..3000_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    /// However attempts of thirty connections end: the number of attempts in a time is that of one connection's back-off.
    #[test]
    fn thirty_connections_attempt_no_more_than_a_few(steps in proptest::collection::vec(step(), 1..200), jitter in 0.0..1.0_f64) {
        let mut schedule = schedule();
        let start = Instant::now();
        let mut now = start;
        let mut attempts = 0_u32;
        for step in steps {
            let Some(at) = due(&schedule, Role::Main, now) else { unreachable!("the main one waits for time alone") };
            match step {
                Step::Wait(span) => now += Duration::from_millis(span),
                Step::Failed(trouble) => {
                    now = now.max(at);
                    attempts += 1;
                    schedule.on_failed(Role::Main, trouble, now, jitter);
                }
                Step::Closed(lasted) => {
                    now = now.max(at);
                    attempts += 1;
                    schedule.on_connected(Role::Main, now);
                    let end = now + Duration::from_millis(lasted);
                    // all that want to connect meanwhile, and fail
                    while let Some(at) = due(&schedule, Role::Presence, now).filter(|at| *at < end) {
                        now = at;
                        attempts += 1;
                        schedule.on_attempt_started(Role::Presence);
                        schedule.on_attempt_ended(Role::Presence);
                        schedule.on_failed(Role::Presence, FailureClass::Transient, now, jitter);
                    }

                    schedule.on_lost(Role::Main, end - Duration::from_millis(lasted), end, (jitter, Duration::MAX));
                    now = end;
                }
            }
        }

        // each role waits 100 ms at least, and twice that from the second time on
        let allowed = 6.0 + 2.0 * (now - start).as_secs_f64() / 0.1;
        prop_assert!(f64::from(attempts) <= allowed, "{attempts} attempts in {:?}", now - start);
    }

    #[test]
    fn every_attempt_comes_due(lasting in proptest::collection::vec(any::<bool>(), 0..100), jitter in 0.0..1.0_f64) {
        let mut schedule = schedule();
        let now = Instant::now();
        for lasting in lasting {
            schedule.on_failed(Role::Main, if lasting { FailureClass::Persistent } else { FailureClass::Transient }, now, jitter);
        }
        let at = due(&schedule, Role::Main, now).unwrap();
        prop_assert!(at <= now + PERSISTENT_WAITS.1);
    }
}
