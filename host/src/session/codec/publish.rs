//! PUBLISH (MQTT 5, section 3.3). Topic, payload and correlation data share the memory of the batch that was read.
//!
//! A frame that ends where its header says does not cost the connection, whatever it contains: the broker would send it again on the next
//! one. It is rejected where MQTT forbids its topic or a text in it, or where it is incomprehensible. Lesser faults, such as two content
//! types or a subscription identifier of 0, are tolerated.

use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;

use super::error::CodecError;
use super::frame::Frame;
use super::publish_properties;
use super::reader::{BadField, Reader};
use super::writer::{put_text, put_varint};
use crate::config::Protocol;
use crate::message::{Message, Qos};
use crate::session::packet::{Incoming, Publish, RejectedPublish, SubscriptionIds, publish_size};
use crate::topic::{Topic, TopicError};

/// The length to which the topic of a rejected message is cut in the log, in bytes.
const MAX_LOGGED_TOPIC: usize = 200;

/// Reads a message. One that cannot be delivered is read only as far as is needed to acknowledge and report it.
pub(super) fn decode(frame: &Frame<'_>, protocol: Protocol) -> Incoming {
    match read(frame, protocol) {
        Ok(publish) => Incoming::Publish(publish),
        Err(BadField(reason)) => {
            Incoming::Rejected(rejected(frame.flags, frame.body(), frame.size(), reason))
        }
    }
}

fn read(frame: &Frame<'_>, protocol: Protocol) -> Result<Publish, BadField> {
    let qos = Qos::try_from((frame.flags >> 1) & 3)
        .map_err(|_| BadField("its quality of service is 3"))?;
    let mut reader = Reader::new(frame.body());
    let name = reader.field()?;
    let id = if qos == Qos::AtMostOnce {
        0
    } else {
        reader.u16()?
    };
    if qos != Qos::AtMostOnce && id == 0 {
        return Err(BadField("its packet identifier is 0"));
    }
    let mut subscription_ids = SubscriptionIds::default();
    let mut properties = None;
    if protocol == Protocol::V5 {
        let present = reader.properties()?;
        if !present.is_at_end() {
            properties = publish_properties::decode(frame, present, &mut subscription_ids)?;
        }
    }

    let topic = topic(frame.share(name.start, name.end))?;
    let payload = frame.share(reader.at(), frame.body().len());
    Ok(Publish {
        id,
        subscription_ids,
        message: Message {
            topic,
            payload,
            qos,
            retain: frame.flags & 1 != 0,
            dup: frame.flags & 8 != 0,
            properties,
        },
    })
}

fn topic(name: Bytes) -> Result<Topic, BadField> {
    let name = ByteString::try_from(name).map_err(|_| BadField("its topic is not UTF-8"))?;
    Topic::from_received(name).map_err(|error| match error {
        TopicError::Empty => BadField("its topic is empty"),
        TopicError::Wildcard(_) => BadField("its topic contains a wildcard"),
        _ => BadField("its topic contains U+0000"),
    })
}

/// The report about a message that cannot be delivered. `body`: the bytes after the fixed header, or their beginning.
pub(super) fn rejected(
    flags: u8,
    body: &[u8],
    size: usize,
    reason: &'static str,
) -> RejectedPublish {
    let qos = Qos::try_from((flags >> 1) & 3).unwrap_or(Qos::AtMostOnce);
    let mut reader = Reader::new(body);
    let name = reader.field().ok();
    let id = match qos {
        Qos::AtMostOnce => 0,
        _ => name.as_ref().and_then(|_| reader.u16().ok()).unwrap_or(0),
    };
    let topic = name.map_or_else(String::new, |range| printable(&body[range]));
    RejectedPublish {
        id,
        qos,
        dup: flags & 8 != 0,
        retain: flags & 1 != 0,
        size,
        topic,
        reason,
    }
}

fn printable(topic: &[u8]) -> String {
    let most = topic.len().min(MAX_LOGGED_TOPIC);
    let mut text = String::from_utf8_lossy(&topic[..most]).into_owned();
    if most < topic.len() {
        text.push('…');
    }
    text
}

pub(super) fn encode(
    message: &Message,
    id: u16,
    dup: bool,
    protocol: Protocol,
    out: &mut BytesMut,
) -> Result<(), CodecError> {
    let Some(size) = publish_size(message, protocol) else {
        let what = format!(
            "the message on {:?} is larger than MQTT can express",
            message.topic
        );
        return Err(CodecError::Unwritable {
            packet: "PUBLISH",
            what,
        });
    };

    out.reserve(size.packet);
    out.put_u8(0x30 | u8::from(dup) << 3 | u8::from(message.qos) << 1 | u8::from(message.retain));
    put_varint(size.remaining, out);
    put_text(message.topic.as_str(), out);
    if message.qos != Qos::AtMostOnce {
        out.put_u16(id);
    }
    if protocol == Protocol::V5 {
        put_varint(size.properties, out);
        if let Some(properties) = &message.properties {
            publish_properties::encode(properties, out);
        }
    }

    out.extend_from_slice(&message.payload);
    Ok(())
}
