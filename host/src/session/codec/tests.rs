//! The codec against rumqttc's, which is another reading of the same specification, and against bytes that are not MQTT.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use rumqttc::mqttbytes::v4;
use rumqttc::v5::mqttbytes::v5;

use super::*;
use crate::message::{Message, Properties, Qos};
use crate::session::packet::Reason;
use crate::session::packet::{Ack, AckKind, Publish, SubscriptionIds, TOO_LARGE};
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
            content_type, message_expiry, expires_at: None, arrived_at: None, utf8, user_properties,
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
        let topic = Topic::new(topic).unwrap();
        let qos = Qos::try_from(qos).unwrap();
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
        let mut codec = codec(Protocol::V5);
        let mut out = BytesMut::new();
        for message in &messages {
            codec.encode(&Outgoing::Publish { id: 1, dup: message.dup, message }, &mut out).unwrap();
        }
        let mut buffer = BytesMut::new();
        let mut seen = Vec::new();
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
    let disconnect = |reason| Incoming::Disconnect {
        reason: Reason(reason),
        text: None,
    };
    assert_eq!(one(Protocol::V5, &[0xE0, 0]).unwrap(), disconnect(0));
    assert_eq!(
        one(Protocol::V5, &[0xE0, 1, 0x8E]).unwrap(),
        disconnect(0x8E)
    );
    assert_eq!(
        one(Protocol::V5, &[0xE0, 2, 0x8B, 0]).unwrap(),
        disconnect(0x8B)
    );
    let with_text = one(Protocol::V5, &[0xE0, 6, 0x8B, 4, 31, 0, 1, b'x']).unwrap();
    assert_eq!(
        with_text,
        Incoming::Disconnect {
            reason: Reason(0x8B),
            text: Some("x".to_owned())
        }
    );

    let ack = |reason| {
        Incoming::Ack(Ack {
            kind: AckKind::PubRec,
            id: 5,
            reason: Reason(reason),
        })
    };

    assert_eq!(one(Protocol::V5, &[0x50, 2, 0, 5]).unwrap(), ack(0));
    assert_eq!(
        one(Protocol::V5, &[0x50, 3, 0, 5, 0x97]).unwrap(),
        ack(0x97)
    );
    assert_eq!(
        one(Protocol::V5, &[0x50, 4, 0, 5, 0xEE, 0]).unwrap(),
        ack(0xEE)
    );
    let Incoming::ConnAck(refused) = one(Protocol::V5, &[0x20, 2, 0, 1]).unwrap() else {
        panic!("not CONNACK")
    };
    assert_eq!(refused.reason, Reason::UNSUPPORTED_VERSION);
    let Incoming::ConnAck(refused) = one(Protocol::V311, &[0x20, 2, 0, 5]).unwrap() else {
        panic!("not CONNACK")
    };
    assert_eq!(refused.reason, Reason::NOT_AUTHORIZED);
}

#[test]
fn errors_name_the_packet() {
    let error = |protocol, bytes: &[u8]| decode_all(protocol, bytes).unwrap_err();
    assert_eq!(
        error(Protocol::V5, &[0xF0, 0]),
        CodecError::Unexpected("AUTH")
    );
    assert_eq!(
        error(Protocol::V311, &[0xE0, 0]),
        CodecError::Unexpected("DISCONNECT")
    );
    let endless = error(Protocol::V5, &[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 1]);
    assert_eq!(
        endless.to_string(),
        "malformed PUBLISH from the broker: a length of more than four bytes"
    );
    // of any packet but a message more than its beginning is needed
    let large = Codec::new(Protocol::V5, 100)
        .split(&mut BytesMut::from(&[0x90, 127][..]))
        .unwrap_err();
    assert_eq!(
        large.to_string(),
        "SUBACK of 129 bytes from the broker; max_packet_size allows 100"
    );
}

fn rejected(protocol: Protocol, bytes: &[u8]) -> RejectedPublish {
    match one(protocol, bytes).unwrap() {
        Incoming::Rejected(rejected) => rejected,
        other => panic!("delivered: {other:?}"),
    }
}

/// A PUBLISH of QoS 1 with packet identifier 9.
fn publish(topic: &[u8], properties: &[u8], protocol: Protocol) -> Vec<u8> {
    let mut body = vec![0, u8::try_from(topic.len()).unwrap()];
    body.extend_from_slice(topic);
    body.extend_from_slice(&[0, 9]);
    if protocol == Protocol::V5 {
        body.push(u8::try_from(properties.len()).unwrap());
        body.extend_from_slice(properties);
    }
    body.push(b'x');
    [&[0x32, u8::try_from(body.len()).unwrap()], body.as_slice()].concat()
}

