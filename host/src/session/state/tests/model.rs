//! A model of a broker and of services around the session state. Every packet that the state sends is checked when the broker
//! reads it; the messages of both sides are compared at the end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::*;

/// A step of the model.
#[derive(Debug, Clone)]
pub(super) enum Step {
    /// A timer publishes one message.
    Publish(u8),
    /// So many packets of the session reach the broker.
    Transport(usize),
    /// So many of the broker's answers reach the session.
    Answer(usize),
    /// The broker delivers a message.
    Deliver(u8),
    /// A service handles one of its messages, and publishes.
    Commit {
        which: prop::sample::Index,
        publishes: Vec<u8>,
    },
    /// A subscription takes an identifier.
    Subscribe,
    /// The connection is lost, perhaps with the session, and made again.
    Lose { session: bool },
}

/// A packet on its way to the broker.
#[derive(Debug, Clone)]
enum Sent {
    Publish {
        id: u16,
        dup: bool,
        qos: u8,
        number: u32,
    },
    Ack(Ack),
    Request(u16),
}

/// A message that the broker delivers until it is acknowledged.
#[derive(Debug, Clone)]
struct Held {
    id: u16,
    qos: u8,
    number: u32,
    received: bool,
}

pub(super) struct Model {
    state: State,
    server: ServerCapabilities,
    window: usize,
    protocol: Protocol,
    next: u32,
    // on its way
    to_broker: VecDeque<Sent>,
    to_session: VecDeque<Incoming>,
    // the broker
    taken: Vec<u32>,
    unreleased: BTreeSet<u16>,
    in_use: BTreeSet<u16>,
    held: Vec<Held>,
    /// Identifiers in the order of delivery on this connection, QoS 1 and QoS 2 (MQTT 5, section 4.6).
    awaited: [VecDeque<u16>; 2],
    next_id: u16,
    // the services
    running: Vec<(Option<Receipt>, u32)>,
    handled: BTreeMap<u32, Vec<u32>>,
    deliveries: Vec<(u32, u8)>,
    published: Vec<(u32, u8)>,
    lag: usize,
}

fn message(number: u32, qos: u8) -> Message {
    Message::new(
        Topic::new("t").unwrap(),
        number.to_string(),
        Qos::try_from(qos).unwrap(),
        false,
    )
}

impl Model {
    pub(super) fn new(protocol: Protocol, window: u16) -> Self {
        let server = ServerCapabilities {
            receive_maximum: window,
            ..ServerCapabilities::default()
        };
        let mut model = Self {
            state: State::new(
                protocol,
                OutboxLimits {
                    messages: 1_000,
                    bytes: 1 << 30,
                },
            ),
            server,
            window: if protocol == Protocol::V5 {
                usize::from(window)
            } else {
                512
            },
            protocol,
            next: 0,
            to_broker: VecDeque::new(),
            to_session: VecDeque::new(),
            taken: Vec::new(),
            unreleased: BTreeSet::new(),
            in_use: BTreeSet::new(),
            held: Vec::new(),
            awaited: Default::default(),
            next_id: 0,
            running: Vec::new(),
            handled: BTreeMap::new(),
            deliveries: Vec::new(),
            published: Vec::new(),
            lag: 3,
        };

        model.connect(false);
        model
    }

