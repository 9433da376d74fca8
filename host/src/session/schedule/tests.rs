//! What always holds of the schedule.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

fn schedule() -> Schedule {
    Schedule::new(200 * MS, 1000 * MS)
}

/// When the connection may be attempted, if time alone decides.
fn due(schedule: &Schedule, role: Role, now: Instant) -> Option<Instant> {
    match schedule.turn(role, now) {
        Turn::Now => Some(now),
        Turn::At(at) => Some(at),
        Turn::Later => None,
    }
}

#[test]
fn the_main_connection_comes_first() {
    let (mut schedule, now) = (schedule(), Instant::now());
    assert_eq!(schedule.turn(Role::Main, now), Turn::Now);
    assert_eq!(schedule.turn(Role::Presence, now), Turn::Later);
    schedule.connected(Role::Main, now);
    assert_eq!(schedule.turn(Role::Presence, now), Turn::Now);
    schedule.lost(Role::Main, now, now + 6000 * MS, (1.0, Duration::MAX));
    assert_eq!(schedule.turn(Role::Presence, now + 6000 * MS), Turn::Later);
}

#[test]
fn presence_connections_go_one_by_one_when_one_has_failed() {
    let (mut schedule, now) = (schedule(), Instant::now());
    schedule.connected(Role::Main, now);
    for _ in 0..AT_ONCE {
        assert_eq!(schedule.turn(Role::Presence, now), Turn::Now);
        schedule.begun(Role::Presence);
    }
    assert_eq!(schedule.turn(Role::Presence, now), Turn::Later);
    for _ in 0..AT_ONCE {
        schedule.over(Role::Presence);
        schedule.failed(Role::Presence, Trouble::Passing, now, 1.0);
    }
    let later = due(&schedule, Role::Presence, now).unwrap();
    assert!(later >= now + 800 * MS, "they share one back-off");
    schedule.begun(Role::Presence);
    assert_eq!(schedule.turn(Role::Presence, later), Turn::Later);
}

#[test]
fn short_connections_are_retried_later_each_time() {
    let (mut schedule, mut now) = (schedule(), Instant::now());
    for wait in [200, 400, 800, 1000, 1000] {
        schedule.connected(Role::Main, now);
        schedule.lost(Role::Main, now, now, (1.0, Duration::MAX));
        assert_eq!(schedule.turn(Role::Main, now), Turn::At(now + wait * MS));
        now += wait * MS;
    }
    assert_eq!(schedule.short(), 5);
    assert_eq!(schedule.settle(), 800 * MS);
    schedule.connected(Role::Main, now);
    assert_eq!(schedule.turn(Role::Presence, now), Turn::At(now + 800 * MS));
    schedule.lost(Role::Main, now, now + GOOD, (1.0, Duration::MAX));
    assert_eq!(
        schedule.turn(Role::Main, now + GOOD),
        Turn::At(now + GOOD + 200 * MS)
    );
    assert_eq!(schedule.settle(), Duration::ZERO);
}

#[test]
fn permanent_refusals_wait_longer_from_the_start() {
    let (mut schedule, now) = (schedule(), Instant::now());
    for wait in [5, 10, 20, 40, 60, 60] {
        schedule.failed(Role::Main, Trouble::Lasting, now, 1.0);
        assert_eq!(
            schedule.turn(Role::Main, now),
            Turn::At(now + Duration::from_secs(wait))
        );
    }
    schedule.renew(200 * MS, 1000 * MS);
    assert_eq!(schedule.turn(Role::Main, now), Turn::Now);
}

#[test]
fn a_wait_can_be_cut_short_and_is_never_made_longer() {
    let (mut schedule, now) = (schedule(), Instant::now());
    schedule.lost(Role::Main, now, now, (1.0, 5 * MS));
    assert_eq!(schedule.turn(Role::Main, now), Turn::At(now + 5 * MS));
    schedule.lost(Role::Main, now, now, (1.0, 3_600_000 * MS));
    // one that was cut short counts for nothing
    assert_eq!(schedule.turn(Role::Main, now), Turn::At(now + 200 * MS));
}

#[test]
fn presence_connections_make_room_for_a_main_one_that_stays_outside() {
    let (mut schedule, now) = (schedule(), Instant::now());
    schedule.connected(Role::Main, now);
    schedule.lost(Role::Main, now, now + GOOD, (1.0, Duration::MAX));
    for _ in 0..MAKE_ROOM {
        assert!(!schedule.must_make_room());
        schedule.failed(Role::Main, Trouble::Passing, now + GOOD, 1.0);
    }
    assert!(schedule.must_make_room());
    schedule.connected(Role::Main, now + GOOD);
    assert!(!schedule.must_make_room());
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Failed(Trouble),
    Closed(u64),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Failed(Trouble::Passing)),
        Just(Step::Failed(Trouble::Lasting)),
        (0..6000_u64).prop_map(Step::Closed),
        (0..3000_u64).prop_map(Step::Wait),
    ]
}

proptest! {
    /// However attempts of thirty connections end: the number of attempts in a time is that of one connection's back-off.
    #[test]
    fn thirty_connections_attempt_no_more_than_a_few(steps in proptest::collection::vec(step(), 1..200), jitter in 0.0..1.0_f64) {
        let (mut schedule, start) = (schedule(), Instant::now());
        let (mut now, mut attempts) = (start, 0_u32);
        for step in steps {
            let Some(at) = due(&schedule, Role::Main, now) else { unreachable!("the main one waits for time alone") };
            match step {
                Step::Wait(span) => now += Duration::from_millis(span),
                Step::Failed(trouble) => {
                    now = now.max(at);
                    attempts += 1;
                    schedule.failed(Role::Main, trouble, now, jitter);
                }
                Step::Closed(lasted) => {
                    now = now.max(at);
                    attempts += 1;
                    schedule.connected(Role::Main, now);
                    let end = now + Duration::from_millis(lasted);
                    // all that want to connect meanwhile, and fail
                    while let Some(at) = due(&schedule, Role::Presence, now).filter(|at| *at < end) {
                        now = at;
                        attempts += 1;
                        schedule.begun(Role::Presence);
                        schedule.over(Role::Presence);
                        schedule.failed(Role::Presence, Trouble::Passing, now, jitter);
                    }
                    schedule.lost(Role::Main, end - Duration::from_millis(lasted), end, (jitter, Duration::MAX));
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
        let (mut schedule, now) = (schedule(), Instant::now());
        for lasting in lasting {
            schedule.failed(Role::Main, if lasting { Trouble::Lasting } else { Trouble::Passing }, now, jitter);
        }
        let at = due(&schedule, Role::Main, now).unwrap();
        prop_assert!(at <= now + LASTING.1);
    }
}
