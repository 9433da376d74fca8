//! Pure: the MQTT session, one state machine for MQTT 5 and 3.1.1. In: packets from the broker, what services publish and finish,
//! connections made and lost, the time. Out: packets to send, messages to deliver, events. Owns the bookkeeping of both
//! directions; no I/O, no clock, no logging.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::config::{OutboxLimits, Protocol};
use crate::message::{Message, Publication, Qos, Receipt};
use crate::router::ServiceId;
use crate::session::packet::{
    Ack, AckKind, ConnAck, Incoming, Outgoing, Publish, Reason, RejectedPublish,
    ServerCapabilities, SubscriptionIds,
};
use crate::topic::Filter;

mod ids;
mod inbox;
mod keepalive;
mod outbox;
mod output;
mod poison;
mod subscriptions;
mod verdicts;

pub use keepalive::{Due, Keepalive};
pub use output::{Event, News, Origin, PersistOp, RestoredMessage, UnsentMessage};
pub use poison::EndedBy;
pub use subscriptions::{SubscriptionAnswer, WantedSubscription};

use ids::Ids;
use inbox::{Inbox, Packet};
use outbox::{Outbox, QueuedMessage};
use poison::{PoisonDetector, Suspect};
use subscriptions::Subscriptions;

/// A message to deliver.
#[derive(Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The message.
    pub message: Message,
    /// Identifiers of the subscriptions that matched.
    pub subscription_ids: SubscriptionIds,
    /// QoS 1 and 2: what acknowledges it. `routed` must be called with it.
    pub receipt: Option<Receipt>,
}

/// The broker does what it must not; the connection is to be given up with this reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Violation {
    /// For the DISCONNECT.
    pub reason: Reason,
    what: &'static str,
}

/// The state of the session, across connections.
#[derive(Debug)]
pub struct State {
    protocol: Protocol,
    /// What the broker of this connection can do; `None`: there is no connection.
    server: Option<ServerCapabilities>,
    ids: Ids,
    inbox: Inbox,
    outbox: Outbox,
    subscriptions: Subscriptions,
    poison: PoisonDetector,
    acks: VecDeque<Ack>,
    ping: bool,
    /// New messages are no longer taken; the broker keeps them.
    closing: bool,
    /// Whether there was a connection before, and so a session that can be lost.
    begun: bool,
    news: News,
}

impl State {
    /// A session without connection.
    pub fn new(protocol: Protocol, limits: OutboxLimits) -> Self {
        Self {
            protocol,
            server: None,
            ids: Ids::default(),
            inbox: Inbox::default(),
            outbox: Outbox::new(protocol, limits),
            subscriptions: Subscriptions::new(protocol),
            poison: PoisonDetector::default(),
            acks: VecDeque::new(),
            ping: false,
            closing: false,
            begun: false,
            news: News::default(),
        }
    }

    /// From the next connection on these hold. To be called while there is none.
    pub fn renew(&mut self, protocol: Protocol, limits: OutboxLimits) {
        self.protocol = protocol;
        self.outbox.renew(protocol, limits);
        self.subscriptions.renew(protocol);
        self.poison.renew();
    }

    /// CONNACK came with success. `wanted`: every subscription that shall be there.
    pub fn connected(&mut self, ack: &ConnAck, wanted: Vec<WantedSubscription>) {
        self.disconnected();
        if !ack.session_present {
            let unfinished = self.inbox.session_lost();
            let again = self.outbox.session_lost(&mut self.ids);
            if self.begun {
                self.news
                    .events
                    .push(Event::SessionLost { again, unfinished });
            }
        }
        self.begun = true;
        self.poison.connected();
        let count = self.outbox.take_dropped();
        if count > 0 {
            self.news.events.push(Event::Dropped { count });
        }
        self.subscriptions.connected(
            wanted,
            ack.session_present,
            &ack.server,
            &mut self.news.events,
        );
        self.server = Some(ack.server.clone());
    }

    /// The connection is lost. Does nothing when there was none.
    pub fn disconnected(&mut self) {
        if self.server.take().is_some() {
            self.inbox.disconnected();
            self.outbox.disconnected();
            self.subscriptions.disconnected(&mut self.ids);
            self.acks.clear();
            self.ping = false;
        }
    }

