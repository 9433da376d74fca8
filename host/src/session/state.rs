//! The MQTT session: one state machine for MQTT 5 and 3.1.1, without I/O, clock or logging.
//!
//! A session outlives its connections (MQTT 5, section 4.1). Both sides keep what the other has not acknowledged, and repeat it on
//! the next connection. The machine therefore keeps the following sets, and each one survives the loss of a connection:
//!
//! - *Send queue* (`outbox::SendQueue`): messages that were never sent. QoS 0 goes from there to the encoder and is done.
//! - *In flight* (`outbox::InflightMessage`): QoS 1 and 2 messages that were sent. A message stays until PUBACK or PUBCOMP; after a
//!   reconnect it is sent again with the same identifier and DUP, in the order of the first sending (sections 4.4 and 4.6). With a
//!   new session it returns to the send queue.
//! - *Unacknowledged* (`Inbox::pending`): QoS 1 and 2 messages that came on this connection and are not handled to the end.
//!   Acknowledgements leave in the order of arrival (section 4.6), so one that is done early waits for those before it.
//! - *Carried over* (`Inbox::carried`): the same, of earlier connections. They cannot be acknowledged until the broker delivers them
//!   again; a redelivery resumes the entry and is not handled twice.
//! - *Unreleased* (`Inbox::unreleased`): identifiers of QoS 2 messages whose PUBREC was sent. Another PUBLISH with the identifier is a
//!   repetition until PUBREL comes (section 4.3.3, method B).
//! - *Stored* (`Inbox::stored`): messages that waited on disk for their service and were acknowledged then. Their handling ends
//!   when the broker has taken what they led to; then the disk forgets them.
//!
//! ```text
//!  incoming                                             outgoing
//!
//!  QoS 1  PUBLISH --> handled, committed                QoS 1  PUBLISH -------> in flight
//!         PUBACK  <-- and what it led to was taken             PUBACK  <------- done
//!
//!  QoS 2  PUBLISH --> handled, committed                QoS 2  PUBLISH -------> in flight (AwaitingAck)
//!         PUBREC  <-- and what it led to was taken             PUBREC  <------- the broker has the message
//!         PUBREL  --> unreleased, until now                    PUBREL  -------> in flight (AwaitingPubComp)
//!         PUBCOMP <-- in any case                              PUBCOMP <------- done
//! ```
//!
//! A guest call is a transaction, and the two directions meet there: an incoming message is acknowledged after its services have
//! committed *and* the broker has taken every QoS 1 and 2 message that they published for it. A crash between the two repeats the
//! incoming message instead of losing the outgoing one. A QoS 2 message counts as taken with PUBREC: from then on the broker owns it.
//!
//! Differences of 3.1.1: no receive maximum, so a fixed window limits what is in flight; no reason codes, so nothing can be refused;
//! no "only new subscriptions" option, so filters that a kept session has are not subscribed again.
//!
//! `poison` watches which packets the broker ends connections for, and holds them back; see there.
//!
//! The interface is that of a sans-I/O machine: `handle_*` takes what happened, `poll_transmit` gives the next packet, `poll_output`
//! everything else, and `poll_timeout` says when `handle_timeout` wants to be called.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::time::{Duration, Instant};

use crate::config::{OutboxLimits, Protocol};
use crate::message::{Message, Publication, Qos, Receipt};
use crate::router::ServiceId;
use crate::session::packet::{Ack, ConnAck, Outgoing, Reason, ServerCapabilities, SubscriptionIds};
use crate::topic::Filter;

mod event;
mod ids;
mod inbox;
mod incoming;
mod keepalive;
mod outbox;
mod output;
mod poison;
mod shared;
mod subscriptions;
mod verdicts;

pub use event::Event;
pub use keepalive::{DueAction, Keepalive};
pub use output::{Origin, Output, PersistOp, RestoredMessage, SubscriptionAnswer, UnsentMessage};
pub use poison::EndedBy;
pub use subscriptions::{GrantedQos, WantedSubscription};

use inbox::Inbox;
use outbox::{Outbox, QueuedMessage};
use shared::Shared;
use subscriptions::Subscriptions;

/// A message to deliver.
#[derive(Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The message.
    pub message: Message,
    /// Identifiers of the subscriptions that matched.
    pub subscription_ids: SubscriptionIds,
    /// QoS 1 and 2: the receipt that acknowledges it. `handle_routed` must be called with it.
    pub receipt: Option<Receipt>,
}

/// A packet that the broker must not send; the connection has to be closed with this reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Violation {
    /// The reason code for DISCONNECT.
    pub reason: Reason,
    what: &'static str,
}

