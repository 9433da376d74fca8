//! The codec against rumqttc's, which is another reading of the same specification, and against bytes that are no MQTT.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use rumqttc::mqttbytes::v4;
use rumqttc::v5::mqttbytes::v5;

use super::*;
use crate::message::{Message, Properties, Qos};
use crate::session::packet::{Ack, AckKind};
use crate::topic::Topic;

const BOTH: [Protocol; 2] = [Protocol::V5, Protocol::V311];

fn codec(protocol: Protocol) -> Codec {
    Codec::new(protocol, 1 << 20)
}

fn decode_all(protocol: Protocol, bytes: &[u8]) -> Result<Vec<Incoming>, CodecError> {
    let mut buffer = BytesMut::from(bytes);
    let mut batch = codec(protocol).split(&mut buffer)?;
    let mut packets = Vec::new();
    while let Some(packet) = batch.next_packet() {
        packets.push(packet?);
    }
    Ok(packets)
}

fn one(protocol: Protocol, bytes: &[u8]) -> Result<Incoming, CodecError> {
    decode_all(protocol, bytes).map(|packets| packets.into_iter().next().unwrap())
}

prop_compose! {
    fn properties()(
        response_topic in proptest::option::of("[a-z]{1,20}"),
        correlation_data in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40)),
        content_type in proptest::option::of("[a-zä]{0,20}"),
        message_expiry in proptest::option::of(any::<u32>()),
        utf8 in any::<bool>(),
        user_properties in proptest::collection::vec(("[a-z]{0,9}", "[A-Zß]{0,9}"), 0..5),
    ) -> Properties {
        Properties {
            response_topic: response_topic.map(|topic| Topic::new(topic).unwrap()),
            correlation_data: correlation_data.map(Bytes::from),
            content_type, message_expiry, utf8, user_properties,
        }
    }
}

prop_compose! {
    fn messages()(
        topic in "[a-zö/$ ]{1,200}",
        payload in proptest::collection::vec(any::<u8>(), 0..400),
        qos in 0_u8..3, retain in any::<bool>(), dup in any::<bool>(),
        properties in proptest::option::of(properties()),
    ) -> Message {
        let properties = properties.filter(|properties| *properties != Properties::default()).map(Box::new);
        let (topic, qos) = (Topic::new(topic).unwrap(), Qos::try_from(qos).unwrap());
        Message { topic, payload: payload.into(), qos, retain, dup: dup && qos != Qos::AtMostOnce, properties }
    }
}

