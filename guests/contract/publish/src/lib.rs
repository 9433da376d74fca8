//! Publishes on command: `{"topic", "payload", "qos", "retain", "global", "only_if_changed", "properties"}` on `publish`, or
//! with `"plain": true` without options. It publishes that message, then `done` or `refused`.

use contract_kit::messaging::{self, OnlyIfChanged, Properties, PublishOptions};
use contract_kit::{Guest, Outcome, Value, answer, command, qos, subscribe, text};

struct Publish;
contract_kit::service!(Publish);

impl Guest for Publish {
    fn start() -> Outcome {
        subscribe("publish")
    }

    fn handle(_topic: String, payload: Vec<u8>) -> Outcome {
        let command = command(&payload)?;
        let options = (command["plain"] != true).then(|| options(&command));
        let published = messaging::publish(
            text(&command, "topic"),
            text(&command, "payload").as_bytes(),
            options.as_ref(),
        );
        answer(published.map(drop))
    }

    fn tick() -> Outcome {
        Ok(())
    }

    fn stop() -> Outcome {
        Ok(())
    }
}

fn options(command: &Value) -> PublishOptions {
    PublishOptions {
        qos: qos(command),
        retain: command["retain"] == true,
        global: command["global"] == true,
        only_if_changed: only_if_changed(&command["only_if_changed"]),
        properties: command["properties"]
            .is_object()
            .then(|| properties(&command["properties"])),
    }
}

/// `true`, or a number of milliseconds.
fn only_if_changed(value: &Value) -> Option<OnlyIfChanged> {
    match value {
        Value::Bool(true) => Some(OnlyIfChanged::Always),
        other => other.as_u64().map(OnlyIfChanged::Within),
    }
}

fn properties(value: &Value) -> Properties {
    let string = |name: &str| value[name].as_str().map(str::to_owned);
    let pairs = value["user_properties"].as_array().into_iter().flatten();
    Properties {
        response_topic: string("response_topic"),
        correlation_data: string("correlation_data").map(String::into_bytes),
        content_type: string("content_type"),
        message_expiry: value["message_expiry"]
            .as_u64()
            .map(|seconds| seconds as u32),
        utf8: value["utf8"] == true,
        user_properties: pairs
            .map(|pair| (text(pair, "name").into(), text(pair, "value").into()))
            .collect(),
    }
}
