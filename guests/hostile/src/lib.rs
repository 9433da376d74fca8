//! Does things that a service must not do, one behaviour for each limit. A message on `do` names the behaviour. If its section
//! has `every`, a number of milliseconds, it does the behaviour `told` at each tick. It publishes `done` if the host lets it
//! end the call, and ignores every refusal.

use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use contract_kit::bindings::miqro::service::state;
use contract_kit::log::{Level, log};
use contract_kit::messaging::{self, PublishOptions, Qos};
use contract_kit::ruin::{allocate, recurse, spin};
use contract_kit::{Guest, Outcome, publish, publish_confirmed, section, subscribe, text, timers};

struct Hostile;
contract_kit::service!(Hostile);

/// More than any limit for one call that a test sets.
const MANY: usize = 3_000;

impl Guest for Hostile {
    fn start() -> Outcome {
        let every = section()?["every"].as_u64();
        if let Some(every) = every {
            timers::every("again", every, every).map_err(|error| error.to_string())?;
        }
        subscribe("do")
    }

    fn handle(_topic: String, payload: Vec<u8>) -> Outcome {
        misbehave(&String::from_utf8_lossy(&payload))?;
        publish("done", payload)
    }

    fn tick() -> Outcome {
        misbehave(text(&section()?, "told"))
    }

    fn stop() -> Outcome {
        Ok(())
    }
}

fn misbehave(told: &str) -> Outcome {
    match told {
        "refuse" => return Err("told to fail".to_owned()),
        "trap" => panic!("told to trap"),
        "loop" => spin(),
        "allocate" => allocate(),
        "recurse" => drop(black_box(recurse(0))),
        "sleep" => std::thread::sleep(Duration::from_secs(3_600)),
        "publish" => times(MANY, |n| drop(publish("flood", n.to_string()))),
        "confirmed" => times(300, |_| drop(publish_confirmed("flood", "x"))),
        "count" => count()?,
        "bulk" => times(20, |_| drop(publish("flood", vec![b'x'; 64 * 1024]))),
        "huge" => drop(publish("flood", vec![b'x'; 3 << 19])),
        "outside" => drop(messaging::publish("elsewhere", b"x", Some(&global()))),
        "subscribe" => times(MANY, |n| {
            drop(messaging::subscribe(&format!("s/{n}"), None))
        }),
        "resubscribe" => times(MANY, |n| {
            drop(messaging::subscribe(&format!("s/{}", n % 9), None))
        }),
        "timers" => times(MANY, |n| drop(timers::after(&n.to_string(), 3_600_000))),
        "state" => keep(MANY, 1_000),
        "rewrite" => keep(1, 60_000),
        "log" => times(MANY, |n| log(Level::Info, &format!("line {n}"), &[])),
        "print" => times(MANY, |n| println!("line {n}")),
        // little in each call, and often
        "amplify" => times(300, |_| drop(publish("flood", "x"))),
        "reset" => times(300, |_| drop(timers::after("t", 3_600_000))),
        other => return Err(format!("{other} is not known")),
    }

    Ok(())
}

/// Publishes how often it was called, and says it.
fn count() -> Outcome {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    log(Level::Info, &format!("count {count}"), &[]);
    publish_confirmed("count", count.to_string())
}

fn times(count: usize, act: impl FnMut(usize)) {
    (0..count).for_each(act);
}

fn keep(values: usize, bytes: usize) {
    times(values, |n| {
        drop(state::set(&n.to_string(), &vec![b'x'; bytes]))
    });
}

fn global() -> PublishOptions {
    PublishOptions {
        qos: Qos::AtMostOnce,
        retain: false,
        global: true,
        only_if_changed: None,
        properties: None,
    }
}
