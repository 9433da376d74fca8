//! The join of router and session state: carries out commands, delivers messages to mailboxes, and passes on the state's outputs.
//!
//! It owns both, does no I/O and never waits; the connection drives it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use super::clock::{calendar_time, now};
use super::command::Command;
use super::delivery_tracker::DeliveryTracker;
use super::head_of_line::HeadOfLineMonitor;
use super::loop_detector::LoopDetector;
use super::message_tracer::MessageTracer;
use super::packet::{ConnAck, Incoming};
use super::republisher::Republisher;
use super::retained_cache::RetainedCache;
use super::state::{State, Violation, WantedSubscription};
use crate::config::{OutboxLimits, Protocol};
use crate::mailbox::{Delivery, Notice};
use crate::message::{Message, Outcome, Receipt, Subscription};
use crate::router::{IdentifiedSubscription, Router, ServiceId};
use crate::topic::{Filter, Topic};

mod commit;
mod output;
mod poison;

use output::{EventLog, Persistence};
use poison::RETRY_AFTER;

/// How many messages may wait for the broker while retained ones are published again: mosquitto ends a connection of 3.1.1 with more
/// than 20 QoS 2 messages that are not released.
const REPUBLISH_WINDOW: usize = 16;

/// Router and session state.
#[derive(Debug)]
pub(super) struct Dispatcher {
    router: Router,
    pub state: State,
    /// Messages that are announced after each CONNACK, the last one of each topic.
    announced: HashMap<Topic, Message>,
    pub observers: Observers,
    retained_cache: RetainedCache,
    head_of_line: HeadOfLineMonitor,
    persistence: Persistence,
    quarantine: watch::Sender<Vec<Filter>>,
    connected: bool,
    /// Dropped when the broker has answered all requests about subscriptions.
    confirmations: Vec<oneshot::Sender<()>>,
    /// Receipts of dropped deliveries; reused for each message.
    discarded: Vec<Receipt>,
    pub log: EventLog,
}

/// Observers of the messages that pass.
#[derive(Debug)]
pub(super) struct Observers {
    deliveries: DeliveryTracker,
    loops: LoopDetector,
    republisher: Republisher,
    /// Makes spans of messages; `None`: traces are not recorded.
    pub tracer: Option<Box<MessageTracer>>,
}

impl Dispatcher {
    /// `delivery_timeout`: when a service is told that the broker has not taken its message in time. `is_presence`: another session
    /// reports the broker's missing features.
    pub(super) fn new(
        router: Router,
        state: State,
        delivery_timeout: Duration,
        is_presence: bool,
    ) -> Self {
        Self {
            router,
            state,
            announced: HashMap::new(),
            observers: Observers {
                deliveries: DeliveryTracker::new(delivery_timeout),
                loops: LoopDetector::default(),
                republisher: Republisher::default(),
                tracer: None,
            },
            retained_cache: RetainedCache::default(),
            head_of_line: HeadOfLineMonitor::default(),
            persistence: Persistence::default(),
            quarantine: watch::Sender::default(),
            connected: false,
            confirmations: Vec::new(),
            discarded: Vec::new(),
            log: EventLog::new(is_presence),
        }
    }

    /// Carries a command out.
    pub(super) fn handle_command(&mut self, command: Command) {
        match command {
            Command::Commit(commit) => self.on_commit(commit),
            Command::Attach {
                service,
                mailbox,
                subscriptions,
                retained,
            } => {
                if self.connected {
                    mailbox.notify(Notice::Connected {
                        session_present: true,
                    });
                }
                let is_new = |one: &&Subscription| {
                    retained || !self.router.has_subscribed(service, &one.filter)
                };
                let new: Vec<_> = subscriptions.iter().filter(is_new).collect();
                let diff = self.router.attach(service, mailbox, &subscriptions);
                self.deliver_retained(service, &new, &diff);
                self.apply(diff);
                let filters = subscriptions.iter().map(|one| &one.filter);
                self.retry_quarantined(filters, Duration::ZERO);
            }
            Command::Republish { service, on } => {
                self.observers.republisher.set_enabled(service, on);
            }
            Command::Detach { service } => {
                self.observers.republisher.set_enabled(service, false);
                let diff = self.router.detach(service);
                self.apply(diff);
            }
            Command::Announce(message) => self.announce(message),
            Command::AnnounceOnce(message) => {
                if self.connected {
                    self.state.announce(message);
                }
            }
            Command::ConfirmSubscriptions(done) => self.confirmations.push(done),
            Command::GrantedSubscriptions(answer) => {
                // the caller may have gone
                let _ = answer.send(self.state.granted_subscriptions());
            }
            Command::Quiesce => self.state.close(),
        }
    }

    /// The last announcement of each topic.
    pub(super) fn announced(&self) -> impl Iterator<Item = &Message> {
        self.announced.values()
    }

    fn announce(&mut self, message: Message) {
        if self.connected {
            self.state.announce(message.clone());
        }
        self.announced.insert(message.topic.clone(), message);
    }

