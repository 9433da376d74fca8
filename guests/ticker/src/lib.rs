//! Ticks once a second. The keys of its section are `delay` (milliseconds to the first tick) and `say` (1: publish an empty
//! `tick` each time). It subscribes to `poke`, which shows that it runs, and ignores the messages.

use std::cell::Cell;

wit_bindgen::generate!({ path: "../../wit", world: "service-with-lifecycle" });

use miqro::service::{config, messaging, timers};

thread_local! {
    static SAYS: Cell<bool> = const { Cell::new(false) };
}

struct Ticker;
export!(Ticker);

impl Guest for Ticker {
    fn start() -> Result<(), String> {
        let section = config::get();
        SAYS.set(number(&section, "say") == 1);
        messaging::subscribe("poke", None).map_err(|error| error.to_string())?;
        timers::every("tick", 1_000, number(&section, "delay")).map_err(|error| error.to_string())
    }

    fn handle(_topic: String, _payload: Vec<u8>) -> Result<(), String> {
        Ok(())
    }

    fn tick() -> Result<(), String> {
        if !SAYS.get() {
            return Ok(());
        }
        messaging::publish("tick", b"", None)
            .map(drop)
            .map_err(|error| error.to_string())
    }

    fn stop() -> Result<(), String> {
        Ok(())
    }
}

/// The whole number behind the key `name` of a flat JSON object; 0 when there is none. A parser of JSON would make each of
/// ten thousand instances larger than its own code.
fn number(json: &str, name: &str) -> u64 {
    let Some((_, rest)) = json.split_once(&format!("\"{name}\":")) else {
        return 0;
    };
    let digits = rest.trim_start();
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    digits[..end].parse().unwrap_or(0)
}
