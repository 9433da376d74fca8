//! The size of an outgoing PUBLISH, computed before it is written.
//!
//! So the broker's Maximum Packet Size can be kept, and the encoder writes into a buffer that is large enough.

use crate::config::Protocol;
use crate::message::{Message, Properties, Qos};

/// The largest remaining length that MQTT can express, in bytes (MQTT 5, section 1.5.5).
pub const MAX_REMAINING: usize = 268_435_455;

/// Lengths in a PUBLISH, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishSize {
    /// The whole packet.
    pub packet: usize,
    /// The bytes after the fixed header.
    pub remaining: usize,
    /// The properties without their own length; 0 in 3.1.1.
    pub properties: usize,
}

/// The size of `message` as PUBLISH; `None` when MQTT cannot express it: a property of more than 65,535 bytes, or a packet of more than
/// 268,435,455.
pub fn publish_size(message: &Message, protocol: Protocol) -> Option<PublishSize> {
    let id = if message.qos == Qos::AtMostOnce { 0 } else { 2 };
    let plain = 2 + message.topic.as_str().len() + id + message.payload.len();
    let (properties, remaining) = match (protocol, &message.properties) {
        (Protocol::V311, _) => (0, plain),
        (Protocol::V5, None) => (0, plain + 1),
        (Protocol::V5, Some(present)) => {
            let length = properties_size(present)?;
            (length, plain + varint_size(length) + length)
        }
    };

    let fits = remaining <= MAX_REMAINING;
    fits.then_some(PublishSize {
        packet: 1 + varint_size(remaining) + remaining,
        remaining,
        properties,
    })
}

/// Number of bytes of a variable byte integer (MQTT 5, section 1.5.5).
pub const fn varint_size(number: usize) -> usize {
    match number {
        0..=127 => 1,
        128..=16_383 => 2,
        16_384..=2_097_151 => 3,
        _ => 4,
    }
}

fn properties_size(properties: &Properties) -> Option<usize> {
    let text = |length: usize| (length <= usize::from(u16::MAX)).then_some(2 + length);
    let one = |length: Option<usize>| length.map_or(Some(0), |length| Some(1 + text(length)?));
    let mut size = usize::from(properties.utf8) * 2 + properties.message_expiry.map_or(0, |_| 5);
    size += one(properties
        .response_topic
        .as_ref()
        .map(|topic| topic.as_str().len()))?;
    size += one(properties.correlation_data.as_ref().map(bytes::Bytes::len))?;
    size += one(properties.content_type.as_ref().map(String::len))?;
    for (name, value) in &properties.user_properties {
        size += 1 + text(name.len())? + text(value.len())?;
    }
    Some(size)
}
