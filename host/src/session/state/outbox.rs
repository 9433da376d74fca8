//! Outgoing messages until the broker has taken them.
//!
//! `queue` holds messages that were never sent, `inflight` those that were sent with QoS 1 or 2. An in-flight message that is done stays
//! until all before it are done, so the window counts from the oldest unacknowledged one. Packet identifiers can therefore never come
//! round to one that is in use (`session_faults::unacknowledged_message_wedges_nothing`).

use std::collections::VecDeque;

use super::ids::Ids;
use super::output::Outputs;
use crate::config::{OutboxLimits, Protocol};
use crate::message::{Message, Publication};
use crate::router::ServiceId;
use crate::session::packet::ServerCapabilities;

mod acks;
mod fair_share;
mod fit;
mod inflight;
mod last_published;
mod quarantine;
mod send_queue;
mod transmit;

use fair_share::{Charge, FairShares};
use inflight::{InflightMessage, Stage};
use last_published::LastPublished;
pub(super) use send_queue::QueuedMessage;
use send_queue::SendQueue;

/// The largest window: with more, identifiers could come round to those in use.
const MAX_WINDOW: usize = 32_768;
/// The window of 3.1.1, which has no receive maximum; brokers hold some hundred incoming QoS 2 messages.
const WINDOW_V311: usize = 512;

/// Outgoing messages.
#[derive(Debug)]
pub(super) struct Outbox {
    protocol: Protocol,
    limits: OutboxLimits,
    queue: SendQueue,
    inflight: VecDeque<InflightMessage>,
    /// How many of `inflight`, from the front, were sent on this connection.
    sent: usize,
    /// Usage of `queue` and `inflight` together.
    shares: FairShares,
    /// The QoS 0 message that is being encoded.
    current: Option<Message>,
    last_published: LastPublished,
    /// The serial number of the last message.
    serial: u64,
    /// QoS 0 messages that were sent during a search and are not known to be taken.
    unconfirmed: VecDeque<QueuedMessage>,
    /// Messages that are held back until it is known whether they end the connection.
    held: Vec<QueuedMessage>,
}

impl Outbox {
    /// Creates an empty outbox.
    pub(super) fn new(protocol: Protocol, limits: OutboxLimits) -> Self {
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

    /// Applies new settings from the next connection on. Waiting messages stay, even if they exceed the new limits.
    pub(super) const fn reconfigure(&mut self, protocol: Protocol, limits: OutboxLimits) {
        self.protocol = protocol;
        self.limits = limits;
    }

    /// Whether another message fits. Messages are accepted nonetheless: the caller has to ask first.
    pub(super) fn has_room(&self, online: bool) -> bool {
        self.shares.has_room(self.limits, online)
    }

    /// Services that from now on have to wait before they publish more (`true`), or no longer.
    pub(super) fn congestion_changes(&mut self, online: bool) -> Vec<(ServiceId, bool)> {
        if self.shares.is_near_capacity(self.limits) {
            self.shares.congestion_changes(self.limits, online)
        } else {
            Vec::new()
        }
    }

    /// Whether the broker has taken every message.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
            && self.inflight.is_empty()
            && self.unconfirmed.is_empty()
            && self.held.is_empty()
    }

    /// Whether the broker has yet to acknowledge something that was sent on this connection.
    pub(super) fn is_awaiting(&self) -> bool {
        self.inflight
            .iter()
            .take(self.sent)
            .any(|message| !message.is_done())
    }

    /// Number of messages that the broker has not taken.
    pub(super) fn len(&self) -> usize {
        let unanswered = self
            .inflight
            .iter()
            .filter(|message| !message.is_done())
            .count();
        self.queue.len() + unanswered + self.unconfirmed.len() + self.held.len()
    }

