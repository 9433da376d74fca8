//! A broker that ends the connection for a packet, each time that it comes: the session finds it and
//! continues without it. With a scripted broker, in both protocol versions.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::BTreeSet;
use std::num::NonZeroU64;
use std::time::Instant;

use super::scripted_broker::fixture::{Rig, SERVICE, both_versions, message, subscription};
use super::scripted_broker::{Peer, Seen, soon};
use miqro_host::config::Protocol;
use miqro_host::mailbox::{Next, Notice};
use miqro_host::message::{Outcome, Publication, SubscriptionChange, Terms, Token};
use miqro_host::session::{Command, Commit};

/// The packets for which the broker ends the connection.
type Rule = fn(&Seen) -> bool;

/// Result of many connections.
#[derive(Default)]
struct Seens {
    connections: usize,
    /// Payloads of messages that the broker took.
    taken: BTreeSet<String>,
    /// PUBACK for this identifier came.
    acknowledged: BTreeSet<u16>,
    filters: BTreeSet<String>,
    /// A message that the broker delivers until it is acknowledged, with identifier 7.
    delivers: Option<&'static str>,
}

impl Seens {
    /// Serves connections, and ends one for each packet that the rule does not like, until `enough`.
    async fn serve(
        &mut self,
        rig: &Rig,
        mut peer: Option<Peer>,
        forbids: Rule,
        enough: impl Fn(&Self) -> bool,
    ) -> Peer {
        loop {
            let mut current = match peer.take() {
                Some(peer) => peer,
                None => {
                    let mut peer = rig.broker.connected(true).await;
                    if let Some(payload) = self.delivers.filter(|_| !self.acknowledged.contains(&7))
                    {
                        peer.publish("in/a", 7, 1, true, payload).await;
                    }
                    peer
                }
            };

            self.connections += 1;
            assert!(self.connections < 40, "{} connections", self.connections);
            while !enough(self) {
                let seen = current.receive_any().await;
                if seen == Seen::Closed || forbids(&seen) {
                    break;
                }
                self.answer(&mut current, seen).await;
            }

            if enough(self) {
                return current;
            }
        }
    }

    async fn answer(&mut self, peer: &mut Peer, seen: Seen) {
        match seen {
            Seen::Publish {
                id, qos, payload, ..
            } => {
                self.taken.insert(payload);
                match qos {
                    0 => {}
                    1 => peer.puback(id).await,
                    _ => peer.pubrec(id).await,
                }
            }
            Seen::PubRel(id) => peer.pubcomp(id).await,
            Seen::PubAck(id) => _ = self.acknowledged.insert(id),
            Seen::Subscribe { id, filters, .. } => {
                let granted: Vec<u8> = filters.iter().map(|(_, qos)| *qos).collect();
                self.filters
                    .extend(filters.into_iter().map(|(filter, _)| filter));
                peer.suback(id, &granted).await;
            }
            Seen::Unsubscribe { id, filters } => peer.unsuback(id, filters.len()).await,
            Seen::PingReq => peer.pingresp().await,
            other => panic!("{other:?}"),
        }
    }
}

fn is_poison(seen: &Seen) -> bool {
    matches!(seen, Seen::Publish { topic, .. } if topic == "poison")
}

