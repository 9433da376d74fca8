//! Incoming QoS 1 and 2 messages until they are acknowledged, in the order of arrival (MQTT 5, section 4.6).
//!
//! Receipts are consecutive numbers, so an entry is found by its distance from the oldest one. When the connection is lost, the
//! entries are carried over; a message that the broker then delivers again finds its entry there and is not handled twice.

use std::collections::{HashMap, VecDeque};
use std::hash::{Hash, Hasher};
use std::ops::Range;

use rustc_hash::FxHasher;

use super::ids::IdSet;
use crate::message::{Message, Qos, Receipt};
use crate::session::packet::{Ack, AckKind, Reason};

/// Bytes at each end of a payload that the fingerprint covers.
const FINGERPRINT_ENDS: usize = 32;

/// The parts of a PUBLISH by which a redelivery is recognized.
#[derive(Debug, Clone, Copy)]
pub(super) struct Packet {
    pub id: u16,
    pub qos: Qos,
    pub dup: bool,
    /// Distinguishes two messages with the same packet identifier.
    pub fingerprint: u64,
}

impl Packet {
    /// A PUBLISH with this identifier and message.
    pub(super) fn new(id: u16, message: &Message) -> Self {
        Self {
            id,
            qos: message.qos,
            dup: message.dup,
            fingerprint: fingerprint(message),
        }
    }
}

/// The work that is left before a message can be acknowledged.
#[derive(Debug, Clone, Copy)]
struct PendingAck {
    id: u16,
    qos: Qos,
    fingerprint: u64,
    /// Services that have not committed.
    services: usize,
    /// Publishes of the commits that the broker has not taken.
    publishes: usize,
}

impl PendingAck {
    const fn is_done(&self) -> bool {
        self.services == 0 && self.publishes == 0
    }
}

/// An entry of an earlier connection.
#[derive(Debug, Clone, Copy)]
enum CarriedEntry {
    /// Not delivered again so far.
    Unmatched(PendingAck),
    /// Delivered again: it continues under this receipt.
    Resumed(u64),
}

impl CarriedEntry {
    const fn unmatched(&mut self) -> Option<&mut PendingAck> {
        match self {
            Self::Unmatched(entry) => Some(entry),
            Self::Resumed(_) => None,
        }
    }
}

/// Incoming messages that are not acknowledged.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    /// Receipt of the front of `pending`.
    first: u64,
    /// Messages of this connection, in the order of arrival.
    pending: VecDeque<PendingAck>,
    /// The largest length of `pending` on this connection.
    peak: usize,
    /// Messages of earlier connections, by rising receipt.
    carried: Vec<(u64, CarriedEntry)>,
    /// Identifiers in `pending` and of unmatched entries in `carried`.
    known: IdSet,
    /// QoS 2: PUBREC is sent, PUBREL has not come.
    unreleased: IdSet,
    /// Messages kept on disk that are handled, with the number of their publishes that the broker has not taken.
    stored: HashMap<u64, usize>,
    /// Messages that no longer need to be kept on disk.
    handled: VecDeque<u64>,
}

impl Inbox {
    /// Handles a PUBLISH. `Some`: the message is new and has to be handled under this receipt; `None`: it is a repetition.
    pub(super) fn on_publish(
        &mut self,
        packet: Packet,
        acks: &mut VecDeque<Ack>,
    ) -> Option<Receipt> {
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

        // one service is assumed until `on_routed` reports the number
        let new = PendingAck {
            id,
            qos,
            fingerprint,
            services: 1,
            publishes: 0,
        };

        if self.known.insert(id) {
            return Some(self.append(new));
        }
        if self.pending.iter().any(|entry| entry.id == id) {
            return None;
        }
        self.on_redelivered(new, dup, acks)
    }

    fn append(&mut self, entry: PendingAck) -> Receipt {
        self.pending.push_back(entry);
        self.peak = self.peak.max(self.pending.len());
        Receipt::Arrived(self.first + self.pending.len() as u64 - 1)
    }

    /// Handles a PUBLISH whose identifier an earlier connection left unacknowledged.
    ///
    /// Normally it is the same message, and its handling, which may still be under way, is resumed under the new receipt: the place
    /// in the order of acknowledgements is that of the redelivery. But a broker may also reuse the identifier for another message:
    /// with QoS 1 when it never needed the acknowledgement (then DUP is not set), and with any QoS when it was killed and continues
    /// with an older copy of its session (then DUP may be set, and only the content shows it). Handling such a message twice is
    /// allowed with QoS 1; dropping it is not, so in doubt it counts as new.
    fn on_redelivered(
        &mut self,
        new: PendingAck,
        dup: bool,
        acks: &mut VecDeque<Ack>,
    ) -> Option<Receipt> {
        let place = self.carried.iter().position(
            |(_, carried)| matches!(carried, CarriedEntry::Unmatched(entry) if entry.id == new.id),
        );
        let Some(place) = place else {
            return Some(self.append(new));
        };
        let CarriedEntry::Unmatched(old) = self.carried[place].1 else {
            return None;
        };

        let is_other = old.qos != new.qos || old.fingerprint != new.fingerprint;
        if is_other || (new.qos == Qos::AtLeastOnce && !dup) {
            self.carried.remove(place);
            return Some(self.append(new));
        }

        // services that still work on it name the old receipt, which leads to the new one from now on
        let receipt = self.first + self.pending.len() as u64;
        self.append(old);
        self.carried[place].1 = CarriedEntry::Resumed(receipt);
        self.release_acks(acks);
        None
    }