proptest! {
    #[test]
    fn a_message_survives_encoding_and_decoding(mut message in messages(), id in 1_u16.., v5 in any::<bool>()) {
        let protocol = BOTH[usize::from(!v5)];
        let mut out = BytesMut::new();
        codec(protocol).encode(&Outgoing::Publish { id, dup: message.dup, message: &message }, &mut out).unwrap();
        let size = crate::session::packet::publish_size(&message, protocol).unwrap();
        prop_assert_eq!(out.len(), size.packet);
        let Incoming::Publish(publish) = one(protocol, &out).unwrap() else { panic!("not PUBLISH") };
        if protocol == Protocol::V311 {
            message.properties = None;
        }
        prop_assert_eq!(publish.id, if message.qos == Qos::AtMostOnce { 0 } else { id });
        prop_assert_eq!(publish.message, message);
    }

    #[test]
    fn rumqttc_reads_what_is_written(message in messages(), id in 1_u16..) {
        let mut out = BytesMut::new();
        let packet = Outgoing::Publish { id, dup: message.dup, message: &message };
        codec(Protocol::V5).encode(&packet, &mut out).unwrap();
        let v5::Packet::Publish(read) = v5::Packet::read(&mut out, None).unwrap() else { panic!("not PUBLISH") };
        prop_assert_eq!(read.topic.as_ref(), message.topic.as_str().as_bytes());
        prop_assert_eq!(&read.payload, &message.payload);
        prop_assert_eq!((read.qos as u8, read.retain, read.dup), (u8::from(message.qos), message.retain, message.dup));
        let ours = message.properties.as_deref().cloned().unwrap_or_default();
        let theirs = read.properties.unwrap_or_default();
        prop_assert_eq!(theirs.response_topic, ours.response_topic.map(|topic| topic.to_string()));
        prop_assert_eq!(theirs.correlation_data, ours.correlation_data);
        prop_assert_eq!(theirs.content_type, ours.content_type);
        prop_assert_eq!(theirs.message_expiry_interval, ours.message_expiry);
        prop_assert_eq!(theirs.user_properties, ours.user_properties);
        codec(Protocol::V311).encode(&packet, &mut out).unwrap();
        let v4::Packet::Publish(read) = v4::Packet::read(&mut out, usize::MAX).unwrap() else { panic!("not PUBLISH") };
        prop_assert_eq!(read.topic.as_str(), message.topic.as_str());
        prop_assert_eq!(&read.payload, &message.payload);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0_u8..16) {
        for protocol in BOTH {
            drop(decode_all(protocol, &bytes));
            // the same as the body of a packet that has the right length
            let mut packet = vec![kind << 4 | bytes.first().map_or(0, |byte| byte & 15)];
            let body = &bytes[..bytes.len().min(127)];
            packet.push(u8::try_from(body.len()).unwrap());
            packet.extend_from_slice(body);
            drop(decode_all(protocol, &packet));
        }
    }

    #[test]
    fn a_damaged_packet_does_not_make_it_panic(message in messages(), place in any::<prop::sample::Index>(), byte: u8) {
        for protocol in BOTH {
            let mut out = BytesMut::new();
            codec(protocol).encode(&Outgoing::Publish { id: 1, dup: false, message: &message }, &mut out).unwrap();
            let place = place.index(out.len());
            out[place] = byte;
            drop(decode_all(protocol, &out));
        }
    }

    #[test]
    fn packets_may_come_in_any_pieces(messages in proptest::collection::vec(messages(), 1..8), piece in 1_usize..40) {
        let codec = codec(Protocol::V5);
        let mut out = BytesMut::new();
        for message in &messages {
            codec.encode(&Outgoing::Publish { id: 1, dup: message.dup, message }, &mut out).unwrap();
        }
        let (mut buffer, mut seen) = (BytesMut::new(), Vec::new());
        for bytes in out.chunks(piece) {
            buffer.extend_from_slice(bytes);
            let mut batch = codec.split(&mut buffer).unwrap();
            while let Some(packet) = batch.next_packet() {
                let Incoming::Publish(publish) = packet.unwrap() else { panic!("not PUBLISH") };
                seen.push(publish.message);
            }
        }
        prop_assert!(buffer.is_empty());
        prop_assert_eq!(seen, messages);
    }
}

#[test]
fn short_forms_of_packets_are_read() {
    let disconnect = |reason| Incoming::Disconnect { reason: Reason(reason), text: None };
    assert_eq!(one(Protocol::V5, &[0xE0, 0]).unwrap(), disconnect(0));
    assert_eq!(one(Protocol::V5, &[0xE0, 1, 0x8E]).unwrap(), disconnect(0x8E));
    assert_eq!(one(Protocol::V5, &[0xE0, 2, 0x8B, 0]).unwrap(), disconnect(0x8B));
    let with_text = one(Protocol::V5, &[0xE0, 6, 0x8B, 4, 31, 0, 1, b'x']).unwrap();
    assert_eq!(with_text, Incoming::Disconnect { reason: Reason(0x8B), text: Some("x".to_owned()) });
    let ack = |reason| Incoming::Ack(Ack { kind: AckKind::PubRec, id: 5, reason: Reason(reason) });
    assert_eq!(one(Protocol::V5, &[0x50, 2, 0, 5]).unwrap(), ack(0));
    assert_eq!(one(Protocol::V5, &[0x50, 3, 0, 5, 0x97]).unwrap(), ack(0x97));
    assert_eq!(one(Protocol::V5, &[0x50, 4, 0, 5, 0xEE, 0]).unwrap(), ack(0xEE));
    let Incoming::ConnAck(refused) = one(Protocol::V5, &[0x20, 2, 0, 1]).unwrap() else { panic!("not CONNACK") };
    assert_eq!(refused.reason, Reason::UNSUPPORTED_VERSION);
    let Incoming::ConnAck(refused) = one(Protocol::V311, &[0x20, 2, 0, 5]).unwrap() else { panic!("not CONNACK") };
    assert_eq!(refused.reason, Reason::NOT_AUTHORIZED);
}

