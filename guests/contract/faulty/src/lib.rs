//! Fails as told. In: on `work`, with how it shall fail as payload. Out: before failing it publishes `lost` (which must not
//! arrive); for a payload that names no failure, `worked`. Owns nothing.

use std::hint::black_box;

use contract_kit::{Guest, Outcome, publish, subscribe, timers};

struct Faulty;
contract_kit::service!(Faulty);

impl Guest for Faulty {
    fn start() -> Outcome {
        subscribe("work")
    }

    fn handle(_topic: String, payload: Vec<u8>) -> Outcome {
        let how = String::from_utf8_lossy(&payload);
        match &*how {
            "tick" => return timers::after("fail", 0).map_err(|error| error.to_string()),
            "fail" | "trap" | "loop" | "allocate" | "recurse" => publish("lost", &*how)?,
            _ => return publish("worked", &*how),
        }
        match &*how {
            "trap" => panic!("told to trap"),
            "loop" => spin(),
            "allocate" => allocate(),
            "recurse" => publish("lost", recurse(1).to_string()),
            _ => Err("told to fail".into()),
        }
    }

    fn tick() -> Outcome {
        publish("lost", "tick")?;
        Err("told to fail in tick".into())
    }

    fn stop() -> Outcome {
        Ok(())
    }
}

fn spin() -> ! {
    loop {
        black_box(0);
    }
}

/// Takes memory until there is none.
fn allocate() -> ! {
    let mut taken = Vec::new();
    loop {
        taken.push(black_box(vec![1u8; 1 << 20]));
    }
}

/// Uses up the stack of calls, not the one in memory: it keeps nothing there.
fn recurse(depth: u64) -> u64 {
    let next: fn(u64) -> u64 = black_box(recurse);
    next(depth + 1) ^ depth
}
