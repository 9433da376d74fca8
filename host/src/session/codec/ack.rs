//! Machine: PUBACK, PUBREC, PUBREL and PUBCOMP (MQTT 5, sections 3.4 to 3.7). In: a frame, or an acknowledgement. Out: the
//! acknowledgement, or bytes. Owns nothing. Any reason code is read: an unknown one must not cost the connection.

use bytes::BytesMut;

use super::CodecError;
use super::frame::Frame;
use super::reader::{BadField, Reader};
use crate::config::Protocol;
use crate::session::packet::{Ack, AckKind, Reason};

pub fn decode(frame: &Frame<'_>, kind: AckKind) -> Result<Ack, CodecError> {
    let mut reader = Reader::new(frame.body());
    let id = reader.u16().map_err(|BadField(what)| frame.malformed(what))?;
    if id == 0 {
        return Err(frame.malformed("packet identifier 0"));
    }
    // the reason may be missing (it is then success), and properties tell the client nothing that it acts upon
    let reason = reader.u8().map_or(Reason::SUCCESS, Reason);
    Ok(Ack { kind, id, reason })
}

pub fn encode(ack: Ack, protocol: Protocol, out: &mut BytesMut) {
    let first = match ack.kind {
        AckKind::PubAck => 0x40,
        AckKind::PubRec => 0x50,
        AckKind::PubRel => 0x62,
        AckKind::PubComp => 0x70,
    };
    let [high, low] = ack.id.to_be_bytes();
    if ack.reason == Reason::SUCCESS || protocol == Protocol::V311 {
        out.extend_from_slice(&[first, 2, high, low]);
    } else {
        out.extend_from_slice(&[first, 3, high, low, ack.reason.0]);
    }
}
