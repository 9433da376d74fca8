//! Fails on command. A message on `work` names the failure. Before it fails it publishes `lost`, which must not arrive; for a
//! payload that names no failure, `worked`. For `sleep <milliseconds> <answer>` it publishes the answer on `worked` when the
//! time is over, with QoS 1.

use std::time::Duration;

use contract_kit::ruin::{allocate, recurse, spin};
use contract_kit::{Guest, Outcome, publish, publish_confirmed, subscribe, timers};

struct Faulty;
contract_kit::service!(Faulty);

impl Guest for Faulty {
    fn start() -> Outcome {
        subscribe("work")
    }

    fn handle(_topic: String, payload: Vec<u8>) -> Outcome {
        let how = String::from_utf8_lossy(&payload);
        if let Some((milliseconds, answer)) = how
            .strip_prefix("sleep ")
            .and_then(|rest| rest.split_once(' '))
        {
            let milliseconds = milliseconds
                .parse()
                .map_err(|_| format!("{how}: no number of milliseconds"))?;
            std::thread::sleep(Duration::from_millis(milliseconds));
            return publish_confirmed("worked", answer);
        }

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
