//! Pure: what becomes of a message that was given up. In: the message and why. Out: a message for the service's dead-letter topic
//! from which the first one can be made again. Owns nothing.
//!
//! In MQTT 5 the payload and the properties are those of the message, and what was lost stands in user properties; in 3.1.1, which
//! has none, everything is one JSON object.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::versions::Version;
use crate::config::Protocol;
use crate::message::{Message, Qos};
use crate::topic::Topic;

/// Bytes of a reason that are kept: all user properties together have to fit a packet.
const REASON_BYTES: usize = 4 * 1024;

/// Why a message was given up.
#[derive(Debug, Clone, Copy)]
pub struct Verdict<'a> {
    /// The service that gave it up.
    pub service: &'a str,
    /// What went wrong at the last attempt.
    pub reason: &'a str,
    /// How often it was tried.
    pub attempts: u32,
    /// SHA-256 of the component.
    pub component: Option<Version>,
}

/// The dead letter of `message`.
pub fn dead_letter(topic: Topic, message: &Message, verdict: Verdict<'_>, protocol: Protocol) -> Message {
    match protocol {
        Protocol::V5 => {
            let mut letter = Message::new(topic, message.payload.clone(), Qos::AtLeastOnce, false);
            let mut properties = message.properties.clone().unwrap_or_default();
            properties.user_properties.extend(facts(message, verdict));
            letter.properties = Some(properties);
            letter
        }
        Protocol::V311 => Message::new(topic, envelope(message, verdict).to_string(), Qos::AtLeastOnce, false),
    }
}

/// What is known beside the message itself, in the order in which it is written.
fn facts(message: &Message, verdict: Verdict<'_>) -> Vec<(String, String)> {
    let Verdict { service, reason, attempts, component } = verdict;
    let mut facts = vec![
        ("topic", message.topic.as_str().to_owned()),
        ("qos", u8::from(message.qos).to_string()),
        ("retain", message.retain.to_string()),
        ("service", service.to_owned()),
        ("reason", cut(reason).to_owned()),
        ("attempts", attempts.to_string()),
    ];
    facts.extend(component.map(|version| ("component", version.to_string())));
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn envelope(message: &Message, verdict: Verdict<'_>) -> Value {
    let mut envelope = json!({});
    for (name, value) in facts(message, verdict) {
        envelope[name] = value.into();
    }
    match std::str::from_utf8(&message.payload) {
        Ok(text) => envelope["payload"] = text.into(),
        Err(_) => envelope["payload_hex"] = hexadecimal(&message.payload).into(),
    }
    envelope
}

/// Two digits a byte.
fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // writing to a String cannot fail
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn cut(reason: &str) -> &str {
    let end = (0..=REASON_BYTES.min(reason.len())).rev().find(|at| reason.is_char_boundary(*at)).unwrap_or(0);
    // MQTT forbids it in texts (section 1.5.4)
    reason[..end].split('\0').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::message::Properties;

    fn letter(payload: &'static [u8], protocol: Protocol) -> Message {
        let mut message = Message::new(Topic::new("home/door").unwrap(), payload, Qos::ExactlyOnce, true);
        let own = Properties { content_type: Some("x/y".to_owned()), ..Properties::default() };
        message.properties = Some(Box::new(own));
        let verdict =
            Verdict { service: "it", reason: "it broke\0off", attempts: 3, component: Some(Version::new([0xab; 32])) };
        dead_letter(Topic::new("service/it/dead-letter").unwrap(), &message, verdict, protocol)
    }

    #[test]
    fn in_mqtt_5_the_message_keeps_its_payload_and_properties() {
        let letter = letter(b"\xff\x00", Protocol::V5);
        assert_eq!((&letter.payload[..], letter.qos, letter.retain), (&b"\xff\x00"[..], Qos::AtLeastOnce, false));
        let properties = letter.properties.unwrap();
        assert_eq!(properties.content_type.as_deref(), Some("x/y"));
        let said = |name: &str| properties.user_properties.iter().find(|(key, _)| key == name).unwrap().1.clone();
        assert_eq!((said("topic"), said("qos"), said("retain")), ("home/door".into(), "2".into(), "true".into()));
        assert_eq!((said("reason"), said("attempts")), ("it broke".into(), "3".into()));
        assert_eq!(said("component"), "ab".repeat(32));
    }

    #[test]
    fn in_3_1_1_everything_is_in_one_object() {
        let text: Value = serde_json::from_slice(&letter(b"open", Protocol::V311).payload).unwrap();
        assert_eq!(
            (&text["topic"], &text["payload"], &text["attempts"]),
            (&"home/door".into(), &"open".into(), &"3".into())
        );
        let binary: Value = serde_json::from_slice(&letter(b"\xff\x00", Protocol::V311).payload).unwrap();
        assert_eq!(binary["payload_hex"], "ff00");
    }
}