    pub(super) fn play(&mut self, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Publish(qos) => {
                    let message = self.new_message(qos);
                    self.state.publish(None, None, vec![message.into()]);
                }
                Step::Transport(count) => (0..count).for_each(|_| self.transport()),
                Step::Answer(count) => (0..count).for_each(|_| self.answer()),
                Step::Deliver(qos) => self.deliver(qos),
                Step::Commit { which, publishes } => self.commit(which, &publishes),
                Step::Subscribe => {
                    let wanted = wanted(&format!("f/{}", self.next), 1);
                    self.state.change_subscriptions(vec![wanted], Vec::new());
                }
                Step::Lose { session } => self.lose(session),
            }
        }
    }

    fn new_message(&mut self, qos: u8) -> Message {
        self.next += 1;
        self.published.push((self.next, qos));
        message(self.next, qos)
    }

    fn connect(&mut self, session_present: bool) {
        let ack = ConnAck {
            session_present,
            reason: Reason::SUCCESS,
            text: None,
            server: self.server.clone(),
        };

        self.state.handle_connack(&ack, Vec::new());
    }

    fn lose(&mut self, session: bool) {
        self.state.end_connection();
        self.to_broker.clear();
        self.to_session.clear();
        self.awaited = Default::default();
        self.in_use = self.unreleased.clone();
        if session {
            self.unreleased.clear();
            self.in_use.clear();
            self.held.clear();
        }
        self.connect(!session);
        for held in self.held.clone() {
            if held.received {
                self.to_session
                    .push_back(Incoming::Ack(Ack::success(AckKind::PubRel, held.id)));
            } else {
                self.awaited[usize::from(held.qos == 2)].push_back(held.id);
                self.to_session.push_back(publish(&held, true));
            }
        }
    }

    /// One packet from the session to the broker; the next packet of the state is put on the way first.
    fn transport(&mut self) {
        if let Some(packet) = self.state.poll_transmit() {
            let sent = match packet {
                Outgoing::Publish { id, dup, message } => {
                    let number = std::str::from_utf8(&message.payload)
                        .unwrap()
                        .parse()
                        .unwrap();
                    Sent::Publish {
                        id,
                        dup,
                        qos: message.qos.into(),
                        number,
                    }
                }
                Outgoing::Ack(ack) => Sent::Ack(ack),
                Outgoing::Subscribe(request) => Sent::Request(request.id),
                other => panic!("{other:?} was not asked for"),
            };

            self.to_broker.push_back(sent);
        }

        // some packets are still on the way when a connection is lost
        if self.to_broker.len() > self.lag
            && let Some(sent) = self.to_broker.pop_front()
        {
            self.broker_reads(sent);
        }
    }

    fn broker_reads(&mut self, sent: Sent) {
        match sent {
            Sent::Publish { qos: 0, .. } => {}
            Sent::Publish {
                id,
                dup,
                qos,
                number,
            } => {
                let new = self.in_use.insert(id);
                assert!(new || dup, "identifier {id} is in use");
                assert!(self.in_use.len() <= self.window + 1_000, "window");
                let repeated = qos == 2 && !self.unreleased.insert(id);
                if !repeated {
                    self.taken.push(number);
                }
                let kind = if qos == 1 {
                    AckKind::PubAck
                } else {
                    AckKind::PubRec
                };
                self.to_session
                    .push_back(Incoming::Ack(Ack::success(kind, id)));
            }
            Sent::Request(id) => {
                assert!(self.in_use.insert(id), "identifier {id} is in use");
                self.to_session.push_back(Incoming::SubAck {
                    id,
                    reasons: vec![Reason::SUCCESS],
                });
            }
            Sent::Ack(ack) => self.broker_reads_ack(ack),
        }
    }

    fn broker_reads_ack(&mut self, ack: Ack) {
        match ack.kind {
            AckKind::PubRel => {
                self.unreleased.remove(&ack.id);
                self.to_session
                    .push_back(Incoming::Ack(Ack::success(AckKind::PubComp, ack.id)));
            }
            AckKind::PubComp => self.held.retain(|held| held.id != ack.id),
            AckKind::PubAck | AckKind::PubRec => {
                let awaited = self.awaited[usize::from(ack.kind == AckKind::PubRec)].pop_front();
                assert_eq!(awaited, Some(ack.id), "acknowledgements out of order");
                let place = self.held.iter().position(|held| held.id == ack.id).unwrap();
                let held = &mut self.held[place];
                assert_eq!(held.qos == 2, ack.kind == AckKind::PubRec);
                held.received = true;
                let number = held.number;
                let publishes = self
                    .handled
                    .get(&number)
                    .expect("acknowledged before it was handled");
                for publish in publishes {
                    assert!(
                        self.taken.contains(publish),
                        "acknowledged before the broker had what it published"
                    );
                }

                if ack.kind == AckKind::PubAck {
                    self.held.remove(place);
                } else {
                    self.to_session
                        .push_back(Incoming::Ack(Ack::success(AckKind::PubRel, ack.id)));
                }
            }
        }
    }

    /// One packet from the broker to the session.
    fn answer(&mut self) {
        let Some(packet) = self.to_session.pop_front() else {
            return;
        };
        match &packet {
            Incoming::Ack(Ack {
                kind: AckKind::PubAck | AckKind::PubComp,
                id,
                ..
            })
            | Incoming::SubAck { id, .. } => {
                self.in_use.remove(id);
            }
            _ => {}
        }

        if let Some(arrival) = self.state.handle_packet(packet).unwrap() {
            let number: u32 = std::str::from_utf8(&arrival.message.payload)
                .unwrap()
                .parse()
                .unwrap();
            self.deliveries.push((number, arrival.message.qos.into()));
            self.running.push((arrival.receipt, number));
            if let Some(receipt) = arrival.receipt {
                self.state.handle_routed(receipt, 1);
            }
        }
    }

    fn deliver(&mut self, qos: u8) {
        self.next += 1;
        let number = self.next;
        if qos == 0 {
            self.to_session.push_back(publish(
                &Held {
                    id: 0,
                    qos,
                    number,
                    received: false,
                },
                false,
            ));

            return;
        }

        // a small range, so that identifiers are used again soon
        let free = |id: &u16| self.held.iter().all(|held| held.id != *id);
        let Some(id) = (1..=20)
            .map(|step| (self.next_id + step) % 20 + 1)
            .find(free)
        else {
            return;
        };

        self.next_id = id;
        let held = Held {
            id,
            qos,
            number,
            received: false,
        };

        self.to_session.push_back(publish(&held, false));
        self.awaited[usize::from(qos == 2)].push_back(id);
        self.held.push(held);
    }

    fn commit(&mut self, which: prop::sample::Index, qos: &[u8]) {
        if self.running.is_empty() {
            return;
        }
        let (receipt, number) = self.running.remove(which.index(self.running.len()));
        let publishes: Vec<Message> = qos.iter().map(|qos| self.new_message(*qos)).collect();
        let awaited = self
            .published
            .iter()
            .rev()
            .take(publishes.len())
            .filter(|(_, qos)| *qos > 0);

        self.handled
            .insert(number, awaited.map(|(number, _)| *number).collect());
        self.state.publish(
            None,
            receipt,
            publishes.into_iter().map(Publication::from).collect(),
        );
    }

    /// Handles, transports and answers until nothing is left anywhere.
    pub(super) fn finish(&mut self) {
        self.lag = 0;
        for _ in 0..100_000 {
            while let Some((receipt, number)) = self.running.pop() {
                self.handled.insert(number, Vec::new());
                self.state.publish(None, receipt, Vec::new());
            }
            self.transport();
            self.answer();
            let quiet =
                self.to_session.is_empty() && self.to_broker.is_empty() && self.running.is_empty();
            if quiet && self.held.is_empty() && self.state.is_drained() {
                assert_eq!((self.state.unsent(), self.state.unacknowledged()), (0, 0));
                return;
            }
        }

        panic!(
            "wedged: {} held, {} unsent, {:?}",
            self.held.len(),
            self.state.unsent(),
            self.protocol
        );
    }

    pub(super) fn check_outgoing(&self, exactly_once: bool) {
        let mut seen = BTreeSet::new();
        let first: Vec<u32> = self
            .taken
            .iter()
            .copied()
            .filter(|number| seen.insert(*number))
            .collect();

        let wanted: Vec<u32> = self
            .published
            .iter()
            .filter(|(_, qos)| *qos > 0)
            .map(|(number, _)| *number)
            .collect();

        assert_eq!(first, wanted, "lost, or not in send order");
        if exactly_once {
            let count = |wanted: u32| {
                self.taken
                    .iter()
                    .filter(|number| **number == wanted)
                    .count()
            };

            if self.taken.len() < 5_000 {
                for (number, _) in self.published.iter().filter(|(_, qos)| *qos == 2) {
                    assert_eq!(
                        count(*number),
                        1,
                        "QoS 2 message {number} taken more than once"
                    );
                }
            }

            let mut delivered = BTreeSet::new();
            for (number, qos) in self.deliveries.iter().filter(|(_, qos)| *qos == 2) {
                assert!(
                    delivered.insert(*number),
                    "QoS {qos} message {number} delivered twice"
                );
            }
        }
    }
}

fn publish(held: &Held, dup: bool) -> Incoming {
    let mut message = message(held.number, held.qos);
    message.dup = dup;
    Incoming::Publish(Publish {
        id: held.id,
        subscription_ids: SubscriptionIds::default(),
        message,
    })
}
