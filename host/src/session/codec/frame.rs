//! The fixed header of a packet (MQTT 5, section 2.1).

use bytes::Bytes;

use super::error::CodecError;
use crate::session::packet::AckKind;

/// The type of a packet, as far as a client distinguishes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    ConnAck,
    Publish,
    Ack(AckKind),
    SubAck,
    UnsubAck,
    PingResp,
    Disconnect,
    /// A type that only clients send, or that does not exist.
    Other(&'static str),
}

impl Kind {
    const fn from_first_byte(first: u8) -> Self {
        match first >> 4 {
            1 => Self::Other("CONNECT"),
            2 => Self::ConnAck,
            3 => Self::Publish,
            4 => Self::Ack(AckKind::PubAck),
            5 => Self::Ack(AckKind::PubRec),
            6 => Self::Ack(AckKind::PubRel),
            7 => Self::Ack(AckKind::PubComp),
            8 => Self::Other("SUBSCRIBE"),
            9 => Self::SubAck,
            10 => Self::Other("UNSUBSCRIBE"),
            11 => Self::UnsubAck,
            12 => Self::Other("PINGREQ"),
            13 => Self::PingResp,
            14 => Self::Disconnect,
            15 => Self::Other("AUTH"),
            _ => Self::Other("a packet of type 0"),
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::ConnAck => "CONNACK",
            Self::Publish => "PUBLISH",
            Self::Ack(kind) => kind.name(),
            Self::SubAck => "SUBACK",
            Self::UnsubAck => "UNSUBACK",
            Self::PingResp => "PINGRESP",
            Self::Disconnect => "DISCONNECT",
            Self::Other(name) => name,
        }
    }
}

/// The fixed header of a packet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    first: u8,
    /// Bytes of the fixed header: 2 to 5.
    start: usize,
    /// Bytes after the fixed header.
    remaining: usize,
}

impl Header {
    /// The size of the whole packet in bytes.
    pub(super) const fn size(&self) -> usize {
        self.start + self.remaining
    }

    pub(super) const fn kind(&self) -> Kind {
        Kind::from_first_byte(self.first)
    }

    /// The lower four bits of the first byte.
    pub(super) const fn flags(&self) -> u8 {
        self.first & 0x0F
    }

    /// Bytes of the fixed header.
    pub(super) const fn start(&self) -> usize {
        self.start
    }

    /// Bytes after the fixed header.
    pub(super) const fn remaining(&self) -> usize {
        self.remaining
    }

    /// The packet that begins in `batch` at `at` and is complete there.
    pub(super) fn frame<'a>(&self, batch: &'a Bytes, at: usize) -> Frame<'a> {
        Frame {
            kind: self.kind(),
            flags: self.flags(),
            batch,
            at,
            header: *self,
        }
    }
}

/// A complete packet inside a batch.
#[derive(Debug)]
pub(super) struct Frame<'a> {
    pub kind: Kind,
    /// The lower four bits of the first byte.
    pub flags: u8,
    batch: &'a Bytes,
    at: usize,
    header: Header,
}

impl<'a> Frame<'a> {
    /// The bytes after the fixed header.
    pub(super) fn body(&self) -> &'a [u8] {
        &self.batch[self.at + self.header.start..self.at + self.header.size()]
    }

    /// Bytes `from..to` of the body, shared and not copied.
    pub(super) fn share(&self, from: usize, to: usize) -> Bytes {
        let start = self.at + self.header.start;
        self.batch.slice(start + from..start + to)
    }

    /// The whole packet, shared, and the parts of its header: first byte, bytes of the length, remaining length.
    pub(super) fn whole(&self) -> (Bytes, u8, usize, usize) {
        let bytes = self.batch.slice(self.at..self.at + self.header.size());
        (
            bytes,
            self.header.first,
            self.header.start - 1,
            self.header.remaining,
        )
    }

    /// The size of the whole packet in bytes.
    pub(super) const fn size(&self) -> usize {
        self.header.size()
    }

    pub(super) fn malformed(&self, what: impl ToString) -> CodecError {
        CodecError::malformed(self.kind.name(), what)
    }
}

/// The fixed header at the start of `bytes`; `None` while it is incomplete.
pub(super) fn header(bytes: &[u8]) -> Result<Option<Header>, CodecError> {
    let Some((&first, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    let mut remaining = 0;
    for (place, &byte) in rest.iter().take(4).enumerate() {
        remaining |= usize::from(byte & 0x7F) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(Some(Header {
                first,
                start: 2 + place,
                remaining,
            }));
        }
    }

    if rest.len() >= 4 {
        return Err(CodecError::malformed(
            Kind::from_first_byte(first).name(),
            "a length of more than four bytes",
        ));
    }

    Ok(None)
}
