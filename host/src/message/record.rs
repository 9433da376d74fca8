//! A message as it stands on disk: text and payload. Pure.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Message, Properties, Qos};
use crate::topic::Topic;

/// A message but for its payload.
#[derive(Serialize, Deserialize)]
pub struct Record {
    topic: String,
    qos: Qos,
    retain: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    properties: Option<Box<Extra>>,
}

/// The part that MQTT 5 adds.
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
///
/// # Errors
/// None that would be known.
pub fn head(message: &Message) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Record::from(message))
}

/// Returns the message; `None` if the text is not of this form.
pub fn message(head: &str, payload: &[u8]) -> Option<Message> {
    serde_json::from_str::<Record>(head).ok()?.with(payload)
}

impl From<&Message> for Record {
    fn from(message: &Message) -> Self {
        Self {
            topic: message.topic.as_str().to_owned(),
            qos: message.qos,
            retain: message.retain,
            properties: message
                .properties
                .as_deref()
                .map(|properties| Box::new(extra(properties))),
        }
    }
}

impl Record {
    /// The message again; `None` when it cannot be one.
    pub fn with(self, payload: &[u8]) -> Option<Message> {
        let topic = Topic::from_received(self.topic).ok()?;
        let mut message = Message::new(
            topic,
            Bytes::copy_from_slice(payload),
            self.qos,
            self.retain,
        );

        message.properties = match self.properties {
            Some(extra) => Some(Box::new(properties(*extra)?)),
            None => None,
        };
        Some(message)
    }
}

fn extra(properties: &Properties) -> Extra {
    Extra {
        response_topic: properties
            .response_topic
            .as_ref()
            .map(|topic| topic.as_str().to_owned()),
        correlation_data: properties
            .correlation_data
            .as_ref()
            .map(|data| data.to_vec()),
        content_type: properties.content_type.clone(),
        message_expiry: properties.message_expiry,
        utf8: properties.utf8,
        user_properties: properties.user_properties.clone(),
    }
}

fn properties(extra: Extra) -> Option<Properties> {
    Some(Properties {
        response_topic: extra
            .response_topic
            .map(Topic::from_received)
            .transpose()
            .ok()?,
        correlation_data: extra.correlation_data.map(Bytes::from),
        content_type: extra.content_type,
        message_expiry: extra.message_expiry,
        expires_at: None,
        arrived_at: None,
        utf8: extra.utf8,
        user_properties: extra.user_properties,
    })
}
