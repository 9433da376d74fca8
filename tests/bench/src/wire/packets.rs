//! The packets that the generator writes, and the two that it must look into. Pure.

use super::properties::{number, push_varint, split};
use super::{Version, kind};

/// The parts of a PUBLISH that the generator needs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Publish<'a> {
    /// The topic.
    pub topic: &'a [u8],
    /// The packet identifier; zero at QoS 0.
    pub pid: u16,
    /// The payload.
    pub payload: &'a [u8],
}

impl<'a> Publish<'a> {
    /// Reads the body of a PUBLISH; `None` if it is not valid.
    #[inline]
    pub(crate) fn read(body: &'a [u8], qos: u8, version: Version) -> Option<Self> {
        let (topic, mut rest) = text(body)?;
        let mut pid = 0;
        if qos > 0 {
            pid = u16::from_be_bytes(*rest.first_chunk()?);
            rest = &rest[2..];
        }
        if version == Version::V5 {
            rest = split(rest)?.1;
        }
        Some(Self {
            topic,
            pid,
            payload: rest,
        })
    }
}

/// Splits off a text with its two-byte length.
pub(crate) fn text(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = u16::from_be_bytes(*bytes.first_chunk()?);
    bytes[2..].split_at_checked(length.into())
}

/// An encoded PUBLISH that is sent again and again.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    bytes: Vec<u8>,
    pid: Option<usize>,
    payload: usize,
}

impl Template {
    /// Encodes a PUBLISH. `subscription`: the subscription identifier that a broker puts in (zero: none).
    pub(crate) fn new(
        topic: &str,
        payload: &[u8],
        qos: u8,
        version: Version,
        subscription: u32,
    ) -> Self {
        let mut body = vec![];
        push_text(&mut body, topic);
        let at_pid = body.len();
        if qos > 0 {
            body.extend([0, 0]);
        }
        if version == Version::V5 {
            let mut properties = vec![];
            if subscription > 0 {
                properties.push(0x0B);
                push_varint(&mut properties, subscription as usize);
            }
            push_varint(&mut body, properties.len());
            body.extend(properties);
        }

        let at_payload = body.len();
        body.extend(payload);
        let mut bytes = vec![];
        push_packet(&mut bytes, kind::PUBLISH | qos << 1, &body);
        let header = bytes.len() - body.len();
        Self {
            bytes,
            pid: (qos > 0).then_some(header + at_pid),
            payload: header + at_payload,
        }
    }

    /// Appends the packet with the packet identifier that `pid` gives (asked at QoS 1 only).
    #[inline]
    pub(crate) fn push(&self, out: &mut Vec<u8>, pid: impl FnOnce() -> u16) {
        let at = out.len();
        out.extend_from_slice(&self.bytes);
        if let Some(place) = self.pid {
            out[at + place..at + place + 2].copy_from_slice(&pid().to_be_bytes());
        }
    }

    /// Appends the packet with the first bytes of its payload replaced by `stamp`.
    pub(crate) fn push_stamped(&self, out: &mut Vec<u8>, pid: impl FnOnce() -> u16, stamp: &[u8]) {
        let at = out.len() + self.payload;
        self.push(out, pid);
        out[at..at + stamp.len()].copy_from_slice(stamp);
    }

    /// Whether it has a packet identifier: QoS above 0.
    pub(crate) fn is_acknowledged(&self) -> bool {
        self.pid.is_some()
    }
}

/// Appends a packet: first byte, remaining length, body.
pub(crate) fn push_packet(out: &mut Vec<u8>, first: u8, body: &[u8]) {
    out.push(first);
    push_varint(out, body.len());
    out.extend_from_slice(body);
}

/// Appends PUBACK, PUBREC, PUBREL or PUBCOMP (success, so that the short form serves both versions).
#[inline]
pub(crate) fn push_ack(out: &mut Vec<u8>, first: u8, pid: u16) {
    let [high, low] = pid.to_be_bytes();
    out.extend_from_slice(&[first, 2, high, low]);
}

/// Appends a text with its two-byte length.
pub(crate) fn push_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text.as_bytes());
}

