//! The beginning of a message, for people who look on.

use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::message::{Message, Qos};

/// Bytes of a payload that are shown.
const SHOWN: usize = 1024;

/// Topic and beginning of a message, in memory of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageExcerpt {
    topic: String,
    qos: Qos,
    retain: bool,
    /// Bytes of the whole payload.
    bytes: usize,
    beginning: Vec<u8>,
}

impl From<&Message> for MessageExcerpt {
    fn from(message: &Message) -> Self {
        let payload = &message.payload;
        let beginning = payload.get(..SHOWN).unwrap_or(payload);
        Self {
            topic: message.topic.as_str().to_owned(),
            qos: message.qos,
            retain: message.retain,
            bytes: payload.len(),
            beginning: beginning.to_vec(),
        }
    }
}

impl Serialize for MessageExcerpt {
    /// The beginning is `payload` where it is text, else `payload_hex`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("topic", &self.topic)?;
        map.serialize_entry("qos", &self.qos)?;
        map.serialize_entry("retain", &self.retain)?;
        map.serialize_entry("bytes", &self.bytes)?;
        match text(&self.beginning, self.bytes > self.beginning.len()) {
            Some(text) => map.serialize_entry("payload", text)?,
            None => map.serialize_entry("payload_hex", &hex::encode(&self.beginning))?,
        }
        map.end()
    }
}

/// The bytes as text, without a character that was cut at their end; `None` when they are not text.
fn text(bytes: &[u8], is_cut: bool) -> Option<&str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) if is_cut && error.error_len().is_none() => {
            std::str::from_utf8(bytes.get(..error.valid_up_to())?).ok()
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::{Value, json};

    use super::*;
    use crate::topic::Topic;

    fn shown(payload: impl Into<bytes::Bytes>) -> Value {
        let topic = Topic::new("a").unwrap();
        let message = Message::new(topic, payload, Qos::AtLeastOnce, false);
        serde_json::to_value(MessageExcerpt::from(&message)).unwrap()
    }

    #[test]
    fn payloads_are_text_or_hexadecimal_digits() {
        let expected =
            json!({"topic": "a", "qos": 1, "retain": false, "bytes": 2, "payload": "hi"});
        assert_eq!(shown("hi"), expected);
        assert_eq!(shown(vec![0, 255])["payload_hex"], "00ff");
    }

    #[test]
    fn long_payloads_are_cut_between_characters() {
        let cut = shown("ä".repeat(900).replace("äää", "aää"));
        let text = cut["payload"].as_str().unwrap();
        assert!(
            text.len() <= SHOWN && text.len() > SHOWN - 4,
            "{}",
            text.len()
        );
        assert!(shown([&[b'a'; 1023][..], &[0xff; 9][..]].concat())["payload_hex"].is_string());
    }
}
