//! The echo service, written with the SDK. In: messages on `echo`, a tick every ten seconds. Out: the same payload on `echo_response`; on each
//! tick `foo` and `foofoo`. Owns nothing.

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
