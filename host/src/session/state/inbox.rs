//! Pure: incoming QoS 1 and 2 messages until they are acknowledged. In: PUBLISH, PUBREL, what services finished. Out: receipts
//! and acknowledgements, in the order of arrival (MQTT 5, section 4.6). Owns one entry for each unacknowledged message, and one
//! for each message kept on disk whose publishes the broker has not taken.
//!
//! Receipts are consecutive numbers, so an entry is found by its distance from the oldest. When the connection is lost, entries
//! are set aside; a message that the broker then delivers again finds its entry there and is not handled twice.

use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::ops::Range;

use rustc_hash::FxHasher;

use super::ids::IdSet;
use crate::message::{Message, Qos, Receipt};
use crate::session::packet::{Ack, AckKind, Reason};

/// Bytes at each end of a payload that are looked at to know a message again.
const ENDS: usize = 32;

/// The parts of a PUBLISH by which it is known again.
#[derive(Debug, Clone, Copy)]
pub struct Packet {
    pub id: u16,
    pub qos: Qos,
    pub dup: bool,
    /// Tells two messages apart that have the same packet identifier.
    pub fingerprint: u64,
}

impl Packet {
    /// A PUBLISH with this identifier and message.
    pub fn new(id: u16, message: &Message) -> Self {
        Self {
            id,
            qos: message.qos,
            dup: message.dup,
            fingerprint: fingerprint(message),
        }
    }
}

/// What is still to be done for one message.
#[derive(Debug, Clone, Copy)]
struct Work {
    id: u16,
    qos: Qos,
    fingerprint: u64,
    /// Services that have not committed.
    services: usize,
    /// Publishes of the commits that the broker has not taken.
    publishes: usize,
}

impl Work {
    const fn is_done(&self) -> bool {
        self.services == 0 && self.publishes == 0
    }
}

/// An entry of an earlier connection.
#[derive(Debug, Clone, Copy)]
enum Aside {
    /// Not delivered again so far.
    SendQueue(Work),
    /// Delivered again and continued under this receipt.
    Continued(u64),
}

/// Incoming messages that are not acknowledged.
#[derive(Debug, Default)]
pub struct Inbox {
    /// Receipt of the front of `works`.
    first: u64,
    /// In the order of arrival on this connection.
    works: VecDeque<Work>,
    /// The most that `works` had on this connection.
    most: usize,
    /// Of earlier connections, by rising receipt.
    aside: Vec<(u64, Aside)>,
    /// Identifiers in `works` and of those waiting in `aside`.
    known: IdSet,
    /// QoS 2: PUBREC is sent, PUBREL has not come.
    unreleased: IdSet,
    /// Messages kept on disk that are handled, with how many of their publishes the broker has not taken.
    kept: HashMap<u64, usize>,
    /// Messages kept on disk that need be kept no longer.
    handled: Vec<u64>,
}

impl Inbox {
    /// A message arrived. `Some`: it is new and to be handled under this receipt; `None`: it is known.
    pub fn arrived(&mut self, packet: Packet, acks: &mut VecDeque<Ack>) -> Option<Receipt> {
        let Packet {
            id,
            qos,
            dup,
            fingerprint,
        } = packet;
        if qos == Qos::ExactlyOnce && self.unreleased.contains(id) {
            acks.push_back(Ack::success(AckKind::PubRec, id));
            return None;
        }
        // one service is assumed until `routed` says how many there are
        let new = Work {
            id,
            qos,
            fingerprint,
            services: 1,
            publishes: 0,
        };
        if self.known.insert(id) {
            return Some(self.append(new));
        }
        if self.works.iter().any(|work| work.id == id) {
            return None;
        }
        self.arrived_again(new, dup, acks)
    }

    fn append(&mut self, work: Work) -> Receipt {
        self.works.push_back(work);
        self.most = self.most.max(self.works.len());
        Receipt::Arrived(self.first + self.works.len() as u64 - 1)
    }

    fn arrived_again(&mut self, new: Work, dup: bool, acks: &mut VecDeque<Ack>) -> Option<Receipt> {
        let place = self
            .aside
            .iter()
            .position(|(_, aside)| matches!(aside, Aside::SendQueue(work) if work.id == new.id));
        let Some(place) = place else {
            return Some(self.append(new));
        };
        let Aside::SendQueue(old) = self.aside[place].1 else {
            return None;
        };
        // a QoS 1 message without DUP is another one that got the same identifier; and so may be one with it, from a broker that was
        // killed and goes on with what it had saved some time before
        let is_other = old.qos != new.qos || old.fingerprint != new.fingerprint;
        if is_other || (new.qos == Qos::AtLeastOnce && !dup) {
            self.aside.remove(place);
            return Some(self.append(new));
        }
        let later = self.first + self.works.len() as u64;
        self.append(old);
        self.aside[place].1 = Aside::Continued(later);
        self.release(acks);
        None
    }

    /// The message was handed to so many services.
    pub fn routed(&mut self, receipt: Receipt, services: usize, acks: &mut VecDeque<Ack>) {
        if let Receipt::Arrived(number) = receipt {
            self.change(number, acks, |work| work.services = services);
        }
    }

