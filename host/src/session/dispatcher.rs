//! Machine: where router and session state meet. In: commands, packets of the broker. Out: deliveries into mailboxes, log lines
//! for what the state reports. Owns both, and what is announced after each CONNACK. Does no I/O and never waits.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};
use tracing::{error, warn};

use super::command::{Command, Commit, PersistSink};
use super::delivery_tracker::DeliveryTracker;
use super::event_throttle::EventThrottle;
use super::head_of_line::HeadOfLine;
use super::loop_detector::{LoopDetector, ROUNDS};
use super::now;
use super::packet::{ConnAck, Incoming};
use super::republisher::{BYTES, Republisher, TOPICS};
use super::retained_cache::RetainedCache;
use super::state::{Event, State, Violation, WantedSubscription};
use crate::config::{OutboxLimits, Protocol};
use crate::mailbox::{Delivered, Delivery, Notice};
use crate::message::{Message, Outcome, Publication, Receipt, Subscription, SubscriptionChange};
use crate::router::{Difference, Numbered, Router, ServiceId};
use crate::topic::{Filter, Topic};

/// How many messages wait for the broker at most while retained ones are published again: mosquitto ends a connection of 3.1.1 with
/// more than 20 of QoS 2 that are not released.
const AGAIN: usize = 16;

mod poison;

use poison::RESTED;

/// Router and session state.
#[derive(Debug)]
pub struct Dispatcher {
    router: Router,
    pub state: State,
    announced: HashMap<Topic, Message>,
    delivery_tracker: DeliveryTracker,
    loop_detector: LoopDetector,
    head_of_line: HeadOfLine,
    retained_cache: RetainedCache,
    republisher: Republisher,
    /// Where messages are kept on disk that wait to be sent.
    keeper: Option<PersistSink>,
    /// The services whose messages an earlier run kept, by their numbers.
    publishers: HashMap<u64, Arc<str>>,
    quarantine: watch::Sender<Vec<Filter>>,
    connected: bool,
    /// Who waits for the broker's answers about subscriptions; dropped when they have come.
    confirmations: Vec<oneshot::Sender<()>>,
    /// Reused for each message.
    settled: Vec<Receipt>,
    /// Events that come in numbers.
    event_throttle: EventThrottle,
    /// What the broker cannot do is said by another session.
    pub quiet: bool,
    /// Events that were errors.
    pub failures: u64,
}

impl Dispatcher {
    /// `delivery_timeout`: when a service is told that the broker has not taken its message in time.
    pub fn new(router: Router, state: State, delivery_timeout: Duration) -> Self {
        Self {
            router,
            state,
            announced: HashMap::new(),
            delivery_tracker: DeliveryTracker::new(delivery_timeout),
            loop_detector: LoopDetector::default(),
            head_of_line: HeadOfLine::default(),
            retained_cache: RetainedCache::default(),
            republisher: Republisher::default(),
            keeper: None,
            publishers: HashMap::new(),
            quarantine: watch::Sender::default(),
            connected: false,
            confirmations: Vec::new(),
            settled: Vec::new(),
            event_throttle: EventThrottle::default(),
            quiet: false,
            failures: 0,
        }
    }

