//! As much of MQTT's framing as the bounds need (MQTT 5 and 3.1.1, section 2): the end of a packet,
//! its QoS and identifier, acknowledgements, and the fields of a CONNECT. Pure.

/// CONNECT in the fixed header.
const CONNECT: u8 = 1;
const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;
const PUBREC: u8 = 5;
const PUBCOMP: u8 = 7;
/// The property Receive Maximum (MQTT 5, section 3.1.2.11.3).
const RECEIVE_MAXIMUM: u8 = 0x21;

/// The bytes are not an MQTT packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MalformedFrame;

/// How long a packet is, its fixed header included, and its kind; `None`: more bytes are needed to tell.
fn fixed_header(bytes: &[u8]) -> Result<Option<(u8, usize, usize)>, MalformedFrame> {
    let Some((first, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    let mut length = 0_usize;
    for (place, byte) in rest.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7F) << (7 * place);
        if byte & 0x80 == 0 {
            return Ok(Some((*first, place + 2, length)));
        }
    }

    if rest.len() < 4 {
        Ok(None)
    } else {
        Err(MalformedFrame)
    }
}

/// Kind of a packet to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OutboundPacket {
    /// PUBLISH of QoS 0.
    AtMostOnce,
    /// PUBLISH of QoS 1 or 2 with this identifier.
    Acknowledged(u16),
    /// PUBACK or PUBREC with a reason that refuses.
    Refusal,
    /// Anything else.
    Other,
}

/// Returns the kind of one whole packet to a client.
pub(super) fn classify_outbound(packet: &[u8]) -> OutboundPacket {
    let Ok(Some((first, header, _))) = fixed_header(packet) else {
        return OutboundPacket::Other;
    };
    let body = packet.get(header..).unwrap_or_default();
    match first >> 4 {
        PUBLISH if (first >> 1) & 3 == 0 => OutboundPacket::AtMostOnce,
        PUBLISH => {
            let topic = read_u16(body).map_or(0, usize::from);
            body.get(2 + topic..)
                .and_then(read_u16)
                .map_or(OutboundPacket::Other, OutboundPacket::Acknowledged)
        }
        PUBACK | PUBREC if body.get(2).is_some_and(|reason| *reason >= 0x80) => {
            OutboundPacket::Refusal
        }
        _ => OutboundPacket::Other,
    }
}

fn read_u16(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk().map(|two| u16::from_be_bytes(*two))
}

/// The fields of a CONNECT that matter here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Connect {
    /// Length of the packet.
    pub length: usize,
    /// Protocol level: 4 or 5.
    pub level: u8,
    /// How many messages of QoS 1 and 2 may be unacknowledged.
    pub receive_maximum: u16,
}

/// Reads a CONNECT of at most `longest` bytes; `None`: more bytes are needed.
///
/// # Errors
/// When it is another packet, none at all, or too long.
pub(super) fn connect(bytes: &[u8], longest: usize) -> Result<Option<Connect>, MalformedFrame> {
    if bytes.first().is_some_and(|first| *first != CONNECT << 4) {
        return Err(MalformedFrame);
    }
    let Some((_, header, length)) = fixed_header(bytes)? else {
        return Ok(None);
    };
    if length > longest {
        return Err(MalformedFrame);
    }
    let Some(body) = bytes.get(header..header + length) else {
        return Ok(None);
    };
    let name = usize::from(read_u16(body).ok_or(MalformedFrame)?);
    let rest = body.get(2 + name..).ok_or(MalformedFrame)?;
    let level = *rest.first().ok_or(MalformedFrame)?;
    // protocol level, flags, keepalive
    let receive_maximum = if level < 5 {
        None
    } else {
        rest.get(4..).and_then(receive_maximum)
    };
    Ok(Some(Connect {
        length: header + length,
        level,
        receive_maximum: receive_maximum.unwrap_or(u16::MAX),
    }))
}

