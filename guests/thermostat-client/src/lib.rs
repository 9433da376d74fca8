//! A service that drives a thermostat of another service. Messages below its base topic become calls, and their results are
//! published there: `measured` hands over a reading, `target` sets the target, `boost` raises it, and `report` publishes the state.
//! Signals become `switched` and `warned`.

wit_bindgen::generate!({
    path: ["../../wit", "../thermostat/wit"],
    inline: "package guest:thermostat-client;
        world guest {
            include miqro:service/service-with-lifecycle@0.1.0;
            include home:climate/thermostat-client@1.0.0;
        }",
    world: "guest:thermostat-client/guest",
    generate_all,
});

use exports::home::climate::thermostat_signals;
use home::climate::thermostat;
use home::climate::types::{Reading, Refusal, Warnings};
use miqro::service::messaging;

/// Topics below the base topic that become calls.
const TOPICS: [&str; 4] = ["measured", "target", "boost", "report"];

struct Client;
export!(Client);

impl thermostat_signals::Guest for Client {
    fn switched(active: bool) {
        // a signal has no answer that could carry an error
        let _ = publish("switched", if active { "on" } else { "off" });
    }

    fn warned(warnings: Warnings, reading: Reading) {
        let _ = publish(
            "warned",
            &format!("{} at {}", names(warnings), reading.celsius),
        );
    }
}

impl Guest for Client {
    fn start() -> Result<(), String> {
        TOPICS.iter().try_for_each(|topic| {
            messaging::subscribe(topic, None).map_err(|error| error.to_string())
        })
    }

    fn handle(topic: String, payload: Vec<u8>) -> Result<(), String> {
        let number = || {
            let text = str::from_utf8(&payload).map_err(|error| error.to_string())?;
            text.parse()
                .map_err(|_| format!("expected a number, found {text:?}"))
        };

        match topic.as_str() {
            "measured" => measured(number()?),
            "target" => {
                let target = number()?;
                publish_outcome(thermostat::set_target(target).map(|()| target))
            }
            "boost" => publish_outcome(thermostat::boost(number()?)),
            "report" => report(),
            _ => Ok(()),
        }
    }

    fn tick() -> Result<(), String> {
        Ok(())
    }

    fn stop() -> Result<(), String> {
        Ok(())
    }
}

fn measured(celsius: f64) -> Result<(), String> {
    let reading = Reading {
        celsius,
        humidity: None,
    };
    publish("warnings", &names(thermostat::measure(reading)))
}

/// Publishes the new target, or the reason why it was refused.
fn publish_outcome(outcome: Result<f64, Refusal>) -> Result<(), String> {
    match outcome {
        Ok(target) => publish("accepted", &target.to_string()),
        Err(Refusal::IsOff) => publish("refused", "it is off"),
        Err(Refusal::OutOfLimits(limits)) => publish(
            "refused",
            &format!("expected {} to {}", limits.lowest, limits.highest),
        ),
    }
}

fn report() -> Result<(), String> {
    let measured = thermostat::get_measured().map_or_else(
        || "nothing".to_owned(),
        |reading| reading.celsius.to_string(),
    );
    let line = format!(
        "target {}, measured {measured}, active {}, {} readings",
        thermostat::get_target(),
        thermostat::get_active(),
        thermostat::history(10).len()
    );
    publish("state", &line)
}

fn names(warnings: Warnings) -> String {
    let names: Vec<_> = warnings
        .iter_names()
        .map(|(name, _)| name.to_lowercase())
        .collect();

    names.join(" ")
}

fn publish(topic: &str, text: &str) -> Result<(), String> {
    messaging::publish(topic, text.as_bytes(), None)
        .map(drop)
        .map_err(|error| error.to_string())
}
