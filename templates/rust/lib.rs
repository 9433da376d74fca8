//! {{name}}: answers messages, and publishes a greeting every ten seconds.

use serde_json::{Value, json};

wit_bindgen::generate!({ path: "wit", world: "app" });

use miqro::service::{config, messaging, state, timers};

struct Service;

export!(Service);

impl Guest for Service {
    fn start() -> Result<(), String> {
        messaging::subscribe("echo", None).map_err(text)?;
        timers::every("greet", 10_000, 0).map_err(|error| format!("{error:?}"))
    }

    fn handle(topic: String, payload: Vec<u8>) -> Result<(), String> {
        match topic.as_str() {
            "echo" => publish("echo_response", &payload),
            _ => Ok(()),
        }
    }

    fn tick() -> Result<(), String> {
        for timer in timers::due() {
            if timer.name == "greet" {
                greet()?;
            }
        }
        Ok(())
    }

    fn stop() -> Result<(), String> {
        Ok(())
    }
}

/// The greeting that is published.
pub fn greeting(text: &str, count: u64) -> Value {
    json!({ "text": text, "count": count })
}

fn greet() -> Result<(), String> {
    let stored = state::get("count").map_err(|error| format!("{error:?}"))?;
    let stored = stored.and_then(|bytes| serde_json::from_slice::<u64>(&bytes).ok());
    let count = stored.unwrap_or_default() + 1;
    state::set("count", count.to_string().as_bytes()).map_err(|error| format!("{error:?}"))?;

    let section: Value = serde_json::from_str(&config::get()).map_err(|error| error.to_string())?;
    let text = section["greeting"].as_str().unwrap_or("hello");
    publish("greeting", greeting(text, count).to_string().as_bytes())
}

fn publish(topic: &str, payload: &[u8]) -> Result<(), String> {
    messaging::publish(topic, payload, None).map(drop).map_err(text)
}

/// The text of an error of the host.
fn text(error: messaging::MessagingError) -> String {
    use messaging::MessagingError::{Denied, InvalidProperty, InvalidTopic, Limit};
    match error {
        InvalidTopic(text) | Denied(text) | InvalidProperty(text) | Limit(text) => text,
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn greeting() {
        assert_eq!(super::greeting("hi", 3).to_string(), r#"{"count":3,"text":"hi"}"#);
    }
}
