//! A service that drives a thermostat of another service. Messages below its base topic become calls, and their results are
//! published there: `measured` hands over a reading, `target` sets the target, `boost` raises it, and `report` publishes the state.
//! Signals become `switched` and `warned`.

use miqro_sdk::prelude::*;

miqro_sdk::interfaces!("../thermostat/wit", "home:climate/thermostat-client@1.0.0");

use types::{Reading, Refusal, Warnings};

#[derive(Default)]
struct Client;

#[service]
impl Client {
    #[handle("measured")]
    fn measured(&mut self, celsius: f64) -> Result {
        let reading = Reading {
            celsius,
            humidity: None,
        };
        publish("warnings", names(thermostat::measure(reading)))
    }

    #[handle("target")]
    fn target(&mut self, celsius: f64) -> Result {
        publish_outcome(thermostat::set_target(celsius).map(|()| celsius))
    }

    #[handle("boost")]
    fn boost(&mut self, degrees: f64) -> Result {
        publish_outcome(thermostat::boost(degrees))
    }

    #[handle("report")]
    fn report(&mut self) -> Result {
        let measured = thermostat::get_measured().map(|reading| reading.celsius);
        publish(
            "state",
            json!({
                "target": thermostat::get_target(),
                "measured": measured,
                "active": thermostat::get_active(),
                "readings": thermostat::history(10).len(),
            }),
        )
    }
}

#[serve]
impl thermostat_signals::Guest for Client {
    fn switched(&mut self, active: bool) {
        // a signal has no answer that could carry an error
        let _ = publish("switched", active);
    }

    fn warned(&mut self, warnings: Warnings, reading: Reading) {
        let _ = publish(
            "warned",
            format!("{} at {}", names(warnings), reading.celsius),
        );
    }
}

/// Publishes the new target, or the reason why it was refused.
fn publish_outcome(outcome: std::result::Result<f64, Refusal>) -> Result {
    match outcome {
        Ok(target) => publish("accepted", target),
        Err(Refusal::IsOff) => publish("refused", "it is off"),
        Err(Refusal::OutOfLimits(limits)) => publish(
            "refused",
            format!("expected {} to {}", limits.lowest, limits.highest),
        ),
    }
}

fn names(warnings: Warnings) -> String {
    let names: Vec<_> = warnings
        .iter_names()
        .map(|(name, _)| name.to_lowercase())
        .collect();

    names.join(" ")
}
