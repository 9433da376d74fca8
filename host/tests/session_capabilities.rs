//! Brokers that cannot do everything, against a scripted broker: those that say so and those that close, and those that send a copy for
//! each filter without saying for which.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use super::scripted_broker::fixture::{Rig, both_versions, message, subscription};
use super::scripted_broker::{Peer, Seen};
use miqro_host::config::Protocol;
use miqro_host::message::{Qos, SubscriptionChange};
use miqro_host::topic::Filter;

type Will = Option<(u8, bool)>;
/// Whether a broker takes a will.
type Takes = fn(Will) -> bool;

/// The next connection with the will of its CONNECT, before it is answered.
async fn asked(rig: &Rig) -> (Peer, Will) {
    let mut peer = rig.broker.accept().await;
    match peer.receive().await {
        Seen::Connect { will_as, .. } => (peer, will_as),
        other => panic!("not CONNECT: {other:?}"),
    }
}

#[tokio::test]
async fn a_refused_will_is_sent_with_less() {
    let rig = Rig::new(Protocol::V5).await;
    let (mut peer, will) = asked(&rig).await;
    assert_eq!(will, Some((1, true)));
    peer.connack(false, 0x9A, |_| {}).await;
    let (mut peer, will) = asked(&rig).await;
    assert_eq!(will, Some((1, false)));
    peer.connack(false, 0x9B, |_| {}).await;
    let (mut peer, will) = asked(&rig).await;
    assert_eq!(will, Some((0, false)));
    peer.connack(false, 0, |_| {}).await;
    peer.subscribed().await;
    // it is known from now on, and of messages too
    let mut kept = message("out", 2, "m");
    kept.retain = true;
    rig.commit(None, vec![kept]).await;
    assert_eq!(peer.receive().await, Seen::publish("out", 0, 0, false, "m"));
    drop(peer);
    assert_eq!(asked(&rig).await.1, Some((0, false)));
}

/// Answers attempts until one is served: closes those with a will that `takes` does not take.
async fn served(rig: &Rig, takes: impl Fn(Will) -> bool) -> (Vec<Will>, Peer) {
    let mut wills = Vec::new();
    while wills.len() < 20 {
        let (mut peer, will) = asked(rig).await;
        wills.push(will);
        if !takes(will) {
            continue;
        }
        peer.connack(false, 0, |_| {}).await;
        match peer.receive().await {
            // only to see whether it is taken
            Seen::Disconnect(0) => {}
            Seen::Subscribe { id, .. } => {
                peer.suback(id, &[0]).await;
                return (wills, peer);
            }
            other => panic!("{other:?}"),
        }
    }

    panic!("not served: {wills:?}");
}

both_versions!(
    a_broker_that_closes_because_of_the_will_is_found_out,
    |version| async move {
        const RETAINED: Will = Some((1, true));
        let cases: [(Takes, Will); 4] = [
            (
                |will| will.is_none_or(|(_, retain)| !retain),
                Some((1, false)),
            ),
            (|will| will.is_none_or(|(qos, _)| qos == 0), Some((0, true))),
            (
                |will| will.is_none_or(|will| will == (0, false)),
                Some((0, false)),
            ),
            (|will| will.is_none(), None),
        ];

        for (takes, expected) in cases {
            let rig = Rig::new(version).await;
            let (wills, mut peer) = served(&rig, takes).await;
            assert_eq!(
                (wills[0], *wills.last().unwrap()),
                (RETAINED, expected),
                "{wills:?}"
            );
            let taken = wills.iter().position(|will| takes(*will)).unwrap();
            assert_eq!(
                wills[taken + 1],
                RETAINED,
                "it may have been something that is over now: {wills:?}"
            );
            let mut kept = message("out", 1, "m");
            kept.retain = true;
            rig.commit(None, vec![kept]).await;
            let Seen::Publish { qos, retain, .. } = peer.receive().await else {
                panic!("not PUBLISH")
            };
            assert_eq!((qos, retain), expected.unwrap_or((1, true)));
            drop(peer);
            assert_eq!(asked(&rig).await.1, expected, "it is known now");
        }
    }
);

both_versions!(
    a_returning_broker_gets_the_whole_will,
    |version| async move {
        for away in 1..9 {
            let rig = Rig::new(version).await;
            for _ in 0..away {
                drop(asked(&rig).await);
            }
            let (wills, peer) = served(&rig, |_| true).await;
            assert_eq!(*wills.last().unwrap(), Some((1, true)), "{away}: {wills:?}");
            drop(peer);
            assert_eq!(asked(&rig).await.1, Some((1, true)));
        }
    }
);

