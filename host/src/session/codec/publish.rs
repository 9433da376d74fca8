//! Machine: PUBLISH (MQTT 5, section 3.3). In: a frame, or a message to send. Out: `Publish`, or bytes. Owns nothing.
//! Topic, payload and correlation data share the memory of the batch that was read.

use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;

use super::frame::Frame;
use super::reader::{BadField, Reader};
use super::{CodecError, publish_properties};
use crate::config::Protocol;
use crate::message::{Message, Qos};
use crate::session::packet::{Publish, SubscriptionIds, publish_size};
use crate::topic::Topic;

pub fn decode(frame: &Frame<'_>, protocol: Protocol) -> Result<Publish, CodecError> {
    let bad = |BadField(what)| frame.malformed(what);
    let qos = Qos::try_from((frame.flags >> 1) & 3).map_err(|error| frame.malformed(error))?;
    let mut reader = Reader::new(frame.body());
    let name = reader.field().map_err(bad)?;
    let id = if qos == Qos::AtMostOnce { 0 } else { reader.u16().map_err(bad)? };
    if qos != Qos::AtMostOnce && id == 0 {
        return Err(frame.malformed("packet identifier 0"));
    }
    let mut subscription_ids = SubscriptionIds::default();
    let mut properties = None;
    if protocol == Protocol::V5 {
        let present = reader.properties().map_err(bad)?;
        if !present.is_at_end() {
            properties = publish_properties::decode(frame, present, &mut subscription_ids)?;
        }
    }
    let topic = topic(frame.share(name.start, name.end)).map_err(|what| frame.malformed(what))?;
    let payload = frame.share(reader.at(), frame.body().len());
    let (retain, dup) = (frame.flags & 1 != 0, frame.flags & 8 != 0);
    Ok(Publish { id, subscription_ids, message: Message { topic, payload, qos, retain, dup, properties } })
}

fn topic(name: Bytes) -> Result<Topic, String> {
    let name = ByteString::try_from(name).map_err(|_| "a topic that is not UTF-8".to_owned())?;
    Topic::received(name).map_err(|error| error.to_string())
}

pub fn encode(message: &Message, id: u16, dup: bool, protocol: Protocol, out: &mut BytesMut) -> Result<(), CodecError> {
    let Some(size) = publish_size(message, protocol) else {
        let what = format!("the message on {:?} is larger than MQTT can express", message.topic);
        return Err(CodecError::Unwritable { packet: "PUBLISH", what });
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
