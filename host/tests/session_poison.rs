//! Packets of a broker that cannot be used, in both protocol versions: they cost neither the
//! connection nor another message. With a scripted broker.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::time::Instant;

use super::scripted_broker::fixture::{Rig, both_versions};
use super::scripted_broker::{Peer, Seen};
use bytes::{BufMut, BytesMut};
use miqro_host::config::Protocol;

/// The first bytes of a PUBLISH with a payload of `payload` bytes.
fn publish(version: Protocol, flags: u8, topic: &[u8], id: u16, payload: usize) -> Vec<u8> {
    let mut body = BytesMut::new();
    body.put_u16(topic.len() as u16);
    body.extend_from_slice(topic);
    if flags & 6 != 0 {
        body.put_u16(id);
    }
    if version == Protocol::V5 {
        body.put_u8(0);
    }
    let mut remaining = body.len() + payload;
    let mut packet = vec![0x30 | flags];
    while remaining > 127 {
        packet.push((remaining & 127) as u8 | 128);
        remaining >>= 7;
    }
    packet.push(remaining as u8);
    packet.extend_from_slice(&body);
    packet
}

async fn answers(rig: &mut Rig, peer: &mut Peer, text: &str) {
    peer.publish("in/a", 0, 0, false, text.to_owned()).await;
    assert_eq!(rig.next().await.0, text);
}

both_versions!(
    a_forbidden_message_is_acknowledged_in_order,
    |version| async move {
        let mut rig = Rig::new(version).await;
        let mut peer = rig.ready(false).await;
        peer.publish("in/a", 5, 1, false, "first").await;
        for (id, topic) in (10..).zip([&b"in/\xFF"[..], b"in/\0", b"in/+", b"in/#", b""]) {
            peer.raw(&publish(version, 2, topic, id, 0)).await;
        }
        peer.raw(&publish(version, 4, b"in/\xC0\x80", 20, 0)).await;
        peer.raw(&publish(version, 1, b"\xFF", 0, 0)).await;
        peer.nothing_before().await;
        let (text, receipt) = rig.next().await;
        assert_eq!(text, "first");
        rig.commit(receipt, Vec::new()).await;
        for id in [5, 10, 11, 12, 13, 14] {
            assert_eq!(peer.receive().await, Seen::PubAck(id));
        }
        assert_eq!(peer.receive().await, Seen::PubRec(20));
        peer.pubrel(20).await;
        assert_eq!(peer.receive().await, Seen::PubComp(20));
        answers(&mut rig, &mut peer, "next").await;
        // a message that cannot be acknowledged does not end the connection either
        peer.raw(&publish(version, 6, b"in/a", 1, 0)).await;
        peer.raw(&publish(version, 2, b"in/a", 0, 0)).await;
        peer.raw(&[0x32, 3, 0xFF, 0xFF, 0]).await;
        answers(&mut rig, &mut peer, "last").await;
        peer.nothing_before().await;
    }
);

both_versions!(
    a_message_that_is_not_taken_is_acknowledged_again_when_it_comes_again,
    |version| async move {
        let mut rig = Rig::new(version).await;
        let mut peer = rig.ready(false).await;
        peer.publish("in/a", 5, 1, false, "slow").await;
        peer.raw(&publish(version, 4, b"in/+", 6, 0)).await;
        let slow = rig.next().await.1;
        let mut peer = rig.resumed_after(peer).await;
        peer.publish("in/a", 5, 1, true, "slow").await;
        peer.raw(&publish(version, 4 | 8, b"in/+", 6, 0)).await;
        rig.commit(slow, Vec::new()).await;
        assert_eq!(peer.receive().await, Seen::PubAck(5));
        assert_eq!(peer.receive().await, Seen::PubRec(6));
        let mut peer = rig.resumed_after(peer).await;
        peer.raw(&publish(version, 4 | 8, b"in/+", 6, 0)).await;
        assert_eq!(peer.receive().await, Seen::PubRec(6));
        peer.pubrel(6).await;
        assert_eq!(peer.receive().await, Seen::PubComp(6));
    }
);

