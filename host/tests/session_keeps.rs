//! A session survives losses, refusals and silence. With a scripted broker; in both protocol
//! versions where it applies.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::time::{Duration, Instant};

use super::scripted_broker::fixture::{Rig, both_versions, message, subscription};
use super::scripted_broker::{Seen, soon};
use miqro_host::config::{Credentials, OutboxLimits, Protocol};
use miqro_host::message::{Qos, SubscriptionChange};
use miqro_host::session::{Command, ConnectionStatus};
use miqro_host::topic::Filter;

both_versions!(
    connect_says_everything_that_is_configured,
    |version| async move {
        let rig = Rig::with(version, |connection| {
            connection.credentials = Some(Credentials {
                username: "me".to_owned(),
                password: Some("secret".to_owned()),
            });
            connection.session.keepalive = Duration::from_secs(33);
            (
                connection.session.receive_maximum,
                connection.session.max_packet_size,
            ) = (17, 70_000);
        })
        .await;
        let mut peer = rig.broker.accept().await;
        let expected = Seen::Connect {
            client_id: "rig".to_owned(),
            clean_start: false,
            keepalive: 33,
            limits: (version == Protocol::V5).then_some((17, 70_000)),
            will: Some("will".to_owned()),
            will_as: Some((1, true)),
            login: Some(("me".to_owned(), "secret".to_owned())),
        };

        assert_eq!(peer.receive().await, expected);
    }
);

both_versions!(
    incoming_packets_of_more_than_10_kib_are_taken,
    |version| async move {
        let mut rig = Rig::new(version).await;
        let mut peer = rig.ready(false).await;
        for size in [10_241, 100_000, 1_000_000] {
            peer.publish("in/a", 0, 0, false, vec![b'x'; size]).await;
            assert_eq!(rig.next().await.0.len(), size);
        }
    }
);

both_versions!(
    retransmission_keeps_send_order_and_sets_dup,
    |version| async move {
        let rig = Rig::new(version).await;
        let mut peer = rig.ready(false).await;
        let mut ids = Vec::new();
        for (number, qos) in [(0, 1), (1, 2), (2, 1), (3, 2), (4, 1)] {
            rig.publish("out", qos, &number.to_string()).await;
            ids.push(peer.receive().await.id());
        }
        peer.pubrec(ids[1]).await;
        assert_eq!(peer.receive().await, Seen::PubRel(ids[1]));
        peer.puback(ids[2]).await;
        peer.nothing_before().await;
        drop(peer);
        rig.disconnected().await;
        rig.publish("out", 1, "5").await;
        let mut peer = rig.resumed().await;
        assert_eq!(
            peer.receive().await,
            Seen::publish("out", ids[0], 1, true, "0")
        );
        assert_eq!(
            peer.receive().await,
            Seen::PubRel(ids[1]),
            "PUBREC was seen, so the exchange goes on from there"
        );
        assert_eq!(
            peer.receive().await,
            Seen::publish("out", ids[3], 2, true, "3")
        );
        assert_eq!(
            peer.receive().await,
            Seen::publish("out", ids[4], 1, true, "4")
        );
        let new = peer.receive().await;
        assert_eq!(new, Seen::publish("out", new.id(), 1, false, "5"));
        assert!(!ids.contains(&new.id()));
        peer.nothing_before().await;
    }
);

both_versions!(
    acknowledgements_go_out_in_the_order_of_arrival,
    |version| async move {
        let mut rig = Rig::new(version).await;
        let mut peer = rig.ready(false).await;
        for (id, qos) in [(11, 1), (12, 2), (13, 1)] {
            peer.publish("in/a", id, qos, false, "m").await;
        }
        let receipts = [rig.next().await.1, rig.next().await.1, rig.next().await.1];
        rig.commit(receipts[2], Vec::new()).await;
        rig.commit(receipts[1], Vec::new()).await;
        peer.nothing_before().await;
        rig.commit(receipts[0], Vec::new()).await;
        assert_eq!(peer.receive().await, Seen::PubAck(11));
        assert_eq!(peer.receive().await, Seen::PubRec(12));
        assert_eq!(peer.receive().await, Seen::PubAck(13));
    }
);

both_versions!(
    a_redelivered_message_that_is_still_handled_is_not_handled_twice,
    |version| async move {
        let mut rig = Rig::new(version).await;
        let mut peer = rig.ready(false).await;
        peer.publish("in/a", 9, 1, false, "slow").await;
        peer.publish("in/a", 10, 1, false, "done meanwhile").await;
        let slow = rig.next().await.1;
        let meanwhile = rig.next().await.1;
        drop(peer);
        rig.disconnected().await;
        rig.commit(meanwhile, Vec::new()).await;
        let mut peer = rig.resumed().await;
        peer.publish("in/a", 9, 1, true, "slow").await;
        peer.publish("in/a", 10, 1, true, "done meanwhile").await;
        peer.nothing_before().await;
        rig.commit(slow, Vec::new()).await;
        assert_eq!(peer.receive().await, Seen::PubAck(9));
        assert_eq!(peer.receive().await, Seen::PubAck(10));
        assert!(rig.nothing_delivered());
    }
);

