//! Bytes to packets and back, for MQTT 5 and 3.1.1. The only place that names rumqttc.
//!
//! rumqttc's packets and codec serve for CONNECT, CONNACK, SUBSCRIBE and UNSUBSCRIBE. The rest is written here: PUBLISH and the short
//! acknowledgements are the fast path (rumqttc copies each topic and property into a `String`), rumqttc 0.25.1 reads a PUBLISH with
//! three subscription identifiers wrongly (it counts two bytes too many for each), cannot read a DISCONNECT of zero or one byte,
//! writes a DISCONNECT with a reason one byte longer than it announces, and reads no SUBACK with a reason code that it does not know.
//!
//! An error ends the connection, so there is none as long as the next packet can be found: a packet that makes no sense is reported as
//! such.

use bytes::{Bytes, BytesMut};

use crate::config::Protocol;
use crate::session::packet::{Incoming, Outgoing, RejectedPublish};

mod ack;
mod disconnect;
mod error;
mod frame;
mod oversize;
mod publish;
mod publish_properties;
mod reader;
mod suback;
mod v311;
mod v5;
mod writer;

pub use error::CodecError;

use frame::{Frame, Header, Kind};
use oversize::Oversize;

/// Turns bytes into packets and packets into bytes, for one protocol version and one connection.
#[derive(Debug, Clone)]
pub struct Codec {
    protocol: Protocol,
    max_packet_size: usize,
    /// A message that is too large and not complete yet.
    oversize: Option<Oversize>,
}

impl Codec {
    /// Creates a codec that rejects messages of more than `max_packet_size` bytes.
    pub fn new(protocol: Protocol, max_packet_size: u32) -> Self {
        let max_packet_size = usize::try_from(max_packet_size).unwrap_or(usize::MAX);
        Self {
            protocol,
            max_packet_size,
            oversize: None,
        }
    }

    /// Takes all complete packets out of `buffer`, as one piece of memory that their topics and payloads share.
    ///
    /// # Errors
    /// When the first packet announces a length that is malformed, or too large for a packet other than PUBLISH. Complete packets before
    /// it are returned first.
    pub fn split(&mut self, buffer: &mut BytesMut) -> Result<Batch, CodecError> {
        self.split_some(buffer, usize::MAX)
    }

    /// Takes the first packet out of `buffer`, if it is complete, and leaves the rest.
    ///
    /// # Errors
    /// When its bytes are not a packet.
    pub fn first(&mut self, buffer: &mut BytesMut) -> Result<Option<Incoming>, CodecError> {
        self.split_some(buffer, 1)?.next_packet().transpose()
    }

    /// Number of bytes that `buffer` has to contain for its first packet, as far as is known yet.
    pub fn needed(&self, buffer: &[u8]) -> usize {
        match frame::header(buffer) {
            Ok(Some(header)) if header.size() > self.max_packet_size => {
                header.size().min(header.start() + oversize::HEAD)
            }
            Ok(Some(header)) => header.size(),
            Ok(None) | Err(_) => 0,
        }
    }

    fn split_some(&mut self, buffer: &mut BytesMut, packets: usize) -> Result<Batch, CodecError> {
        if self.oversize.is_some() {
            return Ok(self.read_past(buffer));
        }
        let mut length = 0;
        for _ in 0..packets {
            match frame::header(&buffer[length..]) {
                Ok(Some(header)) if header.size() > self.max_packet_size && length == 0 => {
                    return self.too_large(&header, buffer);
                }
                Ok(Some(header)) if header.size() > self.max_packet_size => break,
                Ok(Some(header)) if length + header.size() <= buffer.len() => {
                    length += header.size()
                }
                Ok(_) => break,
                Err(_) if length > 0 => break,
                Err(error) => return Err(error),
            }
        }

        let bytes = if length > 0 {
            buffer.split_to(length).freeze()
        } else {
            Bytes::new()
        };
        Ok(Batch {
            protocol: self.protocol,
            bytes,
            at: 0,
            rejected: None,
        })
    }

    fn too_large(&mut self, header: &Header, buffer: &mut BytesMut) -> Result<Batch, CodecError> {
        if header.kind() != Kind::Publish {
            let size = header.size();
            let max = self.max_packet_size;
            return Err(CodecError::TooLarge {
                packet: header.kind().name(),
                size,
                max,
            });
        }

        self.oversize = Oversize::begin(header, buffer);
        Ok(self.read_past(buffer))
    }

    /// Drops the bytes of a message that is too large. The batch reports it when its last byte has come.
    fn read_past(&mut self, buffer: &mut BytesMut) -> Batch {
        let done = self
            .oversize
            .as_mut()
            .is_some_and(|oversize| oversize.read_past(buffer));
        let rejected = self.oversize.take_if(|_| done).map(Oversize::into_rejected);
        Batch {
            protocol: self.protocol,
            bytes: Bytes::new(),
            at: 0,
            rejected,
        }
    }

    /// Appends `packet` to `out`.
    ///
    /// # Errors
    /// When MQTT cannot express it; `out` is then unchanged.
    pub fn encode(&self, packet: &Outgoing<'_>, out: &mut BytesMut) -> Result<(), CodecError> {
        match packet {
            Outgoing::Publish { id, dup, message } => {
                publish::encode(message, *id, *dup, self.protocol, out)
            }
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

/// Complete packets in one piece of memory.
#[derive(Debug)]
pub struct Batch {
    protocol: Protocol,
    bytes: Bytes,
    at: usize,
    /// A message that was too large; the batch has no other packets then.
    rejected: Option<RejectedPublish>,
}

impl Batch {
    /// Returns the next packet; `None` at the end.
    ///
    /// # Errors
    /// When a client cannot continue after it; the connection must then be closed.
    pub fn next_packet(&mut self) -> Option<Result<Incoming, CodecError>> {
        if let Some(rejected) = self.rejected.take() {
            return Some(Ok(Incoming::Rejected(rejected)));
        }
        let header = match frame::header(&self.bytes[self.at..]) {
            Ok(None) => return None,
            Ok(Some(header)) => header,
            Err(error) => return Some(Err(error)),
        };
        let start = self.at;
        self.at += header.size();
        Some(decode(&header.frame(&self.bytes, start), self.protocol))
    }

    /// Whether it has no packets.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.rejected.is_none()
    }
}

fn decode(frame: &Frame<'_>, protocol: Protocol) -> Result<Incoming, CodecError> {
    match frame.kind {
        Kind::Publish => Ok(publish::decode(frame, protocol)),
        Kind::Ack(kind) => Ok(ack::decode(frame, kind)),
        Kind::SubAck | Kind::UnsubAck => Ok(suback::decode(frame, protocol)),
        Kind::PingResp => Ok(Incoming::PingResp),
        Kind::Disconnect if protocol == Protocol::V5 => Ok(disconnect::decode(frame)),
        Kind::ConnAck => {
            let ack = match protocol {
                Protocol::V5 => v5::connack(frame),
                Protocol::V311 => v311::connack(frame),
            };
            ack.map(|ack| Incoming::ConnAck(Box::new(ack)))
        }
        Kind::Disconnect => Err(CodecError::Unexpected("DISCONNECT")),
        Kind::Other(name) => Err(CodecError::Unexpected(name)),
    }
}

#[cfg(test)]
mod tests;