#[test]
fn a_forbidden_topic_is_rejected_and_acknowledged() {
    for protocol in BOTH {
        for (topic, reason, shown) in [
            (&b"a\xFFb"[..], "its topic is not UTF-8", "a\u{FFFD}b"),
            (
                b"a\xED\xA0\x80",
                "its topic is not UTF-8",
                "a\u{FFFD}\u{FFFD}\u{FFFD}",
            ),
            (b"a\0b", "its topic contains U+0000", "a\0b"),
            (b"a/+/b", "its topic contains a wildcard", "a/+/b"),
            (b"a/#", "its topic contains a wildcard", "a/#"),
            (b"", "its topic is empty", ""),
        ] {
            let bytes = publish(topic, &[], protocol);
            let expected = RejectedPublish {
                id: 9,
                qos: Qos::AtLeastOnce,
                dup: false,
                retain: false,
                size: bytes.len(),
                topic: shown.to_owned(),
                reason,
            };

            assert_eq!(rejected(protocol, &bytes), expected);
        }

        // should not be sent, and is legal to receive (section 1.5.4)
        for topic in [
            "a\tb",
            "a\u{1}b",
            "a\u{85}",
            "\u{FFFE}",
            "\u{FFFF}/\u{FDD0}",
        ] {
            let Incoming::Publish(publish) =
                one(protocol, &publish(topic.as_bytes(), &[], protocol)).unwrap()
            else {
                panic!("{topic:?} is rejected")
            };
            assert_eq!(publish.message.topic.as_str(), topic);
        }
    }
}

#[test]
fn invalid_properties_are_rejected_and_acknowledged() {
    for (properties, reason) in [
        (&[99][..], "it has a property that does not belong there"),
        (&[35, 0, 1], "it has a topic alias, and none is allowed"),
        (
            &[8, 0, 1, b'#'],
            "its response topic is not a valid topic name",
        ),
        (&[8, 0, 1, 0xFF], "its response topic is not UTF-8"),
        (&[3, 0, 1, 0xFF], "a text of its properties is not UTF-8"),
        (
            &[38, 0, 1, b'a', 0, 1, 0xFF],
            "a text of its properties is not UTF-8",
        ),
        (
            &[38, 0, 1, 0, 0, 0],
            "a text of its properties contains U+0000",
        ),
        (
            &[38, 0, 1, b'a', 0, 2, b'a'],
            "a field of it reaches beyond its end",
        ),
        (&[2, 0, 0], "a field of it reaches beyond its end"),
        (
            &[11, 0x80, 0x80, 0x80, 0x80, 1],
            "a variable byte integer of more than four bytes",
        ),
    ] {
        let rejected = rejected(Protocol::V5, &publish(b"a/b", properties, Protocol::V5));
        assert_eq!(
            (rejected.reason, rejected.id, rejected.topic.as_str()),
            (reason, 9, "a/b")
        );
    }

    // lesser faults are tolerated: two content types, a subscription identifier of 0, no payload format
    for properties in [&[3, 0, 1, b'a', 3, 0, 1, b'b'][..], &[11, 0], &[1, 7]] {
        assert!(matches!(
            one(Protocol::V5, &publish(b"a/b", properties, Protocol::V5)),
            Ok(Incoming::Publish(_))
        ));
    }
}

#[test]
fn an_unacknowledgeable_message_does_not_hide_the_next() {
    for protocol in BOTH {
        let cases: [(&[u8], &str, u8); 4] = [
            (
                &[0x36, 6, 0, 1, b'a', 0, 1, 0],
                "its quality of service is 3",
                0,
            ),
            (
                &[0x32, 6, 0, 1, b'a', 0, 0, 0],
                "its packet identifier is 0",
                1,
            ),
            (
                &[0x34, 4, 0, 9, b'a', 0],
                "a field of it reaches beyond its end",
                2,
            ),
            (&[0x32, 0], "a field of it reaches beyond its end", 1),
        ];

        for (bytes, reason, qos) in cases {
            let packets = decode_all(protocol, &[bytes, &[0xD0, 0]].concat()).unwrap();
            let [Incoming::Rejected(rejected), Incoming::PingResp] = &packets[..] else {
                panic!("{packets:?}")
            };
            assert_eq!(
                (rejected.reason, rejected.id, u8::from(rejected.qos)),
                (reason, 0, qos)
            );
        }
    }
}

