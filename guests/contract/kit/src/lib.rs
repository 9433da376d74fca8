//! Shared code of the guests of the contract tests: commands as JSON, and the bindings.

/// The bindings, as `wit-bindgen` writes them from the contract.
pub mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        world: "service-with-lifecycle",
        pub_export_macro: true,
        export_macro_name: "service",
        default_bindings_module: "contract_kit::bindings",
    });
}

pub mod ruin;

pub use bindings::miqro::service::{config, log, messaging, timers};
pub use bindings::{Guest, service};
pub use serde_json::{Value, json};

use messaging::{PublishOptions, Qos};

/// Result of every exported call.
pub type Outcome = Result<(), String>;

/// Subscribes below the service's base topic, with QoS 1.
pub fn subscribe(filter: &str) -> Outcome {
    messaging::subscribe(filter, None).map_err(|error| error.to_string())
}

/// Publishes below the service's base topic, with QoS 0.
pub fn publish(topic: &str, payload: impl AsRef<[u8]>) -> Outcome {
    messaging::publish(topic, payload.as_ref(), None)
        .map(drop)
        .map_err(|error| error.to_string())
}

/// Publishes below the service's base topic, with QoS 1.
pub fn publish_confirmed(topic: &str, payload: impl AsRef<[u8]>) -> Outcome {
    publish_with(topic, payload.as_ref(), false)
}

/// Publishes below the service's base topic, with QoS 1, for the broker to keep.
pub fn publish_retained(topic: &str, payload: impl AsRef<[u8]>) -> Outcome {
    publish_with(topic, payload.as_ref(), true)
}

fn publish_with(topic: &str, payload: &[u8], retain: bool) -> Outcome {
    let options = PublishOptions {
        qos: Qos::AtLeastOnce,
        retain,
        global: false,
        only_if_changed: None,
        properties: None,
    };

    messaging::publish(topic, payload, Some(&options))
        .map(drop)
        .map_err(|error| error.to_string())
}

/// Publishes `done` for an accepted call, and `refused` with the reason for a refused one.
pub fn answer<E: std::fmt::Debug>(outcome: Result<(), E>) -> Outcome {
    match outcome {
        Ok(()) => publish("done", ""),
        Err(error) => publish("refused", format!("{error:?}")),
    }
}

/// Reads a command.
pub fn command(payload: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(payload).map_err(|error| format!("not a command: {error}"))
}

/// The service's section of `miqro.yml`.
pub fn section() -> Result<Value, String> {
    command(config::get().as_bytes())
}

/// The text of the member `name`, empty where there is none.
pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// The quality of service in the member `qos`: 0 where there is none.
pub fn qos(value: &Value) -> Qos {
    match value["qos"].as_u64() {
        Some(1) => Qos::AtLeastOnce,
        Some(2) => Qos::ExactlyOnce,
        _ => Qos::AtMostOnce,
    }
}