async fn a_message(version: Protocol, qos: u8) {
    let mut rig = Rig::new(version).await;
    let mut peer = rig.ready(false).await;
    peer.publish("in/a", 7, 1, false, "cause").await;
    let (_, receipt) = rig.next().await;
    let terms = |number| Terms {
        token: NonZeroU64::new(number).map(Token),
        only_if_changed: None,
        offline: None,
        kept: None,
        at: Instant::now(),
    };

    let publish = |topic: &str, qos, number: u64| Publication {
        message: message(topic, qos, &number.to_string()),
        terms: Some(Box::new(terms(number))),
    };
    let mut publishes: Vec<_> = (1..50).map(|number| publish("fine", 1, number)).collect();
    publishes.insert(20, publish("poison", qos, 1_000));
    rig.handle
        .send(Command::Commit(Commit {
            receipt,
            publishes,
            ..Commit::new(SERVICE)
        }))
        .await;

    let mut seens = Seens {
        delivers: Some("cause"),
        ..Seens::default()
    };
    let others =
        |seens: &Seens| (1..50).all(|number: u64| seens.taken.contains(&number.to_string()));
    // its cause is acknowledged in the end
    let enough = |seens: &Seens| others(seens) && seens.acknowledged.contains(&7);
    let peer = seens.serve(&rig, Some(peer), is_poison, enough).await;
    assert!(!seens.taken.contains("1000"));
    assert!(seens.connections <= 16, "{} connections", seens.connections);
    // the guest hears of it, once
    let refused = soon("the outcome", async {
        loop {
            if let Next::Notice(Notice::Outcome(token, Outcome::Refused(why))) =
                rig.mailbox.next().await
            {
                return (token, why);
            }
        }
    });

    let (token, why) = refused.await;
    assert_eq!(token.0.get(), 1_000);
    assert!(
        why.contains("the broker ends the connection whenever it is sent"),
        "{why}"
    );
    // and the connection stands
    rig.publish("fine", 1, "after").await;
    seens
        .serve(&rig, Some(peer), is_poison, |seens| {
            seens.taken.contains("after")
        })
        .await;
}

both_versions!(a_message_of_qos_1_is_set_aside, |version| a_message(
    version, 1
));
both_versions!(a_message_of_qos_2_is_set_aside, |version| a_message(
    version, 2
));

both_versions!(
    broker_rule_on_payload_and_retain_is_found,
    |version| async move {
        let rig = Rig::new(version).await;
        let peer = rig.ready(false).await;
        let forbids: Rule = |seen| matches!(seen, Seen::Publish { payload, retain: true, .. } if payload.contains('7'));
        let mut publishes: Vec<_> = (0..30)
            .map(|number| message("t", 1, &number.to_string()))
            .collect();
        publishes
            .iter_mut()
            .for_each(|message| message.retain = true);
        rig.commit(None, publishes).await;
        let mut seens = Seens::default();
        let all = |seens: &Seens| {
            (0..30)
                .filter(|n| ![7, 17, 27].contains(n))
                .all(|n| seens.taken.contains(&n.to_string()))
        };
        seens.serve(&rig, Some(peer), forbids, all).await;
        assert_eq!(seens.taken.len(), 27);
    }
);

both_versions!(a_filter_is_not_asked_for_any_more, |version| async move {
    let rig = Rig::new(version).await;
    let peer = rig.ready(false).await;
    let forbids: Rule = |seen| matches!(seen, Seen::Subscribe { filters, .. } if filters.iter().any(|(filter, _)| filter == "poison/#"));
    let filters = ["a", "b", "poison/#", "c", "d/+"];
    rig.change(
        filters
            .map(|filter| {
                SubscriptionChange::Subscribe(subscription(filter, message("t", 1, "").qos))
            })
            .into(),
    )
    .await;
    let mut seens = Seens::default();
    let all = |seens: &Seens| {
        ["a", "b", "c", "d/+"]
            .iter()
            .all(|filter| seens.filters.contains(*filter))
    };
    let peer = seens.serve(&rig, Some(peer), forbids, all).await;
    assert!(!seens.filters.contains("poison/#"));
    // the connection has to stand for a while until it is certain
    let mut quarantine = rig.handle.quarantine();
    let certain = soon(
        "the quarantine",
        quarantine.wait_for(|filters| !filters.is_empty()),
    );
    let answering = seens.serve(&rig, Some(peer), forbids, |_| false);
    tokio::select! {
        filters = certain => {
            assert_eq!(filters.unwrap().iter().map(ToString::to_string).collect::<Vec<_>>(), ["poison/#"]);
        }
        _ = answering => unreachable!("it serves for ever"),
    }
});
