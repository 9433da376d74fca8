//! Sets timers on command: `{"every": NAME, "period", "delay"}`, `{"after": NAME, "delay"}`, `{"cancel": NAME}`, `{"remaining":
//! NAME}` (answered on `remaining`), `{"due": true}` or `{"busy": MILLISECONDS}` on `command`. It publishes `done` or
//! `refused`, and `due` with name and count for all due timers of a tick.

use std::time::{Duration, Instant};

use contract_kit::{
    Guest, Outcome, Value, answer, command, json, publish, subscribe, text, timers,
};

struct Timers;
contract_kit::service!(Timers);

impl Guest for Timers {
    fn start() -> Outcome {
        subscribe("command")
    }

    fn handle(_topic: String, payload: Vec<u8>) -> Outcome {
        let command = command(&payload)?;
        let number = |name: &str| command[name].as_u64().unwrap_or_default();
        if command["every"].is_string() {
            return answer(timers::every(
                text(&command, "every"),
                number("period"),
                number("delay"),
            ));
        }

        if command["after"].is_string() {
            return answer(timers::after(text(&command, "after"), number("delay")));
        }
        if command["cancel"].is_string() {
            timers::cancel(text(&command, "cancel"));
        }
        if command["remaining"].is_string() {
            let remaining = timers::remaining(text(&command, "remaining"));
            publish("remaining", json!(remaining).to_string())?;
        }
        if command["due"] == true {
            say_due()?;
        }
        busy(Duration::from_millis(number("busy")));
        publish("done", "")
    }

    fn tick() -> Outcome {
        say_due()
    }

    fn stop() -> Outcome {
        Ok(())
    }
}

/// Publishes all that is due, as one message.
fn say_due() -> Outcome {
    let due: Value = timers::due()
        .iter()
        .map(|timer| json!({ "name": timer.name, "count": timer.count }))
        .collect();
    publish("due", due.to_string())
}

/// Keeps the service from ticking.
fn busy(span: Duration) {
    let start = Instant::now();
    while start.elapsed() < span {}
}
