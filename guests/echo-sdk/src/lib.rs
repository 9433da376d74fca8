//! The echo service, written with the SDK: it answers `echo` on `echo_response`, and publishes `foo` and `foofoo` every ten
//! seconds.

use miqro_sdk::prelude::*;

#[derive(Default)]
struct Echo;

#[service]
impl Echo {
    #[every("10s")]
    fn publish(&mut self) -> Result {
        publish("foo", "bar")?;
        let custom: Option<serde_json::Value> = config::get("custom_value")?;
        publish("foofoo", json!({ "answer": 42.01, "config_demo": custom }))
    }

    #[handle("echo")]
    fn echo(&mut self, payload: &[u8]) -> Result {
        publish("echo_response", payload)
    }
}
