//! Publishes the facts of a message as `info`: messages below `in/` (QoS 2), and those of the filter `global` of its section.
//! The payload `fail` fails twice, `tick` sets a timer. Whether there is a message in `start` and `tick` is published,
//! retained, as `outside/start` and `outside/tick`.

use contract_kit::messaging::{self, MessageInfo, Properties, Qos, SubscribeOptions};
use contract_kit::{Guest, Outcome, Value, json, publish, publish_retained, section, text, timers};

struct Told;
contract_kit::service!(Told);

impl Guest for Told {
    fn start() -> Outcome {
        let options = |global| {
            Some(SubscribeOptions {
                qos: Qos::ExactlyOnce,
                global,
            })
        };

        messaging::subscribe("in/#", options(false)).map_err(|error| error.to_string())?;
        let section = section()?;
        if section["global"].is_string() {
            messaging::subscribe(text(&section, "global"), options(true))
                .map_err(|error| error.to_string())?;
        }
        outside("start")
    }

    fn handle(topic: String, payload: Vec<u8>) -> Outcome {
        let info = messaging::current_message().ok_or("no current message in handle")?;
        if payload == b"fail" && info.attempt < 3 {
            return Err(format!("attempt {}", info.attempt));
        }
        if payload == b"tick" {
            timers::after("tick", 0).map_err(|error| error.to_string())?;
        }
        publish("info", describe(&topic, &info).to_string())
    }

    fn tick() -> Outcome {
        outside("tick")
    }

    fn stop() -> Outcome {
        Ok(())
    }
}

/// Publishes, retained, whether there is a current message in `call`.
fn outside(call: &str) -> Outcome {
    publish_retained(
        &format!("outside/{call}"),
        messaging::current_message().is_some().to_string(),
    )
}

fn describe(handle_topic: &str, info: &MessageInfo) -> Value {
    json!({
        "handle_topic": handle_topic,
        "topic": info.topic,
        "relative": info.relative,
        "qos": info.qos as u8,
        "retain": info.retain,
        "dup": info.dup,
        "attempt": info.attempt,
        "properties": info.properties.as_ref().map(properties),
    })
}

fn properties(properties: &Properties) -> Value {
    let pairs = properties.user_properties.iter();
    json!({
        "response_topic": properties.response_topic,
        "correlation_data": properties.correlation_data.as_deref().map(String::from_utf8_lossy),
        "content_type": properties.content_type,
        "message_expiry": properties.message_expiry,
        "utf8": properties.utf8,
        "user_properties": pairs.map(|(name, value)| json!({ "name": name, "value": value })).collect::<Value>(),
    })
}