/// A CONNECT of MQTT 5 with a clean start, without keepalive, with receive maximum `receive_maximum`.
pub(crate) fn connect(client_id: &str, receive_maximum: u16) -> Vec<u8> {
    let mut body = vec![];
    push_text(&mut body, "MQTT");
    body.extend([5, 2, 0, 0, 3, 0x21]);
    body.extend(receive_maximum.to_be_bytes());
    push_text(&mut body, client_id);
    let mut out = vec![];
    push_packet(&mut out, kind::CONNECT, &body);
    out
}

/// A SUBSCRIBE of MQTT 5 for one filter at QoS `qos`.
pub(crate) fn subscribe(filter: &str, qos: u8) -> Vec<u8> {
    let mut body = vec![0, 1, 0];
    push_text(&mut body, filter);
    body.push(qos);
    let mut out = vec![];
    push_packet(&mut out, kind::SUBSCRIBE | 2, &body);
    out
}

/// Reads from a CONNECT the version, and the number of QoS 1 messages that may be unacknowledged.
pub(crate) fn read_connect(body: &[u8]) -> Option<(Version, u16)> {
    let (_, rest) = text(body)?;
    if *rest.first()? != 5 {
        return Some((Version::V311, u16::MAX));
    }
    let (properties, _) = split(rest.get(4..)?)?;
    Some((
        Version::V5,
        number(properties, 0x21).map_or(u16::MAX, |n| n as u16),
    ))
}

/// The parts of a SUBSCRIBE or UNSUBSCRIBE that the generator needs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Filters<'a> {
    /// The packet identifier.
    pub pid: u16,
    /// The subscription identifier; zero when there is none.
    pub id: u32,
    /// The filters, each with its options (QoS in the low two bits).
    pub filters: Vec<(&'a [u8], u8)>,
}

impl<'a> Filters<'a> {
    /// Reads the body of a SUBSCRIBE (`options`: each filter is followed by a byte of options) or UNSUBSCRIBE.
    pub(crate) fn read(body: &'a [u8], version: Version, options: bool) -> Option<Self> {
        let pid = u16::from_be_bytes(*body.first_chunk()?);
        let (properties, mut rest) = if version == Version::V5 {
            split(&body[2..])?
        } else {
            (&body[..0], &body[2..])
        };
        let mut filters = vec![];
        while !rest.is_empty() {
            let (filter, behind) = text(rest)?;
            filters.push((filter, if options { *behind.first()? } else { 0 }));
            rest = &behind[usize::from(options)..];
        }
        Some(Self {
            pid,
            id: number(properties, 0x0B).unwrap_or(0),
            filters,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::Inbox;
    use super::*;

    fn frames(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut inbox = Inbox::default();
        inbox
            .fill(|room| {
                room[..bytes.len()].copy_from_slice(bytes);
                Ok(bytes.len())
            })
            .unwrap();

        std::iter::from_fn(|| inbox.next().map(|f| (f.first, inbox.body(&f).to_vec()))).collect()
    }

    #[test]
    fn a_template_reads_back_as_what_went_in() {
        for version in [Version::V311, Version::V5] {
            for qos in [0, 1] {
                let template = Template::new("a/b", &[b'x'; 300], qos, version, 70_000);
                let mut bytes = vec![];
                template.push_stamped(&mut bytes, || 258, b"12");
                let (first, body) = frames(&bytes).remove(0);
                let read = Publish::read(&body, (first >> 1) & 3, version).unwrap();
                assert_eq!(
                    (read.topic, read.pid),
                    (&b"a/b"[..], if qos == 0 { 0 } else { 258 })
                );
                assert_eq!(read.payload, [&b"12"[..], &[b'x'; 298]].concat());
            }
        }
    }

    #[test]
    fn connect_and_subscribe_read_back() {
        let (first, body) = frames(&connect("me", 77)).remove(0);
        assert_eq!(
            (first, read_connect(&body)),
            (kind::CONNECT, Some((Version::V5, 77)))
        );
        let (first, body) = frames(&subscribe("a/#", 1)).remove(0);
        assert_eq!(first, 0x82);
        let read = Filters::read(&body, Version::V5, true).unwrap();
        assert_eq!(
            read,
            Filters {
                pid: 1,
                id: 0,
                filters: vec![(b"a/#", 1)]
            }
        );
    }
}
