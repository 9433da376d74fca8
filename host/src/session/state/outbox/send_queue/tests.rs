//! Tests of the rules for the time without a connection, and of unchanged messages.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use super::super::last_published::LastPublished;
use super::*;
use crate::config::OutboxLimits;
use crate::message::{OnlyIfChanged, Terms};
use crate::session::state::Output;
use crate::topic::{Filter, Topic};

fn rule(policy: OfflinePolicy, persist: bool) -> Arc<OfflineRule> {
    Arc::new(OfflineRule {
        filter: Filter::new("#").unwrap(),
        policy,
        persist,
    })
}

fn queue(limit: usize, overflow: Overflow) -> OfflinePolicy {
    OfflinePolicy::Queue {
        limit,
        overflow,
        qos0: true,
        duplicates: true,
    }
}

fn terms(offline: Option<Arc<OfflineRule>>) -> Terms {
    Terms {
        token: None,
        only_if_changed: None,
        offline,
        kept: None,
        at: Instant::now(),
    }
}

fn queued(topic: &str, payload: &str, qos: Qos, rule: &Arc<OfflineRule>) -> QueuedMessage {
    let message = Message::new(
        Topic::new(topic.to_owned()).unwrap(),
        payload.to_owned(),
        qos,
        false,
    );

    let terms = Some(Box::new(terms(Some(rule.clone()))));
    QueuedMessage::new(Publication { message, terms }, None, None)
}

/// The queue of a service, and its usage of the outbox.
#[derive(Default)]
struct Offline {
    queue: SendQueue,
    shares: FairShares,
    outputs: Outputs,
}

impl Offline {
    fn push(&mut self, queued: QueuedMessage) {
        self.shares.add(queued.service, queued.charge());
        self.queue
            .push_offline(queued, &mut self.shares, &mut self.outputs);
    }

    fn payloads(&mut self) -> String {
        let mut all = String::new();
        while let Some(queued) = self.queue.pop() {
            self.shares.remove(queued.service, queued.charge());
            all.push_str(std::str::from_utf8(&queued.publication.message.payload).unwrap());
        }
        assert!(
            self.shares.has_room(
                OutboxLimits {
                    messages: 1,
                    bytes: 1
                },
                true
            ),
            "{:?}",
            self.shares
        );

        all
    }
}

fn persist_ops(outputs: &mut Outputs) -> Vec<PersistOp> {
    let mut ops = Vec::new();
    while let Some(output) = outputs.pop() {
        if let Output::Persist(op) = output {
            ops.push(op);
        }
    }
    ops
}

/// The messages that wait after the payloads of `sent`, each on the topic of its name, were published without a connection.
fn after(policy: OfflinePolicy, sent: &[(&str, &str, Qos)]) -> (String, u64) {
    let rule = rule(policy, false);
    let mut offline = Offline::default();
    for (topic, payload, qos) in sent {
        offline.push(queued(topic, payload, *qos, &rule));
    }
    let dropped = offline.queue.take_dropped();
    (offline.payloads(), dropped)
}

const ABC: [(&str, &str, Qos); 4] = [
    ("t", "a", Qos::AtLeastOnce),
    ("t", "b", Qos::AtMostOnce),
    ("u", "c", Qos::AtLeastOnce),
    ("t", "c", Qos::ExactlyOnce),
];

#[test]
fn full_queue_drops_the_oldest_or_the_newest() {
    assert_eq!(
        after(queue(2, Overflow::DropOldest), &ABC),
        ("cc".to_owned(), 2)
    );
    assert_eq!(
        after(queue(2, Overflow::DropNewest), &ABC),
        ("ab".to_owned(), 2)
    );
    assert_eq!(
        after(queue(9, Overflow::DropNewest), &ABC),
        ("abcc".to_owned(), 0)
    );
}

#[test]
fn latest_only_keeps_the_last_of_each_topic() {
    assert_eq!(after(OfflinePolicy::KeepLast, &ABC), ("cc".to_owned(), 2));
}

#[test]
fn rule_can_exclude_qos_0_and_duplicates() {
    let without = |qos0, duplicates| OfflinePolicy::Queue {
        limit: 9,
        overflow: Overflow::DropOldest,
        qos0,
        duplicates,
    };

    assert_eq!(after(without(false, true), &ABC).0, "acc");
    let twice = [
        ("t", "a", Qos::AtLeastOnce),
        ("t", "a", Qos::AtLeastOnce),
        ("u", "a", Qos::AtLeastOnce),
    ];
    assert_eq!(after(without(true, false), &twice), ("aa".to_owned(), 1));
    assert_eq!(after(OfflinePolicy::Drop, &twice), (String::new(), 3));
}

