//! Pure: a message as it stands in the database. In: messages. Out: bytes, and messages again. Owns nothing.

use std::time::Instant;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

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
    serde_json::to_string(&Record {
        topic: message.topic.as_str().to_owned(),
        qos: message.qos,
        retain: message.retain,
        properties: message.properties.as_deref().map(|properties| Box::new(extra(properties))),
    })
}

/// The message again, kept under `number`; `None` when the text is none of ours.
pub(super) fn publication(number: u64, head: &str, payload: &[u8]) -> Option<Publication> {
    let record: Record = serde_json::from_str(head).ok()?;
    let topic = Topic::new(record.topic).ok()?;
    let mut message = Message::new(topic, Bytes::copy_from_slice(payload), record.qos, record.retain);
    message.properties = match record.properties {
        Some(extra) => Some(Box::new(properties(*extra)?)),
        None => None,
    };
    let terms = Terms { token: None, only_if_changed: None, offline: None, kept: Some(number), at: Instant::now() };
    Some(Publication { message, terms: Some(Box::new(terms)) })
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