/// The receive maximum among the properties that `bytes` begins with.
fn receive_maximum(bytes: &[u8]) -> Option<u16> {
    // a variable byte integer looks like the length of a packet
    let (_, header, length) =
        fixed_header(&[&[0], bytes.get(..bytes.len().min(4))?].concat()).ok()??;
    let mut properties = bytes.get(header - 1..)?.get(..length)?;
    while let Some((id, value)) = properties.split_first() {
        let text = || {
            value
                .get(..2)
                .and_then(read_u16)
                .map(|length| 2 + usize::from(length))
        };

        let size = match *id {
            RECEIVE_MAXIMUM => return read_u16(value),
            0x17 | 0x19 => 1,
            0x22 => 2,
            0x11 | 0x27 => 4,
            0x15 | 0x16 => text()?,
            0x26 => {
                let name = text()?;
                name + 2 + usize::from(read_u16(value.get(name..)?)?)
            }
            _ => return None,
        };

        properties = value.get(size..)?;
    }

    None
}

/// Something in what a client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientEvent<'a> {
    /// A message is done with.
    Acknowledged(u16),
    /// A message of QoS 0 that is to be retained.
    Retained {
        /// Its topic, as far as it is looked at.
        topic: &'a [u8],
        /// The length of the packet, which is about that of its payload.
        bytes: usize,
    },
}

/// How much of a message that is to be retained is looked at, for its topic.
const MAX_HEAD: usize = 1024;

/// Follows the packets in the bytes of a client, however these are cut, and finds what it acknowledges.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    /// The beginning of the packet that is under way, as far as it is looked at.
    head: Vec<u8>,
    /// How much of the packet is still to come.
    remaining: usize,
    /// The length of the packet without its fixed header.
    length: usize,
    /// The bytes are not packets, so nothing further can be read.
    is_desynchronized: bool,
}

impl Scanner {
    /// Takes the next bytes; calls `on_event` with each finding.
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut on_event: impl FnMut(ClientEvent<'_>)) {
        while !self.is_desynchronized && !bytes.is_empty() {
            if self.remaining > 0 {
                let (part, rest) = bytes.split_at(bytes.len().min(self.remaining));
                match self.kind() {
                    PUBACK | PUBREC | PUBCOMP => self.head.extend_from_slice(part),
                    PUBLISH if self.is_retained() => {
                        let room = MAX_HEAD.saturating_sub(self.head.len());
                        self.head.extend_from_slice(&part[..part.len().min(room)]);
                    }
                    _ => {}
                }

                self.remaining -= part.len();
                bytes = rest;
            } else {
                self.head.push(bytes[0]);
                bytes = &bytes[1..];
                match fixed_header(&self.head) {
                    Ok(Some((_, _, length))) => (self.remaining, self.length) = (length, length),
                    Ok(None) => continue,
                    Err(MalformedFrame) => self.is_desynchronized = true,
                }
                // acknowledgements are short; a long one is not valid
                self.is_desynchronized |=
                    self.remaining > 70_000 && self.kind() != PUBLISH && self.kind() != CONNECT;
            }

            if self.remaining == 0 {
                self.on_packet_end(&mut on_event);
            }
        }
    }

    fn kind(&self) -> u8 {
        self.head.first().map_or(0, |first| first >> 4)
    }

    /// Whether it is a PUBLISH of QoS 0 that is to be retained.
    fn is_retained(&self) -> bool {
        self.head.first().is_some_and(|first| first & 0x07 == 1)
    }