#[tokio::test]
async fn requests_that_end_the_connection_are_not_repeated() {
    let rig = Rig::new(Protocol::V5).await;
    let mut peer = rig.ready(false).await;
    let mut kept = message("out", 2, "m");
    kept.retain = true;
    rig.commit(None, vec![kept]).await;
    for (reason, qos, retain) in [(0x9A, 2, true), (0x9B, 2, false), (0, 1, false)] {
        let Seen::Publish {
            qos: seen,
            retain: kept,
            ..
        } = peer.receive().await
        else {
            panic!("not PUBLISH")
        };

        assert_eq!((seen, kept), (qos, retain));
        if reason != 0 {
            peer.disconnect(reason).await;
            peer = rig.ready(true).await;
        }
    }

    peer.disconnect(0xA1).await;
    let mut peer = rig.broker.connected(true).await;
    assert!(matches!(
        peer.subscribed().await,
        Seen::Subscribe {
            subscription_id: None,
            ..
        }
    ));
}

/// A connection to a broker that has no subscription identifiers.
async fn without_identifiers(rig: &Rig, session_present: bool) -> Peer {
    let set = |properties: &mut rumqttc::v5::mqttbytes::v5::ConnAckProperties| {
        properties.subscription_identifiers_available = Some(0);
    };
    rig.broker.connected_as(session_present, set).await
}

fn filters(seen: &Seen) -> Vec<&str> {
    match seen {
        Seen::Subscribe { filters, .. } => {
            filters.iter().map(|(filter, _)| filter.as_str()).collect()
        }
        Seen::Unsubscribe { filters, .. } => filters.iter().map(String::as_str).collect(),
        other => panic!("{other:?}"),
    }
}

fn subscribe(filter: &str) -> SubscriptionChange {
    SubscriptionChange::Subscribe(subscription(filter, Qos::AtLeastOnce))
}

fn unsubscribe(filter: &str) -> SubscriptionChange {
    SubscriptionChange::Unsubscribe(Filter::new(filter).unwrap())
}

both_versions!(
    widest_of_overlapping_filters_is_subscribed,
    |version| async move {
        let mut rig = Rig::new(version).await;
        let mut peer = without_identifiers(&rig, false).await;
        assert_eq!(filters(&peer.subscribed().await), ["in/#"]);
        rig.change(vec![
            subscribe("in/a"),
            subscribe("in/+"),
            subscribe("out/a"),
        ])
        .await;
        let mut asked = Vec::new();
        while !asked.contains(&"out/a".to_owned()) {
            asked.extend(
                filters(&peer.subscribed().await)
                    .into_iter()
                    .map(str::to_owned),
            );
        }

        // retained messages are requested by the filter that covers them
        assert!(
            asked
                .iter()
                .all(|filter| filter == "in/#" || filter == "out/a"),
            "{asked:?}"
        );

        for text in ["equal", "equal", "other"] {
            peer.publish("in/a", 0, 0, false, text).await;
            assert_eq!(rig.next().await.0, text);
        }
        // no gap: the one that was covered comes before the one that covered it goes
        rig.change(vec![unsubscribe("in/#"), unsubscribe("in/+")])
            .await;
        assert_eq!(filters(&peer.subscribed().await), ["in/a"]);
        let seen = peer.receive().await;
        assert_eq!(filters(&seen), ["in/#"]);
        peer.unsuback(seen.id(), 1).await;
        // and the other way the one that is covered goes when the other is granted
        rig.change(vec![subscribe("+/a")]).await;
        let id = peer.receive().await.id();
        peer.nothing_before().await;
        peer.suback(id, &[1]).await;
        let seen = peer.receive().await;
        assert!(matches!(seen, Seen::Unsubscribe { .. }));
        let mut gone = filters(&seen);
        gone.sort_unstable();
        assert_eq!(gone, ["in/a", "out/a"]);
        peer.unsuback(seen.id(), 2).await;
        peer.nothing_before().await;
    }
);

both_versions!(
    a_refused_covering_filter_subscribes_the_covered_ones,
    |version| async move {
        let mut rig = Rig::new(version).await;
        rig.change(vec![subscribe("in/a")]).await;
        let mut peer = without_identifiers(&rig, false).await;
        let seen = peer.receive().await;
        assert_eq!(filters(&seen), ["in/#"]);
        peer.suback(
            seen.id(),
            &[if version == Protocol::V5 { 0x87 } else { 0x80 }],
        )
        .await;
        assert_eq!(filters(&peer.subscribed().await), ["in/a"]);
        peer.publish("in/a", 0, 0, false, "m").await;
        assert_eq!(rig.next().await.0, "m");
    }
);

both_versions!(
    subscriptions_of_an_earlier_process_are_ended,
    |version| async move {
        let rig = Rig::new(version).await;
        rig.change(vec![subscribe("in/a")]).await;
        let mut peer = without_identifiers(&rig, true).await;
        assert_eq!(filters(&peer.subscribed().await), ["in/#"]);
        assert_eq!(filters(&peer.receive().await), ["in/a"]);
    }
);
