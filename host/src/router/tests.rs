//! Tests of the router: with a broker in a list that splits copies as brokers do, and with mailboxes that drop.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;

use super::*;
use crate::config::WhenFull;
use crate::mailbox::{Mailbox, Next};
use crate::message::{Message, Qos};
use crate::topic::Topic;

fn filter(text: &str) -> Filter {
    Filter::new(text).unwrap()
}

fn subscription(text: &str, qos: Qos) -> Subscription {
    Subscription {
        filter: filter(text),
        qos,
    }
}

fn message(topic: &str) -> Message {
    Message::new(
        Topic::new(topic.to_owned()).unwrap(),
        "x",
        Qos::AtLeastOnce,
        false,
    )
}

fn attach(router: &mut Router, id: u32, filters: &[&str]) -> (Mailbox, SubscriptionDiff) {
    let (sender, mailbox) = mailbox::mailbox(mailbox::Limits {
        messages: 100,
        bytes: usize::MAX,
        when_full: WhenFull::DropNewest,
    });
    let wanted: Vec<Subscription> = filters
        .iter()
        .map(|text| subscription(text, Qos::AtLeastOnce))
        .collect();
    let difference = router.attach(ServiceId(id), sender, &wanted);
    (mailbox, difference)
}

fn change(
    router: &mut Router,
    id: u32,
    subscribe: &[&str],
    unsubscribe: &[&str],
) -> SubscriptionDiff {
    let new = subscribe
        .iter()
        .map(|text| SubscriptionChange::Subscribe(subscription(text, Qos::AtLeastOnce)));
    let gone = unsubscribe
        .iter()
        .map(|text| SubscriptionChange::Unsubscribe(filter(text)));
    router.change(ServiceId(id), &new.chain(gone).collect::<Vec<_>>())
}

fn id_of(router: &Router, text: &str) -> u32 {
    router.identified_subscription(&filter(text)).unwrap().id.0
}

/// Routes one copy; how many took it.
fn copy(router: &mut Router, topic: &str, ids: &[u32]) -> usize {
    router.route(Delivery::new(message(topic), None), ids, &mut Vec::new())
}

fn drain(mailbox: &mut Mailbox) -> usize {
    std::iter::from_fn(|| mailbox.try_next())
        .take_while(|next| matches!(next, Next::Delivery(_)))
        .count()
}

#[test]
fn a_filter_of_two_services_is_subscribed_once_and_unsubscribed_with_the_last() {
    let mut router = Router::new();
    let (_a, first) = attach(&mut router, 1, &["a/#"]);
    let (_b, second) = attach(&mut router, 2, &["a/#"]);
    assert_eq!(first.subscribe.len(), 1);
    assert_eq!(second, SubscriptionDiff::default());
    assert_eq!(router.detach(ServiceId(1)), SubscriptionDiff::default());
    assert_eq!(router.detach(ServiceId(2)).unsubscribe, [filter("a/#")]);
    assert!(router.on_connected(true, true).0.is_empty());
}

#[test]
fn the_highest_quality_of_service_counts_and_a_change_of_it_is_sent() {
    let mut router = Router::new();
    let (_a, _) = attach(&mut router, 1, &["a"]);
    let (sender, _b) = mailbox::mailbox(mailbox::Limits {
        messages: 1,
        bytes: usize::MAX,
        when_full: WhenFull::DropNewest,
    });
    let raised = router.attach(ServiceId(2), sender, &[subscription("a", Qos::ExactlyOnce)]);
    assert_eq!(
        raised.subscribe[0].subscription,
        subscription("a", Qos::ExactlyOnce)
    );
    let lower = [SubscriptionChange::Subscribe(subscription(
        "a",
        Qos::AtMostOnce,
    ))];
    let lowered = router.change(ServiceId(2), &lower);
    assert_eq!(
        lowered.subscribe[0].subscription,
        subscription("a", Qos::AtLeastOnce)
    );
    assert_eq!(lowered.subscribe[0].id, raised.subscribe[0].id);
}

