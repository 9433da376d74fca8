//! Requests as they come: JSON objects, whose command is in the topic or in the payload.

use serde_json::{Map, Value};

use crate::config::MQTT_COMMANDS;
use crate::control::Request;

/// Most bytes of a request, as on the control socket.
const MAX_BYTES: usize = 1 << 20;

/// Most bytes of a transaction.
const MAX_TRANSACTION: usize = 256;

/// The reason why a request is refused. Each says what is expected.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadRequest {
    #[error("expected {MAX_BYTES} bytes at most, found {0}")]
    TooLarge(usize),
    #[error(
        "expected a JSON object such as {{\"service\": \"echo\", \"transaction\": 1}}, found no JSON: {0}"
    )]
    NotJson(serde_json::Error),
    #[error(
        "expected a JSON object such as {{\"service\": \"echo\", \"transaction\": 1}}, found {0}"
    )]
    NotAnObject(&'static str),
    #[error("expected a number or a text of at most {MAX_TRANSACTION} bytes as transaction")]
    Transaction,
    #[error(
        "expected a command in the topic (request/restart) or in the payload (\"command\": \"restart\"), found none"
    )]
    NoCommand,
    #[error("expected a command in the topic or in the payload, found one in each")]
    TwoCommands,
    #[error("expected one of the commands {accepted}, found {found:?}", accepted = list(.listed))]
    Unknown {
        found: String,
        listed: Vec<&'static str>,
    },
    #[error(
        "{command} is not listed in mqtt_control.commands; listed: {accepted}",
        accepted = list(.listed)
    )]
    NotListed {
        command: &'static str,
        listed: Vec<&'static str>,
    },
    #[error("{command}: {error}")]
    Members {
        command: &'static str,
        error: serde_json::Error,
    },
}