    /// Carries a command out.
    pub fn take(&mut self, command: Command) {
        match command {
            Command::Commit(commit) => self.commit(commit),
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
                let difference = self.router.attach(service, mailbox, &subscriptions);
                if retained {
                    self.tell_retained(
                        service,
                        &subscriptions.iter().collect::<Vec<_>>(),
                        &difference,
                    );
                }
                self.change(difference);
                self.try_again(subscriptions.iter().map(|one| &one.filter), Duration::ZERO);
            }
            Command::Republish { service, on } => self.republisher.set(service, on),
            Command::Detach { service } => {
                self.republisher.set(service, false);
                let difference = self.router.detach(service);
                self.change(difference);
            }
            Command::Announce(message) => self.announce(message),
            Command::AnnounceOnce(message) => {
                if self.connected {
                    self.state.announce(message);
                }
            }
            Command::Confirm(answer) => self.confirmations.push(answer),
            Command::Quiesce => self.state.close(),
            // comes on a channel of its own
            Command::Stop { .. } => {}
        }
    }

    fn commit(&mut self, mut commit: Commit) {
        if !commit.subscriptions.is_empty() {
            let difference = self.router.change(commit.service, &commit.subscriptions);
            let new: Vec<_> = commit
                .subscriptions
                .iter()
                .filter_map(SubscriptionChange::subscribed)
                .collect();
            self.tell_retained(commit.service, &new, &difference);
            self.change(difference);
            self.try_again(new.iter().map(|one| &one.filter), RESTED);
        }
        if !commit.publishes.is_empty() {
            let cut = self
                .loop_detector
                .published(commit.trace, &mut commit.publishes);
            cut.iter()
                .for_each(|publication| self.cut(commit.service, publication));
        }
        if self.republisher.is_used()
            && let Some(topic) =
                self.republisher
                    .published(commit.service, &commit.publishes, self.connected, now())
        {
            warn!(
                "the retained message on {topic} and further ones of its service are not kept to be published again: \
                 republish_retained is for {TOPICS} topics and {BYTES} bytes of a service"
            );
        }
        for terms in commit
            .publishes
            .iter()
            .filter_map(|publication| publication.terms.as_deref())
        {
            self.delivery_tracker.make(commit.service, terms);
        }
        self.state
            .committed(Some(commit.service), commit.receipt, commit.publishes);
    }

    /// A message that went round too often is not sent.
    fn cut(&mut self, service: ServiceId, publication: &Publication) {
        let topic = &publication.message.topic;
        self.failures += 1;
        error!(
            "a publish loop is cut: a message on {topic} led to the next one on {topic} {ROUNDS} times, and the last is not sent"
        );
        if let Some(token) = publication.terms.as_deref().and_then(|terms| terms.token) {
            self.tell(
                service,
                Notice::Outcome(token, Outcome::Refused("a publish loop is cut".to_owned())),
            );
        }
    }

    fn change(&mut self, difference: Difference) {
        for receipt in difference.settled {
            self.state.settled(receipt);
        }
        if !difference.unsubscribe.is_empty() {
            self.retained_cache.ended(|topic| self.router.wants(topic));
        }
        if !(difference.subscribe.is_empty() && difference.unsubscribe.is_empty()) {
            self.state.change(
                difference.subscribe.into_iter().map(wanted).collect(),
                difference.unsubscribe,
            );
        }
    }

    /// Gives a service the retained messages of those of its new subscriptions that the broker has already: those that are known, or
    /// else the broker is asked to send them again.
    fn tell_retained(
        &mut self,
        service: ServiceId,
        new: &[&Subscription],
        difference: &Difference,
    ) {
        let asked = |one: &&&Subscription| {
            difference
                .subscribe
                .iter()
                .any(|n| n.subscription.filter == one.filter)
        };
        let present: Vec<_> = new.iter().filter(|one| !asked(one)).copied().collect();
        let (certain, others): (Vec<_>, Vec<_>) = present.into_iter().partition(|one| {
            self.router
                .number(&one.filter)
                .is_some_and(|numbered| self.retained_cache.is_certain(numbered.id.0))
        });
        let mut asked = HashSet::new();
        for numbered in others
            .iter()
            .filter_map(|one| self.router.ask_again(service, &one.filter, now()))
        {
            // one filter may bring the messages of several
            if !asked.insert(numbered.id) {
                continue;
            }
            match difference.subscribe.iter().any(|one| one.id == numbered.id) {
                true => self.state.forget(&numbered.subscription.filter),
                false => self.state.ask_again(wanted(numbered)),
            }
        }
        let Some(mailbox) = self.router.mailbox(service) else {
            return;
        };
        for message in self.retained_cache.values(&certain) {
            if let Delivered::Replaced(older) = mailbox.deliver(Delivery::new(message, None)) {
                self.settled
                    .extend(older.into_iter().filter_map(|one| one.receipt));
            }
        }
        for receipt in self.settled.drain(..) {
            self.state.settled(receipt);
        }
    }

    /// The last announcement of each topic.
    pub fn announced(&self) -> impl Iterator<Item = &Message> {
        self.announced.values()
    }

    fn announce(&mut self, message: Message) {
        if self.connected {
            self.state.announce(message.clone());
        }
        self.announced.insert(message.topic.clone(), message);
    }

    /// From the next connection on these hold; perhaps with another broker. To be called while there is none.
    pub fn renew(&mut self, protocol: Protocol, limits: OutboxLimits) {
        self.summarize(true);
        self.event_throttle.clear();
        self.state.renew(protocol, limits);
    }

    /// CONNACK came with success.
    pub fn connected(&mut self, ack: &ConnAck) {
        self.connected = true;
        if !ack.session_present {
            self.retained_cache.session_lost();
        }
        let identifiers = self.state.protocol() == Protocol::V5 && ack.server.subscription_ids;
        let (subscribe, unsubscribe) = self.router.connected(identifiers, ack.session_present);
        self.state
            .connected(ack, subscribe.into_iter().map(wanted).collect());
        self.state.change(Vec::new(), unsubscribe);
        self.announced
            .values()
            .cloned()
            .for_each(|message| self.state.announce(message));
        self.tell_all(&Notice::Connected {
            session_present: ack.session_present,
        });
        self.republisher.connected(ack.session_present);
    }

    /// Publishes retained messages again that the broker has perhaps forgotten, a few at a time: what services publish now comes
    /// between them.
    pub fn publish_again(&mut self) {
        while self.republisher.is_pending() && self.state.unsent() < AGAIN && self.state.has_room()
        {
            let Some(message) = self.republisher.next(now()) else {
                return;
            };
            self.state.committed(None, None, vec![message.into()]);
        }
    }

    /// The connection is lost.
    pub fn disconnected(&mut self) {
        self.head_of_line.clear();
        if std::mem::take(&mut self.connected) {
            self.tell_all(&Notice::Disconnected);
        }
        self.state.disconnected();
    }

    fn tell_all(&self, notice: &Notice) {
        self.router
            .mailboxes()
            .for_each(|mailbox| mailbox.notify(notice.clone()));
    }

    fn tell(&self, service: ServiceId, notice: Notice) {
        if let Some(mailbox) = self.router.mailbox(service) {
            mailbox.notify(notice);
        }
    }

    /// When `expire` is wanted; `None`: never.
    pub fn deadline(&self) -> Option<Instant> {
        self.delivery_tracker.next()
    }

    /// Tells the services of messages that the broker has not taken in time.
    pub fn expire(&mut self, now: Instant) {
        while let Some((service, token)) = self.delivery_tracker.overdue(now) {
            self.tell(service, Notice::Outcome(token, Outcome::TimedOut));
        }
    }

    /// A packet of the broker, other than DISCONNECT.
    pub fn received(&mut self, packet: Incoming) -> Result<(), Violation> {
        let Some(arrival) = self.state.received(packet)? else {
            return Ok(());
        };
        let ids = arrival.subscription_ids.as_slice();
        self.retained_cache.arrived(&arrival.message, ids);
        let trace = self
            .loop_detector
            .arrived(&arrival.message.topic, &arrival.message.payload);
        let delivery = Delivery {
            message: arrival.message,
            receipt: arrival.receipt,
            trace,
        };
        let services = self.router.route(delivery, ids, &mut self.settled);
        if let Some(receipt) = arrival.receipt {
            self.state.routed(receipt, services);
        }
        for receipt in self.settled.drain(..) {
            self.state.settled(receipt);
        }
        Ok(())
    }

    /// Asks the services to spool messages that keep the broker from sending the next ones; to be called every 50 ms or so. `false`:
    /// not as long as nothing arrives.
    pub fn look_at_head_of_line(&mut self) -> bool {
        let (receipts, most) = self.state.unacknowledged_receipts();
        if receipts.is_empty() {
            self.head_of_line.clear();
            return false;
        }
        if let Some(overdue) = self.head_of_line.look(receipts, most)
            && self.router.mailboxes().nth(1).is_some()
        {
            self.router
                .mailboxes()
                .for_each(|mailbox| mailbox.mark_overdue(overdue.below, overdue.share));
        }
        true
    }

    /// Says to services whether they have to wait before they publish more.
    fn share_out_outbox(&mut self) {
        for (service, congested) in self.state.congestion_changes() {
            if let Some(mailbox) = self.router.mailbox(service) {
                mailbox.set_congested(congested);
            }
        }
    }

    /// Tells the router and the log what happened. True: something is to be sent because of it.
    pub fn report(&mut self) -> bool {
        self.share_out_outbox();
        if !(self.connected && self.state.is_asking()) {
            self.confirmations.clear();
        }
        if self.event_throttle.is_due() {
            self.summarize(false);
        }
        if !self.state.has_news() {
            return false;
        }
        for answer in self.state.take_answers() {
            self.router.answered(&answer.filter, answer.granted);
        }
        let difference = self.router.adjusted();
        let is_changed = !(difference.subscribe.is_empty() && difference.unsubscribe.is_empty());
        self.change(difference);
        let news = self.state.take_news();
        for (token, outcome) in news.outcomes {
            if let Some(service) = self.delivery_tracker.keep(token) {
                self.tell(service, Notice::Outcome(token, outcome));
            }
        }
        if !news.kept.is_empty() {
            self.keep(news.kept);
        }
        let is_quarantine = !news.events.is_empty() || !self.quarantine.borrow().is_empty();
        news.events.into_iter().for_each(|event| self.log(event));
        if is_quarantine {
            self.tell_quarantine();
        }
        is_changed
    }

    /// Says how often events came again that are not said one by one; at the `end`, all of them.
    pub fn summarize(&mut self, end: bool) {
        self.event_throttle
            .take(now(), end)
            .iter()
            .for_each(|summary| error!("{summary}"));
    }

    fn log(&mut self, event: Event) {
        if self.quiet && matches!(event, Event::Lowered { .. }) {
            return;
        }
        let event = match event.kind() {
            None => event,
            Some(kind) => match self.event_throttle.note(kind, event, now()) {
                Some(first) => first,
                None => return,
            },
        };
        let service = event.service().and_then(|service| self.name(service));
        if event.is_error() {
            self.failures += 1;
            error!(service = service.as_deref(), "{event}");
        } else {
            warn!(service = service.as_deref(), "{event}");
        }
    }
}

fn wanted(numbered: Numbered) -> WantedSubscription {
    WantedSubscription {
        subscription: numbered.subscription,
        id: numbered.id.0,
    }
}
