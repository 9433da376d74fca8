//! Covering against a broker in a map that refuses some filters and answers when it likes.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::super::{IdentifiedSubscription, Match};
use super::*;
use crate::message::Subscription;
use crate::router::ServiceId;
use crate::topic::{Filter, Topic};

const FILTERS: [&str; 12] = [
    "a",
    "a/#",
    "a/b",
    "a/+",
    "+/b",
    "#",
    "+/#",
    "b/#",
    "a/b/c",
    "a/+/c",
    "+",
    "$share/g/a/#",
];
const TOPICS: [&str; 7] = ["a", "a/b", "a/b/c", "b", "b/b", "c", "a/x/c"];

#[derive(Debug, Clone)]
enum Step {
    Join(u32, usize, Qos),
    Leave(u32, usize),
    Answer,
    Connect { session_present: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let service = 0_u32..3;
    let which = 0..FILTERS.len();
    let qos = (0_u8..3).prop_map(|qos| Qos::try_from(qos).unwrap());
    prop_oneof![
        5 => (service.clone(), which.clone(), qos).prop_map(|(service, which, qos)| Step::Join(service, which, qos)),
        3 => (service, which).prop_map(|(service, which)| Step::Leave(service, which)),
        6 => Just(Step::Answer),
        1 => any::<bool>().prop_map(|session_present| Step::Connect { session_present }),
    ]
}

fn filter(which: usize) -> Filter {
    Filter::new(FILTERS[which]).unwrap()
}

/// Filters, services and a broker.
struct World {
    filters: Filters,
    refused: BTreeSet<usize>,
    broker: BTreeMap<Filter, Qos>,
    unanswered: VecDeque<Filter>,
    wanted: BTreeMap<(u32, usize), Qos>,
    /// Those of `wanted` whose messages come.
    served: BTreeSet<(u32, usize)>,
}

impl World {
    fn new(refused: BTreeSet<usize>) -> Self {
        let broker = BTreeMap::new();
        let unanswered = VecDeque::new();
        let mut world = Self {
            filters: Filters::default(),
            refused,
            broker,
            unanswered,
            wanted: BTreeMap::new(),
            served: BTreeSet::new(),
        };

        world.connect(false);
        world
    }

    fn connect(&mut self, session_present: bool) {
        self.unanswered.clear();
        if !session_present {
            self.broker.clear();
            self.served.clear();
        }
        let told = self.filters.on_connected(false, session_present);
        self.tell(told);
    }

    fn tell(&mut self, (subscribe, unsubscribe): (Vec<IdentifiedSubscription>, Vec<Filter>)) {
        for IdentifiedSubscription {
            subscription: Subscription { filter, qos },
            ..
        } in subscribe
        {
            if !self.refuses(&filter) {
                self.broker.insert(filter.clone(), qos);
            }
            self.unanswered.push_back(filter);
        }

        for filter in unsubscribe {
            self.broker.remove(&filter);
        }
    }

    fn refuses(&self, asked: &Filter) -> bool {
        self.refused.iter().any(|which| filter(*which) == *asked)
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Join(service, which, qos) => {
                self.wanted.insert((service, which), qos);
                self.filters.add_member(
                    ServiceId(service),
                    &Subscription {
                        filter: filter(which),
                        qos,
                    },
                );
            }
            Step::Leave(service, which) => {
                self.wanted.remove(&(service, which));
                self.served.remove(&(service, which));
                self.filters
                    .remove_member(ServiceId(service), &filter(which));
            }
            Step::Answer => self.answer(),
            Step::Connect { session_present } => self.connect(session_present),
        }

        let told = self.filters.diff();
        self.tell(told);
        self.check_served();
    }

    fn answer(&mut self) {
        if let Some(filter) = self.unanswered.pop_front() {
            let granted = !self.refuses(&filter);
            self.filters.on_answer(&filter, granted);
        }
    }

    /// The filter that brings the messages of another, with the highest quality of service.
    fn brought(&self, which: usize) -> Option<(&Filter, Qos)> {
        let wanted = filter(which);
        let is_shared = |filter: &Filter| filter.as_str() != filter.pattern();
        let brings = |other: &Filter| {
            *other == wanted || (!is_shared(other) && !is_shared(&wanted) && other.covers(&wanted))
        };
        let bringing = self
            .broker
            .iter()
            .filter(|(other, _)| brings(other))
            .map(|(other, qos)| (other, *qos));
        bringing.max_by_key(|(_, qos)| *qos)
    }

    /// A filter whose messages came keeps bringing them while it is wanted: there is no gap when one filter takes the place of another.
    fn check_served(&mut self) {
        for (service, which) in self
            .wanted
            .keys()
            .copied()
            .filter(|(_, which)| !self.refused.contains(which))
        {
            match self.brought(which) {
                // until the broker has answered, nothing is promised
                Some(_) if self.unanswered.is_empty() => drop(self.served.insert((service, which))),
                Some(_) => {}
                None => assert!(
                    !self.served.contains(&(service, which)),
                    "{} came, and does not",
                    FILTERS[which]
                ),
            }
        }
    }

