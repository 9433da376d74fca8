//! PUBACK, PUBREC, PUBREL and PUBCOMP (MQTT 5, sections 3.4 to 3.7).
//!
//! Any reason code is read: an unknown one must not cost the connection.

use bytes::BytesMut;

use super::frame::Frame;
use super::reader::Reader;
use crate::config::Protocol;
use crate::session::packet::{Ack, AckKind, Incoming, Reason};

pub(super) fn decode(frame: &Frame<'_>, kind: AckKind) -> Incoming {
    let mut reader = Reader::new(frame.body());
    match reader.u16() {
        Err(_) | Ok(0) => Incoming::Unattributed {
            packet: kind.name(),
            of_message: kind != AckKind::PubRel,
        },
        Ok(id) => {
            // a missing reason means success, and a client does not act on the properties
            let reason = reader.u8().map_or(Reason::SUCCESS, Reason);
            Incoming::Ack(Ack { kind, id, reason })
        }
    }
}

pub(super) fn encode(ack: Ack, protocol: Protocol, out: &mut BytesMut) {
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
