//! Calls the interface `machine` over the network. A message on `do` is a command, as in `{"call": "add", "args": [1, 2]}`; the
//! outcome is published on `done` with the milliseconds that it took, and a signal that arrives on `signal`.

wit_bindgen::generate!({
    path: ["../../../wit", "../typed-service/wit"],
    inline: "package miqro:typed-client;
        world typed-client {
            include miqro:service/service-with-lifecycle@0.1.0;
            import test:typed/machine@1.0.0;
            export test:typed/machine-signals@1.0.0;
        }",
    world: "miqro:typed-client/typed-client",
    generate_all,
});

use std::time::Instant;

use contract_kit::{Value, command, json};
use exports::test::typed::machine_signals;
use miqro::service::messaging;
use test::typed::machine;
use test::typed::types::Color;

struct Client;
export!(Client);

impl Guest for Client {
    fn start() -> Result<(), String> {
        messaging::subscribe("do", None).map_err(|error| error.to_string())
    }

    fn handle(_topic: String, payload: Vec<u8>) -> Result<(), String> {
        let command = command(&payload)?;
        let arguments = &command["args"];
        let number = |index: usize| {
            let number = arguments[index].as_i64().unwrap_or_default();
            i32::try_from(number).unwrap_or_default()
        };

        let begun = Instant::now();
        let outcome = match command["call"].as_str().unwrap_or_default() {
            "add" => json!(machine::add(number(0), number(1))),
            "add-many" => json!((0..number(0)).fold(0, |sum, _| machine::add(sum, 1))),
            "time-add" => json!((0..number(0)).map(time_add).collect::<Vec<_>>()),
            "reverse-many" => {
                let size = usize::try_from(number(0)).unwrap_or_default();
                let data = vec![b'x'; size];
                json!(
                    (0..number(1))
                        .map(|_| machine::reverse(&data).len())
                        .sum::<usize>()
                )
            }
            "rest" => {
                machine::rest(number(0).unsigned_abs());
                Value::Null
            }
            "divide" => match machine::divide(number(0), number(1)) {
                Ok(value) => json!({ "ok": value }),
                Err(error) => json!({ "err": error }),
            },
            "reverse" => {
                let text = arguments[0].as_str().unwrap_or_default();
                let reversed = machine::reverse(text.as_bytes());
                json!(String::from_utf8_lossy(&reversed))
            }
            "nothing" => {
                machine::nothing();
                Value::Null
            }
            "count" => json!(machine::get_count()),
            "level" => json!(machine::get_level()),
            "set-level" => match machine::set_level(number(0)) {
                Ok(()) => Value::Null,
                Err(error) => json!({ "err": error }),
            },
            "set-tint" => {
                machine::set_tint(Color::DarkBlue);
                Value::Null
            }
            other => return Err(format!("an unknown call: {other}")),
        };

        let took = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let done = json!({ "id": command["id"], "value": outcome, "took": took });
        publish("done", &done.to_string())
    }

    fn tick() -> Result<(), String> {
        Ok(())
    }

    fn stop() -> Result<(), String> {
        Ok(())
    }
}

impl machine_signals::Guest for Client {
    fn level_passed(number: u32, text: String) {
        // a signal has no way to return an error
        let _ = publish("signal", &json!([number, text]).to_string());
    }
}

/// Nanoseconds of one call.
fn time_add(number: i32) -> u64 {
    let begun = Instant::now();
    machine::add(number, 1);
    u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

fn publish(topic: &str, text: &str) -> Result<(), String> {
    messaging::publish(topic, text.as_bytes(), None)
        .map(drop)
        .map_err(|error| error.to_string())
}
