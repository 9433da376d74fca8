//! Pure: outgoing messages until the broker has taken them. In: messages, acknowledgements, losses of the connection. Out:
//! PUBLISH and PUBREL in send order, receipts whose message was taken. Owns the messages.
//!
//! `queue` waits to be sent; `flights` were sent with QoS 1 or 2. A flight that is done stays until all before it are done, so
//! the window counts from the oldest unacknowledged one: identifiers can never collide (fault 2).

use std::collections::VecDeque;

use super::event::Event;
use super::ids::Ids;
use crate::config::{OutboxLimits, Protocol};
use crate::message::{Message, Qos, Receipt};
use crate::session::packet::{Ack, AckKind, Outgoing, Reason, Server, publish_size};

mod flight;

use flight::{Flight, Stage};

/// More would let identifiers come round to those in use.
const MAX_WINDOW: usize = 32_768;
/// 3.1.1 has no receive maximum; brokers hold some hundred incoming QoS 2 messages.
const WINDOW_V311: usize = 512;

/// A message and the incoming message whose handling published it.
#[derive(Debug)]
struct Queued {
    message: Message,
    receipt: Option<Receipt>,
}

/// Outgoing messages.
#[derive(Debug)]
pub struct Outbox {
    protocol: Protocol,
    limits: OutboxLimits,
    queue: VecDeque<Queued>,
    flights: VecDeque<Flight>,
    /// How many of `flights`, from the front, were sent on this connection.
    sent: usize,
    /// Together in `queue` and `flights`.
    bytes: usize,
    /// The QoS 0 message that is being encoded.
    current: Option<Message>,
    /// QoS 0 messages dropped since the connection was lost.
    dropped: u64,
}

/// What an acknowledgement came to.
#[derive(Debug, Default)]
pub struct Acknowledged {
    /// The incoming message that waited for it.
    pub receipt: Option<Receipt>,
    /// What is to be sent in return.
    pub reply: Option<Ack>,
}

/// What to send next.
enum Step {
    Current,
    Flight(usize),
    Release(u16),
}

impl Outbox {
    /// An empty outbox.
    pub fn new(protocol: Protocol, limits: OutboxLimits) -> Self {
        let (queue, flights) = (VecDeque::new(), VecDeque::new());
        Self { protocol, limits, queue, flights, sent: 0, bytes: 0, current: None, dropped: 0 }
    }

    /// From the next connection on these hold; what waits stays, even if it is more than the new limits.
    pub const fn renew(&mut self, protocol: Protocol, limits: OutboxLimits) {
        (self.protocol, self.limits) = (protocol, limits);
    }

    /// Whether another message fits. Messages are taken nonetheless: who brings them has to ask first.
    pub fn has_room(&self) -> bool {
        self.queue.len() + self.flights.len() < self.limits.messages && self.bytes < self.limits.bytes
    }

