//! The session state against a model of a broker that acknowledges, delivers and loses connections and sessions at random.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod model;

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::message::Subscription;
use crate::session::packet::{AckKind, Incoming, Publish};
use crate::topic::Topic;
use model::{Model, Step};

fn steps(loses_session: bool) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0_u8..3).prop_map(Step::Publish),
        6 => (1_usize..6).prop_map(Step::Transport),
        6 => (1_usize..4).prop_map(Step::Answer),
        4 => (0_u8..3).prop_map(Step::Deliver),
        5 => (any::<prop::sample::Index>(), proptest::collection::vec(0_u8..3, 0..3)).prop_map(|(which, publishes)| Step::Commit { which, publishes }),
        1 => Just(Step::Subscribe),
        1 => any::<bool>().prop_map(move |kept| Step::Lose { session: !kept && loses_session }),
    ];

    proptest::collection::vec(step, 0..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_live_session_loses_and_repeats_nothing(steps in steps(false), window in 1_u16..8, v5 in any::<bool>()) {
        let mut model = Model::new(if v5 { Protocol::V5 } else { Protocol::V311 }, window);
        model.play(steps);
        model.finish();
        model.check_outgoing(true);
    }

    #[test]
    fn a_lost_session_loses_no_message(steps in steps(true), window in 1_u16..8, v5 in any::<bool>()) {
        let mut model = Model::new(if v5 { Protocol::V5 } else { Protocol::V311 }, window);
        model.play(steps);
        model.finish();
        model.check_outgoing(false);
    }
}

#[test]
fn identifiers_come_round_without_a_collision() {
    let mut model = Model::new(Protocol::V5, 8);
    for round in 0..70_000_u32 {
        let steps = [
            Step::Publish(1 + u8::from(round % 3 == 0)),
            Step::Transport(8),
            Step::Answer(8),
        ];
        model.play(steps.into());
    }

    model.finish();
    model.check_outgoing(true);
}

fn wanted(filter: &str, id: u32) -> WantedSubscription {
    WantedSubscription {
        subscription: Subscription {
            filter: Filter::new(filter).unwrap(),
            qos: Qos::AtLeastOnce,
        },
        id,
    }
}

fn connected(
    protocol: Protocol,
    server: ServerCapabilities,
    wanted: Vec<WantedSubscription>,
) -> State {
    let mut state = State::new(
        protocol,
        OutboxLimits {
            messages: 100,
            bytes: 1 << 20,
        },
    );

    state.handle_connack(
        &ConnAck {
            session_present: false,
            reason: Reason::SUCCESS,
            text: None,
            server,
        },
        wanted,
    );

    state
}

/// The outputs of a state, by kind.
#[derive(Debug, Default)]
struct TurnOutputs {
    events: Vec<Event>,
    answers: Vec<SubscriptionAnswer>,
    persist_ops: Vec<PersistOp>,
}

fn outputs(state: &mut State) -> TurnOutputs {
    let mut drained = TurnOutputs::default();
    while let Some(output) = state.poll_output() {
        match output {
            Output::Event(event) => drained.events.push(event),
            Output::Subscription(answer) => drained.answers.push(answer),
            Output::Persist(op) => drained.persist_ops.push(op),
            Output::Outcome(..) | Output::RetryFilter(_) => {}
        }
    }

    drained
}

fn subscribes(state: &mut State) -> Vec<(Option<u32>, usize)> {
    let mut seen = Vec::new();
    while let Some(packet) = state.poll_transmit() {
        let Outgoing::Subscribe(request) = packet else {
            panic!("not SUBSCRIBE")
        };
        seen.push((request.subscription_id, request.subscriptions.len()));
    }

    seen
}

