//! Functions that few guests need. Commands on `command`: `{"set": KEY, "value"}`, `{"delete": KEY}`, `{"get": KEY}`, `{"keys":
//! PREFIX}`, `{"request": TOPIC, "payload", "global", "deadline"}` or `{"publish": TOPIC, "payload", "repeat", "qos"}`, each
//! with `"fail": true` to end in an error. It publishes `value`, `keys`, `response`, `token` or `refused`, and `delivered` and
//! `config_changed` when the host calls it. It logs the changes of the connection.
//!
//! Its section may have `refuse_change`, a reason, and `when_disconnected`, the QoS of a message that it then publishes.

wit_bindgen::generate!({ path: "../../../wit", world: "full-service" });

use contract_kit::{Outcome, Value, command, json, text};
use miqro::service::messaging::{PublishOptions, Qos, RequestOptions};
use miqro::service::{config, log, messaging, state};

struct Full;
export!(Full);

impl Guest for Full {
    fn start() -> Outcome {
        messaging::subscribe("command", None)
            .map(drop)
            .map_err(|error| error.to_string())
    }

    fn handle(_topic: String, payload: Vec<u8>) -> Outcome {
        let command = command(&payload)?;
        match carry_out(&command) {
            Ok((topic, answer)) => publish(topic, &answer.to_string()),
            Err(refusal) => publish("refused", &refusal),
        }?;
        if command["fail"] == true {
            Err("told to fail".to_owned())
        } else {
            Ok(())
        }
    }

    fn tick() -> Outcome {
        Ok(())
    }

    fn stop() -> Outcome {
        Ok(())
    }

    fn connected(session_present: bool) -> Outcome {
        say(&format!("connected, session present: {session_present}"))
    }

    fn disconnected() -> Outcome {
        say("disconnected")?;
        match command(config::get().as_bytes())?["when_disconnected"].as_u64() {
            Some(qos) => {
                carry_out(&json!({ "publish": "offline", "payload": "o", "qos": qos })).map(drop)
            }
            None => Ok(()),
        }
    }

    fn delivered(token: u64, outcome: DeliveryOutcome) -> Outcome {
        let outcome = match outcome {
            DeliveryOutcome::Delivered => json!("delivered"),
            DeliveryOutcome::TimedOut => json!("timed-out"),
            DeliveryOutcome::Refused(why) => json!({ "refused": why }),
        };
        say(&format!("delivered {outcome}"))?;
        publish(
            "delivered",
            &json!({ "token": token, "outcome": outcome }).to_string(),
        )
    }

    fn save() -> Vec<u8> {
        Vec::new()
    }

    fn load(_saved: Vec<u8>) -> Outcome {
        Ok(())
    }

    fn config_changed() -> Outcome {
        let section = command(config::get().as_bytes())?;
        if section["refuse_change"].is_string() {
            return Err(text(&section, "refuse_change").to_owned());
        }
        publish("config_changed", &section.to_string())
    }
}

/// The topic and the payload of the answer, or why it was refused.
fn carry_out(command: &Value) -> Result<(&'static str, Value), String> {
    let payload = text(command, "payload").repeat(command["repeat"].as_u64().unwrap_or(1) as usize);
    let payload = payload.as_bytes();
    let refused = |error: &dyn std::fmt::Debug| format!("{error:?}");
    if command["set"].is_string() {
        state::set(text(command, "set"), text(command, "value").as_bytes())
            .map_err(|error| refused(&error))?;
        return Ok(("value", command["value"].clone()));
    }
    if command["delete"].is_string() {
        state::delete(text(command, "delete")).map_err(|error| refused(&error))?;
        return Ok(("value", Value::Null));
    }
    if command["get"].is_string() {
        let value = state::get(text(command, "get")).map_err(|error| refused(&error))?;
        return Ok((
            "value",
            value.map_or(Value::Null, |value| String::from_utf8_lossy(&value).into()),
        ));
    }

    if command["keys"].is_string() {
        return Ok((
            "keys",
            state::keys(text(command, "keys"))
                .map_err(|error| refused(&error))?
                .into(),
        ));
    }

    if command["request"].is_string() {
        let deadline = command["deadline"].as_u64().unwrap_or(30_000);
        let options = RequestOptions {
            global: command["global"] == true,
            deadline,
            properties: None,
        };
        let response = messaging::request(text(command, "request"), payload, Some(&options));
        let response = response.map_err(|error| refused(&error))?;
        return Ok((
            "response",
            String::from_utf8_lossy(&response.payload).into(),
        ));
    }

    let qos = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce]
        [command["qos"].as_u64().unwrap_or(0) as usize];
    let only_if_changed = match &command["only_if_changed"] {
        Value::Bool(true) => Some(messaging::OnlyIfChanged::Always),
        other => other.as_u64().map(messaging::OnlyIfChanged::Within),
    };
    let options = PublishOptions {
        qos,
        retain: false,
        global: false,
        only_if_changed,
        properties: None,
    };

    let token = messaging::publish(text(command, "publish"), payload, Some(&options));
    Ok(("token", token.map_err(|error| refused(&error))?.into()))
}

/// Writes to the log, because changes of the connection cannot be published over it.
fn say(text: &str) -> Outcome {
    log::log(log::Level::Info, text, &[]);
    Ok(())
}

fn publish(topic: &str, payload: &str) -> Outcome {
    messaging::publish(topic, payload.as_bytes(), None)
        .map(drop)
        .map_err(|error| error.to_string())
}
