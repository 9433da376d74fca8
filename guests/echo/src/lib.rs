//! The echo service: it answers `echo` on `echo_response`, and publishes `foo` and `foofoo` every ten seconds.

wit_bindgen::generate!({ path: "../../wit", world: "service-with-lifecycle" });

use miqro::service::{config, messaging, timers};

struct Echo;
export!(Echo);

impl Guest for Echo {
    fn start() -> Result<(), String> {
        messaging::subscribe("echo", None).map_err(|error| error.to_string())?;
        timers::every("publish", 10_000, 0).map_err(|error| error.to_string())
    }

    fn handle(_topic: String, payload: Vec<u8>) -> Result<(), String> {
        publish("echo_response", &payload)
    }

    fn tick() -> Result<(), String> {
        publish("foo", b"bar")?;
        publish("foofoo", demo(&config::get())?.as_bytes())
    }

    fn stop() -> Result<(), String> {
        Ok(())
    }
}

/// Returns the payload of `foofoo`; `config_demo` is the key `custom_value` of the service's section, or null.
fn demo(section: &str) -> Result<String, String> {
    let section: serde_json::Value =
        serde_json::from_str(section).map_err(|error| format!("configuration: {error}"))?;
    // as Python writes it, with spaces
    Ok(format!(
        r#"{{"answer": 42.01, "config_demo": {}}}"#,
        section["custom_value"]
    ))
}

fn publish(topic: &str, payload: &[u8]) -> Result<(), String> {
    messaging::publish(topic, payload, None)
        .map(drop)
        .map_err(|error| error.to_string())
}
