//! Says what its section is. In: a message on `get`. Out: `config`, and the same from `start`, retained, as
//! `config_at_start`. Owns nothing.

use contract_kit::{Guest, Outcome, config, publish, publish_retained, subscribe};

struct Config;
contract_kit::service!(Config);

impl Guest for Config {
    fn start() -> Outcome {
        subscribe("get")?;
        publish_retained("config_at_start", config::get())
    }

    fn handle(_topic: String, _payload: Vec<u8>) -> Outcome {
        publish("config", config::get())
    }

    fn tick() -> Outcome {
        Ok(())
    }

    fn stop() -> Outcome {
        Ok(())
    }
}