fn list(commands: &[&'static str]) -> String {
    if commands.is_empty() {
        "none".to_owned()
    } else {
        commands.join(", ")
    }
}

/// A request that was read. The transaction is there also when the rest is wrong.
#[derive(Debug)]
pub(super) struct Read {
    /// Value by which the client recognises the answer.
    pub transaction: Option<Value>,
    /// The command as the client named it.
    pub command: Option<String>,
    /// The request.
    pub outcome: Result<Request, BadRequest>,
}

/// Reads a request. `topic_command`: the command in the topic. `listed`: the commands that may be asked for.
pub(super) fn read(topic_command: Option<&str>, payload: &[u8], listed: &[&'static str]) -> Read {
    let mut read = Read {
        transaction: None,
        command: topic_command.map(str::to_owned),
        outcome: Err(BadRequest::NoCommand),
    };

    read.outcome = object(payload).and_then(|mut members| {
        read.transaction = take_transaction(&mut members)?;
        match (members.remove("command"), &read.command) {
            (None, _) => {}
            (Some(_), Some(_)) => return Err(BadRequest::TwoCommands),
            (Some(Value::String(command)), None) => read.command = Some(command),
            (Some(_), None) => return Err(BadRequest::NoCommand),
        }

        request(read.command.as_deref(), members, listed)
    });

    read
}

/// The members of the payload; an empty one has none.
fn object(payload: &[u8]) -> Result<Map<String, Value>, BadRequest> {
    if payload.len() > MAX_BYTES {
        return Err(BadRequest::TooLarge(payload.len()));
    }
    if payload.is_empty() {
        return Ok(Map::new());
    }

    match serde_json::from_slice(payload).map_err(BadRequest::NotJson)? {
        Value::Object(members) => Ok(members),
        Value::Array(_) => Err(BadRequest::NotAnObject("a list")),
        Value::String(_) => Err(BadRequest::NotAnObject("a text")),
        Value::Number(_) => Err(BadRequest::NotAnObject("a number")),
        Value::Bool(_) => Err(BadRequest::NotAnObject("true or false")),
        Value::Null => Err(BadRequest::NotAnObject("null")),
    }
}

fn take_transaction(members: &mut Map<String, Value>) -> Result<Option<Value>, BadRequest> {
    match members.remove("transaction") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.len() <= MAX_TRANSACTION => Ok(Some(text.into())),
        Some(number @ Value::Number(_)) => Ok(Some(number)),
        Some(_) => Err(BadRequest::Transaction),
    }
}

/// Makes a request of its command and its other members.
fn request(
    command: Option<&str>,
    mut members: Map<String, Value>,
    listed: &[&'static str],
) -> Result<Request, BadRequest> {
    let found = command.ok_or(BadRequest::NoCommand)?;
    let known = MQTT_COMMANDS.into_iter().find(|known| *known == found);
    let Some(command) = known else {
        return Err(BadRequest::Unknown {
            found: found.chars().take(64).collect(),
            listed: listed.to_vec(),
        });
    };

    if !listed.contains(&command) {
        return Err(BadRequest::NotListed {
            command,
            listed: listed.to_vec(),
        });
    }

    members.insert("command".to_owned(), command.into());
    serde_json::from_value(members.into()).map_err(|error| BadRequest::Members { command, error })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn error(command: Option<&str>, payload: &str, listed: &[&'static str]) -> String {
        read(command, payload.as_bytes(), listed)
            .outcome
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn command_comes_from_the_topic_or_the_payload() {
        let restart = Request::Restart {
            service: "echo".to_owned(),
        };
        let in_topic = read(
            Some("restart"),
            br#"{"service":"echo","transaction":7}"#,
            &["restart"],
        );
        assert_eq!(in_topic.outcome.unwrap(), restart);
        assert_eq!(in_topic.transaction, Some(json!(7)));

        let in_payload = read(
            None,
            br#"{"command":"restart","service":"echo"}"#,
            &["restart"],
        );
        assert_eq!(in_payload.outcome.unwrap(), restart);
        assert_eq!(in_payload.command.as_deref(), Some("restart"));

        let empty = read(Some("status"), b"", &["status"]);
        assert_eq!(empty.outcome.unwrap(), Request::Status {});
    }

    #[test]
    fn bad_requests_say_what_is_expected() {
        let listed = &["restart"];
        assert!(error(Some("restart"), "{oops", listed).contains("expected a JSON object such as"));
        assert!(error(Some("restart"), "[1]", listed).ends_with("found a list"));
        assert!(error(Some("restart"), "{}", listed).contains("missing field `service`"));
        assert!(error(Some("restart"), r#"{"servce":"a"}"#, listed).contains("expected `service`"),);
        assert_eq!(
            error(Some("explode"), "", listed),
            "expected one of the commands restart, found \"explode\""
        );
        assert_eq!(
            error(Some("disable"), "", &[]),
            "disable is not listed in mqtt_control.commands; listed: none"
        );
        assert!(error(None, "{}", listed).contains("found none"));
        assert!(error(Some("restart"), r#"{"command":"x"}"#, listed).contains("one in each"));
        assert!(error(Some("restart"), r#"{"transaction":[]}"#, listed).contains("256 bytes"));
        assert!(error(Some("restart"), &" ".repeat(MAX_BYTES + 1), listed).contains("1048577"));
        assert!(
            error(Some("tail"), "{}", listed).contains("restart"),
            "no streams"
        );
    }

    #[test]
    fn transaction_is_known_although_the_rest_is_wrong() {
        let wrong = read(Some("restart"), br#"{"transaction":"a"}"#, &[]);
        assert!(wrong.outcome.is_err());
        assert_eq!(wrong.transaction, Some(json!("a")));
    }

    /// The command whose bytes follow it.
    const UPLOAD: &str = "upload";

    /// The words of the configuration are the commands that are for MQTT.
    #[test]
    fn listed_commands_are_those_of_the_control_channel() {
        let members = json!({
            "service": "a", "letter": "1", "level": "info", "topic": "a", "version": "a", "bytes": 1,
        });
        let words = serde_json::from_str::<Request>(r#"{"command":"explode"}"#)
            .unwrap_err()
            .to_string();
        let (_, accepted) = words.split_once("expected one of ").unwrap();
        let accepted = accepted
            .split(" at line")
            .next()
            .unwrap()
            .split(", ")
            .map(|word| word.trim_matches('`'))
            .filter(|word| *word != UPLOAD);

        let mut offered = Vec::new();
        for word in accepted {
            let mut kept = members.clone();
            let request = loop {
                kept["command"] = word.into();
                match serde_json::from_value::<Request>(kept.clone()) {
                    Ok(request) => break request,
                    Err(error) => {
                        let text = error.to_string();
                        let unknown = text.split('`').nth(1).unwrap().to_owned();
                        let removed = kept.as_object_mut().unwrap().remove(&unknown);
                        assert!(removed.is_some(), "{word}: {text}");
                    }
                }
            };

            if !request.is_stream() && !request.is_recording() {
                offered.push(word.to_owned());
            }
        }

        offered.sort_unstable();
        let mut listed = MQTT_COMMANDS.to_vec();
        listed.sort_unstable();
        assert_eq!(offered, listed);
    }

    proptest! {
        #[test]
        fn any_payload_is_a_request_or_a_refusal(
            payload in prop::collection::vec(any::<u8>(), 0..64), command in prop::option::of(".{0,8}"),
        ) {
            let read = read(command.as_deref(), &payload, &MQTT_COMMANDS);
            if let Err(error) = read.outcome {
                prop_assert!(error.to_string().len() < 1000);
            }
        }
    }
}