    fn on_packet_end(&mut self, on_event: &mut impl FnMut(ClientEvent<'_>)) {
        if let Ok(Some((_, header, _))) = fixed_header(&self.head) {
            let body = &self.head[header..];
            let done = match self.kind() {
                PUBACK | PUBCOMP => true,
                PUBREC => body.get(2).is_some_and(|reason| *reason >= 0x80),
                _ => false,
            };
            if let Some(id) = read_u16(body).filter(|_| done) {
                on_event(ClientEvent::Acknowledged(id));
            }
            if self.kind() == PUBLISH && self.is_retained() {
                let topic = read_u16(body)
                    .and_then(|length| body.get(2..2 + usize::from(length)))
                    .unwrap_or_default();
                on_event(ClientEvent::Retained {
                    topic,
                    bytes: self.length,
                });
            }
        }

        self.head.clear();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    const CONNECT_5: &[u8] =
        b"\x10\x18\x00\x04MQTT\x05\x02\x00\x3c\x0b\x11\x00\x00\x00\x0a\x26\x00\x01a\x00\x00\x00\x00\x00";

    #[test]
    fn a_connect_is_read_when_it_is_whole() {
        let bytes =
            b"\x10\x14\x00\x04MQTT\x05\x02\x00\x3c\x08\x11\x00\x00\x00\x0a\x21\x00\x14\x00\x00\x00";
        let packet = &bytes[..22];
        for end in 0..packet.len() {
            assert_eq!(connect(&packet[..end], 1000), Ok(None), "{end}");
        }
        assert_eq!(
            connect(packet, 1000),
            Ok(Some(Connect {
                length: 22,
                level: 5,
                receive_maximum: 20
            }))
        );

        assert_eq!(connect(packet, 10), Err(MalformedFrame));
        let old = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00";
        assert_eq!(
            connect(old, 1000),
            Ok(Some(Connect {
                length: 14,
                level: 4,
                receive_maximum: u16::MAX
            }))
        );

        let without = connect(CONNECT_5, 1000);
        assert!(
            matches!(
                without,
                Ok(Some(Connect {
                    receive_maximum: u16::MAX,
                    ..
                }) | None)
            ),
            "{without:?}"
        );
    }

    #[test]
    fn invalid_connects_are_seen_by_their_header() {
        assert_eq!(connect(b"GET / HTTP/1.1", 1000), Err(MalformedFrame));
        assert_eq!(
            connect(&[0x10, 0xFF, 0xFF, 0xFF, 0x7F], 1 << 18),
            Err(MalformedFrame)
        );
        assert_eq!(
            connect(&[0x10, 0xFF, 0xFF, 0xFF, 0xFF], 1 << 18),
            Err(MalformedFrame)
        );
    }

    #[test]
    fn packets_to_a_client_are_told_apart() {
        assert_eq!(
            classify_outbound(b"\x30\x03\x00\x01tx"),
            OutboundPacket::AtMostOnce
        );
        assert_eq!(
            classify_outbound(b"\x32\x06\x00\x01t\x01\x02x"),
            OutboundPacket::Acknowledged(0x102)
        );
        assert_eq!(
            classify_outbound(b"\x35\x06\x00\x01t\x01\x02x"),
            OutboundPacket::Acknowledged(0x102)
        );
        assert_eq!(
            classify_outbound(b"\x40\x03\x00\x01\x97"),
            OutboundPacket::Refusal
        );
        assert_eq!(
            classify_outbound(b"\x40\x02\x00\x01"),
            OutboundPacket::Other
        );
        assert_eq!(classify_outbound(b"\xd0\x00"), OutboundPacket::Other);
    }

    proptest! {
        #[test]
        fn acknowledgements_are_found_however_bytes_are_cut(cuts in proptest::collection::vec(1_usize..9, 1..60)) {
            let mut bytes = CONNECT_5[..2 + 0x18].to_vec();
            bytes.extend_from_slice(b"\x40\x02\x00\x07\x32\x06\x00\x01t\x00\x09@\x50\x02\x00\x08\x62\x02\x00\x08\xc0\x00");
            bytes.extend_from_slice(b"\x70\x02\x00\x08\x50\x03\x00\x0a\x97\x30\x04\x00\x01t@\x40\x02\x00\x0b\x31\x06\x00\x03t/u@");
            let mut scanner = Scanner::default();
            let mut found = Vec::new();
            let mut rest = &bytes[..];
            for cut in cuts.into_iter().cycle() {
                let (part, after) = rest.split_at(cut.min(rest.len()));
                scanner.feed(part, |seen| match seen {
                    ClientEvent::Acknowledged(id) => found.push(id),
                    ClientEvent::Retained { topic, bytes } => found.push(1000 * topic.len() as u16 + bytes as u16),
                });
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }

            prop_assert_eq!(found, vec![7, 8, 10, 11, 3006]);
        }

        #[test]
        fn any_bytes_end_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = (connect(&bytes, 1000), classify_outbound(&bytes));
            Scanner::default().feed(&bytes, |_| {});
        }
    }
}