    /// Applies new settings, perhaps of another broker, from the next connection on. To be called while there is none.
    pub(super) fn reconfigure(&mut self, protocol: Protocol, limits: OutboxLimits) {
        self.log.summarize(true);
        self.log.reset();
        self.state.reconfigure(protocol, limits);
    }

    /// Handles a CONNACK with success.
    pub(super) fn on_connected(&mut self, ack: &ConnAck) {
        self.connected = true;
        if !ack.session_present {
            self.retained_cache.clear();
        }

        let identifiers = self.state.protocol() == Protocol::V5 && ack.server.subscription_ids;
        let (subscribe, unsubscribe) = self.router.on_connected(identifiers, ack.session_present);
        self.state
            .handle_connack(ack, subscribe.into_iter().map(wanted).collect());
        self.state.change_subscriptions(Vec::new(), unsubscribe);

        for message in self.announced.values() {
            self.state.announce(message.clone());
        }
        self.notify_all(&Notice::Connected {
            session_present: ack.session_present,
        });
        self.observers.republisher.on_connected(ack.session_present);
    }

    /// Publishes retained messages again that the broker may have forgotten, a few at a time, so that new messages come between them.
    pub(super) fn republish(&mut self) {
        let republisher = &mut self.observers.republisher;
        while republisher.is_pending()
            && self.state.unsent() < REPUBLISH_WINDOW
            && self.state.has_room()
        {
            let Some(message) = republisher.next_message(now()) else {
                return;
            };
            self.state.publish(None, None, vec![message.into()]);
        }
    }

    /// Handles the end of the connection.
    pub(super) fn on_disconnected(&mut self) {
        self.head_of_line.reset();
        self.trace_acknowledgements();
        if let Some(tracer) = &mut self.observers.tracer {
            tracer.on_disconnected(calendar_time());
        }
        if std::mem::take(&mut self.connected) {
            self.notify_all(&Notice::Disconnected);
        }
        self.state.end_connection();
    }

    fn notify_all(&self, notice: &Notice) {
        self.router
            .mailboxes()
            .for_each(|mailbox| mailbox.notify(notice.clone()));
    }

    fn notify(&self, service: ServiceId, notice: Notice) {
        if let Some(mailbox) = self.router.mailbox(service) {
            mailbox.notify(notice);
        }
    }

    /// When `expire_deliveries` has to be called; `None`: never.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.observers.deliveries.next_deadline()
    }

    /// Notifies services of messages that the broker has not taken in time.
    pub(super) fn expire_deliveries(&mut self, now: Instant) {
        while let Some((service, token)) = self.observers.deliveries.pop_expired(now) {
            self.notify(service, Notice::Outcome(token, Outcome::TimedOut));
        }
    }

    /// Handles a packet of the broker, other than DISCONNECT.
    pub(super) fn on_packet(&mut self, packet: Incoming) -> Result<(), Violation> {
        let Some(mut arrival) = self.state.handle_packet(packet)? else {
            return Ok(());
        };
        if let Some(properties) = &mut arrival.message.properties {
            let left = properties.message_expiry.map(u64::from);
            let left = left.map(Duration::from_secs);
            properties.expires_at = left.and_then(|left| now().checked_add(left));
        }

        let ids = arrival.subscription_ids.as_slice();
        self.retained_cache.on_message(&arrival.message, ids);
        if let Some(tracer) = &mut self.observers.tracer {
            tracer.on_arrival(&mut arrival.message, arrival.receipt, calendar_time);
        }
        let trace = self
            .observers
            .loops
            .on_arrival(&arrival.message.topic, &arrival.message.payload);
        let delivery = Delivery {
            message: arrival.message,
            receipt: arrival.receipt,
            trace,
        };

        let services = self.router.route(delivery, ids, &mut self.discarded);
        if let Some(receipt) = arrival.receipt {
            self.state.handle_routed(receipt, services);
        }
        self.drain_discarded();
        Ok(())
    }

    /// Acknowledges deliveries that were dropped, as far as they have to be.
    fn drain_discarded(&mut self) {
        for receipt in self.discarded.drain(..) {
            self.state.handle_discarded(receipt);
        }
    }

    /// Asks the services to spool messages that keep the broker from sending the next ones; to be called every 50 ms or so. `false`:
    /// not until something arrives.
    pub(super) fn check_head_of_line(&mut self) -> bool {
        let (receipts, peak) = self.state.unacknowledged_receipts();
        if receipts.is_empty() {
            self.head_of_line.reset();
            return false;
        }

        if let Some(overdue) = self.head_of_line.check(receipts, peak)
            && self.router.mailboxes().nth(1).is_some()
        {
            self.router
                .mailboxes()
                .for_each(|mailbox| mailbox.mark_overdue(overdue.below, overdue.share));
        }

        true
    }

    /// Returns the name of a service, if it has one.
    fn service_name(&self, service: ServiceId) -> Option<std::sync::Arc<str>> {
        self.router.mailbox(service)?.service()
    }
}

fn wanted(identified: IdentifiedSubscription) -> WantedSubscription {
    WantedSubscription {
        subscription: identified.subscription,
        id: identified.id.0,
    }
}