    /// Whether there is nothing that the broker has not taken.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.flights.is_empty()
    }

    /// How many messages the broker has not taken.
    pub fn len(&self) -> usize {
        self.queue.len() + self.flights.iter().filter(|flight| !flight.is_done()).count()
    }

    /// Appends `message`. Offline and full, the oldest QoS 0 message is dropped for it, which may be itself.
    pub fn push(&mut self, message: Message, receipt: Option<Receipt>, online: bool) {
        let room = online || self.has_room();
        self.bytes += message.weight();
        self.queue.push_back(Queued { message, receipt });
        if !room {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        let place = self.queue.iter().position(|queued| queued.message.qos == Qos::AtMostOnce);
        if let Some(dropped) = place.and_then(|place| self.queue.remove(place)) {
            self.bytes -= dropped.message.weight();
            self.dropped += 1;
        }
    }

    /// How many QoS 0 messages were dropped since the last call.
    pub const fn take_dropped(&mut self) -> u64 {
        std::mem::replace(&mut self.dropped, 0)
    }

    /// The next packet, if the broker's window allows one.
    pub fn next_packet(
        &mut self,
        server: &Server,
        ids: &mut Ids,
        events: &mut Vec<Event>,
        gone: &mut Vec<Receipt>,
    ) -> Option<Outgoing<'_>> {
        match self.step(server, ids, events, gone)? {
            Step::Current => self.current.as_ref().map(|message| Outgoing::Publish { id: 0, dup: false, message }),
            Step::Release(id) => Some(Outgoing::Ack(Ack::success(AckKind::PubRel, id))),
            Step::Flight(place) => {
                let flight = self.flights.get_mut(place)?;
                let dup = std::mem::replace(&mut flight.dup, true);
                flight.message.as_ref().map(|message| Outgoing::Publish { id: flight.id, dup, message })
            }
        }
    }

    fn step(
        &mut self,
        server: &Server,
        ids: &mut Ids,
        events: &mut Vec<Event>,
        gone: &mut Vec<Receipt>,
    ) -> Option<Step> {
        self.current = None;
        let window = self.window(server);
        while self.sent < self.flights.len() && self.sent < window {
            let place = self.sent;
            self.sent += 1;
            let stage = self.flights[place].stage;
            match stage {
                Stage::Done => {}
                Stage::Received => return Some(Step::Release(self.flights[place].id)),
                Stage::Sent if self.fits_again(place, server, events) => return Some(Step::Flight(place)),
                Stage::Sent => {
                    gone.extend(self.flights[place].receipt.take());
                    self.finish(place, ids);
                }
            }
        }
        while self.sent == self.flights.len() && self.may_send(window) {
            let Queued { mut message, receipt } = self.queue.pop_front()?;
            let weight = message.weight();
            if !fit(&mut message, server, self.protocol, events) {
                self.bytes -= weight;
                gone.extend(receipt);
                continue;
            }
            if message.qos == Qos::AtMostOnce {
                self.bytes -= weight;
                gone.extend(receipt);
                self.current = Some(message);
                return Some(Step::Current);
            }
            let Some(id) = ids.take() else {
                self.queue.push_front(Queued { message, receipt });
                return None;
            };
            self.flights.push_back(Flight::new(id, message, receipt));
            self.sent += 1;
            return Some(Step::Flight(self.sent - 1));
        }
        None
    }

    /// The broker may allow less than on the connection before.
    fn fits_again(&mut self, place: usize, server: &Server, events: &mut Vec<Event>) -> bool {
        let message = self.flights[place].message.as_ref();
        message.is_none_or(|message| fits(message, server, self.protocol, events))
    }

    fn may_send(&self, window: usize) -> bool {
        let next_is_free = self.queue.front().is_some_and(|queued| queued.message.qos == Qos::AtMostOnce);
        next_is_free || self.flights.len() < window
    }

    fn window(&self, server: &Server) -> usize {
        match self.protocol {
            Protocol::V5 => usize::from(server.receive_maximum).min(MAX_WINDOW),
            Protocol::V311 => WINDOW_V311,
        }
    }

    /// The broker acknowledged something of ours: PUBACK, PUBREC or PUBCOMP.
    pub fn acknowledged(&mut self, ack: Ack, ids: &mut Ids, events: &mut Vec<Event>) -> Acknowledged {
        let Some(place) = self.find(ack.id) else { return unknown(ack) };
        let flight = &mut self.flights[place];
        let mut acknowledged = Acknowledged::default();
        match (ack.kind, flight.qos()) {
            (AckKind::PubRec, Qos::ExactlyOnce) if !ack.reason.is_failure() => {
                flight.stage = Stage::Received;
                acknowledged.receipt = flight.receipt.take();
                acknowledged.reply = Some(Ack::success(AckKind::PubRel, ack.id));
            }
            (AckKind::PubAck, Qos::AtLeastOnce) | (AckKind::PubRec | AckKind::PubComp, Qos::ExactlyOnce) => {
                if ack.reason.is_failure() && ack.reason != Reason::ID_NOT_FOUND {
                    let topic = flight.message.as_ref().map(|message| message.topic.clone());
                    events.extend(topic.map(|topic| Event::Refused { topic, reason: ack.reason }));
                }
                acknowledged.receipt = flight.receipt.take();
                self.finish(place, ids);
            }
            _ => {}
        }
        acknowledged
    }

    /// Identifiers rise along the flights, so one is found by its distance from the oldest.
    fn find(&self, id: u16) -> Option<usize> {
        let oldest = self.flights.front()?.id;
        if id == oldest {
            return Some(0);
        }
        let distance = id.wrapping_sub(oldest);
        let place = self.flights.partition_point(|flight| flight.id.wrapping_sub(oldest) < distance);
        let found = |place: &usize| self.flights.get(*place).is_some_and(|flight| flight.id == id);
        Some(place).filter(found).or_else(|| self.flights.iter().position(|flight| flight.id == id))
    }

    fn finish(&mut self, place: usize, ids: &mut Ids) {
        let flight = &mut self.flights[place];
        flight.stage = Stage::Done;
        if let Some(message) = flight.message.take() {
            self.bytes -= message.weight();
        }
        while self.flights.front().is_some_and(Flight::is_done) {
            if let Some(done) = self.flights.pop_front() {
                ids.free(done.id);
                self.sent = self.sent.saturating_sub(1);
            }
        }
    }

    /// The connection is lost: what is not acknowledged will be sent again, in send order.
    pub fn disconnected(&mut self) {
        self.sent = 0;
        self.current = None;
    }

    /// The broker has forgotten the session: what is not acknowledged becomes new, at the front, in send order. A QoS 2
    /// message for which PUBREC came is sent too, since the broker may have forgotten it with the session. Says how many.
    pub fn session_lost(&mut self, ids: &mut Ids) -> u64 {
        let mut count = 0;
        self.sent = 0;
        while let Some(flight) = self.flights.pop_back() {
            ids.free(flight.id);
            if let Some(message) = flight.message {
                self.queue.push_front(Queued { message, receipt: flight.receipt });
                count += 1;
            }
        }
        count
    }
}

/// An acknowledgement of nothing that we know: PUBREC is answered, so that the broker can end the exchange.
fn unknown(ack: Ack) -> Acknowledged {
    let wanted = ack.kind == AckKind::PubRec && !ack.reason.is_failure();
    let reply = Ack { kind: AckKind::PubRel, id: ack.id, reason: Reason::ID_NOT_FOUND };
    Acknowledged { receipt: None, reply: wanted.then_some(reply) }
}

/// Makes `message` one that the broker takes; false when it never will. A packet that is too large would end the connection,
/// again and again (fault 7).
fn fit(message: &mut Message, server: &Server, protocol: Protocol, events: &mut Vec<Event>) -> bool {
    if message.qos > server.maximum_qos {
        message.qos = server.maximum_qos;
        events.push(Event::Lowered { topic: message.topic.clone(), what: "the quality of service asked for" });
    }
    if message.retain && !server.retain_available {
        message.retain = false;
        events.push(Event::Lowered { topic: message.topic.clone(), what: "retain" });
    }
    fits(message, server, protocol, events)
}

fn fits(message: &Message, server: &Server, protocol: Protocol, events: &mut Vec<Event>) -> bool {
    let size = publish_size(message, protocol).map(|size| size.packet);
    let max = server.maximum_packet_size;
    let fits = size.is_some_and(|size| u64::try_from(size).is_ok_and(|size| size <= u64::from(max)));
    if !fits {
        events.push(Event::TooLarge { topic: message.topic.clone(), size, max });
    }
    fits
}
