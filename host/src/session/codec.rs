//! Machine: bytes to packets and back, MQTT 5 and 3.1.1. In: what the socket gave, packets of the session. Out: `Incoming`
//! packets, bytes to write. Owns nothing between calls. The only place that names rumqttc.
//!
//! rumqttc's packets and codec serve for CONNECT, CONNACK, SUBSCRIBE, SUBACK, UNSUBSCRIBE and UNSUBACK. The rest is written
//! here: PUBLISH and the short acknowledgements are the fast path (rumqttc copies each topic and property into a `String`),
//! and rumqttc 0.25.1 reads a PUBLISH with three subscription identifiers wrongly (it counts two bytes too many for each),
//! cannot read a DISCONNECT of zero or one byte, and writes a DISCONNECT with a reason one byte longer than it announces.

use bytes::{Bytes, BytesMut};

use crate::config::Protocol;
use crate::session::packet::{Incoming, Outgoing, Reason};

mod ack;
mod disconnect;
mod frame;
mod publish;
mod publish_properties;
mod reader;
mod v311;
mod v5;

pub use frame::needed;
use frame::{Frame, Kind};

/// Why bytes are no packet, or a packet cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Bytes that do not follow the specification.
    #[error("malformed {packet} from the broker: {what}")]
    Malformed {
        /// The packet type.
        packet: &'static str,
        /// What is wrong about it.
        what: String,
    },
    /// Larger than we allow.
    #[error("{packet} of {size} bytes from the broker; max_packet_size allows {max}")]
    TooLarge {
        /// The packet type.
        packet: &'static str,
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// A packet type that a broker must not send.
    #[error("the broker sent {0}, which only clients send or which does not exist")]
    Unexpected(&'static str),
    /// The broker used a topic alias, which we never allow (Topic Alias Maximum is 0).
    #[error("the broker used topic alias {0}; none is allowed")]
    TopicAlias(u16),
    /// MQTT has no form for what is to be sent.
    #[error("cannot write {packet}: {what}")]
    Unwritable {
        /// The packet type.
        packet: &'static str,
        /// What is wrong about it.
        what: String,
    },
}

impl CodecError {
    fn malformed(packet: &'static str, what: impl ToString) -> Self {
        Self::Malformed { packet, what: what.to_string() }
    }

    /// The reason code for the DISCONNECT that answers it (MQTT 5, section 4.13).
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Malformed { .. } => Reason::MALFORMED,
            Self::TooLarge { .. } => Reason::PACKET_TOO_LARGE,
            Self::Unexpected(_) | Self::Unwritable { .. } => Reason::PROTOCOL_ERROR,
            Self::TopicAlias(_) => Reason::TOPIC_ALIAS,
        }
    }
}

/// Turns bytes into packets and packets into bytes, for one protocol version.
#[derive(Debug, Clone, Copy)]
pub struct Codec {
    protocol: Protocol,
    max_packet_size: usize,
}

impl Codec {
    /// A codec that refuses incoming packets of more than `max_packet_size` bytes.
    pub fn new(protocol: Protocol, max_packet_size: u32) -> Self {
        Self { protocol, max_packet_size: usize::try_from(max_packet_size).unwrap_or(usize::MAX) }
    }

    /// Takes all complete packets out of `buffer`, as one piece that is shared by their topics and payloads.
    ///
    /// # Errors
    /// When the first packet announces a length that is malformed or too large; complete packets before such a one are
    /// handed out first.
    pub fn split(&self, buffer: &mut BytesMut) -> Result<Batch, CodecError> {
        self.split_some(buffer, usize::MAX)
    }

    /// Takes the first packet out of `buffer`, if it is complete, and leaves the rest.
    ///
    /// # Errors
    /// When its bytes are no packet.
    pub fn first(&self, buffer: &mut BytesMut) -> Result<Option<Incoming>, CodecError> {
        self.split_some(buffer, 1)?.next_packet().transpose()
    }

    fn split_some(&self, buffer: &mut BytesMut, packets: usize) -> Result<Batch, CodecError> {
        let mut length = 0;
        for _ in 0..packets {
            match frame::header(&buffer[length..], self.max_packet_size) {
                Ok(Some(header)) if length + header.size() <= buffer.len() => length += header.size(),
                Ok(_) => break,
                Err(_) if length > 0 => break,
                Err(error) => return Err(error),
            }
        }
        let bytes = if length > 0 { buffer.split_to(length).freeze() } else { Bytes::new() };
        Ok(Batch { codec: *self, bytes, at: 0 })
    }

    fn decode(&self, frame: &Frame<'_>) -> Result<Incoming, CodecError> {
        match frame.kind {
            Kind::Publish => publish::decode(frame, self.protocol).map(Incoming::Publish),
            Kind::Ack(kind) => ack::decode(frame, kind).map(Incoming::Ack),
            Kind::PingResp => Ok(Incoming::PingResp),
            Kind::Disconnect if self.protocol == Protocol::V5 => disconnect::decode(frame),
            Kind::ConnAck | Kind::SubAck | Kind::UnsubAck => match self.protocol {
                Protocol::V5 => v5::decode(frame),
                Protocol::V311 => v311::decode(frame),
            },
            Kind::Disconnect => Err(CodecError::Unexpected("DISCONNECT")),
            Kind::Other(name) => Err(CodecError::Unexpected(name)),
        }
    }

    /// Appends `packet` to `out`.
    ///
    /// # Errors
    /// When MQTT has no form for it; `out` is then as it was.
    pub fn encode(&self, packet: &Outgoing<'_>, out: &mut BytesMut) -> Result<(), CodecError> {
        match packet {
            Outgoing::Publish { id, dup, message } => publish::encode(message, *id, *dup, self.protocol, out),
            Outgoing::Ack(ack) => {
                ack::encode(*ack, self.protocol, out);
                Ok(())
            }
            Outgoing::PingReq => {
                out.extend_from_slice(&[0xC0, 0]);
                Ok(())
            }
            Outgoing::Disconnect(reason) => {
                disconnect::encode(*reason, self.protocol, out);
                Ok(())
            }
            other => {
                let before = out.len();
                let written = match self.protocol {
                    Protocol::V5 => v5::encode(other, out),
                    Protocol::V311 => v311::encode(other, out),
                };
                written.inspect_err(|_| out.truncate(before))
            }
        }
    }
}

/// Complete packets in one piece of memory; give them one after the other.
#[derive(Debug)]
pub struct Batch {
    codec: Codec,
    bytes: Bytes,
    at: usize,
}

impl Batch {
    /// The next packet; `None` at the end.
    ///
    /// # Errors
    /// When its bytes are no packet; the connection must then be given up.
    pub fn next_packet(&mut self) -> Option<Result<Incoming, CodecError>> {
        let header = match frame::header(&self.bytes[self.at..], usize::MAX) {
            Ok(None) => return None,
            Ok(Some(header)) => header,
            Err(error) => return Some(Err(error)),
        };
        let start = self.at;
        self.at += header.size();
        Some(self.codec.decode(&header.frame(&self.bytes, start)))
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

#[cfg(test)]
mod tests;
