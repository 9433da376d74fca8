//! The session state against a broker that ends the connection by an unknown rule, and answers everything else in order.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::config::{OutboxLimits, Protocol};
use crate::message::{Message, Outcome, Publication, Qos, Subscription, Terms, Token};
use crate::router::ServiceId;
use crate::session::packet::{
    Ack, AckKind, ConnAck, Incoming, Outgoing, Reason, ServerCapabilities,
};
use crate::session::state::{EndedBy, Event, Output, PersistOp, State, WantedSubscription};
use crate::topic::{Filter, Topic};

/// How the broker's answers fare when it ends a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lost {
    /// They come.
    Nothing,
    /// None of those comes that the connection had not given before.
    Answers,
}

/// A broker, and the world around it.
struct Broker {
    state: State,
    protocol: Protocol,
    now: Instant,
    /// Subscriptions of the services.
    filters: Vec<String>,
    /// Ends the connection for a packet with one of these.
    poison: BTreeSet<String>,
    /// Ends the connection for more filters in one packet.
    most_filters: usize,
    keeps_session: bool,
    lost: Lost,
    /// How many packets reach the broker before its answers reach the session.
    batch: usize,
    connections: usize,
    session: bool,
    taken: Vec<String>,
    subscribed: BTreeSet<String>,
    dead_letters: Vec<(String, Option<ServiceId>)>,
    refused: usize,
    events: Vec<Event>,
    online: Vec<Message>,
}

fn filter(text: &str) -> Filter {
    Filter::new(text).unwrap()
}

fn message(topic: &str, qos: u8) -> Message {
    Message::new(
        Topic::new(topic.to_owned()).unwrap(),
        "m",
        Qos::try_from(qos).unwrap(),
        false,
    )
}

impl Broker {
    fn new(protocol: Protocol) -> Self {
        Self {
            state: State::new(
                protocol,
                OutboxLimits {
                    messages: 100_000,
                    bytes: 1 << 30,
                },
            ),
            protocol,
            now: Instant::now(),
            filters: Vec::new(),
            poison: BTreeSet::new(),
            most_filters: usize::MAX,
            keeps_session: true,
            lost: Lost::Answers,
            batch: 64,
            connections: 0,
            session: false,
            taken: Vec::new(),
            subscribed: BTreeSet::new(),
            dead_letters: Vec::new(),
            refused: 0,
            events: Vec::new(),
            online: Vec::new(),
        }
    }

    fn publish(&mut self, topic: &str, qos: u8) {
        let token = std::num::NonZeroU64::new(1).map(Token);
        let terms = Terms {
            token,
            only_if_changed: None,
            offline: None,
            kept: None,
            at: self.now,
        };

        let publication = Publication {
            message: message(topic, qos),
            terms: Some(Box::new(terms)),
        };
        self.state
            .publish(Some(ServiceId(1)), None, vec![publication]);
    }

    fn is_poison(&self, text: &str) -> bool {
        self.poison.contains(text)
    }

    fn connect(&mut self) {
        self.connections += 1;
        let wanted = self
            .filters
            .iter()
            .enumerate()
            .map(|(place, text)| WantedSubscription {
                subscription: Subscription {
                    filter: filter(text),
                    qos: Qos::AtLeastOnce,
                },
                id: u32::try_from(place).unwrap() + 1,
            });
        let wanted = wanted.collect();
        let session_present = self.session && self.keeps_session;
        if !session_present {
            self.subscribed.clear();
        }
        self.session = true;
        let server = ServerCapabilities {
            subscription_ids: self.protocol == Protocol::V5,
            ..ServerCapabilities::default()
        };
        self.state.handle_connack(
            &ConnAck {
                session_present,
                reason: Reason::SUCCESS,
                text: None,
                server,
            },
            wanted,
        );

        self.state.publish(
            None,
            None,
            self.online.iter().cloned().map(Publication::from).collect(),
        );
        self.tick(Duration::ZERO);
    }

    fn tick(&mut self, time: Duration) {
        self.now += time;
        self.state.handle_timeout(self.now);
        self.drain_outputs();
    }

    fn subscribe_again(&mut self, filter: Filter) {
        let place = self
            .filters
            .iter()
            .position(|text| text == filter.as_str())
            .unwrap();
        let subscription = Subscription {
            filter,
            qos: Qos::AtLeastOnce,
        };
        self.state.change_subscriptions(
            vec![WantedSubscription {
                subscription,
                id: u32::try_from(place).unwrap() + 1,
            }],
            Vec::new(),
        );
    }