#[test]
fn rules_count_their_own_messages_only() {
    let one = rule(queue(1, Overflow::DropOldest), false);
    let other = rule(queue(1, Overflow::DropOldest), false);
    let mut offline = Offline::default();
    for (payload, rule) in [("a", &one), ("b", &other), ("c", &one)] {
        offline.push(queued("t", payload, Qos::AtLeastOnce, rule));
    }
    assert_eq!(offline.payloads(), "bc");
}

#[test]
fn persistent_messages_are_kept_until_dropped() {
    let rule = rule(OfflinePolicy::KeepLast, true);
    let mut offline = Offline::default();
    offline.queue.reserve_numbers(7);
    for payload in ["a", "b"] {
        offline.push(queued("t", payload, Qos::AtMostOnce, &rule));
    }
    let kept = persist_ops(&mut offline.outputs)
        .into_iter()
        .map(|op| match op {
            PersistOp::Put(number, _, message) => (number, Some(message.payload)),
            PersistOp::Delete(number) | PersistOp::Handled(number) => (number, None),
            PersistOp::DeadLetter(unsent) => panic!("{unsent:?}"),
        });
    assert!(kept.eq([(8, Some("a".into())), (8, None), (9, Some("b".into()))]));
}

#[test]
fn the_oldest_of_qos_0_of_a_service_is_dropped() {
    let rule = rule(queue(9, Overflow::DropOldest), false);
    let mut offline = Offline::default();
    for (payload, service, qos) in [("a", 1, 0), ("b", 2, 1), ("c", 2, 0), ("d", 2, 0)] {
        let queued = queued("t", payload, Qos::try_from(qos).unwrap(), &rule);
        offline.push(QueuedMessage {
            service: Some(ServiceId(service)),
            ..queued
        });
    }

    let Offline {
        queue,
        shares,
        outputs,
    } = &mut offline;
    assert!(queue.drop_oldest_qos0(Some(ServiceId(2)), shares, outputs));
    assert!(!queue.drop_oldest_qos0(Some(ServiceId(3)), shares, outputs));
    assert_eq!(offline.payloads(), "abd");
}

fn message(payload: &str, qos: Qos) -> Message {
    Message::new(Topic::new("t").unwrap(), payload.to_owned(), qos, false)
}

#[test]
fn unchanged_values_are_known_until_the_session_is_lost() {
    let mut memory = LastPublished::default();
    let always = Terms {
        only_if_changed: Some(OnlyIfChanged::Always),
        ..terms(None)
    };
    let within = |span, at| Terms {
        only_if_changed: Some(OnlyIfChanged::Within(span)),
        at,
        ..terms(None)
    };
    let start = Instant::now();
    let minute = Duration::from_secs(60);
    assert!(!memory.is_repeat(&message("a", Qos::AtLeastOnce), Some(&always)));
    memory.record(
        &message("a", Qos::AtLeastOnce),
        Some(&within(minute, start)),
        1 << 20,
    );
    assert!(memory.is_repeat(&message("a", Qos::AtMostOnce), Some(&always)));
    assert!(
        !memory.is_repeat(&message("a", Qos::AtMostOnce), None),
        "nobody asked"
    );
    assert!(!memory.is_repeat(&message("b", Qos::AtMostOnce), Some(&always)));
    assert!(memory.is_repeat(
        &message("a", Qos::AtMostOnce),
        Some(&within(minute, start + minute / 2))
    ));
    assert!(!memory.is_repeat(
        &message("a", Qos::AtMostOnce),
        Some(&within(minute, start + minute))
    ));
    // a message without the wish counts as well
    memory.record(&message("b", Qos::AtLeastOnce), None, 1 << 20);
    assert!(!memory.is_repeat(&message("a", Qos::AtMostOnce), Some(&always)));
    memory.on_disconnected();
    assert!(
        memory.is_repeat(&message("b", Qos::AtLeastOnce), Some(&always)),
        "the session delivers it"
    );
    memory.record(&message("c", Qos::AtMostOnce), Some(&always), 1 << 20);
    memory.on_disconnected();
    assert!(
        !memory.is_repeat(&message("c", Qos::AtMostOnce), Some(&always)),
        "it may have been lost"
    );
    memory.record(&message("d", Qos::AtLeastOnce), Some(&always), 1 << 20);
    memory.clear();
    assert!(!memory.is_repeat(&message("d", Qos::AtMostOnce), Some(&always)));
}
