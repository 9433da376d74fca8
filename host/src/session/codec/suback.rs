//! SUBACK and UNSUBACK (MQTT 5, sections 3.9 and 3.11).
//!
//! Any reason code is read, and invalid properties are ignored: the answer for one filter must not cost the connection.

use super::frame::{Frame, Kind};
use super::reader::Reader;
use crate::config::Protocol;
use crate::session::packet::{Incoming, Reason};

pub(super) fn decode(frame: &Frame<'_>, protocol: Protocol) -> Incoming {
    let mut reader = Reader::new(frame.body());
    let id = match reader.u16() {
        Err(_) | Ok(0) => {
            return Incoming::Unattributed {
                packet: frame.kind.name(),
                of_message: false,
            };
        }
        Ok(id) => id,
    };

    let readable = match (protocol, frame.kind) {
        (Protocol::V5, _) => reader.properties().is_ok(),
        // UNSUBACK of 3.1.1 has no codes
        (Protocol::V311, kind) => kind != Kind::UnsubAck,
    };
    let codes = if readable {
        &frame.body()[reader.at()..]
    } else {
        &[]
    };
    let reasons = codes.iter().copied().map(Reason).collect();
    match frame.kind {
        Kind::UnsubAck => Incoming::UnsubAck { id, reasons },
        _ => Incoming::SubAck { id, reasons },
    }
}