    /// A packet came from the broker. `Some`: a message to deliver.
    ///
    /// # Errors
    /// When the broker must not send this packet now.
    pub fn received(&mut self, packet: Incoming) -> Result<Option<Arrival>, Violation> {
        match packet {
            Incoming::Publish(publish) => return Ok(self.arrived(publish)),
            Incoming::Rejected(rejected) => self.rejected(rejected),
            Incoming::Unattributed {
                of_message: true, ..
            } if self.outbox.is_awaiting() => {
                // it would be missed for ever: on the next connection what it was for is sent again
                let what = "the broker acknowledged a message and did not say which";
                return Err(Violation {
                    reason: Reason::MALFORMED,
                    what,
                });
            }
            Incoming::Unattributed { packet, .. } => {
                self.news.events.push(Event::Unattributed { packet })
            }
            Incoming::Ack(Ack {
                kind: AckKind::PubRel,
                id,
                ..
            }) => {
                let ack = self.inbox.released(id);
                self.acks.push_back(ack);
            }
            Incoming::Ack(ack) => self.acknowledged(ack),
            Incoming::SubAck { id, reasons } => {
                let events = &mut self.news.events;
                self.subscriptions.subscribed(
                    id,
                    &reasons,
                    &mut self.ids,
                    &mut self.poison,
                    events,
                );
                self.omit_lowered();
            }
            Incoming::UnsubAck { id, reasons } => {
                let events = &mut self.news.events;
                self.subscriptions.unsubscribed(
                    id,
                    &reasons,
                    &mut self.ids,
                    &mut self.poison,
                    events,
                );
            }
            Incoming::PingResp => self.ponged(),
            Incoming::Disconnect { .. } => {}
            Incoming::ConnAck(_) => {
                return Err(Violation {
                    reason: Reason::PROTOCOL_ERROR,
                    what: "the broker sent CONNACK twice",
                });
            }
        }
        Ok(None)
    }

    /// A subscription that is lowered to what the broker takes at most is no news.
    fn omit_lowered(&mut self) {
        let most = self
            .server
            .as_ref()
            .map_or(Qos::ExactlyOnce, |server| server.maximum_qos);
        let is_known = |event: &Event| matches!(event, Event::SubscriptionLowered { granted, .. } if *granted >= most);
        self.news.events.retain(|event| !is_known(event));
    }

    fn arrived(&mut self, publish: Publish) -> Option<Arrival> {
        let Publish {
            id,
            subscription_ids,
            message,
        } = publish;
        if self.closing {
            return None;
        }
        let receipt = match message.qos {
            Qos::AtMostOnce => None,
            _ => Some(
                self.inbox
                    .arrived(Packet::new(id, &message), &mut self.acks)?,
            ),
        };
        Some(Arrival {
            message,
            subscription_ids,
            receipt,
        })
    }

    /// Acknowledges a message that nobody gets, in its turn: else the broker would send it again and again.
    fn rejected(&mut self, rejected: RejectedPublish) {
        let RejectedPublish { id, qos, dup, .. } = rejected;
        if self.closing {
            return;
        }
        if id != 0 {
            let packet = Packet {
                id,
                qos,
                dup,
                fingerprint: 0,
            };
            let Some(receipt) = self.inbox.arrived(packet, &mut self.acks) else {
                return;
            };
            self.inbox.routed(receipt, 0, &mut self.acks);
        }
        self.news.events.push(Event::Rejected(rejected));
    }

    fn acknowledged(&mut self, ack: Ack) {
        let acknowledged = self.outbox.acknowledged(ack, &mut self.ids, &mut self.news);
        self.acks.extend(acknowledged.reply);
        if let Some(serial) = acknowledged.serial {
            self.poison.answered(|| Suspect::Message(serial));
        }
        if let Some(receipt) = acknowledged.receipt {
            self.inbox.published(receipt, &mut self.acks);
        }
    }

    /// The message of this receipt was handed to so many services; with none it is acknowledged at once.
    pub fn routed(&mut self, receipt: Receipt, services: usize) {
        self.inbox.routed(receipt, services, &mut self.acks);
    }

    /// One of the services that the message of this receipt was handed to will not handle it.
    pub fn settled(&mut self, receipt: Receipt) {
        self.inbox.finished(receipt, 0, &mut self.acks);
    }

    /// `service` has handled the message of `receipt`, if there was one, and publishes this. `None`: the host itself does.
    pub fn committed(
        &mut self,
        service: Option<ServiceId>,
        receipt: Option<Receipt>,
        publishes: Vec<Publication>,
    ) {
        let (online, mut awaited) = (self.server.is_some(), 0);
        for publication in publishes {
            let waits = publication.message.qos != Qos::AtMostOnce;
            awaited += usize::from(waits);
            let queued = QueuedMessage::new(publication, receipt.filter(|_| waits), service);
            self.outbox.push(queued, online, &mut self.news);
        }
        if let Some(receipt) = receipt {
            self.inbox.finished(receipt, awaited, &mut self.acks);
        }
        // what a rule dropped at once is not waited for
        for receipt in self.news.gone.drain(..) {
            self.inbox.published(receipt, &mut self.acks);
        }
    }

    /// Publishes a retained message that takes the place of all earlier ones of its topic: none of them is sent any more, and it is
    /// sent once on this connection.
    pub fn announce(&mut self, message: Message) {
        if !self.outbox.supersede(&message) {
            self.committed(None, None, vec![message.into()]);
        }
    }

    /// Messages that were kept on disk by an earlier run, with rising numbers, wait to be sent again.
    pub fn restore(&mut self, messages: Vec<RestoredMessage>) {
        for RestoredMessage {
            number,
            publication,
            ..
        } in messages
        {
            self.outbox.restore(number, publication);
        }
    }

