//! Relays each message on `in` to `out`, with QoS 1, in order.

wit_bindgen::generate!({ path: "../../wit", world: "service-with-lifecycle" });

use miqro::service::messaging::{self, PublishOptions, Qos};

struct Relay;
export!(Relay);

impl Guest for Relay {
    fn start() -> Result<(), String> {
        messaging::subscribe("in", None).map_err(|error| error.to_string())
    }

    fn handle(_topic: String, payload: Vec<u8>) -> Result<(), String> {
        let options = PublishOptions {
            qos: Qos::AtLeastOnce,
            retain: false,
            global: false,
            only_if_changed: None,
            properties: None,
        };

        messaging::publish("out", &payload, Some(&options))
            .map(drop)
            .map_err(|error| error.to_string())
    }

    fn tick() -> Result<(), String> {
        Ok(())
    }

    fn stop() -> Result<(), String> {
        Ok(())
    }
}