/// The state of the session, across connections.
#[derive(Debug)]
pub struct State {
    protocol: Protocol,
    /// The capabilities of the broker of this connection; `None`: there is no connection.
    server: Option<ServerCapabilities>,
    inbox: Inbox,
    outbox: Outbox,
    subscriptions: Subscriptions,
    shared: Shared,
    acks: VecDeque<Ack>,
    ping_due: bool,
    /// New messages are no longer taken; the broker keeps them.
    closing: bool,
    /// Whether there was a connection before, and so a session that can be lost.
    had_session: bool,
}

impl State {
    /// Creates a session without connection.
    pub fn new(protocol: Protocol, limits: OutboxLimits) -> Self {
        Self {
            protocol,
            server: None,
            inbox: Inbox::default(),
            outbox: Outbox::new(protocol, limits),
            subscriptions: Subscriptions::new(protocol),
            shared: Shared::default(),
            acks: VecDeque::new(),
            ping_due: false,
            closing: false,
            had_session: false,
        }
    }

    /// Applies new settings from the next connection on. To be called while there is none.
    pub fn reconfigure(&mut self, protocol: Protocol, limits: OutboxLimits) {
        self.protocol = protocol;
        self.outbox.reconfigure(protocol, limits);
        self.subscriptions.reconfigure(protocol);
        self.shared.poison.reset();
    }

    /// Handles a CONNACK with success. `wanted`: all subscriptions that the broker should have.
    pub fn handle_connack(&mut self, ack: &ConnAck, wanted: Vec<WantedSubscription>) {
        self.end_connection();

        if !ack.session_present {
            let unfinished = self.inbox.on_session_lost();
            let again = self.outbox.on_session_lost(&mut self.shared.ids);
            if self.had_session {
                self.shared
                    .outputs
                    .log(Event::SessionLost { again, unfinished });
            }
        }

        self.had_session = true;

        self.shared.poison.on_connected();
        let count = self.outbox.take_dropped();
        if count > 0 {
            self.shared.outputs.log(Event::Dropped { count });
        }

        self.subscriptions
            .on_connected(wanted, ack, &mut self.shared.outputs);
        self.server = Some(ack.server.clone());
    }

    /// Handles the end of the connection, which this side wanted. Does nothing when there was none.
    pub fn end_connection(&mut self) {
        if self.server.take().is_some() {
            self.inbox.on_disconnected();
            self.outbox.on_disconnected();
            self.subscriptions.on_disconnected(&mut self.shared.ids);
            self.acks.clear();
            self.ping_due = false;
        }
    }

    /// Publishes these messages. `receipt`: the incoming message that `service` has handled with them; `service`: `None` is the host
    /// itself.
    pub fn publish(
        &mut self,
        service: Option<ServiceId>,
        receipt: Option<Receipt>,
        publishes: Vec<Publication>,
    ) {
        let online = self.server.is_some();
        let mut awaited = 0;
        for publication in publishes {
            let is_awaited = publication.message.qos != Qos::AtMostOnce;
            awaited += usize::from(is_awaited);
            let queued = QueuedMessage::new(publication, receipt.filter(|_| is_awaited), service);
            self.outbox.push(queued, online, &mut self.shared.outputs);
        }

        if let Some(receipt) = receipt {
            self.inbox.on_committed(receipt, awaited, &mut self.acks);
        }
        // an offline rule may have dropped a message at once: nothing waits for it
        self.drain_resolved();
    }

    /// Publishes a retained message that replaces all earlier ones of its topic: none of them is sent any more, and it is sent once on
    /// this connection.
    pub fn announce(&mut self, message: Message) {
        if !self.outbox.supersede(&message) {
            self.publish(None, None, vec![message.into()]);
        }
    }

    /// Queues messages that an earlier run kept on disk, in the order of their numbers.
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

    /// Subscribes to some filters and then unsubscribes from others, since one may replace another. Without connection, the
    /// new filters come with `handle_connack`.
    pub fn change_subscriptions(
        &mut self,
        subscribe: Vec<WantedSubscription>,
        unsubscribe: Vec<Filter>,
    ) {
        match &self.server {
            Some(server) => {
                self.subscriptions
                    .subscribe(subscribe, server, &mut self.shared.outputs);
                self.subscriptions.unsubscribe(unsubscribe, server);
            }
            None => self.subscriptions.unsubscribe_later(unsubscribe),
        }
    }

    /// Forgets that the broker has confirmed the filter, so the next SUBSCRIBE asks for its retained messages.
    pub fn forget_confirmation(&mut self, filter: &Filter) {
        self.subscriptions.forget_confirmation(filter);
    }