#[test]
fn unmatched_acknowledgements_are_reported() {
    for protocol in BOTH {
        for (first, packet, of_message) in [
            (0x40, "PUBACK", true),
            (0x50, "PUBREC", true),
            (0x62, "PUBREL", false),
            (0x70, "PUBCOMP", true),
            (0x90, "SUBACK", false),
            (0xB0, "UNSUBACK", false),
        ] {
            for bytes in [&[first, 0][..], &[first, 1, 7], &[first, 2, 0, 0]] {
                assert_eq!(
                    one(protocol, bytes),
                    Ok(Incoming::Unattributed { packet, of_message })
                );
            }
        }
    }

    let reasons = |reasons: &[u8]| Incoming::SubAck {
        id: 7,
        reasons: reasons.iter().copied().map(Reason).collect(),
    };
    assert_eq!(
        one(Protocol::V5, &[0x90, 5, 0, 7, 0, 0x05, 0xEE]),
        Ok(reasons(&[0x05, 0xEE]))
    );
    assert_eq!(
        one(Protocol::V5, &[0x90, 4, 0, 7, 9, 0]),
        Ok(reasons(&[])),
        "its properties reach beyond its end"
    );
    assert_eq!(
        one(Protocol::V311, &[0x90, 3, 0, 7, 0x80]),
        Ok(reasons(&[0x80]))
    );
    assert_eq!(
        one(Protocol::V311, &[0xB0, 3, 0, 7, 0]),
        Ok(Incoming::UnsubAck {
            id: 7,
            reasons: Vec::new()
        })
    );

    // reasons that rumqttc does not know, with a reason string
    let Ok(Incoming::ConnAck(ack)) = one(Protocol::V5, &[0x20, 7, 0, 0x9E, 4, 31, 0, 1, b'x'])
    else {
        panic!("no CONNACK")
    };
    assert_eq!((ack.reason, ack.text.as_deref()), (Reason(0x9E), Some("x")));
}

proptest! {
    #[test]
    fn an_oversized_message_is_skipped_in_any_pieces(
        topic in "[a-z/]{1,300}", payload in 300_usize..3_000, qos in 0_u8..3, piece in 1_usize..700, v5 in any::<bool>(),
    ) {
        let protocol = BOTH[usize::from(!v5)];
        let qos = Qos::try_from(qos).unwrap();
        let large = Message::new(Topic::from_received(topic.clone()).unwrap(), vec![b'x'; payload], qos, true);
        let small = Message::new(Topic::new("small").unwrap(), "x", qos, false);
        let mut out = BytesMut::new();
        let sizes = [&small, &large, &large, &small].map(|message| {
            let before = out.len();
            codec(protocol).encode(&Outgoing::Publish { id: 9, dup: false, message }, &mut out).unwrap();
            out.len() - before
        });
        let mut codec = Codec::new(protocol, 256);
        let mut buffer = BytesMut::new();
        let mut seen = Vec::new();
        for bytes in out.chunks(piece) {
            buffer.extend_from_slice(bytes);
            loop {
                let mut batch = codec.split(&mut buffer).unwrap();
                if batch.is_empty() {
                    break;
                }
                while let Some(packet) = batch.next_packet() {
                    seen.push(packet.unwrap());
                }
            }

            prop_assert!(codec.needed(&buffer) < 66_000 && buffer.len() <= 1_000, "{}", buffer.len());
        }

        let id = if qos == Qos::AtMostOnce { 0 } else { 9 };
        let shown = if topic.len() > 200 { format!("{}…", &topic[..200]) } else { topic };
        let rejected = RejectedPublish { id, qos, dup: false, retain: true, size: sizes[1], topic: shown, reason: TOO_LARGE };
        let small = Incoming::Publish(Publish { id, subscription_ids: SubscriptionIds::default(), message: small });
        prop_assert_eq!(seen, [small.clone(), Incoming::Rejected(rejected.clone()), Incoming::Rejected(rejected), small]);
    }
}

#[test]
fn rumqttc_reads_acknowledgements_and_disconnect() {
    let mut out = BytesMut::new();
    let released = Ack {
        kind: AckKind::PubComp,
        id: 5,
        reason: Reason::ID_NOT_FOUND,
    };
    codec(Protocol::V5)
        .encode(&Outgoing::Ack(released), &mut out)
        .unwrap();
    let v5::Packet::PubComp(read) = v5::Packet::read(&mut out, None).unwrap() else {
        panic!("not PUBCOMP")
    };
    assert_eq!(
        (read.pkid, read.reason),
        (5, v5::PubCompReason::PacketIdentifierNotFound)
    );
    codec(Protocol::V5)
        .encode(&Outgoing::Disconnect(Reason::MALFORMED), &mut out)
        .unwrap();
    assert_eq!(&out[..], [0xE0, 1, 0x81]);
}

#[test]
fn inexpressible_packets_are_refused_without_bytes() {
    let mut message = Message::new(Topic::new("t").unwrap(), "x", Qos::AtMostOnce, false);
    message.properties = Some(Box::new(Properties {
        content_type: Some("x".repeat(70_000)),
        ..Properties::default()
    }));
    let mut out = BytesMut::new();
    let packet = Outgoing::Publish {
        id: 0,
        dup: false,
        message: &message,
    };
    assert!(codec(Protocol::V5).encode(&packet, &mut out).is_err());
    assert!(out.is_empty());
    assert!(codec(Protocol::V311).encode(&packet, &mut out).is_ok());
}
