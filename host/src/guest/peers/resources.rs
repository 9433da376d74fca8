//! The resources of the peers' interfaces, as the host keeps them for a guest.

#![allow(
    unreachable_pub,
    reason = "the generated bindings re-export the resources"
)]

use crate::guest::bindings::miqro::service::messaging::Properties;
use crate::message::Message;

use super::outgoing::{DEADLINE, no_properties};

/// A client that a guest has connected: the session.
pub struct Client;

/// A message in the hands of a guest.
#[derive(Default)]
pub struct PeerMessage {
    pub(super) topic: Option<String>,
    pub(super) content_type: Option<String>,
    pub(super) data: Vec<u8>,
    pub(super) metadata: Option<Vec<(String, String)>>,
    /// The response topic of a message that the guest has received.
    pub(super) response_topic: Option<String>,
}

/// Options of a request.
pub struct RequestOptions {
    pub(super) deadline: u64,
    pub(super) replies: u32,
}

impl From<&Message> for PeerMessage {
    fn from(message: &Message) -> Self {
        let properties = message.properties.as_deref();
        Self {
            topic: Some(message.topic.as_str().to_owned()),
            content_type: properties.and_then(|found| found.content_type.clone()),
            data: message.payload.to_vec(),
            metadata: properties.map(|found| found.user_properties.clone()),
            response_topic: properties
                .and_then(|found| found.response_topic.as_ref())
                .map(|topic| topic.as_str().to_owned()),
        }
    }
}

impl PeerMessage {
    /// The properties of the message that is published for it.
    pub(super) fn properties(&self) -> Properties {
        Properties {
            content_type: self.content_type.clone(),
            user_properties: self.metadata.clone().unwrap_or_default(),
            ..no_properties()
        }
    }
}

impl Default for RequestOptions {
    fn default() -> Self {
        Self {
            deadline: DEADLINE,
            replies: 1,
        }
    }
}

/// A connection that a guest has opened: the session.
pub struct Connection;

/// A part of the state.
pub struct Bucket {
    /// The beginning of its keys.
    pub(super) prefix: String,
}

impl Bucket {
    /// The bucket of a name.
    pub(super) fn new(identifier: &str) -> Self {
        let prefix = match identifier {
            "" | "default" => String::new(),
            name => format!("{name}/"),
        };
        Self { prefix }
    }
}