#[test]
fn filters_share_packets_as_far_as_identifiers_and_sizes_allow() {
    let filters = || {
        (1..=250)
            .map(|id| wanted(&format!("filter/{id}"), id))
            .collect::<Vec<_>>()
    };
    let mut state = connected(Protocol::V311, ServerCapabilities::default(), filters());
    assert_eq!(
        subscribes(&mut state),
        [(None, 100), (None, 100), (None, 50)]
    );
    let mut state = connected(Protocol::V5, ServerCapabilities::default(), filters());
    assert_eq!(
        subscribes(&mut state),
        (1..=250).map(|id| (Some(id), 1)).collect::<Vec<_>>()
    );
    let small = ServerCapabilities {
        subscription_ids: false,
        maximum_packet_size: 100,
        ..ServerCapabilities::default()
    };
    let mut state = connected(Protocol::V5, small, filters());
    let packets = subscribes(&mut state);
    assert!(
        packets
            .iter()
            .all(|(id, count)| id.is_none() && *count <= 7),
        "{packets:?}"
    );

    assert_eq!(packets.iter().map(|(_, count)| count).sum::<usize>(), 250);
}

#[test]
fn unsupported_features_are_refused_locally() {
    let server = ServerCapabilities {
        shared: false,
        wildcards: false,
        ..ServerCapabilities::default()
    };
    let mut state = connected(
        Protocol::V5,
        server,
        vec![wanted("$share/g/a", 1), wanted("a/+", 2), wanted("a", 3)],
    );
    assert_eq!(subscribes(&mut state), [(Some(3), 1)]);
    let refused = |filter: &str, reason| Event::SubscriptionRefused {
        filter: Filter::new(filter).unwrap(),
        reason,
    };
    let expected = [
        refused("$share/g/a", Reason::SHARED_NOT_SUPPORTED),
        refused("a/+", Reason::WILDCARDS_NOT_SUPPORTED),
    ];
    let drained = outputs(&mut state);
    assert_eq!(drained.events, expected);
    let refused = |filter| SubscriptionAnswer {
        filter: Filter::new(filter).unwrap(),
        granted: false,
    };
    assert_eq!(drained.answers, ["$share/g/a", "a/+"].map(refused));
}

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one scenario, read from top to bottom"
)]
fn failures_are_reported_as_events() {
    let server = ServerCapabilities {
        maximum_packet_size: 60,
        ..ServerCapabilities::default()
    };
    let mut state = connected(Protocol::V5, server.clone(), vec![wanted("a", 1)]);
    let Some(Outgoing::Subscribe(request)) = state.poll_transmit() else {
        panic!("not SUBSCRIBE")
    };
    let id = request.id;
    state
        .handle_packet(Incoming::SubAck {
            id,
            reasons: vec![Reason::NOT_AUTHORIZED],
        })
        .unwrap();

    let topic = Topic::new("t").unwrap();
    let message =
        |payload: &str| Message::new(topic.clone(), payload.to_owned(), Qos::AtLeastOnce, false);
    state.publish(
        None,
        None,
        [
            message(&"x".repeat(100)),
            message("refused"),
            message("lost"),
        ]
        .map(Publication::from)
        .into(),
    );

    let Some(Outgoing::Publish { id, .. }) = state.poll_transmit() else {
        panic!("not PUBLISH")
    };
    let reason = Reason(0x97);
    state
        .handle_packet(Incoming::Ack(Ack {
            kind: AckKind::PubAck,
            id,
            reason,
        }))
        .unwrap();

    assert!(state.poll_transmit().is_some());
    // nobody has finished with this one when the connection ends
    let arrived = Publish {
        id: 9,
        subscription_ids: SubscriptionIds::default(),
        message: message("arrived"),
    };
    assert!(
        state
            .handle_packet(Incoming::Publish(arrived))
            .unwrap()
            .is_some()
    );

    state.end_connection();
    for _ in 0..150 {
        state.publish(
            None,
            None,
            vec![Message::new(topic.clone(), "0", Qos::AtMostOnce, false).into()],
        );
    }

    state.handle_connack(
        &ConnAck {
            session_present: false,
            reason: Reason::SUCCESS,
            text: None,
            server,
        },
        Vec::new(),
    );

    let expected = [
        Event::SubscriptionRefused {
            filter: Filter::new("a").unwrap(),
            reason: Reason::NOT_AUTHORIZED,
        },
        Event::TooLarge {
            topic: topic.clone(),
            size: Some(108),
            max: 60,
        },
        Event::Refused { topic, reason },
        Event::SessionLost {
            again: 1,
            unfinished: 1,
        },
        Event::Dropped { count: 51 },
    ];

    assert_eq!(outputs(&mut state).events, expected);
}