#[test]
fn changes_that_cancel_each_other_send_nothing() {
    let mut router = Router::new();
    let (_a, _) = attach(&mut router, 1, &["a"]);
    assert_eq!(
        change(&mut router, 1, &["b"], &["b", "c"]),
        SubscriptionDiff::default()
    );
    assert_eq!(
        change(&mut router, 2, &["b"], &[]),
        SubscriptionDiff::default(),
        "not attached"
    );
    let (_a, difference) = attach(&mut router, 1, &["a"]);
    assert_eq!(
        difference,
        SubscriptionDiff::default(),
        "attached again with the same filters"
    );
    assert_eq!(router.detach(ServiceId(7)), SubscriptionDiff::default());
}

#[test]
fn a_new_attachment_takes_over_the_routes() {
    let mut router = Router::new();
    let (mut old, _) = attach(&mut router, 1, &["a", "b"]);
    let (mut new, difference) = attach(&mut router, 1, &["b", "c"]);
    assert_eq!(difference.subscribe.len(), 1);
    assert_eq!(difference.unsubscribe, [filter("a")]);
    for (topic, takers) in [("a", 0), ("b", 1), ("c", 1)] {
        assert_eq!(copy(&mut router, topic, &[]), takers, "{topic}");
    }
    assert_eq!((drain(&mut old), drain(&mut new)), (0, 2));
}

#[test]
fn a_filter_has_the_same_identifier_in_every_process() {
    let mut one = Router::new();
    let mut other = Router::new();
    let (_a, _) = attach(&mut one, 1, &["a", "b/+", "c/#"]);
    let (_b, _) = attach(&mut other, 1, &["x", "c/#"]);
    assert_eq!(id_of(&one, "c/#"), id_of(&other, "c/#"));
}

#[test]
fn the_first_filter_takes_the_copy_and_the_next_one_takes_over_from_it() {
    let mut router = Router::new();
    let (mut a, _) = attach(&mut router, 1, &["a/#"]);
    change(&mut router, 1, &["a/b"], &[]);
    let wide = id_of(&router, "a/#");
    let narrow = id_of(&router, "a/b");
    assert_eq!(
        (
            copy(&mut router, "a/b", &[narrow]),
            copy(&mut router, "a/b", &[wide])
        ),
        (0, 1)
    );

    change(&mut router, 1, &[], &["a/#"]);
    // copies for the filter that went are still under way
    assert_eq!(
        (
            copy(&mut router, "a/b", &[narrow]),
            copy(&mut router, "a/b", &[wide])
        ),
        (1, 0)
    );

    assert_eq!(drain(&mut a), 2);
}

#[test]
fn a_copy_for_a_filter_of_an_earlier_process_is_not_lost() {
    let mut router = Router::new();
    let (mut a, _) = attach(&mut router, 1, &["a/#"]);
    let unknown = id_of(&router, "a/#") % 1000 + 1;
    assert_eq!(copy(&mut router, "a/b", &[unknown]), 1);
    assert_eq!(drain(&mut a), 1);
}

#[test]
fn a_refused_filter_swallows_nothing() {
    let mut router = Router::new();
    let (mut a, difference) = attach(&mut router, 1, &["a/#", "a/b"]);
    let narrow = id_of(&router, "a/b");
    let wide = difference
        .subscribe
        .iter()
        .find(|numbered| numbered.id.0 != narrow)
        .unwrap()
        .id;

    router.on_answer(&filter("a/#"), false);
    assert_eq!(copy(&mut router, "a/b", &[narrow]), 1);
    assert_eq!(copy(&mut router, "a/c", &[]), 0, "not entitled to it");
    router.on_answer(&filter("a/#"), true);
    assert_eq!(copy(&mut router, "a/b", &[narrow]), 0);
    assert_eq!(copy(&mut router, "a/b", &[wide.0]), 1);
    assert_eq!(drain(&mut a), 2);
    assert_eq!(
        router.on_connected(true, true).0.len(),
        2,
        "tried again on the next connection"
    );
}