    /// Appends a message. Without a connection, offline rules and the limits decide which messages are dropped.
    pub(super) fn push(&mut self, mut queued: QueuedMessage, online: bool, outputs: &mut Outputs) {
        queued.serial = self.next_serial();
        self.shares.add(queued.service, queued.charge());

        if !self.held.is_empty() && self.holds_like(&queued) {
            return self.held.push(queued);
        }
        if online {
            return self.queue.push_back(queued);
        }

        self.queue.push_offline(queued, &mut self.shares, outputs);
        while let Some(service) = self.shares.service_to_drop_from(self.limits) {
            if !self
                .queue
                .drop_oldest_qos0(service, &mut self.shares, outputs)
            {
                break;
            }
        }
    }

    /// Takes out waiting messages that `message` replaces. True: `message` itself is going to be sent again on this connection anyway,
    /// as the last one of its topic.
    pub(super) fn supersede(&mut self, message: &Message) -> bool {
        self.queue.supersede(message, &mut self.shares);

        let mut unsent = self
            .inflight
            .iter()
            .skip(self.sent)
            .filter_map(|sent| sent.message.as_ref());
        unsent.rfind(|sent| sent.topic == message.topic) == Some(message)
    }

    /// Returns the number of messages that were dropped without a connection since the last call.
    pub(super) const fn take_dropped(&mut self) -> u64 {
        self.queue.take_dropped()
    }

    /// Appends a message that an earlier run kept on disk under `number`.
    pub(super) fn restore(&mut self, number: u64, publication: Publication) {
        self.queue.reserve_numbers(number);
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

    fn window(&self, server: &ServerCapabilities) -> usize {
        match self.protocol {
            Protocol::V5 => usize::from(server.receive_maximum).min(MAX_WINDOW),
            Protocol::V311 => WINDOW_V311,
        }
    }

    /// Finds an in-flight message. Identifiers rise along the queue, so it is found by its distance from the oldest one.
    fn find(&self, id: u16) -> Option<usize> {
        let oldest = self.inflight.front()?.id;
        if id == oldest {
            return Some(0);
        }

        let distance = id.wrapping_sub(oldest);
        let place = self
            .inflight
            .partition_point(|message| message.id.wrapping_sub(oldest) < distance);
        let is_found = self
            .inflight
            .get(place)
            .is_some_and(|message| message.id == id);
        if is_found {
            return Some(place);
        }

        // messages that were sent on several connections may be out of order
        self.inflight.iter().position(|message| message.id == id)
    }

    /// Marks an in-flight message as done, and removes finished ones from the front.
    fn finish(&mut self, place: usize, ids: &mut Ids) {
        let inflight = &mut self.inflight[place];
        inflight.stage = Stage::Done;
        if let Some(message) = inflight.message.take() {
            self.shares
                .remove(inflight.service, Charge::from_message(&message));
        }

        while self.inflight.front().is_some_and(InflightMessage::is_done) {
            if let Some(done) = self.inflight.pop_front() {
                ids.free(done.id);
                self.sent = self.sent.saturating_sub(1);
            }
        }
    }

    /// Handles the loss of the connection: unacknowledged messages will be sent again, in send order.
    pub(super) fn on_disconnected(&mut self) {
        self.sent = 0;
        self.current = None;
        self.last_published.on_disconnected();
        while let Some(queued) = self.unconfirmed.pop_back() {
            self.shares.add(queued.service, queued.charge());
            self.queue.push_front(queued);
        }
    }

    /// Handles the loss of the session: unacknowledged messages become new ones, at the front, in send order. A QoS 2 message for
    /// which PUBREC came is sent too, since the broker may have forgotten it with the session. Returns their number.
    pub(super) fn on_session_lost(&mut self, ids: &mut Ids) -> u64 {
        self.sent = 0;
        self.last_published.clear();

        let mut count = 0;
        while let Some(inflight) = self.inflight.pop_back() {
            ids.free(inflight.id);
            if let Some(queued) = inflight.into_queued() {
                self.queue.push_front(queued);
                count += 1;
            }
        }

        count
    }
}
