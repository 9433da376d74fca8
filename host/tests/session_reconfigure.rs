//! New settings for a session that runs: it says goodbye, connects with them, and keeps everything else.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::time::Duration;

use super::scripted_broker::fixture::{Rig, both_versions, connection};
use super::scripted_broker::{Broker, Seen};
use miqro_host::config::{Credentials, OutboxLimits, Protocol};

both_versions!(
    new_settings_end_the_connection_cleanly_and_keep_the_session,
    |version| async move {
        let mut rig = Rig::new(version).await;
        let mut peer = rig.ready(false).await;
        // a message after SUBACK shows that it was read: in 3.1.1 a confirmed filter is not requested again
        peer.publish("in/a", 0, 0, false, "routed").await;
        assert_eq!(rig.next().await.0, "routed");
        rig.publish("out", 1, "unacknowledged").await;
        let id = peer.receive().await.id();
        let login = Some(Credentials {
            username: "me".to_owned(),
            password: Some("secret".to_owned()),
        });
        let mut settings = connection(&rig.broker);
        (settings.credentials, settings.session.keepalive) = (login, Duration::from_secs(7));
        rig.handle.reconfigure(settings).await;
        assert_eq!(peer.receive().await, Seen::Disconnect(0));
        let mut peer = rig.broker.accept().await;
        let expected = Seen::Connect {
            client_id: "rig".to_owned(),
            clean_start: false,
            keepalive: 7,
            limits: (version == Protocol::V5).then_some((64, 1 << 20)),
            will: Some("will".to_owned()),
            will_as: Some((1, true)),
            login: Some(("me".to_owned(), "secret".to_owned())),
        };

        assert_eq!(peer.receive().await, expected);
        peer.connack(true, 0, |_| {}).await;
        if version == Protocol::V5 {
            peer.subscribed().await;
        }
        assert_eq!(
            peer.receive().await,
            Seen::publish("out", id, 1, true, "unacknowledged")
        );
        peer.publish("in/a", 0, 0, false, "still routed").await;
        assert_eq!(rig.next().await.0, "still routed");
    }
);

both_versions!(
    new_settings_apply_although_outbox_is_full_and_broker_away,
    |version| async move {
        let rig = Rig::with(version, |connection| {
            connection.session.outbox = OutboxLimits {
                messages: 2,
                bytes: 1000,
            };
            connection.port = 1;
            connection.session.reconnect.min = Duration::from_secs(3600);
            connection.session.reconnect.max = Duration::from_secs(3600);
        })
        .await;
        rig.disconnected().await;
        for number in 0..5 {
            rig.publish("out", 1, &number.to_string()).await;
        }
        let mut settings = connection(&rig.broker);
        settings.session.outbox = OutboxLimits {
            messages: 100,
            bytes: 100_000,
        };
        rig.handle.reconfigure(settings).await;
        let mut peer = rig.ready(false).await;
        for number in 0..5 {
            let Seen::Publish { payload, .. } = peer.receive().await else {
                panic!("no publish")
            };
            assert_eq!(payload, number.to_string());
        }
    }
);

both_versions!(
    another_broker_gets_subscriptions_and_waiting_messages,
    |version| async move {
        let rig = Rig::new(version).await;
        let mut peer = rig.ready(false).await;
        let other = Broker::new(version).await;
        rig.publish("out", 1, "a").await;
        peer.receive().await;
        rig.handle.reconfigure(connection(&other)).await;
        assert_eq!(peer.receive().await, Seen::Disconnect(0));
        let mut peer = other.connected(false).await;
        peer.subscribed().await;
        let Seen::Publish { payload, .. } = peer.receive().await else {
            panic!("no publish")
        };
        assert_eq!(payload, "a");
    }
);
