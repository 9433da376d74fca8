//! Formats of `sub`: a pattern with the letters of mosquitto_sub, or JSON.

use std::io::Write;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::message::{Message, Properties};

/// A parsed pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Format(Vec<Part>);

/// Errors of patterns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum FormatError {
    #[error("unknown letter %{0}; see the end of the help")]
    UnknownLetter(char),
    #[error("ends with %; a percent sign is written %%")]
    Incomplete,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Letter(char),
}

/// Letters that may follow a percent sign.
const LETTERS: &str = "tpxqrRDCEPn%";

impl Format {
    /// Parses a pattern.
    ///
    /// # Errors
    /// When a percent sign is not followed by a known letter.
    pub(super) fn parse(text: &str) -> Result<Self, FormatError> {
        let mut parts = Vec::new();
        let mut characters = text.chars();
        while let Some(character) = characters.next() {
            if character == '%' {
                match characters.next() {
                    Some(letter) if LETTERS.contains(letter) => parts.push(Part::Letter(letter)),
                    Some(other) => {
                        return Err(FormatError::UnknownLetter(other));
                    }
                    None => return Err(FormatError::Incomplete),
                }
            } else if let Some(Part::Text(text)) = parts.last_mut() {
                text.push(character);
            } else {
                parts.push(Part::Text(character.to_string()));
            }
        }

        Ok(Self(parts))
    }

    /// Formats a message, without a line end.
    pub(super) fn message(&self, message: &Message) -> Vec<u8> {
        let none = Properties::default();
        let properties = message.properties.as_deref().unwrap_or(&none);
        let mut line = Vec::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => line.extend(text.as_bytes()),
                Part::Letter(letter) => write_letter(*letter, message, properties, &mut line),
            }
        }

        line
    }

    /// Formats a message as a JSON object, with `payload_hex` in place of `payload` if the payload is not UTF-8.
    pub(super) fn json(message: &Message) -> Vec<u8> {
        let mut object = Map::new();
        object.insert("topic".to_owned(), message.topic.as_str().into());
        match std::str::from_utf8(&message.payload) {
            Ok(text) => object.insert("payload".to_owned(), text.into()),
            Err(_) => object.insert(
                "payload_hex".to_owned(),
                hex::encode(&message.payload).into(),
            ),
        };

        object.insert("qos".to_owned(), u8::from(message.qos).into());
        object.insert("retain".to_owned(), message.retain.into());
        if let Some(properties) = &message.properties {
            object.insert("properties".to_owned(), properties_json(properties));
        }
        Value::Object(object).to_string().into_bytes()
    }
}

fn write_letter(letter: char, message: &Message, properties: &Properties, line: &mut Vec<u8>) {
    // writing to a vector cannot fail
    let _ = match letter {
        't' => line.write_all(message.topic.as_str().as_bytes()),
        'p' => line.write_all(&message.payload),
        'x' => line.write_all(hex::encode(&message.payload).as_bytes()),
        'q' => write!(line, "{}", u8::from(message.qos)),
        'r' => write!(line, "{}", u8::from(message.retain)),
        'R' => line.write_all(response_topic(properties).as_bytes()),
        'D' => line.write_all(properties.correlation_data.as_deref().unwrap_or_default()),
        'C' => line.write_all(content_type(properties).as_bytes()),
        'E' => match properties.message_expiry {
            Some(seconds) => write!(line, "{seconds}"),
            None => Ok(()),
        },
        'P' => line.write_all(user_properties(properties).as_bytes()),
        'n' => line.write_all(b"\n"),
        _ => line.write_all(b"%"),
    };
}

fn response_topic(properties: &Properties) -> &str {
    properties
        .response_topic
        .as_ref()
        .map_or("", |topic| topic.as_str())
}

fn content_type(properties: &Properties) -> &str {
    properties.content_type.as_deref().unwrap_or_default()
}

fn user_properties(properties: &Properties) -> String {
    let pairs: Vec<_> = properties
        .user_properties
        .iter()
        .map(|(name, value)| format!("{name}:{value}"))
        .collect();

    pairs.join(" ")
}

fn properties_json(properties: &Properties) -> Value {
    let text = |bytes: &Bytes| match std::str::from_utf8(bytes) {
        Ok(text) => Value::from(text),
        Err(_) => json!({ "hex": hex::encode(bytes) }),
    };
    let fields = [
        (
            "response_topic",
            properties
                .response_topic
                .as_ref()
                .map(|topic| topic.as_str().into()),
        ),
        (
            "correlation_data",
            properties.correlation_data.as_ref().map(text),
        ),
        (
            "content_type",
            properties.content_type.as_deref().map(Value::from),
        ),
        ("message_expiry", properties.message_expiry.map(Value::from)),
        (
            "user_properties",
            (!properties.user_properties.is_empty()).then(|| json!(properties.user_properties)),
        ),
    ];

    fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect::<Map<_, _>>()
        .into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use crate::message::Qos;
    use crate::topic::Topic;

    fn message(payload: &'static [u8], properties: Option<Properties>) -> Message {
        let message = Message::new(Topic::new("a/b").unwrap(), payload, Qos::AtLeastOnce, true);
        Message {
            properties: properties.map(Box::new),
            ..message
        }
    }

    fn all() -> Properties {
        Properties {
            response_topic: Some(Topic::new("r").unwrap()),
            correlation_data: Some(Bytes::from_static(b"\xff")),
            content_type: Some("text/plain".to_owned()),
            message_expiry: Some(7),
            expires_at: None,
            arrived_at: None,
            utf8: true,
            user_properties: vec![
                ("k".to_owned(), "1".to_owned()),
                ("k".to_owned(), "2".to_owned()),
            ],
        }
    }

    #[test]
    fn every_letter() {
        let format = Format::parse("%t|%p|%x|%q|%r|%R|%D|%C|%E|%P|%%%n").unwrap();
        assert_eq!(
            format.message(&message(b"hi", Some(all()))),
            b"a/b|hi|6869|1|1|r|\xff|text/plain|7|k:1 k:2|%\n"
        );
        assert_eq!(format.message(&message(b"", None)), b"a/b|||1|1||||||%\n");
    }

    #[test]
    fn unknown_letters_are_refused() {
        assert!(Format::parse("%y").unwrap_err().to_string().contains("%y"));
        assert!(
            Format::parse("100%")
                .unwrap_err()
                .to_string()
                .contains("%%")
        );
    }

    #[test]
    fn json_keeps_bytes_that_are_no_text() {
        let object = |payload, properties| {
            String::from_utf8(Format::json(&message(payload, properties))).unwrap()
        };
        assert_eq!(
            object(b"\"x\"", None),
            r#"{"topic":"a/b","payload":"\"x\"","qos":1,"retain":true}"#
        );
        let expected = concat!(
            r#"{"topic":"a/b","payload_hex":"ff","qos":1,"retain":true,"properties":{"response_topic":"r","#,
            r#""correlation_data":{"hex":"ff"},"content_type":"text/plain","message_expiry":7,"#,
            r#""user_properties":[["k","1"],["k","2"]]}}"#
        );
        assert_eq!(object(b"\xff", Some(all())), expected);
    }
}