#[test]
fn discarded_delivery_does_not_hold_back_the_acknowledgement() {
    let mut state = connected(Protocol::V5, ServerCapabilities::default(), Vec::new());
    let message = Message::new(Topic::new("t").unwrap(), "m", Qos::AtLeastOnce, false);
    let publish = Publish {
        id: 7,
        subscription_ids: SubscriptionIds::default(),
        message,
    };
    let arrival = state
        .handle_packet(Incoming::Publish(publish))
        .unwrap()
        .unwrap();
    let receipt = arrival.receipt.unwrap();
    state.handle_routed(receipt, 2);
    state.publish(None, Some(receipt), Vec::new());
    assert_eq!(state.poll_transmit(), None);
    state.handle_discarded(receipt);
    assert_eq!(
        state.poll_transmit(),
        Some(Outgoing::Ack(Ack::success(AckKind::PubAck, 7)))
    );
}

#[test]
fn the_keepalive_asks_and_then_gives_up() {
    let start = Instant::now();
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    let mut keepalive = Keepalive::new(Duration::from_secs(10), start);
    assert_eq!(keepalive.deadline(), Some(at(10)));
    assert_eq!(keepalive.due(at(9)), DueAction::Nothing);
    assert_eq!(keepalive.due(at(10)), DueAction::Ping);
    keepalive.on_sent(at(10), true);
    assert_eq!(keepalive.deadline(), Some(at(13)));
    assert_eq!(keepalive.due(at(12)), DueAction::Nothing);
    assert_eq!(
        keepalive.due(at(13)),
        DueAction::Silent(Duration::from_secs(13))
    );
    keepalive.on_received(at(13));
    keepalive.on_stalled(at(14));
    keepalive.on_received(at(26));
    assert_eq!(
        keepalive.due(at(27)),
        DueAction::Stalled(Duration::from_secs(13))
    );
    keepalive.on_sent(at(27), true);
    assert_eq!(keepalive.due(at(27)), DueAction::Nothing);
    // a process that slept asks first, and gives the broker its time
    assert_eq!(keepalive.due(at(500)), DueAction::Ping);
    assert_eq!(keepalive.due(at(501)), DueAction::Nothing);
    assert_eq!(
        keepalive.due(at(503)),
        DueAction::Silent(Duration::from_secs(477))
    );
    assert_eq!(Keepalive::new(Duration::ZERO, start).deadline(), None);
}

/// The messages that are sent of one topic on each of a few connections that end before anything is acknowledged; on each, `values` are announced.
fn announced(session_present: bool, values: &[&str]) -> Vec<Vec<String>> {
    let mut state = State::new(
        Protocol::V5,
        OutboxLimits {
            messages: 100,
            bytes: 100_000,
        },
    );

    let message = |value: &&str| {
        Message::new(
            Topic::new("online").unwrap(),
            (*value).to_owned(),
            Qos::AtLeastOnce,
            true,
        )
    };

    let mut connections = Vec::new();
    for _ in 0..4 {
        let ack = ConnAck {
            session_present,
            reason: Reason::SUCCESS,
            text: None,
            server: ServerCapabilities::default(),
        };

        state.handle_connack(&ack, Vec::new());
        values
            .iter()
            .map(message)
            .for_each(|message| state.announce(message));
        let mut sent = Vec::new();
        while let Some(packet) = state.poll_transmit() {
            if let Outgoing::Publish { message, .. } = packet {
                sent.push(String::from_utf8_lossy(&message.payload).into_owned());
            }
        }
        connections.push(sent);
        state.end_connection();
    }

    connections
}

#[test]
fn only_the_latest_announcement_is_sent_per_connection() {
    for session_present in [true, false] {
        assert_eq!(
            announced(session_present, &["1"]),
            vec![vec!["1"]; 4],
            "session kept: {session_present}"
        );
    }

    assert_eq!(announced(false, &["0", "1", "0", "1"]), vec![vec!["1"]; 4]);
}