    fn drain_outputs(&mut self) {
        while let Some(output) = self.state.poll_output() {
            match output {
                Output::Persist(PersistOp::DeadLetter(unsent)) => {
                    let topic = unsent.message.topic.to_string();
                    self.online
                        .retain(|message| message.topic != unsent.message.topic);
                    self.dead_letters.push((topic, unsent.origin.service));
                }
                Output::Outcome(_, Outcome::Refused(_)) => self.refused += 1,
                Output::Event(event) => self.events.push(event),
                Output::RetryFilter(filter) => self.subscribe_again(filter),
                Output::Persist(_) | Output::Outcome(..) | Output::Subscription(_) => {}
            }
        }
    }

    /// Lets packets and answers go back and forth until nothing moves: whether the connection still stands.
    fn exchange(&mut self) -> bool {
        loop {
            let mut answers = Vec::new();
            let mut sent = 0;
            while sent < self.batch
                && let Some(packet) = self.state.poll_transmit()
            {
                sent += 1;
                let (texts, answer) = read(&packet);
                let is_request =
                    matches!(packet, Outgoing::Subscribe(_) | Outgoing::Unsubscribe(_));
                let subscribes = matches!(packet, Outgoing::Subscribe(_));
                if texts.iter().any(|text| self.is_poison(text))
                    || (is_request && texts.len() > self.most_filters)
                {
                    if self.lost == Lost::Nothing {
                        self.answer(answers);
                    }
                    self.now += Duration::from_millis(1);
                    self.state.handle_disconnect(EndedBy::Broker, self.now);
                    self.drain_outputs();
                    return false;
                }

                match (is_request, subscribes) {
                    (true, true) => self.subscribed.extend(texts),
                    (true, false) => texts
                        .iter()
                        .for_each(|text| _ = self.subscribed.remove(text)),
                    _ => self.taken.extend(texts),
                }

                answers.extend(answer);
            }

            self.now += Duration::from_millis(1);
            let moved = sent > 0 || !answers.is_empty();
            self.answer(answers);
            self.tick(Duration::ZERO);
            if !moved {
                return true;
            }
        }
    }

    fn answer(&mut self, answers: Vec<Incoming>) {
        for answer in answers {
            self.state.handle_packet(answer).unwrap();
        }
        self.drain_outputs();
    }

    /// Connects as often as needed until a connection stands and nothing waits.
    fn settle(&mut self) {
        for _ in 0..200 {
            self.connect();
            if !self.exchange() {
                continue;
            }
            // the time passes in which a connection has to live without the packets that are held back
            for _ in 0..40 {
                self.tick(Duration::from_millis(100));
                if !self.exchange() {
                    break;
                }
                if self.state.is_drained() && self.state.poll_timeout(self.now).is_none() {
                    return;
                }
            }
        }

        panic!(
            "wedged after {} connections: {:?}",
            self.connections, self.events
        );
    }
}

/// The texts that the broker's rules examine, and its answer.
fn read(packet: &Outgoing<'_>) -> (Vec<String>, Option<Incoming>) {
    let ack = |kind, id| Some(Incoming::Ack(Ack::success(kind, id)));
    match packet {
        Outgoing::Publish { id, message, .. } => {
            let answer = match message.qos {
                Qos::AtMostOnce => None,
                Qos::AtLeastOnce => ack(AckKind::PubAck, *id),
                Qos::ExactlyOnce => ack(AckKind::PubRec, *id),
            };
            (vec![message.topic.to_string()], answer)
        }
        Outgoing::Ack(Ack {
            kind: AckKind::PubRel,
            id,
            ..
        }) => (Vec::new(), ack(AckKind::PubComp, *id)),
        Outgoing::Subscribe(request) => {
            let reasons = vec![Reason(1); request.subscriptions.len()];
            let texts = request
                .subscriptions
                .iter()
                .map(|one| one.filter.to_string())
                .collect();
            (
                texts,
                Some(Incoming::SubAck {
                    id: request.id,
                    reasons,
                }),
            )
        }
        Outgoing::Unsubscribe(request) => {
            let texts = request
                .filters
                .iter()
                .map(|one| format!("un {one}"))
                .collect();
            (
                texts,
                Some(Incoming::UnsubAck {
                    id: request.id,
                    reasons: vec![Reason::SUCCESS; request.filters.len()],
                }),
            )
        }
        Outgoing::PingReq => (Vec::new(), Some(Incoming::PingResp)),
        _ => (Vec::new(), None),
    }
}