// A broker that was killed continues with an older saved state: identifiers stand for other messages.
both_versions!(
    another_message_with_a_used_identifier_is_handled,
    |version| async move {
        let mut rig = Rig::new(version).await;
        let mut peer = rig.ready(false).await;
        peer.publish("in/a", 9, 1, false, "slow").await;
        let slow = rig.next().await.1;
        drop(peer);
        rig.disconnected().await;
        let mut peer = rig.resumed().await;
        peer.publish("in/a", 9, 1, true, "of before").await;
        let before = rig.next().await.1;
        rig.commit(before, Vec::new()).await;
        assert_eq!(peer.receive().await, Seen::PubAck(9));
        rig.commit(slow, Vec::new()).await;
        peer.nothing_before().await;
    }
);

#[tokio::test]
async fn acknowledgements_do_not_wait_behind_flow_control() {
    let mut rig = Rig::new(Protocol::V5).await;
    let mut peer = rig
        .broker
        .connected_as(false, |properties| properties.receive_max = Some(1))
        .await;
    peer.subscribed().await;
    rig.publish("out", 1, "first").await;
    rig.publish("out", 1, "second").await;
    let first = peer.receive().await;
    peer.publish("in/a", 9, 1, false, "m").await;
    let (_, receipt) = rig.next().await;
    rig.commit(receipt, Vec::new()).await;
    assert_eq!(peer.receive().await, Seen::PubAck(9));
    peer.puback(first.id()).await;
    let second = peer.receive().await;
    assert_eq!(
        second,
        Seen::publish("out", second.id(), 1, false, "second")
    );
}

both_versions!(a_keepalive_below_5_seconds_works, |version| async move {
    let rig = Rig::with(version, |connection| {
        connection.session.keepalive = Duration::from_secs(1)
    })
    .await;
    let mut peer = rig.ready(false).await;
    for _ in 0..2 {
        assert_eq!(peer.receive_any().await, Seen::PingReq);
        peer.pingresp().await;
    }
    let connected = ConnectionStatus::Connected {
        session_present: false,
        count: 1,
    };
    assert_eq!(*rig.handle.status().borrow(), connected);
});

both_versions!(a_silent_broker_is_left, |version| async move {
    let rig = Rig::with(version, |connection| {
        connection.session.keepalive = Duration::from_secs(1)
    })
    .await;
    let mut peer = rig.ready(false).await;
    let since = Instant::now();
    assert_eq!(peer.receive_any().await, Seen::PingReq);
    let farewell = if version == Protocol::V5 { 0x8D } else { 0 };
    assert_eq!(peer.receive_any().await, Seen::Disconnect(farewell));
    let waited = since.elapsed();
    assert!(
        waited >= Duration::from_millis(3_900) && waited < Duration::from_secs(8),
        "{waited:?}"
    );
    drop(rig.resumed().await);
});

#[tokio::test]
async fn the_brokers_keepalive_counts() {
    let rig = Rig::new(Protocol::V5).await;
    let mut peer = rig
        .broker
        .connected_as(false, |properties| properties.server_keep_alive = Some(1))
        .await;
    peer.subscribed().await;
    assert_eq!(peer.receive_any().await, Seen::PingReq);
}

#[tokio::test]
async fn resubscribing_brings_no_known_retained_messages() {
    let rig = Rig::new(Protocol::V5).await;
    for (count, session_present) in [true, true, false, true].into_iter().enumerate() {
        let mut peer = rig.broker.connected(session_present).await;
        let seen = peer.subscribed().await;
        let Seen::Subscribe {
            filters,
            subscription_id,
            only_if_new,
            ..
        } = seen
        else {
            panic!("{seen:?}")
        };

        assert_eq!(filters, [("in/#".to_owned(), 2)]);
        // filters without a subscription of this process in this session are requested with their retained messages
        assert!(
            subscription_id.is_some() && only_if_new == matches!(count, 1 | 3),
            "{count}"
        );
    }
}

