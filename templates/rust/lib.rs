//! {{name}}: answers messages, and publishes a greeting every ten seconds.

use miqro_sdk::prelude::*;

/// The service.
#[derive(Default)]
struct App;

#[service]
impl App {
    #[handle("echo")]
    fn echo(&mut self, payload: &[u8]) -> Result {
        publish("echo_response", payload)
    }

    #[every("10s")]
    fn greet(&mut self) -> Result {
        let count = state::get::<u64>("count")?.unwrap_or_default() + 1;
        state::set("count", &count)?;

        let text = config::get::<String>("greeting")?;
        let text = text.unwrap_or_else(|| "hello".to_owned());
        publish("greeting", json!({ "text": text, "count": count }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use miqro_sdk::test::TestHost;

    #[test]
    fn answers_and_greets() {
        let host = TestHost::<App>::setup().config(json!({ "greeting": "hi" }));
        let mut host = host.start().expect("the service starts");
        host.expect_next("greeting", json!({ "text": "hi", "count": 1 }));

        host.send("echo", "hello").expect("it is handled");
        host.expect_next("echo_response", "hello");
        host.expect_nothing();
    }
}
