//! Pure: outgoing messages until the broker has taken them. In: messages, acknowledgements, losses of the connection. Out:
//! PUBLISH and PUBREL in send order, receipts whose message was taken. Owns the messages.
//!
//! `queue` waits to be sent; `inflight` were sent with QoS 1 or 2. A flight that is done stays until all before it are done, so
//! the window counts from the oldest unacknowledged one: identifiers can never collide (fault 2).

use std::collections::VecDeque;

use super::ids::Ids;
use super::output::{Event, News};
use super::poison::{PoisonDetector, Suspect};
use crate::config::{OutboxLimits, Protocol};
use crate::message::{Message, Outcome, Publication, Qos, Terms};
use crate::router::ServiceId;
use crate::session::packet::{Ack, AckKind, Outgoing, ServerCapabilities, publish_size};

mod acks;
mod fair_share;
mod inflight;
mod last_published;
mod quarantine;
mod send_queue;

use fair_share::{Charge, FairShares};
use inflight::{InflightMessage, Stage};
use last_published::LastPublished;
use quarantine::Cause;
pub use send_queue::QueuedMessage;
use send_queue::SendQueue;

/// More would let identifiers come round to those in use.
const MAX_WINDOW: usize = 32_768;
/// 3.1.1 has no receive maximum; brokers hold some hundred incoming QoS 2 messages.
const WINDOW_V311: usize = 512;

/// Outgoing messages.
#[derive(Debug)]
pub struct Outbox {
    protocol: Protocol,
    limits: OutboxLimits,
    queue: SendQueue,
    inflight: VecDeque<InflightMessage>,
    /// How many of `inflight`, from the front, were sent on this connection.
    sent: usize,
    /// Of `queue` and `inflight` together.
    shares: FairShares,
    /// The QoS 0 message that is being encoded.
    current: Option<Message>,
    last_published: LastPublished,
    /// The serial number of the last message.
    serial: u64,
    /// Of QoS 0, sent in a search and not known to be taken.
    unconfirmed: VecDeque<QueuedMessage>,
    /// Not sent until it is known whether they end the connection.
    held: Vec<QueuedMessage>,
}

/// What to send next.
enum Step {
    Current,
    InflightMessage(usize),
    Release(u16),
}

impl Outbox {
    /// An empty outbox.
    pub fn new(protocol: Protocol, limits: OutboxLimits) -> Self {
        Self {
            protocol,
            limits,
            queue: SendQueue::default(),
            inflight: VecDeque::new(),
            sent: 0,
            shares: FairShares::default(),
            current: None,
            last_published: LastPublished::default(),
            serial: 0,
            unconfirmed: VecDeque::new(),
            held: Vec::new(),
        }
    }

    /// From the next connection on these hold; what waits stays, even if it is more than the new limits.
    pub const fn renew(&mut self, protocol: Protocol, limits: OutboxLimits) {
        (self.protocol, self.limits) = (protocol, limits);
    }

    /// Whether another message fits. Messages are taken nonetheless: who brings them has to ask first.
    pub fn has_room(&self, online: bool) -> bool {
        self.shares.has_room(self.limits, online)
    }

    /// The services that from now on have to wait before they publish more (`true`), or no longer.
    pub fn congestion_changes(&mut self, online: bool) -> Vec<(ServiceId, bool)> {
        if self.shares.is_crowded(self.limits) {
            self.shares.changes(self.limits, online)
        } else {
            Vec::new()
        }
    }