#[test]
fn errors_name_the_packet() {
    let error = |protocol, bytes: &[u8]| decode_all(protocol, bytes).unwrap_err();
    assert_eq!(error(Protocol::V5, &[0xF0, 0]), CodecError::Unexpected("AUTH"));
    assert_eq!(error(Protocol::V311, &[0xE0, 0]), CodecError::Unexpected("DISCONNECT"));
    assert_eq!(error(Protocol::V5, &[0x30, 7, 0, 0, 3, 35, 0, 1, b'x']), CodecError::TopicAlias(1));
    let cases: [(&[u8], &str); 6] = [
        (&[0x36, 5, 0, 1, b'a', 0, 1], "malformed PUBLISH from the broker: 3 is not a quality of service: 0, 1 or 2"),
        (&[0x32, 6, 0, 1, b'a', 0, 0, 0], "malformed PUBLISH from the broker: packet identifier 0"),
        (&[0x30, 4, 0, 1, 0xFF, 0], "malformed PUBLISH from the broker: a topic that is not UTF-8"),
        (&[0x30, 4, 0, 9, b'a', 0], "malformed PUBLISH from the broker: it ends in the middle of a field"),
        (&[0x90, 1, 0], "malformed SUBACK from the broker: Packet is malformed"),
        (&[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 1], "malformed PUBLISH from the broker: a length of more than four bytes"),
    ];
    for (bytes, text) in cases {
        assert_eq!(error(Protocol::V5, bytes).to_string(), text);
    }
    let large = Codec::new(Protocol::V5, 100).split(&mut BytesMut::from(&[0x30, 127][..])).unwrap_err();
    assert_eq!(large.to_string(), "PUBLISH of 129 bytes from the broker; max_packet_size allows 100");
}

#[test]
fn rumqttc_reads_acknowledgements_and_disconnect() {
    let mut out = BytesMut::new();
    let released = Ack { kind: AckKind::PubComp, id: 5, reason: Reason::ID_NOT_FOUND };
    codec(Protocol::V5).encode(&Outgoing::Ack(released), &mut out).unwrap();
    let v5::Packet::PubComp(read) = v5::Packet::read(&mut out, None).unwrap() else { panic!("not PUBCOMP") };
    assert_eq!((read.pkid, read.reason), (5, v5::PubCompReason::PacketIdentifierNotFound));
    codec(Protocol::V5).encode(&Outgoing::Disconnect(Reason::MALFORMED), &mut out).unwrap();
    assert_eq!(&out[..], [0xE0, 1, 0x81]);
}

#[test]
fn what_mqtt_cannot_express_is_refused_and_leaves_no_bytes() {
    let mut message = Message::new(Topic::new("t").unwrap(), "x", Qos::AtMostOnce, false);
    message.properties = Some(Box::new(Properties { content_type: Some("x".repeat(70_000)), ..Properties::default() }));
    let mut out = BytesMut::new();
    let packet = Outgoing::Publish { id: 0, dup: false, message: &message };
    assert!(codec(Protocol::V5).encode(&packet, &mut out).is_err());
    assert!(out.is_empty());
    assert!(codec(Protocol::V311).encode(&packet, &mut out).is_ok());
}
