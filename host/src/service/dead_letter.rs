//! Dead letters: messages that the host publishes in place of those that a service gave up. Pure.
//!
//! In MQTT 5 a dead letter has the payload and the properties of the message, and user properties hold the rest. MQTT
//! 3.1.1 has no properties, so there it is one JSON object with everything.
//!
//! A broker may have delivered text that it would not accept from a client, and a reason is a guest's own text: characters that MQTT
//! discourages are escaped.

use serde_json::{Value, json};

use crate::config::Protocol;
use crate::message::{Message, Properties, Qos};
use crate::text;
use crate::topic::Topic;
use crate::version::Version;

/// Bytes of a reason that are kept: all user properties together have to fit into a packet.
const REASON_BYTES: usize = 4 * 1024;
/// Bytes that a text property may have (MQTT 5, section 1.5.4).
const PROPERTY_BYTES: usize = 65_535;

/// Circumstances in which a message was given up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Verdict<'a> {
    /// Service that gave it up.
    pub service: &'a str,
    /// Reason of the last failure.
    pub reason: &'a str,
    /// Number of attempts.
    pub attempts: u32,
    /// SHA-256 of the component.
    pub component: Option<Version>,
}

/// Creates the dead letter of `message`.
pub(super) fn dead_letter(
    topic: Topic,
    message: &Message,
    verdict: Verdict<'_>,
    protocol: Protocol,
) -> Message {
    match protocol {
        Protocol::V5 => {
            let mut letter = Message::new(topic, message.payload.clone(), Qos::AtLeastOnce, false);
            let mut properties = message
                .properties
                .as_deref()
                .map(escape_properties)
                .unwrap_or_default();
            let facts = facts(message, verdict).into_iter();
            properties
                .user_properties
                .extend(facts.map(|(name, value)| (name.to_owned(), property(&value))));
            letter.properties = Some(Box::new(properties));
            letter
        }
        Protocol::V311 => Message::new(
            topic,
            envelope(message, verdict).to_string(),
            Qos::AtLeastOnce,
            false,
        ),
    }
}

/// Facts that the message itself does not have, in the order in which they are written.
fn facts(message: &Message, verdict: Verdict<'_>) -> Vec<(&'static str, String)> {
    let Verdict {
        service,
        reason,
        attempts,
        component,
    } = verdict;

    let mut facts = vec![
        ("topic", message.topic.as_str().to_owned()),
        ("qos", u8::from(message.qos).to_string()),
        ("retain", message.retain.to_string()),
        ("service", service.to_owned()),
        ("reason", text::escape(reason, REASON_BYTES)),
        ("attempts", attempts.to_string()),
    ];

    facts.extend(component.map(|version| ("component", version.to_string())));
    facts
}

/// Properties of a message with all text escaped that a broker would not accept from a client.
fn escape_properties(properties: &Properties) -> Properties {
    let mut clean = properties.clone();
    clean.content_type = properties.content_type.as_deref().map(property);
    for text in clean
        .user_properties
        .iter_mut()
        .flat_map(|(name, value)| [name, value])
    {
        *text = property(text);
    }

    if let Some(topic) = clean.response_topic.take() {
        match Topic::new(topic.as_str().to_owned()) {
            Ok(topic) => clean.response_topic = Some(topic),
            Err(_) => clean
                .user_properties
                .push(("response_topic".to_owned(), property(topic.as_str()))),
        }
    }

    clean
}

fn property(text: &str) -> String {
    text::escape(text, PROPERTY_BYTES)
}

fn envelope(message: &Message, verdict: Verdict<'_>) -> Value {
    let mut envelope = json!({});
    for (name, value) in facts(message, verdict) {
        envelope[name] = value.into();
    }
    match std::str::from_utf8(&message.payload) {
        Ok(text) => envelope["payload"] = text.into(),
        Err(_) => envelope["payload_hex"] = hex::encode(&message.payload).into(),
    }
    envelope
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn letter(payload: &'static [u8], protocol: Protocol) -> Message {
        let mut message = Message::new(
            Topic::new("home/door").unwrap(),
            payload,
            Qos::ExactlyOnce,
            true,
        );

        let own = Properties {
            content_type: Some("x/y".to_owned()),
            ..Properties::default()
        };
        message.properties = Some(Box::new(own));
        let verdict = Verdict {
            service: "it",
            reason: "it broke\0off",
            attempts: 3,
            component: Some(Version::new([0xab; 32])),
        };

        dead_letter(
            Topic::new("service/it/dead-letter").unwrap(),
            &message,
            verdict,
            protocol,
        )
    }

    #[test]
    fn in_mqtt_5_the_message_keeps_its_payload_and_properties() {
        let letter = letter(b"\xff\x00", Protocol::V5);
        assert_eq!(
            (&letter.payload[..], letter.qos, letter.retain),
            (&b"\xff\x00"[..], Qos::AtLeastOnce, false)
        );
        let properties = letter.properties.unwrap();
        assert_eq!(properties.content_type.as_deref(), Some("x/y"));
        let said = |name: &str| {
            properties
                .user_properties
                .iter()
                .find(|(key, _)| key == name)
                .unwrap()
                .1
                .clone()
        };

        assert_eq!(
            (said("topic"), said("qos"), said("retain")),
            ("home/door".into(), "2".into(), "true".into())
        );
        assert_eq!(
            (said("reason"), said("attempts")),
            ("it broke\\u{0}off".into(), "3".into())
        );
        assert_eq!(said("component"), "ab".repeat(32));
    }

    #[test]
    fn characters_that_brokers_reject_are_escaped() {
        let mut message = Message::new(
            Topic::from_received("a\tb").unwrap(),
            "x",
            Qos::AtLeastOnce,
            false,
        );

        message.properties = Some(Box::new(Properties {
            response_topic: Some(Topic::from_received("to\u{1}me").unwrap()),
            content_type: Some("a\nb".to_owned()),
            user_properties: vec![("na\u{85}me".to_owned(), "val\u{ffff}ue".to_owned())],
            ..Properties::default()
        }));

        let verdict = Verdict {
            service: "it",
            reason: "one\r\ntwo",
            attempts: 1,
            component: None,
        };

        let letter = dead_letter(Topic::new("lost").unwrap(), &message, verdict, Protocol::V5);
        let properties = letter.properties.unwrap();
        assert_eq!(
            (
                properties.response_topic,
                properties.content_type.as_deref()
            ),
            (None, Some("a\\nb"))
        );

        let pairs: Vec<_> = properties
            .user_properties
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(
            pairs[..2],
            [
                ("na\\u{85}me", "val\\u{ffff}ue"),
                ("response_topic", "to\\u{1}me")
            ]
        );

        assert!(
            pairs.contains(&("topic", "a\\tb")) && pairs.contains(&("reason", "one\\r\\ntwo")),
            "{pairs:?}"
        );
    }

    #[test]
    fn in_3_1_1_everything_is_in_one_object() {
        let text: Value = serde_json::from_slice(&letter(b"open", Protocol::V311).payload).unwrap();
        assert_eq!(
            (&text["topic"], &text["payload"], &text["attempts"]),
            (&"home/door".into(), &"open".into(), &"3".into())
        );
        let binary: Value =
            serde_json::from_slice(&letter(b"\xff\x00", Protocol::V311).payload).unwrap();
        assert_eq!(binary["payload_hex"], "ff00");
    }
}
