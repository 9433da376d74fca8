//! Publishes its section: on `get`, `config` and `me`; at the start, the former as `config_at_start`, retained.

use contract_kit::{Guest, Outcome, config, json, publish, publish_retained, subscribe};

struct Config;
contract_kit::service!(Config);

impl Guest for Config {
    fn start() -> Outcome {
        subscribe("get")?;
        publish_retained("config_at_start", config::get())
    }

    fn handle(_topic: String, _payload: Vec<u8>) -> Outcome {
        publish("config", config::get())?;
        let me = config::me();
        let me = json!({ "name": me.name, "base": me.base_topic, "prefix": me.discovery_prefix });
        publish("me", me.to_string())
    }

    fn tick() -> Outcome {
        Ok(())
    }

    fn stop() -> Outcome {
        Ok(())
    }
}