    /// Whether there is nothing that the broker has not taken.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
            && self.inflight.is_empty()
            && self.unconfirmed.is_empty()
            && self.held.is_empty()
    }

    /// Whether something was sent on this connection that the broker has still to acknowledge.
    pub fn is_awaiting(&self) -> bool {
        self.inflight
            .iter()
            .take(self.sent)
            .any(|flight| !flight.is_done())
    }

    /// How many messages the broker has not taken.
    pub fn len(&self) -> usize {
        let unanswered = self
            .inflight
            .iter()
            .filter(|flight| !flight.is_done())
            .count();
        self.queue.len() + unanswered + self.unconfirmed.len() + self.held.len()
    }

    /// Appends a message. Without a connection, the rules for that time and the limits decide what is dropped.
    pub fn push(&mut self, mut queued: QueuedMessage, online: bool, news: &mut News) {
        queued.serial = self.next_serial();
        self.shares.add(queued.service, queued.charge());
        if !self.held.is_empty() && self.holds_like(&queued) {
            return self.held.push(queued);
        }
        if online {
            return self.queue.push_back(queued);
        }
        self.queue.push_offline(queued, &mut self.shares, news);
        while let Some(service) = self.shares.dropping(self.limits) {
            if !self.queue.drop_qos_0(service, &mut self.shares, news) {
                break;
            }
        }
    }

    /// Takes out what waits to be sent and what `message` replaces. True: `message` itself is to be sent again on this connection
    /// anyway, as the last one of its topic.
    pub fn supersede(&mut self, message: &Message) -> bool {
        self.queue.supersede(message, &mut self.shares);
        let mut unsent = self
            .inflight
            .iter()
            .skip(self.sent)
            .filter_map(|flight| flight.message.as_ref());
        unsent.rfind(|sent| sent.topic == message.topic) == Some(message)
    }

    /// How many messages were dropped without a connection since the last call.
    pub const fn take_dropped(&mut self) -> u64 {
        self.queue.take_dropped()
    }

    /// Appends a message that an earlier run kept on disk under `number`.
    pub fn restore(&mut self, number: u64, publication: Publication) {
        self.queue.kept_up_to(number);
        let queued = QueuedMessage {
            serial: self.next_serial(),
            ..QueuedMessage::new(publication, None, None)
        };
        self.shares.add(None, queued.charge());
        self.queue.push_back(queued);
    }

    const fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// The next packet, if the broker's window and the search for what ends connections allow one.
    pub fn next_packet(
        &mut self,
        server: &ServerCapabilities,
        ids: &mut Ids,
        poison: &mut PoisonDetector,
        news: &mut News,
    ) -> Option<Outgoing<'_>> {
        match self.step(server, ids, poison, news)? {
            Step::Current => self.current.as_ref().map(|message| Outgoing::Publish {
                id: 0,
                dup: false,
                message,
            }),
            Step::Release(id) => Some(Outgoing::Ack(Ack::success(AckKind::PubRel, id))),
            Step::InflightMessage(place) => {
                let flight = self.inflight.get_mut(place)?;
                let dup = std::mem::replace(&mut flight.dup, true);
                flight.message.as_ref().map(|message| Outgoing::Publish {
                    id: flight.id,
                    dup,
                    message,
                })
            }
        }
    }

    fn step(
        &mut self,
        server: &ServerCapabilities,
        ids: &mut Ids,
        poison: &mut PoisonDetector,
        news: &mut News,
    ) -> Option<Step> {
        self.current = None;
        let window = self.window(server);
        while self.sent < self.inflight.len() && self.sent < window {
            let place = self.sent;
            let InflightMessage {
                stage, serial, id, ..
            } = self.inflight[place];
            if stage != Stage::Done && !poison.admits(&Suspect::Message(serial)) {
                return None;
            }
            self.sent += 1;
            match stage {
                Stage::Done => {}
                Stage::Received => {
                    poison.sent(|| Suspect::Message(serial), false);
                    return Some(Step::Release(id));
                }
                Stage::Sent if self.fits_again(place, server, news) => {
                    poison.sent(|| Suspect::Message(serial), false);
                    return Some(Step::InflightMessage(place));
                }
                Stage::Sent => {
                    news.gone.extend(self.inflight[place].receipt.take());
                    self.finish(place, ids);
                }
            }
        }
        while self.sent == self.inflight.len() && self.may_send(window) {
            let admits = |queued: &QueuedMessage| poison.admits(&Suspect::Message(queued.serial));
            self.queue.first().filter(|queued| admits(queued))?;
            let QueuedMessage {
                mut publication,
                receipt,
                service,
                serial,
            } = self.queue.pop()?;
            if poison.bans().refuses(service, &publication.message.topic) {
                let queued = QueuedMessage {
                    publication,
                    receipt,
                    service,
                    serial,
                };
                self.set_aside(queued, Cause::LikeOthers, news);
                continue;
            }
            // the broker may have it lowered
            let charge = Charge::of(&publication.message);
            if !self.wanted(&mut publication, server, news) {
                self.shares.remove(service, charge);
                news.gone.extend(receipt);
                continue;
            }
            if publication.message.qos == Qos::AtMostOnce {
                self.shares.remove(service, charge);
                poison.sent(|| Suspect::Message(serial), true);
                if poison.is_searching() {
                    return Some(self.hand_over_suspected(QueuedMessage {
                        publication,
                        receipt,
                        service,
                        serial,
                    }));
                }
                news.gone.extend(receipt);
                return Some(self.hand_over(publication, news));
            }
            let Some(id) = ids.take() else {
                self.queue.push_front(QueuedMessage {
                    publication,
                    receipt,
                    service,
                    serial,
                });
                return None;
            };
            self.last_published.note(
                &publication.message,
                publication.terms.as_deref(),
                self.limits.bytes,
            );
            poison.sent(|| Suspect::Message(serial), false);
            self.inflight.push_back(InflightMessage::new(
                id,
                QueuedMessage {
                    publication,
                    receipt,
                    service,
                    serial,
                },
            ));
            self.sent += 1;
            return Some(Step::InflightMessage(self.sent - 1));
        }
        None
    }

    /// Whether a message is to be sent at all: the broker takes it, and it does not repeat what it need not.
    fn wanted(
        &self,
        publication: &mut Publication,
        server: &ServerCapabilities,
        news: &mut News,
    ) -> bool {
        let Publication { message, terms } = publication;
        if self.last_published.repeats(message, terms.as_deref()) {
            settle(terms.as_deref(), news, || {
                Outcome::Refused("left out: nothing changed".to_owned())
            });
            return false;
        }
        let fits = fit(message, server, self.protocol, &mut news.events);
        if !fits {
            settle(terms.as_deref(), news, || too_large(server));
        }
        fits
    }

    /// A message of QoS 0 is done when it is written.
    fn hand_over(&mut self, publication: Publication, news: &mut News) -> Step {
        let Publication { message, terms } = publication;
        self.last_published
            .note(&message, terms.as_deref(), self.limits.bytes);
        // a token is for QoS 1 and 2; the broker may have asked to lower that
        settle(terms.as_deref(), news, || Outcome::Delivered);
        self.current = Some(message);
        Step::Current
    }

    /// The broker may allow less than on the connection before.
    fn fits_again(&mut self, place: usize, server: &ServerCapabilities, news: &mut News) -> bool {
        // of QoS 0 it would have no identifier any more
        let least = ServerCapabilities {
            maximum_qos: server.maximum_qos.max(Qos::AtLeastOnce),
            ..server.clone()
        };
        let (protocol, flight) = (self.protocol, &mut self.inflight[place]);
        let fits = flight
            .message
            .as_mut()
            .is_none_or(|message| fit(message, &least, protocol, &mut news.events));
        if !fits {
            settle(flight.terms.as_deref(), news, || too_large(server));
        }
        fits
    }

    fn may_send(&self, window: usize) -> bool {
        let next_is_free = self
            .queue
            .first()
            .is_some_and(|queued| queued.publication.message.qos == Qos::AtMostOnce);
        next_is_free || self.inflight.len() < window
    }

    fn window(&self, server: &ServerCapabilities) -> usize {
        match self.protocol {
            Protocol::V5 => usize::from(server.receive_maximum).min(MAX_WINDOW),
            Protocol::V311 => WINDOW_V311,
        }
    }

    /// Identifiers rise along the inflight, so one is found by its distance from the oldest.
    fn find(&self, id: u16) -> Option<usize> {
        let oldest = self.inflight.front()?.id;
        if id == oldest {
            return Some(0);
        }
        let distance = id.wrapping_sub(oldest);
        let place = self
            .inflight
            .partition_point(|flight| flight.id.wrapping_sub(oldest) < distance);
        let found = |place: &usize| {
            self.inflight
                .get(*place)
                .is_some_and(|flight| flight.id == id)
        };
        Some(place)
            .filter(found)
            .or_else(|| self.inflight.iter().position(|flight| flight.id == id))
    }

    fn finish(&mut self, place: usize, ids: &mut Ids) {
        let flight = &mut self.inflight[place];
        flight.stage = Stage::Done;
        if let Some(message) = flight.message.take() {
            self.shares.remove(flight.service, Charge::of(&message));
        }
        while self.inflight.front().is_some_and(InflightMessage::is_done) {
            if let Some(done) = self.inflight.pop_front() {
                ids.free(done.id);
                self.sent = self.sent.saturating_sub(1);
            }
        }
    }

    /// The connection is lost: what is not acknowledged will be sent again, in send order.
    pub fn disconnected(&mut self) {
        self.sent = 0;
        self.current = None;
        self.last_published.disconnected();
        while let Some(queued) = self.unconfirmed.pop_back() {
            self.shares.add(queued.service, queued.charge());
            self.queue.push_front(queued);
        }
    }

    /// The broker has forgotten the session: what is not acknowledged becomes new, at the front, in send order. A QoS 2
    /// message for which PUBREC came is sent too, since the broker may have forgotten it with the session. Says how many.
    pub fn session_lost(&mut self, ids: &mut Ids) -> u64 {
        let mut count = 0;
        self.sent = 0;
        self.last_published.clear();
        while let Some(flight) = self.inflight.pop_back() {
            ids.free(flight.id);
            if let Some(message) = flight.message {
                let publication = Publication {
                    message,
                    terms: flight.terms,
                };
                let InflightMessage {
                    receipt,
                    service,
                    serial,
                    ..
                } = flight;
                self.queue.push_front(QueuedMessage {
                    publication,
                    receipt,
                    service,
                    serial,
                });
                count += 1;
            }
        }
        count
    }
}