both_versions!(
    a_message_above_our_limit_is_read_past_and_acknowledged,
    |version| async move {
        let mut rig = Rig::with(version, |connection| {
            connection.session.max_packet_size = 1000
        })
        .await;
        let mut peer = rig.ready(false).await;
        for (id, qos, size) in [(0, 0, 1_000), (7, 1, 100_000), (8, 2, 3 << 20)] {
            peer.publish("in/a", id, qos, false, vec![b'x'; size]).await;
        }
        assert_eq!(peer.receive().await, Seen::PubAck(7));
        assert_eq!(peer.receive().await, Seen::PubRec(8));
        answers(&mut rig, &mut peer, "next").await;
        // one that is cut is delivered again on the next connection
        let head = publish(version, 2, b"in/a", 9, 1 << 20);
        peer.raw(&[head.as_slice(), &[b'x'; 5000]].concat()).await;
        let mut peer = rig.resumed_after(peer).await;
        peer.raw(&[head.as_slice(), vec![b'x'; 1 << 20].as_slice()].concat())
            .await;
        assert_eq!(peer.receive().await, Seen::PubAck(9));
        answers(&mut rig, &mut peer, "last").await;
    }
);

both_versions!(
    the_largest_message_of_mqtt_is_read_past,
    |version| async move {
        const LARGEST: usize = 268_435_455;
        let mut rig = Rig::new(version).await;
        let mut peer = rig.ready(false).await;
        let rest = LARGEST - (2 + 4 + 2 + usize::from(version == Protocol::V5));
        peer.raw(&publish(version, 3, b"in/a", 7, rest)).await;
        let block = vec![0xFF; 1 << 20];
        let since = Instant::now();
        let mut left = rest;
        while left > 0 {
            let part = left.min(block.len());
            peer.raw(&block[..part]).await;
            left -= part;
        }
        assert_eq!(
            peer.receive().await,
            Seen::PubAck(7),
            "after {:?}",
            since.elapsed()
        );

        answers(&mut rig, &mut peer, "next").await;
    }
);

both_versions!(
    a_stray_acknowledgement_costs_the_connection_only_when_one_is_awaited,
    |version| async move {
        let mut rig = Rig::new(version).await;
        let mut peer = rig.ready(false).await;
        for packet in [
            &[0x40, 0][..],
            &[0x50, 2, 0, 0],
            &[0x62, 1, 0],
            &[0x70, 0],
            &[0x90, 1, 0],
            &[0xB0, 0],
            &[0x90, 2, 9, 9],
        ] {
            peer.raw(packet).await;
        }

        answers(&mut rig, &mut peer, "next").await;
        rig.publish("out", 1, "m").await;
        let sent = peer.receive().await;
        peer.raw(&[0x40, 2, 0, 0]).await;
        assert!(
            rig.disconnected()
                .await
                .contains("without a packet identifier")
        );
        let mut peer = rig.resumed().await;
        assert_eq!(
            peer.receive().await,
            Seen::publish("out", sent.id(), 1, true, "m")
        );
        peer.puback(sent.id()).await;
        peer.nothing_before().await;
    }
);

both_versions!(
    an_invalid_suback_keeps_connection_and_subscription,
    |version| async move {
        let mut rig = Rig::new(version).await;
        let mut peer = rig.broker.connected(false).await;
        let [high, low] = peer.receive().await.id().to_be_bytes();
        peer.raw(&[0x90, 2, high, low]).await;
        answers(&mut rig, &mut peer, "without a reason code").await;
        let mut peer = rig.ready_again(peer).await;
        answers(&mut rig, &mut peer, "next").await;
    }
);

both_versions!(
    a_frame_that_is_broken_ends_the_connection_with_a_reason,
    |version| async move {
        let rig = Rig::new(version).await;
        for (packet, reason) in [
            (
                &[0x30, 0x80, 0x80, 0x80, 0x80, 1][..],
                "a length of more than four bytes",
            ),
            (&[0x00, 0], "a packet of type 0"),
            (&[0x10, 0], "CONNECT"),
            (&[0x82, 0], "SUBSCRIBE"),
            (&[0xA2, 0], "UNSUBSCRIBE"),
            (&[0xC0, 0], "PINGREQ"),
            (&[0xF0, 0], "AUTH"),
            (&[0x20, 3, 0, 0, 0], "CONNACK twice"),
        ] {
            let mut peer = rig.ready(false).await;
            peer.raw(packet).await;
            let seen = peer.receive().await;
            assert!(matches!(seen, Seen::Disconnect(_)), "{seen:?}");
            let said = rig.disconnected().await;
            assert!(said.contains(reason), "{said}");
        }

        drop(rig.ready(false).await);
    }
);
