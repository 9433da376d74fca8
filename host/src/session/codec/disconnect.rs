//! DISCONNECT (MQTT 5, section 3.14).

use bytes::BytesMut;

use super::frame::Frame;
use super::reader::{BadField, Reader};
use crate::config::Protocol;
use crate::session::packet::{Incoming, Reason};

const SESSION_EXPIRY: u8 = 17;
const SERVER_REFERENCE: u8 = 28;
const REASON_STRING: u8 = 31;
const USER_PROPERTY: u8 = 38;

/// Reads as much as possible: the connection ends in any case, and the reason matters more than invalid properties.
pub(super) fn decode(frame: &Frame<'_>) -> Incoming {
    let mut reader = Reader::new(frame.body());
    let reason = reader.u8().map_or(Reason::SUCCESS, Reason);
    let text = reader.properties().and_then(reason_string).ok().flatten();
    Incoming::Disconnect { reason, text }
}

/// The reason string (31) among the properties of DISCONNECT, or of a CONNACK that refuses; `None` when an unknown property comes before
/// it.
pub(super) fn reason_string(mut reader: Reader<'_>) -> Result<Option<String>, BadField> {
    let mut text = None;
    while !reader.is_at_end() {
        match reader.u8()? {
            SESSION_EXPIRY => drop(reader.u32()?),
            SERVER_REFERENCE => {
                reader.field()?;
            }
            REASON_STRING => text = Some(reader.text()?.to_owned()),
            USER_PROPERTY => {
                reader.field()?;
                reader.field()?;
            }
            _ => return Ok(text),
        }
    }

    Ok(text)
}

pub(super) fn encode(reason: Reason, protocol: Protocol, out: &mut BytesMut) {
    if reason == Reason::SUCCESS || protocol == Protocol::V311 {
        out.extend_from_slice(&[0xE0, 0]);
    } else {
        out.extend_from_slice(&[0xE0, 1, reason.0]);
    }
}
