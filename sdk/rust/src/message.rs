//! The message being handled: topic, payload, and facts that the host is asked for only when they are used.

use std::cell::OnceCell;

use crate::bindings::messaging::{MessageInfo, Properties};
use crate::decode::{Decode, Json};
use crate::error::DecodeError;
use crate::host;
use crate::messaging::qos_number;

/// A message. A handler that wants more than its payload takes `&Message<'_>` as an argument.
pub struct Message<'a> {
    topic: &'a str,
    payload: &'a [u8],
    info: OnceCell<MessageInfo>,
}

impl<'a> Message<'a> {
    pub(crate) fn new(topic: &'a str, payload: &'a [u8]) -> Self {
        Self {
            topic,
            payload,
            info: OnceCell::new(),
        }
    }

    /// The topic as the host gave it: relative to the service's base topic, or the full one ([`is_relative`](Self::is_relative)).
    pub fn topic(&self) -> &'a str {
        self.topic
    }

    /// The bytes of the payload.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The payload as text.
    ///
    /// # Errors
    ///
    /// When it is not UTF-8.
    pub fn text(&self) -> Result<&'a str, DecodeError> {
        self.decode()
    }

    /// The payload as JSON.
    ///
    /// # Errors
    ///
    /// When it is not the JSON that the type wants.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, DecodeError> {
        self.decode().map(|Json(value)| value)
    }

    /// The payload as anything that a handler can take.
    ///
    /// # Errors
    ///
    /// When it is something else.
    pub fn decode<T: Decode<'a>>(&self) -> Result<T, DecodeError> {
        T::decode(self.payload)
    }

    /// The full topic.
    pub fn full_topic(&self) -> &str {
        &self.info().topic
    }

    /// Whether the message came from below the service's base topic.
    pub fn is_relative(&self) -> bool {
        self.info().relative
    }

    /// The quality of service: 0, 1 or 2.
    pub fn qos(&self) -> u8 {
        qos_number(self.info().qos)
    }

    /// Whether the broker kept the message from before the subscription: a state of things, and no fresh command.
    pub fn is_retained(&self) -> bool {
        self.info().retain
    }

    /// Whether the message may have been delivered before.
    pub fn is_duplicate(&self) -> bool {
        self.info().dup
    }

    /// Which attempt at handling this message this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.info().attempt
    }

    /// The properties, where the message carried any (MQTT 5).
    pub fn properties(&self) -> Option<&Properties> {
        self.info().properties.as_ref()
    }

    fn info(&self) -> &MessageInfo {
        self.info.get_or_init(|| {
            host::messaging::current_message().unwrap_or_else(|| MessageInfo {
                topic: self.topic.to_owned(),
                relative: false,
                qos: crate::bindings::messaging::Qos::AtMostOnce,
                retain: false,
                dup: false,
                attempt: 1,
                properties: None,
            })
        })
    }
}