    /// Handles that the message was delivered to this number of services.
    pub(super) fn on_routed(
        &mut self,
        receipt: Receipt,
        services: usize,
        acks: &mut VecDeque<Ack>,
    ) {
        if let Receipt::Arrived(number) = receipt {
            self.update(number, acks, |entry| entry.services = services);
        }
    }

    /// Handles that a service has finished the message, with this number of publishes that the broker must take first.
    pub(super) fn on_committed(
        &mut self,
        receipt: Receipt,
        publishes: usize,
        acks: &mut VecDeque<Ack>,
    ) {
        match receipt {
            Receipt::Arrived(number) => self.update(number, acks, |entry| {
                entry.services = entry.services.saturating_sub(1);
                entry.publishes += publishes;
            }),
            Receipt::Kept(number) if publishes == 0 => self.handled.push_back(number),
            Receipt::Kept(number) => drop(self.stored.insert(number, publishes)),
        }
    }

    /// Handles that the broker has taken one of the publishes, or that it will never be sent.
    pub(super) fn on_publish_taken(&mut self, receipt: Receipt, acks: &mut VecDeque<Ack>) {
        match receipt {
            Receipt::Arrived(number) => {
                self.update(number, acks, |entry| {
                    entry.publishes = entry.publishes.saturating_sub(1);
                });
            }
            Receipt::Kept(number) => {
                let Some(left) = self.stored.get_mut(&number) else {
                    return;
                };
                *left -= 1;
                if *left == 0 {
                    self.stored.remove(&number);
                    self.handled.push_back(number);
                }
            }
        }
    }

    /// Returns the number of a message that no longer needs to be kept on disk.
    pub(super) fn pop_handled(&mut self) -> Option<u64> {
        self.handled.pop_front()
    }

    /// Whether `pop_handled` has something.
    pub(super) fn has_handled(&self) -> bool {
        !self.handled.is_empty()
    }

    fn update(
        &mut self,
        number: u64,
        acks: &mut VecDeque<Ack>,
        update: impl FnOnce(&mut PendingAck),
    ) {
        if let Some(entry) = self.find(number) {
            update(entry);
            self.release_acks(acks);
        }
    }

    fn find(&mut self, mut number: u64) -> Option<&mut PendingAck> {
        while number < self.first {
            let place = self
                .carried
                .binary_search_by_key(&number, |(number, _)| *number)
                .ok()?;
            match self.carried[place].1 {
                CarriedEntry::Unmatched(_) => {
                    return self
                        .carried
                        .get_mut(place)
                        .and_then(|(_, carried)| carried.unmatched());
                }
                CarriedEntry::Resumed(receipt) => number = receipt,
            }
        }

        let place = usize::try_from(number - self.first).ok()?;
        self.pending.get_mut(place)
    }

    /// Acknowledges finished messages, as long as every message that arrived earlier is finished too.
    fn release_acks(&mut self, acks: &mut VecDeque<Ack>) {
        while self.pending.front().is_some_and(PendingAck::is_done) {
            let Some(entry) = self.pending.pop_front() else {
                return;
            };
            self.first += 1;
            self.known.remove(entry.id);

            let kind = if entry.qos == Qos::ExactlyOnce {
                self.unreleased.insert(entry.id);
                AckKind::PubRec
            } else {
                AckKind::PubAck
            };

            acks.push_back(Ack::success(kind, entry.id));
        }
    }

    /// Handles PUBREL. The answer is PUBCOMP in any case, so that the broker can end the exchange
    /// (`session_faults::repeated_pubrel_is_answered`).
    pub(super) fn on_pubrel(&mut self, id: u16) -> Ack {
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

    /// Handles the loss of the connection: no message can be acknowledged until it is delivered again.
    pub(super) fn on_disconnected(&mut self) {
        let first = self.first;
        self.peak = 0;
        self.first += self.pending.len() as u64;

        let lost = self.pending.drain(..).enumerate();
        self.carried.extend(
            lost.map(|(place, entry)| (first + place as u64, CarriedEntry::Unmatched(entry))),
        );

        // a resumed entry is needed as long as the entry that it leads to
        let alive: Vec<u64> = self.carried.iter().map(|(number, _)| *number).collect();
        self.carried.retain(|(_, carried)| match carried {
            CarriedEntry::Unmatched(_) => true,
            CarriedEntry::Resumed(receipt) => alive.binary_search(receipt).is_ok(),
        });
    }

    /// Handles the loss of the session: no earlier message comes again. Returns the number of those that are not handled yet.
    pub(super) fn on_session_lost(&mut self) -> usize {
        let unfinished = self
            .carried
            .iter()
            .filter(|(_, carried)| matches!(carried, CarriedEntry::Unmatched(_)))
            .count();

        self.carried.clear();
        self.known.clear();
        self.unreleased.clear();
        for entry in &self.pending {
            self.known.insert(entry.id);
        }
        unfinished
    }

    /// Receipts of the messages of this connection that are not acknowledged, in the order of arrival.
    pub(super) fn receipts(&self) -> Range<u64> {
        self.first..self.first + self.pending.len() as u64
    }

    /// The largest number that was unacknowledged at once on this connection: the broker sends at least as many.
    pub(super) const fn peak(&self) -> usize {
        self.peak
    }

    /// Number of messages of this connection that are not acknowledged.
    pub(super) fn len(&self) -> usize {
        self.pending.len()
    }
}

/// A hash of the topic and of both ends of the payload.
fn fingerprint(message: &Message) -> u64 {
    let payload = &*message.payload;
    let head = &payload[..payload.len().min(FINGERPRINT_ENDS)];
    let tail = &payload[payload.len().saturating_sub(FINGERPRINT_ENDS)..];

    let mut hasher = FxHasher::default();
    (message.topic.as_str(), payload.len(), head, tail).hash(&mut hasher);
    hasher.finish()
}