    /// A service has finished the message, with so many publishes that the broker must take first.
    pub fn finished(&mut self, receipt: Receipt, publishes: usize, acks: &mut VecDeque<Ack>) {
        match receipt {
            Receipt::Arrived(number) => self.change(number, acks, |work| {
                work.services = work.services.saturating_sub(1);
                work.publishes += publishes;
            }),
            Receipt::Kept(number) if publishes == 0 => self.handled.push(number),
            Receipt::Kept(number) => drop(self.kept.insert(number, publishes)),
        }
    }

    /// The broker has taken one of the publishes, or it will never be sent.
    pub fn published(&mut self, receipt: Receipt, acks: &mut VecDeque<Ack>) {
        match receipt {
            Receipt::Arrived(number) => {
                self.change(number, acks, |work| {
                    work.publishes = work.publishes.saturating_sub(1)
                });
            }
            Receipt::Kept(number) => {
                let Some(left) = self.kept.get_mut(&number) else {
                    return;
                };
                *left -= 1;
                if *left == 0 {
                    self.kept.remove(&number);
                    self.handled.push(number);
                }
            }
        }
    }

    /// Numbers of messages that need be kept on disk no longer.
    pub fn take_handled(&mut self) -> std::vec::Drain<'_, u64> {
        self.handled.drain(..)
    }

    /// Whether `take_handled` has something.
    pub const fn has_handled(&self) -> bool {
        !self.handled.is_empty()
    }

    fn change(&mut self, number: u64, acks: &mut VecDeque<Ack>, change: impl FnOnce(&mut Work)) {
        if let Some(work) = self.find(number) {
            change(work);
            self.release(acks);
        }
    }

    fn find(&mut self, mut number: u64) -> Option<&mut Work> {
        while number < self.first {
            let place = self
                .aside
                .binary_search_by_key(&number, |(number, _)| *number)
                .ok()?;
            match self.aside[place].1 {
                Aside::SendQueue(_) => {
                    return self
                        .aside
                        .get_mut(place)
                        .and_then(|(_, aside)| aside.waiting());
                }
                Aside::Continued(later) => number = later,
            }
        }
        let place = usize::try_from(number - self.first).ok()?;
        self.works.get_mut(place)
    }

    /// Acknowledges what is done, as far as nothing that arrived earlier is still at work.
    fn release(&mut self, acks: &mut VecDeque<Ack>) {
        while self.works.front().is_some_and(Work::is_done) {
            let Some(work) = self.works.pop_front() else {
                return;
            };
            self.first += 1;
            self.known.remove(work.id);
            let kind = if work.qos == Qos::ExactlyOnce {
                AckKind::PubRec
            } else {
                AckKind::PubAck
            };
            if kind == AckKind::PubRec {
                self.unreleased.insert(work.id);
            }
            acks.push_back(Ack::success(kind, work.id));
        }
    }

    /// PUBREL came; the answer is PUBCOMP in any case, so that the broker can end the exchange (fault 3).
    pub fn released(&mut self, id: u16) -> Ack {
        let reason = if self.unreleased.remove(id) {
            Reason::SUCCESS
        } else {
            Reason::ID_NOT_FOUND
        };
        Ack {
            kind: AckKind::PubComp,
            id,
            reason,
        }
    }

    /// The connection is lost: nothing can be acknowledged until it is delivered again.
    pub fn disconnected(&mut self) {
        let first = self.first;
        self.most = 0;
        self.first += self.works.len() as u64;
        let works = self.works.drain(..).enumerate();
        self.aside
            .extend(works.map(|(place, work)| (first + place as u64, Aside::SendQueue(work))));
        let alive: Vec<u64> = self.aside.iter().map(|(number, _)| *number).collect();
        self.aside.retain(|(_, aside)| match aside {
            Aside::SendQueue(_) => true,
            Aside::Continued(later) => alive.binary_search(later).is_ok(),
        });
    }

    /// The broker has forgotten the session: no message of before comes again. Says how many of them are not handled yet.
    pub fn session_lost(&mut self) -> usize {
        let unfinished = self
            .aside
            .iter()
            .filter(|(_, aside)| matches!(aside, Aside::SendQueue(_)))
            .count();
        self.aside.clear();
        self.known.clear();
        self.unreleased.clear();
        for work in &self.works {
            self.known.insert(work.id);
        }
        unfinished
    }

    /// The receipts of the messages of this connection that are not acknowledged, in the order of arrival.
    pub fn receipts(&self) -> Range<u64> {
        self.first..self.first + self.works.len() as u64
    }

    /// The most that were unacknowledged at once on this connection: the broker sends at least so many.
    pub const fn most(&self) -> usize {
        self.most
    }

    /// How many messages of this connection are not acknowledged.
    pub fn len(&self) -> usize {
        self.works.len()
    }
}

/// A hash of the topic and of both ends of the payload.
fn fingerprint(message: &Message) -> u64 {
    let payload = &*message.payload;
    let (head, tail) = (
        &payload[..payload.len().min(ENDS)],
        &payload[payload.len().saturating_sub(ENDS)..],
    );
    let mut hasher = FxHasher::default();
    (message.topic.as_str(), payload.len(), head, tail).hash(&mut hasher);
    hasher.finish()
}

impl Aside {
    const fn waiting(&mut self) -> Option<&mut Work> {
        match self {
            Self::SendQueue(work) => Some(work),
            Self::Continued(_) => None,
        }
    }
}
