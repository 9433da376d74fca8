//! Detects services that answer themselves, and cuts their messages.
//!
//! One commit in [`SAMPLE`] is followed: when one of its messages arrives here again, the messages that it leads to are followed too,
//! and so on. A message that comes by its first topic again and again has gone round. Timers end a chain: a service that publishes to
//! itself later does not go round.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use bytes::Bytes;

use crate::mailbox::Trace;
use crate::message::Publication;
use crate::topic::Topic;

/// How often a message may go round.
pub(super) const MAX_ROUNDS: u32 = 100;
/// One commit in this number is followed: a prime, so that no rhythm of the services escapes.
const SAMPLE: u32 = 61;
/// How many messages are followed at once: with the sample, those of some thousand commits between publishing and arriving.
const MAX_FOLLOWED: usize = 64;

/// Messages that are being followed.
#[derive(Debug, Default)]
pub(super) struct LoopDetector {
    followed: VecDeque<TrackedMessage>,
    /// A bit for each of `followed`, so that most other messages are recognized without a comparison.
    filter: u64,
    skipped: u32,
}

#[derive(Debug)]
struct TrackedMessage {
    topic: Topic,
    payload: Fingerprint,
    trace: Arc<Trace>,
}

/// Length, last byte and hash of a payload: a payload may be large, and this outlives its message.
#[derive(Debug, PartialEq, Eq)]
struct Fingerprint {
    ending: Ending,
    hash: u64,
}

/// Length and last byte of a payload, which most payloads differ in.
type Ending = (usize, Option<u8>);

impl Fingerprint {
    fn of(payload: &Bytes) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(payload);
        Self {
            ending: ending(payload),
            hash: hasher.finish(),
        }
    }

    fn is_of(&self, payload: &Bytes) -> bool {
        self.ending == ending(payload) && *self == Self::of(payload)
    }
}

impl LoopDetector {
    /// Returns the trace of a message that arrives; `None`: it is not followed.
    pub(super) fn on_arrival(&mut self, topic: &Topic, payload: &Bytes) -> Option<Arc<Trace>> {
        if self.filter & filter_bit(topic, ending(payload)) == 0 {
            return None;
        }
        let place = self
            .followed
            .iter()
            .position(|one| one.topic == *topic && one.payload.is_of(payload))?;
        let found = self.followed.remove(place)?;
        self.filter = self.followed.iter().fold(0, |filter, one| {
            filter | filter_bit(&one.topic, one.payload.ending)
        });
        Some(found.trace)
    }

    /// Handles the publishes of a call for a message with this trace. Takes those out that have gone round too often.
    pub(super) fn on_publish(
        &mut self,
        trace: Option<Arc<Trace>>,
        publishes: &mut Vec<Publication>,
    ) -> Vec<Publication> {
        let Some(trace) = trace else {
            self.skipped += 1;
            if self.skipped >= SAMPLE {
                self.skipped = 0;
                for publication in publishes.iter() {
                    let trace = Trace {
                        origin: publication.message.topic.clone(),
                        rounds: 0,
                    };
                    self.follow(publication, trace);
                }
            }

            return Vec::new();
        };

        let rounds = |publication: &Publication| {
            trace.rounds + u32::from(publication.message.topic == trace.origin)
        };
        let (cut, rest) = std::mem::take(publishes)
            .into_iter()
            .partition(|one| rounds(one) >= MAX_ROUNDS);
        *publishes = rest;
        for publication in publishes.iter() {
            self.follow(
                publication,
                Trace {
                    origin: trace.origin.clone(),
                    rounds: rounds(publication),
                },
            );
        }

        cut
    }

    fn follow(&mut self, publication: &Publication, trace: Trace) {
        if self.followed.len() >= MAX_FOLLOWED {
            self.followed.pop_front();
        }
        let topic = publication.message.topic.clone();
        let payload = Fingerprint::of(&publication.message.payload);
        self.filter |= filter_bit(&topic, payload.ending);
        self.followed.push_back(TrackedMessage {
            topic,
            payload,
            trace: Arc::new(trace),
        });
    }
}

fn ending(payload: &Bytes) -> Ending {
    (payload.len(), payload.last().copied())
}

/// One of 64 bits, the same for the same message.
fn filter_bit(topic: &Topic, (length, last): Ending) -> u64 {
    let last = usize::from(last.unwrap_or_default());
    let number = topic.as_str().len().wrapping_mul(31) ^ length.wrapping_mul(17) ^ last;
    1 << (number % 64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::message::{Message, Qos};

    fn publication(topic: &str, payload: &str) -> Publication {
        Message::new(
            Topic::new(topic).unwrap(),
            payload.to_owned(),
            Qos::AtMostOnce,
            false,
        )
        .into()
    }

    /// Handles at most `most` messages, until none comes any more. Returns their number, and the messages that were cut.
    fn run(
        service: impl Fn(&str, &str, u32) -> Vec<Publication>,
        most: u32,
    ) -> (u32, Vec<Publication>) {
        let mut loops = LoopDetector::default();
        let mut wire = VecDeque::from([publication("in", "x")]);
        for handled in 0..most {
            let Some(came) = wire.pop_front() else {
                return (handled, Vec::new());
            };
            let Message { topic, payload, .. } = came.message;
            let trace = loops.on_arrival(&topic, &payload);
            let mut publishes = service(
                topic.as_str(),
                std::str::from_utf8(&payload).unwrap(),
                handled,
            );
            let cut = loops.on_publish(trace, &mut publishes);
            if !cut.is_empty() {
                return (handled, cut);
            }
            wire.extend(publishes);
        }

        (most, Vec::new())
    }

    #[test]
    fn a_service_that_answers_itself_is_cut() {
        let answers = |topic: &str, payload: &str, _| match topic {
            "in" => vec![publication("log", "-"), publication("in", payload)],
            _ => Vec::new(),
        };
        let (handled, cut) = run(answers, 10_000);
        assert!(handled < 4 * MAX_ROUNDS, "{handled}");
        assert_eq!(cut, [publication("in", "x")]);
    }

    #[test]
    fn two_services_that_answer_each_other_are_cut() {
        let other = |topic: &str, _: &str, number: u32| {
            vec![publication(
                if topic == "in" { "out" } else { "in" },
                &number.to_string(),
            )]
        };

        let (handled, cut) = run(other, 10_000);
        assert!(
            handled < 3 * 2 * MAX_ROUNDS && cut.len() == 1,
            "{handled} {cut:?}"
        );
    }

    #[test]
    fn messages_that_another_client_repeats_are_no_loop() {
        let mut loops = LoopDetector::default();
        for _ in 0..10_000 {
            let topic = Topic::new("in").unwrap();
            let payload = Bytes::from_static(b"on");
            let trace = loops.on_arrival(&topic, &payload);
            assert!(
                loops
                    .on_publish(trace, &mut vec![publication("state", "on")])
                    .is_empty()
            );
        }
    }

    #[test]
    fn a_chain_that_ends_is_no_loop() {
        let countdown = |_: &str, payload: &str, _: u32| match payload.len() {
            0 => Vec::new(),
            n => vec![publication("in", &payload[..n - 1])],
        };
        let started = |topic: &str, payload: &str, number: u32| match number {
            0 => vec![publication("in", &"x".repeat(90))],
            _ => countdown(topic, payload, number),
        };
        assert_eq!(run(started, 10_000), (92, Vec::new()));
    }
}
