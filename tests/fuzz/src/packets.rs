//! Bytes of a broker. The codec has to read the same wherever the bytes were cut, the session has to
//! write valid packets, and it must not keep more than it was given.

use bytes::{Bytes, BytesMut};
use miqro_host::config::{OutboxLimits, Protocol};
use miqro_host::message::{Message, Publication, Qos, Subscription};
use miqro_host::session::codec::{Codec, CodecError};
use miqro_host::session::packet::{ConnAck, Incoming, Outgoing, Reason, ServerCapabilities};
use miqro_host::session::state::{State, WantedSubscription};
use miqro_host::topic::{Filter, Topic};

/// The largest packet that is taken.
const LARGEST: u32 = 4096;

/// Reads `bytes` as a broker's, whole and in pieces, and lets a session answer.
pub fn run(bytes: &[u8]) {
    let [first, cut, bytes @ ..] = bytes else {
        return;
    };
    let protocol = if first & 1 == 0 {
        Protocol::V5
    } else {
        Protocol::V311
    };
    let whole = read(protocol, bytes, bytes.len().max(1));
    let pieces = read(protocol, bytes, usize::from(*cut).max(1));
    assert_eq!(whole, pieces, "it matters where the bytes are cut");
    let mut script = Script {
        rest: bytes.iter().rev().copied().collect(),
    };
    session(protocol, whole.0, &mut script);
}

/// The packets in `bytes` that come `piece` by piece, and the error that ends them.
fn read(protocol: Protocol, bytes: &[u8], piece: usize) -> (Vec<Incoming>, Option<CodecError>) {
    let mut codec = Codec::new(protocol, LARGEST);
    let mut buffer = BytesMut::new();
    let mut packets = Vec::new();
    for piece in bytes.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            let mut batch = match codec.split(&mut buffer) {
                Ok(batch) if batch.is_empty() => break,
                Ok(batch) => batch,
                Err(error) => return (packets, Some(error)),
            };
            while let Some(packet) = batch.next_packet() {
                match packet {
                    Ok(packet) => packets.push(packet),
                    Err(error) => return (packets, Some(error)),
                }
            }
        }
    }

    (packets, None)
}

/// The decisions of services, one byte each.
struct Script {
    rest: Vec<u8>,
}

impl Script {
    fn next(&mut self) -> u8 {
        self.rest.pop().unwrap_or(0)
    }
}

#[expect(
    clippy::too_many_lines,
    reason = "one scenario, read from top to bottom"
)]
fn session(protocol: Protocol, packets: Vec<Incoming>, script: &mut Script) {
    let mut state = State::new(
        protocol,
        OutboxLimits {
            messages: 100,
            bytes: 1 << 20,
        },
    );

    let codec = Codec::new(protocol, u32::MAX);
    let subscription = |filter: &str| Subscription {
        filter: Filter::new(filter).expect("a filter"),
        qos: Qos::AtLeastOnce,
    };
    let wanted = || {
        vec![WantedSubscription {
            subscription: subscription("in/#"),
            id: 1,
        }]
    };

    let accepted = |session_present| ConnAck {
        session_present,
        reason: Reason::SUCCESS,
        text: None,
        server: ServerCapabilities::default(),
    };

    state.handle_connack(&accepted(false), wanted());
    let mut open = Vec::new();
    let count = packets.len();
    for packet in packets {
        if let Incoming::ConnAck(ack) = &packet
            && ack.reason == Reason::SUCCESS
        {
            state.end_connection();
            state.handle_connack(ack, wanted());
            continue;
        }

        match state.handle_packet(packet) {
            Err(_) => {
                state.end_connection();
                state.handle_connack(&accepted(script.next() & 1 == 0), wanted());
            }
            Ok(None) => {}
            Ok(Some(arrival)) => {
                if let Some(receipt) = arrival.receipt {
                    state.handle_routed(receipt, 1);
                    open.push(receipt);
                }
            }
        }

        let publishes = publishes(script.next());
        let receipt = if script.next() & 1 == 0 {
            open.pop()
        } else {
            None
        };
        state.publish(None, receipt, publishes);
        written(&codec, protocol, &mut state);
    }

    // each packet of the broker is at most one message, each commit at most three
    assert!(
        state.unacknowledged() <= count,
        "{} unacknowledged of {count} packets",
        state.unacknowledged()
    );
    assert!(
        state.unsent() <= 3 * count,
        "{} unsent after {count} commits",
        state.unsent()
    );
    while state.poll_output().is_some() {}
}

fn publishes(script: u8) -> Vec<Publication> {
    let message = |qos| {
        Message::new(
            Topic::new("out").expect("a topic"),
            Bytes::from_static(b"payload"),
            qos,
            script & 4 != 0,
        )
    };

    let levels = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];
    levels
        .into_iter()
        .take(usize::from(script & 3))
        .map(|qos| message(qos).into())
        .collect()
}

/// Writes the packets of the session, and checks that a message reads the same again.
fn written(codec: &Codec, protocol: Protocol, state: &mut State) {
    while let Some(packet) = state.poll_transmit() {
        let mut out = BytesMut::new();
        if codec.encode(&packet, &mut out).is_err() {
            assert!(
                out.is_empty(),
                "a packet that cannot be written leaves {out:?}"
            );
            continue;
        }

        assert!(!out.is_empty(), "{packet:?} is written as nothing");
        if let Outgoing::Publish { id, message, .. } = packet {
            let (read, error) = read(protocol, &out, out.len());
            let [Incoming::Publish(publish)] = &read[..] else {
                panic!("a message is written as {read:?}, {error:?}")
            };
            assert_eq!(
                (publish.id, &publish.message.topic, &publish.message.payload),
                (id, &message.topic, &message.payload)
            );
        }
    }
}