#[test]
fn copies_of_shared_subscriptions_do_not_stand_for_others() {
    let mut router = Router::new();
    let (mut a, _) = attach(&mut router, 1, &["$share/g/t", "$share/h/t", "t"]);
    let g = id_of(&router, "$share/g/t");
    let h = id_of(&router, "$share/h/t");
    let t = id_of(&router, "t");
    assert_eq!(
        (
            copy(&mut router, "t", &[g]),
            copy(&mut router, "t", &[h]),
            copy(&mut router, "t", &[t])
        ),
        (0, 0, 1)
    );

    change(&mut router, 1, &[], &["t"]);
    // only this member gets the message of a group: each copy counts
    assert_eq!(
        (copy(&mut router, "t", &[g]), copy(&mut router, "t", &[h])),
        (1, 1)
    );
    assert_eq!(copy(&mut router, "t", &[g, h]), 1);
    assert_eq!(drain(&mut a), 4);
}

#[test]
fn receipts_of_a_dropped_mailbox_are_resolved() {
    let mut router = Router::new();
    let mut settled = Vec::new();
    for end in ["message", "attach", "detach"] {
        let (a, _) = attach(&mut router, 1, &["t"]);
        assert_eq!(
            router.route(
                Delivery::new(message("t"), Some(Receipt::Arrived(1))),
                &[],
                &mut settled
            ),
            1
        );

        drop(a);
        let receipts = match end {
            "message" => {
                assert_eq!(
                    router.route(
                        Delivery::new(message("t"), Some(Receipt::Arrived(2))),
                        &[],
                        &mut settled
                    ),
                    0
                );

                std::mem::take(&mut settled)
            }
            "attach" => attach(&mut router, 1, &["t"]).1.discarded,
            _ => router.detach(ServiceId(1)).discarded,
        };

        assert_eq!(receipts, [Receipt::Arrived(1)], "{end}");
    }
}

#[derive(Debug, Clone, Copy)]
enum Copies {
    /// One, with all identifiers.
    One,
    /// One for each filter that matches, with its identifier.
    Each,
    /// One, without identifiers.
    Bare,
}

#[derive(Debug, Clone)]
enum Step {
    Attach(u32, Vec<(usize, Qos)>),
    Subscribe(u32, usize, Qos),
    Unsubscribe(u32, usize),
    Detach(u32),
    Publish(usize, Copies, bool),
}

const FILTERS: [&str; 12] = [
    "a", "a/#", "a/b", "a/+", "+/b", "#", "+", "b/#", "$s/#", "+/+/c", "a/b/c", "/",
];
const TOPICS: [&str; 8] = ["a", "a/b", "a/b/c", "b", "b/b", "$s/b", "/", "c/d/e"];

fn step() -> impl Strategy<Value = Step> {
    let service = 0_u32..4;
    let which = 0..FILTERS.len();
    let qos = || (0_u8..3).prop_map(|qos| Qos::try_from(qos).unwrap());
    let copies = prop::sample::select(vec![Copies::One, Copies::Each, Copies::Bare]);
    prop_oneof![
        2 => (service.clone(), prop::collection::vec((which.clone(), qos()), 0..5)).prop_map(|(s, f)| Step::Attach(s, f)),
        2 => (service.clone(), which.clone(), qos()).prop_map(|(s, f, q)| Step::Subscribe(s, f, q)),
        2 => (service.clone(), which).prop_map(|(s, f)| Step::Unsubscribe(s, f)),
        1 => service.prop_map(Step::Detach),
        6 => (0..TOPICS.len(), copies, any::<bool>()).prop_map(|(t, c, r)| Step::Publish(t, c, r)),
    ]
}