fn settle(terms: Option<&Terms>, news: &mut News, outcome: impl FnOnce() -> Outcome) {
    if let Some(terms) = terms {
        news.settle(terms, outcome);
    }
}

fn too_large(server: &ServerCapabilities) -> Outcome {
    Outcome::Refused(format!(
        "too large: the broker takes packets of {} bytes",
        server.maximum_packet_size
    ))
}

/// Makes `message` one that the broker takes; false when it never will. A packet that is too large would end the connection,
/// again and again (fault 7).
fn fit(
    message: &mut Message,
    server: &ServerCapabilities,
    protocol: Protocol,
    events: &mut Vec<Event>,
) -> bool {
    if message.qos > server.maximum_qos {
        message.qos = server.maximum_qos;
        events.push(Event::Lowered {
            topic: message.topic.clone(),
            what: "the quality of service asked for",
        });
    }
    if message.retain && !server.retain_available {
        message.retain = false;
        events.push(Event::Lowered {
            topic: message.topic.clone(),
            what: "retain",
        });
    }
    fits(message, server, protocol, events)
}

fn fits(
    message: &Message,
    server: &ServerCapabilities,
    protocol: Protocol,
    events: &mut Vec<Event>,
) -> bool {
    let size = publish_size(message, protocol).map(|size| size.packet);
    let max = server.maximum_packet_size;
    let fits =
        size.is_some_and(|size| u64::try_from(size).is_ok_and(|size| size <= u64::from(max)));
    if !fits {
        events.push(Event::TooLarge {
            topic: message.topic.clone(),
            size,
            max,
        });
    }
    fits
}
