//! The nine faults that were measured in another client's session, each against a scripted broker; in both protocol versions
//! where it applies.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::time::Duration;

use super::scripted_broker::fixture::{Rig, SERVICE, both_versions, message};
use super::scripted_broker::{Broker, Peer, Seen, soon};
use miqro_host::config::{OutboxLimits, Protocol};
use miqro_host::session::{Command, Commit};

both_versions!(delivers_and_publishes, |version| async move {
    let mut rig = Rig::new(version).await;
    let mut peer = rig.ready(false).await;
    peer.publish("in/a", 7, 1, false, "hello").await;
    let (payload, receipt) = rig.next().await;
    assert_eq!(payload, "hello");
    rig.commit(
        receipt,
        vec![message("out", 1, "world"), message("out", 0, "zero")],
    )
    .await;
    assert_eq!(
        peer.receive().await,
        Seen::publish("out", 2, 1, false, "world")
    );
    assert_eq!(
        peer.receive().await,
        Seen::publish("out", 0, 0, false, "zero")
    );
    peer.nothing_before().await;
    peer.puback(2).await;
    assert_eq!(peer.receive().await, Seen::PubAck(7));
    rig.stop(Duration::from_secs(5)).await;
    assert_eq!(peer.receive().await, Seen::Disconnect(0));
    assert_eq!(peer.receive().await, Seen::Closed);
    assert_eq!(rig.ended().await.unwrap().unsent, 0);
});

both_versions!(
    unacknowledged_messages_are_sent_again_after_session_loss,
    |version| async move {
        let rig = Rig::new(version).await;
        let mut peer = rig.ready(false).await;
        for (number, qos) in [(0, 1), (1, 2), (2, 1)] {
            rig.publish("out", qos, &number.to_string()).await;
            assert_eq!(
                peer.receive().await,
                Seen::publish("out", number + 2, qos, false, &number.to_string())
            );
        }

        drop(peer);
        let mut peer = rig.ready(false).await;
        for (number, qos) in [(0, 1), (1, 2), (2, 1)] {
            let seen = peer.receive().await;
            let again = Seen::publish("out", seen.id(), qos, false, &number.to_string());
            assert_eq!(seen, again, "in send order, as a new message, without DUP");
        }
        peer.nothing_before().await;
    }
);

both_versions!(
    unacknowledged_message_wedges_nothing,
    |version| async move {
        let window: u16 = if version == Protocol::V5 { 10 } else { 512 };
        let rig = Rig::new(version).await;
        let accept = async |broker: &Broker| -> Peer {
            let mut peer = broker
                .connected_as(false, |properties| properties.receive_max = Some(window))
                .await;
            peer.subscribed().await;
            peer
        };

        let mut peer = accept(&rig.broker).await;
        for number in 0..window + 5 {
            rig.publish("out", 1, &number.to_string()).await;
        }
        let oldest = peer.receive().await.id();
        for _ in 1..window {
            let id = peer.receive().await.id();
            peer.puback(id).await;
        }
        // the window is counted from the oldest, so no identifier can come round to the one in use
        peer.nothing_before().await;
        drop(peer);
        let mut peer = accept(&rig.broker).await;
        let mut payloads = Vec::new();
        for _ in 0..6 {
            let Seen::Publish { id, payload, .. } = peer.receive().await else {
                panic!("not PUBLISH")
            };
            payloads.push(payload.parse::<u16>().unwrap());
            peer.puback(id).await;
        }

        let expected: Vec<u16> = std::iter::once(0).chain(window..window + 5).collect();
        assert_eq!(payloads, expected, "oldest was {oldest}");
        peer.nothing_before().await;
    }
);

both_versions!(repeated_pubrel_is_answered, |version| async move {
    let mut rig = Rig::new(version).await;
    let mut peer = rig.ready(false).await;
    peer.publish("in/a", 5, 2, false, "once").await;
    let (_, receipt) = rig.next().await;
    rig.commit(receipt, Vec::new()).await;
    assert_eq!(peer.receive().await, Seen::PubRec(5));
    peer.pubrel(5).await;
    assert_eq!(peer.receive().await, Seen::PubComp(5));
    drop(peer);
    let mut peer = rig.resumed().await;
    peer.pubrel(5).await;
    assert_eq!(peer.receive().await, Seen::PubComp(5));
    peer.nothing_before().await;
});

both_versions!(
    redelivered_qos_2_message_is_not_handled_twice,
    |version| async move {
        let mut rig = Rig::new(version).await;
        let mut peer = rig.ready(false).await;
        peer.publish("in/a", 5, 2, false, "handled").await;
        let (_, receipt) = rig.next().await;
        rig.commit(receipt, Vec::new()).await;
        assert_eq!(peer.receive().await, Seen::PubRec(5));
        peer.publish("in/a", 6, 2, false, "running").await;
        let (_, running) = rig.next().await;
        drop(peer);
        let mut peer = rig.resumed().await;
        peer.publish("in/a", 5, 2, true, "handled").await;
        assert_eq!(peer.receive().await, Seen::PubRec(5));
        peer.publish("in/a", 6, 2, true, "running").await;
        peer.nothing_before().await;
        rig.commit(running, Vec::new()).await;
        assert_eq!(peer.receive().await, Seen::PubRec(6));
        for id in [5, 6] {
            peer.pubrel(id).await;
            assert_eq!(peer.receive().await, Seen::PubComp(id));
        }
        assert!(rig.nothing_delivered());
        // the identifier is free for another message now
        peer.publish("in/a", 5, 2, false, "another").await;
        assert_eq!(rig.next().await.0, "another");
    }
);

