//! The properties of PUBLISH (MQTT 5, section 3.3.2.3).

use bytes::{BufMut, BytesMut};
use bytestring::ByteString;

use super::frame::Frame;
use super::reader::{BadField, Reader};
use super::writer::{put_field, put_text};
use crate::message::Properties;
use crate::session::packet::SubscriptionIds;
use crate::topic::Topic;

const PAYLOAD_FORMAT: u8 = 1;
const MESSAGE_EXPIRY: u8 = 2;
const CONTENT_TYPE: u8 = 3;
const RESPONSE_TOPIC: u8 = 8;
const CORRELATION_DATA: u8 = 9;
const SUBSCRIPTION_ID: u8 = 11;
const TOPIC_ALIAS: u8 = 35;
const USER_PROPERTY: u8 = 38;

/// Reads all properties. `None` when there are only subscription identifiers, which belong to the delivery and not to the message.
pub(super) fn decode(
    frame: &Frame<'_>,
    mut reader: Reader<'_>,
    ids: &mut SubscriptionIds,
) -> Result<Option<Box<Properties>>, BadField> {
    let mut properties: Option<Box<Properties>> = None;
    while !reader.is_at_end() {
        let property = reader.u8()?;
        if property == SUBSCRIPTION_ID {
            ids.push(reader.varint()?);
            continue;
        }
        let properties = properties.get_or_insert_default();
        match property {
            PAYLOAD_FORMAT => properties.utf8 = reader.u8()? == 1,
            MESSAGE_EXPIRY => properties.message_expiry = Some(reader.u32()?),
            CONTENT_TYPE => properties.content_type = Some(text(&mut reader)?),
            RESPONSE_TOPIC => properties.response_topic = Some(response_topic(frame, &mut reader)?),
            CORRELATION_DATA => {
                let range = reader.field()?;
                properties.correlation_data = Some(frame.share(range.start, range.end));
            }
            USER_PROPERTY => {
                let name = text(&mut reader)?;
                properties.user_properties.push((name, text(&mut reader)?));
            }
            TOPIC_ALIAS => return Err(BadField("it has a topic alias, and none is allowed")),
            _ => return Err(BadField("it has a property that does not belong there")),
        }
    }

    Ok(properties)
}

/// Reads the text of a property. MQTT forbids U+0000 in it (section 1.5.4).
fn text(reader: &mut Reader<'_>) -> Result<String, BadField> {
    let text = reader.text()?;
    if text.as_bytes().contains(&0) {
        return Err(BadField("a text of its properties contains U+0000"));
    }
    Ok(text.to_owned())
}

fn response_topic(frame: &Frame<'_>, reader: &mut Reader<'_>) -> Result<Topic, BadField> {
    let range = reader.field()?;
    let name = ByteString::try_from(frame.share(range.start, range.end));
    let name = name.map_err(|_| BadField("its response topic is not UTF-8"))?;
    Topic::from_received(name).map_err(|_| BadField("its response topic is not a valid topic name"))
}

/// Writes the properties, whose size `publish_size` has computed.
pub(super) fn encode(properties: &Properties, out: &mut BytesMut) {
    if properties.utf8 {
        out.extend_from_slice(&[PAYLOAD_FORMAT, 1]);
    }
    if let Some(seconds) = properties.message_expiry {
        out.put_u8(MESSAGE_EXPIRY);
        out.put_u32(seconds);
    }
    if let Some(content_type) = &properties.content_type {
        out.put_u8(CONTENT_TYPE);
        put_text(content_type, out);
    }
    if let Some(topic) = &properties.response_topic {
        out.put_u8(RESPONSE_TOPIC);
        put_text(topic.as_str(), out);
    }
    if let Some(data) = &properties.correlation_data {
        out.put_u8(CORRELATION_DATA);
        put_field(data, out);
    }
    for (name, value) in &properties.user_properties {
        out.put_u8(USER_PROPERTY);
        put_text(name, out);
        put_text(value, out);
    }
}