#[tokio::test]
async fn mqtt_3_1_1_subscribes_only_to_missing_filters() {
    let rig = Rig::new(Protocol::V311).await;
    // the first connection of a process cannot know what the broker has
    drop(rig.ready(true).await);
    let mut peer = rig.broker.connected(true).await;
    peer.nothing_before().await;
    drop(peer);
    rig.disconnected().await;
    rig.change(vec![SubscriptionChange::Subscribe(subscription(
        "new",
        Qos::AtLeastOnce,
    ))])
    .await;
    let mut peer = rig.broker.connected(true).await;
    let seen = peer.subscribed().await;
    let Seen::Subscribe { filters, .. } = seen else {
        panic!("{seen:?}")
    };
    assert_eq!(filters, [("new".to_owned(), 1)]);
    drop(peer);
    let mut peer = rig.broker.connected(false).await;
    let seen = peer.subscribed().await;
    let Seen::Subscribe { filters, .. } = seen else {
        panic!("{seen:?}")
    };
    assert_eq!(
        filters.len(),
        2,
        "the session is new, so everything is asked for in one packet"
    );
}

both_versions!(
    filters_ended_while_offline_are_unsubscribed,
    |version| async move {
        let rig = Rig::new(version).await;
        drop(rig.ready(false).await);
        rig.disconnected().await;
        rig.change(vec![SubscriptionChange::Unsubscribe(
            Filter::new("in/#").unwrap(),
        )])
        .await;
        let mut peer = rig.broker.connected(true).await;
        let seen = peer.receive().await;
        let Seen::Unsubscribe { id, filters } = seen else {
            panic!("{seen:?}")
        };
        assert_eq!(filters, ["in/#"]);
        peer.unsuback(id, 1).await;
        peer.nothing_before().await;
        drop(peer);
        let mut peer = rig.broker.connected(true).await;
        peer.nothing_before().await;
    }
);

both_versions!(
    a_refused_subscription_costs_neither_the_connection_nor_the_others,
    |version| async move {
        let mut rig = Rig::new(version).await;
        let mut peer = rig.broker.connected(false).await;
        let id = peer.receive().await.id();
        peer.suback(id, &[if version == Protocol::V5 { 0x87 } else { 0x80 }])
            .await;
        rig.change(vec![SubscriptionChange::Subscribe(subscription(
            "more",
            Qos::AtMostOnce,
        ))])
        .await;
        peer.subscribed().await;
        peer.publish("more", 0, 0, false, "m").await;
        assert_eq!(rig.next().await.0, "m");
    }
);

both_versions!(
    subscription_changes_are_confirmed_by_their_answers,
    |version| async move {
        let rig = Rig::new(version).await;
        let mut peer = rig.ready(false).await;
        rig.change(vec![SubscriptionChange::Subscribe(subscription(
            "more",
            Qos::AtMostOnce,
        ))])
        .await;
        let handle = rig.handle.clone();
        let mut confirmed = tokio::spawn(async move { handle.wait_for_subscriptions().await });
        let id = peer.receive().await.id();
        peer.nothing_before().await;
        assert!(!confirmed.is_finished(), "the broker has not answered");
        peer.suback(id, &[0]).await;
        soon("the confirmation", &mut confirmed).await.unwrap();
        drop(peer);
        rig.disconnected().await;
        rig.change(vec![SubscriptionChange::Subscribe(subscription(
            "later",
            Qos::AtMostOnce,
        ))])
        .await;
        soon(
            "the confirmation that there is nobody to ask",
            rig.handle.wait_for_subscriptions(),
        )
        .await;
    }
);

both_versions!(
    without_connection_the_oldest_qos_0_messages_give_way,
    |version| async move {
        let rig = Rig::with(version, |connection| {
            connection.session.outbox = OutboxLimits {
                messages: 10,
                bytes: 1 << 20,
            }
        })
        .await;
        drop(rig.ready(false).await);
        rig.disconnected().await;
        for number in 0..30 {
            rig.publish("out", u8::from(number % 10 == 0), &number.to_string())
                .await;
        }
        let mut peer = rig.ready(false).await;
        let mut payloads = Vec::new();
        for _ in 0..10 {
            let Seen::Publish { payload, .. } = peer.receive().await else {
                panic!("not PUBLISH")
            };
            payloads.push(payload);
        }

        assert_eq!(
            payloads,
            ["0", "10", "20", "23", "24", "25", "26", "27", "28", "29"]
        );
        peer.nothing_before().await;
    }
);

both_versions!(
    without_connection_qos_1_messages_wait_and_none_is_lost,
    |version| async move {
        const MESSAGES: u32 = 5_000;
        let rig = Rig::with(version, |connection| {
            connection.session.outbox = OutboxLimits {
                messages: 10,
                bytes: 1 << 20,
            }
        })
        .await;
        let publisher = async {
            for number in 0..MESSAGES {
                rig.publish("out", 1, &number.to_string()).await;
            }
        };
        let broker = async {
            let mut peer = rig.ready(false).await;
            for number in 0..MESSAGES {
                let seen = peer.receive().await;
                assert_eq!(
                    seen,
                    Seen::publish("out", seen.id(), 1, false, &number.to_string())
                );
                peer.puback(seen.id()).await;
            }
        };

        tokio::join!(publisher, broker);
    }
);

