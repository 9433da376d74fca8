//! Pure: a message as it stands in the database. In: messages, and why one was given up. Out: bytes, and the same again. Owns nothing.

use std::time::Instant;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::letters::Letter;
use crate::message::{Message, Properties, Publication, Qos, Terms};
use crate::topic::Topic;

/// A message but for its payload.
#[derive(Serialize, Deserialize)]
struct Record {
    topic: String,
    qos: Qos,
    retain: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    properties: Option<Box<Extra>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    given_up: Option<GivenUp>,
}

/// What a dead letter says beside the message.
#[derive(Serialize, Deserialize)]
struct GivenUp {
    reason: String,
    attempts: u32,
    component: Option<String>,
    at: u64,
}

/// What MQTT 5 adds.
#[derive(Serialize, Deserialize)]
struct Extra {
    response_topic: Option<String>,
    correlation_data: Option<Vec<u8>>,
    content_type: Option<String>,
    message_expiry: Option<u32>,
    utf8: bool,
    user_properties: Vec<(String, String)>,
}

/// Everything but the payload, as text.
pub(super) fn head(message: &Message) -> Result<String, serde_json::Error> {
    serde_json::to_string(&record(message))
}

/// Everything of a dead letter but the payload, as text.
pub(super) fn letter_head(letter: &Letter) -> Result<String, serde_json::Error> {
    let Letter { message, reason, attempts, component, at } = letter;
    let (reason, component) = (reason.clone(), component.clone());
    let given_up = Some(GivenUp { reason, attempts: *attempts, component, at: *at });
    serde_json::to_string(&Record { given_up, ..record(message) })
}

fn record(message: &Message) -> Record {
    Record {
        topic: message.topic.as_str().to_owned(),
        qos: message.qos,
        retain: message.retain,
        properties: message.properties.as_deref().map(|properties| Box::new(extra(properties))),
        given_up: None,
    }
}

/// The message again; `None` when the text is none of ours.
pub(super) fn message(head: &str, payload: &[u8]) -> Option<Message> {
    read(serde_json::from_str(head).ok()?, payload)
}

/// The dead letter again; `None` when the text is none of ours.
pub(super) fn letter(head: &str, payload: &[u8]) -> Option<Letter> {
    let mut record: Record = serde_json::from_str(head).ok()?;
    let GivenUp { reason, attempts, component, at } = record.given_up.take()?;
    Some(Letter { message: read(record, payload)?, reason, attempts, component, at })
}

/// The message again, kept under `number`; `None` when the text is none of ours.
pub(super) fn publication(number: u64, head: &str, payload: &[u8]) -> Option<Publication> {
    let message = message(head, payload)?;
    let terms = Terms { token: None, only_if_changed: None, offline: None, kept: Some(number), at: Instant::now() };
    Some(Publication { message, terms: Some(Box::new(terms)) })
}

fn read(record: Record, payload: &[u8]) -> Option<Message> {
    let topic = Topic::new(record.topic).ok()?;
    let mut message = Message::new(topic, Bytes::copy_from_slice(payload), record.qos, record.retain);
    message.properties = match record.properties {
        Some(extra) => Some(Box::new(properties(*extra)?)),
        None => None,
    };
    Some(message)
}

fn extra(properties: &Properties) -> Extra {
    Extra {
        response_topic: properties.response_topic.as_ref().map(|topic| topic.as_str().to_owned()),
        correlation_data: properties.correlation_data.as_ref().map(|data| data.to_vec()),
        content_type: properties.content_type.clone(),
        message_expiry: properties.message_expiry,
        utf8: properties.utf8,
        user_properties: properties.user_properties.clone(),
    }
}

fn properties(extra: Extra) -> Option<Properties> {
    Some(Properties {
        response_topic: extra.response_topic.map(Topic::new).transpose().ok()?,
        correlation_data: extra.correlation_data.map(Bytes::from),
        content_type: extra.content_type,
        message_expiry: extra.message_expiry,
        utf8: extra.utf8,
        user_properties: extra.user_properties,
    })
}