/// The subscriptions of the broker, and those that the services want.
#[derive(Default)]
struct World {
    broker: HashMap<Filter, (Qos, u32)>,
    services: BTreeMap<u32, (Mailbox, HashMap<Filter, Qos>)>,
}

impl World {
    /// Obeys a difference; every line of it must change something.
    fn tell(&mut self, difference: SubscriptionDiff) {
        for IdentifiedSubscription { subscription, id } in difference.subscribe {
            let before = self
                .broker
                .insert(subscription.filter, (subscription.qos, id.0));
            assert!(
                before.is_none_or(|(qos, known)| qos != subscription.qos && known == id.0),
                "told twice"
            );
        }

        for filter in difference.unsubscribe {
            assert!(
                self.broker.remove(&filter).is_some(),
                "{filter} was not subscribed"
            );
        }
    }

    fn check(&self, router: &mut Router) {
        let mut wanted: HashMap<Filter, Qos> = HashMap::new();
        for (filter, qos) in self.services.values().flat_map(|(_, filters)| filters) {
            let highest = wanted.entry(filter.clone()).or_insert(*qos);
            *highest = (*qos).max(*highest);
        }
        let told: HashMap<Filter, Qos> = self
            .broker
            .iter()
            .map(|(filter, (qos, _))| (filter.clone(), *qos))
            .collect();
        assert_eq!(told, wanted);
        let again = router.on_connected(true, true).0;
        let again = again.into_iter().map(|numbered| {
            (
                numbered.subscription.filter,
                (numbered.subscription.qos, numbered.id.0),
            )
        });

        assert_eq!(again.collect::<HashMap<_, _>>(), self.broker);
        let mut ids: Vec<u32> = self.broker.values().map(|(_, id)| *id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(
            ids.len(),
            self.broker.len(),
            "two filters with one identifier"
        );
        assert!(ids.iter().all(|id| (1..=268_435_455).contains(id)));
    }

    /// The identifiers of each copy that the broker sends.
    fn copies(&self, topic: &Topic, copies: Copies, reversed: bool) -> Vec<Vec<u32>> {
        let matching = self
            .broker
            .iter()
            .filter(|(filter, _)| filter.matches(topic));
        let mut ids: Vec<u32> = matching.map(|(_, (_, id))| *id).collect();
        ids.sort_unstable();
        if reversed {
            ids.reverse();
        }
        match copies {
            _ if ids.is_empty() => Vec::new(),
            Copies::One => vec![ids],
            Copies::Each => ids.into_iter().map(|id| vec![id]).collect(),
            Copies::Bare => vec![Vec::new()],
        }
    }

    fn publish(&mut self, router: &mut Router, topic: &str, copies: Copies, reversed: bool) {
        let message = message(topic);
        let copies = self.copies(&message.topic, copies, reversed);
        let taken: usize = copies
            .iter()
            .map(|ids| router.route(Delivery::new(message.clone(), None), ids, &mut Vec::new()))
            .sum();
        let mut expected = 0;
        for (id, (mailbox, filters)) in &mut self.services {
            let wants = filters.keys().any(|filter| filter.matches(&message.topic));
            expected += usize::from(wants);
            assert_eq!(
                drain(mailbox),
                usize::from(wants),
                "service {id}, topic {topic}"
            );
        }

        assert_eq!(taken, expected);
    }

    fn step(&mut self, router: &mut Router, step: Step) {
        let difference = match step {
            Step::Attach(service, filters) => {
                let limits = mailbox::Limits {
                    messages: 9,
                    bytes: usize::MAX,
                    when_full: WhenFull::DropNewest,
                };
                let (sender, mailbox) = mailbox::mailbox(limits);
                let filters = filters
                    .into_iter()
                    .map(|(which, qos)| (filter(FILTERS[which]), qos));
                let filters: HashMap<Filter, Qos> = filters.collect();
                let wanted = filters.iter().map(|(filter, qos)| Subscription {
                    filter: filter.clone(),
                    qos: *qos,
                });
                let wanted: Vec<Subscription> = wanted.collect();
                self.services.insert(service, (mailbox, filters));
                router.attach(ServiceId(service), sender, &wanted)
            }
            Step::Subscribe(service, which, qos) => {
                if let Some((_, filters)) = self.services.get_mut(&service) {
                    filters.insert(filter(FILTERS[which]), qos);
                }
                router.change(
                    ServiceId(service),
                    &[SubscriptionChange::Subscribe(subscription(
                        FILTERS[which],
                        qos,
                    ))],
                )
            }
            Step::Unsubscribe(service, which) => {
                if let Some((_, filters)) = self.services.get_mut(&service) {
                    filters.remove(&filter(FILTERS[which]));
                }
                router.change(
                    ServiceId(service),
                    &[SubscriptionChange::Unsubscribe(filter(FILTERS[which]))],
                )
            }
            Step::Detach(service) => {
                self.services.remove(&service);
                router.detach(ServiceId(service))
            }
            Step::Publish(topic, copies, reversed) => {
                self.publish(router, TOPICS[topic], copies, reversed);
                SubscriptionDiff::default()
            }
        };

        self.tell(difference);
        self.check(router);
    }
}

#[derive(Debug, Clone)]
enum Load {
    Route(usize),
    Take(usize),
    Drop(usize),
}

fn load() -> impl Strategy<Value = Load> {
    prop_oneof![
        8 => (0..TOPICS.len()).prop_map(Load::Route),
        4 => (0_usize..3).prop_map(Load::Take),
        1 => (0_usize..3).prop_map(Load::Drop),
    ]
}

proptest! {
    /// However the broker splits copies and whatever changes in between.
    #[test]
    fn each_service_gets_each_message_exactly_once(steps in prop::collection::vec(step(), 0..60)) {
        let mut world = World::default();
        let mut router = Router::new();
        for step in steps {
            world.step(&mut router, step);
        }
    }

    /// Every mailbox that took a message gives its receipt back exactly once: by handling it, or as settled.
    #[test]
    fn each_receipt_that_was_taken_is_handled_or_settled(steps in prop::collection::vec(load(), 0..80)) {
        let mut router = Router::new();
        let policies = [WhenFull::DropOldest, WhenFull::DropNewest, WhenFull::Hold];
        let mut mailboxes: Vec<Option<Mailbox>> = Vec::new();
        for (service, when_full) in (0..).zip(policies) {
            let (sender, mailbox) = mailbox::mailbox(mailbox::Limits { messages: 3, bytes: usize::MAX, when_full });
            router.attach(ServiceId(service), sender, &[subscription("a/#", Qos::AtLeastOnce), subscription("+", Qos::AtLeastOnce)]);
            mailboxes.push(Some(mailbox));
        }
        let mut owed: HashMap<Receipt, usize> = HashMap::new();
        let mut given_back: Vec<Receipt> = Vec::new();
        for (number, step) in (0..).zip(steps) {
            match step {
                Load::Route(topic) => {
                    let receipt = Receipt::Arrived(number);
                    let taken = router.route(Delivery::new(message(TOPICS[topic]), Some(receipt)), &[], &mut given_back);
                    owed.insert(receipt, taken);
                }
                Load::Take(which) => {
                    let next = mailboxes[which].as_mut().and_then(Mailbox::try_next);
                    if let Some(Next::Delivery(delivery)) = next {
                        given_back.extend(delivery.receipt);
                    }
                }
                Load::Drop(which) => mailboxes[which] = None,
            }
        }

        mailboxes.clear();
        for service in 0..3 {
            given_back.extend(router.detach(ServiceId(service)).discarded);
        }
        for receipt in given_back {
            let left = owed.get_mut(&receipt).unwrap();
            prop_assert!(*left > 0, "{receipt:?} given back too often");
            *left -= 1;
        }
        prop_assert!(owed.values().all(|left| *left == 0), "{owed:?}");
    }
}
