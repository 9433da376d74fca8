//! How connections and sessions end and do not begin: refusals, disconnections with a reason, another client, a stop; against a
//! scripted broker, in both protocol versions where it applies.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::time::Duration;

use super::scripted_broker::fixture::{Rig, both_versions, message};
use super::scripted_broker::{Broker, Seen};
use miqro_host::config::Protocol;
use miqro_host::session::SessionError;

both_versions!(
    a_broker_that_is_unavailable_is_tried_again,
    |version| async move {
        let rig = Rig::new(version).await;
        for _ in 0..3 {
            let mut peer = rig.broker.accept().await;
            peer.receive().await;
            peer.connack(
                false,
                if version == Protocol::V5 { 0x88 } else { 3 },
                |_| {},
            )
            .await;
            assert_eq!(peer.receive().await, Seen::Closed);
        }

        drop(rig.ready(false).await);
    }
);

both_versions!(refused_credentials_are_tried_again, |version| async move {
    let rig = Rig::new(version).await;
    let mut peer = rig.broker.accept().await;
    peer.receive().await;
    peer.connack(
        false,
        if version == Protocol::V5 { 0x86 } else { 4 },
        |_| {},
    )
    .await;
    assert!(
        rig.disconnected()
            .await
            .contains("bad user name or password")
    );
    drop(rig.ready(false).await);
});

#[tokio::test]
async fn a_broker_that_only_speaks_3_1_1_is_named() {
    let rig = Rig::new(Protocol::V5).await;
    let mut peer = rig.broker.accept().await;
    peer.receive().await;
    peer.raw(&[0x20, 2, 0, 1]).await;
    assert!(
        rig.disconnected()
            .await
            .contains("unsupported protocol version")
    );
}

#[tokio::test]
async fn a_session_that_was_taken_over_stops() {
    let mut rig = Rig::new(Protocol::V5).await;
    let mut peer = rig.ready(false).await;
    peer.disconnect(0x8E).await;
    let error = rig.ended().await.unwrap_err();
    assert!(matches!(error, SessionError::TakenOver { .. }));
    assert!(error.to_string().contains("client id \"rig\""), "{error}");
}

#[tokio::test]
async fn another_disconnect_is_followed_by_a_new_connection() {
    let rig = Rig::new(Protocol::V5).await;
    let mut peer = rig.ready(false).await;
    peer.disconnect(0x8B).await;
    assert!(rig.disconnected().await.contains("server shutting down"));
    drop(rig.ready(true).await);
}

#[tokio::test]
async fn malformed_packets_are_answered_with_a_reason() {
    let rig = Rig::new(Protocol::V5).await;
    // a length of more than four bytes; AUTH
    for (bytes, reason) in [
        (&[0x30, 0xFF, 0xFF, 0xFF, 0xFF, 1][..], 0x81),
        (&[0xF0, 0], 0x82),
    ] {
        let mut peer = rig.ready(true).await;
        peer.raw(bytes).await;
        assert_eq!(peer.receive().await, Seen::Disconnect(reason));
        assert_eq!(peer.receive().await, Seen::Closed);
    }
}

both_versions!(
    a_broker_that_is_absent_at_first_is_waited_for,
    |version| async move {
        let broker = Broker::new(version).await;
        let port = broker.port();
        drop(broker);
        let mut rig = Rig::with(version, |connection| connection.port = port).await;
        rig.disconnected().await;
        rig.broker = Broker::on(version, port).await;
        drop(rig.ready(false).await);
    }
);

both_versions!(a_stop_flushes_what_waits, |version| async move {
    let mut rig = Rig::new(version).await;
    let mut peer = rig.ready(false).await;
    peer.publish("in/a", 9, 1, false, "m").await;
    let (_, receipt) = rig.next().await;
    rig.commit(receipt, vec![message("out", 1, "answer")]).await;
    rig.stop(Duration::from_secs(8)).await;
    let answer = peer.receive().await;
    assert_eq!(
        answer,
        Seen::publish("out", answer.id(), 1, false, "answer")
    );
    // messages from now on are left to the broker
    peer.publish("in/a", 10, 1, false, "late").await;
    peer.puback(answer.id()).await;
    assert_eq!(peer.receive().await, Seen::PubAck(9));
    assert_eq!(peer.receive().await, Seen::Disconnect(0));
    assert_eq!(rig.ended().await.unwrap().unsent, 0);
    assert!(rig.nothing_delivered());
});

both_versions!(
    stop_ends_at_its_deadline_and_counts_unsent_messages,
    |version| async move {
        let mut rig = Rig::new(version).await;
        let mut peer = rig.ready(false).await;
        rig.publish("out", 1, "unanswered").await;
        peer.receive().await;
        rig.stop(Duration::from_millis(200)).await;
        assert_eq!(peer.receive().await, Seen::Disconnect(0));
        assert_eq!(rig.ended().await.unwrap().unsent, 1);
    }
);

#[tokio::test]
async fn a_stop_without_connection_is_at_once_when_nothing_waits() {
    let mut rig = Rig::with(Protocol::V5, |connection| connection.port = 1).await;
    rig.disconnected().await;
    rig.stop(Duration::from_secs(60)).await;
    assert_eq!(rig.ended().await.unwrap().unsent, 0);
}

both_versions!(a_will_that_may_be_denied_is_named, |version| async move {
    let rig = Rig::new(version).await;
    let mut peer = rig.broker.accept().await;
    peer.receive().await;
    peer.connack(
        false,
        if version == Protocol::V5 { 0x87 } else { 5 },
        |_| {},
    )
    .await;
    let reason = rig.disconnected().await;
    assert!(
        reason.contains("the will of the client \"rig\" is denied: allow it to publish on will"),
        "{reason}"
    );
    drop(rig.ready(false).await);
});