    /// Asks for subscriptions, and ends some then: one may take the place of another. Without connection, those asked for come with
    /// `connected`.
    pub fn change(&mut self, subscribe: Vec<WantedSubscription>, unsubscribe: Vec<Filter>) {
        match &self.server {
            Some(server) => {
                self.subscriptions
                    .subscribe(subscribe, server, &mut self.news.events);
                self.subscriptions.unsubscribe(unsubscribe, server);
            }
            None => self.subscriptions.unsubscribe_later(unsubscribe),
        }
    }

    /// The next time that the filter is asked for, the broker sends its retained messages again.
    pub fn forget(&mut self, filter: &Filter) {
        self.subscriptions.forget(filter);
    }

    /// Asks for a subscription once more, so that the broker sends its retained messages again.
    pub fn ask_again(&mut self, wanted: WantedSubscription) {
        self.subscriptions.forget(&wanted.subscription.filter);
        self.change(vec![wanted], Vec::new());
    }

    /// PINGREQ is due.
    pub const fn ping(&mut self) {
        self.ping = true;
    }

    /// The next packet to send, acknowledgements first; `None` when there is none, no connection, or the broker's window is full.
    pub fn next_packet(&mut self) -> Option<Outgoing<'_>> {
        let server = self.server.as_ref()?;
        if let Some(ack) = self.acks.pop_front() {
            return Some(Outgoing::Ack(ack));
        }
        if std::mem::take(&mut self.ping) || self.poison.wants_ping_first() {
            self.poison.ping_sent();
            return Some(Outgoing::PingReq);
        }
        if self.subscriptions.is_ready(&self.poison) {
            return self
                .subscriptions
                .next_packet(&mut self.ids, &mut self.poison);
        }
        // in a search what is asked about subscriptions goes first
        let packet = match self.poison.is_searching() && self.subscriptions.is_waiting() {
            true => None,
            false => {
                self.outbox
                    .next_packet(server, &mut self.ids, &mut self.poison, &mut self.news)
            }
        };
        for receipt in self.news.gone.drain(..) {
            self.inbox.published(receipt, &mut self.acks);
        }
        packet
            .or_else(|| self.acks.pop_front().map(Outgoing::Ack))
            .or_else(|| {
                let wants_ping = self.poison.wants_ping();
                wants_ping.then(|| self.poison.ping_sent())?;
                Some(Outgoing::PingReq)
            })
    }

    /// Whether more may be published. If not, no commits are to be taken until it is true again.
    pub fn has_room(&self) -> bool {
        self.outbox.has_room(self.server.is_some())
    }

    /// From now on messages that arrive are left to the broker.
    pub const fn close(&mut self) {
        self.closing = true;
    }

    /// Whether the broker has taken everything and nothing is to be sent.
    pub fn is_drained(&self) -> bool {
        self.outbox.is_empty() && self.acks.is_empty() && self.subscriptions.is_empty()
    }

    /// How many published messages the broker has not taken.
    pub fn unsent(&self) -> usize {
        self.outbox.len()
    }

    /// How many messages of the broker are not acknowledged on this connection.
    pub fn unacknowledged(&self) -> usize {
        self.inbox.len()
    }

    /// The receipts of those messages, in the order of arrival, and the most that there were at once on this connection.
    pub fn unacknowledged_receipts(&self) -> (Range<u64>, usize) {
        (self.inbox.receipts(), self.inbox.most())
    }

    /// The services that from now on have to wait before they publish more (`true`), or no longer.
    pub fn congestion_changes(&mut self) -> Vec<(ServiceId, bool)> {
        self.outbox.congestion_changes(self.server.is_some())
    }

    /// What happened since the last call.
    pub fn take_news(&mut self) -> News {
        self.news
            .kept
            .extend(self.inbox.take_handled().map(PersistOp::Handled));
        std::mem::take(&mut self.news)
    }

    /// Whether `take_news` or `take_answers` may have something.
    pub const fn has_news(&self) -> bool {
        !self.news.is_empty() || self.inbox.has_handled() || self.subscriptions.has_answers()
    }

    /// Whether the broker has still to answer something about subscriptions.
    pub fn is_asking(&self) -> bool {
        self.subscriptions.is_asking()
    }

    /// What the broker answered to subscriptions since the last call.
    pub fn take_answers(&mut self) -> Vec<SubscriptionAnswer> {
        self.subscriptions.take_answers()
    }

    /// The keepalive of this connection: the broker's demand, or else `ours`.
    pub fn keepalive(&self, ours: Duration) -> Duration {
        let demanded = self.server.as_ref().and_then(|server| server.keepalive);
        demanded.map_or(ours, |seconds| Duration::from_secs(u64::from(seconds)))
    }

    /// Starts the watch over a connection.
    pub fn watch(&self, ours: Duration, now: Instant) -> Keepalive {
        Keepalive::new(self.keepalive(ours), now)
    }

    /// Protocol version of the session.
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }
}

#[cfg(test)]
mod tests;