/// Connections that are enough for `poisons` among `many`: two until it is noticed, then at most one for each halving, three alone.
fn enough(poisons: usize, many: usize) -> usize {
    let halvings = usize::try_from(many.max(128).ilog2()).unwrap() + 2;
    3 + poisons * (halvings + 4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn poisonous_messages_are_found_and_nothing_else_is_set_aside(
        count in 1_usize..2_000,
        poison in proptest::collection::vec(any::<prop::sample::Index>(), 1..=2),
        qos in proptest::collection::vec(0_u8..3, 1..7),
        v5 in any::<bool>(), keeps_session in any::<bool>(), answers_come in any::<bool>(), batch in 1_usize..400,
    ) {
        let mut broker = Broker::new(if v5 { Protocol::V5 } else { Protocol::V311 });
        (broker.keeps_session, broker.batch) = (keeps_session, batch);
        broker.lost = if answers_come { Lost::Nothing } else { Lost::Answers };
        broker.filters = (0..20).map(|number| format!("f/{number}")).collect();
        let numbers: BTreeSet<usize> = poison.iter().map(|index| index.index(count)).collect();
        let qos_of = |number: usize| qos[number % qos.len()];
        broker.poison = numbers.iter().map(|number| format!("m/{number}")).collect();
        for number in 0..count {
            broker.publish(&format!("m/{number}"), qos_of(number));
        }
        broker.settle();
        // a QoS 0 message that ended a connection before a search began is not sent again, so it is not found and does no more harm
        let found: BTreeSet<String> = broker.dead_letters.iter().map(|(topic, _)| topic.clone()).collect();
        let must: BTreeSet<String> = numbers.iter().filter(|n| qos_of(**n) > 0).map(|n| format!("m/{n}")).collect();
        prop_assert!(found.is_subset(&broker.poison), "{:?}", broker.dead_letters);
        prop_assert!(must.is_subset(&found), "{must:?} {found:?}");
        prop_assert!(broker.dead_letters.iter().all(|(_, service)| *service == Some(ServiceId(1))));
        prop_assert_eq!(broker.refused, broker.dead_letters.len());
        let taken: BTreeSet<&String> = broker.taken.iter().collect();
        let missing = (0..count).filter(|n| qos_of(*n) > 0 && !numbers.contains(n) && !taken.contains(&format!("m/{n}")));
        prop_assert_eq!(missing.count(), 0);
        prop_assert!(broker.connections <= enough(numbers.len(), count), "{} connections", broker.connections);
        prop_assert_eq!(broker.subscribed.len(), 20);
    }

    #[test]
    fn poisonous_filters_are_found_and_all_others_stand(
        count in 1_usize..600,
        poison in proptest::collection::vec(any::<prop::sample::Index>(), 1..=2),
        v5 in any::<bool>(), keeps_session in any::<bool>(), batch in 1_usize..400, most_filters in 1_usize..200,
    ) {
        let mut broker = Broker::new(if v5 { Protocol::V5 } else { Protocol::V311 });
        (broker.keeps_session, broker.batch, broker.most_filters) = (keeps_session, batch, most_filters);
        broker.filters = (0..count).map(|number| format!("f/{number}")).collect();
        broker.poison = poison.iter().map(|index| format!("f/{}", index.index(count))).collect();
        broker.publish("one", 1);
        broker.settle();
        let quarantined: BTreeSet<String> = broker.state.quarantined_filters().iter().map(ToString::to_string).collect();
        prop_assert_eq!(&quarantined, &broker.poison);
        prop_assert_eq!(broker.subscribed.len(), count - broker.poison.len());
        prop_assert!(broker.dead_letters.is_empty());
        prop_assert!(broker.connections <= enough(broker.poison.len() + 1, count), "{} connections", broker.connections);
        // a filter is tried again after an hour
        let poison = std::mem::take(&mut broker.poison);
        broker.tick(Duration::from_secs(3601));
        broker.exchange();
        prop_assert!(poison.is_subset(&broker.subscribed));
    }

    #[test]
    fn connections_that_end_for_no_packet_set_nothing_aside(
        count in 1_usize..500, qos in 0_u8..3, v5 in any::<bool>(),
        ends in proptest::collection::vec((1_usize..40, 0_usize..3, any::<bool>()), 1..60),
    ) {
        let mut broker = Broker::new(if v5 { Protocol::V5 } else { Protocol::V311 });
        broker.filters = vec!["f".to_owned()];
        for number in 0..count {
            broker.publish(&format!("m/{number}"), qos);
        }
        for (answered, unanswered, by_broker) in ends {
            broker.connect();
            for number in 0..answered + unanswered {
                let Some(packet) = broker.state.poll_transmit() else { break };
                let answer = read(&packet).1.filter(|_| number < answered);
                broker.answer(answer.into_iter().collect());
            }
            broker.now += Duration::from_millis(20);
            broker.state.handle_disconnect(if by_broker { EndedBy::Broker } else { EndedBy::Other }, broker.now);
            broker.drain_outputs();
        }

        broker.settle();
        prop_assert!(broker.dead_letters.is_empty(), "{:?}", broker.dead_letters);
        prop_assert!(broker.state.quarantined_filters().is_empty());
    }
}

#[test]
fn repeated_qos_0_message_is_found() {
    let mut broker = Broker::new(Protocol::V5);
    broker.poison.insert("bad".to_owned());
    broker.connect();
    for _ in 0..20 {
        broker.publish("good", 0);
        broker.publish("bad", 0);
        if !broker.exchange() {
            broker.connect();
        }
        broker.tick(Duration::from_millis(500));
    }

    broker.settle();
    assert!(
        broker.dead_letters.iter().all(|(topic, _)| topic == "bad"),
        "{:?}",
        broker.dead_letters
    );
    assert!(
        broker
            .events
            .iter()
            .any(|event| matches!(event, Event::Quarantined { .. })),
        "{:?}",
        broker.events
    );

    // the third on the same topic is the last that is tried
    assert!(
        broker
            .events
            .iter()
            .any(|event| matches!(event, Event::Banned(_))),
        "{:?}",
        broker.events
    );

    let before = broker.connections;
    for _ in 0..50 {
        broker.publish("bad", 1);
    }
    assert!(broker.exchange());
    assert_eq!(broker.connections, before);
}

#[test]
fn poisonous_announcements_are_found() {
    let mut broker = Broker::new(Protocol::V311);
    let online = Message {
        retain: true,
        ..message("service/x/online", 1)
    };
    broker.online = vec![online, message("service/y/online", 1)];
    broker.poison.insert("service/x/online".to_owned());
    broker.settle();
    assert!(
        broker
            .dead_letters
            .iter()
            .all(|(topic, _)| topic == "service/x/online"),
        "{:?}",
        broker.dead_letters
    );

    assert!(broker.taken.contains(&"service/y/online".to_owned()));
}

#[test]
fn an_unsubscribe_that_ends_the_connection_is_given_up() {
    let mut broker = Broker::new(Protocol::V5);
    broker.filters = vec!["a".to_owned(), "b".to_owned()];
    broker.settle();
    broker.poison.insert("un b".to_owned());
    broker.filters.pop();
    broker
        .state
        .change_subscriptions(Vec::new(), vec![filter("b")]);
    assert!(!broker.exchange());
    broker.settle();
    let given_up = Event::FilterQuarantined {
        filter: filter("b"),
        unsubscribe: true,
    };
    assert!(broker.events.contains(&given_up), "{:?}", broker.events);
}

#[test]
fn a_broker_that_takes_few_filters_in_a_packet_gets_few() {
    let mut broker = Broker::new(Protocol::V311);
    broker.filters = (0..22).map(|number| format!("f/{number}")).collect();
    broker.most_filters = 8;
    broker.settle();
    assert_eq!(broker.subscribed.len(), 22);
    assert!(broker.state.quarantined_filters().is_empty());
    assert!(
        broker.connections <= 5,
        "{} connections",
        broker.connections
    );
    let told: Vec<_> = broker
        .events
        .iter()
        .filter(|event| matches!(event, Event::FewFilters { max: 5 }))
        .collect();
    assert_eq!(told.len(), 1, "{:?}", broker.events);
    // it is remembered
    let before = broker.connections;
    broker.keeps_session = false;
    broker.state.handle_disconnect(EndedBy::Other, broker.now);
    broker.settle();
    assert_eq!(
        (broker.connections, broker.subscribed.len()),
        (before + 1, 22)
    );
}
