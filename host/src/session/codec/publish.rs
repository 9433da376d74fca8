//! Machine: PUBLISH (MQTT 5, section 3.3). In: a frame, or a message to send. Out: `Publish`, `RejectedPublish` or bytes. Owns nothing.
//! Topic, payload and correlation data share the memory of the batch that was read.
//!
//! A frame that ends where its header says does not cost the connection, whatever is in it: the broker would send it again on the next
//! one. It is rejected where MQTT forbids its topic or a text in it, or where it cannot be understood. What says less, as two content
//! types or a subscription identifier of 0, is read as well as it can be.

use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;

use super::frame::Frame;
use super::reader::{BadField, Reader};
use super::{CodecError, publish_properties};
use crate::config::Protocol;
use crate::message::{Message, Qos};
use crate::session::packet::{Incoming, Publish, RejectedPublish, SubscriptionIds, publish_size};
use crate::topic::{Topic, TopicError};

/// Bytes of a topic that are shown of a message which cannot be delivered.
const SHOWN: usize = 200;

/// Reads a message; one that cannot be delivered is read as far as it has to be acknowledged and named.
pub fn decode(frame: &Frame<'_>, protocol: Protocol) -> Incoming {
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
    let (retain, dup) = (frame.flags & 1 != 0, frame.flags & 8 != 0);
    Ok(Publish {
        id,
        subscription_ids,
        message: Message {
            topic,
            payload,
            qos,
            retain,
            dup,
            properties,
        },
    })
}

fn topic(name: Bytes) -> Result<Topic, BadField> {
    let name = ByteString::try_from(name).map_err(|_| BadField("its topic is not UTF-8"))?;
    Topic::received(name).map_err(|error| match error {
        TopicError::Empty => BadField("its topic is empty"),
        TopicError::Wildcard(_) => BadField("its topic contains a wildcard"),
        _ => BadField("its topic contains U+0000"),
    })
}

/// What can be said of a message that cannot be delivered: `body` is all that follows the fixed header, or its beginning.
pub fn rejected(flags: u8, body: &[u8], size: usize, reason: &'static str) -> RejectedPublish {
    let qos = Qos::try_from((flags >> 1) & 3).unwrap_or(Qos::AtMostOnce);
    let mut reader = Reader::new(body);
    let name = reader.field().ok();
    let id = match qos {
        Qos::AtMostOnce => 0,
        _ => name.as_ref().and_then(|_| reader.u16().ok()).unwrap_or(0),
    };
    let topic = name.map_or_else(String::new, |range| shown(&body[range]));
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

fn shown(topic: &[u8]) -> String {
    let most = topic.len().min(SHOWN);
    let mut text = String::from_utf8_lossy(&topic[..most]).into_owned();
    if most < topic.len() {
        text.push('…');
    }
    text
}

pub fn encode(
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

/// Writes a variable byte integer (MQTT 5, section 1.5.5).
pub fn put_varint(mut number: usize, out: &mut BytesMut) {
    loop {
        let low = u8::try_from(number & 0x7F).unwrap_or_default();
        number >>= 7;
        out.put_u8(if number > 0 { low | 0x80 } else { low });
        if number == 0 {
            return;
        }
    }
}

/// Writes bytes with their two-byte length; `publish_size` has checked that it fits.
pub fn put_field(bytes: &[u8], out: &mut BytesMut) {
    out.put_u16(u16::try_from(bytes.len()).unwrap_or(u16::MAX));
    out.extend_from_slice(bytes);
}

pub fn put_text(text: &str, out: &mut BytesMut) {
    put_field(text.as_bytes(), out);
}