#[tokio::test]
async fn refused_message_frees_its_place_in_the_window() {
    let mut rig = Rig::new(Protocol::V5).await;
    let mut peer = rig
        .broker
        .connected_as(false, |properties| properties.receive_max = Some(2))
        .await;
    peer.subscribed().await;
    peer.publish("in/a", 9, 1, false, "cause").await;
    let (_, receipt) = rig.next().await;
    let publishes = (0..6)
        .map(|number| message("out", 1 + number % 2, &number.to_string()))
        .collect();
    rig.commit(receipt, publishes).await;
    for number in 0..6 {
        let Seen::Publish {
            id, payload, qos, ..
        } = peer.receive().await
        else {
            panic!("not PUBLISH")
        };

        assert_eq!(payload, number.to_string());
        let [high, low] = id.to_be_bytes();
        let first = if qos == 1 { 0x40 } else { 0x50 };
        // quota exceeded, once in a form that no specification has: neither may cost a place or the connection
        peer.raw(&[first, 3, high, low, if number == 0 { 0xBF } else { 0x97 }])
            .await;
    }

    assert_eq!(
        peer.receive().await,
        Seen::PubAck(9),
        "a refused message does not hold its cause back"
    );
    peer.nothing_before().await;
}

#[tokio::test]
async fn topic_alias_never_becomes_an_empty_topic() {
    let mut rig = Rig::new(Protocol::V5).await;
    let mut peer = rig.ready(false).await;
    // PUBLISH, no topic, alias 1, payload "x"
    peer.raw(&[0x32, 9, 0, 0, 0, 7, 3, 35, 0, 1, b'x']).await;
    assert_eq!(peer.receive().await, Seen::PubAck(7));
    peer.publish("in/a", 0, 0, false, "next").await;
    assert_eq!(rig.next().await.0, "next");
}

#[tokio::test]
async fn message_too_large_for_broker_is_not_sent() {
    let mut rig = Rig::new(Protocol::V5).await;
    let mut peer = rig
        .broker
        .connected_as(false, |properties| properties.max_packet_size = Some(100))
        .await;
    peer.subscribed().await;
    peer.publish("in/a", 9, 1, false, "cause").await;
    let (_, receipt) = rig.next().await;
    let large = "x".repeat(200);
    rig.commit(
        receipt,
        vec![
            message("out", 1, &large),
            message("out", 0, &large),
            message("out", 1, "small"),
        ],
    )
    .await;
    let seen = peer.receive().await;
    assert_eq!(seen, Seen::publish("out", seen.id(), 1, false, "small"));
    peer.puback(seen.id()).await;
    assert_eq!(peer.receive().await, Seen::PubAck(9));
    peer.nothing_before().await;
}

both_versions!(broker_that_stops_reading_is_noticed, |version| async move {
    let mut rig = Rig::with(version, |connection| {
        connection.session.keepalive = Duration::from_secs(1);
        connection.session.outbox = OutboxLimits {
            messages: 100_000,
            bytes: 1 << 30,
        };
    })
    .await;
    let mut peer = rig.ready(false).await;
    let payload = "x".repeat(100_000);
    for _ in 0..400 {
        rig.publish("out", 0, &payload).await;
    }
    // reading goes on while writing stands still
    peer.publish("in/a", 0, 0, false, "still here").await;
    assert_eq!(rig.next().await.0, "still here");
    let reason = rig.disconnected().await;
    assert!(
        reason.contains("read nothing") || reason.contains("sent nothing"),
        "{reason}"
    );
    let next = rig.broker.connected(true).await;
    drop((peer, next));
});

both_versions!(
    services_publish_while_everything_is_full,
    |version| async move {
        const MESSAGES: u32 = 10_000;
        let mut rig = Rig::with(version, |connection| {
            connection.session.outbox = OutboxLimits {
                messages: 4,
                bytes: 1 << 20,
            };
            connection.session.receive_maximum = 64;
        })
        .await;
        let mut peer = rig.ready(false).await;
        let handle = rig.handle.clone();
        let echo = tokio::spawn(async move {
            for _ in 0..MESSAGES {
                let delivery = rig.delivery().await;
                let publishes = vec![
                    message(
                        "out",
                        1,
                        &String::from_utf8_lossy(&delivery.message.payload),
                    )
                    .into(),
                ];

                let commit = Commit {
                    receipt: delivery.receipt,
                    publishes,
                    ..Commit::new(SERVICE)
                };
                handle.send(Command::Commit(commit)).await;
            }

            rig
        });

        for number in 0..MESSAGES {
            peer.publish("in/a", 0, 0, false, number.to_string()).await;
        }
        for number in 0..MESSAGES {
            let seen = peer.receive().await;
            assert_eq!(
                seen,
                Seen::publish("out", seen.id(), 1, false, &number.to_string())
            );
            peer.puback(seen.id()).await;
        }

        drop(soon("the service", echo).await.unwrap());
    }
);