    /// When everything is answered, everything comes, and nothing because of two filters of which one covers the other.
    fn check_settled(&mut self) {
        while !self.unanswered.is_empty() {
            self.step(Step::Answer);
        }
        for ((_, which), qos) in self
            .wanted
            .iter()
            .filter(|((_, which), _)| !self.refused.contains(which))
        {
            let (by, granted) = self
                .brought(*which)
                .unwrap_or_else(|| panic!("{} does not come", FILTERS[*which]));
            assert!(
                granted >= *qos,
                "{} comes by {by} with {granted:?}, wanted {qos:?}",
                FILTERS[*which]
            );
        }

        let plain: Vec<&Filter> = self
            .broker
            .keys()
            .filter(|filter| filter.as_str() == filter.pattern())
            .collect();
        for (filter, other) in plain
            .iter()
            .flat_map(|filter| plain.iter().map(move |other| (filter, other)))
        {
            assert!(
                filter == other || !filter.covers(other),
                "{filter} and {other} are both asked for"
            );
        }

        for topic in TOPICS {
            let mut found: Vec<Match> = Vec::new();
            self.filters.recipients(topic, &[], &mut found);
            let topic = Topic::new(topic).unwrap();
            let matching = self
                .wanted
                .keys()
                .filter(|(_, which)| filter(*which).matches(&topic));
            let (refused, granted): (Vec<_>, Vec<_>) =
                matching.partition(|(_, which)| self.refused.contains(which));
            let takes = |service: u32| found.iter().any(|one| one.service.0 == service);
            assert!(
                granted.iter().all(|(service, _)| takes(*service)),
                "{topic}: {found:?}"
            );
            // a filter that would be refused may not have been requested
            let may = |service: u32| {
                granted
                    .iter()
                    .chain(&refused)
                    .any(|(other, _)| *other == service)
            };

            assert!(
                found.iter().all(|one| may(one.service.0)),
                "{topic}: {found:?}"
            );
        }
    }
}

proptest! {
    #[test]
    fn covered_filters_leave_no_gap(
        refused in prop::collection::btree_set(0..FILTERS.len(), 0..3), steps in prop::collection::vec(step(), 0..60),
    ) {
        let mut world = World::new(refused);
        for step in steps {
            world.step(step);
        }
        world.check_settled();
        for session_present in [true, false] {
            world.connect(session_present);
            world.check_settled();
        }
    }
}

fn joined(filters: &mut Filters, service: u32, text: &str) {
    let filter = Filter::new(text).unwrap();
    filters.add_member(
        ServiceId(service),
        &Subscription {
            filter,
            qos: Qos::AtLeastOnce,
        },
    );
}

fn texts(numbered: &[IdentifiedSubscription]) -> Vec<&str> {
    numbered
        .iter()
        .map(|one| one.subscription.filter.as_str())
        .collect()
}

#[test]
fn subscriptions_of_an_earlier_process_are_ended() {
    let mut filters = Filters::default();
    for text in ["a/b", "a/#", "c"] {
        joined(&mut filters, 1, text);
    }
    filters.diff();
    let (subscribe, unsubscribe) = filters.on_connected(false, true);
    assert_eq!(
        (texts(&subscribe), unsubscribe),
        (vec!["a/#", "c"], vec![Filter::new("a/b").unwrap()])
    );
    // with identifiers everything is asked for
    let (subscribe, unsubscribe) = filters.on_connected(true, true);
    assert_eq!(
        (texts(&subscribe), unsubscribe),
        (vec!["a/b", "a/#", "c"], Vec::new())
    );
}

#[test]
fn retained_messages_come_once_when_filters_replace_each_other() {
    let mut filters = Filters::default();
    joined(&mut filters, 1, "a/#");
    joined(&mut filters, 2, "a/b");
    filters.on_connected(false, false);
    filters.on_answer(&Filter::new("a/#").unwrap(), true);
    filters.diff();
    let expecting = |filters: &Filters| {
        let mut found = Vec::new();
        filters.recipients("a/b", &[], &mut found);
        found.retain(|one| filters.wants_retained(one));
        found.iter().map(|one| one.service.0).collect::<Vec<_>>()
    };

    assert_eq!(expecting(&filters), [1, 2]);
    // a third service subscribes to the covered filter: the wide filter is requested again, for the third service alone
    joined(&mut filters, 3, "a/b");
    assert_eq!(filters.diff(), (Vec::new(), Vec::new()));
    let asked = filters
        .request_retained(
            ServiceId(3),
            &Filter::new("a/b").unwrap(),
            std::time::Instant::now(),
        )
        .unwrap();

    assert_eq!(asked.subscription.filter.as_str(), "a/#");
    assert_eq!(expecting(&filters), [3]);
    // the wide filter ends: its retained messages come again, and only a fourth one has not had them
    filters.remove_member(ServiceId(1), &Filter::new("a/#").unwrap());
    let mut other = Filters::default();
    joined(&mut other, 1, "a/#");
    joined(&mut other, 2, "a/b");
    other.on_connected(false, false);
    other.on_answer(&Filter::new("a/#").unwrap(), true);
    other.diff();
    other.remove_member(ServiceId(1), &Filter::new("a/#").unwrap());
    joined(&mut other, 4, "a/b");
    let (subscribe, unsubscribe) = other.diff();
    assert_eq!(
        (texts(&subscribe), unsubscribe),
        (vec!["a/b"], vec![Filter::new("a/#").unwrap()])
    );
    assert_eq!(expecting(&other), [4]);
}
