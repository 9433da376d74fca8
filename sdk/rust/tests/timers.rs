//! Loops and one-shot timers, by the virtual clock.

#![allow(missing_docs, clippy::unwrap_used)]

use miqro_sdk::prelude::*;
use miqro_sdk::test::TestHost;

#[derive(Default)]
struct Clock {
    left: u32,
    fail: bool,
}

#[service]
impl Clock {
    #[new]
    fn make() -> Result<Self> {
        Ok(Self {
            left: config::get("left")?.unwrap_or(3),
            fail: false,
        })
    }

    #[every("250ms")]
    fn fast(&mut self) -> Result<ControlFlow<()>> {
        if self.fail {
            publish("never", ())?;
            return Err(Error::new("broken"));
        }
        publish("fast", self.left)?;
        self.left -= 1;
        Ok(if self.left == 0 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        })
    }

    #[every("1s", delayed)]
    fn slow(&mut self) {
        info!("slow"; left = self.left);
    }

    #[every("10s", delay = "1s", jitter = "3s", name = "by-chance")]
    fn chance(&mut self) {}

    #[every("5s", stopped)]
    fn idle(&mut self) -> Result {
        publish("idle", ())
    }

    #[timer]
    fn once(&mut self) -> Result {
        publish("once", ())
    }

    #[timer("silence/+")]
    fn silent(&mut self, input: &str) -> Result {
        publish("silent", input)
    }

    #[handle("after/#")]
    fn set(&mut self, milliseconds: u64, name: &str) -> Result {
        timers::after(name, Duration::from_millis(milliseconds))
    }

    #[handle("loop/+")]
    fn a_loop(&mut self, command: &str, name: &str) -> Result {
        let own = Loop::named(name);
        match command {
            "start" => own.start(),
            "restart" => own.restart(),
            "delayed" => own.restart_delayed(),
            "add" => Loop::add(name, Duration::from_secs(1), |clock: &mut Clock| {
                publish("added", clock.left)
            })
            .map(drop),
            "remove" => {
                own.remove();
                Ok(())
            }
            "remaining" => publish(
                "remaining",
                own.remaining().map(|span| span.as_millis().to_string()),
            ),
            _ => {
                own.stop();
                Ok(())
            }
        }
    }
}

const MS: fn(u64) -> Duration = Duration::from_millis;

fn clock() -> TestHost<Clock> {
    TestHost::setup().chance(2_000).start().unwrap()
}

#[test]
fn a_loop_runs_now_and_without_drift_until_it_says_stop() {
    let mut host = clock();
    host.expect_next("fast", 3);
    host.expect_nothing();
    host.advance(MS(499)).unwrap();
    host.expect_next("fast", 2);
    host.expect_nothing();
    host.advance(MS(1)).unwrap();
    host.expect_next("fast", 1);
    host.advance(MS(5_000)).unwrap();
    host.expect_nothing();
    assert!(!host.timers().contains(&"fast".to_owned()));
}

#[test]
fn loops_begin_delayed_or_by_chance_or_stopped() {
    let host = clock();
    assert_eq!(host.remaining("slow"), Some(MS(1_000)));
    assert_eq!(host.remaining("by-chance"), Some(MS(3_000)));
    assert_eq!(host.remaining("idle"), None);
}

#[test]
fn loops_are_started_stopped_and_restarted() {
    let mut host = clock();
    host.send("loop/idle", "start").unwrap();
    host.advance(MS(0)).unwrap();
    host.skip();
    host.send("loop/idle", "start").unwrap(); // it runs already
    host.send("loop/idle", "remaining").unwrap();
    host.expect_next("remaining", "5000");
    host.send("loop/idle", "restart").unwrap();
    host.advance(MS(0)).unwrap();
    host.expect_next("idle", "");
    host.send("loop/idle", "delayed").unwrap();
    host.advance(MS(1_000)).unwrap();
    host.send("loop/idle", "remaining").unwrap();
    assert_eq!(host.last("remaining"), Some("4000".to_owned()));
    host.send("loop/idle", "stop").unwrap();
    host.skip();
    host.advance(MS(60_000)).unwrap();
    assert_eq!(host.last("idle").as_deref(), Some(""));
    assert!(
        host.sent()
            .iter()
            .filter(|sent| sent.topic == "idle")
            .count()
            == 2
    );

    assert!(host.send("loop/unknown", "start").is_err());
}

#[test]
fn loops_are_added_and_removed_at_run_time() {
    let mut host = clock();
    host.send("loop/more", "add").unwrap();
    host.advance(MS(1_000)).unwrap();
    assert_eq!(
        host.sent()
            .iter()
            .filter(|sent| sent.topic == "added")
            .count(),
        2
    );

    host.send("loop/more", "remove").unwrap();
    host.advance(MS(10_000)).unwrap();
    assert_eq!(
        host.sent()
            .iter()
            .filter(|sent| sent.topic == "added")
            .count(),
        2
    );
}

#[test]
fn one_shot_timers_are_restarted_by_setting_them_again() {
    let mut host = clock();
    host.service().left = 100;
    host.send("after/once", "300").unwrap();
    host.send("after/silence/door", "300").unwrap();
    host.advance(MS(200)).unwrap();
    host.send("after/silence/door", "300").unwrap();
    host.skip();
    host.advance(MS(299)).unwrap();
    assert_eq!(host.last("once"), Some(String::new()));
    assert_eq!(host.last("silent"), None);
    host.advance(MS(1)).unwrap();
    assert_eq!(host.last("silent").as_deref(), Some("door"));
}

#[test]
fn a_loop_that_fails_runs_again_and_publishes_nothing() {
    let mut host = clock();
    host.expect_next("fast", 3);
    host.service().fail = true;
    assert_eq!(host.advance(MS(250)), Err("broken".to_owned()));
    host.expect_nothing();
    host.service().fail = false;
    host.advance(MS(250)).unwrap();
    host.expect_next("fast", 2);
}

#[test]
fn the_section_is_read_when_the_service_is_made() {
    let mut host = TestHost::<Clock>::setup()
        .config(json!({"left": 1}))
        .start()
        .unwrap();
    host.advance(MS(5_000)).unwrap();
    host.expect_next("fast", 1);
    host.expect_nothing();
    let wrong = TestHost::<Clock>::setup()
        .config(json!({"left": "many"}))
        .start()
        .err()
        .unwrap();
    assert!(wrong.starts_with("configuration: left:"), "{wrong}");
}