// the broker sends nothing for them that would make the session look at its waiting messages.
both_versions!(
    qos_0_messages_continue_after_a_full_outbox,
    |version| async move {
        const MESSAGES: u32 = 3_000;
        let rig = Rig::with(version, |connection| {
            connection.session.outbox = OutboxLimits {
                messages: 1,
                bytes: 1 << 20,
            }
        })
        .await;
        let mut peer = rig.ready(false).await;
        let publisher = async {
            for number in 0..MESSAGES {
                rig.publish("out", 0, &number.to_string()).await;
            }
        };
        let broker = async {
            for number in 0..MESSAGES {
                assert_eq!(
                    peer.receive().await,
                    Seen::publish("out", 0, 0, false, &number.to_string())
                );
            }
        };

        tokio::join!(publisher, broker);
    }
);

both_versions!(
    announcements_are_repeated_after_each_connection,
    |version| async move {
        let rig = Rig::new(version).await;
        rig.handle
            .send(Command::Announce(message("state", 0, "old")))
            .await;
        rig.handle
            .send(Command::Announce(message("state", 0, "new")))
            .await;
        let mut peer = rig.ready(false).await;
        for _ in 0..2 {
            let seen = peer.receive().await;
            assert_eq!(seen, Seen::publish("state", 0, 0, false, "new"));
            peer.nothing_before().await;
            peer = rig.resumed_after(peer).await;
        }

        assert_eq!(
            peer.receive().await,
            Seen::publish("state", 0, 0, false, "new")
        );
        rig.handle
            .send(Command::Announce(message("state", 0, "newer")))
            .await;
        assert_eq!(
            peer.receive().await,
            Seen::publish("state", 0, 0, false, "newer")
        );
    }
);

#[tokio::test]
async fn unsupported_features_are_not_requested() {
    let rig = Rig::new(Protocol::V5).await;
    let set = |properties: &mut rumqttc::v5::mqttbytes::v5::ConnAckProperties| {
        properties.max_qos = Some(0);
        properties.retain_available = Some(0);
        properties.subscription_identifiers_available = Some(0);
        properties.shared_subscription_available = Some(0);
    };

    let mut peer = rig.broker.connected_as(false, set).await;
    let seen = peer.subscribed().await;
    assert!(
        matches!(
            seen,
            Seen::Subscribe {
                subscription_id: None,
                ..
            }
        ),
        "{seen:?}"
    );

    rig.change(vec![SubscriptionChange::Subscribe(subscription(
        "$share/g/a",
        Qos::AtMostOnce,
    ))])
    .await;
    let mut kept = message("out", 2, "m");
    kept.retain = true;
    rig.commit(None, vec![kept]).await;
    assert_eq!(peer.receive().await, Seen::publish("out", 0, 0, false, "m"));
}

#[tokio::test]
async fn an_assigned_client_id_is_kept() {
    let rig = Rig::with(Protocol::V5, |connection| connection.client_id.clear()).await;
    let set = |properties: &mut rumqttc::v5::mqttbytes::v5::ConnAckProperties| {
        properties.assigned_client_identifier = Some("assigned".to_owned());
    };
    drop(rig.broker.connected_as(false, set).await);
    let mut peer = rig.broker.accept().await;
    let seen = peer.receive().await;
    assert!(
        matches!(&seen, Seen::Connect { client_id, .. } if client_id == "assigned"),
        "{seen:?}"
    );
}

#[tokio::test]
async fn three_subscription_identifiers_leave_the_payload_whole() {
    let mut rig = Rig::new(Protocol::V5).await;
    let mut peer = rig.broker.connected(false).await;
    let seen = peer.subscribed().await;
    let Seen::Subscribe {
        subscription_id: Some(id),
        ..
    } = seen
    else {
        panic!("{seen:?}")
    };

    let mut one = vec![11];
    let mut rest = id;
    while rest >= 128 {
        one.push((rest & 127) as u8 | 128);
        rest >>= 7;
    }
    one.push(rest as u8);
    let properties = one.repeat(3);
    let mut packet = vec![0x30, (2 + 4 + 1 + properties.len() + 7) as u8, 0, 4];
    packet.extend_from_slice(b"in/a");
    packet.push(properties.len() as u8);
    packet.extend_from_slice(&properties);
    packet.extend_from_slice(b"payload");
    peer.raw(&packet).await;
    assert_eq!(rig.next().await.0, "payload");
}