    /// Subscribes again, so that the broker sends the retained messages again.
    pub fn resubscribe(&mut self, wanted: WantedSubscription) {
        self.forget_confirmation(&wanted.subscription.filter);
        self.change_subscriptions(vec![wanted], Vec::new());
    }

    /// Sends a PINGREQ next.
    pub const fn ping(&mut self) {
        self.ping_due = true;
    }

    /// Leaves messages that arrive from now on to the broker.
    pub const fn close(&mut self) {
        self.closing = true;
    }

    /// Returns the next packet to send, acknowledgements first; `None` when there is none, no connection, or the broker's window is
    /// full.
    pub fn poll_transmit(&mut self) -> Option<Outgoing<'_>> {
        let server = self.server.as_ref()?;
        if let Some(ack) = self.acks.pop_front() {
            return Some(Outgoing::Ack(ack));
        }
        if std::mem::take(&mut self.ping_due) || self.shared.poison.wants_ping_first() {
            self.shared.poison.on_ping_sent();
            return Some(Outgoing::PingReq);
        }
        if self.subscriptions.is_ready(&self.shared.poison) {
            return self.subscriptions.poll_transmit(&mut self.shared);
        }

        // during a search for a poison packet, SUBSCRIBE and UNSUBSCRIBE go first
        let held_up = self.shared.poison.is_searching() && self.subscriptions.has_waiting();
        let packet = if held_up {
            None
        } else {
            self.outbox.poll_transmit(server, &mut self.shared)
        };

        // a message that is left out may have been the last one that an acknowledgement waited for
        for receipt in self.shared.outputs.resolved.drain(..) {
            self.inbox.on_publish_taken(receipt, &mut self.acks);
        }
        packet
            .or_else(|| self.acks.pop_front().map(Outgoing::Ack))
            .or_else(|| {
                let wants_ping = self.shared.poison.wants_ping();
                wants_ping.then(|| self.shared.poison.on_ping_sent())?;
                Some(Outgoing::PingReq)
            })
    }

    /// Returns the next thing for the owner to act on.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.shared.outputs.pop().or_else(|| {
            let handled = self.inbox.pop_handled()?;
            Some(Output::Persist(PersistOp::Handled(handled)))
        })
    }

    /// Whether `poll_output` has something.
    pub fn has_output(&self) -> bool {
        !self.shared.outputs.is_empty() || self.inbox.has_handled()
    }

    /// Lets incoming messages continue whose publishes were resolved.
    fn drain_resolved(&mut self) {
        for receipt in self.shared.outputs.resolved.drain(..) {
            self.inbox.on_publish_taken(receipt, &mut self.acks);
        }
    }

    /// Whether more may be published. If not, no commits are to be taken until it is true again.
    pub fn has_room(&self) -> bool {
        self.outbox.has_room(self.server.is_some())
    }

    /// Whether the broker has taken everything and nothing is to be sent.
    pub fn is_drained(&self) -> bool {
        self.outbox.is_empty() && self.acks.is_empty() && !self.subscriptions.is_pending()
    }

    /// Number of published messages that the broker has not taken.
    pub fn unsent(&self) -> usize {
        self.outbox.len()
    }

    /// Number of the broker's messages that are not acknowledged on this connection.
    pub fn unacknowledged(&self) -> usize {
        self.inbox.len()
    }

    /// The receipts of those messages, in the order of arrival, and the largest number that there was at once on this connection.
    pub fn unacknowledged_receipts(&self) -> (Range<u64>, usize) {
        (self.inbox.receipts(), self.inbox.peak())
    }

    /// Services that from now on have to wait before they publish more (`true`), or no longer.
    pub fn congestion_changes(&mut self) -> Vec<(ServiceId, bool)> {
        self.outbox.congestion_changes(self.server.is_some())
    }

    /// The subscriptions that the broker has confirmed.
    pub fn granted_subscriptions(&self) -> HashMap<Filter, GrantedQos> {
        self.subscriptions.confirmed()
    }

    /// Whether the broker has yet to answer a SUBSCRIBE or UNSUBSCRIBE.
    pub fn has_pending_subscriptions(&self) -> bool {
        self.subscriptions.is_pending()
    }

    /// The keepalive of this connection: the broker's demand, or else `ours`.
    pub fn keepalive(&self, ours: Duration) -> Duration {
        let demanded = self.server.as_ref().and_then(|server| server.keepalive);
        demanded.map_or(ours, |seconds| Duration::from_secs(u64::from(seconds)))
    }

    /// Starts the keepalive of a connection.
    pub fn start_keepalive(&self, ours: Duration, now: Instant) -> Keepalive {
        Keepalive::new(self.keepalive(ours), now)
    }

    /// Protocol version of the session.
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }
}

#[cfg(test)]
mod tests;
